//! Recovery into plain maps, for engines small enough to like them.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use wal_format::{CoreId, EntryRef, Epoch, Manifest, OperationRef};

use crate::error::{BoxError, RecoveryError};
use crate::replay::{Recovered, Replay};
use crate::report::RecoveryReport;
use crate::resume::ResumePoints;

/// Everything that came back: `Checkpoint(epoch) + WAL.replay(epoch..current)`.
#[derive(Clone, Debug)]
pub struct PerCoreRecoveredState {
    /// Every key and its last value in the global order.
    pub state: HashMap<Vec<u8>, Vec<u8>>,
    /// Per source the next offset to read.
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

impl PerCoreRecoveredState {
    /// The time up to which all cores that ever committed a watermark have seen everything.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.watermarks.values().copied().min()
    }

    pub(crate) fn new(state: HashMap<Vec<u8>, Vec<u8>>, recovered: Recovered) -> Self {
        let Recovered { offsets, watermarks, epoch, report, resume } = recovered;
        Self { state, offsets, watermarks, epoch, report, resume }
    }
}

/// Every key and its last value. Fails with [`RecoveryError::ExternalState`] if the checkpoint is in an engine's own
/// store, and with [`RecoveryError::OutOfMemory`] if something does not fit: sizes come from files.
impl<S: BuildHasher> Replay for HashMap<Vec<u8>, Vec<u8>, S> {
    fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
        Ok(refuse_external(manifest)?)
    }

    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        // A key that is there keeps its allocations.
        if let Some(held) = self.get_mut(key) {
            return Ok(replace(held, value)?);
        }
        let (key, value) = (copy(key)?, copy(value)?);
        self.try_reserve(1).map_err(|_| RecoveryError::OutOfMemory { bytes: self.len() })?;
        self.insert(key, value);
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        apply(self, entry, |map, key| drop(map.remove(key)))
    }
}

/// As into a `HashMap`, sorted by key.
impl Replay for BTreeMap<Vec<u8>, Vec<u8>> {
    fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
        Ok(refuse_external(manifest)?)
    }

    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        if let Some(held) = self.get_mut(key) {
            return Ok(replace(held, value)?);
        }
        self.insert(copy(key)?, copy(value)?);
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        apply(self, entry, |map, key| drop(map.remove(key)))
    }
}

fn apply<M: Replay>(map: &mut M, entry: &EntryRef<'_>, remove: fn(&mut M, &[u8])) -> Result<(), BoxError> {
    match entry.operation {
        OperationRef::Put { key, value } => map.state(key, value)?,
        OperationRef::Delete { key } => remove(map, key),
        OperationRef::Checkpoint { .. } | OperationRef::Commit { .. } | OperationRef::EpochBarrier => {}
    }
    Ok(())
}

/// The log alone would be taken for the whole state.
fn refuse_external(manifest: &Manifest) -> Result<(), RecoveryError> {
    if manifest.external { Err(RecoveryError::ExternalState { epoch: manifest.epoch }) } else { Ok(()) }
}

/// The sizes come from files, so a failure is an error and not the end of the process.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, RecoveryError> {
    let mut held = Vec::new();
    replace(&mut held, bytes)?;
    Ok(held)
}

fn replace(held: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RecoveryError> {
    held.clear();
    held.try_reserve_exact(bytes.len()).map_err(|_| RecoveryError::OutOfMemory { bytes: bytes.len() })?;
    held.extend_from_slice(bytes);
    Ok(())
}
