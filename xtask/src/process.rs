//! Running other programs, above all cargo itself.
//!
//! Promises: the cargo that runs us is the cargo that we run; a child's exit code arrives unchanged; paths
//! do not depend on the directory in which the command was typed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::failure::Failure;

/// The workspace root.
///
/// Cargo says at run time where this package is. The path known at compile time is only the second choice,
/// because a target directory shared by two clones would make it name the wrong one.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Cargo, to be run in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut command = cargo_here();
    command.current_dir(root());
    command
}

/// Cargo, to be run where the user typed the command, so that relative paths mean what they should.
fn cargo_here() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows the command line, runs it and passes its exit code on.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    run_quietly(command)
}

/// Builds a program of wal-bench and runs it: see [`run_program`].
pub(crate) fn run_bench_program(name: &str, features: &[&str], args: &[String]) -> Result<(), Failure> {
    run_program("wal-bench", name, features, args)
}

/// Builds a program of `package` in release mode, with cargo's usual progress, then runs it with `args`.
///
/// Two steps because `cargo run --quiet` alone would leave a newcomer in front of an empty screen while the
/// first build goes on, and without `--quiet` cargo's lines would stand in the program's own output.
pub(crate) fn run_program(
    package: &str,
    name: &str,
    features: &[&str],
    args: &[String],
) -> Result<(), Failure> {
    let manifest = root().join("Cargo.toml");
    let features = features.join(",");
    let target = ["--release", "--package", package, "--bin", name, "--features", &features];
    run_quietly(cargo_here().arg("build").args(target).arg("--manifest-path").arg(&manifest))?;
    let mut program = cargo_here();
    program.args(["run", "--quiet"]).args(target).arg("--manifest-path").arg(&manifest);
    run_quietly(program.arg("--").args(args))
}

fn run_quietly(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    finished(status)
}

/// The failure for a program that could not even be started.
pub(crate) fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot start `{}`: {error}", shown(command)))
}

/// `Ok` for success, otherwise the child's own code; a killed child counts as 128 + signal, as in a shell.
pub(crate) fn finished(status: ExitStatus) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt;
    if status.success() {
        return Ok(());
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Err(Failure::Exit(u8::try_from(code).unwrap_or(1)))
}

/// The command line as a user would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_children_arrive_unchanged() {
        let run_shell = |script: &str| run_quietly(Command::new("sh").args(["-c", script]));
        assert!(run_shell("exit 0").is_ok());
        assert!(matches!(run_shell("exit 7"), Err(Failure::Exit(7))));
        assert!(matches!(run_shell("kill -KILL $$"), Err(Failure::Exit(137))));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let Err(Failure::Failed(message)) = run_quietly(&mut Command::new("no-such-program")) else {
            panic!("a missing program was started");
        };
        assert!(message.contains("no-such-program"));
    }

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
