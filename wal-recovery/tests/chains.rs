//! Which files make up a log: continuation, resumption, recycling, files that are somewhere they should not be.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use common::{A, B, Kept, LOG, manager, recover, salvage};
use wal_format::{CorePosition, Epoch, FileName, LogId, Manifest, Origin, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{LogPosition, MemorySource, ReadError};
use wal_recovery::RecoveryError;

fn keys(kept: &Kept) -> Vec<String> {
    let keys = kept.entries.iter().filter_map(|entry| match &entry.operation {
        wal_format::WalOperation::Put { key, .. } => Some(String::from_utf8_lossy(key).into_owned()),
        _ => None,
    });
    keys.collect()
}

#[track_caller]
fn check(source: &MemorySource, expected: &[&str]) {
    let (kept, recovered) = recover(source).unwrap();
    assert_eq!(keys(&kept), expected, "{}", recovered.report);
    // Recovery twice gives the same.
    let (again, second) = recover(source).unwrap();
    assert_eq!((kept.entries, recovered.report), (again.entries, second.report));
}

fn position(log: &mut LogBuilder, segment: u64, offset: u64, sequence: u64) -> CorePosition {
    let header = log.core(A).header;
    let (last_timestamp, last_epoch) = (header.last_timestamp, header.epoch);
    CorePosition {
        core: A,
        segment: SegmentNumber(segment),
        offset,
        sequence: Sequence(sequence),
        last_timestamp,
        last_epoch,
    }
}

fn with_position(log: &LogBuilder, epoch: u64, position: CorePosition) -> Manifest {
    Manifest { cores: vec![position], ..log.empty_manifest(epoch) }
}

#[test]
fn an_empty_directory_recovers_to_nothing() {
    let (kept, recovered) = recover(&MemorySource::new()).unwrap();
    assert!(kept.entries.is_empty());
    assert_eq!(recovered.resume.next_epoch, Epoch(1));
    assert!(recovered.resume.cores.is_empty());
    // A log that was created and never written to, likewise.
    let (_, recovered) = recover(&LogBuilder::new(LOG).source()).unwrap();
    assert_eq!(recovered.resume.log_id, Some(LOG));
}

#[test]
fn a_directory_that_does_not_exist_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let result = wal_recovery::recover_per_core(directory.path().join("nowhere"));
    assert!(matches!(result, Err(RecoveryError::NotFound { .. })));
}

#[test]
fn segments_without_wal_meta_are_not_a_log() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let mut source = log.source();
    source.remove("wal.meta");
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::NotALog { .. }))));
}

#[test]
fn segments_that_a_continuation_gave_up_are_not_read() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let durable = log.end(A);
    log.put(A, b"in doubt", b"value");
    let written = log.end(A);
    log.begin(A, SegmentNumber(1), Origin::Rotation, Some(written));
    log.put(A, b"given up", b"value");
    log.begin(A, SegmentNumber(2), Origin::Continuation, Some(durable));
    log.put(A, b"b", b"value");
    let source = log.source();
    check(&source, &["a", "b"]);
    let (_, recovered) = recover(&source).unwrap();
    assert_eq!(recovered.report.cores[0].superseded, [SegmentNumber(1)]);
    assert_eq!(recovered.resume.cores[0].next_segment, SegmentNumber(3));
}

#[test]
fn what_a_resumption_cut_off_never_comes_back() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let end = log.end(A);
    // Whole and valid frames that recovery discarded: with synced_through, with barriers, whatever.
    log.put(A, b"garbage", b"value");
    log.sync(A);
    log.barrier(A, 9, 9, &[(0, 99), (1, 99)]);
    log.put(A, b"garbage", b"value");
    log.begin(A, SegmentNumber(7), Origin::Resumption, Some(end));
    check(&log.source(), &["a"]);
    log.put(A, b"b", b"value");
    check(&log.source(), &["a", "b"]);
}

#[test]
fn a_prepared_file_is_no_part_of_the_log() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let mut source = log.source();
    source.insert(wal_reader::segment_name(A, SegmentNumber(1)), vec![0; 100_000]);
    source.insert(wal_reader::segment_name(A, SegmentNumber(2)), Vec::new());
    check(&source, &["a"]);
    let (_, recovered) = recover(&source).unwrap();
    let resume = &recovered.resume.cores[0];
    assert_eq!(resume.prepared, [SegmentNumber(1), SegmentNumber(2)]);
    assert_eq!(resume.next_segment, SegmentNumber(3));
    assert!(!resume.has_discards);
}

