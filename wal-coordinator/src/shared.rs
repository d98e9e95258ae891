//! What manager, flushers and checkpoints share of one open log.
//!
//! The cores' logs, the epoch and its bookkeeping, and the way from "an epoch is closed" to "every core has made its
//! end of it durable": on the flushers' threads, or on the caller's in inline mode.
//!
//! # Shared state
//!
//! | variable | lock | what it orders |
//! |---|---|---|
//! | `closing`: where each core's last closed epoch ended | its own, through request of seals, close, and counting | closes run one at a time, and the tracker counts epochs in their order |
//! | `deferred`: ends of epochs to be tried again | its own, for a push or a look | |
//! | nothing: `turn` | itself | without flushers, one thread at a time closes and ends epochs, a checkpoint's included |
//! | `global`, the pins | none | `pin.rs` of wal-writer |
//!
//! 1. A seal is requested before the epoch closes, so whoever drains an entry of the next epoch has seen the request, and
//!    seals first (`drain/mod.rs` of wal-writer): the log is cut where the close cut it, whoever drains first.
//! 2. A core's end of an epoch is counted after its sync has returned (`epochs.rs`).
//! 3. An end that fails for want of a segment goes to `deferred`, from where flushers take it from time to time, until
//!    there is space, or, if the reason is another, until they give the core up and all waiters fail. Without
//!    flushers nobody does, so whoever waits takes the turn first: nobody else is at an end then, and what was closed is
//!    durable, or in `deferred` and tried again at once, and the error is returned. So nobody waits for an end that nobody
//!    will make.
//!
//! No loop here waits.

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests;

use std::sync::Arc;

use wal_format::{Barrier, CoreId, Epoch, FileName, LogId, SegmentNumber, Sequence};
use wal_reader::{LogPosition, MergedReader, PerCoreWalReader, Source};
use wal_writer::stall::{self, Place};
use wal_writer::{
    Clock, CoreLog, Driver, EpochEnd, EpochPin, GlobalEpoch, Progress, Receipt, SealedAt, SegmentSupply,
    Storage, WriterError,
};

use crate::decision::Decision;
use crate::epochs::EpochTracker;
use crate::error::PerCoreWalError;
use crate::flaw::Flaw;
use crate::flusher::{EndOfEpoch, EndResult, Flushers};
use crate::retention::{Pin, Retention};
use crate::sync::{Mutex, MutexGuard, Sender, scope};
use crate::trace;
use crate::watch::Watch;

/// One open log. Shared, `Sync`.
pub(crate) struct Shared {
    pub(crate) log_id: LogId,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) supply: Arc<SegmentSupply>,
    /// Every core with a log, those that no longer append included, ascending.
    pub(crate) logs: Vec<Arc<CoreLog>>,
    /// The first `active` of `logs` append.
    pub(crate) active: usize,
    /// Segments below these were there when the log was opened: nobody prepares them.
    pub(crate) opened_at: Vec<SegmentNumber>,
    pub(crate) decision: Arc<Decision>,
    pins: Vec<Arc<EpochPin>>,
    global: Arc<GlobalEpoch>,
    closing: Mutex<Closing>,
    pub(crate) tracker: EpochTracker,
    pub(crate) checkpointed: Arc<Progress>,
    pub(crate) retention: Arc<Retention>,
    /// One checkpoint at a time.
    pub(crate) checkpointing: Mutex<()>,
    pub(crate) flushers: Option<Flushers>,
    /// Ends of epochs that could not be written for want of space, to be tried again.
    deferred: Mutex<Vec<Deferred>>,
    /// Without flushers: one at a time ends epochs. Whoever waits for an epoch looks at `deferred` under it, and so
    /// never misses the failure of somebody who is still at it.
    turn: Mutex<()>,
    pub(crate) checkpoint_budget_bytes: usize,
    pub(crate) threads_max: usize,
    pub(crate) clock: Clock,
    pub(crate) watch: Watch,
}

/// What one close leaves for the next.
struct Closing {
    /// Per core, where the last closed epoch ended.
    cuts: Vec<Sequence>,
}

