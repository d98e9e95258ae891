//! Checks of the documents: what they point at is there.
//!
//! Covers the links and the paths in every Markdown file, and `FORMAT.md#frame` style references in the
//! comments of the sources. Not for links into the web: a gate must not depend on it.

use std::collections::BTreeSet;

use super::Finding;
use super::policy;
use super::tree::Tree;

/// Top-level folders besides the crates whose mention in a text is taken for a path.
const FOLDERS: [&str; 5] = ["docs/", "fuzz/", "wal-bench/", ".ci/", ".cargo/"];

/// All findings in the documents and in references to them.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (index, line) in text.lines().enumerate() {
            let links = targets(line).into_iter().filter_map(|target| broken_link(tree, path, target));
            let paths = paths(line).into_iter().filter(|named| !names_something(tree, path, named));
            let paths = paths.map(|named| format!("`{named}` does not exist"));
            let broken = links.chain(paths);
            findings.extend(broken.map(|what| Finding::fails(path, index + 1, what, "mend the reference")));
        }
    }
    for source in tree.sources() {
        for (index, line) in source.comments.lines().enumerate() {
            let broken = citations(line).into_iter().filter_map(|target| broken_link(tree, "", target));
            findings.extend(
                broken.map(|what| Finding::fails(source.path, index + 1, what, "mend the reference")),
            );
        }
    }
    findings
}

/// The targets of the inline links of a line.
fn targets(line: &str) -> Vec<&str> {
    let ends = line.match_indices("](").map(|(at, marker)| &line[at + marker.len()..]);
    ends.filter_map(|rest| rest.split([')', ' ']).next()).collect()
}

/// What is wrong with a link from the file `from`, if anything.
fn broken_link(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !tree.exists(&path) {
        return Some(format!("`{target}` leads to {path}, which does not exist"));
    }
    let document = tree.files.get(&path).filter(|_| path.ends_with(".md"))?;
    let missing = !fragment.is_empty() && !anchors(document).contains(fragment);
    missing.then(|| format!("{path} has no heading or anchor for `#{fragment}`"))
}

/// `target` as seen from the file `from`, as a path from the root.
fn resolve(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a `#fragment` of a document may be: the slugs of its headings and its explicit ids.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in document.lines() {
        if line.starts_with('#') {
            anchors.insert(slug(line.trim_start_matches('#').trim()));
        }
        for marker in ["id=\"", "name=\""] {
            let ids =
                line.match_indices(marker).filter_map(|(at, _)| line[at + marker.len()..].split('"').next());
            anchors.extend(ids.map(str::to_owned));
        }
    }
    anchors
}

/// The anchor that hosts of Markdown give to a heading.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// The words of a line that look like paths of this workspace or like names of its source files. A pattern
/// such as `wal-*/src` is no path.
fn paths(line: &str) -> Vec<&str> {
    let in_path = |letter: char| letter.is_ascii_alphanumeric() || "_./-*<>{}:#".contains(letter);
    let tokens = line.split(|letter| !in_path(letter)).map(|token| token.trim_end_matches(['.', ':', '-']));
    let plain = tokens.filter(|token| !token.contains(['*', '<', '>', '{', '}', ':', '#']));
    plain.filter(|token| in_workspace(token) || is_source(token)).collect()
}

/// `docs.rs` is a web site.
fn is_source(token: &str) -> bool {
    token.ends_with(".rs") && token.len() > ".rs".len() && token != "docs.rs"
}

fn in_workspace(token: &str) -> bool {
    let crates = policy::LIBRARIES.iter().map(|rule| rule.name).chain(policy::DEPENDENCY_FREE);
    let in_crate =
        crates.into_iter().any(|name| token.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
    in_crate || FOLDERS.iter().any(|folder| token.starts_with(folder))
}

/// Whether a path or file name in the text of `from` can be found: from the root, beside the text, or, for a
/// source file, anywhere (`ring.rs` and `src/ring.rs` are clear in the section that is about their crate).
fn names_something(tree: &Tree, from: &str, named: &str) -> bool {
    let anywhere = || {
        let tail = format!("/{named}");
        named.ends_with(".rs") && tree.files.keys().any(|path| path.ends_with(&tail))
    };
    let ignored = named.starts_with("fuzz/target");
    ignored || tree.exists(named) || tree.exists(&resolve(from, named)) || anywhere()
}

/// References such as `FORMAT.md#frame` in a comment.
fn citations(line: &str) -> Vec<&str> {
    let in_target = |letter: char| letter.is_ascii_alphanumeric() || "_.-#/".contains(letter);
    let tokens = line.split(|letter| !in_target(letter)).map(|token| token.trim_end_matches('.'));
    tokens.filter(|token| token.contains(".md#") && !token.contains("//")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted;
    use super::*;

    const FORMAT: &str = "# Format\n## Frame header, 64 bytes\n<a id=\"t1\"></a>\n";

    #[track_caller]
    fn check_text(path: &str, text: &str, findings: usize) {
        let ring = ("wal-writer/src/ring.rs", "//! Ring.\n");
        let found = check(&planted(&[(path, text), ("FORMAT.md", FORMAT), ring, ("docs/a.md", "")]));
        assert_eq!(found.len(), findings, "{text}: {found:?}");
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check_text("README.md", "[a](docs/a.md) [f](FORMAT.md) [w](https://example.org/x) [d](docs/)", 0);
        check_text("README.md", "[a](docs/b.md)", 2);
        check_text("README.md", "[a](GONE.md)", 1);
        check_text("docs/b.md", "[up](../FORMAT.md) [beside](a.md)", 0);
        check_text("docs/b.md", "[up](FORMAT.md)", 1);
    }

    #[test]
    fn fragments_without_a_heading_are_found() {
        check_text("README.md", "[f](FORMAT.md#frame-header-64-bytes) [t](FORMAT.md#t1)", 0);
        check_text("README.md", "[f](FORMAT.md#frame)", 1);
        check_text("README.md", "# Here\n[f](#here)", 0);
        check_text("README.md", "# Here\n[f](#there)", 1);
        check_text("wal-writer/src/a.rs", "//! See FORMAT.md#t1.", 0);
        check_text("wal-writer/src/a.rs", "//! See `FORMAT.md#t2`.", 1);
    }

    #[test]
    fn paths_that_do_not_exist_are_found() {
        check_text(
            "ARCHITECTURE.md",
            "`wal-writer/src/ring.rs`, wal-writer/src, ring.rs and `src/ring.rs`.",
            0,
        );
        check_text("ARCHITECTURE.md", "`wal-writer/src/rings.rs`", 1);
        check_text("ARCHITECTURE.md", "rings.rs", 1);
        check_text("ARCHITECTURE.md", "wal-*/src and wal-<core>/x.rs and wal-0-1.log and docs.rs", 0);
        check_text("wal-writer/README.md", "`src/ring.rs`", 0);
    }
}
