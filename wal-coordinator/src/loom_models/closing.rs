//! Closing the whole log while somebody waits, ends an epoch or makes a checkpoint: everybody returns.

use std::sync::Arc;

use loom::thread;
use wal_format::{CoreId, Epoch};
use wal_writer::WriterError;

use super::rig::{assert_durable, check, put, rig};

/// For a checkpoint that nobody makes: only closing can end it.
pub(super) fn while_waiting_for_a_checkpoint() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    let waiting = thread::spawn({
        let shared = Arc::clone(&rig.shared);
        move || shared.checkpointed(Epoch(1)).wait()
    });
    rig.shared.close();
    assert!(matches!(waiting.join().unwrap(), Err(WriterError::Closed { .. })));
    assert_durable(&rig.storage, CoreId(0), rig.writers[0].sequence());
}

/// For an epoch that is ended on the thread that waits.
pub(super) fn while_waiting_for_an_epoch() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    let waiting = thread::spawn({
        let shared = Arc::clone(&rig.shared);
        move || shared.epoch_durable(Epoch(1)).wait()
    });
    rig.shared.close();
    match waiting.join().unwrap() {
        Ok(()) => assert_eq!(rig.shared.tracker.durable_epoch(), Epoch(1)),
        Err(error) => assert!(matches!(error, WriterError::Closed { .. }), "{error}"),
    }
    assert_durable(&rig.storage, CoreId(0), rig.writers[0].sequence());
}

#[test]
fn a_log_can_be_closed_while_a_checkpoint_is_waited_for() {
    check(while_waiting_for_a_checkpoint);
}

#[test]
fn a_log_can_be_closed_while_an_epoch_is_waited_for() {
    check(while_waiting_for_an_epoch);
}
