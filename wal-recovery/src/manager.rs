//! The one entry point: what to recover, from where, into what.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use wal_format::{CoreId, FormatError, LogId, Manifest, names};
use wal_reader::{CoreScan, Directory, Inventory, ReadError, Source, Witnesses, read_manifest, read_meta};

use crate::error::RecoveryError;
use crate::options::{Mode, Scope};
use crate::plan::{Findings, Plan, decide};
use crate::progress::{Listener, Progress};
use crate::replay::{Recovered, Replay, replay, replay_parallel};
use crate::scan::{Depth, How, scan_all, scan_core};
use crate::state::PerCoreRecoveredState;
use crate::trace;

/// A log at work is scanned again when a checkpoint came in between; so often at most.
const ATTEMPTS: usize = 32;

/// Recovers a log directory. Reads only: it may be interrupted anywhere and run again, with the same result.
///
/// ```
/// use wal_recovery::{PerCoreRecoveryManager, Scope};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let recovered = PerCoreRecoveryManager::new(path).scope(Scope::ConsistentCut).recover_state()?;
/// println!("{}", recovered.report);
/// assert!(recovered.state.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PerCoreRecoveryManager {
    source: Arc<dyn Source>,
    scope: Scope,
    mode: Mode,
    listener: Option<Listener>,
    threads_max: usize,
}

/// Recovers everything in the directory `path` into a map, strictly.
///
/// # Errors
/// As of [`PerCoreRecoveryManager::recover_state`].
pub fn recover_per_core(path: impl AsRef<Path>) -> Result<PerCoreRecoveredState, RecoveryError> {
    PerCoreRecoveryManager::new(path).recover_state()
}

