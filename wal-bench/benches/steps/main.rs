//! Single steps of the log, a file for each theme: small measurements with criterion's statistics, for comparing two
//! versions of the code on one machine. All of them take a minute; `cargo bench -p wal-bench -- codec` runs one theme.
//!
//! Not for the figures that the log is judged by: these come from the `bench` program, beside a yardstick, and `cargo xtask
//! bench` shows both in one report.
#![allow(missing_docs, reason = "criterion's macros make public functions without")]

mod append;
mod checkpoint;
mod codec;
mod common;
mod merge;
mod read;
mod ring;

use criterion::{criterion_group, criterion_main};

criterion_group! {
    name = steps;
    config = common::settings();
    targets = codec::bench, append::bench, ring::bench, read::bench, merge::bench, checkpoint::bench
}
criterion_main!(steps);
