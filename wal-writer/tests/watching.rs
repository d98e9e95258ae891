//! What one core's log says of itself: exact after every failure, in order at every moment, durations included.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test with threads")]

mod common;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use common::*;
use wal_writer::stall::{self, Place};
use wal_writer::storage::recording::{Fault, OperationKind};
use wal_writer::{Clock, LogOptions, Retention, TimeSource, WriterError};

/// Time passes only when a test says so.
#[derive(Default)]
struct Hand(AtomicU64);

impl TimeSource for Hand {
    fn now_ns(&self) -> u64 {
        1_000
    }
    fn monotonic_ns(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// A log on a disk whose syncs take `sync_ns` each.
fn with_syncs_of(sync_ns: u64, options: LogOptions) -> Rig {
    let hand = Arc::new(Hand::default());
    let mut setup = setup(options);
    setup.clock = Clock::injected(Arc::clone(&hand) as _);
    let rig = setup.build();
    rig.storage.set_hook(Some(Arc::new(move |kind, _: &str| {
        if kind == OperationKind::Sync {
            hand.0.fetch_add(sync_ns, SeqCst);
        }
    })));
    rig
}

fn failing(kind: OperationKind, for_good: bool) -> Fault {
    Fault { kind: Some(kind), name: None, after: 0, error: std::io::ErrorKind::Other, for_good }
}

#[test]
fn a_sync_takes_what_the_device_takes_and_makes_durable_what_was_drained() {
    let mut rig = with_syncs_of(1_000, SMALL);
    for (syncs, entries) in (1..).zip([1_u64, 5, 2]) {
        rig.puts(usize::try_from(entries).unwrap(), 10);
        rig.writer.sync().unwrap();
        // Nothing is left to be made durable.
        rig.writer.sync().unwrap();
        let stats = rig.log.stats();
        assert_eq!((stats.syncs, stats.sync_ns.count(), stats.sync_entries.count()), (syncs, syncs, syncs));
        assert_eq!((stats.sync_ns.sum(), stats.sync_ns.max()), (1_000 * syncs, 1_000));
        assert_eq!(stats.sync_entries.sum(), stats.durable_entries);
        assert_eq!(stats.durable_entries, rig.appended.len() as u64);
    }
    assert_eq!(rig.log.stats().room_wait_ns.count(), 0);
}

#[test]
fn who_waits_for_room_is_counted_with_the_time_that_it_took() {
    for (retention, each_ns) in [(Retention::UntilDurable, 1_000), (Retention::UntilWritten, 0)] {
        let mut rig = with_syncs_of(1_000, LogOptions { retention, ..SMALL });
        let mut waits = 0;
        let mut fullest = 0;
        for _ in 0..200 {
            let before = rig.log.written();
            rig.put(100).unwrap();
            // Nobody else drains: an append that finds entries written on its return has waited.
            waits += u64::from(rig.log.written() > before);
            let stats = rig.log.stats();
            assert_eq!(stats.room_wait_ns.count(), waits, "{retention:?}");
            fullest = fullest.max(stats.ring_fill_bytes);
            assert_eq!(stats.ring_fill_bytes_max, fullest, "{retention:?}");
            assert!(stats.ring_fill_bytes <= stats.ring_bytes && stats.ring_bytes == 4096);
            #[allow(clippy::cast_precision_loss, reason = "a small number")]
            let part = stats.ring_fill_bytes as f64 / 4096.0;
            assert!((stats.ring_fill() - part).abs() < 1e-9);
        }
        assert!(waits > 3, "{retention:?}: the ring was never full");
        assert!(fullest > 3 * 1024, "{retention:?}: {fullest}");
        let stats = rig.log.stats();
        // Rotated files are synced along with the current one, and made by somebody who waits.
        assert!(stats.room_wait_ns.sum() >= waits * each_ns, "{retention:?}");
        rig.writer.sync().unwrap();
        assert_eq!(rig.log.stats().durable_entries, 200);
    }
}

#[test]
fn what_an_earlier_process_appended_is_not_counted() {
    let mut setup = setup(SMALL);
    setup.start.sequence = wal_writer::format::Sequence(1_000);
    let mut rig = setup.build();
    rig.puts(3, 10);
    let rungs = |rig: &Rig| {
        let stats = rig.log.stats();
        (stats.entries, stats.written_entries, stats.durable_entries)
    };
    assert_eq!(rungs(&rig), (3, 0, 0));
    rig.log.write_out().unwrap();
    assert_eq!(rungs(&rig), (3, 3, 0));
    rig.writer.sync().unwrap();
    assert_eq!(rungs(&rig), (3, 3, 3));
}

#[test]
fn a_failed_sync_is_no_sync_and_what_is_written_again_is_counted_once() {
    for (kind, syncs_failed, writes_failed) in [(OperationKind::Sync, 1, 0), (OperationKind::Write, 0, 1)] {
        let mut rig = rig(SMALL);
        rig.puts(5, 100);
        rig.writer.sync().unwrap();
        let before = rig.log.stats();
        rig.puts(5, 100);
        rig.storage.inject(failing(kind, false));
        rig.writer.sync().unwrap();
        let stats = rig.log.stats();
        assert_eq!(stats.since(&before).syncs, 1, "{kind:?}");
        assert_eq!(stats.since(&before).sync_entries.sum(), 5, "{kind:?}");
        assert_eq!((stats.sync_failures, stats.write_failures), (syncs_failed, writes_failed));
        assert_eq!(stats.continuations, 1, "{kind:?}");
        let segments = segments(&rig.storage.current());
        let frames: Vec<_> =
            segments.iter().flat_map(|segment| &segment.frames).map(|(_, frame)| frame).collect();
        assert_eq!(stats.frames, frames.len() as u64, "{kind:?}");
        let bytes: usize = frames.iter().map(|frame| frame.frame_bytes()).sum();
        assert_eq!(stats.bytes, bytes as u64, "{kind:?}");
        let repeated: Vec<_> =
            frames.iter().map(|frame| (frame.first_sequence, frame.payload_bytes)).collect();
        let once: std::collections::BTreeMap<_, _> = repeated.iter().copied().collect();
        assert_eq!(
            stats.payload_bytes,
            once.values().map(|bytes| u64::from(*bytes)).sum::<u64>(),
            "{kind:?}"
        );
        if kind == OperationKind::Sync {
            assert!(repeated.len() > once.len(), "nothing was written again");
        }
        assert_eq!(stats.poisoned_since, None);
    }
}

#[test]
fn a_log_that_is_poisoned_says_since_when_and_counts_no_success() {
    let mut rig = rig(LogOptions { retention: Retention::UntilWritten, ..SMALL });
    rig.puts(5, 100);
    rig.writer.sync().unwrap();
    let before = rig.log.stats();
    rig.puts(3, 100);
    rig.storage.inject(failing(OperationKind::Sync, false));
    let error = rig.writer.sync().unwrap_err();
    assert!(matches!(error, WriterError::Poisoned { .. }));
    let stats = rig.log.stats();
    assert_eq!(stats.poisoned_since, Some(wal_writer::format::Sequence(5)));
    assert_eq!((stats.syncs, stats.continuations), (before.syncs, 0));
    assert_eq!(stats.sync_failures, 1);
    assert_eq!(stats.durable_lag_entries(), 3);
}

/// An append publishes its entry before it says so, and may lose its CPU in between.
#[test]
fn an_entry_that_is_drained_before_its_append_returns_counts_as_appended() {
    static HOLD: AtomicBool = AtomicBool::new(true);
    static HELD: AtomicBool = AtomicBool::new(false);
    thread_local! {
        static IS_HELD_UP: Cell<bool> = const { Cell::new(false) };
    }
    let installed = stall::install(|place| {
        if place == Place::Published && IS_HELD_UP.get() {
            HELD.store(true, SeqCst);
            while HOLD.load(SeqCst) {
                std::thread::yield_now();
            }
        }
    });
    assert!(installed, "the only hook of this program");
    let Rig { mut writer, log, .. } = rig(SMALL);
    writer.append_put(b"first", b"").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            IS_HELD_UP.set(true);
            writer.append_put(b"second", b"").unwrap();
        });
        while !HELD.load(SeqCst) {
            std::thread::yield_now();
        }
        log.sync().unwrap();
        log.write_out().unwrap();
        let stats = log.stats();
        HOLD.store(false, SeqCst);
        let rungs = [stats.durable_entries, stats.written_entries, stats.entries];
        assert!(rungs.is_sorted(), "{rungs:?}");
        assert_eq!(rungs[1..], [2, 2]);
    });
}
