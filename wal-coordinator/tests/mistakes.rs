//! One test for each known mistake of per-core logs: it fails if this one makes it.
//!
//! Number 17, what an append costs, is in `append_cost.rs`: counting allocations takes a test binary of its own.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; counters and deadlines of tests"
)]

mod common;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::*;
use parking_lot::{Condvar, Mutex};
use wal_coordinator::store::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState};
use wal_coordinator::*;
use wal_format::limits::{FRAME_PAYLOAD_BYTES_MAX, SOURCE_NAME_BYTES_MAX};
use wal_format::{FileName, FrameKind};
use wal_reader::{MemorySource, ReadError};
use wal_recovery::PerCoreRecoveryManager;

type Text = BTreeMap<String, String>;

/// The state that comes back from empty memory is `expected`.
#[track_caller]
fn check(path: &Path, expected: &Text) {
    let (seen, recovered) = recover(path);
    assert_eq!(text(&seen.state), *expected, "{}", recovered.report);
}

fn put(manager: &mut PerCoreWalManager, expected: &mut Text, core: usize, key: &str, value: &str) {
    // It may overwrite what another core wrote in this epoch, and says so: their clocks may differ.
    let last =
        (0..manager.cores()).filter_map(|core| Some(manager.try_writer(core).ok()?.last_timestamp_ns()));
    let last = last.max().unwrap_or_default();
    let writer = manager.writer(core);
    writer.observe(last);
    writer.append_put(key.as_bytes(), value.as_bytes()).unwrap();
    expected.insert(key.to_owned(), value.to_owned());
}

#[test]
fn m01_state_written_before_a_checkpoint_survives_the_checkpoint_that_deletes_the_logs() {
    let (_directory, path) = place();
    let mut expected = Text::new();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    for number in 0..2_000 {
        put(
            &mut manager,
            &mut expected,
            number % 2,
            &format!("key {}", number % 700),
            &"v".repeat(number % 300),
        );
    }
    manager.advance_epoch();
    let before = segment_files(&path, 0).len() + segment_files(&path, 1).len();
    let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    assert_eq!((report.entries, report.cleanup_error), (2_000, None));
    assert!(before > 4 && report.segments_released >= before - 2, "{} of {before}", report.segments_released);
    // Nothing was written after it: all there is, is the checkpoint.
    let (_copied, copy) = crash_copy(&path);
    let (seen, _) = recover(&copy);
    assert_eq!((text(&seen.checkpointed), seen.entries.len()), (expected.clone(), 0));
    drop(manager);
    check(&path, &expected);
}

#[test]
fn m02_what_was_logged_and_checkpointed_is_replayed_into_the_engine_that_opens_it() {
    let (_directory, mut path) = place();
    let mut expected = Text::new();
    let mut keep = Vec::new();
    for life in 0..3 {
        let mut engine = Seen::default();
        let (mut manager, recovered) = PerCoreWalManager::recover(config(&path, 2), &mut engine).unwrap();
        assert_eq!(text(&engine.state), expected, "life {life}: {}", recovered.report);
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        for number in 0..300 {
            put(
                &mut manager,
                &mut expected,
                number % 2,
                &format!("key {}", number % 97),
                &format!("{life}/{number}"),
            );
            if number == 150 {
                checkpoints.create_checkpoint().unwrap();
            }
        }
        manager.sync_all().unwrap();
        // The process dies here: nothing is closed before the next life begins.
        let (directory, copy) = crash_copy(&path);
        keep.push(directory);
        path = copy;
    }
    check(&path, &expected);
}

