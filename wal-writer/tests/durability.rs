//! What is acknowledged, when, and to whom: syncs, receipts, threads, closing.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests stand outside of the loom models"
)]

mod common;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use parking_lot::Mutex;

use common::{LOSE_ALL, Random, SMALL, check_entries, read_image, rig, segments, setup};
use wal_writer::format::{Barrier, CoreId, Epoch, Sequence};
use wal_writer::storage::recording::{Fault, Hook, OperationKind};
use wal_writer::{CoreLog, EpochEnd, Flusher, LogOptions, Receipt, Retention, WriterError};

/// Runs `during` in the middle of the next sync.
fn during_next_sync(during: impl FnOnce() + Send + 'static) -> Hook {
    let during = Mutex::new(Some(during));
    Arc::new(move |kind, _| {
        if kind == OperationKind::Sync {
            // Not held while it runs: that may sync, too.
            let during = during.lock().take();
            during.into_iter().for_each(|during| during());
        }
    })
}

#[test]
fn a_sync_covers_only_what_was_drained_when_it_was_submitted() {
    let mut rig = rig(SMALL);
    rig.puts(3, 50);
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    rig.storage.set_hook(Some(during_next_sync(move || {
        ask.send(()).unwrap();
        answered.recv().unwrap();
    })));
    let log = Arc::clone(&rig.log);
    thread::scope(|scope| {
        let syncing = scope.spawn(move || log.sync());
        asked.recv().unwrap();
        // The device is at work: more is appended, and even written to the file.
        rig.puts(4, 50);
        rig.log.write_out().unwrap();
        answer.send(()).unwrap();
        assert_eq!(syncing.join().unwrap().unwrap(), Sequence(3));
    });
    assert_eq!((rig.log.written(), rig.log.durable()), (Sequence(7), Sequence(3)));
    check_entries(&rig.read_durable(), &rig.appended[..3]);
    rig.writer.sync().unwrap();
    rig.check_durable();
}

/// What recovery tells a torn end from lost data by.
#[test]
fn every_frame_says_what_was_durable_when_it_was_built() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut random = Random(seed);
        // Room for more than ever waits for a sync: nobody drains but whom this test asks to.
        let mut rig = rig(LogOptions { ring_bytes: 64 * 1024, ..SMALL });
        let (mut known, mut links, mut sealed) = (BTreeMap::new(), BTreeMap::new(), 0);
        for _ in 0..80 {
            let durable = rig.log.durable_position();
            rig.puts(1 + random.below(3) as usize, random.below(600) as usize);
            match random.below(6) {
                0 | 1 => rig.log.write_out().unwrap(),
                // The next segment begins with the entry after it, when this one is durable or is not.
                2 => {
                    let (epoch, _) = rig.close_epoch();
                    rig.log.end_epoch(&EpochEnd { epoch, barrier: None, seal: true }).unwrap();
                }
                _ => drop(rig.writer.sync().unwrap()),
            }
            for segment in segments(&rig.storage.current()) {
                let number = segment.header.segment;
                for (offset, frame) in &segment.frames {
                    let expected = if durable.segment == number { durable.offset } else { 0 };
                    let said = known.entry((number, *offset)).or_insert_with(|| {
                        assert_eq!(frame.synced_through, expected, "{number}, frame at {offset}");
                        frame.synced_through
                    });
                    assert_eq!(*said, frame.synced_through, "what is written does not change");
                }
                if let Some(previous) = segment.header.previous {
                    let expected = if durable.segment == previous.segment { durable.offset } else { 0 };
                    let said = links.entry(number).or_insert_with(|| {
                        assert_eq!(previous.synced_through, expected, "{number} of the one before");
                        expected
                    });
                    assert!(*said == previous.synced_through && *said <= previous.end);
                    sealed += u64::from(*said == previous.end);
                }
            }
        }
        assert!(known.keys().any(|(number, _)| number.0 > 2), "no rotation");
        assert!(sealed > 0, "no segment follows one that was wholly durable");
    }
}

