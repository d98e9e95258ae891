//! What a scan says of one core's files, to the byte: which files are the log, where it begins and ends, what was read of it
//! and what was passed over. What follows from that for all cores together: `wal-recovery/tests/chains.rs`.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]

use wal_format::{CoreId, Epoch, LogId, OperationRef, Origin, SegmentNumber, Sequence, Verdict};
use wal_reader::testing::LogBuilder;
use wal_reader::{
    Barren, Chain, CoreScan, Discarded, EpochStart, Inventory, LogPosition, MemorySource, Order, ReadError,
    ScanOptions, Span, StopReason,
};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const HEADER: u64 = 4096;

fn name(segment: u64) -> String {
    format!("wal-00000-{segment:016x}.log")
}

fn scan(source: &MemorySource, options: &ScanOptions<'_>) -> Result<CoreScan, ReadError> {
    let segments = Inventory::list(source).unwrap();
    CoreScan::run(source, LOG, A, segments.segments_of(A), options)
}

fn find(source: &MemorySource, start: Option<LogPosition>) -> Chain {
    let segments = Inventory::list(source).unwrap();
    Chain::find(source, LOG, A, segments.segments_of(A), start, &|_, _| false).unwrap()
}

fn put(log: &mut LogBuilder) -> LogPosition {
    log.put(A, b"key", b"value")
}

/// One frame of three entries.
fn batch(log: &mut LogBuilder) -> LogPosition {
    log.batch(A, &[OperationRef::Delete { key: b"key" }; 3])
}

#[test]
fn spans_epochs_and_bytes_are_those_of_the_frames() {
    let mut log = LogBuilder::new(LOG);
    let mut starts = Vec::new();
    let mut spans = Vec::new();
    let mut epoch = 0;
    for segment in 0..4_u64 {
        let header = log.core(A).header;
        let order = Order { sequence: header.first_sequence, ..Order::default() }.raised_by(&header);
        // The segment with number 2 was begun, and nothing came into it.
        for frame in 0..if segment == 2 { 0 } else { 5_u64 } {
            // A new epoch with every other frame: its entries come first, then, in the next segment, its barrier.
            let is_new = frame % 2 == 0;
            epoch += u64::from(is_new);
            log.set_epoch(epoch);
            let CoreOrder { order: before, position } = core_order(&mut log);
            let has_entries = segment != 1 || frame % 2 == 1;
            if has_entries {
                put(&mut log);
            } else {
                log.barrier(A, epoch, 0, &[]);
            }
            if is_new {
                starts.push(EpochStart { epoch: Epoch(epoch), position, has_entries, before });
            }
        }
        let end = log.end(A);
        if segment < 3 && segment != 2 {
            log.sync(A);
            log.rotate(A);
        } else if segment == 2 {
            log.begin(A, SegmentNumber(3), Origin::Resumption, Some(end));
        }
        // The seal is part of it.
        let to = log.source().get(&name(segment)).unwrap().len() as u64;
        if to > HEADER {
            spans.push(Span { segment: SegmentNumber(segment), from: HEADER, to, order, after_gap: false });
        }
    }
    let source = log.source();
    let found = scan(&source, &ScanOptions::default()).unwrap();
    assert_eq!(found.epoch_starts, starts);
    assert_eq!(found.spans, spans);
    assert_eq!(found.bytes_read, spans.iter().map(|span| span.to - span.from).sum::<u64>());
    assert_eq!((found.begin, found.end), (LogPosition::start_of(SegmentNumber(0), Sequence(0)), log.end(A)));
    assert_eq!((found.begins_later, found.discarded), (None, Discarded::default()));
}

struct CoreOrder {
    order: Order,
    position: LogPosition,
}

/// Where the log ends now, and what a frame there follows from.
fn core_order(log: &mut LogBuilder) -> CoreOrder {
    let core = log.core(A);
    let order = Order { sequence: core.sequence, epoch: core.epoch, timestamp: core.timestamp };
    CoreOrder { order, position: core.end() }
}

#[test]
fn of_the_barriers_of_durable_epochs_the_last_is_kept_and_in_salvage_all() {
    let mut log = LogBuilder::new(LOG);
    for epoch in 1..=6 {
        log.barrier(A, epoch, epoch.saturating_sub(2), &[(0, 0)]);
    }
    for (salvage, expected) in [(false, vec![4, 5, 6]), (true, vec![1, 2, 3, 4, 5, 6])] {
        let found = scan(&log.source(), &ScanOptions { salvage, ..ScanOptions::default() }).unwrap();
        let epochs: Vec<_> = found.barriers.iter().map(|found| found.epoch.0).collect();
        assert_eq!((epochs, found.durable_epoch), (expected, Some(Epoch(4))), "salvage: {salvage}");
    }
}

