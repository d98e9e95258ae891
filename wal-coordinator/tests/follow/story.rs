//! Lives of an engine on a simulated disk, by seed, and everything that it appended.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wal_coordinator::{
    CheckpointCoordinator, Clock, CoreId, EntryRef, Epoch, OperationRef, PerCoreWalConfig, PerCoreWalEntry,
    PerCoreWalManager, Replay, TimeSource, WalOperation, WriteBatch,
};
use wal_reader::Source;
use wal_recovery::BoxError;
use wal_sim::disk::{CallKind, Effect, Fault, Pick, Random, SimDisk, Snapshot, Unit};

#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl TimeSource for Ticks {
    fn now_ns(&self) -> u64 {
        // Stands still now and then, so that cores tie.
        1_700_000_000_000_000_000 + self.0.fetch_add(1, Relaxed) / 3 * 10
    }
}

/// What becomes of the engine, for those who follow.
pub(crate) enum Change<'a> {
    /// It ends now, one way or another.
    Leaves,
    /// The story goes on with this disk.
    Disk(&'a SimDisk),
}

/// An engine at work, and what the log should hold.
pub(crate) struct Story {
    pub(crate) disk: SimDisk,
    pub(crate) random: Random,
    /// Per core, every entry that is part of the log, those released included.
    pub(crate) cores: BTreeMap<CoreId, Vec<PerCoreWalEntry>>,
    /// Epoch of the last checkpoint.
    pub(crate) checkpoint: Epoch,
    /// Entries that were in a file, and are gone: by power losses.
    pub(crate) lost: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// How often the log was opened.
    pub(crate) openings: u64,
    /// What openings have cut off since the last act began.
    dropped: BTreeMap<CoreId, Vec<PerCoreWalEntry>>,
    changes: Box<dyn Fn(Change<'_>)>,
    /// Per core, how many entries had been durable before the last thing that happened.
    durable: BTreeMap<CoreId, u64>,
    manager: Option<PerCoreWalManager>,
    clock: Arc<Ticks>,
}

/// All entries that recovery replays.
#[derive(Default)]
struct Replayed(Vec<PerCoreWalEntry>);

impl Replay for Replayed {
    fn state(&mut self, _key: &[u8], _value: &[u8]) -> Result<(), BoxError> {
        Ok(())
    }
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        self.0.push(entry.to_owned());
        Ok(())
    }
}

