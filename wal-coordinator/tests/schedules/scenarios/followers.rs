//! Followers inside the engine while cores append, epochs close and checkpoints release: each gets every durable epoch,
//! in the global order and nothing before it is durable, is woken, and falls behind only when it has lost its hold.

use std::time::Duration;

use shuttle::thread::JoinHandle;
use wal_coordinator::{
    Epoch, FollowError, FollowOptions, LogFollower, LogHandle, PerCoreWalEntry, PerCoreWalError, Start,
};

use crate::dice::Dice;
use crate::oracle::{check_merge, check_power_losses};
use crate::scenarios::actors::{Core, checkpointing, clock, closing, wait_for};
use crate::world::{Shape, World, give_way};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let (world, shape) = (World::new(), Shape::drawn(&mut dice));
    let mut manager = world.open(&shape);
    let appends = 2 + dice.below(4);
    let mut threads = Vec::new();
    for core in Core::all(&world, &mut manager, &shape, &mut dice) {
        let appends = if dice.once_in(5) { 0 } else { appends };
        threads.push(core.appending(appends));
    }
    let followers: Vec<_> = (0..1 + dice.below(2))
        .map(|_| Followed::begin(&world, manager.handle(), dice.fork()).spawn())
        .collect();
    for _ in 0..1 + dice.below(2) {
        threads.push(closing(world.clone(), manager.handle(), shape, dice.fork()));
    }
    let checkpoints = dice.below(3);
    threads.push(checkpointing(&world, &manager, checkpoints));
    threads.push(clock(dice.below(3)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let handle = manager.handle();
    let last = handle.epoch();
    wait_for(handle.epoch_durable(last), shape.is_inline(), &mut dice).unwrap();
    world.told_epoch(last);
    // Whoever waits for more is told that none will come.
    manager.close().unwrap();
    for follower in followers {
        follower.join().unwrap().check(&world, last, handle.durable_epoch());
    }
    check_power_losses(&world, &mut dice);
}

/// A follower, and what it was handed.
struct Followed {
    world: World,
    handle: LogHandle,
    follower: LogFollower,
    pin_bytes_max: Option<u64>,
    dice: Dice,
    entries: Vec<PerCoreWalEntry>,
    fell_behind: bool,
}

impl Followed {
    fn begin(world: &World, handle: LogHandle, mut dice: Dice) -> Self {
        let pin_bytes_max = if dice.once_in(3) { Some(16 * 1024) } else { None };
        let options = FollowOptions::new("follower").pin_bytes_max(pin_bytes_max);
        let follower = handle.follow(options).unwrap();
        let (world, entries) = (world.clone(), Vec::new());
        Self { world, handle, follower, pin_bytes_max, dice, entries, fell_behind: false }
    }

    fn spawn(mut self) -> JoinHandle<Self> {
        shuttle::thread::spawn(move || {
            while self.step() {
                if self.dice.once_in(4) {
                    give_way();
                }
            }
            self
        })
    }

    /// Waits for the next entry; false when there will be none.
    fn step(&mut self) -> bool {
        if self.dice.once_in(8) {
            // The new one holds what it needs before the old one lets go.
            let start = Start::At(self.follower.position());
            let options = FollowOptions::new("again").start(start).pin_bytes_max(self.pin_bytes_max);
            let again = self.handle.follow(options).unwrap();
            // Only now: a checkpoint may have taken its hold while the new one came to its own.
            self.fell_behind |= !self.follower.is_pinned();
            self.follower = again;
        }
        match self.follower.advance_within(LONG) {
            // The time is over as soon as others have run: no time passes here.
            Ok(false) => true,
            Ok(true) => {
                let entry = self.follower.entry().to_owned();
                let durable = self.handle.durable_epoch();
                assert!(entry.epoch <= durable, "{entry:?} was handed out, durable is {durable}");
                self.world.told_epoch(entry.epoch);
                self.entries.push(entry);
                true
            }
            Err(PerCoreWalError::Follow(error @ FollowError::FellBehind { .. })) => {
                assert!(self.fell_behind || !self.follower.is_pinned(), "{error}, and it held what it needs");
                self.fell_behind = true;
                false
            }
            Err(PerCoreWalError::Writer(_)) => {
                self.fell_behind = false;
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// It was handed all of `last` and before, and no more than what is `durable`.
    fn check(&self, world: &World, last: Epoch, durable: Epoch) {
        let notes = world.story.notes();
        let mut ends = vec![0; notes.cores.len()];
        check_merge(&self.entries, &notes, &mut ends, "followed");
        assert!(self.entries.iter().all(|entry| entry.epoch <= durable));
        if !self.fell_behind {
            for (core, end) in ends.into_iter().enumerate() {
                let whole = notes.cut(core, last);
                assert!(end >= whole, "of core {core} {end} entries were followed, {last} has {whole}");
            }
        }
    }
}
