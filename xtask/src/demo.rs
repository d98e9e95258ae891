//! `cargo xtask demo`: the main job of the log, shown on real text.
//!
//! Builds and starts the demo of wal-bench and passes all arguments and its exit code through. Not the
//! place for the demo itself.

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask demo [--cores N] [--kills K] [--input PATH] [--rounds R] [--dir DIR]
                        [--keep] [--seed S]

Counts the words of real text, exactly once, while the process that counts is killed.

N core threads each read their own part of the text, count in memory, and append each chunk's
counts, together with the source offset, to their own log. Checkpoints run meanwhile. The parent
kills the engine with SIGKILL at K random moments and starts it again; it goes on from the recovered
counts and offsets. In the end the parent counts the same text plainly, in one thread, and compares
every word.

Options:
  --cores N      core threads, each with its own log (default 4)
  --kills K      how often the engine is killed (default 5)
  --input PATH   a text file or a folder of text files (default: the text files of this workspace
                 and of the unpacked sources of its dependencies, some tens of MB)
  --rounds R     read the input R times, as one long stream (default 1; 4 for the default input)
  --dir DIR      where logs and checkpoints go (default: a new temporary directory)
  --keep         keep that directory, so that a later run can go on in it with `--dir DIR`,
                 also with another number of cores
  --seed S       seed of the moments of the kills (default: a new one, printed)

Exit code: 0 when every count is right; 1 when one differs, with the first words that do.
The first run builds in release mode, which takes a moment.
";

/// Runs the demo with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    process::run_bench_program("demo", &[], args)
}
