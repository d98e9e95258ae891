//! One core's log as its three users share it: the writer that appends, the flusher, the coordinator.
//!
//! Appends never come here while the ring has room. Everything else does: writing out, syncing, waiting for room.
//!
//! # Locks, in the order in which they are taken
//!
//! 1. `gate`: one sync at a time. Whoever waits for it finds, as a rule, that the sync before covered it too: group
//!    commit needs no more than that.
//! 2. `drain`: the consumer half. Not held during a sync, so that a writer whose ring is full can go on writing out
//!    while the device works (with [`Retention::UntilWritten`]).
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `drain` | whoever holds its lock | the same | the lock |
//! | `failure` | the first who fails, under its lock | who finds `attention` set, under its lock | the lock |
//! | `attention`: FAILED | whoever poisons or closes, after the failure is stored, Relaxed | every call, Relaxed | nothing: a hint to look at `failure`, where the truth is |
//! | `attention`: OVERDRAWN | set by whoever drained, taken back by the writer that was granted more; both under `drain`, Relaxed | writer, every append, Relaxed | nothing: a hint to ask for more, which is decided under `drain` |
//! | `seal_before` | coordinator, before it closes the epoch, Relaxed | drain, at an entry of a later epoch, Relaxed | the close and the ring do: see [`CoreLog::request_seal`] |
//! | `wanted` | whoever waits, before it wakes the flusher, Relaxed maximum | flusher, after it was woken, Relaxed | the wake-up does |
//! | `written`, `durable` | see `progress.rs`; `durable` with the gate held, `written` with `drain` held | anybody | what they promise has happened |
//!
//! Why Relaxed is enough:
//!
//! 1. FAILED. Once a call of `poison` or `close` has returned, whoever knows of that reads the flag (a later read of one
//!    variable never returns an older value than what happened before it), and then `failure`, which was stored before.
//!    Who does not know of it may miss the flag, as if it had come earlier; who sees the flag before it knows of the
//!    failure waits for the lock of `failure` or finds it stored.
//! 2. OVERDRAWN. Setting and taking back are in the order of the lock, so the flag is set whenever the drain overdrew after
//!    the last grant. A writer that misses it accepts at most what was granted: those entries then wait in the ring for
//!    space, as they would after a failed sync (`drain/space.rs`).
//! 3. `wanted` is a maximum that only grows: a flusher that is woken by a request reads at least that request's number.
//!
//! # What a sync promises
//!
//! 1. It holds the gate, so no other sync of this core runs: a file whose sync failed is not synced by another.
//! 2. It drains and submits under `drain`: the ticket says which bytes of which files it will cover. Bytes that are written
//!    afterwards, to the same file or after leaving it, are beyond the ticket's ends.
//! 3. The files are synced, oldest first, without `drain`: others go on writing.
//! 4. Under `drain` again, exactly what the ticket covers counts as durable, and `durable` is raised.
//! 5. If a sync failed, nothing counts: the drain goes back to the last durable point, whose bytes are still in the ring,
//!    and the same once more in fresh files; if that fails, the log is poisoned.
//!
//! Therefore, whoever reads an entry's number below `durable` knows that a sync which was submitted after the entry was
//! written has returned, on every file that the entry and those before it need.
//!
//! Nobody waits here but for locks. The gate's holder waits for the device, `drain`'s for writes at most.

mod room;
#[cfg(all(test, not(loom), feature = "testing"))]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wal_format::{CoreId, Epoch, Sequence};

use crate::clock::Clock;
use crate::drain::{Drain, DrainError, Large};
use crate::error::WriterError;
use crate::flaw::Flaw;
use crate::options::{LogOptions, OnSyncFailure, Retention};
use crate::parts::{Flusher, LogParts};
use crate::pin::EpochPin;
use crate::position::{EpochEnd, SealedAt, SegmentPosition};
use crate::progress::{Driver, Progress, Receipt};
use crate::ring::Consumer;
use crate::stall::{self, Place};
use crate::stats::LogStats;
use crate::storage::uninterrupted;
use crate::supply::SegmentSupply;
use crate::sync::{AtomicU64, Mutex};
use crate::tally::Tallies;
use crate::trace;
use crate::watch::Watch;

/// One core's log. Shared, `Sync`.
pub struct CoreLog {
    core: CoreId,
    pub(crate) options: LogOptions,
    pub(crate) pin: Arc<EpochPin>,
    supply: Arc<SegmentSupply>,
    drain: Mutex<Drain>,
    gate: Mutex<()>,
    written: Arc<Progress>,
    durable: Arc<Progress>,
    seal_before: Arc<AtomicU64>,
    attention: AtomicU64,
    failure: Mutex<Option<WriterError>>,
    flusher: Option<Arc<dyn Flusher>>,
    wanted: AtomicU64,
    /// Apart, so that appends find the rest where it was.
    watch: Box<Watch>,
}

