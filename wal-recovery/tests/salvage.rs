//! A salvaged log verifies whole, recovers to what salvage mode gave, goes on where the original would, and leaves the
//! original alone: whatever was damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{A, B, Kept, LOG, salvage, small};
use wal_coordinator::{CheckpointCoordinator, PerCoreWalConfig, PerCoreWalManager};
use wal_format::{LogId, OperationRef, PerCoreWalEntry, Sequence, WalOperation};
use wal_reader::testing::LogBuilder;
use wal_reader::{Directory, MemorySource, Source};
use wal_recovery::salvage::{Salvage, SalvageError, SalvageReport};
use wal_recovery::{PerCoreRecoveryManager, recover_per_core};

const NEW: LogId = LogId([9; 16]);

/// What an entry says, without the number that salvage may change.
type Said = (u64, u64, u16, WalOperation);

fn said(entry: &PerCoreWalEntry) -> Said {
    (entry.epoch.0, entry.timestamp_ns, entry.core_id.0, entry.operation.clone())
}

/// Salvages `source` and compares the copy with what salvage mode recovers from the original.
#[track_caller]
fn check(source: &MemorySource, what: &str) -> SalvageReport {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let before = source.clone();
    let (expected, recovered) = salvage(source).unwrap();
    let shared: Arc<dyn Source> = Arc::new(source.clone());
    let report =
        Salvage::new(Arc::clone(&shared)).log_id(NEW).segment_bytes_max(8192).write(&out).expect(what);
    assert_eq!(*source, before, "{what}: the original was changed");

    let mut copied = Kept::default();
    let copy = PerCoreRecoveryManager::new(&out).recover(&mut copied).expect(what);
    assert_eq!(copied.state, expected.state, "{what}");
    let [expected_said, copied_said] =
        [&expected, &copied].map(|kept| kept.entries.iter().map(said).collect::<Vec<_>>());
    assert_eq!(copied_said, expected_said, "{what}");
    assert_eq!((&copy.offsets, &copy.watermarks), (&recovered.offsets, &recovered.watermarks), "{what}");
    // The report says which number became which, and numbers never come down.
    for (entry, original) in copied.entries.iter().zip(&expected.entries) {
        let core = report.cores.iter().find(|core| core.core == entry.core_id).unwrap();
        let piece = core.pieces.iter().rfind(|piece| piece.original <= original.sequence).unwrap();
        let renumbered = piece.renumbered.plus(original.sequence.0 - piece.original.0);
        assert_eq!(entry.sequence, renumbered, "{what}");
        assert!(entry.sequence >= original.sequence, "{what}");
    }
    for (resume, original) in copy.resume.cores.iter().zip(&recovered.resume.cores) {
        assert!(resume.next_sequence >= original.next_sequence, "{what}: numbers would be given out again");
    }
    assert!(copy.resume.next_epoch >= recovered.resume.next_epoch, "{what}: epochs would be given out again");
    assert_eq!(copy.report.log_id, Some(NEW), "{what}");
    assert_eq!(report.is_complete(), !recovered.report.has_gaps(), "{what}");
    report
}

#[test]
fn an_intact_log_is_copied_number_by_number() {
    let report = check(&small().source, "intact");
    for core in &report.cores {
        assert_eq!((core.first_sequence, core.lost, core.pieces.len()), (Sequence(0), 0, 1));
        assert_eq!(core.pieces[0].original, core.pieces[0].renumbered);
    }
}

/// Bytes of a file of `length` that are damaged, each alone: some of the header block, and every n-th of the frames, so
/// that the test stays short. All of them: `WAL_SALVAGE_STEP=1`.
fn victims(length: usize) -> impl Iterator<Item = usize> {
    let step = std::env::var("WAL_SALVAGE_STEP").ok().and_then(|step| step.parse().ok());
    let header = (0..4096.min(length)).step_by(step.unwrap_or(1499));
    header.chain((4096..length).step_by(step.unwrap_or(61)))
}

#[test]
fn whatever_byte_is_damaged_the_copy_is_whole() {
    let small = small();
    let files: Vec<_> = small.source.iter().map(|(name, bytes)| (name.to_owned(), bytes.len())).collect();
    let mut losses = 0;
    for (name, length) in files.iter().filter(|(name, _)| name.starts_with("wal-")) {
        for at in victims(*length) {
            let mut source = small.source.clone();
            source.get_mut(name).unwrap()[at] ^= 0x40;
            let report = check(&source, &format!("{name} at {at}"));
            losses += usize::from(!report.is_complete());
        }
    }
    assert!(losses > 20, "only {losses} damages cost anything: the sweep hit nothing");
}

