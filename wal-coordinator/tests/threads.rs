//! Real threads: cores that append at full speed while epochs close, checkpoints run, and the log shuts down.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; counters, threads and deadlines of tests"
)]

mod common;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use common::*;
use wal_coordinator::*;
use wal_reader::{Directory, Inventory};

const CORES: usize = 4;

/// Runs a future on this thread, as any small executor would.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        std::thread::park();
    }
}

/// Runs a future by asking again and again, without ever being woken.
fn poll_until_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        std::thread::yield_now();
    }
}

/// Waits for a condition that another thread brings about.
#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::yield_now();
    }
}

/// One core's work: its own keys, keys that all cores share, commits; receipts of every kind. Returns its entries.
fn work(mut writer: CoreWalWriter, appends: u32, is_over: &AtomicBool) -> Vec<PerCoreWalEntry> {
    let core_id = writer.core_id();
    let mut entries = Vec::new();
    let mut last_epoch = Epoch(0);
    for number in 0..appends {
        let key = if number % 3 == 0 {
            format!("shared {}", number % 50)
        } else {
            format!("{core_id}/{}", number % 500)
        };
        let operation = match number % 10 {
            7 => WalOperation::Delete { key: key.into_bytes() },
            8 => WalOperation::Commit {
                offsets: vec![(format!("source {core_id}"), u64::from(number))],
                watermark: Some(i64::from(number)),
            },
            _ => {
                WalOperation::Put { key: key.into_bytes(), value: format!("{core_id}:{number}").into_bytes() }
            }
        };
        let sequence = writer.append(&operation.as_ref()).unwrap();
        let (epoch, timestamp_ns) = (writer.last_epoch(), writer.last_timestamp_ns());
        assert!(epoch >= last_epoch, "core {core_id} went back to epoch {epoch}");
        last_epoch = epoch;
        entries.push(PerCoreWalEntry { epoch, sequence, core_id, timestamp_ns, operation });
        match number % 1_000 {
            250 => writer.durable().wait().unwrap(),
            500 => block_on(writer.durable()).unwrap(),
            750 => poll_until_ready(writer.written()).unwrap(),
            999 => assert_eq!(writer.sync().unwrap(), writer.position()),
            _ => continue,
        }
        if number % 1_000 != 750 {
            assert_eq!(writer.synced_position(), writer.position(), "acknowledged, but not durable");
        }
    }
    writer.sync().unwrap();
    is_over.store(true, SeqCst);
    entries
}

#[test]
fn cores_append_at_full_speed_while_checkpoints_and_epochs_go_round_and_all_of_it_comes_back() {
    for threads in [1, 4] {
        let (_directory, path) = place();
        let mut options = background(&path, CORES);
        options.flush = FlushMode::Background { threads };
        options.memory_time_max = Duration::from_millis(1);
        let mut manager = PerCoreWalManager::new(options).unwrap();
        let over: Vec<_> = (0..CORES).map(|_| AtomicBool::new(false)).collect();
        let is_over = || over.iter().all(|core| core.load(SeqCst));
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        let writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core).unwrap()).collect();
        let handle = manager.handle();
        let (mut entries, made, closed) = std::thread::scope(|scope| {
            let cores: Vec<_> = writers
                .into_iter()
                .zip(&over)
                .map(|(writer, over)| scope.spawn(|| work(writer, 12_000, over)))
                .collect();
            let checkpoint = scope.spawn(|| {
                let mut made = Vec::new();
                while made.is_empty() || !is_over() {
                    let report = checkpoints.create_checkpoint().unwrap();
                    assert!(handle.stats().checkpoint_epoch >= report.epoch);
                    assert!(handle.durable_epoch() >= report.epoch, "checkpointed, but not durable");
                    handle.checkpointed(report.epoch).wait().unwrap();
                    made.push(report);
                }
                made
            });
            let epoch = scope.spawn(|| {
                let mut closed = Vec::new();
                while !is_over() {
                    let epoch = handle.advance_epoch();
                    closed.push(epoch);
                    match epoch.0 % 3 {
                        0 => handle.epoch_durable(epoch).wait().unwrap(),
                        1 => block_on(handle.epoch_durable(epoch)).unwrap(),
                        _ => continue,
                    }
                    assert!(handle.durable_epoch() >= epoch);
                }
                closed
            });
            let entries: Vec<_> = cores.into_iter().flat_map(|core| core.join().unwrap()).collect();
            (entries, checkpoint.join().unwrap(), epoch.join().unwrap())
        });
        // An epoch in which nobody appended stays open, and the one before is named again.
        assert!(closed.is_sorted(), "an epoch was closed after a later one");
        drop((checkpoints, handle, manager));
        entries.sort_by_key(PerCoreWalEntry::order_key);
        check(&path, &entries, made.last().unwrap().epoch);
        // Each checkpoint took the entries of its epochs, neither one more nor one fewer.
        let mut from = Epoch(0);
        for report in made {
            let within = |entry: &&PerCoreWalEntry| entry.epoch > from && entry.epoch <= report.epoch;
            assert_eq!(
                report.entries,
                entries.iter().filter(within).count() as u64,
                "epoch {}",
                report.epoch
            );
            from = report.epoch;
        }
    }
}

