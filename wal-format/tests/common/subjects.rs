//! Every decoder behind one face: a valid encoding, decode and encode again, and how to make its checksums hold.
#![allow(dead_code, reason = "each test binary uses its part")]

use wal_format::{
    Barrier, CoreId, EntryDecoder, EntryEncoder, Epoch, Found, FrameHeader, FrameKind, HeaderBlock, LogId,
    Manifest, Meta, Origin, RunHeader, Seal, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
    WalOperation, checksum, entry, limits,
};

use crate::golden::{Frame, Golden, encode_entries};

/// One decoder.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Bytes that it accepts.
    pub(crate) valid: Vec<u8>,
    /// Whether it accepts the bytes. Holds on to nothing, so that what it allocates is what the decoder allocates.
    pub(crate) accepts: fn(&[u8]) -> bool,
    /// What the encoder makes of the decoded value, if the bytes are accepted.
    pub(crate) again: fn(&[u8]) -> Option<Vec<u8>>,
    /// Puts the right checksums where checksums stand; `None` for what stands under the checksum of its frame.
    pub(crate) sign: Option<fn(&mut [u8])>,
    /// Whether something shorter than `valid` may stand for itself: a list without a count.
    pub(crate) is_open_list: bool,
    /// Bytes that the encoder sets by itself, whatever a newer minor version put there.
    pub(crate) minor_version: Option<std::ops::Range<usize>>,
}

/// Where the frame subject stands.
pub(crate) const FRAME_OFFSET: u64 = 4096;
pub(crate) const MINOR_VERSION: std::ops::Range<usize> = 10..12;

pub(crate) fn seed() -> SegmentSeed {
    SegmentSeed::new(LogId([7; 16]), CoreId(3), SegmentNumber(9))
}

pub(crate) fn all() -> Vec<Subject> {
    let Golden { meta, segment, segment_frames, run, manifest, .. } = Golden::v1();
    let payload = |kind| {
        let mut frames = segment_frames.iter().map(|frame: &Frame| &frame.content);
        frames.find(|content| content.kind() == kind).expect("every kind is there").payload()
    };
    let first = SegmentHeader { origin: Origin::First, previous: None, ..segment };
    vec![
        Subject {
            name: "wal.meta",
            valid: meta.encode(),
            accepts: |bytes| Meta::decode(bytes).is_ok(),
            again: |bytes| Some(Meta::decode(bytes).ok()?.encode()),
            sign: Some(|bytes| sign_block(bytes, 60)),
            is_open_list: false,
            minor_version: Some(MINOR_VERSION),
        },
        header_block("segment header", segment.encode()),
        header_block("segment header without a predecessor", first.encode()),
        Subject {
            name: "run header",
            valid: run.encode(),
            accepts: |bytes| RunHeader::decode(bytes).is_ok(),
            again: |bytes| Some(and_what_follows(RunHeader::decode(bytes).ok()?.encode(), bytes)),
            sign: Some(|bytes| sign_block(bytes, 4092)),
            is_open_list: false,
            minor_version: Some(MINOR_VERSION),
        },
        Subject {
            name: "checkpoint manifest",
            valid: manifest.encode(),
            accepts: |bytes| Manifest::decode(bytes).is_ok(),
            again: |bytes| Some(Manifest::decode(bytes).ok()?.encode()),
            sign: Some(|bytes| sign_block(bytes, bytes.len().saturating_sub(4))),
            is_open_list: false,
            minor_version: Some(MINOR_VERSION),
        },
        Subject {
            name: "frame",
            valid: frame(&payload(FrameKind::Data), 8),
            accepts: |bytes| split_frame(bytes).is_some(),
            again: frame_again,
            sign: Some(sign_frame),
            is_open_list: false,
            minor_version: None,
        },
        Subject {
            name: "entries",
            valid: payload(FrameKind::Data),
            accepts: accepts_entries,
            again: entries_again,
            sign: None,
            is_open_list: true,
            minor_version: None,
        },
        Subject {
            name: "barrier",
            valid: payload(FrameKind::Barrier),
            accepts: |bytes| Barrier::decode(bytes).is_ok(),
            again: |bytes| Some(Barrier::decode(bytes).ok()?.encode()),
            sign: None,
            is_open_list: false,
            minor_version: None,
        },
        Subject {
            name: "seal",
            valid: payload(FrameKind::Seal),
            accepts: |bytes| Seal::decode(bytes).is_ok(),
            again: |bytes| Some(Seal::decode(bytes).ok()?.encode()),
            sign: None,
            is_open_list: false,
            minor_version: None,
        },
    ]
}

