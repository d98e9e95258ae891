//! Every row of `FORMAT.md#verdicts`, reached by a log that a crash or a fault could leave.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use common::{A, B, LOG, recover, recover_with};
use wal_format::{CorePosition, Epoch, Origin, Row, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, ReadError, Witness};
use wal_recovery::{Mode, RecoveryError, Scope};

/// Three synced frames of which the last says so, and one more; returns their positions.
fn four_frames(log: &mut LogBuilder) -> Vec<u64> {
    let mut at = Vec::new();
    for key in [b"a", b"b", b"c", b"d"] {
        at.push(log.put(A, key, b"value").offset);
        if key != b"c" {
            log.sync(A);
        }
    }
    at
}

fn name(log: &mut LogBuilder) -> String {
    log.core(A).name()
}

/// The row and the number of entries of core A, or the error's defect.
#[track_caller]
fn check(source: &MemorySource, row: Row, entries: usize) {
    match recover(source) {
        Ok((kept, recovered)) => {
            let core = &recovered.report.cores[0];
            assert_eq!((core.row, kept.of_core(A).len()), (row, entries), "{}", recovered.report);
            assert!(!row.verdict().is_error());
        }
        Err(RecoveryError::Read(ReadError::Corrupt(defect))) => {
            assert_eq!(Row::DamageShort, row, "{defect}");
            assert_eq!(defect.sequence, Sequence(entries as u64), "{defect}");
            assert!(defect.evidence.is_some(), "{defect}");
        }
        Err(RecoveryError::Read(ReadError::Missing(defect))) => {
            assert!(matches!(row, Row::ZeroShort | Row::StaleShort), "{defect}");
            assert_eq!(defect.sequence, Sequence(entries as u64), "{defect}");
            assert!(defect.evidence.is_some(), "{defect}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn zero_past_the_end_of_the_file_and_a_zero_filled_tail_are_clean() {
    let mut log = LogBuilder::new(LOG);
    four_frames(&mut log);
    let name = name(&mut log);
    let mut source = log.source();
    check(&source, Row::ZeroPast, 4);
    let bytes = source.get_mut(&name).unwrap();
    bytes.resize(bytes.len() + 100_000, 0);
    check(&source, Row::ZeroPast, 4);
}

#[test]
fn zero_short_of_evidence_is_missing() {
    let mut log = LogBuilder::new(LOG);
    let at = four_frames(&mut log);
    let name = name(&mut log);
    let mut source = log.source();
    // The second frame was synced, and a later frame says so, and yet it is not there.
    source.get_mut(&name).unwrap()[at[1] as usize..at[2] as usize].fill(0);
    check(&source, Row::ZeroShort, 1);
}

#[test]
fn zero_past_to_the_end_of_the_page_is_clean_whatever_a_recycled_file_holds_behind_it() {
    let mut former = LogBuilder::new(LOG);
    for _ in 0..200 {
        former.put(B, b"former life", b"value of the former life");
    }
    let former = former.core(B).bytes.clone();
    // Ends at every multiple of 8 near the end of a page: writers zero-fill the page that they write.
    for value in 3940..4060 {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"key", &vec![b'x'; value]);
        let (name, end) = (log.core(A).name(), log.end(A).offset as usize);
        let page = end.next_multiple_of(4096);
        let mut source = log.source();
        let bytes = source.get_mut(&name).unwrap();
        bytes.resize(page, 0);
        bytes.extend_from_slice(&former[page..]);
        // At the very end of the page nothing tells a former life's bytes from torn ones: cut, and nothing is lost.
        check(&source, if page == end { Row::DamagePast } else { Row::ZeroPast }, 1);
    }
}

/// A recycled file: frames of core B's segment 0, overwritten from the front by `frames` frames of core A.
fn recycled(frames: usize) -> (LogBuilder, MemorySource, String, usize) {
    let mut former = LogBuilder::new(LOG);
    let mut log = LogBuilder::new(LOG);
    for _ in 0..20 {
        former.put(B, b"key", b"value");
    }
    for _ in 0..frames {
        log.put(A, b"key", b"value");
        log.sync(A);
    }
    let (name, end) = (log.core(A).name(), log.core(A).bytes.len());
    let mut source = log.source();
    let bytes = source.get_mut(&name).unwrap();
    bytes.extend_from_slice(&former.core(B).bytes[end..]);
    (log, source, name, end)
}

#[test]
fn stale_past_the_end_is_clean_and_nothing_to_discard() {
    let (_, source, ..) = recycled(4);
    check(&source, Row::StalePast, 4);
    let (_, recovered) = recover(&source).unwrap();
    assert!(!recovered.resume.cores[0].has_discards, "{}", recovered.report);
    assert_eq!(recovered.report.cores[0].discarded.frames, 0);
}

#[test]
fn stale_short_of_evidence_is_missing() {
    // The medium lost the write of the second frame: the former life shows through.
    let (_, mut source, name, end) = recycled(4);
    let mut former = LogBuilder::new(LOG);
    for _ in 0..20 {
        former.put(B, b"key", b"value");
    }
    let frame = (end - 4096) / 4;
    let lost = 4096 + frame..4096 + 2 * frame;
    source.get_mut(&name).unwrap()[lost.clone()].copy_from_slice(&former.core(B).bytes[lost]);
    check(&source, Row::StaleShort, 1);
}

#[test]
fn damage_past_the_evidence_is_torn_and_later_frames_are_counted() {
    let mut log = LogBuilder::new(LOG);
    let at = four_frames(&mut log);
    let name = name(&mut log);
    let mut source = log.source();
    // The third frame was never proven durable; the fourth proves the first two only.
    source.get_mut(&name).unwrap()[at[2] as usize + 70] ^= 1;
    check(&source, Row::DamagePast, 2);
    let (_, recovered) = recover(&source).unwrap();
    let core = &recovered.report.cores[0];
    assert_eq!((core.discarded.frames, core.discarded.entries), (1, 1));
    assert!(recovered.resume.cores[0].has_discards);
}

#[test]
fn damage_short_of_evidence_is_corrupt() {
    let mut log = LogBuilder::new(LOG);
    let at = four_frames(&mut log);
    let name = name(&mut log);
    let mut source = log.source();
    source.get_mut(&name).unwrap()[at[1] as usize + 70] ^= 1;
    check(&source, Row::DamageShort, 1);
}

/// Core A loses its last frame. A barrier in core B's log names the epoch, and `durable_epoch` is what it, or a
/// later one, records.
fn witnessed(durable_epoch: u64) -> (LogBuilder, MemorySource) {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"kept", b"value");
    let lost = log.put(A, b"lost", b"value");
    log.put(B, b"other", b"value");
    log.barrier(B, 1, 0, &[(0, 2), (1, 1)]);
    log.barrier(B, 2, durable_epoch, &[(0, 2), (1, 1)]);
    let mut source = log.source();
    let name = log.core(A).name();
    source.get_mut(&name).unwrap().truncate(lost.offset as usize);
    (log, source)
}

#[test]
fn zero_short_of_another_cores_barrier_is_missing_once_its_epoch_was_durable() {
    let (_, source) = witnessed(0);
    check(&source, Row::ZeroPast, 1);
    let (_, source) = witnessed(1);
    check(&source, Row::ZeroShort, 1);
    let Err(RecoveryError::Read(ReadError::Missing(defect))) = recover(&source) else { panic!() };
    let evidence = defect.evidence.unwrap();
    assert_eq!(evidence.witness, Witness::Barrier { core: B, epoch: Epoch(1) });
    assert_eq!(defect.sequence_end, Some(Sequence(2)));
}

#[test]
fn a_core_without_any_file_is_missing_once_a_durable_barrier_names_it() {
    let (mut log, mut source) = witnessed(1);
    let name = log.core(A).name();
    source.remove(&name);
    check(&source, Row::ZeroShort, 0);
    let (_, mut source) = witnessed(0);
    source.remove(&name);
    check(&source, Row::ZeroPast, 0);
}

#[test]
fn zero_short_of_the_manifests_position_is_missing() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"kept", b"value");
    let end = log.put(A, b"lost", b"value");
    let mut manifest = log.empty_manifest(0);
    manifest.cores.push(CorePosition {
        core: A,
        segment: end.segment,
        offset: end.offset + 8,
        sequence: Sequence(2),
        last_timestamp: 0,
        last_epoch: Epoch(0),
    });
    log.manifest(&manifest);
    let name = log.core(A).name();
    let mut source = log.source();
    source.remove(&name);
    let Err(RecoveryError::Read(ReadError::Missing(defect))) = recover(&source) else { panic!() };
    assert_eq!(defect.evidence.unwrap().witness, Witness::Manifest);
}

