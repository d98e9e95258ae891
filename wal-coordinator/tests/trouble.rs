//! Bad input and trouble: each has its own error, whose message says what, where and what to do; and the log goes on.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use common::*;
use wal_coordinator::store::{Changes, CheckpointCut, CheckpointStore, RunStore, StoreError, StoredState};
use wal_coordinator::*;
use wal_format::{FileName, FormatError, Manifest};
use wal_reader::{Directory, ReadError};
use wal_recovery::PerCoreRecoveryManager;

/// Opening fails. What is on disk stays as it is.
#[track_caller]
fn refused(path: &Path) -> PerCoreWalError {
    let before = contents(path);
    let Err(error) = PerCoreWalManager::new(config(path, 2)) else { panic!("opening succeeded") };
    assert_eq!(contents(path), before, "a refused log was changed");
    error
}

/// A log of two cores with a checkpoint and something after it; the number of keys.
fn log_with_checkpoint(path: &Path) -> usize {
    let mut manager = PerCoreWalManager::new(config(path, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    for number in 0_u32..20 {
        manager.writer(number as usize % 2).append_put(&number.to_le_bytes(), b"value").unwrap();
        if number == 9 {
            checkpoints.create_checkpoint().unwrap();
        }
    }
    20
}

/// It can be opened, everything is there, and it takes more.
#[track_caller]
fn check_goes_on(path: &Path, keys: usize) {
    let (seen, recovered) = recover(path);
    assert_eq!(seen.state.len(), keys, "{}", recovered.report);
    let mut manager = PerCoreWalManager::new(config(path, 2)).unwrap();
    manager.writer(0).append_put(b"one more", b"value").unwrap();
    manager.close().unwrap();
    assert_eq!(recover(path).0.state.len(), keys + 1);
}

#[test]
fn a_core_that_does_not_exist_is_named_with_those_that_do() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    for core in [2, 3, usize::MAX] {
        let error = manager.try_writer(core).err().unwrap();
        assert!(matches!(error, PerCoreWalError::CoreOutOfRange { core: found, cores: 2 } if found == core));
        says(&error, &[&format!("core {core}"), "opened with 2 cores", "0 to 1"]);
        assert!(matches!(manager.take_writer(core), Err(PerCoreWalError::CoreOutOfRange { .. })));
    }
}

#[test]
fn a_writer_is_taken_once() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let mut writer = manager.take_writer(1).unwrap();
    for error in [manager.take_writer(1).err().unwrap(), manager.try_writer(1).err().unwrap()] {
        assert!(matches!(error, PerCoreWalError::WriterTaken { core: CoreId(1) }), "{error}");
        says(&error, &["core 1", "taken before", "exactly one writer"]);
    }
    writer.append_put(b"key", b"value").unwrap();
    manager.writer(0).append_put(b"other", b"value").unwrap();
    drop(manager);
    assert_eq!(recover(&path).0.state.len(), 2);
}