/// What comes back is what the threads wrote, all of it, in the global order.
#[track_caller]
fn check(path: &std::path::Path, entries: &[PerCoreWalEntry], checkpoint: Epoch) {
    let (seen, recovered) = recover(path);
    let mut state = BTreeMap::new();
    entries.iter().for_each(|entry| apply(&mut state, &entry.operation.as_ref()));
    let above: Vec<_> = entries.iter().filter(|entry| entry.epoch > checkpoint).cloned().collect();
    assert!(
        seen.entries == above,
        "{} entries, expected {}\n{}",
        seen.entries.len(),
        above.len(),
        recovered.report
    );
    assert!(seen.state == state, "the state differs\n{}", recovered.report);
    for core in 0..CORES {
        let last = |entry: &&PerCoreWalEntry| {
            usize::from(entry.core_id.0) == core && matches!(entry.operation, WalOperation::Commit { .. })
        };
        let WalOperation::Commit { offsets, .. } = &entries.iter().rfind(last).unwrap().operation else {
            continue;
        };
        assert_eq!(recovered.offsets[&offsets[0].0], offsets[0].1, "core {core}");
    }
}

#[test]
fn after_a_close_no_entry_of_that_epoch_or_an_older_one_is_published_any_more() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(background(&path, CORES)).unwrap();
    let stop = AtomicBool::new(false);
    let writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core).unwrap()).collect();
    let handle = manager.handle();
    let mut cuts = Vec::new();
    std::thread::scope(|scope| {
        for mut writer in writers {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    writer.append_put(b"key", b"value").unwrap();
                }
                writer.sync().unwrap();
            });
        }
        for _ in 0..200 {
            let before = handle.positions();
            let epoch = handle.advance_epoch();
            cuts.push((epoch, before, handle.positions()));
        }
        stop.store(true, SeqCst);
    });
    let merged = manager.merge_segments().unwrap();
    assert_eq!(
        merged.len() as u64,
        manager.positions().iter().map(|position| position.sequence.0).sum::<u64>()
    );
    let mut of_core = vec![Vec::new(); CORES];
    for entry in &merged {
        of_core[usize::from(entry.core_id.0)].push(entry.epoch);
    }
    for (core, epochs) in of_core.iter().enumerate() {
        assert!(epochs.is_sorted(), "core {core}: the epochs go back");
        for (closed, before, after) in &cuts {
            let cut = epochs.partition_point(|epoch| epoch <= closed) as u64;
            let (before, after) = (before[core].sequence.0, after[core].sequence.0);
            // What was appended before the close is in it; what came after it is not.
            assert!(
                (before..=after).contains(&cut),
                "core {core}, epoch {closed}: {before} <= {cut} <= {after}"
            );
        }
    }
    for (closed, ..) in cuts.iter().step_by(37) {
        let up_to = manager.merge_segments_up_to_epoch(*closed).unwrap();
        assert_eq!(up_to.len(), merged.iter().filter(|entry| entry.epoch <= *closed).count());
    }
}

