//! The rounds: every log does every task in a process of its own, in an order that turns around from round to round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wal_bench::machine::Machine;
use wal_bench::report::{html, markdown};
use wal_bench::results::{Figure, Results, Row};
use wal_bench::samples::Samples;

use crate::Failure;
use crate::child::{Figures, Task};
use crate::logs::{Entry, OURS, YARDSTICK};
use crate::matrix::{Cell, Matrix};
use crate::strace::{self, Calls};

/// What to measure.
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) rounds: u64,
    pub(crate) value_sizes: Vec<usize>,
    pub(crate) tasks: Vec<&'static str>,
    pub(crate) logs: Vec<Entry>,
    pub(crate) directory: PathBuf,
}

/// The columns of the table: figure, heading, unit.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("burst", "append, burst", "ns"),
    ("sustained", "append, in a row", "ns"),
    ("sustained-durable", "the same until durable", "ns"),
    ("sync-p50", "append and sync, p50", "us"),
    ("sync-p99", "p99", "us"),
    ("batch-rate", "durable batches of 64", "k entries/s"),
    ("recovery", "recovery, per entry", "ns"),
    ("restart", "restart of 4 x 500 k", "ms"),
    ("bytes", "bytes above key and value", "B"),
];

/// Figures that mean nothing for a log that does not make the device flush.
const NEED_FLUSH: [&str; 4] = ["sustained-durable", "sync-p50", "sync-p99", "batch-rate"];

/// Figure by log.
type Found = BTreeMap<(&'static str, &'static str), Samples>;

pub(crate) fn measure(plan: &Plan, out: Option<&Path>) -> Result<(), Failure> {
    let calls = strace::all(plan)?;
    let mut results = Results {
        title: "Beside other logs".to_owned(),
        machine: Machine::here(&plan.directory),
        settings: settings(plan, calls.is_some()),
        figures: Vec::new(),
        plots: Vec::new(),
    };
    let mut document = String::new();
    for value_bytes in &plan.value_sizes {
        let mut found = rounds(plan, *value_bytes)?;
        let matrix = matrix(plan, *value_bytes, &mut found, calls.as_deref());
        document.push_str(&matrix.markdown());
        results.figures.extend(figures(plan, *value_bytes, &mut found, calls.as_deref()));
    }
    let document = format!("{}\n{document}", markdown::opening(&results));
    print!("{document}");
    if let Some(out) = out {
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join("peers.md"), document)?;
        std::fs::write(out.join("peers.html"), html::page(&results))?;
        std::fs::write(out.join("peers.json"), serde_json::to_string_pretty(&results)?)?;
        eprintln!("kept in {}", out.display());
    }
    Ok(())
}

fn settings(plan: &Plan, is_traced: bool) -> Vec<String> {
    let versions: Vec<String> = plan
        .logs
        .iter()
        .filter(|log| !log.version.is_empty())
        .map(|log| format!("{} {}", log.name, log.version))
        .collect();
    let rounds = format!(
        "medians of {} rounds, the order of the logs turned around in every other; +- is half of what lies between \
         the least and the greatest round",
        plan.rounds
    );
    let sync = if is_traced {
        "what a sync does was counted with strace"
    } else {
        "what a sync does was NOT checked, because strace is not installed"
    };
    vec![
        versions.join(", "),
        rounds,
        "entries: key 16 bytes; a process of its own for every task".to_owned(),
        sync.to_owned(),
    ]
}

fn rounds(plan: &Plan, value_bytes: usize) -> Result<Found, Failure> {
    let mut found = Found::new();
    for round in 0..plan.rounds {
        for task in &plan.tasks {
            let mut order: Vec<&Entry> = plan.logs.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for log in order {
                eprintln!("round {}, {value_bytes} B: {task}, {}", round + 1, log.name);
                for (name, value) in one(plan, log, task, value_bytes)? {
                    found.entry((name, log.name)).or_default().push(value);
                }
            }
        }
    }
    Ok(found)
}

/// One task of one log, in a directory that is removed afterwards.
fn one(
    plan: &Plan,
    log: &Entry,
    task: &str,
    value_bytes: usize,
) -> Result<Vec<(&'static str, f64)>, Failure> {
    let choose = |full: u64, quick: u64| if plan.quick { quick } else { full };
    let directory = Temporary::new(&plan.directory)?;
    let run = |name: &str, cores, count| {
        let (name, directory) = (name.to_owned(), directory.0.clone());
        child(log, &Task { name, directory, cores, count, value_bytes })
    };
    let figures = match task {
        "burst" => run(task, 1, choose(15, 5))?,
        "sustained" => run(task, 1, choose(1_000_000, 200_000))?,
        "sync" => run(task, 1, choose(400, 100))?,
        "batch" => run(task, 1, choose(200, 60))?,
        "recovery" | "restart" => {
            let cores = if task == "recovery" { 1 } else { 4 };
            let count = choose(500_000, 100_000);
            let mut figures = run("fill", cores, count)?;
            // Once to warm the cache.
            let again = [run(task, cores, count)?, run(task, cores, count)?, run(task, cores, count)?];
            let unit = if task == "recovery" { "ns" } else { "ms" };
            let best =
                again[1..].iter().filter_map(|figures| figures.get(unit)).fold(f64::MAX, |a, b| a.min(*b));
            figures.insert(task.to_owned(), best);
            if task == "restart" {
                figures.remove("bytes");
            }
            figures
        }
        other => return Err(format!("there is no task {other:?}").into()),
    };
    let known =
        |name: &String| COLUMNS.iter().find(|(column, ..)| column == name).map(|(column, ..)| *column);
    Ok(figures.iter().filter_map(|(name, value)| Some((known(name)?, *value))).collect())
}

