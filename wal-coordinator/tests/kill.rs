//! A process that appends on three threads and makes checkpoints is killed with SIGKILL, again and again: everything
//! that it was told is there comes back, byte for byte, and the log goes on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; this binary runs itself as the victim"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use wal_coordinator::*;

const ROLE: &str = "WAL_TEST_VICTIM";
const CORES: usize = 3;
const KEYS: u64 = 400;
const KILLS: u64 = 10;

/// What core `core` writes as its entry `number`: a batch of one put (or, at times, a large one) and its offset.
fn entry(core: usize, number: u64) -> (Vec<u8>, Vec<u8>) {
    let key = format!("{core}/{}", number % KEYS).into_bytes();
    let bytes = if number % 500 == 499 { 100_000 } else { 20 + number % 300 };
    let mut value = Random::new(number << 8 | core as u64);
    (key, (0..bytes).map(|_| value.next().to_le_bytes()[0]).collect())
}

fn source(core: usize) -> String {
    format!("source {core}")
}

/// In a child process: goes on where the log ends, tells what is durable, until it is killed.
#[test]
fn role_of_the_victim() {
    let Some(path) = std::env::var_os(ROLE) else { return };
    let mut engine = Seen::default();
    let mut options = background(Path::new(&path), CORES);
    options.memory_time_max = std::time::Duration::from_millis(2);
    let (mut manager, recovered) = PerCoreWalManager::recover(options, &mut engine).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core).unwrap()).collect();
    std::thread::scope(|scope| {
        for (core, mut writer) in writers.into_iter().enumerate() {
            let from = recovered.offsets.get(&source(core)).copied().unwrap_or(0);
            scope.spawn(move || {
                let mut batch = WriteBatch::new();
                for number in from.. {
                    let (key, value) = entry(core, number);
                    batch.clear();
                    batch
                        .put(&key, &value)
                        .commit(&[(&source(core), number + 1)], Some(number.cast_signed()));
                    writer.append_batch(&batch).unwrap();
                    match number % 20 {
                        5 => writer.durable().wait().unwrap(),
                        15 => writer.written().wait().unwrap(),
                        _ => continue,
                    }
                    // One write: a line is printed whole or not at all.
                    let line = format!("ack {core} {}\n", number + 1);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        scope.spawn(move || {
            loop {
                let report = checkpoints.create_checkpoint().unwrap();
                let line = format!("checkpoint {}\n", report.epoch);
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    });
}

fn victim(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_of_the_victim", "--nocapture"])
        .env(ROLE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the victim was told.
#[derive(Debug, Default)]
struct Told {
    durable: [u64; CORES],
    checkpoint: u64,
    lines: u64,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["ack", core, number] => self.durable[core.parse::<usize>().unwrap()] = number.parse().unwrap(),
            ["checkpoint", epoch] => self.checkpoint = epoch.parse().unwrap(),
            _ => return,
        }
        self.lines += 1;
    }
}

#[test]
fn everything_acknowledged_comes_back_byte_for_byte_after_every_kill() {
    let seed = std::env::var("WAL_KILL_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}: run it again with WAL_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let (_directory, path) = place();
    let mut told = Told::default();
    for kill in 1..=KILLS {
        let mut child = victim(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The moment: after some lines, wherever its threads are then. At times before it has opened the log.
        let patience = if random.once_in(5) { 0 } else { told.lines + 1 + random.below(2_000) };
        while told.lines < patience {
            told.hear(&lines.next().expect("the victim ended by itself").unwrap());
        }
        child.kill().unwrap();
        // What it said before it died.
        lines.map_while(Result::ok).for_each(|line| told.hear(&line));
        let status = child.wait().unwrap();
        assert!(!status.success(), "the victim ended by itself");
        check(&path, &told, kill);
    }
    assert!(told.checkpoint > 0 && told.durable.iter().all(|durable| *durable > 0), "{told:?}");
}

/// Per core exactly its first entries, whole, at least as many as were acknowledged.
#[track_caller]
fn check(path: &Path, told: &Told, kill: u64) {
    let recovered = match recover_per_core(path) {
        Err(RecoveryError::NotFound { .. }) if told.lines == 0 => return,
        recovered => recovered.unwrap_or_else(|error| panic!("kill {kill}: {error}")),
    };
    let report = &recovered.report;
    let mut expected = BTreeMap::new();
    for core in 0..CORES {
        let durable = told.durable[core];
        let end = recovered.offsets.get(&source(core)).copied().unwrap_or(0);
        assert!(end >= durable, "kill {kill}, core {core}: {durable} acknowledged, {end} there\n{report}");
        // The last write of every key.
        expected.extend((end.saturating_sub(KEYS)..end).map(|number| (entry(core, number).0, number)));
        let sequence = recovered
            .resume
            .core(CoreId(u16::try_from(core).unwrap()))
            .map_or(0, |core| core.next_sequence.0);
        assert_eq!(sequence, 2 * end, "kill {kill}, core {core}: half a batch\n{report}");
    }
    assert!(
        recovered.epoch.0 >= told.checkpoint,
        "kill {kill}: checkpoint {} is gone\n{report}",
        told.checkpoint
    );
    assert_eq!(recovered.state.len(), expected.len(), "kill {kill}\n{report}");
    for (key, number) in expected {
        let core = usize::from(key[0] - b'0');
        assert!(
            recovered.state[&key] == entry(core, number).1,
            "kill {kill}: {}\n{report}",
            String::from_utf8_lossy(&key)
        );
    }
}
