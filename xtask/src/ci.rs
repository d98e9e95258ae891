//! `cargo xtask ci`: the whole gate, the same for a developer and for a machine.
//!
//! Promises: steps run in order, cheap ones first; the first failure stops the gate, with the command that
//! runs this step alone; a table at the end says what ran and how long it took.

use std::time::{Duration, Instant};

use crate::failure::{Failure, unknown};
use crate::{crash, demo, loom, process, sanitize, schedules, sweep, test, tidy};

pub(crate) const HELP: &str = "\
Usage: cargo xtask ci [--only STEP[,STEP...]] [--list]

Runs the gate that every commit passes, and stops at the first step that fails.

Options:
  --only STEPS   only these steps, in the gate's order
  --list         list the steps and run none
";

/// The gate has to stay short enough to be waited for, on two cores.
const GATE_MAX: Duration = Duration::from_secs(20 * 60);

/// A step of the gate.
struct Step {
    name: &'static str,
    summary: &'static str,
    run: fn() -> Result<(), Failure>,
}

const STEPS: [Step; 13] = [
    Step { name: "fmt", summary: "all sources are formatted", run: fmt },
    Step { name: "tidy", summary: "the house rules hold", run: || tidy::run(&[]) },
    Step { name: "clippy", summary: "no lint has anything to say", run: clippy },
    Step { name: "test", summary: "all tests pass", run: || test::run(&[]) },
    Step {
        name: "clock",
        summary: "lives and power losses on a hostile clock come back as well",
        run: clock,
    },
    Step { name: "doc", summary: "the documentation builds without a warning", run: doc },
    Step { name: "loom", summary: "the models of the lock-free protocols hold", run: || loom::run(&[]) },
    Step { name: "schedules", summary: "100,000 drawn schedules hold", run: || schedules::run(&[]) },
    Step {
        name: "sanitize",
        summary: "no data race, no leak, nothing out of bounds in the tests with threads",
        run: sanitize::run_what_starts,
    },
    Step { name: "package", summary: "every crate can be packaged and built from its archive", run: package },
    Step {
        name: "sweep",
        summary: "a million faults on a simulated disk, none gets by",
        run: || sweep::run(&[]),
    },
    Step { name: "crash", summary: "nothing acknowledged is lost in 200 kills", run: kills },
    Step { name: "demo", summary: "words are counted exactly once, small input", run: small_demo },
];

fn fmt() -> Result<(), Failure> {
    need("fmt", "rustfmt")?;
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    need("clippy", "clippy")?;
    let scope = ["--workspace", "--all-targets", "--all-features"];
    process::run(process::cargo().arg("clippy").args(scope).args(["--", "--deny", "warnings"]))
}

/// Two of the tests once more, as they were built for the step before.
fn clock() -> Result<(), Failure> {
    let mut cargo = process::cargo();
    cargo.env("WAL_HOSTILE_CLOCK", "7").args(["test", "--all-features", "--workspace"]);
    process::run(cargo.args(["--test", "oracle", "--test", "power_loss"]))
}

fn doc() -> Result<(), Failure> {
    let mut cargo = process::cargo();
    cargo.env("RUSTDOCFLAGS", "--deny warnings");
    process::run(cargo.args(["doc", "--workspace", "--no-deps", "--all-features"]))
}

/// Packs every crate and builds it from its archive, so that a file that only the checkout has is missed.
///
/// In a directory that never was before: cargo unpacks the archives that the others depend on once for each
/// path and version, outside of the target directory, and later builds against that first copy, whatever has
/// changed since. A second run at the same place would judge today's crates by yesterday's `wal-format`.
fn package() -> Result<(), Failure> {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let place = process::target_dir().join(format!("package-{}", since_epoch.as_nanos()));
    let mut cargo = process::cargo();
    // Nobody gets the examples but with the checkout, and their runtimes would be built once more.
    cargo
        .args(["package", "--workspace", "--exclude", "wal-examples", "--allow-dirty", "--target-dir"])
        .arg(&place);
    let result = process::run(&mut cargo);
    // What is left behind only takes space, in a directory that is there to be deleted.
    drop(std::fs::remove_dir_all(&place));
    result
}

fn kills() -> Result<(), Failure> {
    crash::run(&words(&["--kills", "200"]))
}