#[test]
fn idle_and_never_taken_cores_delay_nothing_and_do_no_io() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        // Core 1 wrote in an earlier life, core 2 writes in this one, core 3 never does.
        let mut manager = PerCoreWalManager::new(config(&path, CORES)).unwrap();
        manager.writer(1).append_put(b"of core 1", b"value").unwrap();
        drop(manager);
        let watched = Watched::new(&path);
        let mut options = if background_threads { background(&path, CORES) } else { config(&path, CORES) };
        options.memory_time_max = Duration::from_millis(1);
        let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        let handle = manager.handle();
        manager.writer(2).append_put(b"of core 2", b"value").unwrap();
        manager.writer(2).sync().unwrap();
        // The last one that they take part in. It releases what is left of the earlier life.
        checkpoints.create_checkpoint().unwrap();
        // Background threads make segments ahead of need, once; core 0 is one of those that will use them.
        let supplied = |core: u16| !segment_files(&path, core).is_empty();
        if background_threads {
            eventually("segments made ahead", || (0..4).all(supplied));
            manager.writer(0).append_put(b"key", b"value").unwrap();
            checkpoints.create_checkpoint().unwrap();
        }
        let idle = manager.take_writer(2).unwrap();
        watched.forget();
        let before = handle.stats();
        for number in 0_u32..20 {
            for _ in 0..20 {
                manager.writer(0).append_put(&number.to_le_bytes(), &[1; 200]).unwrap();
            }
            let epoch = manager.advance_epoch();
            handle.epoch_durable(epoch).wait().unwrap();
            if number % 5 == 4 {
                let report = checkpoints.create_checkpoint().unwrap();
                assert_eq!((report.entries, report.cleanup_error), (100, None));
            }
        }
        assert!(watched.count(Kind::Sync, "wal-00000") >= 20, "core 0 was watched");
        for core in 1..CORES {
            let touched = watched.touched(&format!("wal-{core:05}"));
            assert!(touched.is_empty(), "core {core} is idle, threads: {background_threads}: {touched:#?}");
            assert_eq!(handle.stats().cores[core], before.cores[core]);
        }
        drop((checkpoints, manager, idle));
        assert_eq!(recover(&path).0.state.len(), if background_threads { 23 } else { 22 });
    }
}

#[test]
fn a_writer_that_sleeps_in_its_core_holds_up_neither_epochs_nor_checkpoints() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(background(&path, 2)).unwrap();
    let mut sleeper = manager.take_writer(1).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let handle = manager.handle();
    let (woken, sleep) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sleeper.append_put(b"before", b"1").unwrap();
            // Blocked in something else, with entries in its ring, until all is over.
            sleep.recv().unwrap();
            sleeper.append_put(b"after", b"1").unwrap();
            sleeper.sync().unwrap();
        });
        eventually("the append", || handle.positions()[1].sequence == Sequence(1));
        for _ in 0..20 {
            let epoch = handle.advance_epoch();
            handle.epoch_durable(epoch).wait().unwrap();
        }
        assert_eq!(checkpoints.create_checkpoint().unwrap().entries, 1);
        woken.send(()).unwrap();
    });
    drop((checkpoints, manager));
    assert_eq!(recover(&path).0.state.len(), 2);
}

