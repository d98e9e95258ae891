//! Entries: an operation with its place in the order, and the codec of a frame's payload (`FORMAT.md#entry`).

use crate::error::FormatError;
use crate::ids::{CoreId, Epoch, Sequence};
use crate::limits::VARINT_BYTES_MAX;
use crate::operation::{CODE_PUT, OperationRef, WalOperation};
use crate::varint::{split_varint, varint_bytes, write_varint};

/// One entry of one core's log, owned.
///
/// All entries of all cores are ordered by [`OrderKey`]; `(core_id, sequence)` identifies an entry for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerCoreWalEntry {
    /// The epoch in which it was appended.
    pub epoch: Epoch,
    /// Its number within the core: gapless, never reset.
    pub sequence: Sequence,
    /// The core that appended it.
    pub core_id: CoreId,
    /// Nanoseconds since the Unix epoch on the core's hybrid clock; never decreases within a core.
    pub timestamp_ns: u64,
    /// What it says.
    pub operation: WalOperation,
}

/// One entry, its operation borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// See [`PerCoreWalEntry::epoch`].
    pub epoch: Epoch,
    /// See [`PerCoreWalEntry::sequence`].
    pub sequence: Sequence,
    /// See [`PerCoreWalEntry::core_id`].
    pub core_id: CoreId,
    /// See [`PerCoreWalEntry::timestamp_ns`].
    pub timestamp_ns: u64,
    /// See [`PerCoreWalEntry::operation`].
    pub operation: OperationRef<'a>,
}

/// The global order: epoch, then timestamp, then core, then sequence. Total, and the same on every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// First.
    pub epoch: Epoch,
    /// Second.
    pub timestamp_ns: u64,
    /// Third.
    pub core_id: CoreId,
    /// Last.
    pub sequence: Sequence,
}

impl EntryRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_owned(&self) -> PerCoreWalEntry {
        PerCoreWalEntry {
            epoch: self.epoch,
            sequence: self.sequence,
            core_id: self.core_id,
            timestamp_ns: self.timestamp_ns,
            operation: self.operation.to_owned(),
        }
    }

    /// Its place in the global order.
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        OrderKey {
            epoch: self.epoch,
            timestamp_ns: self.timestamp_ns,
            core_id: self.core_id,
            sequence: self.sequence,
        }
    }
}

impl PerCoreWalEntry {
    /// The borrowed twin.
    #[must_use]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef {
            epoch: self.epoch,
            sequence: self.sequence,
            core_id: self.core_id,
            timestamp_ns: self.timestamp_ns,
            operation: self.operation.as_ref(),
        }
    }

    /// Its place in the global order.
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        self.as_ref().order_key()
    }
}

/// Bit of the tag: the next entry belongs to the same batch.
pub const TAG_MORE: u8 = 0x80;
const TAG_CODE: u8 = 0x07;

/// Bytes of an entry with this timestamp delta.
#[inline]
#[must_use]
pub fn entry_bytes(timestamp_delta: u64, operation: &OperationRef<'_>) -> usize {
    (1 + varint_bytes(timestamp_delta)).saturating_add(operation.body_bytes())
}

/// Writes entries one behind the other into a buffer.
pub struct EntryEncoder<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> EntryEncoder<'a> {
    /// Starts at the front of `out`.
    #[inline]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes written so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Appends one entry; `more` says that the next one belongs to the same batch.
    ///
    /// # Panics
    /// If the buffer is too short: size it with [`entry_bytes`].
    #[inline]
    pub fn entry(&mut self, more: bool, timestamp_delta: u64, operation: &OperationRef<'_>) {
        self.out[self.at] = operation.code() | if more { TAG_MORE } else { 0 };
        let body = write_varint(self.out, self.at + 1, timestamp_delta);
        self.at = operation.write_body(self.out, body);
    }

    /// Appends one `Put`: the same bytes as [`EntryEncoder::entry`], without the choice between operations, and with
    /// all lengths in one go where they take a byte each.
    ///
    /// # Panics
    /// If the buffer is too short: size it with [`put_bytes_max`].
    #[inline]
    pub fn put(&mut self, timestamp_delta: u64, key: &[u8], value: &[u8]) {
        let out = &mut self.out[self.at..];
        let lengths = [key.len() as u64, value.len() as u64];
        let mut at = 4;
        if (timestamp_delta | lengths[0] | lengths[1]) < 0x80 {
            #[expect(clippy::cast_possible_truncation, reason = "below 128")]
            let head = [CODE_PUT, timestamp_delta as u8, lengths[0] as u8, lengths[1] as u8];
            out[..4].copy_from_slice(&head);
        } else {
            out[0] = CODE_PUT;
            at = write_varint(out, 1, timestamp_delta);
            at = write_varint(out, at, lengths[0]);
            at = write_varint(out, at, lengths[1]);
        }
        let value_at = at + key.len();
        out[at..value_at].copy_from_slice(key);
        out[value_at..value_at + value.len()].copy_from_slice(value);
        self.at += value_at + value.len();
    }
}

/// Bytes of a `Put` of this key and value, at most.
#[inline]
#[must_use]
pub fn put_bytes_max(key: &[u8], value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(1 + 3 * VARINT_BYTES_MAX)
}

