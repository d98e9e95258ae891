//! How the copy that salvage writes is laid out, byte by byte: read with the decoders of `wal-format` alone, for every
//! size at which its segments may be sealed.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{A, B, LOG, salvage, small};
use wal_format::entry::entry_bytes;
use wal_format::limits::{FRAME_PAYLOAD_BYTES_TARGET, HEADER_BLOCK_BYTES};
use wal_format::{
    Barrier, CoreId, EntryDecoder, Epoch, FileName, Found, FrameHeader, FrameKind, HeaderBlock, LogId,
    OperationRef, Origin, Previous, RunHeader, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
};
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, Source, segment_name};
use wal_recovery::Recovered;
use wal_recovery::salvage::{Salvage, SalvageReport};

const NEW: LogId = LogId([9; 16]);

struct Frame {
    offset: u64,
    header: FrameHeader,
    payload: Vec<u8>,
    /// Bytes of each batch in it.
    batches: Vec<usize>,
    /// Nanoseconds from its base to its last entry.
    nanoseconds: u64,
}

impl Frame {
    fn end(&self) -> u64 {
        self.offset + self.header.frame_bytes() as u64
    }

    fn last_timestamp(&self) -> u64 {
        self.header.base_timestamp + self.nanoseconds
    }

    /// Its payload is as large as it may be, given that `next` was to come.
    fn is_filled_before(&self, next: &Self) -> bool {
        let has_room = self.payload.len() + next.batches[0] <= FRAME_PAYLOAD_BYTES_TARGET;
        !has_room || self.header.epoch != next.header.epoch
    }

    fn is_bounded(&self) -> bool {
        self.payload.len() <= FRAME_PAYLOAD_BYTES_TARGET || self.batches.len() == 1
    }
}

fn frames(bytes: &[u8], seed: &SegmentSeed) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = HEADER_BLOCK_BYTES;
    while at < bytes.len() {
        let Found::Header(header) = Found::at(seed, at as u64, &bytes[at..]).unwrap() else {
            panic!("no frame at {at} of {}", bytes.len());
        };
        let end = at + header.frame_bytes();
        let payload =
            header.check_payload(seed, at as u64, &bytes[end - header.aligned_payload_bytes()..end]).unwrap();
        let (mut batches, mut nanoseconds, mut from) = (Vec::new(), 0, payload.len());
        if header.kind == FrameKind::Data {
            let mut decoder = EntryDecoder::new(payload);
            while let Some(entry) = decoder.next_entry().unwrap() {
                nanoseconds += entry.timestamp_delta;
                if !entry.more {
                    batches.push(from - decoder.remaining());
                    from = decoder.remaining();
                }
            }
        }
        frames.push(Frame { offset: at as u64, header, payload: payload.to_vec(), batches, nanoseconds });
        at = end;
    }
    frames
}

fn segments(place: &Path, core: CoreId) -> Vec<(SegmentHeader, Vec<Frame>, u64)> {
    let read = |segment| {
        let bytes = fs::read(place.join(segment_name(core, segment))).ok()?;
        let HeaderBlock::Header(header) = HeaderBlock::decode(&bytes[..HEADER_BLOCK_BYTES]).unwrap() else {
            panic!("no header in {segment}");
        };
        let frames = frames(&bytes, &SegmentSeed::new(NEW, core, segment));
        Some((header, frames, bytes.len() as u64))
    };
    (0..).map_while(|number| read(SegmentNumber(number))).collect()
}

/// Salvages, and checks all that can be said of the copy's layout. Returns the numbers of segments of each core.
#[track_caller]
fn check(source: &MemorySource, segment_bytes_max: u64) -> Vec<usize> {
    let (_, recovered) = salvage(source).unwrap();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let salvage = Salvage::new(Arc::new(source.clone()) as Arc<dyn Source>).log_id(NEW);
    let report = salvage.segment_bytes_max(segment_bytes_max).write(&out).unwrap();
    let lengths = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert_eq!(report.bytes_written, lengths.sum::<u64>());
    if report.checkpoint_keys > 0 {
        check_run(&out, report.checkpoint_keys);
    }
    let cores = report.cores.iter();
    cores.map(|core| check_core(&out, core.core, &report, &recovered, segment_bytes_max)).collect()
}

