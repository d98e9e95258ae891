//! What the epoch pin adds to an append, and which of its instructions pays.
//!
//! The log cannot be built without its pin, so a mirror of the append's steps is taken apart: read the clock, pin, fence,
//! read the epoch, copy the entry into a ring, publish, unpin. The log itself stands beside it, on a storage that costs
//! nothing, with its clock and with one that costs nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence};

use wal_coordinator::{Clock, CoreWalWriter, PerCoreWalManager, TimeSource};

use super::samples::{Samples, ns_each};
use super::{Failure, KEY_BYTES, Measured, Plan, Row, VALUE_BYTES, nowhere};

const BURST: u64 = 10_000;
const RING_BYTES: usize = 4 << 20;
const ENTRY_BYTES: usize = KEY_BYTES + VALUE_BYTES + 4;

/// Which steps a mirror takes.
#[derive(Clone, Copy)]
struct Steps {
    clock: bool,
    pin: bool,
    fence: bool,
}

/// The shared words of one core, as the log lays them out.
#[repr(align(128))]
struct Padded(AtomicU64);

struct Mirror {
    clock: Clock,
    global: Padded,
    pin: Padded,
    tail: Padded,
    ring: Vec<u8>,
    position: usize,
    sequence: u64,
}

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    let rounds = plan.choose(2_000, 300);
    let mut rows = Vec::new();
    for (name, clock) in
        [("its clock", Clock::system()), ("a clock that costs nothing", Clock::injected(Arc::new(Still)))]
    {
        let samples = log_bursts(plan, clock, rounds)?;
        rows.extend(both(&format!("append to the log, {name}"), samples));
    }
    let mirrors = [
        ("clock, pin, fence", Steps { clock: true, pin: true, fence: true }),
        ("clock, pin, no fence", Steps { clock: true, pin: true, fence: false }),
        ("clock, no pin", Steps { clock: true, pin: false, fence: false }),
        ("no clock, pin, fence", Steps { clock: false, pin: true, fence: true }),
        ("no clock, pin, no fence", Steps { clock: false, pin: true, fence: false }),
        ("no clock, no pin", Steps { clock: false, pin: false, fence: false }),
    ];
    let mut samples = mirrors.map(|_| Samples::default());
    let mut mirror = Mirror::new();
    // In turns: whatever else the machine does meets all of them.
    for _ in 0..rounds {
        for ((_, steps), samples) in mirrors.iter().zip(&mut samples) {
            samples.push(mirror.burst(*steps));
        }
    }
    rows.extend(
        mirrors
            .iter()
            .zip(samples)
            .flat_map(|((name, _), samples)| both(&format!("its steps alone: {name}"), samples)),
    );
    Ok(rows.into())
}

fn both(name: &str, mut samples: Samples) -> [Row; 2] {
    let row = |what: &str, ns| Row::alone(&format!("{name}: {what}"), ns, "ns");
    [row("best round", samples.quantile(0.0)), row("median", samples.median())]
}

struct Still;

impl TimeSource for Still {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }
}

fn log_bursts(plan: &Plan, clock: Clock, rounds: u64) -> Result<Samples, Failure> {
    let directory = plan.temporary()?;
    let mut config = nowhere::config(directory.path(), 1).inline();
    config.clock = clock;
    let mut manager = PerCoreWalManager::new(config)?;
    let mut writer = manager.take_writer(0)?;
    let mut samples = Samples::default();
    for _ in 0..rounds {
        samples.push(ns_each(BURST, || burst(&mut writer))?);
        writer.sync()?;
    }
    Ok(samples)
}

fn burst(writer: &mut CoreWalWriter) -> Result<(), Failure> {
    for number in 0..BURST {
        let mut key = [b'k'; KEY_BYTES];
        key[..8].copy_from_slice(&number.to_le_bytes());
        writer.append_put(&key, &[42; VALUE_BYTES])?;
    }
    Ok(())
}

impl Mirror {
    fn new() -> Self {
        let word = || Padded(AtomicU64::new(0));
        let (clock, ring) = (Clock::system(), vec![0xA5; RING_BYTES]);
        Self { clock, global: word(), pin: word(), tail: word(), ring, position: 0, sequence: 0 }
    }

    fn burst(&mut self, steps: Steps) -> f64 {
        let time = match (steps.clock, steps.pin, steps.fence) {
            (true, true, true) => self.entries::<true, true, true>(),
            (true, true, false) => self.entries::<true, true, false>(),
            (true, false, _) => self.entries::<true, false, false>(),
            (false, true, true) => self.entries::<false, true, true>(),
            (false, true, false) => self.entries::<false, true, false>(),
            (false, false, _) => self.entries::<false, false, false>(),
        };
        time.unwrap_or_default()
    }

    fn entries<const CLOCK: bool, const PIN: bool, const FENCE: bool>(&mut self) -> Result<f64, Failure> {
        ns_each(BURST, || {
            for number in 0..BURST {
                self.entry::<CLOCK, PIN, FENCE>(number);
            }
            Ok(())
        })
    }

    #[inline]
    fn entry<const CLOCK: bool, const PIN: bool, const FENCE: bool>(&mut self, number: u64) {
        let mut epoch = 0;
        if PIN {
            self.pin.0.store(1, Relaxed);
            if FENCE {
                fence(SeqCst);
            }
            epoch = self.global.0.load(std::sync::atomic::Ordering::Acquire);
        }
        let time = if CLOCK { self.clock.now_ns() } else { number };
        if self.position + ENTRY_BYTES > self.ring.len() {
            self.position = 0;
        }
        let entry = &mut self.ring[self.position..self.position + ENTRY_BYTES];
        entry[..8].copy_from_slice(&number.to_le_bytes());
        entry[8..16].copy_from_slice(&(time ^ epoch).to_le_bytes());
        entry[16..].copy_from_slice(black_box(&[42; ENTRY_BYTES - 16]));
        self.position += ENTRY_BYTES;
        self.sequence += 1;
        self.tail.0.store(self.sequence, Release);
        if PIN {
            self.pin.0.store(0, Release);
        }
    }
}
