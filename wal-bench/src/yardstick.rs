//! What the log is held against: the least that anybody would write by hand.

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
    let mut input = BufReader::with_capacity(64 * 1024, file);
    input.seek(SeekFrom::Start(0))?;
    let mut body = vec![0; KEY_BYTES + VALUE_BYTES];
    for _ in 0..entries {
        let mut head = [0; 8];
        input.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        body.resize(usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0), 0);
        input.read_exact(&mut body)?;
        if crc32fast::hash(std::hint::black_box(&body)) != u32::from_le_bytes([e, f, g, h]) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(entries)
}

/// One page at page `number`, and `fdatasync`.
///
/// # Errors
/// Those of the file.
pub fn write_and_sync(file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&PAGE, number * PAGE.len() as u64)?;
    file.sync_data()
}
