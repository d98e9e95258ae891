//! What it costs to come back: time per entry from a warm cache, beside a plain file with checksums; bytes on disk.

use wal_coordinator::{EntryRef, Replay};
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
    let path = directory.path().join("log");
    let mut manager = super::open(directory.path(), 1)?;
    let mut writer = manager.take_writer(0)?;
    append_distinct(&mut writer, 0, entries)?;
    drop(writer);
    manager.sync_all()?;
    let bytes: u64 = manager.stats().cores.iter().map(|core| core.bytes).sum();
    manager.close()?;
    let plain = zero_filled(&directory.path().join("plain"), entries * PLAIN_ENTRY_BYTES)?;
    write_plain(&plain, entries, &[9; VALUE_BYTES])?;
    let (mut log, mut planning, mut yardstick) = (Samples::default(), Samples::default(), Samples::default());
    // The first round warms the cache.
    for round in 0..plan.choose(6, 4) {
        let mut counter = Counter::default();
        let recovery = PerCoreRecoveryManager::new(&path);
        let ns = ns_each(entries, || recovery.recover(&mut counter).map(drop))?;
        let ns_plan = ns_each(entries, || recovery.plan().map(drop))?;
        let ns_plain = ns_each(entries, || read_plain(&plain, entries).map(drop))?;
        if counter.entries != entries {
            return Err(format!("{} of {entries} entries came back", counter.entries).into());
        }
        if round > 0 {
            log.push(ns);
            planning.push(ns_plan);
            yardstick.push(ns_plain);
        }
    }
    let (both, one) = two_cores(plan, entries / 2)?;
    Ok(vec![
        Row::beside(
            "recovery of one core from a warm cache, per entry",
            log.median(),
            yardstick.median(),
            "ns",
        )
        .aim("recovery"),
        Row::alone("of which scanning and deciding", planning.median(), "ns"),
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
