//! The commands of this repository: everything that a developer or a machine runs goes through here.
//!
//! Promises: a fresh clone needs nothing before `cargo xtask CMD`; every command explains itself with
//! `--help`; a wrong argument ends with code 2 and says what was wrong. The crate depends on nothing but
//! the standard library, so it builds in a second and works without a network.
//!
//! Not for: anything that the library crates need at run time, and no logic of the log itself.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the bans keep clocks and threads out of the log; a developer tool may use both"
)]

mod bench;
mod bugs;
mod ci;
mod crash;
mod demo;
mod failure;
mod fuzz;
mod golden;
mod load;
mod loom;
mod process;
mod sanitize;
mod schedules;
mod sweep;
mod test;
mod tidy;

use std::process::ExitCode;

use failure::Failure;

/// One command: what `cargo xtask --help` prints about it, and the function that does it.
struct Command {
    name: &'static str,
    summary: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

/// In the order in which a newcomer meets them.
const COMMANDS: [Command; 14] = [
    Command {
        name: "demo",
        summary: "Count words exactly once while the engine is killed; the main job",
        help: demo::HELP,
        run: demo::run,
    },
    Command { name: "test", summary: "Run all tests of the workspace", help: test::HELP, run: test::run },
    Command {
        name: "ci",
        summary: "Run the whole gate: format, lints, tests, docs, models, kills",
        help: ci::HELP,
        run: ci::run,
    },
    Command {
        name: "tidy",
        summary: "Check the house rules that the compiler cannot check",
        help: tidy::HELP,
        run: tidy::run,
    },
    Command {
        name: "loom",
        summary: "Run the loom models of the lock-free protocols",
        help: loom::HELP,
        run: loom::run,
    },
    Command {
        name: "sanitize",
        summary: "Run the tests with threads and `unsafe` under sanitizers",
        help: sanitize::HELP,
        run: sanitize::run,
    },
    Command {
        name: "schedules",
        summary: "Run the whole coordinator under drawn schedules",
        help: schedules::HELP,
        run: schedules::run,
    },
    Command {
        name: "crash",
        summary: "Kill a writing process again and again and check what comes back",
        help: crash::HELP,
        run: crash::run,
    },
    Command {
        name: "sweep",
        summary: "Put every fault at every place of a simulated disk",
        help: sweep::HELP,
        run: sweep::run,
    },
    Command {
        name: "fuzz",
        summary: "Feed hostile bytes to everything that reads a log",
        help: fuzz::HELP,
        run: fuzz::run,
    },
    Command {
        name: "bugs",
        summary: "Seed bugs one by one, each caught by a named test",
        help: bugs::HELP,
        run: bugs::run,
    },
    Command {
        name: "bench",
        summary: "Measure; compare with a revision, or with other logs",
        help: bench::HELP,
        run: bench::run,
    },
    Command {
        name: "load",
        summary: "Put a load on a whole log, at a rate or as fast as it goes",
        help: load::HELP,
        run: load::run,
    },
    Command {
        name: "golden",
        summary: "Write or check the golden files of the on-disk format",
        help: golden::HELP,
        run: golden::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", overview());
        return Err(Failure::usage("no command given"));
    };
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        print!("{}", overview());
        return Ok(());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        return Err(Failure::usage(format!("no command `{name}`; there are: {}", names.join(", "))));
    };
    if asks_for_help(rest) {
        print!("{}", command.help);
        return Ok(());
    }
    (command.run)(rest)
}

/// Help is asked for in front of a `--` only: what follows it belongs to another program.
fn asks_for_help(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h")
}

fn overview() -> String {
    let mut text = String::from(
        "The commands of this repository. Each needs nothing before it but cargo.\n\n\
         Usage: cargo xtask COMMAND [options]\n\nCommands:\n",
    );
    for command in &COMMANDS {
        text.push_str(&format!("  {:<10}{}\n", command.name, command.summary));
    }
    text.push_str(
        "\nNew here? Start with `cargo xtask demo`, then `cargo xtask test`.\n\
         `cargo xtask COMMAND --help` explains one command.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn every_help_opens_with_its_command_line() {
        for command in &COMMANDS {
            let opening = format!("Usage: cargo xtask {}", command.name);
            assert!(command.help.contains(&opening), "help of `{}` lacks `{opening}`", command.name);
            assert!(command.help.ends_with('\n'), "help of `{}` lacks its last newline", command.name);
            assert!(command.help.lines().all(|line| line.len() <= 100), "help of `{}` is wide", command.name);
            assert!(overview().contains(command.summary));
        }
    }

    #[test]
    fn unknown_command_and_missing_command_are_usage_errors() {
        assert!(matches!(dispatch(&args(&["nope"])), Err(Failure::Usage(_))));
        assert!(matches!(dispatch(&[]), Err(Failure::Usage(_))));
    }

    #[test]
    fn commands_that_forward_nothing_refuse_unknown_options() {
        for name in
            ["ci", "tidy", "loom", "schedules", "sanitize", "crash", "sweep", "golden", "bugs", "fuzz"]
        {
            let refused = dispatch(&args(&[name, "--no-such-option"]));
            assert!(matches!(refused, Err(Failure::Usage(_))), "`{name}` took an unknown option");
        }
    }

    #[test]
    fn help_behind_the_separator_is_not_ours() {
        assert!(asks_for_help(&args(&["--release", "--help"])));
        assert!(!asks_for_help(&args(&["--", "--help"])));
    }
}
