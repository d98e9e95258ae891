//! Failed writes and syncs, while others append, sync and wait: nothing is acknowledged that is not durable, nothing
//! acknowledged is lost, nobody waits for ever, and no file is synced again after a failure (the storage panics).

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use super::rig::{Bell, CORE, Rig, check, key, put, rig, rig_with};
use crate::{Retention, WriterError};

/// A log with one entry that is durable and one that is not.
fn with_two_entries(retention: Retention) -> Rig {
    let mut rig = rig(retention);
    put(&mut rig.writer).unwrap();
    rig.writer.sync().unwrap();
    // And a spare segment: to make one takes syncs of its own.
    rig.supply.prepare(CORE).unwrap();
    put(&mut rig.writer).unwrap();
    rig
}

/// One sync fails; the log goes on in a fresh segment, with an entry that arrives anywhere in between.
pub(super) fn continuation() {
    let mut rig = with_two_entries(Retention::UntilDurable);
    rig.storage.fail_syncs(1);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn({
        let files = files.clone();
        move || files.assert_durable(log.sync().unwrap())
    });
    put(&mut rig.writer).unwrap();
    rig.writer.durable().wait().unwrap();
    files.assert_durable(rig.writer.sequence());
    syncing.join().unwrap();
    assert_eq!(rig.log.stats().continuations, 1);
}

/// One sync fails while the writer fills the ring.
pub(super) fn continuation_of_a_full_ring() {
    let mut rig = with_two_entries(Retention::UntilDurable);
    rig.storage.fail_syncs(1);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn(move || log.sync().map(drop).unwrap());
    for _ in 0..4 {
        rig.writer.append_put(&key(rig.writer.sequence()), &[0; 20]).unwrap();
    }
    syncing.join().unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
}

/// A write fails, in whichever call, and others write and sync meanwhile.
pub(super) fn failed_write() {
    let mut rig = with_two_entries(Retention::UntilDurable);
    rig.storage.fail_writes(1);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let writing = thread::spawn(move || log.write_out().unwrap());
    put(&mut rig.writer).unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
    writing.join().unwrap();
    files.assert_durable(rig.log.sync().unwrap());
}

/// The continuation fails as well: whoever syncs or waits is told, with the first entry that is lost.
pub(super) fn poison() {
    let mut rig = with_two_entries(Retention::UntilDurable);
    rig.storage.fail_syncs(2);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn(move || assert_poisoned(log.sync().map(drop)));
    let appended = put(&mut rig.writer);
    assert_poisoned(rig.writer.durable().wait());
    syncing.join().unwrap();
    if let Err(error) = appended {
        assert_poisoned(Err(error));
    }
    assert_poisoned(put(&mut rig.writer).map(drop));
    assert_poisoned(rig.log.check());
    files.assert_durable(rig.log.durable());
    assert_eq!(rig.log.durable().0, 1);
}

/// The same for a task that awaits, and does nothing for it.
pub(super) fn poison_awaited() {
    let mut rig = rig_with(Retention::UntilDurable, Some(Arc::new(Bell::default()) as _));
    put(&mut rig.writer).unwrap();
    rig.writer.sync().unwrap();
    rig.supply.prepare(CORE).unwrap();
    put(&mut rig.writer).unwrap();
    rig.storage.fail_syncs(2);
    let receipt = rig.writer.durable();
    let awaiting = thread::spawn(move || assert_poisoned(block_on(receipt)));
    assert_poisoned(rig.writer.sync().map(drop));
    awaiting.join().unwrap();
}

/// With bytes that leave the ring when they are written there is nothing to continue with.
pub(super) fn poison_without_continuation() {
    let mut rig = with_two_entries(Retention::UntilWritten);
    rig.storage.fail_syncs(1);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn(move || assert_poisoned(log.sync().map(drop)));
    let _ = put(&mut rig.writer);
    let _ = rig.log.write_out();
    assert_poisoned(rig.writer.durable().wait());
    syncing.join().unwrap();
    assert_poisoned(put(&mut rig.writer).map(drop));
    files.assert_durable(rig.log.durable());
}

#[track_caller]
fn assert_poisoned(result: Result<(), WriterError>) {
    match result {
        Err(WriterError::Poisoned { since, .. }) => assert_eq!(since.0, 1, "the first entry that is lost"),
        other => panic!("expected a poisoned log, not {other:?}"),
    }
}

#[test]
fn the_log_goes_on_after_a_failed_sync_with_what_arrives_meanwhile() {
    check(continuation);
}

#[test]
fn the_log_goes_on_after_a_failed_sync_while_the_ring_is_full() {
    check(continuation_of_a_full_ring);
}

#[test]
fn a_failed_write_is_made_up_for_by_the_next_sync() {
    check(failed_write);
}

#[test]
fn a_poisoned_log_tells_everybody_and_keeps_what_was_durable() {
    check(poison);
}

#[test]
fn a_poisoned_log_tells_whoever_awaits() {
    check(poison_awaited);
}

#[test]
fn a_log_without_the_bytes_is_poisoned_at_once() {
    check(poison_without_continuation);
}
