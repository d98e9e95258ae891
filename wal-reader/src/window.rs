//! A stretch of a file in memory that moves forward: one buffer, used again and again.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::ReadError;
use crate::source::{SourceFile, read_full};

/// Small enough to stay in the L2 cache while it is checked, large enough that system calls cost nothing per entry.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// Buffered reading of one file up to a limit, mostly forward.
pub(crate) struct Window {
    file: Box<dyn SourceFile>,
    path: PathBuf,
    /// Nothing at or beyond this offset is read: the file's length when opened, or less.
    limit: u64,
    /// File offset of `buffer[0]`.
    start: u64,
    /// Only the first `filled` bytes mean something.
    buffer: Vec<u8>,
    filled: usize,
    bytes_read: u64,
}

impl Window {
    /// `limit`: never look at or beyond this offset, even if the file is longer.
    pub(crate) fn new(
        file: Box<dyn SourceFile>,
        path: PathBuf,
        limit: Option<u64>,
    ) -> Result<Self, ReadError> {
        let length = file.len().map_err(|error| ReadError::io("measure", &path, error))?;
        let limit = limit.map_or(length, |limit| limit.min(length));
        Ok(Self { file, path, limit, start: 0, buffer: Vec::new(), filled: 0, bytes_read: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// End of what may be read.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Hands the buffer on to the next window, so that a chain of segments is read through one.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    pub(crate) fn with_buffer(mut self, buffer: Vec<u8>) -> Self {
        self.buffer = buffer;
        self
    }

    /// The bytes from `offset`: at least `want` of them, unless the limit comes first; often more.
    #[inline]
    pub(crate) fn from(&mut self, offset: u64, want: usize) -> Result<&[u8], ReadError> {
        self.glance(offset, want, WINDOW_BYTES)
    }

    /// As [`Self::from`], for one look at a place far from the next: reads `chunk` bytes, if it has to.
    #[inline]
    pub(crate) fn glance(&mut self, offset: u64, want: usize, chunk: usize) -> Result<&[u8], ReadError> {
        let want = want.min(saturating_usize(self.limit.saturating_sub(offset)));
        let held = self.held(offset, want);
        let at = match held {
            Some(at) => at,
            None => self.load(offset, want, chunk)?,
        };
        Ok(&self.buffer[at..self.filled])
    }

    /// Where bytes that [`Self::from`] has loaded stand in the buffer, until the next load.
    #[inline]
    pub(crate) fn place(&self, offset: u64, count: usize) -> Range<usize> {
        let at = saturating_usize(offset - self.start);
        at..at + count
    }

    /// The bytes at a place.
    #[inline]
    pub(crate) fn at(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    #[inline]
    fn held(&self, offset: u64, want: usize) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (at <= self.filled && self.filled - at >= want).then_some(at)
    }

    /// Moves the window so that it begins at `offset`. Keeps what it has of that, reads the rest.
    fn load(&mut self, offset: u64, want: usize, chunk: usize) -> Result<usize, ReadError> {
        let rest = saturating_usize(self.limit.saturating_sub(offset));
        let capacity = want.max(chunk).min(rest);
        // `rest` bounds the allocation: a length field alone never does. Before anything is moved, so that a failure
        // leaves the window as it was.
        grow(&mut self.buffer, capacity, &self.path)?;
        let kept = match self.held(offset, 0) {
            Some(at) => {
                self.buffer.copy_within(at..self.filled, 0);
                self.filled - at
            }
            None => 0,
        };
        self.start = offset;
        self.filled = kept;
        if kept < capacity {
            let into = &mut self.buffer[kept..capacity];
            let count = read_full(&*self.file, into, offset + kept as u64)
                .map_err(|error| ReadError::io("read", &self.path, error))?;
            self.filled += count;
            self.bytes_read += count as u64;
            if self.filled < capacity {
                // The file became shorter since it was measured.
                self.limit = offset + self.filled as u64;
            }
        }
        Ok(0)
    }
}

/// Makes `buffer` at least `bytes` long, and no longer than that. The size comes from a file, so a failure is an error:
/// the allocator must not end the process for it.
pub(crate) fn grow(buffer: &mut Vec<u8>, bytes: usize, path: &Path) -> Result<(), ReadError> {
    let more = bytes.saturating_sub(buffer.len());
    let failed = |_| ReadError::OutOfMemory { path: path.to_path_buf(), bytes: bytes as u64 };
    buffer.try_reserve_exact(more).map_err(failed)?;
    buffer.resize(buffer.len() + more, 0);
    Ok(())
}

fn saturating_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A file that may have become shorter since it was measured.
    struct File {
        bytes: Vec<u8>,
        measured: u64,
    }

    impl SourceFile for File {
        fn len(&self) -> io::Result<u64> {
            Ok(self.measured)
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.bytes.get(saturating_usize(offset)..).unwrap_or(&[]);
            let count = buf.len().min(rest.len());
            buf[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
            Ok(())
        }
    }

    /// A window on 1,000 bytes that differ from their neighbours, of a file that was `measured` to be as long.
    fn window(measured: u64, limit: Option<u64>) -> (Vec<u8>, Window) {
        let bytes: Vec<u8> = (0..1000_u32).map(|at| u8::try_from(at * 89 % 251).unwrap()).collect();
        let file = File { bytes: bytes.clone(), measured };
        (bytes, Window::new(Box::new(file), PathBuf::new(), limit).unwrap())
    }

    #[test]
    fn wherever_one_looks_the_window_shows_what_the_file_has_there() {
        let (bytes, _) = window(1000, None);
        let (places, wants) = ([0, 1, 63, 64, 500, 936, 999, 1000], [0, 1, 64, 300, 1000]);
        for chunk in [1, 64, 100, 5000] {
            for first in places.iter().flat_map(|at| wants.map(|want| (*at, want))) {
                for second in places.iter().flat_map(|at| wants.map(|want| (*at, want))) {
                    let mut window = window(1000, None).1;
                    for (at, want) in [first, second] {
                        let shown = window.glance(at as u64, want, chunk).unwrap();
                        assert!(shown.len() >= want.min(1000 - at), "{first:?} {second:?} {chunk}");
                        assert_eq!(*shown, bytes[at..at + shown.len()], "{first:?} {second:?} {chunk}");
                        let count = shown.len();
                        let place = window.place(at as u64, count);
                        assert_eq!(*window.at(place), bytes[at..at + count]);
                    }
                }
            }
        }
    }

    #[test]
    fn moving_forward_reads_every_byte_once() {
        for (step, want, chunk) in [(1, 1, 1), (8, 64, 100), (64, 64, 64), (7, 20, 33), (100, 900, 1)] {
            let (bytes, mut window) = window(1000, None);
            for at in (0..1000).step_by(step) {
                assert_eq!(window.glance(at as u64, want, chunk).unwrap()[0], bytes[at]);
            }
            assert_eq!(window.bytes_read(), 1000, "steps of {step}, {want} bytes looked at, {chunk} read");
        }
    }

    #[test]
    fn nothing_is_shown_or_read_at_or_beyond_the_limit() {
        let (bytes, mut window) = window(1000, Some(600));
        assert_eq!(*window.from(590, 64).unwrap(), bytes[590..600]);
        assert!(window.from(600, 64).unwrap().is_empty());
        assert!(window.from(5000, 64).unwrap().is_empty());
        assert_eq!((window.limit(), window.bytes_read()), (600, 10));
    }

    #[test]
    fn a_file_that_became_shorter_ends_where_it_ends_now() {
        let (bytes, mut window) = window(5000, None);
        assert_eq!(window.limit(), 5000);
        assert_eq!(*window.from(990, 64).unwrap(), bytes[990..1000]);
        assert_eq!(window.limit(), 1000);
        assert!(window.from(1000, 1).unwrap().is_empty());
        assert_eq!(window.bytes_read(), 10);
    }
}
