//! From where each core's log is still needed, and by whom.
//!
//! # Shared state
//!
//! The manifest in force and the pins of readers, under one mutex.
//!
//! 1. A manifest gets here after it is durable (`checkpoint.rs`): what recovery would need after a power loss is never older
//!    than what this file says is needed.
//! 2. A reader learns where to begin and pins it in one critical section. If that comes before a release looks, the release
//!    sees the pin. If it comes after, the reader begins at the manifest that the release went by, or a later one:
//!    segments below are not what it reads.
//! 3. What is needed only moves up, so a release that acts on an older answer keeps too much, never too little.
//!
//! Therefore a segment that is released is needed neither by recovery nor by a reader, now or later. Nobody waits here.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, CorePosition, Epoch, Manifest, SegmentNumber, Sequence};
use wal_reader::LogPosition;

use crate::flaw::Flaw;
use crate::sync::Mutex;

/// Why the oldest segment of a log is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pinned {
    /// The core whose segment it is.
    pub core: CoreId,
    /// The segment.
    pub segment: SegmentNumber,
    /// Bytes of the core's segment files that stay for this reason, from that one on.
    pub bytes: u64,
    /// Who needs it.
    pub by: PinnedBy,
}

/// Who needs a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinnedBy {
    /// Its entries are in no checkpoint yet; the last one was of this epoch. Make a checkpoint.
    NoCheckpoint {
        /// Epoch of the last checkpoint, if there was one.
        last: Option<Epoch>,
        /// Entries of this core that wait for one.
        entries: u64,
    },
    /// A reader with this label is at it. Finish or drop it.
    Reader {
        /// What the reader said it is.
        label: String,
    },
}

/// What the last checkpoint made superfluous, and what readers still hold. Shared, `Sync`.
pub(crate) struct Retention {
    state: Mutex<State>,
}

struct State {
    manifest: Option<Arc<Manifest>>,
    pins: BTreeMap<u64, (String, BTreeMap<CoreId, SegmentNumber>)>,
    next_pin: u64,
}

/// Keeps segments from being released while it lives.
pub(crate) struct Pin {
    retention: Arc<Retention>,
    key: u64,
}

impl Retention {
    pub(crate) fn new(manifest: Option<Manifest>) -> Self {
        let manifest = manifest.map(Arc::new);
        Self { state: Mutex::new(State { manifest, pins: BTreeMap::new(), next_pin: 0 }) }
    }

    /// The current checkpoint.
    pub(crate) fn manifest(&self) -> Option<Arc<Manifest>> {
        self.state.lock().manifest.clone()
    }

    /// A later checkpoint is durable.
    pub(crate) fn advance(&self, manifest: Manifest) {
        self.state.lock().manifest = Some(Arc::new(manifest));
    }

    /// From where the log of `core` is needed by recovery.
    pub(crate) fn needed_from(&self, core: CoreId) -> LogPosition {
        needed_from(self.state.lock().manifest.as_deref(), core)
    }

    /// Positions from which the logs of `cores` are needed, and a pin that keeps them readable.
    pub(crate) fn pin(self: &Arc<Self>, label: &str, cores: &[CoreId]) -> (Vec<LogPosition>, Pin) {
        let mut state = self.state.lock();
        let from: Vec<_> = cores.iter().map(|core| needed_from(state.manifest.as_deref(), *core)).collect();
        let key = state.next_pin;
        state.next_pin += 1;
        let held = cores.iter().copied().zip(from.iter().map(|position| position.segment)).collect();
        state.pins.insert(key, (label.to_owned(), held));
        (from, Pin { retention: Arc::clone(self), key })
    }

    /// First segment of `core` that must stay: for recovery, or for a reader.
    pub(crate) fn keep_from(&self, core: CoreId) -> SegmentNumber {
        let state = self.state.lock();
        let needed = needed_from(state.manifest.as_deref(), core).segment;
        let pins = state.pins.values().filter(|_| !Flaw::ForgetsReaders.is_planted());
        let held = pins.filter_map(|(_, held)| held.get(&core)).min();
        held.map_or(needed, |held| needed.min(*held))
    }

    /// Who needs `segment`, the oldest one of `core`, which has appended up to `appended`.
    pub(crate) fn pinned_by(
        &self,
        core: CoreId,
        segment: SegmentNumber,
        appended: Sequence,
    ) -> Option<PinnedBy> {
        let state = self.state.lock();
        let needed = needed_from(state.manifest.as_deref(), core);
        if segment >= needed.segment {
            let entries = appended.0.saturating_sub(needed.sequence.0);
            let last = state.manifest.as_ref().map(|manifest| manifest.epoch);
            return (entries > 0).then_some(PinnedBy::NoCheckpoint { last, entries });
        }
        let mut pins = state.pins.values();
        let reader = pins.find(|(_, held)| held.get(&core).is_some_and(|held| *held <= segment));
        reader.map(|(label, _)| PinnedBy::Reader { label: label.clone() })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.retention.state.lock().pins.remove(&self.key);
    }
}

fn needed_from(manifest: Option<&Manifest>, core: CoreId) -> LogPosition {
    match manifest.and_then(|manifest| manifest.core(core)) {
        Some(CorePosition { segment, offset, sequence, .. }) => {
            LogPosition { segment: *segment, offset: *offset, sequence: *sequence }
        }
        None => LogPosition {
            segment: SegmentNumber(0),
            offset: HEADER_BLOCK_BYTES as u64,
            sequence: Sequence(0),
        },
    }
}
