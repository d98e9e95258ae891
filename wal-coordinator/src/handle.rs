//! What any thread can do with an open log: epochs, syncs, receipts, merges, statistics.

use std::sync::Arc;

use wal_format::{CoreId, EntryRef, Epoch, OrderKey, PerCoreWalEntry, Sequence};
use wal_reader::{MergedReader, ReadError};
use wal_writer::Receipt;

use crate::error::PerCoreWalError;
use crate::retention::{Pin, Pinned};
use crate::shared::{Reason, Shared};
use crate::stats::WalStats;

/// The part of a manager that any thread can use: epochs, syncs, receipts, statistics. `Clone`, `Send`, `Sync`.
#[derive(Clone)]
pub struct LogHandle {
    pub(crate) shared: Arc<Shared>,
}

/// One core's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSequence {
    /// The core.
    pub core: CoreId,
    /// Every entry below has reached the rung that was asked for.
    pub sequence: Sequence,
}

impl LogHandle {
    /// Closes the current epoch on all cores, without their help, and returns it. Waits for appends in flight, tens of
    /// nanoseconds each. With background flushing, the epoch then becomes durable by itself
    /// ([`LogHandle::epoch_durable`]); in inline mode it is made so before this returns, unless a core fails.
    ///
    /// An epoch in which nobody appended stays open, and the one before is returned: an empty epoch would leave no
    /// trace on disk, and its number could be given out again after a crash.
    pub fn advance_epoch(&self) -> Epoch {
        self.shared.advance_epoch(Reason::Asked)
    }

    /// The current epoch. May have advanced by the time you look.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.current_epoch()
    }

    /// The last epoch of which every core is durable up to its end: what a consistent cut after a crash reaches.
    #[must_use]
    pub fn durable_epoch(&self) -> Epoch {
        self.shared.tracker.durable_epoch()
    }

    /// A receipt for all entries of `epoch` and below, of all cores, being durable: they survive a power loss as part
    /// of a consistent cut. Waiting for the current epoch closes it; for a later one, it takes somebody who advances to
    /// it.
    pub fn epoch_durable(&self, epoch: Epoch) -> Receipt {
        self.shared.epoch_durable(epoch)
    }

    /// A receipt for all entries of `epoch` and below being in a checkpoint. Somebody has to make one
    /// ([`CheckpointCoordinator`](crate::CheckpointCoordinator)).
    pub fn checkpointed(&self, epoch: Epoch) -> Receipt {
        self.shared.checkpointed(epoch)
    }

    /// Makes everything appended so far on every core durable, in parallel.
    ///
    /// # Errors
    /// [`PerCoreWalError::Writer`]: the first core's failure; the others are durable.
    pub fn sync_all(&self) -> Result<(), PerCoreWalError> {
        Ok(self.shared.sync_all()?)
    }

    /// Per core that appends: every entry below is appended.
    #[must_use]
    pub fn positions(&self) -> Vec<CoreSequence> {
        let logs = self.shared.active_logs().iter();
        logs.map(|log| CoreSequence { core: log.core(), sequence: log.appended() }).collect()
    }

    /// Per core that appends: every entry below is durable.
    #[must_use]
    pub fn synced_positions(&self) -> Vec<CoreSequence> {
        let logs = self.shared.active_logs().iter();
        logs.map(|log| CoreSequence { core: log.core(), sequence: log.durable() }).collect()
    }

    /// Counters and distributions since the log was opened, and how it stands. Cheap, for every few seconds: it asks no
    /// file system, stops nobody, and waits for no device, so that it answers while one hangs.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.shared.stats()
    }

    /// Per core whose oldest segment cannot be released: which one, and who needs it.
    ///
    /// # Errors
    /// [`PerCoreWalError::Read`] if the directory cannot be listed.
    pub fn why_pinned(&self) -> Result<Vec<Pinned>, PerCoreWalError> {
        self.shared.why_pinned()
    }

    /// All durable entries since the last checkpoint, of all cores, in the global order: sorted by
    /// `(epoch, timestamp_ns)`, ties by core and sequence. In memory as a whole; for more than a few megabytes use
    /// [`LogHandle::merged`].
    ///
    /// # Errors
    /// [`PerCoreWalError::Read`].
    pub fn merge_segments(&self) -> Result<Vec<PerCoreWalEntry>, PerCoreWalError> {
        self.collect(None)
    }

    /// As [`LogHandle::merge_segments`], without entries of epochs above `epoch`.
    ///
    /// # Errors
    /// [`PerCoreWalError::Read`].
    pub fn merge_segments_up_to_epoch(&self, epoch: Epoch) -> Result<Vec<PerCoreWalEntry>, PerCoreWalError> {
        self.collect(Some(epoch))
    }

    /// All durable entries since the last checkpoint as a stream, in the global order and bounded memory. While it
    /// lives, the segments that it reads are not released; `label` tells [`LogHandle::why_pinned`] who it is.
    ///
    /// # Errors
    /// [`PerCoreWalError::Read`].
    pub fn merged(&self, up_to: Option<Epoch>, label: &str) -> Result<MergedEntries, PerCoreWalError> {
        let (reader, pin) = self.shared.merged(up_to, label)?;
        Ok(MergedEntries { reader, _pin: pin })
    }

    fn collect(&self, up_to: Option<Epoch>) -> Result<Vec<PerCoreWalEntry>, PerCoreWalError> {
        let mut merged = self.merged(up_to, "merge_segments")?;
        let mut entries = Vec::new();
        let mut last: Option<OrderKey> = None;
        while let Some(entry) = merged.next()? {
            let key = entry.order_key();
            assert!(last.is_none_or(|last| last < key), "the merge went back");
            last = Some(key);
            entries.push(entry.to_owned());
        }
        Ok(entries)
    }
}

/// A merge of all cores that keeps its segments from being released.
pub struct MergedEntries {
    reader: MergedReader,
    _pin: Pin,
}

impl MergedEntries {
    /// The next entry in the global order.
    ///
    /// # Errors
    /// [`ReadError`].
    #[allow(clippy::should_implement_trait, reason = "an iterator could not lend its buffer")]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>, ReadError> {
        self.reader.next()
    }
}
