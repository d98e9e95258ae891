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
//! | `is_failed` | whoever poisons or closes, Release, after the failure is stored | writer, every append, Acquire | the failure |
//! | `seal_before` | coordinator, Release, before it closes the epoch | drain, Acquire, after it read an entry of a later epoch | see [`CoreLog::request_seal`] |

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use wal_format::{Barrier, CoreId, Epoch, LogId, SegmentNumber, Sequence};

use crate::drain::{Drain, DrainError, Large, SealedAt, StartAt};
use crate::error::WriterError;
use crate::options::{LogOptions, OnSyncFailure, Retention};
use crate::pin::EpochPin;
use crate::progress::{Driver, Progress, Receipt};
use crate::ring::Consumer;
use crate::storage::uninterrupted;
use crate::supply::SegmentSupply;
use crate::sync::{AtomicBool, AtomicU64, Mutex};

/// A place in a core's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPosition {
    /// The segment.
    pub segment: SegmentNumber,
    /// Bytes from its start.
    pub offset: u64,
    /// Sequence number of the entry there.
    pub sequence: Sequence,
}

/// What is asked of a sync.
#[derive(Clone, Debug, Default)]
pub struct EpochEnd {
    /// The epoch that was closed.
    pub epoch: Epoch,
    /// The barrier to write, if this core takes part in it.
    pub barrier: Option<Barrier>,
    /// Seal the segment, for a checkpoint.
    pub seal: bool,
}

/// Counters of a core's log. A snapshot: each number is exact, together they may be a moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Entries appended since the log was opened.
    pub entries: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of frames, headers included.
    pub bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Syncs or writes that failed and were continued on a fresh segment.
    pub continuations: u64,
}

/// Wakes whoever drains this log in the background.
pub trait Flusher: Send + Sync {
    /// The log of `core` has work: somebody waits for a sync, or the ring fills up.
    fn wake(&self, core: CoreId);
}

/// One core's log. Shared, `Sync`.
pub struct CoreLog {
    core: CoreId,
    pub(crate) options: LogOptions,
    pub(crate) pin: Arc<EpochPin>,
    supply: Arc<SegmentSupply>,
    drain: Mutex<Drain>,
    gate: Mutex<Gate>,
    written: Arc<Progress>,
    durable: Arc<Progress>,
    seal_before: Arc<AtomicU64>,
    is_failed: AtomicBool,
    failure: Mutex<Option<WriterError>>,
    flusher: Option<Arc<dyn Flusher>>,
    first_sequence: Sequence,
    wanted: AtomicU64,
}

#[derive(Default)]
struct Gate {
    syncs: u64,
    continuations: u64,
}

/// What a log is made of.
pub struct LogParts {
    /// The log that this core belongs to.
    pub log_id: LogId,
    /// The core.
    pub core: CoreId,
    /// Settings.
    pub options: LogOptions,
    /// Where it goes on.
    pub start: StartAt,
    /// Where its segments come from.
    pub supply: Arc<SegmentSupply>,
    /// Who drains it in the background; `None` for inline mode, where only calls to `sync` and full rings drain.
    pub flusher: Option<Arc<dyn Flusher>>,
}

