//! A follower through all lives of a log, what it has handed out, and what of that is right.

use std::sync::Arc;

use wal_coordinator::{
    CoreId, Epoch, FollowError, FollowOptions, LogFollower, PerCoreWalEntry, PerCoreWalError,
};
use wal_reader::{
    CoreFollower, Level, MergedFollower, PerCoreWalReader, Position, ReadError, Source, Start, read_meta,
};
use wal_sim::disk::{Random, SimDisk};

use crate::story::Story;

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    Merged(Level),
    Core(CoreId, Level),
    /// Inside the engine; what it may hold.
    Inside(Option<u64>),
}

enum Follower {
    Merged(Box<MergedFollower>),
    Core(Box<CoreFollower>),
    Inside(Box<LogFollower>),
    /// The engine that it was in is gone; it goes on from here in the next.
    Between(Position),
}

/// A follower, and what it has handed out since it last began anew.
pub(crate) struct Pursuit {
    pub(crate) what: What,
    follower: Follower,
    /// It began behind the checkpoint of this epoch.
    above: Epoch,
    pub(crate) handed_out: Vec<PerCoreWalEntry>,
    /// So many of them were compared, in this life of the log.
    checked: (usize, u64),
    failed: Option<FollowError>,
    /// It was told that there is no more for now.
    is_at_end: bool,
    /// It has held more than it may since it last began anew.
    has_lost_hold: bool,
    /// Entries that were lost when it began.
    lost_before: u64,
}

impl What {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Merged(level) | Self::Core(_, level) => level,
            Self::Inside(_) => Level::Durable,
        }
    }

    /// On the files of `disk` alone, or in the engine of `story`.
    fn begin(self, story: &Story, start: Start) -> Result<Follower, FollowError> {
        let source: Arc<dyn Source> = Arc::new(story.disk.clone());
        Ok(match self {
            Self::Merged(level) => Follower::Merged(Box::new(MergedFollower::new(source, level, start)?)),
            Self::Core(core, level) => {
                let log_id = read_meta(&*source)?.unwrap().log_id;
                Follower::Core(Box::new(PerCoreWalReader::follow(source, log_id, core, level, start)?))
            }
            Self::Inside(pin_bytes_max) => {
                let options = FollowOptions::new("inside").start(start).pin_bytes_max(pin_bytes_max);
                let follower = story.manager().handle().follow(options).map_err(inner)?;
                Follower::Inside(Box::new(follower))
            }
        })
    }
}

impl Follower {
    fn next(&mut self) -> Result<Option<PerCoreWalEntry>, FollowError> {
        Ok(match self {
            Self::Merged(follower) => follower.advance()?.then(|| follower.entry().to_owned()),
            Self::Core(follower) => follower.advance()?.then(|| follower.entry().to_owned()),
            Self::Inside(follower) => follower.advance().map_err(inner)?.then(|| follower.entry().to_owned()),
            Self::Between(_) => None,
        })
    }

    fn position(&self) -> Position {
        match self {
            Self::Merged(follower) => follower.position(),
            Self::Core(follower) => follower.position(),
            Self::Inside(follower) => follower.position(),
            Self::Between(position) => position.clone(),
        }
    }
}

impl Pursuit {
    pub(crate) fn begin(what: What, story: &Story) -> Self {
        let follower = what.begin(story, Start::Checkpoint).unwrap();
        let (above, lost_before) = (story.checkpoint, story.lost);
        Self {
            what,
            follower,
            above,
            handed_out: Vec::new(),
            checked: (0, 0),
            failed: None,
            is_at_end: false,
            has_lost_hold: false,
            lost_before,
        }
    }

    pub(crate) fn position(&self) -> String {
        self.follower.position().to_string()
    }

    /// Follows for a while.
    pub(crate) fn act(&mut self, random: &mut Random) {
        let entries = if random.once_in(3) { u64::MAX } else { random.below(12) };
        self.is_at_end = false;
        for _ in 0..entries {
            if self.failed.is_some() {
                return;
            }
            match self.follower.next() {
                Ok(Some(entry)) => self.handed_out.push(entry),
                Ok(None) => {
                    self.is_at_end = true;
                    break;
                }
                Err(error) if is_io(&error) => break,
                Err(error) => {
                    // Whoever goes on all the same gets nothing wrong: what other cores still have before that.
                    if let Ok(Some(entry)) = self.follower.next() {
                        self.handed_out.push(entry);
                    }
                    self.failed = Some(error);
                }
            }
        }
    }

    /// The engine goes: what is inside of it goes with it.
    pub(crate) fn leave(&mut self) {
        if let Follower::Inside(follower) = &self.follower {
            self.has_lost_hold |= !follower.is_pinned();
            self.follower = Follower::Between(follower.position());
        }
    }

    /// A new engine is there.
    pub(crate) fn enter(&mut self, story: &Story) {
        if let Follower::Between(position) = &self.follower {
            self.follower = self.what.begin(story, Start::At(position.clone())).unwrap();
        }
    }

    /// Goes on behind `saved`, on the files that are there by now.
    pub(crate) fn resume(&mut self, story: &Story, saved: &str) {
        self.leave();
        self.follower = self.what.begin(story, Start::At(saved.parse().unwrap())).unwrap();
        self.failed = None;
    }

