//! Every figure that the log is judged by, beside a plain yardstick in the same run, as one report.
//!
//! Medians over repetitions, and the ratio to the yardstick: on a machine that others use, only ratios mean anything, so
//! where it matters the two take turns. Entries have a key of 16 bytes and a value of 100.

mod appends;
mod batch;
mod checkpoint;
mod clock;
mod closes;
mod group;
mod latency;
mod load;
mod memory;
mod pin;
mod recovery;
mod scaling;
mod sizes;
mod steady;
mod syncs;
mod timeline;
mod together;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager};

use crate::args::{Args, Known, Usage};
use crate::compare::{self, Comparison};
use crate::machine::Machine;
use crate::nowhere;
use crate::report::{aims, html, markdown};
use crate::results::{Figure, Measured, Results, Row};
use crate::samples;
use crate::steps;
use crate::usage;
use crate::workload::{KEY_BYTES, VALUE_BYTES, key};
use crate::yardstick;

const HELP: &str = "\
Usage: bench [--quick] [--only SCENARIOS] [--dir DIR] [--out DIR] [--steps DIR]
       bench --beside PROGRAM --called NAME [--rounds N] [--quick] [--only SCENARIOS] [--dir DIR]

Measures the log beside plain yardsticks and prints a report in Markdown.

Options:
  --quick           fewer and shorter rounds: within a minute, for a first impression only
  --only SCENARIOS  some of: append, latency, steady, cores, scaling, sync, batch, group, epoch, pin, closes,
                    recovery, sizes, checkpoint, timeline, memory, load; with commas between
  --dir DIR         where the measured files go (default: the directory for temporary files)
  --out DIR         where report.md, report.html and results.json go (default: nowhere)
  --steps DIR       what criterion kept of `cargo bench -p wal-bench`: shown in the same report
  --beside PROGRAM  the bench program of another revision: both measure, in alternation, and what both
                    have is compared
  --called NAME     what that revision is called
  --rounds N        how often each of them measures (default 4)
";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much to measure, and where.
#[derive(Clone, Debug)]
struct Plan {
    quick: bool,
    directory: PathBuf,
}

/// Runs the program with the arguments `words`.
pub fn main(words: impl IntoIterator<Item = String>) -> ExitCode {
    let known = Known {
        flags: &["--quick"],
        options: &[
            "--only",
            "--dir",
            "--out",
            "--steps",
            "--beside",
            "--called",
            "--rounds",
            memory::CHILD,
            checkpoint::CHILD,
            checkpoint::INTO,
        ],
    };
    let args = match Args::parse(known, words) {
        Ok(args) => args,
        Err(usage) => return usage.report(HELP),
    };
    let directory = args.value("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    if let Some(what) = args.value(memory::CHILD) {
        return code(memory::child(what, &directory));
    }
    if args.has(checkpoint::CHILD) {
        let number = |option| Ok(args.number(option, 0..=u64::MAX)?.unwrap_or_default());
        return match (number(checkpoint::CHILD), number(checkpoint::INTO)) {
            (Ok(keys), Ok(state)) => code(checkpoint::child(&directory, keys, state)),
            (Err(usage), _) | (_, Err(usage)) => Usage::report(&usage, HELP),
        };
    }
    let wanted: Vec<_> = args.value("--only").map_or(Vec::new(), |only| only.split(',').collect());
    if let Some(unknown) = wanted.iter().find(|name| SCENARIOS.iter().all(|(known, _)| known != *name)) {
        return Usage::Wrong(format!("there is no scenario {unknown:?}")).report(HELP);
    }
    if let Some(other) = args.value("--beside") {
        return match comparison(&args, other) {
            Ok(comparison) => code(compare::compare(&comparison).map(|text| print!("{text}"))),
            Err(usage) => usage.report(HELP),
        };
    }
    let plan = Plan { quick: args.has("--quick"), directory };
    let measured = run(&plan, &wanted).and_then(|mut results| {
        if let Some(kept) = args.value("--steps") {
            results.figures.extend(steps::read(Path::new(kept))?);
        }
        keep(&results, args.value("--out").map(Path::new))
    });
    code(measured)
}

