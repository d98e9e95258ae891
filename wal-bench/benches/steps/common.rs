//! What the steps share: how long is measured, logs to measure on. Entries are those of `wal_bench::workload`.

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use wal_bench::workload::{VALUE_BYTES, key};
use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager};

pub(crate) const VALUE: [u8; VALUE_BYTES] = [2; VALUE_BYTES];
/// Entries that the default ring of 4 MiB takes in, so that nobody waits for the device.
pub(crate) const BURST: u64 = 20_000;

pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_millis(1500))
        .warm_up_time(Duration::from_millis(500))
        .without_plots()
}

/// A log with `entries` entries of every core, in turns.
pub(crate) fn filled(path: &Path, cores: usize, entries: u64) -> PerCoreWalManager {
    let config = PerCoreWalConfig::new(path, cores);
    let mut manager = PerCoreWalManager::new(config).expect("a new log");
    for number in 0..entries {
        for core in 0..cores {
            manager.writer(core).append_put(&key(number), &VALUE).expect("appended");
        }
    }
    manager.sync_all().expect("synced");
    manager
}
