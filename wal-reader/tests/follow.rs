//! Followers on logs that were laid out by hand: what a position must notice, what must not come out, and what must
//! not stop one. Whole lives, by seed: `wal-coordinator/tests/follow`.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_types, reason = "files that change between two looks")]

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wal_format::{
    CoreId, CorePosition, Epoch, LogId, Manifest, OrderKey, Origin, SegmentNumber, Sequence, WalOperation,
};
use wal_reader::testing::LogBuilder;
use wal_reader::{
    CoreFollower, FollowError, Level, LogPosition, MemorySource, MergedFollower, PerCoreWalReader, Position,
    Source, SourceFile, Start,
};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);

/// A directory that changes under the follower.
#[derive(Clone, Default)]
struct Live(Arc<Mutex<MemorySource>>);

impl Live {
    fn show(&self, log: &LogBuilder) {
        *self.0.lock().unwrap() = log.source();
    }
}

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.lock().unwrap().names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.0.lock().unwrap().open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.lock().unwrap().path(name)
    }
}

/// A directory that becomes another one after so many calls.
struct Switching {
    before: MemorySource,
    after: MemorySource,
    left: Mutex<u64>,
}

impl Switching {
    fn now(&self) -> &MemorySource {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left > 0 { &self.before } else { &self.after }
    }
}

impl Source for Switching {
    fn names(&self) -> io::Result<Vec<String>> {
        self.now().names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.now().open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.before.path(name)
    }
}

/// Both kinds of follower, of which the single one has core 0.
enum Any {
    Merged(Box<MergedFollower>),
    Core(Box<CoreFollower>),
}

impl Any {
    fn both(source: &Arc<dyn Source>, level: Level, start: &Start) -> [Self; 2] {
        let merged = MergedFollower::new(Arc::clone(source), level, start.clone()).unwrap();
        let core = PerCoreWalReader::follow(Arc::clone(source), LOG, A, level, start.clone()).unwrap();
        [Self::Merged(Box::new(merged)), Self::Core(Box::new(core))]
    }

    fn advance(&mut self) -> Result<Option<OrderKey>, FollowError> {
        Ok(match self {
            Self::Merged(follower) => follower.advance()?.then(|| follower.entry().to_owned().order_key()),
            Self::Core(follower) => follower.advance()?.then(|| follower.entry().to_owned().order_key()),
        })
    }

    /// Core and sequence of all that there is now.
    fn drain(&mut self) -> Result<Vec<(u16, u64)>, FollowError> {
        let mut found = Vec::new();
        while let Some(key) = self.advance()? {
            found.push((key.core_id.0, key.sequence.0));
        }
        Ok(found)
    }

    fn position(&self) -> Position {
        match self {
            Self::Merged(follower) => follower.position(),
            Self::Core(follower) => follower.position(),
        }
    }
}

fn source(log: &LogBuilder) -> Arc<dyn Source> {
    Arc::new(log.source())
}

fn of_core_0(sequences: std::ops::Range<u64>) -> Vec<(u16, u64)> {
    sequences.map(|sequence| (0, sequence)).collect()
}

/// Puts on core 0 with these timestamps, in epoch 1, which is closed.
fn log_with(timestamps: &[u64]) -> LogBuilder {
    let mut log = LogBuilder::new(LOG);
    for timestamp in timestamps {
        log.set_clock(*timestamp);
        log.put(A, b"key", b"value");
    }
    log.barrier(A, 1, 0, &[(0, timestamps.len() as u64)]);
    log
}

/// A checkpoint of `epoch` that places core 0 at the beginning of `segment`.
fn checkpoint(log: &mut LogBuilder, epoch: u64, segment: u64, sequence: u64) {
    let core = CorePosition {
        core: A,
        segment: SegmentNumber(segment),
        offset: 4096,
        sequence: Sequence(sequence),
        last_timestamp: 0,
        last_epoch: Epoch(epoch),
    };
    let manifest = Manifest { cores: vec![core], ..log.empty_manifest(epoch) };
    log.manifest(&manifest);
}

