//! The table of all rows: names, shares of the budget, and where each is.

use super::run::{Budget, Sweep};
use super::{damage, interrupted, io_errors, lives, lost_writes, names, power_loss, short_calls};

/// One row of the fault table, as a sweep.
pub struct Row {
    /// What `--only` takes.
    pub name: &'static str,
    /// The row's number in `docs/testing.md`.
    pub number: u8,
    /// What is swept.
    pub summary: &'static str,
    pub(crate) prepare: fn(&Budget) -> Result<Box<dyn Sweep>, String>,
}

/// All rows, in the order in which they run.
pub const ROWS: &[Row] = &[
    Row {
        name: "power-loss",
        number: 2,
        summary: "any subset of unsynced sectors and names, after every call",
        prepare: power_loss::prepare,
    },
    Row {
        name: "names",
        number: 3,
        summary: "changes of names dropped, alone and in pairs",
        prepare: names::prepare,
    },
    Row {
        name: "lost-writes",
        number: 4,
        summary: "sectors hold what they held before, alone and in pairs; all that a core wrote last is lost",
        prepare: lost_writes::prepare,
    },
    Row {
        name: "misdirected",
        number: 5,
        summary: "sectors and segments stand in each other's place",
        prepare: damage::prepare_misdirected,
    },
    Row { name: "bit-rot", number: 6, summary: "every bit is flipped", prepare: damage::prepare_bit_rot },
    Row {
        name: "io-errors",
        number: 7,
        summary: "every call fails, once or for good",
        prepare: io_errors::prepare,
    },
    Row {
        name: "lives",
        number: 7,
        summary: "several calls fail in each of up to four lives; pages leave the cache",
        prepare: lives::prepare,
    },
    Row {
        name: "no-space",
        number: 8,
        summary: "every call that needs space finds none, once or for a while",
        prepare: io_errors::prepare_no_space,
    },
    Row {
        name: "short-calls",
        number: 9,
        summary: "every call is interrupted or does only a part",
        prepare: short_calls::prepare,
    },
    Row {
        name: "interrupted",
        number: 15,
        summary: "power losses and I/O errors inside recovery and opening, nested",
        prepare: interrupted::prepare,
    },
];
