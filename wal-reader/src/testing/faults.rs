//! A source that fails on purpose: the n-th operation, or reads in pieces.
#![allow(clippy::disallowed_types, reason = "counts operations of several threads; no model runs on it")]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::source::{Source, SourceFile};

/// How a [`FaultySource`] misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The operation, counted from 0, that fails.
    pub fail_at: Option<u64>,
    /// All operations from that one on fail.
    pub for_good: bool,
    /// At most this many bytes a read.
    pub read_bytes_max: Option<usize>,
    /// Every other read is interrupted.
    pub interrupt: bool,
}

/// Wraps a source; counts its operations, and lets them fail.
#[derive(Clone)]
pub struct FaultySource {
    inner: Arc<dyn Source>,
    state: Arc<State>,
}

struct State {
    faults: Faults,
    operations: AtomicU64,
    reads: AtomicU64,
    /// What was asked of which file, without the reads.
    log: Mutex<Vec<String>>,
}

impl FaultySource {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Source>, faults: Faults) -> Self {
        let (operations, reads) = (AtomicU64::new(0), AtomicU64::new(0));
        let log = Mutex::new(Vec::new());
        Self { inner, state: Arc::new(State { faults, operations, reads, log }) }
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.operations.load(Ordering::SeqCst)
    }

    /// Syncs and dropped caches so far, each as `sync NAME` or `drop NAME FROM`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.state.log.lock().map(|log| log.clone()).unwrap_or_default()
    }
}

impl State {
    fn step(&self) -> io::Result<()> {
        let operation = self.operations.fetch_add(1, Ordering::SeqCst);
        let fails = self
            .faults
            .fail_at
            .is_some_and(|at| if self.faults.for_good { operation >= at } else { operation == at });
        if fails { Err(io::Error::other("injected fault")) } else { Ok(()) }
    }

    fn note(&self, line: String) {
        if let Ok(mut log) = self.log.lock() {
            log.push(line);
        }
    }
}

impl Source for FaultySource {
    fn names(&self) -> io::Result<Vec<String>> {
        self.state.step()?;
        self.inner.names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.state.step()?;
        let (inner, state) = (self.inner.open(name)?, Arc::clone(&self.state));
        Ok(Box::new(FaultyFile { inner, state, name: name.to_owned() }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

struct FaultyFile {
    inner: Box<dyn SourceFile>,
    state: Arc<State>,
    name: String,
}

impl SourceFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.state.step()?;
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.state.reads.fetch_add(1, Ordering::SeqCst);
        if self.state.faults.interrupt && read.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.state.step()?;
        let most = self.state.faults.read_bytes_max.unwrap_or(usize::MAX).min(buf.len());
        self.inner.read_at(&mut buf[..most], offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.state.step()?;
        self.state.note(format!("sync {}", self.name));
        self.inner.sync()
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        self.state.step()?;
        self.state.note(format!("drop {} {from} to {to}", self.name));
        self.inner.drop_cache(from, to)
    }
}
