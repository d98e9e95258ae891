//! Checks that the table of atomics in ARCHITECTURE.md has every atomic that a library crate declares, and no other.
//!
//! An atomic is found by its declaration: a field, a parameter or a static whose type says `Atomic…`, or a tuple struct
//! around one. Not for what is said about it: the file that declares it argues that.

use super::Finding;
use super::lexer::is_word;
use super::policy;
use super::tree::{Source, Tree};

const DOCUMENT: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Every atomic";

/// A row names the variable in its first cell and the file in its second.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    line: usize,
    names: Vec<&'a str>,
    files: Vec<&'a str>,
}

/// All findings in the table.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources();
    let declared: Vec<_> = sources
        .iter()
        .filter(|source| is_covered(source))
        .flat_map(|source| declarations(source).into_iter().map(|(line, name)| (source.path, line, name)))
        .collect();
    let Some(document) = tree.files.get(DOCUMENT) else { return Vec::new() };
    let rows = rows(document);
    let is_listed = |path: &str, name: &str| {
        rows.iter().any(|row| row.names.contains(&name) && row.files.contains(&path))
    };
    let unlisted =
        declared.iter().filter(|(path, _, name)| !is_listed(path, name)).map(|(path, line, name)| {
            let what = format!("the atomic `{name}` is not in {DOCUMENT}'s table of every atomic");
            Finding::fails(path, *line, what, "add who writes it, who reads it, and what pairs with what")
        });
    let is_declared =
        |name: &str, file: &str| declared.iter().any(|(path, _, own)| *path == file && *own == name);
    let stale = rows.iter().flat_map(|row| {
        let pairs = row.names.iter().flat_map(|name| row.files.iter().map(move |file| (*name, *file)));
        pairs.filter(|(name, file)| !is_declared(name, file)).map(|(name, file)| {
            Finding::fails(DOCUMENT, row.line, format!("{file} declares no atomic `{name}`"), "mend the row")
        })
    });
    unlisted.chain(stale).collect()
}

/// The facades only name types.
fn is_covered(source: &Source<'_>) -> bool {
    let is_facade = source.path.ends_with("/src/sync.rs") || source.path.contains("/src/sync/");
    policy::library(source.package()).is_some() && source.in_src() && !is_facade
}

/// Line and name of every atomic that is declared outside of tests.
fn declarations<'a>(source: &'a Source<'_>) -> Vec<(usize, &'a str)> {
    let lines = source.code.lines().enumerate().map(|(index, line)| (index + 1, line));
    let outside_tests = lines.filter(|(line, _)| !source.is_test(*line));
    outside_tests.filter_map(|(line, code)| Some((line, declared(code)?))).collect()
}

/// The name that a line of code declares with an atomic type.
fn declared(code: &str) -> Option<&str> {
    let at = code.match_indices("Atomic").map(|(at, _)| at).find(|at| {
        let rest = &code[*at..];
        let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        let starts_word = !code[..*at].bytes().next_back().is_some_and(is_word);
        starts_word && end > "Atomic".len() && !rest[end..].starts_with("::")
    })?;
    let before = &code[..at];
    if let Some((_, name)) = before.split_once("struct ") {
        return name.split_once('(').map(|(name, _)| name.trim());
    }
    let (name, _) = before.split_once(": ")?;
    let start = name.bytes().rposition(|byte| !is_word(byte)).map_or(0, |last| last + 1);
    (start < name.len()).then(|| &name[start..])
}

/// The rows of the table below the heading.
fn rows(document: &str) -> Vec<Row<'_>> {
    let lines = document.lines().enumerate().map(|(index, line)| (index + 1, line));
    let below = lines.skip_while(|(_, line)| *line != HEADING).skip(1);
    let section = below.take_while(|(_, line)| !line.starts_with("## "));
    let table = section.filter(|(_, line)| line.starts_with('|')).skip(2);
    table.map(|(line, text)| row(line, text)).collect()
}

fn row(line: usize, text: &str) -> Row<'_> {
    let mut cells = text.trim_matches('|').split('|');
    let mut next = || cells.next().map(quoted).unwrap_or_default();
    Row { line, names: next(), files: next() }
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted;
    use super::*;

    const TABLE: &str = "## Every atomic\n\n| variable | file |\n|---|---|\n";

    #[track_caller]
    fn check_against(table: &str, code: &str, expected: usize) {
        let text = format!("//! Opening.\n{code}\n");
        let document = format!("{TABLE}{table}\n## Next\n| `no` | `row.rs` |\n");
        let findings = check(&planted(&[("wal-writer/src/a.rs", &text), (DOCUMENT, &document)]));
        assert_eq!(findings.len(), expected, "{code}: {findings:?}");
    }

    #[test]
    fn an_atomic_without_a_row_is_found() {
        for code in [
            "struct A {\n    head: CachePadded<AtomicU64>,\n}",
            "static HEAD: AtomicBool = AtomicBool::new(true);",
            "pub struct Flag(AtomicBool);",
            "fn f(head: &AtomicU64) {}",
        ] {
            check_against("", code, 1);
        }
    }

    #[test]
    fn a_listed_atomic_is_in_order() {
        let code = "struct A {\n    head: AtomicU64,\n    tail: AtomicU64,\n}";
        check_against("| `head`, `tail` | `wal-writer/src/a.rs` | x |", code, 0);
        check_against("| `head` | `wal-writer/src/a.rs` | x |", code, 1);
    }

    #[test]
    fn a_row_without_an_atomic_is_found() {
        check_against("| `head` | `wal-writer/src/a.rs` | x |", "struct A;", 1);
        check_against("| `head` | `wal-writer/src/b.rs` | x |", "fn f(head: AtomicU64) {}", 2);
    }

    #[test]
    fn what_only_uses_atomics_declares_none() {
        for code in [
            "use crate::sync::AtomicU64;",
            "type AtomicFlag = bool;",
            "let head = AtomicU64::new(0);",
            "Self { head: AtomicU64::new(0) }",
            "#[cfg(test)]\nmod t { struct A { head: AtomicU64 } }",
            "// head: AtomicU64",
        ] {
            check_against("", code, 0);
        }
    }
}
