//! `cargo xtask crash`: write, SIGKILL, recover, compare, in a loop.
//!
//! Checks its own command line and starts the crash program of wal-bench, which does the work.

use crate::failure::{Failure, number, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask crash [--kills N] [--minutes M] [--seed S]

Starts a process that appends on several cores, kills it with SIGKILL at a random moment, recovers,
and checks that everything that was acknowledged is there, once and in order. Then it goes on in the
same directory, and is killed again.

Options:
  --kills N      stop after N kills
  --minutes M    stop after M minutes
  --seed S       the seed of the random choices; a failing run prints the one it had

Exit code: 0 when nothing was lost; otherwise the directory is kept and named.
";

const OPTIONS: [&str; 3] = ["--kills", "--minutes", "--seed"];

/// Runs the crash loop with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    check(args)?;
    process::run_bench_program("crash", args)
}

/// Refuses a wrong command line before a release build is spent on it.
fn check(args: &[String]) -> Result<(), Failure> {
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if !OPTIONS.contains(&option.as_str()) {
            return Err(unknown("crash", option));
        }
        number("crash", option, args.next())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(words: &[&str], good: bool) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(check(&words).is_ok(), good, "{words:?}");
    }

    #[test]
    fn only_known_options_with_numbers_are_taken() {
        check_words(&[], true);
        check_words(&["--kills", "200"], true);
        check_words(&["--minutes", "5", "--seed", "7"], true);
        check_words(&["--kills"], false);
        check_words(&["--kills", "some"], false);
        check_words(&["--kill", "1"], false);
        check_words(&["200"], false);
    }
}
