//! Write, crash, come back from empty memory, compare: the first of all tests.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::HashMap;
use std::path::Path;

use wal_coordinator::{CheckpointCoordinator, PerCoreWalConfig, PerCoreWalManager, recover_per_core};

type State = HashMap<Vec<u8>, Vec<u8>>;

fn config(path: &Path, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, cores).inline();
    config.log.segment_bytes = 64 * 1024;
    config.log.ring_bytes = 64 * 1024;
    config
}

#[track_caller]
fn check(path: &Path, expected: &State) {
    let recovered = recover_per_core(path).unwrap();
    assert_eq!(recovered.state, *expected, "{}", recovered.report);
}

#[test]
fn what_was_synced_comes_back_with_and_without_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut expected = State::new();
    let mut last = 0;
    for round in 0..4_u32 {
        // The number of cores changes from run to run.
        let cores = [2, 3, 1, 4][round as usize];
        let mut manager = PerCoreWalManager::new(config(&path, cores)).unwrap();
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        for number in 0..5_000_u32 {
            let core = number as usize % cores;
            let key = format!("key {}", number % 701).into_bytes();
            let value = format!("{round}/{number}").into_bytes();
            // It overwrites what another core wrote, and says so: their clocks may differ.
            let writer = manager.writer(core);
            writer.observe(last);
            writer.append_put(&key, &value).unwrap();
            last = writer.last_timestamp_ns();
            expected.insert(key, value);
            if number % 1_000 == 999 {
                manager.advance_epoch();
            }
            if number == 2_500 {
                let report = checkpoints.create_checkpoint().unwrap();
                assert_eq!(report.cleanup_error, None);
            }
        }
        manager.sync_all().unwrap();
        drop(manager);
        check(&path, &expected);
    }
}

#[test]
fn a_manager_that_is_dropped_makes_durable_what_was_appended_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut config = PerCoreWalConfig::new(&path, 2);
    // Nobody looks at the logs before.
    config.memory_time_max = std::time::Duration::from_secs(3600);
    let mut manager = PerCoreWalManager::new(config).unwrap();
    let mut expected = State::new();
    for core in 0..2 {
        let key = vec![b'0' + core];
        manager.writer(usize::from(core)).append_put(&key, b"value").unwrap();
        expected.insert(key, b"value".to_vec());
    }
    drop(manager);
    check(&path, &expected);
}
