//! The golden files: bytes that an earlier build wrote are read as what they meant, and written again as they were.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Content, Frame, Golden};
use wal_format::{
    Barrier, EntryDecoder, FileName, Found, FrameKind, HeaderBlock, Manifest, Meta, RunHeader, Seal,
    SegmentSeed, checksum, limits,
};

fn read(name: &FileName) -> Vec<u8> {
    let path = golden::directory().join(name.to_string());
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_codec_writes_every_golden_file_byte_by_byte() {
    for (name, bytes) in Golden::v1().files() {
        let file = read(&name);
        let at = file.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
        assert!(file == bytes, "{name}: other bytes from offset {at} on");
    }
}

#[test]
fn the_directory_holds_the_golden_files_and_nothing_else() {
    let mut found: Vec<_> = std::fs::read_dir(golden::directory())
        .unwrap()
        .map(|entry| FileName::parse(entry.unwrap().file_name().to_str().unwrap()).unwrap())
        .collect();
    let mut expected = Golden::v1().files().map(|(name, _)| name);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn meta_is_read_as_what_it_meant() {
    assert_eq!(Meta::decode(&read(&FileName::Meta)), Ok(Golden::v1().meta));
}

#[test]
fn manifest_is_read_as_what_it_meant() {
    assert_eq!(Manifest::decode(&read(&FileName::Manifest)), Ok(Golden::v1().manifest));
}

#[test]
fn segment_is_read_as_what_it_meant() {
    let Golden { segment, segment_frames, segment_rest_bytes, .. } = Golden::v1();
    let file = read(&FileName::Segment(segment.core, segment.segment));
    assert_eq!(HeaderBlock::decode(&file), Ok(HeaderBlock::Header(segment)));
    let seed = SegmentSeed::new(segment.log_id, segment.core, segment.segment);
    let end = check(&seed, &file, &segment_frames);
    assert_eq!(Found::at(&seed, end as u64, &file[end..]), Ok(Found::Nothing));
    assert_eq!(file.len() - end, segment_rest_bytes);
    for kind in [FrameKind::Data, FrameKind::Barrier, FrameKind::Seal, FrameKind::Pad] {
        assert!(segment_frames.iter().any(|frame| frame.content.kind() == kind), "{kind:?}");
    }
}

#[test]
fn run_is_read_as_what_it_meant() {
    let Golden { run, run_frames, manifest, .. } = Golden::v1();
    let file = read(&FileName::Run(run.run));
    assert_eq!(RunHeader::decode(&file), Ok(run));
    let end = check(&run.seed(), &file, &run_frames);
    assert_eq!(end, file.len());
    let Some(Content::Seal(seal)) = run_frames.last().map(|frame| &frame.content) else { panic!("no seal") };
    let listed = manifest.runs[0];
    assert_eq!((listed.run, listed.epoch), (run.run, run.epoch));
    assert_eq!((listed.entries, listed.length, listed.digest), (seal.entry_count, end as u64, seal.digest));
}

/// Walks the frames of a file and compares each with what it is to say; returns where they end. A seal is also
/// compared with what stands before it, so that the golden files are files that a reader would accept.
#[track_caller]
fn check(seed: &SegmentSeed, file: &[u8], expected: &[Frame]) -> usize {
    let mut at = limits::HEADER_BLOCK_BYTES;
    let mut digest = 0;
    let mut entries = 0;
    for frame in expected {
        let Ok(Found::Header(header)) = Found::at(seed, at as u64, &file[at..]) else {
            panic!("no frame at {at}");
        };
        let payload_at = at + limits::FRAME_HEADER_BYTES;
        let payload = header.check_payload(seed, at as u64, &file[payload_at..]).unwrap();
        assert_eq!(header.kind, frame.content.kind());
        assert_eq!((header.core, header.segment), (seed.core(), seed.segment()));
        assert_eq!(header.entry_count, frame.content.entry_count());
        assert_eq!(
            (header.epoch.0, header.first_sequence.0, header.base_timestamp, header.synced_through),
            (frame.epoch, frame.first_sequence, frame.base_timestamp, frame.synced_through)
        );
        assert!(header.synced_through <= at as u64, "nothing is durable before it is written");
        match &frame.content {
            Content::Data(expected) => {
                let mut decoder = EntryDecoder::new(payload);
                for (more, delta, operation) in expected {
                    let raw = decoder.next_entry().unwrap().expect("as many entries as were written");
                    assert_eq!((raw.more, raw.timestamp_delta), (*more, *delta));
                    assert_eq!(raw.operation, operation.as_ref());
                    assert_eq!(raw.operation.to_owned(), *operation);
                }
                assert_eq!(decoder.next_entry(), Ok(None));
                entries += expected.len() as u64;
            }
            Content::Barrier(barrier) => assert_eq!(Barrier::decode(payload).as_ref(), Ok(barrier)),
            Content::Seal(seal) => {
                assert_eq!(Seal::decode(payload).as_ref(), Ok(seal));
                assert_eq!(seal.length, at as u64);
                assert_eq!(seal.digest, digest, "{digest:#010x}");
                assert_eq!(seal.entry_count, entries);
                assert_eq!(seal.next_sequence, header.first_sequence);
            }
            Content::Pad(bytes) => assert_eq!(payload, vec![0; *bytes]),
        }
        digest = checksum::extend(digest, &file[at..payload_at]);
        at += header.frame_bytes();
    }
    at
}
