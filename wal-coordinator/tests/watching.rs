//! Counters against an oracle that counts what the storage saw and what was appended: equal, after every kind of event;
//! and snapshots under load, whose figures never go back and are in their order.
//!
//! By seed: `WAL_WATCH_SEED=N cargo test -p wal-coordinator --test watching` runs one again.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; a test with threads"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use common::*;
use wal_coordinator::*;
use wal_format::{EntryDecoder, FrameKind, SegmentNumber};
use wal_reader::{Directory, SegmentState, Source, read_state};

const CORES: u16 = 3;
const SEGMENT_BYTES: u64 = 20 * 1024;

/// What one core's log should have counted.
#[derive(Debug, Default)]
struct Counted {
    appended: u64,
    fullest: u64,
    /// Every frame that was ever seen in a file, by segment and offset: payload bytes, all bytes, whether it is a seal.
    frames: BTreeMap<(SegmentNumber, u64), (u64, bool)>,
    /// Bytes of every entry that was ever seen in a file.
    entries: BTreeMap<u64, u64>,
    segments: BTreeSet<SegmentNumber>,
}

/// A log, and what should have been counted of it.
struct Oracle {
    path: PathBuf,
    watched: Watched,
    manager: PerCoreWalManager,
    checkpoints: CheckpointCoordinator,
    cores: Vec<Counted>,
    /// Keeps segments until they have been looked at.
    pin: Option<MergedEntries>,
    reports: Vec<CheckpointReport>,
    closes: u64,
    faults: u64,
}

impl Oracle {
    fn new(path: &Path) -> Self {
        let watched = Watched::new(path);
        let mut options = watched.under(config(path, usize::from(CORES)));
        options.log.segment_bytes = SEGMENT_BYTES;
        options.log.ring_bytes = 8 * 1024;
        let manager = PerCoreWalManager::new(options).unwrap();
        let checkpoints = CheckpointCoordinator::new(&manager);
        let cores = (0..CORES).map(|_| Counted::default()).collect();
        let path = path.to_owned();
        let mut oracle = Self {
            path,
            watched,
            manager,
            checkpoints,
            cores,
            pin: None,
            reports: Vec::new(),
            closes: 0,
            faults: 0,
        };
        oracle.repin();
        oracle
    }

    fn repin(&mut self) {
        let pin = self.manager.handle().merged(None, "the oracle").unwrap();
        // The new one first: what both keep is not let go in between.
        self.pin = Some(pin);
    }

    /// Looks at all that is in files now.
    fn look(&mut self) {
        let (source, id) = (Directory::new(&self.path), log_id(&self.path));
        for (core, counted) in (0..).zip(&mut self.cores) {
            for (segment, file) in segment_files(&self.path, core) {
                let state = read_state(&source, id, CoreId(core), segment);
                if !matches!(state, Ok(Some(SegmentState::InUse(_)))) {
                    continue;
                }
                counted.segments.insert(segment);
                let bytes = std::fs::read(file).unwrap();
                for (at, frame) in frames(&self.path, core, segment) {
                    let is_seal = frame.kind == FrameKind::Seal;
                    counted.frames.insert((segment, at), (frame.frame_bytes() as u64, is_seal));
                    if frame.kind != FrameKind::Data {
                        continue;
                    }
                    let from = usize::try_from(at).unwrap() + 64;
                    let payload = &bytes[from..from + frame.payload_bytes as usize];
                    let mut decoder = EntryDecoder::new(payload);
                    for sequence in frame.first_sequence.0.. {
                        let left = decoder.remaining();
                        if decoder.next_entry().unwrap().is_none() {
                            break;
                        }
                        counted.entries.insert(sequence, (left - decoder.remaining()) as u64);
                    }
                }
            }
        }
    }

