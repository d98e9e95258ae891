//! What one core's log tells whoever watches it: a plain value, taken at one moment.
//!
//! Exact: each figure is the number of events that had happened, and no event is counted twice or before it has
//! succeeded. Together the figures may be a moment apart, since nobody is stopped for them; but in every one of them
//! `durable_entries <= written_entries <= entries`, and none is lower than in a snapshot before.

use wal_format::Sequence;

use crate::histogram::Histogram;
use crate::holdings::SegmentCounts;

/// Counters of a core's log since it was opened, and how it stands now.
///
/// A sum over cores ([`LogStats::merge`]) and a difference of two snapshots ([`LogStats::since`]) are of the same type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Entries appended.
    pub entries: u64,
    /// Of these, entries written to files: they survive the process.
    pub written_entries: u64,
    /// Of these, entries that are durable: they survive a power loss.
    pub durable_entries: u64,
    /// Encoded bytes of the written entries: keys, values and about 6 bytes each. An entry that is written again after a
    /// failed sync is counted once.
    pub payload_bytes: u64,
    /// Frames written, of all kinds; those that are written again count again.
    pub frames: u64,
    /// Bytes of these frames, with their headers, aligned.
    pub bytes: u64,
    /// Bytes handed to the file system for them: whole pages, so a page that is shared by two writes counts twice, and
    /// header blocks. Not the zeros that files are filled with before use.
    pub file_bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// How long each took on the device, nanoseconds. A sync that has several files to cover counts once.
    pub sync_ns: Histogram,
    /// How many entries each made durable: group commit at work. 0 if it was for a barrier alone.
    pub sync_entries: Histogram,
    /// Syncs that failed.
    pub sync_failures: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Failures of either kind after which the log went on in a fresh segment, and nothing was lost.
    pub continuations: u64,
    /// How long appends waited for room in a full ring, nanoseconds each.
    pub room_wait_ns: Histogram,
    /// Bytes of the ring.
    pub ring_bytes: u64,
    /// Bytes in it that are still needed: not durable, or with `Retention::UntilWritten` not written.
    pub ring_fill_bytes: u64,
    /// The most that there ever were; of a sum, the most that any core had.
    pub ring_fill_bytes_max: u64,
    /// Segments that were sealed because they were full, or cut by a checkpoint.
    pub rotations: u64,
    /// Segment files: made, reused, late, refused, released.
    pub segments: SegmentCounts,
    /// Bytes of segment files in use. A file that was made for a large batch, and is used again for others, counts as one of
    /// the usual size.
    pub held_bytes: u64,
    /// Since when nothing becomes durable any more, if the log is poisoned: entries from this number on are lost, unless
    /// they are appended elsewhere. Of a sum, the first core's that is.
    pub poisoned_since: Option<Sequence>,
}

impl LogStats {
    /// Entries that a power loss would take now.
    #[must_use]
    pub fn durable_lag_entries(&self) -> u64 {
        self.entries.saturating_sub(self.durable_entries)
    }

    /// How full the ring is, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a part of a ring's size")]
    pub fn ring_fill(&self) -> f64 {
        if self.ring_bytes == 0 { 0.0 } else { self.ring_fill_bytes as f64 / self.ring_bytes as f64 }
    }

    /// Adds another core's.
    pub fn merge(&mut self, other: &Self) {
        self.for_each_counter(other, |ours, others| *ours += others);
        let Self { sync_ns, sync_entries, room_wait_ns, .. } = self;
        sync_ns.merge(&other.sync_ns);
        sync_entries.merge(&other.sync_entries);
        room_wait_ns.merge(&other.room_wait_ns);
        self.ring_bytes += other.ring_bytes;
        self.ring_fill_bytes += other.ring_fill_bytes;
        self.ring_fill_bytes_max = self.ring_fill_bytes_max.max(other.ring_fill_bytes_max);
        self.held_bytes += other.held_bytes;
        self.poisoned_since = self.poisoned_since.or(other.poisoned_since);
    }

    /// What was counted since the same core's snapshot `earlier`. What is not a count stays as it is now: the ring, the
    /// bytes held, the poison.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.for_each_counter(earlier, |ours, before| *ours = ours.saturating_sub(before));
        since.sync_ns = self.sync_ns.since(&earlier.sync_ns);
        since.sync_entries = self.sync_entries.since(&earlier.sync_entries);
        since.room_wait_ns = self.room_wait_ns.since(&earlier.room_wait_ns);
        since
    }

    /// Applies `work` to every plain counter, beside its twin in `other`.
    fn for_each_counter(&mut self, other: &Self, work: impl Fn(&mut u64, u64)) {
        let (ours, others) = (&mut self.segments, &other.segments);
        for (ours, others) in [
            (&mut self.entries, other.entries),
            (&mut self.written_entries, other.written_entries),
            (&mut self.durable_entries, other.durable_entries),
            (&mut self.payload_bytes, other.payload_bytes),
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.file_bytes, other.file_bytes),
            (&mut self.syncs, other.syncs),
            (&mut self.sync_failures, other.sync_failures),
            (&mut self.write_failures, other.write_failures),
            (&mut self.continuations, other.continuations),
            (&mut self.rotations, other.rotations),
            (&mut ours.made, others.made),
            (&mut ours.reused, others.reused),
            (&mut ours.late, others.late),
            (&mut ours.refused, others.refused),
            (&mut ours.released, others.released),
        ] {
            work(ours, others);
        }
    }
}