fn small_demo() -> Result<(), Failure> {
    let mut args = words(&["--cores", "2", "--kills", "2", "--input"]);
    args.push(process::root().to_string_lossy().into_owned());
    demo::run(&args)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Makes sure that a component of the toolchain is there, and tries once to add it when it is not.
fn need(subcommand: &str, component: &str) -> Result<(), Failure> {
    let there = || {
        let probe = process::cargo().args([subcommand, "--version"]).output();
        probe.is_ok_and(|output| output.status.success())
    };
    if there() {
        return Ok(());
    }
    eprintln!("ci: `cargo {subcommand}` is missing, adding it with `rustup component add {component}`");
    let added = std::process::Command::new("rustup").args(["component", "add", component]).status();
    if added.is_ok_and(|status| status.success()) && there() {
        return Ok(());
    }
    Err(Failure::failed(format!("install it first: `rustup component add {component}`")))
}

#[derive(Debug, Default, PartialEq)]
struct Options {
    list: bool,
    /// Empty means all.
    only: Vec<String>,
}

/// Runs the gate.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    if options.list {
        STEPS.iter().for_each(|step| println!("{:<10}{}", step.name, step.summary));
        return Ok(());
    }
    let selected =
        |step: &&Step| options.only.is_empty() || options.only.iter().any(|name| name == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(selected).collect();
    let begin = Instant::now();
    let mut results = Vec::new();
    for step in &steps {
        println!("\n=== {}: {}", step.name, step.summary);
        let step_begin = Instant::now();
        let result = (step.run)();
        results.push((step.name, step_begin.elapsed(), result));
        if results.last().is_some_and(|(_, _, result)| result.is_err()) {
            break;
        }
    }
    print!("{}", table(&steps, &results, begin.elapsed()));
    conclude(results)
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--only" => {
                let names = args.next().ok_or_else(|| Failure::usage("`ci --only` needs steps behind it"))?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            _ => return Err(unknown("ci", arg)),
        }
    }
    let known = |name: &String| STEPS.iter().any(|step| step.name == name);
    match options.only.iter().find(|name| !known(name)) {
        Some(name) => Err(Failure::usage(format!("no step `{name}`; `cargo xtask ci --list` lists them"))),
        None => Ok(options),
    }
}

type StepResult = (&'static str, Duration, Result<(), Failure>);

/// What ran, how it ended and how long it took; steps behind a failure are listed as not run.
fn table(steps: &[&Step], results: &[StepResult], total: Duration) -> String {
    let mut text = String::from("\nstep      result   seconds\n");
    for (index, step) in steps.iter().enumerate() {
        let (result, seconds) = match results.get(index) {
            Some((_, took, Ok(()))) => ("ok", format!("{:9.1}", took.as_secs_f64())),
            Some((_, took, Err(_))) => ("FAILED", format!("{:9.1}", took.as_secs_f64())),
            None => ("not run", String::new()),
        };
        text.push_str(format!("{:<10}{result:<7}{seconds}", step.name).trim_end());
        text.push('\n');
    }
    text.push_str(&format!("{:<17}{:9.1}\n", "total", total.as_secs_f64()));
    if total > GATE_MAX {
        text.push_str(&format!("The gate took more than {} minutes; shorten it.\n", GATE_MAX.as_secs() / 60));
    }
    text
}

fn conclude(results: Vec<StepResult>) -> Result<(), Failure> {
    let Some((name, _, Err(failure))) = results.into_iter().last() else {
        return Ok(());
    };
    let reason = match failure {
        Failure::Usage(message) | Failure::Failed(message) => format!(": {message}"),
        Failure::Exit(code) => format!(" with code {code}"),
    };
    let alone = format!("run this step alone with `cargo xtask ci --only {name}`");
    Err(Failure::failed(format!("step `{name}` failed{reason}\n{alone}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_selected_by_name_and_unknown_ones_refused() {
        let only = parse(&words(&["--only", "fmt,tidy"])).ok();
        assert_eq!(only, Some(Options { list: false, only: words(&["fmt", "tidy"]) }));
        for wrong in [&["--only", "fmt,nope"][..], &["--only"], &["fmt"], &["--lists"]] {
            assert!(matches!(parse(&words(wrong)), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_failed_step_is_named_in_the_table_and_in_the_conclusion() {
        let second = Duration::from_secs(1);
        let steps: Vec<&Step> = STEPS.iter().take(3).collect();
        let results = vec![("fmt", second, Ok(())), ("tidy", second, Err(Failure::Exit(3)))];
        let shown = table(&steps, &results, second);
        for expected in ["fmt       ok           1.0", "tidy      FAILED       1.0", "clippy    not run\n"] {
            assert!(shown.contains(expected), "{shown}");
        }
        let Err(Failure::Failed(message)) = conclude(results) else {
            panic!("a failed step did not fail the gate");
        };
        assert!(message.contains("`tidy` failed with code 3") && message.contains("--only tidy"));
        assert!(conclude(vec![("fmt", second, Ok(()))]).is_ok());
    }

    #[test]
    fn a_gate_that_takes_too_long_says_so() {
        assert!(table(&[], &[], GATE_MAX + Duration::from_secs(1)).contains("shorten it"));
        assert!(!table(&[], &[], GATE_MAX).contains("shorten it"));
    }
}
