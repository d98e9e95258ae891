//! One core of the store under any executor that runs on the core's thread: tokio and monoio differ in `spawn` alone.
//!
//! A [`Receipt`](wal_coordinator::Receipt) is a plain future that names no runtime; its waker is called from a flusher's
//! thread, so the executor must accept wake-ups from other threads (monoio: feature `sync`).
//!
//! **The executor's thread does not block.** An append waits for the device only when its ring is full (or when no segment
//! was made ahead yet: the very first one), so the ring is not let get full: a request takes as many permits as it takes
//! bytes, and gives them back when it is durable. With all permits taken the core takes no more requests, the queue fills,
//! and those who send wait: back-pressure from the device to the client, while every other task of the core runs on.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, channel};
use wal_coordinator::{
    CheckpointCoordinator, CoreWalWriter, LogOptions, PerCoreWalConfig, PerCoreWalManager, WriterError,
};

use crate::client::{Job, arguments, serve_lines};
use crate::{Failure, SEGMENT_BYTES, Shard, Shards, apply, make_checkpoints};

/// A task of this core.
pub type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

/// Requests that wait for a core, at most: then clients wait.
const QUEUE_MAX: usize = 4096;

/// What a core's thread does until nobody can send it any more: [`serve`], under an executor of its own.
pub type RunCore = fn(Shard, CoreWalWriter, LogOptions, Receiver<Job>) -> Result<(), Failure>;

/// The whole store: opens the log that the command line names, gives each core's thread to `run`, makes checkpoints, and
/// serves the lines of standard input.
///
/// # Errors
/// Of the log, of a core, or of a client.
pub fn run_store(run: RunCore) -> Result<(), Failure> {
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

/// Serves `jobs` until nobody can send any more and everybody is answered.
///
/// # Errors
/// Of an append: the log is poisoned or closed, or has no space. Requests in flight are then answered, or their replies
/// dropped.
pub async fn serve(
    mut shard: Shard,
    mut writer: CoreWalWriter,
    options: LogOptions,
    mut jobs: Receiver<Job>,
    spawn: impl Fn(LocalTask),
) -> Result<(), WriterError> {
    // Half the ring: an entry never wraps around its end, which may cost as much again.
    let budget_bytes = u32::try_from(options.ring_bytes / 2).unwrap_or(u32::MAX >> 3);
    let budget = Arc::new(Semaphore::new(budget_bytes as usize));
    let permits = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).min(budget_bytes);
    while let Some((request, reply)) = jobs.recv().await {
        let room = Arc::clone(&budget).acquire_many_owned(permits(request.ring_bytes())).await;
        let answer = apply(&mut shard, &mut writer, request)?;
        let durable = writer.durable();
        spawn(Box::pin(async move {
            // Otherwise the reply is dropped: the client knows that it was not answered.
            if durable.await.is_ok() {
                let _ = reply.send(answer);
            }
            drop(room);
        }));
    }
    // Whoever is owed an answer holds permits: with all of them back, nobody is.
    let _ = budget.acquire_many(budget_bytes).await;
    Ok(())
}
