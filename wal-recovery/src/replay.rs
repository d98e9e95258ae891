//! The state of the checkpoint, then the entries above it, handed to the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;

use wal_format::{CoreId, EntryRef, Epoch, Manifest, OperationRef, OrderKey};
use wal_reader::{CheckpointReader, ReadError, RunReader, Source};

use crate::error::{BoxError, RecoveryError};
use crate::options::Mode;
use crate::plan::Plan;
use crate::progress::{Listener, Meter};
use crate::report::RecoveryReport;
use crate::resume::ResumePoints;
use crate::scan::in_parallel;
use crate::trace;

/// What the engine does with what comes back.
///
/// First the checkpoint's keys, ascending; then the log's entries above the checkpoint, in the global order. For
/// `HashMap<Vec<u8>, Vec<u8>>` and `BTreeMap<Vec<u8>, Vec<u8>>` it is there already: keys and their last values. An
/// engine that keeps its state elsewhere loads it in [`Replay::checkpoint`] and ignores [`Replay::state`].
pub trait Replay {
    /// The checkpoint that everything else comes on top of, before its first key. Not called if there is none.
    ///
    /// # Errors
    /// Whatever the engine likes, for instance that its own store does not have this epoch: recovery stops and returns
    /// it.
    fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
        let _ = manifest;
        Ok(())
    }

    /// One key of the checkpointed state.
    ///
    /// # Errors
    /// Whatever the engine likes: recovery stops and returns it.
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        let _ = (key, value);
        Ok(())
    }

    /// One entry of the log.
    ///
    /// # Errors
    /// Whatever the engine likes: recovery stops and returns it.
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError>;
}

/// What recovery returns beside what it replayed.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Per source the next offset to read: of the last commit in the global order that names it.
    pub offsets: BTreeMap<String, u64>,
    /// Each core's last watermark.
    pub watermarks: BTreeMap<CoreId, i64>,
    /// Highest epoch that is part of the state, in whole or in part; 0 for an empty log.
    pub epoch: Epoch,
    /// What was found, decided and done.
    pub report: RecoveryReport,
    /// From where the log goes on.
    pub resume: ResumePoints,
}

impl Recovered {
    /// The time up to which all cores that ever committed a watermark have seen everything.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.watermarks.values().copied().min()
    }
}

/// What the replayed commits add up to.
#[derive(Default)]
struct Commits {
    offsets: BTreeMap<String, (Option<OrderKey>, u64)>,
    watermarks: BTreeMap<CoreId, i64>,
    epoch: Epoch,
}

impl Commits {
    #[inline]
    fn note(&mut self, entry: &EntryRef<'_>) {
        self.epoch = entry.epoch;
        if matches!(entry.operation, OperationRef::Commit { .. }) {
            self.note_commit(entry);
        }
    }

    /// Out of line: commits are few.
    #[cold]
    fn note_commit(&mut self, entry: &EntryRef<'_>) {
        if let OperationRef::Commit { offsets, watermark } = entry.operation {
            for (source, offset) in offsets.iter() {
                match self.offsets.get_mut(source) {
                    Some(last) => *last = (Some(entry.order_key()), offset),
                    None => {
                        self.offsets.insert(source.to_owned(), (Some(entry.order_key()), offset));
                    }
                }
            }
            if let Some(watermark) = watermark {
                self.watermarks.insert(entry.core_id, watermark);
            }
        }
    }

    /// Adds what another core's log came to: per source, the later in the global order counts.
    fn merge(&mut self, other: Self) {
        for (source, (key, offset)) in other.offsets {
            let last = self.offsets.entry(source).or_insert((None, 0));
            if key >= last.0 {
                *last = (key, offset);
            }
        }
        self.watermarks.extend(other.watermarks);
        self.epoch = self.epoch.max(other.epoch);
    }
}

/// Replays everything in the global order.
pub(crate) fn replay(
    source: &Arc<dyn Source>,
    plan: Plan,
    listener: Option<&Listener>,
    engine: &mut (impl Replay + ?Sized),
) -> Result<Recovered, RecoveryError> {
    let span = trace::replay();
    let mut meter = Meter::new(listener, plan.bytes_to_read());
    let (mut commits, problems) = replay_checkpoint(source, &plan, &mut meter, engine)?;
    let state_keys = meter.entries();
    let mut merged = plan.merged(source);
    let checkpoint = plan.checkpoint_epoch();
    while merged.advance()? {
        let entry = merged.entry();
        if checkpoint.is_some_and(|checkpoint| entry.epoch <= checkpoint) {
            continue;
        }
        commits.note(&entry);
        engine.entry(&entry).map_err(RecoveryError::of_engine)?;
        meter.entry(|| merged.bytes_read());
    }
    meter.phase_done(merged.bytes_read());
    span.done(meter.entries(), meter.bytes());
    Ok(finish(plan, commits, state_keys, &meter, problems))
}

