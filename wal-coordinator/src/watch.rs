//! What manager and checkpoints count for whoever watches the log, and how a snapshot of all of it is taken.
//!
//! A snapshot waits for nobody: it takes no lock that is held during a call to the storage, by an append, or while a close
//! waits for one. What is counted here happens once an epoch or a checkpoint, so plain numbers under a small lock do; it
//! is held for one look, and no checker sees it. What is counted for each sync and frame is wal-writer's.

use std::time::Duration;

use wal_format::{CoreId, Epoch, SegmentNumber};
use wal_reader::Inventory;
use wal_writer::{Clock, Histogram};

use crate::checkpoint::CheckpointReport;
use crate::error::PerCoreWalError;
use crate::retention::{Pinned, PinnedBy};
use crate::shared::Shared;
use crate::stats::{CheckpointStats, Overdue, WalStats};
use crate::sync::PlainMutex;

/// Counts what happens to the log as a whole. Shared, `Sync`.
pub(crate) struct Watch {
    clock: Clock,
    opened_ns: u64,
    seen: PlainMutex<Seen>,
}

#[derive(Default)]
struct Seen {
    close_ns: Histogram,
    /// Index of the core that a close in progress has waited for too long, and since when.
    awaited: Option<(usize, u64)>,
    checkpoint_ns: Histogram,
    /// When the checkpoint in progress began.
    checkpoint_begun: Option<u64>,
    /// When the last one that was made ended.
    checkpoint_ended: Option<u64>,
    checkpoints: CheckpointStats,
}

impl Watch {
    pub(crate) fn new(clock: Clock) -> Self {
        let opened_ns = clock.monotonic_ns();
        Self { clock, opened_ns, seen: PlainMutex::default() }
    }

    /// Now, for a duration.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// A close that began at `begun` waits for the append of the core with this index.
    pub(crate) fn close_waits(&self, index: usize, begun: u64) {
        self.seen.lock().awaited = Some((index, begun));
    }

    /// A close that began at `begun` is over.
    pub(crate) fn epoch_closed(&self, begun: u64) {
        let took_ns = self.now_ns().saturating_sub(begun);
        let mut seen = self.seen.lock();
        seen.close_ns.record(took_ns);
        seen.awaited = None;
    }

    /// Runs a checkpoint, and counts what came of it.
    pub(crate) fn checkpoint<E>(
        &self,
        make: impl FnOnce() -> Result<CheckpointReport, E>,
    ) -> Result<CheckpointReport, E> {
        let begun = self.now_ns();
        self.seen.lock().checkpoint_begun = Some(begun);
        let made = make();
        let ended = self.now_ns();
        let mut seen = self.seen.lock();
        seen.checkpoint_begun = None;
        match &made {
            Ok(report) => {
                seen.checkpoint_ns.record(ended.saturating_sub(begun));
                seen.checkpoint_ended = Some(ended);
                seen.checkpoints.note(report);
            }
            Err(_) => seen.checkpoints.failed += 1,
        }
        made
    }

    fn ago(&self, then: u64) -> Duration {
        Duration::from_nanos(self.now_ns().saturating_sub(then))
    }
}

impl Shared {
    /// Counters of the whole log, and how it stands.
    pub(crate) fn stats(&self) -> WalStats {
        // Before the epoch that is open: what is durable was closed.
        let durable_epoch = self.tracker.durable_epoch();
        let (epoch_durable_ns, oldest) = self.tracker.watched();
        let epoch = self.current_epoch();
        let watch = &self.watch;
        let core = |index: usize| self.logs.get(index).map(|log| log.core());
        let owed = oldest.map(|(epoch, owing, closed_ns)| Overdue {
            epoch,
            cores: owing.into_iter().filter_map(core).collect(),
            age: watch.ago(closed_ns),
        });
        let (checkpoints, epoch_close_ns, closing) = {
            let seen = watch.seen.lock();
            let checkpoints = CheckpointStats {
                duration_ns: seen.checkpoint_ns.clone(),
                running: seen.checkpoint_begun.map(|begun| watch.ago(begun)),
                age: seen.checkpoint_ended.map(|ended| watch.ago(ended)),
                ..seen.checkpoints.clone()
            };
            let closing = seen.awaited.map(|(index, begun)| Overdue {
                epoch: Epoch(epoch.0.saturating_sub(1)),
                cores: core(index).into_iter().collect(),
                age: watch.ago(begun),
            });
            (checkpoints, seen.close_ns.clone(), closing)
        };
        let holdings = self.supply.holdings();
        WalStats {
            elapsed: watch.ago(self.watch.opened_ns),
            cores: self.active_logs().iter().map(|log| log.stats()).collect(),
            epoch,
            durable_epoch,
            checkpoint_epoch: Epoch(self.checkpointed.get()),
            epoch_close_ns,
            epoch_durable_ns,
            closing,
            owed,
            checkpoints,
            pinned: self.pinned(|core| holdings.oldest(core)),
            free_segments: self.supply.free_segments() as u64,
        }
    }

    /// The oldest segment of all cores that is still there, and who needs it: as the directory says.
    pub(crate) fn why_pinned(&self) -> Result<Vec<Pinned>, PerCoreWalError> {
        let inventory = Inventory::list(self.source.as_ref())?;
        Ok(self.pinned(|core| inventory.segments_of(core).first().copied()))
    }

    /// Who needs the oldest segment of each core, and what it keeps.
    fn pinned(&self, oldest: impl Fn(CoreId) -> Option<SegmentNumber>) -> Vec<Pinned> {
        let pinned = self.logs.iter().filter_map(|log| {
            let core = log.core();
            let segment = oldest(core)?;
            let by = self.retention.pinned_by(core, segment, log.appended())?;
            let holdings = self.supply.holdings();
            let bytes = match by {
                PinnedBy::NoCheckpoint { .. } => holdings.bytes(core, segment..),
                // Without readers, it would be needed from the last checkpoint on.
                PinnedBy::Reader { .. } | PinnedBy::Follower { .. } => {
                    holdings.bytes(core, segment..self.retention.needed_from(core).segment.max(segment))
                }
            };
            Some(Pinned { core, segment, bytes, by })
        });
        pinned.collect()
    }
}
