//! The workspace as the checks see it: its files in memory, and which of their lines are tests.
//!
//! Promises: [`read`] is the only place of `tidy` that touches the disk, so every check is a function of a
//! [`Tree`] and its test builds the tree that must make it fire.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::lexer;

/// All files of the workspace, by path from its root with `/` between the parts.
#[derive(Default)]
pub(super) struct Tree {
    /// Every path, with the text of those that the checks read.
    pub(super) files: BTreeMap<String, String>,
    /// The paths that may be executed.
    pub(super) executables: BTreeSet<String>,
}

/// A Rust source file.
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    pub(super) code: String,
    pub(super) comments: String,
    /// Per line, whether it belongs to a test.
    test_lines: Vec<bool>,
}

impl Tree {
    /// The Rust sources.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let rust = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: Vec<Source<'_>> = rust.map(|(path, text)| Source::new(path, text)).collect();
        let test_modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut sources {
            let stem = source.path.trim_end_matches(".rs");
            let below = |module: &String| stem == module || stem.starts_with(&format!("{module}/"));
            if test_modules.iter().any(below) {
                source.test_lines.fill(true);
            }
        }
        sources
    }

    /// Whether `path` is a file or a folder that holds one.
    pub(super) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let lexer::Views { code, comments } = lexer::split(text);
        let mut test_lines = vec![path_is_test(path) || code.contains("#![cfg(test)]"); text.lines().count()];
        for (start, end) in test_items(&code) {
            let lines = line_of(&code, start) - 1..line_of(&code, end);
            lines.for_each(|line| test_lines[line] = true);
        }
        Self { path, text, code, comments, test_lines }
    }

    /// The crate's folder.
    pub(super) fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Whether the file is part of the library or program itself.
    pub(super) fn in_src(&self) -> bool {
        self.path.split('/').nth(1) == Some("src")
    }

    /// The line, from 1, of a byte of the file.
    pub(super) fn line(&self, offset: usize) -> usize {
        line_of(self.text, offset)
    }

    /// Whether the line, from 1, is part of a test.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// The number of lines that are no tests.
    pub(super) fn lines_without_tests(&self) -> usize {
        self.test_lines.iter().filter(|test| !**test).count()
    }

    /// The files, without ending, that `#[cfg(test)] mod name;` declares here.
    fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let own = match file.trim_end_matches(".rs") {
            "lib" | "main" | "mod" => folder.to_owned(),
            stem => format!("{folder}/{stem}"),
        };
        let items = test_items(&self.code).into_iter().map(|(start, end)| &self.code[start..end]);
        let names = items.filter_map(|item| Some(item.strip_suffix(';')?.rsplit_once("mod ")?.1.trim()));
        names.map(|name| format!("{own}/{name}")).collect()
    }
}

fn path_is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples" | "fuzz"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The byte ranges of the items that exist only in a test build, each from its attribute to its last brace
/// or semicolon.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let attributes = code.match_indices("#[cfg(").filter_map(|(start, opening)| {
        let open = start + opening.len() - 1;
        let close = closing(code, open, b'(', b')')?;
        means_test(&code[open + 1..close]).then_some((start, close + 1))
    });
    let items = attributes.filter_map(|(start, from)| {
        let end = from + code[from..].find(['{', ';'])?;
        let last = if code.as_bytes()[end] == b'{' { closing(code, end, b'{', b'}')? } else { end };
        Some((start, last + 1))
    });
    items.collect()
}

/// Whether a `cfg` predicate can hold in test builds only: `test`, or an `all` with `test` among its parts.
fn means_test(predicate: &str) -> bool {
    let predicate = predicate.trim();
    let all = predicate.strip_prefix("all(").and_then(|rest| rest.strip_suffix(')'));
    predicate == "test" || all.is_some_and(|parts| parts.split(',').any(|part| part.trim() == "test"))
}

/// The offset of the bracket that closes the one at `open`.
pub(super) fn closing(code: &str, open: usize, opener: u8, closer: u8) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        if byte == opener {
            depth += 1;
        } else if byte == closer {
            depth -= 1;
            if depth == 0 {
                return Some(offset);
            }
        }
    }
    None
}

/// Reads the workspace below `root`, without what is built, hidden or not ours.
pub(super) fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".cargo");
                if !hidden && name != "target" {
                    folders.push(entry.path());
                }
            } else if kind.is_file() {
                add(&mut tree, root, &entry)?;
            }
        }
    }
    Ok(tree)
}

fn add(tree: &mut Tree, root: &Path, entry: &std::fs::DirEntry) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let full = entry.path();
    let path = full.strip_prefix(root).unwrap_or(&full).to_string_lossy().into_owned();
    let read =
        path.ends_with(".rs") || path.ends_with(".md") || path.ends_with("Cargo.toml") || path == ".ci/run";
    let text = if read { std::fs::read_to_string(&full)? } else { String::new() };
    if entry.metadata()?.permissions().mode() & 0o111 != 0 {
        tree.executables.insert(path.clone());
    }
    tree.files.insert(path, text);
    Ok(())
}

/// A tree of the given files, for the tests of the checks.
#[cfg(test)]
pub(super) fn planted(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree { files, executables: BTreeSet::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], path: &str, expected: &[bool]) {
        let tree = planted(files);
        let sources = tree.sources();
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            panic!("{path} is no source");
        };
        assert_eq!(source.test_lines, expected);
    }

    #[test]
    fn test_items_are_known_by_their_attribute() {
        let text = "a\n#[cfg(test)]\nmod t {\n {}\n}\nb\n";
        check(&[("x/src/a.rs", text)], "x/src/a.rs", &[false, true, true, true, true, false]);
        let text = "#[cfg(all(test, loom))]\n#[allow(x)]\nmod t {\n}\n#[cfg(not(test))]\nfn f() {}\n";
        check(&[("x/src/a.rs", text)], "x/src/a.rs", &[true, true, true, true, false, false]);
        check(&[("x/src/a.rs", "#[cfg(any(test, y))]\nfn f() {}\n")], "x/src/a.rs", &[false, false]);
    }

    #[test]
    fn test_modules_in_their_own_files_are_tests() {
        let parent = "#[cfg(test)]\nmod models;\n";
        check(&[("x/src/lib.rs", parent), ("x/src/models.rs", "a\n")], "x/src/models.rs", &[true]);
        check(&[("x/src/r.rs", parent), ("x/src/r/models.rs", "a\n")], "x/src/r/models.rs", &[true]);
        check(&[("x/src/r.rs", parent), ("x/src/models.rs", "a\n")], "x/src/models.rs", &[false]);
        check(&[("x/tests/a.rs", "a\n")], "x/tests/a.rs", &[true]);
    }

    #[test]
    fn folders_exist_when_they_hold_a_file() {
        let tree = planted(&[("docs/a/b.md", "")]);
        for path in ["docs", "docs/", "docs/a", "docs/a/b.md"] {
            assert!(tree.exists(path), "{path}");
        }
        for path in ["doc", "docs/a/b", "docs/b"] {
            assert!(!tree.exists(path), "{path}");
        }
    }
}
