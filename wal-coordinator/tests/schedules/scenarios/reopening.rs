//! A life, a power loss in the middle of it, and a second life with another number of cores on what is left.

use wal_coordinator::{CheckpointCoordinator, PerCoreWalError, PerCoreWalManager};
use wal_reader::MemorySource;
use wal_recovery::PerCoreRecoveryManager;
use wal_writer::storage::recording::{Image, Pick};

use crate::dice::Dice;
use crate::oracle::{check_power_loss, check_power_losses};
use crate::scenarios::actors::{Core, checkpoint, clock, close_epoch};
use crate::story::{Notes, Story, Told};
use crate::world::{Shape, World};

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let world = World::new();
    live(&world, &mut dice);
    let notes = world.story.notes();
    let events = dice.below(world.storage.event_count() + 1);
    let names = if dice.once_in(2) { Pick::All } else { Pick::Nothing };
    let image = check_power_loss(&world, &notes, events, Pick::Seed(dice.next()), names);
    if !image.contains_key("wal.meta") {
        return;
    }
    // The next life begins with what came back, and knows nothing of the rest.
    let (story, inherited) = inherited(&image, notes);
    let world = World::after_crash(image, story);
    inherited.into_iter().for_each(|told| world.story.promise(0, told));
    live(&world, &mut dice);
    check_power_losses(&world, &mut dice);
}

/// Appends, epochs, a checkpoint, all at once; then closed, while a writer or a handle may be left.
fn live(world: &World, dice: &mut Dice) {
    let shape = Shape::drawn(dice);
    let mut config = world.config(&shape);
    // Recovery's threads are real ones.
    config.threads_max = 1;
    let mut manager = PerCoreWalManager::new(config).unwrap_or_else(|error| panic!("{shape:?}: {error}"));
    let mut threads = Vec::new();
    for mut core in Core::all(world, &mut manager, &shape, dice) {
        let appends = dice.below(4);
        threads.push(shuttle::thread::spawn(move || {
            for _ in 0..appends {
                core.append().unwrap();
                core.acknowledge().unwrap();
            }
        }));
    }
    let (handle, noted, mut forked) = (manager.handle(), world.clone(), dice.fork());
    if dice.once_in(2) {
        let mut coordinator = CheckpointCoordinator::new(&manager);
        threads.push(shuttle::thread::spawn(move || {
            assert!(checkpoint(&noted, &mut coordinator, &handle), "a checkpoint failed");
        }));
    } else {
        threads
            .push(shuttle::thread::spawn(move || close_epoch(&noted, &handle, &shape, &mut forked).unwrap()));
    }
    if dice.once_in(3) {
        let again = PerCoreWalManager::new(world.config(&shape));
        assert!(matches!(again, Err(PerCoreWalError::InUse { .. })), "opened twice");
    }
    threads.push(clock(dice.below(2)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    manager.close().unwrap();
}

/// The story of what is left, and what it promises from the start.
fn inherited(image: &Image, notes: Notes) -> (Story, Vec<Told>) {
    let mut source = MemorySource::new();
    image.iter().for_each(|(name, bytes)| source.insert(name.clone(), bytes.clone()));
    let recovery = PerCoreRecoveryManager::with_source(std::sync::Arc::new(source)).threads_max(1);
    let plan = recovery.plan().unwrap_or_else(|error| panic!("{error}"));
    let mut cores = notes.cores;
    let mut told = Vec::new();
    for (index, core) in cores.iter_mut().enumerate() {
        let resume = plan.resume.core(wal_coordinator::CoreId(u16::try_from(index).unwrap()));
        let end = resume.map_or(0, |core| core.next_sequence.0);
        core.truncate(usize::try_from(end).unwrap());
        told.push(Told::Durable(index, end));
    }
    (Story::going_on(cores), told)
}
