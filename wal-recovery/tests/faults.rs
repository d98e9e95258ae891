//! Trouble while recovering: failing calls, short and interrupted reads, damage that salvage has to pass over.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use std::sync::Arc;

use common::{A, B, Kept, LOG, manager, recover, recover_with, salvage, small};
use wal_format::{CorePosition, Epoch, FrameKind, Origin, SegmentNumber, Sequence};
use wal_reader::testing::{Faults, FaultySource, LogBuilder};
use wal_reader::{LogPosition, MemorySource, ReadError, Source};
use wal_recovery::{Mode, PerCoreRecoveryManager, RecoveryError, Scope};

/// A log with everything: the small one, plus a checkpoint.
fn with_checkpoint() -> MemorySource {
    let mut source = small().source;
    let mut log = LogBuilder::new(LOG);
    let older =
        log.run(0, 1, &[(b"a", Some(b"1")), (b"b", Some(b"1")), (b"c", Some(b"1")), (b"d", Some(b"1"))]);
    let newer = log.run(1, 1, &[(b"b", None), (b"c", Some(b"2"))]);
    let mut manifest = log.empty_manifest(0);
    (manifest.runs, manifest.next_run) = (vec![older, newer], 2);
    log.manifest(&manifest);
    for (name, bytes) in log.source().iter() {
        source.insert(name, bytes.to_vec());
    }
    source
}

fn attempt(source: &FaultySource) -> Result<(Kept, wal_recovery::Recovered), RecoveryError> {
    let mut kept = Kept::default();
    let manager = PerCoreRecoveryManager::with_source(Arc::new(source.clone()));
    manager.recover(&mut kept).map(|recovered| (kept, recovered))
}

#[test]
fn a_failing_call_is_an_error_at_every_call_and_never_a_shorter_log() {
    let inner: Arc<dyn Source> = Arc::new(with_checkpoint());
    let undisturbed = FaultySource::new(Arc::clone(&inner), Faults::default());
    let (intact, _) = attempt(&undisturbed).unwrap();
    assert_eq!(intact.state.len(), 3);
    let operations = undisturbed.operations();
    for for_good in [false, true] {
        for at in 0..operations {
            let faults = Faults { fail_at: Some(at), for_good, ..Faults::default() };
            match attempt(&FaultySource::new(Arc::clone(&inner), faults)) {
                Err(RecoveryError::Read(ReadError::Io { cause: source, .. })) => {
                    assert_eq!(source.to_string(), "injected fault");
                }
                Err(error) => panic!("call {at} of {operations}: {error}"),
                Ok(_) => panic!("call {at} of {operations} failed, and recovery did not"),
            }
        }
    }
}

#[test]
fn short_and_interrupted_reads_change_nothing() {
    let inner: Arc<dyn Source> = Arc::new(with_checkpoint());
    let undisturbed = FaultySource::new(Arc::clone(&inner), Faults::default());
    let (intact, recovered) = attempt(&undisturbed).unwrap();
    for read_bytes_max in [Some(1), Some(7), Some(63), Some(64), Some(4095), None] {
        let faults = Faults { read_bytes_max, interrupt: true, ..Faults::default() };
        let (kept, again) = attempt(&FaultySource::new(Arc::clone(&inner), faults)).unwrap();
        assert_eq!((&kept.state, &kept.entries), (&intact.state, &intact.entries), "{read_bytes_max:?}");
        assert_eq!(recovered.resume, again.resume);
    }
}

#[test]
fn what_is_not_proven_durable_is_synced_and_dropped_from_the_cache_before_it_decides() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.sync(A);
    let first = log.core(A).name();
    log.rotate(A);
    log.put(A, b"b", b"value");
    log.sync(A);
    let proven = log.end(A).offset;
    log.put(A, b"c", b"value");
    let second = log.core(A).name();
    let behind = log.end(A).offset + 64;
    let source = FaultySource::new(Arc::new(log.source()), Faults::default());
    attempt(&source).unwrap();
    // The last frame says how much of its segment is durable, and thereby that the first segment is.
    assert_eq!(source.log(), [format!("sync {second}"), format!("drop {second} {proven} to {behind}")]);
    // Without that frame nothing of the second segment is proven, and of the first what its own frames say.
    let mut log = log.source();
    log.get_mut(&second).unwrap().truncate(proven as usize);
    let source = FaultySource::new(Arc::new(log), Faults::default());
    attempt(&source).unwrap();
    let end_of_a = 4096 + 64 + 16;
    let expected = [
        format!("sync {second}"),
        format!("drop {second} 0 to {}", proven + 64),
        format!("sync {first}"),
        format!("drop {first} {end_of_a} to {}", u64::MAX),
    ];
    assert_eq!(source.log(), expected);
}

