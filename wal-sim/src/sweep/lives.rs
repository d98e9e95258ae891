//! Row 7, drawn: up to four lives on one disk, in each of which up to three calls fail, so that files are used again of which
//! an earlier life lost something. At moments of them, calls in flight included, clean pages leave the cache; then a process
//! that starts again finds in the cache what it would find on the medium, and after a power loss all that was durable is there.

use wal_coordinator::Retention;

use super::check::{check_cache, check_disk};
use super::life::{Life, LifeError, Story};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{CallKind, Effect, Fault, Pick, Random, SimDisk, Snapshot, Unit};

/// Of a budget's images, what one disk with its lives comes to.
const IMAGES_A_DISK: u64 = 500;
/// After each life, so many moments of all lives so far.
const MOMENTS: usize = 6;

struct Lives {
    disks: u64,
    seed: u64,
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    Ok(Box::new(Lives { disks: (budget.images / IMAGES_A_DISK).max(8), seed: budget.seed }))
}

impl Sweep for Lives {
    fn units(&self) -> usize {
        self.disks as usize
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let mut random = Random::new(self.seed << 32 ^ unit as u64);
        let mut disk = SimDisk::new(random.next()).recording();
        let mut story = Story::new();
        for number in 0..1 + random.below(4) {
            (0..random.below(4)).for_each(|_| disk.inject(fault(&mut random)));
            match story.live(&disk, &life(&mut random)) {
                Ok(()) => {}
                Err(LifeError::Open(_)) => tally.note("lives that could not begin"),
                Err(LifeError::Wrong(what)) => return Err(format!("life {number}: {what}")),
            }
            disk.heal();
            let snapshots = disk.snapshots();
            for _ in 0..MOMENTS {
                moment(&snapshots, &story, &mut random, tally)
                    .map_err(|what| format!("life {number}, {what}"))?;
            }
            // The call that would have told of an error may not have come any more.
            story.forget_written();
            disk = disk.reboot();
        }
        Ok(())
    }
}

fn moment(snapshots: &[Snapshot], story: &Story, random: &mut Random, tally: &Tally) -> Result<(), String> {
    let snapshot = &snapshots[random.below(snapshots.len() as u64) as usize];
    let calls = snapshot.calls();
    let (model, promised) = (story.model_at(calls), story.promised(calls));
    let now = snapshot.disk();
    if random.once_in(3) {
        now.forget_some(random);
    }
    tally.count();
    check_cache(&now, model).map_err(|what| format!("after {calls} calls: {what}"))?;
    let pick = [Pick::Nothing, Pick::All, Pick::Seed(random.next())][random.below(3) as usize];
    let image = snapshot.undecided(Unit::Sector).image(pick);
    tally.count();
    check_disk(&SimDisk::from_image(&image, 0), model, promised)
        .map_err(|what| format!("power loss after {calls} calls, {pick:?}: {what}"))?;
    Ok(())
}

fn fault(random: &mut Random) -> Fault {
    const ALL: &[CallKind] = &[CallKind::Sync, CallKind::Write, CallKind::SyncDirectory, CallKind::Create];
    let kinds = [&[CallKind::Sync][..], &[CallKind::Write], ALL][random.below(3) as usize];
    let effect = Effect::Error(std::io::ErrorKind::Other);
    Fault { kinds, after: random.below(60), effect, for_good: random.once_in(12) }
}

fn life(random: &mut Random) -> Life {
    Life {
        cores: 1 + random.below(3) as usize,
        rounds: 2 + random.below(30) as usize,
        seed: random.next(),
        retention: if random.once_in(2) { Retention::UntilDurable } else { Retention::UntilWritten },
        heal_at: None,
    }
}
