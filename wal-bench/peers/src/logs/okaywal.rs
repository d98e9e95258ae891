//! okaywal: an entry of many chunks, which `commit` makes durable; it has no append that is not followed by one.
//!
//! So a burst is the chunks of one entry. Checkpoints are switched off, since they would hand entries back.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ::okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use wal_bench::workload::{KEY_BYTES, key};

use super::{Setup, Single, Sink};
use crate::Failure;

pub(super) struct Okay(WriteAheadLog);

#[derive(Debug)]
struct Manager(Arc<Mutex<Sink>>);

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let Some(chunks) = entry.read_all_chunks()? else { return Ok(()) };
        let mut sink = self.0.lock().map_err(|_| io::Error::other("poisoned"))?;
        chunks.iter().try_for_each(|chunk| sink.take_record(chunk).map_err(io::Error::other))
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

fn open(directory: &Path, sink: Sink) -> Result<(Okay, Arc<Mutex<Sink>>), Failure> {
    let sink = Arc::new(Mutex::new(sink));
    let configuration =
        Configuration::default_for(directory).preallocate_bytes(64 << 20).checkpoint_after_bytes(u64::MAX);
    Ok((Okay(configuration.open(Manager(Arc::clone(&sink)))?), sink))
}

impl Single for Okay {
    fn open(directory: &Path, _: &Setup) -> Result<Self, Failure> {
        Ok(open(directory, Sink::Count(0))?.0)
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let mut record = vec![0; KEY_BYTES + value.len()];
        record[KEY_BYTES..].copy_from_slice(value);
        let mut entry = self.0.begin_entry()?;
        for number in numbers {
            record[..KEY_BYTES].copy_from_slice(&key(number));
            entry.write_chunk(&record)?;
        }
        let appended = Instant::now();
        entry.commit()?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, sink: Sink) -> Result<(Self, Sink), Failure> {
        let (log, sink) = open(directory, sink)?;
        let mut filled = sink.lock().map_err(|_| "poisoned")?;
        let sink = std::mem::replace(&mut *filled, Sink::Count(0));
        Ok((log, sink))
    }
}
