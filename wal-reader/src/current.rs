//! The entry that a reader stands at, without a borrow of the reader's buffer.

use wal_format::{CoreId, EntryDecoder, EntryRef, Epoch, FrameHeader, OperationRef, OrderKey, Sequence};

/// The current entry of a frame: what decides its place in the order, and where in the payload it stands.
///
/// Of a `Put`, which most entries are, so much is kept that it is decoded once. Any other operation is decoded again when
/// it is asked for: to keep a whole operation, of any kind, costs more than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) epoch: Epoch,
    pub(crate) timestamp_ns: u64,
    pub(crate) sequence: Sequence,
    pub(crate) more: bool,
    kind: Kind,
    /// Where it begins.
    at: usize,
    /// Of a `Put`: the key, and behind it the value.
    key_at: usize,
    key_bytes: usize,
    value_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The reader stands at no entry.
    None,
    Put,
    Other,
}

impl Current {
    /// No entry; the next one has this number.
    pub(crate) fn before(sequence: Sequence) -> Self {
        Self {
            epoch: Epoch(0),
            timestamp_ns: 0,
            sequence,
            more: false,
            kind: Kind::None,
            at: 0,
            key_at: 0,
            key_bytes: 0,
            value_bytes: 0,
        }
    }

    /// No entry; the next one is the first of the frame with this header.
    pub(crate) fn before_frame(header: &FrameHeader) -> Self {
        Self {
            epoch: header.epoch,
            timestamp_ns: header.base_timestamp,
            ..Self::before(Sequence(header.first_sequence.0.wrapping_sub(1)))
        }
    }

    /// Decodes the entry of `payload` at `at`. Where it ends; `None`, and nothing has changed, if there is none.
    #[inline]
    pub(crate) fn step(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        let mut decoder = EntryDecoder::new(payload.get(at..)?);
        let raw = decoder.next_entry().ok()??;
        self.timestamp_ns = self.timestamp_ns.checked_add(raw.timestamp_delta)?;
        let end = payload.len() - decoder.remaining();
        self.kind = Kind::Other;
        if let OperationRef::Put { key, value } = raw.operation {
            self.kind = Kind::Put;
            self.key_at = end - value.len() - key.len();
            self.key_bytes = key.len();
            self.value_bytes = value.len();
        }
        self.at = at;
        self.more = raw.more;
        // Set to one below the first when the frame was loaded.
        self.sequence = Sequence(self.sequence.0.wrapping_add(1));
        Some(end)
    }

    /// From now on the reader stands at no entry; whether it stood at one.
    pub(crate) fn leave(&mut self) -> bool {
        std::mem::replace(&mut self.kind, Kind::None) != Kind::None
    }

    /// The entry, from the payload that it was decoded from; `None` if the reader stands at none.
    #[inline]
    pub(crate) fn entry<'a>(&self, core_id: CoreId, payload: &'a [u8]) -> Option<EntryRef<'a>> {
        let operation = match self.kind {
            Kind::Put => {
                let (key, rest) = payload.get(self.key_at..)?.split_at_checked(self.key_bytes)?;
                OperationRef::Put { key, value: rest.get(..self.value_bytes)? }
            }
            Kind::Other => decode_again(payload.get(self.at..)?)?,
            Kind::None => return None,
        };
        let Self { epoch, timestamp_ns, sequence, .. } = *self;
        Some(EntryRef { epoch, sequence, core_id, timestamp_ns, operation })
    }

    #[inline]
    pub(crate) fn order_key(&self, core_id: CoreId) -> OrderKey {
        let Self { epoch, timestamp_ns, sequence, .. } = *self;
        OrderKey { epoch, timestamp_ns, core_id, sequence }
    }
}

