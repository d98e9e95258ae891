//! The whole checkpoint against appends, syncs, readers and whoever waits: cut exactly, never released before its
//! manifest is durable, never written while read.

use std::sync::Arc;

use loom::thread;
use wal_format::{Epoch, FileName, Manifest, names};
use wal_writer::storage::model::{ModelImage, ModelStorage};

use super::rig::{Rig, check, put, rig};
use crate::checkpoint::CheckpointCoordinator;
use crate::store::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState};

/// An engine's own store that has room for everything.
struct Accepting;

impl CheckpointStore for Accepting {
    fn apply(&mut self, _: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        while changes.next()?.is_some() {}
        Ok(StoredState { external: true, ..StoredState::default() })
    }
}

pub(super) fn coordinator(rig: &Rig) -> CheckpointCoordinator {
    CheckpointCoordinator::of(Arc::clone(&rig.shared), Box::new(Accepting))
}

/// A log of one core with an entry in its first segment, durable.
fn with_an_entry() -> Rig {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    rig.writers[0].sync().unwrap();
    assert_released_in_order(&rig.storage);
    rig
}

/// A segment goes only if the manifest that the disk has does without it.
fn assert_released_in_order(storage: &ModelStorage) {
    storage.on_removal(|name: &str, disk: &ModelImage| {
        let Some(FileName::Segment(core, segment)) = FileName::parse(name) else { return };
        let manifest = disk.get(names::MANIFEST).map(|bytes| Manifest::decode(bytes).unwrap());
        let needed = manifest.and_then(|manifest| manifest.core(core).copied());
        assert!(needed.is_some_and(|needed| segment < needed.segment), "{name} goes, and recovery needs it");
    });
}

/// Its segment is released and used again for what is appended meanwhile.
pub(super) fn while_appending() {
    let mut rig = with_an_entry();
    let mut coordinator = coordinator(&rig);
    let mut writer = rig.writers.remove(0);
    let appending = thread::spawn(move || {
        put(&mut writer);
        writer.sync().unwrap();
        writer
    });
    let report = coordinator.create_checkpoint().unwrap();
    assert_eq!((report.epoch, report.segments_released), (Epoch(1), 1));
    assert_eq!(report.cleanup_error, None);
    let mut writer = appending.join().unwrap();
    let next = put(&mut writer);
    writer.sync().unwrap();
    let (mut rest, _pin) = rig.shared.merged(None, "rest").unwrap();
    for sequence in report.entries..=next.0 {
        assert_eq!(rest.next().unwrap().unwrap().sequence.0, sequence);
    }
}

/// Whoever reads finds every entry, also those whose segment the checkpoint would release.
pub(super) fn while_reading() {
    let mut rig = with_an_entry();
    let mut coordinator = coordinator(&rig);
    let reading = thread::spawn({
        let shared = Arc::clone(&rig.shared);
        move || {
            let (mut merged, _pin) = shared.merged(None, "reader").unwrap();
            while merged.next().unwrap().is_some() {}
        }
    });
    coordinator.create_checkpoint().unwrap();
    // Into the released segment, if there is one.
    put(&mut rig.writers[0]);
    rig.writers[0].sync().unwrap();
    reading.join().unwrap();
}

/// A flusher drains what may belong to the next epoch: the log is cut exactly all the same.
pub(super) fn while_draining() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    let mut coordinator = coordinator(&rig);
    let log = Arc::clone(rig.writers[0].log());
    let mut writer = rig.writers.remove(0);
    let draining = thread::spawn(move || {
        put(&mut writer);
        log.write_out().unwrap();
    });
    let report = coordinator.create_checkpoint().unwrap();
    assert!((1..=2).contains(&report.entries));
    draining.join().unwrap();
}

/// Somebody waits for the epoch that the checkpoint closes and cannot end, for want of space.
pub(super) fn while_waiting_for_space() {
    let mut rig = rig(1);
    put(&mut rig.writers[0]);
    rig.storage.fail_syncs(1);
    rig.storage.set_full(true);
    let mut coordinator = coordinator(&rig);
    let waiting = thread::spawn({
        let shared = Arc::clone(&rig.shared);
        move || shared.epoch_durable(Epoch(1)).wait().is_err()
    });
    assert!(coordinator.create_checkpoint().is_err(), "there is no space for it");
    assert!(waiting.join().unwrap(), "there is no space for the epoch");
    rig.storage.set_full(false);
    coordinator.create_checkpoint().unwrap();
    assert!(rig.shared.epoch_durable(Epoch(1)).is_ready());
}

#[test]
fn a_checkpoint_releases_only_what_its_manifest_does_without() {
    check(while_appending);
}

#[test]
fn a_segment_is_not_used_again_while_it_is_read() {
    check(while_reading);
}

#[test]
fn a_checkpoint_cuts_exactly_whoever_drains_first() {
    check(while_draining);
}

#[test]
fn whoever_waits_for_an_epoch_gets_to_know_that_its_checkpoint_failed() {
    check(while_waiting_for_space);
}
