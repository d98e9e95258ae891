//! The store with one current-thread runtime of tokio per core: `tokio_store DIRECTORY [CORES]`, then requests as lines.
//!
//! Every request is a task on the core that owns its key, and awaits the receipt of what it appended. What the core does, and
//! why its thread never blocks, is in `src/async_core.rs`.
use tokio::runtime::Builder;
use tokio::sync::mpsc::Receiver;
use tokio::task::{LocalSet, spawn_local};
use wal_coordinator::{CoreWalWriter, LogOptions};
use wal_examples::async_core::{run_store, serve};
use wal_examples::client::Job;
use wal_examples::{Failure, Shard};

fn main() -> Result<(), Failure> {
    run_store(run)
}

/// One core: its runtime, its tasks, its log.
fn run(shard: Shard, writer: CoreWalWriter, options: LogOptions, jobs: Receiver<Job>) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().build()?;
    let serving = serve(shard, writer, options, jobs, |task| drop(spawn_local(task)));
    Ok(LocalSet::new().block_on(&runtime, serving)?)
}