fn comparison(args: &Args, other: &str) -> Result<Comparison, Usage> {
    let mut options = Vec::new();
    if args.has("--quick") {
        options.push("--quick".to_owned());
    }
    for name in ["--only", "--dir"] {
        if let Some(value) = args.value(name) {
            options.extend([name.to_owned(), value.to_owned()]);
        }
    }
    Ok(Comparison {
        old: PathBuf::from(other),
        new: std::env::current_exe()
            .map_err(|error| Usage::Wrong(format!("where is this program? {error}")))?,
        old_name: args.value("--called").unwrap_or(other).to_owned(),
        rounds: args.number("--rounds", 1..=99)?.unwrap_or(4),
        options,
    })
}

type Measure = fn(&Plan) -> Result<Measured, Failure>;

/// In the order of the report.
const SCENARIOS: &[(&str, Measure)] = &[
    ("append", appends::one_core),
    ("latency", latency::measure),
    ("steady", steady::measure),
    ("cores", appends::two_cores),
    ("scaling", scaling::measure),
    ("sync", syncs::one_core),
    ("batch", batch::measure),
    ("group", group::measure),
    ("epoch", syncs::epochs),
    ("pin", pin::measure),
    ("closes", closes::measure),
    ("recovery", recovery::measure),
    ("sizes", sizes::measure),
    ("checkpoint", checkpoint::measure),
    ("timeline", timeline::measure),
    ("memory", memory::measure),
    ("load", load::measure),
];

fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(plan: &Plan, wanted: &[&str]) -> Result<Results, Failure> {
    let repetitions = if plan.quick { "quick: few repetitions" } else { "full: medians over repetitions" };
    let mut results = Results {
        title: "Measurements".to_owned(),
        machine: Machine::here(&plan.directory),
        settings: vec![
            format!(
                "entries: key {KEY_BYTES} bytes, value {VALUE_BYTES} bytes; default settings unless said otherwise"
            ),
            repetitions.to_owned(),
        ],
        figures: Vec::new(),
        plots: Vec::new(),
    };
    for (scenario, measure) in SCENARIOS {
        if wanted.is_empty() || wanted.contains(scenario) {
            eprintln!("measuring: {scenario}");
            let Measured { rows, plots } = measure(plan).map_err(|error| format!("{scenario}: {error}"))?;
            if let Some(unknown) = rows.iter().flat_map(|row| &row.aims).find(|name| !aims::exists(name)) {
                return Err(format!("{scenario}: there is no aim {unknown:?}").into());
            }
            results
                .figures
                .extend(rows.into_iter().map(|row| Figure { scenario: (*scenario).to_owned(), row }));
            results.plots.extend(plots);
        }
    }
    Ok(results)
}

/// Prints the report, and keeps it and what it was made from.
fn keep(results: &Results, directory: Option<&Path>) -> Result<(), Failure> {
    let document = markdown::document(results);
    print!("{document}");
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("report.md"), document)?;
        std::fs::write(directory.join("report.html"), html::page(results))?;
        std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(results)?)?;
        eprintln!("kept in {}", directory.display());
    }
    Ok(())
}

impl Plan {
    /// A directory for one measurement, removed when dropped.
    fn temporary(&self) -> Result<tempfile::TempDir, Failure> {
        Ok(tempfile::Builder::new().prefix("wal-bench-").tempdir_in(&self.directory)?)
    }

    /// `full`, or `quick` for a first impression.
    fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// A new log.
fn open(directory: &Path, cores: usize) -> Result<PerCoreWalManager, Failure> {
    Ok(PerCoreWalManager::new(PerCoreWalConfig::new(directory.join("log"), cores))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_scenario() {
        let list = HELP.split("some of:").nth(1).and_then(|rest| rest.split(';').next()).expect("a list");
        let named: Vec<&str> = list.split(',').map(str::trim).collect();
        let known: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, known);
    }
}
