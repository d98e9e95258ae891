//! Logs that were laid out frame by frame: files of every kind, and damage of every shape, as people and machines see them.

use wal_format::{CoreId, CorePosition, FileName, Manifest, Origin, SegmentNumber};
use wal_reader::testing::LogBuilder;
use wal_reader::{LogPosition, segment_name};

use crate::fixture::{Fixture, LOG, run};
use crate::golden::{check, check_json};

const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);
const C: CoreId = CoreId(2);

/// Where a checkpoint of epoch 1 ends.
fn behind(core: CoreId, end: LogPosition, last_timestamp: u64) -> CorePosition {
    let LogPosition { segment, offset, sequence, .. } = end;
    CorePosition { core, segment, offset, sequence, last_timestamp, last_epoch: wal_format::Epoch(1) }
}

/// Three cores whose files are in every state that `wal inspect` tells apart.
fn files() -> Fixture {
    let mut log = LogBuilder::new(LOG);
    for core in [A, B, C] {
        log.put(core, b"first", b"in the checkpoint");
        log.rotate(core);
    }
    let cores = [A, B, C].map(|core| (core, log.end(core)));
    log.release(B, SegmentNumber(0));
    log.release(C, SegmentNumber(0));
    let cores = cores.map(|(core, end)| behind(core, end, 1000 + 10 * u64::from(core.0)));
    let manifest = Manifest { cores: cores.to_vec(), external: true, ..log.empty_manifest(1) };
    log.manifest(&manifest);
    log.set_epoch(2);
    log.put(A, b"second", b"value");
    log.rotate(A);
    log.put(A, b"third", b"value");
    log.put(B, b"second", b"value");
    // An opening went on elsewhere: nobody sealed what it found.
    log.put(C, b"second", b"value");
    let end = log.end(C);
    log.begin(C, SegmentNumber(2), Origin::Resumption, Some(end));
    log.put(C, b"third", b"value");
    log.file(segment_name(A, SegmentNumber(3)), vec![0; 8192]);
    log.file(segment_name(B, SegmentNumber(3)), Vec::new());
    log.file(FileName::Free(B, SegmentNumber(0)).to_string(), vec![1; 5000]);
    log.file(FileName::Free(C, SegmentNumber(7)).to_string(), vec![1; 5000]);
    Fixture::built(&log)
}

#[test]
fn files_of_every_kind_read_well() {
    let fixture = files();
    check(&fixture, "inspect-files.txt", &fixture.wal(&["inspect"]), 0);
    check(&fixture, "inspect-files-painted.txt", &fixture.wal(&["inspect", "--color", "always"]), 0);
    check_json(&fixture, "inspect-files.json", &fixture.wal(&["inspect", "--json"]), 0);
    check(&fixture, "verify-files.txt", &fixture.wal(&["verify"]), 0);
}

/// Changes a byte in the payload of the frame at `at`.
fn damage(fixture: &Fixture, at: LogPosition, core: CoreId) {
    fixture.flip(&segment_name(core, at.segment), usize::try_from(at.offset).unwrap() + 66);
}

#[test]
fn a_tail_that_is_torn_before_whole_frames_reads_well() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"first", b"value");
    let torn = log.put(A, b"second", b"value");
    log.put(A, b"third", b"value");
    log.put(A, b"fourth", b"value");
    let fixture = Fixture::built(&log);
    damage(&fixture, torn, A);
    check(&fixture, "verify-torn-within.txt", &fixture.wal(&["verify"]), 0);
    // What is gone altogether tears nothing: the log ends before it.
    let mut bytes = std::fs::read(fixture.file(&segment_name(A, torn.segment))).unwrap();
    let from = usize::try_from(torn.offset).unwrap();
    bytes[from..from + 64].fill(0);
    std::fs::write(fixture.file(&segment_name(A, torn.segment)), bytes).unwrap();
    check(&fixture, "verify-behind.txt", &fixture.wal(&["verify"]), 0);
}

#[test]
fn a_gap_from_one_file_into_the_next_reads_well() {
    let mut log = LogBuilder::new(LOG);
    for epoch in 1..4 {
        log.set_epoch(epoch);
        log.put(A, b"key", b"value");
    }
    let lost = log.put(A, b"key", b"lost");
    let seal = log.end(A);
    log.core(A).seal();
    log.sync(A);
    let end = log.end(A);
    log.begin(A, end.segment.next(), Origin::Rotation, Some(end));
    log.set_epoch(4);
    log.put(A, b"key", b"value");
    let fixture = Fixture::built(&log);
    // The seal alone: no entry is lost.
    fixture.flip(&segment_name(A, seal.segment), usize::try_from(seal.offset).unwrap() + 20);
    check(&fixture, "verify-seal.txt", &fixture.wal(&["verify"]), 1);
    damage(&fixture, lost, A);
    check(&fixture, "verify-two-files.txt", &fixture.wal(&["verify"]), 1);
    check_json(&fixture, "verify-two-files.json", &fixture.wal(&["verify", "--json"]), 1);
    check(&fixture, "why-gap.txt", &run(&["why"], &[&fixture.log(), "key".as_ref()]), 1);
}

#[test]
fn a_log_that_another_core_knows_to_be_longer_reads_well() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"first", b"value");
    let lost = log.put(A, b"second", b"value");
    log.put(B, b"first", b"value");
    // The barrier of the next epoch calls durable what this one counted.
    log.barrier(B, 1, 0, &[(0, 2), (1, 1)]);
    log.barrier(B, 2, 1, &[(0, 2), (1, 1)]);
    let fixture = Fixture::built(&log);
    damage(&fixture, lost, A);
    check(&fixture, "verify-cut.txt", &fixture.wal(&["verify"]), 1);
}

#[test]
fn a_run_that_cannot_be_read_reads_well() {
    let fixture = Fixture::small();
    fixture.flip("run-0000000000000000.ckpt", 4096 + 70);
    check(&fixture, "verify-run.txt", &fixture.wal(&["verify"]), 1);
    check(&fixture, "why-run.txt", &run(&["why"], &[&fixture.log(), "user/0".as_ref()]), 1);
}

#[test]
fn a_salvage_says_that_nothing_was_lost_and_paints_what_was() {
    let fixture = Fixture::small();
    let (log, out) = (fixture.log(), fixture.place.path().join("out"));
    check(&fixture, "salvage-whole-dry-run.txt", &run(&["salvage", "--dry-run"], &[&log, &out]), 0);
    check(&fixture, "salvage-whole.txt", &run(&["salvage"], &[&log, &out]), 0);
    let segment = fixture.segments(0).remove(0);
    fixture.flip(&segment, fixture.frame(0, &segment, 0) + 70);
    let other = fixture.place.path().join("other");
    let painted = run(&["salvage", "--dry-run", "--color", "always"], &[&log, &other]);
    check(&fixture, "salvage-painted.txt", &painted, 1);
}

#[test]
fn a_salvaged_copy_has_the_same_entries_under_other_numbers() {
    let fixture = Fixture::four();
    let (log, out) = (fixture.log(), fixture.place.path().join("out"));
    run(&["salvage"], &[&log, &out]).expect(1);
    let told = run(&["diff"], &[&log, &out]);
    assert!(told.expect(1).contains("seq 340") && told.out.contains("seq 393"), "{}", told.out);
    let told = run(&["diff", "--ignore-sequences"], &[&log, &out]);
    assert!(told.expect(0).ends_with("equal\n"), "{}", told.out);
}
