//! The real file system behind the storage seam: one system call per method, nothing repeated, nothing hidden.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Storage, StorageFile};

/// A real directory.
#[derive(Clone, Debug)]
pub struct DirectoryStorage {
    path: PathBuf,
}

impl DirectoryStorage {
    /// The directory at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Storage for DirectoryStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

struct RealFile(File);

impl StorageFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, length)
            .map_err(io::Error::from)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The null device takes writes, and refuses whatever is only for files: each call must have reached it.
    #[test]
    fn every_call_reaches_the_operating_system() {
        let place = tempfile::tempdir().unwrap();
        let storage = DirectoryStorage::new(place.path());
        std::os::unix::fs::symlink("/dev/null", place.path().join("null")).unwrap();
        let null = storage.open("null").unwrap();
        assert_eq!(null.write_at(b"bytes", 0).unwrap(), 5);
        assert_eq!(null.sync_data().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        null.allocate(4096).unwrap_err();
        storage.remove("null").unwrap();
        assert!(storage.open("null").is_err(), "removed");

        let file = storage.create("file").unwrap();
        file.allocate(4096).unwrap();
        file.write_at(b"bytes", 10).unwrap();
        file.sync_data().unwrap();
        storage.rename("file", "other").unwrap();
        let content = std::fs::read(storage.path("other")).unwrap();
        assert_eq!((content.len(), &content[10..15]), (4096, &b"bytes"[..]));
        let lock = storage.lock("lock").unwrap();
        assert!(lock.is_some() && storage.lock("lock").unwrap().is_none());
        storage.sync_directory().unwrap();
        std::fs::remove_dir_all(place.path()).unwrap();
        assert_eq!(storage.sync_directory().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