#[test]
fn with_a_checkpoint_what_it_does_not_hold_is_synced_and_what_it_holds_is_left_alone() {
    let mut log = LogBuilder::new(LOG);
    let mut names = Vec::new();
    let mut positions = Vec::new();
    for round in 0..3_u8 {
        names.push(log.core(A).name());
        positions.push(log.put(A, &[round], b"value"));
        if round < 2 {
            log.rotate(A);
        }
    }
    // Nothing says that any of it is durable. The checkpoint goes up to the second segment.
    let mut manifest = log.empty_manifest(0);
    let LogPosition { segment, offset, sequence } = positions[1];
    let (last_timestamp, last_epoch) = (0, Epoch(0));
    manifest.cores = vec![CorePosition { core: A, segment, offset, sequence, last_timestamp, last_epoch }];
    log.manifest(&manifest);
    let source = FaultySource::new(Arc::new(log.source()), Faults::default());
    attempt(&source).unwrap();
    let [_, second, third] = &names[..] else { panic!("three segments") };
    let behind = log.source().get(third).unwrap().len() as u64 + 64;
    let asked = |(name, to)| [format!("sync {name}"), format!("drop {name} 0 to {to}")];
    let expected = [(third, behind), (second, u64::MAX)].map(asked).concat();
    assert_eq!(source.log(), expected);
}

#[test]
fn salvage_takes_what_is_intact_on_both_sides_of_every_gap_and_reports_it() {
    let mut log = LogBuilder::new(LOG);
    let mut frames = Vec::new();
    for round in 0..10_u8 {
        frames.push((log.core(A).name(), log.put(A, &[round], b"value")));
        log.sync(A);
        if round == 4 {
            log.rotate(A);
        }
    }
    for (damaged, (name, at)) in frames.iter().enumerate().take(9) {
        let mut source = log.source();
        source.get_mut(name).unwrap()[at.offset as usize + 68] ^= 4;
        assert!(recover(&source).is_err(), "frame {damaged}");
        let (kept, recovered) = salvage(&source).unwrap();
        let expected: Vec<_> = (0..10).filter(|sequence| *sequence != damaged as u64).collect();
        assert_eq!(kept.sequences(A), expected, "{}", recovered.report);
        let gaps = &recovered.report.cores[0].gaps;
        assert_eq!(gaps.len(), 1, "{}", recovered.report);
        assert_eq!(gaps[0].from, *at);
        assert_eq!(gaps[0].to.unwrap().sequence, Sequence(damaged as u64 + 1));
        assert!(recovered.report.to_json().contains("\"gaps\":[{\"from\""));
    }
}

#[test]
fn salvage_takes_the_intact_keys_of_a_damaged_checkpoint() {
    let mut source = with_checkpoint();
    source.remove("run-0000000000000001.ckpt");
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::RunMissing { run: 1, .. }))));
    let (kept, recovered) = salvage(&source).unwrap();
    assert_eq!((kept.state.len(), recovered.report.problems.len()), (4, 1));
    let mut source = with_checkpoint();
    let bytes = source.get_mut("run-0000000000000000.ckpt").unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::RunCorrupt { run: 0, .. }))));
    let (kept, recovered) = salvage(&source).unwrap();
    assert_eq!((kept.state.len(), recovered.report.problems.len()), (3, 1));
}

#[test]
fn every_flipped_bit_of_checkpoint_and_manifest_is_an_error() {
    let intact = with_checkpoint();
    for name in ["run-0000000000000000.ckpt", "run-0000000000000001.ckpt", "checkpoint.manifest"] {
        for at in 0..intact.get(name).unwrap().len() {
            let mut damaged = intact.clone();
            damaged.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let error = recover(&damaged).err();
            let is_error = matches!(
                error,
                Some(
                    RecoveryError::Read(ReadError::RunCorrupt { .. })
                        | RecoveryError::CheckpointCorrupt { .. }
                )
            );
            assert!(is_error, "{name} byte {at}: {error:?}");
        }
    }
}

#[test]
fn a_flag_that_this_version_does_not_know_is_its_own_error() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let core = log.core(A);
    let header = wal_format::FrameHeader {
        kind: wal_format::FrameKind::Data,
        flags: 1,
        core: A,
        payload_bytes: 8,
        entry_count: 1,
        epoch: core.epoch,
        first_sequence: core.sequence,
        base_timestamp: core.timestamp,
        segment: SegmentNumber(0),
        synced_through: 0,
        payload_crc: 0,
    };
    core.raw_frame(header, &[0; 8]);
    let error = recover(&log.source()).unwrap_err();
    assert!(matches!(error, RecoveryError::Read(ReadError::Format { .. })), "{error}");
}

#[test]
fn frames_that_do_not_follow_from_the_one_before_are_damage() {
    type Change = fn(&mut wal_format::FrameHeader);
    let changes: [Change; 5] = [
        |header| header.first_sequence = Sequence(2),
        |header| header.first_sequence = Sequence(0),
        |header| header.epoch = wal_format::Epoch(0),
        |header| header.base_timestamp = 3,
        |header| header.synced_through = 1 << 20,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"a", b"value");
        let end = log.end(A);
        let core = log.core(A);
        let mut header = wal_format::FrameHeader {
            kind: wal_format::FrameKind::Data,
            flags: 0,
            core: A,
            payload_bytes: 4,
            entry_count: 1,
            epoch: core.epoch,
            first_sequence: core.sequence,
            base_timestamp: core.timestamp,
            segment: SegmentNumber(0),
            synced_through: 0,
            payload_crc: 0,
        };
        change(&mut header);
        // Delete of a one-byte key.
        core.raw_frame(header, &[2, 0, 1, b'x']);
        let (kept, recovered) = recover(&log.source()).unwrap();
        assert_eq!(kept.sequences(A), [0], "change {index}: {}", recovered.report);
        assert_eq!(recovered.resume.cores[0].end, Some(end));
        assert_eq!(recovered.report.cores[0].row, wal_format::Row::DamagePast);
    }
}