#[test]
fn a_configuration_that_makes_no_sense_says_what_would() {
    type Change = fn(&mut PerCoreWalConfig);
    let cases: [(Change, &str); 7] = [
        (|config| config.cores = 0, "at least one core"),
        (|config| config.cores = 4_097, "more than the format's 4096"),
        (|config| config.log.ring_bytes = 5_000, "power of two"),
        (|config| config.log.ring_bytes = 2_048, "at least 4096"),
        (|config| config.log.segment_bytes = 4_096, "at least 16384"),
        (|config| config.threads_max = 0, "calling thread"),
        (|config| config.memory_time_max = std::time::Duration::ZERO, "never rest"),
    ];
    for (change, says_this) in cases {
        let (_directory, path) = place();
        let mut config = config(&path, 2);
        change(&mut config);
        let error = PerCoreWalManager::new(config).err().unwrap();
        assert!(matches!(error, PerCoreWalError::Config(_)), "{error}");
        says(&error, &["invalid configuration", says_this]);
        assert!(!path.exists(), "{says_this}: the directory was made all the same");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named_with_the_reason() {
    let (directory, path) = place();
    std::fs::write(&path, b"a regular file").unwrap();
    for below in [path.join("log"), path.clone(), directory.path().join("missing").join("log")] {
        let error = PerCoreWalManager::new(config(&below, 2)).err().unwrap();
        assert!(matches!(&error, PerCoreWalError::Io { path, .. } if *path == below), "{error}");
        says(&error, &["create directory", below.to_str().unwrap()]);
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"a regular file");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_the_reason() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let watched = Watched::new(&path);
    watched.set_read_only();
    let error = PerCoreWalManager::new(watched.under(config(&path, 2))).err().unwrap();
    let PerCoreWalError::Io { cause, .. } = &error else { panic!("{error}") };
    assert_eq!(cause.kind(), ErrorKind::ReadOnlyFilesystem);
    says(&error, &["lock", path.to_str().unwrap(), "read-only"]);
    check_goes_on(&path, keys);
}

#[track_caller]
fn check_in_use(path: &Path) {
    let error = refused(path);
    assert!(matches!(&error, PerCoreWalError::InUse { path: found } if found == path), "{error}");
    says(&error, &[path.to_str().unwrap(), "in use", "another process", "close it first"]);
}

#[test]
fn a_directory_stays_locked_while_a_manager_or_a_writer_or_a_coordinator_of_this_process_lives() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    check_in_use(&path);
    let mut writer = manager.take_writer(0).unwrap();
    writer.append_put(b"key", b"value").unwrap();
    drop(manager);
    let error = writer.append_put(b"too late", b"value").unwrap_err();
    assert!(matches!(error, WriterError::Closed { core: CoreId(0) }), "{error}");
    says(&error, &["core 0", "closed"]);
    check_in_use(&path);
    drop(writer);
    let manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let checkpoints = CheckpointCoordinator::new(&manager);
    drop(manager);
    check_in_use(&path);
    drop(checkpoints);
    check_goes_on(&path, 1);
}

#[test]
fn of_many_openers_at_once_one_gets_the_log_and_all_others_are_told() {
    let (_directory, path) = place();
    for round in 0_u64..50 {
        let start = std::sync::Barrier::new(8);
        let open = || {
            start.wait();
            PerCoreWalManager::new(config(&path, 1))
        };
        let mut opened = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            // Nobody lets go before all have tried.
            let results: Vec<_> = results.collect();
            let is_told =
                |result: &Result<_, _>| matches!(result, Ok(_) | Err(PerCoreWalError::InUse { .. }));
            assert!(results.iter().all(is_told), "round {round}");
            results.into_iter().filter_map(Result::ok).collect::<Vec<_>>()
        });
        assert_eq!(opened.len(), 1, "round {round}");
        opened[0].writer(0).append_put(&round.to_le_bytes(), b"value").unwrap();
    }
    check_goes_on(&path, 50);
}

#[test]
fn a_foreign_newer_or_damaged_wal_meta_is_refused_and_named() {
    type Change = fn(&mut Vec<u8>);
    fn seal(bytes: &mut Vec<u8>) {
        bytes.truncate(60);
        let crc = wal_format::checksum::crc(bytes);
        bytes.extend(crc.to_le_bytes());
    }
    let newer: Change = |bytes| {
        bytes[8] = 2;
        seal(bytes);
    };
    let cases: [(&str, Change, &str); 5] = [
        ("newer", newer, "version"),
        ("magic", |bytes| bytes[0] ^= 1, "wal.meta"),
        ("id", |bytes| bytes[20] ^= 0x40, "wal.meta"),
        ("short", |bytes| bytes.truncate(63), "wal.meta"),
        ("long", |bytes| bytes.push(0), "wal.meta"),
    ];
    for (name, change, says_this) in cases {
        let (_directory, path) = place();
        let keys = log_with_checkpoint(&path);
        let meta = path.join("wal.meta");
        let intact = std::fs::read(&meta).unwrap();
        let mut bytes = intact.clone();
        change(&mut bytes);
        std::fs::write(&meta, &bytes).unwrap();
        let error = refused(&path);
        let PerCoreWalError::Recovery(RecoveryError::Read(ReadError::Format { path: found, cause })) = &error
        else {
            panic!("{name}: {error}")
        };
        assert_eq!(*found, meta, "{name}");
        assert_eq!(matches!(cause, FormatError::Version { .. }), name == "newer", "{name}: {error}");
        says(&error, &[meta.to_str().unwrap(), says_this]);
        std::fs::write(&meta, &intact).unwrap();
        check_goes_on(&path, keys);
    }
}

