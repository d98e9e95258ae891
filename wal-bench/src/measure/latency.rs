//! How long single appends take, one by one: the whole distribution, across rotations of segments.
//!
//! An append a microsecond, which a device keeps up with, so that what is seen is the append and not the wait for room.
//! Log and yardstick take turns in stretches. Each time includes two readings of the clock, for both sides the same.

use std::io::{BufWriter, Seek, SeekFrom};
use std::time::{Duration, Instant};

use super::samples::Samples;
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain_entry, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES};
use crate::results::{Axis, Line, Plot, Scale};
use crate::workload::key_in_order;

const VALUE: [u8; VALUE_BYTES] = [42; VALUE_BYTES];
const PACE: Duration = Duration::from_micros(1);
const STRETCHES: u64 = 8;

/// What is drawn, beside the median.
const PARTS: [f64; 12] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995];

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let stretch: u64 = plan.choose(500_000, 125_000);
    let directory = plan.temporary()?;
    let plain = zero_filled(&directory.path().join("plain"), STRETCHES * stretch * PLAIN_ENTRY_BYTES)?;
    let mut manager = super::open(directory.path(), 1)?;
    let mut writer = manager.take_writer(0)?;
    let mut out = BufWriter::with_capacity(64 * 1024, &plain);
    out.seek(SeekFrom::Start(0))?;
    let (mut log, mut yardstick) = (Samples::default(), Samples::default());
    for _ in 0..STRETCHES {
        paced(stretch, &mut log, |number| {
            writer.append_put(&key_in_order(number), &VALUE)?;
            Ok(())
        })?;
        writer.sync()?;
        paced(stretch, &mut yardstick, |number| Ok(write_plain_entry(&mut out, number, &VALUE)?))?;
        plain.sync_data()?;
    }
    let mut rows = Vec::new();
    for (part, what) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "worst")] {
        let name = format!("one append, a microsecond apart, across rotation: {what}");
        let row = Row::beside(&name, log.quantile(part), yardstick.quantile(part), "ns");
        rows.push(if matches!(what, "p99.9" | "p99.99") { row.aim(what) } else { row });
    }
    let line = |name: &str, samples: &mut Samples| Line {
        name: name.to_owned(),
        points: PARTS.iter().map(|part| (*part, samples.quantile(*part))).collect(),
    };
    let plot = Plot {
        title: "Latency of single appends".to_owned(),
        note: format!(
            "{} k appends each, one a microsecond, in turns; the segments rotate meanwhile. Two readings of the clock are included.",
            STRETCHES * stretch / 1000
        ),
        x: Axis::new("percentile of all appends", Scale::Nines),
        y: Axis::new("latency, ns", Scale::Log),
        lines: vec![
            line("log", &mut log),
            line("yardstick: BufWriter into a zero-filled file", &mut yardstick),
        ],
        spans: Vec::new(),
    };
    Ok(Measured { rows, plots: vec![plot] })
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
