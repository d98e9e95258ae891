//! Background threads: flushers that drain and sync, beside the supplier of segments.
//!
//! A flusher works whenever it has something to do and sleeps otherwise: there is no timer to tune. While it syncs,
//! further requests gather, and the next sync covers them all: group commit. It looks at its cores from time to time
//! even if nobody waits, so that no entry stays in memory for long.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `woken`, per core | see `woken.rs` | | a request made before the flusher's look is seen by it; one made after sends a new message |
//! | the inboxes | anybody | one flusher each | a message, and all before it, is seen by whoever takes it: crossbeam's promise |
//! | `threads` | under its mutex | `stop`, which takes them all | |
//!
//! A flusher waits only for messages and for the device; it ends with a `Stop`, after which nothing is taken from its
//! inbox: whoever still sends is told so, and whoever waits for an answer sees its sender dropped.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use wal_format::{CoreId, Epoch};
use wal_writer::stall::{self, Place};
use wal_writer::{CoreLog, EpochEnd, Flusher, Retention as RingRetention, SealedAt, WriterError};

use crate::error::PerCoreWalError;
use crate::shared::{Reason, Shared};
use crate::supplier::Supplier;
use crate::sync::{JoinHandle, Mutex, Next, Receiver, Sender, next, spawn, tick, unbounded};
use crate::woken::Woken;

/// What became of one core's end of an epoch, by index of its log.
pub(crate) type EndResult = (usize, Result<Option<SealedAt>, WriterError>);

/// One core's end of a closed epoch, to be made durable.
pub(crate) struct EndOfEpoch {
    /// Index of the core's log.
    pub(crate) index: usize,
    pub(crate) end: EpochEnd,
    pub(crate) reply: Option<Sender<EndResult>>,
}

enum Task {
    /// The log of this index has work.
    Look(usize),
    End(EndOfEpoch),
    /// Somebody waits for this epoch, which may still be open.
    CloseEpoch(Epoch),
    Stop,
}

/// The ends of the flushers' channels; made before the logs, which wake through it.
pub(crate) struct Flushers {
    inboxes: Vec<Sender<Task>>,
    /// By index of the log, whether a `Look` is on its way.
    woken: Vec<Woken>,
    /// Core to index of its log.
    indices: OnceLock<Vec<CoreId>>,
    supplier: Sender<Option<CoreId>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The receiving ends, until the threads are started.
pub(crate) struct Inboxes {
    flushers: Vec<Receiver<Task>>,
    supplier: Receiver<Option<CoreId>>,
}

/// What logs hold on to in order to wake their flusher.
pub(crate) struct Wake(pub(crate) Arc<OnceLock<Weak<Shared>>>);

impl Flusher for Wake {
    fn wake(&self, core: CoreId) {
        let shared = self.0.get().and_then(Weak::upgrade);
        if let Some(flushers) = shared.as_ref().and_then(|shared| shared.flushers.as_ref()) {
            flushers.wake(core);
        }
    }
}

impl Flushers {
    /// Channels for `threads` flushers of `logs` logs.
    pub(crate) fn new(threads: usize, cores: &[CoreId]) -> (Self, Inboxes) {
        let (inboxes, receivers) = (0..threads).map(|_| unbounded()).unzip();
        let (supplier, supplies) = unbounded();
        let woken = cores.iter().map(|_| Woken::new()).collect();
        let indices = OnceLock::from(cores.to_vec());
        let flushers = Self { inboxes, woken, indices, supplier, threads: Mutex::default() };
        (flushers, Inboxes { flushers: receivers, supplier: supplies })
    }

    /// Starts the threads.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        inboxes: Inboxes,
        memory_time_max: Duration,
    ) -> Result<(), PerCoreWalError> {
        let Some(flushers) = &shared.flushers else { return Ok(()) };
        let count = inboxes.flushers.len();
        let mut threads = flushers.threads.lock();
        for (number, inbox) in inboxes.flushers.into_iter().enumerate() {
            let shared = Arc::clone(shared);
            let run = move || Loop { shared, number, count, inbox, memory_time_max }.run();
            threads.push(spawn(format!("wal-flush-{number}"), run).map_err(thread_error)?);
        }
        let supply = Arc::clone(&shared.supply);
        let supplier = Supplier::new(supply, shared.active_logs().to_vec(), inboxes.supplier);
        threads.push(spawn("wal-supply".to_owned(), || supplier.run()).map_err(thread_error)?);
        drop(threads);
        shared.active_logs().iter().for_each(|log| flushers.request_segment(shared, log));
        Ok(())
    }

    /// Has the core's end of an epoch made durable.
    pub(crate) fn submit(&self, end: EndOfEpoch) {
        let inbox = &self.inboxes[end.index % self.inboxes.len()];
        // A closed inbox: the log is being closed, and its receipts say so.
        let _ = inbox.send(Task::End(end));
    }

    /// Closes `epoch`, soon, if it is still open.
    pub(crate) fn close_epoch(&self, epoch: Epoch) {
        let _ = self.inboxes[0].send(Task::CloseEpoch(epoch));
    }

