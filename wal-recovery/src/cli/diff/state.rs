//! Whether two logs recover to the same state, in bounded memory: keys are split by a hash into as many parts as it
//! takes, and each part is recovered and compared on its own.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use wal_format::{EntryRef, OperationRef};
use wal_reader::Source;

use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::error::BoxError;
use crate::plan::Plan;
use crate::replay::{Recovered, Replay, replay};

/// Bytes of both logs that one pass may hold.
const PART_BYTES: u64 = 128 << 20;

/// A thing and its value on both sides.
type Pair = (String, [Option<String>; 2]);

/// A key and its value on both sides, if it exists there.
type KeyPair = (Vec<u8>, [Option<Vec<u8>>; 2]);

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StateDifference {
    /// Keys on either side.
    pub(super) keys: u64,
    pub(super) differing: u64,
    /// The least key that differs, and its values.
    pub(super) first: Option<KeyPair>,
    pub(super) offsets: Vec<Pair>,
    pub(super) watermarks: Vec<Pair>,
    /// The state is not all in the logs.
    pub(super) external: bool,
}

/// The keys of one part of a state.
struct Part {
    part: u64,
    parts: u64,
    map: HashMap<Vec<u8>, Vec<u8>>,
}

/// Compares what the two plans recover.
pub(super) fn compare(
    logs: [(&Arc<dyn Source>, Plan); 2],
    progress: &Progress,
) -> Result<StateDifference, Failure> {
    let bytes: u64 = logs.iter().map(|(_, plan)| plan.bytes_to_read()).sum();
    let parts = parts(bytes);
    let mut found = StateDifference {
        external: logs
            .iter()
            .any(|(_, plan)| plan.manifest.as_ref().is_some_and(|manifest| manifest.external)),
        ..StateDifference::default()
    };
    progress.begin("comparing state", bytes.saturating_mul(parts));
    for part in 0..parts {
        let recover = |(source, plan): &(&Arc<dyn Source>, Plan)| -> Result<_, Failure> {
            let mut state = Part { part, parts, map: HashMap::new() };
            let recovered = replay(source, plan.clone(), None, &mut state)?;
            Ok((state.map, recovered))
        };
        let (one, one_rest) = recover(&logs[0])?;
        let (other, other_rest) = recover(&logs[1])?;
        found.note_keys(one, other);
        if part == 0 {
            found.note_rest(&one_rest, &other_rest);
        }
    }
    Ok(found)
}

/// Every key is held once a side, with its last value; allocations double that.
fn parts(bytes: u64) -> u64 {
    (bytes / PART_BYTES).saturating_add(1)
}

impl StateDifference {
    fn note_keys(&mut self, mut one: HashMap<Vec<u8>, Vec<u8>>, other: HashMap<Vec<u8>, Vec<u8>>) {
        for (key, value) in other {
            let held = one.remove(&key);
            self.note(key, [held, Some(value)]);
        }
        for (key, value) in one {
            self.note(key, [Some(value), None]);
        }
    }

    fn note(&mut self, key: Vec<u8>, values: [Option<Vec<u8>>; 2]) {
        self.keys += 1;
        if values[0] == values[1] {
            return;
        }
        self.differing += 1;
        if self.first.as_ref().is_none_or(|(first, _)| key < *first) {
            self.first = Some((key, values));
        }
    }

    fn note_rest(&mut self, one: &Recovered, other: &Recovered) {
        self.offsets = differing("source", &one.offsets, &other.offsets);
        self.watermarks = differing("watermark of core", &one.watermarks, &other.watermarks);
    }
}

fn differing<K: Ord + std::fmt::Display, V: PartialEq + std::fmt::Display>(
    what: &str,
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
) -> Vec<Pair> {
    let only_other = other.keys().filter(|key| !one.contains_key(key));
    let keys = one.keys().chain(only_other).filter(|key| one.get(key) != other.get(key));
    let shown = |side: &BTreeMap<K, V>, key: &K| side.get(key).map(ToString::to_string);
    keys.map(|key| (format!("{what} {key}"), [shown(one, key), shown(other, key)])).collect()
}

impl Part {
    fn holds(&self, key: &[u8]) -> bool {
        // The same for both sides and in every pass: a hasher without random keys.
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() % self.parts == self.part
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        if self.holds(key) {
            self.map.insert(key.to_vec(), value.to_vec());
        }
    }
}

impl Replay for Part {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.put(key, value);
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        match entry.operation {
            OperationRef::Put { key, value } => self.put(key, value),
            OperationRef::Delete { key } => drop(self.map.remove(key)),
            OperationRef::Checkpoint { .. } | OperationRef::Commit { .. } | OperationRef::EpochBarrier => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HashMap<Vec<u8>, Vec<u8>> {
        pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn keys_that_differ_are_counted_and_the_least_is_named() {
        let mut found = StateDifference::default();
        found.note_keys(
            map(&[("a", "1"), ("b", "1"), ("d", "1")]),
            map(&[("a", "1"), ("b", "2"), ("c", "1")]),
        );
        assert_eq!((found.keys, found.differing), (4, 3));
        assert_eq!(found.first, Some((b"b".to_vec(), [Some(b"1".to_vec()), Some(b"2".to_vec())])));
    }

    #[test]
    fn every_key_belongs_to_one_part() {
        let keys = 0..200_u8;
        for parts in 1..5 {
            for key in keys.clone() {
                let of = |part| Part { part, parts, map: HashMap::new() };
                assert_eq!((0..parts).filter(|part| of(*part).holds(&[key])).count(), 1);
            }
        }
        assert_eq!((super::parts(0), super::parts(PART_BYTES * 3)), (1, 4));
    }

    #[test]
    fn offsets_are_compared_from_both_sides() {
        let one = BTreeMap::from([("a", 1), ("b", 2)]);
        let other = BTreeMap::from([("b", 3), ("c", 4)]);
        let pairs = differing("source", &one, &other);
        let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["source a", "source b", "source c"]);
        assert_eq!(pairs[1].1, [Some("2".to_owned()), Some("3".to_owned())]);
    }

    #[test]
    fn a_state_that_is_elsewhere_on_one_side_is_said_to_be() {
        use wal_reader::testing::LogBuilder;

        let log = |external| {
            let mut log = LogBuilder::new(wal_format::LogId([1; 16]));
            let manifest = wal_format::Manifest { external, ..log.empty_manifest(1) };
            log.manifest(&manifest);
            let source: Arc<dyn Source> = Arc::new(log.source());
            let manager = crate::manager::PerCoreRecoveryManager::with_source(Arc::clone(&source));
            (source, manager.plan().expect("the log is whole"))
        };
        let external = |one, other| {
            let ((one, one_plan), (other, other_plan)) = (log(one), log(other));
            let found = compare([(&one, one_plan), (&other, other_plan)], &Progress::new(false));
            found.map(|found| found.external).ok()
        };
        assert_eq!((external(false, false), external(false, true)), (Some(false), Some(true)));
    }
}