#[test]
fn a_position_whose_entry_was_replaced_is_taken_back() {
    let before = source(&log_with(&[10, 20, 30]));
    for (index, mut follower) in
        Any::both(&before, Level::Written, &Start::Checkpoint).into_iter().enumerate()
    {
        assert_eq!(follower.drain().unwrap(), of_core_0(0..3));
        let start = Start::At(follower.position());
        // The same log, longer.
        let same = source(&log_with(&[10, 20, 30, 40]));
        let resumed = &mut Any::both(&same, Level::Written, &start)[index];
        assert_eq!(resumed.drain().unwrap(), of_core_0(3..4));
        // A power loss has cut the last entry off, and another one has its number.
        let other = source(&log_with(&[10, 20, 31, 40]));
        let error = Any::both(&other, Level::Written, &start)[index].drain().unwrap_err();
        assert!(
            matches!(error, FollowError::TakenBack { core: A, sequence: Sequence(2) }),
            "{index}: {error}"
        );
        assert!(error.to_string().contains("entry 2 of core 0 was followed"), "{error}");
    }
}

#[test]
fn a_position_whose_entry_was_replaced_in_another_epoch_is_taken_back() {
    let mut follower = MergedFollower::new(source(&log_with(&[10, 20])), Level::Written, Start::Checkpoint);
    while follower.as_mut().unwrap().advance().unwrap() {}
    let start = Start::At(follower.unwrap().position());
    let mut log = LogBuilder::new(LOG);
    log.set_clock(10);
    log.put(A, b"key", b"value");
    log.barrier(A, 1, 0, &[(0, 1)]);
    log.set_epoch(2);
    log.set_clock(20);
    log.put(A, b"key", b"value");
    log.put(A, b"key", b"value");
    log.barrier(A, 2, 1, &[(0, 3)]);
    for mut follower in Any::both(&source(&log), Level::Written, &start) {
        assert!(matches!(follower.drain(), Err(FollowError::TakenBack { core: A, sequence: Sequence(1) })));
    }
}

#[test]
fn a_position_beyond_what_a_power_loss_left_is_taken_back() {
    let before = source(&log_with(&[10, 20, 30]));
    for (index, mut follower) in
        Any::both(&before, Level::Written, &Start::Checkpoint).into_iter().enumerate()
    {
        follower.drain().unwrap();
        let start = Start::At(follower.position());
        let shorter = source(&log_with(&[10, 20]));
        let error = Any::both(&shorter, Level::Written, &start)[index].drain().unwrap_err();
        assert!(matches!(error, FollowError::TakenBack { core: A, sequence: Sequence(2) }), "{error}");
        // Nothing is left at all.
        let empty = source(&LogBuilder::new(LOG));
        let error = Any::both(&empty, Level::Written, &start)[index].drain().unwrap_err();
        assert!(matches!(error, FollowError::TakenBack { core: A, sequence: Sequence(2) }), "{error}");
    }
}

#[test]
fn one_core_at_level_durable_hands_out_what_a_later_frame_proves_and_no_more() {
    let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
    for _ in 0..3 {
        log.put(A, b"key", b"value");
    }
    live.show(&log);
    let start = Start::Checkpoint;
    let mut follower =
        PerCoreWalReader::follow(Arc::new(live.clone()), LOG, A, Level::Durable, start).unwrap();
    assert!(!follower.advance().unwrap(), "written, and nothing says that it was synced");
    log.sync(A);
    live.show(&log);
    assert!(!follower.advance().unwrap(), "synced, and nothing in the files says so");
    log.put(A, b"key", b"value");
    live.show(&log);
    for sequence in 0..3 {
        assert!(follower.advance().unwrap());
        assert_eq!(follower.entry().sequence.0, sequence);
    }
    assert!(!follower.advance().unwrap(), "the frame that proves the others");
}

#[test]
fn a_position_is_behind_its_entry_and_before_the_next_wherever_that_is() {
    let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
    let mut seen = [Vec::new(), Vec::new()];
    let mut positions = [Start::Checkpoint, Start::Checkpoint];
    for round in 0..9_u64 {
        if round % 3 == 2 {
            log.sync(A);
            log.rotate(A);
        }
        log.set_epoch(round + 1);
        log.put(A, b"key", b"value");
        log.put(A, b"key", b"value");
        log.barrier(A, round + 1, round, &[(0, 2 * round + 2)]);
        live.show(&log);
        let source: Arc<dyn Source> = Arc::new(live.clone());
        for index in 0..2 {
            // One entry a start.
            for _ in 0..2 {
                let mut followers = Any::both(&source, Level::Written, &positions[index]);
                seen[index].push(followers[index].advance().unwrap().unwrap().sequence.0);
                positions[index] = Start::At(followers[index].position().to_string().parse().unwrap());
            }
        }
    }
    assert_eq!(seen, [(0..18).collect::<Vec<_>>(), (0..18).collect()]);
}

