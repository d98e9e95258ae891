//! What is shared of one open log, seen from inside: ends that are tried again, turns, seals, closes that wait.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{PerCoreWalConfig, PerCoreWalManager};

fn log(cores: usize) -> (TempDir, PathBuf, PerCoreWalManager) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut config = PerCoreWalConfig::new(&path, cores).inline();
    config.log.segment_bytes = 64 * 1024;
    let manager = PerCoreWalManager::new(config).unwrap();
    (directory, path, manager)
}

fn put(manager: &mut PerCoreWalManager, core: usize) {
    manager.writer(core).append_put(b"key", b"value").unwrap();
}

#[test]
fn a_checkpoint_makes_the_ends_of_its_epoch_and_before_superfluous_and_no_later_one() {
    for checkpointed in 0..=3 {
        let (_directory, path, mut manager) = log(1);
        put(&mut manager, 0);
        manager.sync_all().unwrap();
        let shared = Arc::clone(manager.shared());
        // The log is cut behind the first epoch, and no file is made for what follows: numbers are used once.
        let files = (1..100).map(|number| FileName::Segment(CoreId(0), SegmentNumber(number)).to_string());
        let files: Vec<_> = files.map(|name| path.join(name)).collect();
        files.iter().for_each(|file| std::fs::write(file, b"").unwrap());
        shared.logs[0].request_seal(manager.writer(0).epoch().next());
        let mut closed = Vec::new();
        for _ in 0..3 {
            put(&mut manager, 0);
            closed.push(shared.close_epoch(Reason::Asked).unwrap());
        }
        closed.iter().for_each(|closed| shared.end_epoch(closed, false, None));
        let epochs = || shared.deferred.lock().iter().map(|of| of.end.epoch.0).collect::<Vec<_>>();
        assert_eq!(epochs(), [1, 2, 3]);
        shared.checkpoint_done(Epoch(checkpointed));
        assert_eq!(epochs(), (checkpointed + 1..=3).collect::<Vec<_>>());
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        shared.retry_deferred(|_| true);
        assert_eq!((epochs(), shared.tracker.durable_epoch()), (vec![], Epoch(3)));
    }
}

#[test]
fn without_flushers_one_at_a_time_ends_epochs() {
    let (_directory, _path, mut manager) = log(2);
    put(&mut manager, 0);
    let shared = manager.shared();
    let turn = shared.take_turn().expect("nobody else does it");
    assert!(shared.turn.try_lock().is_none());
    drop(turn);
    assert!(shared.turn.try_lock().is_some());
}

#[test]
fn only_a_checkpoint_asks_for_seals() {
    let (_directory, _path, mut manager) = log(2);
    for _ in 0..5 {
        put(&mut manager, 0);
        put(&mut manager, 1);
        manager.advance_epoch();
        let epoch = manager.writer(0).epoch();
        manager.handle().epoch_durable(epoch).wait().unwrap();
    }
    assert_eq!(manager.stats().total().rotations, 0);
    let (reply, _replies) = crate::sync::unbounded();
    put(&mut manager, 0);
    manager.shared().seal_epoch(&reply);
    assert_eq!(manager.stats().total().rotations, 2);
}

#[test]
fn a_close_that_waits_is_told_with_its_core_until_it_is_over() {
    let (_directory, _path, manager) = log(2);
    let shared = manager.shared();
    assert!(shared.stats().closing.is_none());
    let begun = shared.watch.now_ns();
    shared.watch.close_waits(1, begun);
    assert_eq!(shared.stats().closing.map(|closing| closing.cores), Some(vec![CoreId(1)]));
    shared.watch.epoch_closed(begun);
    assert!(shared.stats().closing.is_none());
}
