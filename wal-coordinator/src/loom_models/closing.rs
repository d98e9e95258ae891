//! Closing the whole log while somebody waits, ends an epoch or makes a checkpoint: everybody returns.

use std::sync::Arc;

use loom::thread;
use wal_format::{CoreId, Epoch, names};
use wal_writer::WriterError;

use super::checkpoints::coordinator;
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

/// A checkpoint is made, or fails as a whole; whoever waits for it hears the same.
pub(super) fn while_checkpointing() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    let mut coordinator = coordinator(&rig);
    let checkpointing = thread::spawn(move || coordinator.create_checkpoint().is_ok());
    rig.shared.close();
    let is_made = checkpointing.join().unwrap();
    assert_eq!(rig.shared.checkpointed(Epoch(1)).wait().is_ok(), is_made);
    assert_eq!(rig.storage.durable().contains_key(names::MANIFEST), is_made);
}

/// A core is poisoned while somebody waits for an epoch of it: that epoch fails, and every later one.
pub(super) fn while_a_core_is_poisoned() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    rig.writers[0].sync().unwrap();
    // To make a segment takes syncs of its own.
    rig.shared.supply.prepare(CoreId(0)).unwrap();
    put(&mut rig.writers[0]);
    rig.storage.fail_syncs(2);
    let waiting = thread::spawn({
        let shared = Arc::clone(&rig.shared);
        move || shared.epoch_durable(Epoch(1)).wait()
    });
    assert!(matches!(rig.writers[0].sync(), Err(WriterError::Poisoned { .. })));
    assert!(matches!(waiting.join().unwrap(), Err(WriterError::Poisoned { .. })));
    assert!(matches!(rig.shared.epoch_durable(Epoch(2)).wait(), Err(WriterError::Poisoned { .. })));
    assert_durable(&rig.storage, CoreId(0), rig.writers[0].log().durable());
}

#[test]
fn a_log_can_be_closed_while_a_checkpoint_is_made() {
    check(while_checkpointing);
}

#[test]
fn a_poisoned_core_fails_the_epochs_that_are_waited_for() {
    check(while_a_core_is_poisoned);
}

#[test]
fn a_log_can_be_closed_while_a_checkpoint_is_waited_for() {
    check(while_waiting_for_a_checkpoint);
}

#[test]
fn a_log_can_be_closed_while_an_epoch_is_waited_for() {
    check(while_waiting_for_an_epoch);
}
