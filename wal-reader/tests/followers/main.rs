//! Followers step by step: against a model, by what a look costs, and with files that do not stand still.
//! Logs that were laid out by hand: `follow.rs`. Whole lives, by seed: `wal-coordinator/tests/follow`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "files that change between two looks"
)]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]

mod live;
mod looks;
mod model;
mod trouble;

use wal_format::{CoreId, LogId};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);
const MIB: usize = 1 << 20;
