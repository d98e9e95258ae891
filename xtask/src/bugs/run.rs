//! Building and running one test in the copy, with a limit of time: a bug may make it wait for ever.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::copy::Workspace;
use super::{Bug, Test};
use crate::failure::Failure;
use crate::process;

/// A test takes seconds; one that takes this long without a bug does not end, also on a machine with much else to do.
const TEST_MAX: Duration = Duration::from_secs(15 * 60);

/// With a bug a test that takes so many times as long as without, and this much besides, waits for what the bug has taken
/// away.
const SLOWER_MAX: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The kill loop is deterministic but for the threads, so a few kills at its point are enough.
const KILLS: u64 = 12;

/// Within so many schedules of its scenario a bug must be caught: a fraction of what the gate runs.
const SCHEDULES: u64 = 4_000;

/// What became of a test.
pub(super) enum Outcome {
    /// It ran and held.
    Passed,
    /// It ran and failed.
    Failed,
    /// It did not end.
    Hung,
    /// The process of the test ended by a signal, or it could not even list its tests.
    Died,
    /// The bug is none: the compiler refuses it.
    NotCompiled,
    /// There is no such test.
    NotFound,
}

impl Outcome {
    /// Whether the bug was noticed.
    pub(super) fn is_caught(&self) -> bool {
        matches!(self, Self::Failed | Self::Hung | Self::Died)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Passed => "NOT CAUGHT",
            Self::Failed => "caught",
            Self::Hung => "caught (no end)",
            Self::Died => "caught (died)",
            Self::NotCompiled => "DOES NOT COMPILE",
            Self::NotFound => "NO SUCH TEST",
        })
    }
}

/// What became of a test, and how long it ran, building not counted.
pub(super) type Ran = (Outcome, Duration);

/// Builds and runs `test` as the code is.
pub(super) fn without_bug(workspace: &Workspace, test: &Test) -> Result<Ran, Failure> {
    run(workspace, test, None, TEST_MAX)
}

/// Builds and runs the test of `bug`, which the copy has, and which took as long as this without it.
pub(super) fn with_bug(workspace: &Workspace, bug: &Bug, without: Duration) -> Result<Outcome, Failure> {
    run(workspace, &bug.test, Some(bug), without * SLOWER_MAX + WAIT_MAX).map(|(outcome, _)| outcome)
}

fn run(workspace: &Workspace, test: &Test, bug: Option<&Bug>, test_max: Duration) -> Result<Ran, Failure> {
    let mut build = build(workspace, test);
    let built = build.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let built = built.map_err(|error| process::not_started(&build, &error))?;
    if !built.status.success() {
        if let Some(bug) = bug {
            eprintln!("bug `{}`:\n{}", bug.name, String::from_utf8_lossy(&built.stderr));
        }
        return Ok((Outcome::NotCompiled, Duration::ZERO));
    }
    let output = workspace.target().join("output");
    let failed = |error| Failure::failed(format!("cannot keep the test's output: {error}"));
    let file = std::fs::File::create(&output).map_err(failed)?;
    let errors = file.try_clone().map_err(failed)?;
    // A failing kill loop keeps the log that it failed on.
    let scratch = workspace.target().join("scratch");
    std::fs::create_dir_all(&scratch).map_err(failed)?;
    let mut command = start(workspace, test);
    // A group of its own, so that the test ends together with the cargo that started it.
    command.env("TMPDIR", &scratch).stdout(file).stderr(errors).process_group(0);
    let child = command.spawn().map_err(|error| process::not_started(&command, &error))?;
    let begin = Instant::now();
    let ended = wait(child, test_max)?;
    let took = begin.elapsed();
    std::fs::remove_dir_all(&scratch).map_err(failed)?;
    let text = String::from_utf8_lossy(&std::fs::read(&output).map_err(failed)?).into_owned();
    let (begun, failure) = match test {
        Test::Kills(_) => ("crash loop, seed", "FAILED"),
        _ => ("running 1 test", "test result: FAILED"),
    };
    if !text.contains(begun) {
        return Ok((Outcome::NotFound, took));
    }
    let outcome = match ended {
        None => Outcome::Hung,
        Some(true) => Outcome::Passed,
        Some(false) if text.contains(failure) => Outcome::Failed,
        Some(false) => Outcome::Died,
    };
    Ok((outcome, took))
}

/// Whether the child succeeded; `None` if it had to be stopped.
fn wait(mut child: Child, test_max: Duration) -> Result<Option<bool>, Failure> {
    let begin = Instant::now();
    let failed = |error| Failure::failed(format!("cannot wait for the test: {error}"));
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(Some(status.success()));
        }
        if begin.elapsed() > test_max {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            child.wait().map_err(failed)?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Builds the test, or the program, and runs nothing.
fn build(workspace: &Workspace, test: &Test) -> Command {
    let mut cargo = cargo(workspace, test);
    if let Test::Kills(_) = test {
        cargo.arg("build")
    } else {
        cargo.args(["test", "--no-run"])
    };
    what(&mut cargo, test);
    cargo
}

/// Runs it.
fn start(workspace: &Workspace, test: &Test) -> Command {
    let mut cargo = cargo(workspace, test);
    if let Test::Kills(point) = test {
        what(cargo.arg("run"), test);
        cargo.args(["--", "--seed", "1", "--point", point, "--kills", &KILLS.to_string()]);
    } else {
        what(cargo.arg("test"), test);
        cargo.args(["--", "--exact", test.path()]);
    }
    cargo
}

fn cargo(workspace: &Workspace, test: &Test) -> Command {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace.root());
    match test {
        Test::In(..) | Test::Unit(..) | Test::Kills(_) => {}
        Test::Loom(..) => drop(cargo.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", "3")),
        Test::Schedules(_) => {
            cargo.env("RUSTFLAGS", "--cfg shuttle").env("WAL_SCHEDULES", SCHEDULES.to_string());
        }
    }
    let target = workspace.target().join(match test {
        Test::In(..) | Test::Unit(..) => "tests",
        Test::Loom(..) => "loom",
        Test::Schedules(_) => "schedules",
        Test::Kills(_) => "kills",
    });
    cargo.env("CARGO_TARGET_DIR", target);
    // Every bug is a build, and few runs are long: what is built fast is over sooner.
    for (name, value) in [("DEV_DEBUG", "0"), ("RELEASE_DEBUG", "0"), ("RELEASE_OPT_LEVEL", "1")] {
        cargo.env(format!("CARGO_PROFILE_{name}"), value);
    }
    cargo.env("CARGO_INCREMENTAL", "1");
    cargo
}

/// Which test or program.
fn what(cargo: &mut Command, test: &Test) {
    cargo.args(["--package", test.package()]);
    match test {
        Test::In(_, file, _) => cargo.args(["--test", file]),
        Test::Unit(..) => cargo.args(["--lib", "--all-features"]),
        Test::Loom(..) => cargo.args(["--lib", "--release"]),
        Test::Schedules(_) => cargo.args(["--test", "schedules", "--release"]),
        Test::Kills(_) => cargo.args(["--bin", "crash", "--features", "kill-points", "--release"]),
    };
}
