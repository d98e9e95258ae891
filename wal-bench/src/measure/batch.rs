//! Durable batches of 64 entries, one after the other, beside the same entries in a plain file: buffered, then written and
//! synced. They take turns.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};

use wal_coordinator::{CoreWalWriter, PerCoreWalConfig, PerCoreWalManager, WriteBatch};

use super::samples::{Samples, micros};
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain_entry, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key};

const BATCH: u64 = 64;
/// The plain file is written over from its start after so many.
const TURNS: u64 = 1000;

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let mut rows = Vec::new();
    for (inline, mode) in [(false, "background flushers"), (true, "inline")] {
        let directory = plan.temporary()?;
        let file = zero_filled(&directory.path().join("plain"), TURNS * BATCH * PLAIN_ENTRY_BYTES)?;
        let mut config = PerCoreWalConfig::new(directory.path().join("log"), 1);
        if inline {
            config = config.inline();
        }
        let mut manager = PerCoreWalManager::new(config)?;
        let mut writer = manager.take_writer(0)?;
        let mut out = BufWriter::with_capacity(64 * 1024, &file);
        let (mut log, mut yardstick) = (Samples::default(), Samples::default());
        for round in 0..plan.choose(3000, 400) {
            let mut plain = || micros(|| plain_batch(&mut out, &file, round % TURNS));
            // Who goes first changes, so that neither always syncs what the other left.
            if round % 2 == 0 {
                log.push(micros(|| durable_batch(&mut writer))?);
                yardstick.push(plain()?);
            } else {
                yardstick.push(plain()?);
                log.push(micros(|| durable_batch(&mut writer))?);
            }
        }
        let rate = |samples: &mut Samples, part: f64| 64.0 * 1e3 / samples.quantile(part);
        let row = |part: f64, label: &str, log: &mut Samples, yardstick: &mut Samples| {
            let name = format!("durable batches of 64, {mode}: {label}");
            Row::beside(&name, rate(log, part), rate(yardstick, part), "k entries/s")
        };
        rows.push(row(0.5, "p50", &mut log, &mut yardstick).aim("batch"));
        rows.push(row(0.99, "p99", &mut log, &mut yardstick));
    }
    Ok(rows.into())
}

fn durable_batch(writer: &mut CoreWalWriter) -> Result<(), Failure> {
    let mut batch = WriteBatch::new();
    for number in 0..BATCH {
        batch.put(&key(number), &[3; VALUE_BYTES]);
    }
    writer.append_batch(&batch)?;
    Ok(writer.sync().map(drop)?)
}

fn plain_batch(out: &mut BufWriter<&File>, file: &File, turn: u64) -> Result<(), Failure> {
    // Writes out what is buffered.
    out.seek(SeekFrom::Start(turn * BATCH * PLAIN_ENTRY_BYTES))?;
    (0..BATCH).try_for_each(|number| write_plain_entry(out, number, &[3; VALUE_BYTES]))?;
    std::io::Write::flush(out)?;
    Ok(file.sync_data()?)
}
