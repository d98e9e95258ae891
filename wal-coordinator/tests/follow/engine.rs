//! Followers inside the engine's process: woken by durability, pinned until they have read, limited in what they hold.

use std::time::Duration;

use tempfile::TempDir;
use wal_coordinator::{
    CheckpointCoordinator, Epoch, FollowError, FollowOptions, LogFollower, OrderKey, PerCoreWalConfig,
    PerCoreWalError, PerCoreWalManager, PinnedBy, Sequence, Start, WriterError,
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn config(place: &TempDir, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(place.path(), cores).inline();
    config.log.segment_bytes = 64 * 1024;
    config.log.ring_bytes = 64 * 1024;
    config.free_segments_max = 0;
    config
}

fn options() -> FollowOptions {
    FollowOptions::new("replica")
}

fn drain(follower: &mut LogFollower) -> Vec<OrderKey> {
    let mut keys = Vec::new();
    while follower.advance().unwrap() {
        keys.push(follower.entry().order_key());
    }
    keys
}

/// Some segments' worth on core 0, in a durable epoch.
fn fill(manager: &mut PerCoreWalManager, segments: usize) {
    for _ in 0..segments * 16 {
        manager.writer(0).append_put(b"key", &[7; 4096]).unwrap();
    }
    manager.advance_epoch();
}

#[test]
fn an_epoch_comes_out_as_soon_as_it_is_durable_and_not_before() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 3)).unwrap();
    let mut follower = manager.handle().follow(options()).unwrap();
    manager.writer(2).append_put(b"key", b"1").unwrap();
    manager.writer(0).append_put(b"key", b"2").unwrap();
    manager.sync_all().unwrap();
    assert_eq!(drain(&mut follower).len(), 0, "durable, but the epoch is not over");
    manager.advance_epoch();
    let keys = drain(&mut follower);
    assert_eq!(keys.iter().map(|key| key.core_id.0).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(follower.epoch(), Epoch(1));
}

#[test]
fn a_batch_is_told_by_all_of_its_entries_but_the_last() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 1)).unwrap();
    let mut follower = manager.handle().follow(options()).unwrap();
    let mut batch = wal_coordinator::WriteBatch::new();
    batch.put(b"a", b"1").delete(b"b").put(b"c", b"3");
    manager.writer(0).append_batch(&batch).unwrap();
    manager.writer(0).append_put(b"d", b"4").unwrap();
    manager.advance_epoch();
    let mut told = Vec::new();
    while follower.advance().unwrap() {
        told.push(follower.more_of_batch());
    }
    assert_eq!(told, [true, true, false, false]);
}

#[test]
fn a_follower_that_waits_is_woken_by_the_durable_epoch_and_closes_none() {
    let place = tempfile::tempdir().unwrap();
    let mut config = config(&place, 2);
    config.flush = wal_coordinator::FlushMode::Background { threads: 0 };
    let mut manager = PerCoreWalManager::new(config).unwrap();
    let handle = manager.handle();
    let mut follower = handle.follow(options()).unwrap();
    manager.writer(1).append_put(b"key", b"value").unwrap();
    assert!(!follower.advance_within(Duration::from_millis(1)).unwrap());
    assert_eq!(handle.epoch(), Epoch(1), "waiting closed the epoch");
    std::thread::scope(|scope| {
        let (waits, is_waiting) = std::sync::mpsc::channel();
        let follower = scope.spawn(move || {
            waits.send(()).unwrap();
            let woken = follower.next(LONG).unwrap().map(|entry| entry.order_key());
            // Nothing more comes: the log is closed.
            (woken, follower.advance_within(LONG))
        });
        is_waiting.recv().unwrap();
        manager.advance_epoch();
        handle.epoch_durable(Epoch(1)).wait().unwrap();
        drop(manager);
        let (woken, end) = follower.join().unwrap();
        assert_eq!(woken.map(|key| key.core_id.0), Some(1));
        assert!(matches!(end, Err(PerCoreWalError::Writer(WriterError::Closed { .. }))), "{end:?}");
    });
}