#[test]
fn every_flipped_bit_of_wal_meta_is_refused() {
    let (_directory, path) = place();
    log_with_checkpoint(&path);
    for bit in 0..64 * 8 {
        flip(&path.join("wal.meta"), bit / 8, u8::try_from(bit % 8).unwrap());
        let error = recover_per_core(&path).unwrap_err();
        assert!(matches!(error, RecoveryError::Read(ReadError::Format { .. })), "bit {bit}: {error}");
        flip(&path.join("wal.meta"), bit / 8, u8::try_from(bit % 8).unwrap());
    }
}

#[test]
fn a_missing_wal_meta_beside_log_files_is_no_new_log() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let aside = path.with_extension("meta");
    std::fs::rename(path.join("wal.meta"), &aside).unwrap();
    let error = refused(&path);
    assert!(
        matches!(error, PerCoreWalError::Recovery(RecoveryError::Read(ReadError::NotALog { .. }))),
        "{error}"
    );
    says(&error, &[path.to_str().unwrap(), "no wal.meta", "restore", "give another directory"]);
    std::fs::rename(&aside, path.join("wal.meta")).unwrap();
    check_goes_on(&path, keys);
}

#[test]
fn a_segment_of_another_core_or_another_log_is_refused_and_named() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let file = |core| segment_files(&path, core).pop().unwrap().1;
    let (first, second, aside) = (file(0), file(1), path.with_extension("aside"));
    let swap = || {
        std::fs::rename(&first, &aside).unwrap();
        std::fs::rename(&second, &first).unwrap();
        std::fs::rename(&aside, &second).unwrap();
    };
    swap();
    let error = refused(&path);
    assert!(
        matches!(error, PerCoreWalError::Recovery(RecoveryError::Read(ReadError::Misplaced { .. }))),
        "{error}"
    );
    says(&error, &[".log", "of core", "put it back under its own name"]);
    swap();
    let (_other_directory, other) = place();
    log_with_checkpoint(&other);
    let intact = std::fs::read(&second).unwrap();
    std::fs::copy(segment_files(&other, 1).pop().unwrap().1, &second).unwrap();
    let error = refused(&path);
    assert!(
        matches!(error, PerCoreWalError::Recovery(RecoveryError::Read(ReadError::Foreign { .. }))),
        "{error}"
    );
    says(&error, &[second.to_str().unwrap(), "belongs to log", "wrong directory"]);
    std::fs::write(&second, intact).unwrap();
    check_goes_on(&path, keys);
}

#[test]
fn an_entry_that_is_too_large_is_refused_whole_and_the_log_goes_on() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    let writer = manager.writer(0);
    let half = vec![1; 40 << 20];
    let mut batch = WriteBatch::new();
    batch.put(b"first half", &half).put(b"second half", &half);
    for error in
        [writer.append_put(b"key", &[0; 65 << 20]), writer.append_batch(&batch)].map(Result::unwrap_err)
    {
        assert!(matches!(error, WriterError::EntryTooLarge { .. }), "{error}");
        says(&error, &["67108864 bytes", "split it"]);
    }
    assert_eq!(writer.append_put(b"key", b"value").unwrap(), Sequence(0));
    drop(manager);
    assert_eq!(text(&recover(&path).0.state).into_keys().collect::<Vec<_>>(), ["key"]);
}

/// Appends until there is no more space; how many were accepted.
fn append_until_full(writer: &mut CoreWalWriter, from: u32) -> (u32, WriterError) {
    for number in from.. {
        if let Err(error) = writer.append_put(&number.to_le_bytes(), &[3; 500]) {
            return (number, error);
        }
        assert!(number < 100_000, "the disk never fills up");
    }
    unreachable!("the loop returns")
}

