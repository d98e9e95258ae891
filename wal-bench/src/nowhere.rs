//! A storage that takes all entries and keeps none: what is left is the cost of the log itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_coordinator::{DirectoryStorage, PerCoreWalConfig, Storage, StorageFile};

/// A real directory, in which segments stay empty. Not for anything that recovers, merges or makes checkpoints.
struct Nowhere(DirectoryStorage);

/// The default settings for a log in `directory` that keeps nothing.
#[must_use]
pub fn config(directory: &Path, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(directory, cores);
    config.storage = Arc::new(Nowhere(DirectoryStorage::new(directory)));
    config
}

impl Nowhere {
    fn file(name: &str, real: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        if name.starts_with("wal-") { Arc::new(Taken) } else { real }
    }
}

impl Storage for Nowhere {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Self::file(name, self.0.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Self::file(name, self.0.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.0.lock(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

/// A segment that takes everything.
struct Taken;

impl StorageFile for Taken {
    fn write_at(&self, bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn allocate(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
