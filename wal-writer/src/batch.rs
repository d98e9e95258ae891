//! Several operations that are replayed all or none.

use wal_format::{EntryEncoder, Offsets, OperationRef, entry};

/// Operations to be appended as one. Reusable: [`WriteBatch::clear`] keeps the buffer.
///
/// ```
/// use wal_writer::WriteBatch;
///
/// let mut batch = WriteBatch::new();
/// batch.put(b"account/1", b"70").put(b"account/2", b"130").commit(&[("transfers", 41)], Some(1_000));
/// assert_eq!(batch.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// Encoded entries, all with timestamp delta 0.
    encoded: Vec<u8>,
    count: u32,
    last_tag: usize,
    has_long_name: bool,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.push(&OperationRef::Put { key, value })
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.push(&OperationRef::Delete { key })
    }

    /// Records source positions and a watermark: the effects of the batch and its offsets stand or fall together.
    pub fn commit(&mut self, offsets: &[(&str, u64)], watermark: Option<i64>) -> &mut Self {
        self.push(&OperationRef::Commit { offsets: Offsets::new(offsets), watermark })
    }

    /// Adds any operation.
    pub fn push(&mut self, operation: &OperationRef<'_>) -> &mut Self {
        if self.count > 0 {
            self.encoded[self.last_tag] |= entry::TAG_MORE;
        }
        self.has_long_name |= !operation.is_encodable();
        self.last_tag = self.encoded.len();
        self.encoded.resize(self.last_tag + entry::entry_bytes(0, operation), 0);
        EntryEncoder::new(&mut self.encoded[self.last_tag..]).entry(false, 0, operation);
        self.count += 1;
        self
    }

    /// Operations in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has no operations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Encoded size, of which a frame must hold the whole.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Empties it and keeps its buffer.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.count = 0;
        self.last_tag = 0;
        self.has_long_name = false;
    }

    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn has_long_name(&self) -> bool {
        self.has_long_name
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use wal_format::EntryDecoder;

    use super::*;

    /// What the batch says, read back: the operations, all but the last marked as followed by more of them.
    #[track_caller]
    fn check(batch: &WriteBatch, expected: &[OperationRef<'_>]) {
        assert_eq!((batch.len(), batch.is_empty()), (expected.len(), expected.is_empty()));
        assert_eq!(batch.encoded_bytes(), batch.encoded().len());
        let bytes: usize = expected.iter().map(|operation| entry::entry_bytes(0, operation)).sum();
        assert_eq!(batch.encoded_bytes(), bytes);
        let mut decoder = EntryDecoder::new(batch.encoded());
        for (index, operation) in expected.iter().enumerate() {
            let entry = decoder.next_entry().expect("encoded").expect("as many");
            assert_eq!((&entry.operation, entry.timestamp_delta), (operation, 0));
            assert_eq!(entry.more, index + 1 < expected.len(), "entry {index} of {}", expected.len());
        }
        assert_eq!(decoder.next_entry(), Ok(None));
    }

    #[test]
    fn all_but_the_last_operation_are_followed_by_more_also_when_it_is_used_again() {
        let long = "s".repeat(wal_format::limits::SOURCE_NAME_BYTES_MAX + 1);
        let mut batch = WriteBatch::new();
        for _ in 0..2 {
            check(&batch, &[]);
            batch.put(b"a", b"1");
            check(&batch, &[OperationRef::Put { key: b"a", value: b"1" }]);
            batch.delete(b"b").commit(&[("source", 3)], Some(4));
            check(
                &batch,
                &[
                    OperationRef::Put { key: b"a", value: b"1" },
                    OperationRef::Delete { key: b"b" },
                    OperationRef::Commit { offsets: Offsets::new(&[("source", 3)]), watermark: Some(4) },
                ],
            );
            assert!(!batch.has_long_name());
            batch.commit(&[(&long, 1)], None).put(b"c", b"");
            assert!(batch.has_long_name(), "one name that no frame takes is enough");
            batch.clear();
            assert!(!batch.has_long_name());
        }
    }
}