impl CoreLog {
    pub(crate) fn new(parts: LogParts, consumer: Consumer) -> Arc<Self> {
        let LogParts { log_id, core, options, start, supply, flusher } = parts;
        let seal_before = Arc::new(AtomicU64::new(u64::MAX));
        let drain = Drain::new(
            log_id,
            core,
            options.retention,
            Arc::clone(&supply),
            consumer,
            &start,
            Arc::clone(&seal_before),
        );
        Arc::new(Self {
            core,
            options,
            pin: Arc::new(EpochPin::new(start.sequence)),
            supply,
            drain: Mutex::new(drain),
            gate: Mutex::new(Gate::default()),
            written: Arc::new(Progress::new(start.sequence.0)),
            durable: Arc::new(Progress::new(start.sequence.0)),
            seal_before,
            is_failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            flusher,
            first_sequence: start.sequence,
            wanted: AtomicU64::new(0),
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
        self.wanted.load(Acquire) > self.durable.get()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let (syncs, continuations) = {
            let gate = self.gate.lock();
            (gate.syncs, gate.continuations)
        };
        let drain = self.drain.lock();
        LogStats {
            entries: self.appended().0 - self.first_sequence.0,
            frames: drain.frames,
            bytes: drain.bytes,
            syncs,
            continuations,
        }
    }

    /// Where the last completed sync ends; everything before it can be read from the files.
    #[must_use]
    pub fn durable_position(&self) -> SegmentPosition {
        self.drain.lock().durable_position()
    }

    /// Writes everything that is appended to files, without a sync.
    ///
    /// # Errors
    /// [`WriterError::NoSpace`] or [`WriterError::Io`] if there is no segment to write to (nothing is lost),
    /// [`WriterError::Poisoned`].
    pub fn write_out(&self) -> Result<(), WriterError> {
        self.check()?;
        let result = {
            let mut drain = self.drain.lock();
            let result = drain.write_out();
            self.written.advance(drain.written_sequence().0);
            result
        };
        match result {
            Ok(()) => Ok(()),
            Err(DrainError::NoSegment(error)) => Err(error),
            // The sync settles what a failed write leaves in doubt.
            Err(DrainError::InDoubt(error)) => self.settle(error),
        }
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
        let mut gate = self.gate.lock();
        if self.durable() < target {
            self.sync_gated(&mut gate, None)?;
        }
        Ok(target)
    }

    /// Makes everything up to the end of a closed epoch durable, with its barrier, and seals if asked to. Returns
    /// where the log of that epoch ends, if it was sealed.
    ///
    /// # Errors
    /// As [`CoreLog::sync`].
    pub fn end_epoch(&self, end: &EpochEnd) -> Result<Option<SealedAt>, WriterError> {
        self.check()?;
        let mut gate = self.gate.lock();
        self.sync_gated(&mut gate, Some(end))
    }

    /// Asks for a seal between the entries below `epoch` and those of `epoch` and above. Before the epoch is closed:
    /// whoever drains an entry of `epoch` has, through the global epoch and the ring's tail, seen this store.
    pub fn request_seal(&self, epoch: Epoch) {
        self.seal_before.store(epoch.0, Release);
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

    /// The failure, if the log is poisoned or closed.
    ///
    /// # Errors
    /// [`WriterError::Poisoned`], [`WriterError::Closed`].
    pub fn check(&self) -> Result<(), WriterError> {
        if !self.is_failed() {
            return Ok(());
        }
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    #[inline]
    pub(crate) fn is_failed(&self) -> bool {
        self.is_failed.load(Acquire)
    }

    /// Ring position up to which appends are backed by space on the medium. Makes room if there is less than `bytes`
    /// beyond `position`.
    pub(crate) fn space_limit(&self, position: u64, bytes: u64) -> Result<u64, WriterError> {
        let drain = self.drain.lock();
        let limit = drain.space_limit();
        if limit >= position + bytes {
            return Ok(limit);
        }
        self.supply.ensure(self.core, bytes + 16 * 1024)?;
        Ok(drain.space_limit())
    }

    /// Makes room in the ring: what the retention policy needs before bytes can go.
    pub(crate) fn make_room(&self) -> Result<(), WriterError> {
        match self.options.retention {
            Retention::UntilDurable => self.sync().map(drop),
            Retention::UntilWritten => self.write_out(),
        }
    }

    /// Wakes the background flusher, if there is one.
    pub(crate) fn wake_flusher(&self) {
        if let Some(flusher) = &self.flusher {
            flusher.wake(self.core);
        }
    }

    /// Makes sure that a segment which can hold `bytes` is at hand.
    pub(crate) fn reserve_segment(&self, bytes: u64) -> Result<(), WriterError> {
        let _drain = self.drain.lock();
        self.supply.ensure(self.core, bytes)
    }

    pub(crate) fn push_large(&self, large: Large) {
        self.drain.lock().large.push_back(large);
    }

    /// Writes, syncs, and on a failure once more on a fresh segment.
    fn sync_gated(&self, gate: &mut Gate, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, WriterError> {
        self.check()?;
        match self.attempt(gate, end) {
            Ok(sealed) => return Ok(sealed),
            Err(DrainError::NoSegment(error)) => return Err(error),
            Err(DrainError::InDoubt(error)) => self.give_up_file(error)?,
        }
        gate.continuations += 1;
        match self.attempt(gate, end) {
            Ok(sealed) => Ok(sealed),
            Err(DrainError::NoSegment(error)) => Err(error),
            Err(DrainError::InDoubt(error)) => Err(self.poison(error)),
        }
    }

    fn attempt(&self, gate: &mut Gate, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, DrainError> {
        let (ticket, sealed) = {
            let mut drain = self.drain.lock();
            let result = drain.write_out().and_then(|()| Self::write_end(&mut drain, end));
            self.written.advance(drain.written_sequence().0);
            (drain.submit(), result?)
        };
        let Some(ticket) = ticket else { return Ok(sealed) };
        // Oldest first: a frame of a later file that is durable says that the earlier ones are.
        for (file, name) in &ticket.files {
            uninterrupted(|| file.sync_data()).map_err(|error| {
                DrainError::InDoubt(WriterError::io("sync", self.supply.storage().path(name), error))
            })?;
        }
        gate.syncs += 1;
        let durable = {
            let mut drain = self.drain.lock();
            drain.complete(&ticket);
            drain.durable_sequence()
        };
        self.durable.advance(durable.0);
        Ok(sealed)
    }

    fn write_end(drain: &mut Drain, end: Option<&EpochEnd>) -> Result<Option<SealedAt>, DrainError> {
        let Some(end) = end else { return Ok(None) };
        if let Some(barrier) = &end.barrier {
            drain.barrier(end.epoch, barrier)?;
        }
        if end.seal { drain.seal(end.epoch.next()).map(Some) } else { Ok(None) }
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

    fn settle(&self, error: WriterError) -> Result<(), WriterError> {
        let mut gate = self.gate.lock();
        self.check()?;
        self.give_up_file(error)?;
        gate.continuations += 1;
        match self.attempt(&mut gate, None) {
            Ok(_) => Ok(()),
            Err(DrainError::NoSegment(error)) => Err(error),
            Err(DrainError::InDoubt(error)) => Err(self.poison(error)),
        }
    }

    fn poison(&self, cause: WriterError) -> WriterError {
        let since = self.drain.lock().durable_sequence();
        self.fail(WriterError::Poisoned { core: self.core, since, cause: Arc::new(cause) })
    }

    /// Stores the first failure and tells everybody. Returns the failure that counts.
    fn fail(&self, error: WriterError) -> WriterError {
        let failure = self.failure.lock().get_or_insert(error).clone();
        self.is_failed.store(true, Release);
        self.written.fail(failure.clone());
        self.durable.fail(failure.clone());
        failure
    }
}

impl Driver for CoreLog {
    fn wanted(&self, target: u64, may_block: bool) {
        self.wanted.fetch_max(target, std::sync::atomic::Ordering::AcqRel);
        if self.flusher.is_some() {
            self.wake_flusher();
        } else if may_block {
            // A failure reaches the waiter through the progress that it waits for; lack of space it would not, but
            // then the next attempt is the waiter's own.
            let _ = self.sync();
        }
    }
}
