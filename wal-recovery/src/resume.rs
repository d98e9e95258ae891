//! From where appending goes on: what whoever opens the log for writing must know.

use wal_format::{CoreId, Epoch, LogId, Manifest, SegmentNumber, Sequence};
use wal_reader::LogPosition;

use crate::options::Scope;

/// From where every core's log goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoints {
    /// The log; `None` if there is none yet.
    pub log_id: Option<LogId>,
    /// Higher than any epoch named anywhere, also in what is discarded; at least 1.
    pub next_epoch: Epoch,
    /// Highest timestamp named anywhere, also in what is discarded, nanoseconds since the Unix epoch.
    pub timestamp_floor: u64,
    /// Every core that has files or stands in the manifest or in a barrier, ascending. Each needs a new segment whose
    /// header records `end`, also those that no longer run: until then, what lies behind `end` is only ignored.
    pub cores: Vec<CoreResume>,
    /// The checkpoint that the state began with.
    pub manifest: Option<Manifest>,
    /// What was asked for.
    pub scope: Scope,
    /// With a scope other than [`Scope::Everything`]: the last epoch that is part of the state.
    pub cut: Option<Epoch>,
}

/// From where one core's log goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreResume {
    /// The core.
    pub core: CoreId,
    /// Where the log ends for good; `None` if it has no segment yet, so that the next one is its first.
    pub end: Option<LogPosition>,
    /// Number of the next entry.
    pub next_sequence: Sequence,
    /// Timestamp of the last entry.
    pub last_timestamp: u64,
    /// Epoch of the last entry, or of the cut if that is higher: the next segment's header must state it, so that the
    /// cut is known even if nothing but that header survives the next power loss.
    pub last_epoch: Epoch,
    /// Higher than the number of any file of this core, and than the manifest's.
    pub next_segment: SegmentNumber,
    /// Something lies behind `end` that is neither zero nor of a file's former life, as in
    /// [`Discarded::residue`](wal_reader::Discarded::residue): a frame, or nobody's bytes.
    pub has_discards: bool,
    /// Files made ahead of use that hold nothing of this log, ascending, above all that do: nobody misses one that is gone.
    pub prepared: Vec<SegmentNumber>,
}

impl ResumePoints {
    /// The point of one core.
    #[must_use]
    pub fn core(&self, core: CoreId) -> Option<&CoreResume> {
        self.cores.iter().find(|resume| resume.core == core)
    }
}
