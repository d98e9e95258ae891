//! Example programs, run as their users would, and killed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part; a failed step is a failed test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, ScopedJoinHandle};

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Run {
    /// Lines of standard output; without the last one if that was cut off.
    pub lines: Vec<String>,
    /// Lines of standard error.
    pub told: Vec<String>,
    pub was_killed: bool,
}

/// Runs `program` with `args` and `input`. With `kill_after`, it is killed when it has printed that many lines, of
/// standard output or error as `is_counted` says; unless it ends before.
#[track_caller]
pub fn run(
    program: &str,
    args: &[&str],
    input: &str,
    kill_after: Option<usize>,
    is_counted: fn(&str) -> bool,
) -> Run {
    let piped = Stdio::piped;
    let mut command = Command::new(program);
    let mut child = command.args(args).stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    let (mut stdin, stdout, stderr) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let child = std::sync::Mutex::new((child, kill_after));
    let count = |line: &str| {
        let (child, left): &mut (Child, Option<usize>) = &mut child.lock().unwrap();
        if let (true, Some(left)) = (is_counted(line), left) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let _ = child.kill();
            }
        }
    };
    let (lines, told) = thread::scope(|scope| {
        // Whoever is killed reads no more.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        let lines = scope.spawn(|| whole_lines(stdout, count));
        let told = whole_lines(stderr, count);
        (ScopedJoinHandle::join(lines).unwrap(), told)
    });
    let (mut child, _) = child.into_inner().unwrap();
    let status = child.wait().unwrap();
    let was_killed = status.code().is_none();
    assert!(was_killed || status.success(), "{program} {args:?} ended with {status}: {told:#?}");
    assert!(kill_after.is_some() || !was_killed, "{program} died: {told:#?}");
    Run { lines, told, was_killed }
}

/// The lines that were printed as a whole.
fn whole_lines(from: impl Read, each: impl Fn(&str)) -> Vec<String> {
    let mut from = BufReader::new(from);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            return lines;
        }
        line.pop();
        each(&line);
        lines.push(line);
    }
}

/// Numbers that a seed decides.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}