#[test]
fn a_file_that_lost_its_header_stays_as_long_as_the_decision_needs_it() {
    // Three segments are written before the first sync; of one the power loss left nothing.
    for (lost, kept) in [(0, &[][..]), (1, &["a"])] {
        let mut log = LogBuilder::new(LOG);
        for (segment, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            if segment > 0 {
                let end = log.end(A);
                log.begin(A, SegmentNumber(segment as u64), Origin::Rotation, Some(end));
            }
            log.put(A, key, b"value");
        }
        let mut source = log.source();
        let name = |segment| wal_reader::segment_name(A, SegmentNumber(segment));
        source.get_mut(&name(lost)).unwrap().fill(0);
        source.insert(name(3), vec![0; 8192]);
        check(&source, kept);
        let (_, recovered) = recover(&source).unwrap();
        let resume = &recovered.resume.cores[0];
        assert_eq!(resume.prepared, [SegmentNumber(3)], "{}", recovered.report);
        // Without what is said to be prepared, as after a power loss while the log is opened: the same.
        source.remove(&name(3));
        check(&source, kept);
        // Without the other: another log.
        source.remove(&name(lost));
        assert!(recover(&source).is_err());
    }
}

#[test]
fn a_recycled_file_that_a_checkpoint_released_is_prepared() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let former = log.core(A).bytes.clone();
    log.rotate(A);
    log.put(A, b"b", b"value");
    let first = position(&mut log, 1, 4096, 1);
    log.release(A, SegmentNumber(0));
    log.file(wal_reader::segment_name(A, SegmentNumber(2)), former);
    log.manifest(&with_position(&log, 0, first));
    check(&log.source(), &["b"]);
    let (_, recovered) = recover(&log.source()).unwrap();
    assert_eq!(recovered.resume.cores[0].prepared, [SegmentNumber(2)]);
}

#[test]
fn segment_files_swapped_between_cores_are_an_error() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.put(B, b"b", b"value");
    let mut source = log.source();
    let (of_a, of_b) = (log.core(A).name(), log.core(B).name());
    let (bytes_a, bytes_b) = (source.remove(&of_a).unwrap(), source.remove(&of_b).unwrap());
    source.insert(of_a, bytes_b);
    source.insert(of_b, bytes_a);
    let error = recover(&source).unwrap_err();
    assert!(matches!(error, RecoveryError::Read(ReadError::Misplaced { core: B, .. })), "{error}");
    assert!(salvage(&source).is_err());
}

#[test]
fn two_segments_of_one_core_swapped_are_an_error() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let first = log.core(A).name();
    log.rotate(A);
    log.put(A, b"b", b"value");
    let second = log.core(A).name();
    let mut source = log.source();
    let (one, two) = (source.remove(&first).unwrap(), source.remove(&second).unwrap());
    source.insert(first, two);
    source.insert(second, one);
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::Misplaced { .. }))));
}

#[test]
fn a_segment_of_another_log_is_foreign() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let mut other = LogBuilder::new(LogId([8; 16]));
    other.put(A, b"b", b"value");
    let mut source = log.source();
    source.insert(log.core(A).name(), other.core(A).bytes.clone());
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::Foreign { .. }))));
    let mut source = log.source();
    source.insert("checkpoint.manifest", other.empty_manifest(0).encode());
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::Foreign { .. }))));
}

#[test]
fn a_missing_segment_in_the_middle_is_missing_and_salvage_passes_over_it() {
    let mut log = LogBuilder::new(LOG);
    for key in [b"a", b"b", b"c"] {
        log.put(A, key, b"value");
        log.rotate(A);
    }
    log.release(A, SegmentNumber(1));
    let error = recover(&log.source()).unwrap_err();
    assert!(matches!(error, RecoveryError::Read(ReadError::Missing(_))), "{error}");
    let (kept, recovered) = salvage(&log.source()).unwrap();
    assert_eq!(keys(&kept), ["a", "c"]);
    let gaps = &recovered.report.cores[0].gaps;
    assert_eq!(
        (gaps.len(), gaps[0].from.sequence, gaps[0].to.unwrap().sequence),
        (1, Sequence(1), Sequence(2))
    );
}

#[test]
fn a_log_that_begins_later_needs_its_checkpoint() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.rotate(A);
    log.put(A, b"b", b"value");
    let first = position(&mut log, 1, 4096, 1);
    log.release(A, SegmentNumber(0));
    let error = recover(&log.source()).unwrap_err();
    assert!(matches!(error, RecoveryError::CheckpointMissing { sequence: Sequence(1), .. }), "{error}");
    let (kept, recovered) = salvage(&log.source()).unwrap();
    assert_eq!(keys(&kept), ["b"]);
    assert!(recovered.report.has_gaps());
    log.manifest(&with_position(&log, 0, first));
    check(&log.source(), &["b"]);
}

#[test]
fn a_damaged_manifest_is_an_error_and_salvage_goes_without() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let mut bytes = log.empty_manifest(0).encode();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        log.file("checkpoint.manifest", bytes.clone());
        let error = recover(&log.source()).unwrap_err();
        let is_corrupt = matches!(error, RecoveryError::CheckpointCorrupt { .. });
        assert!(is_corrupt, "byte {at}: {error}");
        let (kept, recovered) = salvage(&log.source()).unwrap();
        assert_eq!((keys(&kept), recovered.report.problems.len()), (vec!["a".to_owned()], 1));
        bytes[at] ^= 1;
    }
}

