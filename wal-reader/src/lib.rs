//! The read side of a per-core write-ahead log: one core's segments as a stream of entries, the ordered merge of all
//! cores, and checkpoint runs.
#![forbid(unsafe_code)]

mod error;
mod evidence;
mod position;

mod inventory;
mod source;
mod window;

mod chain;
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
