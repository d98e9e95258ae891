//! Row 2: a power loss after every call of reference lives. Every subset of what is undecided where that is at most 256
//! images, seeded draws where it is more; by sectors and by pages.

use std::sync::Arc;

use wal_coordinator::Retention;

use super::check::{Depth, check};
use super::life::{Life, Story};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{CallKind, Image, Pick, Random, SimDisk, Snapshot, Undecided, Unit};

/// Of so many images, one is put through another life.
const WHOLE_ONE_IN: u64 = 40;
/// All subsets of eight slots.
const ALL_MAX: u64 = 256;

/// Lives on one disk, one after the other, and all that was written and promised.
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) story: Story,
    pub(crate) snapshots: Vec<Snapshot>,
    /// Kind and file of every call.
    pub(crate) log: Vec<(CallKind, Arc<str>)>,
}

/// Lives of one process after the other, none of them closed properly: cores, rounds, retention.
const ONE_CORE: &[(usize, usize, Retention)] =
    &[(1, 40, Retention::UntilDurable), (1, 24, Retention::UntilWritten), (1, 16, Retention::UntilDurable)];
const FOUR_CORES: &[(usize, usize, Retention)] =
    &[(4, 24, Retention::UntilDurable), (2, 16, Retention::UntilDurable), (4, 16, Retention::UntilWritten)];

/// Lives these lives on a fresh disk.
pub(crate) fn reference(
    name: &'static str,
    lives: &[(usize, usize, Retention)],
    seed: u64,
) -> Result<Reference, String> {
    let mut story = Story::new();
    let first = SimDisk::new(seed).recording();
    let mut disk = first.clone();
    for (number, (cores, rounds, retention)) in (0..).zip(lives) {
        let (cores, rounds, retention) = (*cores, *rounds, *retention);
        let life = Life { cores, rounds, retention, seed: seed * 16 + number, heal_at: None };
        story.live(&disk, &life).map_err(|error| format!("{name}, life {number}: {}", error.message()))?;
        if let Some(error) = story.errors.first() {
            return Err(format!("{name}, life {number}, without any fault: {error}"));
        }
        disk = disk.reboot();
    }
    Ok(Reference { name, story, snapshots: disk.snapshots(), log: disk.log() })
}

/// The reference lives of one and of four cores.
pub(crate) fn references(seed: u64) -> Result<Vec<Reference>, String> {
    Ok(vec![reference("one core", ONE_CORE, seed)?, reference("four cores", FOUR_CORES, seed)?])
}

struct PowerLoss {
    references: Vec<Reference>,
    /// Draws where not all images are tried.
    draws: u64,
    /// Every n-th snapshot only, for a small budget.
    step: usize,
    seed: u64,
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let references = references(budget.seed)?;
    let (mut counted, mut uncounted) = (0, 0);
    for snapshot in references.iter().flat_map(|reference| &reference.snapshots) {
        for unit in [Unit::Sector, Unit::Page] {
            match snapshot.undecided(unit).images().filter(|images| *images <= ALL_MAX) {
                Some(images) => counted += images,
                None => uncounted += 1,
            }
        }
    }
    let images = budget.images;
    let step = (counted / images.max(1)).max(1) as usize;
    let draws = images.saturating_sub(counted) / u64::max(uncounted, 1);
    Ok(Box::new(PowerLoss { references, draws: draws.max(4), step, seed: budget.seed }))
}

impl Sweep for PowerLoss {
    fn units(&self) -> usize {
        self.references.iter().map(|reference| reference.snapshots.len()).sum()
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        if !unit.is_multiple_of(self.step) {
            return Ok(());
        }
        let Some((reference, snapshot)) = at_unit(&self.references, unit) else { return Ok(()) };
        let mut random = Random::new(self.seed ^ (unit as u64) << 20);
        for size in [Unit::Sector, Unit::Page] {
            let undecided = snapshot.undecided(size);
            for pick in picks(&undecided, self.draws, &mut random) {
                let image = undecided.image(pick);
                check_one(reference, snapshot, &image, random.next(), tally).map_err(|what| {
                    format!(
                        "{}, power loss after {} calls, {size:?}, {pick:?}: {what}",
                        reference.name,
                        snapshot.calls()
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// The reference and the snapshot of a unit, if every snapshot is one.
pub(crate) fn at_unit(references: &[Reference], unit: usize) -> Option<(&Reference, &Snapshot)> {
    references
        .iter()
        .flat_map(|reference| reference.snapshots.iter().map(move |at| (reference, at)))
        .nth(unit)
}

/// Every image if there are few, and otherwise nothing, everything and draws.
pub(crate) fn picks(undecided: &Undecided, draws: u64, random: &mut Random) -> Vec<Pick> {
    match undecided.images().filter(|images| *images <= ALL_MAX) {
        Some(images) => (0..images).map(Pick::Number).collect(),
        None => [Pick::Nothing, Pick::All]
            .into_iter()
            .chain((0..draws).map(|_| Pick::Seed(random.next())))
            .collect(),
    }
}

/// Checks an image, unless an equal one of the same promises was checked before.
pub(crate) fn check_one(
    reference: &Reference,
    snapshot: &Snapshot,
    image: &Image,
    seed: u64,
    tally: &Tally,
) -> Result<(), String> {
    let calls = snapshot.calls();
    let promised = reference.story.promised(calls).calls;
    if !tally.is_new(Random::new(image.hash() ^ promised).next()) {
        return Ok(());
    }
    let depth = if seed.is_multiple_of(WHOLE_ONE_IN) { Depth::Whole } else { Depth::Once };
    if depth == Depth::Whole {
        tally.count_whole();
    }
    check(image, &reference.story, calls, depth, seed)
}
