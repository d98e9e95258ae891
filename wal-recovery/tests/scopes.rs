//! How far a log is replayed: whole epochs, one epoch, everything; and that a decision holds once it is recorded.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use common::{A, B, Kept, LOG, manager, recover_with};
use wal_format::{Epoch, Origin, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{LogPosition, MemorySource};
use wal_recovery::{Mode, Recovered, RecoveryError, Scope};

/// Epochs 1 to 3 on both cores; barriers of 1 and 2 in both logs, of 3 in core B's only. In epoch order, but each
/// barrier behind an entry of the next epoch, as a drain may write them.
fn three_epochs() -> LogBuilder {
    let mut log = LogBuilder::new(LOG);
    for epoch in 1..=3 {
        log.set_epoch(epoch);
        for core in [A, B] {
            log.put(core, b"key", &[epoch as u8]);
            if epoch > 1 {
                log.barrier(
                    core,
                    epoch - 1,
                    epoch.saturating_sub(2),
                    &[(0, 2 * epoch - 2), (1, 2 * epoch - 2)],
                );
            }
            log.put(core, b"key", &[epoch as u8]);
        }
    }
    log.set_epoch(4);
    log.put(B, b"key", &[4]);
    log.barrier(B, 3, 1, &[(0, 6), (1, 6)]);
    log
}

#[track_caller]
fn check(source: &MemorySource, scope: Scope, of_a: u64, of_b: u64) -> (Kept, Recovered) {
    let (kept, recovered) = recover_with(source, scope, Mode::Strict).unwrap();
    let expected = [(0..of_a).collect::<Vec<_>>(), (0..of_b).collect()];
    assert_eq!([kept.sequences(A), kept.sequences(B)], expected, "{}", recovered.report);
    for (core, count) in [(A, of_a), (B, of_b)] {
        let resume = recovered.resume.core(core).unwrap();
        assert_eq!((resume.next_sequence, resume.end.unwrap().sequence), (Sequence(count), Sequence(count)));
    }
    (kept, recovered)
}

#[test]
fn everything_is_each_core_to_its_end() {
    let (_, recovered) = check(&three_epochs().source(), Scope::Everything, 6, 7);
    assert_eq!(recovered.resume.next_epoch, Epoch(5));
    assert_eq!(recovered.epoch, Epoch(4));
}

#[test]
fn the_report_says_what_was_asked_for_and_what_was_decided() {
    let mut log = three_epochs();
    let named = log.run(7, 0, &[]);
    log.run(8, 0, &[]);
    let mut manifest = log.empty_manifest(0);
    (manifest.runs, manifest.next_run) = (vec![named], 9);
    log.manifest(&manifest);
    let asked = [
        (Scope::Everything, Mode::Strict, None, "everything", "strict"),
        (Scope::ConsistentCut, Mode::Salvage, Some(Epoch(3)), "consistent cut", "salvage"),
        (Scope::UpToEpoch(Epoch(1)), Mode::Salvage, Some(Epoch(1)), "up to epoch 1", "salvage"),
    ];
    for (scope, mode, cut, scope_text, mode_text) in asked {
        let (_, Recovered { report, resume, .. }) = recover_with(&log.source(), scope, mode).unwrap();
        assert_eq!((report.scope, report.mode, report.cut), (scope, mode, cut));
        assert_eq!((resume.scope, resume.cut), (scope, cut));
        assert_eq!(report.consistent_epoch, Some(Epoch(3)));
        assert_eq!(report.unnamed_runs, [8]);
        assert_eq!((scope.to_string(), mode.to_string()), (scope_text.to_owned(), mode_text.to_owned()));
    }
}

#[test]
fn up_to_epoch_is_exact() {
    let source = three_epochs().source();
    for epoch in 1..=3 {
        let (kept, recovered) = check(&source, Scope::UpToEpoch(Epoch(epoch)), 2 * epoch, 2 * epoch);
        assert!(kept.entries.iter().all(|entry| entry.epoch <= Epoch(epoch)));
        // What was dropped still counts for what must not be given out again.
        assert_eq!(recovered.resume.next_epoch, Epoch(5));
        assert!(recovered.resume.cores.iter().any(|core| core.has_discards));
    }
    check(&source, Scope::UpToEpoch(Epoch(9)), 6, 7);
    check(&source, Scope::UpToEpoch(Epoch(0)), 0, 0);
}

#[test]
fn consistent_cut_is_the_last_epoch_that_every_core_reached() {
    let mut log = three_epochs();
    let (_, recovered) = check(&log.source(), Scope::ConsistentCut, 6, 6);
    assert_eq!(recovered.resume.cut, Some(Epoch(3)));
    // Core A loses its last entry: epoch 3 is no longer whole.
    let mut source = log.source();
    let name = log.core(A).name();
    let bytes = source.get_mut(&name).unwrap();
    bytes.truncate(bytes.len() - 8);
    let (_, recovered) = check(&source, Scope::ConsistentCut, 4, 4);
    assert_eq!(recovered.resume.cut, Some(Epoch(2)));
    check(&source, Scope::Everything, 5, 7);
}

#[test]
fn a_consistent_cut_without_any_barrier_is_the_checkpoint_or_nothing() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.put(B, b"key", b"value");
    let source = log.source();
    check(&source, Scope::ConsistentCut, 0, 0);
}

#[test]
fn an_epoch_below_the_checkpoint_cannot_be_had() {
    let mut log = three_epochs();
    log.manifest(&log.empty_manifest(2));
    for mode in [Mode::Strict, Mode::Salvage] {
        let result = recover_with(&log.source(), Scope::UpToEpoch(Epoch(1)), mode);
        assert!(matches!(result, Err(RecoveryError::BeforeCheckpoint { .. })));
        // The checkpoint's own epoch is the checkpoint alone.
        let (kept, recovered) = recover_with(&log.source(), Scope::UpToEpoch(Epoch(2)), mode).unwrap();
        assert_eq!((kept.entries.len(), recovered.resume.cut), (0, Some(Epoch(2))));
    }
}

