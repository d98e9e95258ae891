//! Which entries `wal dump` and `wal tail` print. Pure.

use std::str::FromStr;

use clap::ValueEnum;
use wal_format::{EntryRef, Epoch, OperationRef};

/// First and last epoch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Epochs {
    first: u64,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Operation {
    Put,
    Delete,
    Checkpoint,
    Commit,
    Barrier,
}

/// What is asked for; nothing means everything.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Filter {
    pub(in crate::cli) epochs: Option<Epochs>,
    pub(in crate::cli) key: Option<Vec<u8>>,
    pub(in crate::cli) operations: Vec<Operation>,
}

impl Epochs {
    pub(super) fn contains(&self, epoch: Epoch) -> bool {
        (self.first..=self.last).contains(&epoch.0)
    }
}

impl Filter {
    pub(in crate::cli) fn takes(&self, entry: &EntryRef<'_>) -> bool {
        self.epochs.is_none_or(|epochs| epochs.contains(entry.epoch))
            && (self.operations.is_empty() || self.operations.contains(&kind(&entry.operation)))
            && self
                .key
                .as_ref()
                .is_none_or(|prefix| key(&entry.operation).is_some_and(|key| key.starts_with(prefix)))
    }
}

fn kind(operation: &OperationRef<'_>) -> Operation {
    match operation {
        OperationRef::Put { .. } => Operation::Put,
        OperationRef::Delete { .. } => Operation::Delete,
        OperationRef::Checkpoint { .. } => Operation::Checkpoint,
        OperationRef::Commit { .. } => Operation::Commit,
        OperationRef::EpochBarrier => Operation::Barrier,
    }
}

fn key<'a>(operation: &OperationRef<'a>) -> Option<&'a [u8]> {
    match *operation {
        OperationRef::Put { key, .. } | OperationRef::Delete { key } => Some(key),
        _ => None,
    }
}

impl FromStr for Epochs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, missing: u64| match text {
            "" => Ok(missing),
            text => {
                text.parse().map_err(|_| format!("`{text}` is no epoch: give `7`, `3..9`, `3..` or `..9`"))
            }
        };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (number(first, 0)?, number(last, u64::MAX)?),
            None if text.is_empty() => return Err("give `7`, `3..9`, `3..` or `..9`".to_owned()),
            None => (number(text, 0)?, number(text, 0)?),
        };
        if first > last {
            return Err(format!("epoch {first} comes after {last}"));
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, Sequence};

    #[test]
    fn ranges_of_epochs_include_both_ends() {
        let parse = |text: &str| text.parse::<Epochs>().map(|epochs| (epochs.first, epochs.last)).ok();
        assert_eq!(parse("7"), Some((7, 7)));
        assert_eq!(parse("3..9"), Some((3, 9)));
        assert_eq!(parse("3.."), Some((3, u64::MAX)));
        assert_eq!(parse("..9"), Some((0, 9)));
        assert_eq!(parse(".."), Some((0, u64::MAX)));
        for wrong in ["", "x", "9..3", "-1", "1...2", "1..=2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_condition_counts() {
        let entry = |epoch, operation| EntryRef {
            epoch: Epoch(epoch),
            sequence: Sequence(0),
            core_id: CoreId(0),
            timestamp_ns: 0,
            operation,
        };
        let put = entry(5, OperationRef::Put { key: b"user/7", value: b"" });
        let delete = entry(6, OperationRef::Delete { key: b"order/7" });
        let mark = entry(6, OperationRef::EpochBarrier);
        let check = |filter: &Filter, taken: [bool; 3]| {
            assert_eq!([&put, &delete, &mark].map(|entry| filter.takes(entry)), taken, "{filter:?}");
        };
        check(&Filter::default(), [true, true, true]);
        check(&Filter { epochs: "6..".parse().ok(), ..Filter::default() }, [false, true, true]);
        check(&Filter { key: Some(b"user/".to_vec()), ..Filter::default() }, [true, false, false]);
        check(&Filter { key: Some(Vec::new()), ..Filter::default() }, [true, true, false]);
        let operations = vec![Operation::Delete, Operation::Barrier];
        check(&Filter { operations, ..Filter::default() }, [false, true, true]);
    }
}
