//! `cargo xtask loom`: the models of the lock-free protocols, under every interleaving that loom finds.
//!
//! Promises: each crate named below has models, and as many ran as were found. A gate that runs nothing and
//! calls it success is worse than no gate, so zero models is a failure.
//!
//! Models are tests with `loom_` in their path, in a build with `--cfg loom`. They live in their own target
//! directory: the flag would otherwise throw away the build of everything else.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::failure::{Failure, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask loom [--deep] [FILTER]

Runs the loom models: small tests of ring, epoch pin, receipts and the like, in which loom tries
every order of the threads' steps that the memory orderings allow. Fails when no model ran.

Options:
  --deep         up to 5 preemptions per execution instead of 3: slower, finds more
  FILTER         only the models with FILTER in their path

LOOM_MAX_PREEMPTIONS, when set, overrides both numbers; LOOM_LOG=trace shows the steps of a failure.
";

/// The crates whose protocols are modelled. Each must have at least one model.
const CRATES: [&str; 2] = ["wal-writer", "wal-coordinator"];

const MARK: &str = "loom_";

#[derive(Debug, Default, PartialEq)]
struct Options {
    deep: bool,
    filter: Option<String>,
}

/// Runs the models.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    let mut models_run = 0;
    for package in CRATES {
        models_run += run_package(package, &options)?;
    }
    if models_run == 0 {
        let filter = options.filter.unwrap_or_default();
        return Err(Failure::failed(format!("no loom model has `{filter}` in its path")));
    }
    println!("loom: models that hold: {models_run}");
    Ok(())
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    for arg in args {
        match arg.as_str() {
            "--deep" => options.deep = true,
            _ if arg.starts_with('-') => return Err(unknown("loom", arg)),
            _ if options.filter.is_some() => return Err(Failure::usage("`loom` takes one FILTER")),
            _ => options.filter = Some(arg.clone()),
        }
    }
    Ok(options)
}

/// Lists the models first and then names each: the filters of the test harness are alternatives, so "is a
/// model and matches" cannot be said to it in one run.
fn run_package(package: &str, options: &Options) -> Result<usize, Failure> {
    let listing = capture(cargo_test(package, options).args([MARK, "--", "--list"]), false)?;
    let models = select(&listing, options.filter.as_deref());
    if models.is_empty() {
        if options.filter.is_none() {
            return Err(Failure::failed(format!("{package} has no loom models; it must have some")));
        }
        return Ok(0);
    }
    let output = capture(cargo_test(package, options).args(["--", "--exact"]).args(&models), true)?;
    let count = tests_run(&output);
    if count != models.len() {
        let found = models.len();
        return Err(Failure::failed(format!("{package} has {found} models to run but {count} ran")));
    }
    Ok(count)
}

fn cargo_test(package: &str, options: &Options) -> Command {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = process::cargo();
    cargo.env("RUSTFLAGS", format!("{flags} --cfg loom").trim_start());
    cargo.env("CARGO_TARGET_DIR", process::target_dir().join("loom"));
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        cargo.env("LOOM_MAX_PREEMPTIONS", if options.deep { "5" } else { "3" });
    }
    cargo.args(["test", "--release", "--lib", "--package", package]);
    cargo
}

/// Runs the command and returns its stdout; `echo` also shows it line by line as it comes.
pub(crate) fn capture(command: &mut Command, echo: bool) -> Result<String, Failure> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| process::not_started(command, &error))?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|error| process::not_started(command, &error))?;
            if echo {
                println!("{line}");
            }
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status = child.wait().map_err(|error| process::not_started(command, &error))?;
    process::finished(status)?;
    Ok(output)
}

/// The models in the output of `--list` (lines such as `ring::loom_models::wraps: test`) that match.
fn select(listing: &str, filter: Option<&str>) -> Vec<String> {
    let names = listing.lines().filter_map(|line| line.strip_suffix(": test"));
    let models = names.filter(|name| name.contains(MARK));
    models.filter(|name| filter.is_none_or(|filter| name.contains(filter))).map(str::to_owned).collect()
}

/// The sum over all `running N tests` lines.
fn tests_run(output: &str) -> usize {
    let counts = output.lines().filter_map(|line| line.strip_prefix("running ")?.split(' ').next());
    counts.filter_map(|count| count.parse::<usize>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_one_flag_and_one_filter() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let parsed = parse(&words(&["--deep", "ring"])).ok();
        assert_eq!(parsed, Some(Options { deep: true, filter: Some("ring".to_owned()) }));
        assert!(matches!(parse(&words(&["ring", "pin"])), Err(Failure::Usage(_))));
        assert!(matches!(parse(&words(&["--fast"])), Err(Failure::Usage(_))));
    }

    #[test]
    fn only_marked_tests_that_match_are_selected() {
        let listing = "ring::loom_models::wraps: test\nring::tests::wraps: test\npin::loom_closes: test\n";
        assert_eq!(select(listing, None), ["ring::loom_models::wraps", "pin::loom_closes"]);
        assert_eq!(select(listing, Some("wraps")), ["ring::loom_models::wraps"]);
        assert!(select(listing, Some("nothing")).is_empty());
    }

    #[test]
    fn tests_run_adds_up_every_harness() {
        assert_eq!(tests_run("running 2 tests\ntest a ... ok\n\nrunning 1 test\ntest b ... ok\n"), 3);
        assert_eq!(tests_run("running 0 tests\n"), 0);
        assert_eq!(tests_run("error: could not compile\n"), 0);
    }
}
