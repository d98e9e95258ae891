//! A checkpoint of many changed keys into a large state: how long, how fast, and in how much memory.
//!
//! In a process of its own, so that its peak is the checkpoint's. What other cores feel of one is [`latency`](super::latency)'s
//! and [`timeline`](super::timeline)'s.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use wal_coordinator::{CheckpointCoordinator, CheckpointReport, PerCoreWalManager};

use super::appends::append_distinct;
use super::samples::Samples;
use super::usage;
use super::yardstick::write_sequentially;
use super::{Failure, Measured, Plan, Row};

/// The hidden option that makes this program the measured process, and those that say how much.
pub(super) const CHILD: &str = "--checkpoint-of";
pub(super) const INTO: &str = "--into";

/// What one process found: of the first checkpoint, and of the second.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    state_mb_s: f64,
    seconds: f64,
    mb_s: f64,
    raw_mb_s: f64,
    peak_mib: f64,
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let (keys, state): (u64, u64) = plan.choose((1_000_000, 10_000_000), (500_000, 1_000_000));
    let mut found = Vec::new();
    for _ in 0..plan.choose(3, 1) {
        let directory = plan.temporary()?;
        found.push(run_child(directory.path(), keys, state)?);
    }
    let median = |of: fn(&Found) -> f64| {
        let mut samples = Samples::default();
        found.iter().for_each(|found| samples.push(of(found)));
        samples.median()
    };
    let name = format!("checkpoint of {} distinct keys into {}", millions(keys), millions(state));
    let row = |what: &str, value, unit| Row::alone(&format!("{name}: {what}"), value, unit);
    let rate = |what: &str, value| {
        let raw = median(|found| found.raw_mb_s);
        Row::beside(&format!("{what}, beside as many bytes written and synced raw"), value, raw, "MB/s")
    };
    Ok(vec![
        row("time", median(|found| found.seconds), "s"),
        rate(&format!("{name}: run output"), median(|found| found.mb_s)).aim("store"),
        rate(
            &format!("checkpoint of {} keys into none: run output", millions(state)),
            median(|found| found.state_mb_s),
        ),
        row("peak memory above the open log", median(|found| found.peak_mib), "MiB").aim("store-memory"),
    ]
    .into())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn millions(number: u64) -> String {
    format!("{} M", number as f64 / 1e6)
}

fn run_child(directory: &Path, keys: u64, state: u64) -> Result<Found, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, &keys.to_string(), INTO, &state.to_string(), "--dir"]).arg(directory);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [state_mb_s, seconds, mb_s, raw_mb_s, peak_mib] if output.status.success() => Ok(Found {
            state_mb_s: *state_mb_s,
            seconds: *seconds,
            mb_s: *mb_s,
            raw_mb_s: *raw_mb_s,
            peak_mib: *peak_mib,
        }),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// The measured process.
pub(super) fn child(directory: &Path, keys: u64, state: u64) -> Result<(), Failure> {
    let mut manager = super::open(directory, 1)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let open_kib = usage::peak_kib().unwrap_or_default();
    let (seconds, report) = stored(&mut manager, &mut coordinator, 0, state)?;
    let state_mb_s = rate(report.bytes_written, seconds);
    // Half of them new, half of them there.
    let (seconds, report) = stored(&mut manager, &mut coordinator, state - keys / 2, keys)?;
    let mb_s = rate(report.bytes_written, seconds);
    let peak_kib = usage::peak_kib().unwrap_or_default().saturating_sub(open_kib);
    let started = Instant::now();
    write_sequentially(&directory.join("raw"), report.bytes_written)?;
    let raw_mb_s = rate(report.bytes_written, started.elapsed().as_secs_f64());
    println!("{state_mb_s} {seconds} {mb_s} {raw_mb_s} {}", f64::from(u32::try_from(peak_kib)?) / 1024.0);
    Ok(())
}

/// Appends `keys` keys from number `from` on, and stores them; in how many seconds.
fn stored(
    manager: &mut PerCoreWalManager,
    coordinator: &mut CheckpointCoordinator,
    from: u64,
    keys: u64,
) -> Result<(f64, CheckpointReport), Failure> {
    append_distinct(manager.writer(0), from, keys)?;
    manager.sync_all()?;
    let started = Instant::now();
    let report = coordinator.create_checkpoint()?;
    let seconds = started.elapsed().as_secs_f64();
    if report.keys < keys {
        return Err(format!("{} of {keys} keys were stored", report.keys).into());
    }
    Ok((seconds, report))
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / 1e6 / seconds.max(f64::MIN_POSITIVE)
}
