//! The verdict: the text counted plainly, in one thread, against what the log gives back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use wal_recovery::{PerCoreRecoveryManager, RecoveryError};

use super::counts::{Counts, Shard};
use super::input::Input;
use super::words::words;

/// A word that was counted wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) word: String,
    pub(super) counted: u64,
    pub(super) expected: u64,
}

/// Counts all of `input`, with nothing in common with the engine but what a word is.
pub(super) fn count_plainly(input: &Input) -> io::Result<Shard> {
    let mut counts = Shard::new();
    let mut text = Vec::new();
    for file in &input.files {
        text.clear();
        File::open(&file.path)?.take(file.bytes).read_to_end(&mut text)?;
        for word in words(&text) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.into(), 1)),
            }
        }
    }
    Ok(counts)
}

/// What the log in `directory` says, and how far it says that each source was read: from disk alone.
pub(super) fn recover(directory: &Path) -> Result<(Counts, wal_recovery::Recovered), RecoveryError> {
    let mut counts = Counts::default();
    let recovered = PerCoreRecoveryManager::new(directory).recover(&mut counts)?;
    Ok((counts, recovered))
}

/// Every word that differs, ascending.
pub(super) fn differences(counted: &Shard, expected: &Shard) -> Vec<Difference> {
    let words: BTreeSet<_> = counted.keys().chain(expected.keys()).collect();
    let of = |counts: &Shard, word: &[u8]| counts.get(word).copied().unwrap_or(0);
    words
        .into_iter()
        .filter(|word| of(counted, word) != of(expected, word))
        .map(|word| Difference {
            word: String::from_utf8_lossy(word).into_owned(),
            counted: of(counted, word),
            expected: of(expected, word),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_extra_and_different_words_are_all_named() {
        let shard = |words: &[(&str, u64)]| -> Shard {
            words.iter().map(|(word, count)| (word.as_bytes().into(), *count)).collect()
        };
        let counted = shard(&[("same", 3), ("extra", 1), ("more", 5), ("zero", 0)]);
        let expected = shard(&[("same", 3), ("lost", 2), ("more", 4)]);
        let found = differences(&counted, &expected);
        let words: Vec<_> = found.iter().map(|difference| difference.word.as_str()).collect();
        assert_eq!(words, ["extra", "lost", "more"]);
        assert_eq!((found[1].counted, found[1].expected), (0, 2));
    }
}
