//! `cargo xtask sanitize`: the tests that use threads and `unsafe`, under a sanitizer.
//!
//! Promises: the sanitizers come with the stable compiler and need nothing else (`RUSTC_BOOTSTRAP=1` opens the flag);
//! any report fails the command; known false ones are named, each with its reason, in `xtask/sanitizers.supp`.
//!
//! The standard library comes without a sanitizer's instrumentation, and its sources are not part of every toolchain, so
//! nothing is rebuilt: what that hides is said in `docs/testing.md`.

use std::process::Command;

use crate::failure::{Failure, number, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask sanitize [SANITIZER...] [--seconds N]

Builds the tests that use threads and `unsafe` with a sanitizer of the compiler, and runs them. Type
layouts are shuffled, and the checks of the standard library's unsafe functions are on.

Sanitizers (default: thread and address):
  thread         data races
  address        out of bounds, use after free; and leaks
  leak           leaks alone

Options:
  --seconds N    how long the stress test goes on (default: as short as it can)

WAL_STRESS_SEED=S begins the stress test at another seed.
";

/// A sanitizer, and what is worth running under it: arguments of `cargo test`.
struct Sanitizer {
    name: &'static str,
    tests: &'static [&'static [&'static str]],
}

// The feature is the one that the coordinator's tests turn on: so wal-reader is built once.
const WRITER: &[&str] = &[
    "--package=wal-writer",
    "--features=wal-reader/testing",
    "--lib",
    "--test=durability",
    "--test=failures",
];
const WRITER_MEMORY: &[&str] = &[
    "--package=wal-writer",
    "--features=wal-reader/testing",
    "--lib",
    "--test=durability",
    "--test=round_trip",
];
const STRESS: &[&str] = &["--package", "wal-coordinator", "--test", "stress"];

const SANITIZERS: [Sanitizer; 3] = [
    Sanitizer { name: "thread", tests: &[WRITER, STRESS] },
    Sanitizer { name: "address", tests: &[WRITER_MEMORY, STRESS] },
    Sanitizer { name: "leak", tests: &[WRITER_MEMORY, STRESS] },
];

/// What runs if nothing is named, and in the gate.
const DEFAULT: [&str; 2] = ["thread", "address"];

#[derive(Debug, Default, PartialEq)]
struct Options {
    names: Vec<String>,
    seconds: u64,
}

/// Runs the sanitizers that `args` name.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    let target = host()?;
    for sanitizer in
        SANITIZERS.iter().filter(|sanitizer| options.names.iter().any(|name| name == sanitizer.name))
    {
        for tests in sanitizer.tests {
            process::run(&mut cargo_test(sanitizer.name, &target, tests, options.seconds))?;
        }
        println!("sanitize: {} has nothing to report", sanitizer.name);
    }
    Ok(())
}

/// As [`run`] without arguments, for the gate: a sanitizer that does not start on this machine is named and passed over.
pub(crate) fn run_what_starts() -> Result<(), Failure> {
    let target = host()?;
    for name in DEFAULT {
        match hindrance(name, &target)? {
            None => run(&[name.to_owned()])?,
            Some(why) => println!("sanitize: {name} does not start here and is PASSED OVER:\n{why}"),
        }
    }
    Ok(())
}

/// Why a program that does nothing fails under this sanitizer, if it does: there is none for every target, and a
/// container may forbid it to arrange its memory or to look for leaks.
fn hindrance(sanitizer: &str, target: &str) -> Result<Option<String>, Failure> {
    let directory = process::target_dir().join("sanitize");
    let (source, program) = (directory.join("nothing.rs"), directory.join(format!("nothing-{sanitizer}")));
    let written =
        std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&source, "fn main() {}\n"));
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", source.display())))?;
    let mut build = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    build.env("RUSTC_BOOTSTRAP", "1").args(flags(sanitizer).split(' '));
    build.args(["--target", target, "-o"]).arg(&program).arg(&source);
    for (mut command, is_build) in [(build, true), (Command::new(&program), false)] {
        let output = command.output().map_err(|error| process::not_started(&command, &error))?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => {}
            // Anything else that the compiler has to say is our mistake.
            false if is_build && !errors.contains("is not supported for this target") => {
                return Err(Failure::failed(errors));
            }
            false => return Ok(Some(errors)),
        }
    }
    Ok(None)
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => options.seconds = number("sanitize", arg, args.next())?,
            name if SANITIZERS.iter().any(|sanitizer| sanitizer.name == name) => {
                options.names.push(arg.clone())
            }
            _ => return Err(unknown("sanitize", arg)),
        }
    }
    if options.names.is_empty() {
        options.names = DEFAULT.iter().map(|name| (*name).to_owned()).collect();
    }
    Ok(options)
}

fn flags(sanitizer: &str) -> String {
    format!(
        "-Zsanitizer={sanitizer} -Cunsafe-allow-abi-mismatch=sanitizer -Zrandomize-layout -Zub-checks=yes"
    )
}

/// The target must be named, or build scripts and macros would be instrumented too and not start.
fn cargo_test(sanitizer: &str, target: &str, tests: &[&str], seconds: u64) -> Command {
    let (before, ours) = (std::env::var("RUSTFLAGS").unwrap_or_default(), flags(sanitizer));
    let suppressions = process::root().join("xtask/sanitizers.supp");
    let mut cargo = process::cargo();
    cargo
        // Suppressions name functions by their paths, which line tables alone do not have where a call was inlined.
        .envs(["CARGO_PROFILE_DEV_DEBUG", "CARGO_PROFILE_TEST_DEBUG"].map(|profile| (profile, "full")))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("{before} {ours}").trim_start())
        .env("CARGO_TARGET_DIR", process::target_dir().join("sanitize").join(sanitizer))
        .env("TSAN_OPTIONS", format!("halt_on_error=1 suppressions={}", suppressions.display()))
        .env("ASAN_OPTIONS", "detect_leaks=1 detect_stack_use_after_return=1")
        .env("WAL_STRESS_SECONDS", seconds.to_string())
        .args(["test", "--target", target])
        .args(tests);
    cargo
}

/// The target that this machine's compiler builds for.
fn host() -> Result<String, Failure> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = rustc.arg("-vV").output().map_err(|error| process::not_started(&rustc, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::failed("`rustc -vV` names no host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn sanitizers_are_named_or_chosen() {
        let chosen = parse(&[]).ok();
        assert_eq!(chosen, Some(Options { names: words(&["thread", "address"]), seconds: 0 }));
        let named = parse(&words(&["leak", "--seconds", "60"])).ok();
        assert_eq!(named, Some(Options { names: words(&["leak"]), seconds: 60 }));
        for wrong in [&["memory"][..], &["--seconds"], &["--second", "1"]] {
            assert!(matches!(parse(&words(wrong)), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_the_machine_lacks_is_passed_over() {
        let hindrance = |name| hindrance(name, "x86_64-unknown-linux-gnu");
        let why = hindrance("memtag").ok().flatten();
        assert!(why.as_ref().is_some_and(|why| why.contains("not supported for this target")), "{why:?}");
        assert!(matches!(hindrance("no-such-sanitizer"), Err(Failure::Failed(_))));
        let here = host().map_err(|_| "no host");
        assert!(here.is_ok_and(|host| super::hindrance("thread", &host).is_ok()), "our flags are refused");
    }

    #[test]
    fn every_suppression_has_a_reason_before_it() {
        let text = include_str!("../sanitizers.supp");
        for block in text.split("\n\n").skip(1) {
            assert!(block.starts_with("# ") && block.contains("\nrace:"), "{block:?}");
        }
    }
}