#[test]
fn whole_frames_behind_the_end_are_counted_with_their_entries() {
    let mut log = LogBuilder::new(LOG);
    let torn = put(&mut log);
    let first = batch(&mut log);
    batch(&mut log);
    log.barrier(A, 1, 0, &[]);
    let end = log.end(A);
    let mut source = log.source();
    source.get_mut(&name(0)).unwrap()[torn.offset as usize + 70] ^= 1;
    let found = scan(&source, &ScanOptions::default()).unwrap();
    assert_eq!(found.end, torn);
    let bytes = end.offset - first.offset;
    assert_eq!(found.discarded, Discarded { frames: 3, entries: 6, bytes, residue: true });
    assert_eq!(found.spans, [], "a segment of which nothing can be read has no span");
}

#[test]
fn what_was_searched_is_not_searched_again_if_the_log_ends_where_that_began() {
    let mut log = LogBuilder::new(LOG);
    let torn = put(&mut log);
    let second = put(&mut log);
    put(&mut log);
    let mut source = log.source();
    source.get_mut(&name(0)).unwrap()[torn.offset as usize + 70] ^= 1;
    let barren = |segment, from| Barren { segment: SegmentNumber(segment), from, residue: false };
    let (here, above, other) = (barren(0, torn.offset), barren(0, second.offset), barren(1, torn.offset));
    for (barren, frames) in [
        (&[][..], 2),
        (&[other], 2),
        (&[above], 2),
        (&[here], 0),
        (&[other, above, here], 0),
        (&[here, other, above], 0),
    ] {
        let found = scan(&source, &ScanOptions { barren, ..ScanOptions::default() }).unwrap();
        assert_eq!((found.end, found.discarded.frames), (torn, frames), "{barren:?}");
        assert_eq!(found.discarded.residue, frames > 0, "{barren:?}");
    }
    let found =
        scan(&source, &ScanOptions { barren: &[Barren { residue: true, ..here }], ..ScanOptions::default() });
    assert!(found.unwrap().discarded.residue, "what the search found counts");
    // In the file above as well.
    source.insert(name(1), vec![0; 8192]);
    let both = [Barren { residue: true, ..here }, Barren { residue: true, ..barren(1, HEADER) }];
    let found = scan(&source, &ScanOptions { barren: &both, ..ScanOptions::default() }).unwrap();
    assert!(found.discarded.residue);
    assert_eq!(found.prepared, [SegmentNumber(1)]);
}

#[test]
fn a_stretch_is_barren_unless_a_header_of_this_very_file_stands_in_it() {
    let mut log = LogBuilder::new(LOG);
    let first = put(&mut log);
    let second = put(&mut log);
    let end = log.end(A).offset;
    let source = log.source();
    let find = |source: &MemorySource, segment, from| {
        Barren::find(source, LOG, A, SegmentNumber(segment), from).unwrap()
    };
    let barren = |segment, from, residue| Some(Barren { segment: SegmentNumber(segment), from, residue });
    assert_eq!(find(&source, 0, first.offset), None);
    assert_eq!(find(&source, 0, second.offset), None);
    assert_eq!(
        find(&source, 0, second.offset + 8),
        barren(0, second.offset + 8, true),
        "from behind its header"
    );
    assert_eq!(find(&source, 0, end), barren(0, end, false), "nothing");
    assert_eq!(find(&source, 1, HEADER), None, "no file");
    let mut source = source;
    let used = source.get(&name(0)).unwrap().to_vec();
    source.insert(name(3), used);
    assert_eq!(find(&source, 3, HEADER), barren(3, HEADER, false), "the file's former life");
}

#[test]
fn a_file_without_a_header_is_prepared_unless_frames_of_its_own_are_in_it() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log);
    log.sync(A);
    log.rotate(A);
    put(&mut log);
    let mut source = log.source();
    source.get_mut(&name(1)).unwrap()[..HEADER as usize].fill(0);
    source.insert(name(2), vec![0; 8192]);
    let found = scan(&source, &ScanOptions::default()).unwrap();
    // Its frame was written when nothing of that file was durable: it proves nothing of the one before either.
    assert_eq!(found.proofs, []);
    assert_eq!((found.damaged, found.prepared), (vec![SegmentNumber(1)], vec![SegmentNumber(2)]));
    assert!(found.discarded.residue);
}

