//! Cores append and ask for acknowledgements of all kinds; whatever was acknowledged is still there.

use crate::dice::Dice;
use crate::oracle::{check_kill, check_power_losses};
use crate::scenarios::actors::{Core, clock};
use crate::world::{Shape, World};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let appends = 2 + dice.below(3);
    let cores = Core::all(&world, &mut manager, &shape, &mut dice);
    let ticking = clock(dice.below(3));
    let threads: Vec<_> = cores
        .into_iter()
        .map(|mut core| {
            shuttle::thread::spawn(move || {
                for _ in 0..appends {
                    core.append().unwrap();
                    core.acknowledge().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ticking.join().unwrap();
    manager.close().unwrap();
    check_power_losses(&world, &mut dice);
    check_kill(&world, &mut dice);
}