    fn step(&mut self, random: &mut Random) {
        let core = random.index(usize::from(CORES));
        let value = vec![7; random.index(400)];
        let writer = self.manager.writer(core);
        let appended = match random.below(40) {
            0..=24 => {
                writer.append_put(&random.next().to_le_bytes(), &value).unwrap();
                1
            }
            25..=27 => {
                let (mut batch, pairs) = (WriteBatch::new(), 1 + random.below(5));
                for _ in 0..pairs {
                    batch.put(b"key", &value).delete(b"key");
                }
                writer.append_batch(&batch).unwrap();
                2 * pairs
            }
            // Beside the ring, in a segment of its own.
            28 => {
                writer.append_put(b"large", &vec![1; 6_000 + random.index(30_000)]).unwrap();
                1
            }
            29..=33 => {
                writer.sync().unwrap();
                0
            }
            34 => {
                // A small entry was given room before it was accepted, so the sync that fails is not of a file that is made.
                writer.sync().unwrap();
                writer.append_put(b"key", b"value").unwrap();
                self.note_fill();
                self.watched.fail(Kind::Sync, &format!("wal-{core:05}"), 0, 1, std::io::ErrorKind::Other);
                self.faults += 1;
                self.manager.writer(core).sync().unwrap();
                1
            }
            35..=37 => {
                let current = self.manager.handle().epoch();
                self.closes += u64::from(self.manager.advance_epoch() == current);
                0
            }
            _ => {
                self.look();
                self.reports.push(self.checkpoints.create_checkpoint().unwrap());
                self.closes += 1;
                self.look();
                self.repin();
                0
            }
        };
        self.cores[core].appended += appended;
        self.note_fill();
        let stats = self.manager.stats();
        for (counted, stats) in self.cores.iter().zip(&stats.cores) {
            assert_eq!(stats.entries, counted.appended);
        }
    }

    /// The ring is fullest after some append: nobody else drains.
    fn note_fill(&mut self) {
        let stats = self.manager.stats();
        for (counted, stats) in self.cores.iter_mut().zip(&stats.cores) {
            counted.fullest = counted.fullest.max(stats.ring_fill_bytes);
        }
    }

    /// Every counter against what was seen.
    fn check(&mut self, what: &str) {
        self.manager.sync_all().unwrap();
        self.look();
        let stats = self.manager.stats();
        let calls = self.watched.calls();
        for (core, (counted, stats)) in (0_u16..).zip(self.cores.iter().zip(&stats.cores)) {
            let what = format!("{what}, core {core}");
            assert_eq!(stats.written_entries, counted.appended, "{what}");
            assert_eq!(stats.durable_entries, counted.appended, "{what}");
            assert_eq!(counted.entries.len() as u64, counted.appended, "{what}: the oracle saw all");
            assert_eq!(stats.payload_bytes, counted.entries.values().sum::<u64>(), "{what}");
            assert_eq!(stats.frames, counted.frames.len() as u64, "{what}");
            assert_eq!(stats.bytes, counted.frames.values().map(|(bytes, _)| bytes).sum::<u64>(), "{what}");
            let seals = counted.frames.values().filter(|(_, is_seal)| *is_seal).count();
            assert_eq!(stats.rotations, seals as u64, "{what}");
            assert_eq!(stats.ring_fill_bytes_max, counted.fullest, "{what}");

            let prefix = format!("wal-{core:05}-");
            let mine = || calls.iter().filter(|call| call.name.starts_with(&prefix));
            let written = mine().filter(|call| call.kind == Kind::Write && call.is_ok && !call.is_zeros);
            assert_eq!(stats.file_bytes, written.map(|call| call.bytes).sum::<u64>(), "{what}");
            let made = mine().filter(|call| call.kind == Kind::Create).count();
            assert_eq!(stats.segments.made, made as u64, "{what}");
            let (syncs, failures) = syncs(mine());
            assert_eq!((stats.syncs, stats.sync_failures), (syncs, failures), "{what}");
            assert_eq!((stats.sync_ns.count(), stats.sync_entries.count()), (syncs, syncs), "{what}");
            assert_eq!(stats.sync_entries.sum(), counted.appended, "{what}");
            assert_eq!(stats.continuations, failures, "{what}");
            let held: u64 = segment_files(&self.path, core)
                .iter()
                .filter(|(segment, _)| counted.segments.contains(segment))
                .map(|(_, file)| {
                    let name = file.file_name().unwrap().to_str().unwrap();
                    let is_made = mine().any(|call| call.kind == Kind::Create && call.name == name);
                    // One that is used again may be longer than it needs to be: it was made for a large entry.
                    if is_made { std::fs::metadata(file).unwrap().len() } else { SEGMENT_BYTES }
                })
                .sum();
            assert_eq!(stats.held_bytes, held, "{what}");
        }
        let total = stats.total();
        assert_eq!(total.sync_failures, self.faults, "{what}");
        assert_eq!(stats.epoch_close_ns.count(), self.closes, "{what}");
        assert_eq!(stats.epoch_durable_ns.count(), self.closes, "{what}: nothing is owed");
        assert_eq!((stats.durable_lag_epochs(), &stats.owed), (0, &None), "{what}");
        let reports = || self.reports.iter();
        let checkpoints = &stats.checkpoints;
        assert_eq!(checkpoints.made(), self.reports.len() as u64, "{what}");
        assert_eq!(checkpoints.entries, reports().map(|report| report.entries).sum::<u64>(), "{what}");
        assert_eq!(checkpoints.keys, reports().map(|report| report.keys).sum::<u64>(), "{what}");
        assert_eq!(checkpoints.bytes_written, reports().map(|report| report.bytes_written).sum::<u64>());
        let released = reports().map(|report| report.segments_released as u64).sum::<u64>();
        assert_eq!((checkpoints.segments_released, total.segments.released), (released, released), "{what}");
        assert_eq!(checkpoints.last.as_ref(), self.reports.last(), "{what}");
        assert_eq!(stats.pinned, self.manager.why_pinned().unwrap(), "{what}: as the directory says");
        let free = Directory::new(&self.path).names().unwrap();
        let free = free.iter().filter(|name| name.starts_with("free-")).count();
        assert_eq!(stats.free_segments, free as u64, "{what}");
    }
}