#[test]
fn what_a_follower_has_not_read_is_not_released_and_why_pinned_says_so() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut follower = manager.handle().follow(options()).unwrap();
    fill(&mut manager, 3);
    let first = drain(&mut follower);
    fill(&mut manager, 3);
    assert_eq!(checkpoints.create_checkpoint().unwrap().segments_released, 3);
    let pinned = manager.why_pinned().unwrap();
    let of_core_0 = pinned.iter().find(|pinned| pinned.core.0 == 0).unwrap();
    let PinnedBy::Follower { name, since } = &of_core_0.by else { panic!("{of_core_0:?}") };
    assert_eq!((name.as_str(), *since), ("replica", Epoch(1)));
    let segments = of_core_0.bytes / (64 * 1024);
    assert!((3..=5).contains(&segments), "{of_core_0:?}");
    assert!(of_core_0.to_string().contains("by the follower \"replica\", which has read up to epoch 1"));
    let second = drain(&mut follower);
    assert_eq!((first.len(), second.len()), (48, 48));
    assert_eq!(second[0].sequence, Sequence(48));
    let released = checkpoints.create_checkpoint().unwrap().segments_released;
    assert_eq!(released as u64, segments, "all that it held goes when it has read it");
}

#[test]
fn what_was_held_for_a_follower_is_found_again_when_the_engine_has_restarted() {
    let place = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    let mut position = None;
    // A checkpoint is the last thing that each engine does, so the next one's segments link to one that never was.
    for _ in 0..3 {
        let mut manager = PerCoreWalManager::new(config(&place, 1)).unwrap();
        let start = position.take().map_or(Start::Checkpoint, Start::At);
        let mut follower = manager.handle().follow(options().start(start)).unwrap();
        fill(&mut manager, 3);
        for _ in 0..20 {
            assert!(follower.advance().unwrap());
            keys.push(follower.entry().order_key());
        }
        CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
        position = Some(follower.position());
        drop(follower);
    }
    let manager = PerCoreWalManager::new(config(&place, 1)).unwrap();
    let start = Start::At(position.unwrap());
    keys.extend(drain(&mut manager.handle().follow(options().start(start)).unwrap()));
    let sequences: Vec<_> = keys.iter().map(|key| key.sequence.0).collect();
    assert_eq!(sequences, (0..3 * 48).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_holds_too_much_loses_its_hold_and_says_that_it_fell_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut bounded = manager.handle().follow(options().pin_bytes_max(Some(7 * 64 * 1024))).unwrap();
    fill(&mut manager, 3);
    checkpoints.create_checkpoint().unwrap();
    assert!(bounded.is_pinned(), "it may hold this much");
    fill(&mut manager, 3);
    assert!(checkpoints.create_checkpoint().unwrap().segments_released >= 6);
    assert!(!bounded.is_pinned());
    let error = bounded.advance().unwrap_err();
    let PerCoreWalError::Follow(FollowError::FellBehind { core, wanted, oldest }) = &error else {
        panic!("{error}")
    };
    assert_eq!((core.0, *wanted, *oldest), (0, Sequence(0), Sequence(96)));
    assert!(error.to_string().contains("load the checkpoint"), "{error}");
    // What it is told to do works.
    let mut again = manager.handle().follow(options()).unwrap();
    fill(&mut manager, 1);
    assert_eq!(drain(&mut again)[0].sequence, Sequence(96));
}

#[test]
fn without_a_limit_a_follower_holds_everything() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 1)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut follower = manager.handle().follow(options().pin_bytes_max(None)).unwrap();
    for _ in 0..5 {
        fill(&mut manager, 2);
        assert_eq!(checkpoints.create_checkpoint().unwrap().segments_released, 0);
    }
    assert_eq!(drain(&mut follower).len(), 5 * 32);
    drop(follower);
    assert!(checkpoints.create_checkpoint().unwrap().segments_released > 0);
}

#[test]
fn a_position_goes_on_exactly_behind_and_the_end_is_behind_everything() {
    let place = tempfile::tempdir().unwrap();
    let mut manager = PerCoreWalManager::new(config(&place, 3)).unwrap();
    for round in 0..6_u8 {
        for core in 0..3 {
            manager.writer(core).append_put(&[round], b"value").unwrap();
        }
        manager.advance_epoch();
    }
    let all = drain(&mut manager.handle().follow(options()).unwrap());
    for split in 0..=all.len() {
        let mut follower = manager.handle().follow(options()).unwrap();
        let mut keys = Vec::new();
        while keys.len() < split && follower.advance().unwrap() {
            keys.push(follower.entry().order_key());
        }
        let saved = follower.position().to_string();
        drop(follower);
        let start = Start::At(saved.parse().unwrap());
        keys.extend(drain(&mut manager.handle().follow(options().start(start)).unwrap()));
        assert_eq!(keys, all, "split at {split}");
    }
    let mut follower = manager.handle().follow(options().start(Start::End)).unwrap();
    assert_eq!(drain(&mut follower), []);
    manager.writer(1).append_put(b"new", b"value").unwrap();
    manager.advance_epoch();
    assert_eq!(drain(&mut follower).len(), 1);
}
