//! Epochs never restart: no number that was acknowledged as durable is given out again after a crash.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;

use wal_coordinator::{CheckpointCoordinator, Epoch, PerCoreWalConfig, PerCoreWalManager, Scope};
use wal_recovery::PerCoreRecoveryManager;

/// What a crash leaves, as far as the page cache goes.
fn crash_copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            // A segment that is made ahead of use gets another name, or goes.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
}

#[track_caller]
fn check(config: impl Fn(&Path) -> PerCoreWalConfig, act: impl Fn(&mut PerCoreWalManager) -> Epoch) {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("log"), directory.path().join("copy"));
    let mut manager = PerCoreWalManager::new(config(&path)).unwrap();
    let acknowledged = act(&mut manager);
    assert!(manager.durable_epoch() >= acknowledged);
    let durable = manager.durable_epoch();
    crash_copy(&path, &copy);
    let reopened = PerCoreWalManager::new(config(&copy)).unwrap();
    assert!(reopened.durable_epoch() >= durable, "{} after {durable}", reopened.durable_epoch());
    assert!(reopened.handle().epoch() > durable, "{} after {durable}", reopened.handle().epoch());
}

fn inline(path: &Path) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, 2).inline();
    config.log.segment_bytes = 64 * 1024;
    config
}

fn background(path: &Path) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, 2);
    config.log.segment_bytes = 64 * 1024;
    config
}

#[test]
fn epochs_without_entries_stay_open() {
    for config in [inline, background] {
        check(config, |manager| {
            manager.writer(1).append_put(b"key", b"value").unwrap();
            let first = manager.advance_epoch();
            for _ in 0..5 {
                assert_eq!(manager.advance_epoch(), first, "nothing to close");
            }
            manager.handle().epoch_durable(first).wait().unwrap();
            first
        });
    }
}

#[test]
fn an_empty_epoch_that_somebody_waits_for_leaves_a_trace() {
    for config in [inline, background] {
        check(config, |manager| {
            manager.writer(0).append_put(b"key", b"value").unwrap();
            let mut last = manager.advance_epoch();
            for _ in 0..3 {
                last = manager.handle().epoch();
                manager.handle().epoch_durable(last).wait().unwrap();
            }
            last
        });
    }
}

/// Cores that are gone are sealed as they stand: their end of the epoch is no trace of it.
#[test]
fn an_epoch_that_a_failed_checkpoint_ended_for_cores_that_are_gone_leaves_a_trace() {
    for mode in [inline, background] {
        let with = |cores| {
            move |path: &Path| {
                let mut config = mode(path);
                config.cores = cores;
                config
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut manager = PerCoreWalManager::new(with(2)(&path)).unwrap();
        manager.writer(1).append_put(b"key", b"value").unwrap();
        let first = manager.advance_epoch();
        manager.handle().epoch_durable(first).wait().unwrap();
        manager.close().unwrap();
        let manager = PerCoreWalManager::new(with(1)(&path)).unwrap();
        let in_the_way = path.join("checkpoint.manifest.tmp");
        std::fs::create_dir(&in_the_way).unwrap();
        CheckpointCoordinator::new(&manager).create_checkpoint().unwrap_err();
        std::fs::remove_dir(&in_the_way).unwrap();
        let durable = manager.durable_epoch();
        assert!(durable > first, "the checkpoint has ended an epoch");
        let copy = directory.path().join("copy");
        crash_copy(&path, &copy);
        let reopened = PerCoreWalManager::new(with(1)(&copy)).unwrap();
        assert!(reopened.handle().epoch() > durable, "{} after {durable}", reopened.handle().epoch());
    }
}

#[test]
fn what_opening_calls_durable_is_a_consistent_cut_whatever_cores_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let with = |cores: usize, path: &Path| {
        let mut config = inline(path);
        config.cores = cores;
        PerCoreWalManager::new(config).unwrap()
    };
    // The only core with entries, the last ones of an epoch that was not closed, does not append in the second life.
    let mut manager = with(3, &path("first"));
    for _ in 0..2 {
        manager.writer(2).append_put(b"key", b"value").unwrap();
        manager.writer(2).sync().unwrap();
        manager.advance_epoch();
    }
    manager.writer(2).append_put(b"key", b"last").unwrap();
    manager.writer(2).sync().unwrap();
    crash_copy(&path("first"), &path("second"));
    let reopened = with(2, &path("second"));
    let durable = reopened.durable_epoch();
    crash_copy(&path("second"), &path("third"));
    let recovery = PerCoreRecoveryManager::new(path("third")).scope(Scope::ConsistentCut);
    let plan = recovery.plan().unwrap();
    assert!(plan.cut >= Some(durable), "{durable} was durable, the cut is {:?}", plan.cut);
}
