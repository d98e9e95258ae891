//! The small form: one thread drives all cores through the manager.
use std::path::Path;

use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "small-form-log".to_owned());

    // Create manager for 4 cores
    let config = PerCoreWalConfig::new(Path::new(&path), 4);
    let mut manager = PerCoreWalManager::new(config)?;

    // Each core writes to its own segment (lock-free)
    manager.writer(0).append_put(b"key1", b"value1")?;
    manager.writer(1).append_put(b"key2", b"value2")?;
    manager.writer(0).sync()?;
    manager.writer(1).sync()?;

    // During checkpoint, merge all segments
    let merged = manager.merge_segments()?;
    // merged is sorted by (epoch, timestamp_ns)
    for entry in &merged {
        println!("{entry:?}");
    }
    Ok(())
}
