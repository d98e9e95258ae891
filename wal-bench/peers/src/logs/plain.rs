//! The least that anybody would write by hand: length and CRC before each entry, through a buffer, into one file.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use wal_bench::workload::key;
use wal_bench::yardstick::zero_filled;

use super::{Setup, Single, Sink};
use crate::Failure;

const BUFFER_BYTES: usize = 64 * 1024;

/// A plain file, made by `M`.
pub(super) struct Plain<M> {
    out: BufWriter<File>,
    entry: Vec<u8>,
    made: PhantomData<M>,
}

/// How the file is made.
pub(super) trait Made {
    fn make(path: &Path, setup: &Setup) -> Result<File, Failure>;
}

/// Filled with zeros before: no append changes metadata.
pub(super) struct ZeroFilled;

/// Grows with every write.
pub(super) struct Growing;

impl Made for ZeroFilled {
    fn make(path: &Path, setup: &Setup) -> Result<File, Failure> {
        let mut file = zero_filled(path, setup.bytes)?;
        file.rewind()?;
        Ok(file)
    }
}

impl Made for Growing {
    fn make(path: &Path, _: &Setup) -> Result<File, Failure> {
        Ok(File::options().read(true).write(true).create_new(true).open(path)?)
    }
}

impl<M> Plain<M> {
    fn new(file: File) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, file), entry: Vec::new(), made: PhantomData }
    }
}

impl<M: Made> Single for Plain<M> {
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure> {
        Ok(Self::new(M::make(&directory.join("log"), setup)?))
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        for number in numbers {
            self.entry.clear();
            self.entry.extend_from_slice(&[0; 8]);
            self.entry.extend_from_slice(&key(number));
            self.entry.extend_from_slice(value);
            let (head, body) = self.entry.split_at_mut(8);
            head[..4].copy_from_slice(&u32::try_from(body.len())?.to_le_bytes());
            head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
            self.out.write_all(&self.entry)?;
        }
        let appended = Instant::now();
        self.out.flush()?;
        self.out.get_ref().sync_data()?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let file = File::options().read(true).write(true).open(directory.join("log"))?;
        let mut input = BufReader::with_capacity(BUFFER_BYTES, &file);
        let (mut end, mut body) = (0, Vec::new());
        loop {
            let mut head = [0; 8];
            match input.read_exact(&mut head) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                other => other?,
            }
            let [a, b, c, d, e, f, g, h] = head;
            let length = u32::from_le_bytes([a, b, c, d]);
            if length == 0 {
                break;
            }
            body.resize(length as usize, 0);
            input.read_exact(&mut body)?;
            if crc32fast::hash(&body) != u32::from_le_bytes([e, f, g, h]) {
                break;
            }
            sink.take_record(&body)?;
            end += 8 + u64::from(length);
        }
        (&file).seek(SeekFrom::Start(end))?;
        Ok((Self::new(file), sink))
    }
}
