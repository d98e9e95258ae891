//! One core's log: to its end with a verdict, and between two positions of a log that grows.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

use std::sync::Arc;

use wal_format::{
    CoreId, Epoch, FrameKind, LogId, OperationRef, Origin, Seal, SegmentNumber, Sequence, Verdict,
    WalOperation,
};
use wal_reader::testing::{Faults, FaultySource, LogBuilder};
use wal_reader::{LogPosition, MemorySource, Order, PerCoreWalReader, ReadError, Source, Span};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);

fn read(mut reader: PerCoreWalReader) -> Result<Vec<u64>, ReadError> {
    let mut sequences = Vec::new();
    while let Some(entry) = reader.next()? {
        assert_eq!(entry.core_id, A);
        sequences.push(entry.sequence.0);
    }
    assert!(!reader.advance()?, "behind the end there is nothing");
    Ok(sequences)
}

fn open(source: &MemorySource) -> Result<PerCoreWalReader, ReadError> {
    PerCoreWalReader::open(Arc::new(source.clone()), LOG, A, None)
}

fn range(source: &MemorySource, start: LogPosition, end: LogPosition) -> Result<Vec<u64>, ReadError> {
    PerCoreWalReader::range(Arc::new(source.clone()), LOG, A, start, end).and_then(read)
}

/// Twelve frames over three segments; the position before each, and the end.
fn three_segments() -> (LogBuilder, Vec<LogPosition>) {
    let mut log = LogBuilder::new(LOG);
    let mut positions = Vec::new();
    for round in 0..12_u8 {
        if round == 4 || round == 8 {
            log.sync(A);
            log.rotate(A);
        }
        positions.push(log.put(A, &[round], b"value"));
    }
    positions.push(log.end(A));
    (log, positions)
}

#[test]
fn every_operation_comes_back_as_it_was_written() {
    let operations = [
        WalOperation::Put { key: b"key".to_vec(), value: vec![9; 300] },
        WalOperation::Put { key: Vec::new(), value: Vec::new() },
        WalOperation::Delete { key: b"gone".to_vec() },
        WalOperation::Checkpoint { id: u64::MAX },
        WalOperation::Commit {
            offsets: vec![("a".to_owned(), 1), ("b".to_owned(), 1 << 40)],
            watermark: Some(-3),
        },
        WalOperation::Commit { offsets: Vec::new(), watermark: None },
        WalOperation::EpochBarrier,
    ];
    let mut log = LogBuilder::new(LOG);
    let borrowed: Vec<_> = operations.iter().map(WalOperation::as_ref).collect();
    log.batch(A, &borrowed);
    log.batch(A, &borrowed[..1]);
    let mut reader = open(&log.source()).unwrap();
    for (index, operation) in operations.iter().enumerate() {
        assert!(reader.advance().unwrap());
        assert_eq!(reader.entry().operation, operation.as_ref());
        assert_eq!(reader.entry().order_key(), reader.order_key());
        assert_eq!(reader.more_of_batch(), index + 1 < operations.len());
        assert_eq!(reader.position().sequence, Sequence(index as u64));
    }
    assert_eq!(reader.next().unwrap().unwrap().timestamp_ns, 1010);
    assert!(reader.next().unwrap().is_none());
    assert_eq!((reader.entries(), reader.bytes_read() > 0), (8, true));
}

#[test]
fn a_log_is_read_to_its_end_and_the_ending_says_why_it_is_one() {
    let (log, positions) = three_segments();
    let reader = open(&log.source()).unwrap();
    let ending = reader.ending().unwrap().clone();
    assert_eq!((ending.verdict(), ending.position), (Verdict::Clean, positions[12]));
    assert!(ending.evidence.is_some());
    assert_eq!(read(reader).unwrap(), (0..12).collect::<Vec<_>>());
}

#[test]
fn every_range_gives_exactly_its_entries() {
    let (log, positions) = three_segments();
    let source = log.source();
    for (from, start) in positions.iter().enumerate() {
        for (to, end) in positions.iter().enumerate().skip(from) {
            let found = range(&source, *start, *end).unwrap();
            assert_eq!(found, (from as u64..to as u64).collect::<Vec<_>>(), "{start} to {end}");
        }
    }
}

#[test]
fn a_range_never_looks_beyond_its_end() {
    let (log, positions) = three_segments();
    for (count, end) in positions.iter().enumerate().skip(9) {
        let mut source = log.source();
        let bytes = source.get_mut("wal-00000-0000000000000002.log").unwrap();
        // What is being appended at this moment may look like anything.
        bytes[end.offset as usize..].fill(0xab);
        assert_eq!(range(&source, positions[0], *end).unwrap().len(), count);
    }
}