    /// Stops and joins all threads; the flushers sync their cores a last time.
    pub(crate) fn stop(&self) {
        self.inboxes.iter().for_each(|inbox| drop(inbox.send(Task::Stop)));
        let _ = self.supplier.send(None);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A panic in a flusher was printed by its thread; closing goes on.
            let _ = thread.join();
        }
    }

    fn wake(&self, core: CoreId) {
        let indices = self.indices.get().map_or(&[][..], Vec::as_slice);
        let Ok(index) = indices.binary_search(&core) else { return };
        if self.woken[index].ask() {
            let _ = self.inboxes[index % self.inboxes.len()].send(Task::Look(index));
        }
    }

    fn request_segment(&self, shared: &Shared, log: &CoreLog) {
        if shared.supply.is_wanting(log.core()) {
            let _ = self.supplier.send(Some(log.core()));
        }
    }
}

/// One flusher: serves every `count`-th log, from `number` on.
struct Loop {
    shared: Arc<Shared>,
    number: usize,
    count: usize,
    inbox: Receiver<Task>,
    memory_time_max: Duration,
}

/// So many ticks in a row may a log that somebody waits for fail to get a segment, for another reason than space, before
/// it is given up: about a second, by default. Limits of open files pass, a dead disk does not.
const STUCK_TICKS_MAX: u32 = 100;

impl Loop {
    fn run(self) {
        let ticks = tick(self.memory_time_max);
        let mut stuck = vec![0; self.shared.logs.len()];
        loop {
            match next(&self.inbox, &ticks) {
                Next::Message(Task::Look(index)) => self.look(index),
                Next::Message(Task::End(end)) => self.end(end),
                Next::Message(Task::CloseEpoch(epoch)) => self.close(epoch),
                Next::Message(Task::Stop) | Next::Closed => break,
                Next::Tick => self.tick(&mut stuck),
            }
        }
        for log in self.mine() {
            // Whoever waits gets to see the failure, or that the log is closed.
            let _ = log.sync();
        }
    }

    fn close(&self, epoch: Epoch) {
        // Several may have waited for it.
        if self.shared.current_epoch() <= epoch {
            self.shared.advance_epoch(Reason::Awaited);
        }
    }

    fn mine(&self) -> impl Iterator<Item = &Arc<CoreLog>> {
        self.shared.logs.iter().skip(self.number).step_by(self.count)
    }

    fn look(&self, index: usize) {
        let Some(flushers) = &self.shared.flushers else { return };
        let log = &self.shared.logs[index];
        flushers.woken[index].answer(|| {
            stall::at(Place::Woken);
            serve(log);
        });
        flushers.request_segment(&self.shared, log);
    }

    fn end(&self, end: EndOfEpoch) {
        let log = Arc::clone(&self.shared.logs[end.index]);
        self.shared.run_end(end);
        self.shared.flushers.as_ref().inspect(|flushers| flushers.request_segment(&self.shared, &log));
    }

    /// From time to time: what is in memory only goes to files, what failed for want of a segment is tried again.
    ///
    /// `stuck` counts, per log, the ticks at which that was in vain. Lack of space is waited out, since it is somebody's to
    /// end, and appends say so. Anything else fails the log for good after a while: whoever waits must not wait for ever.
    fn tick(&self, stuck: &mut [u32]) {
        let is_mine = |index: &usize| index % self.count == self.number;
        self.shared.retry_deferred(|index| is_mine(&index));
        for index in (0..self.shared.logs.len()).filter(is_mine) {
            let log = &self.shared.logs[index];
            let failed = if log.is_wanted() {
                log.sync().err()
            } else {
                if log.written() < log.appended() {
                    let _ = log.write_out();
                }
                None
            };
            match failed.or_else(|| self.shared.deferred_error(index)) {
                Some(error @ WriterError::Io { .. }) => {
                    stuck[index] += 1;
                    if stuck[index] >= STUCK_TICKS_MAX {
                        log.give_up(error);
                    }
                }
                _ => stuck[index] = 0,
            }
            self.shared.flushers.as_ref().inspect(|flushers| flushers.request_segment(&self.shared, log));
        }
    }
}

/// Does what `log` was woken for, as far as it can tell.
pub(crate) fn serve(log: &CoreLog) {
    // Errors reach whoever waits, or the next append, through the log itself; lack of space is tried again.
    let _ = if log.is_wanted() || log.retention() == RingRetention::UntilDurable {
        log.sync().map(drop)
    } else {
        log.write_out()
    };
}

