//! The real drain against the writer: batches whole, the seal at the cut, nothing overwritten before it was read.

use std::sync::Arc;

use loom::thread;

use super::rig::{check, key, put, put_large, rig};
use crate::{Retention, WriteBatch};

/// A batch of two is appended while a drain runs: its two entries are in one frame, or neither is in any.
pub(super) fn batch() {
    let mut rig = rig(Retention::UntilDurable);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let appending = thread::spawn(move || {
        put(&mut rig.writer).unwrap();
        let mut batch = WriteBatch::new();
        let next = rig.writer.sequence();
        batch.put(&key(next), b"").put(&key(next.plus(1)), b"");
        rig.writer.append_batch(&batch).unwrap();
    });
    log.write_out().unwrap();
    let written = files.written();
    assert!(written != 2, "half a batch is in a file");
    assert!(written as u64 >= log.written().0.min(3));
    appending.join().unwrap();
    log.write_out().unwrap();
    assert_eq!(files.written(), 3);
}

/// A checkpoint wants the log cut exactly between two epochs, but a flusher may drain the later one first.
pub(super) fn seal() {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    let (files, coordinator, log) = (rig.files(), rig.coordinator(), Arc::clone(&rig.log));
    let appending = thread::spawn(move || put(&mut rig.writer).map(drop).unwrap());
    let flushing = thread::spawn(move || log.write_out().unwrap());
    let (cut, sealed) = coordinator.end_epoch(true);
    let sealed = sealed.unwrap().unwrap();
    assert_eq!(sealed.end.unwrap().sequence, cut, "sealed beside the cut");
    assert!(sealed.is_complete && sealed.has_barrier);
    files.assert_durable(cut);
    appending.join().unwrap();
    flushing.join().unwrap();
    rig.log.sync().unwrap();
    files.assert_cut(cut);
}

/// The ring is filled several times over while a flusher drains it: the writer waits for room, and helps.
pub(super) fn full_ring() {
    let mut rig = rig(Retention::UntilDurable);
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let flushing = thread::spawn(move || files.assert_durable(log.sync().unwrap()));
    let files = rig.files();
    for _ in 0..4 {
        let value = [0; 20];
        rig.writer.append_put(&key(rig.writer.sequence()), &value).unwrap();
    }
    flushing.join().unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
}

/// An entry goes beside the ring while a flusher drains what is in it.
pub(super) fn large() {
    let mut rig = rig(Retention::UntilDurable);
    put(&mut rig.writer).unwrap();
    let (files, log) = (rig.files(), Arc::clone(&rig.log));
    let flushing = thread::spawn({
        let files = files.clone();
        move || files.assert_durable(log.sync().unwrap())
    });
    put_large(&mut rig.writer).unwrap();
    put(&mut rig.writer).unwrap();
    flushing.join().unwrap();
    files.assert_durable(rig.writer.sync().unwrap());
}

#[test]
fn a_batch_is_drained_whole_or_not_at_all() {
    check(batch);
}

#[test]
fn a_log_is_sealed_at_the_cut_whoever_drains_first() {
    check(seal);
}

#[test]
fn a_full_ring_loses_nothing_while_it_is_drained() {
    check(full_ring);
}

#[test]
fn an_entry_beside_the_ring_keeps_its_place_while_it_is_drained() {
    check(large);
}
