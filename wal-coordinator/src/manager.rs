//! The log of all cores, as the process that appends sees it.

use std::sync::Arc;

use wal_format::{CoreId, Epoch, OrderKey, PerCoreWalEntry, Sequence};
use wal_reader::{MergedReader, ReadError};
use wal_recovery::{Recovered, RecoveryReport, Replay, ResumePoints};
use wal_writer::{CoreWalWriter, LogStats, Receipt};

use crate::config::PerCoreWalConfig;
use crate::error::PerCoreWalError;
use crate::open::{Opened, open};
use crate::retention::{Pin, Pinned};
use crate::shared::Shared;

/// All cores' logs in one directory, open for appending.
///
/// Real users take the writers out ([`PerCoreWalManager::take_writer`]) and move each to its core's thread; the manager
/// stays elsewhere and never stops them. `Send`; what other threads need is in a [`LogHandle`]. Dropping it syncs
/// every core a last time and closes the log: later appends fail with `Closed`. The directory stays locked until
/// the last writer, [`LogHandle`] and `CheckpointCoordinator` are dropped too: each of them could still write.
pub struct PerCoreWalManager {
    handle: LogHandle,
    writers: Vec<Option<CoreWalWriter>>,
    report: RecoveryReport,
}

/// The part of a manager that any thread can use: epochs, syncs, receipts, statistics. `Clone`, `Send`, `Sync`.
#[derive(Clone)]
pub struct LogHandle {
    shared: Arc<Shared>,
}

/// One core's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSequence {
    /// The core.
    pub core: CoreId,
    /// Every entry below has reached the rung that was asked for.
    pub sequence: Sequence,
}

/// Counters of the whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalStats {
    /// Per core that appends.
    pub cores: Vec<LogStats>,
    /// The current epoch.
    pub epoch: Epoch,
    /// The last durable epoch.
    pub durable_epoch: Epoch,
    /// Epoch of the last checkpoint; 0 if there was none.
    pub checkpoint_epoch: Epoch,
}

impl PerCoreWalManager {
    /// Opens the log in `config.path`, or makes one if the directory is empty. What is on disk is scanned and its end
    /// decided (`FORMAT.md#verdicts`), but not replayed: use [`PerCoreWalManager::recover`] for that.
    ///
    /// # Errors
    /// [`PerCoreWalError::Config`], [`PerCoreWalError::InUse`], [`PerCoreWalError::Io`];
    /// [`PerCoreWalError::Recovery`] if what is on disk is damaged, foreign, or of another format.
    pub fn new(config: PerCoreWalConfig) -> Result<Self, PerCoreWalError> {
        let (opened, _) =
            open(config, |recovery| recovery.plan(), |plan| (plan.resume.clone(), plan.report.clone()))?;
        Ok(Self::from_opened(opened))
    }

    /// Opens the log and hands its state to `engine`: first the checkpoint, then every entry after it in the global
    /// order. All under the directory's lock, so that nothing can change in between. Offsets, watermarks and the
    /// report come back beside the manager.
    ///
    /// # Errors
    /// As [`PerCoreWalManager::new`], and those of `engine`.
    pub fn recover(
        config: PerCoreWalConfig,
        engine: &mut impl Replay,
    ) -> Result<(Self, Recovered), PerCoreWalError> {
        let (opened, recovered) = open(
            config,
            |recovery| recovery.recover(engine),
            |recovered| (recovered.resume.clone(), recovered.report.clone()),
        )?;
        Ok((Self::from_opened(opened), recovered))
    }

