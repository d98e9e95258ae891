//! Syncs of one core, by all who sync it: whoever acknowledges an entry finds it durable at that moment.

use std::sync::Arc;

use loom::thread;

use super::rig::{check, put, put_large, rig};
use crate::Retention;

/// The owner's `sync` against a flusher's.
pub(super) fn owner_and_flusher() {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let flusher = thread::spawn({
        let (files, log) = (files.clone(), Arc::clone(&log));
        move || files.assert_durable(log.sync().unwrap())
    });
    put(&mut rig.writer).unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
    flusher.join().unwrap();
    assert_eq!(log.durable_position().sequence, log.durable(), "the durable position went back");
}

/// The owner's `sync` and a flusher's against the coordinator, which ends an epoch.
pub(super) fn owner_flusher_and_coordinator() {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    let (files, log, coordinator) = (rig.files(), Arc::clone(&rig.log), rig.coordinator());
    let flusher = thread::spawn({
        let (files, log) = (files.clone(), Arc::clone(&log));
        move || files.assert_durable(log.sync().unwrap())
    });
    let ending = thread::spawn({
        let files = files.clone();
        move || {
            let (cut, ended) = coordinator.end_epoch(false);
            ended.unwrap();
            files.assert_durable(cut);
            cut
        }
    });
    put(&mut rig.writer).unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
    flusher.join().unwrap();
    files.assert_cut(ending.join().unwrap());
    assert_eq!(log.durable_position().sequence, log.durable(), "the durable position went back");
}

/// An entry arrives, and is written, while a sync runs.
pub(super) fn arrival() {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn({
        let log = Arc::clone(&log);
        move || log.sync().map(drop).unwrap()
    });
    put(&mut rig.writer).unwrap();
    log.write_out().unwrap();
    files.assert_written(log.written());
    files.assert_durable(log.durable());
    syncing.join().unwrap();
    files.assert_durable(log.durable());
}

/// The segment is left, with something written to it, while a sync of it runs.
pub(super) fn rotation() {
    let mut rig = rig(Retention::UntilWritten);
    put_large(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    log.write_out().unwrap();
    let syncing = thread::spawn(move || log.sync().map(drop).unwrap());
    put(&mut rig.writer).unwrap();
    put_large(&mut rig.writer).unwrap();
    rig.log.write_out().unwrap();
    syncing.join().unwrap();
    files.assert_durable(rig.log.durable());
    files.assert_durable(rig.log.sync().unwrap());
}

#[test]
fn what_the_owner_or_a_flusher_syncs_is_durable() {
    check(owner_and_flusher);
}

#[test]
fn what_the_owner_a_flusher_or_the_coordinator_syncs_is_durable() {
    check(owner_flusher_and_coordinator);
}

#[test]
fn a_sync_covers_only_what_was_drained_when_it_was_submitted() {
    check(arrival);
}

#[test]
fn a_segment_that_is_left_during_its_sync_is_synced_again() {
    check(rotation);
}
