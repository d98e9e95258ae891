//! Counts its runs, on every core. Kill it whenever you like: what was printed is there the next time.
use std::collections::HashMap;

use wal_coordinator::{CheckpointCoordinator, PerCoreWalConfig, PerCoreWalError, PerCoreWalManager};

const CORES: usize = 2;

fn main() -> Result<(), PerCoreWalError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "quick-start-log".to_owned());

    // Opens the log, or makes one, and fills the map with all that was ever acknowledged.
    let mut state: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let config = PerCoreWalConfig::new(path, CORES);
    let (mut manager, _) = PerCoreWalManager::recover(config, &mut state)?;

    // Each core's thread owns its writer, and waits for nobody until it asks what is durable.
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (core, key) in [b"runs/core 0", b"runs/core 1"].into_iter().enumerate() {
            let runs = state.get(key.as_slice()).map_or(0, |value| value[0]).wrapping_add(1);
            let mut writer = manager.take_writer(core)?;
            threads.push(scope.spawn(move || {
                writer.append_put(key, &[runs])?;
                writer.durable().wait()?; // or `.await` it
                println!("core {core}: run {runs}");
                Ok::<_, PerCoreWalError>(())
            }));
        }
        threads.into_iter().try_for_each(|thread| thread.join().expect("no core panics"))
    })?;

    // Merges the logs into a checkpoint, so that they can shrink; while the cores append, if you like.
    CheckpointCoordinator::new(&manager).create_checkpoint()?;
    manager.close()
}
