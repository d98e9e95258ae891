//! The disk fills up and becomes free again while cores append and epochs close: refused is refused, what was accepted
//! stays, and when there is room everything that was asked for happens by itself.

use wal_coordinator::{CheckpointCoordinator, pass_time};

use crate::dice::Dice;
use crate::oracle::check_power_losses;
use crate::scenarios::actors::{Core, checkpoint};
use crate::world::{Shape, World, give_way};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let segment_bytes = wal_writer::SEGMENT_BYTES_MIN;
    let quota = segment_bytes * (1 + dice.below(2 * shape.cores) as u64) + 4096;
    world.storage.set_quota(Some(quota));
    let appends = 2 + dice.below(3);
    let mut threads = Vec::new();
    for mut core in Core::all(&world, &mut manager, &shape, &mut dice) {
        threads.push(shuttle::thread::spawn(move || {
            for _ in 0..appends {
                let _ = core.append();
                core.look();
            }
            core
        }));
    }
    let handle = manager.handle();
    let closed = handle.advance_epoch();
    if dice.once_in(2) {
        let mut coordinator = CheckpointCoordinator::new(&manager);
        let _ = checkpoint(&world, &mut coordinator, &handle);
    }
    // There may be an end of an epoch that found no room, and a receipt that somebody holds since then.
    let waits = (!shape.is_inline()).then(|| {
        let (handle, noted) = (handle.clone(), world.clone());
        shuttle::thread::spawn(move || {
            handle.epoch_durable(closed).wait().unwrap();
            noted.told_epoch(closed);
        })
    });
    (0..dice.below(20)).for_each(|_| give_way());
    world.storage.set_quota(None);
    // Time passes for as long as somebody waits for it.
    if let Some(waits) = waits {
        let receipt = handle.epoch_durable(closed);
        while !receipt.is_ready() {
            pass_time();
            shuttle::thread::yield_now();
        }
        waits.join().unwrap();
    }
    let cores: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for mut core in cores {
        core.append().unwrap();
        core.writer.sync().unwrap();
        core.look();
    }
    let mut coordinator = CheckpointCoordinator::new(&manager);
    assert!(checkpoint(&world, &mut coordinator, &handle), "there is room again");
    drop((handle, coordinator));
    manager.close().unwrap();
    check_power_losses(&world, &mut dice);
}
