//! The logs, each behind the same few operations.

mod fjall;
mod okaywal;
mod ours;
mod plain;
mod raft_engine;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod wal_db;
mod walrus;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::child::Task;
use wal_bench::workload::KEY_BYTES;

/// What everything is held against.
pub(crate) const YARDSTICK: &str = "plain file, zero-filled";
/// The log of this repository.
pub(crate) const OURS: &str = "this log";

/// A log, or some of them if it knows no cores: then core `n` has one of its own.
pub(crate) trait Log: Sized {
    /// New, in an empty directory.
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure>;

    /// Appends the entries with these numbers one after the other, and has them on disk when it returns. Returns when the
    /// last append had returned: what comes after is the sync. Up to 64 entries may go as one batch.
    fn append(&mut self, core: usize, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure>;

    /// Hands everything in `directory` to `sink`, checksums verified, and is ready for appends.
    fn restart(directory: &Path, setup: &Setup, sink: Sink) -> Result<(Self, Sink), Failure>;
}

/// How a log is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) cores: usize,
    /// Whether each append is to be durable, for logs that must know.
    pub(crate) durable: bool,
    /// Room that is made before the clock starts, for files that are filled with zeros.
    pub(crate) bytes: u64,
}

/// What a restart hands its entries to.
#[derive(Debug)]
pub(crate) enum Sink {
    Count(u64),
    Map(HashMap<[u8; KEY_BYTES], Vec<u8>>),
}

impl Sink {
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Count(count) => {
                std::hint::black_box((key, value));
                *count += 1;
            }
            Self::Map(map) => drop(map.insert(key.try_into()?, value.to_vec())),
        }
        Ok(())
    }

    /// Key and value in one piece, for logs that have only records.
    pub(crate) fn take_record(&mut self, record: &[u8]) -> Result<(), Failure> {
        let (key, value) = record.split_at_checked(KEY_BYTES).ok_or("a record without a key")?;
        self.take(key, value)
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::Map(map) => map.len() as u64,
        }
    }
}

/// A log by its name.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// As locked; empty for what is part of this repository.
    pub(crate) version: &'static str,
    /// What its way of making an append durable is, in words.
    pub(crate) sync: &'static str,
    /// Runs a task on it.
    pub(crate) run: fn(&Task) -> Result<(), Failure>,
}

/// In the order of the report.
pub(crate) fn all() -> Vec<Entry> {
    vec![
        entry::<ours::Ours>(OURS, "", "`sync`"),
        entry::<Each<plain::Plain<plain::ZeroFilled>>>(YARDSTICK, "", "flush, `sync_data`"),
        entry::<Each<plain::Plain<plain::Growing>>>("plain file, growing", "", "flush, `sync_data`"),
        entry::<Each<okaywal::Okay>>("okaywal", version("okaywal"), "`commit`"),
        entry::<Each<raft_engine::Raft>>("raft-engine", version("raft-engine"), "`write(batch, true)`"),
        entry::<Each<walrus::WalrusLog>>("walrus-rust", version("walrus-rust"), "`FsyncSchedule::SyncEach`"),
        entry::<Each<fjall::Fjall>>("fjall", version("fjall"), "`persist(SyncData)`"),
        entry::<Each<wal_db::WalDb>>("wal-db", version("wal-db"), "`sync`"),
        #[cfg(feature = "rocksdb")]
        entry::<Each<rocksdb::Rocks>>("rocksdb", version("rocksdb"), "`set_sync(true)`"),
    ]
}

fn entry<L: Log>(name: &'static str, version: &'static str, sync: &'static str) -> Entry {
    Entry { name, version, sync, run: crate::child::task::<L> }
}

pub(crate) fn named(name: &str) -> Option<Entry> {
    all().into_iter().find(|log| log.name == name)
}

/// The version of a dependency, from the lock file.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let package = lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n")));
    let line = package.and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = \"")));
    line.map_or("", |version| version.trim_end_matches('"'))
}

/// A log of its own for every core.
pub(crate) struct Each<L>(pub(crate) Vec<L>);

/// A log that knows no cores.
pub(crate) trait Single: Sized {
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure>;
    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure>;
    fn restart(directory: &Path, setup: &Setup, sink: Sink) -> Result<(Self, Sink), Failure>;
}

impl<S: Single> Log for Each<S> {
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure> {
        let open = |core| {
            let directory = directory.join(format!("core-{core}"));
            std::fs::create_dir_all(&directory)?;
            S::open(&directory, setup)
        };
        Ok(Self((0..setup.cores).map(open).collect::<Result<_, _>>()?))
    }

    fn append(&mut self, core: usize, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        self.0[core].append(numbers, value)
    }

    fn restart(directory: &Path, setup: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let mut logs = Vec::new();
        for core in 0..setup.cores {
            let (log, filled) = S::restart(&directory.join(format!("core-{core}")), setup, sink)?;
            logs.push(log);
            sink = filled;
        }
        Ok((Self(logs), sink))
    }
}
