//! Followers against a model that sees the whole log, after every step of it; by seed.

use std::collections::BTreeMap;

use wal_format::{CoreId, Epoch, OperationRef, OrderKey, Origin, Sequence};
use wal_reader::testing::LogBuilder;
use wal_reader::{Level, Position, Start};

use crate::live::{Live, Random, put};
use crate::{A, LOG};

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
