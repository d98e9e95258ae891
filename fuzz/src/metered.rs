//! A source in memory that counts the bytes read: what a reader may do is bounded by what there is to read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wal_reader::{MemorySource, Source, SourceFile};

#[derive(Clone)]
pub(crate) struct Metered {
    inner: MemorySource,
    bytes_read: Arc<AtomicU64>,
}

impl Metered {
    pub(crate) fn new(inner: &MemorySource) -> Self {
        Self { inner: inner.clone(), bytes_read: Arc::default() }
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }
}

/// Bytes of all files and names.
pub(crate) fn total_bytes(source: &MemorySource) -> usize {
    source.iter().map(|(name, bytes)| name.len() + bytes.len()).sum()
}

impl Source for Metered {
    fn names(&self) -> io::Result<Vec<String>> {
        self.inner.names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(MeteredFile { inner: self.inner.open(name)?, bytes_read: Arc::clone(&self.bytes_read) }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

struct MeteredFile {
    inner: Box<dyn SourceFile>,
    bytes_read: Arc<AtomicU64>,
}

impl SourceFile for MeteredFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(buf, offset)?;
        self.bytes_read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        self.inner.drop_cache(from, to)
    }
}
