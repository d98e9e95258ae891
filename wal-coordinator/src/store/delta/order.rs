//! The order of the records of a delta: by key, and of one key the newest first.
//!
//! The arena is far larger than the caches, and a look at a record of it takes as long as sorting ten slots. So what is
//! sorted is the slots alone, by eight bytes of the key at a time; the arena is asked only where these are equal; and
//! what is read in the order of the keys is fetched many records at a time.

use std::cmp::Reverse;
use std::hint::black_box;
use std::ops::Range;

use super::{Delta, record_bytes};

/// A record in the index.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Eight bytes of the key, behind what all keys of its group share.
    prefix: u64,
    /// Where the record starts.
    pub(super) at: usize,
}

/// What some keys begin with alike.
struct Shared {
    bytes: usize,
    /// The length of the shortest and of the longest key.
    key_bytes: Range<usize>,
}

/// From here on keys are compared as a whole. Each step before parts keys by eight bytes in which they differ.
const DEPTH_MAX: usize = 8;
/// Records whose lines are asked for at a time, and of how much of each.
pub(super) const AHEAD: usize = 32;
const AHEAD_BYTES_MAX: usize = 256;
const CACHE_LINE_BYTES: usize = 64;

impl Delta {
    /// Brings the records into the order of their keys and drops from the index what was overwritten.
    pub(in crate::store) fn sort(&mut self) {
        // What the arena has not used makes room for the index.
        self.arena.shrink_to_fit();
        let mut index = Vec::with_capacity(self.records);
        let mut at = 0;
        while at < self.arena.len() {
            index.push(Slot { prefix: 0, at });
            let (key, value) = self.record(at);
            at += record_bytes(key, value);
        }
        self.order(&mut index, 0);
        let mut live_bytes = self.arena.len();
        // Of one key the newest stands first, and stays.
        index.dedup_by(|next, kept| {
            let is_old = next.prefix == kept.prefix && self.key(next.at) == self.key(kept.at);
            if is_old {
                let (key, value) = self.record(next.at);
                live_bytes -= record_bytes(key, value);
            }
            is_old
        });
        self.live_bytes = live_bytes;
        self.index = index;
    }

    /// Sorts by key, and of one key the newest first.
    fn order(&self, slots: &mut [Slot], depth: usize) {
        let shared = self.shared(slots);
        if shared.bytes == shared.key_bytes.end {
            return slots.sort_unstable_by_key(|slot| Reverse(slot.at));
        }
        if shared.bytes == shared.key_bytes.start || depth >= DEPTH_MAX {
            let tail = |slot: &Slot| &self.key(slot.at)[shared.bytes..];
            return slots.sort_unstable_by(|a, b| tail(a).cmp(tail(b)).then_with(|| b.at.cmp(&a.at)));
        }
        for slot in &mut *slots {
            slot.prefix = prefix_of(&self.key(slot.at)[shared.bytes..]);
        }
        slots.sort_unstable_by_key(|slot| slot.prefix);
        for group in slots.chunk_by_mut(|a, b| a.prefix == b.prefix).filter(|group| group.len() > 1) {
            self.order(group, depth + 1);
        }
    }

    /// What the keys of all `slots` begin with alike.
    fn shared(&self, slots: &[Slot]) -> Shared {
        let Some(first) = slots.first() else { return Shared { bytes: 0, key_bytes: 0..0 } };
        let first = self.key(first.at);
        let mut shared = Shared { bytes: first.len(), key_bytes: first.len()..first.len() };
        for chunk in slots.chunks(AHEAD) {
            self.fetch(chunk);
            for slot in chunk {
                let key = self.key(slot.at);
                if !key.starts_with(&first[..shared.bytes]) {
                    shared.bytes = first.iter().zip(key).take_while(|(a, b)| a == b).count();
                }
                let key_bytes = &mut shared.key_bytes;
                *key_bytes = key_bytes.start.min(key.len())..key_bytes.end.max(key.len());
            }
        }
        shared
    }

    /// Reads a byte of every cache line of some records, so that they come many at a time: who then reads one after the
    /// other would wait for each.
    pub(super) fn fetch(&self, slots: &[Slot]) {
        let heads = slots.iter().map(|slot| self.arena[slot.at]);
        black_box(heads.fold(0, |all, byte| all ^ byte));
        let lines = slots.iter().flat_map(|slot| {
            let (key, value) = self.record(slot.at);
            let end = slot.at + record_bytes(key, value).min(AHEAD_BYTES_MAX);
            self.arena[slot.at..end].iter().step_by(CACHE_LINE_BYTES)
        });
        black_box(lines.fold(0, |all, byte| all ^ byte));
    }
}

/// Orders as the key does, as far as eight bytes go.
fn prefix_of(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let count = key.len().min(8);
    bytes[..count].copy_from_slice(&key[..count]);
    u64::from_le_bytes(bytes).swap_bytes()
}
