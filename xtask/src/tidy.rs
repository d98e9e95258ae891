//! `cargo xtask tidy`: the house rules that neither compiler nor clippy can check.
//!
//! Promises: reports every finding of one run at once, as `path:line: what; what to do`. Each check is a
//! function of the files' text with a test that shows it firing. The rules' tables are in `tidy/policy.rs`.

mod atomics;
mod documents;
mod gate;
mod lexer;
mod manifest;
mod manifests;
mod policy;
mod sources;
mod tree;

use std::fmt;

use crate::failure::{Failure, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask tidy

Checks the rules of this repository that the compiler cannot check, and reports all findings:

  - crates depend only on what xtask/src/tidy/policy.rs allows them
  - wal-format has no I/O, threads, clocks or shared state
  - `unsafe` and atomic orderings stand only in their homes
  - ARCHITECTURE.md's table of atomics has every atomic of the library crates, and no other
  - every source file opens with `//!`, has at most 500 lines outside its tests, and leaves
    nothing unfinished behind
  - every library crate has a README and describes itself
  - links, paths and section references in documents lead somewhere
  - .ci/run calls `cargo xtask ci` and nothing else
  - every seeded bug of `cargo xtask bugs` still fits the code, and its test exists
";

/// Something that a check has to say about a file.
#[derive(Debug)]
struct Finding {
    path: String,
    /// From 1; 0 when it is about the whole file.
    line: usize,
    what: String,
    todo: String,
    /// Whether the check fails; otherwise it only lists.
    fatal: bool,
}

impl Finding {
    fn fails(path: &str, line: usize, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), todo: todo.into(), fatal: true }
    }

    fn listed(path: &str, line: usize, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { fatal: false, ..Self::fails(path, line, what, todo) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path)?;
        if self.line > 0 {
            write!(out, ":{}", self.line)?;
        }
        let note = if self.fatal { "" } else { " (note)" };
        write!(out, ": {}; {}{note}", self.what, self.todo)
    }
}

/// Checks the workspace.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(unknown("tidy", arg));
    }
    let root = process::root();
    let tree = tree::read(&root).map_err(|error| {
        Failure::failed(format!("cannot read the workspace at {}: {error}", root.display()))
    })?;
    let mut findings = [manifests::check, sources::check, atomics::check, documents::check, gate::check]
        .iter()
        .flat_map(|check| check(&tree))
        .collect::<Vec<_>>();
    let bugs = crate::bugs::findings(&tree.files).into_iter();
    findings.extend(bugs.map(|(path, what, todo)| Finding::fails(&path, 0, what, todo)));
    findings.sort_by(|a, b| (a.fatal, &a.path, a.line).cmp(&(b.fatal, &b.path, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let fatal = findings.iter().filter(|finding| finding.fatal).count();
    if fatal > 0 {
        return Err(Failure::failed(format!("tidy: {fatal} findings to mend")));
    }
    println!("tidy: {} files are in order", tree.files.len());
    Ok(())
}
