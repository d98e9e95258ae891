//! Other logs beside this one: the same payloads, the same sync discipline, in the same run on the same machine.
//!
//! Started by `cargo xtask bench --peers`. Every measurement runs in a process of its own, the logs take turns and the order
//! changes from round to round; what is printed is the median of the rounds. What a log's sync really does is counted
//! with strace, and one that does not make the device flush is shown as such: its time is no time of a durable append.
#![forbid(unsafe_code)]

mod child;
mod logs;
mod matrix;
mod parent;
mod strace;
mod used;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wal_bench::args::{Args, Known, Usage};

use child::{TASKS, Task};
use parent::Plan;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const HELP: &str = "\
Usage: cargo xtask bench --peers [--rounds N] [--values N,...] [--only TASKS] [--logs NAMES] [--dir DIR] [--out DIR]
       cargo xtask bench --peers --strace

Measures other logs beside this one and prints a table in Markdown.

Options:
  --quick         one round, fewer entries
  --rounds N      rounds, each of which measures every log once (default 3)
  --values N,...  bytes of a value (default 100; the key always has 16)
  --only TASKS    some of: burst, sustained, sync, batch, recovery, restart
  --logs NAMES    only logs with these words in their names; the yardstick is always measured
  --strace        instead of measuring, print the system calls of a durable append of each log
  --dir DIR       where the logs go (default: the directory for temporary files)
  --out DIR       where peers.md, peers.html and peers.json go (default: nowhere)
";

fn main() -> ExitCode {
    let known = Known {
        flags: &["--quick", "--strace"],
        options: &[
            "--rounds", "--values", "--only", "--logs", "--dir", "--out", "--child", "--log", "--count",
            "--cores",
        ],
    };
    let result = Args::parse(known, std::env::args().skip(1)).and_then(|args| run(&args));
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("peers: {error}");
            ExitCode::from(1)
        }
        Err(usage) => usage.report(HELP),
    }
}

/// A wrong command line, or how the work ended.
fn run(args: &Args) -> Result<Result<(), Failure>, Usage> {
    let directory = args.value("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let wrong = |what: &str| Usage::Wrong(format!("{what}: not one of those that there are"));
    if let Some(task) = args.value("--child") {
        let log = logs::named(args.value("--log").unwrap_or_default()).ok_or_else(|| wrong("--log"))?;
        let task = Task {
            name: task.to_owned(),
            directory,
            cores: args.number("--cores", 1..=64)?.unwrap_or(1),
            count: args.number("--count", 0..=u64::MAX)?.unwrap_or(0),
            value_bytes: args.number("--values", 0..=1 << 20)?.unwrap_or(100),
        };
        return Ok(child::run(&log, &task));
    }
    let words = |option: &str| args.value(option).map_or(Vec::new(), |list| list.split(',').collect());
    let tasks: Vec<&str> = words("--only");
    if tasks.iter().any(|task| !TASKS.contains(task)) {
        return Err(wrong("--only"));
    }
    let names: Vec<&str> = words("--logs");
    let chosen = |log: &logs::Entry| {
        log.name == logs::YARDSTICK || names.is_empty() || names.iter().any(|name| log.name.contains(name))
    };
    let sizes: Result<Vec<usize>, _> =
        args.value("--values").unwrap_or("100").split(',').map(str::parse).collect();
    let quick = args.has("--quick");
    let plan = Plan {
        quick,
        rounds: args.number("--rounds", 1..=99)?.unwrap_or(if quick { 1 } else { 3 }),
        value_sizes: sizes.map_err(|_| wrong("--values"))?,
        tasks: TASKS.into_iter().filter(|task| tasks.is_empty() || tasks.contains(task)).collect(),
        logs: logs::all().into_iter().filter(chosen).collect(),
        directory,
    };
    Ok(if args.has("--strace") {
        strace::print(&plan)
    } else {
        parent::measure(&plan, args.value("--out").map(Path::new))
    })
}
