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

use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use wal_coordinator::{CoreWalWriter, LogOptions, WriterError};

use crate::client::Job;
use crate::{Shard, apply};

/// A task of this core.
pub type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

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
