//! Row 9: every call is interrupted, or does one byte, half, or all but one byte; also all calls at once. Nobody is told, and
//! the bytes on the disk are those of the undisturbed run.

use std::io::ErrorKind;

use wal_coordinator::{LogId, Retention};
use wal_format::Meta;

use super::life::{Life, Story};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{CallKind, Effect, Fault, Image, Part, SimDisk};

const LIFE: Life = Life { cores: 2, rounds: 24, seed: 9, retention: Retention::UntilDurable, heal_at: None };
/// After it the log is opened again: reading is disturbed too.
const NEXT: Life = Life { cores: 1, rounds: 2, seed: 10, retention: Retention::UntilDurable, heal_at: None };
const EFFECTS: [Effect; 4] = [
    Effect::Error(ErrorKind::Interrupted),
    Effect::Short(Part::One),
    Effect::Short(Part::Half),
    Effect::Short(Part::AllButOne),
];
const CALLS_A_UNIT: u64 = 16;

struct ShortCalls {
    calls: u64,
    step: u64,
    /// What each call is, to leave out what cannot happen to it.
    kinds: Vec<CallKind>,
    undisturbed: u64,
}

/// A log whose identity is known: its bytes are the same in every run.
fn fresh() -> SimDisk {
    let meta = Meta { log_id: LogId([9; 16]) }.encode();
    SimDisk::from_image(&Image::of_files([("wal.meta".to_owned(), meta)]), 0)
}

/// Both lives; the bytes that they leave.
fn lives(disk: &SimDisk) -> Result<u64, String> {
    let mut story = Story::new();
    story.live(disk, &LIFE).map_err(|error| error.message())?;
    let disk = disk.reboot();
    story.live(&disk, &NEXT).map_err(|error| error.message())?;
    if let Some(error) = story.errors.first() {
        return Err(error.clone());
    }
    Ok(disk.current().hash())
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let disk = fresh().recording();
    let undisturbed = lives(&disk)?;
    let kinds: Vec<_> = disk.log().into_iter().map(|(kind, _)| kind).collect();
    let calls = kinds.len() as u64;
    let step = (calls * EFFECTS.len() as u64 * 20 / budget.images.max(1)).max(1);
    Ok(Box::new(ShortCalls { calls, step, kinds, undisturbed }))
}

impl Sweep for ShortCalls {
    /// The last unit disturbs all calls at once.
    fn units(&self) -> usize {
        self.calls.div_ceil(CALLS_A_UNIT) as usize + 1
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let first = unit as u64 * CALLS_A_UNIT;
        if first >= self.calls {
            return EFFECTS[1..].iter().try_for_each(|effect| self.case(*effect, 0, true, tally));
        }
        for at in (first..self.calls.min(first + CALLS_A_UNIT)).filter(|at| at.is_multiple_of(self.step)) {
            let effects = match self.kinds[at as usize] {
                CallKind::Read | CallKind::Write => &EFFECTS[..],
                CallKind::Allocate | CallKind::Sync => &EFFECTS[..1],
                // Neither partial nor ever interrupted: the standard library goes on by itself, or the system does.
                _ => continue,
            };
            effects.iter().try_for_each(|effect| self.case(*effect, at, false, tally))?;
        }
        Ok(())
    }
}

impl ShortCalls {
    fn case(&self, effect: Effect, at: u64, for_good: bool, tally: &Tally) -> Result<(), String> {
        tally.count();
        let disk = fresh();
        disk.inject(Fault { kinds: &[], after: at, effect, for_good });
        let which = || format!("call {at} ({:?}), {effect:?}, for good: {for_good}", self.kinds[at as usize]);
        let left = lives(&disk).map_err(|what| format!("{}: {what}", which()))?;
        if left == self.undisturbed {
            return Ok(());
        }
        Err(format!("{}: the bytes on the disk differ", which()))
    }
}