#[test]
fn every_flipped_bit_within_a_range_is_an_error() {
    let (log, positions) = three_segments();
    let intact = log.source();
    let (start, end) = (positions[2], positions[10]);
    for name in ["0000", "0001", "0002"].map(|number| format!("wal-00000-000000000000{number}.log")) {
        for at in 0..intact.get(&name).unwrap().len() {
            let mut damaged = intact.clone();
            damaged.get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
            let is_within = match &name[22..26] {
                "0000" => at < 4096 || at as u64 >= start.offset,
                "0001" => true,
                _ => (at as u64) < end.offset,
            };
            let result = range(&damaged, start, end);
            assert_eq!(result.is_err(), is_within, "{name} byte {at}: {result:?}");
        }
    }
}

#[test]
fn a_range_whose_end_is_not_there_is_an_error() {
    let (log, positions) = three_segments();
    let source = log.source();
    let beyond = LogPosition { offset: positions[12].offset + 8, ..positions[12] };
    assert!(matches!(range(&source, positions[0], beyond), Err(ReadError::Missing(_))));
    let nowhere = LogPosition::start_of(SegmentNumber(9), Sequence(12));
    assert!(matches!(range(&source, positions[0], nowhere), Err(ReadError::Missing(_))));
    let wrong = LogPosition { sequence: Sequence(13), ..positions[12] };
    assert!(matches!(range(&source, positions[0], wrong), Err(ReadError::Corrupt(_))));
    let within = LogPosition { offset: positions[12].offset - 8, ..positions[12] };
    assert!(matches!(range(&source, positions[0], within), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_range_that_begins_at_a_segment_named_before_it_was_made() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    log.core(A).seal();
    let end = log.end(A);
    let named = LogPosition::start_of(SegmentNumber(1), Sequence(1));
    assert_eq!(range(&log.source(), named, end).unwrap(), []);
    log.begin(A, SegmentNumber(3), Origin::Rotation, Some(end));
    log.put(A, b"b", b"value");
    let end = log.end(A);
    assert_eq!(range(&log.source(), named, end).unwrap(), [1]);
}

#[test]
fn the_epoch_bound_of_a_reader_is_exact() {
    let mut log = LogBuilder::new(LOG);
    for epoch in 1..=4 {
        log.set_epoch(epoch);
        log.put(A, b"a", b"value");
        log.put(A, b"a", b"value");
    }
    for epoch in 0..=5 {
        let reader = open(&log.source()).unwrap().up_to(Some(Epoch(epoch)));
        assert_eq!(read(reader).unwrap().len() as u64, 2 * epoch.min(4));
    }
}

#[test]
fn frames_larger_than_the_buffer_are_read() {
    let mut log = LogBuilder::new(LOG);
    let large = vec![5; 1 << 20];
    log.put(A, b"small", b"value");
    log.put(A, b"large", &large);
    log.put(A, b"small", b"value");
    let mut reader = open(&log.source()).unwrap();
    reader.advance().unwrap();
    let entry = reader.next().unwrap().unwrap();
    assert_eq!(entry.operation, OperationRef::Put { key: b"large", value: &large });
    assert_eq!(reader.next().unwrap().unwrap().sequence, Sequence(2));
}

#[test]
fn a_length_that_the_file_cannot_hold_is_damage_and_costs_no_memory() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let at = log.put(A, b"b", b"value");
    let mut source = log.source();
    let bytes = source.get_mut("wal-00000-0000000000000000.log").unwrap();
    // A header that holds, for a payload of which hardly anything is there.
    let header = wal_format::FrameHeader {
        kind: wal_format::FrameKind::Data,
        flags: 0,
        core: A,
        payload_bytes: 64 << 20,
        entry_count: 1,
        epoch: Epoch(1),
        first_sequence: Sequence(1),
        base_timestamp: 1000,
        segment: SegmentNumber(0),
        synced_through: 0,
        payload_crc: 0,
    };
    let seed = wal_format::SegmentSeed::new(LOG, A, SegmentNumber(0));
    let payload = vec![0; header.aligned_payload_bytes()];
    let encoded = header.encode(&seed, at.offset, &payload);
    bytes[at.offset as usize..][..64].copy_from_slice(&encoded);
    let reader = open(&source).unwrap();
    assert_eq!(reader.ending().unwrap().verdict(), Verdict::Torn);
    assert_eq!(read(reader).unwrap(), [0]);
}

#[test]
fn an_io_error_is_never_an_end_of_log() {
    let (log, positions) = three_segments();
    let inner: Arc<dyn Source> = Arc::new(log.source());
    let read_all = |source: FaultySource| {
        let source = Arc::new(source);
        let opened = PerCoreWalReader::open(Arc::clone(&source) as Arc<dyn Source>, LOG, A, None)?;
        let ranged = PerCoreWalReader::range(source, LOG, A, positions[0], positions[12])?;
        Ok::<_, ReadError>((read(opened)?, read(ranged)?))
    };
    let undisturbed = FaultySource::new(Arc::clone(&inner), Faults::default());
    let (all, ranged) = read_all(undisturbed.clone()).unwrap();
    assert_eq!((all.len(), ranged.len()), (12, 12));
    for at in 0..undisturbed.operations() {
        let faults = Faults { fail_at: Some(at), ..Faults::default() };
        let error = read_all(FaultySource::new(Arc::clone(&inner), faults)).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "call {at}: {error}");
    }
    for read_bytes_max in [1, 63, 4097] {
        let faults = Faults { read_bytes_max: Some(read_bytes_max), interrupt: true, ..Faults::default() };
        assert_eq!(read_all(FaultySource::new(Arc::clone(&inner), faults)).unwrap().0, all);
    }
}

