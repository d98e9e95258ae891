//! Eight openers race for one log, in four processes with two threads each, and the one that gets it is killed: a
//! thousand times. Never two owners, never none; whoever is refused is refused before it touches anything. And tools
//! that only read need no lock beside an engine at work.
//!
//! More: `WAL_OPENER_RACES=100000 cargo test --release -p wal-coordinator --test openers`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; this binary runs itself as the processes that race"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use common::*;
use wal_coordinator::*;

const ROLE: &str = "WAL_TEST_OPENER";
const PROCESSES: usize = 4;
const THREADS: usize = 2;

/// In a child process: at each line, both threads try to open the log; says who got it, and keeps it until it is killed
/// or told to let go.
#[test]
fn role_of_an_opener() {
    let Some(path) = std::env::var_os(ROLE) else { return };
    let path = Path::new(&path);
    let mut owned = Vec::new();
    println!("\nready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if line == "let go" {
            owned.clear();
        } else {
            let start = Barrier::new(THREADS);
            let open = || {
                start.wait();
                PerCoreWalManager::new(config(path, 1))
            };
            let opened: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            for result in opened {
                match result {
                    Ok(mut manager) => {
                        let writer = manager.writer(0);
                        let number = writer.position().0;
                        writer.append_put(&(number % 8).to_le_bytes(), b"of an owner").unwrap();
                        writer.sync().unwrap();
                        // Keeps the log short, so that opening it stays quick.
                        if number % 16 == 0 {
                            CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
                        }
                        owned.push(manager);
                    }
                    Err(PerCoreWalError::InUse { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        println!("\nowner of {}", owned.len());
    }
}

struct Opener {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Opener {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role_of_an_opener", "--nocapture"])
            .env(ROLE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut opener = Self { process, input, output };
        opener.hear("ready");
        opener
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn hear(&mut self, begin: &str) -> String {
        let found = self.output.by_ref().map_while(Result::ok).find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("an opener ended without saying {begin:?}"))
    }

    fn owned(&mut self) -> usize {
        self.hear("owner of ").rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Every file's bytes and times, and the directory's.
fn everything(path: &Path) -> (BTreeMap<String, Vec<u8>>, Vec<SystemTime>) {
    let contents = contents(path);
    let files = contents.keys().map(|name| path.join(name)).chain([path.to_owned()]);
    let times = files.map(|file| file.metadata().unwrap().modified().unwrap()).collect();
    (contents, times)
}

#[test]
fn of_eight_openers_one_owns_the_log_until_it_is_killed_and_no_other_touches_it() {
    let races: u64 =
        std::env::var("WAL_OPENER_RACES").map_or(1_000, |races| races.parse().expect("a number"));
    // The lock is the same there, and a thousand logs are faster opened.
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let path = directory.path().join("log");
    let mut openers: Vec<_> = (0..PROCESSES).map(|_| Opener::start(&path)).collect();
    let (mut double, mut none, mut refused) = (0, 0, 0);
    let mut random = Random::new(1);
    for race in 1..=races {
        openers.iter_mut().for_each(|opener| opener.tell("open"));
        let owned: Vec<_> = openers.iter_mut().map(Opener::owned).collect();
        double += u64::from(owned.iter().sum::<usize>() > 1);
        none += u64::from(owned.iter().all(|owned| *owned == 0));
        let Some(owner) = owned.iter().position(|owned| *owned > 0) else { continue };
        // All of them once more, beside an owner that rests: also those of its own process.
        if random.once_in(4) {
            let before = everything(&path);
            for opener in &mut openers {
                opener.tell("open");
            }
            let again: Vec<_> = openers.iter_mut().map(Opener::owned).collect();
            assert_eq!(again, owned, "race {race}: opened beside its owner");
            assert!(everything(&path) == before, "race {race}: whoever was refused had changed something");
            refused += (PROCESSES * THREADS) as u64;
        }
        if random.once_in(4) {
            openers[owner].tell("let go");
            assert_eq!(openers[owner].owned(), 0);
        } else {
            std::mem::replace(&mut openers[owner], Opener::start(&path)).kill();
        }
    }
    println!(
        "{races} races: {double} with two owners, {none} without one; {refused} refused beside a resting owner"
    );
    assert_eq!((double, none), (0, 0));
    openers.into_iter().for_each(Opener::kill);
    // One entry an owner: nobody wrote over another's.
    let (_, recovered) = recover(&path);
    assert_eq!(recovered.resume.cores[0].next_sequence.0, races);
}

#[test]
fn tools_that_only_read_need_no_lock_and_disturb_nobody() {
    let (_directory, path) = place();
    let mut options = background(&path, 2);
    options.memory_time_max = std::time::Duration::from_millis(1);
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut writers = [0, 1].map(|core| manager.take_writer(core).unwrap());
    let is_over = AtomicBool::new(false);
    let (mut read, mut beside) = (0, 0);
    std::thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let number = writer.position().0;
                    writer.append_put(&(number % 100).to_le_bytes(), &[7; 300]).unwrap();
                    if number % 50 == 0 {
                        writer.sync().unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                checkpoints.create_checkpoint().unwrap();
            }
        });
        while read < 20 && beside < 2_000 {
            let least = manager.synced_positions();
            match try_recover(&path, Scope::Everything) {
                Ok((_, recovered)) => {
                    for at in least {
                        let end = recovered.resume.core(at.core).map_or(0, |core| core.next_sequence.0);
                        assert!(end >= at.sequence.0, "{} durable, {end} read", at.sequence);
                    }
                    read += 1;
                }
                // What it was about to read was released meanwhile: an error that says so, never less than there was.
                Err(
                    RecoveryError::Read(_)
                    | RecoveryError::CheckpointMissing { .. }
                    | RecoveryError::Overtaken { .. },
                ) => beside += 1,
                Err(error) => panic!("{error}"),
            }
        }
        is_over.store(true, Relaxed);
    });
    println!("{read} reads of a log at work, {beside} were told that it went on meanwhile");
    assert!(read > 0, "{beside} reads, and none succeeded");
    let ends: Vec<_> = writers.iter().map(|writer| writer.position().0).collect();
    drop((checkpoints, writers, manager));
    let (_, recovered) = recover(&path);
    assert_eq!(recovered.resume.cores.iter().map(|core| core.next_sequence.0).collect::<Vec<_>>(), ends);
}
