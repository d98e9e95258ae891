//! The process that is killed: appends what the oracle says, on several cores, with everything going on at once.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{
    CheckpointCoordinator, CoreWalWriter, FlushMode, LogHandle, PerCoreWalConfig, PerCoreWalManager,
    Retention, WriteBatch,
};
use wal_reader::Directory;

use super::Options;
use super::lines::Line;
use super::oracle::{Buffers, Oracle};
use super::points::{KillAt, arm};
use super::seams::{FlakyStorage, Forgetful, WatchedSource};
use crate::random::{Random, mix};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An engine that is not killed by then ends by itself.
const LIFE_MAX: Duration = Duration::from_secs(2);

/// Runs the engine. Exit code 3: something failed, and was said.
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
    let oracle = Oracle::new(options.seed);
    let mut random = Random::new(mix(options.seed) ^ options.life);
    let kill_at = KillAt::from_environment()?;
    let needs_failure = kill_at.is_some_and(|kill_at| kill_at.point.is_of_a_failed_sync());
    let mut config = PerCoreWalConfig::new(directory, options.cores);
    config.log.ring_bytes = if random.one_in(2) { 64 * 1024 } else { 16 * 1024 };
    config.log.segment_bytes = if random.one_in(2) { 256 * 1024 } else { 64 * 1024 };
    config.log.retention = if random.one_in(2) { Retention::UntilDurable } else { Retention::UntilWritten };
    config.checkpoint_budget_bytes = if random.one_in(2) { 64 * 1024 } else { 8 * 1024 * 1024 };
    if random.one_in(4) {
        config.flush = FlushMode::Inline;
    }
    if random.one_in(6) || needs_failure {
        config.storage = Arc::new(FlakyStorage::new(directory, Random::new(random.bits())));
        config.log.retention = Retention::UntilDurable;
    }
    config.source = Arc::new(WatchedSource(Directory::new(directory)));
    if let Some(kill_at) = kill_at {
        arm(kill_at)?;
    }
    let mut manager = PerCoreWalManager::recover(config, &mut Forgetful)?.0;
    tell(Line::Open);
    let end = Instant::now() + LIFE_MAX;
    let (handle, coordinator) = (manager.handle(), CheckpointCoordinator::new(&manager));
    let mut cores = Vec::new();
    for index in 0..options.cores {
        let random = Random::new(random.bits());
        let writer = manager.take_writer(index)?;
        cores.push(Core { writer, oracle, random, handle: manager.handle(), buffers: Buffers::default() });
    }
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut working = Vec::new();
        for core in cores {
            threads.push(scope.spawn(move || core.run(end)));
        }
        let epochs = Random::new(random.bits());
        let checkpoints = Random::new(random.bits());
        let (keep, ended) = channel();
        working.push(keep);
        threads.push(scope.spawn(move || close_epochs(&handle, epochs, &ended)));
        let (keep, ended) = channel();
        working.push(keep);
        threads.push(scope.spawn(move || make_checkpoints(coordinator, checkpoints, &ended)));
        let all = threads.into_iter().enumerate().map(|(index, thread)| {
            // The cores come first; when they are done, the others are to end.
            if index == options.cores {
                working.clear();
            }
            thread.join().map_err(|_| Failure::from("a thread panicked"))?
        });
        all.collect::<Result<(), _>>()
    })?;
    Ok(manager.close()?)
}

/// One core: appends the oracle's batches, asks for what it is promised, and says what it got.
struct Core {
    writer: CoreWalWriter,
    oracle: Oracle,
    random: Random,
    handle: LogHandle,
    buffers: Buffers,
}

impl Core {
    fn run(mut self, end: Instant) -> Result<(), Failure> {
        while Instant::now() < end {
            self.append_batch()?;
            match self.random.within(0..400) {
                0..6 => {
                    let sequence = self.writer.sync()?.0;
                    self.tell_durable(sequence);
                }
                6..12 => {
                    let sequence = self.writer.position().0;
                    if self.random.one_in(2) {
                        self.writer.durable().wait()?;
                        self.tell_durable(sequence);
                    } else {
                        self.writer.written().wait()?;
                        tell(Line::Written { core: self.writer.core_id().index(), sequence });
                    }
                }
                12 => {
                    let epoch = self.writer.last_epoch();
                    self.handle.epoch_durable(epoch).wait()?;
                    tell(Line::EpochDurable(epoch.0));
                    // The epoch holds this core's last entry, too.
                    self.tell_durable(self.writer.position().0);
                }
                13..20 => thread::sleep(Duration::from_micros(self.random.within(0..1500))),
                _ => {}
            }
        }
        Ok(())
    }

    fn append_batch(&mut self) -> Result<(), Failure> {
        let Self { writer, oracle, buffers, .. } = self;
        let (core, sequence) = (writer.core_id().0, writer.sequence().0);
        let size = oracle.batch_at(core, sequence);
        let size =
            size.ok_or_else(|| format!("core {core}: the log was cut within a batch, at {sequence}"))?;
        let at = if size == 1 {
            oracle.with(core, sequence, buffers, |operation| writer.append(operation))?
        } else {
            let mut batch = WriteBatch::new();
            for sequence in sequence..sequence + size {
                oracle.with(core, sequence, buffers, |operation| {
                    batch.push(operation);
                });
            }
            writer.append_batch(&batch)?
        };
        if at.0 == sequence { Ok(()) } else { Err(format!("core {core}: {sequence} became {at}").into()) }
    }

    fn tell_durable(&self, sequence: u64) {
        tell(Line::Durable { core: self.writer.core_id().index(), sequence });
    }
}

fn close_epochs(log: &LogHandle, mut random: Random, ended: &Receiver<()>) -> Result<(), Failure> {
    while let Err(RecvTimeoutError::Timeout) =
        ended.recv_timeout(Duration::from_micros(random.within(100..6000)))
    {
        log.advance_epoch();
        tell(Line::EpochDurable(log.durable_epoch().0));
    }
    Ok(())
}

fn make_checkpoints(
    mut coordinator: CheckpointCoordinator,
    mut random: Random,
    ended: &Receiver<()>,
) -> Result<(), Failure> {
    while let Err(RecvTimeoutError::Timeout) =
        ended.recv_timeout(Duration::from_micros(random.within(0..10_000)))
    {
        let report = coordinator.create_checkpoint()?;
        if let Some(why) = report.cleanup_error {
            return Err(format!("a checkpoint left something behind: {why}").into());
        }
        tell(Line::Checkpointed(report.epoch.0));
    }
    Ok(())
}

/// Writes a line to the parent. Without a parent there is nothing to live for.
pub(super) fn tell(line: Line) {
    let mut output = std::io::stdout().lock();
    if output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).is_err() {
        std::process::exit(3);
    }
}