#[test]
fn the_front_the_middle_and_the_end_of_a_log_may_be_gone() {
    let small = small();
    let names: Vec<_> = small.source.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| name.starts_with("wal-0")) {
        let mut source = small.source.clone();
        source.remove(name);
        check(&source, &format!("without {name}"));
        let mut source = small.source.clone();
        let bytes = source.get_mut(name).unwrap();
        bytes.truncate(bytes.len() / 2);
        check(&source, &format!("half of {name}"));
    }
}

#[test]
fn entries_before_a_gap_are_numbered_up_and_the_last_piece_keeps_its_numbers() {
    let mut log = LogBuilder::new(LOG);
    let mut at = Vec::new();
    for key in 0..6_u8 {
        at.push(log.put(A, &[key], b"value").offset as usize);
        log.sync(A);
    }
    log.put(B, b"other", b"core");
    let name = log.core(A).name();
    let mut source = log.source();
    source.get_mut(&name).unwrap()[at[2]..at[4]].fill(0xee);
    let report = check(&source, "sequences 2 and 3 lost");
    let core = &report.cores[0];
    assert_eq!(
        (core.entries, core.lost, core.first_sequence, core.next_sequence),
        (4, 2, Sequence(2), Sequence(6))
    );
    let pieces: Vec<_> = core.pieces.iter().map(|piece| (piece.original.0, piece.renumbered.0)).collect();
    assert_eq!(pieces, [(0, 2), (4, 4)]);
    assert_eq!(report.cores[1].first_sequence, Sequence(0));
}

#[test]
fn numbers_that_a_barrier_proves_are_not_given_out_again() {
    let mut log = LogBuilder::new(LOG);
    let first = log.put(A, b"a", b"1").offset as usize;
    log.put(A, b"b", b"2");
    log.put(B, b"c", b"3");
    log.barrier(B, 1, 1, &[(0, 2), (1, 1)]);
    let name = log.core(A).name();
    let mut source = log.source();
    source.get_mut(&name).unwrap().truncate(first);
    let report = check(&source, "core 0 lost all");
    assert_eq!(
        (report.cores[0].entries, report.cores[0].lost, report.cores[0].next_sequence),
        (0, 2, Sequence(2))
    );
}

#[test]
fn epochs_that_only_a_barrier_names_are_not_given_out_again() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"1");
    log.barrier(A, 7, 0, &[(0, 1)]);
    check(&log.source(), "epoch 7 is named");
}

#[test]
fn batches_stay_whole_and_frames_bounded() {
    let mut log = LogBuilder::new(LOG);
    let value = vec![7; 50_000];
    for round in 0..10_u8 {
        let put = OperationRef::Put { key: &[round], value: &value };
        log.batch(A, &[put, put, put]);
        log.put(A, &[round], b"small");
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let source: Arc<dyn Source> = Arc::new(log.source());
    Salvage::new(source).log_id(NEW).write(&out).unwrap();
    let plan = PerCoreRecoveryManager::new(&out).plan().unwrap();
    let copy: Arc<dyn Source> = Arc::new(Directory::new(&out));
    let mut reader = plan.reader(&copy, A);
    let mut more = Vec::new();
    while reader.advance().unwrap() {
        more.push(reader.more_of_batch());
    }
    assert_eq!(more, [true, true, false, false].repeat(10));
    assert!(plan.cores[0].scan.segments[0].frames >= 10, "everything in one frame");
}

/// The files of a directory, to compare.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn an_engine_goes_on_with_the_copy_of_a_damaged_log_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let (path, out) = (place.path().join("log"), place.path().join("out"));
    let mut config = PerCoreWalConfig::new(&path, 2).inline();
    config.log.segment_bytes = 1 << 20;
    let mut manager = PerCoreWalManager::new(config).unwrap();
    for round in 0..2_u8 {
        for key in 0..100_u8 {
            manager.writer(0).append_put(&[key], &[round; 100]).unwrap();
            manager.writer(1).append_commit(&[("source", u64::from(key))], Some(i64::from(round))).unwrap();
            manager.writer(0).sync().unwrap();
        }
        manager.advance_epoch();
        manager.sync_all().unwrap();
        if round == 0 {
            CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
        }
    }
    drop(manager);
    // Damage in the middle of what core 0 appended after the checkpoint.
    let plan = PerCoreRecoveryManager::new(&path).plan().unwrap();
    let span = plan.cores[0].spans.iter().max_by_key(|span| span.to - span.from).unwrap();
    let name = path.join(wal_reader::segment_name(A, span.segment));
    let mut bytes = fs::read(&name).unwrap();
    bytes[((span.from + span.to) / 2) as usize] ^= 1;
    fs::write(&name, bytes).unwrap();
    assert!(recover_per_core(&path).is_err(), "the damage is not where it matters");
    let before = files(&path);

    let source: Arc<dyn Source> = Arc::new(Directory::new(&path));
    let planned = Salvage::new(Arc::clone(&source)).log_id(NEW).plan().unwrap();
    assert!(!out.exists(), "a plan writes nothing");
    let report = Salvage::new(source).log_id(NEW).write(&out).unwrap();
    assert_eq!(files(&path), before, "the original was changed");
    assert_eq!(planned.cores, report.cores);
    assert!(report.cores[0].lost > 0 && report.checkpoint_keys == 100);

    let expected =
        PerCoreRecoveryManager::new(&path).mode(wal_recovery::Mode::Salvage).recover_state().unwrap();
    let copied = recover_per_core(&out).unwrap();
    assert_eq!(copied.state, expected.state);
    assert_eq!((&copied.offsets, &copied.watermarks), (&expected.offsets, &expected.watermarks));

    // Append, checkpoint, restart.
    let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new(&out, 3)).unwrap();
    assert!(manager.writer(0).sequence() >= report.cores[0].next_sequence);
    manager.writer(0).append_put(b"new", b"entry").unwrap();
    manager.writer(2).append_put(b"new core", b"entry").unwrap();
    manager.sync_all().unwrap();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    drop(manager);
    let again = recover_per_core(&out).unwrap();
    assert_eq!(again.state.len(), expected.state.len() + 2);
    assert_eq!(again.offsets, expected.offsets);
}

