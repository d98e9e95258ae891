//! `cargo xtask schedules`: the whole coordinator under drawn schedules, on a disk in memory.
//!
//! Promises: as many schedules ran as were asked for; a failure names the seed that replays it. The scenarios are tests
//! of wal-coordinator (`tests/schedules/`) in a build with `--cfg shuttle`, in a target directory of its own.

use std::process::Command;

use crate::failure::{Failure, number, unknown};
use crate::{loom, process};

pub(crate) const HELP: &str = "\
Usage: cargo xtask schedules [--count N] [--seed S] [--scenario NAME] [--replay SEED]

Runs cores, flushers, closers, checkpoints, readers and shutdowns together, every step in an order
that a seed decides, over the real coordinator on a simulated disk that loses power. An oracle knows
every entry and every promise. Lost wake-ups show as deadlocks.

Options:
  --count N        how many schedules, over all scenarios; the gate takes 100000, a campaign more
  --seed S         the seed of the first schedule of each scenario; the others follow it
  --scenario NAME  only receipts, epochs, checkpoints, followers, failures, space, shutdown
                   or reopening
  --replay SEED    only the schedule of this seed, as a failure says; needs --scenario
";

/// The scenarios; each gets the same share.
const SCENARIOS: [&str; 8] =
    ["receipts", "epochs", "checkpoints", "followers", "failures", "space", "shutdown", "reopening"];

/// The test that makes sure that a seed says everything.
const REPLAYS: &str = "replays";

const COUNT: u64 = 100_000;

#[derive(Debug, PartialEq)]
struct Options {
    count: u64,
    seed: u64,
    scenario: Option<String>,
    replay: Option<u64>,
}

/// Runs the schedules.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    let mut cargo = process::cargo();
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env("RUSTFLAGS", format!("{flags} --cfg shuttle").trim_start());
    cargo.env("CARGO_TARGET_DIR", process::target_dir().join("schedules"));
    cargo.args(["test", "--release", "--package", "wal-coordinator", "--test", "schedules", "--"]);
    let output = loom::capture(options.apply(&mut cargo), true)?;
    let ran = schedules_run(&output);
    let asked = if options.replay.is_some() { 1 } else { options.count };
    if ran < asked {
        return Err(Failure::failed(format!("{ran} schedules ran, {asked} were asked for")));
    }
    println!("schedules that hold: {ran}");
    Ok(())
}

impl Options {
    fn apply<'a>(&self, cargo: &'a mut Command) -> &'a mut Command {
        let scenarios = if self.scenario.is_some() { 1 } else { SCENARIOS.len() as u64 };
        cargo.env("WAL_SCHEDULES", self.count.div_ceil(scenarios).to_string());
        cargo.env("WAL_SCHEDULE_SEED", self.seed.to_string());
        if let Some(seed) = self.replay {
            cargo.env("WAL_SCHEDULE_REPLAY", seed.to_string());
        }
        cargo.args(["--nocapture", "--exact"]);
        match &self.scenario {
            Some(scenario) => cargo.arg(scenario),
            None => cargo.args(SCENARIOS).arg(REPLAYS),
        }
    }
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options { count: COUNT, seed: 0, scenario: None, replay: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--count" => options.count = number("schedules", arg, args.next())?,
            "--seed" => options.seed = number("schedules", arg, args.next())?,
            "--replay" => options.replay = Some(number("schedules", arg, args.next())?),
            "--scenario" => {
                let name = args.next().filter(|name| SCENARIOS.contains(&name.as_str()));
                let list = SCENARIOS.join(", ");
                let name = name.ok_or_else(|| Failure::usage(format!("`--scenario` takes one of {list}")))?;
                options.scenario = Some(name.clone());
            }
            _ => return Err(unknown("schedules", arg)),
        }
    }
    if options.replay.is_some() && options.scenario.is_none() {
        return Err(Failure::usage("`schedules --replay` needs the `--scenario` that failed"));
    }
    Ok(options)
}

/// The sum over all lines like `epochs: 14286 schedules, ...`.
fn schedules_run(output: &str) -> u64 {
    let count = |line: &str| {
        let (name, rest) = line.split_once(": ")?;
        let count = rest.split_once(" schedules, ")?.0.parse::<u64>().ok()?;
        // The harness may have begun this line with the test's own name.
        name.split(' ').next_back().filter(|name| SCENARIOS.contains(name)).map(|_| count)
    };
    output.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Options, Failure> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_known_options_and_scenarios_are_taken() {
        let parsed = parse_words(&["--count", "70", "--seed", "3", "--scenario", "space"]).ok();
        let expected = Options { count: 70, seed: 3, scenario: Some("space".to_owned()), replay: None };
        assert_eq!(parsed, Some(expected));
        for wrong in [&["--scenario", "x"][..], &["--scenario"], &["--count"], &["--replay", "1"], &["x"]] {
            assert!(matches!(parse_words(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn schedules_are_counted_wherever_their_line_begins() {
        let output = "running 2 tests\ntest epochs ... epochs: 40 schedules, 9 steps, 0.1 s\nok\n\
                      space: 2 schedules, 1 steps, 0.0 s\nother: 7 schedules, 1 steps\n";
        assert_eq!(schedules_run(output), 42);
        assert_eq!(schedules_run("error: could not compile\n"), 0);
    }
}
