//! Hostile bytes into everything that reads a log: the targets as plain functions.
//!
//! Each target takes any bytes and panics if a promise is broken: invariant I4 of `docs/testing.md` (no panic, no hang,
//! no allocation beyond twice the input and a mebibyte), and what the target's file says beside that. The first bytes
//! of an input choose between bytes taken as they are and structures built from them, with checksums that hold.
//!
//! Not for deciding which inputs to try: that is libFuzzer's part (`main.rs`), or the corpus'.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a target fails by panicking; its numbers are small and of its own making"
)]

#[path = "../../wal-format/tests/common/golden.rs"]
mod golden;
#[path = "../../wal-format/tests/common/subjects.rs"]
mod subjects;

pub mod allocation;
mod choices;
mod metered;

mod codec;
mod damage;
mod directory;
mod history;
mod reopen;
mod run;
mod segment;

/// One target.
pub struct Target {
    /// Its name, and that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Checks one input.
    pub check: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "headers",
        about: "wal.meta, header blocks of segments and runs, names",
        check: codec::headers,
    },
    Target { name: "manifest", about: "checkpoint.manifest", check: codec::manifest },
    Target { name: "frame", about: "one frame, at its place and at others", check: codec::frame },
    Target { name: "entries", about: "entries, operations, varints, barriers, seals", check: codec::entries },
    Target { name: "segment", about: "one core's segments through PerCoreWalReader", check: segment::check },
    Target {
        name: "run",
        about: "checkpoint runs through RunReader and CheckpointReader",
        check: run::check,
    },
    Target {
        name: "directory",
        about: "a whole directory through recovery, all scopes and modes",
        check: directory::check,
    },
    Target {
        name: "reopen",
        about: "a whole directory opened for writing, and recovered again",
        check: reopen::check,
    },
];
