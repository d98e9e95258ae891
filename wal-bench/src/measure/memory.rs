//! How much memory merging takes, in a process of its own, beside one that opens the same log and does not merge.

use std::path::Path;
use std::process::Command;

use wal_coordinator::PerCoreWalConfig;

use super::samples::{Samples, ns_each};
use super::yardstick::{PLAIN_ENTRY_BYTES, merge_plain, write_plain, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key};
use crate::usage;

/// The hidden option that makes this program the measured process.
pub(super) const CHILD: &str = "--peak-of";

const CORES: usize = 4;
const ENTRIES: u64 = 500_000;

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let directory = plan.temporary()?;
    let mut manager = super::open(directory.path(), CORES)?;
    let mut writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    // In turns, so that the merge changes cores with every entry.
    for number in 0..ENTRIES {
        for writer in &mut writers {
            writer.append_put(&key(number), &[1; VALUE_BYTES])?;
        }
    }
    drop(writers);
    manager.close()?;
    let plains = (0..CORES).map(|core| {
        let plain =
            zero_filled(&directory.path().join(format!("plain-{core}")), ENTRIES * PLAIN_ENTRY_BYTES)?;
        write_plain(&plain, ENTRIES, &[1; VALUE_BYTES]).map(|()| plain)
    });
    let plains: Vec<_> = plains.collect::<Result<_, _>>()?;
    let (mut merge, mut baseline) = (Samples::default(), Samples::default());
    let (mut times, mut yardstick) = (Samples::default(), Samples::default());
    for _ in 0..plan.choose(5, 3) {
        let (peak, ns) = run_child("merge", directory.path())?;
        merge.push(peak / 1024.0);
        times.push(ns);
        yardstick.push(ns_each(ENTRIES * CORES as u64, || merge_plain(&plains, ENTRIES).map(drop))?);
        baseline.push(run_child("open", directory.path())?.0 / 1024.0);
    }
    let (merge, baseline) = (merge.median(), baseline.median());
    Ok(vec![
        Row::beside("peak memory, merging 4 x 500 k entries, beside opening alone", merge, baseline, "MiB"),
        Row::alone("of which merging", merge - baseline, "MiB").aim("merge-memory"),
        Row::beside(
            "merging 4 x 500 k entries in order, per entry",
            times.median(),
            yardstick.median(),
            "ns",
        )
        .aim("merge"),
    ]
    .into())
}

/// Peak in KiB, and ns per entry.
fn run_child(what: &str, directory: &Path) -> Result<(f64, f64), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([CHILD, what, "--dir"]).arg(directory).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [peak, ns] if output.status.success() => Ok((*peak, *ns)),
        _ => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The measured process.
pub(super) fn child(what: &str, directory: &Path) -> Result<(), Failure> {
    let config = PerCoreWalConfig::new(directory.join("log"), CORES);
    let manager = wal_coordinator::PerCoreWalManager::new(config)?;
    let mut ns = 0.0;
    if what == "merge" {
        let mut merged = manager.handle().merged(None, "bench")?;
        let mut entries = 0;
        ns = ns_each(ENTRIES * CORES as u64, || {
            while let Some(entry) = merged.next()? {
                std::hint::black_box(&entry);
                entries += 1;
            }
            Ok::<_, Failure>(())
        })?;
        if entries != ENTRIES * CORES as u64 {
            return Err(format!("{entries} entries were merged").into());
        }
    }
    let peak = usage::peak_kib().ok_or("no VmHWM in /proc/self/status")?;
    println!("{peak} {ns}");
    Ok(())
}
