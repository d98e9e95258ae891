//! Every bound of the format from both sides: the largest that is allowed is read, one more is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/golden.rs"]
mod golden;
#[path = "common/subjects.rs"]
mod subjects;

use golden::{Golden, encode_entries};
use subjects::{FRAME_OFFSET, seed, sign_block, sign_frame};
use wal_format::{
    Barrier, CoreId, CorePosition, Damage, EntryDecoder, Epoch, FormatError, Found, Manifest, RunMeta,
    Sequence, SourceOffset, WalOperation, control, limits,
};

/// A frame header with kind, payload bytes and entry count as given, under a good CRC.
fn header(kind: u8, payload_bytes: u32, entry_count: u32) -> [u8; limits::FRAME_HEADER_BYTES] {
    let mut bytes = *subjects::frame(&[5, 0], 1).first_chunk().unwrap();
    bytes[4] = kind;
    bytes[8..12].copy_from_slice(&payload_bytes.to_le_bytes());
    bytes[12..16].copy_from_slice(&entry_count.to_le_bytes());
    sign_frame(&mut bytes);
    bytes
}

#[track_caller]
fn check(kind: u8, payload_bytes: u32, entry_count: u32, refused: Option<&str>) {
    let found = Found::at(&seed(), FRAME_OFFSET, &header(kind, payload_bytes, entry_count)).unwrap();
    match (found, refused) {
        (Found::Header(header), None) => {
            assert_eq!((header.payload_bytes, header.entry_count), (payload_bytes, entry_count));
        }
        (Found::Damaged(Damage::Content(FormatError::Malformed { detail, .. })), Some(refused)) => {
            assert_eq!(detail, refused);
        }
        (found, refused) => panic!("{found:?}, and not {refused:?}"),
    }
}

#[test]
fn a_frame_of_impossible_fields_is_damage_even_under_a_good_checksum() {
    let payload_bytes_max = u32::try_from(limits::FRAME_PAYLOAD_BYTES_MAX).unwrap();
    for kind in 0..=u8::MAX {
        let known = (1..=4).contains(&kind);
        check(kind, 2, u32::from(kind == 1), (!known).then_some("unknown kind"));
    }
    check(1, payload_bytes_max, 1, None);
    check(1, payload_bytes_max + 1, 1, Some("payload larger than the format allows"));
    check(1, u32::MAX, 1, Some("payload larger than the format allows"));
    check(1, 6, 3, None);
    check(1, 7, 3, None);
    check(1, 6, 4, Some("more entries than the payload can hold"));
    check(1, 6, u32::MAX, Some("more entries than the payload can hold"));
    check(1, 6, 0, Some("entry count does not fit the kind"));
    for kind in 2..=4 {
        check(kind, 6, 0, None);
        check(kind, 6, 1, Some("entry count does not fit the kind"));
    }
}

