//! `cargo xtask bench`: every measurement of the workspace, as one report; two revisions beside each other; other logs.
//!
//! Promises: what runs was built in release mode from what is said; a comparison builds the other revision in a worktree
//! of its own below the target directory, and leaves the checkout as it is. The measuring itself is the business of the
//! bench program of wal-bench, and of wal-bench/peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [--quick] [--only SCENARIOS] [--dir DIR] [--out DIR]
       cargo xtask bench --compare REV [--rounds N] [--quick] [--only SCENARIOS]
       cargo xtask bench --peers [--quick] [--rounds N] [--values N,...] [--only TASKS]
       cargo xtask bench --peers --strace

Measures appends, append with sync, recovery, checkpoints and memory in release mode, each beside a
plain baseline in the same run. Prints a report in Markdown, and keeps it in target/bench with a
page of plots (report.html) and the results as data (results.json).

Options:
  --quick        fewer and shorter rounds: within a minute, for a first impression only; without the
                 single steps (criterion), which a run with neither --quick nor --only begins with
  --only NAMES   only some scenarios, with commas between
  --dir DIR      where the measured files go: the file system that is measured
  --out DIR      where the report goes (default: target/bench)
  --compare REV  build REV too, measure both in alternation, and print the ratios; a difference that
                 is within the noise is said to be
  --peers        other logs beside this one, with the same payloads and the same sync discipline
  --peers --strace
                 the system calls of a durable append of each of them
  --features F   features of the package of peers: `rocksdb` builds that one as well (minutes)

All other options go to the program unchanged; `--peers` and `--compare` explain theirs in its help.
Compare figures of one run with each other; figures of two machines say little about the code.
";

/// Runs the benches with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut args = args.to_vec();
    if let Some(at) = args.iter().position(|arg| arg == "--peers") {
        args.remove(at);
        return peers(args);
    }
    if let Some(at) = args.iter().position(|arg| arg == "--compare") {
        args.remove(at);
        if at == args.len() {
            return Err(Failure::usage("`bench --compare` needs a revision behind it"));
        }
        let revision = args.remove(at);
        return compare(&revision, args);
    }
    // All of it: the single steps as well.
    if args.iter().all(|arg| arg != "--quick" && arg != "--only") {
        let kept = process::target_dir().join("criterion");
        steps(&kept)?;
        args.extend(["--steps".to_owned(), kept.display().to_string()]);
    }
    process::run_bench_program("bench", &[], &with_out(args))
}

/// Measures single steps with criterion, anew, and has what it found kept in `directory`.
fn steps(directory: &Path) -> Result<(), Failure> {
    // Of a step that is there no more, nothing is to be shown.
    let _ = std::fs::remove_dir_all(directory);
    let mut cargo = process::cargo();
    cargo.env("CRITERION_HOME", directory).args(["bench", "--quiet", "--locked", "--package", "wal-bench"]);
    process::run(&mut cargo)
}

/// The report is kept unless the user says where.
fn with_out(mut args: Vec<String>) -> Vec<String> {
    if !args.iter().any(|arg| arg == "--out") {
        let directory = process::target_dir().join("bench");
        args.extend(["--out".to_owned(), directory.display().to_string()]);
    }
    args
}

/// wal-bench/peers is a workspace of its own: what it needs, nothing else needs.
fn peers(mut args: Vec<String>) -> Result<(), Failure> {
    let mut features = String::new();
    if let Some(at) = args.iter().position(|arg| arg == "--features") {
        args.remove(at);
        if at == args.len() {
            return Err(Failure::usage("`bench --peers --features` needs names behind it"));
        }
        features = args.remove(at);
    }
    let package = process::root().join("wal-bench/peers");
    let mut cargo = process::cargo();
    cargo.env_remove("CARGO_TARGET_DIR").current_dir(&package);
    process::run(cargo.args(["build", "--release", "--locked", "--features", &features]))?;
    if !args.iter().any(|arg| arg == "--strace") {
        args = with_out(args);
    }
    process::run(Command::new(package.join("target/release/wal-peers")).args(args))
}

/// Builds both revisions, then has the newer program measure both.
fn compare(revision: &str, args: Vec<String>) -> Result<(), Failure> {
    let commit = commit(revision)?;
    let tree = process::target_dir().join("bench-compare").join("tree");
    check_out(&commit, &tree)?;
    // Cargo finds what it built for one revision in the directory of another by path, so each has its own.
    let old = build(&tree, &process::target_dir().join("bench-compare").join("target"))?;
    let new = build(&process::root(), &process::target_dir())?;
    let called = if revision == commit { commit.clone() } else { format!("{revision} ({commit})") };
    let mut command = Command::new(new);
    command.arg("--beside").arg(old).args(["--called", &called]).args(args);
    process::run(&mut command)
}

/// The commit that `revision` names.
fn commit(revision: &str) -> Result<String, Failure> {
    let name = format!("{revision}^{{commit}}");
    let mut command = git();
    command.args(["rev-parse", "--verify", "--quiet", "--short=12", "--end-of-options", &name]);
    let output = command.output().map_err(|error| process::not_started(&command, &error))?;
    if !output.status.success() {
        return Err(Failure::usage(format!("there is no revision `{revision}`")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Has the worktree `tree` show `commit`, nothing more and nothing less.
fn check_out(commit: &str, tree: &Path) -> Result<(), Failure> {
    if tree.join(".git").exists() {
        return process::run(
            git().arg("-C").arg(tree).args(["checkout", "--quiet", "--force", "--detach", commit]),
        );
    }
    // A worktree whose directory was removed would be in the way.
    process::run(git().args(["worktree", "prune"]))?;
    process::run(git().args(["worktree", "add", "--quiet", "--force", "--detach"]).arg(tree).arg(commit))
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(process::root());
    command
}

/// The bench program of the sources in `root`.
fn build(root: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = process::cargo();
    cargo.current_dir(root).env("CARGO_TARGET_DIR", target);
    process::run(cargo.args(["build", "--release", "--locked", "--package", "wal-bench", "--bin", "bench"]))?;
    Ok(target.join("release").join("bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn options_that_lack_their_value_are_usage_errors() {
        for words in [&["--compare"][..], &["--quick", "--compare"], &["--peers", "--features"]] {
            assert!(matches!(run(&args(words)), Err(Failure::Usage(_))), "{words:?}");
        }
    }

    #[test]
    fn a_revision_that_is_not_there_is_refused() {
        for name in ["no-such-revision", "--output=x", ""] {
            // Where git is missing, that is what is said.
            assert!(commit(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_report_is_kept_where_the_user_says() {
        assert_eq!(with_out(args(&["--out", "x"])), args(&["--out", "x"]));
        let kept = with_out(args(&["--quick"]));
        assert!(kept.len() == 3 && kept[1] == "--out" && kept[2].ends_with("bench"));
    }
}
