//! What is encoded is decoded as the same value, whatever the value.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/golden.rs"]
mod golden;
#[path = "common/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use golden::{Entry, encode_entries};
use random::{Random, for_each_seed};
use wal_format::{
    Barrier, CoreId, CorePosition, EntryDecoder, EntryEncoder, Epoch, FormatError, Found, FrameHeader,
    FrameKind, HeaderBlock, LogId, Manifest, Meta, Offsets, OperationRef, Origin, Previous, RunHeader,
    RunMeta, Seal, SegmentHeader, SegmentNumber, SegmentSeed, Sequence, SourceOffset, WalOperation, limits,
};

#[track_caller]
fn check<T: PartialEq + Debug>(value: T, decoded: Result<T, FormatError>) {
    assert_eq!(decoded, Ok(value));
}

fn operation(random: &mut Random) -> WalOperation {
    let length = |random: &mut Random| {
        if random.one_in(20) { random.within(0..=20_000) } else { random.within(0..=40) }
    };
    match random.below(5) {
        0 => {
            let (key, value) = (length(random), length(random));
            WalOperation::Put { key: random.bytes(key), value: random.bytes(value) }
        }
        1 => {
            let key = length(random);
            WalOperation::Delete { key: random.bytes(key) }
        }
        2 => WalOperation::Checkpoint { id: random.magnitude() },
        3 => {
            let count = random.within(0..=4);
            let mut source = || {
                // Characters of two bytes: the longest name that still fits.
                let characters =
                    if random.one_in(9) { limits::SOURCE_NAME_BYTES_MAX / 2 } else { random.below(9) };
                (random.text(characters), random.magnitude())
            };
            let offsets = (0..count).map(|_| source()).collect();
            let watermark = random.magnitude().cast_signed();
            WalOperation::Commit { offsets, watermark: (!random.one_in(3)).then_some(watermark) }
        }
        _ => WalOperation::EpochBarrier,
    }
}

/// Entries, some of them in batches: all of a batch but the last say "more", all but the first have delta 0.
fn entries(random: &mut Random) -> Vec<Entry> {
    let mut entries = Vec::new();
    for _ in 0..random.within(1..=8) {
        let batch = if random.one_in(3) { random.within(2..=5) } else { 1 };
        for index in 1..=batch {
            let delta = if index == 1 { random.magnitude() } else { 0 };
            entries.push((index < batch, delta, operation(random)));
        }
    }
    entries
}

fn log_id(random: &mut Random) -> LogId {
    LogId(random.bytes(16).try_into().unwrap())
}

fn core(random: &mut Random) -> CoreId {
    CoreId(u16::try_from(random.below(limits::CORES_MAX)).unwrap())
}

/// Ascending cores, each with what `value` gives it.
fn per_core<T>(random: &mut Random, value: impl Fn(&mut Random) -> T) -> Vec<(CoreId, T)> {
    let count = if random.one_in(40) { limits::CORES_MAX } else { random.within(0..=9) };
    (0..count).map(|_| (core(random), value(random))).collect::<BTreeMap<_, _>>().into_iter().collect()
}

#[test]
fn frames_of_entries_and_batches_come_back_equal() {
    for_each_seed(4_000, |seed| {
        let mut random = Random::new(seed);
        let entries = entries(&mut random);
        let mut payload = encode_entries(&entries);
        let place =
            SegmentSeed::new(log_id(&mut random), core(&mut random), SegmentNumber(random.magnitude()));
        let offset = random.magnitude();
        let mut header = FrameHeader {
            kind: FrameKind::Data,
            flags: 0,
            core: place.core(),
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            entry_count: u32::try_from(entries.len()).unwrap(),
            epoch: Epoch(random.magnitude()),
            first_sequence: Sequence(random.magnitude()),
            base_timestamp: random.magnitude(),
            segment: place.segment(),
            synced_through: random.magnitude(),
            payload_crc: 0,
        };
        payload.resize(header.aligned_payload_bytes(), 0);
        let bytes = [&header.encode(&place, offset, &payload)[..], &payload].concat();
        assert_eq!(bytes.len(), header.frame_bytes());

        let Ok(Found::Header(found)) = Found::at(&place, offset, &bytes) else { panic!("no frame") };
        header.payload_crc = found.payload_crc;
        assert_eq!(found, header);
        let payload = found.check_payload(&place, offset, &payload).unwrap();
        let mut decoder = EntryDecoder::new(payload);
        for (more, delta, operation) in entries {
            let raw = decoder.next_entry().unwrap().unwrap();
            assert_eq!((raw.more, raw.timestamp_delta, raw.operation.to_owned()), (more, delta, operation));
        }
        assert_eq!((decoder.next_entry(), decoder.remaining()), (Ok(None), 0));
    });
}

