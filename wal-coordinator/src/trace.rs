//! Spans and events of the whole log for subscribers of `tracing` (feature `tracing`).
//!
//! ```text
//! open{path, cores}                       recovery's spans are within
//! checkpoint{epoch, entries, keys, bytes}
//!   seal{cores}                           every core's end of the epoch
//!   store                                 merges the logs, and what the store makes of them
//!     run{run, bytes}                     one for each run that is written, merged or new
//!   manifest{runs}                        published
//!   release{segments}
//!     released{core, segments}            an event for each core that gives any back
//! epoch_end_failed{core, epoch, error}    an event: tried again, unless the core is poisoned
//! ```
//!
//! What a core tells is wal-writer's. Nothing here is on the append path, or at every sync. Without the feature, all of this
//! is empty.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "nobody is told"))]

use std::path::Path;

use wal_format::{CoreId, Epoch};
use wal_writer::WriterError;

use crate::checkpoint::CheckpointReport;

/// Target of all spans and events of this crate.
#[cfg(feature = "tracing")]
const TARGET: &str = "wal_coordinator";

/// A span that this thread is in, until it goes.
#[must_use]
pub(crate) struct Entered(#[cfg(feature = "tracing")] tracing::span::EnteredSpan);

/// A span of this crate, entered.
macro_rules! enter {
    ($($span:tt)*) => {
        Entered(
            #[cfg(feature = "tracing")]
            tracing::info_span!(target: TARGET, $($span)*).entered(),
        )
    };
}

/// The log is opened.
pub(crate) fn open(path: &Path, cores: usize) -> Entered {
    enter!("open", path = %path.display(), cores)
}

/// A checkpoint is made.
pub(crate) fn checkpoint() -> Entered {
    enter!(
        "checkpoint",
        epoch = tracing::field::Empty,
        entries = tracing::field::Empty,
        keys = tracing::field::Empty,
        bytes = tracing::field::Empty
    )
}

/// The cores end the epoch.
pub(crate) fn seal() -> Entered {
    enter!("seal", cores = tracing::field::Empty)
}

/// The logs are merged into the store.
pub(crate) fn store() -> Entered {
    enter!("store")
}

/// A run is written.
pub(crate) fn run() -> Entered {
    enter!("run", run = tracing::field::Empty, bytes = tracing::field::Empty)
}

/// The manifest is published.
pub(crate) fn manifest(runs: usize) -> Entered {
    enter!("manifest", runs)
}

/// Segments are given back.
pub(crate) fn release() -> Entered {
    enter!("release", segments = tracing::field::Empty)
}

impl Entered {
    /// Says what came of a checkpoint.
    pub(crate) fn checkpoint_done(&self, report: &CheckpointReport) {
        #[cfg(feature = "tracing")]
        self.0
            .record("entries", report.entries)
            .record("keys", report.keys)
            .record("bytes", report.bytes_written);
    }

    /// Says which epoch a checkpoint is of.
    pub(crate) fn of_epoch(&self, epoch: Epoch) {
        #[cfg(feature = "tracing")]
        self.0.record("epoch", epoch.0);
    }

    /// Says how many cores ended the epoch.
    pub(crate) fn by_cores(&self, cores: usize) {
        #[cfg(feature = "tracing")]
        self.0.record("cores", cores);
    }

    /// Says how many segments went.
    pub(crate) fn released(&self, segments: usize) {
        #[cfg(feature = "tracing")]
        self.0.record("segments", segments);
    }

    /// Says which run was written.
    pub(crate) fn run_done(&self, run: u64, bytes: u64) {
        #[cfg(feature = "tracing")]
        self.0.record("run", run).record("bytes", bytes);
    }
}

/// A core gave segments back.
pub(crate) fn segments_released(core: CoreId, segments: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: TARGET, core = core.0, segments, "released");
}

/// A core could not make its end of an epoch durable.
pub(crate) fn epoch_end_failed(core: CoreId, epoch: Epoch, error: &WriterError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, core = core.0, epoch = epoch.0, %error, "epoch_end_failed");
}
