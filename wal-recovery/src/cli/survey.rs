//! A log directory looked at once: what recovery would find and decide, and which of it is damage.
//!
//! Without an engine that is recovery's own diagnosis. While an engine runs, files grow and are released between two
//! reads of ours, so a first look may see evidence that is newer than the tail which it contradicts. What one look
//! finds short of its evidence is therefore damage only if a second look, begun after that evidence was on disk, still
//! ends short of it, with no checkpoint in between. Anything else is a tail that is being written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wal_format::{CoreId, Epoch, FileName, Finding, LogId};
use wal_reader::{Evidence, Inventory, ReadError, Source, read_manifest, read_meta};

use super::console::Console;
use super::engine::Engine;
use super::failure::Failure;
use super::look::Look;
use crate::error::RecoveryError;
use crate::manager::PerCoreRecoveryManager;
use crate::plan::{CorePlan, Plan};

/// More looks than this at a log that never stands still tell nothing new.
const LOOKS_MAX: usize = 8;

/// How a core's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It ends clean.
    Whole,
    /// Its last write did not arrive whole; nobody was promised it, and opening cuts it off.
    Torn,
    /// An engine is writing its tail.
    Growing,
    /// What had been durable is missing or corrupt.
    Damaged,
    /// Checkpoints came faster than it could be read, every time.
    Undecided,
}

/// A log directory, looked at.
pub(super) struct Survey {
    pub(super) source: Arc<dyn Source>,
    pub(super) engine: Engine,
    pub(super) log_id: LogId,
    pub(super) inventory: Inventory,
    /// The strict diagnosis.
    pub(super) plan: Plan,
    /// Bytes read by the look that counts, and how long that took.
    pub(super) bytes_read: u64,
    pub(super) took: Duration,
    conditions: BTreeMap<CoreId, Condition>,
}

impl Survey {
    /// Looks at the directory `path`.
    pub(super) fn take(path: &Path, console: &Console) -> Result<Self, Failure> {
        Self::of_state(path, console, Engine::of(path)?)
    }

    fn of_state(path: &Path, console: &Console, engine: Engine) -> Result<Self, Failure> {
        let source = Look::at(path, !engine.may_write(), &console.progress);
        let mut known: BTreeMap<CoreId, Evidence> = BTreeMap::new();
        let mut is_second = false;
        for look in 1.. {
            let begun_at = checkpoint(&*source);
            console.progress.begin("scanning", bytes_of(&*source)?);
            let diagnosis = PerCoreRecoveryManager::with_source(Arc::clone(&source)).diagnose();
            let (bytes_read, took) = console.progress.so_far();
            console.progress.clear();
            let moves = engine.may_write() && look < LOOKS_MAX;
            let plan = match diagnosis {
                Ok(plan) => plan,
                // Released while it was read, perhaps: with another checkpoint it is another question.
                Err(RecoveryError::Read(_)) if moves && checkpoint(&*source) != begun_at => continue,
                Err(error) => return Err(error.into()),
            };
            let suspects: BTreeMap<_, _> = plan.cores.iter().filter_map(suspect).collect();
            let settled = suspects.is_empty() || (is_second && checkpoint(&*source) == begun_at);
            if moves && !settled {
                (known, is_second) = (suspects, true);
                continue;
            }
            // An engine that was started since the lock was asked for writes behind our back.
            let has_doubts =
                plan.cores.iter().any(|core| core.ending.row.verdict() != wal_format::Verdict::Clean);
            if engine == Engine::Stopped && has_doubts && Engine::of(path)?.may_write() {
                return Self::of_state(path, console, Engine::Running);
            }
            // Of a log that was checkpointed meanwhile, evidence and segments may have gone together.
            let is_still = !engine.may_write() || checkpoint(&*source) == begun_at;
            let known = is_still.then_some(&known);
            let conditions = plan.cores.iter().map(|core| (core.scan.core, condition(core, engine, known)));
            return Ok(Self {
                log_id: log_id(path, &plan)?,
                inventory: Inventory::list(&*source)?,
                engine,
                conditions: conditions.collect(),
                source,
                plan,
                bytes_read,
                took,
            });
        }
        unreachable!("the last look returns")
    }

