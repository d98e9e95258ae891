//! All cores of a write-ahead log together: epochs, background flushing, checkpoints, durability receipts.
//!
//! ```text
//!  core 0          core 1          core 2
//!    |               |               |        append: no lock, no syscall, no shared cache line
//!   ring            ring            ring
//!    |               |               |        drain: frames, checksum, write, fdatasync
//!  segments        segments        segments
//!    +---------------+---------------+
//!                    |
//!         CheckpointCoordinator               close epoch -> seal -> merge -> checkpoint -> release
//!                    |
//!         checkpoint runs + manifest
//! ```
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
mod handle;
mod locked;
#[cfg(all(test, loom))]
mod loom_models;
mod manager;
mod open;
mod retention;
mod shared;
mod stats;
pub mod store;
mod sync;
mod watch;
mod woken;

pub use checkpoint::{CheckpointCoordinator, CheckpointReport};
pub use config::{FlushMode, PerCoreWalConfig};
pub use error::{CheckpointFailure, PerCoreWalError};
pub use handle::{CoreSequence, LogHandle, MergedEntries};
pub use manager::PerCoreWalManager;
pub use retention::{Pinned, PinnedBy};
pub use stats::{CheckpointStats, Overdue, WalStats};
#[cfg(shuttle)]
pub use sync::pass_time;
pub use wal_format::{
    CoreId, EntryRef, Epoch, LogId, Offsets, OperationRef, OrderKey, PerCoreWalEntry, Sequence, WalOperation,
};
pub use wal_recovery::{
    Mode, PerCoreRecoveredState, RecoveryError, RecoveryReport, Replay, Scope, recover_per_core,
};
pub use wal_writer::{
    Clock, CoreWalWriter, DirectoryStorage, Histogram, LogOptions, LogStats, OnSyncFailure, Receipt,
    Retention, SegmentCounts, Storage, StorageFile, TimeSource, WriteBatch, WriterError,
};