#[test]
fn damage_to_the_copy_is_told_from_a_torn_write() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let source: Arc<dyn Source> = Arc::new(small().source);
    Salvage::new(source).log_id(NEW).write(&out).unwrap();
    let data = out.join("wal-00000-0000000000000000.log");
    let whole = fs::read(&data).unwrap();
    for at in (4096..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&data, bytes).unwrap();
        assert!(recover_per_core(&out).is_err(), "damage at {at} was taken for an end");
    }
}

#[test]
fn a_place_that_is_taken_or_inside_of_the_original_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    drop(PerCoreWalManager::new(PerCoreWalConfig::new(&log, 1)).unwrap());
    let source: Arc<dyn Source> = Arc::new(Directory::new(&log));
    let before = files(&log);
    let write = |out: &Path| Salvage::new(Arc::clone(&source)).write(out);
    assert!(matches!(write(&log), Err(SalvageError::Exists { .. })));
    assert!(matches!(write(&log.join("out")), Err(SalvageError::Inside { .. })));
    let partial = place.path().join("out.partial");
    fs::create_dir(&partial).unwrap();
    assert!(
        matches!(write(&place.path().join("out")), Err(SalvageError::Exists { path }) if path == partial)
    );
    fs::remove_dir(&partial).unwrap();
    // An empty directory is as good as none.
    fs::create_dir(place.path().join("out")).unwrap();
    assert!(write(&place.path().join("out")).is_ok());
    assert!(matches!(write(&place.path().join("gone/out")), Err(SalvageError::Write { .. })));
    let nothing: Arc<dyn Source> = Arc::new(MemorySource::new());
    let refused = Salvage::new(nothing).write(&place.path().join("other"));
    assert!(matches!(refused, Err(SalvageError::NotALog { .. })));
    assert_eq!(files(&log), before);
}

#[test]
fn a_copy_has_a_checkpoint_only_if_its_numbers_do_not_begin_with_0_and_its_report_says_what_it_is() {
    for released in [false, true] {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"key", b"value");
        log.sync(A);
        log.rotate(A);
        log.put(A, b"key", b"value");
        if released {
            log.release(A, wal_format::SegmentNumber(0));
        }
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        let report = Salvage::new(Arc::new(log.source())).log_id(NEW).write(&out).unwrap();
        assert_eq!(out.join("checkpoint.manifest").exists(), released);
        let first = report.cores[0].first_sequence;
        assert_eq!(first, Sequence(u64::from(released)));
        let json = report.to_json();
        assert!(json.starts_with(r#"{"log_id":"09090909090909090909090909090909","complete":"#), "{json}");
        assert!(json.contains(&format!(r#""first_sequence":{first},"next_sequence":2"#)), "{json}");
    }
}
