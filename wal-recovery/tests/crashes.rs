//! Power losses by seed: any subset of the sectors written since the last sync survives. What was synced comes back,
//! nothing else than what was appended does, no crash is ever taken for corruption, and life after life goes on.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use std::collections::BTreeMap;

use common::{LOG, recover_with};
use wal_format::{CoreId, Epoch, Origin, PerCoreWalEntry, Previous, SegmentHeader, Sequence, WalOperation};
use wal_reader::MemorySource;
use wal_reader::testing::LogBuilder;
use wal_recovery::{Mode, Recovered, Scope};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A log, what its medium certainly holds, and what was appended.
struct World {
    random: Random,
    log: LogBuilder,
    /// Files as of the last sync of their core.
    durable: MemorySource,
    cores: u16,
    epoch: u64,
    clock: u64,
    /// Per core: everything appended, and how much of it is synced.
    appended: BTreeMap<CoreId, Vec<PerCoreWalEntry>>,
    synced: BTreeMap<CoreId, u64>,
    /// Closed epochs of this life that are not durable yet.
    closed: Vec<Closed>,
    durable_epoch: u64,
}

struct Closed {
    epoch: u64,
    cuts: Vec<(u16, u64)>,
    /// The core whose log holds the barrier, until that is synced.
    witness: Option<CoreId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let cores = 1 + random.below(3) as u16;
        let log = LogBuilder::new(LOG);
        let durable = log.source();
        let (appended, synced, closed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self {
            random,
            log,
            durable,
            cores,
            epoch: 1,
            clock: 1000,
            appended,
            synced,
            closed,
            durable_epoch: 0,
        }
    }

    fn any_core(&mut self) -> CoreId {
        CoreId(self.random.below(u64::from(self.cores)) as u16)
    }

    fn next_sequence(&self, core: CoreId) -> u64 {
        self.appended.get(&core).map_or(0, |entries| entries.len() as u64)
    }

    fn step(&mut self) {
        let core = self.any_core();
        match self.random.below(20) {
            0..10 => self.append(core),
            10..15 => self.sync(core),
            15..17 => self.close_epoch(),
            17 => {
                // Anew in a fresh segment, as after a failed sync, or because the segment was full.
                if self.next_sequence(core) > 0 {
                    self.log.rotate(core);
                }
            }
            _ => self.append(core),
        }
    }

    fn append(&mut self, core: CoreId) {
        self.clock += self.random.below(3);
        self.log.set_epoch(self.epoch);
        self.log.set_clock(self.clock);
        let value = vec![self.clock as u8; self.random.below(900) as usize];
        let operations: Vec<_> = (0..1 + self.random.below(3))
            .map(|key| WalOperation::Put { key: vec![key as u8], value: value.clone() })
            .collect();
        let borrowed: Vec<_> = operations.iter().map(WalOperation::as_ref).collect();
        let at = self.log.batch(core, &borrowed);
        let entries = self.appended.entry(core).or_default();
        assert_eq!(at.sequence.0, entries.len() as u64);
        for operation in operations {
            let sequence = Sequence(entries.len() as u64);
            let (epoch, timestamp_ns) = (Epoch(self.epoch), self.clock);
            entries.push(PerCoreWalEntry { epoch, sequence, core_id: core, timestamp_ns, operation });
        }
    }

    /// Everything of this core so far is on the medium; barriers of the epochs that this completes may follow.
    fn sync(&mut self, core: CoreId) {
        self.log.sync(core);
        let prefix = format!("wal-{:05}-", core.0);
        for (name, bytes) in self.log.source().iter().filter(|(name, _)| name.starts_with(&prefix)) {
            self.durable.insert(name, bytes.to_vec());
        }
        self.synced.insert(core, self.next_sequence(core));
        for closed in self.closed.iter_mut().filter(|closed| closed.witness == Some(core)) {
            closed.witness = None;
        }
        let synced = &self.synced;
        let is_durable = |closed: &&Closed| {
            let reached = |core| synced.get(&CoreId(core)).copied().unwrap_or(0);
            closed.witness.is_none() && closed.cuts.iter().all(|(core, cut)| reached(*core) >= *cut)
        };
        let done = self.closed.iter().take_while(is_durable).count();
        if let Some(last) = self.closed.drain(..done).next_back() {
            self.durable_epoch = last.epoch;
        }
    }

    fn close_epoch(&mut self) {
        let cuts: Vec<_> = (0..self.cores).map(|core| (core, self.next_sequence(CoreId(core)))).collect();
        let epoch = self.epoch;
        self.epoch += 1;
        let witness = self.any_core();
        // Behind an entry of the next epoch, now and then.
        if self.random.below(3) == 0 {
            self.append(witness);
        }
        self.log.barrier(witness, epoch, self.durable_epoch, &cuts);
        self.closed.push(Closed { epoch, cuts, witness: Some(witness) });
    }

