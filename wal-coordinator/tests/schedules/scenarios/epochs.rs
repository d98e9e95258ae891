//! Epochs closed by several threads at a time while cores append: whoever learned of an epoch appends in it or later,
//! and an epoch that was called durable is a consistent cut.

use std::sync::mpsc::TryRecvError;

use shuttle::sync::mpsc::{Receiver, Sender, channel};
use wal_coordinator::Epoch;

use crate::dice::Dice;
use crate::oracle::check_power_losses;
use crate::scenarios::actors::{Core, clock, closing, wait_for};
use crate::world::{Shape, World};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let appends = 2 + dice.below(3);
    let mut cores = Core::all(&world, &mut manager, &shape, &mut dice);
    // A ring of messages: each core tells the next one in which epoch it appended.
    let (tells, mut hears): (Vec<_>, Vec<_>) = cores.iter().map(|_| channel()).unzip();
    hears.rotate_right(1);
    let ends = tells.into_iter().zip(hears);
    let mut threads: Vec<_> = cores
        .drain(..)
        .zip(ends)
        .map(|(core, (tell, hear))| shuttle::thread::spawn(move || talk(core, appends, &tell, &hear)))
        .collect();
    for _ in 0..1 + dice.below(2) {
        threads.push(closing(world.clone(), manager.handle(), shape, dice.fork()));
    }
    threads.push(clock(dice.below(3)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    if dice.once_in(2) {
        // The last one too, which nobody has closed yet.
        let last = manager.handle().epoch();
        wait_for(manager.handle().epoch_durable(last), shape.is_inline(), &mut dice).unwrap();
        world.told_epoch(last);
    }
    manager.close().unwrap();
    check_power_losses(&world, &mut dice);
}

/// Appends, tells the next core of it, and never appends in an older epoch than it has heard of.
fn talk(mut core: Core, appends: usize, tell: &Sender<Epoch>, hear: &Receiver<Epoch>) {
    let mut heard = Epoch(0);
    for _ in 0..appends {
        loop {
            match hear.try_recv() {
                Ok(epoch) => heard = heard.max(epoch),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let epoch = core.append().unwrap();
        assert!(epoch >= heard, "appended in {epoch} after hearing of {heard}");
        // Whoever is told may be gone.
        let _ = tell.send(epoch);
        if core.dice.once_in(3) {
            core.acknowledge().unwrap();
        }
        if core.dice.once_in(4) {
            let is_inline = core.is_inline;
            let receipt = core.handle.epoch_durable(epoch);
            wait_for(receipt, is_inline, &mut core.dice).unwrap();
            core.world.told_epoch(epoch);
        }
    }
}
