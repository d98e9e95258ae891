//! Files that go, come late, or show for a while what they do not have.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wal_format::{CorePosition, Epoch, LogId, Manifest, OperationRef, Origin, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{
    CorePoint, FollowError, Level, LogPosition, MemorySource, MergedFollower, PerCoreWalReader, Position,
    ReadError, Source, SourceFile, Start,
};

use crate::live::{Live, put};
use crate::{A, B, LOG};

#[test]
fn cuts_of_a_life_that_an_opening_ended_do_not_hold_back_what_the_next_one_wrote() {
    for level in [Level::Durable, Level::Written] {
        let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
        put(&mut log, A);
        log.barrier(A, 1, 0, &[(0, 1), (1, 0)]);
        let (end, timestamp) = (log.end(A), log.core(A).timestamp);
        log.set_epoch(2);
        put(&mut log, A);
        log.barrier(A, 2, 1, &[(0, 2), (1, 0)]);
        live.show(&log.source());
        let mut follower = live.merged(level, Start::Checkpoint);
        if level == Level::Durable {
            assert!(follower.advance().unwrap() && !follower.advance().unwrap());
            assert_eq!(follower.epoch(), Some(Epoch(1)));
        }
        // Epoch 2 was not durable, and is lost; the next life has one of that number, with an entry of core 1.
        let core = log.core(A);
        (core.epoch, core.timestamp) = (Epoch(1), timestamp);
        log.begin(A, SegmentNumber(1), Origin::Resumption, Some(end));
        log.barrier(A, 1, 1, &[(0, 1), (1, 0)]);
        put(&mut log, A);
        put(&mut log, B);
        log.barrier(B, 2, 1, &[(0, 2), (1, 1)]);
        log.barrier(A, 3, 2, &[(0, 2), (1, 1)]);
        live.show(&log.source());
        let mut found = Vec::new();
        while follower.advance().unwrap() {
            let entry = follower.entry();
            found.push((entry.epoch.0, entry.core_id.0, entry.sequence.0));
        }
        let first = if level == Level::Durable { 1 } else { 0 };
        assert_eq!(found, [(1, 0, 0), (2, 0, 1), (2, 1, 0)][first..], "{level:?}");
    }
}

#[test]
fn what_was_found_is_handed_out_although_its_files_are_gone() {
    let mut log = LogBuilder::new(LOG);
    for _ in 0..7 {
        put(&mut log, A);
        log.sync(A);
        log.rotate(A);
    }
    let live = Live::of(&log);
    let mut follower = live.core(Level::Written, Start::Checkpoint);
    assert!(follower.advance().unwrap());
    live.show(&LogBuilder::new(LOG).source());
    for sequence in 1..7 {
        assert!(follower.advance().unwrap());
        assert_eq!(follower.entry().sequence, Sequence(sequence));
    }
    // Nothing says that it was released: it was taken away.
    assert!(matches!(follower.advance(), Err(FollowError::TakenBack { core: A, sequence: Sequence(6) })));
}

#[test]
fn a_release_of_what_was_read_to_its_end_is_told_when_the_log_goes_on_beyond() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    let live = Live::of(&log);
    let mut follower = live.core(Level::Written, Start::Checkpoint);
    assert!(follower.advance().unwrap() && !follower.advance().unwrap());
    put(&mut log, A);
    log.rotate(A);
    put(&mut log, A);
    log.release(A, SegmentNumber(0));
    let core = CorePosition {
        core: A,
        segment: SegmentNumber(1),
        offset: 4096,
        sequence: Sequence(2),
        last_timestamp: 0,
        last_epoch: Epoch(1),
    };
    log.manifest(&Manifest { cores: vec![core], ..log.empty_manifest(1) });
    let mut files = log.source();
    files.remove("wal-00000-0000000000000001.log");
    for files in [files, log.source()] {
        live.show(&files);
        let error = (0..6).find_map(|_| follower.advance().err()).unwrap();
        let FollowError::FellBehind { core: A, wanted, oldest } = error else { panic!("{error}") };
        assert_eq!((wanted, oldest), (Sequence(1), Sequence(2)));
    }
}

#[test]
fn a_position_that_does_not_know_the_entry_before_it_is_not_compared() {
    let mut log = LogBuilder::new(LOG);
    for _ in 0..3 {
        put(&mut log, A);
    }
    log.barrier(A, 1, 0, &[(0, 3)]);
    let mut position = Position::beginning(LOG);
    position.cores.insert(A, CorePoint { next: Sequence(2), ..CorePoint::default() });
    let mut follower = Live::of(&log).core(Level::Written, Start::At(position.clone()));
    assert!(follower.advance().unwrap());
    assert_eq!(follower.entry().sequence, Sequence(2));
    let mut follower = Live::of(&log).merged(Level::Written, Start::At(position));
    assert!(follower.advance().unwrap());
    assert_eq!(follower.entry().sequence, Sequence(2));
    let other = Position::beginning(LogId([8; 16]));
    let error = MergedFollower::new(Live::of(&log).source(), Level::Written, Start::At(other)).err().unwrap();
    assert!(
        matches!(error, FollowError::OtherLog { expected: LogId(expected), found: LOG } if expected == [8; 16])
    );
}

