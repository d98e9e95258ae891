//! Closing the log while it is appended to, synced, waited for, and its epoch ended: everybody returns; what was
//! acknowledged is durable, what was not gets an error, and after `close` every call does.

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use super::rig::{Bell, Files, Rig, check, put, rig, rig_with};
use crate::{CoreLog, Retention, WriterError};

fn with_an_entry() -> Rig {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    rig
}

#[track_caller]
fn is_done<T>(result: Result<T, WriterError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(WriterError::Closed { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Nothing is possible any more, and what was acknowledged stands.
#[track_caller]
fn assert_closed(log: &Arc<CoreLog>, files: &Files) {
    assert!(is_done(log.sync()).is_none() && is_done(log.write_out()).is_none());
    assert!(is_done(log.durable_receipt(log.appended().plus(1)).wait()).is_none());
    files.assert_durable(log.durable());
}

pub(super) fn while_appending() {
    let mut rig = with_an_entry();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let appending = thread::spawn(move || {
        let appended = is_done(put(&mut rig.writer));
        let synced = is_done(rig.writer.sync());
        assert!(appended.is_some() || synced.is_none(), "it was open again after it was closed");
        if let Some(sequence) = synced {
            rig.files().assert_durable(sequence);
        }
        rig.writer
    });
    log.close();
    let mut writer = appending.join().unwrap();
    assert!(is_done(put(&mut writer)).is_none(), "a closed log took an entry");
    assert_closed(&log, &files);
}

/// Two wait, and nobody syncs: with a flusher that never comes, only `close` can end it.
pub(super) fn while_blocked() {
    let mut rig = rig_with(Retention::UntilDurable, Some(Arc::new(Bell::default()) as _));
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let receipts = [rig.writer.durable(), rig.writer.durable()];
    let waiting = receipts.map(|receipt| thread::spawn(move || is_done(receipt.wait()).is_some()));
    log.close();
    for waiting in waiting {
        assert!(!waiting.join().unwrap(), "nobody synced");
    }
    assert_closed(&log, &files);
}

/// A task awaits what a flusher may or may not reach before the log is closed.
pub(super) fn while_awaited() {
    let mut rig = rig_with(Retention::UntilDurable, Some(Arc::new(Bell::default()) as _));
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let receipt = rig.writer.durable();
    let awaiting = thread::spawn({
        let (files, log) = (files.clone(), Arc::clone(&log));
        move || {
            let waited = is_done(block_on(receipt));
            files.assert_durable(if waited.is_some() { log.appended() } else { log.durable() });
        }
    });
    let flushing = thread::spawn({
        let log = Arc::clone(&log);
        move || is_done(log.sync())
    });
    log.close();
    awaiting.join().unwrap();
    flushing.join().unwrap();
    assert_closed(&log, &files);
}

pub(super) fn while_syncing() {
    let rig = with_an_entry();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let syncing = thread::spawn({
        let (files, log) = (files.clone(), Arc::clone(&log));
        move || {
            if let Some(sequence) = is_done(log.sync()) {
                files.assert_durable(sequence);
            }
        }
    });
    log.close();
    syncing.join().unwrap();
    assert_closed(&log, &files);
}

pub(super) fn while_ending_an_epoch() {
    let mut rig = with_an_entry();
    let (files, log, coordinator) = (rig.files(), Arc::clone(&rig.log), rig.coordinator());
    let ending = thread::spawn({
        let files = files.clone();
        move || {
            let (cut, ended) = coordinator.end_epoch(true);
            if is_done(ended).is_some() {
                files.assert_durable(cut);
            }
        }
    });
    let appending = thread::spawn(move || is_done(put(&mut rig.writer)));
    log.close();
    ending.join().unwrap();
    appending.join().unwrap();
    assert_closed(&log, &files);
}

/// The writer goes, with its receipt still waited for: the flusher completes it.
pub(super) fn writer_dropped() {
    let bell = Arc::new(Bell::default());
    let mut rig = rig_with(Retention::UntilWritten, Some(Arc::clone(&bell) as _));
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let through = rig.writer.sequence();
    let receipt = rig.writer.durable();
    let flushing = thread::spawn(move || bell.flush(&log, through));
    let waiting = thread::spawn(move || {
        receipt.wait().unwrap();
        files.assert_durable(through);
    });
    drop(rig.writer);
    waiting.join().unwrap();
    flushing.join().unwrap();
}

#[test]
fn a_log_can_be_closed_while_it_is_appended_to() {
    check(while_appending);
}

#[test]
fn a_log_can_be_closed_while_it_is_waited_for() {
    check(while_blocked);
}

#[test]
fn a_log_can_be_closed_while_it_is_awaited() {
    check(while_awaited);
}

#[test]
fn a_log_can_be_closed_while_it_is_synced() {
    check(while_syncing);
}

#[test]
fn a_log_can_be_closed_while_its_epoch_is_ended() {
    check(while_ending_an_epoch);
}

#[test]
fn a_receipt_outlives_its_writer() {
    check(writer_dropped);
}