#[test]
fn m03_owned_writers_append_from_real_threads_at_the_same_time() {
    const CORES: usize = 4;
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(background(&path, CORES)).unwrap();
    let meet = Barrier::new(CORES);
    std::thread::scope(|scope| {
        for core in 0..CORES {
            let mut writer = manager.take_writer(core).unwrap();
            let meet = &meet;
            scope.spawn(move || {
                for number in 0_u32..200 {
                    writer.append_put(&[u8::try_from(core).unwrap()], &number.to_le_bytes()).unwrap();
                    // Nobody gets past without all others, each in the middle of its own appends.
                    meet.wait();
                }
                writer.sync().unwrap();
            });
        }
    });
    assert!(manager.synced_positions().iter().all(|position| position.sequence == Sequence(200)));
    drop(manager);
    let (seen, _) = recover(&path);
    assert_eq!(seen.entries.len(), CORES * 200);
}

#[test]
fn m04_epochs_and_sequences_go_on_after_reopening_so_newer_entries_sort_later() {
    let (_directory, path) = place();
    let mut expected = Text::new();
    let mut last = (Epoch(0), [Sequence(0); 4]);
    for life in 0..6 {
        let cores = [2, 3, 1, 4, 2, 2][life];
        let mut manager = PerCoreWalManager::new(config(&path, cores)).unwrap();
        let epoch = manager.writer(0).epoch();
        assert!(epoch > last.0, "life {life} begins in epoch {epoch}, the one before reached {}", last.0);
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        for core in 0..cores {
            assert_eq!(manager.writer(core).sequence(), last.1[core], "life {life}, core {core}");
            // The same key from another core each time.
            put(&mut manager, &mut expected, core, "contested", &format!("{life}/{core}"));
            last.1[core] = manager.writer(core).sequence();
        }
        last.0 = manager.advance_epoch();
        if life % 2 == 0 {
            last.0 = checkpoints.create_checkpoint().unwrap().epoch;
        }
        drop((checkpoints, manager));
        check(&path, &expected);
    }
}

/// A clock that is set back by a second at every look.
struct Backwards(AtomicU64);
impl TimeSource for Backwards {
    fn now_ns(&self) -> u64 {
        self.0.fetch_sub(1_000_000_000, SeqCst)
    }
}

#[test]
fn m05_a_clock_that_steps_back_reverses_no_cores_own_writes() {
    let (_directory, path) = place();
    let clock = Clock::injected(Arc::new(Backwards(AtomicU64::new(1_800_000_000_000_000_000))));
    let mut expected = Text::new();
    for life in 0..3 {
        let mut opened = config(&path, 2);
        opened.clock = clock.clone();
        let mut manager = PerCoreWalManager::new(opened).unwrap();
        for number in 0..100 {
            put(&mut manager, &mut expected, life % 2, "key", &format!("{life}/{number}"));
        }
        manager.sync_all().unwrap();
        let merged = manager.merge_segments().unwrap();
        assert!(merged.is_sorted_by_key(|entry| (entry.epoch, entry.timestamp_ns)), "life {life}");
        let own = merged.iter().filter(|entry| usize::from(entry.core_id.0) == life % 2);
        assert!(own.map(|entry| entry.sequence).is_sorted(), "life {life}");
        drop(manager);
        check(&path, &expected);
    }
}

#[test]
fn m06_an_epoch_durable_on_one_core_only_is_applied_on_neither_or_told_apart() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 2));
    options.log.retention = Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    for core in 0..2 {
        manager.writer(core).append_put(format!("whole {core}").as_bytes(), b"1").unwrap();
    }
    let whole = manager.advance_epoch();
    assert_eq!(manager.durable_epoch(), whole);
    // A transfer: one half on each core. Core 0 ends the epoch, with its barrier; core 1 cannot.
    for core in 0..2 {
        manager.writer(core).append_put(format!("half {core}").as_bytes(), b"1").unwrap();
    }
    watched.fail(Kind::Write, "wal-00001", 0, usize::MAX, ErrorKind::Other);
    let half = manager.advance_epoch();
    assert_eq!(manager.durable_epoch(), whole, "core 1 did not end epoch {half}");
    assert_eq!(manager.synced_positions()[0].sequence, Sequence(2));
    let (_copied, copy) = crash_copy(&path);
    let (everything, _) = recover(&copy);
    assert!(everything.state.contains_key(&b"half 0"[..]), "core 0's sync was acknowledged");
    let (cut, recovered) = try_recover(&copy, Scope::ConsistentCut).unwrap();
    assert_eq!(recovered.report.cut, Some(whole));
    let expected: Vec<_> = ["whole 0", "whole 1"].map(str::to_owned).into();
    assert_eq!(text(&cut.state).into_keys().collect::<Vec<_>>(), expected, "half an epoch was applied");
}

