//! One thread per core: each owns its writer, acknowledges what is durable, and never waits for the checkpoints that
//! run meanwhile. Run it twice on the same directory: the second run starts with what the first one left.
use std::path::Path;

use wal_coordinator::{
    CheckpointCoordinator, PerCoreWalConfig, PerCoreWalManager, WriteBatch, recover_per_core,
};

const CORES: usize = 2;
const BATCHES: u64 = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "thread-per-core-log".to_owned());
    let path = Path::new(&path);

    let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new(path, CORES))?;
    println!("{}", manager.recovery_report());
    let mut checkpoints = CheckpointCoordinator::new(&manager);

    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for core in 0..CORES {
            let mut writer = manager.take_writer(core)?;
            threads.push(scope.spawn(move || {
                let source = format!("partition {core}");
                let mut batch = WriteBatch::new();
                for offset in 0..BATCHES {
                    // The effect and the offset that it stands for: both or neither.
                    batch.clear();
                    batch
                        .put(format!("{core}/{offset}").as_bytes(), b"effect")
                        .commit(&[(&source, offset + 1)], None);
                    writer.append_batch(&batch)?;
                    if offset % 100 == 99 {
                        writer.durable().wait()?; // or `.await` it
                    }
                }
                writer.sync()
            }));
        }
        let report = checkpoints.create_checkpoint()?;
        println!(
            "checkpoint of epoch {}: {} entries, {} bytes",
            report.epoch, report.entries, report.bytes_written
        );
        threads.into_iter().try_for_each(|thread| thread.join().map_or(Ok(()), |result| result.map(drop)))?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    drop(checkpoints);
    manager.close()?;

    let recovered = recover_per_core(path)?;
    println!("{} keys, offsets {:?}", recovered.state.len(), recovered.offsets);
    Ok(())
}
