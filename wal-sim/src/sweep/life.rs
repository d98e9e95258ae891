//! Reference lives: what a real engine does with a log, by seed, with everything in it that touches the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wal_coordinator::{
    CheckpointCoordinator, Clock, Epoch, OnSyncFailure, PerCoreWalConfig, PerCoreWalEntry, PerCoreWalError,
    PerCoreWalManager, Retention, TimeSource, WriteBatch,
};

use super::model::{Model, Promise, Seen, core_id, operation};
use crate::disk::{Random, SimDisk};

/// How a process uses the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) cores: usize,
    /// Each a few appends on every core, and one of: sync, close of an epoch, checkpoint.
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    pub(crate) retention: Retention,
    /// Before this round everything that is wrong with the disk is put right.
    pub(crate) heal_at: Option<usize>,
}

/// A clock that stands still now and then. Every life goes on with it.
#[derive(Debug)]
pub(crate) struct Ticks(AtomicU64);

impl TimeSource for Ticks {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + self.0.fetch_add(1, Relaxed) / 3 * 10
    }
}

/// Everything that a sequence of lives on one disk appended and was promised.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) model: Model,
    pub(crate) promises: Vec<Promise>,
    clock: Arc<Ticks>,
    /// What was known of the log when this many calls had been made: of every life its model at the end.
    chapters: Vec<(u64, Model)>,
    /// Errors that the engine was told, by their first words.
    pub(crate) errors: Vec<String>,
    /// Those after [`Life::heal_at`].
    pub(crate) errors_after_healing: Vec<String>,
    is_healed: bool,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            model: Model::default(),
            promises: vec![Promise::default()],
            clock: Arc::new(Ticks(AtomicU64::new(0))),
            chapters: Vec::new(),
            errors: Vec::new(),
            errors_after_healing: Vec::new(),
            is_healed: false,
        }
    }

    /// A story that begins with what came back, on another disk.
    pub(crate) fn resumed(&self, model: Model) -> Self {
        let now = self.clock.0.load(Relaxed);
        Self { model, clock: Arc::new(Ticks(AtomicU64::new(now))), ..Self::new() }
    }

    pub(crate) fn clock(&self) -> &Arc<Ticks> {
        &self.clock
    }

    /// From now on only what is durable counts.
    pub(crate) fn forget_written(&mut self) {
        let calls = self.promises[self.promises.len() - 1].calls;
        self.promise(calls, |promise| promise.written.clone_from(&promise.durable));
    }

    /// What had been promised after this many calls.
    pub(crate) fn promised(&self, calls: u64) -> &Promise {
        &self.promises[self.promises.partition_point(|promise| promise.calls <= calls) - 1]
    }

    /// All that may come back of a disk after this many calls.
    pub(crate) fn model_at(&self, calls: u64) -> &Model {
        let over = self.chapters.iter().find(|(until, _)| calls < *until);
        over.map_or(&self.model, |(_, model)| model)
    }

    fn promise(&mut self, calls: u64, change: impl FnOnce(&mut Promise)) {
        let mut promise = self.promises[self.promises.len() - 1].clone();
        promise.calls = calls;
        change(&mut promise);
        self.promises.push(promise);
    }

    /// Lives one life. What is promised is noted as it is promised; errors are noted and worked around, as an engine
    /// would. Fails if the log cannot be opened, or gives back what is wrong.
    pub(crate) fn live(&mut self, disk: &SimDisk, life: &Life) -> Result<(), LifeError> {
        let before = self.model.clone();
        let mut seen = Seen::new(&before);
        let opened = PerCoreWalManager::recover(config_of(disk, life, &self.clock), &mut seen);
        let (mut manager, recovered) = opened.map_err(LifeError::Open)?;
        let ends = before.check(&seen, &recovered).map_err(LifeError::Wrong)?;
        let promised = &self.promises[self.promises.len() - 1];
        check_kept(&ends, &promised.written).map_err(LifeError::Wrong)?;
        let promised_epoch = promised.epoch;
        if self.model.ends() != ends {
            self.chapters.push((disk.calls(), before));
            self.model.truncate(&ends);
        }
        if self.model.cores.len() < life.cores {
            self.model.cores.resize_with(life.cores, Vec::new);
        }
        let opened_at = manager.durable_epoch();
        if opened_at < promised_epoch {
            let what =
                format!("epoch {promised_epoch} had been durable, and {} is current", opened_at.next());
            return Err(LifeError::Wrong(what));
        }
        self.promise(disk.calls(), |promise| {
            promise.durable.clone_from(&ends);
            promise.written.clone_from(&ends);
            promise.cut = ends;
        });
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        let mut random = Random::new(life.seed);
        for round in 0..life.rounds {
            if life.heal_at == Some(round) {
                disk.heal();
                self.is_healed = true;
            }
            for core in 0..life.cores {
                // Some rest now and then, so that their logs end below the others'.
                let count = if core % 3 == 1 && round % 3 == 0 { 0 } else { 1 + random.below(4) };
                for _ in 0..count {
                    let appended = self.append(&mut manager, core, &mut random);
                    self.note(appended);
                }
            }
            self.act(disk, &mut manager, &mut checkpoints, life, round);
            self.note_promises(disk, &mut manager, opened_at);
        }
        Ok(())
    }

    fn act(
        &mut self,
        disk: &SimDisk,
        manager: &mut PerCoreWalManager,
        checkpoints: &mut CheckpointCoordinator,
        life: &Life,
        round: usize,
    ) {
        match round % 8 {
            0 | 4 => {
                let synced = manager.writer(round % life.cores).sync();
                self.note(synced.map(drop).map_err(PerCoreWalError::Writer));
            }
            1 => {
                let synced = manager.sync_all();
                self.note(synced);
            }
            2 | 5 => drop(manager.advance_epoch()),
            3 => {
                let written = manager.writer(round % life.cores).written().wait();
                self.note(written.map_err(PerCoreWalError::Writer));
            }
            6 => {
                let epoch = manager.advance_epoch();
                let waited = manager.handle().epoch_durable(epoch).wait();
                self.note(waited.map_err(PerCoreWalError::Writer));
            }
            _ => match checkpoints.create_checkpoint() {
                Ok(report) => self.promise(disk.calls(), |promise| promise.checkpoint = report.epoch),
                Err(error) => self.note(Err(error)),
            },
        }
    }

    /// Notes what the log says of itself.
    fn note_promises(&mut self, disk: &SimDisk, manager: &mut PerCoreWalManager, opened_at: Epoch) {
        let cores = manager.cores();
        let synced = manager.synced_positions();
        let epoch = manager.durable_epoch();
        let cut = self.model.ends_of(epoch);
        let written: Vec<_> = (0..cores).map(|core| manager.writer(core).log().written().0).collect();
        self.promise(disk.calls(), |promise| {
            promise.durable.resize(promise.durable.len().max(cores), 0);
            promise.written.resize(promise.durable.len(), 0);
            for position in synced {
                let core = position.core.index();
                promise.durable[core] = promise.durable[core].max(position.sequence.0);
                promise.written[core] = promise.written[core].max(promise.durable[core]);
            }
            for (promised, written) in promise.written.iter_mut().zip(written) {
                // What is written may be given up after a failed sync, and is then written again.
                *promised = (*promised).max(written);
            }
            if epoch > opened_at {
                promise.epoch = promise.epoch.max(epoch);
                promise.cut = cut;
            }
        });
    }

    fn append(
        &mut self,
        manager: &mut PerCoreWalManager,
        core: usize,
        random: &mut Random,
    ) -> Result<(), PerCoreWalError> {
        let writer = manager.writer(core);
        let count = if random.once_in(6) { 2 + random.below(3) } else { 1 };
        let first = writer.sequence();
        let operations: Vec<_> =
            (0..count).map(|at| operation(random, core_id(core), first.plus(at))).collect();
        let sequence = if let [operation] = operations.as_slice() {
            writer.append(&operation.as_ref())
        } else {
            let mut batch = WriteBatch::new();
            for operation in &operations {
                batch.push(&operation.as_ref());
            }
            writer.append_batch(&batch)
        };
        let sequence = sequence?;
        assert_eq!(sequence, first, "numbered without a gap");
        let (epoch, timestamp_ns) = (writer.last_epoch(), writer.last_timestamp_ns());
        let last = operations.len() - 1;
        for (at, operation) in operations.into_iter().enumerate() {
            let sequence = first.plus(at as u64);
            let core_id = core_id(core);
            self.model.push(PerCoreWalEntry { epoch, sequence, core_id, timestamp_ns, operation }, at < last);
        }
        Ok(())
    }

    fn note(&mut self, result: Result<(), PerCoreWalError>) {
        if let Err(error) = result {
            if self.is_healed {
                self.errors_after_healing.push(error.to_string());
            }
            self.errors.push(error.to_string());
        }
    }
}

