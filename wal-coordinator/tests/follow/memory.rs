//! A follower's memory does not grow with the log, however far behind it is.

use std::sync::Arc;

use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager};
use wal_reader::{Directory, Level, MergedFollower, Start};

use crate::allocation::peak_bytes;

const CORES: usize = 2;
/// Per core two windows, one of them of the trail that runs ahead, and what a look at the directory takes.
const PEAK_MAX: usize = CORES * 2 * 256 * 1024 + 128 * 1024;

#[test]
fn memory_does_not_grow_with_the_log() {
    let place = tempfile::tempdir().unwrap();
    let mut config = PerCoreWalConfig::new(place.path(), CORES).inline();
    config.log.segment_bytes = 1 << 20;
    let mut manager = PerCoreWalManager::new(config).unwrap();
    let mut entries = 0_usize;
    for megabytes in [2, 24] {
        while entries < megabytes * 1024 {
            for core in 0..CORES {
                manager.writer(core).append_put(&entries.to_le_bytes(), &[7; 512]).unwrap();
            }
            entries += 1;
            if entries.is_multiple_of(1000) {
                manager.advance_epoch();
            }
        }
        manager.advance_epoch();
        for level in [Level::Written, Level::Durable] {
            let mut found = 0_usize;
            let peak = peak_bytes(|| {
                let source = Arc::new(Directory::new(place.path()));
                let mut follower = MergedFollower::new(source, level, Start::Checkpoint).unwrap();
                while follower.advance().unwrap() {
                    found += 1;
                }
            });
            println!("{megabytes} MiB, {level:?}: {found} entries, peak {peak} bytes");
            assert!(found + 4000 > entries * CORES, "{found} of {}", entries * CORES);
            assert!(peak <= PEAK_MAX, "{peak} bytes for {megabytes} MiB, more than {PEAK_MAX}");
        }
    }
}
