//! Checkpoints while all cores append: close, seal, merge, store, publish, release.
//!
//! The order is the promise: the state is durable before the manifest names it, and the manifest is durable before
//! any segment goes. A core, the merge or the store that fails makes the checkpoint fail, never smaller.
//!
//! One runs at a time (`checkpointing`). What it shares with others is theirs to argue: seals and cuts with the drains
//! (`shared.rs`), positions and pins with readers (`retention.rs`), files with the supply of segments. It waits once, for the
//! cores' answers, of which there is one for each or a closed channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, CorePosition, Epoch, Manifest, SegmentNumber, Sequence, SourceOffset};
use wal_reader::{Inventory, LogPosition, MergedReader, SegmentState, read_state};
use wal_writer::SealedAt;
use wal_writer::stall::{self, Place};

use crate::error::{CheckpointFailure, PerCoreWalError};
use crate::flaw::Flaw;
use crate::flusher::EndResult;
use crate::manager::PerCoreWalManager;
use crate::shared::{ClosedEpoch, Shared};
use crate::store::{Changes, CheckpointCut, CheckpointStore, RunStore, StoredState, publish_manifest};
use crate::sync::{Receiver, unbounded};
use crate::trace;

/// Makes checkpoints of one log. `Send`; lives on any thread, apart from the manager and the writers.
pub struct CheckpointCoordinator {
    shared: Arc<Shared>,
    store: Box<dyn CheckpointStore>,
}

/// What a checkpoint did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Every entry of this epoch and below is in the checkpoint.
    pub epoch: Epoch,
    /// Entries that were merged into it.
    pub entries: u64,
    /// Keys that the store wrote for them.
    pub keys: u64,
    /// Bytes that the store wrote.
    pub bytes_written: u64,
    /// Runs that the checkpoint consists of now; 0 with an engine's own store.
    pub runs: usize,
    /// Segments that were released.
    pub segments_released: usize,
    /// The checkpoint is good, but what it made superfluous could not all be removed: this is why. Tried again by the
    /// next one.
    pub cleanup_error: Option<String>,
}

/// Where the checkpointed part of a core's log ends, and where the rest begins.
struct CoreEnd {
    core: CoreId,
    /// Reading ends here; `None` if the core has nothing new.
    read_to: Option<LogPosition>,
    position: CorePosition,
}

impl CheckpointCoordinator {
    /// A coordinator with the default store: runs in the log's directory.
    #[must_use]
    pub fn new(manager: &PerCoreWalManager) -> Self {
        let shared = Arc::clone(manager.shared());
        let (storage, source) = (Arc::clone(&shared.storage), Arc::clone(&shared.source));
        let store = RunStore::new(storage, source).with_budget_bytes(shared.checkpoint_budget_bytes);
        Self::of(shared, Box::new(store))
    }

    /// A coordinator with an engine's own store.
    #[must_use]
    pub fn with_store(manager: &PerCoreWalManager, store: Box<dyn CheckpointStore>) -> Self {
        Self::of(Arc::clone(manager.shared()), store)
    }

    pub(crate) fn of(shared: Arc<Shared>, store: Box<dyn CheckpointStore>) -> Self {
        Self { shared, store }
    }

    /// Makes a checkpoint of everything appended so far, on all cores, while they go on appending; what an append
    /// pays is that one may be waited for, once. Returns when the checkpoint is durable and what it made superfluous
    /// is released.
    ///
    /// # Errors
    /// [`PerCoreWalError::Checkpoint`]: the checkpoint before still holds, all logs are kept, and it can be tried
    /// again.
    pub fn create_checkpoint(&mut self) -> Result<CheckpointReport, PerCoreWalError> {
        let shared = Arc::clone(&self.shared);
        let _one_at_a_time = shared.checkpointing.lock();
        let span = trace::checkpoint();
        let report = shared.watch.checkpoint(|| {
            let (reply, replies) = unbounded();
            let sealing = trace::seal();
            let closed = shared.seal_epoch(&reply);
            drop(reply);
            let epoch = closed.epoch;
            span.of_epoch(epoch);
            self.checkpoint(&closed, &replies, sealing)
                .map_err(|cause| PerCoreWalError::Checkpoint { epoch, cause })
        })?;
        span.checkpoint_done(&report);
        Ok(report)
    }

