//! A directory that changes under a follower, and counts what that asks for.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wal_format::CoreId;
use wal_reader::testing::LogBuilder;
use wal_reader::{
    CoreFollower, Level, MemorySource, MergedFollower, PerCoreWalReader, Source, SourceFile, Start,
};

use crate::{A, LOG};

/// What a follower asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) lists: u64,
    pub(crate) opens: u64,
    pub(crate) reads: u64,
    pub(crate) bytes: u64,
    /// Files that are open now.
    pub(crate) held: u64,
}

/// A directory that changes under the follower, and counts what that asks for.
#[derive(Clone, Default)]
pub(crate) struct Live {
    files: Arc<Mutex<MemorySource>>,
    asked: Arc<Mutex<Asked>>,
}

impl Live {
    pub(crate) fn of(log: &LogBuilder) -> Self {
        let live = Self::default();
        live.show(&log.source());
        live
    }

    pub(crate) fn show(&self, files: &MemorySource) {
        *self.files.lock().unwrap() = files.clone();
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Asked {
        let mut asked = self.asked.lock().unwrap();
        let held = asked.held;
        std::mem::replace(&mut *asked, Asked { held, ..Asked::default() })
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    pub(crate) fn core(&self, level: Level, start: Start) -> CoreFollower {
        PerCoreWalReader::follow(self.source(), LOG, A, level, start).unwrap()
    }

    pub(crate) fn merged(&self, level: Level, start: Start) -> MergedFollower {
        MergedFollower::new(self.source(), level, start).unwrap()
    }
}

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        self.asked.lock().unwrap().lists += 1;
        self.files.lock().unwrap().names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let inner = self.files.lock().unwrap().open(name)?;
        let asked = Arc::clone(&self.asked);
        let mut now = asked.lock().unwrap();
        (now.opens, now.held) = (now.opens + 1, now.held + 1);
        drop(now);
        Ok(Box::new(Counted { inner, asked }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.lock().unwrap().path(name)
    }
}

pub(crate) struct Counted {
    inner: Box<dyn SourceFile>,
    asked: Arc<Mutex<Asked>>,
}

impl SourceFile for Counted {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(buf, offset)?;
        let mut asked = self.asked.lock().unwrap();
        (asked.reads, asked.bytes) = (asked.reads + 1, asked.bytes + count as u64);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.asked.lock().unwrap().held -= 1;
    }
}

/// splitmix64
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

pub(crate) fn put(log: &mut LogBuilder, core: CoreId) {
    log.put(core, b"key", b"value");
}