#[test]
fn shutdown_while_appending_closes_every_writer_and_resolves_every_receipt() {
    for round in 0..10 {
        let (_directory, path) = place();
        let mut manager = PerCoreWalManager::new(background(&path, CORES)).unwrap();
        let writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core).unwrap()).collect();
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        let started = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = writers
            .into_iter()
            .map(|mut writer| {
                let started = Arc::clone(&started);
                std::thread::spawn(move || {
                    let mut acknowledged = 0;
                    for number in 0_u64.. {
                        let result = writer.append_put(&number.to_le_bytes(), &[7; 50]);
                        let receipt = writer.durable();
                        if number == 300 {
                            started.fetch_add(1, SeqCst);
                        }
                        match result {
                            Ok(_) if number % 100 == 99 => match block_on(receipt) {
                                Ok(()) => acknowledged = number + 1,
                                Err(error) => assert!(matches!(error, WriterError::Closed { .. }), "{error}"),
                            },
                            Ok(_) => {}
                            Err(error) => {
                                assert!(matches!(error, WriterError::Closed { .. }), "{error}");
                                assert!(matches!(writer.sync(), Err(WriterError::Closed { .. })));
                                break;
                            }
                        }
                    }
                    (writer.core_id(), acknowledged)
                })
            })
            .collect();
        let checkpoint = std::thread::spawn(move || {
            loop {
                if let Err(error) = checkpoints.create_checkpoint() {
                    return error;
                }
            }
        });
        eventually("the threads", || started.load(SeqCst) == CORES);
        within_a_minute("dropping the manager", move || drop(manager));
        let acknowledged = within_a_minute("the writers", move || {
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let error = within_a_minute("the checkpoints", move || checkpoint.join().unwrap());
        assert!(matches!(error, PerCoreWalError::Checkpoint { .. }), "{error}");
        let (_, recovered) = recover(&path);
        for (core, acknowledged) in acknowledged {
            let end = recovered.resume.core(core).map_or(0, |core| core.next_sequence.0);
            assert!(
                end >= acknowledged,
                "round {round}, core {core}: {acknowledged} acknowledged, {end} there"
            );
        }
        // Nobody holds the directory any more.
        drop(PerCoreWalManager::new(config(&path, 1)).unwrap());
    }
}

#[test]
fn dropping_the_manager_resolves_the_receipts_that_wait() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        let options = if background_threads { background(&path, 2) } else { config(&path, 2) };
        let mut manager = PerCoreWalManager::new(options).unwrap();
        let handle = manager.handle();
        let epoch = handle.epoch();
        let mut writer = manager.take_writer(0).unwrap();
        writer.append_put(b"key", b"value").unwrap();
        // What the last sync covers is acknowledged by it; what only a checkpoint or a later epoch gives, is not.
        let durable = writer.durable();
        let checkpointed = handle.checkpointed(epoch);
        let far = handle.epoch_durable(Epoch(epoch.0 + 1_000));
        let waiting: Vec<_> = [durable, checkpointed, far]
            .into_iter()
            .map(|receipt| {
                let (polled, was_polled) = mpsc::channel();
                let thread = std::thread::spawn(move || {
                    let mut receipt = pin!(receipt);
                    block_on(std::future::poll_fn(|context| {
                        let poll = receipt.as_mut().poll(context);
                        let _ = polled.send(());
                        poll
                    }))
                });
                was_polled.recv().unwrap();
                thread
            })
            .collect();
        drop(manager);
        let results = within_a_minute("the receipts", move || {
            waiting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(results[0].is_ok(), "the last sync covered it: {:?}", results[0]);
        for result in &results[1..] {
            assert!(matches!(result, Err(WriterError::Closed { .. })), "{result:?}");
        }
        // A receipt that is made afterwards knows it at once.
        assert!(matches!(handle.checkpointed(epoch).wait(), Err(WriterError::Closed { .. })));
        assert!(matches!(handle.epoch_durable(Epoch(1 << 40)).wait(), Err(WriterError::Closed { .. })));
        assert!(matches!(writer.append_put(b"key", b"late"), Err(WriterError::Closed { .. })));
        drop((writer, handle));
        assert_eq!(recover(&path).0.state[&b"key"[..]], b"value");
    }
}