    fn checkpoint(
        &mut self,
        closed: &ClosedEpoch,
        replies: &Receiver<EndResult>,
        sealing: trace::Entered,
    ) -> Result<CheckpointReport, CheckpointFailure> {
        let shared = Arc::clone(&self.shared);
        let previous = shared.retention.manifest();
        let ends = core_ends(&shared, closed, replies, previous.as_deref())?;
        sealing.by_cores(closed.participants.len());
        drop(sealing);
        stall::at(Place::Sealed);
        let cut = CheckpointCut {
            epoch: closed.epoch,
            previous: previous.as_deref().cloned(),
            log_id: shared.log_id,
            created_ns: shared.clock.now_ns(),
        };
        let expected: u64 = ends.iter().map(|end| end.entries(&shared)).sum();
        // The pin keeps what is being read, should anything else release meanwhile.
        let (from, pin) = shared.retention.pin("checkpoint", &shared.cores());
        let readers = ends
            .iter()
            .zip(from)
            .filter_map(|(end, from)| end.read_to.map(|read_to| shared.range(end.core, from, read_to)));
        let mut merged = MergedReader::new(readers.collect::<Result<_, _>>()?);
        let mut changes = Changes::new(&mut merged);
        let stored = {
            let _span = trace::store();
            self.store.apply(&cut, &mut changes)?
        };
        if changes.entries() != expected {
            return Err(CheckpointFailure::Incomplete { expected, found: changes.entries() });
        }
        let manifest = manifest(&cut, &ends, &changes, &stored);
        stall::at(Place::Stored);
        let pin = Flaw::ReleasesEarly.leaves(pin);
        if Flaw::ReleasesEarly.is_planted() {
            shared.retention.advance(manifest.clone());
            release(&shared);
        }
        {
            let _span = trace::manifest(manifest.runs.len());
            publish_manifest(shared.storage.as_ref(), &manifest)?;
        }
        // From here on the checkpoint stands, whatever else fails.
        stall::at(Place::ManifestPublished);
        let runs = manifest.runs.len();
        let superseded = self.store.published(&manifest).err().map(|error| error.to_string());
        shared.retention.advance(manifest);
        shared.decision.is_in_checkpoint();
        shared.checkpoint_done(closed.epoch);
        drop(pin);
        stall::at(Place::Releasing);
        let (segments_released, unreleased) = release(&shared);
        Ok(CheckpointReport {
            epoch: closed.epoch,
            entries: expected,
            keys: stored.keys,
            bytes_written: stored.bytes_written,
            runs,
            segments_released,
            cleanup_error: superseded.or(unreleased),
        })
    }
}

impl CoreEnd {
    fn entries(&self, shared: &Shared) -> u64 {
        self.position.sequence.0 - shared.retention.needed_from(self.core).sequence.0
    }
}

/// Waits until all participants have sealed their logs, and says where each core's part ends.
fn core_ends(
    shared: &Arc<Shared>,
    closed: &ClosedEpoch,
    replies: &Receiver<EndResult>,
    previous: Option<&Manifest>,
) -> Result<Vec<CoreEnd>, CheckpointFailure> {
    let mut sealed = BTreeMap::new();
    for _ in &closed.participants {
        // Ends: every participant's flusher replies, or drops the sender when it stops.
        let (index, result) = replies.recv().map_err(|_| CheckpointFailure::Closed)?;
        let core = shared.logs[index].core();
        let at = result.map_err(|cause| CheckpointFailure::Core { core, cause })?;
        sealed.insert(index, at);
    }
    let ends = shared.logs.iter().enumerate().map(|(index, log)| {
        let core = log.core();
        let before = previous.and_then(|manifest| manifest.core(core)).copied();
        match sealed.get(&index).copied().flatten() {
            Some(at) => end_of(core, &at, closed.cuts[index], before, shared.opened_at[index]),
            None => unchanged(core, shared.retention.needed_from(core), before),
        }
    });
    Ok(ends.collect())
}

