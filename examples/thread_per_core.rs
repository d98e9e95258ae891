//! A store on plain threads, one pinned to each core: `thread_per_core DIRECTORY [CORES]`, then requests as lines.
//!
//! A core never waits for the device while there are requests: it goes on appending, and the flushers sync what has
//! gathered meanwhile. One sync answers all who wait: group commit, without a timer.
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use wal_coordinator::{
    CheckpointCoordinator, CoreWalWriter, PerCoreWalConfig, PerCoreWalManager, Receipt, WriterError,
};
use wal_examples::client::{Job, Reply, arguments, serve_lines};
use wal_examples::{Failure, SEGMENT_BYTES, Shard, Shards, apply, make_checkpoints};

/// Requests that wait for a core, at most: then clients wait.
const QUEUE_MAX: usize = 4096;
/// Requests between two looks at what has become durable.
const GROUP_MAX: usize = 64;

fn main() -> Result<(), Failure> {
    let (path, cores) = arguments()?;
    let mut shards = Shards::new(cores);
    let mut config = PerCoreWalConfig::new(path, cores);
    config.log.segment_bytes = SEGMENT_BYTES;
    let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut shards)?;
    eprintln!("{} keys, {} entries replayed", shards.keys(), recovered.report.entries_replayed);

    thread::scope(|scope| {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for (core, shard) in shards.into_cores().into_iter().enumerate() {
            let (queue, jobs) = sync_channel(QUEUE_MAX);
            let writer = manager.take_writer(core)?;
            queues.push(queue);
            threads.push(scope.spawn(move || {
                pin_to_cpu(core);
                run(shard, writer, &jobs)
            }));
        }
        let (checkpoints, log) = (CheckpointCoordinator::new(&manager), manager.handle());
        let (running, stop) = channel();
        scope.spawn(move || make_checkpoints(checkpoints, &log, &stop));

        // A core that has failed takes no jobs: the reply is dropped, which tells the client.
        let served = serve_lines(cores, |core, job| drop(queues[core].send(job)));
        drop((queues, running));
        for thread in threads {
            thread.join().map_err(|_| "a core panicked")??;
        }
        served
    })?;
    Ok(manager.close()?)
}

/// Answers that may be given when the receipt says so.
struct Group {
    durable: Receipt,
    answers: Vec<(Reply, String)>,
}

/// One core: takes jobs until there will be no more, and everybody is answered.
fn run(mut shard: Shard, mut writer: CoreWalWriter, jobs: &Receiver<Job>) -> Result<(), WriterError> {
    let mut owed: VecDeque<Group> = VecDeque::new();
    loop {
        // Waits for jobs only if nobody waits for an answer.
        let first = if owed.is_empty() { jobs.recv().ok() } else { jobs.try_recv().ok() };
        let is_idle = first.is_none();
        if is_idle && owed.is_empty() {
            return Ok(());
        }
        let mut answers = Vec::new();
        for (request, reply) in first.into_iter().chain(jobs.try_iter()).take(GROUP_MAX) {
            answers.push((reply, apply(&mut shard, &mut writer, request)?));
        }
        if !answers.is_empty() {
            let durable = writer.durable();
            durable.start();
            owed.push_back(Group { durable, answers });
        }
        // With nothing else to do, waits for the oldest.
        while owed.front().is_some_and(|group| is_idle || group.durable.is_ready()) {
            let Some(group) = owed.pop_front() else { break };
            group.durable.wait()?;
            for (reply, answer) in group.answers {
                // Who has gone does not want it any more.
                let _ = reply.send(answer);
            }
        }
    }
}

/// Keeps this thread on one of the CPUs that the process may use. The flushers are not pinned: they wait for devices.
fn pin_to_cpu(core: usize) {
    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let mut one = CpuSet::new();
        one.set(cpus[core % cpus.len()]);
        sched_setaffinity(None, &one)
    });
    if let Err(error) = pinned {
        eprintln!("core {core} is not pinned: {error}");
    }
}
