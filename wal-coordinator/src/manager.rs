//! The log of all cores, as the process that appends sees it.

use std::sync::Arc;

use wal_format::{CoreId, Epoch, PerCoreWalEntry};
use wal_recovery::{Recovered, RecoveryReport, Replay};
use wal_writer::CoreWalWriter;

use crate::config::PerCoreWalConfig;
use crate::error::PerCoreWalError;
use crate::handle::{CoreSequence, LogHandle};
use crate::open::{Opened, open};
use crate::retention::Pinned;
use crate::shared::Shared;
use crate::stats::WalStats;

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

impl PerCoreWalManager {
    /// Opens the log in `config.path`, or makes one if the directory is empty. What is on disk is scanned and its end
    /// decided (`FORMAT.md#verdicts`), but not replayed: use [`PerCoreWalManager::recover`] for that.
    ///
    /// # Errors
    /// [`PerCoreWalError::Config`], [`PerCoreWalError::InUse`], [`PerCoreWalError::Io`], [`PerCoreWalError::NoSpace`];
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
        self.handle.shared.close();
    }
}

fn taken(core: usize) -> PerCoreWalError {
    PerCoreWalError::WriterTaken { core: CoreId(u16::try_from(core).unwrap_or(u16::MAX)) }
}
