//! What a core's log is made of, and who drains it in the background.
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

/// Wakes whoever drains this log in the background.
pub trait Flusher: Send + Sync {
    /// The log of `core` has work: somebody waits for a sync, or the ring fills up.
    fn wake(&self, core: CoreId);
}
