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