#[test]
fn new_segments_and_new_cores_are_followed_as_they_come() {
    let (live, mut log) = (Live::default(), LogBuilder::new(LOG));
    log.put(A, b"key", b"value");
    log.barrier(A, 1, 0, &[(0, 1)]);
    live.show(&log);
    let source: Arc<dyn Source> = Arc::new(live.clone());
    let [mut merged, mut core] = Any::both(&source, Level::Written, &Start::Checkpoint);
    assert_eq!((merged.drain().unwrap(), core.drain().unwrap()), (of_core_0(0..1), of_core_0(0..1)));
    log.sync(A);
    log.rotate(A);
    log.set_epoch(2);
    log.put(A, b"key", b"in another segment");
    log.put(B, b"key", b"of another core");
    log.barrier(A, 2, 1, &[(0, 2), (1, 1)]);
    live.show(&log);
    assert_eq!(merged.drain().unwrap(), [(0, 1), (1, 0)]);
    assert_eq!(core.drain().unwrap(), of_core_0(1..2));
}

#[test]
fn a_core_that_only_cuts_tell_of_was_released_unread_and_that_is_said() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.barrier(A, 1, 0, &[(0, 1), (1, 5)]);
    let live = Live::default();
    live.show(&log);
    let mut follower =
        MergedFollower::new(Arc::new(live.clone()), Level::Written, Start::At(Position::beginning(LOG)));
    let follower = follower.as_mut().unwrap();
    assert!(!follower.advance().unwrap(), "core 1 may be about to write its part");
    let core = |core, sequence| CorePosition {
        core,
        segment: SegmentNumber(1),
        offset: 4096,
        sequence: Sequence(sequence),
        last_timestamp: 0,
        last_epoch: Epoch(1),
    };
    let manifest = Manifest { cores: vec![core(A, 1), core(B, 5)], ..log.empty_manifest(1) };
    log.manifest(&manifest);
    live.show(&log);
    let error = follower.advance().unwrap_err();
    let expected =
        matches!(error, FollowError::FellBehind { core: B, wanted: Sequence(0), oldest: Sequence(5) });
    assert!(expected, "{error}");
}

#[test]
fn what_was_released_unread_is_told_and_not_waited_for() {
    let mut log = LogBuilder::new(LOG);
    for round in 0..3 {
        log.put(A, b"key", b"value");
        log.put(A, b"key", b"value");
        log.sync(A);
        if round < 2 {
            log.rotate(A);
        }
    }
    log.barrier(A, 1, 0, &[(0, 6)]);
    log.release(A, SegmentNumber(0));
    log.release(A, SegmentNumber(1));
    checkpoint(&mut log, 1, 2, 4);
    for mut follower in Any::both(&source(&log), Level::Written, &Start::At(Position::beginning(LOG))) {
        let error = follower.drain().unwrap_err();
        let expected =
            matches!(error, FollowError::FellBehind { core: A, wanted: Sequence(0), oldest: Sequence(4) });
        assert!(expected, "{error}");
    }
}

#[test]
fn a_release_between_any_two_calls_takes_nothing_that_is_needed() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.put(A, b"key", b"value");
    log.sync(A);
    let [_, mut core] = Any::both(&source(&log), Level::Written, &Start::Checkpoint);
    core.drain().unwrap();
    let start = Start::At(core.position());
    log.barrier(A, 1, 0, &[(0, 2)]);
    log.rotate(A);
    let before = log.source();
    checkpoint(&mut log, 1, 1, 2);
    log.release(A, SegmentNumber(0));
    let after = log.source();
    log.set_epoch(2);
    log.put(A, b"key", b"value");
    log.barrier(A, 2, 1, &[(0, 3)]);
    let later = log.source();
    for after in [after, later.clone()] {
        for calls in 1..60 {
            for index in 0..2 {
                let switching =
                    Switching { before: before.clone(), after: after.clone(), left: Mutex::new(calls) };
                let source: Arc<dyn Source> = Arc::new(switching);
                let mut follower = Any::both(&source, Level::Written, &start).into_iter().nth(index).unwrap();
                for _ in 0..20 {
                    let found = follower.drain();
                    let found = found.unwrap_or_else(|error| panic!("released after {calls} calls: {error}"));
                    assert!(found.is_empty() || found == of_core_0(2..3), "after {calls} calls: {found:?}");
                }
            }
        }
    }
}