/// Shows damage in what is read by the opens of these numbers, and the files as they are by all others.
struct Damaging {
    files: MemorySource,
    opens: Mutex<u64>,
    damaged: Vec<u64>,
}

impl Source for Damaging {
    fn names(&self) -> io::Result<Vec<String>> {
        self.files.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let mut opens = self.opens.lock().unwrap();
        *opens += 1;
        let mut files = self.files.clone();
        if self.damaged.contains(&opens)
            && let Some(bytes) = files.get_mut(name)
            && let Some(byte) = bytes.get_mut(4096 + 70)
        {
            *byte ^= 1;
        }
        files.open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }
}

#[test]
fn damage_that_is_seen_once_is_none_and_damage_that_stays_for_a_while_is_passed_when_it_is_gone() {
    let mut log = LogBuilder::new(LOG);
    for _ in 0..3 {
        put(&mut log, A);
        put(&mut log, A);
        log.sync(A);
        log.rotate(A);
    }
    log.barrier(A, 1, 0, &[(0, 6)]);
    for from in 1..40 {
        for count in [1, 2, 3, 30] {
            let damaged = (from..from + count).collect();
            let source: Arc<dyn Source> =
                Arc::new(Damaging { files: log.source(), opens: Mutex::new(0), damaged });
            let start = Start::Checkpoint;
            let mut core =
                PerCoreWalReader::follow(Arc::clone(&source), LOG, A, Level::Written, start).unwrap();
            let mut found = Vec::new();
            for _ in 0..40 {
                match core.advance() {
                    Ok(true) => found.push(core.entry().sequence.0),
                    Ok(false) => {}
                    Err(FollowError::Read(error)) => {
                        let is_damage = matches!(error, ReadError::Corrupt(_) | ReadError::Missing(_));
                        assert!(is_damage && count > 2, "{from} {count}: {error}");
                    }
                    Err(error) => panic!("{from} {count}: {error}"),
                }
            }
            assert_eq!(found, [0, 1, 2, 3, 4, 5], "{from} {count}");
        }
    }
}

#[test]
fn less_than_was_there_is_damage_only_when_it_stays_so() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    put(&mut log, A);
    log.sync(A);
    let second_synced = log.end(A);
    put(&mut log, A);
    log.rotate(A);
    let whole = log.source();
    let name = "wal-00000-0000000000000000.log";
    // The second frame is not whole yet, or not any more; the header of the next segment says that it was synced.
    let mut damaged = whole.clone();
    damaged.get_mut(name).unwrap()[second_synced.offset as usize - 20] ^= 1;
    let before = Live::of(&log);
    let mut follower = before.core(Level::Written, Start::Checkpoint);
    for _ in 0..2 {
        assert!(follower.advance().unwrap());
    }
    for start in [Start::Checkpoint, Start::At(follower.position())] {
        let is_behind = start == Start::Checkpoint;
        for looks in 0..=2 {
            let live = Live::default();
            live.show(&damaged);
            let mut follower = live.core(Level::Written, start.clone());
            if is_behind {
                assert!(follower.advance().unwrap(), "the first entry is whole");
            }
            // Three looks may find too little: the first of these calls, or the one above, is one of its own.
            for _ in 0..looks {
                assert!(!follower.advance().unwrap(), "{looks} looks");
            }
            if looks == 2 {
                assert!(matches!(follower.advance(), Err(FollowError::Read(_))));
                assert!(matches!(follower.advance(), Ok(false)), "it begins anew");
            }
            live.show(&whole);
            let first = if is_behind { 1 } else { 2 };
            for sequence in first..3 {
                assert!(follower.advance().unwrap(), "{looks} looks");
                assert_eq!(follower.entry().sequence, Sequence(sequence));
            }
            assert!(!follower.advance().unwrap());
        }
    }
}

#[test]
fn a_segment_that_is_linked_to_and_not_there_yet_is_waited_for() {
    for looks in 0..=4 {
        let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
        put(&mut log, A);
        live.show(&log.source());
        let mut follower = live.core(Level::Written, Start::Checkpoint);
        assert!(follower.advance().unwrap() && !follower.advance().unwrap());
        log.rotate(A);
        put(&mut log, A);
        log.rotate(A);
        put(&mut log, A);
        let mut without = log.source();
        without.remove("wal-00000-0000000000000001.log");
        live.show(&without);
        for _ in 0..looks.min(3) {
            assert!(!follower.advance().unwrap(), "{looks} looks");
        }
        if looks == 4 {
            let error = follower.advance().unwrap_err();
            assert!(error.to_string().contains("no segment holds them"), "{error}");
        }
        live.show(&log.source());
        for sequence in 1..3 {
            assert!(follower.advance().unwrap(), "{looks} looks");
            assert_eq!(follower.entry().sequence, Sequence(sequence));
        }
    }
}