#[test]
fn every_flipped_byte_of_a_header_block_is_noticed() {
    let (log, _) = three_segments();
    let intact = log.source();
    for at in 0..4096 {
        let mut damaged = intact.clone();
        damaged.get_mut("wal-00000-0000000000000001.log").unwrap()[at] ^= 0x10;
        assert!(open(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn a_range_over_a_segment_that_begins_with_another_sequence_is_corrupt() {
    let mut log = LogBuilder::new(LOG);
    let start = log.put(A, b"a", b"value");
    let end = log.end(A);
    log.begin(A, SegmentNumber(1), Origin::Rotation, Some(LogPosition { sequence: Sequence(5), ..end }));
    log.put(A, b"b", b"value");
    let end = log.end(A);
    assert!(matches!(range(&log.source(), start, end), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_seal_that_does_not_fit_the_frames_before_it_is_damage() {
    let right = |log: &mut LogBuilder| {
        log.put(A, b"key", b"value");
        let (begin, offset) = (log.core(A).clone(), log.end(A).offset);
        let mut sealed = begin.clone();
        sealed.seal();
        let payload = &sealed.bytes[offset as usize + 64..offset as usize + 104];
        Seal::decode(payload).unwrap()
    };
    let verdict_of = |change: fn(&mut Seal)| {
        let mut log = LogBuilder::new(LOG);
        let mut seal = right(&mut log);
        change(&mut seal);
        log.core(A).frame(FrameKind::Seal, Epoch(1), 0, &seal.encode());
        open(&log.source()).unwrap().ending().unwrap().verdict()
    };
    assert_eq!(verdict_of(|_| {}), Verdict::Clean);
    let wrong: [fn(&mut Seal); 4] = [
        |seal| seal.entry_count += 1,
        |seal| seal.next_sequence = seal.next_sequence.plus(1),
        |seal| seal.length += 8,
        |seal| seal.digest ^= 1,
    ];
    for change in wrong {
        assert_eq!(verdict_of(change), Verdict::Torn);
    }
}

#[test]
fn reading_from_a_position_needs_nothing_before_it() {
    let (mut log, positions) = three_segments();
    log.release(A, SegmentNumber(0));
    log.release(A, SegmentNumber(1));
    for (index, start) in positions.iter().enumerate().take(12).skip(8) {
        let source = Arc::new(log.source());
        let mut reader = PerCoreWalReader::open(source, LOG, A, Some(*start)).unwrap();
        assert_eq!((reader.core(), reader.path()), (A, "memory/wal-00000-0000000000000002.log".into()));
        let count = 12 - index as u64;
        for sequence in index as u64..12 {
            assert_eq!(reader.next().unwrap().unwrap().sequence, Sequence(sequence));
            assert_eq!(reader.position(), positions[sequence as usize]);
        }
        assert!(!reader.advance().unwrap());
        assert_eq!((reader.entries(), reader.bytes_read()), (count, positions[12].offset - start.offset));
    }
    let core = PerCoreWalReader::spans(Arc::new(log.source()), LOG, CoreId(7), Vec::new(), Sequence(0));
    assert_eq!((core.core(), core.path()), (CoreId(7), "memory/wal-00007-0000000000000000.log".into()));
}

#[test]
fn what_a_segment_says_again_is_passed_over_to_the_entry() {
    let mut log = LogBuilder::new(LOG);
    let operation = OperationRef::Delete { key: b"key" };
    for _ in 0..2 {
        log.batch(A, &[operation; 2]);
    }
    // Segment 1 was given up; segment 2 goes on where segment 0 ended, in frames of three entries.
    let end = log.end(A);
    log.begin(A, SegmentNumber(2), Origin::Continuation, Some(end));
    for _ in 0..3 {
        log.batch(A, &[operation; 3]);
    }
    let last = log.end(A);
    assert_eq!(last.sequence, Sequence(13));
    for sequence in 0..=13 {
        let start = LogPosition::start_of(SegmentNumber(1), Sequence(sequence));
        let found = PerCoreWalReader::range(Arc::new(log.source()), LOG, A, start, last);
        if sequence < 4 {
            let error = found.err().unwrap();
            assert!(matches!(&error, ReadError::Missing(_)), "{error}");
            assert!(error.to_string().contains("no segment links it to the start"), "{error}");
            continue;
        }
        let mut reader = found.unwrap();
        let mut sequences = Vec::new();
        while reader.advance().unwrap() {
            sequences.push(reader.entry().sequence.0);
        }
        assert_eq!(sequences, (sequence..13).collect::<Vec<_>>());
        assert_eq!(reader.entries(), 13 - sequence, "what is passed over does not count");
    }
}

/// Reads a range over one good entry and a frame with this many entries and this payload.
fn behind_a_good_one(entries: u64, payload: &[u8]) -> (Vec<u64>, ReadError) {
    let mut log = LogBuilder::new(LOG);
    let start = log.put(A, b"key", b"value");
    log.core(A).frame(FrameKind::Data, Epoch(1), entries, payload);
    let end = log.end(A);
    let mut reader = PerCoreWalReader::range(Arc::new(log.source()), LOG, A, start, end).unwrap();
    let mut found = Vec::new();
    let error = loop {
        match reader.next() {
            Ok(entry) => found.push(entry.unwrap().sequence.0),
            Err(error) => break error,
        }
    };
    assert!(!reader.advance().unwrap(), "behind an error there is nothing");
    (found, error)
}

#[test]
fn a_frame_holds_the_entries_that_its_header_says_and_whole_batches_or_is_corrupt() {
    let entry = |more| {
        let operation = OperationRef::Delete { key: b"key" };
        let mut bytes = vec![0; wal_format::entry::entry_bytes(0, &operation)];
        wal_format::EntryEncoder::new(&mut bytes).entry(more, 0, &operation);
        bytes
    };
    let whole = entry(false);
    for (entries, payload, good) in [
        (1, entry(true), 1),
        (1, [whole.clone(), whole.clone()].concat(), 1),
        (2, whole.clone(), 2),
        (3, [whole.clone(), whole.clone(), vec![0xff]].concat(), 3),
        (2, [whole.clone(), entry(true)].concat(), 2),
    ] {
        let (found, error) = behind_a_good_one(entries, &payload);
        assert_eq!(found, (0..good).collect::<Vec<_>>(), "{entries} entries");
        let ReadError::Corrupt(defect) = error else { panic!("{error}") };
        assert!(defect.reason.starts_with("the frame's checksum holds"), "{}", defect.reason);
    }
}

#[test]
fn a_frame_that_goes_back_behind_the_last_entry_before_it_is_corrupt() {
    for (timestamp, is_refused) in [(999, true), (1000, false)] {
        let mut log = LogBuilder::new(LOG);
        let start = log.put(A, b"key", b"value");
        // The first entry is of 1000; its frame's header says 0.
        log.core(A).timestamp = timestamp;
        log.put(A, b"key", b"value");
        let end = log.end(A);
        let found = range(&log.source(), start, end);
        assert_eq!(found.is_err(), is_refused, "{timestamp}");
        if let Err(error) = found {
            assert!(
                matches!(&error, ReadError::Corrupt(_)) && error.to_string().contains("timestamp"),
                "{error}"
            );
        }
    }
}

#[test]
fn an_empty_stretch_needs_no_file_and_one_behind_a_gap_does_not_go_back() {
    let (log, positions) = three_segments();
    let stretch = |segment: u64, from: u64, to: u64, sequence: u64, after_gap: bool| Span {
        segment: SegmentNumber(segment),
        from,
        to,
        order: Order { sequence: Sequence(sequence), ..Order::default() },
        after_gap,
    };
    let of =
        |spans: Vec<Span>| read(PerCoreWalReader::spans(Arc::new(log.source()), LOG, A, spans, Sequence(0)));
    assert_eq!(of(vec![stretch(9, 4096, 4096, 0, false)]).unwrap(), []);
    let frame = |index: usize, sequence: usize, after_gap| {
        let (from, to) = (positions[index].offset, positions[index + 1].offset);
        stretch(0, from, to, sequence as u64, after_gap)
    };
    for after_gap in [false, true] {
        assert_eq!(of(vec![frame(0, 0, false), frame(1, 1, after_gap)]).unwrap(), [0, 1]);
        assert_eq!(of(vec![frame(0, 0, false), frame(2, 2, after_gap)]).is_ok(), after_gap);
        assert!(of(vec![frame(1, 1, false), frame(0, 0, after_gap)]).is_err());
    }
}

#[test]
fn an_error_shows_as_its_message() {
    let positions = three_segments().1;
    let error = range(&MemorySource::new(), positions[0], positions[3]).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(error.to_string().contains("does not exist"), "{error}");
}
