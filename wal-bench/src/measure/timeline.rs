//! A checkpoint as a core feels it: the latency and the rate of another core's appends, before, during and after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CheckpointCoordinator, CoreWalWriter};

use super::appends::append_distinct;
use super::samples::Samples;
use super::{Failure, Measured, Plan, Row, VALUE_BYTES};
use crate::results::{Axis, Line, Plot, Scale, Span};
use crate::workload::key_in_order;

/// One append every 2 us, which a device keeps up with.
const PACE: Duration = Duration::from_micros(2);
/// What is one point of the pictures.
const BUCKET_MS: f64 = 10.0;

/// One append: ms since the beginning, and ns that it took.
type Append = (f64, f64);

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let keys: u64 = plan.choose(1_000_000, 200_000);
    let around = Duration::from_millis(plan.choose(400, 150));
    let directory = plan.temporary()?;
    let mut manager = super::open(directory.path(), 2)?;
    append_distinct(&mut manager.take_writer(0)?, 0, keys)?;
    manager.sync_all()?;
    let mut writer = manager.take_writer(1)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let since = |at: Instant| at.duration_since(started).as_secs_f64() * 1e3;
    let (appends, from, to) = thread::scope(|scope| {
        let stop = &stop;
        let appending = scope.spawn(move || append_timed(&mut writer, started, stop));
        thread::sleep(around);
        let from = Instant::now();
        let report = coordinator.create_checkpoint();
        let to = Instant::now();
        thread::sleep(around);
        stop.store(true, Ordering::Relaxed);
        let appends = appending.join().map_err(|_| "a core panicked")??;
        report?;
        Ok::<_, Failure>((appends, since(from), since(to)))
    })?;
    let buckets = buckets(&appends);
    let line = |name: &str, part: usize| Line {
        name: name.to_owned(),
        points: buckets.iter().map(|bucket| (bucket[0], bucket[part])).collect(),
    };
    let plot = |title: &str, note: String, unit: &str, scale, lines| Plot {
        title: title.to_owned(),
        note,
        x: Axis::new("time, ms", Scale::Linear),
        y: Axis::new(unit, scale),
        lines,
        spans: vec![Span { name: "checkpoint".to_owned(), from, to }],
        marks: Vec::new(),
    };
    let note = format!(
        "Core 1 appends every 2 us while {} k keys of core 0 are stored; a point is {BUCKET_MS} ms.",
        keys / 1000
    );
    let plots = vec![
        plot(
            "Latency of appends around a checkpoint",
            note.clone(),
            "latency, ns",
            Scale::Log,
            vec![line("median", 1), line("p99.9", 2), line("worst", 3)],
        ),
        plot(
            "Rate of appends around a checkpoint",
            note,
            "k entries/s",
            Scale::Linear,
            vec![line("core 1", 4)],
        ),
    ];
    Ok(Measured { rows: rows(&appends, from, to), plots })
}

/// Until told to stop.
fn append_timed(
    writer: &mut CoreWalWriter,
    from: Instant,
    stop: &AtomicBool,
) -> Result<Vec<Append>, Failure> {
    let mut appends = Vec::with_capacity(1 << 20);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        writer.append_put(&key_in_order(number % 1000), &[5; VALUE_BYTES])?;
        let ns = started.elapsed().as_secs_f64() * 1e9;
        appends.push((started.duration_since(from).as_secs_f64() * 1e3, ns));
        number += 1;
        while started.elapsed() < PACE {
            std::hint::spin_loop();
        }
    }
    Ok(appends)
}

/// Of each stretch of [`BUCKET_MS`]: its middle, the median, p99.9 and worst in ns, and thousands of entries a second.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn buckets(appends: &[Append]) -> Vec<[f64; 5]> {
    let number = |append: &Append| (append.0 / BUCKET_MS).floor();
    let of = |bucket: &[Append]| {
        let mut samples = Samples::default();
        bucket.iter().for_each(|append| samples.push(append.1));
        let [median, most, worst] = [0.5, 0.999, 1.0].map(|part| samples.quantile(part));
        let middle = (bucket.first().map_or(0.0, number) + 0.5) * BUCKET_MS;
        [middle, median, most, worst, bucket.len() as f64 / BUCKET_MS]
    };
    let mut buckets: Vec<_> = appends.chunk_by(|a, b| (number(a) - number(b)).abs() < 0.5).map(of).collect();
    // The last one is cut short.
    buckets.pop();
    buckets
}

/// During the checkpoint, beside before and after it.
fn rows(appends: &[Append], from: f64, to: f64) -> Vec<Row> {
    let (mut during, mut around) = (Samples::default(), Samples::default());
    for (at, ns) in appends {
        if (from..=to).contains(at) { during.push(*ns) } else { around.push(*ns) }
    }
    let mut row = |part, what: &str| {
        let name = format!("append while a checkpoint is made, beside before and after it: {what}");
        Row::beside(&name, during.quantile(part), around.quantile(part), "ns")
    };
    vec![row(0.5, "p50"), row(0.999, "p99.9"), row(0.9999, "p99.99"), row(1.0, "worst")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_the_appends_of_their_time() {
        let appends = [(1.0, 5.0), (2.0, 7.0), (9.9, 6.0), (35.0, 9.0), (41.0, 1.0)];
        assert_eq!(buckets(&appends), [[5.0, 6.0, 7.0, 7.0, 0.3], [35.0, 9.0, 9.0, 9.0, 0.1]]);
        assert!(buckets(&[]).is_empty());
    }

    #[test]
    fn appends_are_during_the_checkpoint_or_not() {
        let rows = rows(&[(1.0, 10.0), (2.0, 30.0), (3.0, 10.0)], 1.5, 2.5);
        assert_eq!(rows[3].ratio(), Some(3.0));
    }
}
