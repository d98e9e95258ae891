//! The changes of a checkpoint in memory: the last write of every key, within a budget.
//!
//! Records are appended to one arena, as they come; nothing is looked up. Only when the arena is full are they sorted,
//! and of each key all but the newest dropped. That costs one comparison sort per budget-full, no hash that hostile
//! keys could degrade and no allocation per key, and the result is in the order in which a run is written.

mod order;

use self::order::{AHEAD, Slot};

/// Before a record's key and value: their lengths, four bytes each.
const RECORD_HEADER_BYTES: usize = 8;
/// In place of a value's length. No value is as long: a frame would not hold it.
const DELETED: u32 = u32::MAX;
/// What a record costs in the index.
const SLOT_BYTES: usize = size_of::<Slot>();
const ARENA_BYTES_MIN: usize = 64 * 1024;

/// Puts and deletes, collected and then sorted. Once sorted it is read; [`Self::clear`] and [`Self::compact`] make it
/// collect again.
pub(super) struct Delta {
    budget_bytes: usize,
    arena: Vec<u8>,
    /// Records in the arena.
    records: usize,
    /// One slot per key, ascending. Empty until sorted.
    index: Vec<Slot>,
    /// Bytes of the records in the index.
    live_bytes: usize,
}

impl Delta {
    /// Nothing yet. Will allocate at most `budget_bytes`, or as much as a single record needs.
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, arena: Vec::new(), records: 0, index: Vec::new(), live_bytes: 0 }
    }

    /// What it may take.
    pub(super) fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Bytes that collecting this record would take.
    pub(super) fn cost_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
        RECORD_HEADER_BYTES + SLOT_BYTES + key.len() + value.map_or(0, <[u8]>::len)
    }

    /// Bytes taken so far, those of the index to be built included.
    pub(super) fn held_bytes(&self) -> usize {
        self.arena.len() + self.records * SLOT_BYTES
    }

    /// Whether a record that costs this much can be collected.
    pub(super) fn has_room(&self, cost_bytes: usize) -> bool {
        self.records == 0 || self.held_bytes() + cost_bytes <= self.budget_bytes
    }

    /// Collects a write; without a value, a delete.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("keys and values fit a frame");
        self.reserve(Self::cost_bytes(key, value) - SLOT_BYTES);
        self.arena.extend_from_slice(&length(key).to_le_bytes());
        self.arena.extend_from_slice(&value.map_or(DELETED, length).to_le_bytes());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value.unwrap_or(&[]));
        self.records += 1;
        let within = self.records == 1 || self.held_bytes() <= self.budget_bytes;
        assert!(within, "{} bytes collected, the budget is {}", self.held_bytes(), self.budget_bytes);
    }

    /// After [`Self::sort`]: keys.
    pub(super) fn keys(&self) -> usize {
        self.index.len()
    }

    /// After [`Self::sort`]: bytes of the records that count.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// After [`Self::sort`]: bytes that would be taken if only the records that count were held.
    pub(super) fn live_cost_bytes(&self) -> usize {
        self.live_bytes + self.index.len() * SLOT_BYTES
    }

    /// After [`Self::sort`]: gives up the room of what was overwritten.
    pub(super) fn compact(&mut self) {
        self.index.sort_unstable_by_key(|slot| slot.at);
        let mut end = 0;
        for slot in &self.index {
            let (key, value) = self.record(slot.at);
            let bytes = record_bytes(key, value);
            self.arena.copy_within(slot.at..slot.at + bytes, end);
            end += bytes;
        }
        self.arena.truncate(end);
        self.records = self.index.len();
        self.index = Vec::new();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.index = Vec::new();
        self.records = 0;
        self.live_bytes = 0;
    }

    /// After [`Self::sort`]: keys ascending, each with its last value, or `None` if it was deleted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.index.chunks(AHEAD).flat_map(|chunk| {
            self.fetch(chunk);
            chunk.iter().map(|slot| self.record(slot.at))
        })
    }

    /// Grows by doubling, but not beyond the budget as doubling would.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.arena.len() + bytes;
        if needed > self.arena.capacity() {
            let doubled = (2 * self.arena.capacity()).max(ARENA_BYTES_MIN).min(self.budget_bytes);
            self.arena.reserve_exact(doubled.max(needed) - self.arena.len());
        }
    }

    #[inline]
    fn record(&self, at: usize) -> (&[u8], Option<&[u8]>) {
        let (key_bytes, value_bytes) = (self.length(at), self.length(at + 4));
        let key_at = at + RECORD_HEADER_BYTES;
        let value_at = key_at + key_bytes as usize;
        let value = (value_bytes != DELETED).then(|| &self.arena[value_at..value_at + value_bytes as usize]);
        (&self.arena[key_at..value_at], value)
    }

    #[inline]
    fn key(&self, at: usize) -> &[u8] {
        let key_at = at + RECORD_HEADER_BYTES;
        &self.arena[key_at..key_at + self.length(at) as usize]
    }

    #[inline]
    fn length(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.arena[at..at + 4]);
        u32::from_le_bytes(bytes)
    }
}