/// Syncs of one core that succeeded and that failed: one may cover several files, one call each, without a write in between.
/// The file that was just made is synced as well; nothing was written to it.
fn syncs<'a>(calls: impl Iterator<Item = &'a Call>) -> (u64, u64) {
    let (mut succeeded, mut failed) = (0, 0);
    let mut last = None;
    let mut written = BTreeSet::new();
    for call in calls {
        match call.kind {
            Kind::Write if !call.is_zeros => {
                written.insert(call.name.clone());
                last = Some(Kind::Write);
            }
            Kind::Sync if written.contains(&call.name) && call.is_ok => {
                succeeded += u64::from(last == Some(Kind::Write));
                last = Some(Kind::Sync);
            }
            Kind::Sync if written.contains(&call.name) => {
                // The first of a group may have succeeded.
                succeeded -= u64::from(last == Some(Kind::Sync));
                failed += 1;
                last = None;
            }
            _ => {}
        }
    }
    (succeeded, failed)
}

#[test]
fn every_counter_is_what_an_oracle_of_the_life_counted() {
    let one = std::env::var("WAL_WATCH_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in one.map_or(0..3, |seed: u64| seed..seed + 1) {
        let (_directory, path) = place();
        let mut random = Random::new(seed);
        let mut oracle = Oracle::new(&path);
        for step in 0..240 {
            oracle.step(&mut random);
            if step % 60 == 59 {
                oracle.check(&format!("WAL_WATCH_SEED={seed}, step {step}"));
            }
        }
        assert!(oracle.reports.len() > 2 && oracle.closes > 10, "seed {seed}: too little happened");
    }
}

#[test]
fn snapshots_under_load_never_go_back_and_keep_the_rungs_in_their_order() {
    let (_directory, path) = place();
    let mut options = background(&path, 2);
    options.log.ring_bytes = 8 * 1024;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let writers = [manager.take_writer(0).unwrap(), manager.take_writer(1).unwrap()];
    let handle = manager.handle();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let is_over = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let (handle, is_over) = (&handle, &is_over);
        let appending = writers.map(|mut writer| {
            scope.spawn(move || {
                for number in 0..6_000_u64 {
                    writer.append_put(&number.to_le_bytes(), &[1; 40]).unwrap();
                    if number % 50 == 0 {
                        writer.sync().unwrap();
                    }
                }
            })
        });
        let closing = scope.spawn(move || {
            while !is_over.load(SeqCst) {
                handle.advance_epoch();
                std::thread::yield_now();
            }
        });
        let watching = scope.spawn(move || {
            let (mut looks, mut before) = (0_u64, handle.stats());
            while !is_over.load(SeqCst) {
                let now = handle.stats();
                check_order(&now);
                check_not_back(&before, &now);
                (before, looks) = (now, looks + 1);
            }
            looks
        });
        (0..4).for_each(|_| drop(checkpoints.create_checkpoint().unwrap()));
        appending.into_iter().for_each(|core| core.join().unwrap());
        is_over.store(true, SeqCst);
        closing.join().unwrap();
        watching.join().unwrap()
    });
    assert!(looks > 100, "{looks} snapshots were taken");
    manager.sync_all().unwrap();
    assert_eq!(manager.stats().total().durable_entries, 12_000);
}