#[test]
fn what_came_back_of_a_released_segment_in_parts_is_left_alone() {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"key", b"value");
    log.put(A, b"key", b"value");
    log.sync(A);
    let before = Any::both(&source(&log), Level::Written, &Start::Checkpoint);
    let [_, mut core] = before;
    core.drain().unwrap();
    let start = Start::At(core.position());
    log.rotate(A);
    checkpoint(&mut log, 1, 1, 2);
    log.set_epoch(2);
    log.put(A, b"key", b"value");
    log.barrier(A, 2, 1, &[(0, 3)]);
    // A power loss has brought back its name, and of its pages those of an earlier life.
    let mut files = log.source();
    files.get_mut("wal-00000-0000000000000000.log").unwrap()[4096..].fill(0xee);
    let source: Arc<dyn Source> = Arc::new(files);
    for mut follower in Any::both(&source, Level::Written, &start) {
        // A few looks may find less than they should before that means anything.
        let found: Vec<_> = (0..5).flat_map(|_| follower.drain().unwrap()).collect();
        assert_eq!(found, of_core_0(2..3));
    }
}

/// Two entries in segment 0, and as many segments after it that nothing came into as `reopened` says. The last segment, in
/// another life, links to one that never was, and begins with sequence 2 behind `timestamp`.
fn restarted_behind_a_checkpoint(timestamp: u64, reopened: u64) -> LogBuilder {
    let mut log = LogBuilder::new(LOG);
    log.set_clock(10);
    log.put(A, b"key", b"value");
    log.put(A, b"key", b"value");
    log.barrier(A, 1, 0, &[(0, 2)]);
    for segment in 1..=reopened {
        let end = log.end(A);
        log.begin(A, SegmentNumber(segment), Origin::Resumption, Some(end));
    }
    let never = SegmentNumber(reopened + 1);
    let checkpointed = LogPosition { segment: never, offset: 4096, sequence: Sequence(2) };
    let last = log.core(A).timestamp;
    log.core(A).timestamp = timestamp;
    log.begin(A, never.next(), Origin::Resumption, Some(checkpointed));
    assert_eq!(last, 20);
    checkpoint(&mut log, 1, never.0, 2);
    log.set_epoch(2);
    log.set_clock(100);
    log.put(A, b"key", b"value");
    log.barrier(A, 2, 1, &[(0, 3)]);
    log
}

#[test]
fn what_is_still_there_before_a_checkpoint_is_found_across_the_segment_that_never_was() {
    for reopened in 0..3 {
        let log = source(&restarted_behind_a_checkpoint(20, reopened));
        for mut follower in Any::both(&log, Level::Written, &Start::At(Position::beginning(LOG))) {
            assert_eq!(follower.drain().unwrap(), of_core_0(0..3), "{reopened} segments are empty");
        }
    }
}

#[test]
fn a_segment_that_does_not_lead_to_the_one_above_is_not_followed() {
    // As a segment of a life that an opening cut off: its last entry is another one.
    let log = source(&restarted_behind_a_checkpoint(21, 0));
    for mut follower in Any::both(&log, Level::Written, &Start::At(Position::beginning(LOG))) {
        let error = follower.drain().unwrap_err();
        assert!(matches!(error, FollowError::FellBehind { oldest: Sequence(2), .. }), "{error}");
    }
    for mut follower in Any::both(&log, Level::Written, &Start::Checkpoint) {
        assert_eq!(
            follower.drain().unwrap(),
            of_core_0(2..3),
            "what the checkpoint does not hold is all there"
        );
    }
}

#[test]
fn batches_and_operations_come_out_as_they_were_written() {
    let mut log = LogBuilder::new(LOG);
    let operations = [
        WalOperation::Put { key: b"key".to_vec(), value: vec![9; 300] },
        WalOperation::Delete { key: b"gone".to_vec() },
    ];
    log.batch(A, &operations.each_ref().map(WalOperation::as_ref));
    log.barrier(A, 1, 0, &[(0, 2)]);
    let mut follower = MergedFollower::new(source(&log), Level::Written, Start::Checkpoint).unwrap();
    let mut found = Vec::new();
    while follower.advance().unwrap() {
        found.push((follower.entry().to_owned().operation, follower.more_of_batch()));
    }
    let [first, second] = operations;
    assert_eq!(found, [(first, true), (second, false)]);
}