    /// The medium after a power loss: of every sector that was written since the last sync, the old or the new.
    fn crash(&mut self) -> MemorySource {
        let mut image = self.durable.clone();
        for (name, new) in self.log.source().iter() {
            let old = image.get(name).unwrap_or_default().to_vec();
            let mut bytes = old.clone();
            bytes.resize(new.len().max(old.len()), 0);
            // From hardly any to nearly all.
            let odds = 1 + self.random.below(8);
            for at in (0..new.len()).step_by(512) {
                if self.random.below(9) < odds {
                    let to = (at + 512).min(new.len());
                    bytes[at..to].copy_from_slice(&new[at..to]);
                }
            }
            image.insert(name, bytes);
        }
        image
    }

    /// Recovers the image and checks it against the model; then goes on from there, in a new life.
    fn recover(&mut self, image: MemorySource, seed: u64) {
        let (kept, recovered) = recover_with(&image, Scope::Everything, Mode::Strict)
            .unwrap_or_else(|error| panic!("seed {seed}: a crash was taken for damage: {error}"));
        for core in (0..self.cores).map(CoreId) {
            let (found, appended) = (kept.of_core(core), self.appended.entry(core).or_default());
            assert!(appended.starts_with(&found), "seed {seed} core {core}\n{}", recovered.report);
            let synced = self.synced.get(&core).copied().unwrap_or(0);
            assert!(found.len() as u64 >= synced, "seed {seed} core {core}\n{}", recovered.report);
        }
        let (cut, by_cut) = recover_with(&image, Scope::ConsistentCut, Mode::Strict).unwrap();
        let epoch = by_cut.resume.cut.unwrap_or_default();
        assert!(epoch.0 >= self.durable_epoch, "seed {seed}: {epoch} is below {}", self.durable_epoch);
        for core in (0..self.cores).map(CoreId) {
            let whole = self.appended[&core].iter().filter(|entry| entry.epoch <= epoch).count();
            assert_eq!(cut.of_core(core).len(), whole, "seed {seed} core {core}\n{}", by_cut.report);
        }
        let (chosen, kept) = if self.random.below(2) == 0 { (recovered, kept) } else { (by_cut, cut) };
        for core in (0..self.cores).map(CoreId) {
            self.appended.insert(core, kept.of_core(core));
        }
        self.reopen(image, &chosen, seed);
    }

    /// Begins new segments on every core, all or some of them before the next power loss.
    fn reopen(&mut self, image: MemorySource, recovered: &Recovered, seed: u64) {
        let resume = &recovered.resume;
        self.durable = image.clone();
        self.log = LogBuilder::from_files(LOG, image);
        self.synced.clear();
        self.closed.clear();
        self.epoch = resume.next_epoch.0;
        self.durable_epoch = self.epoch - 1;
        self.clock = self.clock.max(resume.timestamp_floor);
        let cuts: Vec<_> = (0..self.cores).map(|core| (core, self.next_sequence(CoreId(core)))).collect();
        for core in (0..self.cores).map(CoreId) {
            let point = resume.core(core);
            let end = point.and_then(|point| point.end);
            let previous =
                end.map(|end| Previous { segment: end.segment, end: end.offset, synced_through: end.offset });
            self.log.resume(SegmentHeader {
                log_id: LOG,
                core,
                segment: point.map(|point| point.next_segment).unwrap_or_default(),
                origin: if previous.is_some() { Origin::Resumption } else { Origin::First },
                first_sequence: Sequence(self.next_sequence(core)),
                epoch: point.map(|point| point.last_epoch).unwrap_or_default(),
                last_timestamp: point.map_or(0, |point| point.last_timestamp),
                previous,
            });
            self.log.barrier(core, self.durable_epoch, self.durable_epoch, &cuts);
        }
        if self.random.below(4) == 0 {
            // The power goes while the log is being opened: whatever of it survives, the decision is the same.
            let image = self.crash();
            let (kept, again) = recover_with(&image, resume.scope, Mode::Strict)
                .unwrap_or_else(|error| panic!("seed {seed}: in opening: {error}"));
            for core in (0..self.cores).map(CoreId) {
                let (found, decided) = (kept.of_core(core), &self.appended[&core]);
                assert_eq!(found.len(), decided.len(), "seed {seed} core {core}\n{}", again.report);
                assert!(found == *decided, "seed {seed} core {core}");
            }
            return self.reopen(image, &again, seed);
        }
        (0..self.cores).for_each(|core| self.sync(CoreId(core)));
    }
}

#[test]
fn what_was_synced_survives_any_subset_of_unsynced_sectors_life_after_life() {
    // More of them for a campaign.
    let seeds = std::env::var("WAL_CRASH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2000);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for _ in 0..4 {
            for _ in 0..world.random.below(60) {
                world.step();
            }
            let image = world.crash();
            world.recover(image, seed);
        }
    }
}
