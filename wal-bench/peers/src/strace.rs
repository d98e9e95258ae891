//! What a durable append really does, counted with strace: the system calls of many, less those of few.
//!
//! A log's word for "durable" is not believed: only a call that makes the device flush counts as one. That is `fsync`,
//! `fdatasync`, `msync` with `MS_SYNC`, a write with `RWF_SYNC` or `RWF_DSYNC`, or any write to a file that was opened with
//! `O_SYNC` or `O_DSYNC`. `sync_file_range` is none: it writes pages, and leaves the device's cache alone. What goes through
//! an io_uring is not seen, and said so.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use crate::Failure;
use crate::child::Task;
use crate::logs::Entry;
use crate::parent::Plan;

/// Durable appends of the two runs.
const FEW: u64 = 40;
const MANY: u64 = 240;

const TRACED: &str = "trace=open,openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,msync,\
                      fallocate,ftruncate,io_uring_enter";
const WRITES: [&str; 5] = ["write", "writev", "pwrite64", "pwritev", "pwritev2"];

/// Calls of one durable append, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calls(BTreeMap<String, f64>);

impl Calls {
    /// How many of them make the device flush.
    pub(crate) fn flushes(&self) -> f64 {
        let flush =
            |name: &str| matches!(name, "fsync" | "fdatasync" | "msync(MS_SYNC)") || name.ends_with("SYNC)");
        self.0.iter().filter(|(name, _)| flush(name)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Calls that are made now and then are no part of an append.
        let calls: Vec<String> = self
            .0
            .iter()
            .filter(|(_, count)| **count >= 0.05)
            .map(
                |(name, count)| {
                    if (count - 1.0).abs() < 0.05 { name.clone() } else { format!("{count:.1} x {name}") }
                },
            )
            .collect();
        let calls = if calls.is_empty() { "no call that was traced".to_owned() } else { calls.join(", ") };
        let verdict = if self.flushes() >= 0.99 { "" } else { ": **no flush**" };
        write!(f, "{calls}{verdict}")
    }
}

/// The calls of every log of the plan; nothing without strace.
pub(crate) fn all(plan: &Plan) -> Result<Option<Vec<(&'static str, Calls)>>, Failure> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("strace is not installed: what a sync does is not checked");
        return Ok(None);
    }
    let of = |log: &Entry| Ok((log.name, of_append(plan, log)?));
    plan.logs.iter().map(of).collect::<Result<Vec<_>, Failure>>().map(Some)
}

/// Prints them, for `--strace`.
pub(crate) fn print(plan: &Plan) -> Result<(), Failure> {
    let calls = all(plan)?.ok_or("strace is not installed; on Debian: apt-get install strace")?;
    println!("| log | way | calls of a durable append |\n|---|---|---|");
    for (log, (_, calls)) in plan.logs.iter().zip(&calls) {
        println!("| {} | {} | {calls} |", format!("{} {}", log.name, log.version).trim(), log.sync);
    }
    Ok(())
}

fn of_append(plan: &Plan, log: &Entry) -> Result<Calls, Failure> {
    let (few, many) = (traced(plan, log, FEW)?, traced(plan, log, MANY)?);
    let names = few.keys().chain(many.keys());
    let each = |name: &String| {
        let count = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or(0) as f64;
        (name.clone(), (count(&many) - count(&few)) / (MANY - FEW) as f64)
    };
    Ok(Calls(names.map(each).collect()))
}

fn traced(plan: &Plan, log: &Entry, count: u64) -> Result<BTreeMap<String, u64>, Failure> {
    let directory = plan.directory.join(format!("wal-peers-strace-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let trace = directory.join("trace");
    let task =
        Task { name: "sync".to_owned(), directory: directory.clone(), cores: 1, count, value_bytes: 100 };
    let child = task.command(log)?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-s", "0", "-e", TRACED, "-e", "signal=none", "-o"]).arg(&trace);
    strace.arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.output()?;
    if !output.status.success() {
        return Err(
            format!("{} under strace: {}", log.name, String::from_utf8_lossy(&output.stderr).trim()).into()
        );
    }
    let counted = count_calls(&std::fs::read_to_string(&trace)?, &directory.display().to_string());
    std::fs::remove_dir_all(&directory)?;
    Ok(counted)
}

/// The calls on files below `directory`, by name; a write that is synced at once has a name of its own.
fn count_calls(trace: &str, directory: &str) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    let mut synced_paths: Vec<String> = Vec::new();
    for line in trace.lines() {
        // `1234 pwrite64(5</tmp/log>, ""..., 4096, 0) = 4096`; a call that is interrupted is one at its first half.
        let call = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if name.starts_with("<...") {
            continue;
        }
        let path = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
        if name.starts_with("open") {
            let opened =
                line.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
            if let Some(opened) = opened.filter(|_| line.contains("O_SYNC") || line.contains("O_DSYNC")) {
                synced_paths.push(opened.to_owned());
            }
            continue;
        }
        let is_ours = path.is_some_and(|path| path.starts_with(directory));
        let name = match name {
            "msync" if arguments.contains("MS_SYNC") => "msync(MS_SYNC)".to_owned(),
            "msync" | "io_uring_enter" => name.to_owned(),
            _ if !is_ours => continue,
            "pwritev2" if arguments.contains("RWF_DSYNC") || arguments.contains("RWF_SYNC") => {
                "pwritev2(RWF_DSYNC)".to_owned()
            }
            _ if WRITES.contains(&name)
                && path.is_some_and(|path| synced_paths.iter().any(|synced| synced == path)) =>
            {
                format!("{name}(O_SYNC)")
            }
            _ => name.to_owned(),
        };
        *counted.entry(name).or_default() += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_synced_writes_are_told_apart() {
        let trace = "7 openat(AT_FDCWD, \"/d/a\", O_RDWR|O_DSYNC) = 3</d/a>\n\
             7 openat(AT_FDCWD, \"/d/b\", O_RDWR) = 4</d/b>\n\
             7 pwrite64(3</d/a>, \"\"..., 9, 0) = 9\n\
             8 pwrite64(4</d/b>, \"\"..., 9, 0 <unfinished ...>\n\
             7 fdatasync(4</d/b>) = 0\n\
             8 <... pwrite64 resumed>) = 9\n\
             7 pwritev2(4</d/b>, [], 1, 0, RWF_DSYNC) = 9\n\
             7 write(1</elsewhere>, \"\"..., 9) = 9\n\
             7 sync_file_range(4</d/b>, 0, 9, 7) = 0\n";
        let counted = count_calls(trace, "/d");
        let expected = [
            ("fdatasync", 1),
            ("pwrite64", 1),
            ("pwrite64(O_SYNC)", 1),
            ("pwritev2(RWF_DSYNC)", 1),
            ("sync_file_range", 1),
        ];
        assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn only_what_makes_the_device_flush_is_a_flush() {
        let calls = |names: &[&str]| Calls(names.iter().map(|name| ((*name).to_owned(), 1.0)).collect());
        for flush in ["fsync", "fdatasync", "write(O_SYNC)", "pwritev2(RWF_DSYNC)", "msync(MS_SYNC)"] {
            assert!(calls(&[flush]).flushes() > 0.99, "{flush}");
        }
        let none = calls(&["write", "sync_file_range", "msync", "io_uring_enter"]);
        assert!(none.flushes() < 0.01);
        assert!(none.to_string().ends_with("**no flush**"));
        assert_eq!(calls(&["fdatasync", "pwrite64"]).to_string(), "fdatasync, pwrite64");
    }
}
