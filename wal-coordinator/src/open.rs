//! Opening a log: lock, identity, recovery's decision, and the first segments that record it.
//!
//! Follows `FORMAT.md#write-ordering-rules`, rule 8: nothing is acknowledged before the decision about what was
//! inherited is on disk. On a full disk opening succeeds all the same; see `decision`.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use wal_format::limits::META_BYTES;
use wal_format::{CoreId, Epoch, FileName, LogId, Meta, SegmentNumber, Sequence, names};
use wal_reader::Inventory;
use wal_recovery::{CoreResume, PerCoreRecoveryManager, RecoveryError, RecoveryReport, ResumePoints};
use wal_writer::stall::{self, Place};
use wal_writer::{
    CoreWalWriter, Flusher, GlobalEpoch, LogOptions, LogParts, SegmentPosition, SegmentSupply, StartAt,
    Storage,
};

use crate::config::PerCoreWalConfig;
use crate::decision::Decision;
use crate::error::PerCoreWalError;
use crate::flusher::{Flushers, Wake};
use crate::locked::LockedStorage;
use crate::retention::Retention;
use crate::shared::{Shared, SharedParts};
use crate::store::{ReplaceError, replace};
use crate::sync::random_u64;
use crate::trace;

/// An open log, in parts.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writers: Vec<CoreWalWriter>,
    pub(crate) report: RecoveryReport,
}

/// Opens or creates the log. `recover` decides what is taken over, and may replay it: it runs under the lock.
pub(crate) fn open<T>(
    config: PerCoreWalConfig,
    recover: impl FnOnce(&PerCoreRecoveryManager) -> Result<T, RecoveryError>,
    decision: impl FnOnce(&T) -> (ResumePoints, RecoveryReport),
) -> Result<(Opened, T), PerCoreWalError> {
    let _span = trace::open(&config.path, config.cores);
    config.check()?;
    make_directory(&config.path)?;
    stall::at(Place::DirectoryMade);
    let lock = config.storage.lock(names::LOCK).map_err(|error| failed("lock", &config.path, error))?;
    let Some(lock) = lock else { return Err(PerCoreWalError::InUse { path: config.path }) };
    let storage: Arc<dyn Storage> = Arc::new(LockedStorage::new(Arc::clone(&config.storage), lock));
    stall::at(Place::Locked);
    // A process that was killed, or met an error, may have left names that are in the cache alone: they are inherited as
    // the files are, and made durable before anything is built on them. Segments without `wal.meta` could not be opened.
    storage.sync_directory().map_err(|error| failed("sync", &config.path, error))?;
    let inventory = Inventory::list(config.source.as_ref())?;
    remove_temporaries(storage.as_ref())?;
    stall::at(Place::TemporariesRemoved);
    if is_new(&inventory) {
        create_meta(storage.as_ref())?;
    }
    let recovery = PerCoreRecoveryManager::with_source(Arc::clone(&config.source));
    let recovered = recover(&recovery.scope(config.scope).threads_max(config.threads_max))?;
    let (resume, report) = decision(&recovered);
    stall::at(Place::Decided);
    Ok((begin(config, storage, resume, report, &inventory)?, recovered))
}

/// Makes the logs, records where they go on, starts the threads.
fn begin(
    config: PerCoreWalConfig,
    storage: Arc<dyn Storage>,
    resume: ResumePoints,
    report: RecoveryReport,
    inventory: &Inventory,
) -> Result<Opened, PerCoreWalError> {
    let log_id = resume.log_id.unwrap_or_else(|| unreachable!("wal.meta exists by now"));
    let cores = needs_every_core(&resume, config.cores);
    let supply = Arc::new(SegmentSupply::new(
        Arc::clone(&storage),
        config.log.segment_bytes,
        config.free_segments_max,
    ));
    supply
        .adopt_free(inventory.free.iter().map(|(core, segment)| FileName::Free(*core, *segment).to_string()));
    let first_epoch = resume.next_epoch.max(Epoch(1));
    let global = Arc::new(GlobalEpoch::new(first_epoch));
    let threads = config.flusher_threads();
    let (flushers, inboxes) = (threads > 0).then(|| Flushers::new(threads, &cores)).unzip();
    let woken_through = Arc::new(OnceLock::new());
    let wake = || flushers.as_ref().map(|_| Arc::new(Wake(Arc::clone(&woken_through))) as Arc<dyn Flusher>);
    let mut logs = Vec::with_capacity(cores.len());
    let mut writers = Vec::with_capacity(config.cores);
    let mut opened_at = Vec::with_capacity(cores.len());
    for core in &cores {
        let inherited = resume.cores.iter().find(|inherited| inherited.core == *core);
        let is_active = core.index() < config.cores;
        let next_segment = inherited.map_or(SegmentNumber(0), |inherited| inherited.next_segment);
        supply.register(*core, next_segment);
        inherit(&supply, *core, inventory, &resume, &report);
        opened_at.push(next_segment);
        // A core that does not append needs a log only to record where it ends.
        let options = if is_active { config.log } else { LogOptions { ring_bytes: 4096, ..config.log } };
        let parts = LogParts {
            log_id,
            core: *core,
            options,
            start: inherited.map_or_else(fresh_start, start_at),
            supply: Arc::clone(&supply),
            flusher: wake(),
        };
        let (writer, log) =
            CoreWalWriter::new(parts, Arc::clone(&global), config.clock.clone(), resume.timestamp_floor);
        logs.push(log);
        if is_active {
            writers.push(writer);
        }
    }
    let durable_epoch = Epoch(first_epoch.0 - 1);
    // First: on a full disk, they are what the decision is recorded in.
    recycle_prepared(&supply, &resume);
    stall::at(Place::PreparedRecycled);
    let decision = Decision::record(&resume, &logs, config.cores, durable_epoch, config.threads_max)?;
    decision.guard(&supply);
    stall::at(Place::DecisionRecorded);
    let shared = Arc::new(Shared::new(SharedParts {
        log_id,
        storage,
        source: config.source,
        supply,
        logs,
        active: config.cores,
        opened_at,
        decision,
        global,
        durable_epoch,
        retention: Arc::new(Retention::new(resume.manifest)),
        flushers,
        checkpoint_budget_bytes: config.checkpoint_budget_bytes,
        threads_max: config.threads_max,
        clock: config.clock,
    }));
    let _ = woken_through.set(Arc::downgrade(&shared));
    if let Some(inboxes) = inboxes {
        Flushers::start(&shared, inboxes, config.memory_time_max)?;
    }
    Ok(Opened { shared, writers, report })
}

