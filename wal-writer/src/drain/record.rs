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
/// The tag of a `Put` that no other entry of its batch follows.
const PUT: u8 = wal_format::operation::CODE_PUT;
const CACHE_LINE_BYTES: usize = 64;

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

/// A `Put` that is no part of a batch, and whose timestamp delta and lengths take a byte each: its bytes and its delta.
/// Most entries of most logs; the way to the next one is all that is needed of them here.
#[inline]
fn short_put(bytes: &[u8]) -> Option<(usize, u64)> {
    let &[code, delta, key_bytes, value_bytes] = bytes.first_chunk()?;
    let is_short = code == PUT && (delta | key_bytes | value_bytes) < 0x80;
    is_short.then(|| (4 + usize::from(key_bytes) + usize::from(value_bytes), u64::from(delta)))
}

/// Reads a byte of every cache line: they come from the core that appended, many at a time, where a walk from entry to
/// entry would wait for one after the other.
fn fetch(stretch: &[u8]) {
    let lines = stretch.iter().step_by(CACHE_LINE_BYTES);
    std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
}

impl Span {
    const EMPTY: Self = Self { bytes: 0, entries: 0, timestamp_delta: 0 };

    /// Whole batches up to the target size, at least one, none of them beyond a control record.
    pub(super) fn measure(stretch: &[u8]) -> Self {
        fetch(&stretch[..stretch.len().min(FRAME_PAYLOAD_BYTES_TARGET)]);
        let mut span = Self::EMPTY;
        while let Some(batch) = Self::of_batch(&stretch[span.bytes..]) {
            let bytes = span.bytes + batch.bytes;
            if bytes > FRAME_PAYLOAD_BYTES_TARGET && span.entries > 0 {
                break;
            }
            span = Self {
                bytes,
                entries: span.entries + batch.entries,
                timestamp_delta: span.timestamp_delta + batch.timestamp_delta,
            };
            if bytes >= FRAME_PAYLOAD_BYTES_TARGET {
                break;
            }
        }
        span
    }

    /// The entry or batch at the front; `None` at a control record, or at the end.
    #[inline]
    fn of_batch(stretch: &[u8]) -> Option<Self> {
        if let Some((bytes, timestamp_delta)) = short_put(stretch) {
            return Some(Self { bytes, entries: 1, timestamp_delta });
        }
        if stretch.first()? & OPERATION_BITS == 0 {
            return None;
        }
        let mut decoder = EntryDecoder::new(stretch);
        let mut batch = Self::EMPTY;
        loop {
            let entry = decoder.next_entry().ok().flatten().unwrap_or_else(|| unreachable!("we encoded it"));
            batch.entries += 1;
            batch.timestamp_delta += entry.timestamp_delta;
            if !entry.more {
                return Some(Self { bytes: stretch.len() - decoder.remaining(), ..batch });
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use wal_format::{EntryEncoder, OperationRef};

    /// The short way to the next entry is taken for what it is meant for only, at every edge of a varint.
    #[test]
    fn an_entry_is_as_long_as_the_decoder_says_whatever_the_lengths_of_its_varints() {
        let edges = [0, 1, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385];
        let mut stretch = vec![0; 40_000];
        for delta in edges.into_iter().chain([1 << 21, 1 << 28, 1 << 56]) {
            for key in edges {
                for value in edges {
                    let bytes = |count: u64| vec![0x80; usize::try_from(count).unwrap()];
                    let (key, value) = (bytes(key), bytes(value));
                    let mut encoder = EntryEncoder::new(&mut stretch);
                    encoder.entry(false, delta, &OperationRef::Put { key: &key, value: &value });
                    let end = encoder.position();
                    stretch[end] = LARGE_RECORD;
                    let span = Span::measure(&stretch[..=end]);
                    let told = (span.bytes, span.entries, span.timestamp_delta);
                    assert_eq!(told, (end, 1, delta), "{delta}, {} and {}", key.len(), value.len());
                }
            }
        }
    }

    #[test]
    fn a_frame_is_filled_to_its_target_and_not_beyond_it() {
        let mut stretch = vec![7; 2 * FRAME_PAYLOAD_BYTES_TARGET];
        for first in [1_000, FRAME_PAYLOAD_BYTES_TARGET - 100, FRAME_PAYLOAD_BYTES_TARGET - 9] {
            for both in FRAME_PAYLOAD_BYTES_TARGET - 3..=FRAME_PAYLOAD_BYTES_TARGET + 3 {
                let mut encoder = EntryEncoder::new(&mut stretch);
                for until in [first, both, both + 5] {
                    // A tag, a delta and a length of one to three bytes stand before the key.
                    let left = until - encoder.position();
                    let key = vec![7; left - [3, 4, 5][usize::from(left > 130) + usize::from(left > 16_387)]];
                    encoder.entry(false, 0, &OperationRef::Delete { key: &key });
                    assert_eq!(encoder.position(), until);
                }
                let span = Span::measure(&stretch[..both + 5]);
                let expected = if both <= FRAME_PAYLOAD_BYTES_TARGET { both } else { first };
                assert_eq!(span.bytes, expected, "{first}, then up to {both}");
            }
        }
    }

    /// Entries of many sizes, alone and in batches, with deltas, keys and values whose varints are of every length: a span
    /// holds whole ones, and all that the decoder finds in it.
    #[test]
    fn a_span_is_what_the_decoder_finds_in_it() {
        for seed in 0..400_u64 {
            let mut state = seed;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            };
            let mut stretch = vec![0; 400_000];
            let mut encoder = EntryEncoder::new(&mut stretch);
            let mut ends = Vec::new();
            let mut more = false;
            while more || encoder.position() < 100_000 {
                let size = [20, 200, 20_000, 150_000][usize::try_from(next(80) / 26).unwrap()];
                let value = vec![next(256).to_le_bytes()[0]; usize::try_from(next(size)).unwrap()];
                let key_bytes_max = [4, 300][usize::try_from(next(2)).unwrap()];
                let key = vec![7; usize::try_from(next(key_bytes_max)).unwrap()];
                let operation = match next(3) {
                    0 => OperationRef::Delete { key: &value },
                    _ => OperationRef::Put { key: &key, value: &value },
                };
                more = next(4) == 0 && encoder.position() < 90_000;
                let bits = next(31);
                encoder.entry(more, next(1 << bits), &operation);
                if !more {
                    ends.push(encoder.position());
                }
            }
            let end = encoder.position();
            stretch[end] = EPOCH_RECORD;
            let span = Span::measure(&stretch[..=end]);
            let fits = |at: &&usize| **at <= FRAME_PAYLOAD_BYTES_TARGET;
            assert_eq!(span.bytes, *ends.iter().rfind(fits).unwrap_or(&ends[0]), "seed {seed}");
            let mut decoder = EntryDecoder::new(&stretch[..span.bytes]);
            let (mut entries, mut delta) = (0, 0);
            while let Some(entry) = decoder.next_entry().unwrap() {
                entries += 1;
                delta += entry.timestamp_delta;
            }
            assert_eq!((span.entries, span.timestamp_delta), (entries, delta), "seed {seed}");
        }
    }
}
