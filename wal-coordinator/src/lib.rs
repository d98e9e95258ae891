//! All cores of a write-ahead log together: epochs, background flushing, checkpoints, durability receipts.
//!
//! ```text
//!  core 0          core 1          core 2
//!    │               │               │        append: no lock, no syscall, no shared cache line
//!   ring            ring            ring
//!    │               │               │        drain: frames, checksum, write, fdatasync
//!  segments        segments        segments
//!    └───────────────┼───────────────┘
//!                    ▼
//!         CheckpointCoordinator               close epoch → seal → merge → checkpoint → release
//!                    ▼
//!         checkpoint runs + manifest
//!
//!         Checkpoint(epoch) + WAL.replay(epoch..current) = Consistent State
//! ```
//!
//! **For** engines that run one thread per core: stream processors, sharded stores, brokers. Most users begin, and stay,
//! here: what they need of the other crates is exported again.
//!
//! **Not for** one core's log alone, which is [wal-writer](../wal_writer/index.html), nor for looking at a log without the means to
//! change it, which is [wal-recovery](../wal_recovery/index.html) and its command `wal`.
//!
//! # Guarantees
//!
//! * Writers are owned and `Send`; no call of the manager, the flushers or a checkpoint ever stops one.
//! * A receipt resolves only when the rung that it names is reached:
//!
//!   | rung | survives | ask |
//!   |---|---|---|
//!   | appended | nothing yet | `append_put` returned |
//!   | written | this process | [`CoreWalWriter::written`] |
//!   | durable | a power loss | [`CoreWalWriter::durable`], [`CoreWalWriter::sync`] |
//!   | epoch-durable | as part of a consistent cut of all cores | [`LogHandle::epoch_durable`] |
//!   | checkpointed | the log may be released | [`LogHandle::checkpointed`] |
//!
//! * A checkpoint is all cores or an error; nothing is released before its manifest is durable.
//! * Opening records what recovery decided before anything is acknowledged: what was cut off never comes back.
//! * One process at a time: a second opener gets an error before it writes anything.
//!
//! # A small example
//!
//! ```no_run
//! use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager, WalOperation};
//! use std::path::Path;
//!
//! // Create manager for 4 cores
//! let config = PerCoreWalConfig::new(Path::new("/data/wal"), 4);
//! let mut manager = PerCoreWalManager::new(config).unwrap();
//!
//! // Each core writes to its own segment (lock-free)
//! manager.writer(0).append_put(b"key1", b"value1").unwrap();
//! manager.writer(1).append_put(b"key2", b"value2").unwrap();
//! manager.writer(0).sync().unwrap();
//! manager.writer(1).sync().unwrap();
//!
//! // During checkpoint, merge all segments
//! let merged = manager.merge_segments().unwrap();
//! // merged is sorted by (epoch, timestamp_ns)
//! # assert!(matches!(merged[0].operation, WalOperation::Put { .. }));
//! ```
//!
//! # A real one: comes back, appends on every core, checkpoints meanwhile
//!
//! ```
//! use std::collections::HashMap;
//! use wal_coordinator::{
//!     CheckpointCoordinator, PerCoreWalConfig, PerCoreWalError, PerCoreWalManager, WriteBatch,
//! };
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let mut state: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
//! let config = PerCoreWalConfig::new(path, 2);
//! let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut state)?;
//! let mut checkpoints = CheckpointCoordinator::new(&manager);
//!
//! std::thread::scope(|scope| {
//!     let mut cores = Vec::new();
//!     for core in 0..2 {
//!         let mut writer = manager.take_writer(core)?;
//!         let source = format!("partition {core}");
//!         let first = recovered.offsets.get(&source).copied().unwrap_or(0);
//!         cores.push(scope.spawn(move || {
//!             let mut batch = WriteBatch::new();
//!             for offset in first..first + 1000 {
//!                 // The effect and the offset that it stands for: both or neither.
//!                 batch.clear();
//!                 batch.put(&offset.to_le_bytes(), b"effect");
//!                 batch.commit(&[(&source, offset + 1)], None);
//!                 writer.append_batch(&batch)?;
//!             }
//!             writer.durable().wait()?; // or `.await` it
//!             Ok::<_, PerCoreWalError>(())
//!         }));
//!     }
//!     checkpoints.create_checkpoint()?; // stops no core
//!     cores.into_iter().try_for_each(|core| core.join().expect("no core panics"))
//! })?;
//! drop(checkpoints);
//! manager.close()?;
//! # assert_eq!(wal_coordinator::recover_per_core(path)?.offsets["partition 1"], 1000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whole engines, each run, killed and run again by a test, are in the workspace's `examples/`: a store on pinned threads, under tokio
//! and under monoio, an engine with its own checkpoint store, and exactly-once across cores.
//!
//! # Errors
//!
//! [`PerCoreWalError`]: what cannot be opened and why, and checkpoints that were not made. [`WriterError`]: what a core's
//! append, sync or receipt meets. Each says what it means and what to do; `docs/errors.md` has them all.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `metrics` | the snapshot of a log through the `metrics` facade: `docs/metrics.md` |
//! | `tracing` | spans and events of what is rare: opening, recovery, checkpoints, failures |
//!
//! # Reading order
//!
//! [`PerCoreWalConfig`] and [`PerCoreWalManager`] (open, recover, take the writers), [`CoreWalWriter`] and [`Receipt`] (on the
//! cores), [`LogHandle`] (epochs and figures, from any thread), [`CheckpointCoordinator`], and [`store`] for engines that
//! keep checkpoints themselves. Before: [wal-recovery](../wal_recovery/index.html). The book begins at
//! [wal-format](../wal_format/index.html).
#![forbid(unsafe_code)]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod checkpoint;
mod config;
mod decision;
mod edge;
mod epochs;
mod error;
mod flaw;
mod flusher;
mod follower;
mod handle;
mod locked;
#[cfg(all(test, loom))]
mod loom_models;
mod manager;
#[cfg(feature = "metrics")]
mod metrics;
mod open;
mod retention;
mod shared;
mod stats;
pub mod store;
mod supplier;
mod sync;
mod trace;
mod watch;
mod woken;

pub use checkpoint::{CheckpointCoordinator, CheckpointReport};
pub use config::{FlushMode, PerCoreWalConfig};
pub use error::{CheckpointFailure, PerCoreWalError};
pub use follower::{FollowOptions, LogFollower};
pub use handle::{CoreSequence, LogHandle, MergedEntries};
pub use manager::PerCoreWalManager;
#[cfg(feature = "metrics")]
pub use metrics::{METRICS, Metric, MetricsExporter};
pub use retention::{Pinned, PinnedBy};
pub use stats::{CheckpointStats, Overdue, WalStats};
#[cfg(shuttle)]
pub use sync::pass_time;
pub use wal_format::{
    CoreId, EntryRef, Epoch, LogId, Manifest, Offsets, OperationRef, OrderKey, PerCoreWalEntry, Sequence,
    WalOperation,
};
pub use wal_reader::{FollowError, Position, ReadError, Start};
pub use wal_recovery::{
    BoxError, Mode, PerCoreRecoveredState, PerCoreRecoveryManager, Progress, Recovered, RecoveryError,
    RecoveryReport, Replay, Scope, recover_per_core,
};
pub use wal_writer::{
    Clock, CoreWalWriter, DirectoryStorage, Histogram, LogOptions, LogStats, OnSyncFailure, Receipt,
    Retention, SegmentCounts, Storage, StorageFile, TimeSource, WriteBatch, WriterError,
};
