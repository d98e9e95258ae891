//! Followers beside engines of all fortunes, by seed: whatever they hand out is, in order, what the log holds for ever.
//!
//! `WAL_FOLLOW_SEED=7 WAL_FOLLOW_LIVES=1 cargo test -p wal-coordinator --test follow lives` replays one life;
//! `WAL_FOLLOW_LIVES=100000` is a campaign.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_types, reason = "a clock that is counted")]

#[path = "../../../wal-format/tests/common/allocation.rs"]
mod allocation;
mod engine;
mod memory;
mod story;

use std::sync::Arc;

use parking_lot::Mutex;
use story::Story;
use wal_coordinator::{CoreId, Epoch, PerCoreWalEntry};
use wal_reader::{
    CoreFollower, FollowError, Level, MergedFollower, PerCoreWalReader, ReadError, Source, Start, read_meta,
};
use wal_sim::disk::{Random, SimDisk, Snapshot};

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Merged(Level),
    Core(CoreId, Level),
}

enum Follower {
    Merged(Box<MergedFollower>),
    Core(Box<CoreFollower>),
}

/// A follower, and what it has handed out since it last began anew.
struct Pursuit {
    what: What,
    follower: Follower,
    /// It began behind the checkpoint of this epoch.
    above: Epoch,
    handed_out: Vec<PerCoreWalEntry>,
    failed: Option<FollowError>,
    /// Entries that were lost when it began.
    lost_before: u64,
}

/// All followers of a log. They look in the middle of the engine's calls, too.
struct Company {
    pursuits: Vec<Pursuit>,
    random: Random,
    /// A moment at which the power goes: the disk, and how far each follower was.
    crash: Option<(Snapshot, Vec<(usize, String)>)>,
}

impl What {
    fn level(self) -> Level {
        match self {
            Self::Merged(level) | Self::Core(_, level) => level,
        }
    }

    fn begin(self, disk: &SimDisk, start: Start) -> Result<Follower, FollowError> {
        let source: Arc<dyn Source> = Arc::new(disk.clone());
        Ok(match self {
            Self::Merged(level) => Follower::Merged(Box::new(MergedFollower::new(source, level, start)?)),
            Self::Core(core, level) => {
                let log_id = read_meta(&*source)?.unwrap().log_id;
                Follower::Core(Box::new(PerCoreWalReader::follow(source, log_id, core, level, start)?))
            }
        })
    }
}

impl Follower {
    fn next(&mut self) -> Result<Option<PerCoreWalEntry>, FollowError> {
        Ok(match self {
            Self::Merged(follower) => follower.advance()?.then(|| follower.entry().to_owned()),
            Self::Core(follower) => follower.advance()?.then(|| follower.entry().to_owned()),
        })
    }

    fn position(&self) -> String {
        match self {
            Self::Merged(follower) => follower.position().to_string(),
            Self::Core(follower) => follower.position().to_string(),
        }
    }
}

impl Pursuit {
    fn begin(what: What, story: &Story) -> Self {
        let follower = what.begin(&story.disk, Start::Checkpoint).unwrap();
        let (above, lost_before) = (story.checkpoint, story.lost);
        Self { what, follower, above, handed_out: Vec::new(), failed: None, lost_before }
    }