#[test]
fn offsets_are_the_same_from_a_slice_from_an_owned_operation_and_from_bytes() {
    for_each_seed(2_000, |seed| {
        let mut random = Random::new(seed);
        let owned = operation(&mut random);
        let WalOperation::Commit { offsets, watermark } = &owned else { return };
        let slice: Vec<_> = offsets.iter().map(|(source, offset)| (source.as_str(), *offset)).collect();
        let borrowed = OperationRef::Commit { offsets: Offsets::new(&slice), watermark: *watermark };
        let bytes = encode_entries(&[(false, 0, owned.clone())]);
        let mut again = vec![0; bytes.len()];
        EntryEncoder::new(&mut again).entry(false, 0, &borrowed);
        assert_eq!(again, bytes);
        let decoded = EntryDecoder::new(&bytes).next_entry().unwrap().unwrap().operation;
        assert_eq!((decoded, borrowed), (borrowed, owned.as_ref()));
    });
}

#[test]
fn barriers_and_seals_come_back_equal() {
    for_each_seed(4_000, |seed| {
        let mut random = Random::new(seed);
        let cuts = per_core(&mut random, |random| Sequence(random.magnitude()));
        let barrier = Barrier { durable_epoch: Epoch(random.magnitude()), cuts };
        for (core, cut) in &barrier.cuts {
            assert_eq!(barrier.cut(*core), Some(*cut));
        }
        assert_eq!(barrier.cut(CoreId(u16::MAX)), None);
        let bytes = barrier.encode();
        check(barrier, Barrier::decode(&bytes));
        let seal = Seal {
            entry_count: random.magnitude(),
            next_sequence: Sequence(random.magnitude()),
            last_timestamp: random.magnitude(),
            length: random.magnitude(),
            digest: u32::try_from(random.u64() >> 32).unwrap(),
        };
        check(seal, Seal::decode(&seal.encode()));
    });
}

#[test]
fn headers_come_back_equal() {
    for_each_seed(4_000, |seed| {
        let mut random = Random::new(seed);
        let meta = Meta { log_id: log_id(&mut random) };
        check(meta, Meta::decode(&meta.encode()));
        let run = RunHeader {
            log_id: log_id(&mut random),
            run: random.magnitude(),
            epoch: Epoch(random.magnitude()),
        };
        check(run, RunHeader::decode(&run.encode()));
        let segment = random.magnitude();
        let end = random.magnitude().max(limits::HEADER_BLOCK_BYTES as u64);
        let previous = Previous {
            segment: SegmentNumber(segment.saturating_sub(1)),
            end,
            synced_through: random.magnitude().min(end),
        };
        let follows = segment > 0 && !random.one_in(4);
        let header = SegmentHeader {
            log_id: log_id(&mut random),
            core: core(&mut random),
            segment: SegmentNumber(segment),
            origin: if follows {
                random.pick(&[Origin::Rotation, Origin::Continuation, Origin::Resumption])
            } else {
                Origin::First
            },
            first_sequence: Sequence(random.magnitude()),
            epoch: Epoch(random.magnitude()),
            last_timestamp: random.magnitude(),
            previous: follows.then_some(previous),
        };
        check(HeaderBlock::Header(header), HeaderBlock::decode(&header.encode()));
    });
}

#[test]
fn manifests_come_back_equal() {
    for_each_seed(4_000, |seed| {
        let mut random = Random::new(seed);
        let external = random.one_in(4);
        let next_run = random.magnitude();
        let runs = if external || next_run == 0 { 0 } else { random.within(0..=5) };
        let sources = random.within(0..=6);
        let position = |random: &mut Random| [(); 5].map(|()| random.magnitude());
        let manifest = Manifest {
            log_id: log_id(&mut random),
            external,
            epoch: Epoch(random.magnitude()),
            created_ns: random.magnitude(),
            cores: per_core(&mut random, position)
                .into_iter()
                .map(|(core, [segment, offset, sequence, last_timestamp, last_epoch])| CorePosition {
                    core,
                    segment: SegmentNumber(segment),
                    offset,
                    sequence: Sequence(sequence),
                    last_timestamp,
                    last_epoch: Epoch(last_epoch),
                })
                .collect(),
            offsets: (0..sources)
                .map(|_| {
                    let characters = random.below(20);
                    (random.text(characters), random.magnitude())
                })
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .map(|(source, offset)| SourceOffset { source, offset })
                .collect(),
            watermarks: per_core(&mut random, |random| random.u64().cast_signed()),
            // Each run once.
            runs: (0..runs)
                .map(|_| random.u64() % next_run)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(|run| RunMeta {
                    run,
                    entries: random.magnitude(),
                    length: random.magnitude(),
                    digest: u32::try_from(random.u64() >> 32).unwrap(),
                    epoch: Epoch(random.magnitude()),
                })
                .collect(),
            next_run,
        };
        for position in &manifest.cores {
            assert_eq!(manifest.core(position.core), Some(position));
        }
        let bytes = manifest.encode();
        check(manifest, Manifest::decode(&bytes));
    });
}
