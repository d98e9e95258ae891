//! Epochs: durable only when every core's file is synced, one after the other, and whoever waits is told.

use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;
use wal_format::{CoreId, Epoch};

use super::rig::{Rig, assert_durable, check, put, rig};
use crate::epochs::EpochTracker;
use crate::flusher::EndOfEpoch;
use crate::shared::{ClosedEpoch, Reason, Shared};
use wal_writer::EpochEnd;

/// Two cores report, each after its sync.
pub(super) fn two_reports() {
    let tracker = Arc::new(EpochTracker::new(Epoch(0)));
    let synced = Arc::new(AtomicUsize::new(0));
    tracker.closed(Epoch(1), &[0, 1], 0);
    for core in 0..2 {
        let (tracker, synced) = (Arc::clone(&tracker), Arc::clone(&synced));
        thread::spawn(move || {
            synced.fetch_add(1, Relaxed);
            tracker.core_done(Epoch(1), core, 0);
        });
    }
    if tracker.durable_epoch() == Epoch(1) {
        assert_eq!(synced.load(Relaxed), 2);
    }
}

fn end_of(shared: &Shared, closed: &ClosedEpoch, index: usize) -> EndOfEpoch {
    let end = EpochEnd { epoch: closed.epoch, barrier: Some(shared.barrier(closed)), seal: false };
    EndOfEpoch { index, end, reply: None }
}

/// A log of two cores with an entry each.
fn two_cores() -> Rig {
    let mut rig = rig(2);
    for writer in &mut rig.writers {
        put(writer);
    }
    rig
}

/// Two flushers end the epoch, each on one core: the cross-core acknowledgement.
pub(super) fn two_ends() {
    let rig = two_cores();
    let shared = &rig.shared;
    let closed = shared.close_epoch(Reason::Asked).unwrap();
    assert_eq!(closed.participants, [0, 1]);
    let assert_both_durable = || {
        assert_durable(&rig.storage, CoreId(0), closed.cuts[0]);
        assert_durable(&rig.storage, CoreId(1), closed.cuts[1]);
    };
    let ending = thread::spawn({
        let (shared, end) = (Arc::clone(shared), end_of(shared, &closed, 0));
        move || shared.run_end(end)
    });
    shared.run_end(end_of(shared, &closed, 1));
    if shared.tracker.durable_epoch() == closed.epoch {
        assert_both_durable();
    }
    shared.epoch_durable(closed.epoch).wait().unwrap();
    assert_both_durable();
    ending.join().unwrap();
}

/// Two close an epoch each: the second is not durable before the first, whoever is faster.
pub(super) fn two_closes() {
    let Rig { storage, shared, mut writers } = rig(2);
    put(&mut writers[1]);
    let close = |shared: &Shared| {
        // Epoch 1 has entries of core 1, epoch 2 has none: the first core writes its barrier.
        let closed = shared.close_epoch(Reason::Awaited).unwrap();
        assert_eq!(closed.participants, [usize::from(closed.epoch == Epoch(1))]);
        shared.run_end(end_of(shared, &closed, closed.participants[0]));
    };
    let closing = thread::spawn({
        let shared = Arc::clone(&shared);
        move || close(&shared)
    });
    close(&shared);
    if shared.tracker.durable_epoch() >= Epoch(1) {
        assert_durable(&storage, CoreId(1), writers[1].sequence());
    }
    closing.join().unwrap();
    assert_eq!(shared.tracker.durable_epoch(), Epoch(2));
}

/// Two wait for an epoch that nobody has closed, without flushers: one of them closes it, both get to know.
pub(super) fn two_who_wait() {
    let rig = two_cores();
    let shared = &rig.shared;
    let waiting = thread::spawn({
        let shared = Arc::clone(shared);
        move || shared.epoch_durable(Epoch(1)).wait().unwrap()
    });
    shared.epoch_durable(Epoch(1)).wait().unwrap();
    assert_durable(&rig.storage, CoreId(0), rig.writers[0].sequence());
    assert_durable(&rig.storage, CoreId(1), rig.writers[1].sequence());
    waiting.join().unwrap();
}

/// The same on a disk that fails and is full: whoever waits is told why, or the epoch is durable after all.
pub(super) fn two_who_wait_for_space() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    rig.storage.fail_syncs(1);
    rig.storage.set_full(true);
    let shared = &rig.shared;
    let waiting = thread::spawn({
        let shared = Arc::clone(shared);
        move || shared.epoch_durable(Epoch(1)).wait().is_err()
    });
    let failed = shared.epoch_durable(Epoch(1)).wait().is_err();
    assert!(failed && waiting.join().unwrap(), "there is no space for the epoch");
}

#[test]
fn an_epoch_is_acknowledged_only_after_every_cores_report() {
    check(two_reports);
}

#[test]
fn an_epoch_is_durable_only_when_every_cores_file_is_synced() {
    check(two_ends);
}

#[test]
fn epochs_become_durable_in_their_order() {
    check(two_closes);
}

#[test]
fn whoever_waits_for_an_epoch_without_flushers_gets_to_know_it() {
    check(two_who_wait);
}

#[test]
fn whoever_waits_for_an_epoch_without_flushers_gets_to_know_that_it_failed() {
    check(two_who_wait_for_space);
}
