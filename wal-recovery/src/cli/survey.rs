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
        Self::of_source(Look::at(path, !engine.may_write(), &console.progress), path, console, engine)
    }

    fn of_source(
        source: Arc<dyn Source>,
        path: &Path,
        console: &Console,
        engine: Engine,
    ) -> Result<Self, Failure> {
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

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::disallowed_types, reason = "what the source was asked is counted under a lock")]

    use super::*;
    use clap::Parser;
    use std::io;
    use std::sync::{Mutex, PoisonError};
    use wal_format::{Manifest, names};
    use wal_reader::testing::LogBuilder;
    use wal_reader::{MemorySource, SourceFile};

    use crate::cli::args::Args;

    const A: CoreId = CoreId(0);

    /// What a directory was asked for.
    #[derive(Clone, Copy, Default)]
    struct Asked {
        lists: u64,
        manifests: u64,
    }

    /// A directory that may change under the look.
    #[derive(Default)]
    struct Scene {
        files: MemorySource,
        /// Whoever opens the manifest finds another one each time.
        moves: Option<Manifest>,
        /// Segments cannot be opened before the names were listed more often than this.
        refused: u64,
        asked: Mutex<Asked>,
    }

    impl Scene {
        /// A log of two frames; the first is damaged, although the second says that it had been durable.
        fn of(damaged: bool, moves: bool) -> Self {
            let mut log = LogBuilder::new(LogId([1; 16]));
            let first = log.put(A, b"first", b"value");
            log.sync(A);
            log.put(A, b"second", b"value");
            let mut files = log.source();
            if damaged {
                let bytes = files.get_mut(&log.core(A).name()).expect("it has a segment");
                bytes[usize::try_from(first.offset).expect("it is small") + 66] ^= 1;
            }
            Self { files, moves: moves.then(|| log.empty_manifest(0)), ..Self::default() }
        }

        fn asked<T>(&self, with: impl FnOnce(&mut Asked) -> T) -> T {
            with(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl Source for Scene {
        fn names(&self) -> io::Result<Vec<String>> {
            self.asked(|asked| asked.lists += 1);
            self.files.names()
        }

        fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
            let asked = self.asked(|asked| {
                asked.manifests += u64::from(name == names::MANIFEST);
                *asked
            });
            if name == names::MANIFEST
                && let Some(manifest) = &self.moves
            {
                let mut files = MemorySource::new();
                let manifest = Manifest { epoch: Epoch(asked.manifests), ..manifest.clone() };
                files.insert(name, manifest.encode());
                return files.open(name);
            }
            if name.ends_with(".log") && asked.lists <= self.refused {
                return Err(io::ErrorKind::Other.into());
            }
            self.files.open(name)
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.files.path(name)
        }
    }

    fn console() -> Console {
        let args = Args::try_parse_from(["wal", "inspect", "nowhere"]).expect("it is right");
        Console::of_process(&args)
    }

    fn look(scene: Scene, engine: Engine) -> (Arc<Scene>, Result<Survey, Failure>) {
        let place = tempfile::tempdir().expect("there is room");
        let scene = Arc::new(scene);
        let source: Arc<dyn Source> = Arc::<Scene>::clone(&scene);
        let survey = Survey::of_source(source, place.path(), &console(), engine);
        (scene, survey)
    }

    /// A log at rest, looked at.
    pub(in crate::cli) fn survey(files: MemorySource) -> Survey {
        let (_, survey) = look(Scene { files, ..Scene::default() }, Engine::Stopped);
        survey.expect("it can be read")
    }

    /// How core A was found, and how often names were listed for it.
    fn found(damaged: bool, moves: bool, engine: Engine) -> (Condition, u64) {
        let (scene, survey) = look(Scene::of(damaged, moves), engine);
        (survey.expect("it can be read").condition(A), scene.asked(|asked| asked.lists))
    }

    #[test]
    fn a_log_is_looked_at_as_often_as_it_takes_and_no_more() {
        let (condition, lists) = found(false, false, Engine::Stopped);
        assert_eq!(condition, Condition::Whole);
        // The last list is what the survey keeps.
        let looks = |count: u64| count * (lists - 1) + 1;
        assert_eq!(found(true, false, Engine::Stopped), (Condition::Damaged, looks(1)));
        assert_eq!(found(false, false, Engine::Running), (Condition::Growing, looks(1)));
        // Damage, if a second look says so.
        assert_eq!(found(true, false, Engine::Running), (Condition::Damaged, looks(2)));
        assert_eq!(found(true, false, Engine::Unknown), (Condition::Damaged, looks(2)));
        // With a checkpoint between any two looks, nobody knows.
        assert_eq!(found(true, true, Engine::Running), (Condition::Undecided, looks(LOOKS_MAX as u64)));
        assert_eq!(found(true, true, Engine::Stopped), (Condition::Damaged, looks(1)));
    }

    #[test]
    fn what_cannot_be_read_is_asked_again_if_a_checkpoint_may_have_released_it() {
        let (_, lists) = found(false, false, Engine::Stopped);
        let is_found = |moves, engine| {
            let (_, survey) = look(Scene { refused: lists - 1, ..Scene::of(false, moves) }, engine);
            survey.is_ok()
        };
        assert!(is_found(true, Engine::Running));
        assert!(!is_found(false, Engine::Running) && !is_found(true, Engine::Stopped));
    }

    #[test]
    fn a_look_is_outdated_by_a_checkpoint_of_an_engine() {
        let is_outdated = |moves, engine| {
            let (_, survey) = look(Scene::of(false, moves), engine);
            survey.expect("it can be read").is_outdated()
        };
        assert!(is_outdated(true, Engine::Running) && !is_outdated(false, Engine::Running));
        assert!(!is_outdated(true, Engine::Stopped) && !is_outdated(false, Engine::Stopped));
    }

    #[test]
    fn an_engine_that_was_started_during_the_look_is_noticed_if_there_are_doubts() {
        let engine = |damaged, held| {
            let place = tempfile::tempdir().expect("there is room");
            for (name, bytes) in Scene::of(damaged, false).files.iter() {
                std::fs::write(place.path().join(name), bytes).expect("there is room");
            }
            let lock = std::fs::File::create(place.path().join(names::LOCK)).expect("there is room");
            if held {
                lock.lock().expect("nobody has it");
            }
            let survey = Survey::of_state(place.path(), &console(), Engine::Stopped);
            survey.expect("it can be read").engine
        };
        assert_eq!((engine(true, true), engine(true, false)), (Engine::Running, Engine::Stopped));
        assert_eq!((engine(false, true), engine(false, false)), (Engine::Stopped, Engine::Stopped));
    }

    /// A directory that cannot be listed.
    struct Refuses(io::ErrorKind);

    impl Source for Refuses {
        fn names(&self) -> io::Result<Vec<String>> {
            Err(self.0.into())
        }

        fn open(&self, _: &str) -> io::Result<Box<dyn SourceFile>> {
            Err(self.0.into())
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            name.into()
        }
    }

    #[test]
    fn the_bytes_of_a_log_are_those_of_its_segments() {
        let files = Scene::of(false, false).files;
        let bytes: usize =
            files.iter().filter(|(name, _)| name.ends_with(".log")).map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes > 4096);
        assert_eq!(bytes_of(&files).ok(), u64::try_from(bytes).ok());
        let is_missing = |kind| {
            let found = bytes_of(&Refuses(kind)).expect_err("it cannot be listed");
            matches!(found, Failure::Log(RecoveryError::NotFound { .. }))
        };
        assert!(is_missing(io::ErrorKind::NotFound) && !is_missing(io::ErrorKind::PermissionDenied));
    }
}
