//! Calls to the storage fail, once or for good, at places that the dice choose: the log goes on elsewhere or says that
//! it is poisoned, whoever waits is told, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use parking_lot::Mutex;
use wal_coordinator::{CheckpointCoordinator, WriterError, pass_time};
use wal_writer::storage::recording::{Fault, OperationKind};

use crate::dice::Dice;
use crate::oracle::check_power_losses;
use crate::scenarios::actors::{Core, checkpoint, close_epoch};
use crate::world::{Shape, World};

/// Each failed attempt is made up for by the next tick; faults come to an end long before.
const TICKS_MAX: usize = 2_000;

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let appends = 2 + dice.below(3);
    let first = fault(&mut dice);
    for next in 0..dice.below(4) as u64 {
        // The same again soon after: what stands in for a failed file fails too.
        let again = Fault { after: first.after + 1 + next, ..first.clone() };
        world.storage.inject(if dice.once_in(2) { again } else { fault(&mut dice) });
    }
    world.storage.inject(first);
    let busy = Arc::new(Mutex::new(BTreeSet::new()));
    let play = |name: String, part: Box<dyn FnOnce() + Send>| {
        busy.lock().insert(name.clone());
        let busy = Arc::clone(&busy);
        shuttle::thread::spawn(move || {
            part();
            busy.lock().remove(&name);
        })
    };
    let mut threads = Vec::new();
    for mut core in Core::all(&world, &mut manager, &shape, &mut dice) {
        let name = format!("core {}", core.writer.core_id());
        threads.push(play(
            name,
            Box::new(move || {
                for _ in 0..appends {
                    // Refused or not acknowledged: an error says so, and the story has it.
                    let _ = core.append().map(drop).and_then(|()| core.acknowledge()).inspect_err(is_fair);
                }
            }),
        ));
    }
    let (handle, noted, mut forked) = (manager.handle(), world.clone(), dice.fork());
    if dice.once_in(2) {
        let mut coordinator = CheckpointCoordinator::new(&manager);
        threads.push(play(
            "checkpoint".to_owned(),
            Box::new(move || {
                let _ = checkpoint(&noted, &mut coordinator, &handle);
            }),
        ));
    } else {
        threads.push(play(
            "closer".to_owned(),
            Box::new(move || drop(close_epoch(&noted, &handle, &shape, &mut forked))),
        ));
    }
    // What failed for want of a segment is tried again when time passes; so it does, while anybody waits.
    for ticks in 0.. {
        if busy.lock().is_empty() {
            break;
        }
        assert!(ticks < TICKS_MAX, "{:?} still wait after {ticks} ticks", busy.lock());
        shuttle::thread::yield_now();
        pass_time();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let _ = manager.close();
    check_power_losses(&world, &mut dice);
}

fn is_fair(error: &WriterError) {
    assert!(!matches!(error, WriterError::Closed { .. }), "nobody closed the log");
}

fn fault(dice: &mut Dice) -> Fault {
    let kinds = [
        OperationKind::Sync,
        OperationKind::Sync,
        OperationKind::Write,
        OperationKind::Create,
        OperationKind::Rename,
        OperationKind::SyncDirectory,
        OperationKind::Allocate,
    ];
    // Never for good: without any new segment, a wait for a flusher has no end.
    Fault {
        kind: Some(kinds[dice.below(kinds.len())]),
        name: None,
        after: dice.below(12) as u64,
        error: ErrorKind::Other,
        for_good: false,
    }
}