    /// The same without an engine; `count` entries had been handed out then.
    pub(crate) fn return_to(&mut self, saved: &str, count: usize) {
        self.handed_out.truncate(count);
        self.checked.0 = self.checked.0.min(count);
        self.leave();
        self.follower = Follower::Between(saved.parse().unwrap());
        self.failed = None;
    }

    /// Looks at another disk from now on, or through another process.
    pub(crate) fn move_to(&mut self, disk: &SimDisk) {
        let source: Arc<dyn Source> = Arc::new(disk.clone());
        let start = Start::At(self.follower.position());
        let follower = match self.what {
            What::Merged(level) => {
                MergedFollower::new(source, level, start).map(|new| Follower::Merged(Box::new(new)))
            }
            What::Core(core, level) => {
                let log_id = self.follower.position().log_id;
                PerCoreWalReader::follow(source, log_id, core, level, start)
                    .map(|new| Follower::Core(Box::new(new)))
            }
            What::Inside(_) => return,
        };
        self.follower = follower.unwrap();
        self.failed = None;
    }

    /// Between two calls of the engine: what went wrong, and whether it was right so far.
    pub(crate) fn settle(&mut self, story: &mut Story) {
        if let Follower::Inside(follower) = &self.follower {
            self.has_lost_hold |= !follower.is_pinned();
        }
        match self.failed.take() {
            Some(error) => self.begin_anew(story, &error),
            None => self.check(story),
        }
    }

    fn begin_anew(&mut self, story: &mut Story, error: &FollowError) {
        self.check(story);
        match error {
            FollowError::FellBehind { core, wanted, oldest } => {
                story.count("fell behind");
                assert!(wanted < oldest, "{error}");
                let released =
                    story.cores[core].iter().filter(|entry| entry.epoch <= story.checkpoint).count();
                assert!(wanted.0 < released as u64, "{error}, but the checkpoint holds {released} entries");
                if let What::Inside(_) = self.what {
                    story.count("fell behind inside");
                    assert!(self.has_lost_hold, "{:?}: {error}, but it had never held too much", self.what);
                }
            }
            FollowError::TakenBack { .. } => {
                story.count("taken back");
                assert_eq!(self.what.level(), Level::Written, "{error}");
                assert!(story.lost > self.lost_before, "{:?}: {error}, but nothing was lost", self.what);
            }
            error => panic!("{:?}: {error}", self.what),
        }
        // First: a pin that goes only now would keep what the new one does not need.
        self.leave();
        *self = Self::begin(self.what, story);
    }

    /// Everything that was handed out is what comes next behind the starting point, in the order that counts.
    fn check(&mut self, story: &Story) {
        let now = (self.handed_out.len(), story.openings);
        if self.checked == now || self.what.level() == Level::Written && story.lost > self.lost_before {
            return;
        }
        self.checked = now;
        let sorted = story.sorted();
        let is_of = |entry: &&PerCoreWalEntry| match self.what {
            What::Merged(_) | What::Inside(_) => entry.epoch > self.above,
            What::Core(core, _) => entry.core_id == core && entry.epoch > self.above,
        };
        let expected: Vec<_> = sorted.into_iter().filter(is_of).take(self.handed_out.len()).collect();
        let handed_out: Vec<_> = self.handed_out.iter().collect();
        if expected != handed_out {
            let differs = expected.iter().zip(&handed_out).position(|(one, other)| one != other);
            let at = differs.unwrap_or(expected.len());
            let key = |entry: Option<&&PerCoreWalEntry>| entry.map(|entry| entry.order_key());
            panic!(
                "{:?} handed out {:?} as its {at}th entry, the log has {:?}",
                self.what,
                key(handed_out.get(at)),
                key(expected.get(at))
            );
        }
    }

    /// Inside the engine nothing that is durable is missing when it says that there is no more, nor did it run ahead.
    pub(crate) fn check_prompt(&self, story: &Story) {
        if let (Follower::Inside(_), None) = (&self.follower, &self.failed) {
            let durable = story.manager().durable_epoch();
            if self.is_at_end {
                self.check_reached(story, durable);
            }
            let last = self.handed_out.last().map_or(Epoch(0), |entry| entry.epoch);
            assert!(last <= durable, "handed out epoch {last}, and {durable} is the last that is durable");
        }
    }

    /// Nothing moves any more, and everything up to `epoch` is called durable: it is all there.
    pub(crate) fn check_complete(&mut self, story: &mut Story, epoch: Epoch) {
        let mut random = Random::new(0);
        for _ in 0..20 {
            self.act(&mut random);
            self.settle(story);
        }
        if !matches!(self.what, What::Core(..)) {
            self.check_reached(story, epoch);
        }
    }

    fn check_reached(&self, story: &Story, epoch: Epoch) {
        let all = story.cores.values().flatten();
        let last = all.filter(|entry| entry.epoch <= epoch).map(PerCoreWalEntry::order_key).max();
        let reached = self.handed_out.last().map(PerCoreWalEntry::order_key);
        let above = last.filter(|last| last.epoch > self.above);
        assert!(reached >= above, "{:?} stopped at {reached:?}, before {last:?}", self.what);
    }
}

fn inner(error: PerCoreWalError) -> FollowError {
    match error {
        PerCoreWalError::Follow(error) => error,
        error => panic!("{error}"),
    }
}

fn is_io(error: &FollowError) -> bool {
    matches!(error, FollowError::Read(ReadError::Io { .. }))
}
