//! The oracle: every entry that was appended, what was promised of it, and what a recovery must therefore give.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_coordinator::{
    CoreId, EntryRef, Epoch, OperationRef, OrderKey, PerCoreWalEntry, Sequence, WalOperation,
};
use wal_recovery::{BoxError, Recovered, Replay};

use crate::disk::Random;

/// Keys of one core. No key belongs to two cores.
const KEYS: usize = 16;

/// One appended entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) entry: PerCoreWalEntry,
    /// More of its batch follows.
    pub(crate) more: bool,
}

/// Everything that was appended and not given up, per core, by sequence number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) cores: Vec<Vec<Arc<Entry>>>,
}

/// What had been promised when this many calls had been made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Promise {
    pub(crate) calls: u64,
    /// Per core: every entry below survives a power loss.
    pub(crate) durable: Vec<u64>,
    /// Per core: every entry below survives the process.
    pub(crate) written: Vec<u64>,
    /// The last epoch that was closed and reported as durable: the consistent cut reaches it.
    pub(crate) epoch: Epoch,
    /// Per core: every entry below survives as part of a consistent cut.
    pub(crate) cut: Vec<u64>,
    /// The last checkpoint that was reported as made.
    pub(crate) checkpoint: Epoch,
}

/// What the last put or delete of every key of a core was: sequence number of the put.
type KeyState = [Option<u64>; KEYS];

impl Model {
    /// How many entries a core has.
    pub(crate) fn end(&self, core: usize) -> u64 {
        self.cores.get(core).map_or(0, |entries| entries.len() as u64)
    }

    pub(crate) fn ends(&self) -> Vec<u64> {
        (0..self.cores.len()).map(|core| self.end(core)).collect()
    }

    pub(crate) fn push(&mut self, entry: PerCoreWalEntry, more: bool) {
        let core = entry.core_id.index();
        if self.cores.len() <= core {
            self.cores.resize_with(core + 1, Vec::new);
        }
        assert_eq!(entry.sequence.0, self.end(core), "numbered without a gap");
        self.cores[core].push(Arc::new(Entry { entry, more }));
    }

    /// Forgets what did not come back.
    pub(crate) fn truncate(&mut self, ends: &[u64]) {
        for (core, entries) in self.cores.iter_mut().enumerate() {
            entries.truncate(index(ends.get(core).copied().unwrap_or(0)));
        }
    }

    /// Per core the first entry above an epoch.
    pub(crate) fn ends_of(&self, epoch: Epoch) -> Vec<u64> {
        let end =
            |entries: &Vec<Arc<Entry>>| entries.partition_point(|entry| entry.entry.epoch <= epoch) as u64;
        self.cores.iter().map(end).collect()
    }

    /// Whether this entry was appended.
    pub(crate) fn knows(&self, entry: &EntryRef<'_>) -> bool {
        let known = self.get(entry.core_id, entry.sequence).map(|known| &known.entry);
        known.is_some_and(|known| {
            (known.epoch, known.timestamp_ns) == (entry.epoch, entry.timestamp_ns)
                && known.operation.as_ref() == entry.operation
        })
    }

    /// Whether this value was put under this key.
    pub(crate) fn knows_value(&self, key: &[u8], value: &[u8]) -> bool {
        let known = written_by(value).and_then(|(core, sequence)| self.get(core, sequence));
        known.is_some_and(|known| known.entry.operation.as_ref() == OperationRef::Put { key, value })
    }

    fn get(&self, core: CoreId, sequence: Sequence) -> Option<&Entry> {
        self.cores.get(core.index())?.get(index(sequence.0)).map(|entry| &**entry)
    }

    fn state(&self, core: usize, end: u64) -> KeyState {
        let mut state = [None; KEYS];
        for entry in self.cores[core].iter().take(index(end)) {
            match &entry.entry.operation {
                WalOperation::Put { key, .. } => state[key_index(key)] = Some(entry.entry.sequence.0),
                WalOperation::Delete { key } => state[key_index(key)] = None,
                _ => {}
            }
        }
        state
    }

    /// What the commits below `ends` come to.
    fn commits(&self, ends: &[u64]) -> (BTreeMap<String, u64>, BTreeMap<CoreId, i64>) {
        let (mut offsets, mut watermarks) = (BTreeMap::new(), BTreeMap::new());
        for (entries, end) in self.cores.iter().zip(ends) {
            let is_commit =
                |entry: &&Arc<Entry>| matches!(entry.entry.operation, WalOperation::Commit { .. });
            let last = entries[..index(*end)].iter().rev().find(is_commit);
            if let Some(entry) = last
                && let WalOperation::Commit { offsets: of_entry, watermark } = &entry.entry.operation
            {
                offsets.extend(of_entry.iter().cloned());
                watermarks.extend(watermark.map(|watermark| (entry.entry.core_id, watermark)));
            }
        }
        (offsets, watermarks)
    }

