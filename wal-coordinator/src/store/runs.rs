//! The default store: immutable sorted runs in the log's own directory.
//!
//! The changes of a checkpoint are collected in memory, the last write of each key. Usually they fit, and become
//! **one** run. If they do not, each budget-full becomes a run of its own: so memory is bounded by the budget and not
//! by the size of the delta, at the price of more than one run for a large checkpoint. Then runs merge in size tiers
//! (`tiers`), as streams, at most one level of intermediate files deep; the part that is still in memory goes straight
//! into the merge that it belongs to. Deleted keys are dropped when the oldest run takes part, and kept otherwise.
//!
//! The store itself remembers nothing between checkpoints: what there is, the manifest says. The same changes on top
//! of the same manifest give the same bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use wal_format::{FileName, Manifest, OperationRef, RunMeta};
use wal_reader::{ReadError, Source};
use wal_writer::stall::{self, Place};
use wal_writer::storage::Storage;

use super::attempt::Attempt;
use super::delta::Delta;
use super::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState, tiers};

/// Keeps the state in sorted runs beside the log. Costs O(log n) writes a byte, keeps O(log n) runs, and takes at
/// most about four times the space of the oldest run plus one delta; twice that while all of it merges.
#[derive(Clone)]
pub struct RunStore {
    storage: Arc<dyn Storage>,
    source: Arc<dyn Source>,
    budget_bytes: usize,
}

impl RunStore {
    /// Memory that a store uses unless told otherwise.
    pub const BUDGET_BYTES: usize = 64 * 1024 * 1024;

    /// A store in the directory that both `storage` and `source` stand for.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, source: Arc<dyn Source>) -> Self {
        Self { storage, source, budget_bytes: Self::BUDGET_BYTES }
    }

    /// Uses at most this much memory, whatever the size of the delta: three quarters to collect changes, one
    /// quarter to merge. Not counted: what the largest single value needs (a buffer for it in each run that merges),
    /// and about 2 MiB of buffers that a smaller budget does not make smaller.
    #[must_use]
    pub fn with_budget_bytes(mut self, budget_bytes: usize) -> Self {
        self.budget_bytes = budget_bytes;
        self
    }

    fn collect_and_merge(
        &self,
        attempt: &mut Attempt<'_>,
        cut: &CheckpointCut,
        changes: &mut Changes<'_>,
    ) -> Result<StoredState, StoreError> {
        let mut runs = cut.previous.as_ref().map_or(Vec::new(), |previous| previous.runs.clone());
        let mut delta = Delta::new(self.budget_bytes / 4 * 3);
        let mut keys = 0;
        while let Some(entry) = changes.next()? {
            let (key, value) = match entry.operation {
                OperationRef::Put { key, value } => (key, Some(value)),
                OperationRef::Delete { key } => (key, None),
                OperationRef::Checkpoint { .. }
                | OperationRef::Commit { .. }
                | OperationRef::EpochBarrier => continue,
            };
            let cost_bytes = Delta::cost_bytes(key, value);
            if !delta.has_room(cost_bytes) {
                delta.sort();
                // At least half of the budget is free again, or becomes a run: sorting stays a constant cost a key.
                if delta.live_cost_bytes() + cost_bytes <= delta.budget_bytes() / 2 {
                    delta.compact();
                } else {
                    keys += delta.keys() as u64;
                    let keep_tombstones = !runs.is_empty();
                    runs.extend(attempt.write_run(&[], Some(&delta), keep_tombstones)?);
                    delta.clear();
                }
            }
            delta.push(key, value);
        }
        delta.sort();
        keys += delta.keys() as u64;
        // Else nothing has changed at all: what was collected last is still in it.
        if delta.keys() > 0 {
            runs = merge(attempt, &runs, delta)?;
        }
        attempt.make_durable()?;
        let (next_run, bytes_written) = (attempt.next_run(), attempt.bytes_written());
        Ok(StoredState { runs, next_run, external: false, bytes_written, keys })
    }
}

/// Merges as planned. `delta` counts as the newest run.
fn merge(attempt: &mut Attempt<'_>, runs: &[RunMeta], delta: Delta) -> Result<Vec<RunMeta>, StoreError> {
    let lengths = runs.iter().map(|run| run.length);
    let groups = tiers::plan(lengths.chain([delta.live_bytes() as u64]));
    let mut merged = Vec::with_capacity(groups.len());
    for group in groups {
        let keep_tombstones = group.start > 0;
        let newest = (group.end > runs.len()).then_some(&delta);
        let inputs = &runs[group.start..group.end.min(runs.len())];
        if let ([only], None) = (inputs, newest) {
            merged.push(*only);
        } else {
            merged.extend(attempt.merge(inputs, newest, keep_tombstones)?);
        }
    }
    Ok(merged)
}

impl CheckpointStore for RunStore {
    fn apply(&mut self, cut: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        if cut.previous.as_ref().is_some_and(|previous| previous.external) {
            return Err(StoreError::OtherStore);
        }
        let mut attempt = Attempt::new(&*self.storage, &*self.source, cut, self.budget_bytes / 4);
        let result = self.collect_and_merge(&mut attempt, cut, changes);
        if result.is_err() {
            attempt.abandon();
        }
        result
    }

    fn published(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let named: BTreeSet<u64> = manifest.runs.iter().map(|run| run.run).collect();
        let names = self.source.names().map_err(|cause| {
            StoreError::Read(ReadError::Io { operation: "list", path: self.source.path(""), cause })
        })?;
        let (mut removed, mut first_error) = (0, None);
        for name in names {
            match FileName::parse(&name) {
                Some(FileName::Run(run)) if !named.contains(&run) => {}
                _ => continue,
            }
            match self.storage.remove(&name) {
                Ok(()) => {
                    removed += 1;
                    stall::at(Place::RunRemoved);
                }
                Err(error) => {
                    first_error.get_or_insert(StoreError::write("remove", &self.storage.path(&name), error));
                }
            }
        }
        if removed > 0
            && let Err(error) = self.storage.sync_directory()
        {
            first_error.get_or_insert(StoreError::write("sync", &self.storage.path(""), error));
        }
        first_error.map_or(Ok(()), Err)
    }
}
