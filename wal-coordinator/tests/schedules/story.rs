//! What was appended, what was promised, and when: the memory that survives every crash.
//!
//! Kept under a mutex that shuttle does not see, so that taking a note is no step of the schedule: a promise carries
//! the number of operations that the storage had seen at the very moment at which it was given.

use std::sync::Arc;

use parking_lot::Mutex;
use wal_coordinator::{CoreId, Epoch};

/// An entry, numbered by its place among its core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Known once the append has returned.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) key: Vec<u8>,
    /// `None` removes the key.
    pub(crate) value: Option<Vec<u8>>,
}

/// What somebody was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Every entry of this core below this number survives the process.
    Written(usize, u64),
    /// Every entry of this core below this number survives a power loss.
    Durable(usize, u64),
    /// Every entry of this epoch and below survives a power loss, as part of a consistent cut.
    Epoch(Epoch),
    /// Every entry of this epoch and below is in a checkpoint.
    Checkpoint(Epoch),
}

/// What somebody was told, and after how many operations of the storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) events: usize,
    pub(crate) told: Told,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) cores: Vec<Vec<Entry>>,
    pub(crate) promises: Vec<Promise>,
}

/// The notes of one life of a log. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Notes>>);

impl Story {
    /// A life that goes on from what an earlier one left.
    pub(crate) fn going_on(cores: Vec<Vec<Entry>>) -> Self {
        Self(Arc::new(Mutex::new(Notes { cores, promises: Vec::new() })))
    }

    /// Somebody is about to append these to the log of `core`.
    pub(crate) fn begin(&self, core: usize, entries: &[Entry]) {
        let mut notes = self.0.lock();
        while notes.cores.len() <= core {
            notes.cores.push(Vec::new());
        }
        notes.cores[core].extend_from_slice(entries);
    }

    /// The last `count` entries of `core` are appended, in `epoch`.
    pub(crate) fn appended(&self, core: usize, count: usize, epoch: Epoch) {
        let mut notes = self.0.lock();
        notes.cores[core].iter_mut().rev().take(count).for_each(|entry| entry.epoch = Some(epoch));
    }

    /// The last `count` entries of `core` were refused.
    pub(crate) fn refused(&self, core: usize, count: usize) {
        let mut notes = self.0.lock();
        let kept = notes.cores[core].len() - count;
        notes.cores[core].truncate(kept);
    }

    pub(crate) fn promise(&self, events: usize, told: Told) {
        self.0.lock().promises.push(Promise { events, told });
    }

    pub(crate) fn notes(&self) -> Notes {
        self.0.lock().clone()
    }
}

impl std::fmt::Display for Notes {
    /// Per core the epochs of its entries; then what was told after how many operations.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (core, entries) in self.cores.iter().enumerate() {
            let epochs: Vec<_> = entries.iter().map(|entry| entry.epoch.map(|epoch| epoch.0)).collect();
            writeln!(f, "core {core} appended in epochs {epochs:?}")?;
        }
        self.promises
            .iter()
            .try_for_each(|promise| writeln!(f, "after {}: {:?}", promise.events, promise.told))
    }
}

impl Notes {
    /// The entries of `core`.
    pub(crate) fn of(&self, core: CoreId) -> &[Entry] {
        self.cores.get(core.index()).map_or(&[], Vec::as_slice)
    }

    /// How many entries of `core` belong to `epoch` and below.
    pub(crate) fn cut(&self, core: usize, epoch: Epoch) -> usize {
        self.cores[core].iter().take_while(|entry| entry.epoch.is_some_and(|of| of <= epoch)).count()
    }
}