#[test]
fn a_full_disk_refuses_entries_loses_none_and_takes_more_when_there_is_room() {
    for background_threads in [false, true] {
        for retention in [Retention::UntilDurable, Retention::UntilWritten] {
            let (_directory, path) = place();
            let watched = Watched::new(&path);
            let mut options = if background_threads { background(&path, 1) } else { config(&path, 1) };
            options.log.retention = retention;
            let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
            let mut writer = manager.take_writer(0).unwrap();
            writer.append_put(b"key", b"value").unwrap();
            writer.sync().unwrap();
            watched.set_quota(Some(400 * 1024));
            let mut accepted = 0;
            for _ in 0..3 {
                let (next, error) = append_until_full(&mut writer, accepted);
                assert!(matches!(error, WriterError::NoSpace { .. }), "{error}");
                says(
                    &error,
                    &["no space", path.to_str().unwrap(), "accepted and acknowledged nothing", "call again"],
                );
                accepted = next;
            }
            // What was accepted fits: it becomes durable although the disk is full.
            assert_eq!(writer.position(), Sequence(u64::from(accepted) + 1));
            writer.sync().unwrap();
            writer.durable().wait().unwrap();
            let (_copied, copy) = crash_copy(&path);
            assert_eq!(recover(&copy).0.entries.len() as u64, u64::from(accepted) + 1);
            watched.heal();
            for number in accepted..accepted + 500 {
                writer.append_put(&number.to_le_bytes(), &[3; 500]).unwrap();
            }
            writer.sync().unwrap();
            drop((manager, writer));
            let (seen, _) = recover(&path);
            assert_eq!(
                seen.state.len() as u64,
                u64::from(accepted) + 501,
                "{background_threads} {retention:?}"
            );
        }
    }
}

#[test]
fn an_epoch_that_cannot_be_ended_for_want_of_space_becomes_durable_when_there_is_room() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let mut options = if background_threads { background(&path, 1) } else { config(&path, 1) };
        options.memory_time_max = std::time::Duration::from_millis(5);
        let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
        manager.writer(0).append_put(b"key", b"value").unwrap();
        manager.writer(0).sync().unwrap();
        watched.fill_up();
        let (accepted, _) = append_until_full(manager.writer(0), 0);
        // More barriers than there is room for.
        let mut last = Epoch(0);
        for _ in 0..20_000 {
            last = manager.advance_epoch();
            if manager.writer(0).append_put(b"key", b"value").is_err() {
                break;
            }
        }
        watched.heal();
        let handle = manager.handle();
        manager.writer(0).append_put(b"room again", b"value").unwrap();
        let next = manager.advance_epoch();
        handle.epoch_durable(next).wait().unwrap();
        assert!(next > last && manager.durable_epoch() >= next);
        drop(manager);
        let (seen, _) = recover(&path);
        assert_eq!(seen.state.len() as u64, u64::from(accepted) + 2);
    }
}

#[test]
fn an_epoch_that_a_checkpoint_ended_without_room_for_its_barrier_is_durable_by_that_checkpoint_alone() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.writer(0).sync().unwrap();
    watched.fill_up();
    let accepted = u64::from(append_until_full(manager.writer(0), 0).0);
    manager.sync_all().unwrap();
    // Some room is kept for barriers. They use it up, until there is none for another; a seal has room of its own.
    let used = |manager: &PerCoreWalManager| manager.stats().cores[0].bytes;
    let room = config(&path, 1).log.segment_bytes - 4096 - 128;
    loop {
        let before = used(&manager);
        let epoch = manager.writer(0).epoch();
        manager.handle().epoch_durable(epoch).wait().unwrap();
        let barrier = used(&manager) - before;
        if used(&manager) + barrier > room {
            break;
        }
    }
    let inner = RunStore::new(Arc::new(DirectoryStorage::new(&path)), Arc::new(Directory::new(&path)));
    let failing = Box::new(Failing { inner, at: Some("before") });
    let mut checkpoints = CheckpointCoordinator::with_store(&manager, failing);
    let error = checkpoints.create_checkpoint().unwrap_err();
    assert!(matches!(error, PerCoreWalError::Checkpoint { .. }), "{error}");
    let ended = Epoch(manager.writer(0).epoch().0 - 1);
    assert!(manager.durable_epoch() < ended, "no barrier tells of epoch {ended}, and no checkpoint does");
    watched.heal();
    manager.handle().epoch_durable(ended).wait().unwrap();
    drop((checkpoints, manager));
    let recovered = PerCoreRecoveryManager::new(&path).scope(Scope::ConsistentCut).recover_state().unwrap();
    assert_eq!(recovered.state.len() as u64, accepted + 1);
}