#[test]
fn entries_that_do_not_fill_their_frame_are_damage() {
    let payloads: [(&[u8], u32); 4] = [
        (&[2, 0, 1, b'x', 2, 0, 1, b'x'], 1),
        (&[2, 0, 1, b'x'], 2),
        (&[0x82, 0, 1, b'x'], 1),
        (&[0x82, 0, 1, b'x', 2, 5, 1, b'x'], 2),
    ];
    for (payload, count) in payloads {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"a", b"value");
        let epoch = log.core(A).epoch;
        log.core(A).frame(wal_format::FrameKind::Data, epoch, u64::from(count), payload);
        let (kept, recovered) = recover(&log.source()).unwrap();
        assert_eq!(kept.sequences(A), [0], "{payload:?}: {}", recovered.report);
        assert_eq!(recovered.report.cores[0].row, wal_format::Row::DamagePast);
    }
}

#[test]
fn salvage_passes_over_a_frame_whose_checksums_hold_but_whose_content_does_not() {
    let undecodable: (FrameKind, u64, &[u8]) = (FrameKind::Data, 2, &[2, 0, 1, b'x']);
    let no_barrier: (FrameKind, u64, &[u8]) = (FrameKind::Barrier, 0, &[1; 3]);
    let no_seal: (FrameKind, u64, &[u8]) = (FrameKind::Seal, 0, &[0; 40]);
    for bad in
        [vec![undecodable], vec![no_barrier], vec![no_seal], vec![undecodable, no_barrier, undecodable]]
    {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"a", b"before");
        let from = log.end(A);
        for (kind, entries, payload) in &bad {
            log.core(A).frame(*kind, Epoch(1), *entries, payload);
        }
        let to = log.put(A, b"a", b"behind");
        let (kept, recovered) = salvage(&log.source()).unwrap();
        assert_eq!(kept.sequences(A), [0, to.sequence.0], "{}", recovered.report);
        let gaps: Vec<_> = recovered.report.cores[0].gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(gaps, [(from, Some(to))], "one gap over all of them\n{}", recovered.report);
    }
}

#[test]
fn the_engines_own_error_stops_recovery_and_comes_back() {
    struct Refuses;
    impl wal_recovery::Replay for Refuses {
        fn entry(&mut self, _: &wal_format::EntryRef<'_>) -> Result<(), wal_recovery::BoxError> {
            Err("full".into())
        }
    }
    let error = manager(&small().source).recover(&mut Refuses).unwrap_err();
    assert!(matches!(error, RecoveryError::Replay(_)));
    assert!(error.to_string().contains("full"));
}

#[test]
fn salvage_of_an_intact_log_is_recovery() {
    let source = with_checkpoint();
    let (strict, recovered) = recover(&source).unwrap();
    let (kept, salvaged) = recover_with(&source, Scope::Everything, Mode::Salvage).unwrap();
    assert_eq!((strict.state, strict.entries), (kept.state, kept.entries));
    assert_eq!(recovered.resume, salvaged.resume);
    assert!(!salvaged.report.has_gaps());
    // A resumption with nothing behind it, likewise.
    let mut log = LogBuilder::new(LOG);
    log.put(B, b"a", b"value");
    let end = log.end(B);
    log.begin(B, SegmentNumber(1), Origin::Resumption, Some(end));
    assert!(!salvage(&log.source()).unwrap().1.report.has_gaps());
}

#[test]
fn salvage_takes_nothing_that_a_continuation_gave_up_even_if_the_chain_is_broken_below() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.sync(A);
    let first = log.core(A).name();
    log.rotate(A);
    log.put(A, b"b", b"value");
    let durable = log.end(A);
    log.put(A, b"given up", b"value");
    let written = log.end(A);
    log.begin(A, SegmentNumber(2), Origin::Rotation, Some(written));
    log.put(A, b"given up", b"value");
    log.begin(A, SegmentNumber(3), Origin::Continuation, Some(durable));
    log.put(A, b"c", b"value");
    let mut source = log.source();
    source.get_mut(&first).unwrap()[20] ^= 1;
    assert!(recover(&source).is_err());
    let (kept, recovered) = salvage(&source).unwrap();
    assert_eq!(kept.sequences(A), [0, 1, 2], "{}", recovered.report);
    let is_given_up = |entry: &wal_format::PerCoreWalEntry| matches!(&entry.operation, wal_format::WalOperation::Put { key, .. } if key == b"given up");
    assert!(!kept.entries.iter().any(is_given_up));
}
