//! What the log is meant to reach, as a table, and whether a run reached it.
//!
//! A scenario ties a figure to an aim by its name (`Row::aim`); several figures may be held against one aim. An aim is a
//! bound on the ratio to the yardstick, or on the figure itself in its own unit. Nothing here is a test: a busy machine
//! would fail it.

use crate::results::{Results, Row};

/// One aim.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// What a scenario calls it.
    pub name: &'static str,
    /// The scenario that measures it.
    pub scenario: &'static str,
    /// For people.
    pub what: &'static str,
    /// Where it lies.
    pub bound: Bound,
}

/// Where an aim lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most so many times the yardstick.
    RatioAtMost(f64),
    /// At least so many times the yardstick.
    RatioAtLeast(f64),
    /// At most this, in this unit.
    AtMost(f64, &'static str),
    /// At least this, in this unit.
    AtLeast(f64, &'static str),
}

/// An aim beside a figure that was held against it.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// The aim.
    pub aim: Aim,
    /// The figure, unless its scenario was left out.
    pub row: Option<&'a Row>,
    /// Whether it was reached, if it can be told.
    pub reached: Option<bool>,
}

const fn aim(name: &'static str, scenario: &'static str, what: &'static str, bound: Bound) -> Aim {
    Aim { name, scenario, what, bound }
}

/// All aims. The yardstick is a `BufWriter` with length and CRC into a zero-filled file, or the raw system calls on one.
pub const AIMS: &[Aim] = &[
    aim("burst", "append", "append, a burst that fits the ring", Bound::RatioAtMost(0.30)),
    aim("sustained", "steady", "append, 4 M entries in a row, to the page cache", Bound::RatioAtMost(0.50)),
    aim("cpu", "steady", "CPU of all threads per entry, to the page cache", Bound::RatioAtMost(0.85)),
    aim("p99.9", "latency", "one append, across rotation: p99.9", Bound::AtMost(200.0, "ns")),
    aim("p99.99", "latency", "one append, across rotation: p99.99", Bound::AtMost(10_000.0, "ns")),
    aim("busy-p99.9", "latency", "one append, during a checkpoint: p99.9", Bound::AtMost(200.0, "ns")),
    aim("busy-p99.99", "latency", "one append, during a checkpoint: p99.99", Bound::AtMost(10_000.0, "ns")),
    aim("sync-p50", "sync", "append and sync: p50", Bound::RatioAtMost(1.03)),
    aim("sync-p99", "sync", "append and sync: p99", Bound::RatioAtMost(1.03)),
    aim("batch", "batch", "durable batches of 64, one thread", Bound::RatioAtLeast(1.1)),
    aim("group", "group", "64 waiting clients on one core, beside one client", Bound::RatioAtLeast(20.0)),
    aim("group-cores", "group", "64 waiting clients on two cores, beside one core", Bound::RatioAtLeast(1.5)),
    aim("cores", "cores", "two cores appending, beside one", Bound::RatioAtLeast(1.9)),
    aim("durable-cores", "scaling", "two cores, durable, beside two raw files", Bound::RatioAtLeast(1.0)),
    aim("recovery", "recovery", "recovery scan, one core, warm cache", Bound::RatioAtMost(0.70)),
    aim("recovery-cores", "recovery", "recovery scan of two cores, beside one", Bound::RatioAtLeast(1.8)),
    aim("merge", "memory", "ordered merge of 4 x 500 k entries", Bound::RatioAtMost(1.0)),
    aim(
        "merge-memory",
        "memory",
        "peak memory of that merge, above opening alone",
        Bound::AtMost(8.0, "MiB"),
    ),
    aim("restart", "peers", "best restart to ready of all peers, beside ours", Bound::RatioAtLeast(3.0)),
    aim("bytes", "recovery", "bytes on disk above key and value, per entry", Bound::AtMost(7.0, "B")),
    aim("store", "checkpoint", "checkpoint, run output of the store", Bound::AtLeast(300.0, "MB/s")),
    aim(
        "store-memory",
        "checkpoint",
        "memory of a checkpoint: the budget for changes",
        Bound::AtMost(64.0, "MiB"),
    ),
    aim("epoch", "epoch", "epoch closed to durable, two busy cores", Bound::RatioAtMost(1.3)),
];

