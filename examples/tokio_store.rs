//! The store with one current-thread runtime of tokio per core: `tokio_store DIRECTORY [CORES]`, then requests as lines.
//!
//! Every request is a task on the core that owns its key, and awaits the receipt of what it appended. What the core does, and
//! why its thread never blocks, is in `src/async_core.rs`.
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{LocalSet, spawn_local};
use wal_coordinator::{
    CheckpointCoordinator, CoreWalWriter, LogOptions, PerCoreWalConfig, PerCoreWalManager,
};
use wal_examples::async_core::serve;
use wal_examples::client::{Job, arguments, serve_lines};
use wal_examples::{Failure, SEGMENT_BYTES, Shard, Shards, make_checkpoints};

/// Requests that wait for a core, at most: then clients wait.
const QUEUE_MAX: usize = 4096;

fn main() -> Result<(), Failure> {
    let (path, cores) = arguments()?;
    let mut shards = Shards::new(cores);
    let mut config = PerCoreWalConfig::new(path, cores);
    config.log.segment_bytes = SEGMENT_BYTES;
    let options = config.log;
    let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut shards)?;
    eprintln!("{} keys, {} entries replayed", shards.keys(), recovered.report.entries_replayed);

    thread::scope(|scope| {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for (core, shard) in shards.into_cores().into_iter().enumerate() {
            let (queue, jobs) = channel(QUEUE_MAX);
            let writer = manager.take_writer(core)?;
            queues.push(queue);
            threads.push(scope.spawn(move || run(shard, writer, options, jobs)));
        }
        let (checkpoints, log) = (CheckpointCoordinator::new(&manager), manager.handle());
        let (running, stop) = std::sync::mpsc::channel();
        scope.spawn(move || make_checkpoints(checkpoints, &log, &stop));

        let served = serve_lines(cores, |core, job| drop(queues[core].blocking_send(job)));
        // Graceful: without senders the cores end, once they have answered everybody.
        drop((queues, running));
        for thread in threads {
            thread.join().map_err(|_| "a core panicked")??;
        }
        served
    })?;
    Ok(manager.close()?)
}

/// One core: its runtime, its tasks, its log.
fn run(shard: Shard, writer: CoreWalWriter, options: LogOptions, jobs: Receiver<Job>) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().build()?;
    let serving = serve(shard, writer, options, jobs, |task| drop(spawn_local(task)));
    Ok(LocalSet::new().block_on(&runtime, serving)?)
}
