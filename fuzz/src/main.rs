//! The targets under libFuzzer: one program for all, the target named by `WAL_FUZZ_TARGET`.
//!
//! Built and started by `cargo xtask fuzz`, which sets the flags for coverage.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer's entry points are C functions")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wal_fuzz::TARGETS;

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("WAL_FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => target.check,
        None => panic!("WAL_FUZZ_TARGET is `{name}`; `cargo xtask fuzz --list` lists the targets"),
    }
}

fuzz_target!(|input: &[u8]| CHECK.get_or_init(chosen)(input));
