//! Appends without a pause on a log that is in use for a while: its segments were released by checkpoints and are used
//! again, so that nobody fills files with zeros while it is measured, as for the yardstick's file.

use wal_coordinator::{CheckpointCoordinator, CoreWalWriter, PerCoreWalConfig, PerCoreWalManager, Retention};

use super::samples::{Samples, ns_each};
use super::usage::cpu_time;
use super::yardstick::{PLAIN_ENTRY_BYTES, write_plain, zero_filled};
use super::{Failure, KEY_BYTES, Measured, Plan, Row, VALUE_BYTES};

const VALUE: [u8; VALUE_BYTES] = [42; VALUE_BYTES];
/// Few keys: the checkpoints in between are not what is measured.
const KEYS: u64 = 1000;
const ROUNDS: u32 = 9;

/// What one side took for one entry, in nanoseconds.
#[derive(Default)]
struct Side {
    appended: Samples,
    durable: Samples,
    /// Of all threads of the process, until durable.
    cpu: Samples,
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let mut rows = Vec::new();
    for (retention, name) in [
        (Retention::UntilWritten, "ring kept until written"),
        (Retention::UntilDurable, "ring kept until durable"),
    ] {
        rows.extend(rounds(plan, retention, name)?);
    }
    Ok(rows.into())
}

fn rounds(plan: &Plan, retention: Retention, name: &str) -> Result<Vec<Row>, Failure> {
    let entries: u64 = plan.choose(4_000_000, 1_000_000);
    let directory = plan.temporary()?;
    let plain = zero_filled(&directory.path().join("plain"), entries * PLAIN_ENTRY_BYTES)?;
    let mut config = PerCoreWalConfig::new(directory.path().join("log"), 1);
    config.log.retention = retention;
    config.free_segments_max = 64;
    let mut manager = PerCoreWalManager::new(config)?;
    let mut writer = manager.take_writer(0)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let (mut log, mut yardstick) = (Side::default(), Side::default());
    // The first rounds make the segments; some more, and what is made ahead of use beside them does not decide.
    for round in 0..ROUNDS {
        let mut sides = [(0.0, 0.0, 0.0); 2];
        sides[0] = timed(entries, || append(&mut writer, entries), || Ok(manager.sync_all()?))?;
        coordinator.create_checkpoint()?;
        sides[1] = timed(entries, || Ok(write_plain(&plain, entries, &VALUE)?), || Ok(plain.sync_data()?))?;
        if round < 2 {
            continue;
        }
        for (side, (appended, durable, cpu)) in [&mut log, &mut yardstick].into_iter().zip(sides) {
            side.appended.push(appended);
            side.durable.push(durable);
            side.cpu.push(cpu);
        }
    }
    let row = |what: &str, log: &mut Samples, yardstick: &mut Samples| {
        let name = format!("{what}, {} M entries in a row into used segments, {name}", entries / 1_000_000);
        Row::beside(&name, log.median(), yardstick.median(), "ns")
    };
    Ok(vec![
        row("append", &mut log.appended, &mut yardstick.appended).aim("sustained"),
        row("append, final sync included", &mut log.durable, &mut yardstick.durable),
        row("CPU of all threads, final sync included", &mut log.cpu, &mut yardstick.cpu).aim("cpu"),
    ])
}

/// Nanoseconds an entry: until `work` is done, until `sync` is done, and of CPU.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn timed(
    entries: u64,
    work: impl FnOnce() -> Result<(), Failure>,
    sync: impl FnOnce() -> Result<(), Failure>,
) -> Result<(f64, f64, f64), Failure> {
    let cpu = cpu_time();
    let mut appended = 0.0;
    let durable = ns_each(entries, || {
        appended = ns_each(entries, work)?;
        sync()
    })?;
    let cpu = cpu_time().saturating_sub(cpu).as_nanos() as f64 / entries as f64;
    Ok((appended, durable, cpu))
}

fn append(writer: &mut CoreWalWriter, entries: u64) -> Result<(), Failure> {
    let mut key = [b'k'; KEY_BYTES];
    for number in 0..entries {
        key[..8].copy_from_slice(&(number % KEYS).to_le_bytes());
        writer.append_put(&key, &VALUE)?;
    }
    Ok(())
}
