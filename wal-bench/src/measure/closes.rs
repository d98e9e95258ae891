//! What closing an epoch takes, and what an appender feels of it.
//!
//! On a storage that costs nothing: the protocol is measured, not the device. A busy core appends an entry, then works for
//! 20 us of its thread's time. With more cores than CPUs the closer shares these with all of them: what it then
//! waits for is its own turn, and that of a thread which lost its CPU in the middle of an append.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CoreWalWriter, Epoch, LogHandle, PerCoreWalManager};
use wal_writer::{EpochPin, GlobalEpoch};

use super::samples::Samples;
use super::{Failure, Measured, Plan, Row, VALUE_BYTES, key, nowhere};

const CORES: [usize; 4] = [1, 4, 16, 64];
/// Work of a busy core between two entries.
const WORK: Duration = Duration::from_micros(20);

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let mut rows = Vec::new();
    let cpus = thread::available_parallelism()?;
    for cores in CORES {
        rows.extend(shown(
            &format!("closing an epoch of {cores} idle cores, the protocol alone"),
            idle(plan, cores),
        ));
    }
    for cores in CORES {
        let samples = one_wrote(plan, cores)?;
        rows.extend(shown(
            &format!("`advance_epoch`, one of {cores} cores has written, then all are idle"),
            samples,
        ));
    }
    for cores in CORES {
        let samples = busy(plan, cores)?;
        rows.extend(shown(&format!("`advance_epoch`, {cores} busy cores on {cpus} CPUs"), samples));
    }
    let (mut without, _) = append_beside(plan, None)?;
    for (label, pause) in
        [("1 000 a second", Some(Duration::from_millis(1))), ("as many as go", Some(Duration::ZERO))]
    {
        let (mut during, _) = append_beside(plan, pause)?;
        let name = |what: &str| format!("append while epochs close, {label}, beside none: {what}");
        for (part, what) in [(0.5, "p50"), (0.999, "p99.9"), (1.0, "worst")] {
            rows.push(Row::beside(&name(what), during.quantile(part), without.quantile(part), "ns"));
        }
    }
    Ok(rows.into())
}

fn shown(name: &str, mut samples: Samples) -> Vec<Row> {
    let mut row = |part, what| Row::alone(&format!("{name}: {what}"), samples.quantile(part), "us");
    vec![row(0.5, "p50"), row(0.99, "p99"), row(1.0, "worst")]
}

/// The epoch, the fence, and a look at every core.
fn idle(plan: &Plan, cores: usize) -> Samples {
    let global = GlobalEpoch::new(Epoch(1));
    let pins: Vec<_> = (0..cores).map(|_| Arc::new(EpochPin::new(wal_coordinator::Sequence(0)))).collect();
    let mut samples = Samples::default();
    // Too short for the clock: a hundred at a time.
    for _ in 0..plan.choose(2_000, 300) {
        let started = Instant::now();
        for _ in 0..100 {
            drop(std::hint::black_box(global.close(&pins)));
        }
        samples.push(started.elapsed().as_secs_f64() * 1e4);
    }
    samples
}

fn open(directory: &Path, cores: usize) -> Result<PerCoreWalManager, Failure> {
    let mut config = nowhere::config(directory, cores);
    config.log.ring_bytes = 256 * 1024;
    config.log.segment_bytes = 1024 * 1024;
    Ok(PerCoreWalManager::new(config)?)
}

fn one_wrote(plan: &Plan, cores: usize) -> Result<Samples, Failure> {
    let directory = plan.temporary()?;
    let mut manager = open(directory.path(), cores)?;
    let mut writer = manager.take_writer(cores - 1)?;
    let log = manager.handle();
    let mut samples = Samples::default();
    for round in 0..plan.choose(2_000, 300) {
        writer.append_put(&key(round), &[1; VALUE_BYTES])?;
        let epoch = timed(&log, &mut samples);
        log.epoch_durable(epoch).wait()?;
    }
    Ok(samples)
}

fn timed(log: &LogHandle, samples: &mut Samples) -> Epoch {
    let current = log.epoch();
    let started = Instant::now();
    let epoch = log.advance_epoch();
    let time = started.elapsed();
    // Otherwise nobody had written, and nothing was closed.
    if epoch >= current {
        samples.push(time.as_secs_f64() * 1e6);
    }
    epoch
}

fn busy(plan: &Plan, cores: usize) -> Result<Samples, Failure> {
    let directory = plan.temporary()?;
    let mut manager = open(directory.path(), cores)?;
    let writers: Vec<_> = (0..cores).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    let log = manager.handle();
    let stop = AtomicBool::new(false);
    let mut samples = Samples::default();
    let end = Instant::now() + Duration::from_millis(plan.choose(3_000, 500));
    thread::scope(|scope| {
        let stop = &stop;
        let working: Vec<_> = writers
            .into_iter()
            .map(|mut writer| scope.spawn(move || work(&mut writer, WORK, stop)))
            .collect();
        let mut result = Ok(());
        while Instant::now() < end && result.is_ok() {
            let epoch = timed(&log, &mut samples);
            result = log.epoch_durable(epoch).wait();
        }
        stop.store(true, Ordering::Relaxed);
        for core in working {
            core.join().map_err(|_| "a core panicked")??;
        }
        Ok::<_, Failure>(result?)
    })?;
    Ok(samples)
}

/// Appends an entry, then works for a while; ns of each append.
fn work(writer: &mut CoreWalWriter, pause: Duration, stop: &AtomicBool) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = key(number % 1_000);
        number += 1;
        let started = Instant::now();
        writer.append_put(&key, &[1; VALUE_BYTES])?;
        samples.push(started.elapsed().as_secs_f64() * 1e9);
        while started.elapsed() < pause {
            std::hint::spin_loop();
        }
    }
    Ok(samples)
}

/// Appends of one core while another thread closes epochs with this pause between two; and how many it closed.
fn append_beside(plan: &Plan, pause: Option<Duration>) -> Result<(Samples, u64), Failure> {
    let directory = plan.temporary()?;
    let mut manager = open(directory.path(), 1)?;
    let mut writer = manager.take_writer(0)?;
    let log = manager.handle();
    let stop = AtomicBool::new(false);
    let mut closes = 0;
    let end = Instant::now() + Duration::from_millis(plan.choose(5_000, 500));
    let samples = thread::scope(|scope| {
        let stop = &stop;
        let working = scope.spawn(move || work(&mut writer, Duration::from_micros(1), stop));
        while Instant::now() < end {
            match pause {
                None => thread::sleep(Duration::from_millis(1)),
                Some(pause) => {
                    let current = log.epoch();
                    closes += u64::from(log.advance_epoch() >= current);
                    thread::sleep(pause);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        working.join().map_err(|_| "a core panicked")?
    })?;
    Ok((samples, closes))
}