#[test]
fn damage_in_an_earlier_segment_is_corrupt_once_a_later_header_proves_it() {
    for synced in [false, true] {
        let mut log = LogBuilder::new(LOG);
        let at = log.put(A, b"a", b"value");
        log.put(A, b"b", b"value");
        if synced {
            log.sync(A);
        }
        let name = name(&mut log);
        log.rotate(A);
        log.put(A, b"c", b"value");
        let mut source = log.source();
        source.get_mut(&name).unwrap()[at.offset as usize + 70] ^= 1;
        // Without a sync both files were in flight at the power loss: the log ends in the first.
        check(&source, if synced { Row::DamageShort } else { Row::DamagePast }, 0);
    }
}

#[test]
fn a_damaged_header_block_is_a_torn_creation_unless_frames_behind_it_were_synced() {
    for (synced, row) in [(false, Row::DamagePast), (true, Row::DamageShort)] {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"a", b"value");
        log.sync(A);
        log.rotate(A);
        log.put(A, b"b", b"value");
        if synced {
            log.sync(A);
        }
        log.put(A, b"c", b"value");
        let name = name(&mut log);
        let mut source = log.source();
        source.get_mut(&name).unwrap()[20] ^= 1;
        check(&source, row, 1);
        if !synced {
            let (_, recovered) = recover(&source).unwrap();
            let resume = &recovered.resume.cores[0];
            assert!(resume.has_discards);
            assert_eq!(resume.next_segment, SegmentNumber(2));
            assert_eq!(recovered.report.cores[0].damaged, [SegmentNumber(1)]);
        }
    }
}

