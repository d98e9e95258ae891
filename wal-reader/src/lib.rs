//! The read side of a per-core write-ahead log: one core's entries as a stream, the ordered merge of all cores, and
//! checkpoint runs.
//!
//! ```text
//!  wal-00000-….log ──> PerCoreWalReader ──┐
//!  wal-00001-….log ──> PerCoreWalReader ──┼──> MergedReader ──> entries in the global order
//!  wal-00002-….log ──> PerCoreWalReader ──┘
//!                        │ every byte checked
//!                        └──> Ending: clean, stale or torn; or an error: missing, corrupt
//!
//!  run-….ckpt ──> RunReader ──┐
//!  run-….ckpt ──> RunReader ──┴──> CheckpointReader ──> keys and their last values
//! ```
//!
//! **For** tools and engines that look at what is on disk. It finds the bytes, checks that they follow from each other, and says
//! how a log ends and on what evidence. It never links the writer, so it cannot change a log.
//!
//! **Not for** coming back after a crash: [wal-recovery](../wal_recovery/index.html) makes the cores witnesses for each
//! other and settles what the page cache may show but the medium may not have. A log read with [`PerCoreWalReader::open`] is
//! judged by its own core's evidence alone.
//!
//! # Guarantees
//!
//! * Whatever is handed out has passed every check of the format: checksums that are seeded with its place, gapless
//!   sequence numbers, epochs and timestamps that never decrease, whole batches.
//! * An I/O error is never an end of log. A torn tail is a value; what had been durable is there or an error.
//! * Memory is one buffer per core or run; no length field allocates more than its file holds.
//! * The merge is in the global order, and checks that it is.
//!
//! # A small example
//!
//! ```
//! # use std::sync::Arc;
//! # use wal_format::{CoreId, LogId};
//! # use wal_reader::testing::LogBuilder;
//! use wal_reader::PerCoreWalReader;
//!
//! # let mut log = LogBuilder::new(LogId([7; 16]));
//! # log.put(CoreId(0), b"key", b"value");
//! # let (source, log_id) = (Arc::new(log.source()), log.log_id());
//! let mut reader = PerCoreWalReader::open(source, log_id, CoreId(0), None)?;
//! while let Some(entry) = reader.next()? {
//!     println!("{} {:?}", entry.sequence, entry.operation);
//! }
//! println!("ends {:?}", reader.ending());
//! # assert_eq!(reader.entries(), 1);
//! # Ok::<(), wal_reader::ReadError>(())
//! ```
//!
//! # A real one: a whole directory, checkpoint first
//!
//! ```
//! use std::sync::Arc;
//! use wal_reader::{
//!     CheckpointReader, Directory, Inventory, MergedReader, PerCoreWalReader, Source, read_manifest, read_meta,
//! };
//!
//! fn print(path: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let source: Arc<dyn Source> = Arc::new(Directory::new(path));
//!     let Some(meta) = read_meta(&*source)? else { return Ok(()) };
//!     let manifest = read_manifest(&*source, meta.log_id)?;
//!     if let Some(manifest) = &manifest {
//!         let mut state = CheckpointReader::open(&*source, manifest)?;
//!         while state.advance()? {
//!             println!("{:?} = {:?}", state.key(), state.value());
//!         }
//!     }
//!     let mut readers = Vec::new();
//!     for core in Inventory::list(&*source)?.segments.into_keys() {
//!         readers.push(PerCoreWalReader::open(Arc::clone(&source), meta.log_id, core, None)?);
//!     }
//!     let mut merged = MergedReader::new(readers);
//!     while let Some(entry) = merged.next()? {
//!         // Released segments may still be there: what the checkpoint has is not said twice.
//!         if manifest.as_ref().is_none_or(|manifest| entry.epoch > manifest.epoch) {
//!             println!("{} {} {} {:?}", entry.epoch, entry.core_id, entry.sequence, entry.operation);
//!         }
//!     }
//!     Ok(())
//! }
//! # let directory = tempfile::tempdir()?;
//! # print(directory.path().to_str().unwrap_or_default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! [`ReadError`]: the system refused (`Io`, `OutOfMemory`: says nothing about the log), what had been durable is damaged or
//! gone (`Corrupt`, `Missing`, with a [`Defect`] that names file, offset, sequences and evidence), or files stand where they
//! do not belong (`Misplaced`, `Foreign`, `NotALog`). How a log *ends* is an [`Ending`].
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `testing` | `testing`: logs built frame by frame in memory, and a source that fails where it is told |
//!
//! # Reading order
//!
//! [`Source`] is the seam to the file system, [`Inventory`] what is there; [`Chain`] says which segments make up a core's
//! log, [`FrameReader`] reads one of them, [`CoreScan`] all of them with every proof; then [`PerCoreWalReader`],
//! [`MergedReader`], and for checkpoints [`RunReader`] and [`CheckpointReader`]; [`CoreFollower`] and [`MergedFollower`] read
//! a log while it is being written. Before:
//! [wal-writer](../wal_writer/index.html). Next crate: [wal-recovery](../wal_recovery/index.html).
#![forbid(unsafe_code)]

mod error;
mod evidence;
mod position;

mod inventory;
mod source;
mod window;

mod chain;
mod current;
mod frames;
mod segment;
mod stop;

mod scan;
mod scanner;
mod stats;
mod tail;
mod witness;

mod merge;
mod reader;
mod spans;
mod tournament;

mod follow;

mod checkpoint;
mod run;

#[cfg(feature = "testing")]
pub mod testing;

pub use chain::{Above, Chain, Link};
pub use checkpoint::CheckpointReader;
pub use error::{Defect, ReadError};
pub use evidence::{Evidence, Reach, Witness};
pub use follow::{
    CoreFollower, CorePoint, FollowError, Level, MergedFollower, Pace, Position, PositionError, Start,
};
pub use frames::{Depth, FrameReader, Order};
pub use inventory::{Inventory, read_manifest, read_meta};
pub use merge::MergedReader;
pub use position::LogPosition;
pub use reader::PerCoreWalReader;
pub use run::RunReader;
pub use scan::{CoreScan, Discarded, Ending, EpochStart, FoundBarrier, Gap, ScanOptions};
pub use segment::{SegmentState, open_segment, read_state, segment_name};
pub use source::{Directory, MemorySource, Source, SourceFile, read_full};
pub use spans::Span;
pub use stats::SegmentStats;
pub use stop::{Step, Stop, StopReason};
pub use tail::Barren;
pub use witness::Witnesses;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