impl Story {
    pub(crate) fn new(seed: u64, changes: impl Fn(Change<'_>) + 'static) -> Self {
        let mut story = Self {
            disk: SimDisk::new(seed),
            random: Random::new(seed),
            cores: BTreeMap::new(),
            checkpoint: Epoch(0),
            lost: 0,
            counts: BTreeMap::new(),
            openings: 0,
            dropped: BTreeMap::new(),
            changes: Box::new(changes),
            durable: BTreeMap::new(),
            manager: None,
            clock: Arc::default(),
        };
        story.open();
        (story.changes)(Change::Disk(&story.disk));
        story
    }

    /// All entries in the global order.
    pub(crate) fn sorted(&self) -> Vec<&PerCoreWalEntry> {
        let mut all: Vec<_> = self.cores.values().flatten().collect();
        all.sort_by_key(|entry| entry.order_key());
        all
    }

    pub(crate) fn manager(&self) -> &PerCoreWalManager {
        self.manager.as_ref().unwrap()
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// One thing that an engine does, or that happens to it.
    pub(crate) fn act(&mut self) {
        self.dropped.clear();
        // Before: the power may go in the middle.
        let durable = self.manager().synced_positions();
        self.durable.extend(durable.into_iter().map(|core| (core.core, core.sequence.0)));
        match self.random.below(42) {
            0 => self.reopen("closed and reopened", |story| drop(story.manager.take())),
            1 => self.reopen("killed and reopened", |story| {
                let disk = story.disk.reboot();
                story.disk = disk;
                drop(story.manager.take());
            }),
            2 => {
                let now = self.disk.snapshot();
                self.lose_power(&now);
            }
            3 => {
                let after = self.random.below(3);
                let effect = Effect::Error(io::ErrorKind::Other);
                let kinds = &[CallKind::Sync];
                self.disk.inject(Fault { kinds, after, effect, for_good: false });
                self.count("sync that fails");
            }
            4 => self.checkpoint(),
            5..=11 => drop(self.manager().advance_epoch()),
            12..=15 => drop(self.manager().sync_all()),
            16..=21 => {
                let core = self.core();
                let _ = self.manager.as_mut().unwrap().writer(core).log().write_out();
            }
            _ => self.append(),
        }
        let manager = self.manager.as_mut().unwrap();
        if (0..manager.cores()).any(|core| manager.writer(core).log().check().is_err()) {
            self.count("poisoned");
            self.reopen("gave up and reopened", |story| drop(story.manager.take()));
        }
    }

    /// A core to append on: some never do.
    fn core(&mut self) -> usize {
        let cores = self.manager().cores() as u64;
        usize::try_from(self.random.below(cores.div_ceil(2)) * 2 % cores).unwrap()
    }

    pub(crate) fn append(&mut self) {
        let core = self.core();
        let core_id = CoreId(u16::try_from(core).unwrap());
        for _ in 0..1 + self.random.below(8) {
            let bytes = if self.random.once_in(20) { 3000 } else { self.random.below(200) };
            let value = vec![b'v'; usize::try_from(bytes).unwrap()];
            let key = self.random.below(50).to_le_bytes();
            let count = if self.random.once_in(6) { 3 } else { 1 };
            let writer = self.manager.as_mut().unwrap().writer(core);
            let mut batch = WriteBatch::new();
            for _ in 0..count {
                batch.push(&OperationRef::Put { key: &key, value: &value });
            }
            let Ok(first) = writer.append_batch(&batch) else { return };
            let (epoch, timestamp_ns) = (writer.last_epoch(), writer.last_timestamp_ns());
            let operation = WalOperation::Put { key: key.to_vec(), value };
            let entry = |at| PerCoreWalEntry {
                epoch,
                sequence: first.plus(at),
                core_id,
                timestamp_ns,
                operation: operation.clone(),
            };
            self.cores.entry(core_id).or_default().extend((0..count).map(entry));
        }
    }

    fn checkpoint(&mut self) {
        let made = CheckpointCoordinator::new(self.manager()).create_checkpoint();
        if let Ok(report) = made {
            self.checkpoint = report.epoch;
            self.count("checkpoint");
        }
    }

    /// The power went when the disk was so.
    pub(crate) fn lose_power(&mut self, then: &Snapshot) {
        self.reopen("lost power and reopened", |story| {
            let unit = if story.random.once_in(2) { Unit::Sector } else { Unit::Page };
            let image = then.undecided(unit).image(Pick::Seed(story.random.next()));
            story.disk.set_hook(None);
            story.disk = SimDisk::from_image(&image, story.random.next());
            drop(story.manager.take());
        });
    }

    /// The power went before openings cut that off: it may be there again.
    pub(crate) fn restore_dropped(&mut self) {
        for (core, mut dropped) in std::mem::take(&mut self.dropped) {
            self.cores.entry(core).or_default().append(&mut dropped);
        }
    }

    fn reopen(&mut self, what: &'static str, end: impl FnOnce(&mut Self)) {
        let old = self.disk.clone();
        (self.changes)(Change::Leaves);
        end(self);
        self.count(what);
        self.disk.heal();
        // Handles of a process that is dead, or of a disk that is no more, are of no use.
        if old.names().is_err() || what.starts_with("lost power") {
            (self.changes)(Change::Disk(&self.disk));
        }
        self.open();
    }

    /// Opens the log, with any number of cores, and takes over what came back.
    fn open(&mut self) {
        let cores = 1 + usize::try_from(self.random.below(5)).unwrap();
        let mut config = PerCoreWalConfig::new(std::env::temp_dir(), cores).inline();
        config.log.segment_bytes = 16 * 1024;
        config.log.ring_bytes = 8 * 1024;
        config.free_segments_max = 3;
        config.threads_max = 1;
        config.clock = Clock::injected(Arc::clone(&self.clock) as Arc<dyn TimeSource>);
        config.storage = Arc::new(self.disk.clone());
        config.source = Arc::new(self.disk.clone());
        let mut replayed = Replayed::default();
        let (manager, recovered) = PerCoreWalManager::recover(config, &mut replayed).unwrap();
        self.checkpoint = recovered.resume.manifest.as_ref().map_or(Epoch(0), |manifest| manifest.epoch);
        for (core, entries) in &mut self.cores {
            // Of a core that has no file any more nothing had been durable.
            let end = recovered.resume.core(*core).map_or(0, |core| core.next_sequence.0);
            let promised = self.durable.get(core).copied().unwrap_or(0);
            assert!(end >= promised, "core {core} ends at {end}, {promised} entries had been durable");
            let end = usize::try_from(end).unwrap();
            assert!(end <= entries.len(), "core {core} has entries that nobody appended");
            self.lost += (entries.len() - end) as u64;
            let mut dropped = entries.split_off(end);
            dropped.append(self.dropped.entry(*core).or_default());
            self.dropped.insert(*core, dropped);
        }
        self.openings += 1;
        let above = self.checkpoint;
        let expected: Vec<_> =
            self.sorted().into_iter().filter(|entry| entry.epoch > above).cloned().collect();
        assert_eq!(replayed.0, expected, "recovery and story differ");
        self.manager = Some(manager);
    }
}
