//! What is told of durations and of what was there before: by a clock that only a test moves, and after reopening.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_types, reason = "a clock that is moved by hooks")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use wal_coordinator::*;
use wal_reader::Source;
use wal_writer::TimeSource;

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

#[test]
fn epochs_and_checkpoints_take_what_the_device_takes() {
    let (_directory, path) = place();
    let (watched, hand) = (Watched::new(&path), Arc::new(Hand::default()));
    let mut options = watched.under(config(&path, 2));
    options.clock = Clock::injected(Arc::clone(&hand) as _);
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let opened = manager.stats();
    assert_eq!(opened.elapsed, Duration::ZERO);
    let seen: Arc<Mutex<Option<CheckpointStats>>> = Arc::default();
    let (handle, during) = (manager.handle(), Arc::clone(&seen));
    watched.set_hook({
        let hand = Arc::clone(&hand);
        move |kind, name| {
            if kind == Kind::Sync {
                hand.0.fetch_add(1_000, SeqCst);
            }
            if kind == Kind::Rename && name.starts_with("checkpoint.manifest") {
                *during.lock() = Some(handle.stats().checkpoints);
            }
        }
    });
    for epochs in 1..=3 {
        manager.writer(0).append_put(b"key", b"value").unwrap();
        hand.0.fetch_add(50, SeqCst);
        manager.advance_epoch();
        let stats = manager.stats();
        assert_eq!((stats.epoch_close_ns.count(), stats.epoch_close_ns.sum()), (epochs, 0));
        assert_eq!((stats.epoch_durable_ns.count(), stats.epoch_durable_ns.sum()), (epochs, 1_000 * epochs));
        assert_eq!(stats.since(&opened).elapsed, Duration::from_nanos(hand.0.load(SeqCst)));
        assert_eq!((stats.checkpoints.running, stats.checkpoints.age), (None, None));
    }
    let begun = hand.0.load(SeqCst);
    checkpoints.create_checkpoint().unwrap();
    let took = hand.0.load(SeqCst) - begun;
    hand.0.fetch_add(7_000, SeqCst);
    let stats = manager.stats().checkpoints;
    assert_eq!((stats.duration_ns.sum(), stats.age), (took, Some(Duration::from_nanos(7_000))));
    assert_eq!(stats.running, None);
    // When its manifest got its name, all syncs but none of what followed were behind it.
    let during = seen.lock().clone().unwrap();
    assert_eq!((during.running, during.age), (Some(Duration::from_nanos(took)), None));
}

#[test]
fn what_an_earlier_process_left_is_held_free_or_gone() {
    for prepared in [false, true] {
        let (_directory, path) = place();
        let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
        for core in 0..2 {
            for number in 0..200_u64 {
                manager.writer(core).append_put(&number.to_le_bytes(), &[7; 1_000]).unwrap();
                manager.writer(core).sync().unwrap();
            }
        }
        manager.writer(0).append_put(b"larger than a segment", &[7; 100_000]).unwrap();
        manager.sync_all().unwrap();
        drop(manager);
        // A file that was made ahead, and never used.
        let last = segment_files(&path, 1).last().unwrap().0;
        let ahead = path.join(wal_format::FileName::Segment(CoreId(1), last.next()).to_string());
        if prepared {
            std::fs::write(&ahead, vec![0; 64 * 1024]).unwrap();
        }
        // What a crash left of a replacement.
        for target in ["wal.meta", "checkpoint.manifest"] {
            std::fs::write(path.join(format!("{target}.tmp")), b"half").unwrap();
        }
        let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
        let names = wal_reader::Directory::new(&path).names().unwrap();
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
        let stats = manager.stats();
        // What was made ahead is used by the opening, or waits.
        let free = names.iter().filter(|name| name.starts_with("free-")).count();
        assert_eq!(stats.free_segments, free as u64);
        let reused: u64 = stats.cores.iter().map(|core| core.segments.reused).sum();
        assert_eq!(reused + stats.free_segments, u64::from(prepared));
        for (core, of_core) in (0..).zip(&stats.cores) {
            let files = segment_files(&path, core);
            let held: u64 = files.iter().map(|(_, file)| std::fs::metadata(file).unwrap().len()).sum();
            assert_eq!(of_core.held_bytes, held, "core {core}, prepared: {prepared}");
        }
        assert_eq!(stats.pinned, manager.why_pinned().unwrap());
        manager.writer(0).append_put(b"key", b"value").unwrap();
        CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    }
}