fn check_order(stats: &WalStats) {
    let total = stats.total();
    for core in stats.cores.iter().chain([&total]) {
        let rungs = [core.durable_entries, core.written_entries, core.entries];
        assert!(rungs.is_sorted(), "{rungs:?}");
        assert_eq!(core.syncs, core.sync_ns.count());
    }
    assert!(stats.cores.iter().all(|core| core.ring_fill_bytes <= core.ring_fill_bytes_max));
    assert!(stats.durable_epoch < stats.epoch, "{} is durable, {} is open", stats.durable_epoch, stats.epoch);
}

/// No counter of `now` is lower than it was: a difference would otherwise be cut off at zero, and not add up.
fn check_not_back(before: &WalStats, now: &WalStats) {
    for (before, now) in before.cores.iter().zip(&now.cores) {
        let since = now.since(before);
        let mut sum = since.clone();
        sum.merge(before);
        for (name, sum, now) in [
            ("entries", sum.entries, now.entries),
            ("written", sum.written_entries, now.written_entries),
            ("durable", sum.durable_entries, now.durable_entries),
            ("payload", sum.payload_bytes, now.payload_bytes),
            ("frames", sum.frames, now.frames),
            ("bytes", sum.bytes, now.bytes),
            ("file bytes", sum.file_bytes, now.file_bytes),
            ("syncs", sum.syncs, now.syncs),
            ("rotations", sum.rotations, now.rotations),
            ("synced entries", sum.sync_entries.sum(), now.sync_entries.sum()),
            ("waits", sum.room_wait_ns.count(), now.room_wait_ns.count()),
            ("made", sum.segments.made, now.segments.made),
        ] {
            assert_eq!(sum, now, "{name} went back");
        }
        assert!(now.ring_fill_bytes_max >= before.ring_fill_bytes_max);
    }
    assert!(now.durable_epoch >= before.durable_epoch && now.epoch >= before.epoch);
    assert!(now.epoch_close_ns.count() >= before.epoch_close_ns.count());
}

/// A device that hangs: the snapshot answers all the same, and so do those after it.
#[test]
fn a_snapshot_is_taken_while_a_sync_and_a_write_hang() {
    for kind in [Kind::Sync, Kind::Write] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
        let mut writer = manager.take_writer(0).unwrap();
        writer.append_put(b"key", b"value").unwrap();
        writer.sync().unwrap();
        let (hangs, goes_on) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let (hangs, goes_on) = (std::sync::Arc::new(hangs), std::sync::Arc::new(goes_on));
        let hook = (std::sync::Arc::clone(&hangs), std::sync::Arc::clone(&goes_on), AtomicBool::new(false));
        watched.set_hook(move |of, name| {
            if of == kind && name.starts_with("wal-00000") && !hook.2.swap(true, SeqCst) {
                hook.0.wait();
                hook.1.wait();
            }
        });
        writer.append_put(b"key", b"value").unwrap();
        std::thread::scope(|scope| {
            let syncing = scope.spawn(move || writer.sync().unwrap());
            hangs.wait();
            let stats = manager.stats();
            assert_eq!((stats.cores[0].entries, stats.cores[0].durable_entries), (2, 1), "{kind:?}");
            assert!(stats.to_string().contains("epoch 1"), "{stats}");
            goes_on.wait();
            syncing.join().unwrap();
        });
        assert_eq!(manager.stats().cores[0].durable_entries, 2);
    }
}