fn check_core(
    out: &Path,
    core: CoreId,
    report: &SalvageReport,
    recovered: &Recovered,
    segment_bytes_max: u64,
) -> usize {
    let told = report.cores.iter().find(|salvaged| salvaged.core == core).unwrap();
    let before = recovered.resume.manifest.as_ref().and_then(|manifest| manifest.core(core));
    let mut epoch = before.map_or(Epoch(0), |before| before.last_epoch);
    let mut timestamp = before.map_or(0, |before| before.last_timestamp);
    let (mut sequence, mut previous, mut former): (_, _, Option<&Frame>) = (told.first_sequence, None, None);
    let segments = segments(out, core);
    let (closing, sealed) = segments.split_last().unwrap();
    for (number, (header, frames, length)) in segments.iter().enumerate() {
        let is_closing = number == sealed.len();
        let floor = recovered.resume.timestamp_floor;
        let data: Vec<_> = frames.iter().filter(|frame| frame.header.kind == FrameKind::Data).collect();
        if let Some(first) = data.first().filter(|_| number > 0) {
            epoch = first.header.epoch;
        }
        let expected = SegmentHeader {
            log_id: NEW,
            core,
            segment: SegmentNumber(number as u64),
            origin: if number == 0 { Origin::First } else { Origin::Rotation },
            first_sequence: sequence,
            epoch,
            // What an entry that was lost may have borne is not given out again.
            last_timestamp: if is_closing && number > 0 { timestamp.max(floor) } else { timestamp },
            previous,
        };
        assert_eq!(*header, expected);
        for frame in &data {
            assert_eq!(frame.header.synced_through, frame.offset, "all before is durable");
            assert_eq!((frame.header.base_timestamp, frame.header.first_sequence), (timestamp, sequence));
            assert!(frame.is_bounded());
            if let Some(former) = former {
                assert!(former.is_filled_before(frame), "a frame at {} ended early", former.offset);
            }
            (epoch, timestamp) = (frame.header.epoch, frame.last_timestamp());
            (sequence, former) = (frame.header.next_sequence(), Some(*frame));
        }
        if is_closing {
            assert!(data.is_empty());
            break;
        }
        let (last, next) = (data.last().unwrap(), segments[number + 1].1.first());
        assert!(last.end() <= segment_bytes_max || data.len() == 1, "a segment of {} bytes", last.end());
        if let Some(next) = next.filter(|next| next.header.kind == FrameKind::Data) {
            let bytes = next.header.frame_bytes() as u64;
            assert!(last.end() + bytes > segment_bytes_max, "a segment of {} bytes ended early", last.end());
        }
        let seal = frames.last().unwrap();
        assert_eq!((seal.header.kind, frames.len()), (FrameKind::Seal, data.len() + 1));
        previous =
            Some(Previous { segment: SegmentNumber(number as u64), end: *length, synced_through: *length });
    }
    assert_eq!((sequence, told.entries == 0), (told.next_sequence, sealed.is_empty()));
    let named = Epoch(recovered.resume.next_epoch.0 - 1);
    if named == Epoch(0) {
        assert!(closing.1.is_empty(), "no epoch was ever named");
    } else {
        let [barrier] = closing.1.as_slice() else { panic!("{} frames in the end", closing.1.len()) };
        let cuts = report.cores.iter().map(|core| (core.core, core.next_sequence)).collect();
        let expected = Barrier { durable_epoch: named, cuts };
        assert_eq!((barrier.header.kind, barrier.header.epoch), (FrameKind::Barrier, named));
        assert_eq!(Barrier::decode(&barrier.payload).unwrap(), expected);
        assert_eq!(barrier.header.base_timestamp, timestamp.max(recovered.resume.timestamp_floor));
    }
    segments.len()
}