fn end_of(
    core: CoreId,
    at: &SealedAt,
    cut: Sequence,
    before: Option<CorePosition>,
    opened_at: SegmentNumber,
) -> CoreEnd {
    let Some(end) = at.end else {
        let nowhere = LogPosition::start_of(wal_format::SegmentNumber(0), cut);
        return unchanged(core, nowhere, before);
    };
    assert_eq!(end.sequence, cut, "core {core} was sealed beside the cut");
    let read_to = LogPosition { segment: end.segment, offset: end.offset, sequence: end.sequence };
    // A sealed segment is done with; one that holds no entry of this epoch goes on being used. A log that was only
    // inherited ends before segments that were cut off: these are done with, too.
    let (segment, offset) = if at.is_complete {
        (end.segment.next().max(opened_at), HEADER_BLOCK_BYTES as u64)
    } else {
        (end.segment, end.offset)
    };
    let position = CorePosition {
        core,
        segment,
        offset,
        sequence: cut,
        last_timestamp: at.timestamp_ns,
        last_epoch: at.epoch,
    };
    CoreEnd { core, read_to: Some(read_to), position }
}

fn unchanged(core: CoreId, needed: LogPosition, before: Option<CorePosition>) -> CoreEnd {
    let position = before.unwrap_or(CorePosition {
        core,
        segment: needed.segment,
        offset: needed.offset,
        sequence: needed.sequence,
        last_timestamp: 0,
        last_epoch: Epoch(0),
    });
    CoreEnd { core, read_to: None, position }
}

/// Everything before, overlaid with what is new.
fn manifest(cut: &CheckpointCut, ends: &[CoreEnd], changes: &Changes<'_>, stored: &StoredState) -> Manifest {
    let previous = cut.previous.as_ref();
    let mut offsets: BTreeMap<String, u64> = previous
        .map(|manifest| {
            manifest.offsets.iter().map(|source| (source.source.clone(), source.offset)).collect()
        })
        .unwrap_or_default();
    offsets.extend(changes.offsets().iter().map(|(source, offset)| (source.clone(), *offset)));
    let mut watermarks: BTreeMap<CoreId, i64> =
        previous.map(|manifest| manifest.watermarks.iter().copied().collect()).unwrap_or_default();
    watermarks.extend(changes.watermarks().iter().map(|(core, watermark)| (*core, *watermark)));
    Manifest {
        log_id: cut.log_id,
        external: stored.external,
        epoch: cut.epoch,
        created_ns: cut.created_ns,
        cores: ends.iter().map(|end| end.position).collect(),
        offsets: offsets.into_iter().map(|(source, offset)| SourceOffset { source, offset }).collect(),
        watermarks: watermarks.into_iter().collect(),
        runs: stored.runs.clone(),
        next_run: stored.next_run,
    }
}

/// Gives back every segment that neither recovery nor a reader needs. How many, and why not all.
fn release(shared: &Shared) -> (usize, Option<String>) {
    let span = trace::release();
    let inventory = match Inventory::list(shared.source.as_ref()) {
        Ok(inventory) => inventory,
        Err(error) => return (0, Some(error.to_string())),
    };
    let holdings = shared.supply.holdings();
    shared.retention.enforce(|core, from, to| holdings.bytes(core, from..to.max(from)));
    let mut released = 0;
    let mut failure = None;
    for (log, opened_at) in shared.logs.iter().zip(&shared.opened_at) {
        let core = log.core();
        let keep_from = shared.retention.keep_from(core);
        let below = inventory.segments_of(core).iter().copied().filter(|segment| *segment < keep_from);
        // A file below that was never used may be one that the supplier is making at this moment.
        let used = |segment| {
            segment < *opened_at
                || matches!(
                    read_state(shared.source.as_ref(), shared.log_id, core, segment),
                    Ok(Some(SegmentState::InUse(_)))
                )
        };
        let below: Vec<_> = below.filter(|segment| used(*segment)).collect();
        match shared.supply.recycle(core, &below) {
            Ok(()) => {
                released += below.len();
                if !below.is_empty() {
                    trace::segments_released(core, below.len());
                }
            }
            Err(error) => failure = Some(error.what().to_string()),
        }
        stall::at(Place::CoreReleased);
    }
    span.released(released);
    (released, failure)
}