#[test]
fn m07_source_offsets_and_watermarks_come_back_from_checkpoint_and_log() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    manager.writer(0).append_commit(&[("orders", 10), ("returns", 5)], Some(1_000)).unwrap();
    manager.writer(1).append_commit(&[("clicks", 7)], Some(900)).unwrap();
    checkpoints.create_checkpoint().unwrap();
    manager.writer(1).append_commit(&[("orders", 12)], None).unwrap();
    manager.writer(0).append_commit(&[], Some(-3)).unwrap();
    manager.sync_all().unwrap();
    let (_copied, copy) = crash_copy(&path);
    let (_, recovered) = recover(&copy);
    let expected =
        [("clicks", 7), ("orders", 12), ("returns", 5)].map(|(name, offset)| (name.to_owned(), offset));
    assert_eq!(recovered.offsets, BTreeMap::from(expected));
    assert_eq!(recovered.watermarks, BTreeMap::from([(CoreId(0), -3), (CoreId(1), 900)]));
    assert_eq!(recovered.watermark(), Some(-3));
    // A second checkpoint carries on what no entry since the first one named.
    checkpoints.create_checkpoint().unwrap();
    drop((checkpoints, manager));
    assert_eq!(recover(&path).1.offsets, recovered.offsets);
}

#[test]
fn m08_damage_before_synced_entries_is_refused_whichever_bit_it_is() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    for number in 0_u32..6 {
        manager.writer(0).append_put(b"key", &number.to_le_bytes()).unwrap();
        manager.writer(0).sync().unwrap();
    }
    drop(manager);
    let (segment, _) = segment_files(&path, 0)[0];
    let name = FileName::Segment(CoreId(0), segment).to_string();
    let data = frames(&path, 0, segment).into_iter().filter(|(_, header)| header.kind == FrameKind::Data);
    let (offset, header) = data.take(3).last().unwrap();
    let mut source = MemorySource::new();
    contents(&path).into_iter().for_each(|(name, bytes)| source.insert(name, bytes));
    let from = usize::try_from(offset).unwrap();
    for bit in 0..header.frame_bytes() * 8 {
        let mut damaged = source.clone();
        damaged.get_mut(&name).unwrap()[from + bit / 8] ^= 1 << (bit % 8);
        let result = PerCoreRecoveryManager::with_source(Arc::new(damaged)).recover_state();
        let Err(RecoveryError::Read(ReadError::Corrupt(defect))) = &result else {
            panic!("bit {bit} of the frame at {offset}: {result:?}");
        };
        assert_eq!((defect.core, defect.segment, defect.offset), (CoreId(0), segment, offset), "bit {bit}");
        assert_eq!(defect.sequence, header.first_sequence, "bit {bit}");
    }
}

#[test]
fn m09_a_zero_filled_tail_is_a_clean_end_whatever_its_length() {
    let (_directory, path) = place();
    let mut expected = Text::new();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    put(&mut manager, &mut expected, 0, "key", "value");
    drop(manager);
    let (segment, file) = segment_files(&path, 0)[0].clone();
    let (last, header) = frames(&path, 0, segment).pop().unwrap();
    let end = last + header.frame_bytes() as u64;
    for zeros in [0, 1, 7, 8, 63, 64, 65, 4095, 4096, 1_000_000] {
        let file = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        file.set_len(end).unwrap();
        file.set_len(end + zeros).unwrap();
        check(&path, &expected);
        let report = recover(&path).1.report;
        assert_eq!(report.cores[0].verdict, wal_format::Verdict::Clean, "{zeros} zeros");
    }
    // And it goes on from there.
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    put(&mut manager, &mut expected, 0, "more", "value");
    drop(manager);
    check(&path, &expected);
}