/// Bit of `attention`: there is a failure.
const FAILED: u64 = 1;
/// Bit of `attention`: what the writer was granted is no longer backed by space.
const OVERDRAWN: u64 = 2;

/// The lock of a sync: held while the device works.
type Gate<'a> = crate::sync::MutexGuard<'a, ()>;
/// The lock of the consumer half.
type Draining<'a> = crate::sync::MutexGuard<'a, Drain>;

impl CoreLog {
    pub(crate) fn new(parts: LogParts, consumer: Consumer, clock: Clock) -> Arc<Self> {
        let seal_before = Arc::new(AtomicU64::new(u64::MAX));
        let tallies = Arc::new(Tallies::default());
        let supply = Arc::clone(&parts.supply);
        let watch = Watch::new(clock, consumer.gauge(), supply, Arc::clone(&tallies), parts.start.sequence);
        let drain = Drain::new(&parts, consumer, Arc::clone(&seal_before), tallies);
        let LogParts { core, options, start, supply, flusher, .. } = parts;
        Arc::new(Self {
            core,
            options,
            pin: Arc::new(EpochPin::new(start.sequence)),
            supply,
            drain: Mutex::new(drain),
            gate: Mutex::new(()),
            written: Arc::new(Progress::new(start.sequence.0)),
            durable: Arc::new(Progress::new(start.sequence.0)),
            seal_before,
            attention: AtomicU64::new(0),
            failure: Mutex::new(None),
            flusher,
            wanted: AtomicU64::new(0),
            watch: Box::new(watch),
        })
    }

