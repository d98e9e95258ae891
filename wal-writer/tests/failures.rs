//! Failed syncs and writes: the log goes on elsewhere, or says since when nothing is durable. Never in between.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests stand outside of the loom models"
)]

mod common;

use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;

use common::{LOSE_ALL, Rig, SMALL, check_entries, read_image, rig, segments};
use wal_writer::format::{Origin, Sequence};
use wal_writer::storage::recording::{Event, Fault, Operation, OperationKind};
use wal_writer::{LogOptions, OnSyncFailure, Retention, WriterError};

fn failing(kind: OperationKind, after: u64, for_good: bool) -> Fault {
    Fault { kind: Some(kind), name: None, after, error: ErrorKind::Other, for_good }
}

/// No file was synced, or written, after a sync of it failed.
#[track_caller]
fn check_given_up_files_rest(rig: &Rig) {
    let events = rig.storage.events();
    let mut given_up = Vec::new();
    for event in &events {
        match event {
            Event::Begin(Operation::Sync { file } | Operation::Write { file, .. }) => {
                assert!(!given_up.contains(file), "{file:?} was touched after its sync failed");
            }
            Event::End { begin, error: Some(_) } => {
                if let Event::Begin(Operation::Sync { file } | Operation::Write { file, .. }) =
                    &events[*begin]
                {
                    given_up.push(*file);
                }
            }
            _ => {}
        }
    }
    assert!(!given_up.is_empty(), "nothing failed");
}

#[test]
fn after_a_failed_sync_the_log_goes_on_in_a_fresh_segment() {
    for kind in [OperationKind::Sync, OperationKind::Write] {
        let mut rig = rig(SMALL);
        rig.puts(5, 100);
        rig.writer.sync().unwrap();
        rig.puts(5, 100);
        rig.storage.inject(failing(kind, 0, false));
        assert_eq!(rig.writer.sync().unwrap(), Sequence(10), "{kind:?}");
        rig.check_durable();
        rig.puts(5, 100);
        rig.writer.sync().unwrap();
        rig.check_durable();
        check_given_up_files_rest(&rig);
        let all = segments(&rig.storage.current());
        let (old, fresh) = (&all[0], &all[1]);
        assert_eq!(fresh.header.origin, Origin::Continuation);
        assert_eq!(fresh.header.first_sequence, Sequence(5));
        let previous = fresh.header.previous.unwrap();
        assert_eq!(previous.segment, old.header.segment);
        assert_eq!(previous.end, old.frames[0].0 + old.frames[0].1.frame_bytes() as u64);
        assert_eq!(rig.log.stats().continuations, 1);
    }
}

#[test]
fn the_very_first_sync_may_fail() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    // The first two are of the segment files that are made.
    let is_first = |rig: &Rig| segments(&rig.storage.current()).is_empty();
    assert!(is_first(&rig));
    rig.storage.inject(failing(OperationKind::Sync, 0, false));
    rig.writer.sync().unwrap();
    rig.check_durable();
    let all = segments(&rig.storage.current());
    assert_eq!(all.last().unwrap().header.origin, Origin::First);
    check_given_up_files_rest(&rig);
}

#[test]
fn a_failed_continuation_poisons_every_later_call_and_every_receipt() {
    for kind in [OperationKind::Sync, OperationKind::Write] {
        let mut rig = rig(SMALL);
        rig.puts(5, 100);
        rig.writer.sync().unwrap();
        rig.puts(3, 100);
        let receipts = [rig.writer.durable(), rig.writer.durable()];
        // A spare is at hand, so that the failure is that of the continuation and not of making its file.
        rig.supply.prepare(common::CORE).unwrap();
        rig.storage.inject(failing(kind, 0, true));
        let is_poisoned = |error: &WriterError| {
            matches!(error, WriterError::Poisoned { core: common::CORE, since: Sequence(5), .. })
        };
        assert!(rig.writer.sync().is_err_and(|error| is_poisoned(&error)));
        assert!(receipts.into_iter().all(|receipt| receipt.wait().is_err_and(|error| is_poisoned(&error))));
        assert!(rig.put(1).is_err_and(|error| is_poisoned(&error)));
        assert!(rig.put(9_000).is_err_and(|error| is_poisoned(&error)));
        assert!(rig.writer.sync().is_err_and(|error| is_poisoned(&error)));
        assert!(rig.log.write_out().is_err_and(|error| is_poisoned(&error)));
        assert!(rig.writer.durable().wait().is_err_and(|error| is_poisoned(&error)));
        rig.log.durable_receipt(Sequence(5)).wait().unwrap();
        let entries = read_image(rig.storage.image(rig.storage.event_count(), &LOSE_ALL)).unwrap();
        check_entries(&entries, &rig.appended[..5]);
    }
}

