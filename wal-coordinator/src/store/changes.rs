//! What a checkpoint brings: the merged entries of all cores, and the commits among them.

use std::collections::BTreeMap;
use std::slice;

use wal_format::{CoreId, EntryRef, OperationRef, PerCoreWalEntry};
use wal_reader::{MergedReader, ReadError};

/// The entries of a checkpoint in the global order, lent one at a time.
///
/// Source offsets and watermarks of the commits that pass are noted on the way: a store need not know of them.
pub struct Changes<'a> {
    input: Input<'a>,
    noted: Noted,
    ended: bool,
}

enum Input<'a> {
    Merged(&'a mut MergedReader),
    Entries(slice::Iter<'a, PerCoreWalEntry>),
}

#[derive(Default)]
struct Noted {
    entries: u64,
    offsets: BTreeMap<String, u64>,
    watermarks: BTreeMap<CoreId, i64>,
}

impl<'a> Changes<'a> {
    /// What `reader` has yet to give.
    #[must_use]
    pub fn new(reader: &'a mut MergedReader) -> Self {
        Self::of(Input::Merged(reader))
    }

    /// Given entries, which must be in the global order: to try out a store without a log.
    #[must_use]
    pub fn of_entries(entries: &'a [PerCoreWalEntry]) -> Self {
        Self::of(Input::Entries(entries.iter()))
    }

    fn of(input: Input<'a>) -> Self {
        Self { input, noted: Noted::default(), ended: false }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// As of [`MergedReader::advance`].
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>, ReadError> {
        let entry = match &mut self.input {
            Input::Merged(reader) => reader.next()?,
            Input::Entries(entries) => entries.next().map(PerCoreWalEntry::as_ref),
        };
        match &entry {
            Some(entry) => self.noted.note(entry),
            None => self.ended = true,
        }
        Ok(entry)
    }

    /// Whether all entries were taken. If not, the store did not see them all, and what is noted here is not all.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ended
    }

    /// Entries taken so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.noted.entries
    }

    /// Per source the last offset committed so far: the next one to read. Sources that did not commit are not here.
    #[must_use]
    pub fn offsets(&self) -> &BTreeMap<String, u64> {
        &self.noted.offsets
    }

    /// Per core the last watermark committed so far. Cores that committed none are not here.
    #[must_use]
    pub fn watermarks(&self) -> &BTreeMap<CoreId, i64> {
        &self.noted.watermarks
    }
}

impl Noted {
    #[inline]
    fn note(&mut self, entry: &EntryRef<'_>) {
        self.entries += 1;
        if let OperationRef::Commit { offsets, watermark } = entry.operation {
            for (source, offset) in offsets.iter() {
                match self.offsets.get_mut(source) {
                    Some(noted) => *noted = offset,
                    None => drop(self.offsets.insert(source.to_owned(), offset)),
                }
            }
            if let Some(watermark) = watermark {
                self.watermarks.insert(entry.core_id, watermark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wal_format::{Epoch, Sequence, WalOperation};

    use super::*;

    fn commit(core: u16, sequence: u64, offsets: &[(&str, u64)], watermark: Option<i64>) -> PerCoreWalEntry {
        let offsets = offsets.iter().map(|(source, offset)| ((*source).to_owned(), *offset)).collect();
        PerCoreWalEntry {
            epoch: Epoch(1),
            sequence: Sequence(sequence),
            core_id: CoreId(core),
            timestamp_ns: sequence,
            operation: WalOperation::Commit { offsets, watermark },
        }
    }

    #[test]
    fn the_last_commit_of_each_source_and_core_counts_even_if_it_goes_back() {
        let entries = [
            commit(0, 0, &[("orders", 10), ("users", 3)], Some(50)),
            commit(1, 0, &[("orders", 20)], Some(40)),
            commit(0, 1, &[("orders", 15)], None),
            commit(1, 1, &[], Some(-7)),
        ];
        let mut changes = Changes::of_entries(&entries);
        while changes.next().unwrap().is_some() {
            assert!(!changes.is_drained());
        }
        assert!(changes.is_drained());
        assert_eq!(changes.entries(), 4);
        assert_eq!(
            changes.offsets().iter().map(|(s, o)| (s.as_str(), *o)).collect::<Vec<_>>(),
            [("orders", 15), ("users", 3)]
        );
        assert_eq!(changes.watermarks(), &BTreeMap::from([(CoreId(0), 50), (CoreId(1), -7)]));
    }
}
