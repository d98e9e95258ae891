//! Throughput against the number of cores: appends that the ring takes in, and entries that are durable.
//!
//! As many threads as cores, beside as many threads with a plain file each. More cores than CPUs is what an engine has that
//! shares its machine.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use wal_coordinator::{CoreWalWriter, WriteBatch};

use super::samples::Samples;
use super::together::together;
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain_entry, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES};
use crate::results::{Axis, Line, Plot, Scale};
use crate::workload::key_in_order;

const VALUE: [u8; VALUE_BYTES] = [42; VALUE_BYTES];
/// Fits the ring of 4 MiB.
const BURST: u64 = 20_000;
const BATCH: u64 = 64;

/// Entries a second, in one unit.
#[derive(Default)]
struct Rates {
    log: Samples,
    yardstick: Samples,
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let mut lines = [const { Vec::new() }; 4];
    let mut rows = Vec::new();
    for cores in counts(thread::available_parallelism()?.get()) {
        let (mut appends, mut durable) = of_cores(plan, cores)?;
        let at = u32::try_from(cores).map_or(f64::MAX, f64::from);
        let values = [&mut appends.log, &mut appends.yardstick, &mut durable.log, &mut durable.yardstick];
        for (line, samples) in lines.iter_mut().zip(values) {
            line.push((at, samples.median()));
        }
        let name =
            |what: &str| format!("{what}, a thread on each of {cores} cores, beside as many plain files");
        rows.push(Row::beside(
            &name("appends that fit the ring"),
            appends.log.median(),
            appends.yardstick.median(),
            "M entries/s",
        ));
        let row = Row::beside(
            &name("durable batches of 64"),
            durable.log.median(),
            durable.yardstick.median(),
            "k entries/s",
        );
        rows.push(if cores == 2 { row.aim("durable-cores") } else { row });
    }
    let [log_appends, plain_appends, log_durable, plain_durable] = lines;
    let plot = |title: &str, note: &str, unit: &str, log, plain| Plot {
        title: title.to_owned(),
        note: note.to_owned(),
        x: Axis::new("cores, a thread each", Scale::Doubling),
        y: Axis::new(unit, Scale::Linear),
        lines: vec![
            Line { name: "log".to_owned(), points: log },
            Line { name: "yardstick: a plain file for each thread".to_owned(), points: plain },
        ],
        spans: Vec::new(),
        marks: Vec::new(),
    };
    let plots = vec![
        plot(
            "Appends against cores",
            "Bursts of 20 k entries that the ring takes in, all cores at once.",
            "M entries/s",
            log_appends,
            plain_appends,
        ),
        plot(
            "Durable entries against cores",
            "Batches of 64, each durable before the next.",
            "k entries/s",
            log_durable,
            plain_durable,
        ),
    ];
    Ok(Measured { rows, plots })
}

/// Powers of two up to twice the CPUs.
fn counts(cpus: usize) -> Vec<usize> {
    (0..10).map(|power| 1 << power).filter(|count| *count <= (2 * cpus).max(2)).collect()
}

/// Appends in millions, durable entries in thousands a second.
fn of_cores(plan: &Plan, cores: usize) -> Result<(Rates, Rates), Failure> {
    let directory = plan.temporary()?;
    let plains = plains(directory.path(), cores)?;
    let mut manager = super::open(directory.path(), cores)?;
    let mut writers: Vec<_> = (0..cores).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    let (mut appends, mut durable) = (Rates::default(), Rates::default());
    for _ in 0..plan.choose(31, 9) {
        let time = together(&mut writers, |writer| append(writer, BURST))?;
        manager.sync_all()?;
        appends.log.push(rate(cores as u64 * BURST, time) / 1e6);
        let mut files: Vec<&File> = plains.iter().collect();
        let time = together(&mut files, |file| append_plain(file, BURST))?;
        files.iter().try_for_each(|file| file.sync_data())?;
        appends.yardstick.push(rate(cores as u64 * BURST, time) / 1e6);
    }
    let batches: u64 = plan.choose(150, 40);
    for _ in 0..plan.choose(7, 3) {
        let entries = cores as u64 * batches * BATCH;
        let time = together(&mut writers, |writer| (0..batches).try_for_each(|_| durable_batch(writer)))?;
        durable.log.push(rate(entries, time) / 1e3);
        let mut files: Vec<&File> = plains.iter().collect();
        let time = together(&mut files, |file| plain_batches(file, batches))?;
        durable.yardstick.push(rate(entries, time) / 1e3);
    }
    Ok((appends, durable))
}

fn plains(directory: &Path, count: usize) -> Result<Vec<File>, Failure> {
    let bytes = 150 * BATCH.max(BURST / 100) * PLAIN_ENTRY_BYTES;
    let file =
        |index| zero_filled(&directory.join(format!("plain-{index}")), bytes.max(BURST * PLAIN_ENTRY_BYTES));
    Ok((0..count).map(file).collect::<Result<_, _>>()?)
}

fn append(writer: &mut CoreWalWriter, entries: u64) -> Result<(), Failure> {
    for number in 0..entries {
        writer.append_put(&key_in_order(number), &VALUE)?;
    }
    Ok(())
}

fn append_plain(file: &File, entries: u64) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    out.seek(SeekFrom::Start(0))?;
    (0..entries).try_for_each(|number| write_plain_entry(&mut out, number, &VALUE))?;
    Ok(out.flush()?)
}

fn durable_batch(writer: &mut CoreWalWriter) -> Result<(), Failure> {
    let mut batch = WriteBatch::new();
    for number in 0..BATCH {
        batch.put(&key_in_order(number), &VALUE);
    }
    writer.append_batch(&batch)?;
    Ok(writer.sync().map(drop)?)
}

fn plain_batches(file: &File, batches: u64) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    out.seek(SeekFrom::Start(0))?;
    for _ in 0..batches {
        (0..BATCH).try_for_each(|number| write_plain_entry(&mut out, number, &VALUE))?;
        out.flush()?;
        file.sync_data()?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn rate(entries: u64, time: Duration) -> f64 {
    entries as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_go_up_to_twice_the_cpus() {
        assert_eq!(counts(1), [1, 2]);
        assert_eq!(counts(2), [1, 2, 4]);
        assert_eq!(counts(6), [1, 2, 4, 8]);
    }
}