#[test]
fn a_core_of_which_no_segment_can_be_read_goes_on_with_a_first_one() {
    let end = |source: &MemorySource| {
        let (_, recovered) = recover_with(source, Scope::Everything, Mode::Salvage).unwrap();
        recovered.resume.core(A).unwrap().end
    };
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let (name, position) = (name(&mut log), log.end(A));
    let whole = log.source();
    assert_eq!(end(&whole), Some(position));
    for at in [0, 20, 60] {
        let mut torn = whole.clone();
        torn.get_mut(&name).unwrap()[at] ^= 1;
        assert_eq!(end(&torn), None, "header block damaged at {at}");
    }
    // The manifest says where it ended; there is nothing that a header could point to.
    let mut manifest = log.empty_manifest(0);
    manifest.cores.push(CorePosition {
        core: A,
        segment: position.segment,
        offset: position.offset,
        sequence: position.sequence,
        last_timestamp: 0,
        last_epoch: Epoch(0),
    });
    log.manifest(&manifest);
    let mut gone = log.source();
    assert_eq!(end(&gone), Some(position));
    gone.remove(&name);
    assert_eq!(end(&gone), None, "its file is gone");
}

#[test]
fn a_lost_header_block_is_missing_if_frames_behind_it_were_synced() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.sync(A);
    log.rotate(A);
    log.put(A, b"b", b"value");
    log.sync(A);
    log.put(A, b"c", b"value");
    let name = name(&mut log);
    let mut source = log.source();
    source.get_mut(&name).unwrap()[..4096].fill(0);
    check(&source, Row::ZeroShort, 1);
}

#[test]
fn the_end_that_a_resumption_records_is_itself_evidence() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let lost = log.put(A, b"b", b"value");
    let name = name(&mut log);
    let end = log.end(A);
    log.begin(A, SegmentNumber(1), Origin::Resumption, Some(end));
    log.put(A, b"c", b"value");
    let mut source = log.source();
    check(&source, Row::ZeroPast, 3);
    source.get_mut(&name).unwrap()[lost.offset as usize + 70] ^= 1;
    check(&source, Row::DamageShort, 1);
}

#[test]
fn an_error_names_core_file_offset_sequence_evidence_and_what_to_do() {
    let mut log = LogBuilder::new(LOG);
    let at = four_frames(&mut log);
    let name = name(&mut log);
    let mut source = log.source();
    source.get_mut(&name).unwrap()[at[1] as usize + 70] ^= 1;
    let message = recover(&source).unwrap_err().to_string();
    let offset = format!("offset {}", at[1]);
    for part in
        ["core 0", name.as_str(), offset.as_str(), "sequence 1", "checksum", "had been durable", "salvage"]
    {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[test]
fn what_only_the_header_of_the_next_segment_proves_durable_is_not_cut_off() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.sync(A);
    let name = log.core(A).name();
    log.rotate(A);
    let mut source = log.source();
    // All its frames: the seal would be evidence as well.
    source.get_mut(&name).unwrap()[4096..].fill(0xff);
    assert!(matches!(recover(&source), Err(RecoveryError::Read(ReadError::Corrupt(_)))));
}