#[test]
fn a_log_opens_on_a_full_disk_and_says_so_at_the_first_append_without_room() {
    for (background_threads, has_free_segments) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let (_directory, path) = place();
        let keys = log_with_checkpoint(&path);
        if has_free_segments {
            let manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
            let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
            assert_eq!(report.segments_released, 2);
        } else {
            let names = contents(&path).into_keys().filter(|name| name.starts_with("free-"));
            names.for_each(|name| std::fs::remove_file(path.join(name)).unwrap());
            for core in recover(&path).1.report.cores {
                let prepared = core.prepared.iter().map(|segment| FileName::Segment(core.core, *segment));
                prepared.for_each(|name| std::fs::remove_file(path.join(name.to_string())).unwrap());
            }
        }
        let watched = Watched::new(&path);
        watched.fill_up();
        let options = if background_threads { background(&path, 2) } else { config(&path, 2) };
        let mut engine = Seen::default();
        let (mut manager, _) = PerCoreWalManager::recover(watched.under(options), &mut engine).unwrap();
        assert_eq!(engine.state.len(), keys);
        assert_eq!(manager.merge_segments().unwrap().len(), if has_free_segments { 0 } else { 10 });
        let (accepted, error) = append_until_full(manager.writer(0), 1_000);
        assert!(matches!(error, WriterError::NoSpace { .. }), "{error}");
        let accepted = accepted - 1_000;
        assert_eq!(accepted > 0, has_free_segments, "{accepted} entries, threads: {background_threads}");
        watched.heal();
        manager.writer(0).append_put(b"key", b"value").unwrap();
        manager.writer(0).sync().unwrap();
        drop(manager);
        check_goes_on(&path, keys + accepted as usize + 1);
    }
}

#[test]
fn a_really_full_quota_of_checkpoints_keeps_the_logs() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 2))).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    for number in 0_u32..400 {
        manager.writer(number as usize % 2).append_put(&number.to_le_bytes(), &[9; 100]).unwrap();
    }
    manager.sync_all().unwrap();
    watched.fill_up();
    let error = checkpoints.create_checkpoint().unwrap_err();
    says(&error, &["checkpoint of epoch", "failed", "all logs are kept"]);
    assert_eq!(recover(&crash_copy(&path).1).0.state.len(), 400);
    watched.heal();
    let report = checkpoints.create_checkpoint().unwrap();
    assert_eq!(report.entries, 400);
    drop((checkpoints, manager));
    check_goes_on(&path, 400);
}

