//! The process that is killed: recovers, counts on all cores, makes checkpoints meanwhile, tells its parent.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CheckpointCoordinator, LogHandle, PerCoreWalConfig, PerCoreWalManager};

use super::Options;
use super::core_thread::{Ack, Assignment, CoreThread, Failure};
use super::counts::{Counts, Shard};
use super::input::Input;
use super::parent::{LIST, LOG};
use super::protocol::Event;

/// An epoch is closed this often,
const EPOCH_TIME: Duration = Duration::from_millis(40);
/// and a checkpoint made this often.
const CHECKPOINT_TIME: Duration = Duration::from_millis(200);
/// Receipts on their way to the parent; then counting waits for the device.
const RECEIPTS_MAX: usize = 256;

/// Runs the engine. Exit code 3: it failed, and said why.
pub(super) fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let directory = options.directory.as_deref().ok_or("the engine needs --dir")?;
    let input = Input::load(&directory.join(LIST))?;
    let config = PerCoreWalConfig::new(directory.join(LOG), options.cores);
    let started = Instant::now();
    let mut counts = Counts::default();
    let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut counts)?;
    tell(&[Event::Recovered {
        micros: u64::try_from(started.elapsed().as_micros())?,
        entries: recovered.report.entries_replayed,
        keys: recovered.report.checkpoint_keys,
    }]);
    let assignments = assign(&input, recovered.offsets, options.cores);
    let mut shards: Vec<Option<Shard>> = counts.shards.into_iter().map(Some).collect();
    let (acks, acks_to_tell) = sync_channel(RECEIPTS_MAX);
    let mut cores = Vec::new();
    for core in 0..options.cores {
        let mine = (core..shards.len()).step_by(options.cores);
        let mine: HashMap<usize, Shard> =
            mine.filter_map(|shard| Some((shard, shards[shard].take()?))).collect();
        cores.push(CoreThread::new(manager.take_writer(core)?, mine, acks.clone()));
    }
    drop(acks);
    let (handle, coordinator) = (manager.handle(), CheckpointCoordinator::new(&manager));
    thread::scope(|scope| {
        let (working, all_ended) = channel::<()>();
        let workers: Vec<_> = cores
            .into_iter()
            .zip(&assignments)
            .map(|(core, assignments)| {
                let working = working.clone();
                scope.spawn(move || {
                    let _working = working;
                    core.run(assignments)
                })
            })
            .collect();
        drop(working);
        let teller = scope.spawn(move || tell_acks(&acks_to_tell));
        let (counting, no_more_checkpoints) = channel::<()>();
        let checkpoints = scope.spawn(move || make_checkpoints(coordinator, &no_more_checkpoints));
        close_epochs(&handle, &all_ended);
        drop(counting);
        for thread in workers.into_iter().chain([teller, checkpoints]) {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok::<_, Failure>(())
    })?;
    checkpoint(&mut CheckpointCoordinator::new(&manager))?;
    tell(&[logged(&handle)]);
    manager.close()?;
    tell(&[Event::Done]);
    Ok(())
}

/// Per core its files, and where to go on in each; tells the parent what recovery found.
fn assign(input: &Input, mut offsets: BTreeMap<String, u64>, cores: usize) -> Vec<Vec<Assignment>> {
    let mut events = Vec::new();
    let mut assignments: Vec<Vec<Assignment>> = (0..cores).map(|_| Vec::new()).collect();
    for (file, source) in input.files.iter().enumerate() {
        let recovered = offsets.remove(&source.name());
        events.extend(recovered.map(|offset| Event::Offset { file, offset }));
        let assignment = Assignment { file, source: source.clone(), offset: recovered.unwrap_or(0) };
        assignments[source.shard % cores].push(assignment);
    }
    events.extend(offsets.into_keys().map(|name| Event::Stranger { name }));
    events.push(Event::Begun);
    tell(&events);
    assignments
}

/// Closes epochs, and tells how much was logged, until all cores are done.
fn close_epochs(manager: &LogHandle, all_ended: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = all_ended.recv_timeout(EPOCH_TIME) {
        manager.advance_epoch();
        tell(&[logged(manager)]);
    }
}

/// Makes checkpoints until all cores are done; the first one at once, because what was just replayed is its bulk.
fn make_checkpoints(mut coordinator: CheckpointCoordinator, all_ended: &Receiver<()>) -> Result<(), Failure> {
    loop {
        checkpoint(&mut coordinator)?;
        if all_ended.recv_timeout(CHECKPOINT_TIME) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
    }
}

fn checkpoint(coordinator: &mut CheckpointCoordinator) -> Result<(), Failure> {
    let started = Instant::now();
    let report = coordinator.create_checkpoint()?;
    if let Some(why) = report.cleanup_error {
        return Err(format!("a checkpoint left something behind: {why}").into());
    }
    let micros = u64::try_from(started.elapsed().as_micros())?;
    tell(&[Event::Checkpoint { micros, entries: report.entries, bytes: report.bytes_written }]);
    Ok(())
}

fn logged(manager: &LogHandle) -> Event {
    let cores = manager.stats().cores;
    Event::Logged {
        entries: cores.iter().map(|core| core.entries).sum(),
        bytes: cores.iter().map(|core| core.bytes).sum(),
    }
}

/// Waits for each receipt in turn, then tells the parent: not a moment earlier.
fn tell_acks(acks: &Receiver<Ack>) -> Result<(), Failure> {
    for ack in acks {
        ack.receipt.wait()?;
        let events = ack.progress.into_iter().map(|(file, offset)| Event::Durable { file, offset });
        tell(&events.collect::<Vec<_>>());
    }
    Ok(())
}

/// Writes lines to the parent. Without a parent there is nothing to live for.
fn tell(events: &[Event]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut output = std::io::stdout().lock();
    if output.write_all(lines.as_bytes()).and_then(|()| output.flush()).is_err() {
        std::process::exit(3);
    }
}