    /// Follows for a while.
    fn act(&mut self, random: &mut Random) {
        let entries = if random.once_in(3) { u64::MAX } else { random.below(12) };
        for _ in 0..entries {
            if self.failed.is_some() {
                return;
            }
            match self.follower.next() {
                Ok(Some(entry)) => self.handed_out.push(entry),
                Ok(None) => break,
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

    /// Goes on behind `saved`, on the disk that is there by now.
    fn resume(&mut self, disk: &SimDisk, saved: &str) {
        self.follower = self.what.begin(disk, Start::At(saved.parse().unwrap())).unwrap();
        self.failed = None;
    }

    /// Between two calls of the engine: what went wrong, and whether it was right so far.
    fn settle(&mut self, story: &mut Story) {
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
            }
            FollowError::TakenBack { .. } => {
                story.count("taken back");
                assert_eq!(self.what.level(), Level::Written, "{error}");
                assert!(story.lost > self.lost_before, "{:?}: {error}, but nothing was lost", self.what);
            }
            error => panic!("{:?}: {error}", self.what),
        }
        *self = Self::begin(self.what, story);
    }

    /// Everything that was handed out is what comes next behind the starting point, in the order that counts.
    fn check(&self, story: &Story) {
        if self.what.level() == Level::Written && story.lost > self.lost_before {
            return;
        }
        let sorted = story.sorted();
        let is_of = |entry: &&PerCoreWalEntry| match self.what {
            What::Merged(_) => entry.epoch > self.above,
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

    /// Nothing moves any more, and everything up to `epoch` is called durable: it is all there.
    fn check_complete(&mut self, story: &mut Story, epoch: Epoch) {
        let mut random = Random::new(0);
        for _ in 0..20 {
            self.act(&mut random);
            self.settle(story);
        }
        let last = match self.what {
            What::Merged(_) => story
                .sorted()
                .into_iter()
                .rev()
                .find(|entry| entry.epoch <= epoch)
                .map(|entry| entry.order_key()),
            What::Core(..) => return,
        };
        let reached = self.handed_out.last().map(|entry| entry.order_key());
        let above = last.filter(|last| last.epoch > self.above);
        assert!(reached >= above, "{:?} stopped at {reached:?}, before {last:?}", self.what);
    }
}

impl Company {
    fn enter(&mut self, disk: &SimDisk) {
        for pursuit in &mut self.pursuits {
            let saved = pursuit.follower.position();
            pursuit.resume(disk, &saved);
        }
    }

    /// In the middle of a call.
    fn intrude(&mut self, disk: &SimDisk) {
        let Self { pursuits, random, crash } = self;
        let pursuit = random.below(pursuits.len() as u64);
        pursuits[usize::try_from(pursuit).unwrap()].act(random);
        if crash.is_none() && random.once_in(60) {
            let reached =
                pursuits.iter().map(|pursuit| (pursuit.handed_out.len(), pursuit.follower.position()));
            *crash = Some((disk.snapshot(), reached.collect()));
        }
    }

    /// Whoever is at it is left alone: a follower's own reads are calls as well.
    fn hook(company: &Arc<Mutex<Self>>, disk: &SimDisk) {
        let (company, of_hook) = (Arc::downgrade(company), disk.clone());
        disk.set_hook(Some(Arc::new(move |_, _| {
            let Some(company) = company.upgrade() else { return };
            if let Some(mut company) = company.try_lock()
                && !company.pursuits.is_empty()
                && company.random.once_in(20)
            {
                company.intrude(&of_hook);
            }
        })));
    }
}

fn is_io(error: &FollowError) -> bool {
    matches!(error, FollowError::Read(ReadError::Io { .. }))
}

fn live(seed: u64) -> Story {
    let random = Random::new(seed ^ 0xf0110);
    let company = Arc::new(Mutex::new(Company { pursuits: Vec::new(), random, crash: None }));
    let entering = Arc::clone(&company);
    let mut story = Story::new(seed, move |disk| {
        entering.lock().enter(disk);
        Company::hook(&entering, disk);
    });
    let mut whats =
        vec![What::Merged(Level::Durable), What::Merged(Level::Durable), What::Merged(Level::Written)];
    for core in [CoreId(0), CoreId(2)] {
        whats.extend([What::Core(core, Level::Durable), What::Core(core, Level::Written)]);
    }
    company.lock().pursuits = whats.into_iter().map(|what| Pursuit::begin(what, &story)).collect();
    for _ in 0..120 {
        let before = story.cores.clone();
        story.act();
        let crash = company.lock().crash.take();
        if let Some((then, reached)) = crash {
            story.count("lost power within a call");
            for (pursuit, (count, position)) in company.lock().pursuits.iter_mut().zip(reached) {
                pursuit.handed_out.truncate(count);
                pursuit.resume(&story.disk, &position);
            }
            // What an opening has dropped since may be there again.
            for (core, entries) in before {
                let now = story.cores.entry(core).or_default();
                if now.len() < entries.len() {
                    *now = entries;
                }
            }
            story.lose_power(&then);
            company.lock().crash = None;
        }
        let company = &mut *company.lock();
        for pursuit in &mut company.pursuits {
            pursuit.settle(&mut story);
            if company.random.once_in(4) {
                pursuit.act(&mut company.random);
                pursuit.settle(&mut story);
            }
            if company.random.once_in(8) {
                story.count("stopped and resumed");
                let saved = pursuit.follower.position();
                pursuit.resume(&story.disk, &saved);
            }
        }
    }
    story.disk.heal();
    story.disk.set_hook(None);
    // Three epochs with something in them: each one's barrier calls the one before durable.
    let mut epoch = Epoch(0);
    for _ in 0..3 {
        story.append();
        story.manager().sync_all().unwrap();
        epoch = story.manager().advance_epoch();
        story.manager().handle().epoch_durable(epoch).wait().unwrap();
    }
    let pursuits = &mut company.lock().pursuits;
    for pursuit in &mut *pursuits {
        let complete = match pursuit.what.level() {
            Level::Durable => Epoch(epoch.0 - 1),
            Level::Written => epoch,
        };
        pursuit.check_complete(&mut story, complete);
    }
    story.counts.insert("entries", pursuits.iter().map(|pursuit| pursuit.handed_out.len() as u64).sum());
    story
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn lives_of_engines_are_followed_exactly() {
    let (first, lives) = (number("WAL_FOLLOW_SEED", 1), number("WAL_FOLLOW_LIVES", 60));
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    for seed in first..first + lives {
        println!("WAL_FOLLOW_SEED={seed} WAL_FOLLOW_LIVES=1");
        let story = live(seed);
        story.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    println!("{counts:#?}");
    if lives >= 60 {
        for what in
            ["fell behind", "taken back", "stopped and resumed", "lost power within a call", "checkpoint"]
        {
            assert!(counts.get(what).is_some_and(|count| *count > 3), "hardly ever {what}: {counts:?}");
        }
    }
}
