//! What each core appends: a function of seed, core and sequence number, and nothing else.
//!
//! So whoever knows how long a core's log is knows every byte of it, and the state that it adds up to. Keys belong to one
//! core each: the state then does not depend on how the cores' entries interleave.

use wal_coordinator::{Offsets, OperationRef};

use crate::random::{Random, mix};

/// Distinct keys of a core: few, so that most writes replace one and many deletes hit one.
pub const KEYS: usize = 600;

/// Sequence numbers are dealt with in blocks of this many, cut into batches in one of a few ways.
const BLOCK: u64 = 8;
const CUTS: [&[u64]; 4] = [&[8], &[1, 1, 1, 1, 1, 1, 1, 1], &[3, 5], &[1, 1, 6]];

/// The plan of one directory.
#[derive(Clone, Copy, Debug)]
pub struct Oracle {
    seed: u64,
}

/// What an entry is, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sets the key with this index.
    Put(usize),
    /// Removes the key with this index.
    Delete(usize),
    /// The core's source was read up to this entry's number; a watermark, or none.
    Commit(Option<i64>),
    /// The application's note.
    Checkpoint,
    /// The application's mark.
    EpochBarrier,
}

/// An operation's bytes.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    key: Vec<u8>,
    value: Vec<u8>,
    source: String,
}

impl Oracle {
    /// The plan of the directory with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed) }
    }

    fn bits(&self, core: u16, sequence: u64) -> u64 {
        mix(self.seed ^ mix((u64::from(core) << 48) ^ sequence))
    }

    /// What the entry is.
    #[must_use]
    pub fn kind(&self, core: u16, sequence: u64) -> Kind {
        let bits = self.bits(core, sequence);
        let key = usize::try_from((bits >> 8) % KEYS as u64).unwrap_or(0);
        match bits % 16 {
            0..12 => Kind::Put(key),
            12 | 13 => Kind::Delete(key),
            14 => Kind::Commit(i64::try_from(sequence).ok().filter(|_| bits & 0x100 == 0)),
            _ if bits & 0x100 == 0 => Kind::Checkpoint,
            _ => Kind::EpochBarrier,
        }
    }

    /// The key with index `key`.
    pub fn write_key(&self, core: u16, key: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(format!("{core}/{key}").as_bytes());
        // Some keys are longer than others.
        out.resize(out.len() + key % 7 * 5, b'.');
    }

    /// The value that the entry with this number sets, if it sets one.
    pub fn write_value(&self, core: u16, sequence: u64, out: &mut Vec<u8>) {
        let bits = self.bits(core, sequence);
        let bytes = match (bits >> 32) % 4096 {
            // Larger than a small ring, or even a small segment.
            0 => 60_000 + (bits >> 44) % 60_000,
            1..64 => (bits >> 44) % 5_000,
            _ => (bits >> 44) % 200,
        };
        let bytes = usize::try_from(bytes).unwrap_or(0);
        let mut random = Random::new(bits);
        out.clear();
        while out.len() < bytes {
            out.extend_from_slice(&random.bits().to_le_bytes());
        }
        out.truncate(bytes);
    }

    /// Calls `then` with the entry's operation.
    pub fn with<R>(
        &self,
        core: u16,
        sequence: u64,
        buffers: &mut Buffers,
        then: impl FnOnce(&OperationRef<'_>) -> R,
    ) -> R {
        let Buffers { key, value, source } = buffers;
        match self.kind(core, sequence) {
            Kind::Put(index) => {
                self.write_key(core, index, key);
                self.write_value(core, sequence, value);
                then(&OperationRef::Put { key, value })
            }
            Kind::Delete(index) => {
                self.write_key(core, index, key);
                then(&OperationRef::Delete { key })
            }
            Kind::Commit(watermark) => {
                *source = source_name(core);
                let offsets = [(source.as_str(), sequence)];
                then(&OperationRef::Commit { offsets: Offsets::new(&offsets), watermark })
            }
            Kind::Checkpoint => then(&OperationRef::Checkpoint { id: sequence }),
            Kind::EpochBarrier => then(&OperationRef::EpochBarrier),
        }
    }

    /// How many entries the batch that begins with this number has. `None` if none begins there.
    #[must_use]
    pub fn batch_at(&self, core: u16, sequence: u64) -> Option<u64> {
        let cuts = CUTS[usize::try_from(self.bits(core, !(sequence / BLOCK)) % 4).unwrap_or(0)];
        let mut begin = sequence / BLOCK * BLOCK;
        for cut in cuts {
            if begin == sequence {
                return Some(*cut);
            }
            begin += cut;
        }
        None
    }
}

/// The source whose offset a core commits.
#[must_use]
pub fn source_name(core: u16) -> String {
    format!("source-{core}")
}

/// What the first entries of a core add up to.
#[derive(Clone, Debug)]
pub struct Prefix {
    core: u16,
    /// Length.
    pub next: u64,
    /// Per key the number of the entry that set it, unless it was removed after that.
    pub keys: Vec<Option<u64>>,
    /// The last commit's number.
    pub offset: Option<u64>,
    /// The last watermark.
    pub watermark: Option<i64>,
}

impl Prefix {
    /// Of a log without entries.
    #[must_use]
    pub fn new(core: u16) -> Self {
        Self { core, next: 0, keys: vec![None; KEYS], offset: None, watermark: None }
    }

    /// Of the first `next` entries, which must not be fewer.
    pub fn advance(&mut self, oracle: &Oracle, next: u64) {
        assert!(next >= self.next, "a prefix only grows");
        for sequence in self.next..next {
            match oracle.kind(self.core, sequence) {
                Kind::Put(key) => self.keys[key] = Some(sequence),
                Kind::Delete(key) => self.keys[key] = None,
                Kind::Commit(watermark) => {
                    self.offset = Some(sequence);
                    self.watermark = watermark.or(self.watermark);
                }
                Kind::Checkpoint | Kind::EpochBarrier => {}
            }
        }
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_every_number_once() {
        let oracle = Oracle::new(3);
        for core in 0..4 {
            let mut sequence = 0;
            let mut sizes = std::collections::BTreeSet::new();
            while sequence < 4000 {
                let size = oracle.batch_at(core, sequence).expect("a batch begins where the last one ended");
                (sequence + 1..sequence + size)
                    .for_each(|within| assert_eq!(oracle.batch_at(core, within), None));
                sizes.insert(size);
                sequence += size;
            }
            assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 3, 5, 6, 8], "every way to cut occurs");
        }
    }

    #[test]
    fn operations_are_the_same_each_time_and_differ_between_cores_and_seeds() {
        let written = |seed, core| {
            let mut buffers = Buffers::default();
            (0..300)
                .map(|sequence| {
                    Oracle::new(seed).with(core, sequence, &mut buffers, |operation| operation.to_owned())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(written(1, 0), written(1, 0));
        assert_ne!(written(1, 0), written(1, 1));
        assert_ne!(written(1, 0), written(2, 0));
    }

    #[test]
    fn a_prefix_in_steps_is_the_prefix_at_once() {
        let oracle = Oracle::new(5);
        let mut steps = Prefix::new(1);
        (0..50).for_each(|step| steps.advance(&oracle, step * 37));
        let mut whole = Prefix::new(1);
        whole.advance(&oracle, steps.next);
        assert_eq!(steps.keys, whole.keys);
        assert_eq!((steps.offset, steps.watermark), (whole.offset, whole.watermark));
        assert!(whole.keys.iter().any(Option::is_none) && whole.keys.iter().any(Option::is_some));
    }
}