/// The checkpoint's run: one frame after the other filled, sealed.
fn check_run(out: &Path, keys: u64) {
    let bytes = fs::read(out.join(FileName::Run(0).to_string())).unwrap();
    let header = RunHeader::decode(&bytes[..HEADER_BLOCK_BYTES]).unwrap();
    let frames = frames(&bytes, &header.seed());
    let (seal, data) = frames.split_last().unwrap();
    assert_eq!((seal.header.kind, seal.header.first_sequence), (FrameKind::Seal, Sequence(keys)));
    for (at, frame) in data.iter().enumerate() {
        assert!(frame.is_bounded());
        assert!(data.get(at + 1).is_none_or(|next| frame.is_filled_before(next)), "frame {at} ended early");
        assert_eq!((frame.header.epoch, frame.header.synced_through), (header.epoch, 0));
    }
}

/// The value with which a put of a key of four bytes takes `bytes` in a frame.
fn value_of(bytes: usize) -> Vec<u8> {
    let value = |bytes: usize| vec![7; bytes];
    let taken = |value: &Vec<u8>| entry_bytes(0, &OperationRef::Put { key: &[0; 4], value });
    (0..bytes).map(value).find(|value| taken(value) == bytes).unwrap()
}

#[test]
fn a_core_without_entries_has_one_segment_and_no_barrier_where_no_epoch_was_named() {
    let mut log = LogBuilder::new(LOG);
    log.set_epoch(0);
    log.core(A);
    assert_eq!(check(&log.source(), 8192), [1]);
    log.set_epoch(1);
    log.put(B, b"key", b"value");
    assert_eq!(check(&log.source(), 8192), [1, 2]);
}

#[test]
fn segments_are_filled_to_their_size_and_no_further() {
    let mut counts = Vec::new();
    // Every size at which one frame more, or one less, has room.
    for size in (4096..4096 + 640).step_by(8) {
        let mut log = LogBuilder::new(LOG);
        for round in 0..4_u8 {
            // A frame each: the epoch is another one.
            log.set_epoch(1 + u64::from(round));
            log.batch(A, &[OperationRef::Put { key: &[round], value: &vec![1; 24 * usize::from(round)] }; 2]);
        }
        counts.extend(check(&log.source(), size));
    }
    counts.dedup();
    assert!(counts.is_sorted_by(|a, b| a > b), "{counts:?}");
    assert_eq!((counts.first(), counts.last()), (Some(&5), Some(&2)));
}

#[test]
fn frames_are_filled_to_their_size_and_no_further_and_batches_stay_whole() {
    for bytes in [63, 64, 65, 1024, 21_000, 32_768, 65_536, 70_000] {
        let value = value_of(bytes);
        let mut log = LogBuilder::new(LOG);
        let keys: Vec<_> = (0..3 * FRAME_PAYLOAD_BYTES_TARGET / bytes + 3).map(|key| key as u32).collect();
        let keys: Vec<_> = keys.iter().map(|key| key.to_be_bytes()).collect();
        let state: Vec<_> = keys.iter().map(|key| (&key[..], Some(&value[..]))).collect();
        let mut manifest = log.empty_manifest(1);
        (manifest.runs, manifest.next_run) = (vec![log.run(0, 1, &state)], 1);
        log.manifest(&manifest);
        log.set_epoch(2);
        for (index, key) in keys.iter().enumerate() {
            // Nanoseconds of one byte as a varint, as `value_of` counts them.
            let put = OperationRef::Put { key, value: &value };
            log.batch(A, &vec![put; 1 + index % 2]);
        }
        check(&log.source(), 100_000);
    }
}

#[test]
fn whatever_was_lost_the_copy_is_laid_out_as_ever() {
    let small = small();
    let names: Vec<_> = small.source.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| name.starts_with("wal-0")) {
        for size in (4096..5200).step_by(184) {
            let mut source = small.source.clone();
            source.remove(name);
            check(&source, size);
        }
    }
}
