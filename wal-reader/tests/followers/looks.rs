//! What a look costs: how often the directory is listed, how much is read, how many files are held; and what is waited for.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wal_format::{Epoch, OperationRef, OrderKey, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{CorePoint, Level, MergedFollower, PerCoreWalReader, Position, Source, SourceFile, Start};

use crate::live::{Live, put};
use crate::{A, B, LOG, MIB};

#[test]
fn what_is_needed_begins_with_what_was_found_and_not_handed_out() {
    let mut log = LogBuilder::new(LOG);
    for segment in 0..4 {
        put(&mut log, A);
        log.rotate(A);
        log.release(A, SegmentNumber(segment));
    }
    put(&mut log, A);
    log.rotate(A);
    let mut position = Position::beginning(LOG);
    position.cores.insert(A, CorePoint { next: Sequence(4), ..CorePoint::default() });
    let mut follower = Live::of(&log).merged(Level::Durable, Start::At(position));
    assert!(!follower.advance().unwrap());
    assert_eq!(follower.needed().collect::<Vec<_>>(), [(A, SegmentNumber(4))]);
}

#[test]
fn what_comes_is_waited_for_and_counted_whoever_follows() {
    let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
    live.show(&log.source());
    let mut merged = live.merged(Level::Written, Start::Checkpoint);
    let mut core = live.core(Level::Written, Start::Checkpoint);
    let (short, long) = (Duration::from_millis(2), Duration::from_secs(60));
    assert!(!merged.advance_within(short).unwrap() && !core.advance_within(short).unwrap());
    assert!(merged.next(short).unwrap().is_none() && core.next(short).unwrap().is_none());
    assert_eq!((merged.entries(), core.entries(), merged.epoch()), (0, 0, None));
    log.batch(A, &[OperationRef::Delete { key: b"key" }; 2]);
    put(&mut log, A);
    log.barrier(A, 1, 0, &[(0, 3)]);
    live.show(&log.source());
    assert!(merged.advance_within(long).unwrap() && core.advance_within(long).unwrap());
    for sequence in 1..3 {
        assert_eq!((merged.more_of_batch(), core.more_of_batch()), (sequence == 1, sequence == 1));
        assert_eq!(merged.next(long).unwrap().unwrap().sequence, Sequence(sequence));
        assert_eq!(core.next(long).unwrap().unwrap().sequence, Sequence(sequence));
    }
    assert!(!merged.more_of_batch() && !core.more_of_batch());
    assert_eq!((merged.entries(), core.entries()), (3, 3));
    // Behind all that: nothing of it counts.
    let mut merged = live.merged(Level::Written, Start::End);
    let mut core = live.core(Level::Written, Start::End);
    assert!(!merged.advance().unwrap() && !core.advance().unwrap());
    assert_eq!((merged.entries(), core.entries(), merged.epoch()), (0, 0, Some(Epoch(1))));
}

#[test]
fn a_core_that_has_nothing_is_not_followed_whatever_cuts_say_of_it() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    log.barrier(A, 1, 0, &[(0, 1), (1, 0)]);
    let mut follower = Live::of(&log).merged(Level::Written, Start::Checkpoint);
    assert!(follower.advance().unwrap() && !follower.advance().unwrap());
    assert_eq!(follower.position().cores.keys().copied().collect::<Vec<_>>(), [A]);
    assert_eq!(follower.needed().collect::<Vec<_>>(), [(A, SegmentNumber(0))]);
}

#[test]
fn a_log_that_stands_still_is_looked_at_once_a_call_and_with_a_few_bytes() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    put(&mut log, B);
    log.barrier(A, 1, 0, &[(0, 1), (1, 1)]);
    let live = Live::of(&log);
    let mut merged = live.merged(Level::Written, Start::Checkpoint);
    while merged.advance().unwrap() {}
    live.asked();
    for _ in 0..3 {
        assert!(!merged.advance().unwrap());
        let asked = live.asked();
        assert_eq!((asked.lists, asked.opens, asked.reads), (1, 2, 2), "{asked:?}");
    }
    // Led to what it has handed out already, it looks at nothing.
    merged.lead(Epoch(1), vec![(A, Sequence(1)), (B, Sequence(1))]);
    assert!(!merged.advance().unwrap());
    assert_eq!(live.asked().lists, 0);
    let mut core = live.core(Level::Written, Start::Checkpoint);
    while core.advance().unwrap() {}
    live.asked();
    for _ in 0..3 {
        assert!(!core.advance().unwrap());
        let asked = live.asked();
        assert_eq!((asked.lists, asked.opens, asked.reads), (1, 1, 1), "{asked:?}");
    }
}

/// A log to which something happens with every look at it.
struct Looked<F> {
    live: Live,
    at_look: Mutex<F>,
}

impl<F: FnMut(&Live) + Send> Source for Looked<F> {
    fn names(&self) -> io::Result<Vec<String>> {
        (self.at_look.lock().unwrap())(&self.live);
        self.live.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.live.open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.live.path(name)
    }
}

#[test]
fn a_log_that_never_stands_still_is_looked_at_five_times_a_call() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    let live = Live::of(&log);
    // It grows, and never says that anything is durable or closed.
    let at_look = Mutex::new(move |live: &Live| {
        put(&mut log, A);
        live.show(&log.source());
    });
    let source: Arc<dyn Source> = Arc::new(Looked { live: live.clone(), at_look });
    let mut core =
        PerCoreWalReader::follow(Arc::clone(&source), LOG, A, Level::Durable, Start::Checkpoint).unwrap();
    let mut merged = MergedFollower::new(source, Level::Written, Start::Checkpoint).unwrap();
    live.asked();
    for _ in 0..3 {
        assert!(!core.advance().unwrap());
        assert_eq!(live.asked().lists, 5);
        assert!(!merged.advance().unwrap());
        assert_eq!(live.asked().lists, 5);
    }
}