fn record_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    RECORD_HEADER_BYTES + key.len() + value.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(writes: &[(&[u8], Option<&[u8]>)], expected: &[(&[u8], Option<&[u8]>)]) {
        let mut delta = Delta::new(1 << 20);
        writes.iter().for_each(|(key, value)| delta.push(key, *value));
        delta.sort();
        assert_eq!(delta.iter().collect::<Vec<_>>(), expected);
        delta.compact();
        delta.sort();
        assert_eq!(delta.iter().collect::<Vec<_>>(), expected, "after compaction");
        assert_eq!(delta.held_bytes(), delta.live_cost_bytes(), "compaction left garbage");
    }

    /// What is allocated, to the byte: doubled while the budget allows, then as much as is needed.
    #[test]
    fn the_arena_grows_by_doubling_up_to_the_budget_and_for_a_record_that_is_larger() {
        for budget in [100, 64 * 1024, 100_000, 1 << 20] {
            for value in [0, 56, 57, 1_000, 300_000] {
                let (mut delta, mut capacity) = (Delta::new(budget), 0);
                let value = vec![7; value];
                let (cost, record) = (Delta::cost_bytes(&[], Some(&value)), 8 + value.len());
                while delta.has_room(cost) {
                    let needed = delta.arena.len() + record;
                    if needed > capacity {
                        capacity = (2 * capacity).max(64 * 1024).min(budget).max(needed);
                    }
                    delta.push(&[], Some(&value));
                    assert_eq!((delta.arena.len(), delta.arena.capacity()), (needed, capacity));
                }
                assert!(capacity <= budget.max(record), "{capacity} of {budget}");
            }
        }
    }

    #[test]
    fn the_last_write_of_a_key_wins() {
        check(&[], &[]);
        check(&[(b"b", Some(b"1")), (b"a", Some(b"")), (b"b", None)], &[(b"a", Some(b"")), (b"b", None)]);
        check(&[(b"b", None), (b"b", Some(b"2")), (b"b", Some(b"33"))], &[(b"b", Some(b"33"))]);
    }

    #[test]
    fn keys_that_differ_only_behind_the_prefix_or_in_trailing_zeros_stay_apart_and_in_order() {
        let keys: [&[u8]; 9] = [
            b"",
            b"\0",
            b"\0\0",
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0\0",
            b"ab",
            b"ab\0",
            b"ab\0\0\0\0\0\0zz",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        let sorted: Vec<(&[u8], Option<&[u8]>)> = keys.iter().map(|key| (*key, Some(*key))).collect();
        let mut reversed = sorted.clone();
        reversed.reverse();
        check(&reversed, &sorted);
        // The same behind bytes that all keys share.
        let longer: Vec<Vec<u8>> = keys.iter().map(|key| [b"user:00", *key].concat()).collect();
        let sorted: Vec<(&[u8], Option<&[u8]>)> = longer.iter().map(|key| (key.as_slice(), None)).collect();
        let mut reversed = sorted.clone();
        reversed.reverse();
        check(&reversed, &sorted);
    }

    /// Keys of few letters, so that many are equal, begin alike for more than eight bytes, or begin others.
    #[test]
    fn what_is_drawn_comes_out_as_from_a_map() {
        for seed in 0..300_u64 {
            let mut state = seed;
            let mut below = |bound: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(state >> 33).unwrap() % bound
            };
            let (letters, pieces, piece_bytes) = (1 + below(3), 1 + below(12), 1 + below(12));
            let always = vec![7; below(2) * 20];
            let mut delta = Delta::new(1 << 24);
            let mut map = std::collections::BTreeMap::new();
            for number in 0..1 + below(3000) {
                let mut key = always.clone();
                for _ in 0..below(pieces + 1) {
                    key.extend(vec![u8::try_from(below(letters)).unwrap(); piece_bytes]);
                }
                key.truncate(key.len() - below(3).min(key.len()));
                let value = (below(4) > 0).then(|| number.to_le_bytes().repeat(below(60)));
                delta.push(&key, value.as_deref());
                map.insert(key, value);
            }
            let expected: Vec<_> =
                map.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
            delta.sort();
            assert!(delta.iter().eq(expected.iter().copied()), "seed {seed}");
            let live: usize = expected.iter().map(|(key, value)| record_bytes(key, *value)).sum();
            assert_eq!((delta.keys(), delta.live_bytes()), (map.len(), live), "seed {seed}");
            delta.compact();
            delta.sort();
            assert!(delta.iter().eq(expected), "seed {seed}, after compaction");
        }
    }

    /// Without an end to the steps by eight bytes, who chooses the keys of a log decides how deep the stack becomes.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a thread with a small stack")]
    fn keys_that_part_one_after_the_other_are_sorted_on_a_small_stack() {
        const KEYS: usize = 1000;
        let mut delta = Delta::new(1 << 24);
        for number in 0..KEYS {
            delta.push(&[vec![1; 8 * number], vec![0; 8 * (KEYS - number)]].concat(), None);
        }
        let sort = move || {
            delta.sort();
            delta
        };
        let delta = std::thread::Builder::new().stack_size(128 << 10).spawn(sort).unwrap().join().unwrap();
        assert!(delta.iter().is_sorted_by(|a, b| a.0 < b.0) && delta.keys() == KEYS);
    }

    #[test]
    fn memory_stays_within_the_budget_whatever_the_sizes_of_keys_and_values() {
        let mut delta = Delta::new(100_000);
        let allocated = |delta: &Delta| delta.arena.capacity() + delta.index.capacity() * SLOT_BYTES;
        // A few large values first, so that the arena is at its largest when the many small ones need an index.
        for value_bytes in [20_000, 0, 1, 700, 0] {
            let value = vec![7; value_bytes];
            let mut number = 0_u32;
            while delta.has_room(Delta::cost_bytes(&number.to_le_bytes(), Some(&value))) {
                delta.push(&number.to_le_bytes(), Some(&value));
                assert!(allocated(&delta) <= 100_000, "collecting: {} bytes", allocated(&delta));
                number += 1;
            }
            delta.sort();
            assert!(allocated(&delta) <= 100_000, "sorted: {} bytes", allocated(&delta));
            assert_eq!(delta.keys(), number as usize);
            delta.clear();
        }
    }

    #[test]
    fn there_is_room_up_to_the_budget_and_always_for_one_record() {
        let mut delta = Delta::new(1000);
        let cost = Delta::cost_bytes(b"key", Some(&[0; 5000]));
        assert!(delta.has_room(cost));
        delta.push(b"key", Some(&[0; 5000]));
        assert!(!delta.has_room(Delta::cost_bytes(b"", None)));
        delta.clear();
        let mut pushed = 0;
        while delta.has_room(Delta::cost_bytes(b"key", Some(b"value"))) {
            delta.push(b"key", Some(b"value"));
            pushed += 1;
            assert!(delta.held_bytes() <= 1000);
        }
        assert_eq!(pushed, 1000 / (8 + 16 + 8));
    }
}
