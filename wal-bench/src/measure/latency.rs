//! How long single appends take, one by one: the whole distribution, across rotations of segments, and while a checkpoint is
//! made.
//!
//! At a pace that a device keeps up with, so that what is seen is the append and not the wait for room. Across rotations, log
//! and yardstick take turns in stretches; during a checkpoint, which ends when it likes, entry by entry. What two looks at
//! the clock take is measured in the same run, subtracted from every time, and said.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CheckpointCoordinator, CoreWalWriter};

use super::appends::append_distinct;
use super::clock;
use super::samples::Samples;
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain_entry, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES};
use crate::results::{Axis, Line, Mark, Plot, Scale};
use crate::workload::key_in_order;

const VALUE: [u8; VALUE_BYTES] = [42; VALUE_BYTES];
/// Between the beginnings of two appends across rotations.
const PACE: Duration = Duration::from_micros(1);
const STRETCHES: u64 = 8;
/// During a checkpoint, between those of two pairs, one of the log and one of the yardstick.
const PAIR_PACE: Duration = Duration::from_micros(2);

/// What is drawn, beside the median.
const PARTS: [f64; 12] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995];

/// ns of each append, without the clock.
#[derive(Default)]
struct Sides {
    log: Samples,
    yardstick: Samples,
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let overhead = clock::overhead_ns();
    let (mut rotation, rotations) = across_rotations(plan)?;
    let mut busy = during_checkpoints(plan)?;
    for sides in [&mut rotation, &mut busy] {
        clock::subtract(&mut sides.log, overhead);
        clock::subtract(&mut sides.yardstick, overhead);
    }
    let mut rows = vec![
        Row::alone("two looks at the clock, subtracted from the time of each append", overhead, "ns"),
        Row::alone("segments sealed while appends were timed", rotations, ""),
    ];
    rows.extend(rotation.rows("one append across rotation", ""));
    rows.extend(busy.rows("one append while another core's entries go into a checkpoint", "busy-"));
    let note = format!(
        "One every microsecond across {rotations} rotations, {} k of each; a pair every 2 microseconds during checkpoints, {} k of \
         each. Two looks at the clock, {overhead:.0} ns, are subtracted.",
        rotation.log.len() / 1000,
        busy.log.len() / 1000
    );
    let mark = |name: &str, part, ns| Mark { name: name.to_owned(), at: (part, ns) };
    let plot = Plot {
        title: "Latency of single appends".to_owned(),
        note,
        x: Axis::new("percentile of all appends", Scale::Nines),
        y: Axis::new("latency, ns", Scale::Log),
        lines: vec![
            line("log, across rotation", &mut rotation.log),
            line("log, during a checkpoint", &mut busy.log),
            line("yardstick (BufWriter, zero-filled file), meanwhile", &mut rotation.yardstick),
            line("yardstick, during the checkpoint", &mut busy.yardstick),
        ],
        spans: Vec::new(),
        marks: vec![mark("aim: 200 ns", 0.999, 200.0), mark("aim: 10 us", 0.9999, 10_000.0)],
    };
    Ok(Measured { rows, plots: vec![plot] })
}

/// And how many segments were sealed meanwhile.
fn across_rotations(plan: &Plan) -> Result<(Sides, f64), Failure> {
    let stretch: u64 = plan.choose(500_000, 250_000);
    let directory = plan.temporary()?;
    let plain = zero_filled(&directory.path().join("plain"), STRETCHES * stretch * PLAIN_ENTRY_BYTES)?;
    let mut manager = super::open(directory.path(), 1)?;
    let mut writer = manager.take_writer(0)?;
    let mut out = rewound(&plain)?;
    let mut sides = Sides::default();
    for _ in 0..STRETCHES {
        paced(stretch, &mut sides.log, |number| append(&mut writer, number))?;
        writer.sync()?;
        paced(stretch, &mut sides.yardstick, |number| Ok(write_plain_entry(&mut out, number, &VALUE)?))?;
        plain.sync_data()?;
    }
    let rotations = u32::try_from(manager.stats().total().rotations)?;
    Ok((sides, f64::from(rotations)))
}