/// One core's end of an epoch that could not be written, and why.
struct Deferred {
    index: usize,
    end: EpochEnd,
    error: WriterError,
}

/// What [`Shared`] is made of.
pub(crate) struct SharedParts {
    pub(crate) log_id: LogId,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) supply: Arc<SegmentSupply>,
    pub(crate) logs: Vec<Arc<CoreLog>>,
    pub(crate) active: usize,
    pub(crate) opened_at: Vec<SegmentNumber>,
    pub(crate) decision: Arc<Decision>,
    pub(crate) global: Arc<GlobalEpoch>,
    pub(crate) durable_epoch: Epoch,
    pub(crate) retention: Arc<Retention>,
    pub(crate) flushers: Option<Flushers>,
    pub(crate) checkpoint_budget_bytes: usize,
    pub(crate) threads_max: usize,
    pub(crate) clock: Clock,
}

/// Why an epoch is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The engine wants the next one.
    Asked,
    /// Somebody waits for its end.
    Awaited,
    /// A checkpoint. Every core with entries since the last one takes part, and its log is cut between this epoch and
    /// the next.
    Checkpoint,
}

/// An epoch that was just closed, and the cores that have an end of it to sync.
pub(crate) struct ClosedEpoch {
    pub(crate) epoch: Epoch,
    pub(crate) cuts: Vec<Sequence>,
    pub(crate) participants: Vec<usize>,
}

impl Shared {
    pub(crate) fn new(parts: SharedParts) -> Self {
        let SharedParts {
            log_id, storage, source, supply, logs, active, opened_at, decision, global, ..
        } = parts;
        let pins: Vec<_> = logs.iter().map(|log| Arc::clone(log.pin())).collect();
        let cuts = pins.iter().map(|pin| pin.appended()).collect();
        let checkpoint = parts.retention.manifest().map_or(Epoch(0), |manifest| manifest.epoch);
        Self {
            log_id,
            storage,
            source,
            supply,
            logs,
            active,
            opened_at,
            decision,
            pins,
            global,
            closing: Mutex::new(Closing { cuts }),
            tracker: EpochTracker::new(parts.durable_epoch),
            checkpointed: Arc::new(Progress::new(checkpoint.0)),
            retention: parts.retention,
            checkpointing: Mutex::new(()),
            flushers: parts.flushers,
            deferred: Mutex::new(Vec::new()),
            turn: Mutex::new(()),
            checkpoint_budget_bytes: parts.checkpoint_budget_bytes,
            threads_max: parts.threads_max,
            watch: Watch::new(parts.clock.clone()),
            clock: parts.clock,
        }
    }

    pub(crate) fn cores(&self) -> Vec<CoreId> {
        self.logs.iter().map(|log| log.core()).collect()
    }

    pub(crate) fn active_logs(&self) -> &[Arc<CoreLog>] {
        &self.logs[..self.active]
    }

    pub(crate) fn current_epoch(&self) -> Epoch {
        self.global.current()
    }