#[test]
fn zeros_before_the_end_of_a_segment_are_zeros_whatever_stands_above_the_chain() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log);
    let lost = put(&mut log);
    log.sync(A);
    log.rotate(A);
    put(&mut log);
    let mut source = log.source();
    source.get_mut(&name(0)).unwrap()[lost.offset as usize..].fill(0);
    source.insert(name(2), vec![0xee; 8192]);
    let found = scan(&source, &ScanOptions::default()).unwrap();
    assert_eq!((&found.reason, found.end), (&StopReason::Nothing, lost));
    assert_eq!(found.ending(None).verdict(), Verdict::Missing);
    // Where the last segment ends, the damaged file is what is met.
    let mut source = log.source();
    source.insert(name(2), vec![0xee; 8192]);
    let found = scan(&source, &ScanOptions::default()).unwrap();
    let is_successor = matches!(found.reason, StopReason::Successor { segment: SegmentNumber(2), .. });
    assert!(is_successor && found.end == log.end(A), "{:?}", found.reason);
}

#[test]
fn a_log_begins_later_only_if_entries_are_missing_before_its_first() {
    for entries in 0..3 {
        let mut log = LogBuilder::new(LOG);
        for _ in 0..entries {
            put(&mut log);
        }
        log.sync(A);
        log.rotate(A);
        log.release(A, SegmentNumber(0));
        let found = scan(&log.source(), &ScanOptions::default()).unwrap();
        assert_eq!(found.begins_later, Some(Sequence(entries)).filter(|first| first.0 > 0));
    }
}

/// Twelve frames in three segments, and where each stands.
fn three_segments() -> (LogBuilder, Vec<LogPosition>) {
    let mut log = LogBuilder::new(LOG);
    let mut positions = Vec::new();
    for frame in 0..12 {
        if frame == 4 || frame == 8 {
            log.sync(A);
            log.rotate(A);
        }
        positions.push(put(&mut log));
    }
    (log, positions)
}

#[test]
fn what_will_be_replayed_is_passed_by_with_its_headers_and_nothing_else_is() {
    let (log, positions) = three_segments();
    let ends: Vec<_> = positions.iter().map(|at| (at.segment, at.offset + 64 + 16)).collect();
    for (frame, at) in positions.iter().enumerate() {
        let mut source = log.source();
        source.get_mut(&name(at.segment.0)).unwrap()[at.offset as usize + 66] ^= 1;
        for (last, replayed) in ends.iter().enumerate() {
            let options = ScanOptions { replayed: Some(*replayed), ..ScanOptions::default() };
            let found = scan(&source, &options).unwrap();
            // What follows in another way needs the last timestamp before it: at the end of a segment, and of the stretch.
            let is_last = frame == last || frame % 4 == 3;
            let is_noticed = frame > last || is_last;
            assert_eq!(found.end == *at, is_noticed, "frame {frame}, replayed through {last}");
            // To the byte: one less, and the frame is not part of it.
            let short = (replayed.0, replayed.1 - 1);
            let options = ScanOptions { replayed: Some(short), ..ScanOptions::default() };
            let found = scan(&source, &options).unwrap();
            assert_eq!(found.end == *at, is_noticed || frame + 1 == last, "frame {frame}, before {last}");
        }
    }
}

#[test]
fn a_checkpoint_beyond_where_its_segment_ends_is_a_contradiction() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log);
    let end = put(&mut log);
    let beyond = log.end(A);
    log.begin(A, SegmentNumber(1), Origin::Resumption, Some(end));
    put(&mut log);
    let source = log.source();
    for (start, is_corrupt) in
        [(end, false), (beyond, true), (LogPosition { offset: end.offset + 1, ..end }, true)]
    {
        match scan(&source, &ScanOptions { start: Some(start), ..ScanOptions::default() }) {
            Ok(found) => assert!(!is_corrupt && found.spans.len() == 1, "{start}: {:?}", found.spans),
            Err(ReadError::Corrupt(defect)) => {
                assert!(is_corrupt, "{start}: {defect:?}");
                assert_eq!((defect.segment, defect.offset), (end.segment, end.offset));
            }
            Err(error) => panic!("{start}: {error}"),
        }
    }
    // Of a segment behind it the checkpoint says nothing.
    let short = LogPosition::start_of(SegmentNumber(0), Sequence(0));
    assert_eq!(find(&source, Some(short)).read_from(), short);
}

