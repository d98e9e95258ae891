//! A storage that takes everything and keeps nothing: what is left is the cost of the log itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wal_coordinator::{Storage, StorageFile};

/// Nothing can be read back: not for anything that recovers, merges or makes checkpoints.
pub(super) struct Nowhere;

impl Storage for Nowhere {
    fn create(&self, _name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(Self))
    }
    fn open(&self, _name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(Self))
    }
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("nowhere").join(name)
    }
}

impl StorageFile for Nowhere {
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
