//! The tables of the house rules: what may depend on what, and what may stand where.
//!
//! The one place to edit when a rule changes. Promises nothing by itself: the checks beside this file read it.
//! A longer list is a decision; ARCHITECTURE.md should say why it was taken.

/// What a library crate may depend on outside of its dev-dependencies, which are free.
pub(super) struct CrateRule {
    pub(super) name: &'static str,
    /// Crates of this workspace.
    pub(super) workspace: &'static [&'static str],
    /// Crates of the registry.
    pub(super) registry: &'static [&'static str],
    /// Crates of the registry that exist only in a build with `--cfg loom` or `--cfg shuttle`.
    pub(super) under_checker: &'static [&'static str],
    /// Crates of the registry that a feature brings, so that nobody else builds them: they must be optional.
    pub(super) by_feature: &'static [(&'static str, &'static [&'static str])],
}

/// The library crates, each after those that it may use.
pub(super) const LIBRARIES: [CrateRule; 5] = [
    CrateRule {
        name: "wal-format",
        workspace: &[],
        registry: &["crc32fast", "thiserror"],
        under_checker: &[],
        by_feature: &[],
    },
    CrateRule {
        name: "wal-writer",
        workspace: &["wal-format"],
        registry: &["parking_lot", "quanta", "rustix", "thiserror"],
        under_checker: &["loom", "shuttle"],
        by_feature: &[("tracing", &["tracing"])],
    },
    CrateRule {
        name: "wal-reader",
        workspace: &["wal-format"],
        registry: &["rustix", "thiserror"],
        under_checker: &[],
        by_feature: &[],
    },
    CrateRule {
        name: "wal-recovery",
        workspace: &["wal-format", "wal-reader"],
        registry: &["thiserror"],
        under_checker: &[],
        // The command `wal`: its arguments, the reports that it reads back, and how a command ends that would go on.
        by_feature: &[("cli", &["clap", "rustix", "serde_json", "signal-hook"]), ("tracing", &["tracing"])],
    },
    CrateRule {
        name: "wal-coordinator",
        workspace: &["wal-format", "wal-writer", "wal-reader", "wal-recovery"],
        registry: &["crossbeam-channel", "parking_lot", "rustix", "thiserror"],
        under_checker: &["loom", "shuttle"],
        by_feature: &[("metrics", &["metrics"]), ("tracing", &["tracing"])],
    },
];

/// Crates that depend on nothing at all, not even for their tests.
pub(super) const DEPENDENCY_FREE: [&str; 1] = ["xtask"];

/// Packages beside the workspace, which the gate does not build; each with a workspace and a lock file of its own.
pub(super) const OWN_WORKSPACES: [&str; 2] = ["fuzz", "wal-bench/peers"];

/// Modules of the standard library that wal-format, which only computes, has no use for.
pub(super) const FORMAT_FORBIDDEN_MODULES: [&str; 9] =
    ["fs", "io", "net", "thread", "time", "sync", "process", "env", "os"];

/// Files (or folders, with a slash at the end) in which `unsafe` may stand.
///
/// The allocator that counts for the tests of wal-format cannot be written without.
pub(super) const UNSAFE_HOMES: [&str; 3] =
    ["wal-writer/src/ring.rs", "wal-format/tests/common/allocation.rs", "fuzz/"];

/// Files of the library crates in which an atomic memory ordering may be named. Tests are free.
pub(super) const ORDERING_HOMES: [&str; 12] = [
    "wal-writer/src/ring.rs",
    "wal-writer/src/pin.rs",
    "wal-writer/src/progress.rs",
    "wal-writer/src/log.rs",
    "wal-writer/src/drain/",
    "wal-writer/src/sync.rs",
    "wal-writer/src/mistake.rs",
    // Counters that order nothing.
    "wal-writer/src/tally.rs",
    // The disk of the loom models; compiled for them only.
    "wal-writer/src/storage/model.rs",
    "wal-coordinator/src/edge.rs",
    // Counts the calls that it lets fail; behind a feature for tests.
    "wal-reader/src/testing/faults.rs",
    // What a signal sets; behind the feature of the command.
    "wal-recovery/src/cli/ending.rs",
];

/// The orderings of `std::sync::atomic::Ordering`; those of `std::cmp::Ordering` have other names.
pub(super) const ATOMIC_ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

/// Words that mark unfinished work, in code and comments.
pub(super) const UNFINISHED_WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Code that must not be left behind.
pub(super) const LEFTOVER_CODE: [&str; 4] = ["dbg!", "todo!", "unimplemented!", "should_panic"];

/// Fences of doc examples that keep an example from being run and believed.
pub(super) const HOLLOW_FENCES: [&str; 2] = ["```ignore", "```should_panic"];

/// A file with more lines than this outside its tests is listed: it probably holds two concepts.
pub(super) const LINES_LISTED: usize = 350;

/// A file with more lines than this outside its tests fails.
pub(super) const LINES_MAX: usize = 500;

/// The crates that [`CrateRule`] covers, by name.
pub(super) fn library(name: &str) -> Option<&'static CrateRule> {
    LIBRARIES.iter().find(|rule| rule.name == name)
}

/// Whether `path` is one of `homes` or lies below one.
pub(super) fn at_home(path: &str, homes: &[&str]) -> bool {
    homes.iter().any(|home| path == *home || (home.ends_with('/') && path.starts_with(home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that `name` links, through any number of steps.
    fn reachable(name: &str) -> Vec<&'static str> {
        let direct = library(name).map_or(&[][..], |rule| rule.workspace);
        direct.iter().flat_map(|next| [vec![*next], reachable(next)].concat()).collect()
    }

    #[test]
    fn the_read_side_never_reaches_the_write_side() {
        for reader in ["wal-format", "wal-reader", "wal-recovery"] {
            let reached = reachable(reader);
            assert!(!reached.contains(&"wal-writer"), "{reader} reaches wal-writer");
            assert!(!reached.contains(&"wal-coordinator"), "{reader} reaches wal-coordinator");
        }
    }

    #[test]
    fn a_folder_is_home_to_all_below_it_and_a_file_only_to_itself() {
        assert!(at_home("fuzz/targets/decode.rs", &UNSAFE_HOMES));
        assert!(at_home("wal-writer/src/ring.rs", &UNSAFE_HOMES));
        assert!(!at_home("wal-writer/src/ring.rs.old", &UNSAFE_HOMES));
        assert!(!at_home("wal-reader/src/ring.rs", &UNSAFE_HOMES));
    }
}
