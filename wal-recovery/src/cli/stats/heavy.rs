//! The keys that take most bytes, in bounded memory: the Space-Saving sketch (Metwally, Agrawal, El Abbadi, 2005).
//!
//! Keeps a fixed number of counters. A key without one takes over the smallest counter and inherits its count as its
//! possible error: a key with more than the total divided by the number of counters is always among them.

use std::collections::{BTreeSet, HashMap};

/// Bytes counted for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heavy {
    pub(super) key: Vec<u8>,
    /// At most so many bytes.
    pub(super) bytes: u64,
    /// Of which so many may belong to other keys.
    pub(super) error: u64,
}

pub(super) struct HeavyKeys {
    counters: usize,
    /// Bytes and error, by key.
    counts: HashMap<Vec<u8>, (u64, u64)>,
    /// The same keys by bytes: the first is the smallest.
    order: BTreeSet<(u64, Vec<u8>)>,
}

impl HeavyKeys {
    pub(super) fn new(counters: usize) -> Self {
        Self { counters, counts: HashMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, key: &[u8], bytes: u64) {
        let (before, error) = match self.counts.get(key) {
            Some(counted) => *counted,
            None if self.counts.len() < self.counters => (0, 0),
            None => {
                let Some((smallest, given_up)) = self.order.pop_first() else { return };
                self.counts.remove(&given_up);
                (smallest, smallest)
            }
        };
        self.order.remove(&(before, key.to_vec()));
        let after = before.saturating_add(bytes);
        self.order.insert((after, key.to_vec()));
        self.counts.insert(key.to_vec(), (after, error));
    }

    /// The heaviest keys, heaviest first.
    pub(super) fn top(&self, count: usize) -> Vec<Heavy> {
        let heaviest = self.order.iter().rev().take(count);
        let of = |(bytes, key): &(u64, Vec<u8>)| Heavy {
            key: key.clone(),
            bytes: *bytes,
            error: self.counts.get(key).map_or(0, |(_, error)| *error),
        };
        heaviest.map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut keys = HeavyKeys::new(4);
        for (key, bytes) in [(b"a", 5), (b"b", 9), (b"a", 5), (b"c", 1)] {
            keys.add(key, bytes);
        }
        let top: Vec<_> =
            keys.top(2).into_iter().map(|heavy| (heavy.key, heavy.bytes, heavy.error)).collect();
        assert_eq!(top, [(b"a".to_vec(), 10, 0), (b"b".to_vec(), 9, 0)]);
    }

    #[test]
    fn a_heavy_key_is_found_among_many_light_ones_with_its_error() {
        let mut keys = HeavyKeys::new(16);
        for number in 0..10_000_u32 {
            keys.add(&number.to_le_bytes(), 1);
            if number % 4 == 0 {
                keys.add(b"heavy", 1);
            }
        }
        let top = &keys.top(1)[0];
        assert_eq!(top.key, b"heavy");
        assert!(top.bytes >= 2500 && top.bytes - top.error <= 2500, "{top:?}");
        assert_eq!(keys.counts.len(), 16);
    }
}
