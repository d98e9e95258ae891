//! Draws a schedule from one seed: which thread takes the next step, and every random number that a run asks for.
//!
//! Different bugs hide from different distributions, so the seed also draws the kind of schedule: every step by lot,
//! long stretches of one thread, or priorities that change at a few places (which reaches orders that need one thread
//! to stand still while all others go on).

use std::cell::Cell;

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

use crate::dice::Dice;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static TRACE: Cell<u64> = const { Cell::new(0) };
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// The seed of the schedule that runs on this thread.
pub(crate) fn seed() -> u64 {
    SEED.get()
}

/// A digest of every choice of the last schedule on this thread.
pub(crate) fn trace() -> u64 {
    TRACE.get()
}

/// Steps of all schedules on this thread.
pub(crate) fn steps() -> u64 {
    STEPS.get()
}

/// Schedules, one for each of `seeds`.
pub(crate) struct Drawn<I> {
    seeds: I,
    dice: Dice,
    style: Style,
    /// By thread; the highest one that can run does.
    priorities: Vec<u64>,
    lowest: u64,
}

#[derive(Clone, Copy)]
enum Style {
    /// Every step by lot.
    Lot,
    /// As `Lot`, but a thread goes on unless one chance in this many says otherwise.
    Stretches(usize),
    /// The thread with the highest priority, which loses it once in this many steps.
    Priorities(usize),
}

impl<I: Iterator<Item = u64>> Drawn<I> {
    pub(crate) fn new(seeds: I) -> Self {
        Self { seeds, dice: Dice::new(0), style: Style::Lot, priorities: Vec::new(), lowest: 0 }
    }

    fn priority(&mut self, task: TaskId) -> u64 {
        let index = usize::from(task);
        while self.priorities.len() <= index {
            let drawn = self.dice.next() | 1 << 63;
            self.priorities.push(drawn);
        }
        self.priorities[index]
    }

    fn lower(&mut self, task: TaskId) {
        self.lowest -= 1;
        self.priority(task);
        self.priorities[usize::from(task)] = self.lowest;
    }

    fn by_lot(&mut self, runnable: &[&Task], but: Option<TaskId>) -> TaskId {
        let choice = runnable[self.dice.below(runnable.len())].id();
        if Some(choice) == but && runnable.len() > 1 { self.by_lot(runnable, but) } else { choice }
    }
}

impl<I: Iterator<Item = u64>> Scheduler for Drawn<I> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.seeds.next()?;
        SEED.set(seed);
        TRACE.set(seed);
        self.dice = Dice::new(seed);
        self.priorities.clear();
        self.lowest = 1 << 63;
        self.style = match self.dice.below(8) {
            0 | 1 => Style::Lot,
            2 => Style::Stretches(2),
            3 => Style::Stretches(8),
            4 => Style::Stretches(32),
            5 => Style::Priorities(50),
            6 => Style::Priorities(200),
            _ => Style::Priorities(1000),
        };
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let goes_on = current.filter(|task| !is_yielding && runnable.iter().any(|other| other.id() == *task));
        let choice = match (self.style, goes_on) {
            (Style::Stretches(times), Some(current)) if !self.dice.once_in(times) => current,
            (Style::Lot | Style::Stretches(_), _) => self.by_lot(runnable, current.filter(|_| is_yielding)),
            (Style::Priorities(times), _) => {
                if let Some(current) = current
                    && (is_yielding || self.dice.once_in(times))
                {
                    self.lower(current);
                }
                let highest = runnable.iter().map(|task| (self.priority(task.id()), task.id())).max()?;
                highest.1
            }
        };
        STEPS.set(STEPS.get() + 1);
        TRACE.set((TRACE.get() ^ usize::from(choice) as u64).wrapping_mul(0x0000_0100_0000_01b3));
        Some(choice)
    }

    fn next_u64(&mut self) -> u64 {
        self.dice.next()
    }
}
