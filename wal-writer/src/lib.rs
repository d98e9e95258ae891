//! One core's write-ahead log, append side: a lock-free ring, drained to checksummed segment files.
//!
//! ```text
//!   the core's thread                            a flusher, or whoever calls `sync`
//!   ─────────────────                            ──────────────────────────────────
//!   CoreWalWriter                                CoreLog
//!       │ append_put, append_batch: 10s of ns        │ one at a time
//!       ▼                                            ▼
//!   ┌────────────────── ring, 4 MiB ────────┐   drain ──> frames ──> write ──> fdatasync
//!   │ free │ entry entry entry entry │ free │ ─────▲                               │
//!   └──────┴─────────────────────────┴──────┘                                      ▼
//!       ▲  kept here until durable: a failed sync            wal-00003-0000000000000007.log
//!       └─ loses nothing that was accepted                                         │
//!          Receipt  <──────────────── "durable up to sequence 4711" ───────────────┘
//! ```
//!
//! [`CoreWalWriter`] is owned by its core's thread; [`CoreLog`] is the half that a flusher or coordinator shares.
//!
//! **For** a log of one core under a coordinator of your own.
//!
//! **Not for** several cores: epochs, checkpoints, background flushing and reopening are
//! [wal-coordinator](../wal_coordinator/index.html)'s, where most users begin. Not for reading.
//!
//! # Guarantees
//!
//! * An append takes no lock, makes no system call and allocates nothing while the ring has room. A full ring is
//!   back-pressure: the append then waits for the device.
//! * What [`CoreWalWriter::sync`] or a durable [`Receipt`] acknowledged is on the medium, with the names that lead to it.
//! * A failed sync is never taken for done and never retried on the same file: the log goes on in a fresh segment, or says
//!   since when nothing is durable.
//! * Batches are replayed all or none. Sequence numbers have no gap; epochs and timestamps never decrease.
//!
//! The README numbers them all, and each has tests of the same words.
//!
//! # A small example
//!
//! ```
//! use std::sync::Arc;
//! use wal_writer::format::{CoreId, Epoch, LogId, SegmentNumber, Sequence};
//! use wal_writer::{
//!     Clock, CoreWalWriter, DirectoryStorage, GlobalEpoch, LogOptions, LogParts, SegmentSupply,
//!     StartAt, Storage,
//! };
//!
//! let directory = tempfile::tempdir()?;
//! let storage: Arc<dyn Storage> = Arc::new(DirectoryStorage::new(directory.path()));
//! let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
//! let supply = Arc::new(SegmentSupply::new(storage, options.segment_bytes, 2));
//! supply.register(CoreId(0), SegmentNumber(0));
//! let start = StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None };
//! // Without a flusher, syncs happen where they are asked for.
//! let (log_id, core, flusher) = (LogId([1; 16]), CoreId(0), None);
//! let parts = LogParts { log_id, core, options, start, supply, flusher };
//! let epoch = Arc::new(GlobalEpoch::new(Epoch(1)));
//! let (mut writer, _log) = CoreWalWriter::new(parts, epoch, Clock::system(), 0);
//!
//! writer.append_put(b"key", b"value")?;
//! assert_eq!(writer.sync()?, Sequence(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A real one: the core appends, another thread makes durable
//!
//! ```
//! # use std::sync::Arc;
//! # use wal_writer::format::{CoreId, Epoch, LogId, SegmentNumber, Sequence};
//! # use wal_writer::{
//! #     Clock, CoreWalWriter, DirectoryStorage, GlobalEpoch, LogOptions, LogParts, SegmentSupply, StartAt, Storage,
//! #     WriteBatch, WriterError,
//! # };
//! # let directory = tempfile::tempdir()?;
//! # let storage: Arc<dyn Storage> = Arc::new(DirectoryStorage::new(directory.path()));
//! # let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
//! # let supply = Arc::new(SegmentSupply::new(storage, options.segment_bytes, 2));
//! # supply.register(CoreId(0), SegmentNumber(0));
//! # let start = StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None };
//! # let parts = LogParts { log_id: LogId([1; 16]), core: CoreId(0), options, start, supply, flusher: None };
//! # let epoch = Arc::new(GlobalEpoch::new(Epoch(1)));
//! # let (mut writer, log) = CoreWalWriter::new(parts, epoch, Clock::system(), 0);
//! std::thread::scope(|scope| {
//!     let (acknowledge, receipts) = std::sync::mpsc::channel::<(u64, wal_writer::Receipt)>();
//!     let acknowledged = scope.spawn(move || {
//!         let mut last = 0;
//!         for (transfer, receipt) in receipts {
//!             // One sync covers all that was appended meanwhile: group commit.
//!             receipt.wait()?;
//!             last = transfer;
//!         }
//!         Ok::<_, WriterError>(last)
//!     });
//!     let mut batch = WriteBatch::new();
//!     for transfer in 1..=1000 {
//!         batch.clear();
//!         // Both accounts and the position in the source: all or none.
//!         batch.put(b"account/1", b"70").put(b"account/2", b"130");
//!         batch.commit(&[("transfers", transfer)], None);
//!         writer.append_batch(&batch)?;
//!         let _ = acknowledge.send((transfer, writer.durable()));
//!     }
//!     drop(acknowledge);
//!     assert_eq!(acknowledged.join().expect("it does not panic")?, 1000);
//!     assert_eq!(log.durable(), Sequence(3000));
//!     Ok::<_, WriterError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! [`WriterError`], by what the caller can do: try again (`Io`, `NoSpace`: nothing was accepted, nothing is lost), give
//! less (`EntryTooLarge`), or stop and recover (`Poisoned` says since which sequence nothing is durable; `Closed`).
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `testing` | [`storage`]`::recording`, which records every operation, fails on demand and rebuilds what a power loss could leave; clocks that jump; places to hold a thread up |
//! | `tracing` | events of failed syncs and writes, and of what became of them |
//!
//! # Reading order
//!
//! [`writer`](CoreWalWriter) (the append), `ring`, [`pin`](GlobalEpoch) (epochs), `drain` and `segment` (bytes to files),
//! [`log`](CoreLog) (locks, syncs, failures), [`progress`](Progress) (receipts), [`supply`](SegmentSupply) (segment files),
//! [`storage`] (the seam), [`stats`](LogStats) (what can be watched, counted in `tally.rs`). `sync.rs` is the door to atomics
//! and locks, and names every ordering; `loom_models` checks them.
//! Before: [wal-format](../wal_format/index.html). Next crate: [wal-reader](../wal_reader/index.html), which reads it all
//! back.

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
mod trace;
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
pub use supply::{Pace, SegmentSupply};
pub use wal_format as format;
pub use writer::CoreWalWriter;