    /// The core.
    #[must_use]
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// How long appended bytes stay in the ring.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.options.retention
    }

    /// The core's words of the epoch protocol.
    #[must_use]
    pub fn pin(&self) -> &Arc<EpochPin> {
        &self.pin
    }

    /// Every entry below is appended.
    #[must_use]
    pub fn appended(&self) -> Sequence {
        self.pin.appended()
    }

    /// Every entry below is in a file: it survives this process, not a power loss.
    #[must_use]
    pub fn written(&self) -> Sequence {
        Sequence(self.written.get())
    }

    /// Every entry below is durable: it survives a power loss.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        Sequence(self.durable.get())
    }

    /// Resolves when every entry below `sequence` is written to a file.
    pub fn written_receipt(self: &Arc<Self>, sequence: Sequence) -> Receipt {
        Receipt::new(Arc::clone(&self.written), sequence.0, Some(Arc::clone(self) as _))
    }

    /// Resolves when every entry below `sequence` is durable.
    pub fn durable_receipt(self: &Arc<Self>, sequence: Sequence) -> Receipt {
        Receipt::new(Arc::clone(&self.durable), sequence.0, Some(Arc::clone(self) as _))
    }

    /// Whether entries wait for a sync that somebody asked for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed) > self.durable.get()
    }

    /// Counters, and how the log stands. Waits for nobody, least of all for a device: no lock is taken that is held
    /// during a call to the storage.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.watch.look(self)
    }

    /// Bytes handed to the file system so far, in whole pages: [`LogStats::file_bytes`] without the rest of them.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.watch.tallies.file_bytes.get()
    }

    /// Where the last completed sync ends; everything before it can be read from the files.
    #[must_use]
    pub fn durable_position(&self) -> SegmentPosition {
        self.drain.lock().durable_position()
    }

    /// Makes everything that is appended at the time of the call durable.
    ///
    /// # Errors
    /// As [`CoreLog::write_out`]. On an error nothing more is acknowledged than before.
    pub fn sync(&self) -> Result<Sequence, WriterError> {
        let target = self.appended();
        self.check()?;
        if self.durable() >= target {
            return Ok(target);
        }
        let gate = self.gate.lock();
        if self.durable() < target {
            self.sync_holding(gate, None)?;
        }
        Ok(target)
    }

    /// Makes everything up to the end of a closed epoch durable, with its barrier, and seals if asked to. Returns
    /// where the log of that epoch ends, if it was sealed.
    ///
    /// # Errors
    /// As [`CoreLog::sync`].
    pub fn end_epoch(&self, end: &EpochEnd) -> Result<Option<SealedAt>, WriterError> {
        self.sync_gated(Some(end))
    }

    /// Asks for a seal between the entries below `epoch` and those of `epoch` and above. Before the epoch is closed:
    /// whoever drains an entry of `epoch` has, through the global epoch and the ring's tail, seen this store.
    pub fn request_seal(&self, epoch: Epoch) {
        self.seal_before.store(epoch.0, Relaxed);
    }

    /// Begins the first segment and syncs its header and `barrier`: records where the log before this opening ends.
    ///
    /// # Errors
    /// As [`CoreLog::sync`].
    pub fn begin(&self, end: &EpochEnd) -> Result<(), WriterError> {
        let begun = self.drain.lock().begin();
        begun.map_err(|error| match error {
            DrainError::NoSegment(error) | DrainError::InDoubt(error) => error,
        })?;
        self.end_epoch(end).map(drop)
    }

    /// Ends the log: everybody who waits gets [`WriterError::Closed`], as does every later call.
    pub fn close(&self) {
        self.fail(WriterError::Closed { core: self.core });
    }

    /// Poisons the log because of `cause`: for whoever tried long enough to get it a segment.
    pub fn give_up(&self, cause: WriterError) {
        self.poison(cause);
    }

    /// The failure, if the log is poisoned or closed.
    ///
    /// # Errors
    /// [`WriterError::Poisoned`], [`WriterError::Closed`].
    pub fn check(&self) -> Result<(), WriterError> {
        if self.attention.load(Relaxed) & FAILED == 0 {
            return Ok(());
        }
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// Whether the writer must look after something before it goes on: see [`CoreLog::grant`].
    #[inline]
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Relaxed) != 0
    }

    /// Lets the writer append up to the returned ring position, at least to `needed`: there is space on the medium.
    pub(crate) fn grant(&self, needed: u64, wanted: u64) -> Result<u64, WriterError> {
        self.check()?;
        self.supply.check_condition()?;
        self.grant_holding(self.drain.lock(), needed, wanted)
    }

    /// As [`CoreLog::grant`], for a writer that has been granted enough for now: `None` if somebody is draining, which
    /// can take as long as a write.
    pub(crate) fn try_grant(&self, needed: u64, wanted: u64) -> Result<Option<u64>, WriterError> {
        let drain = self.drain.try_lock();
        drain.map(|drain| self.grant_holding(drain, needed, wanted)).transpose()
    }

    fn grant_holding(&self, mut drain: Draining<'_>, needed: u64, wanted: u64) -> Result<u64, WriterError> {
        let granted = drain.grant(needed, wanted)?;
        // Under the lock, as it is set: whatever is overdrawn from here on is flagged after this.
        let _drain = Flaw::ForgivesUnlocked.leaves(drain);
        self.attention.fetch_and(!OVERDRAWN, Relaxed);
        Ok(granted)
    }

    /// Wakes the background flusher, if there is one.
    pub(crate) fn wake_flusher(&self) {
        if let Some(flusher) = &self.flusher {
            flusher.wake(self.core);
        }
    }

    /// Whether the writer was granted more than there is space for, and must know.
    #[cfg(all(test, loom))]
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.drain.lock().is_overdrawn()
    }

    pub(crate) fn push_large(&self, large: Large) {
        let mut drain = self.drain.lock();
        drain.large.push_back(large);
        // It takes from the space that was granted.
        self.publish_drain(&drain);
    }

    fn sync_gated(&self, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, WriterError> {
        self.sync_holding(self.gate.lock(), end)
    }

    /// Writes, syncs, and on a failure once more on a fresh segment. All with the gate held.
    fn sync_holding(&self, gate: Gate<'_>, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, WriterError> {
        let _gate = Flaw::LeavesGate.leaves(gate);
        self.check()?;
        match self.attempt(end) {
            Ok(sealed) => return Ok(sealed),
            Err(DrainError::NoSegment(error)) => return Err(error),
            Err(DrainError::InDoubt(error)) => self.give_up_file(error)?,
        }
        stall::at(Place::Rewound);
        match self.attempt(end) {
            Ok(sealed) => {
                stall::at(Place::Continued);
                Ok(sealed)
            }
            Err(DrainError::NoSegment(error)) => Err(error),
            Err(DrainError::InDoubt(error)) => Err(self.poison(error)),
        }
    }

    fn attempt(&self, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, DrainError> {
        let (ticket, outcome) = {
            let mut drain = self.drain.lock();
            let outcome = match drain.write_out() {
                Ok(()) => Self::write_end(&mut drain, end),
                Err(DrainError::NoSegment(error)) => Self::sealed_before(&drain, end, error),
                Err(error) => Err(error),
            };
            self.publish_drain(&drain);
            stall::at(Place::WrittenOut);
            if matches!(outcome, Err(DrainError::InDoubt(_))) {
                return outcome;
            }
            (drain.submit(), outcome)
        };
        // Also if there is no segment for the rest: what could be written becomes durable, and makes room.
        if let Some(ticket) = ticket {
            stall::at(Place::Submitted);
            if Flaw::AcknowledgesBegunSync.is_planted() {
                self.durable.advance(ticket.covered_sequence().0);
            }
            let begun = self.watch.now_ns();
            // Oldest first: a frame of a later file that is durable says that the earlier ones are.
            for of in &ticket.files {
                uninterrupted(|| of.file.sync_data()).map_err(|error| {
                    self.watch.tallies.sync_failures.add(1);
                    let error = WriterError::io("sync", self.supply.storage().path(&of.name), error);
                    trace::sync_failed(self.core, &error);
                    DrainError::InDoubt(error)
                })?;
            }
            let took_ns = self.watch.since_ns(begun);
            stall::at(Place::Synced);
            let durable = {
                let mut drain = self.drain.lock();
                drain.complete(&ticket, took_ns);
                drain.durable_sequence()
            };
            stall::at(Place::Completed);
            self.durable.advance(durable.0);
        }
        outcome
    }

    /// Tells others how far the drain has come. Under its lock.
    fn publish_drain(&self, drain: &Drain) {
        self.written.advance(drain.flushed_sequence().0);
        if drain.is_overdrawn() && !Flaw::OverdrawsSilently.is_planted() {
            self.attention.fetch_or(OVERDRAWN, Relaxed);
        }
    }

    fn write_end(drain: &mut Drain, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, DrainError> {
        let Some(end) = end else { return Ok(None) };
        let barrier = end.barrier.as_ref().map_or(Ok(()), |barrier| drain.barrier(end.epoch, barrier));
        let has_barrier = barrier.is_ok();
        match barrier {
            Err(DrainError::NoSegment(_)) if end.seal => {}
            barrier => barrier?,
        }
        if !end.seal {
            return Ok(None);
        }
        drain.seal(end.epoch.next()).map(|sealed| Some(SealedAt { has_barrier, ..sealed }))
    }

    /// Where the log of the epoch ends, although what comes after it has no place: the checkpoint that wants to know may
    /// be all that makes room. Without the barrier, since that would stand before what is still to be repeated.
    fn sealed_before(
        drain: &Drain,
        end: Option<&EpochEnd>,
        error: WriterError,
    ) -> Result<Option<SealedAt>, DrainError> {
        let sealed = end.filter(|end| end.seal).and_then(|end| drain.sealed(end.epoch.next()));
        sealed.map(Some).ok_or(DrainError::NoSegment(error))
    }

    /// After a failed write or sync: goes back to what is durable, or poisons.
    fn give_up_file(&self, error: WriterError) -> Result<(), WriterError> {
        #[allow(clippy::exit, reason = "what the policy asks for")]
        if self.options.on_sync_failure == OnSyncFailure::Abort {
            eprintln!("core {}: {error}; aborting, as configured", self.core);
            std::process::abort();
        }
        if self.options.retention == Retention::UntilWritten {
            return Err(self.poison(error));
        }
        self.drain.lock().rewind();
        Ok(())
    }

    fn poison(&self, cause: WriterError) -> WriterError {
        let since = self.drain.lock().durable_sequence();
        trace::poisoned(self.core, since, &cause);
        self.fail(WriterError::Poisoned { core: self.core, since, cause: Arc::new(cause) })
    }

    /// Stores the first failure and tells everybody. Returns the failure that counts.
    fn fail(&self, error: WriterError) -> WriterError {
        let failure = self.failure.lock().get_or_insert(error).clone();
        self.attention.fetch_or(FAILED, Relaxed);
        if Flaw::ClosesSilently.is_planted() {
            return failure;
        }
        self.written.fail(failure.clone());
        self.durable.fail(failure.clone());
        failure
    }
}

impl Driver for CoreLog {
    fn wanted(&self, target: u64, may_block: bool) {
        if Flaw::WakesBeforeWanted.is_planted() {
            self.wake_flusher();
        }
        self.wanted.fetch_max(target, Relaxed);
        if Flaw::WakesBeforeWanted.is_planted() {
            return;
        }
        if self.flusher.is_some() {
            self.wake_flusher();
        } else if may_block {
            // A failure for good reaches the waiter through the progress that it waits for.
            let _ = self.sync();
        }
    }

    fn drive(&self, target: u64) -> Result<(), WriterError> {
        self.wanted(target, false);
        if self.flusher.is_none() { self.sync().map(drop) } else { Ok(()) }
    }
}