#[cold]
fn decode_again(bytes: &[u8]) -> Option<OperationRef<'_>> {
    EntryDecoder::new(bytes).next_entry().ok()?.map(|raw| raw.operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{EntryEncoder, RawEntry, WalOperation, entry};

    const CORE: CoreId = CoreId(3);

    /// What stands in a payload, told in the plainest way: entries as they come, up to what is none.
    fn plainly(payload: &[u8]) -> (Vec<(RawEntry<'_>, usize)>, usize) {
        let mut decoder = EntryDecoder::new(payload);
        let mut entries = Vec::new();
        let mut end = 0;
        while let Ok(Some(raw)) = decoder.next_entry() {
            end = payload.len() - decoder.remaining();
            entries.push((raw, end));
        }
        (entries, end)
    }

    #[track_caller]
    fn check(payload: &[u8], base: u64) {
        let (mut current, mut at) = (Current { timestamp_ns: base, ..Current::before(Sequence(9)) }, 0);
        let mut timestamp_ns = base;
        let (expected, _) = plainly(payload);
        for (number, (raw, end)) in expected.iter().enumerate() {
            let Some(next) = timestamp_ns.checked_add(raw.timestamp_delta) else {
                let before = current;
                assert_eq!((current.step(payload, at), current.sequence), (None, before.sequence));
                return;
            };
            timestamp_ns = next;
            assert_eq!(current.step(payload, at), Some(*end));
            let sequence = Sequence(10 + number as u64);
            let (epoch, operation) = (Epoch(0), raw.operation);
            let entry = EntryRef { epoch, sequence, core_id: CORE, timestamp_ns, operation };
            assert_eq!(current.entry(CORE, payload), Some(entry));
            assert_eq!((current.more, current.order_key(CORE)), (raw.more, entry.order_key()));
            at = *end;
        }
        let before = (current.entry(CORE, payload), current.order_key(CORE));
        assert_eq!(current.step(payload, at), None);
        assert_eq!((current.entry(CORE, payload), current.order_key(CORE)), before, "nothing has changed");
        assert_eq!(current.leave(), !expected.is_empty());
        assert_eq!((current.leave(), current.entry(CORE, payload)), (false, None));
    }

    fn payload() -> Vec<u8> {
        let put = |key: usize, value: usize| WalOperation::Put { key: vec![7; key], value: vec![9; value] };
        let operations = [
            (0, put(0, 0)),
            (1, put(16, 100)),
            (1 << 40, put(1, 127)),
            (5, WalOperation::Delete { key: b"gone".to_vec() }),
            (0, put(128, 0)),
            (3, WalOperation::Checkpoint { id: 12 }),
            (2, WalOperation::Commit { offsets: vec![("a".to_owned(), 1 << 20)], watermark: Some(-3) }),
            (127, put(3, 300)),
            (0, WalOperation::EpochBarrier),
            (128, put(0, 5)),
        ];
        let bytes =
            |(delta, operation): &(u64, WalOperation)| entry::entry_bytes(*delta, &operation.as_ref());
        let mut payload = vec![0; operations.iter().map(bytes).sum()];
        let mut encoder = EntryEncoder::new(&mut payload);
        for (number, (delta, operation)) in operations.iter().enumerate() {
            encoder.entry(number % 3 == 1, *delta, &operation.as_ref());
        }
        payload
    }

    #[test]
    fn steps_give_what_plain_decoding_gives_of_every_truncation_and_every_flipped_bit() {
        let payload = payload();
        assert_eq!(plainly(&payload).0.len(), 10);
        for length in 0..=payload.len() {
            check(&payload[..length], 1000);
        }
        for bit in 0..8 * payload.len() {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check(&flipped, 1000);
        }
    }

    #[test]
    fn a_timestamp_beyond_64_bits_is_no_entry() {
        for base in [u64::MAX, u64::MAX - (1 << 39), u64::MAX - (1 << 40)] {
            check(&payload(), base);
        }
    }

    #[test]
    fn a_place_beyond_the_payload_is_no_entry() {
        let mut current = Current::before(Sequence(0));
        let payload = payload();
        assert_eq!(current.step(&payload, payload.len()), None);
        assert_eq!(current.step(&payload, payload.len() + 1), None);
        assert_eq!(current.entry(CORE, &payload), None);
    }
}