    /// Whether `recovered`, and what `seen` saw of it, is the effect of some prefix of every core: which.
    pub(crate) fn check(&self, seen: &Seen<'_>, recovered: &Recovered) -> Result<Vec<u64>, String> {
        let resume = &recovered.resume;
        let ends: Vec<_> = (0..self.cores.len())
            .map(|core| resume.core(core_id(core)).map_or(0, |resume| resume.next_sequence.0))
            .collect();
        if let Some(beyond) =
            resume.cores.iter().find(|core| core.next_sequence.0 > self.end(core.core.index()))
        {
            return Err(format!(
                "core {} ends at {}, beyond what was appended",
                beyond.core, beyond.next_sequence
            ));
        }
        let checkpoint = resume.manifest.as_ref().map(|manifest| manifest.epoch);
        let starts = checkpoint.map_or_else(|| vec![0; ends.len()], |epoch| self.ends_of(epoch));
        for (core, (end, start)) in ends.iter().zip(&starts).enumerate() {
            let replayed = seen.cores[core].replayed.clone();
            let expected = *start..(*end).max(*start);
            let is_right = replayed == expected || (replayed.is_empty() && expected.is_empty());
            if !is_right {
                return Err(format!(
                    "core {core} replayed {replayed:?}, ends at {end}, checkpointed to {start}"
                ));
            }
            if end < start {
                return Err(format!("core {core} ends at {end}, below the checkpoint's {start}"));
            }
            if *end > 0 && self.cores[core][index(*end) - 1].more {
                return Err(format!("core {core} ends at {end}, within a batch"));
            }
            if seen.cores[core].state != self.state(core, *end) {
                return Err(format!("the state of core {core}'s keys is not that after {end} entries"));
            }
        }
        if (recovered.offsets.clone(), recovered.watermarks.clone()) != self.commits(&ends) {
            return Err(format!("offsets {:?}, watermarks {:?}", recovered.offsets, recovered.watermarks));
        }
        Ok(ends)
    }
}

/// An engine that compares whatever it is given with the model.
pub(crate) struct Seen<'a> {
    model: &'a Model,
    cores: Vec<SeenCore>,
    last: Option<OrderKey>,
}

#[derive(Clone, Default)]
struct SeenCore {
    state: KeyState,
    replayed: std::ops::Range<u64>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        Self { model, cores: vec![SeenCore::default(); model.cores.len()], last: None }
    }
}

impl Replay for Seen<'_> {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        let (core, sequence) = written_by(value).ok_or("a checkpointed value that nobody wrote")?;
        let entry = self.model.get(core, sequence).ok_or("a checkpointed value of an unknown entry")?;
        if entry.entry.operation.as_ref() != (OperationRef::Put { key, value }) {
            return Err(format!("a checkpointed value is not that of core {core} sequence {sequence}").into());
        }
        self.cores[core.index()].state[key_index(key)] = Some(sequence.0);
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        let (core, sequence) = (entry.core_id, entry.sequence);
        let known = self.model.get(core, sequence).ok_or("an entry that nobody appended")?;
        let known = &known.entry;
        let is_same = known.epoch == entry.epoch
            && known.timestamp_ns == entry.timestamp_ns
            && known.operation.as_ref() == entry.operation;
        if !is_same {
            return Err(format!("core {core} sequence {sequence} is not what was appended").into());
        }
        if self.last.replace(entry.order_key()).is_some_and(|last| last >= entry.order_key()) {
            return Err(format!("core {core} sequence {sequence} is out of the global order").into());
        }
        let seen = &mut self.cores[core.index()];
        if seen.replayed.is_empty() {
            seen.replayed = sequence.0..sequence.0;
        }
        if seen.replayed.end != sequence.0 {
            return Err(format!("core {core} goes from {} to {sequence}", seen.replayed.end).into());
        }
        seen.replayed.end += 1;
        match entry.operation {
            OperationRef::Put { key, .. } => seen.state[key_index(key)] = Some(sequence.0),
            OperationRef::Delete { key } => seen.state[key_index(key)] = None,
            _ => {}
        }
        Ok(())
    }
}

/// Any operation, drawn by `random`, that says who wrote it.
pub(crate) fn operation(random: &mut Random, core: CoreId, sequence: Sequence) -> WalOperation {
    let key = vec![b'k', core.0 as u8, random.below(KEYS as u64) as u8];
    match random.below(16) {
        0 => WalOperation::Delete { key },
        1 => WalOperation::Commit {
            offsets: vec![(format!("source {core}"), sequence.0)],
            watermark: Some(sequence.0.cast_signed() - 100),
        },
        kind => {
            let bytes = match kind {
                // More than a ring holds: these go beside it.
                2 if random.once_in(8) => 9_000 + random.below(3_000),
                2..6 => 600 + random.below(1200),
                _ => 10 + random.below(120),
            };
            let mut value = Vec::with_capacity(index(bytes));
            value.extend_from_slice(&core.0.to_le_bytes());
            value.extend_from_slice(&sequence.0.to_le_bytes());
            while value.len() < index(bytes) {
                value.extend_from_slice(&random.next().to_le_bytes());
            }
            value.truncate(index(bytes));
            WalOperation::Put { key, value }
        }
    }
}

fn written_by(value: &[u8]) -> Option<(CoreId, Sequence)> {
    let (core, rest) = value.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some((CoreId(u16::from_le_bytes(*core)), Sequence(u64::from_le_bytes(*sequence))))
}

fn key_index(key: &[u8]) -> usize {
    key.get(2).map_or(0, |key| usize::from(*key) % KEYS)
}

pub(crate) fn core_id(core: usize) -> CoreId {
    CoreId(core as u16)
}

fn index(number: u64) -> usize {
    number as usize
}
