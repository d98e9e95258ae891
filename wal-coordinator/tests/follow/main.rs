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
mod pursuit;
mod story;

use std::sync::Arc;

use parking_lot::Mutex;
use pursuit::{Pursuit, What};
use story::{Change, Story};
use wal_coordinator::{CoreId, Epoch};
use wal_reader::Level;
use wal_sim::disk::{Random, SimDisk, Snapshot};

/// All followers of a log. They look in the middle of the engine's calls, too.
struct Company {
    pursuits: Vec<Pursuit>,
    random: Random,
    /// A moment at which the power goes: the disk, and how far each follower was.
    crash: Option<(Snapshot, Vec<(usize, String)>)>,
}

impl Company {
    /// What becomes of the engine, or of the disk.
    fn follow(company: &Arc<Mutex<Self>>, change: Change<'_>) {
        match change {
            Change::Leaves => company.lock().pursuits.iter_mut().for_each(Pursuit::leave),
            Change::Disk(disk) => {
                company.lock().pursuits.iter_mut().for_each(|pursuit| pursuit.move_to(disk));
                Self::hook(company, disk);
            }
        }
    }

    /// In the middle of a call.
    fn intrude(&mut self, disk: &SimDisk) {
        let Self { pursuits, random, crash } = self;
        let pursuit = random.below(pursuits.len() as u64);
        pursuits[usize::try_from(pursuit).unwrap()].act(random);
        if crash.is_none() && random.once_in(60) {
            let reached = pursuits.iter().map(|pursuit| (pursuit.handed_out.len(), pursuit.position()));
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

fn live(seed: u64) -> Story {
    let random = Random::new(seed ^ 0xf0110);
    let company = Arc::new(Mutex::new(Company { pursuits: Vec::new(), random, crash: None }));
    let entering = Arc::clone(&company);
    let mut story = Story::new(seed, move |change| Company::follow(&entering, change));
    let mut whats =
        vec![What::Merged(Level::Durable), What::Merged(Level::Durable), What::Merged(Level::Written)];
    whats.extend([What::Inside(None), What::Inside(Some(64 * 1024))]);
    for core in [CoreId(0), CoreId(2)] {
        whats.extend([What::Core(core, Level::Durable), What::Core(core, Level::Written)]);
    }
    company.lock().pursuits = whats.into_iter().map(|what| Pursuit::begin(what, &story)).collect();
    for _ in 0..120 {
        story.act();
        let crash = company.lock().crash.take();
        if let Some((then, reached)) = crash {
            story.count("lost power within a call");
            for (pursuit, (count, position)) in company.lock().pursuits.iter_mut().zip(reached) {
                pursuit.return_to(&position, count);
            }
            story.restore_dropped();
            story.lose_power(&then);
            company.lock().crash = None;
        }
        let company = &mut *company.lock();
        for pursuit in &mut company.pursuits {
            pursuit.enter(&story);
            pursuit.settle(&mut story);
            if company.random.once_in(4) {
                pursuit.act(&mut company.random);
                pursuit.check_prompt(&story);
                pursuit.settle(&mut story);
            }
            if company.random.once_in(8) {
                story.count("stopped and resumed");
                let saved = pursuit.position();
                pursuit.resume(&story, &saved);
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
        let complete = match pursuit.what {
            What::Merged(Level::Durable) | What::Core(_, Level::Durable) => Epoch(epoch.0 - 1),
            _ => epoch,
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
    let (first, lives) = (number("WAL_FOLLOW_SEED", 1), number("WAL_FOLLOW_LIVES", 120));
    let mut counts = std::collections::BTreeMap::<_, u64>::new();
    for seed in first..first + lives {
        println!("WAL_FOLLOW_SEED={seed} WAL_FOLLOW_LIVES=1");
        let story = live(seed);
        story.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    println!("{counts:#?}");
    if lives >= 120 {
        for what in [
            "fell behind",
            "fell behind inside",
            "taken back",
            "stopped and resumed",
            "lost power within a call",
            "checkpoint",
        ] {
            assert!(counts.get(what).is_some_and(|count| *count > 3), "hardly ever {what}: {counts:?}");
        }
    }
}