#[test]
fn m10_releasing_logs_drops_the_oldest_entries_keeps_the_newest_and_lengthens_no_file() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    for number in 0_u32..1_000 {
        manager.writer(0).append_put(&number.to_le_bytes(), &[7; 200]).unwrap();
    }
    manager.advance_epoch();
    let largest = |path: &Path| contents(path).values().map(Vec::len).max().unwrap();
    let before = (segment_files(&path, 0), largest(&path));
    let report = checkpoints.create_checkpoint().unwrap();
    for number in 1_000_u32..1_010 {
        manager.writer(0).append_put(&number.to_le_bytes(), b"new").unwrap();
    }
    manager.sync_all().unwrap();
    let after = segment_files(&path, 0);
    assert!(report.segments_released >= 3 && after.iter().all(|kept| kept.0 >= before.0.last().unwrap().0));
    let kept = manager.merge_segments().unwrap();
    let numbers: Vec<_> = kept.iter().map(|entry| entry.sequence.0).collect();
    assert_eq!(numbers, (1_000..1_010).collect::<Vec<_>>());
    let logs = |(name, bytes): (&String, &Vec<u8>)| (name.ends_with(".log"), bytes.len());
    let lengths = contents(&path);
    let lengthened = lengths.iter().map(logs).filter(|(is_log, bytes)| *is_log && *bytes > before.1).count();
    assert_eq!(lengthened, 0, "a file grew by being released");
    drop((checkpoints, manager));
    assert_eq!(recover(&path).0.state.len(), 1_010);
}

#[test]
fn m11_what_is_appended_after_a_torn_tail_is_readable_and_the_torn_bytes_never_come_back() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    manager.writer(0).append_put(b"synced", b"1").unwrap();
    manager.writer(0).sync().unwrap();
    for key in [&b"torn"[..], b"behind the tear"] {
        manager.writer(0).append_put(key, b"1").unwrap();
        manager.writer(0).log().write_out().unwrap();
    }
    let (_copied, copy) = crash_copy(&path);
    let (segment, file) = segment_files(&copy, 0)[0].clone();
    let found = frames(&copy, 0, segment);
    let (torn, header) = found[found.len() - 2];
    flip(&file, torn + header.frame_bytes() as u64 - 9, 3);
    let (seen, recovered) = recover(&copy);
    assert_eq!(text(&seen.state).into_keys().collect::<Vec<_>>(), ["synced"]);
    let end = &recovered.report.cores[0];
    assert_eq!((end.end.offset, end.discarded.entries), (torn, 1), "{}", recovered.report);
    let mut expected = text(&seen.state);
    for life in 0..3 {
        let mut manager = PerCoreWalManager::new(config(&copy, 1)).unwrap();
        put(&mut manager, &mut expected, 0, &format!("after {life}"), "1");
        manager.writer(0).sync().unwrap();
        let (_again, again) = crash_copy(&copy);
        check(&again, &expected);
    }
}

