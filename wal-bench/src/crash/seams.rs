//! The engine's file system: the real one, with syncs that fail at times, and with the steps of reading as places to
//! die at.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use wal_coordinator::{DirectoryStorage, EntryRef, Replay, Storage, StorageFile};
use wal_reader::{Directory, Source, SourceFile};
use wal_recovery::BoxError;

use super::points::{Step, at};
use crate::random::Random;

/// One sync in so many fails.
const FAILS_ONE_IN: u64 = 12;
/// After a failed sync of a core, so many of its syncs succeed: a second failure in a row poisons the core, as it should.
const THEN_SUCCEED: u32 = 8;

/// A real directory in which some syncs of segments fail, once they hold anything: those of a file that is only made
/// ready are an error that an append returns, and this engine does not expect any. A failed sync has done nothing.
pub(super) struct FlakyStorage {
    inner: DirectoryStorage,
    luck: Arc<Mutex<Luck>>,
}

struct Luck {
    random: Random,
    /// Per core, how many syncs are sure to succeed.
    sure: HashMap<String, u32>,
}

impl FlakyStorage {
    pub(super) fn new(path: &Path, random: Random) -> Self {
        let luck = Luck { random, sure: HashMap::new() };
        Self { inner: DirectoryStorage::new(path), luck: Arc::new(Mutex::new(luck)) }
    }

    fn file(&self, name: &str, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        // `wal-00003-...`: the core.
        match name.strip_prefix("wal-").and_then(|rest| rest.get(..5)) {
            Some(core) => {
                let (core, luck) = (core.to_owned(), Arc::clone(&self.luck));
                Arc::new(FlakyFile { core, inner, luck, holds_anything: AtomicBool::new(false) })
            }
            None => inner,
        }
    }
}

impl Storage for FlakyStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.inner.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.inner.open(name)?))
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

struct FlakyFile {
    core: String,
    inner: Arc<dyn StorageFile>,
    luck: Arc<Mutex<Luck>>,
    holds_anything: AtomicBool,
}

impl StorageFile for FlakyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if bytes.iter().any(|byte| *byte != 0) {
            self.holds_anything.store(true, Relaxed);
        }
        self.inner.write_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        if !self.holds_anything.load(Relaxed) {
            return self.inner.sync_data();
        }
        let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
        let Luck { random, sure } = &mut *luck;
        let sure = sure.entry(self.core.clone()).or_default();
        if *sure == 0 && random.one_in(FAILS_ONE_IN) {
            *sure = THEN_SUCCEED;
            return Err(io::Error::other("a failure made for this test"));
        }
        *sure = sure.saturating_sub(1);
        drop(luck);
        self.inner.sync_data()
    }
}

/// The real directory for reading; every call is a place to die at.
pub(super) struct WatchedSource(pub(super) Directory);

impl Source for WatchedSource {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = self.0.names();
        at(Step::DirectoryListed);
        names
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let file = self.0.open(name)?;
        at(Step::FileOpened);
        Ok(Box::new(WatchedFile(file)))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

struct WatchedFile(Box<dyn SourceFile>);

impl SourceFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset);
        at(Step::FileRead);
        read
    }
    fn sync(&self) -> io::Result<()> {
        let synced = self.0.sync();
        at(Step::FileSynced);
        synced
    }
    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        let dropped = self.0.drop_cache(from, to);
        at(Step::CacheDropped);
        dropped
    }
}

/// An engine that takes what is replayed and keeps nothing: the parent checks it.
pub(super) struct Forgetful;

impl Replay for Forgetful {
    fn state(&mut self, _: &[u8], _: &[u8]) -> Result<(), BoxError> {
        at(Step::StateReplayed);
        Ok(())
    }
    fn entry(&mut self, _: &EntryRef<'_>) -> Result<(), BoxError> {
        at(Step::EntryReplayed);
        Ok(())
    }
}
