//! A look at one core's log from outside: clock, ring, counters, segment files, put together as a [`LogStats`].
//!
//! Takes no lock that is held during a call to the storage, so it answers while a device hangs, and stops nobody.
//!
//! # The rungs in one snapshot
//!
//! `durable`, `written` and `appended` are read in this order, each with Acquire, and only grow.
//!
//! 1. Whoever stores `durable` had stored `written` at least as high, or been told of it under the gate and the drain's lock;
//!    so whoever acquires the former sees the latter.
//! 2. An append publishes its entry, and then stores `appended` (`writer.rs`). A drain in between writes, and may sync, an
//!    entry that `appended` does not count yet. It has been appended all the same, so the higher of the two is told.
//!
//! Therefore durable <= written <= appended in every snapshot, and a snapshot after another is nowhere lower.

use std::sync::Arc;

use wal_format::Sequence;

use crate::clock::Clock;
use crate::error::WriterError;
use crate::flaw::Flaw;
use crate::log::CoreLog;
use crate::ring::Gauge;
use crate::stats::LogStats;
use crate::supply::SegmentSupply;
use crate::tally::Tallies;

/// What a log keeps in order to be looked at.
pub(crate) struct Watch {
    clock: Clock,
    ring: Gauge,
    supply: Arc<SegmentSupply>,
    pub(crate) tallies: Arc<Tallies>,
    opened_at: Sequence,
}

impl Watch {
    pub(crate) fn new(
        clock: Clock,
        ring: Gauge,
        supply: Arc<SegmentSupply>,
        tallies: Arc<Tallies>,
        opened_at: Sequence,
    ) -> Self {
        Self { clock, ring, supply, tallies, opened_at }
    }

    /// Now, for a duration.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// How long ago `begun` was.
    pub(crate) fn since_ns(&self, begun: u64) -> u64 {
        self.now_ns().saturating_sub(begun)
    }

    /// How `log`, whose watch this is, stands.
    pub(crate) fn look(&self, log: &CoreLog) -> LogStats {
        let early = if Flaw::LooksUpwards.is_planted() { Some(log.written()) } else { None };
        let durable = log.durable();
        let written = early.unwrap_or_else(|| log.written());
        let drained = if Flaw::LooksPastDrains.is_planted() { Sequence(0) } else { written };
        let appended = log.appended().max(drained);
        let since_open = |sequence: Sequence| sequence.0 - self.opened_at.0;
        let poisoned_since = match log.check() {
            Err(WriterError::Poisoned { since, .. }) => Some(since),
            _ => None,
        };
        let Self { ring, tallies, .. } = self;
        let holdings = self.supply.holdings();
        let (sync_ns, ring_fill_bytes) = (tallies.sync_ns.snapshot(), ring.fill());
        LogStats {
            entries: since_open(appended),
            written_entries: since_open(written),
            durable_entries: since_open(durable),
            payload_bytes: tallies.payload_bytes.get(),
            frames: tallies.frames.get(),
            bytes: tallies.frame_bytes.get(),
            file_bytes: tallies.file_bytes.get(),
            syncs: sync_ns.count(),
            sync_ns,
            sync_entries: tallies.sync_entries.snapshot(),
            sync_failures: tallies.sync_failures.get(),
            write_failures: tallies.write_failures.get(),
            continuations: tallies.continuations.get(),
            room_wait_ns: tallies.room_wait_ns.snapshot(),
            ring_bytes: ring.capacity(),
            ring_fill_bytes,
            ring_fill_bytes_max: tallies.ring_fill_bytes_max.get().max(ring_fill_bytes),
            rotations: tallies.rotations.get(),
            segments: holdings.counts(log.core()),
            held_bytes: holdings.bytes(log.core(), ..),
            poisoned_since,
        }
    }
}
