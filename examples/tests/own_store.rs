//! The engine with its own checkpoint store: every transfer counts once, whenever it is killed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; the harness has a lock"
)]

mod common;

use common::{Run, run};

/// Per core the last transfer that the run said to be durable.
fn acknowledged(run: &Run) -> [u64; 2] {
    let last = |core: usize| {
        let prefix = format!("core {core}: ");
        let numbers = run.lines.iter().filter_map(|line| line.strip_prefix(&prefix));
        numbers.map(|number| number.parse().unwrap()).max().unwrap_or(0)
    };
    [last(0), last(1)]
}

#[test]
fn every_transfer_counts_once_after_kills_amid_checkpoints() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut least = [0; 2];
    let mut replayed = u64::MAX;
    // The program itself compares all accounts with what its counted transfers add up to, whenever it starts.
    for kill_after in [Some(1), Some(7), Some(20), None, None] {
        let done = run(env!("CARGO_BIN_EXE_own_store"), &[path, "3000"], "", kill_after, |line| {
            line.starts_with("core")
        });
        let recovered = done.lines.first().expect("it says what it recovered");
        let words: Vec<_> = recovered.split([' ', ',']).collect();
        let found: [u64; 2] = [words[1].parse().unwrap(), words[2].parse().unwrap()];
        assert!(found[0] >= least[0] && found[1] >= least[1], "{least:?} were durable: {recovered}");
        replayed = words[4].parse().unwrap();
        let told = acknowledged(&done);
        least = [found[0].max(told[0]), found[1].max(told[1])];
    }
    assert!(
        least[0] >= 6_000 && replayed < 3 * least[0],
        "no checkpoint took over: {replayed} entries replayed"
    );
}
