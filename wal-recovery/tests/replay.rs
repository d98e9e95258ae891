//! What comes back: the checkpoint's state and the log above it, in the global order, with offsets and watermarks.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::{A, B, Kept, LOG, manager, recover};
use wal_format::{
    CoreId, EntryRef, Epoch, Manifest, Offsets, OperationRef, PerCoreWalEntry, SourceOffset, WalOperation,
};
use wal_reader::testing::LogBuilder;
use wal_reader::{Directory, MemorySource};
use wal_recovery::{BoxError, PerCoreRecoveryManager, RecoveryError, Replay, recover_per_core};

fn commit<'a>(offsets: &'a [(&'a str, u64)], watermark: Option<i64>) -> OperationRef<'a> {
    OperationRef::Commit { offsets: Offsets::new(offsets), watermark }
}

fn with_commits() -> LogBuilder {
    let mut log = LogBuilder::new(LOG);
    let run = log.run(0, 1, &[(b"a", Some(b"old")), (b"b", Some(b"old"))]);
    let mut manifest = log.empty_manifest(1);
    (manifest.runs, manifest.next_run) = (vec![run], 1);
    manifest.offsets = vec![
        SourceOffset { source: "only-in-manifest".to_owned(), offset: 1 },
        SourceOffset { source: "topic".to_owned(), offset: 10 },
    ];
    manifest.watermarks = vec![(A, -5), (CoreId(9), 7)];
    log.manifest(&manifest);
    // Of a checkpointed epoch: in the manifest already.
    log.batch(A, &[commit(&[("topic", 9)], Some(-9))]);
    log.set_epoch(2);
    log.batch(A, &[OperationRef::Put { key: b"a", value: b"new" }, commit(&[("topic", 20)], Some(100))]);
    log.batch(B, &[OperationRef::Delete { key: b"b" }, commit(&[("topic", 30), ("other", 3)], Some(90))]);
    log.batch(A, &[commit(&[("other", 2)], None)]);
    log
}

#[test]
fn offsets_and_watermarks_come_back_merged_over_checkpoint_and_log() {
    let log = with_commits();
    let recovered = manager(&log.source()).recover_state().unwrap();
    let expected = [("only-in-manifest", 1), ("other", 2), ("topic", 30)];
    let expected: BTreeMap<_, _> = expected.map(|(source, offset)| (source.to_owned(), offset)).into();
    assert_eq!(recovered.offsets, expected);
    assert_eq!(recovered.watermarks, BTreeMap::from([(A, 100), (B, 90), (CoreId(9), 7)]));
    assert_eq!(recovered.watermark(), Some(7));
    assert_eq!(recover(&log.source()).unwrap().1.watermark(), Some(7));
    assert_eq!(recovered.state, HashMap::from([(b"a".to_vec(), b"new".to_vec())]));
    assert_eq!(recovered.epoch, Epoch(2));
}

#[test]
fn replay_per_core_in_parallel_adds_up_to_the_same() {
    let source = with_commits().source();
    let (merged, one) = recover(&source).unwrap();
    let mut state = Kept::default();
    let (sinks, other) = manager(&source).recover_parallel(&mut state, |_| Kept::default()).unwrap();
    assert_eq!(state.state, merged.state);
    for (core, sink) in &sinks {
        assert_eq!(sink.entries, merged.of_core(*core));
    }
    assert_eq!((one.offsets, one.watermarks, one.epoch), (other.offsets, other.watermarks, other.epoch));
    assert_eq!(one.report.entries_replayed, other.report.entries_replayed);
}

#[test]
fn progress_ends_with_everything_read() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut kept = Kept::default();
    let recovered = manager(&with_commits().source())
        .progress(move |progress| {
            let _ = sender.send(progress);
        })
        .recover(&mut kept)
        .unwrap();
    let told: Vec<_> = receiver.iter().collect();
    let last = told.last().unwrap();
    assert_eq!(last.entries, recovered.report.entries_replayed + recovered.report.checkpoint_keys);
    assert!(told.is_sorted_by_key(|progress| (progress.bytes, progress.entries)));
    // Of segments what stands behind their header block, of runs all.
    let source = with_commits().source();
    let length = |(name, bytes): (&str, &[u8])| match name {
        _ if name.starts_with("wal-0") => bytes.len() - 4096,
        _ if name.starts_with("run-") => bytes.len(),
        _ => 0,
    };
    assert_eq!(last.bytes_total, source.iter().map(length).sum::<usize>() as u64);
    assert!(last.bytes > 0);
}

#[test]
fn progress_of_many_entries_in_parallel_counts_every_byte_once() {
    let mut log = LogBuilder::new(LOG);
    for round in 0..150_u64 {
        let operations = vec![OperationRef::Checkpoint { id: round }; 1000];
        log.batch(A, &operations);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let manager = manager(&log.source()).progress(move |progress| {
        let _ = sender.send(progress);
    });
    let (_, recovered) = manager.recover_parallel(&mut Kept::default(), |_| Kept::default()).unwrap();
    drop(manager);
    let told: Vec<_> = receiver.iter().map(|progress| (progress.entries, progress.bytes)).collect();
    // After 65,536 entries, after as many again, and at the end.
    let entries: Vec<_> = told.iter().map(|(entries, _)| *entries).filter(|entries| *entries > 0).collect();
    assert_eq!(entries[..3], [65_536, 131_072, 150_000]);
    assert!(told.is_sorted());
    let bytes = log.end(A).offset;
    assert!((bytes - 4096..=bytes).contains(&told.last().unwrap().1), "{told:?} of {bytes}");
    assert!(recovered.report.bytes_read <= bytes);
}

#[test]
fn a_state_in_the_engines_own_store_cannot_be_had_as_a_map() {
    let mut log = LogBuilder::new(LOG);
    log.set_epoch(2);
    log.put(A, b"a", b"value");
    let mut manifest = log.empty_manifest(1);
    manifest.external = true;
    log.manifest(&manifest);
    let manager = manager(&log.source());
    let is_told = |error: Option<RecoveryError>| {
        assert!(matches!(error, Some(RecoveryError::ExternalState { epoch: Epoch(1) })), "{error:?}");
    };
    is_told(manager.recover_state().err());
    is_told(manager.recover(&mut HashMap::<_, _>::new()).err());
    is_told(manager.recover(&mut BTreeMap::new()).err());
    let (kept, _) = recover(&log.source()).unwrap();
    assert_eq!((kept.sequences(A), kept.checkpoint), (vec![0], Some(manifest)));
}

#[test]
fn maps_are_filled_as_the_recovered_state_is() {
    let source = with_commits().source();
    let expected = manager(&source).recover_state().unwrap();
    let (mut hashed, mut sorted) = (HashMap::<_, _>::new(), BTreeMap::new());
    let recovered = manager(&source).recover(&mut hashed).unwrap();
    manager(&source).recover(&mut sorted).unwrap();
    assert_eq!(hashed, expected.state);
    assert_eq!(sorted, expected.state.into_iter().collect());
    assert_eq!((recovered.offsets, recovered.report), (expected.offsets, expected.report));
}

#[test]
fn the_checkpoint_is_told_once_before_its_keys_and_not_without_one() {
    #[derive(Default)]
    struct Told(Vec<&'static str>);
    impl Replay for Told {
        fn checkpoint(&mut self, _: &Manifest) -> Result<(), BoxError> {
            self.0.push("checkpoint");
            Ok(())
        }
        fn state(&mut self, _: &[u8], _: &[u8]) -> Result<(), BoxError> {
            self.0.push("state");
            Ok(())
        }
        fn entry(&mut self, _: &EntryRef<'_>) -> Result<(), BoxError> {
            self.0.push("entry");
            Ok(())
        }
    }
    let mut log = LogBuilder::new(LOG);
    log.set_epoch(2);
    log.put(A, b"a", b"value");
    let mut told = Told::default();
    manager(&log.source()).recover(&mut told).unwrap();
    assert_eq!(told.0, ["entry"]);
    let manifest = log.empty_manifest(1);
    log.manifest(&manifest);
    let mut told = Told::default();
    manager(&log.source()).recover(&mut told).unwrap();
    assert_eq!(told.0, ["checkpoint", "entry"]);
}

#[test]
fn a_real_directory_recovers_like_memory_and_is_left_as_it_was() {
    let source = with_commits().source();
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in source.iter() {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let in_memory = manager(&source).recover_state().unwrap();
    for _ in 0..2 {
        let on_disk = recover_per_core(directory.path()).unwrap();
        assert_eq!((&on_disk.state, &on_disk.offsets), (&in_memory.state, &in_memory.offsets));
        assert_eq!(on_disk.resume, in_memory.resume);
    }
    let with_source = PerCoreRecoveryManager::with_source(Arc::new(Directory::new(directory.path())));
    assert_eq!(with_source.plan().unwrap().resume, in_memory.resume);
    for (name, bytes) in source.iter() {
        assert_eq!(std::fs::read(directory.path().join(name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn the_report_is_readable_by_people_and_machines() {
    let mut log = with_commits();
    log.file("a \"quoted\" name", Vec::new());
    let (_, recovered) = recover(&log.source()).unwrap();
    let json = recovered.report.to_json();
    for part in [
        "\"scope\":\"everything\"",
        "\"checkpoint\":{\"epoch\":1,",
        "\"row\":\"ZERO-PAST\"",
        "\"unknown_files\":[\"a \\\"quoted\\\" name\"]",
        "\"entries_replayed\":5",
        "\"sealed\":false",
    ] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
    let table = recovered.report.to_string();
    assert!(table.contains("ZERO-PAST") && table.contains("checkpoint   epoch 1, 1 runs"), "{table}");
    // A reason is given where there is something to explain.
    assert!(!table.contains("      at "), "{table}");
    let name = log.core(B).name();
    let mut torn = log.source();
    *torn.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    let table = recover(&torn).unwrap().1.report.to_string();
    assert_eq!(table.matches("      at segment 0 offset 4096").count(), 1, "{table}");
    let segment = &recovered.report.cores[0].segments[0];
    assert_eq!((segment.entries, segment.frames), (4, 3));
    assert_eq!(segment.epochs, Some((Epoch(1), Epoch(2))));
}

/// A small generator: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Random appends on several cores; the log, and all entries sorted by the global order.
fn random_log(seed: u64) -> (MemorySource, Vec<PerCoreWalEntry>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut log = LogBuilder::new(LOG);
    let mut model = Vec::new();
    let cores = 1 + random.below(4) as u16;
    let (mut epoch, mut clock) = (1, 1000);
    for _ in 0..random.below(150) {
        epoch += u64::from(random.below(20) == 0);
        // Equal timestamps on different cores are common: the core decides.
        clock += random.below(3);
        let core = CoreId(random.below(u64::from(cores)) as u16);
        log.set_epoch(epoch);
        log.set_clock(clock);
        let key = [random.below(20) as u8];
        let operations: Vec<_> = (0..1 + random.below(4))
            .map(|index| match random.below(4) {
                0 => WalOperation::Delete { key: key.to_vec() },
                1 => WalOperation::Commit {
                    offsets: vec![("s".to_owned(), clock)],
                    watermark: Some(index as i64),
                },
                _ => WalOperation::Put { key: key.to_vec(), value: clock.to_le_bytes().to_vec() },
            })
            .collect();
        let borrowed: Vec<_> = operations.iter().map(WalOperation::as_ref).collect();
        let at = log.batch(core, &borrowed);
        for (index, operation) in operations.into_iter().enumerate() {
            let sequence = at.sequence.plus(index as u64);
            model.push(PerCoreWalEntry {
                epoch: Epoch(epoch),
                sequence,
                core_id: core,
                timestamp_ns: clock,
                operation,
            });
        }
        match random.below(12) {
            0 => drop(log.rotate(core)),
            1..4 => log.sync(core),
            _ => {}
        }
    }
    model.sort_by_key(PerCoreWalEntry::order_key);
    (log.source(), model)
}

#[test]
fn replay_is_the_sorted_list_of_everything_appended() {
    for seed in 0..300 {
        let (source, model) = random_log(seed);
        let (kept, recovered) = recover(&source).unwrap();
        assert_eq!(kept.entries, model, "seed {seed}");
        assert_eq!(recovered.report.entries_found(), model.len() as u64, "seed {seed}");
        let mut state = HashMap::new();
        let mut offset = None;
        for entry in model {
            match entry.operation {
                WalOperation::Put { key, value } => drop(state.insert(key, value)),
                WalOperation::Delete { key } => drop(state.remove(&key)),
                WalOperation::Commit { offsets, .. } => offset = Some(offsets[0].1),
                _ => {}
            }
        }
        let recovered = manager(&source).recover_state().unwrap();
        assert_eq!((recovered.state, recovered.offsets.get("s").copied()), (state, offset), "seed {seed}");
    }
}
