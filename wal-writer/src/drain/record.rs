//! What stands in the ring: entries, as in a frame's payload, and control records between them.

use wal_format::limits::FRAME_PAYLOAD_BYTES_TARGET;
use wal_format::{EntryDecoder, Epoch};

/// An epoch begins; 8 bytes of epoch follow. Not an entry: the operation bits of the tag are zero.
pub(crate) const EPOCH_RECORD: u8 = 0x08;
/// An entry or batch too large for the ring; 8 bytes of index and 8 of timestamp follow.
pub(crate) const LARGE_RECORD: u8 = 0x10;
pub(crate) const EPOCH_RECORD_BYTES: usize = 9;
pub(crate) const LARGE_RECORD_BYTES: usize = 17;
const OPERATION_BITS: u8 = 0x07;

const _: () = assert!(EPOCH_RECORD & OPERATION_BITS == 0 && LARGE_RECORD & OPERATION_BITS == 0);

/// A batch that does not fit the ring, on its way beside it.
pub(crate) struct Large {
    pub(crate) index: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) entry_count: u32,
}

/// Writes an epoch record and returns its length.
#[cold]
pub(crate) fn write_epoch(out: &mut [u8], epoch: Epoch) -> usize {
    out[0] = EPOCH_RECORD;
    out[1..EPOCH_RECORD_BYTES].copy_from_slice(&epoch.0.to_le_bytes());
    EPOCH_RECORD_BYTES
}

/// Writes the record that stands for large batch `index`, and returns its length.
pub(crate) fn write_large(out: &mut [u8], index: u64, timestamp: u64) -> usize {
    out[0] = LARGE_RECORD;
    out[1..9].copy_from_slice(&index.to_le_bytes());
    out[9..LARGE_RECORD_BYTES].copy_from_slice(&timestamp.to_le_bytes());
    LARGE_RECORD_BYTES
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(array)
}

/// The entries at the front of a stretch of the ring that make one frame.
pub(super) struct Span {
    pub(super) bytes: usize,
    pub(super) entries: u32,
    pub(super) timestamp_delta: u64,
}

impl Span {
    /// Whole batches up to the target size, at least one, none of them beyond a control record.
    pub(super) fn measure(stretch: &[u8]) -> Self {
        let mut decoder = EntryDecoder::new(stretch);
        let mut span = Self { bytes: 0, entries: 0, timestamp_delta: 0 };
        let mut batch = Self { bytes: 0, entries: 0, timestamp_delta: 0 };
        loop {
            let at = stretch.len() - decoder.remaining();
            if at == stretch.len() || stretch[at] & OPERATION_BITS == 0 {
                return span;
            }
            let entry = decoder.next_entry().ok().flatten().unwrap_or_else(|| unreachable!("we encoded it"));
            batch.entries += 1;
            batch.timestamp_delta += entry.timestamp_delta;
            if entry.more {
                continue;
            }
            batch.bytes = stretch.len() - decoder.remaining();
            if batch.bytes > FRAME_PAYLOAD_BYTES_TARGET && span.entries > 0 {
                return span;
            }
            span = Self { ..batch };
            if span.bytes >= FRAME_PAYLOAD_BYTES_TARGET {
                return span;
            }
        }
    }
}
