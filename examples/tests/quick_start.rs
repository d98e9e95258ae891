//! The first program of the README: as it is printed there, it runs and remembers.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; the harness has a lock"
)]

mod common;

use common::run;

#[test]
fn each_run_goes_on_where_the_one_before_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    for number in 1..=3 {
        let mut done = run(env!("CARGO_BIN_EXE_quick_start"), &[path.to_str().unwrap()], "", None, |_| false);
        done.lines.sort();
        assert_eq!(done.lines, [format!("core 0: run {number}"), format!("core 1: run {number}")]);
    }
}

#[test]
fn the_readme_shows_this_program_letter_by_letter_in_less_than_40_lines() {
    let program = include_str!("../quick_start.rs");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("```rust\n{program}```\n")), "README.md shows another quick_start.rs");
    assert!(program.lines().count() < 40);
}
