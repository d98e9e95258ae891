//! Row 15: power losses and I/O errors inside recovery and opening, of logs that a power loss left: at every call; and
//! within the opening that follows such a power loss once more. Recovery gives the same as if nothing had happened.

use std::sync::Arc;

use wal_coordinator::{PerCoreWalManager, Retention, Scope};

use super::check::{check_cache, check_disk, recover};
use super::life::{Life, Story, config_of};
use super::power_loss::{Reference, references};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{CallKind, Fault, Image, Pick, Random, SimDisk, Snapshot, Unit};

/// Of the images of power losses, how many are tried here.
const SHARE_PERCENT: u64 = 10;
/// What one unit comes to, about.
const CASES_A_UNIT: u64 = 500;

/// Where the first power loss is: reference and snapshot.
struct Interrupted {
    references: Vec<Reference>,
    places: Vec<(usize, usize)>,
    seed: u64,
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let references = references(budget.seed)?;
    let mut places: Vec<_> = Vec::new();
    for (number, reference) in references.iter().enumerate() {
        places.extend((0..reference.snapshots.len()).map(|at| (number, at)));
    }
    // Those inside checkpoints first: there is most to be interrupted.
    let log = |(number, at): (usize, usize)| {
        let reference = &references[number];
        let last = reference.snapshots[at].calls().checked_sub(1)?;
        reference.log.get(last as usize).map(|(kind, name)| is_of_checkpoint(*kind, name))
    };
    let mut random = Random::new(budget.seed);
    places.sort_by_cached_key(|place| (log(*place) != Some(true), random.next()));
    let (inside, outside): (Vec<_>, Vec<_>) = places.into_iter().partition(|place| log(*place) == Some(true));
    let units = (budget.images / 100 * SHARE_PERCENT / CASES_A_UNIT).max(4) as usize;
    let places =
        inside.into_iter().take(units / 2).chain(outside.into_iter().take(units - units / 2)).collect();
    Ok(Box::new(Interrupted { references, places, seed: budget.seed }))
}

fn is_of_checkpoint(kind: CallKind, name: &str) -> bool {
    name.starts_with("run-") || name.starts_with("checkpoint") || kind == CallKind::Rename
}

impl Sweep for Interrupted {
    fn units(&self) -> usize {
        self.places.len()
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let (number, at) = self.places[unit];
        let reference = &self.references[number];
        let snapshot = &reference.snapshots[at];
        let mut random = Random::new(self.seed ^ (unit as u64) << 20);
        let pick = Pick::Seed(random.next());
        let image = snapshot.undecided(Unit::Sector).image(pick);
        let place = || format!("{}, power loss after {} calls, {pick:?}", reference.name, snapshot.calls());
        let case = Case::new(&image, &reference.story, snapshot, &mut random)
            .map_err(|what| format!("{}: {what}", place()))?;
        if let Some(case) = case {
            case.sweep(&mut random, tally).map_err(|what| format!("{}, {what}", place()))?;
        }
        Ok(())
    }
}

/// A log after a power loss, and what recovery makes of it.
struct Case<'a> {
    image: &'a Image,
    story: &'a Story,
    calls: u64,
    ends: Vec<u64>,
    life: Life,
}

impl<'a> Case<'a> {
    fn new(
        image: &'a Image,
        story: &'a Story,
        snapshot: &Snapshot,
        random: &mut Random,
    ) -> Result<Option<Self>, String> {
        let calls = snapshot.calls();
        let (model, promise) = (story.model_at(calls), story.promised(calls));
        let ends = check_disk(&SimDisk::from_image(image, 0), model, promise)?;
        let cores = 1 + random.below(4) as usize;
        let life = Life { cores, rounds: 0, seed: 0, retention: Retention::UntilDurable, heal_at: None };
        Ok(Some(Self { image, story, calls, ends, life }))
    }

    fn sweep(&self, random: &mut Random, tally: &Tally) -> Result<(), String> {
        self.power_losses(self.image, 2, random, tally)?;
        self.failed_reads(tally)?;
        self.failed_openings(random, tally)
    }