/// One entry as it stands in a payload: without what the frame says for all of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// The next entry belongs to the same batch.
    pub more: bool,
    /// Nanoseconds since the entry before.
    pub timestamp_delta: u64,
    /// What it says.
    pub operation: OperationRef<'a>,
}

/// Reads entries off the front of a payload.
#[derive(Clone, Debug)]
pub struct EntryDecoder<'a> {
    rest: &'a [u8],
}

impl<'a> EntryDecoder<'a> {
    /// Decodes `payload` from its front.
    #[inline]
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Bytes not yet decoded.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next entry, or `None` at the end of the payload.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the bytes are no entry; the decoder then stays where it is.
    #[inline]
    #[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
    pub fn next_entry(&mut self) -> Result<Option<RawEntry<'a>>, FormatError> {
        match split_short_put(self.rest) {
            Some((entry, rest)) => {
                self.rest = rest;
                Ok(Some(entry))
            }
            None => self.next_of_any_kind(),
        }
    }

    #[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
    fn next_of_any_kind(&mut self) -> Result<Option<RawEntry<'a>>, FormatError> {
        let Some((&tag, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        if tag & !(TAG_CODE | TAG_MORE) != 0 {
            return Err(FormatError::malformed("entry", "reserved bits of the tag are set"));
        }
        let (timestamp_delta, rest) =
            split_varint(rest).ok_or(FormatError::malformed("entry", "timestamp delta cut off"))?;
        let (operation, rest) = OperationRef::split_body(tag & TAG_CODE, rest)?;
        self.rest = rest;
        Ok(Some(RawEntry { more: tag & TAG_MORE != 0, timestamp_delta, operation }))
    }
}

/// A `Put` whose timestamp delta and lengths take a byte each: most entries of most logs. `None` for anything else, be
/// it sound or not.
#[inline]
#[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
fn split_short_put(bytes: &[u8]) -> Option<(RawEntry<'_>, &[u8])> {
    let (&[tag, delta, key_bytes, value_bytes], rest) = bytes.split_first_chunk()?;
    if tag & !TAG_MORE != CODE_PUT || (delta | key_bytes | value_bytes) >= 0x80 {
        return None;
    }
    let (key, rest) = rest.split_at_checked(usize::from(key_bytes))?;
    let (value, rest) = rest.split_at_checked(usize::from(value_bytes))?;
    let operation = OperationRef::Put { key, value };
    Some((RawEntry { more: tag & TAG_MORE != 0, timestamp_delta: u64::from(delta), operation }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_from_a_put_reads_the_same_entry_or_leaves_it() {
        let mut payload = vec![0; 400];
        for (delta, key_bytes, value_bytes) in
            [(0, 0, 0), (1, 16, 100), (127, 127, 127), (128, 1, 1), (1, 128, 1), (1, 1, 128)]
        {
            for more in [false, true] {
                let (key, value) = (vec![7; key_bytes], vec![9; value_bytes]);
                let mut encoder = EntryEncoder::new(&mut payload);
                encoder.entry(more, delta, &OperationRef::Put { key: &key, value: &value });
                let length = encoder.position();
                let is_short = delta.max(key_bytes as u64).max(value_bytes as u64) < 128;
                for cut in 0..=length {
                    let bytes = &payload[..cut];
                    let long = EntryDecoder::new(bytes).next_of_any_kind();
                    match split_short_put(bytes) {
                        Some((entry, rest)) => assert_eq!((Ok(Some(entry)), rest.len()), (long, 0)),
                        None => assert!(cut < length || !is_short, "{delta} {key_bytes} {value_bytes}"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_decoded_and_what_remains_are_the_payload() {
        let operations = [
            OperationRef::Put { key: b"k", value: b"v" },
            OperationRef::EpochBarrier,
            OperationRef::Delete { key: b"k" },
        ];
        let bytes = operations.map(|operation| entry_bytes(200, &operation));
        let mut payload = vec![0; bytes.iter().sum()];
        let mut encoder = EntryEncoder::new(&mut payload);
        operations.iter().for_each(|operation| encoder.entry(false, 200, operation));
        let mut decoder = EntryDecoder::new(&payload);
        for decoded in 0..=bytes.len() {
            assert_eq!(decoder.remaining(), bytes[decoded..].iter().sum(), "after {decoded} entries");
            assert_eq!(decoder.next_entry().map(|entry| entry.is_some()), Ok(decoded < bytes.len()));
        }
    }

    #[test]
    fn the_short_way_to_a_put_writes_the_same_bytes() {
        for delta in [0, 1, 127, 128, u64::MAX] {
            for (key_bytes, value_bytes) in
                [(0, 0), (1, 0), (16, 100), (127, 127), (128, 1), (3, 128), (128, 128), (300, 20_000)]
            {
                let (key, value) = (vec![7; key_bytes], vec![9; value_bytes]);
                let operation = OperationRef::Put { key: &key, value: &value };
                let mut long = vec![0; entry_bytes(delta, &operation)];
                EntryEncoder::new(&mut long).entry(false, delta, &operation);
                let mut short = vec![0; put_bytes_max(&key, &value)];
                let mut encoder = EntryEncoder::new(&mut short);
                encoder.put(delta, &key, &value);
                let length = encoder.position();
                assert_eq!(short[..length], long, "delta {delta}, {key_bytes} and {value_bytes} bytes");
            }
        }
    }
}
