//! Many more threads than CPUs, held up at random inside pinned sections, drains, syncs and the steps of epochs and
//! checkpoints, on real files; against an oracle that knows every entry.
//!
//! `WAL_STRESS_SECONDS=600` goes on for longer, `WAL_STRESS_SEED=17` begins at another seed (one that failed is printed).
//! A seed replays the choices, not the scheduler: run a failing one for a while.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; counters, threads and deadlines of tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod disk;
mod life;
mod stalls;
mod story;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Random, Seen, place};
use wal_coordinator::*;
use wal_writer::HostileClock;

use crate::disk::Disk;
use crate::story::Whole;

/// A hang is a failure.
const LIFE_MAX: Duration = Duration::from_secs(120);

#[test]
fn no_interleaving_of_threads_that_are_held_up_anywhere_loses_moves_or_doubles_an_entry() {
    let seconds = number_from("WAL_STRESS_SECONDS").unwrap_or(20);
    let first = number_from("WAL_STRESS_SEED").unwrap_or(1);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    stalls::install();
    let mut seed = first;
    while seed < first + 2 || Instant::now() < deadline {
        println!("seed {seed}: again with WAL_STRESS_SEED={seed}");
        let (done, result) = mpsc::channel();
        let lives = std::thread::spawn(move || {
            let told = run(seed);
            let _ = done.send(());
            told
        });
        let is_hanging = result.recv_timeout(LIFE_MAX) == Err(mpsc::RecvTimeoutError::Timeout);
        assert!(!is_hanging, "seed {seed}: hangs");
        let told = lives.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        println!("seed {seed}: {told}");
        seed += 1;
    }
    let (stalls, unvisited) = stalls::report();
    println!("{} seeds, threads held up {stalls} times", seed - first);
    // A few seeds may have no background thread, or no recycled segment.
    assert!(
        seed < first + 8 || unvisited.is_empty(),
        "nobody came to the places {unvisited:?}: the hooks are not where they were"
    );
}

/// Two lives in one directory.
fn run(seed: u64) -> String {
    let mut random = Random::new(seed);
    let (_directory, path) = place();
    std::fs::create_dir(&path).unwrap();
    let disk = Disk::new(&path, random.next());
    let mut whole = Whole::default();
    for life in 0..2 {
        let config = config(&path, &disk, &mut random);
        let cores = config.cores;
        disk.fail_once_in((config.log.retention == Retention::UntilDurable).then(|| 60 + random.below(200)));
        let mut seen = Seen::default();
        let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut seen).unwrap();
        whole.check_all(&seen, &recovered, "opened");
        // Some cores are idle, some writers are never taken.
        let mut taken: Vec<_> = (0..cores).collect();
        taken.retain(|core| *core < 2 || !random.once_in(6));
        let writers: Vec<_> = taken.into_iter().map(|core| manager.take_writer(core).unwrap()).collect();
        stalls::begin(random.next());
        let story = life::live(&manager, writers, &disk, 150 + random.below(500), seed ^ (life << 60));
        stalls::end();
        whole.add(story);
        if random.once_in(2) {
            manager.close().unwrap()
        } else {
            drop(manager)
        }
        disk.fail_once_in(None);
        let (seen, recovered) = common::recover(&path);
        whole.check_all(&seen, &recovered, "closed");
    }
    format!("{}, {} syncs failed", whole.summary(), disk.failures())
}

fn config(path: &Path, disk: &Disk, random: &mut Random) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, 8 + random.index(9));
    config.storage = std::sync::Arc::new(disk.clone());
    config.log.ring_bytes = 4096 << random.below(4);
    config.log.segment_bytes = [32, 64][random.index(2)] * 1024;
    if random.once_in(3) {
        config.log.retention = Retention::UntilWritten;
    }
    config.flush = match random.below(4) {
        0 => FlushMode::Inline,
        1 => FlushMode::Background { threads: 1 },
        _ => FlushMode::Background { threads: 0 },
    };
    config.memory_time_max = Duration::from_millis([1, 50][random.index(2)]);
    config.free_segments_max = random.index(20);
    // On a good clock a reaction is later than its cause by itself.
    if random.once_in(2) {
        config.clock = Clock::injected(std::sync::Arc::new(HostileClock::new(random.next())));
    }
    config
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}