/// What is told as written survives a kill at that moment: what is appended while a write is under way is not in it.
#[test]
fn what_arrives_during_a_write_is_not_told_as_written() {
    for retention in [Retention::UntilDurable, Retention::UntilWritten] {
        for syncs in [false, true] {
            let mut rig = rig(LogOptions { retention, ring_bytes: 1 << 16, ..SMALL });
            rig.puts(3, 50);
            let (ask, asked) = mpsc::channel();
            let (answer, answered) = mpsc::channel();
            let during = Mutex::new(Some((ask, answered)));
            rig.storage.set_hook(Some(Arc::new(move |kind, _: &str| {
                if kind == OperationKind::Write
                    && let Some((ask, answered)) = during.lock().take()
                {
                    ask.send(()).unwrap();
                    answered.recv().unwrap();
                }
            })));
            let log = Arc::clone(&rig.log);
            let mut later = None;
            thread::scope(|scope| {
                let writing = scope.spawn(move || if syncs { log.sync().map(drop) } else { log.write_out() });
                asked.recv().unwrap();
                rig.puts(4, 50);
                later = Some([rig.writer.written(), rig.log.written_receipt(Sequence(4))]);
                assert_eq!(rig.log.written(), Sequence(0), "nothing is in a file yet");
                answer.send(()).unwrap();
                writing.join().unwrap().unwrap();
            });
            let context = format!("{retention:?}, by a sync: {syncs}");
            assert_eq!(rig.log.written(), Sequence(3), "{context}");
            assert_eq!(rig.log.stats().written_entries, 3, "{context}");
            let first = rig.log.written_receipt(Sequence(3));
            assert!(first.is_ready() && !later.iter().flatten().any(Receipt::is_ready), "{context}");
            check_entries(&rig.read(), &rig.appended[..3]);
            later.into_iter().flatten().for_each(|later| later.wait().unwrap());
            rig.check_all();
        }
    }
}

#[test]
fn a_sync_that_has_nothing_to_do_calls_nobody() {
    let mut rig = rig(SMALL);
    let nothing = EpochEnd { epoch: Epoch(1), barrier: None, seal: false };
    for entries in 0..3 {
        rig.puts(entries, 50);
        rig.writer.sync().unwrap();
        let before = rig.storage.event_count();
        rig.writer.sync().unwrap();
        assert!(rig.log.end_epoch(&nothing).unwrap().is_none());
        assert_eq!(rig.storage.event_count(), before);
    }
}

#[test]
fn an_entry_beside_the_ring_is_kept_while_a_sync_that_began_before_it_ends() {
    let mut rig = rig(SMALL);
    rig.puts(3, 50);
    rig.writer.sync().unwrap();
    let (closed, cut) = rig.close_epoch();
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    rig.storage.set_hook(Some(during_next_sync(move || {
        ask.send(()).unwrap();
        answered.recv().unwrap();
    })));
    let log = Arc::clone(&rig.log);
    thread::scope(|scope| {
        // Everything is durable but the barrier: the ring is empty, and a large entry waits for nobody.
        let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(log.core(), cut)] });
        let ending = scope.spawn(move || log.end_epoch(&EpochEnd { epoch: closed, barrier, seal: false }));
        asked.recv().unwrap();
        rig.put(9_000).unwrap();
        answer.send(()).unwrap();
        ending.join().unwrap().unwrap();
    });
    rig.writer.sync().unwrap();
    rig.check_durable();
}

#[test]
fn what_arrives_during_a_sync_is_still_there_when_the_next_one_fails() {
    let mut rig = rig(SMALL);
    rig.puts(3, 50);
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    rig.storage.set_hook(Some(during_next_sync(move || {
        ask.send(()).unwrap();
        answered.recv().unwrap();
    })));
    let log = Arc::clone(&rig.log);
    thread::scope(|scope| {
        let syncing = scope.spawn(move || log.sync());
        asked.recv().unwrap();
        rig.puts(4, 50);
        rig.log.write_out().unwrap();
        answer.send(()).unwrap();
        assert_eq!(syncing.join().unwrap().unwrap(), Sequence(3));
    });
    // Only the ring still has what is written again: the first sync must not have given it back.
    let kind = Some(OperationKind::Sync);
    rig.storage.inject(Fault { kind, name: None, after: 0, error: ErrorKind::Other, for_good: false });
    assert_eq!(rig.writer.sync().unwrap(), Sequence(7));
    rig.check_durable();
}

#[test]
fn a_segment_that_is_left_during_its_sync_is_synced_again() {
    for retention in [Retention::UntilWritten, Retention::UntilDurable] {
        let mut rig = rig(LogOptions { retention, ring_bytes: 1 << 16, ..SMALL });
        rig.puts(3, 50);
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        rig.storage.set_hook(Some(during_next_sync(move || {
            ask.send(()).unwrap();
            answered.recv().unwrap();
        })));
        let log = Arc::clone(&rig.log);
        thread::scope(|scope| {
            let syncing = scope.spawn(move || log.sync());
            asked.recv().unwrap();
            // More goes to the same segment, and then to the next one.
            rig.puts(20, 1_000);
            rig.log.write_out().unwrap();
            answer.send(()).unwrap();
            syncing.join().unwrap().unwrap();
        });
        rig.writer.sync().unwrap();
        rig.check_durable();
    }
}