/// Replays the checkpoint into `engine`, then every core's log into a sink of its own, several cores at a time.
pub(crate) fn replay_parallel<S: Replay + Send>(
    source: &Arc<dyn Source>,
    plan: Plan,
    listener: Option<&Listener>,
    threads_max: usize,
    engine: &mut (impl Replay + ?Sized),
    sink: impl Fn(CoreId) -> S + Sync,
) -> Result<(Vec<(CoreId, S)>, Recovered), RecoveryError> {
    let span = trace::replay();
    let here = trace::Here::now();
    let mut meter = Meter::new(listener, plan.bytes_to_read());
    let (mut commits, problems) = replay_checkpoint(source, &plan, &mut meter, engine)?;
    let state_keys = meter.entries();
    let cores: Vec<_> = plan.cores.iter().map(|core| core.scan.core).collect();
    let (counted, counts) = mpsc::channel::<(u64, u64)>();
    let results = std::thread::scope(|scope| {
        let (plan, sink, here) = (&plan, &sink, &here);
        let work = scope.spawn(move || {
            in_parallel(&cores, threads_max, |core| {
                let span = here.replay_core(core);
                let mut sink = sink(core);
                let commits = replay_core(source, plan, core, &mut sink, &counted, &span)?;
                Ok((core, sink, commits))
            })
        });
        // Ends when the last worker is done: then `counted` and its clones are gone.
        counts.iter().for_each(|(entries, bytes)| meter.add(entries, bytes));
        match work.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let mut sinks = Vec::with_capacity(results.len());
    for result in results {
        let (core, sink, of_core) = result.map_err(|error: RecoveryError| error)?;
        commits.merge(of_core);
        sinks.push((core, sink));
    }
    span.done(meter.entries(), meter.bytes());
    Ok((sinks, finish(plan, commits, state_keys, &meter, problems)))
}

fn replay_core(
    source: &Arc<dyn Source>,
    plan: &Plan,
    core: CoreId,
    sink: &mut impl Replay,
    counted: &mpsc::Sender<(u64, u64)>,
    span: &trace::Entered,
) -> Result<Commits, RecoveryError> {
    const COUNT_EVERY: u64 = 1 << 16;
    let mut reader = plan.reader(source, core);
    let checkpoint = plan.checkpoint_epoch();
    let mut commits = Commits::default();
    let (mut entries, mut bytes) = (0_u64, 0);
    while reader.advance()? {
        let entry = reader.entry();
        if checkpoint.is_some_and(|checkpoint| entry.epoch <= checkpoint) {
            continue;
        }
        commits.note(&entry);
        sink.entry(&entry).map_err(RecoveryError::of_engine)?;
        entries += 1;
        if entries.is_multiple_of(COUNT_EVERY) {
            let now = reader.bytes_read();
            let _ = counted.send((COUNT_EVERY, now - bytes));
            bytes = now;
        }
    }
    let _ = counted.send((entries % COUNT_EVERY, reader.bytes_read() - bytes));
    span.done(entries, reader.bytes_read());
    Ok(commits)
}

/// The checkpoint's state alone; in salvage, what was wrong with it.
pub(crate) fn replay_state(
    source: &Arc<dyn Source>,
    plan: &Plan,
    engine: &mut (impl Replay + ?Sized),
) -> Result<Vec<String>, RecoveryError> {
    let mut meter = Meter::new(None, 0);
    replay_checkpoint(source, plan, &mut meter, engine).map(|(_, problems)| problems)
}

/// Hands the checkpoint's state over; what it says of sources and watermarks, and in salvage what was wrong with it.
fn replay_checkpoint(
    source: &Arc<dyn Source>,
    plan: &Plan,
    meter: &mut Meter<'_>,
    engine: &mut (impl Replay + ?Sized),
) -> Result<(Commits, Vec<String>), RecoveryError> {
    let Some(manifest) = &plan.manifest else { return Ok((Commits::default(), Vec::new())) };
    engine.checkpoint(manifest).map_err(RecoveryError::of_engine)?;
    let mut problems = Vec::new();
    let mut accept = |error: ReadError| match (plan.mode, error) {
        (Mode::Salvage, error @ (ReadError::RunCorrupt { .. } | ReadError::RunMissing { .. })) => {
            problems.push(error.to_string());
            Ok(())
        }
        (_, error) => Err(error),
    };
    let mut runs = Vec::with_capacity(manifest.runs.len());
    for run in &manifest.runs {
        match RunReader::open(&**source, manifest.log_id, *run) {
            Ok(_) => runs.push(*run),
            Err(error) => accept(error)?,
        }
    }
    let mut state = CheckpointReader::of_runs(&**source, manifest.log_id, &runs, false)?;
    loop {
        match state.advance() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                accept(error)?;
                continue;
            }
        }
        let value = state.value().unwrap_or_default();
        engine.state(state.key(), value).map_err(RecoveryError::of_engine)?;
        meter.entry(|| state.bytes_read());
    }
    meter.phase_done(state.bytes_read());
    let offsets = manifest.offsets.iter().map(|offset| (offset.source.clone(), (None, offset.offset)));
    let commits = Commits {
        offsets: offsets.collect(),
        watermarks: manifest.watermarks.iter().copied().collect(),
        epoch: manifest.epoch,
    };
    Ok((commits, problems))
}

fn finish(
    plan: Plan,
    commits: Commits,
    state_keys: u64,
    meter: &Meter<'_>,
    problems: Vec<String>,
) -> Recovered {
    let mut report = plan.report;
    report.checkpoint_keys = state_keys;
    report.entries_replayed = meter.entries() - state_keys;
    report.bytes_read = meter.bytes();
    report.problems.extend(problems);
    Recovered {
        offsets: commits.offsets.into_iter().map(|(source, (_, offset))| (source, offset)).collect(),
        watermarks: commits.watermarks,
        epoch: commits.epoch,
        report,
        resume: plan.resume,
    }
}
