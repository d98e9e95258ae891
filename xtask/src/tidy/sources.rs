//! Checks of the Rust sources: where dangerous words may stand, what must not be left behind, how files open
//! and how long they get.

use super::Finding;
use super::lexer::{self, words};
use super::policy::{self, at_home};
use super::tree::{Source, Tree, closing};

/// All findings in the sources.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let checks = [opening, format_is_pure, unsafe_at_home, orderings_at_home, nothing_unfinished, length];
    let sources = tree.sources();
    sources.iter().flat_map(|source| checks.iter().flat_map(move |check| check(source))).collect()
}

fn opening(source: &Source<'_>) -> Vec<Finding> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    let what = "the file does not open with `//!`";
    vec![Finding::fails(source.path, 1, what, "say what it is, what it promises and what it is not for")]
}

fn format_is_pure(source: &Source<'_>) -> Vec<Finding> {
    if !source.path.starts_with("wal-format/src/") {
        return Vec::new();
    }
    let used = std_modules(&source.code).into_iter();
    let banned = used.filter(|(at, module)| {
        policy::FORMAT_FORBIDDEN_MODULES.contains(module) && !source.is_test(source.line(*at))
    });
    let finding = |(at, module): (usize, &str)| {
        let what = format!("wal-format uses the standard library's `{module}`");
        Finding::fails(
            source.path,
            source.line(at),
            what,
            "it only computes: pass bytes and values in and out",
        )
    };
    banned.map(finding).collect()
}

/// The modules named directly below `std`, `core` or `alloc`, also inside `use std::{...}`.
fn std_modules(code: &str) -> Vec<(usize, &str)> {
    let mut modules = Vec::new();
    for root in ["std::", "core::", "alloc::"] {
        for at in words(code, root) {
            let after = at + root.len();
            if code[after..].starts_with('{') {
                let end = closing(code, after, b'{', b'}').unwrap_or(code.len());
                modules.extend(group_heads(&code[after + 1..end]).into_iter().map(|head| (at, head)));
            } else {
                modules.push((at, first_word(&code[after..])));
            }
        }
    }
    modules
}

/// The first identifier of each part of a `use` group; what is nested deeper does not count.
fn group_heads(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = group.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    parts.map(|part| first_word(part.trim_start())).collect()
}

fn first_word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !lexer::is_word(byte)).unwrap_or(text.len());
    &text[..end]
}

fn unsafe_at_home(source: &Source<'_>) -> Vec<Finding> {
    if at_home(source.path, &policy::UNSAFE_HOMES) {
        return Vec::new();
    }
    let todo = format!("do it safely, or in {}", policy::UNSAFE_HOMES.join(" or "));
    let hits = words(&source.code, "unsafe");
    hits.map(|at| Finding::fails(source.path, source.line(at), "`unsafe` away from its home", &todo))
        .collect()
}

fn orderings_at_home(source: &Source<'_>) -> Vec<Finding> {
    let covered = policy::library(source.package()).is_some() && source.in_src();
    if !covered || at_home(source.path, &policy::ORDERING_HOMES) {
        return Vec::new();
    }
    let hits = words(&source.code, "Ordering").filter(|&at| names_atomic_ordering(&source.code, at));
    let outside_tests = hits.map(|at| source.line(at)).filter(|line| !source.is_test(*line));
    let finding = |line| {
        let todo =
            "move the protocol into a file of ORDERING_HOMES in xtask/src/tidy/policy.rs, or add its file";
        Finding::fails(source.path, line, "an atomic ordering away from its home", todo)
    };
    outside_tests.map(finding).collect()
}

/// Whether the `Ordering` at `at` names an atomic ordering or brings them into scope under another name.
fn names_atomic_ordering(code: &str, at: usize) -> bool {
    let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let compares = code[line_start..at].contains("cmp::");
    let rest = &code[at + "Ordering".len()..];
    let Some(path) = rest.strip_prefix("::") else {
        return rest.trim_start().starts_with("as ") && !compares;
    };
    if path.starts_with('{') {
        let end = closing(path, 0, b'{', b'}').unwrap_or(path.len());
        return policy::ATOMIC_ORDERINGS.iter().any(|name| words(&path[..end], name).next().is_some());
    }
    policy::ATOMIC_ORDERINGS.contains(&first_word(path)) || (path.starts_with('*') && !compares)
}

fn nothing_unfinished(source: &Source<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |at: usize, what: &str, todo: &str| {
        findings.push(Finding::fails(source.path, source.line(at), format!("`{what}` is left behind"), todo));
    };
    for word in policy::UNFINISHED_WORDS {
        for at in words(&source.comments, word).chain(words(&source.code, word)) {
            report(at, word, "do it now, or say in the docs what is missing and why");
        }
    }
    for call in policy::LEFTOVER_CODE {
        for at in words(&source.code, call) {
            report(at, call, "write the real code; a test for a refusal checks the error it returns");
        }
    }
    for (at, text) in source.code.match_indices("#[ignore") {
        report(at, text, "make the test fast enough to run always, or remove it");
    }
    for fence in policy::HOLLOW_FENCES {
        for (at, _) in source.comments.match_indices(fence) {
            report(at, fence, "let the example run, or use `no_run`, `compile_fail` or `text`");
        }
    }
    findings
}

