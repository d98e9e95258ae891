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
    /// A follower has not read it yet. Let it catch up, or drop it; beyond its limit it loses its hold by itself
    /// ([`FollowOptions::pin_bytes_max`](crate::FollowOptions)).
    Follower {
        /// Its name.
        name: String,
        /// It has read everything up to the end of this epoch.
        since: Epoch,
    },
}

/// What the last checkpoint made superfluous, and what readers still hold. Shared, `Sync`.
pub(crate) struct Retention {
    state: Mutex<State>,
}

struct State {
    manifest: Option<Arc<Manifest>>,
    pins: BTreeMap<u64, Held>,
    next_pin: u64,
}

/// What one reader holds.
struct Held {
    label: String,
    /// First segment per core.
    from: BTreeMap<CoreId, SegmentNumber>,
    /// It is a follower.
    follower: Option<Limit>,
}

/// How much a follower may hold, and how far it has come.
#[derive(Clone, Copy)]
struct Limit {
    bytes_max: Option<u64>,
    since: Epoch,
    /// It held too much: now it holds nothing.
    is_lost: bool,
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
        let held = cores.iter().copied().zip(from.iter().map(|position| position.segment)).collect();
        let key = state.insert(Held { label: label.to_owned(), from: held, follower: None });
        drop(state);
        (from, Pin { retention: Arc::clone(self), key })
    }

    /// A pin that holds whatever is there of the logs of `cores`, until it is told how much of that is needed.
    pub(crate) fn pin_follower(
        self: &Arc<Self>,
        name: &str,
        cores: &[CoreId],
        bytes_max: Option<u64>,
    ) -> Pin {
        let from = cores.iter().map(|core| (*core, SegmentNumber(0))).collect();
        let follower = Some(Limit { bytes_max, since: Epoch(0), is_lost: false });
        let key = self.state.lock().insert(Held { label: name.to_owned(), from, follower });
        Pin { retention: Arc::clone(self), key }
    }

    /// Takes from every follower that holds more than it may what it holds. `bytes_of`: what the segments of a core take from
    /// the first number to below the second. Asked without the lock: a follower that goes on meanwhile is judged by what it
    /// held before.
    pub(crate) fn enforce(&self, bytes_of: impl Fn(CoreId, SegmentNumber, SegmentNumber) -> u64) {
        let limited: Vec<_> = {
            let state = self.state.lock();
            let needed = |core: CoreId| needed_from(state.manifest.as_deref(), core).segment;
            let spans = |held: &Held| {
                held.from.iter().map(|(core, from)| (*core, *from, needed(*core))).collect::<Vec<_>>()
            };
            let limits = state.pins.iter().filter_map(|(key, held)| {
                held.follower
                    .and_then(|limit| limit.bytes_max)
                    .map(|bytes_max| (*key, bytes_max, spans(held)))
            });
            limits.collect()
        };
        for (key, bytes_max, spans) in limited {
            let bytes: u64 = spans.into_iter().map(|(core, from, to)| bytes_of(core, from, to)).sum();
            if bytes > bytes_max
                && let Some(held) = self.state.lock().pins.get_mut(&key)
            {
                held.from.clear();
                held.follower = held.follower.map(|limit| Limit { is_lost: true, ..limit });
            }
        }
    }

    /// First segment of `core` that must stay: for recovery, or for a reader.
    pub(crate) fn keep_from(&self, core: CoreId) -> SegmentNumber {
        let state = self.state.lock();
        let needed = needed_from(state.manifest.as_deref(), core).segment;
        let pins = state.pins.values().filter(|_| !Flaw::ForgetsReaders.is_planted());
        let held = pins.filter_map(|held| held.from.get(&core)).min();
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
        let held = pins.find(|held| held.from.get(&core).is_some_and(|from| *from <= segment))?;
        Some(match held.follower {
            None => PinnedBy::Reader { label: held.label.clone() },
            Some(Limit { since, .. }) => PinnedBy::Follower { name: held.label.clone(), since },
        })
    }
}

impl State {
    fn insert(&mut self, held: Held) -> u64 {
        let key = self.next_pin;
        self.next_pin += 1;
        self.pins.insert(key, held);
        key
    }
}

impl Pin {
    /// Of each core, only this segment and later ones are needed any more; everything up to the end of `since` was read.
    pub(crate) fn raise(&self, since: Epoch, from: impl IntoIterator<Item = (CoreId, SegmentNumber)>) {
        let mut state = self.retention.state.lock();
        let Some(held) = state.pins.get_mut(&self.key) else { return };
        for (core, segment) in from {
            // A core that is not held any more stays so: its segments may be gone.
            if let Some(held) = held.from.get_mut(&core) {
                *held = segment.max(*held);
            }
        }
        held.follower = held.follower.map(|limit| Limit { since, ..limit });
    }

    /// Whether it still holds anything: a follower's that held too much does not.
    pub(crate) fn holds(&self) -> bool {
        let state = self.retention.state.lock();
        let held = state.pins.get(&self.key);
        held.is_some_and(|held| held.follower.is_none_or(|limit| !limit.is_lost))
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

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_follower_may_hold_what_it_was_said_to_and_not_a_byte_more() {
        for (bytes_max, is_held) in [(Some(0), false), (Some(99), false), (Some(100), true), (None, true)] {
            let retention = Arc::new(Retention::new(None));
            let cores = [CoreId(0), CoreId(1)];
            let pin = retention.pin_follower("replica", &cores, bytes_max);
            retention.enforce(|core, _, _| 40 + 20 * u64::from(core.0));
            assert_eq!(pin.holds(), is_held, "{bytes_max:?}");
        }
    }
}