#[test]
fn entries_of_checkpointed_epochs_are_not_replayed() {
    let mut log = three_epochs();
    log.manifest(&log.empty_manifest(2));
    let (kept, _) = recover_with(&log.source(), Scope::Everything, Mode::Strict).unwrap();
    assert_eq!((kept.sequences(A), kept.sequences(B)), (vec![4, 5], vec![4, 5, 6]));
}

/// Begins new segments at the resume points, as whoever opens the log does: header, and a barrier that closes all
/// earlier epochs.
fn reopen(log: &mut LogBuilder, recovered: &Recovered, cores: &[wal_format::CoreId]) {
    let resume = &recovered.resume;
    let cuts: Vec<_> = resume.cores.iter().map(|core| (core.core.0, core.next_sequence.0)).collect();
    let closed = resume.next_epoch.0 - 1;
    for core in cores {
        let point = resume.core(*core).unwrap();
        log.core(*core).timestamp = point.last_timestamp;
        log.core(*core).epoch = point.last_epoch;
        log.begin(*core, point.next_segment, Origin::Resumption, point.end);
        log.barrier(*core, closed, closed, &cuts);
    }
    log.set_epoch(resume.next_epoch.0);
}

#[test]
fn a_decision_that_is_recorded_holds_for_every_later_scope() {
    for (scope, kept) in
        [(Scope::ConsistentCut, [6, 6]), (Scope::UpToEpoch(Epoch(1)), [2, 2]), (Scope::Everything, [6, 7])]
    {
        let mut log = three_epochs();
        let [of_a, of_b] = kept;
        let (_, recovered) = check(&log.source(), scope, of_a, of_b);
        reopen(&mut log, &recovered, &[A, B]);
        for later in [Scope::Everything, Scope::ConsistentCut, Scope::UpToEpoch(Epoch(4))] {
            check(&log.source(), later, of_a, of_b);
        }
        log.put(A, b"new life", b"value");
        check(&log.source(), Scope::Everything, of_a + 1, of_b);
        check(&log.source(), Scope::ConsistentCut, of_a, of_b);
    }
}

#[test]
fn a_decision_that_was_recorded_on_one_core_only_holds_for_all() {
    // The power went while the log was being opened: core A's new segment is there, core B's is not.
    for scope in [Scope::ConsistentCut, Scope::UpToEpoch(Epoch(1)), Scope::UpToEpoch(Epoch(2))] {
        let mut log = three_epochs();
        let (first, recovered) = recover_with(&log.source(), scope, Mode::Strict).unwrap();
        reopen(&mut log, &recovered, &[A]);
        let (of_a, of_b) = (first.sequences(A).len() as u64, first.sequences(B).len() as u64);
        for later in [scope, Scope::Everything, Scope::ConsistentCut] {
            check(&log.source(), later, of_a, of_b);
        }
    }
}

#[test]
fn a_barrier_of_an_earlier_life_is_no_evidence_against_what_recovery_accepted() {
    // Core A lost its tail before epoch 3 was durable anywhere; core B's log holds the barrier that names it.
    let mut log = three_epochs();
    let mut source = log.source();
    let lost = log.core(A).bytes.len() - 8;
    source.get_mut(&log.core(A).name()).unwrap().truncate(lost);
    let (kept, recovered) = recover_with(&source, Scope::Everything, Mode::Strict).unwrap();
    assert_eq!(kept.sequences(A), [0, 1, 2, 3, 4]);
    log.core(A).bytes.truncate(lost);
    reopen(&mut log, &recovered, &[A, B]);
    // A new life, in which later epochs are durable, and core A has appended nothing.
    log.put(B, b"new life", b"value");
    log.barrier(B, 5, 4, &[(0, 5), (1, 8)]);
    log.set_epoch(6);
    log.put(B, b"new life", b"value");
    log.barrier(B, 6, 5, &[(0, 5), (1, 9)]);
    check(&log.source(), Scope::Everything, 5, 9);
    check(&log.source(), Scope::ConsistentCut, 5, 9);
    // But what this life acknowledged is asked for.
    let name = log.core(B).name();
    let mut source = log.source();
    let bytes = source.get_mut(&name).unwrap();
    bytes[4096 + 64 + 36 + 4 + 70] ^= 1;
    assert!(recover_with(&source, Scope::Everything, Mode::Strict).is_err());
}

#[test]
fn recovery_never_writes_and_can_be_repeated() {
    let source = three_epochs().source();
    let plan = manager(&source).plan().unwrap();
    for _ in 0..3 {
        let again = manager(&source).plan().unwrap();
        assert_eq!((&plan.resume, &plan.report), (&again.resume, &again.report));
    }
    let end =
        LogPosition { segment: SegmentNumber(0), offset: plan.cores[0].end.offset, sequence: Sequence(6) };
    assert_eq!(plan.cores[0].end, end);
}

#[test]
fn a_cut_drops_the_barriers_of_later_epochs_too() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.barrier(A, 1, 0, &[(0, 1), (1, 0)]);
    let later = log.barrier(A, 2, 1, &[(0, 1), (1, 9)]);
    let (_, recovered) = recover_with(&log.source(), Scope::UpToEpoch(Epoch(1)), Mode::Strict).unwrap();
    // Kept, it would witness against what core B appends anew under the same sequence numbers.
    assert_eq!(recovered.resume.core(A).unwrap().end, Some(later));
}