fn length(source: &Source<'_>) -> Vec<Finding> {
    let lines = source.lines_without_tests();
    let what = format!("{lines} lines outside its tests");
    if lines > policy::LINES_MAX {
        vec![Finding::fails(source.path, 0, what, format!("split it: {} at most", policy::LINES_MAX))]
    } else if lines > policy::LINES_LISTED {
        vec![Finding::listed(source.path, 0, what, "does it hold two concepts?")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted;
    use super::*;

    /// The lines at which the checks fire on `code`, put below an opening line (so its first line is 2).
    #[track_caller]
    fn check_lines(path: &str, code: &str, expected: &[usize]) {
        let text = format!("//! Opening.\n{code}\n");
        let findings = check(&planted(&[(path, &text)]));
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, expected, "{code}: {findings:?}");
    }

    #[test]
    fn a_file_without_opening_is_found() {
        assert_eq!(check(&planted(&[("wal-reader/src/a.rs", "/// Not an opening.\n")])).len(), 1);
        assert_eq!(check(&planted(&[("wal-reader/src/a.rs", "")])).len(), 1);
        check_lines("wal-reader/src/a.rs", "", &[]);
    }

    #[test]
    fn io_in_the_format_crate_is_found() {
        let path = "wal-format/src/a.rs";
        check_lines(path, "use std::fs::File;", &[2]);
        check_lines(path, "use std::{fmt, io::{self, Read}};", &[2]);
        check_lines(path, "fn f(_: core::time::Duration) {}", &[2]);
        check_lines(path, "use std::{fmt::{self, io}, mem};", &[]);
        check_lines(path, "// std::io would be wrong here", &[]);
        check_lines(path, "#[cfg(test)]\nmod tests { use std::fs; }", &[]);
        check_lines("wal-reader/src/a.rs", "use std::fs::File;", &[]);
    }

    #[test]
    fn unsafe_away_from_home_is_found() {
        check_lines("wal-reader/src/a.rs", "unsafe { f() }", &[2]);
        check_lines("wal-reader/tests/a.rs", "unsafe { f() }", &[2]);
        check_lines("wal-reader/src/a.rs", "#![deny(unsafe_code)] // unsafe\nf(\"unsafe\");", &[]);
        check_lines("wal-writer/src/ring.rs", "unsafe { f() }", &[]);
    }

    #[test]
    fn orderings_away_from_home_are_found() {
        let path = "wal-reader/src/a.rs";
        for name in policy::ATOMIC_ORDERINGS {
            check_lines(path, &format!("a.load(Ordering::{name});"), &[2]);
        }
        check_lines(path, "use std::sync::atomic::Ordering::{self, SeqCst};", &[2]);
        check_lines(path, "use std::sync::atomic::Ordering::*;", &[2]);
        check_lines(path, "use std::sync::atomic::Ordering as O;", &[2]);
        check_lines(path, "use std::cmp::Ordering;\nmatch c { Ordering::Less => {} }", &[]);
        check_lines(path, "use std::cmp::Ordering::*;", &[]);
        check_lines(path, "#[cfg(test)]\nmod t { fn f() { a.load(Ordering::SeqCst); } }", &[]);
        check_lines("wal-writer/src/pin.rs", "a.load(Ordering::SeqCst);", &[]);
        check_lines("wal-bench/src/a.rs", "a.load(Ordering::SeqCst);", &[]);
    }

    #[test]
    fn leftovers_are_found() {
        let path = "wal-bench/src/a.rs";
        for word in policy::UNFINISHED_WORDS {
            check_lines(path, &format!("// {word}: later"), &[2]);
        }
        for call in policy::LEFTOVER_CODE {
            check_lines(path, &format!("{call}(1)"), &[2]);
        }
        for fence in policy::HOLLOW_FENCES {
            check_lines(path, &format!("/// {fence}"), &[2]);
        }
        check_lines(path, "#[ignore = \"slow\"]", &[2]);
        check_lines(path, "#[ignore]", &[2]);
        check_lines(path, "let s = \"dbg! todo! FIXME\";", &[]);
    }

    #[test]
    fn long_files_are_listed_and_longer_ones_fail() {
        let findings = |lines: usize| {
            let text = format!("//! Opening.\n{}", "fn f() {}\n".repeat(lines - 1));
            check(&planted(&[("wal-reader/src/a.rs", &text)]))
        };
        assert!(findings(policy::LINES_LISTED).is_empty());
        assert!(findings(policy::LINES_LISTED + 1).iter().all(|finding| !finding.fatal));
        assert!(findings(policy::LINES_MAX + 1).iter().any(|finding| finding.fatal));
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "fn f() {}\n".repeat(600));
        check_lines("wal-reader/src/a.rs", &tests, &[]);
    }
}