/// Enters the segments that are there with their sizes; one that recovery had no reason to read counts as a whole one.
fn inherit(
    supply: &SegmentSupply,
    core: CoreId,
    inventory: &Inventory,
    resume: &ResumePoints,
    report: &RecoveryReport,
) {
    let prepared = resume.core(core).map_or(&[][..], |core| &core.prepared);
    let reported = report.cores.iter().find(|reported| reported.core == core);
    let read = reported.map_or(&[][..], |reported| &reported.segments);
    for number in inventory.segments_of(core).iter().filter(|number| !prepared.contains(number)) {
        let stats = read.iter().find(|stats| stats.segment == *number);
        let bytes = stats.map_or(supply.segment_bytes(), |stats| stats.bytes_used + stats.bytes_wasted);
        supply.holdings().inherit(core, *number, bytes);
    }
}

/// Segments that were made ahead and never used go back to the pool; numbers are not used twice. The decision is not recorded
/// yet: a recovery that finds them gone must decide the same.
fn recycle_prepared(supply: &SegmentSupply, resume: &ResumePoints) {
    for core in &resume.cores {
        // What cannot be recycled is empty, and in nobody's way.
        let _ = supply.recycle(core.core, &core.prepared);
    }
}

/// Every core that needs a log, ascending: those that append come first.
fn needs_every_core(resume: &ResumePoints, cores: usize) -> Vec<CoreId> {
    let active = (0..cores).filter_map(|core| u16::try_from(core).ok().map(CoreId));
    let mut all: Vec<_> = active.chain(resume.cores.iter().map(|core| core.core)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn start_at(core: &CoreResume) -> StartAt {
    StartAt {
        sequence: core.next_sequence,
        timestamp_ns: core.last_timestamp,
        epoch: core.last_epoch,
        end: core.end.map(|end| SegmentPosition {
            segment: end.segment,
            offset: end.offset,
            sequence: end.sequence,
        }),
    }
}

fn fresh_start() -> StartAt {
    StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None }
}

fn make_directory(path: &Path) -> Result<(), PerCoreWalError> {
    match std::fs::create_dir(path) {
        Ok(()) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or_else(|| Path::new("."));
            let sync = std::fs::File::open(parent).and_then(|directory| directory.sync_all());
            sync.map_err(|error| failed("sync the parent directory of", path, error))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(failed("create directory", path, error)),
    }
}

/// Whether the directory has never held a log. One with segments and no identity is not new: recovery refuses it.
fn is_new(inventory: &Inventory) -> bool {
    !inventory.meta && !inventory.manifest && inventory.segments.is_empty() && inventory.runs.is_empty()
}

fn create_meta(storage: &dyn Storage) -> Result<(), PerCoreWalError> {
    let meta = Meta { log_id: random_log_id() }.encode();
    assert_eq!(meta.len(), META_BYTES);
    replace(storage, names::META, &meta).map_err(|ReplaceError { operation, path, source }| {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PerCoreWalError::NoSpace { path, needed_bytes: META_BYTES as u64, source }
            }
            _ => PerCoreWalError::Io { operation, path, cause: source },
        }
    })
}

/// Unfinished replacements mean nothing, and are in the way of the next one.
fn remove_temporaries(storage: &dyn Storage) -> Result<(), PerCoreWalError> {
    for target in [names::META, names::MANIFEST] {
        let name = FileName::Temporary(target).to_string();
        match storage.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &storage.path(&name), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// 128 bits that no other log has.
fn random_log_id() -> LogId {
    let (high, low) = (random_u64(), random_u64());
    LogId((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}

fn failed(operation: &'static str, path: &Path, cause: io::Error) -> PerCoreWalError {
    PerCoreWalError::Io { operation, path: path.to_owned(), cause }
}