#[test]
fn why_pinned_names_the_missing_checkpoint_then_the_reader_then_nobody() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let handle = manager.handle();
    assert_eq!(handle.why_pinned().unwrap(), []);
    for number in 0_u32..1_000 {
        manager.writer(0).append_put(&number.to_le_bytes(), &[4; 300]).unwrap();
    }
    manager.sync_all().unwrap();
    let segment = segment_files(&path, 0)[0].0;
    let by = PinnedBy::NoCheckpoint { last: None, entries: 1_000 };
    let pinned = handle.why_pinned().unwrap();
    assert_eq!(pinned.len(), 1, "{pinned:?}");
    assert_eq!((pinned[0].core, pinned[0].segment, &pinned[0].by), (CoreId(0), segment, &by));

    // A reader in the middle of them.
    let mut reader = handle.merged(None, "the slow consumer").unwrap();
    let mut read = Vec::new();
    for _ in 0..10 {
        read.push(reader.next().unwrap().unwrap().sequence.0);
    }
    let report = checkpoints.create_checkpoint().unwrap();
    assert_eq!((report.entries, report.segments_released, report.cleanup_error), (1_000, 0, None));
    let pinned = handle.why_pinned().unwrap();
    let by = PinnedBy::Reader { label: "the slow consumer".to_owned() };
    assert_eq!((pinned.len(), pinned[0].segment, &pinned[0].by), (1, segment, &by));
    for number in 0_u32..500 {
        manager.writer(0).append_put(&number.to_le_bytes(), &[5; 300]).unwrap();
    }
    checkpoints.create_checkpoint().unwrap();
    while let Some(entry) = reader.next().unwrap() {
        assert!(matches!(entry.operation, OperationRef::Put { value, .. } if value == [4; 300]));
        read.push(entry.sequence.0);
    }
    assert_eq!(read, (0..1_000).collect::<Vec<_>>(), "the reader's segments were touched");
    drop(reader);
    let report = checkpoints.create_checkpoint().unwrap();
    assert!(report.segments_released >= 6, "{report:?}");
    assert_eq!(handle.why_pinned().unwrap(), []);
    manager.writer(1).append_put(b"key", b"value").unwrap();
    manager.sync_all().unwrap();
    let pinned = handle.why_pinned().unwrap();
    let by = PinnedBy::NoCheckpoint { last: Some(report.epoch), entries: 1 };
    assert_eq!((pinned.len(), pinned[0].core, &pinned[0].by), (1, CoreId(1), &by));
}

#[test]
fn released_segments_are_used_again_and_what_they_held_never_comes_back() {
    for background_threads in [false, true] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let options = if background_threads { background(&path, 2) } else { config(&path, 2) };
        let free_max = options.free_segments_max;
        let mut manager = PerCoreWalManager::new(watched.under(options)).unwrap();
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        let mut files_max = 0;
        for round in 0_u32..50 {
            for number in 0_u32..300 {
                let value = [round.to_le_bytes(), number.to_le_bytes()].concat().repeat(40);
                manager.writer(number as usize % 2).append_put(&number.to_le_bytes(), &value).unwrap();
            }
            assert_eq!(checkpoints.create_checkpoint().unwrap().cleanup_error, None);
            let inventory = Inventory::list(&Directory::new(&path)).unwrap();
            assert!(inventory.free.len() <= free_max, "{} free segments", inventory.free.len());
            let files = inventory.free.len() + inventory.segments.values().map(Vec::len).sum::<usize>();
            files_max = files_max.max(files);
            // In every second round, the newest entries stand in files that held others of the same core before.
            manager.writer(0).append_put(b"round", &round.to_le_bytes()).unwrap();
            manager.sync_all().unwrap();
            if round % 10 == 9 {
                let (seen, _) = recover(&crash_copy(&path).1);
                assert_eq!(seen.entries.len(), 1, "round {round}: stale entries came back");
                assert_eq!(seen.state.len(), 301);
                assert_eq!(seen.state[&b"round"[..]], round.to_le_bytes());
                assert_eq!(seen.state[&7_u32.to_le_bytes()[..]][..4], round.to_le_bytes());
            }
        }
        assert!(files_max <= 16, "{files_max} segment files");
        let reused = watched
            .calls()
            .iter()
            .filter(|call| call.kind == Kind::Rename && call.name.starts_with("free-"))
            .count();
        assert!(reused >= 25, "released segments were used again {reused} times");
    }
}

