//! Runs a row: all its units on all processors, the first failure with the line that runs it again.

use std::collections::HashSet;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;

use parking_lot::Mutex;

use super::rows::Row;

/// How much a row may try, and with which draws.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Images of power losses; the other rows try in proportion, those that can be tried out are.
    pub images: u64,
    /// Of everything that is drawn.
    pub seed: u64,
    /// Only this unit of the row: what a failure says.
    pub unit: Option<usize>,
}

impl Budget {
    /// What the gate spends.
    pub const GATE: Self = Self { images: 1_000_000, seed: 1, unit: None };
    /// What a plain `cargo test` spends.
    pub const TEST: Self = Self { images: 4_000, seed: 1, unit: None };
}

/// A row, ready to run: the same budget gives the same units.
pub(crate) trait Sweep: Sync {
    /// How many independent parts it has.
    fn units(&self) -> usize;

    /// Runs one of them.
    ///
    /// # Errors
    /// What went wrong, with all that tells the case from its neighbours.
    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String>;
}

/// What a row did.
#[derive(Default)]
pub struct Tally {
    /// Cases, those that turned out equal to another included.
    cases: AtomicU64,
    /// Cases that were put through recovery.
    checked: AtomicU64,
    /// Of these, those that were opened again, appended to, and lost power again.
    whole: AtomicU64,
    /// What a row counts besides.
    notes: Mutex<Vec<(&'static str, u64)>>,
    known: [Mutex<HashSet<u64>>; 16],
}

impl Tally {
    /// Counts a case; whether none was equal to it before.
    pub(crate) fn is_new(&self, hash: u64) -> bool {
        self.cases.fetch_add(1, Relaxed);
        let is_new = self.known[(hash >> 60) as usize].lock().insert(hash);
        self.checked.fetch_add(u64::from(is_new), Relaxed);
        is_new
    }

    /// Counts a case that has no equal.
    pub(crate) fn count(&self) {
        self.cases.fetch_add(1, Relaxed);
        self.checked.fetch_add(1, Relaxed);
    }

    /// Counts a case that was followed by another life.
    pub(crate) fn count_whole(&self) {
        self.whole.fetch_add(1, Relaxed);
    }

    /// Counts something that the row is about.
    pub(crate) fn note(&self, what: &'static str) {
        let mut notes = self.notes.lock();
        match notes.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => notes.push((what, 1)),
        }
    }

    /// Cases so far.
    pub fn cases(&self) -> u64 {
        self.cases.load(Relaxed)
    }

    /// Cases that were put through recovery.
    pub fn checked(&self) -> u64 {
        self.checked.load(Relaxed)
    }

    /// Cases that were followed by another life.
    pub fn whole(&self) -> u64 {
        self.whole.load(Relaxed)
    }

    /// What the row counted besides, by name.
    pub fn notes(&self) -> Vec<(&'static str, u64)> {
        let mut notes = self.notes.lock().clone();
        notes.sort_unstable();
        notes
    }

    /// How often the row counted `what`.
    pub fn noted(&self, what: &str) -> u64 {
        self.notes().iter().find(|(known, _)| *known == what).map_or(0, |(_, count)| *count)
    }
}

/// Runs `row` within `budget`, on all processors.
///
/// # Errors
/// The failure of the lowest unit that failed, with the command that runs it alone.
pub fn run(row: &Row, budget: &Budget) -> Result<Tally, String> {
    let sweep = (row.prepare)(budget)?;
    let tally = Tally::default();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let units = budget.unit.map_or(0..sweep.units(), |unit| unit..unit + 1);
    let worker = || {
        // Ends: every turn takes a unit, and there are only so many.
        while failures.lock().is_empty() {
            let unit = units.start + next.fetch_add(1, Relaxed);
            if unit >= units.end {
                break;
            }
            let result = catch_unwind(AssertUnwindSafe(|| sweep.run(unit, &tally)));
            let result = result.unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))));
            if let Err(what) = result {
                failures.lock().push((unit, what));
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        (1..threads).for_each(|_| drop(scope.spawn(worker)));
        worker();
    });
    let first = failures.into_inner().into_iter().min();
    match first {
        None => Ok(tally),
        Some((unit, what)) => {
            let (name, Budget { images, seed, .. }) = (row.name, budget);
            let again =
                format!("cargo xtask sweep --only {name} --seed {seed} --images {images} --unit {unit}");
            Err(format!("{name}, unit {unit}: {what}\nrun it again: {again}"))
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