    /// Closes the current epoch, unless there is no reason to.
    ///
    /// An epoch without entries would leave no trace, and its number could be given out again after a crash. So it
    /// stays open, unless its end is needed: then the first core writes a barrier of it. If it stays open, the result is
    /// the epoch before, read under the lock: the one that somebody is about to close is not closed yet.
    pub(crate) fn close_epoch(&self, reason: Reason) -> Result<ClosedEpoch, Epoch> {
        let mut closing = self.closing.lock();
        let has_entries = self.pins.iter().zip(&closing.cuts).any(|(pin, cut)| pin.appended() > *cut);
        if reason == Reason::Asked && !has_entries {
            return Err(Epoch(self.current_epoch().0.saturating_sub(1)));
        }
        let seal = reason == Reason::Checkpoint;
        let next = self.global.current().next();
        let request_seals = || self.logs.iter().for_each(|log| log.request_seal(next));
        if seal && !Flaw::AsksForSealLate.is_planted() {
            // Before the close: whoever drains an entry of the next epoch sees the request.
            request_seals();
            stall::at(Place::SealRequested);
        }
        let begun = self.watch.now_ns();
        let waits_for = |index| self.watch.close_waits(index, begun);
        let (epoch, cuts) = self.global.close_telling(&self.pins, waits_for);
        self.watch.epoch_closed(begun);
        if Flaw::AsksForSealLate.is_planted() && seal {
            request_seals();
        }
        stall::at(Place::EpochClosed);
        let unsealed = |index: usize| {
            let core = self.logs[index].core();
            // A log of which something was cut off, which is nowhere said yet, is part of the next checkpoint for that.
            seal && (self.retention.needed_from(core).sequence < cuts[index] || self.decision.owes(core))
        };
        let mut participants: Vec<_> =
            (0..cuts.len()).filter(|&index| cuts[index] > closing.cuts[index] || unsealed(index)).collect();
        // Cores that do not append write nothing, and so no barrier: somebody has to.
        if participants.first().is_none_or(|&index| index >= self.active) {
            participants.insert(0, 0);
        }
        closing.cuts.clone_from(&cuts);
        // Under the lock, so that the tracker learns of epochs in their order.
        let _closing = Flaw::CountsUnlocked.leaves(closing);
        self.tracker.closed(epoch, &participants, self.watch.now_ns());
        Ok(ClosedEpoch { epoch, cuts, participants })
    }

    /// The barrier of a closed epoch.
    pub(crate) fn barrier(&self, closed: &ClosedEpoch) -> Barrier {
        Barrier {
            durable_epoch: self.tracker.durable_epoch(),
            cuts: self.cores().into_iter().zip(closed.cuts.iter().copied()).collect(),
        }
    }

    /// Has every participant make its end of the epoch durable. With `reply`, each result is sent there as well.
    pub(crate) fn end_epoch(
        self: &Arc<Self>,
        closed: &ClosedEpoch,
        seal: bool,
        reply: Option<&Sender<EndResult>>,
    ) {
        stall::at(Place::EpochOutstanding);
        let barrier = self.barrier(closed);
        let ends = closed.participants.iter().map(|&index| EndOfEpoch {
            index,
            // A core that does not append is sealed as it stands, without any I/O.
            end: EpochEnd {
                epoch: closed.epoch,
                barrier: (index < self.active).then(|| barrier.clone()),
                seal,
            },
            reply: reply.cloned(),
        });
        match &self.flushers {
            Some(flushers) => ends.for_each(|end| flushers.submit(end)),
            None => self.run_all(ends.collect()),
        }
    }

    /// One core's end of an epoch, on this thread.
    pub(crate) fn run_end(&self, end: EndOfEpoch) {
        let EndOfEpoch { index, end, reply } = end;
        let epoch = end.epoch;
        if Flaw::CountsUnsynced.is_planted() {
            self.tracker.core_done(epoch, index, self.watch.now_ns());
        }
        let result = self.logs[index].end_epoch(&end);
        stall::at(Place::CoreEnded);
        match &result {
            // Sealed for a checkpoint, but a consistent cut without that checkpoint could not tell: the barrier is
            // still owed.
            Ok(Some(sealed)) if !sealed.has_barrier => {
                let error = self.no_room_for_barrier(index, sealed);
                trace::epoch_end_failed(self.logs[index].core(), epoch, &error);
                self.deferred.lock().push(Deferred { index, end: EpochEnd { seal: false, ..end }, error });
            }
            Ok(_) => self.tracker.core_done(epoch, index, self.watch.now_ns()),
            Err(error @ (WriterError::Poisoned { .. } | WriterError::Closed { .. })) => {
                trace::epoch_end_failed(self.logs[index].core(), epoch, error);
                self.tracker.fail(error.clone());
                self.checkpointed.fail(error.clone());
            }
            Err(error) => {
                trace::epoch_end_failed(self.logs[index].core(), epoch, error);
                self.deferred.lock().push(Deferred { index, end, error: error.clone() });
            }
        }
        if let Some(reply) = reply {
            // Whoever asked may have given up.
            let _ = reply.send((index, result));
        }
    }

