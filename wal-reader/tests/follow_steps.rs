//! Followers against a model that sees the whole log, after every step of it; by seed. And what a look costs: how often the
//! directory is listed, how much is read, how many files are held.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_types, reason = "files that change between two looks")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wal_format::{CoreId, Epoch, LogId, OperationRef, OrderKey, Origin, SegmentNumber, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{
    CoreFollower, FollowError, Level, MemorySource, MergedFollower, PerCoreWalReader, Position, Source,
    SourceFile, Start,
};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);
const MIB: usize = 1 << 20;

/// What a follower asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    lists: u64,
    opens: u64,
    reads: u64,
    bytes: u64,
    /// Files that are open now.
    held: u64,
}

/// A directory that changes under the follower, and counts what that asks for.
#[derive(Clone, Default)]
struct Live {
    files: Arc<Mutex<MemorySource>>,
    asked: Arc<Mutex<Asked>>,
}

impl Live {
    fn of(log: &LogBuilder) -> Self {
        let live = Self::default();
        live.show(&log.source());
        live
    }

    fn show(&self, files: &MemorySource) {
        *self.files.lock().unwrap() = files.clone();
    }

    /// What was asked for since the last call.
    fn asked(&self) -> Asked {
        let mut asked = self.asked.lock().unwrap();
        let held = asked.held;
        std::mem::replace(&mut *asked, Asked { held, ..Asked::default() })
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    fn core(&self, level: Level, start: Start) -> CoreFollower {
        PerCoreWalReader::follow(self.source(), LOG, A, level, start).unwrap()
    }

    fn merged(&self, level: Level, start: Start) -> MergedFollower {
        MergedFollower::new(self.source(), level, start).unwrap()
    }
}

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        self.asked.lock().unwrap().lists += 1;
        self.files.lock().unwrap().names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let inner = self.files.lock().unwrap().open(name)?;
        let asked = Arc::clone(&self.asked);
        let mut now = asked.lock().unwrap();
        (now.opens, now.held) = (now.opens + 1, now.held + 1);
        drop(now);
        Ok(Box::new(Counted { inner, asked }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.lock().unwrap().path(name)
    }
}

struct Counted {
    inner: Box<dyn SourceFile>,
    asked: Arc<Mutex<Asked>>,
}

impl SourceFile for Counted {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(buf, offset)?;
        let mut asked = self.asked.lock().unwrap();
        (asked.reads, asked.bytes) = (asked.reads + 1, asked.bytes + count as u64);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.asked.lock().unwrap().held -= 1;
    }
}

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn put(log: &mut LogBuilder, core: CoreId) {
    log.put(core, b"key", b"value");
}

#[test]
fn one_core_is_handed_out_as_far_as_it_stands_there_or_as_its_own_files_prove() {
    for seed in 0..80 {
        let (mut random, mut log, live) = (Random(seed), LogBuilder::new(LOG), Live::default());
        // Where each entry's frame stands, and what the files prove of the bytes before.
        let (mut places, mut proven) = (Vec::new(), None);
        live.show(&log.source());
        let mut followers = [Level::Written, Level::Durable].map(|level| live.core(level, Start::Checkpoint));
        let mut found = [0, 0];
        for step in 0..40 {
            let end = log.end(A);
            let synced = log.core(A).synced_through;
            let mut frame_proves = || {
                if synced > 0 {
                    proven = proven.max(Some((end.segment.0, synced)));
                }
            };
            match random.below(10) {
                0..=3 => {
                    let entries = 1 + random.below(3) as usize;
                    let at = log.batch(A, &vec![OperationRef::Delete { key: b"key" }; entries]);
                    places.extend(vec![(at.segment.0, at.offset); entries]);
                    frame_proves();
                }
                4 => {
                    log.barrier(A, 1, 0, &[]);
                    frame_proves();
                }
                5 | 6 => log.sync(A),
                7 | 8 => {
                    frame_proves();
                    log.rotate(A);
                    if synced > 0 {
                        proven = proven.max(Some((end.segment.0, synced)));
                    }
                }
                _ => {
                    // An opening: it has synced what it goes on from.
                    log.begin(A, end.segment.next(), Origin::Resumption, Some(end));
                    proven = proven.max(Some((end.segment.0, end.offset)));
                }
            }
            live.show(&log.source());
            for (follower, found) in followers.iter_mut().zip(&mut found) {
                let first = *found;
                // A look may end before all that there is; one more goes on.
                for _ in 0..2 {
                    while follower.advance().unwrap() {
                        assert_eq!(follower.entry().sequence.0, *found, "seed {seed} step {step}");
                        *found += 1;
                    }
                }
                assert_eq!((follower.entries(), follower.position().core(A).next.0), (*found, *found));
                assert!(*found >= first);
            }
            let is_proven = |place: &&(u64, u64)| Some(**place) < proven;
            let durable = places.iter().take_while(is_proven).count();
            assert_eq!(found, [places.len() as u64, durable as u64], "seed {seed} step {step}: {proven:?}");
        }
    }
}

