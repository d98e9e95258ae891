//! The command `wal`: look into a log directory, prove that it is whole, take it apart after an accident.
//!
//! Promises: no file of the log is ever changed, and no lock is kept, so the log of a running engine can be looked at
//! (`engine.rs` says how, `survey.rs` how a tail that is being written is told from damage). Every subcommand decides
//! first, as a value that its tests can look at, and prints second. Memory does not grow with the log. Not for
//! programs: they use the library.

mod args;
mod console;
mod ending;
mod engine;
mod failure;
mod look;
mod paint;
mod progress;
mod survey;
mod table;
mod text;

mod diff;
mod dump;
mod entry;
mod html;
mod inspect;
mod salvage;
mod stats;
mod tail;
mod verify;
mod why;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use console::Console;
use engine::Engine;
use failure::Failure;

/// What a subcommand found, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// 0: whole, or done.
    Whole,
    /// 1: damaged, or different.
    Damaged,
}

/// Runs the command with the arguments, streams and environment of this process.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), Console::of_process))
}

/// Runs the command; `console` makes the console from the arguments that concern it.
fn run(args: impl Iterator<Item = OsString>, console: impl FnOnce(&Args) -> Console) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to standard output, mistakes to standard error; nobody is left to tell if that fails.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(failure::USAGE);
        }
    };
    let mut console = console(&args);
    let result = dispatch(&args.command, &mut console).and_then(|outcome| {
        console.finish()?;
        Ok(outcome)
    });
    match result {
        Ok(Outcome::Whole) => 0,
        Ok(Outcome::Damaged) => failure::DAMAGED,
        // Whoever read the output has seen enough: `wal dump DIR | head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(failure) => {
            let is_running = || matches!(Engine::of(args.command.path()), Ok(Engine::Running));
            let failure = if is_running() { failure.while_running() } else { failure };
            console.fail(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(command: &Command, console: &mut Console) -> Result<Outcome, Failure> {
    match command {
        Command::Inspect(args) => inspect::run(args, console),
        Command::Verify(args) => verify::run(args, console),
        Command::Dump(args) => dump::run(args, console),
        Command::Salvage(args) => salvage::run(args, console),
        Command::Why(args) => why::run(args, console),
        Command::Stats(args) => stats::run(args, console),
        Command::Diff(args) => diff::run(args, console),
        Command::Html(args) => html::run(args, console),
        Command::Tail(args) => tail::run(args, console),
    }
}