#[test]
fn concurrent_syncs_and_appends_acknowledge_only_what_is_durable() {
    for retention in [Retention::UntilDurable, Retention::UntilWritten] {
        let mut rig = rig(LogOptions { retention, ..SMALL });
        let is_over = AtomicBool::new(false);
        let log = Arc::clone(&rig.log);
        let storage = rig.storage.clone();
        let acknowledged = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        let durable = log.sync().unwrap();
                        acknowledged.lock().push((storage.event_count(), durable));
                    }
                });
            }
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    log.write_out().unwrap();
                    thread::yield_now();
                }
            });
            for _ in 0..300 {
                rig.puts(1, 300);
                thread::yield_now();
            }
            is_over.store(true, SeqCst);
        });
        rig.writer.sync().unwrap();
        rig.check_durable();
        let acknowledged = acknowledged.into_inner();
        for (events, durable) in acknowledged.iter().step_by(acknowledged.len() / 50 + 1) {
            let entries = read_image(rig.storage.image(*events, &LOSE_ALL)).unwrap();
            assert!(
                entries.len() as u64 >= durable.0,
                "acknowledged {durable}, {} are durable",
                entries.len()
            );
        }
    }
}

/// Counts who was woken, and syncs on a thread of its own.
struct Background {
    wakes: mpsc::Sender<()>,
    count: AtomicU64,
}

impl Flusher for Background {
    fn wake(&self, _core: CoreId) {
        self.count.fetch_add(1, SeqCst);
        let _ = self.wakes.send(());
    }
}

fn flush_when_woken(log: &CoreLog, woken: &mpsc::Receiver<()>) {
    while woken.recv().is_ok() {
        if log.is_wanted() {
            let _ = log.sync();
        }
    }
}

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

#[test]
fn receipts_resolve_blocking_and_awaited_with_a_flusher_in_the_background() {
    let (wakes, woken) = mpsc::channel();
    let background = Arc::new(Background { wakes, count: AtomicU64::new(0) });
    let mut setup = setup(SMALL);
    setup.flusher = Some(Arc::clone(&background) as _);
    let mut rig = setup.build();
    let log = Arc::clone(&rig.log);
    let flushing = thread::Builder::new().spawn(move || flush_when_woken(&log, &woken)).unwrap();
    for round in 0..50_u64 {
        rig.puts(2, 40);
        let (durable, written) = (rig.writer.durable(), rig.writer.written());
        if round % 2 == 0 {
            durable.wait().unwrap();
        } else {
            block_on(durable).unwrap();
        }
        assert!(rig.log.durable() >= rig.writer.position());
        assert!(written.is_ready());
        written.wait().unwrap();
        let entries = read_image(rig.storage.image(rig.storage.event_count(), &LOSE_ALL)).unwrap();
        check_entries(&entries, &rig.appended);
    }
    assert!(background.count.load(SeqCst) >= 50);
    drop((rig, background));
    // The flusher ends when the last log with a handle on its channel is gone: it holds one itself, so close by hand.
    drop(flushing);
}

#[test]
fn without_a_flusher_a_blocking_wait_does_the_work_itself() {
    let mut rig = rig(SMALL);
    rig.puts(5, 10);
    rig.writer.durable().wait().unwrap();
    rig.check_durable();
}

#[test]
fn many_threads_wait_for_one_sync() {
    let mut rig = rig(SMALL);
    rig.puts(5, 10);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|at| {
                let receipt = rig.log.durable_receipt(Sequence(at % 5 + 1));
                scope.spawn(move || if at % 2 == 0 { receipt.wait() } else { block_on(receipt) })
            })
            .collect();
        rig.writer.sync().unwrap();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap().is_ok()));
    });
}

#[test]
fn closing_ends_every_wait_and_every_later_call() {
    let mut rig = rig(SMALL);
    rig.puts(2, 10);
    let receipts = [rig.writer.durable(), rig.writer.written()];
    let log = Arc::clone(&rig.log);
    thread::scope(|scope| {
        // Awaited, so that the wait itself does not sync.
        let waiting = receipts.map(|receipt| scope.spawn(move || block_on(receipt)));
        log.close();
        for thread in waiting {
            assert!(matches!(thread.join().unwrap(), Err(WriterError::Closed { core: common::CORE })));
        }
    });
    assert!(matches!(rig.put(1), Err(WriterError::Closed { .. })));
    assert!(matches!(rig.put(100_000), Err(WriterError::Closed { .. })));
    assert!(matches!(rig.writer.sync(), Err(WriterError::Closed { .. })));
    assert!(matches!(rig.log.write_out(), Err(WriterError::Closed { .. })));
    assert!(matches!(rig.writer.durable().wait(), Err(WriterError::Closed { .. })));
}

#[test]
fn a_dropped_writer_leaves_its_entries_to_be_synced_by_others() {
    let mut rig = rig(SMALL);
    rig.puts(5, 10);
    let receipt = rig.writer.durable();
    let (log, storage, appended) = (Arc::clone(&rig.log), rig.storage.clone(), rig.appended.clone());
    drop(rig.writer);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || block_on(receipt));
        log.sync().unwrap();
        waiting.join().unwrap().unwrap();
    });
    check_entries(&read_image(storage.image(storage.event_count(), &LOSE_ALL)).unwrap(), &appended);
}
