//! What a core's log is made of, who drains it in the background, and what it counts.
//!
//! Plain data and one narrow trait, for whoever puts a log together; [`crate::CoreLog`] does the work.

use std::sync::Arc;

use wal_format::{CoreId, LogId};

use crate::options::LogOptions;
use crate::position::StartAt;
use crate::supply::SegmentSupply;

/// What a log is made of.
pub struct LogParts {
    /// The log that this core belongs to.
    pub log_id: LogId,
    /// The core.
    pub core: CoreId,
    /// Settings.
    pub options: LogOptions,
    /// Where it goes on.
    pub start: StartAt,
    /// Where its segments come from.
    pub supply: Arc<SegmentSupply>,
    /// Who drains it in the background; `None` for inline mode, where only calls to `sync` and full rings drain.
    pub flusher: Option<Arc<dyn Flusher>>,
}

/// Counters of a core's log. A snapshot: each number is exact, together they may be a moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Entries appended since the log was opened.
    pub entries: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of frames, headers included.
    pub bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Syncs or writes that failed and were continued on a fresh segment.
    pub continuations: u64,
}

/// Wakes whoever drains this log in the background.
pub trait Flusher: Send + Sync {
    /// The log of `core` has work: somebody waits for a sync, or the ring fills up.
    fn wake(&self, core: CoreId);
}
