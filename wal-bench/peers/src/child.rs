//! What is measured, in a process of its own: one task on one log. Prints its figures as JSON.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use wal_bench::samples::{Samples, as_micros};

use crate::Failure;
use crate::logs::{Entry, Log, Setup, Sink};

/// In the order of the report. `fill` is not among them: it makes what `recovery` and `restart` read.
pub(crate) const TASKS: [&str; 6] = ["burst", "sustained", "sync", "batch", "recovery", "restart"];

/// Entries of a burst: fits the ring of 4 MiB with values of 100 bytes.
const BURST: u64 = 20_000;
const BATCH: u64 = 64;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) cores: usize,
    /// Bursts, entries, durable appends or batches.
    pub(crate) count: u64,
    pub(crate) value_bytes: usize,
}

pub(crate) type Figures = BTreeMap<String, f64>;

impl Task {
    /// This program as the process that does it on `log`.
    pub(crate) fn command(&self, log: &Entry) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", &self.name, "--log", log.name]).arg("--dir").arg(&self.directory);
        for (option, number) in
            [("--cores", self.cores as u64), ("--count", self.count), ("--values", self.value_bytes as u64)]
        {
            command.args([option, &number.to_string()]);
        }
        // walrus-rust takes its directory from the environment, and talks otherwise.
        command.env("WALRUS_DATA_DIR", &self.directory).env("WALRUS_QUIET", "1");
        Ok(command)
    }
}

pub(crate) fn run(log: &Entry, task: &Task) -> Result<(), Failure> {
    (log.run)(task)
}

/// Does it and prints what it took.
pub(crate) fn task<L: Log>(task: &Task) -> Result<(), Failure> {
    let value = vec![42; task.value_bytes];
    let figures = match task.name.as_str() {
        "burst" => bursts::<L>(task, &value)?,
        "sustained" => sustained::<L>(task, &value)?,
        "sync" => durable::<L>(task, &value, 1)?,
        "batch" => durable::<L>(task, &value, BATCH)?,
        "fill" => fill::<L>(task, &value)?,
        "recovery" => restart::<L>(task, Sink::Count(0))?,
        "restart" => restart::<L>(task, Sink::Map(HashMap::new()))?,
        other => return Err(format!("there is no task {other:?}").into()),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// With room for `entries` in every log.
fn setup(task: &Task, durable: bool, entries: u64) -> Setup {
    let bytes = entries * (task.value_bytes as u64 + 32) + (1 << 20);
    Setup { cores: task.cores, durable, bytes }
}

/// Bursts, each followed by a sync that is not counted: ns per append.
fn bursts<L: Log>(task: &Task, value: &[u8]) -> Result<Figures, Failure> {
    let burst = burst_entries(task.value_bytes);
    let mut log = L::open(&task.directory, &setup(task, false, (task.count + 1) * burst))?;
    let mut samples = Samples::default();
    for round in 0..=task.count {
        let started = Instant::now();
        let appended = log.append(0, round * burst..(round + 1) * burst, value)?;
        if round > 0 {
            samples.push((appended - started).as_nanos() as f64 / burst as f64);
        }
    }
    Ok(Figures::from([("burst".to_owned(), samples.median())]))
}

/// The ring takes 4 MiB.
fn burst_entries(value_bytes: usize) -> u64 {
    BURST.min(3_500_000 / (value_bytes as u64 + 24))
}

/// Entries in a row: ns per append until the last has returned, and until all are durable.
fn sustained<L: Log>(task: &Task, value: &[u8]) -> Result<Figures, Failure> {
    let mut log = L::open(&task.directory, &setup(task, false, task.count))?;
    let started = Instant::now();
    let appended = log.append(0, 0..task.count, value)?;
    let durable = started.elapsed();
    let each = |time: std::time::Duration| time.as_nanos() as f64 / task.count as f64;
    Ok(Figures::from([
        ("sustained".to_owned(), each(appended - started)),
        ("sustained-durable".to_owned(), each(durable)),
    ]))
}

/// Appends of `batch` entries, each durable before the next.
fn durable<L: Log>(task: &Task, value: &[u8], batch: u64) -> Result<Figures, Failure> {
    const WARM: u64 = 20;
    let mut log = L::open(&task.directory, &setup(task, true, (task.count + WARM) * batch))?;
    let mut samples = Samples::default();
    for round in 0..task.count + WARM.min(task.count) {
        let started = Instant::now();
        log.append(0, round * batch..(round + 1) * batch, value)?;
        if round >= WARM {
            samples.push(as_micros(started.elapsed()));
        }
    }
    let name = if batch == 1 { "sync" } else { "batch" };
    Ok(Figures::from([
        (format!("{name}-p50"), samples.median()),
        (format!("{name}-p99"), samples.quantile(0.99)),
        (format!("{name}-rate"), batch as f64 * 1e3 / samples.median().max(f64::MIN_POSITIVE)),
    ]))
}

/// `count` entries in every core's log, in turns of a thousand, and how many bytes they take.
fn fill<L: Log>(task: &Task, value: &[u8]) -> Result<Figures, Failure> {
    let mut log = L::open(&task.directory, &setup(task, false, task.count))?;
    for from in (0..task.count).step_by(10_000) {
        for core in 0..task.cores {
            let first = core as u64 * task.count + from;
            log.append(core, first..(first + 10_000).min((core as u64 + 1) * task.count), value)?;
        }
    }
    drop(log);
    let entries = task.count * task.cores as u64;
    let payload = (wal_bench::workload::KEY_BYTES + task.value_bytes) as f64;
    let bytes = crate::used::bytes(&task.directory)? as f64 / entries as f64;
    Ok(Figures::from([("bytes".to_owned(), bytes - payload)]))
}

/// Until everything was handed over and the log can be appended to.
fn restart<L: Log>(task: &Task, sink: Sink) -> Result<Figures, Failure> {
    let setup = setup(task, false, 0);
    let started = Instant::now();
    let (log, sink) = L::restart(&task.directory, &setup, sink)?;
    let time = started.elapsed();
    let entries = task.count * task.cores as u64;
    if sink.len() != entries {
        return Err(format!("{} of {entries} entries came back", sink.len()).into());
    }
    drop(log);
    let ns = time.as_nanos() as f64 / entries as f64;
    Ok(Figures::from([("ns".to_owned(), ns), ("ms".to_owned(), time.as_secs_f64() * 1e3)]))
}
