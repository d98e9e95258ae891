//! Recovery into a plain map, for engines small enough to like it.

use std::collections::{BTreeMap, HashMap};

use wal_format::{CoreId, EntryRef, Epoch, OperationRef};

use crate::error::BoxError;
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

    pub(crate) fn new(map: Map, recovered: Recovered) -> Self {
        let Recovered { offsets, watermarks, epoch, report, resume } = recovered;
        Self { state: map.0, offsets, watermarks, epoch, report, resume }
    }
}

/// The map while it is filled.
#[derive(Default)]
pub(crate) struct Map(HashMap<Vec<u8>, Vec<u8>>);

/// There is no room for a key or value of this many bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes cannot be allocated")]
pub(crate) struct Full(pub(crate) usize);

impl Map {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Full> {
        // A key that is there keeps its allocations.
        if let Some(held) = self.0.get_mut(key) {
            held.clear();
            return fill(held, value);
        }
        let (mut new_key, mut new_value) = (Vec::new(), Vec::new());
        fill(&mut new_key, key)?;
        fill(&mut new_value, value)?;
        self.0.try_reserve(1).map_err(|_| Full(self.0.len()))?;
        self.0.insert(new_key, new_value);
        Ok(())
    }
}

/// The sizes come from files, so a failure is an error and not the end of the process.
fn fill(held: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Full> {
    held.try_reserve_exact(bytes.len()).map_err(|_| Full(bytes.len()))?;
    held.extend_from_slice(bytes);
    Ok(())
}

impl Replay for Map {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        Ok(self.put(key, value)?)
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        match entry.operation {
            OperationRef::Put { key, value } => self.put(key, value)?,
            OperationRef::Delete { key } => drop(self.0.remove(key)),
            OperationRef::Checkpoint { .. } | OperationRef::Commit { .. } | OperationRef::EpochBarrier => {}
        }
        Ok(())
    }
}
