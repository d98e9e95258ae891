//! The read side of a per-core write-ahead log: one core's segments as a stream of borrowed entries, the ordered merge
//! of all cores in bounded memory, and checkpoint runs.
//!
//! `FORMAT.md` at the top of the workspace says what the bytes mean; `wal-format` decodes them; this crate finds them,
//! checks that they follow from each other, and says how a log ends and on what evidence. It never links the writer.
//!
//! **Guarantees.** Whatever is handed out has passed every check of the format. An I/O error is never an end of log.
//! Memory is one buffer per core or run, and no length field allocates more than its file holds.
//!
//! **Not promised.** A log read with [`PerCoreWalReader::open`] is judged by its own core's evidence alone; only
//! recovery brings the other cores' barriers and the page cache into it.
//!
//! Reading order: [`Source`] is the seam to the file system, [`Inventory`] what is there; [`Chain`] says which segments
//! make up a core's log, [`FrameReader`] reads one of them, [`CoreScan`] all of them with every proof; then
//! [`PerCoreWalReader`], [`MergedReader`], and for checkpoints [`RunReader`] and [`CheckpointReader`].
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

mod checkpoint;
mod run;

#[cfg(feature = "testing")]
pub mod testing;

pub use chain::{Above, Chain, Link};
pub use checkpoint::CheckpointReader;
pub use error::{Defect, ReadError};
pub use evidence::{Evidence, Reach, Witness};
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
pub use witness::Witnesses;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
