//! The state of the job: per shard every word's count. And its way through the log: keys, values, replay.

use std::collections::HashMap;

use wal_coordinator::{EntryRef, OperationRef, Replay};
use wal_recovery::BoxError;

use super::input::SHARDS;

/// One shard's counts.
pub(super) type Shard = HashMap<Box<[u8]>, u64>;

/// All counts.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) shards: Vec<Shard>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { shards: vec![Shard::new(); SHARDS] }
    }
}

/// Writes the key of `word` in `shard` into `key`.
pub(super) fn write_key(key: &mut Vec<u8>, shard: usize, word: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    key.clear();
    key.extend_from_slice(&[DIGITS[shard / 16 % 16], DIGITS[shard % 16], b'/']);
    key.extend_from_slice(word);
}

fn read_key(key: &[u8]) -> Option<(usize, &[u8])> {
    let (shard, word) = (key.get(..2)?, key.get(3..)?);
    let shard = usize::from_str_radix(std::str::from_utf8(shard).ok()?, 16).ok()?;
    (shard < SHARDS && key.get(2) == Some(&b'/')).then_some((shard, word))
}

impl Counts {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        let (shard, word) = read_key(key).ok_or_else(|| format!("not a key of this job: {key:?}"))?;
        let count = u64::from_le_bytes(value.try_into().map_err(|_| format!("not a count: {value:?}"))?);
        match self.shards[shard].get_mut(word) {
            Some(held) => *held = count,
            None => drop(self.shards[shard].insert(word.into(), count)),
        }
        Ok(())
    }

    /// Every word's count over all shards.
    pub(super) fn total(&self) -> Shard {
        let mut total = Shard::new();
        for (word, count) in self.shards.iter().flatten() {
            *total.entry(word.clone()).or_default() += count;
        }
        total
    }
}

impl Replay for Counts {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.set(key, value)
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        match entry.operation {
            OperationRef::Put { key, value } => self.set(key, value),
            OperationRef::Delete { key } => {
                let (shard, word) = read_key(key).ok_or_else(|| format!("not a key of this job: {key:?}"))?;
                self.shards[shard].remove(word);
                Ok(())
            }
            // Offsets and watermarks come back from recovery itself.
            OperationRef::Commit { .. } | OperationRef::Checkpoint { .. } | OperationRef::EpochBarrier => {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        let mut key = Vec::new();
        for shard in 0..SHARDS {
            for word in [b"w".as_slice(), b"a/b", "größe".as_bytes()] {
                write_key(&mut key, shard, word);
                assert_eq!(read_key(&key), Some((shard, word)));
            }
        }
        assert_eq!(read_key(b"ff/word"), None);
        assert_eq!(read_key(b"0"), None);
    }

    #[test]
    fn a_total_is_the_sum_over_shards() {
        let mut counts = Counts::default();
        for (key, count) in [("00/a", 1_u64), ("01/a", 2), ("3f/b", 5), ("00/a", 4)] {
            counts.set(key.as_bytes(), &count.to_le_bytes()).expect("a key of ours");
        }
        let total = counts.total();
        assert_eq!(total.get(b"a".as_slice()), Some(&6));
        assert_eq!(total.get(b"b".as_slice()), Some(&5));
    }
}
