//! Which segment files are in use, and what became of others: so that what a log holds, and why, can be told without
//! asking the file system.
//!
//! Kept by the supply, which every file comes from and goes back to; what an earlier process left is entered when the log
//! is opened ([`Holdings::inherit`]). The lock is held for one look, never during a call to the storage, and no checker sees it
//! ([`crate::sync`]): whoever asks while a device hangs gets an answer.
//!
//! Not for deciding what may go: that is retention's, with a durable manifest.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use wal_format::{CoreId, SegmentNumber};

use crate::sync::PlainMutex;

/// The segment files of all cores that hold entries, or may. Shared, `Sync`.
#[derive(Debug, Default)]
pub struct Holdings(PlainMutex<BTreeMap<CoreId, Held>>);

/// One core's.
#[derive(Debug, Default)]
struct Held {
    /// Bytes of each file.
    segments: BTreeMap<SegmentNumber, u64>,
    counts: SegmentCounts,
}

/// What became of one core's segment files since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentCounts {
    /// Files that were made.
    pub made: u64,
    /// Released files that were taken again instead of making one.
    pub reused: u64,
    /// Of both, those that the log had to wait for, because none had been prepared.
    pub late: u64,
    /// Attempts at either that failed for want of space.
    pub refused: u64,
    /// Segments that were released, after a checkpoint.
    pub released: u64,
}

impl Holdings {
    /// A segment file of this many bytes was there when the log was opened.
    pub fn inherit(&self, core: CoreId, segment: SegmentNumber, bytes: u64) {
        self.of(core, |held| {
            held.segments.insert(segment, bytes);
        });
    }

    /// The oldest segment of `core` that is still there, if any is.
    #[must_use]
    pub fn oldest(&self, core: CoreId) -> Option<SegmentNumber> {
        self.0.lock().get(&core)?.segments.first_key_value().map(|(segment, _)| *segment)
    }

    /// Bytes of the files of `core` with these numbers. An inherited one may be entered with the size of a new one.
    #[must_use]
    pub fn bytes(&self, core: CoreId, numbers: impl RangeBounds<SegmentNumber>) -> u64 {
        let all = self.0.lock();
        all.get(&core).map_or(0, |held| held.segments.range(numbers).map(|(_, bytes)| *bytes).sum())
    }

    /// What became of the files of `core`.
    #[must_use]
    pub fn counts(&self, core: CoreId) -> SegmentCounts {
        self.0.lock().get(&core).map(|held| held.counts).unwrap_or_default()
    }

    pub(crate) fn count(&self, core: CoreId, count: impl FnOnce(&mut SegmentCounts)) {
        self.of(core, |held| count(&mut held.counts));
    }

    /// A file is in use from now on.
    pub(crate) fn taken(&self, core: CoreId, segment: SegmentNumber, bytes: u64) {
        self.inherit(core, segment, bytes);
    }

    /// A file is not a segment any more.
    pub(crate) fn released(&self, core: CoreId, segment: SegmentNumber) {
        self.of(core, |held| {
            // One that was prepared by an earlier process, and never used, is no segment that was released.
            held.counts.released += u64::from(held.segments.remove(&segment).is_some());
        });
    }

    fn of(&self, core: CoreId, work: impl FnOnce(&mut Held)) {
        work(self.0.lock().entry(core).or_default());
    }
}
