//! The same history on a good clock and on hostile ones, by seed: every core's own order is the same, and so is what comes
//! back. The cores write keys of their own, so that the clock has no say in it.
//!
//! `WAL_CLOCK_SEED=17` runs one seed, `WAL_CLOCK_SEEDS=10000` more of them.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use parking_lot::Mutex;
use wal_coordinator::*;
use wal_writer::HostileClock;

const CORES: usize = 3;

/// What came back, without the times.
#[derive(Debug, PartialEq)]
struct CameBack {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    offsets: BTreeMap<String, u64>,
    /// Per core, in the order in which they came.
    entries: BTreeMap<CoreId, Vec<(Sequence, Epoch, WalOperation)>>,
}

/// Two lives of a log whose every step is the seed's choice, on `clock`.
fn live(seed: u64, clock: &Clock) -> CameBack {
    let (_directory, path) = place();
    let mut random = Random::new(seed);
    let mut last = [0; CORES];
    for _ in 0..2 {
        let mut config = config(&path, CORES);
        config.clock = clock.clone();
        let mut manager = PerCoreWalManager::new(config).unwrap();
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        for _ in 0..150 {
            let core = random.index(CORES);
            match random.below(40) {
                0 => drop(manager.advance_epoch()),
                1 => drop(checkpoints.create_checkpoint().unwrap()),
                2 => drop(manager.writer(core).sync().unwrap()),
                // A core reacts to another, whatever their clocks say.
                3..=8 => manager.writer(core).observe(last[(core + 1) % CORES]),
                _ => {
                    let operation = operation(core, &mut random);
                    let writer = manager.writer(core);
                    writer.append(&operation.as_ref()).unwrap();
                    assert!(writer.last_timestamp_ns() >= last[core], "seed {seed}: core {core} goes back");
                    last[core] = writer.last_timestamp_ns();
                }
            }
        }
    }
    let (seen, recovered) = recover(&path);
    assert!(seen.entries.is_sorted_by_key(PerCoreWalEntry::order_key), "seed {seed}: out of order");
    let mut entries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in seen.entries {
        entries.entry(entry.core_id).or_default().push((entry.sequence, entry.epoch, entry.operation));
    }
    CameBack { state: seen.state, offsets: recovered.offsets, entries }
}

fn operation(core: usize, random: &mut Random) -> WalOperation {
    let key = format!("{core}/{}", random.below(20)).into_bytes();
    match random.below(10) {
        0 => WalOperation::Delete { key },
        1 => {
            WalOperation::Commit { offsets: vec![(format!("source {core}"), random.next())], watermark: None }
        }
        _ => WalOperation::Put { key, value: random.next().to_le_bytes().to_vec() },
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn no_clock_changes_a_cores_own_order_or_what_comes_back() {
    let seeds = match number_from("WAL_CLOCK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("WAL_CLOCK_SEEDS").unwrap_or(20),
    };
    let check = |seed: u64| {
        let good = live(seed, &Clock::system());
        let hostile = live(seed, &Clock::injected(Arc::new(HostileClock::new(seed))));
        assert!(good == hostile, "again with WAL_CLOCK_SEED={seed}:\n{good:?}\n{hostile:?}");
    };
    // They mostly wait for the device: several at a time.
    let seeds = Mutex::new(seeds);
    let next = || seeds.lock().next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| std::iter::from_fn(next).for_each(check));
        }
    });
}