    pub(super) fn condition(&self, core: CoreId) -> Condition {
        self.conditions.get(&core).copied().unwrap_or(Condition::Whole)
    }

    /// Whether any core's log lost something, or the checkpoint cannot be read.
    pub(super) fn is_damaged(&self) -> bool {
        !self.plan.report.problems.is_empty()
            || self.conditions.values().any(|condition| *condition == Condition::Damaged)
    }

    /// An error if a core's log could not be told whole from damaged.
    pub(super) fn check_decided(&self) -> Result<(), Failure> {
        let undecided = self.conditions.iter().find(|(_, condition)| **condition == Condition::Undecided);
        undecided.map_or(Ok(()), |(core, _)| Err(Failure::Moving(format!("the log of core {core}"))))
    }

    /// Whether another checkpoint was made since.
    pub(super) fn is_outdated(&self) -> bool {
        let now = read_manifest(&*self.source, self.log_id).ok().flatten();
        self.engine.may_write() && now.map(|manifest| manifest.epoch) != self.plan.checkpoint_epoch()
    }

    /// Every core that the log knows.
    pub(super) fn cores(&self) -> BTreeSet<CoreId> {
        self.plan.cores.iter().map(|core| core.scan.core).collect()
    }

    /// A plan to read by: the strict one, or, of a log that lost something, that of salvage.
    pub(super) fn readable(&self, console: &Console) -> Result<Plan, Failure> {
        if !self.is_damaged() {
            return Ok(self.plan.clone());
        }
        console.progress.begin("looking for what is intact", bytes_of(&*self.source)?);
        let manager = PerCoreRecoveryManager::with_source(Arc::clone(&self.source));
        let plan = manager.mode(crate::options::Mode::Salvage).plan();
        console.progress.clear();
        Ok(plan?)
    }
}

/// The evidence by which a log falls short.
fn suspect(core: &CorePlan) -> Option<(CoreId, Evidence)> {
    let evidence = core.ending.evidence.filter(|_| core.ending.verdict().is_error())?;
    Some((core.scan.core, evidence))
}

/// Pure: what the diagnosis of a core means, given what was known to be durable before it began; `None` if a checkpoint
/// was made meanwhile.
fn condition(core: &CorePlan, engine: Engine, known: Option<&BTreeMap<CoreId, Evidence>>) -> Condition {
    if core.ending.verdict().is_error() {
        let Some(known) = known else { return Condition::Undecided };
        let is_short = known.get(&core.scan.core).is_some_and(|known| known.is_beyond(&core.scan.end));
        return if engine.may_write() && !is_short { Condition::Growing } else { Condition::Damaged };
    }
    match core.ending.reason.finding() {
        _ if engine == Engine::Running => Condition::Growing,
        Finding::Damage => Condition::Torn,
        Finding::Nothing | Finding::Stale => Condition::Whole,
    }
}

/// What tells one checkpoint from the next.
fn checkpoint(source: &dyn Source) -> Option<Epoch> {
    let meta = read_meta(source).ok().flatten()?;
    read_manifest(source, meta.log_id).ok().flatten().map(|manifest| manifest.epoch)
}

fn log_id(path: &Path, plan: &Plan) -> Result<LogId, Failure> {
    let nothing = || {
        let path = path.display();
        Failure::Usage(format!("{path} holds no log: give the directory that has the file wal.meta"))
    };
    plan.resume.log_id.ok_or_else(nothing)
}

/// Bytes of all segments: about what a scan reads.
pub(super) fn bytes_of(source: &dyn Source) -> Result<u64, Failure> {
    let inventory = match Inventory::list(source) {
        Ok(inventory) => inventory,
        Err(ReadError::Io { path, cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(RecoveryError::NotFound { path }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let numbers = inventory.segments.iter();
    let names = numbers.flat_map(|(core, segments)| {
        segments.iter().map(|segment| FileName::Segment(*core, *segment).to_string())
    });
    Ok(names.filter_map(|name| source.open(&name).ok()?.len().ok()).fold(0, u64::saturating_add))
}
