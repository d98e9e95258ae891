//! Places in a core's log, as its users name them.

use wal_format::{Barrier, Epoch, SegmentNumber, Sequence};

/// A place in a core's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPosition {
    /// The segment.
    pub segment: SegmentNumber,
    /// Bytes from its start.
    pub offset: u64,
    /// Sequence number of the entry there.
    pub sequence: Sequence,
}

impl SegmentPosition {
    /// Segment and offset, by which positions compare.
    pub(crate) fn place(&self) -> (SegmentNumber, u64) {
        (self.segment, self.offset)
    }
}

/// Where a core's log stands when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct StartAt {
    /// Number of the next entry.
    pub sequence: Sequence,
    /// Timestamp of the last entry.
    pub timestamp_ns: u64,
    /// Epoch of the last entry.
    pub epoch: Epoch,
    /// Where the log ends for good, if there is one.
    pub end: Option<SegmentPosition>,
}

/// What is asked of a sync at the end of an epoch.
#[derive(Clone, Debug, Default)]
pub struct EpochEnd {
    /// The epoch that was closed.
    pub epoch: Epoch,
    /// The barrier to write, if this core takes part in it.
    pub barrier: Option<Barrier>,
    /// Seal the segment, for a checkpoint. Then a barrier for which there is no space is left out, and
    /// [`SealedAt::has_barrier`] says so: a checkpoint does without, and it is what releases space on a full disk.
    pub seal: bool,
}

/// Where the log of all epochs below `before` ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct SealedAt {
    /// Every entry before `end` has a lower epoch, every entry at or after it this epoch or a higher one.
    pub before: Epoch,
    /// The end; `None` if this core never had a segment.
    pub end: Option<SegmentPosition>,
    /// The segment of `end` is sealed and ends there; the log goes on in a later one.
    pub is_complete: bool,
    /// Timestamp of the last entry before the end.
    pub timestamp_ns: u64,
    /// Epoch of the last entry before the end.
    pub epoch: Epoch,
    /// The barrier that was asked for, if one was, is written. If not, the epoch is durable on this core, but no
    /// consistent cut can tell.
    pub has_barrier: bool,
}