/// What a follower of all cores may hand out, by the barriers in the files that can be seen.
struct Model {
    level: Level,
    done: u64,
    target: Option<u64>,
}

/// An epoch that was closed: what its barriers say, and in whose logs they stand behind how many bytes.
#[derive(Clone)]
struct Closed {
    durable: u64,
    cuts: Vec<(u16, u64)>,
}

impl Model {
    /// Everything up to which epoch is handed out, given the barriers that can be seen and how many entries of each core.
    fn step(&mut self, seen: &BTreeMap<u64, Closed>, entries: &[u64]) -> u64 {
        let reached =
            |epoch: u64| seen[&epoch].cuts.iter().all(|(core, cut)| entries[usize::from(*core)] >= *cut);
        loop {
            let known = match self.level {
                Level::Written => seen.keys().rev().copied().find(|epoch| reached(*epoch)),
                Level::Durable => {
                    seen.values().map(|closed| closed.durable).max().filter(|epoch| seen.contains_key(epoch))
                }
            };
            self.target = self.target.or(known.filter(|epoch| *epoch > self.done));
            match self.target {
                Some(epoch) if reached(epoch) => (self.done, self.target) = (epoch, None),
                _ => return self.done,
            }
        }
    }
}

#[test]
fn all_cores_are_handed_out_in_order_by_whole_epochs_whatever_part_of_their_files_can_be_seen() {
    const CORES: u16 = 3;
    for seed in 0..60 {
        let (mut random, mut log, live) = (Random(seed), LogBuilder::new(LOG), Live::default());
        live.show(&log.source());
        let start = || Start::At(Position::beginning(LOG));
        let mut followers = [Level::Written, Level::Durable].map(|level| live.merged(level, start()));
        let mut models = [Level::Written, Level::Durable].map(|level| Model { level, done: 0, target: None });
        let mut found = [Vec::new(), Vec::new()];
        let mut closed: BTreeMap<u64, Closed> = BTreeMap::new();
        // Per core the epochs of its barriers, in order; its entries; and how much of that can be seen.
        let mut barriers = vec![Vec::new(); usize::from(CORES)];
        let mut keys: Vec<Vec<OrderKey>> = vec![Vec::new(); usize::from(CORES)];
        let (mut seen_barriers, mut seen_entries) =
            (vec![0; usize::from(CORES)], vec![0; usize::from(CORES)]);
        let (mut epoch, mut durable) = (1, 0);
        let mut shown = log.source();
        for step in 0..60 {
            let core = random.below(u64::from(CORES)) as u16;
            let index = usize::from(core);
            match random.below(8) {
                0..=3 => {
                    log.set_epoch(epoch);
                    let timestamp_ns = log.clock();
                    let sequence = Sequence(keys[index].len() as u64);
                    put(&mut log, CoreId(core));
                    keys[index].push(OrderKey {
                        epoch: Epoch(epoch),
                        timestamp_ns,
                        core_id: CoreId(core),
                        sequence,
                    });
                }
                4 => {
                    if random.below(2) == 0 {
                        log.sync(CoreId(core));
                    }
                    log.rotate(CoreId(core));
                }
                _ => {
                    // Closes the epoch, with a barrier in some logs; some epoch before is durable by now.
                    durable += random.below(epoch - durable);
                    let cuts: Vec<_> =
                        (0..CORES).map(|core| (core, keys[usize::from(core)].len() as u64)).collect();
                    closed.insert(epoch, Closed { durable, cuts: cuts.clone() });
                    for other in 0..CORES {
                        if other == core || random.below(3) == 0 {
                            log.barrier(CoreId(other), epoch, durable, &cuts);
                            barriers[usize::from(other)].push(epoch);
                        }
                    }
                    epoch += 1;
                }
            }
            // Some cores' files are seen as they are now, the others as they were.
            let now = log.source();
            for other in 0..CORES {
                if random.below(3) > 0 {
                    let prefix = format!("wal-{other:05}-");
                    for (name, bytes) in now.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                        shown.insert(name, bytes.to_vec());
                    }
                    let other = usize::from(other);
                    (seen_barriers[other], seen_entries[other]) =
                        (barriers[other].len(), keys[other].len() as u64);
                }
            }
            live.show(&shown);
            let seen: BTreeMap<_, _> = barriers
                .iter()
                .zip(&seen_barriers)
                .flat_map(|(epochs, count)| &epochs[..*count])
                .map(|epoch| (*epoch, closed[epoch].clone()))
                .collect();
            for ((follower, model), found) in followers.iter_mut().zip(&mut models).zip(&mut found) {
                for _ in 0..2 {
                    while follower.advance().unwrap() {
                        found.push(follower.entry().order_key());
                    }
                }
                let up_to = model.step(&seen, &seen_entries);
                let mut expected: Vec<_> =
                    keys.iter().flatten().copied().filter(|key| key.epoch.0 <= up_to).collect();
                expected.sort_unstable();
                let what = format!("seed {seed} step {step} {:?}: up to {up_to}", model.level);
                assert_eq!(*found, expected, "{what}");
                assert_eq!(follower.entries(), found.len() as u64, "{what}");
                assert_eq!(follower.epoch().map_or(0, |epoch| epoch.0), up_to, "{what}");
                let of_core = |core: u16| found.iter().filter(|key| key.core_id.0 == core).count() as u64;
                for core in 0..CORES {
                    assert_eq!(follower.position().core(CoreId(core)).next.0, of_core(core), "{what}");
                }
            }
        }
    }
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

