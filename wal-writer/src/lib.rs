//! One core's write-ahead log, append side.
//!
//! [`CoreWalWriter`] is owned by a core's thread and appends into a lock-free ring; [`CoreLog`] is the half that a
//! flusher or coordinator shares: it drains the ring to checksummed segments and syncs them.
//!
//! **Guarantees.** An append takes no lock, makes no system call and allocates nothing while the ring has room. What
//! [`CoreWalWriter::sync`] or a durable [`Receipt`] acknowledged is on the medium, at the position that the log says.
//! A failed sync is never taken for done and never retried on the same file. The README numbers them all.
//!
//! **Not for** several cores: epochs, checkpoints and reopening are `wal-coordinator`'s.
//!
//! Reading order: [`writer`](CoreWalWriter) (the append), `ring`, [`pin`](GlobalEpoch) (epochs), `drain` and
//! `segment` (bytes to files), [`log`](CoreLog) (locks, syncs, failures), [`progress`](Progress) (receipts),
//! [`supply`](SegmentSupply) (segment files), [`storage`] (the seam), [`stats`](LogStats) (what can be watched, counted in
//! `tally.rs`). `sync.rs` is the door to atomics and locks, and names every ordering; `loom_models` checks them.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod batch;
mod clock;
mod drain;
mod error;
mod flaw;
mod histogram;
mod holdings;
mod log;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(loom, feature = "testing"))]
#[doc(hidden)]
pub mod loom_rig;
#[doc(hidden)]
pub mod mistake;
mod options;
mod parts;
mod pin;
mod position;
mod progress;
mod ring;
mod segment;
#[doc(hidden)]
pub mod stall;
mod stats;
pub mod storage;
mod supply;
mod sync;
mod tally;
mod watch;
mod writer;

pub use batch::WriteBatch;
#[cfg(feature = "testing")]
pub use clock::hostile::HostileClock;
pub use clock::{Clock, HybridClock, TimeSource};
pub use error::WriterError;
pub use histogram::Histogram;
pub use holdings::{Holdings, SegmentCounts};
pub use log::CoreLog;
pub use options::{LogOptions, OnSyncFailure, RING_BYTES_MIN, Retention, SEGMENT_BYTES_MIN};
pub use parts::{Flusher, LogParts};
pub use pin::{EpochPin, GlobalEpoch};
pub use position::{EpochEnd, SealedAt, SegmentPosition, StartAt};
pub use progress::{Driver, Progress, Receipt};
pub use stats::LogStats;
pub use storage::{DirectoryStorage, Storage, StorageFile};
pub use supply::SegmentSupply;
pub use wal_format as format;
pub use writer::CoreWalWriter;
