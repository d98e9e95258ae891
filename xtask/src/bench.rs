//! `cargo xtask bench`: every measurement of the workspace, as one report.
//!
//! Builds and starts the bench program of wal-bench and passes all arguments and its exit code through.

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [--quick] [options of the bench program]

Measures appends, append with sync, recovery, checkpoints and memory in release mode, each beside a
plain baseline in the same run. Prints a report in Markdown, and keeps it in target/bench with the
results as data (results.json).

Options:
  --quick        fewer and shorter rounds: a minute, for a first impression only
  --out DIR      where the report goes instead

All other options go to the bench program unchanged.
Compare figures of one run with each other; figures of two machines say little about the code.
";

/// Runs the benches with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg == "--out") {
        let directory = process::target_dir().join("bench");
        args.extend(["--out".to_owned(), directory.display().to_string()]);
    }
    process::run_bench_program("bench", &[], &args)
}
