//! What an append costs on the core's own thread, with background flushing; and what a second core adds.

use std::io::{BufWriter, Seek, SeekFrom};
use std::thread;
use std::time::Instant;

use wal_coordinator::{CoreWalWriter, PerCoreWalConfig, PerCoreWalManager, Retention};

use super::samples::{Samples, ns_each};
use super::together::together;
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain, write_plain_entry, zero_filled};
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key};

const VALUE: [u8; VALUE_BYTES] = [42; VALUE_BYTES];
/// Fits the default ring of 4 MiB.
const BURST: u64 = 20_000;
const RETENTIONS: [(Retention, &str); 2] = [
    (Retention::UntilDurable, "ring kept until durable"),
    (Retention::UntilWritten, "ring kept until written"),
];

pub(super) fn one_core(plan: &Plan) -> Result<Measured, Failure> {
    let mut rows = burst(plan, false)?;
    rows.extend(burst(plan, true)?);
    let entries = plan.choose(4_000_000, 1_000_000);
    let repetitions = plan.choose(5, 2);
    let directory = plan.temporary()?;
    let plain = zero_filled(&directory.path().join("plain"), entries * PLAIN_ENTRY_BYTES)?;
    for (retention, name) in RETENTIONS {
        let (mut log, mut log_synced) = (Samples::default(), Samples::default());
        let (mut yardstick, mut yardstick_synced) = (Samples::default(), Samples::default());
        for _ in 0..repetitions {
            let (appended, synced) = sustained(plan, retention, 1, entries)?;
            log.push(appended);
            log_synced.push(synced);
            let mut written = 0.0;
            yardstick_synced.push(ns_each(entries, || {
                written = ns_each(entries, || write_plain(&plain, entries, &VALUE))?;
                plain.sync_data()
            })?);
            yardstick.push(written);
        }
        let millions = entries / 1_000_000;
        let row = |what: &str| format!("{what}, {millions} M entries in a row, {name}");
        rows.push(Row::beside(&row("append"), log.median(), yardstick.median(), "ns"));
        rows.push(Row::beside(
            &row("append, final sync included"),
            log_synced.median(),
            yardstick_synced.median(),
            "ns",
        ));
    }
    Ok(rows.into())
}

/// Bursts that the ring takes in, each followed by a sync that is not counted. The best round tells what the code costs,
/// the median what is left of it on a machine that others use.
fn burst(plan: &Plan, inline: bool) -> Result<Vec<Row>, Failure> {
    let directory = plan.temporary()?;
    let plain = zero_filled(&directory.path().join("plain"), BURST * PLAIN_ENTRY_BYTES)?;
    let mut config = PerCoreWalConfig::new(directory.path().join("log"), 1);
    if inline {
        config = config.inline();
    }
    let mut manager = PerCoreWalManager::new(config)?;
    let mut writer = manager.take_writer(0)?;
    let (mut log, mut yardstick) = (Samples::default(), Samples::default());
    for _ in 0..plan.choose(101, 31) {
        log.push(ns_each(BURST, || append(&mut writer, BURST))?);
        writer.sync()?;
        let mut out = BufWriter::with_capacity(64 * 1024, &plain);
        out.seek(SeekFrom::Start(0))?;
        yardstick.push(ns_each(BURST, || {
            (0..BURST).try_for_each(|number| write_plain_entry(&mut out, number, &VALUE))
        })?);
        drop(out);
        plain.sync_data()?;
    }
    let mode = if inline { "inline" } else { "background flushers" };
    let mut row = |part: f64, label: &str| {
        let name = format!("append, bursts that fit the ring, {mode}: {label}");
        Row::beside(&name, log.quantile(part), yardstick.quantile(part), "ns")
    };
    let median = row(0.5, "median");
    Ok(vec![if inline { median } else { median.aim("burst") }, row(0.0, "best round")])
}

