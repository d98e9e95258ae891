//! The command `wal`, run as a program on logs that the real coordinator wrote, whole and damaged.
//!
//! Outputs are compared with the files in `tests/cli/golden/`; after a wanted change, write them anew with
//! `WAL_GOLDEN=write cargo test -p wal-recovery --features cli --test cli` and read the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests with threads and an injected clock"
)]

mod built;
mod fixture;
mod golden;
mod html;
mod live;
mod outputs;
mod tail;
mod trouble;