/// A directory that is removed when this is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(within: &Path) -> Result<Self, Failure> {
        let path = within.join(format!("wal-peers-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a process of its own found.
fn child(log: &Entry, task: &Task) -> Result<Figures, Failure> {
    let output = task.command(log)?.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // A log may print what it likes: the figures are the last line.
    let figures = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    figures.filter(|_| output.status.success()).ok_or_else(|| {
        format!("{}, {}: {}", log.name, task.name, String::from_utf8_lossy(&output.stderr).trim()).into()
    })
}

/// Whether a log is known not to make the device flush.
fn flushes(log: &Entry, calls: Option<&[(&'static str, Calls)]>) -> Option<bool> {
    let (_, calls) = calls?.iter().find(|(name, _)| *name == log.name)?;
    Some(calls.flushes() >= 0.99)
}

fn matrix(
    plan: &Plan,
    value_bytes: usize,
    found: &mut Found,
    calls: Option<&[(&'static str, Calls)]>,
) -> Matrix {
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(name, ..)| plan.logs.iter().any(|log| found.contains_key(&(*name, log.name))))
        .collect();
    let mut matrix = Matrix {
        title: format!("Values of {value_bytes} bytes"),
        columns: columns.iter().map(|(_, heading, unit)| format!("{heading} ({unit})")).collect(),
        rows: Vec::new(),
    };
    matrix.columns.push("a durable append".to_owned());
    for log in &plan.logs {
        let is_flushed = flushes(log, calls);
        let mut cells: Vec<Cell> = Vec::new();
        for (name, ..) in &columns {
            let yardstick = found.get_mut(&(*name, YARDSTICK)).map(Samples::median);
            let cell = match found.get_mut(&(*name, log.name)) {
                _ if NEED_FLUSH.contains(name) && is_flushed == Some(false) => {
                    Cell::Text("no flush".to_owned())
                }
                Some(samples) => Cell::figure(samples, yardstick),
                None => Cell::Text(String::new()),
            };
            cells.push(cell);
        }
        let traced = calls.and_then(|calls| calls.iter().find(|(name, _)| *name == log.name));
        cells.push(Cell::Text(traced.map_or("not traced".to_owned(), |(_, calls)| calls.to_string())));
        matrix.rows.push((format!("{} {}", log.name, log.version).trim().to_owned(), cells));
    }
    matrix
}

/// As rows of the general report: each beside the yardstick.
fn figures(
    plan: &Plan,
    value_bytes: usize,
    found: &mut Found,
    calls: Option<&[(&'static str, Calls)]>,
) -> Vec<Figure> {
    let mut rows = Vec::new();
    for (name, heading, unit) in COLUMNS {
        let yardstick = found.get_mut(&(name, YARDSTICK)).map(Samples::median);
        for log in &plan.logs {
            let is_hollow = NEED_FLUSH.contains(&name) && flushes(log, calls) == Some(false);
            let Some(samples) = found.get_mut(&(name, log.name)).filter(|_| !is_hollow) else { continue };
            let what = format!("{heading}, values of {value_bytes} B: {} {}", log.name, log.version);
            rows.push(Row::beside(what.trim(), samples.median(), yardstick.unwrap_or(0.0), unit));
        }
    }
    rows.extend(best_restart(plan, value_bytes, found));
    rows.into_iter().map(|row| Figure { scenario: "peers".to_owned(), row }).collect()
}

fn best_restart(plan: &Plan, value_bytes: usize, found: &mut Found) -> Option<Row> {
    let ours = found.get_mut(&("restart", OURS))?.median();
    let peers = plan.logs.iter().filter(|log| !log.version.is_empty());
    let times = peers.filter_map(|log| Some(found.get_mut(&("restart", log.name))?.median()));
    let best = times.fold(f64::MAX, f64::min);
    let name = format!("best restart of all peers, values of {value_bytes} B, beside ours");
    (best < f64::MAX).then(|| Row::beside(&name, best, ours, "ms").aim("restart"))
}
