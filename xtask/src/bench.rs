//! `cargo xtask bench`: every measurement of the workspace, as one report.
//!
//! Builds and starts the bench program of wal-bench and passes all arguments and its exit code through.

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [--quick] [options of the bench program]

Measures appends, append with sync, recovery, checkpoints and memory in release mode, each beside a
plain baseline in the same run, and prints a report in Markdown: redirect it to keep it.

Options:
  --quick        fewer and shorter rounds: a minute, for a first impression only

All other options go to the bench program unchanged.
Compare figures of one run with each other; figures of two machines say little about the code.
";

/// Runs the benches with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    process::run_bench_program("bench", &[], args)
}