/// A log that grows with every look at it, and never says that anything is durable or closed.
#[derive(Clone)]
struct Growing {
    log: Arc<Mutex<LogBuilder>>,
    live: Live,
}

impl Source for Growing {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut log = self.log.lock().unwrap();
        put(&mut log, A);
        self.live.show(&log.source());
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
    let growing = Growing { log: Arc::new(Mutex::new(log)), live: live.clone() };
    let source: Arc<dyn Source> = Arc::new(growing);
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
    for index in 0..36 {
        log.put(A, b"key", &value);
        if index % 3 == 2 {
            log.sync(A);
            log.rotate(A);
        }
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
    // Of the segments that it has found, the one that it reads, and the one where it looks on.
    assert!((6..=8).contains(&asked.held), "{asked:?}");
    let mut most = 0;
    for sequence in 1..36 {
        assert!(core.advance().unwrap());
        assert_eq!(core.entry().sequence, Sequence(sequence));
        most = most.max(live.asked().held);
    }
    assert!((8..=10).contains(&most), "{most} files at once");
    // Everything is handed out: what it stands in is held, and no segment that is complete.
    assert!(!core.advance().unwrap());
    assert!(!core.advance().unwrap());
    assert_eq!(live.asked().held, 1);
    for level in [Level::Written, Level::Durable] {
        let mut merged = live.merged(level, Start::Checkpoint);
        // In one call, however many parts that takes.
        assert!(merged.advance().unwrap(), "{level:?}");
        assert_eq!(merged.entry().core_id, A);
    }
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
    // What comes bit by bit is read bit by bit.
    for _ in 0..4 {
        log.put(A, b"key", &value);
        live.show(&log.source());
        assert!(!follower.advance().unwrap());
        live.asked();
    }
    log.put(A, b"key", &value);
    live.show(&log.source());
    assert!(!follower.advance().unwrap());
    assert!(live.asked().bytes < 2000);
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
