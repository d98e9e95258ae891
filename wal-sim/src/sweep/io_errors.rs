//! Rows 7 and 8: every call of a life of four cores fails, once or until the process starts again; every call that needs
//! space finds none, once or until there is some. What was acknowledged stays, in the running process, after it starts
//! again, and after the power losses that follow.

use wal_coordinator::Retention;

use super::check::{check_cache, check_disk, check_image};
use super::life::{Life, LifeError, Story};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{CallKind, Effect, Fault, Pick, Random, SimDisk, Unit};

/// The life in which calls fail.
const LIFE: Life = Life { cores: 4, rounds: 18, seed: 5, retention: Retention::UntilDurable, heal_at: None };
/// The life after it, with another number of cores.
const NEXT: Life = Life { cores: 3, rounds: 3, seed: 6, retention: Retention::UntilDurable, heal_at: None };
/// Calls that a unit lets fail, one after the other.
const CALLS_A_UNIT: u64 = 8;

struct IoErrors {
    calls: u64,
    /// Every n-th call only, for a small budget.
    step: u64,
    seed: u64,
    kinds: &'static [CallKind],
    error: std::io::ErrorKind,
    /// After this round there is nothing wrong any more.
    heal_at: Option<usize>,
}

/// Row 7.
pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    IoErrors::prepare(budget, &[], std::io::ErrorKind::Other, None)
}

/// Row 8.
pub(crate) fn prepare_no_space(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    const SPACE: &[CallKind] = &[CallKind::Create, CallKind::Allocate];
    IoErrors::prepare(budget, SPACE, std::io::ErrorKind::StorageFull, Some(LIFE.rounds / 2))
}

impl IoErrors {
    fn prepare(
        budget: &Budget,
        kinds: &'static [CallKind],
        error: std::io::ErrorKind,
        heal_at: Option<usize>,
    ) -> Result<Box<dyn Sweep>, String> {
        let disk = SimDisk::new(budget.seed).recording();
        let mut story = Story::new();
        story.live(&disk, &LIFE).map_err(|error| error.message())?;
        let is_swept = |kind: &CallKind| kinds.is_empty() || kinds.contains(kind);
        let calls = disk.log().iter().filter(|(kind, _)| is_swept(kind)).count() as u64;
        // Four retentions and durations of each call, about twenty images of each.
        let step = (calls * 80 * 5 / budget.images.max(1)).max(1);
        Ok(Box::new(Self { calls, step, seed: budget.seed, kinds, error, heal_at }))
    }
}

impl Sweep for IoErrors {
    fn units(&self) -> usize {
        self.calls.div_ceil(CALLS_A_UNIT) as usize
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let first = unit as u64 * CALLS_A_UNIT;
        for at in (first..self.calls.min(first + CALLS_A_UNIT)).filter(|at| at.is_multiple_of(self.step)) {
            for for_good in [false, true] {
                for retention in [Retention::UntilDurable, Retention::UntilWritten] {
                    let fault =
                        Fault { kinds: self.kinds, after: at, effect: Effect::Error(self.error), for_good };
                    self.case(fault, retention, tally).map_err(|what| {
                        let error = self.error;
                        format!("call {at} fails with {error:?}, for good: {for_good}, {retention:?}: {what}")
                    })?;
                }
            }
        }
        Ok(())
    }
}

impl IoErrors {
    fn case(&self, fault: Fault, retention: Retention, tally: &Tally) -> Result<(), String> {
        let mut random = Random::new(self.seed ^ fault.after << 8 ^ u64::from(fault.for_good));
        let disk = SimDisk::new(random.next()).recording();
        let mut story = Story::new();
        disk.inject(fault);
        let life = Life { retention, heal_at: self.heal_at, ..LIFE };
        match story.live(&disk, &life) {
            Ok(()) => {}
            Err(LifeError::Open(error)) => {
                tally.note("lives that could not begin");
                story.errors.push(error.to_string());
            }
            Err(LifeError::Wrong(what)) => return Err(what),
        }
        if let (Some(_), Some(error)) = (self.heal_at, story.errors_after_healing.first()) {
            return Err(format!("there is space again, and: {error}"));
        }
        if story.errors.is_empty() {
            tally.note("faults that nobody was told of");
        }
        disk.heal();
        // The power goes at once, or had gone earlier.
        let snapshots = disk.snapshots();
        let last = snapshots.len() - 1;
        for draw in 0..8 {
            let at = if draw < 4 { last } else { random.below(last as u64 + 1) as usize };
            let pick = [Pick::Nothing, Pick::All][..].get(draw).copied().unwrap_or(Pick::Seed(random.next()));
            let unit = if random.once_in(2) { Unit::Sector } else { Unit::Page };
            let image = snapshots[at].undecided(unit).image(pick);
            tally.count();
            check_image(&image, &story, snapshots[at].calls()).map_err(|what| {
                format!("power loss after {} calls, {pick:?}: {what}", snapshots[at].calls())
            })?;
        }
        self.start_again(&disk, story, &mut random, tally)
    }

    /// The process starts again without a power loss: it believes nothing that is in the cache alone. Then the power goes.
    fn start_again(
        &self,
        disk: &SimDisk,
        mut story: Story,
        random: &mut Random,
        tally: &Tally,
    ) -> Result<(), String> {
        tally.count_whole();
        let disk = disk.reboot();
        if !story.errors.is_empty() {
            // Who was told of an error cannot count on what was only written.
            story.forget_written();
        }
        story.errors.clear();
        check_cache(&disk, story.model_at(disk.calls())).map_err(|what| format!("started again: {what}"))?;
        story.live(&disk, &NEXT).map_err(|error| format!("started again: {}", error.message()))?;
        if let Some(error) = story.errors.first() {
            return Err(format!("started again, and: {error}"));
        }
        let snapshots = disk.snapshots();
        let last = snapshots.len() - 1;
        for draw in 0..5 {
            let at = if draw < 2 { last } else { random.below(last as u64 + 1) as usize };
            let pick = if draw == 0 { Pick::Nothing } else { Pick::Seed(random.next()) };
            let calls = snapshots[at].calls();
            let image = snapshots[at].undecided(Unit::Sector).image(pick);
            tally.count();
            check_disk(&SimDisk::from_image(&image, 0), story.model_at(calls), story.promised(calls))
                .map_err(|what| format!("started again, power loss after {calls} calls, {pick:?}: {what}"))?;
        }
        Ok(())
    }
}
