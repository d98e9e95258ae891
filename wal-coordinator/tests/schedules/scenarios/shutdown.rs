//! The manager is dropped while cores append, wait, close epochs and make checkpoints: everybody who waits is told, every
//! thread ends, and what was acknowledged before or meanwhile holds.

use wal_coordinator::{CheckpointCoordinator, WriterError};

use crate::dice::Dice;
use crate::oracle::check_power_losses;
use crate::scenarios::actors::{Core, checkpoint, clock, wait_for};
use crate::story::Told;
use crate::world::{Shape, World, give_way};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let mut threads = Vec::new();
    for mut core in Core::all(&world, &mut manager, &shape, &mut dice) {
        let appends = 1 + dice.below(4);
        threads.push(shuttle::thread::spawn(move || {
            for _ in 0..appends {
                let done = core.append().map(drop).and_then(|()| core.acknowledge());
                if let Err(error) = done {
                    assert!(matches!(error, WriterError::Closed { .. }), "{error}");
                    return;
                }
            }
        }));
    }
    let (handle, noted) = (manager.handle(), world.clone());
    let mut forked = dice.fork();
    match dice.below(3) {
        0 => {
            let mut coordinator = CheckpointCoordinator::new(&manager);
            threads.push(shuttle::thread::spawn(move || {
                let _ = checkpoint(&noted, &mut coordinator, &handle);
            }));
        }
        1 => threads.push(shuttle::thread::spawn(move || {
            let epoch = handle.epoch();
            if wait_for(handle.epoch_durable(epoch), shape.is_inline(), &mut forked).is_ok() {
                noted.told_epoch(epoch);
            }
        })),
        _ => threads.push(shuttle::thread::spawn(move || {
            let epoch = handle.advance_epoch();
            if wait_for(handle.checkpointed(epoch), shape.is_inline(), &mut forked).is_ok() && epoch.0 > 0 {
                noted.told(Told::Checkpoint(epoch));
            }
        })),
    }
    if dice.once_in(3) {
        threads.push(clock(2));
    }
    (0..dice.below(30)).for_each(|_| give_way());
    drop(manager);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    check_power_losses(&world, &mut dice);
}