#[test]
fn a_position_may_name_a_segment_before_it_is_made() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.core(A).seal();
    let end = log.end(A);
    let named = position(&mut log, 1, 4096, 1);
    log.manifest(&with_position(&log, 1, named));
    // Not made at all; then the old segment is gone; then the log goes on elsewhere.
    check(&log.source(), &[]);
    let resume = manager(&log.source()).plan().unwrap().resume;
    let named = LogPosition { segment: SegmentNumber(1), offset: 4096, sequence: Sequence(1) };
    assert_eq!(resume.cores[0].end, Some(named));
    assert_eq!(resume.cores[0].next_segment, SegmentNumber(2));
    let mut source = log.source();
    source.remove(&log.core(A).name());
    check(&source, &[]);
    log.set_epoch(2);
    let mut rotated = LogBuilder::new(LOG);
    rotated.put(A, b"a", b"value");
    rotated.core(A).seal();
    rotated.manifest(&with_position(&rotated, 1, position(&mut log, 1, 4096, 1)));
    rotated.begin(A, SegmentNumber(4), Origin::Rotation, Some(end));
    rotated.set_epoch(2);
    rotated.put(A, b"b", b"value");
    rotated.release(A, SegmentNumber(0));
    check(&rotated.source(), &["b"]);
    log.begin(A, SegmentNumber(2), Origin::Resumption, Some(named));
    log.put(A, b"b", b"value");
    log.release(A, SegmentNumber(0));
    check(&log.source(), &["b"]);
}

#[test]
fn segments_below_the_manifests_position_are_not_read() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.rotate(A);
    log.put(A, b"b", b"value");
    let first = position(&mut log, 1, 4096, 1);
    log.file(wal_reader::segment_name(A, SegmentNumber(0)), b"anything".to_vec());
    // Released, but not yet removed or reused when the power went.
    log.manifest(&with_position(&log, 0, first));
    let mut source = log.source();
    source.insert(wal_reader::segment_name(A, SegmentNumber(0)), b"anything".to_vec());
    check(&source, &["b"]);
    let (_, recovered) = recover(&source).unwrap();
    assert_eq!(recovered.report.cores[0].obsolete, [SegmentNumber(0)]);
}

#[test]
fn numbers_that_the_manifest_alone_names_are_not_given_out_again() {
    for (epoch, last_epoch, next) in [(5, 7, 8), (9, 7, 10)] {
        let mut log = LogBuilder::new(LOG);
        let mut first = position(&mut log, 4, 4096, 12);
        (first.last_epoch, first.last_timestamp) = (Epoch(last_epoch), 900);
        let mut source = MemorySource::new();
        log.manifest(&with_position(&log, epoch, first));
        log.release(A, SegmentNumber(0));
        for name in ["wal.meta", "checkpoint.manifest"] {
            source.insert(name, log.source().get(name).unwrap().to_vec());
        }
        let (_, recovered) = recover(&source).unwrap();
        assert_eq!(recovered.resume.next_epoch, Epoch(next));
        assert_eq!(recovered.resume.timestamp_floor, 900);
        let core = &recovered.resume.cores[0];
        assert_eq!((core.next_sequence, core.next_segment), (Sequence(12), SegmentNumber(5)));
    }
}

#[test]
fn the_number_of_a_file_that_waits_to_be_used_again_is_not_given_out_again() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.put(B, b"b", b"value");
    for (core, segment) in [(A, 3), (A, 5), (B, 8)] {
        log.file(FileName::Free(core, SegmentNumber(segment)).to_string(), vec![0; 4096]);
    }
    let (_, recovered) = recover(&log.source()).unwrap();
    let next: Vec<_> = recovered.resume.cores.iter().map(|core| core.next_segment.0).collect();
    assert_eq!(next, [6, 9]);
}

#[test]
fn unknown_files_are_reported() {
    let mut log = LogBuilder::new(LOG);
    log.file("notes.txt", b"hello".to_vec());
    log.file("wal.meta.tmp", Vec::new());
    let (_, recovered) = recover(&log.source()).unwrap();
    assert_eq!(recovered.report.unknown_files, ["notes.txt"]);
    assert_eq!(recovered.report.temporary_files, ["wal.meta.tmp"]);
}

#[test]
fn a_newer_version_is_its_own_error() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let name = log.core(A).name();
    let mut source = log.source();
    let bytes = source.get_mut(&name).unwrap();
    bytes[8] = 2;
    let crc = wal_format::checksum::crc(&bytes[..4092]).to_le_bytes();
    bytes[4092..4096].copy_from_slice(&crc);
    let error = recover(&source).unwrap_err();
    assert!(matches!(error, RecoveryError::Read(ReadError::Format { .. })), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn a_continuation_that_begins_with_the_wrong_sequence_cannot_follow() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let end = log.end(A);
    log.begin(A, SegmentNumber(1), Origin::Rotation, Some(LogPosition { sequence: Sequence(5), ..end }));
    log.put(A, b"b", b"value");
    let (kept, recovered) = recover(&log.source()).unwrap();
    assert_eq!(keys(&kept), ["a"], "{}", recovered.report);
    assert_eq!(recovered.resume.cores[0].end, Some(end));
}