#[test]
fn m12_after_a_failed_sync_no_later_sync_counts_what_was_lost_as_durable() {
    // The medium loses what the failed sync covered. With the bytes still in the ring, the log goes on elsewhere.
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut expected = Text::new();
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    put(&mut manager, &mut expected, 0, "before", "1");
    manager.writer(0).sync().unwrap();
    let (segment, file) = segment_files(&path, 0)[0].clone();
    let durable = manager.writer(0).log().durable_position();
    put(&mut manager, &mut expected, 0, "during", "1");
    watched.fail(Kind::Sync, &FileName::Segment(CoreId(0), segment).to_string(), 0, 1, ErrorKind::Other);
    manager.writer(0).sync().unwrap();
    put(&mut manager, &mut expected, 0, "after", "1");
    manager.writer(0).sync().unwrap();
    assert_eq!(manager.stats().cores[0].continuations, 1);
    let (_copied, copy) = crash_copy(&path);
    let lost = vec![0; 64 * 1024 - usize::try_from(durable.offset).unwrap()];
    overwrite(&copy.join(file.file_name().unwrap()), durable.offset, &lost);
    check(&copy, &expected);

    // With the bytes gone from the ring, everything from there on is lost, and every later call says since when.
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 1));
    options.log.retention = Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let writer = manager.writer(0);
    writer.append_put(b"before", b"1").unwrap();
    writer.sync().unwrap();
    writer.append_put(b"during", b"1").unwrap();
    watched.fail(Kind::Sync, "wal-00000", 0, 1, ErrorKind::Other);
    for _ in 0..3 {
        let error = writer.sync().unwrap_err();
        assert!(matches!(error, WriterError::Poisoned { since: Sequence(1), .. }), "{error}");
        assert_eq!(writer.synced_position(), Sequence(1), "the durable position moved over the loss");
    }
}

#[test]
fn m13_the_writer_accepts_exactly_what_the_reader_accepts() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    let writer = manager.writer(0);
    let mut value = vec![0x5a; FRAME_PAYLOAD_BYTES_MAX];
    while let Err(error) = writer.append_put(b"key", &value) {
        assert!(matches!(error, WriterError::EntryTooLarge { .. }), "{error}");
        value.pop();
    }
    let largest = value.len();
    assert!(largest > FRAME_PAYLOAD_BYTES_MAX - 32, "{largest} bytes are far below the limit");
    // The second one is longer than 32 bits can say.
    for bytes in [largest + 1, (1 << 32) + 5] {
        let too_long = vec![0; bytes];
        let error = writer.append_put(b"key", &too_long).unwrap_err();
        assert!(matches!(error, WriterError::EntryTooLarge { max: FRAME_PAYLOAD_BYTES_MAX, .. }), "{error}");
        assert_eq!(writer.position(), Sequence(1), "a part of {bytes} bytes was appended");
    }
    let name = "n".repeat(SOURCE_NAME_BYTES_MAX);
    writer.append_commit(&[(&name, 1)], None).unwrap();
    let error = writer.append_commit(&[(&format!("{name}n"), 1)], None).unwrap_err();
    assert!(matches!(error, WriterError::SourceNameTooLong { max: SOURCE_NAME_BYTES_MAX }), "{error}");
    drop(manager);
    let (seen, recovered) = recover(&path);
    assert!(seen.state[&b"key"[..]] == value, "{} bytes came back", seen.state[&b"key"[..]].len());
    assert_eq!(recovered.offsets, BTreeMap::from([(name, 1)]));
}

#[test]
fn m14_logs_of_cores_that_no_longer_run_take_part() {
    let (_directory, path) = place();
    let mut expected = Text::new();
    let mut manager = PerCoreWalManager::new(config(&path, 5)).unwrap();
    for core in 0..5 {
        put(&mut manager, &mut expected, core, &format!("of core {core}"), "first");
        put(&mut manager, &mut expected, core, "contested", &format!("core {core}"));
    }
    drop(manager);
    let mut engine = Seen::default();
    let (mut manager, _) = PerCoreWalManager::recover(config(&path, 2), &mut engine).unwrap();
    assert_eq!(text(&engine.state), expected);
    put(&mut manager, &mut expected, 1, "of core 4", "second");
    drop(manager);
    check(&path, &expected);
    // A checkpoint by few cores holds the logs of all of them, and releases those too.
    let manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    assert_eq!(report.entries, 11);
    drop(manager);
    let (seen, _) = recover(&path);
    assert_eq!((text(&seen.checkpointed), seen.entries.len()), (expected, 0));
}

