//! The first entry in which two logs differ. Streams: one entry of each is held.

use std::cmp::Ordering;

use wal_format::{EntryRef, Epoch, PerCoreWalEntry};
use wal_reader::{MergedReader, ReadError};

/// What one log has where two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// This entry, which the other does not have here, and whether its batch goes on.
    Entry(PerCoreWalEntry, bool),
    /// The other's entry is missing; this is the next one.
    Later(PerCoreWalEntry),
    /// It has ended.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FirstDifference {
    pub(super) one: Side,
    pub(super) other: Side,
}

/// Compares entries of epochs above `above`. How many are equal, and then what is not.
pub(super) fn first_difference(
    [mut one, mut other]: [MergedReader; 2],
    above: Option<Epoch>,
    with_sequences: bool,
) -> Result<(u64, Option<FirstDifference>), ReadError> {
    let mut equal = 0;
    loop {
        let (has_one, has_other) = (next(&mut one, above)?, next(&mut other, above)?);
        let (first, second) = match (has_one, has_other) {
            (false, false) => return Ok((equal, None)),
            (true, false) => {
                return Ok((equal, Some(FirstDifference { one: held(&one), other: Side::End })));
            }
            (false, true) => {
                return Ok((equal, Some(FirstDifference { one: Side::End, other: held(&other) })));
            }
            (true, true) => (one.entry(), other.entry()),
        };
        if is_same(&first, &second, with_sequences) && one.more_of_batch() == other.more_of_batch() {
            equal += 1;
            continue;
        }
        // What comes first in the global order is missing in the other log.
        let difference = match place(&first).cmp(&place(&second)) {
            Ordering::Less => FirstDifference { one: held(&one), other: Side::Later(second.to_owned()) },
            Ordering::Greater => FirstDifference { one: Side::Later(first.to_owned()), other: held(&other) },
            Ordering::Equal => FirstDifference { one: held(&one), other: held(&other) },
        };
        return Ok((equal, Some(difference)));
    }
}

fn next(entries: &mut MergedReader, above: Option<Epoch>) -> Result<bool, ReadError> {
    while entries.advance()? {
        if above.is_none_or(|above| entries.entry().epoch > above) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn held(entries: &MergedReader) -> Side {
    Side::Entry(entries.entry().to_owned(), entries.more_of_batch())
}

/// Place in the global order, without the number.
fn place(entry: &EntryRef<'_>) -> (u64, u64, u16) {
    (entry.epoch.0, entry.timestamp_ns, entry.core_id.0)
}

fn is_same(one: &EntryRef<'_>, other: &EntryRef<'_>, with_sequences: bool) -> bool {
    place(one) == place(other)
        && one.operation == other.operation
        && (!with_sequences || one.sequence == other.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wal_format::{CoreId, LogId};
    use wal_reader::Source;
    use wal_reader::testing::LogBuilder;

    use crate::manager::PerCoreRecoveryManager;

    const A: CoreId = CoreId(0);

    fn log(keys: &[(u64, &[u8])]) -> MergedReader {
        let mut log = LogBuilder::new(LogId([1; 16]));
        for (clock, key) in keys {
            log.set_clock(*clock);
            log.put(A, key, b"value");
        }
        let source: Arc<dyn Source> = Arc::new(log.source());
        let plan = PerCoreRecoveryManager::with_source(Arc::clone(&source)).plan();
        plan.expect("the log is whole").merged(&source)
    }

    fn key(side: &Side) -> (&str, Option<&[u8]>) {
        let of = |entry: &'_ PerCoreWalEntry| match &entry.operation {
            wal_format::WalOperation::Put { key, .. } => Some(key.clone().leak() as &[u8]),
            _ => None,
        };
        match side {
            Side::Entry(entry, _) => ("has", of(entry)),
            Side::Later(entry) => ("goes on with", of(entry)),
            Side::End => ("ends", None),
        }
    }

    /// What one side has to say of its key.
    type Said<'a> = (&'a str, Option<&'a [u8]>);
    type Keys<'a> = &'a [(u64, &'a [u8])];

    #[track_caller]
    fn check(one: Keys<'_>, other: Keys<'_>, equal: u64, sides: Option<[Said<'_>; 2]>) {
        let (found, first) = first_difference([log(one), log(other)], None, true).expect("both can be read");
        assert_eq!(found, equal);
        let first = first.as_ref().map(|first| [key(&first.one), key(&first.other)]);
        assert_eq!(first, sides);
    }

    #[test]
    fn the_first_difference_says_who_lacks_what() {
        let keys: [(u64, &[u8]); 3] = [(10, b"a"), (20, b"b"), (30, b"c")];
        let [a, b, c] = keys;
        check(&[a, b], &[a, b], 2, None);
        check(&[a, b], &[a], 1, Some([("has", Some(b"b")), ("ends", None)]));
        check(&[], &[a], 0, Some([("ends", None), ("has", Some(b"a"))]));
        check(&[a, c], &[a, b, c], 1, Some([("goes on with", Some(b"c")), ("has", Some(b"b"))]));
        check(&[a, b], &[a, (20, b"x")], 1, Some([("has", Some(b"b")), ("has", Some(b"x"))]));
    }

    #[test]
    fn entries_of_the_checkpoint_do_not_count() {
        let of = |key: &'static [u8]| {
            let mut log = LogBuilder::new(LogId([1; 16]));
            log.put(A, key, b"in the checkpoint");
            log.set_epoch(2);
            log.put(A, b"k", b"value");
            let source: Arc<dyn Source> = Arc::new(log.source());
            let plan = PerCoreRecoveryManager::with_source(Arc::clone(&source)).plan();
            plan.expect("the log is whole").merged(&source)
        };
        let equal = |above: Option<u64>| {
            let found = first_difference([of(b"a"), of(b"b")], above.map(Epoch), true);
            found.map(|(equal, first)| (equal, first.is_none())).expect("both can be read")
        };
        assert_eq!(
            [None, Some(0), Some(1), Some(2)].map(equal),
            [(0, false), (0, false), (1, true), (0, true)]
        );
    }

    #[test]
    fn sequences_differ_if_they_are_looked_at() {
        let of = |sequence| EntryRef {
            epoch: Epoch(1),
            sequence: wal_format::Sequence(sequence),
            core_id: A,
            timestamp_ns: 7,
            operation: wal_format::OperationRef::EpochBarrier,
        };
        assert!(is_same(&of(1), &of(1), true) && is_same(&of(1), &of(1), false));
        assert!(!is_same(&of(1), &of(2), true) && is_same(&of(1), &of(2), false));
    }
}
