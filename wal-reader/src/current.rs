//! The entry that a reader stands at, without a borrow of the reader's buffer.

use wal_format::{CoreId, EntryDecoder, EntryRef, Epoch, OperationRef, Sequence};

/// The current entry, with offsets into the payload in place of slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) epoch: Epoch,
    pub(crate) timestamp_ns: u64,
    pub(crate) sequence: Sequence,
    pub(crate) more: bool,
    pub(crate) operation: Stored,
}

/// An operation, by where its bytes stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    Nothing,
    Put {
        key: usize,
        value: usize,
        end: usize,
    },
    Delete {
        key: usize,
        end: usize,
    },
    Checkpoint(u64),
    /// Decoded again when it is asked for: commits are few.
    Commit {
        start: usize,
    },
    EpochBarrier,
}

impl Current {
    /// Whether it stands at an entry.
    pub(crate) fn operation_is_read(&self) -> bool {
        !matches!(self.operation, Stored::Nothing)
    }

    /// The entry, from the payload that it was read from; `None` if it stands at none.
    #[inline]
    pub(crate) fn entry<'a>(&self, core_id: CoreId, payload: &'a [u8]) -> Option<EntryRef<'a>> {
        let operation = match self.operation {
            Stored::Put { key, value, end } => {
                OperationRef::Put { key: &payload[key..value], value: &payload[value..end] }
            }
            Stored::Delete { key, end } => OperationRef::Delete { key: &payload[key..end] },
            Stored::Checkpoint(id) => OperationRef::Checkpoint { id },
            Stored::EpochBarrier => OperationRef::EpochBarrier,
            Stored::Commit { start } => {
                let decoded = EntryDecoder::new(&payload[start..]).next_entry();
                decoded.ok().flatten().map_or(OperationRef::EpochBarrier, |entry| entry.operation)
            }
            Stored::Nothing => return None,
        };
        let Self { epoch, timestamp_ns, sequence, .. } = *self;
        Some(EntryRef { epoch, sequence, core_id, timestamp_ns, operation })
    }
}