fn thread_error(cause: std::io::Error) -> PerCoreWalError {
    PerCoreWalError::Io { operation: "start a thread for", path: "the log".into(), cause }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use wal_format::{FileName, SegmentNumber, Sequence};

    use super::*;
    use crate::{PerCoreWalConfig, PerCoreWalManager};

    /// A log of two cores whose second one gets no file until it is let, and a flusher of all of it that ticks by hand.
    fn log(work: impl FnOnce(&mut PerCoreWalManager, &Loop, &dyn Fn())) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new(&path, 2).inline()).unwrap();
        // Numbers are used once, at every attempt another.
        let taken = (0..300).map(|number| FileName::Segment(CoreId(1), SegmentNumber(number)).to_string());
        let taken: Vec<_> = taken.map(|name| path.join(name)).collect();
        manager.writer(1).append_put(b"key", b"value").unwrap();
        manager.writer(1).sync().unwrap();
        for file in &taken[1..] {
            std::fs::write(file, b"").unwrap();
        }
        let shared = Arc::clone(manager.shared());
        let (_sender, inbox) = unbounded();
        let flusher = Loop { shared, number: 0, count: 1, inbox, memory_time_max: Duration::ZERO };
        work(&mut manager, &flusher, &|| taken[1..].iter().for_each(|file| drop(std::fs::remove_file(file))));
    }

    /// Makes the log of core 1 need its next file, and somebody wait for that.
    fn need_a_file(manager: &mut PerCoreWalManager) {
        let log = Arc::clone(manager.writer(1).log());
        log.request_seal(manager.writer(1).epoch().next());
        manager.writer(0).append_put(b"key", b"value").unwrap();
        manager.advance_epoch();
        manager.writer(1).append_put(b"key", b"value").unwrap();
        log.durable_receipt(Sequence(2)).start();
    }

    #[test]
    fn a_log_that_somebody_waits_for_is_given_up_at_the_hundredth_tick_without_a_file() {
        log(|manager, flusher, _| {
            need_a_file(manager);
            let mut stuck = vec![0; 2];
            for tick in 1..=STUCK_TICKS_MAX {
                assert!(flusher.shared.logs[1].check().is_ok(), "given up before tick {tick}");
                flusher.tick(&mut stuck);
                assert_eq!(stuck, [0, tick]);
            }
            assert!(matches!(flusher.shared.logs[1].check(), Err(WriterError::Poisoned { .. })));
            assert!(flusher.shared.logs[0].check().is_ok(), "the other one goes on");
        });
    }

    #[test]
    fn a_tick_that_finds_a_file_begins_the_count_anew() {
        log(|manager, flusher, let_it| {
            need_a_file(manager);
            let mut stuck = vec![0; 2];
            (1..STUCK_TICKS_MAX).for_each(|_| flusher.tick(&mut stuck));
            assert_eq!(stuck, [0, STUCK_TICKS_MAX - 1]);
            let_it();
            flusher.tick(&mut stuck);
            assert_eq!((stuck, flusher.shared.logs[1].durable()), (vec![0, 0], Sequence(2)));
        });
    }

    /// An epoch that waits for its end on that core, for which nobody waits at the log itself.
    #[test]
    fn a_core_whose_end_of_an_epoch_finds_no_file_is_given_up_and_no_other() {
        log(|manager, flusher, _| {
            let log = Arc::clone(manager.writer(1).log());
            log.request_seal(manager.writer(1).epoch().next());
            manager.writer(0).append_put(b"key", b"value").unwrap();
            manager.advance_epoch();
            manager.writer(1).append_put(b"key", b"value").unwrap();
            let epoch = manager.advance_epoch();
            assert!(!log.is_wanted() && manager.durable_epoch() < epoch);
            for index in [0, 1] {
                let error = flusher.shared.deferred_error(index);
                assert_eq!(matches!(error, Some(WriterError::Io { .. })), index == 1, "{index}: {error:?}");
            }
            let mut stuck = vec![0; 2];
            for tick in 1..=STUCK_TICKS_MAX {
                assert!(log.check().is_ok(), "given up before tick {tick}");
                flusher.tick(&mut stuck);
                assert_eq!(stuck, [0, tick]);
            }
            assert!(matches!(log.check(), Err(WriterError::Poisoned { .. })));
        });
    }

    #[test]
    fn a_flusher_serves_its_own_logs_and_no_others() {
        for number in 0..2 {
            log(|manager, flusher, let_it| {
                let_it();
                manager.writer(0).append_put(b"key", b"value").unwrap();
                manager.writer(1).append_put(b"key", b"value").unwrap();
                let (shared, (_sender, inbox)) = (Arc::clone(&flusher.shared), unbounded());
                let one = Loop { shared, number, count: 2, inbox, memory_time_max: Duration::ZERO };
                one.tick(&mut [0, 0]);
                let logs = &flusher.shared.logs;
                assert_eq!(
                    [0, 1].map(|index| logs[index].written() == logs[index].appended()),
                    [number == 0, number == 1]
                );
            });
        }
    }

    #[test]
    fn a_tick_writes_out_what_is_in_memory_and_syncs_what_is_waited_for() {
        log(|manager, flusher, let_it| {
            let_it();
            manager.writer(0).append_put(b"key", b"value").unwrap();
            let log = Arc::clone(manager.writer(0).log());
            let mut stuck = vec![0; 2];
            flusher.tick(&mut stuck);
            assert_eq!((log.written(), log.durable()), (Sequence(1), Sequence(0)));
            log.durable_receipt(Sequence(1)).start();
            flusher.tick(&mut stuck);
            assert_eq!(log.durable(), Sequence(1));
            assert_eq!(stuck, [0, 0]);
        });
    }
}
