//! Bytes that a log really takes: every file up to its last byte that is not zero, so that room made ahead is not counted.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// In all files below `directory`.
pub(crate) fn bytes(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sum += bytes(&entry.path())?;
        } else if kind.is_file() {
            sum += last_byte(File::open(entry.path())?)?;
        }
    }
    Ok(sum)
}

/// How far the file is anything but zeros.
fn last_byte(mut file: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut end) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(end);
        }
        if let Some(last) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_do_not_count() {
        let end = |bytes: &[u8]| last_byte(bytes).expect("read");
        assert_eq!(end(&[]), 0);
        assert_eq!(end(&[0; 5000]), 0);
        assert_eq!(end(&[1, 0, 2, 0, 0]), 3);
        let mut long = vec![0; 3 << 20];
        long[2 << 20] = 1;
        assert_eq!(end(&long), (2 << 20) + 1);
    }
}
