//! The demo: a stateful stream job on real text, exactly once.
//!
//! The engine counts words on several cores. What a core has counted of a piece of text, and how far it has read, go
//! into its log as one atomic batch; so after a crash counts and offsets fit together, and no word is lost or counted
//! twice. The parent kills the engine, starts it again, checks that nothing acknowledged is missing, and in the end
//! counts the same text plainly and compares every word.
//!
//! Partitions do not depend on the number of cores: every file belongs to one of [`input::SHARDS`] shards, and
//! shard `s` is processed by core `s % cores`. Keys are `shard/word`, so no key is ever written by two cores at a time,
//! and a shard may move to another core whenever the log is opened again.

pub mod input;
pub mod words;

mod counts;
mod protocol;

mod core_thread;
mod engine;

mod kills;
mod parent;
mod story;
mod verdict;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::args::{Args, Known, Usage};
use crate::random::fresh_seed;

const HELP: &str = "\
Usage: demo [--cores N] [--kills K] [--input PATH] [--rounds R] [--dir DIR] [--keep]
            [--seed S]

Counts the words of real text, exactly once, while the process that counts is killed.

Options:
  --cores N      core threads, each with its own log (default 4)
  --kills K      how often the engine is killed with SIGKILL (default 5)
  --input PATH   a text file or a folder of text files (default: the text files of this workspace
                 and of the unpacked sources of its dependencies)
  --rounds R     read the input R times, as one long stream (default: 1; 4 for the default input)
  --dir DIR      where logs and checkpoints go (default: a new temporary directory)
  --keep         keep that directory: a later run with `--dir DIR` goes on in it
  --seed S       seed of the moments of the kills (default: a new one, printed)

Exit code: 0 when every count is right, 1 when one differs.
";

/// What the demo was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Core threads.
    pub cores: usize,
    /// How often to kill.
    pub kills: usize,
    /// File or folder; the default input if there is none.
    pub input: Option<PathBuf>,
    /// How often the input is read; by default as often as makes a run of some seconds.
    pub rounds: Option<u64>,
    /// Directory; a temporary one if there is none.
    pub directory: Option<PathBuf>,
    /// Keep the directory.
    pub keep: bool,
    /// Seed of the kills.
    pub seed: u64,
}

/// Runs the program with the arguments `words`.
pub fn main(words: impl IntoIterator<Item = String>) -> ExitCode {
    let known = Known {
        flags: &["--keep", "--engine"],
        options: &["--cores", "--kills", "--input", "--rounds", "--dir", "--seed"],
    };
    let options = Args::parse(known, words).and_then(|args| Ok((args.has("--engine"), options(&args)?)));
    match options {
        Ok((true, options)) => engine::main(&options),
        Ok((false, options)) => parent::main(&options),
        Err(usage) => usage.report(HELP),
    }
}

fn options(args: &Args) -> Result<Options, Usage> {
    let options = Options {
        cores: args.number("--cores", 1..=256)?.unwrap_or(4),
        kills: args.number("--kills", 0..=10_000)?.unwrap_or(5),
        input: args.value("--input").map(PathBuf::from),
        rounds: args.number("--rounds", 1..=10_000)?,
        directory: args.value("--dir").map(PathBuf::from),
        keep: args.has("--keep"),
        seed: args.number("--seed", 0..=u64::MAX)?.unwrap_or_else(fresh_seed),
    };
    if options.keep && options.directory.is_none() {
        return Err(Usage::Wrong(
            "--keep needs --dir: a temporary directory has no name to come back to".into(),
        ));
    }
    Ok(options)
}
