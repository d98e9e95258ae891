//! `cargo xtask crash`: write, SIGKILL, recover, compare, in a loop.
//!
//! Checks its own command line and starts the crash program of wal-bench, which does the work.

use crate::failure::{Failure, number, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask crash [--kills N] [--minutes M] [--seed S] [--point NAME] [--list-points]

Starts a process that appends on several cores, kills it with SIGKILL, recovers, and checks that
everything that was acknowledged is there, once and in order. Then it goes on in the same directory,
and is killed again: at each named point between two steps of the log, and at random moments.

Options:
  --kills N      stop after N kills
  --minutes M    stop after M minutes
  --seed S       the seed of the random choices; a failing run prints the one it had
  --point NAME   kill at this point only
  --list-points  list the points and do nothing

Exit code: 0 when nothing was lost; otherwise the directory is kept and named. A run of at least
twice as many kills as there are points also fails if no kill was at one of them.
";

const OPTIONS: [&str; 3] = ["--kills", "--minutes", "--seed"];

/// Runs the crash loop with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    check(args)?;
    process::run_bench_program("crash", &["kill-points"], args)
}

/// Refuses a wrong command line before a release build is spent on it.
fn check(args: &[String]) -> Result<(), Failure> {
    let mut args = args.iter();
    while let Some(option) = args.next() {
        match option.as_str() {
            "--list-points" => continue,
            "--point" if args.next().is_some() => continue,
            "--point" => return Err(Failure::usage("`crash --point` needs a name behind it")),
            _ => {}
        }
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
        check_words(&["--point", "manifest-renamed", "--kills", "3"], true);
        check_words(&["--list-points"], true);
        check_words(&["--point"], false);
        check_words(&["--kills"], false);
        check_words(&["--kills", "some"], false);
        check_words(&["--kill", "1"], false);
        check_words(&["200"], false);
    }
}
