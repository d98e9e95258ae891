//! The entry that a reader stands at, without a borrow of the reader's buffer.

use wal_format::{CoreId, EntryDecoder, EntryRef, Epoch, Sequence};

/// The current entry, by where it begins in the payload: it is decoded again when it is asked for. That costs less than
/// to keep what it says, and a merge asks for most entries later than it steps to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) epoch: Epoch,
    pub(crate) timestamp_ns: u64,
    pub(crate) sequence: Sequence,
    pub(crate) more: bool,
    /// `None` if the reader stands at no entry.
    pub(crate) at: Option<usize>,
}

impl Current {
    /// The entry, from the payload that it was read from; `None` if it stands at none.
    #[inline]
    pub(crate) fn entry<'a>(&self, core_id: CoreId, payload: &'a [u8]) -> Option<EntryRef<'a>> {
        let Self { epoch, timestamp_ns, sequence, .. } = *self;
        let operation = EntryDecoder::new(payload.get(self.at?..)?).next_entry().ok()??.operation;
        Some(EntryRef { epoch, sequence, core_id, timestamp_ns, operation })
    }
}
