//! A checkpoint of a million distinct keys, and what another core's appends feel of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CheckpointCoordinator, CheckpointReport, CoreWalWriter};

use super::appends::append_distinct;
use super::samples::Samples;
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key};

const KEYS: u64 = 1_000_000;

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let (mut seconds, mut megabytes) = (Samples::default(), Samples::default());
    let (mut during, mut without) = (Samples::default(), Samples::default());
    for _ in 0..plan.choose(3, 1) {
        let (time, report) = round(plan, &mut during, &mut without)?;
        seconds.push(time.as_secs_f64());
        megabytes.push(as_f64(report.bytes_written) / 1e6 / time.as_secs_f64());
    }
    let mut rows = vec![
        Row::alone("checkpoint of 1 M distinct keys", seconds.median(), "s"),
        Row::alone("checkpoint, written by the store", megabytes.median(), "MB/s").aim("store"),
    ];
    for (part, label) in [(0.5, "p50"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "max")] {
        let name = format!("append on another core during it, beside without: {label}");
        let row = Row::beside(&name, during.quantile(part), without.quantile(part), "ns");
        rows.push(match label {
            "p99.9" | "p99.99" => row.aim(&format!("busy-{label}")),
            _ => row,
        });
    }
    rows.push(Row::beside(
        "appends that were timed",
        as_f64(during.len() as u64),
        as_f64(without.len() as u64),
        "",
    ));
    Ok(rows.into())
}

fn round(
    plan: &Plan,
    during: &mut Samples,
    without: &mut Samples,
) -> Result<(Duration, CheckpointReport), Failure> {
    let directory = plan.temporary()?;
    let mut manager = super::open(directory.path(), 2)?;
    let mut loader = manager.take_writer(0)?;
    append_distinct(&mut loader, 0, KEYS)?;
    manager.sync_all()?;
    let mut writer = manager.take_writer(1)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let (stop, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    let (time, report) = thread::scope(|scope| {
        let (stop, calm) = (&stop, &calm);
        let appending = scope.spawn(move || append_timed(&mut writer, stop).map(|samples| (writer, samples)));
        let started = Instant::now();
        let report = coordinator.create_checkpoint();
        let time = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (mut writer, samples) = appending.join().map_err(|_| "a core panicked")??;
        samples.into_iter().for_each(|sample| during.push(sample));
        // The same without a checkpoint, as long.
        let appending = scope.spawn(move || append_timed(&mut writer, calm));
        thread::sleep(time);
        calm.store(true, Ordering::Relaxed);
        let samples = appending.join().map_err(|_| "a core panicked")??;
        samples.into_iter().for_each(|sample| without.push(sample));
        Ok::<_, Failure>((time, report?))
    })?;
    if report.keys < KEYS {
        return Err(format!("{} of {KEYS} keys were stored", report.keys).into());
    }
    Ok((time, report))
}

/// ns of each append, with a pause of about a microsecond between two, so that the device keeps up.
fn append_timed(writer: &mut CoreWalWriter, stop: &AtomicBool) -> Result<Vec<f64>, Failure> {
    let mut samples = Vec::with_capacity(4 << 20);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = key(number % 1000);
        let started = Instant::now();
        writer.append_put(&key, &[5; VALUE_BYTES])?;
        samples.push(started.elapsed().as_secs_f64() * 1e9);
        number += 1;
        while started.elapsed() < Duration::from_micros(2) {
            std::hint::spin_loop();
        }
    }
    Ok(samples)
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
