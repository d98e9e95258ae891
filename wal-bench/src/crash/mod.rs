//! The crash loop: a process that does everything the log can do, killed with SIGKILL, and held to its word.
//!
//! The engine appends on several cores, in batches, with puts, deletes and commits, closes epochs, makes checkpoints,
//! rotates small segments, and says what was acknowledged. What the entry of a core with a given number is, an
//! [`oracle`] says, so the parent needs to remember nothing to check every byte. After each kill the parent checks, with
//! recovery alone:
//!
//! 1. everything that was acknowledged is there, and what came back once does not vanish later;
//! 2. every entry equals the oracle's, gapless, in the global order, no batch in part;
//! 3. the state, the offsets and the watermarks are those of exactly these entries;
//! 4. recovery run again says and gives the same;
//! 5. the consistent cut reaches every epoch that was acknowledged as durable, and is a prefix on every core.
//!
//! It dies at a random moment, or at a named place ([`points`]) between two steps of the log; a run that is long enough
//! to have been at every place, and was not, fails. In some lives syncs fail now and then.
//!
//! The next engine then goes on in the same directory, with another number of cores.

pub mod oracle;
pub mod points;

mod agenda;
mod engine;
mod lines;
mod parent;
mod seams;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::points::{ARE_BUILT_IN, Point};
use crate::args::{Args, Known, Usage};
use crate::random::fresh_seed;

const HELP: &str = "\
Usage: crash [--kills N] [--minutes M] [--seed S] [--cores C] [--point NAME] [--list-points]

Starts a process that appends on several cores, kills it with SIGKILL at a named point or at a random
moment, recovers, and checks that everything that was acknowledged is there, once and in order. Then it goes on in the
same directory, and is killed again.

Options:
  --kills N      stop after N kills (default 200, or no limit with --minutes)
  --minutes M    stop after M minutes
  --seed S       the seed of the random choices (default: a new one, printed)
  --cores C      cores that append, in most lives (default 3)
  --point NAME   kill at this point only; needs the feature kill-points
  --list-points  list the points and do nothing

Exit code: 0 when nothing was lost and every point was reached that should have been; otherwise 1, and
the directory is kept and named.
";

/// What the program was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Stop after this many kills.
    pub kills: Option<u64>,
    /// Stop after this time.
    pub time_max: Option<Duration>,
    /// Seed of all choices.
    pub seed: u64,
    /// Cores that append.
    pub cores: usize,
    /// Kill at this point only.
    pub point: Option<Point>,
    /// The engine's directory.
    pub directory: Option<PathBuf>,
    /// How many engines were there before this one.
    pub life: u64,
}

/// Runs the program with the arguments `words`.
pub fn main(words: impl IntoIterator<Item = String>) -> ExitCode {
    let known = Known {
        flags: &["--engine", "--list-points"],
        options: &["--kills", "--minutes", "--seed", "--cores", "--point", "--dir", "--life"],
    };
    let args = match Args::parse(known, words) {
        Ok(args) if args.has("--list-points") => {
            Point::all().for_each(|point| println!("{point}"));
            return ExitCode::SUCCESS;
        }
        args => args,
    };
    match args.and_then(|args| Ok((args.has("--engine"), options(&args)?))) {
        Ok((true, options)) => engine::main(&options),
        Ok((false, options)) => parent::main(&options),
        Err(usage) => usage.report(HELP),
    }
}

fn options(args: &Args) -> Result<Options, Usage> {
    let minutes = args.number("--minutes", 1..=100_000)?;
    let kills = args.number("--kills", 1..=u64::MAX)?;
    let point = args.value("--point").map(|name| match Point::parse(name) {
        Some(point) if ARE_BUILT_IN => Ok(point),
        Some(_) => {
            Err(Usage::Wrong(format!("--point {name} needs the feature kill-points: use cargo xtask crash")))
        }
        None => Err(Usage::Wrong(format!("no point {name}; --list-points lists them"))),
    });
    let point = point.transpose()?;
    Ok(Options {
        kills: kills.or(if minutes.is_none() { Some(200) } else { None }),
        time_max: minutes.map(|minutes: u64| Duration::from_secs(minutes * 60)),
        seed: args.number("--seed", 0..=u64::MAX)?.unwrap_or_else(fresh_seed),
        cores: args.number("--cores", 1..=32)?.unwrap_or(3),
        point,
        directory: args.value("--dir").map(PathBuf::from),
        life: args.number("--life", 0..=u64::MAX)?.unwrap_or(0),
    })
}