/// Every aim beside each figure that `results` holds against it, in the order of [`AIMS`].
#[must_use]
pub fn verdicts(results: &Results) -> Vec<Verdict<'_>> {
    let of = |aim: &Aim| {
        let rows = results.figures.iter().map(|figure| &figure.row);
        let held: Vec<_> = rows.filter(|row| row.aims.iter().any(|name| name == aim.name)).collect();
        let verdict = |row| Verdict { aim: *aim, row, reached: row.and_then(|row| aim.bound.holds(row)) };
        if held.is_empty() {
            return vec![verdict(None)];
        }
        held.into_iter().map(|row| verdict(Some(row))).collect::<Vec<_>>()
    };
    AIMS.iter().flat_map(of).collect()
}

/// Whether there is an aim of this name.
#[must_use]
pub fn exists(name: &str) -> bool {
    AIMS.iter().any(|aim| aim.name == name)
}

impl Bound {
    /// Whether the figure is within; `None` if it has no yardstick or another unit.
    #[must_use]
    pub fn holds(&self, row: &Row) -> Option<bool> {
        match *self {
            Self::RatioAtMost(bound) => row.ratio().map(|ratio| ratio <= bound),
            Self::RatioAtLeast(bound) => row.ratio().map(|ratio| ratio >= bound),
            Self::AtMost(bound, unit) => (row.unit == unit).then_some(row.value <= bound),
            Self::AtLeast(bound, unit) => (row.unit == unit).then_some(row.value >= bound),
        }
    }
}

impl Bound {
    /// How many times the bound the figure is, turned so that up to 1 is within; `None` as of [`Bound::holds`].
    #[must_use]
    pub fn part(&self, row: &Row) -> Option<f64> {
        let part = match *self {
            Self::RatioAtMost(bound) => row.ratio()? / bound,
            Self::RatioAtLeast(bound) => bound / row.ratio()?,
            Self::AtMost(bound, unit) if row.unit == unit => row.value / bound,
            Self::AtLeast(bound, unit) if row.unit == unit => bound / row.value,
            Self::AtMost(..) | Self::AtLeast(..) => return None,
        };
        (part.is_finite() && part >= 0.0).then_some(part)
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RatioAtMost(bound) => write!(f, "at most {bound:.2} x"),
            Self::RatioAtLeast(bound) => write!(f, "at least {bound:.2} x"),
            Self::AtMost(bound, unit) => write!(f, "at most {}", super::amount(*bound, unit)),
            Self::AtLeast(bound, unit) => write!(f, "at least {}", super::amount(*bound, unit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn aims_have_names_of_their_own() {
        let names: BTreeSet<_> = AIMS.iter().map(|aim| aim.name).collect();
        assert_eq!(names.len(), AIMS.len());
    }

    #[test]
    fn a_bound_includes_itself_and_needs_something_to_compare() {
        let row = Row::beside("n", 3.0, 10.0, "ns");
        for (bound, holds) in [
            (Bound::RatioAtMost(0.3), Some(true)),
            (Bound::RatioAtMost(0.29), Some(false)),
            (Bound::RatioAtLeast(0.3), Some(true)),
            (Bound::RatioAtLeast(0.31), Some(false)),
            (Bound::AtMost(3.0, "ns"), Some(true)),
            (Bound::AtLeast(3.1, "ns"), Some(false)),
            (Bound::AtMost(3.0, "us"), None),
        ] {
            assert_eq!(bound.holds(&row), holds, "{bound}");
            assert_eq!(bound.part(&row).map(|part| part <= 1.0), holds, "{bound}");
        }
        assert_eq!(Bound::RatioAtMost(1.0).holds(&Row::alone("n", 1.0, "ns")), None);
    }

    #[test]
    fn every_aim_has_a_verdict_and_every_figure_of_it_one() {
        let mut results = crate::report::example::results();
        let held = results.figures[0].clone();
        let name = held.row.aims[0].clone();
        results.figures.push(held);
        let verdicts = verdicts(&results);
        assert_eq!(verdicts.iter().filter(|verdict| verdict.aim.name == name).count(), 2);
        assert!(AIMS.iter().all(|aim| verdicts.iter().any(|verdict| verdict.aim.name == aim.name)));
    }
}