#[test]
fn a_follower_that_is_far_behind_reads_ahead_in_parts_and_holds_few_files() {
    let mut log = LogBuilder::new(LOG);
    let value = vec![0; MIB];
    for _ in 0..36 {
        log.put(A, b"key", &value);
        log.sync(A);
        log.rotate(A);
    }
    put(&mut log, B);
    log.barrier(B, 1, 0, &[(0, 36), (1, 1)]);
    log.barrier(B, 2, 1, &[(0, 36), (1, 1)]);
    let live = Live::of(&log);
    let mut core = live.core(Level::Written, Start::Checkpoint);
    assert!(core.advance().unwrap());
    let asked = live.asked();
    // The trail's part, and the reader's first frame.
    assert!((16 * MIB..19 * MIB).contains(&(asked.bytes as usize)), "{asked:?}");
    assert_eq!(asked.held, 10, "eight that were found, one that is read, one where it looks on");
    for sequence in 1..36 {
        assert!(core.advance().unwrap());
        assert_eq!(core.entry().sequence, Sequence(sequence));
        assert!(live.asked().held < 10);
    }
    // Everything is handed out: what it stands in is held, and no segment that is complete.
    assert!(!core.advance().unwrap());
    assert!(!core.advance().unwrap());
    assert_eq!(live.asked().held, 1);
    log.core(A).seal();
    live.show(&log.source());
    assert!(!core.advance().unwrap());
    assert!(!core.advance().unwrap());
    assert_eq!(live.asked().held, 0);
    for level in [Level::Written, Level::Durable] {
        let mut merged = live.merged(level, Start::Checkpoint);
        // In one call, however many parts that takes.
        for index in 0..37 {
            assert!(merged.advance().unwrap(), "{level:?}");
            let OrderKey { core_id, sequence, .. } = merged.entry().order_key();
            let needed: Vec<_> = merged.needed().map(|(core, segment)| (core, segment.0)).collect();
            let (core, segment) = (core_id, needed[0]);
            if index == 36 {
                assert_eq!((core, needed), (B, vec![(A, 37), (B, 0)]), "{level:?}");
            } else {
                // The segment of the entry, until it was the last: then the one behind the seal.
                let expected = if index < 35 { index } else { 37 };
                assert_eq!((core, sequence, segment), (A, Sequence(index), (A, expected)), "{level:?}");
            }
        }
        assert!(!merged.advance().unwrap());
    }
}

#[test]
fn a_wait_ends_with_what_it_waits_for_or_when_the_time_is_over() {
    let mut log = LogBuilder::new(LOG);
    let live = Live::of(&log);
    put(&mut log, A);
    let (after, mut looks) = (log.source(), 0);
    // Its end comes with the third look.
    let at_look = Mutex::new(move |live: &Live| {
        looks += 1;
        if looks == 3 {
            live.show(&after);
        }
    });
    let late = Looked { live: live.clone(), at_look };
    let mut follower =
        PerCoreWalReader::follow(Arc::new(late), LOG, A, Level::Written, Start::Checkpoint).unwrap();
    assert!(follower.advance_within(Duration::from_secs(60)).unwrap());
    let before = Instant::now();
    assert!(!follower.advance_within(Duration::from_millis(5)).unwrap());
    assert!(before.elapsed() >= Duration::from_millis(5));
}

#[test]
fn a_frame_that_is_written_in_part_is_no_news() {
    let mut log = LogBuilder::new(LOG);
    let at = log.put(A, b"key", &[0; 500]);
    let mut files = log.source();
    let bytes = files.get_mut("wal-00000-0000000000000000.log").unwrap();
    bytes.truncate(at.offset as usize + 200);
    let live = Live::default();
    live.show(&files);
    let mut follower = live.core(Level::Written, Start::Checkpoint);
    live.asked();
    for _ in 0..3 {
        assert!(!follower.advance().unwrap());
        assert_eq!(live.asked().lists, 1);
    }
    live.show(&log.source());
    assert!(follower.advance().unwrap());
}

#[test]
fn small_frames_are_stepped_over_in_ever_larger_reads() {
    let mut log = LogBuilder::new(LOG);
    let value = vec![0; 900];
    for _ in 0..4 * MIB / 1000 {
        log.put(A, b"key", &value);
    }
    let live = Live::of(&log);
    let mut follower = live.core(Level::Durable, Start::Checkpoint);
    live.asked();
    // Nothing is proven, so that nothing is read but by the trail: 64 bytes, and then a piece, again and again.
    assert!(!follower.advance().unwrap());
    let asked = live.asked();
    assert!(asked.reads < 60 && asked.bytes < 5 * MIB as u64, "{asked:?}");
    // What comes bit by bit is read bit by bit, whatever lies behind it.
    for _ in 0..6 {
        log.put(A, b"key", &value);
        let mut files = log.source();
        let bytes = files.get_mut("wal-00000-0000000000000000.log").unwrap();
        bytes.resize(bytes.len() + MIB, 0);
        live.show(&files);
        live.asked();
        assert!(!follower.advance().unwrap());
    }
    let bytes = live.asked().bytes;
    assert!(bytes < 9000, "{bytes}");
}
