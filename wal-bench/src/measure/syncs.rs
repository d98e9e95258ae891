//! What it costs to be durable: one entry, an epoch of all cores; beside raw writes and syncs, taking turns.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wal_coordinator::{CoreWalWriter, PerCoreWalConfig, PerCoreWalManager};

use super::appends::append_distinct;
use super::samples::{Samples, micros};
use super::yardstick::{write_and_sync, zero_filled};
use super::{Failure, Measured, Plan, Row};

/// Pages of the yardstick's file, used in turn.
const PAGES: u64 = 4096;

pub(super) fn one_core(plan: &Plan) -> Result<Measured, Failure> {
    let mut rows = Vec::new();
    for (inline, mode) in [(false, "background flushers"), (true, "inline")] {
        let directory = plan.temporary()?;
        let raw = zero_filled(&directory.path().join("raw"), PAGES * 4096)?;
        let mut config = PerCoreWalConfig::new(directory.path().join("log"), 1);
        if inline {
            config = config.inline();
        }
        let mut manager = PerCoreWalManager::new(config)?;
        let mut writer = manager.take_writer(0)?;
        let rounds = plan.choose(2000, 300);
        let one = turns(&format!("append and sync, {mode}"), rounds, &raw, || {
            append_distinct(&mut writer, 0, 1)?;
            Ok(writer.sync().map(drop)?)
        })?;
        rows.extend(one.into_iter().zip(["sync-p50", "sync-p99"]).map(|(row, aim)| row.aim(aim)));
    }
    Ok(rows.into())
}

/// Median and p99 of `work`, beside a page written and synced raw, in turns.
fn turns(
    name: &str,
    rounds: u64,
    raw: &File,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<Row>, Failure> {
    let (mut log, mut yardstick) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        // Who goes first changes, so that neither always syncs what the other left.
        if round % 2 == 0 {
            log.push(micros(&mut work)?);
            yardstick.push(micros(|| write_and_sync(raw, round % PAGES))?);
        } else {
            yardstick.push(micros(|| write_and_sync(raw, round % PAGES))?);
            log.push(micros(&mut work)?);
        }
    }
    let row = |part: f64, label: &str, log: &mut Samples, yardstick: &mut Samples| {
        Row::beside(&format!("{name}: {label}"), log.quantile(part), yardstick.quantile(part), "us")
    };
    Ok(vec![row(0.5, "p50", &mut log, &mut yardstick), row(0.99, "p99", &mut log, &mut yardstick)])
}

/// From closing an epoch to its being durable, with two cores appending; beside a raw sync of two files at once.
pub(super) fn epochs(plan: &Plan) -> Result<Measured, Failure> {
    let directory = plan.temporary()?;
    let raws = [
        zero_filled(&directory.path().join("raw-0"), PAGES * 4096)?,
        zero_filled(&directory.path().join("raw-1"), PAGES * 4096)?,
    ];
    let mut manager = super::open(directory.path(), 2)?;
    let writers = [manager.take_writer(0)?, manager.take_writer(1)?];
    let log = manager.handle();
    let stop = AtomicBool::new(false);
    let (mut epochs, mut yardstick) = (Samples::default(), Samples::default());
    thread::scope(|scope| {
        let stop = &stop;
        let busy: Vec<_> = writers.map(|mut writer| scope.spawn(move || keep_busy(&mut writer, stop))).into();
        let result = (0..plan.choose(400, 100)).try_for_each(|round| {
            epochs.push(micros(|| {
                let epoch = log.advance_epoch();
                log.epoch_durable(epoch).wait()
            })?);
            yardstick.push(micros(|| sync_both(&raws, round % PAGES))?);
            Ok::<_, Failure>(())
        });
        stop.store(true, Ordering::Relaxed);
        for core in busy {
            core.join().map_err(|_| "a core panicked")??;
        }
        result
    })?;
    let row = |part: f64, label: &str, epochs: &mut Samples, yardstick: &mut Samples| {
        let name = format!("epoch closed to durable, 2 busy cores, beside a raw sync of 2 files: {label}");
        Row::beside(&name, epochs.quantile(part), yardstick.quantile(part), "us")
    };
    let p50 = row(0.5, "p50", &mut epochs, &mut yardstick).aim("epoch");
    Ok(vec![p50, row(0.99, "p99", &mut epochs, &mut yardstick)].into())
}

/// A core with work in between: some 10 000 entries a second.
fn keep_busy(writer: &mut CoreWalWriter, stop: &AtomicBool) -> Result<(), Failure> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        append_distinct(writer, number, 4)?;
        number += 4;
        thread::sleep(Duration::from_micros(300));
    }
    Ok(())
}

fn sync_both(raws: &[File; 2], page: u64) -> Result<(), Failure> {
    thread::scope(|scope| {
        let other = scope.spawn(|| write_and_sync(&raws[1], page));
        write_and_sync(&raws[0], page)?;
        Ok(other.join().map_err(|_| "a thread panicked")??)
    })
}
