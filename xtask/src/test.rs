//! `cargo xtask test`: all tests of the workspace, as the gate runs them.
//!
//! Not for the loom models (see `loom.rs`): they need another build of the same crates.

use crate::failure::Failure;
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask test [--release] [options and filters of cargo test]

Runs the unit, integration and doc tests of every crate, with all features on.

Options:
  --release      test the optimised build

Everything else goes to `cargo test` unchanged. Some examples:
  cargo xtask test                         all tests
  cargo xtask test torn_tail               the tests with `torn_tail` in their name
  cargo xtask test --package wal-format    one crate (given more than once: several)
  cargo xtask test -- --nocapture          with their output
";

/// Runs the tests; `args` go to `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    process::run(process::cargo().args(arguments(args)))
}

/// Cargo takes `--workspace` to include all crates whatever `--package` says, so only one of them is passed.
fn arguments(args: &[String]) -> Vec<String> {
    let ours = args.iter().take_while(|arg| *arg != "--");
    let one_package = ours.into_iter().any(|arg| {
        arg == "-p"
            || arg == "--package"
            || arg.starts_with("--package=")
            || arg.starts_with("--manifest-path")
    });
    let mut words = vec!["test".to_owned(), "--all-features".to_owned()];
    if !one_package {
        words.push("--workspace".to_owned());
    }
    words.extend(args.iter().cloned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], expected: &str) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(arguments(&words).join(" "), expected);
    }

    #[test]
    fn a_named_package_replaces_the_workspace_and_the_rest_passes_through() {
        check(&[], "test --all-features --workspace");
        check(&["--release", "ring"], "test --all-features --workspace --release ring");
        check(&["-p", "wal-format"], "test --all-features -p wal-format");
        check(&["--", "-p"], "test --all-features --workspace -- -p");
    }
}
