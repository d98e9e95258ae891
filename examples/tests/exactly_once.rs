//! The words of a stream are counted once each, whenever the process is killed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; the harness has a lock"
)]

mod common;

use std::collections::BTreeMap;

use common::{Dice, run};

#[test]
fn no_word_is_counted_twice_or_missed_over_kills() {
    let directory = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(11);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    // Of different length, so that one core is done before the other.
    for (partition, lines) in [3_000, 1_700].into_iter().enumerate() {
        let mut text = String::new();
        for _ in 0..lines {
            for _ in 0..dice.below(8) {
                let word = format!("w{}", dice.below(300));
                text += &format!("{word} ");
                *expected.entry(word).or_default() += 1;
            }
            text.push('\n');
        }
        std::fs::write(directory.path().join(format!("input-{partition}")), text).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    let once = |kill_after| {
        run(env!("CARGO_BIN_EXE_exactly_once"), &[path], "", kill_after, |line| line.starts_with("round"))
    };
    let mut rounds = 0;
    for kill_after in [1, 3, 9, 20, 2] {
        let killed = once(Some(kill_after));
        assert!(killed.was_killed, "it was done before it could be killed");
        rounds += kill_after;
    }
    // The second time there is nothing left to read: the counts come out of the log alone.
    for _ in 0..2 {
        let done = once(None);
        let counted = done.lines.iter().map(|line| {
            let (word, count) = line.split_once(' ').unwrap();
            (word.to_owned(), count.parse().unwrap())
        });
        assert_eq!(counted.collect::<BTreeMap<_, u64>>(), expected, "after {rounds} durable rounds and more");
    }
}
