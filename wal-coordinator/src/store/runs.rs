//! The default store: immutable sorted runs in the log's own directory.

use std::sync::Arc;

use wal_format::Manifest;
use wal_reader::Source;
use wal_writer::storage::Storage;

use super::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState};

/// Keeps the state in sorted runs beside the log.
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

    /// Uses about this much memory, whatever the size of the delta.
    #[must_use]
    pub fn with_budget_bytes(mut self, budget_bytes: usize) -> Self {
        self.budget_bytes = budget_bytes;
        self
    }
}

impl CheckpointStore for RunStore {
    fn apply(&mut self, _cut: &CheckpointCut, _changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        let _ = (&self.storage, &self.source, self.budget_bytes);
        Err(StoreError::Engine("the run store is not built yet".into()))
    }

    fn published(&mut self, _manifest: &Manifest) -> Result<(), StoreError> {
        Ok(())
    }
}
