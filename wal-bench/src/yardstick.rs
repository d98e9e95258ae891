//! What the log is held against: the least that anybody would write by hand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::workload::{KEY_BYTES, VALUE_BYTES};

/// Bytes of one entry in the plain file: length, checksum, key, value.
pub const PLAIN_ENTRY_BYTES: u64 = (8 + KEY_BYTES + VALUE_BYTES) as u64;

/// A page, as the raw writes below write it.
const PAGE: [u8; 4096] = [7; 4096];

/// A file of zeros, on disk: writing into it changes no metadata.
///
/// # Errors
/// Those of the file.
pub fn zero_filled(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        file.write_all_at(&zeros, at)?;
        at += zeros.len() as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// A new file of `bytes` bytes, written a megabyte at a time, and synced.
///
/// # Errors
/// Those of the file.
pub fn write_sequentially(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let block = vec![7; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        file.write_all(&block[..count])?;
        left -= count as u64;
    }
    file.sync_data()
}

/// Length and checksum before each entry, through a buffer, from the start of `file`.
///
/// # Errors
/// Those of the file.
pub fn write_plain(file: &File, entries: u64, value: &[u8]) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    out.seek(SeekFrom::Start(0))?;
    for number in 0..entries {
        write_plain_entry(&mut out, number, value)?;
    }
    out.flush()
}

/// One entry.
///
/// # Errors
/// Those of the file.
#[inline]
pub fn write_plain_entry(out: &mut impl Write, number: u64, value: &[u8]) -> io::Result<()> {
    let mut entry = [0; 8 + KEY_BYTES + VALUE_BYTES];
    let (head, body) = entry.split_at_mut(8);
    body[..8].copy_from_slice(&number.to_le_bytes());
    body[KEY_BYTES..].copy_from_slice(value);
    head[..4].copy_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    out.write_all(&entry)
}

/// Reads what [`write_plain`] wrote, and checks every checksum. How many entries there were.
///
/// # Errors
/// Those of the file.
pub fn read_plain(file: &File, entries: u64) -> io::Result<u64> {
    let mut input = PlainReader::new(file)?;
    for _ in 0..entries {
        std::hint::black_box(input.entry()?);
    }
    Ok(entries)
}

/// Reads several files that [`write_plain`] wrote, of `entries` each, as one sequence by the numbers of the entries. How many
/// there were.
///
/// # Errors
/// Those of the files.
pub fn merge_plain(files: &[File], entries: u64) -> io::Result<u64> {
    let mut inputs: Vec<_> = files.iter().map(PlainReader::new).collect::<Result<_, _>>()?;
    let mut left = vec![entries; files.len()];
    let (mut heap, mut count) = (BinaryHeap::new(), 0);
    if entries > 0 {
        for (index, input) in inputs.iter_mut().enumerate() {
            heap.push(Reverse((input.number()?, index)));
        }
    }
    while let Some(mut next) = heap.peek_mut() {
        let index = next.0.1;
        std::hint::black_box(inputs[index].body.as_slice());
        count += 1;
        left[index] -= 1;
        if left[index] > 0 {
            *next = Reverse((inputs[index].number()?, index));
        } else {
            PeekMut::pop(next);
        }
    }
    Ok(count)
}

/// A file of entries, one after the other.
struct PlainReader<'a> {
    input: BufReader<&'a File>,
    body: Vec<u8>,
}

impl<'a> PlainReader<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(64 * 1024, file);
        input.seek(SeekFrom::Start(0))?;
        Ok(Self { input, body: vec![0; KEY_BYTES + VALUE_BYTES] })
    }

    /// Key and value of the next entry.
    #[inline]
    fn entry(&mut self) -> io::Result<&[u8]> {
        let mut head = [0; 8];
        self.input.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        self.body.resize(usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0), 0);
        self.input.read_exact(&mut self.body)?;
        if crc32fast::hash(&self.body) != u32::from_le_bytes([e, f, g, h]) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(&self.body)
    }

    /// The number that the next entry begins with.
    #[inline]
    fn number(&mut self) -> io::Result<u64> {
        let number = self.entry()?.first_chunk().copied().ok_or(io::ErrorKind::InvalidData)?;
        Ok(u64::from_le_bytes(number))
    }
}

/// One page at page `number`, and `fdatasync`.
///
/// # Errors
/// Those of the file.
pub fn write_and_sync(file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&PAGE, number * PAGE.len() as u64)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_merged_and_damage_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| {
            let file = zero_filled(&directory.path().join(name), 1).expect("a file");
            write_plain(&file, 100, &[3; VALUE_BYTES]).expect("written");
            file
        };
        let files = [file("a"), file("b"), file("c")];
        assert_eq!(read_plain(&files[0], 100).expect("read"), 100);
        assert_eq!(merge_plain(&files, 100).expect("merged"), 300);
        assert_eq!(merge_plain(&files, 0).expect("merged"), 0);
        files[1].write_all_at(&[9], 50 * PLAIN_ENTRY_BYTES + 20).expect("damaged");
        assert!(read_plain(&files[1], 100).is_err() && merge_plain(&files, 100).is_err());
    }
}
