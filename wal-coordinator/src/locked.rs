//! A storage that keeps the directory's lock for as long as anybody can write through it.
//!
//! Writers outlive the manager if their threads do. As long as one of them could still touch a file, nobody else may
//! open the log: so the lock lives in what they all share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wal_writer::{Storage, StorageFile};

pub(crate) struct LockedStorage {
    inner: Arc<dyn Storage>,
    _lock: Box<dyn Send + Sync>,
}

impl LockedStorage {
    pub(crate) fn new(inner: Arc<dyn Storage>, lock: Box<dyn Send + Sync>) -> Self {
        Self { inner, _lock: lock }
    }
}

impl Storage for LockedStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.inner.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.inner.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.inner.lock(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use wal_writer::DirectoryStorage;

    use super::*;

    #[test]
    fn a_lock_that_is_asked_for_through_it_is_the_storage_s() {
        let directory = tempfile::tempdir().unwrap();
        let inner: Arc<dyn Storage> = Arc::new(DirectoryStorage::new(directory.path()));
        let own = inner.lock("own").unwrap().unwrap();
        let locked = LockedStorage::new(Arc::clone(&inner), own);
        assert!(locked.lock("own").unwrap().is_none(), "held while it lives");
        let other = locked.lock("other").unwrap();
        assert!(other.is_some() && inner.lock("other").unwrap().is_none());
        drop(locked);
        assert!(inner.lock("own").unwrap().is_some());
    }
}