/// While a million keys of another core go into a checkpoint.
fn during_checkpoints(plan: &Plan) -> Result<Sides, Failure> {
    let mut sides = Sides::default();
    for _ in 0..plan.choose(5, 2) {
        let directory = plan.temporary()?;
        let Sides { log, yardstick } = during_checkpoint(directory.path(), plan.choose(1_000_000, 500_000))?;
        sides.log.append(log);
        sides.yardstick.append(yardstick);
    }
    Ok(sides)
}

fn during_checkpoint(directory: &Path, keys: u64) -> Result<Sides, Failure> {
    let plain = zero_filled(&directory.join("plain"), 2_000_000 * PLAIN_ENTRY_BYTES)?;
    let mut manager = super::open(directory, 2)?;
    append_distinct(&mut manager.take_writer(0)?, 0, keys)?;
    manager.sync_all()?;
    let mut writer = manager.take_writer(1)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let (begun, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let (begun, stop, plain) = (&begun, &stop, &plain);
        let appending = scope.spawn(move || in_pairs(&mut writer, plain, begun, stop));
        while !begun.load(Ordering::Relaxed) && !appending.is_finished() {
            thread::yield_now();
        }
        let report = coordinator.create_checkpoint();
        stop.store(true, Ordering::Relaxed);
        let sides = appending.join().map_err(|_| "a core panicked")??;
        let stored = report?.keys;
        if stored < keys {
            return Err(format!("{stored} of {keys} keys were stored").into());
        }
        Ok(sides)
    })
}

/// Until told to stop, an append to each in turns.
fn in_pairs(
    writer: &mut CoreWalWriter,
    plain: &File,
    begun: &AtomicBool,
    stop: &AtomicBool,
) -> Result<Sides, Failure> {
    let mut sides = Sides::default();
    let mut out = rewound(plain)?;
    let mut number = 0;
    begun.store(true, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        append(writer, number % 1000)?;
        let between = Instant::now();
        write_plain_entry(&mut out, number, &VALUE)?;
        let ended = between.elapsed();
        sides.log.push((between - started).as_secs_f64() * 1e9);
        sides.yardstick.push(ended.as_secs_f64() * 1e9);
        number += 1;
        while started.elapsed() < PAIR_PACE {
            std::hint::spin_loop();
        }
    }
    Ok(sides)
}

fn append(writer: &mut CoreWalWriter, number: u64) -> Result<(), Failure> {
    Ok(writer.append_put(&key_in_order(number), &VALUE).map(drop)?)
}

fn rewound(plain: &File) -> Result<BufWriter<&File>, Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, plain);
    out.seek(SeekFrom::Start(0))?;
    Ok(out)
}

/// ns of each of `count` calls, which begin [`PACE`] apart.
fn paced(
    count: u64,
    samples: &mut Samples,
    mut append: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for number in 0..count {
        let started = Instant::now();
        append(number)?;
        samples.push(started.elapsed().as_secs_f64() * 1e9);
        while started.elapsed() < PACE {
            std::hint::spin_loop();
        }
    }
    Ok(())
}

impl Sides {
    /// Held against the aims of these percentiles, whose names begin with `aims`.
    fn rows(&mut self, name: &str, aims: &str) -> Vec<Row> {
        let parts = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "worst")];
        let row = |(part, what): (f64, &str)| {
            let (log, yardstick) = (self.log.quantile(part), self.yardstick.quantile(part));
            let row = Row::beside(&format!("{name}: {what}"), log, yardstick, "ns");
            if what.starts_with("p99.9") { row.aim(&format!("{aims}{what}")) } else { row }
        };
        parts.map(row).into()
    }
}

fn line(name: &str, samples: &mut Samples) -> Line {
    // An axis of powers has no zero, which is what is left of an append as short as the clock's step.
    let points = PARTS.iter().map(|part| (*part, samples.quantile(*part).max(1.0))).collect();
    Line { name: name.to_owned(), points }
}