#[test]
fn without_the_bytes_in_the_ring_a_failure_poisons_at_once() {
    for kind in [OperationKind::Sync, OperationKind::Write] {
        let mut rig = rig(LogOptions { retention: Retention::UntilWritten, ..SMALL });
        rig.puts(5, 100);
        rig.writer.sync().unwrap();
        rig.puts(3, 100);
        rig.storage.inject(failing(kind, 0, false));
        let written = rig.log.written();
        let error = rig.writer.sync().unwrap_err();
        assert!(matches!(error, WriterError::Poisoned { since: Sequence(5), .. }), "{error}");
        assert!(rig.writer.sync().is_err(), "a retried sync is no success");
        assert_eq!(rig.log.durable(), Sequence(5));
        if kind == OperationKind::Write {
            assert_eq!(rig.log.written(), written, "a write that failed is not written");
            assert!(rig.writer.written().wait().is_err());
        }
        assert_eq!(rig.log.stats().continuations, 0);
    }
}

#[test]
fn a_failed_write_is_not_told_as_written() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    rig.storage.inject(failing(OperationKind::Write, 0, true));
    assert!(rig.log.write_out().is_err());
    assert_eq!(rig.log.written(), Sequence(0));
}

#[test]
fn a_doubt_that_one_thread_settled_is_not_settled_again() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    rig.writer.sync().unwrap();
    rig.puts(5, 100);
    rig.storage.inject(failing(OperationKind::Write, 0, false));
    rig.log.write_out().unwrap();
    rig.writer.sync().unwrap();
    assert_eq!(rig.log.stats().continuations, 1);
    rig.check_durable();
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_to_try_again() {
    for kind in [OperationKind::Create, OperationKind::Allocate, OperationKind::SyncDirectory] {
        let mut rig = rig(SMALL);
        rig.storage.inject(failing(kind, 0, false));
        assert!(matches!(rig.put(10), Err(WriterError::Io { .. })), "{kind:?}");
        rig.puts(1, 10);
        rig.writer.sync().unwrap();
        rig.check_durable();
    }
}

#[test]
fn a_panic_in_the_clock_does_not_stop_the_closing_of_epochs() {
    struct Panicking;
    impl wal_writer::TimeSource for Panicking {
        fn now_ns(&self) -> u64 {
            panic!("the caller's clock")
        }
    }
    let mut setup = common::setup(SMALL);
    setup.clock = wal_writer::Clock::injected(Arc::new(Panicking));
    let mut rig = setup.build();
    let append = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.put(1)));
    assert!(append.is_err());
    assert_eq!(rig.close_epoch().1, Sequence(0));
}

const CHILD: &str = "WAL_WRITER_TEST_ABORTING_CHILD";

#[test]
fn the_abort_policy_aborts_the_process() {
    if std::env::var_os(CHILD).is_some() {
        let mut rig = rig(LogOptions { on_sync_failure: OnSyncFailure::Abort, ..SMALL });
        rig.puts(1, 10);
        rig.storage.inject(failing(OperationKind::Sync, 0, false));
        let _ = rig.writer.sync();
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_abort_policy_aborts_the_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(6), "SIGABRT expected: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("aborting, as configured"));
}