    /// A checkpoint of `epoch` is durable.
    pub(crate) fn checkpoint_done(&self, epoch: Epoch) {
        self.deferred.lock().retain(|deferred| deferred.end.epoch > epoch);
        self.tracker.checkpointed(epoch, self.watch.now_ns());
        self.checkpointed.advance(epoch.0);
    }

    /// Tries again what failed for want of space, for the cores that `mine` selects.
    pub(crate) fn retry_deferred(&self, mine: impl Fn(usize) -> bool) {
        let due: Vec<_> = self.deferred.lock().extract_if(.., |deferred| mine(deferred.index)).collect();
        for Deferred { index, end, .. } in due {
            self.run_end(EndOfEpoch { index, end, reply: None });
        }
    }

    /// Why the oldest end of an epoch of this log that is to be tried again failed.
    pub(crate) fn deferred_error(&self, index: usize) -> Option<WriterError> {
        let deferred = self.deferred.lock();
        deferred.iter().find(|deferred| deferred.index == index).map(|deferred| deferred.error.clone())
    }

    /// Closes the epoch and asks for it to become durable. In inline mode it is, when this returns without an error.
    pub(crate) fn advance_epoch(self: &Arc<Self>, reason: Reason) -> Epoch {
        let _turn = self.take_turn();
        self.advance_in_turn(reason)
    }

    /// Closes the epoch for a checkpoint and has every participant make its end of it durable, and seal its log at the
    /// cut. Each result is sent to `reply`.
    pub(crate) fn seal_epoch(self: &Arc<Self>, reply: &Sender<EndResult>) -> ClosedEpoch {
        // Like every end without flushers: who waits for this epoch finds it durable, or why it is not.
        let _turn = Flaw::SealsOutOfTurn.leaves(self.take_turn());
        let closed = self.close_epoch(Reason::Checkpoint);
        let closed = closed.unwrap_or_else(|_| unreachable!("a checkpoint closes its epoch in any case"));
        self.end_epoch(&closed, true, Some(reply));
        closed
    }