/// Shows damage to whoever does not look at 64 bytes first, as a follower does that looks how far the log reaches.
struct TwoFaced(MemorySource);

struct TwoFacedFile {
    inner: Box<dyn SourceFile>,
    is_trusted: Mutex<Option<bool>>,
}

impl Source for TwoFaced {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(TwoFacedFile { inner: self.0.open(name)?, is_trusted: Mutex::new(None) }))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

impl SourceFile for TwoFacedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let is_trusted = *self.is_trusted.lock().unwrap().get_or_insert(buf.len() == 64);
        let count = self.inner.read_at(buf, offset)?;
        if !is_trusted && offset >= 4096 {
            buf[..count].fill(0xee);
        }
        Ok(count)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_fails_its_check_when_it_is_handed_out_and_again_is_an_error() {
    let mut log = LogBuilder::new(LOG);
    put(&mut log, A);
    let source: Arc<dyn Source> = Arc::new(TwoFaced(log.source()));
    let mut core = PerCoreWalReader::follow(source, LOG, A, Level::Written, Start::Checkpoint).unwrap();
    for _ in 0..3 {
        assert!(matches!(core.advance(), Err(FollowError::Read(ReadError::Corrupt(_)))));
    }
}

#[test]
fn what_was_found_and_is_gone_without_having_been_durable_is_not_handed_out() {
    let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
    for _ in 0..3 {
        log.put(A, b"lost", b"value");
    }
    live.show(&log.source());
    let mut follower = live.merged(Level::Durable, Start::At(Position::beginning(LOG)));
    assert!(!follower.advance().unwrap());
    // A power loss took all of it. The next life writes other entries, of which core 1 knows first.
    live.show(&LogBuilder::new(LOG).source());
    assert!(!follower.advance().unwrap());
    let mut log = LogBuilder::new(LOG);
    log.barrier(B, 1, 1, &[(0, 2), (1, 0)]);
    live.show(&log.source());
    assert!(!follower.advance().unwrap());
    for _ in 0..2 {
        log.put(A, b"kept", b"value");
    }
    live.show(&log.source());
    for sequence in 0..2 {
        assert!(follower.advance().unwrap());
        let entry = follower.entry();
        assert_eq!(entry.sequence, Sequence(sequence));
        assert_eq!(entry.operation, OperationRef::Put { key: b"kept", value: b"value" });
    }
    assert!(!follower.advance().unwrap());
}

#[test]
fn an_entry_that_was_replaced_at_the_end_of_its_segment_is_noticed() {
    let of = |timestamp| {
        let mut log = LogBuilder::new(LOG);
        put(&mut log, A);
        log.set_clock(timestamp);
        put(&mut log, A);
        log.rotate(A);
        log.set_clock(5000);
        put(&mut log, A);
        log.barrier(A, 1, 0, &[(0, 3)]);
        log
    };
    let mut follower = Live::of(&of(2000)).core(Level::Written, Start::Checkpoint);
    assert!(follower.advance().unwrap() && follower.advance().unwrap());
    let start = Start::At(follower.position());
    let mut same = Live::of(&of(2000)).core(Level::Written, start.clone());
    assert!(same.advance().unwrap());
    assert_eq!(same.entry().sequence, Sequence(2));
    let error = Live::of(&of(2001)).core(Level::Written, start).advance().unwrap_err();
    assert!(matches!(error, FollowError::TakenBack { core: A, sequence: Sequence(1) }), "{error}");
}

#[test]
fn a_segment_that_was_given_up_says_nothing_and_the_next_one_says_it_all_again() {
    for entries in 0..3 {
        for read in 0..=entries {
            let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
            put(&mut log, A);
            put(&mut log, A);
            log.rotate(A);
            let end = LogPosition { segment: SegmentNumber(0), ..log.end(A) };
            let end = LogPosition {
                offset: log.source().get("wal-00000-0000000000000000.log").unwrap().len() as u64,
                ..end
            };
            let (clock, last) = (log.clock(), log.core(A).timestamp);
            for _ in 0..entries {
                put(&mut log, A);
            }
            live.show(&log.source());
            let mut follower = live.core(Level::Written, Start::Checkpoint);
            for sequence in 0..2 + read {
                assert!(follower.advance().unwrap());
                assert_eq!(follower.entry().sequence, Sequence(sequence));
            }
            log.core(A).timestamp = last;
            log.begin(A, SegmentNumber(2), Origin::Continuation, Some(end));
            log.set_clock(clock);
            for _ in 0..5 {
                put(&mut log, A);
            }
            live.show(&log.source());
            for sequence in 2 + read..7 {
                assert!(follower.advance().unwrap(), "{entries} {read}");
                assert_eq!(follower.entry().sequence, Sequence(sequence), "{entries} {read}");
            }
            assert!(!follower.advance().unwrap());
        }
    }
}
