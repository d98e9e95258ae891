//! What it costs to come back: time per entry from a warm cache, beside a plain file with checksums; bytes on disk.

use std::path::Path;

use wal_coordinator::{CheckpointCoordinator, EntryRef, PerCoreWalConfig, PerCoreWalManager, Replay};
use wal_recovery::{BoxError, PerCoreRecoveryManager};

use super::appends::append_distinct;
use super::samples::{Samples, ns_each};
use super::yardstick::{PLAIN_ENTRY_BYTES, read_plain, write_plain, zero_filled};
use super::{Failure, KEY_BYTES, Measured, Plan, Row, VALUE_BYTES};

/// Takes everything and keeps only its number.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) entries: u64,
}

impl Replay for Counter {
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        std::hint::black_box(entry);
        self.entries += 1;
        Ok(())
    }
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let entries: u64 = plan.choose(4_000_000, 1_000_000);
    let directory = plan.temporary()?;
    let bytes = written(directory.path(), entries)?;
    let used = plan.temporary()?;
    written_into_used_segments(&used.path().join("log"), entries)?;
    let plain = zero_filled(&directory.path().join("plain"), entries * PLAIN_ENTRY_BYTES)?;
    write_plain(&plain, entries, &[9; VALUE_BYTES])?;
    let mut samples: [Samples; 4] = Default::default();
    // The first round warms the cache.
    for round in 0..plan.choose(6, 4) {
        let recovery = PerCoreRecoveryManager::new(directory.path().join("log"));
        let ns = [
            recovered(&recovery, entries)?,
            recovered(&PerCoreRecoveryManager::new(used.path().join("log")), entries)?,
            ns_each(entries, || recovery.plan().map(drop))?,
            ns_each(entries, || read_plain(&plain, entries).map(drop))?,
        ];
        if round > 0 {
            samples.iter_mut().zip(ns).for_each(|(samples, ns)| samples.push(ns));
        }
    }
    let [mut log, mut used, mut planning, mut yardstick] = samples;
    let (both, one) = two_cores(plan, entries / 2)?;
    Ok(vec![
        Row::beside(
            "recovery of one core from a warm cache, per entry",
            log.median(),
            yardstick.median(),
            "ns",
        )
        .aim("recovery"),
        Row::beside("the same of a log in used segments", used.median(), yardstick.median(), "ns"),
        Row::alone("scanning and deciding alone, the whole log checked", planning.median(), "ns"),
        Row::beside("recovery of two cores at once, beside one, warm cache", both, one, "M entries/s")
            .aim("recovery-cores"),
        Row::beside(
            "bytes on disk above key and value, per entry",
            overhead(bytes, entries),
            overhead(entries * PLAIN_ENTRY_BYTES, entries),
            "B",
        )
        .aim("bytes"),
    ]
    .into())
}

/// Makes a log of one core, with `entries` entries; how many bytes it has.
fn written(directory: &Path, entries: u64) -> Result<u64, Failure> {
    let mut manager = super::open(directory, 1)?;
    append_distinct(&mut manager.take_writer(0)?, 0, entries)?;
    manager.sync_all()?;
    let bytes = manager.stats().cores.iter().map(|core| core.bytes).sum();
    manager.close()?;
    Ok(bytes)
}

/// The same of a log that has been at work for a while: checkpoints released its files, and it writes over what they held.
fn written_into_used_segments(path: &Path, entries: u64) -> Result<(), Failure> {
    let mut config = PerCoreWalConfig::new(path, 1);
    config.free_segments_max = 64;
    let mut manager = PerCoreWalManager::new(config)?;
    let mut coordinator = CheckpointCoordinator::new(&manager);
    let mut writer = manager.take_writer(0)?;
    for _ in 0..2 * entries {
        writer.append_put(&[b'k'; KEY_BYTES], &[42; VALUE_BYTES])?;
    }
    coordinator.create_checkpoint()?;
    append_distinct(&mut writer, 0, entries)?;
    drop((writer, coordinator));
    manager.close()?;
    Ok(())
}

/// Nanoseconds an entry, all of which come back.
fn recovered(recovery: &PerCoreRecoveryManager, entries: u64) -> Result<f64, Failure> {
    let mut counter = Counter::default();
    let ns = ns_each(entries, || recovery.recover(&mut counter).map(drop))?;
    if counter.entries == entries {
        Ok(ns)
    } else {
        Err(format!("{} of {entries} entries came back", counter.entries).into())
    }
}

/// Millions of entries a second, of a log of two cores and of one of them, with `entries` each.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn two_cores(plan: &Plan, entries: u64) -> Result<(f64, f64), Failure> {
    let mut rates = [Samples::default(), Samples::default()];
    let directories = [plan.temporary()?, plan.temporary()?];
    for (directory, cores) in directories.iter().zip([1, 2]) {
        let mut manager = super::open(directory.path(), cores)?;
        for core in 0..cores {
            append_distinct(&mut manager.take_writer(core)?, 0, entries)?;
        }
        manager.close()?;
    }
    // In turns; the first round warms the cache.
    for round in 0..plan.choose(6, 4) {
        for ((directory, cores), rates) in directories.iter().zip([1, 2]).zip(&mut rates) {
            let recovery = PerCoreRecoveryManager::new(directory.path().join("log"));
            let mut found = 0;
            let ns = ns_each(entries * cores, || {
                let (counters, _) =
                    recovery.recover_parallel(&mut Counter::default(), |_| Counter::default())?;
                found = counters.iter().map(|(_, counter)| counter.entries).sum();
                Ok::<_, Failure>(())
            })?;
            if found != entries * cores {
                return Err(format!("{found} of {} entries came back", entries * cores).into());
            }
            if round > 0 {
                rates.push(1e3 / ns);
            }
        }
    }
    let [mut one, mut two] = rates;
    Ok((two.median(), one.median()))
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn overhead(bytes: u64, entries: u64) -> f64 {
    bytes as f64 / entries as f64 - (KEY_BYTES + VALUE_BYTES) as f64
}
