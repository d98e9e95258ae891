//! `cargo xtask sweep`: every fault of the fault table at every place, on a simulated disk.
//!
//! Checks its own command line and starts the sweep program of wal-sim, which does the work.

use crate::failure::{Failure, number, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask sweep [--images N] [--seed S] [--only ROW[,ROW...]] [--unit U]

Runs writer, coordinator, checkpoints, recovery and reopening on a simulated disk, with every fault
of the table in docs/testing.md at every place, and compares what comes back with an oracle.

Options:
  --images N     images of power losses, and of the rest in proportion; the gate takes 1000000
  --seed S       the seed of everything that is drawn
  --only ROWS    only these rows, by their name or their number in the table
  --unit U       only this part of the row: a failure says which

Exit code: 0 when nothing was found; otherwise the last line is the command that shows it again.
";

/// Runs the sweeps with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    check(args)?;
    process::run_program("wal-sim", "sweep", &[], args)
}

/// Refuses a wrong command line before a release build is spent on it.
fn check(args: &[String]) -> Result<(), Failure> {
    let mut args = args.iter();
    while let Some(option) = args.next() {
        match option.as_str() {
            "--images" | "--seed" | "--unit" => drop(number("sweep", option, args.next())?),
            "--only" if args.next().is_some() => {}
            "--only" => return Err(Failure::usage("`sweep --only` needs rows behind it")),
            _ => return Err(unknown("sweep", option)),
        }
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
    fn only_known_options_with_values_are_taken() {
        check_words(&[], true);
        check_words(&["--images", "200", "--seed", "3"], true);
        check_words(&["--only", "power-loss,7", "--unit", "12"], true);
        check_words(&["--only"], false);
        check_words(&["--images", "many"], false);
        check_words(&["--image", "1"], false);
    }
}
