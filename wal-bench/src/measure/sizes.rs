//! Recovery against the size of the log, from a warm cache: scanning, deciding, and handing every entry out.

use wal_recovery::PerCoreRecoveryManager;

use super::recovery::Counter;
use super::samples::{Samples, ns_each};
use super::yardstick::{PLAIN_ENTRY_BYTES, read_plain, write_plain, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, appends};
use crate::results::{Axis, Line, Plot, Scale};

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let largest: u64 = plan.choose(4_000_000, 400_000);
    let sizes = [16, 8, 4, 2, 1].map(|part| largest / part);
    let (mut log, mut yardstick) = (Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for entries in sizes {
        let (ms, plain_ms) = one(plan, entries)?;
        let megabytes = as_f64(entries * PLAIN_ENTRY_BYTES) / 1e6;
        log.push((megabytes, ms));
        yardstick.push((megabytes, plain_ms));
        rows.push(Row::beside(&format!("recovery of {} k entries", entries / 1000), ms, plain_ms, "ms"));
    }
    let line = |name: &str, points| Line { name: name.to_owned(), points };
    let plot = Plot {
        title: "Recovery against the size of the log".to_owned(),
        note: "One core, warm cache: checksums verified, every entry handed out.".to_owned(),
        x: Axis::new("size of the plain file, MB", Scale::Linear),
        y: Axis::new("time, ms", Scale::Linear),
        lines: vec![line("log", log), line("yardstick: reading the plain file", yardstick)],
        spans: Vec::new(),
        marks: Vec::new(),
    };
    Ok(Measured { rows, plots: vec![plot] })
}

/// Milliseconds of a log and of a plain file.
fn one(plan: &Plan, entries: u64) -> Result<(f64, f64), Failure> {
    let directory = plan.temporary()?;
    let mut manager = super::open(directory.path(), 1)?;
    let mut writer = manager.take_writer(0)?;
    appends::append_distinct(&mut writer, 0, entries)?;
    drop(writer);
    manager.close()?;
    let plain = zero_filled(&directory.path().join("plain"), entries * PLAIN_ENTRY_BYTES)?;
    write_plain(&plain, entries, &[9; VALUE_BYTES])?;
    let (mut log, mut yardstick) = (Samples::default(), Samples::default());
    let recovery = PerCoreRecoveryManager::new(directory.path().join("log"));
    // The first round warms the cache.
    for round in 0..plan.choose(6, 4) {
        let mut counter = Counter::default();
        let ms = ns_each(1_000_000, || recovery.recover(&mut counter).map(drop))?;
        let ms_plain = ns_each(1_000_000, || read_plain(&plain, entries).map(drop))?;
        if counter.entries != entries {
            return Err(format!("{} of {entries} entries came back", counter.entries).into());
        }
        if round > 0 {
            log.push(ms);
            yardstick.push(ms_plain);
        }
    }
    Ok((log.median(), yardstick.median()))
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
