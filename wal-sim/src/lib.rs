//! A disk that keeps no more than it promised, and sweeps of the whole log over every fault that it can have.
//!
//! - [`disk`]: files, names and flushes in memory, below both seams of the log at once, so that writer, coordinator,
//!   checkpoints, recovery and reopening run unchanged above one and the same disk.
//!
//! - [`sweep`]: every row of the fault table that the disk can play, at every place, against an oracle.
//!
//! Nothing here is part of the log. Nothing here is random without a seed, reads a clock, or starts a thread by itself.
#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_types,
    reason = "small numbers of its own making; counters of its own threads, which no model runs on"
)]

pub mod disk;
pub mod sweep;
