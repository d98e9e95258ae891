//! Every figure that the log is judged by, beside a plain yardstick in the same run, as one report in Markdown.
//!
//! Medians over repetitions, and the ratio to the yardstick: on a machine that others use, only ratios mean anything, so
//! where it matters the two take turns. Entries have a key of 16 bytes and a value of 100.

mod machine;
mod samples;
mod yardstick;

mod appends;
mod checkpoint;
mod closes;
mod memory;
mod nowhere;
mod pin;
mod recovery;
mod steady;
mod syncs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wal_coordinator::{PerCoreWalConfig, PerCoreWalManager};

use crate::args::{Args, Known, Usage};

const HELP: &str = "\
Usage: bench [--quick] [--only FIGURES] [--dir DIR]

Measures the log beside plain yardsticks and prints a report in Markdown.

Options:
  --quick         fewer and shorter rounds: within a minute, for a first impression only
  --only FIGURES  some of: append, steady, cores, sync, epoch, pin, closes, recovery, checkpoint, memory;
                  with commas between
  --dir DIR       where files go (default: the directory for temporary files)
";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Key and value of every entry.
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;

/// How much to measure, and where.
#[derive(Clone, Debug)]
struct Plan {
    quick: bool,
    directory: PathBuf,
}

/// One measurement.
struct Row {
    name: String,
    value: String,
    yardstick: String,
    ratio: Option<f64>,
}

/// Runs the program with the arguments `words`.
pub fn main(words: impl IntoIterator<Item = String>) -> ExitCode {
    let known = Known { flags: &["--quick"], options: &["--only", "--dir", memory::CHILD] };
    let args = match Args::parse(known, words) {
        Ok(args) => args,
        Err(usage) => return usage.report(HELP),
    };
    let directory = args.value("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    if let Some(what) = args.value(memory::CHILD) {
        return code(memory::child(what, &directory));
    }
    let wanted: Vec<_> = args.value("--only").map_or(Vec::new(), |only| only.split(',').collect());
    if let Some(unknown) = wanted.iter().find(|name| FIGURES.iter().all(|(figure, _)| figure != *name)) {
        return Usage::Wrong(format!("there is no figure {unknown:?}")).report(HELP);
    }
    code(run(&Plan { quick: args.has("--quick"), directory }, &wanted))
}

type Measure = fn(&Plan) -> Result<Vec<Row>, Failure>;

const FIGURES: [(&str, Measure); 10] = [
    ("append", appends::one_core),
    ("steady", steady::measure),
    ("cores", appends::two_cores),
    ("sync", syncs::one_core),
    ("epoch", syncs::epochs),
    ("pin", pin::measure),
    ("closes", closes::measure),
    ("recovery", recovery::measure),
    ("checkpoint", checkpoint::measure),
    ("memory", memory::measure),
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

fn run(plan: &Plan, wanted: &[&str]) -> Result<(), Failure> {
    println!("# Measurements\n\n{}", machine::describe(&plan.directory));
    println!(
        "- entries: key {KEY_BYTES} bytes, value {VALUE_BYTES} bytes; default settings unless said otherwise"
    );
    println!("- {}\n", if plan.quick { "quick: few repetitions" } else { "full: medians over repetitions" });
    println!("| figure | log | yardstick | ratio |\n|---|---|---|---|");
    for (name, measure) in FIGURES {
        if wanted.is_empty() || wanted.contains(&name) {
            eprintln!("measuring: {name}");
            for row in measure(plan).map_err(|error| format!("{name}: {error}"))? {
                let ratio = row.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                println!("| {} | {} | {} | {ratio} |", row.name, row.value, row.yardstick);
            }
        }
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

impl Row {
    /// A value beside a yardstick of the same unit.
    fn beside(name: &str, value: f64, yardstick: f64, unit: &str) -> Self {
        let text = |number: f64| format!("{} {unit}", figures(number));
        let ratio = (yardstick > 0.0).then(|| value / yardstick);
        Self { name: name.to_owned(), value: text(value), yardstick: text(yardstick), ratio }
    }

    /// A value alone.
    fn alone(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), yardstick: String::new(), ratio: None }
    }
}

/// About three digits.
fn figures(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// A new log.
fn open(directory: &Path, cores: usize) -> Result<PerCoreWalManager, Failure> {
    Ok(PerCoreWalManager::new(PerCoreWalConfig::new(&directory.join("log"), cores))?)
}

/// The key with this number.
fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&crate::random::mix(number).to_le_bytes());
    key
}
