//! `cargo xtask golden`: the files that pin the on-disk format, byte by byte.
//!
//! Starts the `golden` example of wal-format. The example, not this file, keeps the promise that an existing
//! golden file is never changed.

use crate::failure::{Failure, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask golden [--check]

Writes the golden files of the current format version: small logs whose every byte the tests know.
It adds files that are missing and refuses to touch one whose content would differ. That is the
point: logs written by an older release must stay readable, so a change of the format gets a new
version number and with it a new directory of golden files.

Options:
  --check        write nothing; fail when a golden file is missing or would differ
";

/// Writes or checks the golden files.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.iter().find(|arg| *arg != "--check") {
        return Err(unknown("golden", arg));
    }
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "wal-format", "--example", "golden", "--"]).args(args);
    process::run(&mut cargo)
}
