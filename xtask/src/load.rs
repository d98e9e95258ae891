//! `cargo xtask load`: a whole log under load, at a rate or as fast as it goes.
//!
//! Builds and starts the load generator of wal-bench and passes all arguments and its exit code through.

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask load [--cores N] [--rate N] [--sync none|each|batch:N|interval:MS]
                        [--duration SECONDS] [--checkpoint SECONDS] [--verify] [--json] [...]

Puts a load on a new log, tells a line a second, and in the end what came of it: latencies, for each
entry from when it was due (so that a stall is charged to all that it held up), throughput, CPU,
memory, bytes written. With --verify, the log is recovered and compared with what was appended.

More options choose keys (uniform or Zipf), lengths, ring, segments, and where the files go:
`cargo xtask load -- --help` explains all of them.
";

/// Runs the load with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    process::run_bench_program("load", &[], args)
}