    /// Opens `image`, loses power after every change, and recovers; nested `depth` times.
    fn power_losses(
        &self,
        image: &Image,
        depth: usize,
        random: &mut Random,
        tally: &Tally,
    ) -> Result<(), String> {
        let disk = SimDisk::from_image(image, random.next()).recording();
        let manager = self.open(&disk).map_err(|error| format!("opening: {error}"))?;
        let snapshots = disk.snapshots();
        // Whatever dropping the manager does is not part of this.
        let _ = disk.reboot();
        drop(manager);
        for snapshot in &snapshots {
            for unit in [Unit::Sector, Unit::Page] {
                let undecided = snapshot.undecided(unit);
                let seeds = [Pick::Seed(random.next()), Pick::Seed(random.next())];
                for pick in [Pick::Nothing, Pick::All].into_iter().chain(seeds) {
                    let image = undecided.image(pick);
                    let within = || {
                        format!("opening, power loss after {} calls, {unit:?}, {pick:?}", snapshot.calls())
                    };
                    if tally.is_new(Random::new(image.hash() ^ self.calls << 20).next()) {
                        self.same(&SimDisk::from_image(&image, 0))
                            .map_err(|what| format!("{}: {what}", within()))?;
                    }
                    if depth > 1 && random.once_in(8) {
                        tally.count_whole();
                        self.power_losses(&image, depth - 1, random, tally)
                            .map_err(|what| format!("{}, then {what}", within()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Every call of recovery fails, once and for good.
    fn failed_reads(&self, tally: &Tally) -> Result<(), String> {
        let model = self.story.model_at(self.calls);
        let calls = |disk: &SimDisk| disk.calls();
        let counted = SimDisk::from_image(self.image, 0);
        recover(&counted, model, Scope::Everything)?;
        for at in 0..calls(&counted) {
            for for_good in [false, true] {
                tally.count();
                let disk = SimDisk::from_image(self.image, 0);
                disk.inject(Fault::eio(at, for_good));
                let within = || format!("recovery, call {at} fails, for good: {for_good}");
                match recover(&disk, model, Scope::Everything) {
                    Ok((ends, _)) if ends != self.ends => {
                        return Err(format!("{}: it ends at {ends:?}, not {:?}", within(), self.ends));
                    }
                    Ok(_) => tally.note("failed calls of recovery that it could do without"),
                    Err(what) if !what.contains("recovery refuses") => {
                        return Err(format!("{}: {what}", within()));
                    }
                    Err(_) => {}
                }
                disk.heal();
                self.same(&disk.reboot()).map_err(|what| format!("{}, again: {what}", within()))?;
            }
        }
        Ok(())
    }

    /// Every call of opening fails, once and for good; then the process starts again; then the power goes.
    fn failed_openings(&self, random: &mut Random, tally: &Tally) -> Result<(), String> {
        let counted = SimDisk::from_image(self.image, 0);
        drop(self.open(&counted));
        for at in 0..counted.calls() {
            for for_good in [false, true] {
                tally.count();
                let disk = SimDisk::from_image(self.image, random.next());
                disk.inject(Fault::eio(at, for_good));
                drop(self.open(&disk));
                disk.heal();
                let within = || format!("opening, call {at} fails, for good: {for_good}");
                // Before anybody has looked at the disk again, and after somebody has.
                let before = disk.snapshot().undecided(Unit::Sector);
                for pick in [Pick::Nothing, Pick::All, Pick::Seed(random.next())] {
                    self.same(&SimDisk::from_image(&before.image(pick), 0))
                        .map_err(|what| format!("{}, power loss, {pick:?}: {what}", within()))?;
                }
                let disk = disk.reboot();
                check_cache(&disk, self.story.model_at(self.calls))
                    .map_err(|what| format!("{}, started again: {what}", within()))?;
                self.same(&disk).map_err(|what| format!("{}, started again: {what}", within()))?;
                let after = disk.snapshot().undecided(Unit::Sector);
                for pick in [Pick::Nothing, Pick::Seed(random.next())] {
                    self.same(&SimDisk::from_image(&after.image(pick), 0)).map_err(|what| {
                        format!("{}, started again, power loss, {pick:?}: {what}", within())
                    })?;
                }
            }
        }
        Ok(())
    }

    fn open(&self, disk: &SimDisk) -> Result<PerCoreWalManager, wal_coordinator::PerCoreWalError> {
        PerCoreWalManager::new(config_of(disk, &self.life, &Arc::clone(self.story.clock())))
    }

    /// Recovery gives what it gave before, and what was promised.
    fn same(&self, disk: &SimDisk) -> Result<(), String> {
        let ends = check_disk(disk, self.story.model_at(self.calls), self.story.promised(self.calls))?;
        if ends == self.ends {
            return Ok(());
        }
        Err(format!("it ends at {ends:?}, and ended at {:?} before", self.ends))
    }
}