fn header_block(name: &'static str, valid: Vec<u8>) -> Subject {
    Subject {
        name,
        valid,
        // A block of zeros is accepted as such, but it is no header.
        accepts: |bytes| matches!(HeaderBlock::decode(bytes), Ok(HeaderBlock::Header(_))),
        again: |bytes| match HeaderBlock::decode(bytes).ok()? {
            HeaderBlock::Header(header) => Some(and_what_follows(header.encode(), bytes)),
            HeaderBlock::Zero => None,
        },
        sign: Some(|bytes| sign_block(bytes, 4092)),
        is_open_list: false,
        minor_version: Some(MINOR_VERSION),
    }
}

/// A data frame for [`FRAME_OFFSET`] of the file of [`seed`].
pub(crate) fn frame(payload: &[u8], entry_count: u32) -> Vec<u8> {
    let mut aligned = payload.to_vec();
    aligned.resize(limits::frame_aligned(payload.len()), 0);
    let header = FrameHeader {
        kind: FrameKind::Data,
        flags: 0,
        core: seed().core(),
        payload_bytes: u32::try_from(payload.len()).expect("small"),
        entry_count,
        epoch: Epoch(4),
        first_sequence: Sequence(55),
        base_timestamp: 1_700_000_000_000_000_000,
        segment: seed().segment(),
        synced_through: 4096,
        payload_crc: 0,
    };
    let mut bytes = header.encode(&seed(), FRAME_OFFSET, &aligned).to_vec();
    bytes.extend(aligned);
    bytes
}

/// Puts the CRC of `bytes[..at]` at `at`, if there is room for it.
pub(crate) fn sign_block(bytes: &mut [u8], at: usize) {
    let Some((covered, stored)) = bytes.split_at_mut_checked(at) else { return };
    if let Some(stored) = stored.first_chunk_mut() {
        *stored = checksum::crc(covered).to_le_bytes();
    }
}

/// Makes both CRCs of a frame hold for the place where it stands.
pub(crate) fn sign_frame(bytes: &mut [u8]) {
    let Some((header, payload)) = bytes.split_first_chunk_mut::<{ limits::FRAME_HEADER_BYTES }>() else {
        return;
    };
    let payload_bytes = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let payload = payload.get(..limits::frame_aligned(payload_bytes)).unwrap_or(payload);
    header[56..60].copy_from_slice(&seed().crc_at(FRAME_OFFSET, payload).to_le_bytes());
    let header_crc = seed().crc_at(FRAME_OFFSET, &header[..60]);
    header[60..].copy_from_slice(&header_crc.to_le_bytes());
}

fn split_frame(bytes: &[u8]) -> Option<(FrameHeader, &[u8])> {
    let Ok(Found::Header(header)) = Found::at(&seed(), FRAME_OFFSET, bytes) else { return None };
    let payload = header.check_payload(&seed(), FRAME_OFFSET, &bytes[limits::FRAME_HEADER_BYTES..]).ok()?;
    Some((header, payload))
}

fn frame_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, payload) = split_frame(bytes)?;
    let mut aligned = payload.to_vec();
    aligned.resize(header.aligned_payload_bytes(), 0);
    let mut again = header.encode(&seed(), FRAME_OFFSET, &aligned).to_vec();
    again.extend(aligned);
    Some(and_what_follows(again, bytes))
}

/// Frames stand back to back behind a header block: what follows is another's.
fn and_what_follows(mut again: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    again.extend(&bytes[again.len()..]);
    again
}

fn accepts_entries(bytes: &[u8]) -> bool {
    let mut decoder = EntryDecoder::new(bytes);
    loop {
        match decoder.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn entries_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = EntryDecoder::new(bytes);
    let mut owned: Vec<(bool, u64, WalOperation)> = Vec::new();
    let mut borrowed = vec![0; bytes.len()];
    let mut encoder = EntryEncoder::new(&mut borrowed);
    while let Some(raw) = decoder.next_entry().ok()? {
        assert!(raw.operation.is_encodable(), "what is read could have been written");
        let length = entry::entry_bytes(raw.timestamp_delta, &raw.operation);
        let before = encoder.position();
        encoder.entry(raw.more, raw.timestamp_delta, &raw.operation);
        assert_eq!(encoder.position() - before, length);
        owned.push((raw.more, raw.timestamp_delta, raw.operation.to_owned()));
    }
    assert_eq!(encode_entries(&owned), borrowed, "the owned twin is encoded like the borrowed one");
    Some(borrowed)
}
