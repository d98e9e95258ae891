//! The whole coordinator under drawn schedules: every thread, lock, channel, tick and call to the storage in an order
//! that a seed decides, on a disk in memory, against an oracle that knows every entry and every promise.
//!
//! Run by `cargo xtask schedules`, which builds with `--cfg shuttle`; empty in any other build. A failure prints the
//! seed of its schedule and the command that replays it. Sees what loom cannot: the coordinator as a whole, with many
//! threads. Does not see weak memory: every atomic operation is sequentially consistent here.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod dice;
mod oracle;
mod runner;
mod scenarios;
mod scheduler;
mod story;
mod world;

use runner::check;

#[test]
fn receipts() {
    check("receipts", scenarios::receipts::run);
}

#[test]
fn epochs() {
    check("epochs", scenarios::epochs::run);
}

#[test]
fn checkpoints() {
    check("checkpoints", scenarios::checkpoints::run);
}

#[test]
fn followers() {
    check("followers", scenarios::followers::run);
}

#[test]
fn failures() {
    check("failures", scenarios::failures::run);
}

#[test]
fn space() {
    check("space", scenarios::space::run);
}

#[test]
fn shutdown() {
    check("shutdown", scenarios::shutdown::run);
}

#[test]
fn reopening() {
    check("reopening", scenarios::reopening::run);
}

/// Without this, a printed seed would be worth nothing.
#[test]
fn replays() {
    for scenario in [scenarios::checkpoints::run, scenarios::failures::run, scenarios::reopening::run] {
        for seed in 0..20 {
            assert_eq!(runner::trace(seed, scenario), runner::trace(seed, scenario), "seed {seed}");
        }
    }
}