#[test]
fn a_barrier_names_at_most_so_many_cores() {
    let barrier = |cores: usize| {
        let cuts = (0..u16::try_from(cores).unwrap()).map(|core| (CoreId(core), Sequence(1))).collect();
        Barrier { durable_epoch: Epoch(1), cuts }
    };
    let largest = barrier(limits::CORES_MAX);
    let mut bytes = largest.encode();
    assert_eq!(Barrier::decode(&bytes), Ok(largest));
    for cores in [0, 1, 2, limits::CORES_MAX] {
        assert_eq!(barrier(cores).encode().len(), control::barrier_bytes(cores));
    }
    bytes[8..12].copy_from_slice(&4097_u32.to_le_bytes());
    bytes.extend(4096_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    assert!(Barrier::decode(&bytes).is_err());
}

#[test]
fn a_source_in_a_commit_has_a_name_of_at_most_so_many_bytes() {
    for (name_bytes, is_read) in
        [(limits::SOURCE_NAME_BYTES_MAX, true), (limits::SOURCE_NAME_BYTES_MAX + 1, false)]
    {
        let operation = WalOperation::Commit { offsets: vec![("a".repeat(name_bytes), 1)], watermark: None };
        assert_eq!(operation.as_ref().is_encodable(), is_read);
        let bytes = encode_entries(&[(false, 0, operation)]);
        assert_eq!(EntryDecoder::new(&bytes).next_entry().is_ok(), is_read, "{name_bytes}");
    }
}

#[test]
fn a_source_in_a_manifest_has_a_name_of_at_most_so_many_bytes() {
    let source = "a".repeat(limits::SOURCE_NAME_BYTES_MAX);
    let manifest = Manifest { offsets: vec![SourceOffset { source, offset: 1 }], ..Golden::v1().manifest };
    let mut bytes = manifest.encode();
    let name_at = bytes.windows(2).position(|pair| pair == b"aa").unwrap();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    bytes[name_at - 4..name_at].copy_from_slice(&4097_u32.to_le_bytes());
    bytes.insert(name_at, b'a');
    let crc_at = bytes.len() - 4;
    sign_block(&mut bytes, crc_at);
    assert!(Manifest::decode(&bytes).is_err());
}

#[test]
fn a_manifest_names_at_most_so_many_cores() {
    let golden = Golden::v1().manifest;
    let positions =
        (0..4096_u16).map(|core| CorePosition { core: CoreId(core), ..golden.cores[0] }).collect();
    let manifest = Manifest { cores: positions, watermarks: vec![], ..golden };
    let mut bytes = manifest.encode();
    assert_eq!(manifest.cores.len(), limits::CORES_MAX);
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
    // One position more: that of the last core again, under the next number.
    let positions_at = bytes.windows(4).position(|count| count == 4096_u32.to_le_bytes()).unwrap() + 4;
    bytes[positions_at - 4..positions_at].copy_from_slice(&4097_u32.to_le_bytes());
    let end = positions_at + 4096 * 42;
    let mut position = bytes[end - 42..end].to_vec();
    position[..2].copy_from_slice(&4096_u16.to_le_bytes());
    bytes.splice(end..end, position);
    let crc_at = bytes.len() - 4;
    sign_block(&mut bytes, crc_at);
    let refused = Manifest::decode(&bytes).unwrap_err().to_string();
    assert!(refused.contains("too many"), "{refused}");
}

#[test]
fn a_manifest_names_each_core_once() {
    let golden = Golden::v1().manifest;
    let bytes = golden.encode();
    let mut again = golden;
    again.cores[1].core = CoreId(1);
    again.watermarks[1].0 = CoreId(1);
    // The bytes of core 1 differ from those of core 0, which stands before it, in nothing but one byte.
    let of_core_1 = again.encode();
    let same = |at: &usize| of_core_1[*at] == 1 && bytes[*at] == 3;
    let places: Vec<usize> = (0..bytes.len() - 4).filter(same).collect();
    assert_eq!(places.len(), 2, "a position and a watermark");
    for at in places {
        let mut bytes = of_core_1.clone();
        bytes[at] = 0;
        let crc_at = bytes.len() - 4;
        sign_block(&mut bytes, crc_at);
        assert!(Manifest::decode(&bytes).is_err(), "core 0 twice");
    }
}

#[test]
fn a_manifest_names_each_run_once() {
    let golden = Golden::v1().manifest;
    let run = |run| RunMeta { run, ..golden.runs[0] };
    let manifest = Manifest { runs: vec![run(0x1111), run(0x2222)], next_run: 0x3333, ..golden.clone() };
    let mut bytes = manifest.encode();
    let second = bytes.windows(8).position(|number| number == 0x2222_u64.to_le_bytes()).unwrap();
    bytes[second..second + 8].copy_from_slice(&0x1111_u64.to_le_bytes());
    let crc_at = bytes.len() - 4;
    sign_block(&mut bytes, crc_at);
    assert!(Manifest::decode(&bytes).is_err(), "the same file read twice, with a buffer each time");
}