/// Waits for an epoch on a thread of its own, so that a hang is seen.
#[track_caller]
fn wait_for_epoch(handle: &LogHandle, epoch: Epoch) -> Result<(), WriterError> {
    let handle = handle.clone();
    within_a_minute("waiting for an epoch", move || handle.epoch_durable(epoch).wait())
}

#[test]
fn who_waits_without_background_threads_gets_the_error_and_may_wait_again() {
    for error in [ErrorKind::StorageFull, ErrorKind::Other] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let mut manager = PerCoreWalManager::new(watched.under(config(&path, 2))).unwrap();
        let handle = manager.handle();
        for core in 0..2 {
            manager.writer(core).append_put(&[u8::try_from(core).unwrap()], b"value").unwrap();
        }
        // The sync fails, and so does every attempt to go on elsewhere.
        watched.fail(Kind::Sync, "wal-00001", 0, 1, ErrorKind::Other);
        watched.fail(Kind::Create, "wal-00001", 0, usize::MAX, error);
        let epoch = handle.epoch();
        for attempt in 0..3 {
            let result = wait_for_epoch(&handle, epoch);
            let is_expected = match error {
                ErrorKind::StorageFull => matches!(result, Err(WriterError::NoSpace { .. })),
                _ => matches!(result, Err(WriterError::Io { operation: "create", .. })),
            };
            assert!(is_expected, "attempt {attempt}: {result:?}");
            assert!(manager.durable_epoch() < epoch);
        }
        watched.heal();
        wait_for_epoch(&handle, epoch).unwrap();
        assert_eq!(manager.durable_epoch(), epoch);
        drop((handle, manager));
        assert_eq!(recover(&path).0.state.len(), 2);
    }
}

/// No tick comes to help: whoever waits, and a ring that fills up, have their flusher woken.
#[test]
fn a_flusher_that_is_woken_looks_at_once() {
    for (threads, retention) in [
        (1, wal_writer::Retention::UntilDurable),
        (2, wal_writer::Retention::UntilWritten),
        (3, wal_writer::Retention::UntilDurable),
    ] {
        let (_directory, path) = place();
        let mut options = background(&path, 3);
        options.flush = FlushMode::Background { threads };
        options.log.retention = retention;
        let mut manager = PerCoreWalManager::new(options).unwrap();
        let handle = manager.handle();
        within_a_minute("waiting for a flusher that was woken", move || {
            for core in [2, 0, 1] {
                let mut writer = manager.take_writer(core).unwrap();
                writer.append_put(b"key", b"value").unwrap();
                writer.durable().wait().unwrap();
                block_on(async {
                    writer.append_put(b"key", b"value").unwrap();
                    writer.durable().await
                })
                .unwrap();
                let (before, syncs) =
                    (handle.stats().cores[core].written_entries, handle.stats().cores[core].syncs);
                // Half of the ring: nobody waits.
                for _ in 0..400 {
                    writer.append_put(b"key", &[7; 80]).unwrap();
                }
                while handle.stats().cores[core].written_entries == before {
                    std::thread::yield_now();
                }
                if retention == wal_writer::Retention::UntilDurable {
                    while handle.stats().cores[core].syncs == syncs {
                        std::thread::yield_now();
                    }
                } else {
                    assert_eq!(handle.stats().cores[core].syncs, syncs, "a sync that nobody asked for");
                }
            }
        });
    }
}
