//! What one core's log counts while it works, for whoever watches it.
//!
//! An append counts nothing: what it did is known from its sequence number and from the ring. The drain counts what it has
//! written, under its lock, and a sync what it has made durable, under its gate; each after the fact, so that a call that
//! fails is no event of what it meant to do.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | [`Counter`] | whoever counts, Relaxed read-modify-write | whoever takes a snapshot, Relaxed | nothing, on purpose |
//!
//! Counters only grow, and one variable is never read to go back, so neither do the figures of two snapshots, one after
//! the other. What belongs together may be a moment apart, except the count of a distribution, which is the sum of
//! its buckets by definition. Nothing may be concluded from a counter about anything but itself: what is written or durable,
//! [`Progress`](crate::Progress) says, and orders.
//!
//! Atomics rather than numbers under the drain's lock: that one is held while the device works, and a device that hangs is
//! when somebody wants to look. No checker sees them ([`crate::sync`]): they order nothing, so models need not try every
//! order of theirs.

use std::sync::atomic::Ordering::Relaxed;

use crate::histogram::{BUCKETS, Histogram, bucket_of};
use crate::sync::AtomicCounter;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicCounter);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Makes it at least `value`.
    pub(crate) fn raise(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A [`Histogram`] that is recorded while others look at it.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: Box<[Counter]>,
    sum: Counter,
    max: Counter,
}

impl Default for Recorder {
    fn default() -> Self {
        let counts = std::iter::repeat_with(Counter::default).take(BUCKETS).collect();
        Self { counts, sum: Counter::default(), max: Counter::default() }
    }
}

impl Recorder {
    pub(crate) fn record(&self, value: u64) {
        self.max.raise(value);
        self.sum.add(value);
        self.counts[bucket_of(value)].add(1);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let counts = self.counts.iter().map(Counter::get).collect();
        Histogram::from_parts(counts, self.sum.get(), self.max.get())
    }
}

/// The counters of one core. What each means is said in [`LogStats`](crate::LogStats).
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) payload_bytes: Counter,
    pub(crate) frames: Counter,
    pub(crate) frame_bytes: Counter,
    pub(crate) file_bytes: Counter,
    pub(crate) rotations: Counter,
    pub(crate) sync_ns: Recorder,
    pub(crate) sync_entries: Recorder,
    pub(crate) sync_failures: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) continuations: Counter,
    pub(crate) room_wait_ns: Recorder,
    pub(crate) ring_fill_bytes_max: Counter,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_what_was_recorded() {
        let (recorder, mut expected) = (Recorder::default(), Histogram::default());
        for value in [0, 1, 7, 8, 1_000, 1_000, 123_456_789, u64::MAX / 8] {
            recorder.record(value);
            expected.record(value);
        }
        assert_eq!(recorder.snapshot(), expected);
    }
}