#[test]
fn a_failed_sync_is_continued_on_a_fresh_segment_and_a_second_failure_poisons_for_good() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 2));
    // Large enough not to be zero-filled as a whole when made in haste: every sync is one of entries.
    options.log.segment_bytes = 1 << 20;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    for number in 0_u32..3 {
        manager.writer(0).append_put(&number.to_le_bytes(), b"value").unwrap();
        watched.fail(Kind::Sync, "wal-00000", 0, 1, ErrorKind::Other);
        manager.writer(0).sync().unwrap();
        assert_eq!(manager.writer(0).synced_position(), manager.writer(0).position());
    }
    assert_eq!(manager.stats().cores[0].continuations, 3);
    manager.writer(0).append_put(b"lost", b"value").unwrap();
    manager.writer(1).append_put(b"of core 1", b"value").unwrap();
    watched.fail(Kind::Sync, "wal-00000", 0, 2, ErrorKind::Other);
    let error = manager.writer(0).sync().unwrap_err();
    let mut later = vec![error];
    for _ in 0..2 {
        later.push(manager.writer(0).sync().unwrap_err());
        later.push(manager.writer(0).append_put(b"key", b"value").unwrap_err());
        later.push(manager.writer(0).durable().wait().unwrap_err());
        later.push(manager.writer(0).log().write_out().unwrap_err());
    }
    for error in later {
        assert!(
            matches!(error, WriterError::Poisoned { core: CoreId(0), since: Sequence(3), .. }),
            "{error}"
        );
        says(&error, &["core 0", "poisoned", "sequence 3", "sync", "replace the medium"]);
    }
    // The epoch fails for all who wait for it, and so does a checkpoint; core 1 goes on by itself.
    let epoch = manager.advance_epoch();
    assert!(matches!(manager.handle().epoch_durable(epoch).wait(), Err(WriterError::Poisoned { .. })));
    let error = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap_err();
    says(&error, &["all logs are kept", "core 0", "poisoned"]);
    manager.writer(1).sync().unwrap();
    drop(manager);
    let (seen, _) = recover(&path);
    assert!(seen.state.contains_key(&b"of core 1"[..]));
    for number in 0_u32..3 {
        assert!(seen.state.contains_key(&number.to_le_bytes()[..]), "{number}");
    }
}

#[test]
fn closing_tells_of_a_last_sync_that_failed() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 2));
    options.log.retention = wal_coordinator::Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    manager.writer(1).append_put(b"key", b"value").unwrap();
    watched.fail(Kind::Sync, "wal-00001", 0, usize::MAX, ErrorKind::Other);
    let error = manager.close().unwrap_err();
    says(&error, &["core 1", "cannot sync"]);
}

#[test]
fn a_failed_sync_whose_fresh_segment_cannot_be_made_loses_nothing_and_is_tried_again() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    manager.writer(0).append_put(b"first", b"value").unwrap();
    watched.fail(Kind::Sync, "wal-00000", 0, 1, ErrorKind::Other);
    watched.fail(Kind::Create, "wal-00000", 0, 2, ErrorKind::Other);
    for _ in 0..2 {
        let error = manager.writer(0).sync().unwrap_err();
        assert!(matches!(error, WriterError::Io { operation: "create", .. }), "{error}");
        says(&error, &["cannot create", path.to_str().unwrap()]);
        assert_eq!(manager.writer(0).synced_position(), Sequence(0));
    }
    manager.writer(0).append_put(b"second", b"value").unwrap();
    manager.writer(0).sync().unwrap();
    drop(manager);
    check_goes_on(&path, 2);
}

/// Fails once, at the chosen step, around the store of runs.
struct Failing {
    inner: RunStore,
    at: Option<&'static str>,
}

impl CheckpointStore for Failing {
    fn apply(&mut self, cut: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        match self.at {
            Some("before") => {
                self.at = None;
                Err(StoreError::Engine("no connection".into()))
            }
            Some("half way") => {
                self.at = None;
                changes.next()?;
                Err(StoreError::Engine("no connection".into()))
            }
            Some("after") => {
                self.at = None;
                self.inner.apply(cut, changes)?;
                Err(StoreError::Engine("no connection".into()))
            }
            Some("silently partial") => {
                self.at = None;
                changes.next()?;
                Ok(StoredState { runs: Vec::new(), ..StoredState::default() })
            }
            _ => self.inner.apply(cut, changes),
        }
    }

    fn published(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        if self.at.take() == Some("published") {
            return Err(StoreError::Engine("no connection".into()));
        }
        self.inner.published(manifest)
    }
}

