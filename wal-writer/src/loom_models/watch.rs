//! Looking at a log from outside: the rungs in one snapshot are in their order.

use std::sync::Arc;

use loom::thread;

use super::rig::{check, put, rig};
use crate::{CoreLog, Retention};

/// Somebody looks while the owner appends and another thread syncs.
pub(super) fn rungs() {
    let mut rig = rig(Retention::UntilDurable);
    // So that there is something to sync: the drain may then meet the second in the middle of its append.
    put(&mut rig.writer).unwrap();
    let (syncing, watching) = (Arc::clone(&rig.log), Arc::clone(&rig.log));
    let syncing = thread::spawn(move || drop(syncing.sync().unwrap()));
    let watching = thread::spawn(move || look(&watching));
    put(&mut rig.writer).unwrap();
    syncing.join().unwrap();
    watching.join().unwrap();
    rig.writer.sync().unwrap();
    assert_eq!(look(&rig.log), [2, 2, 2]);
}

fn look(log: &CoreLog) -> [u64; 3] {
    let stats = log.stats();
    let rungs = [stats.durable_entries, stats.written_entries, stats.entries];
    assert!(rungs.is_sorted(), "{rungs:?}");
    rungs
}

#[test]
fn loom_rungs_of_a_snapshot_are_in_their_order() {
    check(rungs);
}
