//! Encoders refuse what decoders would refuse: an unreadable log must fail when it is written, not after the crash.

#[path = "common/golden.rs"]
mod golden;

use std::panic::{AssertUnwindSafe, catch_unwind};

use golden::Golden;
use wal_format::{
    Barrier, CoreId, Epoch, FrameHeader, FrameKind, LogId, Manifest, Origin, Previous, SegmentHeader,
    SegmentNumber, SegmentSeed, Sequence, SourceOffset, limits,
};

#[track_caller]
fn check(refused: &[(&str, &dyn Fn() -> Vec<u8>)]) {
    for (what, encode) in refused {
        assert!(catch_unwind(AssertUnwindSafe(encode)).is_err(), "{what} was encoded");
    }
}

#[test]
fn a_manifest_that_could_not_be_read_is_never_written() {
    let manifest = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = Golden::v1().manifest;
        change(&mut manifest);
        manifest.encode()
    };
    check(&[
        ("a core twice", &|| manifest(&|manifest| manifest.cores[1].core = CoreId(0))),
        ("sources out of order", &|| manifest(&|manifest| manifest.offsets.reverse())),
        ("a source twice", &|| manifest(&|manifest| manifest.offsets[1] = manifest.offsets[0].clone())),
        ("watermarks out of order", &|| manifest(&|manifest| manifest.watermarks.reverse())),
        ("runs of an external state", &|| manifest(&|manifest| manifest.external = true)),
        ("a run to be", &|| manifest(&|manifest| manifest.next_run = 2)),
        ("a source without bound", &|| {
            let source = "a".repeat(limits::SOURCE_NAME_BYTES_MAX + 1);
            manifest(&|manifest| manifest.offsets = vec![SourceOffset { source: source.clone(), offset: 0 }])
        }),
    ]);
}

#[test]
fn a_barrier_that_could_not_be_read_is_never_written() {
    let barrier = |cores: &mut dyn Iterator<Item = u16>| {
        let cuts = cores.map(|core| (CoreId(core), Sequence(1))).collect();
        Barrier { durable_epoch: Epoch(1), cuts }.encode()
    };
    check(&[
        ("cores out of order", &|| barrier(&mut [2, 1].into_iter())),
        ("a core twice", &|| barrier(&mut [2, 2].into_iter())),
        ("too many cores", &|| barrier(&mut (0..=4096))),
    ]);
}

#[test]
fn a_segment_header_that_could_not_be_read_is_never_written() {
    let linked = |origin, previous: Option<(u64, u64, u64)>| {
        let previous = previous.map(|(segment, end, synced_through)| Previous {
            segment: SegmentNumber(segment),
            end,
            synced_through,
        });
        SegmentHeader { origin, previous, ..Golden::v1().segment }.encode()
    };
    check(&[
        ("a rotation from nothing", &|| linked(Origin::Rotation, None)),
        ("a first segment with a predecessor", &|| linked(Origin::First, Some((6, 4096, 4096)))),
        ("its own successor", &|| linked(Origin::Rotation, Some((7, 4096, 4096)))),
        ("an end inside the header", &|| linked(Origin::Rotation, Some((6, 4095, 0)))),
        ("durable beyond the end", &|| linked(Origin::Rotation, Some((6, 4096, 4097)))),
    ]);
}

#[test]
fn a_frame_that_could_not_be_read_is_never_written() {
    let frame = |payload: &[u8]| {
        let header = FrameHeader {
            kind: FrameKind::Data,
            flags: 0,
            core: CoreId(0),
            payload_bytes: 2,
            entry_count: 1,
            epoch: Epoch(0),
            first_sequence: Sequence(0),
            base_timestamp: 0,
            segment: SegmentNumber(0),
            synced_through: 0,
            payload_crc: 0,
        };
        let seed = SegmentSeed::new(LogId([0; 16]), CoreId(0), SegmentNumber(0));
        header.encode(&seed, 4096, payload).to_vec()
    };
    check(&[
        ("a payload without its alignment", &|| frame(&[5, 0])),
        ("an alignment that is not zero", &|| frame(&[5, 0, 0, 0, 0, 0, 0, 1])),
    ]);
}