#[test]
fn a_disk_that_makes_no_more_files_fails_whoever_waits_instead_of_letting_him_wait() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = background(&path, 1);
    options.memory_time_max = std::time::Duration::from_millis(1);
    options.free_segments_max = 0;
    let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
    let mut writer = manager.take_writer(0).unwrap();
    writer.append_put(b"first", b"value").unwrap();
    while segment_files(&path, 0).len() < 2 {
        std::thread::yield_now();
    }
    // The checkpoint seals the first segment, the next entry goes to the one that was made ahead, and there is no third:
    // when the second can no longer be synced, there is nothing to go on with.
    watched.fail(Kind::Create, "wal-00000", 0, usize::MAX, ErrorKind::Other);
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    writer.append_put(b"second", b"value").unwrap();
    writer.sync().unwrap();
    watched.fail(Kind::Sync, "wal-00000", 0, usize::MAX, ErrorKind::Other);
    writer.append_put(b"third", b"value").unwrap();
    let epoch = manager.advance_epoch();
    let receipts = [writer.durable(), manager.handle().epoch_durable(epoch)];
    let [error, of_epoch] =
        within_a_minute("whoever waits is told", || receipts.map(|receipt| receipt.wait().unwrap_err()));
    assert!(matches!(error, WriterError::Poisoned { since: Sequence(2), .. }), "{error}");
    says(&error, &["cannot create", path.to_str().unwrap()]);
    assert!(matches!(of_epoch, WriterError::Poisoned { .. }), "{of_epoch}");
    writer.append_put(b"fourth", b"value").unwrap_err();
    drop((manager, writer));
    watched.heal();
    let state = recover(&path).0.state;
    assert!(["first", "second"].iter().all(|key| state.contains_key(key.as_bytes())));
}

#[test]
fn a_store_that_fails_keeps_the_logs_and_the_next_checkpoint_succeeds() {
    for at in ["before", "half way", "after", "silently partial", "published"] {
        let (_directory, path) = place();
        let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
        let storage = Arc::new(DirectoryStorage::new(&path));
        let inner = RunStore::new(storage, Arc::new(Directory::new(&path)));
        let failing = Box::new(Failing { inner, at: Some(at) });
        let mut checkpoints = CheckpointCoordinator::with_store(&manager, failing);
        let mut keys = 0;
        let mut append = |manager: &mut PerCoreWalManager| {
            for _ in 0..600 {
                let key: u32 = keys;
                manager.writer(keys as usize % 2).append_put(&key.to_le_bytes(), &[5; 200]).unwrap();
                keys += 1;
            }
            keys as usize
        };
        let expected = append(&mut manager);
        manager.sync_all().unwrap();
        let segments = segment_files(&path, 0).len();
        let result = checkpoints.create_checkpoint();
        if at == "published" {
            // The checkpoint stands; what is left over is said, and goes with the next one.
            let report = result.unwrap();
            assert!(report.cleanup_error.unwrap().contains("no connection"));
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, PerCoreWalError::Checkpoint { .. }), "{at}: {error}");
            says(&error, &["checkpoint of epoch 1 failed", "all logs are kept"]);
            assert!(segment_files(&path, 0).len() >= segments, "{at}: logs are gone");
            assert_eq!(manager.stats().checkpoint_epoch, Epoch(0));
            assert_eq!(manager.stats().checkpoints.failed, 1, "{at}");
            assert!(!path.join("checkpoint.manifest").exists());
        }
        assert_eq!(recover(&crash_copy(&path).1).0.state.len(), expected, "{at}: after the failure");
        let expected = append(&mut manager);
        let report = checkpoints.create_checkpoint().unwrap();
        assert_eq!(
            (report.entries, report.cleanup_error),
            (if at == "published" { 600 } else { 1_200 }, None)
        );
        drop((checkpoints, manager));
        check_goes_on(&path, expected);
    }
}