#[test]
fn m15_a_files_name_is_durable_before_its_first_acknowledgement() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    for number in 0_u32..400 {
        manager.writer(0).append_put(&number.to_le_bytes(), &[1; 1_000]).unwrap();
        manager.writer(0).sync().unwrap();
    }
    let calls = watched.calls();
    let names: Vec<_> =
        calls.iter().filter(|call| call.kind == Kind::Create).map(|call| &call.name).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let at = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted);
        let created = at(&|call| call.kind == Kind::Create && call.name == *name).unwrap();
        let header = at(&|call| call.kind == Kind::Write && call.name == *name && !call.is_zeros);
        let named = calls.iter().skip(created).position(|call| call.kind == Kind::SyncDirectory);
        let named = named.map(|after| created + after);
        assert!(
            header.is_none_or(|header| named.is_some_and(|named| named < header) || name.ends_with(".tmp")),
            "{name}: created at {created}, its name synced at {named:?}, its header written at {header:?}"
        );
    }
    // The replaced file: synced, renamed, its new name synced, and only then the first segment made.
    let at = |kind: Kind, name: &str| {
        calls.iter().position(|call| call.kind == kind && call.name.contains(name)).unwrap()
    };
    let (synced, renamed) = (at(Kind::Sync, "wal.meta"), at(Kind::Rename, "wal.meta"));
    let named = renamed + calls[renamed..].iter().position(|call| call.kind == Kind::SyncDirectory).unwrap();
    assert!(synced < renamed && named < at(Kind::Create, "wal-"), "{synced} {renamed} {named}");
}

#[test]
fn m15_files_of_other_cores_and_other_logs_and_second_openers_are_seen() {
    let (_directory, path) = place();
    let (_other_directory, other) = place();
    for path in [&path, &other] {
        let mut manager = PerCoreWalManager::new(config(path, 2)).unwrap();
        for core in 0..2 {
            manager.writer(core).append_put(b"key", b"value").unwrap();
        }
        manager.sync_all().unwrap();
        let second = PerCoreWalManager::new(config(path, 2));
        assert!(matches!(second, Err(PerCoreWalError::InUse { .. })));
    }
    let (_swapped, swapped) = crash_copy(&path);
    let (first, second) = (segment_files(&swapped, 0)[0].1.clone(), segment_files(&swapped, 1)[0].1.clone());
    std::fs::rename(&first, swapped.join("x")).unwrap();
    std::fs::rename(&second, &first).unwrap();
    std::fs::rename(swapped.join("x"), &second).unwrap();
    assert!(matches!(recover_per_core(&swapped), Err(RecoveryError::Read(ReadError::Misplaced { .. }))));
    let (_foreign, foreign) = crash_copy(&path);
    std::fs::copy(&segment_files(&other, 1)[0].1, &segment_files(&foreign, 1)[0].1).unwrap();
    assert!(matches!(recover_per_core(&foreign), Err(RecoveryError::Read(ReadError::Foreign { .. }))));
}

/// A store that stops in the middle until it is let go on.
struct Held {
    arrived: std::sync::mpsc::Sender<()>,
    go_on: std::sync::mpsc::Receiver<()>,
    seen: Arc<AtomicU64>,
}

