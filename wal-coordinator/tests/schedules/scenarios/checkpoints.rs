//! Checkpoints while cores append, epochs close and readers merge: the checkpoint holds exactly its epochs, nothing is
//! released before it is durable, and nothing that somebody reads.

use wal_coordinator::CheckpointCoordinator;

use crate::dice::Dice;
use crate::oracle::check_power_losses;
use crate::scenarios::actors::{Core, checkpoint, checkpointing, clock, close_epoch, merge, wait_for};
use crate::story::Told;
use crate::world::{Shape, World};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let appends = 2 + dice.below(4);
    let mut threads = Vec::new();
    for core in Core::all(&world, &mut manager, &shape, &mut dice) {
        // Some cores have nothing to say.
        let appends = if dice.once_in(5) { 0 } else { appends };
        threads.push(core.appending(appends));
    }
    let checkpoints = 1 + dice.below(2);
    threads.push(checkpointing(&world, &manager, checkpoints));
    if dice.once_in(2) {
        let (handle, noted) = (manager.handle(), world.clone());
        threads.push(shuttle::thread::spawn(move || merge(&noted, &handle)));
    }
    if dice.once_in(2) {
        let (handle, noted, mut dice) = (manager.handle(), world.clone(), dice.fork());
        threads
            .push(shuttle::thread::spawn(move || close_epoch(&noted, &handle, &shape, &mut dice).unwrap()));
    }
    if dice.once_in(3) {
        // The first epoch is in the first checkpoint, whoever else closes epochs before it.
        let (handle, noted, mut dice) = (manager.handle(), world.clone(), dice.fork());
        threads.push(shuttle::thread::spawn(move || {
            let first = wal_coordinator::Epoch(1);
            wait_for(handle.checkpointed(first), shape.is_inline(), &mut dice).unwrap();
            noted.told(Told::Checkpoint(first));
        }));
    }
    threads.push(clock(dice.below(3)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    if dice.once_in(3) {
        merge(&world, &manager.handle());
        let mut coordinator = CheckpointCoordinator::new(&manager);
        assert!(checkpoint(&world, &mut coordinator, &manager.handle()), "the last checkpoint failed");
    }
    manager.close().unwrap();
    check_power_losses(&world, &mut dice);
}