impl PerCoreRecoveryManager {
    /// Recovers from the directory `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::with_source(Arc::new(Directory::new(path)))
    }

    /// Recovers from any source.
    #[must_use]
    pub fn with_source(source: Arc<dyn Source>) -> Self {
        let (scope, mode) = (Scope::default(), Mode::default());
        Self { source, scope, mode, listener: None, threads_max: usize::MAX }
    }

    /// How far each log is replayed; everything, unless told otherwise.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// What to do about damage; refuse, unless told otherwise.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Tells `listener` now and then how far replay has come.
    #[must_use]
    pub fn progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// At most this many cores at a time, each on a thread of its own; as many as the machine has, unless told
    /// otherwise. With 1, everything happens on the calling thread, one core after the other, so that the same files
    /// give the same calls to the source: what simulations need.
    #[must_use]
    pub fn threads_max(mut self, threads_max: usize) -> Self {
        self.threads_max = threads_max.max(1);
        self
    }

    /// Scans and decides, without replaying: what whoever opens the log for writing needs.
    ///
    /// Everything that the plan rests on has been synced, and read from the medium rather than from a cache.
    ///
    /// # Errors
    /// [`RecoveryError::NotFound`], [`RecoveryError::CheckpointMissing`], [`RecoveryError::CheckpointCorrupt`],
    /// [`RecoveryError::BeforeCheckpoint`], [`RecoveryError::Overtaken`] by an engine at work, and
    /// [`RecoveryError::Read`] for everything that reading can meet.
    pub fn plan(&self) -> Result<Plan, RecoveryError> {
        let _span = trace::recovery(self.scope, self.mode);
        self.plan_to(Depth::Whole)
    }

    /// Scans and decides as [`Self::plan`], and returns what was decided also where a strict plan refuses: the endings
    /// of all cores with their verdicts, and a manifest that cannot be read among the report's problems.
    ///
    /// # Errors
    /// As of [`Self::plan`], without those for logs that lost something.
    pub fn diagnose(&self) -> Result<Plan, RecoveryError> {
        let _span = trace::recovery(self.scope, self.mode);
        self.examine(Mode::Salvage, Depth::Whole)
    }

    fn plan_to(&self, depth: Depth) -> Result<Plan, RecoveryError> {
        for _ in 0..ATTEMPTS {
            let plan = self.plan_once(depth)?;
            if !self.was_overtaken(&plan)? {
                return Ok(plan);
            }
        }
        Err(RecoveryError::Overtaken { path: self.source.path("") })
    }

    /// Whether an engine at work made a checkpoint since the plan was begun. Segments that it released may have been
    /// used again while they were scanned, and what was read last then looks like the end of the log. It releases none
    /// before the manifest that allows it is there.
    fn was_overtaken(&self, plan: &Plan) -> Result<bool, RecoveryError> {
        let Some(log_id) = plan.resume.log_id else { return Ok(false) };
        match read_manifest(&*self.source, log_id) {
            Ok(now) => Ok(now.map(|now| now.epoch) != plan.manifest.as_ref().map(|manifest| manifest.epoch)),
            // In salvage, and reported.
            Err(ReadError::Format { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn plan_once(&self, depth: Depth) -> Result<Plan, RecoveryError> {
        let plan = self.examine(self.mode, depth)?;
        if self.mode == Mode::Strict {
            check(&*self.source, &plan)?;
        }
        Ok(plan)
    }

    /// `accepts`: what to do about a manifest that cannot be read.
    fn examine(&self, accepts: Mode, depth: Depth) -> Result<Plan, RecoveryError> {
        let inventory = self.inventory()?;
        let Some(log_id) = self.log_id(&inventory)? else {
            return Ok(decide(Findings::nothing(inventory), self.scope, self.mode));
        };
        let (manifest, problem) = self.manifest(log_id, accepts)?;
        let checkpoint = manifest.as_ref().map(|manifest| manifest.epoch);
        if let (Scope::UpToEpoch(asked), Some(checkpoint)) = (self.scope, checkpoint)
            && asked < checkpoint
        {
            return Err(RecoveryError::BeforeCheckpoint { asked, checkpoint });
        }
        let how = How { mode: self.mode, depth, threads_max: self.threads_max };
        let scans = scan_all(&self.source, log_id, &inventory, manifest.as_ref(), how)?;
        let (scans, witnesses) = self.add_named_cores(log_id, scans, manifest.as_ref(), how)?;
        let findings = Findings { log_id: Some(log_id), inventory, manifest, scans, witnesses };
        let mut plan = decide(findings, self.scope, self.mode);
        plan.report.problems.extend(problem);
        trace::planned(&plan);
        Ok(plan)
    }

    /// Recovers into `engine`: the checkpoint's state, then the log, in the global order.
    ///
    /// # Errors
    /// As of [`Self::plan`]; [`RecoveryError::Replay`] with what `engine` returned; [`RecoveryError::Read`] if the
    /// checkpoint is incomplete. `engine` may then have seen a part: what is proven durable is read once, and its
    /// checksums are verified frame by frame before the entries are handed over. Whoever wants to know that the log is
    /// whole before the first entry calls [`Self::plan`] first.
    pub fn recover(&self, engine: &mut impl Replay) -> Result<Recovered, RecoveryError> {
        self.replayed(|plan| replay(&self.source, plan, self.listener.as_ref(), engine))
    }

    /// Recovers the checkpoint's state into `engine`, and every core's log into a sink of its own, several cores at a
    /// time: for engines in which no key is ever written by two cores.
    ///
    /// # Errors
    /// As of [`Self::recover`].
    pub fn recover_parallel<S: Replay + Send>(
        &self,
        engine: &mut impl Replay,
        sink: impl Fn(CoreId) -> S + Sync,
    ) -> Result<(Vec<(CoreId, S)>, Recovered), RecoveryError> {
        self.replayed(|plan| {
            replay_parallel(&self.source, plan, self.listener.as_ref(), self.threads_max, engine, sink)
        })
    }

    /// Recovers into a map.
    ///
    /// # Errors
    /// As of [`Self::recover`]; [`RecoveryError::ExternalState`] if the checkpoint is in the engine's own store;
    /// [`RecoveryError::OutOfMemory`] if the map does not fit.
    pub fn recover_state(&self) -> Result<PerCoreRecoveredState, RecoveryError> {
        let mut map = HashMap::new();
        let recovered = self.recover(&mut map)?;
        Ok(PerCoreRecoveredState::new(map, recovered))
    }

    /// Plans by the headers of what is proven durable, and replays. Damage that either meets is looked at once more
    /// in full: the plan of the whole log knows the evidence, and what else is wrong.
    fn replayed<R>(&self, replay: impl FnOnce(Plan) -> Result<R, RecoveryError>) -> Result<R, RecoveryError> {
        let _span = trace::recovery(self.scope, self.mode);
        let replayed = self.plan_to(Depth::Replayed).and_then(replay);
        match replayed {
            Err(RecoveryError::Read(error @ (ReadError::Corrupt(_) | ReadError::Missing(_)))) => {
                Err(self.plan().err().unwrap_or(RecoveryError::Read(error)))
            }
            replayed => replayed,
        }
    }

    fn inventory(&self) -> Result<Inventory, RecoveryError> {
        Inventory::list(&*self.source).map_err(|error| match error {
            ReadError::Io { path, cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
                RecoveryError::NotFound { path }
            }
            error => error.into(),
        })
    }

    /// The log's id; `None` if there is no log.
    fn log_id(&self, inventory: &Inventory) -> Result<Option<LogId>, RecoveryError> {
        if let Some(meta) = read_meta(&*self.source)? {
            return Ok(Some(meta.log_id));
        }
        // `wal.meta` is durable before any of these exists (write-ordering rule 1).
        let has_files = inventory.manifest || !inventory.segments.is_empty() || !inventory.runs.is_empty();
        if has_files { Err(ReadError::NotALog { path: self.source.path("") }.into()) } else { Ok(None) }
    }

    /// The manifest; if `accepts` is salvage, what is wrong with it if it cannot be read.
    fn manifest(
        &self,
        log_id: LogId,
        accepts: Mode,
    ) -> Result<(Option<Manifest>, Option<String>), RecoveryError> {
        match read_manifest(&*self.source, log_id) {
            Ok(manifest) => Ok((manifest, None)),
            Err(ReadError::Format { path, cause: cause @ FormatError::Version { .. } }) => {
                Err(ReadError::Format { path, cause }.into())
            }
            Err(ReadError::Format { path, cause }) => {
                let error = RecoveryError::CheckpointCorrupt { path, cause };
                if accepts == Mode::Salvage { Ok((None, Some(error.to_string()))) } else { Err(error) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A core that only a barrier names had a log, unless the barrier says that nothing was in it.
    fn add_named_cores(
        &self,
        log_id: LogId,
        mut scans: Vec<CoreScan>,
        manifest: Option<&Manifest>,
        how: How,
    ) -> Result<(Vec<CoreScan>, Witnesses), RecoveryError> {
        let witnesses = Witnesses::new(scans.iter().flat_map(|scan| &scan.barriers), manifest);
        let scanned: BTreeSet<_> = scans.iter().map(|scan| scan.core).collect();
        for core in witnesses.cores().difference(&scanned) {
            scans.push(scan_core(&*self.source, log_id, *core, &[], manifest, how)?);
        }
        scans.sort_by_key(|scan| scan.core);
        Ok((scans, witnesses))
    }
}

/// The first core whose log lost something that had been durable, as an error.
fn check(source: &dyn Source, plan: &Plan) -> Result<(), RecoveryError> {
    let Some(core) = plan.cores.iter().find(|core| core.ending.verdict().is_error()) else {
        return Ok(());
    };
    let scan = &core.scan;
    if let (None, Some(sequence)) = (&plan.manifest, scan.begins_later) {
        let path = source.path(names::MANIFEST);
        return Err(RecoveryError::CheckpointMissing { path, core: scan.core, sequence });
    }
    Err(scan.defect(source, &core.ending).into())
}

impl Findings {
    fn nothing(inventory: Inventory) -> Self {
        Self { log_id: None, inventory, manifest: None, scans: Vec::new(), witnesses: Witnesses::default() }
    }
}