/// ns per entry and core of `cores` cores that append `entries` each: until appended, and until all is durable.
fn sustained(plan: &Plan, retention: Retention, cores: usize, entries: u64) -> Result<(f64, f64), Failure> {
    let directory = plan.temporary()?;
    let mut config = PerCoreWalConfig::new(directory.path().join("log"), cores);
    config.log.retention = retention;
    let mut manager = PerCoreWalManager::new(config)?;
    let writers: Vec<_> = (0..cores).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let appended = thread::scope(|scope| {
        let cores: Vec<_> = writers
            .into_iter()
            .map(|mut writer| scope.spawn(move || ns_each(entries, || append(&mut writer, entries))))
            .collect();
        let each = cores.into_iter().map(|core| core.join().map_err(|_| Failure::from("a core panicked"))?);
        each.collect::<Result<Vec<_>, _>>()
    })?;
    manager.sync_all()?;
    let synced = started.elapsed();
    let slowest = appended.into_iter().fold(0.0, f64::max);
    Ok((slowest, synced.as_secs_f64() * 1e9 / as_f64(entries)))
}

fn append(writer: &mut CoreWalWriter, entries: u64) -> Result<(), Failure> {
    for number in 0..entries {
        let mut key = [b'k'; super::KEY_BYTES];
        key[..8].copy_from_slice(&number.to_le_bytes());
        writer.append_put(&key, &VALUE)?;
    }
    Ok(())
}

pub(super) fn two_cores(plan: &Plan) -> Result<Measured, Failure> {
    let entries = plan.choose(2_000_000, 500_000);
    let (mut one, mut two) = (Samples::default(), Samples::default());
    for _ in 0..plan.choose(5, 2) {
        one.push(1e3 / sustained(plan, Retention::UntilWritten, 1, entries)?.0);
        two.push(2e3 / sustained(plan, Retention::UntilWritten, 2, entries)?.0);
    }
    let row = Row::beside(
        "two cores appending, beside one; ring kept until written",
        two.median(),
        one.median(),
        "M entries/s",
    );
    let mut rows = vec![row];
    for inline in [false, true] {
        rows.push(two_bursts(plan, inline)?.aim("cores"));
    }
    Ok(rows.into())
}

/// Both cores append a burst at the same time. With background flushers as many threads as the cores' own drain meanwhile:
/// on a machine of two CPUs these share them, so inline is what the cores take from each other.
fn two_bursts(plan: &Plan, inline: bool) -> Result<Row, Failure> {
    let directory = plan.temporary()?;
    let mut config = PerCoreWalConfig::new(directory.path().join("log"), 2);
    if inline {
        config = config.inline();
    }
    let mut manager = PerCoreWalManager::new(config)?;
    let mut writers = [manager.take_writer(0)?, manager.take_writer(1)?];
    let (mut one, mut two) = (Samples::default(), Samples::default());
    let mut rate = |cores: usize| {
        let time = together(&mut writers[..cores], |writer| append(writer, BURST))?;
        // On the CPU that appends: another would take the ring's lines away from it.
        together(&mut writers[..cores], |writer| Ok(writer.sync().map(drop)?))?;
        Ok::<_, Failure>(as_f64(cores as u64 * BURST) / 1e6 / time.as_secs_f64())
    };
    for _ in 0..plan.choose(101, 31) {
        one.push(rate(1)?);
        two.push(rate(2)?);
    }
    let mode = if inline { "inline" } else { "background flushers" };
    let name = format!("two cores appending, beside one; bursts that fit the ring, {mode}");
    Ok(Row::beside(&name, two.median(), one.median(), "M entries/s"))
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// Appends `entries` entries with keys that all differ.
pub(super) fn append_distinct(writer: &mut CoreWalWriter, from: u64, entries: u64) -> Result<(), Failure> {
    (from..from + entries).try_for_each(|number| writer.append_put(&key(number), &VALUE).map(drop))?;
    Ok(())
}