/// Why a life ended before it began.
#[derive(Debug)]
pub(crate) enum LifeError {
    /// The log could not be opened.
    Open(PerCoreWalError),
    /// What came back is not what was appended, or not all that was promised.
    Wrong(String),
}

impl LifeError {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Open(error) => format!("opening failed: {error}"),
            Self::Wrong(what) => what.clone(),
        }
    }
}

/// Every core has at least what was promised of it.
pub(crate) fn check_kept(ends: &[u64], promised: &[u64]) -> Result<(), String> {
    for (core, promised) in promised.iter().enumerate() {
        let end = ends.get(core).copied().unwrap_or(0);
        if end < *promised {
            return Err(format!("core {core} ends at {end}, {promised} entries had been acknowledged"));
        }
    }
    Ok(())
}

/// Small segments, rings and budgets, so that everything happens often; nothing on another thread.
pub(crate) fn config_of(disk: &SimDisk, life: &Life, clock: &Arc<Ticks>) -> PerCoreWalConfig {
    // The directory itself is the real one: any that exists.
    let mut config = PerCoreWalConfig::new(std::env::temp_dir(), life.cores).inline();
    config.log.segment_bytes = 16 * 1024;
    config.log.ring_bytes = 8 * 1024;
    config.log.retention = life.retention;
    config.log.on_sync_failure = OnSyncFailure::Continue;
    config.free_segments_max = 2;
    config.checkpoint_budget_bytes = 4 * 1024;
    config.threads_max = 1;
    config.clock = Clock::injected(Arc::clone(clock) as Arc<dyn TimeSource>);
    config.storage = Arc::new(disk.clone());
    config.source = Arc::new(disk.clone());
    config
}