    /// Without flushers, waits until nobody else is at ending an epoch.
    fn take_turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.flushers.is_none().then(|| self.turn.lock())
    }

    /// Ends the log: the threads are joined, every core synced a last time, and whoever waits gets to know.
    pub(crate) fn close(&self) {
        match &self.flushers {
            Some(flushers) => flushers.stop(),
            None => drop(self.sync_all()),
        }
        for log in &self.logs {
            log.close();
            let closed = WriterError::Closed { core: log.core() };
            if Flaw::ClosesSilently.is_planted() {
                continue;
            }
            self.tracker.fail(closed.clone());
            self.checkpointed.fail(closed);
        }
    }

    /// Without flushers, for whoever is about to wait for `epoch`: tries on this thread to make it durable.
    fn drive_epoch(self: &Arc<Self>, epoch: Epoch) -> Result<(), WriterError> {
        let _turn = Flaw::LooksOutOfTurn.leaves(self.turn.lock());
        if self.current_epoch() <= epoch {
            self.advance_in_turn(Reason::Awaited);
        } else {
            self.retry_deferred(|_| true);
        }
        let deferred = self.deferred.lock();
        let failed = deferred.iter().find(|deferred| deferred.end.epoch <= epoch);
        failed.map_or(Ok(()), |deferred| Err(deferred.error.clone()))
    }

    fn advance_in_turn(self: &Arc<Self>, reason: Reason) -> Epoch {
        if self.flushers.is_none() {
            self.retry_deferred(|_| true);
        }
        match self.close_epoch(reason) {
            Ok(closed) => {
                self.end_epoch(&closed, false, None);
                closed.epoch
            }
            Err(before) => {
                stall::at(Place::NothingToClose);
                before
            }
        }
    }

    /// A receipt for all entries of `epoch` and below, of all cores, being durable.
    pub(crate) fn epoch_durable(self: &Arc<Self>, epoch: Epoch) -> Receipt {
        let driver = Arc::new(EpochDriver(Arc::clone(self)));
        Receipt::new(Arc::clone(self.tracker.durable()), epoch.0, Some(driver))
    }

    /// A receipt for all entries of `epoch` and below being in a checkpoint.
    pub(crate) fn checkpointed(self: &Arc<Self>, epoch: Epoch) -> Receipt {
        Receipt::new(Arc::clone(&self.checkpointed), epoch.0, None)
    }

    /// Syncs every core that appends, in parallel.
    pub(crate) fn sync_all(&self) -> Result<(), WriterError> {
        if self.flushers.is_none() {
            let _turn = self.turn.lock();
            self.retry_deferred(|_| true);
        }
        let dirty: Vec<_> =
            self.active_logs().iter().filter(|log| log.durable() < log.appended()).cloned().collect();
        in_parallel(dirty, self.threads_max, |log| log.sync().map(drop)).into_iter().collect()
    }

    /// The entries of all cores since the last checkpoint, merged, up to where each is durable now.
    pub(crate) fn merged(
        &self,
        up_to: Option<Epoch>,
        label: &str,
    ) -> Result<(MergedReader, Pin), PerCoreWalError> {
        let (from, pin) = self.retention.pin(label, &self.cores());
        let readers = self.logs.iter().zip(from).filter_map(|(log, start)| {
            let end = log.durable_position();
            let end = LogPosition { segment: end.segment, offset: end.offset, sequence: end.sequence };
            (end.sequence > start.sequence).then(|| self.range(log.core(), start, end))
        });
        let merged = MergedReader::new(readers.collect::<Result<_, _>>()?).up_to(up_to);
        Ok((merged, pin))
    }

    pub(crate) fn range(
        &self,
        core: CoreId,
        start: LogPosition,
        end: LogPosition,
    ) -> Result<PerCoreWalReader, wal_reader::ReadError> {
        PerCoreWalReader::range(Arc::clone(&self.source), self.log_id, core, start, end)
    }

    /// What the drain was told when it sealed: the segment that the barrier would have gone to cannot be made.
    fn no_room_for_barrier(&self, index: usize, sealed: &SealedAt) -> WriterError {
        let next = sealed.end.map_or(SegmentNumber(0), |end| end.segment.next());
        let name = FileName::Segment(self.logs[index].core(), next).to_string();
        let source = Arc::new(std::io::ErrorKind::StorageFull.into());
        WriterError::NoSpace {
            path: self.storage.path(&name),
            needed_bytes: self.supply.segment_bytes(),
            source,
        }
    }

    fn run_all(&self, ends: Vec<EndOfEpoch>) {
        in_parallel(ends, self.threads_max, |end| self.run_end(end));
    }
}

/// Closes the epoch that somebody waits for, if nobody has yet.
struct EpochDriver(Arc<Shared>);

impl Driver for EpochDriver {
    /// Without flushers, nothing: who is about to block does it himself, in `drive`.
    fn wanted(&self, target: u64, _may_block: bool) {
        let shared = &self.0;
        if let Some(flushers) = &shared.flushers
            && shared.current_epoch().0 <= target
        {
            flushers.close_epoch(Epoch(target));
        }
    }

    fn drive(&self, target: u64) -> Result<(), WriterError> {
        if self.0.flushers.is_none() {
            return self.0.drive_epoch(Epoch(target));
        }
        self.wanted(target, true);
        Ok(())
    }
}

/// Runs `work` on every item, `threads_max` of them at a time, each on a thread of its own when there are several: they
/// wait for the device.
pub(crate) fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    threads_max: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if items.len() <= 1 || threads_max <= 1 {
        return items.into_iter().map(work).collect();
    }
    let work = &work;
    let mut items = items.into_iter();
    let mut results = Vec::with_capacity(items.len());
    while items.len() > 0 {
        results.extend(scope(|scope| {
            let round = items.by_ref().take(threads_max);
            let threads: Vec<_> = round.map(|item| scope.spawn(move || work(item))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
        }));
    }
    results
}
