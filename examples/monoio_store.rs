//! The store with one runtime of monoio per core: `monoio_store DIRECTORY [CORES]`, then requests as lines.
//!
//! As under tokio, for the log names no runtime: what the core does is in `src/async_core.rs`. The runtime drives io_uring where
//! the kernel allows it, and epoll elsewhere; it needs its feature `sync`, since receipts are woken by the flushers. The
//! channel is tokio's, which runs under any executor.
use monoio::{FusionDriver, RuntimeBuilder};
use tokio::sync::mpsc::Receiver;
use wal_coordinator::{CoreWalWriter, LogOptions};
use wal_examples::async_core::{run_store, serve};
use wal_examples::client::Job;
use wal_examples::{Failure, Shard};

fn main() -> Result<(), Failure> {
    run_store(run)
}

/// One core: its runtime, its tasks, its log.
fn run(shard: Shard, writer: CoreWalWriter, options: LogOptions, jobs: Receiver<Job>) -> Result<(), Failure> {
    let mut runtime = RuntimeBuilder::<FusionDriver>::new().build()?;
    let serving = serve(shard, writer, options, jobs, |task| drop(monoio::spawn(task)));
    Ok(runtime.block_on(serving)?)
}