#[test]
fn reading_begins_at_the_checkpoint_or_with_the_segment_that_the_log_went_on_in_without_a_gap() {
    let (mut log, positions) = three_segments();
    // Segment 2 was given up: segment 3 goes on from the end of segment 1, and says entries 8 to 11 again.
    let end = LogPosition {
        sequence: Sequence(8),
        offset: log.source().get(&name(1)).unwrap().len() as u64,
        ..positions[4]
    };
    log.begin(A, SegmentNumber(3), Origin::Continuation, Some(end));
    let again: Vec<_> = (0..6).map(|_| put(&mut log)).collect();
    let source = log.source();
    for start in &positions {
        let chain = find(&source, Some(*start));
        let is_given_up = start.segment == SegmentNumber(2);
        let from = if is_given_up { again[0] } else { *start };
        assert_eq!(chain.read_from(), from, "{start}");
        let found = scan(&source, &ScanOptions { start: Some(*start), ..ScanOptions::default() }).unwrap();
        let first = found.spans.first().unwrap();
        assert_eq!((first.segment, first.from), from.place(), "{start}");
        assert_eq!(found.end, log.end(A));
    }
    // Where the checkpoint stands before what it begins with, entries are missing.
    let early = LogPosition::start_of(SegmentNumber(2), Sequence(7));
    let chain = find(&source, Some(early));
    assert_eq!((chain.links.len(), chain.begin), (0, early));
    let found = scan(&source, &ScanOptions { start: Some(early), ..ScanOptions::default() }).unwrap();
    assert_eq!(found.ending(None).verdict(), Verdict::Missing);
}

#[test]
fn every_file_is_in_the_chain_or_above_it_or_jumped_over_or_not_needed() {
    let mut log = LogBuilder::new(LOG);
    let mut ends = Vec::new();
    for segment in 1..6 {
        put(&mut log);
        ends.push(log.end(A));
        // Segment 3 is given up: segment 4 goes on where segment 2 ends.
        let previous = if segment == 4 { ends[2] } else { log.end(A) };
        log.begin(A, SegmentNumber(segment), Origin::Resumption, Some(previous));
    }
    let mut whole = log.source();
    whole.insert(name(7), vec![0; 8192]);
    let check = |source: &MemorySource, start: Option<u64>, expected: [&[u64]; 4]| {
        let start = start.map(|segment| LogPosition::start_of(SegmentNumber(segment), Sequence(segment)));
        let chain = find(source, start);
        let found = [
            chain.links.iter().map(|link| link.header.segment.0).collect::<Vec<_>>(),
            chain.above.iter().map(|above| above.segment.0).collect(),
            chain.superseded.iter().map(|segment| segment.0).collect(),
            chain.obsolete.iter().map(|segment| segment.0).collect(),
        ];
        assert_eq!(found, expected.map(<[u64]>::to_vec), "{start:?}");
        chain
    };
    check(&whole, None, [&[0, 1, 2, 4, 5], &[7], &[3], &[]]);
    check(&whole, Some(2), [&[2, 4, 5], &[7], &[3], &[0, 1]]);
    check(&whole, Some(3), [&[4, 5], &[7], &[3], &[0, 1, 2]]);
    for segment in [0, 1, 2, 4] {
        // Without segment 4, nothing says that segment 3 was given up.
        let superseded: &[u64] = if segment == 4 { &[] } else { &[3] };
        let (below, above): (Vec<u64>, Vec<u64>) =
            [0, 1, 2, 3, 4, 5, 7].iter().filter(|at| !superseded.contains(at)).partition(|at| **at < segment);
        for is_there in [false, true] {
            let mut source = whole.clone();
            if is_there {
                source.get_mut(&name(segment)).unwrap()[..100].fill(0xee);
            } else {
                source.remove(&name(segment));
            }
            let chain = check(&source, None, [&below, &above, superseded, &[]]);
            let ends: Vec<_> = chain.above.iter().map(|above| above.end).collect();
            let expected = above.iter().map(|above| match above {
                5 | 7 => None,
                linked => Some(length_of(&whole, *linked)),
            });
            assert_eq!(ends, expected.collect::<Vec<_>>(), "without segment {segment}");
        }
    }
}

/// How long the file of a segment is.
fn length_of(source: &MemorySource, segment: u64) -> u64 {
    source.get(&name(segment)).unwrap().len() as u64
}
