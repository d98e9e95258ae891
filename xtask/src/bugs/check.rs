//! The tables of bugs against the sources: what a bug changes is there, and so is the test that must catch it.
//!
//! A function of the files' text, called by `cargo xtask tidy`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bug, Test, all};

/// A library without a bug of its own is a library whose tests nobody tests.
const LIBRARIES: [&str; 5] = ["wal-format", "wal-writer", "wal-reader", "wal-recovery", "wal-coordinator"];
const BUGS_MIN: usize = 40;

/// What is wrong with the tables, given the workspace's files by path: path, what, and what to do.
pub(crate) fn findings(files: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    check(&all(), files)
}

fn check(bugs: &[&Bug], files: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    let mut findings = Vec::new();
    let mut names = BTreeSet::new();
    for bug in bugs {
        let table = format!(
            "xtask/src/bugs/{}.rs",
            bug.file.split('/').next().unwrap_or("").trim_start_matches("wal-")
        );
        let mut found = |what: String, todo: &str| {
            findings.push((table.clone(), format!("bug `{}`: {what}", bug.name), todo.to_owned()));
        };
        if !names.insert(bug.name) {
            found("another has the same name".to_owned(), "give it its own");
        }
        let count = files.get(bug.file).map_or(0, |text| text.matches(bug.old).count());
        if count != 1 || bug.old == bug.new {
            let what = format!("its old text occurs {count} times in {}", bug.file);
            found(
                what,
                "take the text from the code as it is now; if what it breaks is gone, remove the bug",
            );
        }
        if !is_there(&bug.test, files) {
            found(format!("there is no test `{}`", bug.test.path()), "name the test that catches it now");
        }
    }
    for library in LIBRARIES {
        if !bugs.iter().any(|bug| bug.file.starts_with(&format!("{library}/"))) {
            findings.push((format!("xtask/src/bugs/{library}"), "no bug".to_owned(), "seed some".to_owned()));
        }
    }
    if bugs.len() < BUGS_MIN {
        let what = format!("{} bugs, of at least {BUGS_MIN}", bugs.len());
        findings.push(("xtask/src/bugs.rs".to_owned(), what, "seed more".to_owned()));
    }
    findings
}

fn is_there(test: &Test, files: &BTreeMap<String, String>) -> bool {
    let name = test.path().rsplit("::").next().unwrap_or("");
    // A loom model's name may come out of a macro, so what follows it is not looked at.
    let is_named =
        |text: &String| text.contains(&format!("fn {name}(")) || text.contains(&format!(" {name}: "));
    match test {
        Test::In(package, file, _) => {
            let (one, many) = (format!("{package}/tests/{file}.rs"), format!("{package}/tests/{file}/"));
            files.iter().any(|(path, text)| (*path == one || path.starts_with(&many)) && is_named(text))
        }
        // Its name in words, `segment-created`, is that of a place in the code, `SegmentCreated`.
        Test::Kills(point) => {
            let place: String = point.split('-').map(capitalized).collect();
            let homes = ["wal-writer/src/stall.rs", "wal-bench/src/crash/points.rs"];
            let is_named = |text: &String| text.contains(&format!("    {place},"));
            homes.iter().any(|home| files.get(*home).is_some_and(is_named))
        }
        Test::Schedules(_) => files.get("wal-coordinator/tests/schedules/main.rs").is_some_and(is_named),
        Test::Unit(package, _) | Test::Loom(package, _) => {
            let sources = format!("{package}/src/");
            files.iter().any(|(path, text)| path.starts_with(&sources) && is_named(text))
        }
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUG: Bug = Bug {
        name: "x",
        file: "wal-format/src/a.rs",
        old: "one",
        new: "two",
        test: Test::In("wal-format", "t", "claim"),
        harm: "",
    };

    fn found(bug: &Bug, text: &str, test: &str) -> usize {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let files = BTreeMap::from([file("wal-format/src/a.rs", text), file("wal-format/tests/t.rs", test)]);
        let of_bug = check(&[bug], &files).into_iter().filter(|(_, what, _)| what.contains("`x`"));
        of_bug.count()
    }

    #[test]
    fn a_bug_that_fits_neither_the_code_nor_a_test_is_found() {
        assert_eq!(found(&BUG, "a one b", "fn claim() {}"), 0);
        assert_eq!(found(&BUG, "a b", "fn claim() {}"), 1);
        assert_eq!(found(&BUG, "one one", "fn claim() {}"), 1);
        assert_eq!(found(&BUG, "one", "fn claims() {}"), 1);
        assert_eq!(found(&Bug { new: "one", ..BUG }, "one", "fn claim() {}"), 1);
    }

    #[test]
    fn a_point_of_the_kill_loop_is_a_place_in_the_code() {
        let places = BTreeMap::from([("wal-writer/src/stall.rs".to_owned(), "    RunWritten,\n".to_owned())]);
        assert!(is_there(&Test::Kills("run-written"), &places));
        assert!(!is_there(&Test::Kills("run-wrote"), &places));
    }

    #[test]
    fn too_few_bugs_and_a_crate_without_any_are_found() {
        let found = check(&[], &BTreeMap::new());
        assert_eq!(found.len(), LIBRARIES.len() + 1);
    }
}