impl CheckpointStore for Held {
    fn apply(&mut self, _: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        while changes.next()?.is_some() {
            if self.seen.fetch_add(1, SeqCst) == 0 {
                self.arrived.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
        }
        Ok(StoredState { external: true, ..StoredState::default() })
    }
}

#[test]
fn m16_cores_append_sync_and_end_epochs_while_a_checkpoint_is_in_the_middle() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        let options = if background_threads { background(&path, 2) } else { config(&path, 2) };
        let mut manager = PerCoreWalManager::new(options).unwrap();
        for core in 0..2 {
            manager.writer(core).append_put(b"before", b"1").unwrap();
        }
        let (arrived, has_arrived) = std::sync::mpsc::channel();
        let (let_go, go_on) = std::sync::mpsc::channel();
        let seen = Arc::new(AtomicU64::new(0));
        let store = Held { arrived, go_on, seen: Arc::clone(&seen) };
        let mut checkpoints = CheckpointCoordinator::with_store(&manager, Box::new(store));
        std::thread::scope(|scope| {
            let checkpoint = scope.spawn(move || checkpoints.create_checkpoint().unwrap());
            has_arrived.recv().unwrap();
            // Far more than a ring or a segment holds.
            for number in 0_u32..3_000 {
                for core in 0..2 {
                    manager.writer(core).append_put(&number.to_le_bytes(), &[2; 100]).unwrap();
                }
            }
            manager.sync_all().unwrap();
            let epoch = manager.advance_epoch();
            manager.handle().epoch_durable(epoch).wait().unwrap();
            assert!(manager.durable_epoch() >= epoch);
            assert_eq!(seen.load(SeqCst), 1, "the checkpoint went on by itself");
            let_go.send(()).unwrap();
            let report = checkpoint.join().unwrap();
            // It takes what was there when it began.
            assert_eq!(report.entries, 2);
        });
    }
}

#[test]
fn m16_a_checkpoint_syncs_its_cores_at_the_same_time() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let options = if background_threads { background(&path, 2) } else { config(&path, 2) };
        let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
        for core in 0..2 {
            manager.writer(core).append_put(b"key", b"1").unwrap();
            manager.writer(core).sync().unwrap();
            manager.writer(core).append_put(b"key", b"2").unwrap();
        }
        // No sync of one core returns before the other core's has begun: in series, none ever would.
        let begun = Arc::new((Mutex::new([false; 2]), Condvar::new()));
        let meet = Arc::clone(&begun);
        watched.set_hook(move |kind, name| {
            let core = usize::from(name.contains("wal-00001"));
            if kind != Kind::Sync || !name.starts_with("wal-0000") {
                return;
            }
            let mut cores = meet.0.lock();
            cores[core] = true;
            meet.1.notify_all();
            let deadline = Instant::now() + Duration::from_secs(20);
            while !cores[1 - core] {
                assert!(!meet.1.wait_until(&mut cores, deadline).timed_out(), "core {core} synced alone");
            }
        });
        let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
        assert_eq!(report.entries, 4);
        assert_eq!(*begun.0.lock(), [true; 2]);
    }
}

#[test]
fn m18_nothing_but_a_sync_that_returned_moves_the_durable_position() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 2));
    options.log.retention = Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    manager.writer(0).append_put(b"key", b"1").unwrap();
    manager.writer(0).sync().unwrap();
    watched.fail(Kind::Sync, "wal-00000", 0, usize::MAX, ErrorKind::Other);
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let handle = manager.handle();
    let first_durable = manager.durable_epoch();
    manager.writer(0).append_put(b"key", b"2").unwrap();
    // Everything that the public interface offers, and none of it is a sync that returned.
    manager.writer(0).log().write_out().unwrap();
    assert!(manager.writer(0).written().is_ready());
    assert!(!manager.writer(0).durable().is_ready());
    drop((manager.stats(), manager.why_pinned().unwrap(), manager.merge_segments().unwrap()));
    assert_eq!(manager.merge_segments().unwrap().len(), 1, "an entry that is not durable was handed out");
    let epoch = manager.advance_epoch();
    assert!(manager.sync_all().is_err());
    assert!(manager.writer(0).sync().is_err());
    assert!(manager.writer(0).durable().wait().is_err());
    assert!(handle.epoch_durable(epoch).wait().is_err());
    let error = checkpoints.create_checkpoint().unwrap_err();
    assert!(
        matches!(error, PerCoreWalError::Checkpoint { cause: CheckpointFailure::Core { .. }, .. }),
        "{error}"
    );
    assert!(handle.checkpointed(epoch).wait().is_err());
    assert_eq!(manager.synced_positions()[0].sequence, Sequence(1));
    assert_eq!((manager.durable_epoch(), manager.stats().checkpoint_epoch), (first_durable, Epoch(0)));
    assert_eq!(manager.stats().cores[0].syncs, 1);
}