    /// What opening found on disk and decided about it.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.report
    }

    /// The writer of `core`, for use through the manager: the small form.
    ///
    /// # Panics
    /// If there is no such core, or its writer was taken; see [`PerCoreWalManager::try_writer`].
    #[track_caller]
    pub fn writer(&mut self, core: usize) -> &mut CoreWalWriter {
        self.try_writer(core).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The writer of `core`, for use through the manager.
    ///
    /// # Errors
    /// [`PerCoreWalError::CoreOutOfRange`], [`PerCoreWalError::WriterTaken`].
    pub fn try_writer(&mut self, core: usize) -> Result<&mut CoreWalWriter, PerCoreWalError> {
        let cores = self.writers.len();
        let slot = self.writers.get_mut(core).ok_or(PerCoreWalError::CoreOutOfRange { core, cores })?;
        slot.as_mut().ok_or_else(|| taken(core))
    }

    /// The writer of `core`, to be moved to its core's thread.
    ///
    /// # Errors
    /// [`PerCoreWalError::CoreOutOfRange`], [`PerCoreWalError::WriterTaken`].
    pub fn take_writer(&mut self, core: usize) -> Result<CoreWalWriter, PerCoreWalError> {
        let cores = self.writers.len();
        let slot = self.writers.get_mut(core).ok_or(PerCoreWalError::CoreOutOfRange { core, cores })?;
        slot.take().ok_or_else(|| taken(core))
    }

    /// How many cores append.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.writers.len()
    }

    /// What other threads need of this log.
    #[must_use]
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }

    /// As [`LogHandle::advance_epoch`].
    pub fn advance_epoch(&self) -> Epoch {
        self.handle.advance_epoch()
    }

    /// As [`LogHandle::durable_epoch`].
    #[must_use]
    pub fn durable_epoch(&self) -> Epoch {
        self.handle.durable_epoch()
    }

    /// As [`LogHandle::sync_all`].
    ///
    /// # Errors
    /// As [`LogHandle::sync_all`].
    pub fn sync_all(&self) -> Result<(), PerCoreWalError> {
        self.handle.sync_all()
    }

    /// As [`LogHandle::positions`].
    #[must_use]
    pub fn positions(&self) -> Vec<CoreSequence> {
        self.handle.positions()
    }

    /// As [`LogHandle::synced_positions`].
    #[must_use]
    pub fn synced_positions(&self) -> Vec<CoreSequence> {
        self.handle.synced_positions()
    }

    /// As [`LogHandle::stats`].
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.handle.stats()
    }

    /// As [`LogHandle::why_pinned`].
    ///
    /// # Errors
    /// As [`LogHandle::why_pinned`].
    pub fn why_pinned(&self) -> Result<Vec<Pinned>, PerCoreWalError> {
        self.handle.why_pinned()
    }

    /// As [`LogHandle::merge_segments`].
    ///
    /// # Errors
    /// As [`LogHandle::merge_segments`].
    pub fn merge_segments(&self) -> Result<Vec<PerCoreWalEntry>, PerCoreWalError> {
        self.handle.merge_segments()
    }

    /// As [`LogHandle::merge_segments_up_to_epoch`].
    ///
    /// # Errors
    /// As [`LogHandle::merge_segments_up_to_epoch`].
    pub fn merge_segments_up_to_epoch(&self, epoch: Epoch) -> Result<Vec<PerCoreWalEntry>, PerCoreWalError> {
        self.handle.merge_segments_up_to_epoch(epoch)
    }

    /// Syncs every core, stops the background threads and closes the log. Dropping does the same and ignores errors.
    ///
    /// # Errors
    /// [`PerCoreWalError::Writer`] if a core's last sync failed: what was not durable before may not be now.
    pub fn close(self) -> Result<(), PerCoreWalError> {
        self.handle.sync_all()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn from_opened(opened: Opened) -> Self {
        let Opened { shared, writers, report } = opened;
        let writers = writers.into_iter().map(Some).collect();
        Self { handle: LogHandle { shared }, writers, report }
    }
}

impl Drop for PerCoreWalManager {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        match &shared.flushers {
            Some(flushers) => flushers.stop(),
            None => drop(shared.sync_all()),
        }
        for log in &shared.logs {
            log.close();
            let closed = wal_writer::WriterError::Closed { core: log.core() };
            shared.tracker.fail(closed.clone());
            shared.checkpointed.fail(closed);
        }
    }
}

impl LogHandle {
    /// Closes the current epoch on all cores, without their help, and returns it. Waits for appends in flight, tens of
    /// nanoseconds each. With background flushing, the epoch then becomes durable by itself
    /// ([`LogHandle::epoch_durable`]); in inline mode it is made so before this returns, unless a core fails.
    pub fn advance_epoch(&self) -> Epoch {
        self.shared.advance_epoch()
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
    /// of a consistent cut. Waiting for the current epoch closes it.
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

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        WalStats {
            cores: self.shared.active_logs().iter().map(|log| log.stats()).collect(),
            epoch: self.epoch(),
            durable_epoch: self.durable_epoch(),
            checkpoint_epoch: Epoch(self.shared.checkpointed.get()),
        }
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
    pub fn next(&mut self) -> Result<Option<wal_format::EntryRef<'_>>, ReadError> {
        self.reader.next()
    }
}

/// Checks that recovery's resume points are of a log that can be opened with `cores` cores.
pub(crate) fn needs_every_core(resume: &ResumePoints, cores: usize) -> Vec<CoreId> {
    let active = (0..cores).filter_map(|core| u16::try_from(core).ok().map(CoreId));
    let mut all: Vec<_> = active.chain(resume.cores.iter().map(|core| core.core)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn taken(core: usize) -> PerCoreWalError {
    PerCoreWalError::WriterTaken { core: CoreId(u16::try_from(core).unwrap_or(u16::MAX)) }
}