#[test]
fn publishing_a_manifest_may_fail_at_every_call_and_nothing_is_lost() {
    let kinds = [Kind::Create, Kind::Write, Kind::Sync, Kind::Rename, Kind::SyncDirectory];
    for (kind, on) in kinds.map(|kind| (kind, if kind == Kind::SyncDirectory { "." } else { "manifest" })) {
        for after in 0..3 {
            let (_directory, path) = place();
            let watched = Watched::new(&path);
            let mut manager = PerCoreWalManager::new(watched.under(config(&path, 2))).unwrap();
            let mut checkpoints = CheckpointCoordinator::new(&manager);
            for number in 0_u32..100 {
                manager.writer(number as usize % 2).append_put(&number.to_le_bytes(), b"value").unwrap();
                if number == 40 {
                    checkpoints.create_checkpoint().unwrap();
                }
            }
            manager.sync_all().unwrap();
            watched.fail(kind, on, after, 1, ErrorKind::Other);
            let result = checkpoints.create_checkpoint();
            if let Err(error) = &result {
                says(error, &["all logs are kept"]);
            }
            assert_eq!(recover(&crash_copy(&path).1).0.state.len(), 100, "{kind:?} {after}: {result:?}");
            watched.heal();
            manager.writer(0).append_put(b"after", b"value").unwrap();
            checkpoints.create_checkpoint().unwrap();
            drop((checkpoints, manager));
            check_goes_on(&path, 101);
        }
    }
}

#[test]
fn a_corrupt_checkpoint_manifest_with_logs_present_is_refused_and_named() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let manifest = path.join("checkpoint.manifest");
    let intact = std::fs::read(&manifest).unwrap();
    for damage in 0..intact.len() + 2 {
        let mut bytes = intact.clone();
        match damage.checked_sub(intact.len()) {
            None => bytes[damage] ^= 0x10,
            Some(0) => bytes.truncate(intact.len() - 1),
            Some(_) => bytes.clear(),
        }
        std::fs::write(&manifest, &bytes).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, PerCoreWalError::Recovery(RecoveryError::CheckpointCorrupt { .. })),
            "damage {damage}: {error}"
        );
        says(&error, &[manifest.to_str().unwrap(), "restore it from a backup", "salvage"]);
    }
    std::fs::write(&manifest, &intact).unwrap();
    check_goes_on(&path, keys);
}

#[test]
fn a_missing_checkpoint_manifest_or_run_with_logs_present_is_refused_and_named() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let aside = path.with_extension("aside");
    let manifest = path.join("checkpoint.manifest");
    std::fs::rename(&manifest, &aside).unwrap();
    let error = refused(&path);
    assert!(matches!(error, PerCoreWalError::Recovery(RecoveryError::CheckpointMissing { .. })), "{error}");
    says(&error, &[manifest.to_str().unwrap(), "is missing", "core", "sequence", "backup", "salvage"]);
    std::fs::rename(&aside, &manifest).unwrap();
    let run = contents(&path).into_keys().find(|name| name.starts_with("run-")).unwrap();
    std::fs::rename(path.join(&run), &aside).unwrap();
    let mut engine = Seen::default();
    let error = PerCoreWalManager::recover(config(&path, 2), &mut engine).err().unwrap();
    assert!(
        matches!(error, PerCoreWalError::Recovery(RecoveryError::Read(ReadError::RunMissing { .. }))),
        "{error}"
    );
    says(&error, &[&run, "restore it from a backup"]);
    std::fs::rename(&aside, path.join(&run)).unwrap();
    check_goes_on(&path, keys);
}

#[test]
fn unknown_files_are_reported_and_never_touched() {
    let (_directory, path) = place();
    let keys = log_with_checkpoint(&path);
    let names =
        ["notes.txt", "wal-0-0.log", "wal-00000-0000000000000000.log.bak", "run-1.ckpt", "WAL.META", "x.tmp"];
    for name in names {
        std::fs::write(path.join(name), name).unwrap();
    }
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let mut unknown = manager.recovery_report().unknown_files.clone();
    unknown.sort();
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(unknown, expected);
    assert!(manager.recovery_report().to_string().contains("unknown file notes.txt"));
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    for _ in 0..3 {
        manager.writer(0).append_put(b"key", b"value").unwrap();
        checkpoints.create_checkpoint().unwrap();
    }
    drop((checkpoints, manager));
    for name in names {
        assert_eq!(std::fs::read(path.join(name)).unwrap(), name.as_bytes());
    }
    check_goes_on(&path, keys + 1);
}
