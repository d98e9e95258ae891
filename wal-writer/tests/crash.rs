//! Power loss at every operation of a reference run, and at those of every run in which an operation fails.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::ErrorKind;

use common::{LOSE_ALL, SMALL, check_prefix, read_image, rig, segments};
use wal_writer::format::{Barrier, Epoch, WalOperation};
use wal_writer::storage::recording::{Fault, OperationKind, Pick, RecordingStorage, Survival, splitmix64};
use wal_writer::{EpochEnd, LogOptions, WriterError};

/// What a run did and what it was told.
struct Run {
    storage: RecordingStorage,
    appended: Vec<WalOperation>,
    /// After this many events, this many entries were acknowledged as durable.
    acknowledged: Vec<(usize, u64)>,
}

/// A run through everything that does I/O. Errors are taken as they come: the run goes on, as an engine would.
fn reference_run(fault: Option<Fault>) -> Run {
    let mut rig = rig(SMALL);
    fault.into_iter().for_each(|fault| rig.storage.inject(fault));
    let mut acknowledged = Vec::new();
    for round in 0..15_usize {
        for _ in 0..3 {
            let _ = rig.put(200 + round * 40);
        }
        let _ = rig.batch(&[common::put(b"a", b"1"), common::put(b"b", &[3; 600])]);
        match round {
            2 => drop(rig.supply.prepare(common::CORE)),
            3 | 6 => drop(rig.put(9_000)),
            5 => drop(rig.log.write_out()),
            _ => {}
        }
        if round % 4 == 1 {
            let next = rig.global.current().next();
            rig.log.request_seal(next);
            let (closed, cut) = rig.close_epoch();
            let _ = rig.put(50);
            let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(common::CORE, cut)] });
            if rig.log.end_epoch(&EpochEnd { epoch: closed, barrier, seal: true }).is_ok() {
                acknowledged.push((rig.storage.event_count(), cut.0));
            }
        } else if let Ok(durable) = rig.writer.sync() {
            acknowledged.push((rig.storage.event_count(), durable.0));
        }
    }
    Run { storage: rig.storage, appended: rig.appended, acknowledged }
}

impl Run {
    /// Whatever `survival` leaves after `events`: everything acknowledged comes back, and nothing but what was
    /// appended.
    #[track_caller]
    fn check(&self, events: usize, survival: &Survival, context: &str) {
        let image = self.storage.image(events, survival);
        let entries = match read_image(image) {
            Ok(entries) => entries,
            Err(error) => panic!("{context}, {events} events, {survival:?}: {error}"),
        };
        check_prefix(&entries, &self.appended);
        let reached = self.acknowledged.iter().take_while(|(at, _)| *at <= events).last();
        let acknowledged = reached.map_or(0, |(_, entries)| *entries);
        assert!(
            entries.len() as u64 >= acknowledged,
            "{context}, {events} events, {survival:?}: {acknowledged} were acknowledged, {} are there",
            entries.len()
        );
    }
}

#[test]
fn no_power_loss_takes_what_was_acknowledged() {
    let run = reference_run(None);
    assert_eq!(run.acknowledged.last().unwrap().1, run.appended.len() as u64);
    let events = run.storage.event_count();
    let mut images = 0_u64;
    let mut seed = 1;
    println!("{events} events, seed {seed}");
    for at in 0..=events {
        for sector_bytes in [512, 4096] {
            let pending = run.storage.pending(at, sector_bytes);
            let subsets: Vec<Pick> = if pending.sectors <= 6 {
                (0..1 << pending.sectors).map(Pick::Mask).collect()
            } else {
                (0..40).map(|_| Pick::Seed(splitmix64(&mut seed))).chain([Pick::Nothing, Pick::All]).collect()
            };
            for sectors in subsets {
                for names in (0..1 << pending.names.min(3)).map(Pick::Mask) {
                    run.check(at, &Survival { sector_bytes, sectors, names }, "no fault");
                    images += 1;
                }
            }
        }
    }
    println!("{images} images");
    assert!(images > 10_000, "only {images} images");
}

#[test]
fn no_failed_operation_takes_what_was_acknowledged() {
    let operations = reference_run(None).storage.event_count() / 2;
    let mut seed = 7;
    println!("{operations} operations, seed {seed}");
    for after in 0..operations as u64 {
        for for_good in [false, true] {
            for error in [ErrorKind::Other, ErrorKind::StorageFull] {
                let run = reference_run(Some(Fault { kind: None, name: None, after, error, for_good }));
                let context = format!("operation {after} fails with {error:?}, for good: {for_good}");
                let events = run.storage.event_count();
                run.check(events, &LOSE_ALL, &context);
                run.check(
                    events,
                    &Survival { sector_bytes: 512, sectors: Pick::All, names: Pick::All },
                    &context,
                );
                // What a process sees that starts again without a crash of the machine.
                check_prefix(&read_image(run.storage.current()).unwrap(), &run.appended);
                for _ in 0..12 {
                    let at = usize::try_from(splitmix64(&mut seed) % (events as u64 + 1)).unwrap();
                    let (sectors, names) =
                        (Pick::Seed(splitmix64(&mut seed)), Pick::Seed(splitmix64(&mut seed)));
                    run.check(at, &Survival { sector_bytes: 512, sectors, names }, &context);
                }
            }
        }
    }
}

#[test]
fn after_one_failure_everything_appended_becomes_durable() {
    let operations = reference_run(None).storage.event_count() / 2;
    for after in 0..operations as u64 {
        let error = ErrorKind::Other;
        let mut run = reference_run(Some(Fault { kind: None, name: None, after, error, for_good: false }));
        // The last sync of the run met no fault, unless it was the one that failed and was tried again.
        let last = run.acknowledged.pop().unwrap();
        let entries = read_image(run.storage.image(run.storage.event_count(), &LOSE_ALL)).unwrap();
        assert!(entries.len() as u64 >= last.1, "operation {after}");
        assert!(last.1 + 5 >= run.appended.len() as u64, "operation {after}: the log did not go on");
    }
}

/// 600 KB are written, some of them beyond the cut of a checkpoint if there is `seal`, and their sync fails; so does the making
/// of a file, from the `full_after`-th on and until the disk has room again. Kills at every operation from there on.
fn check_kills_of_a_continuation(segment_bytes: u64, seal: bool, beside: bool, full_after: Option<u64>) {
    let context = format!(
        "segments of {segment_bytes}, seal: {seal}, one beside the ring: {beside}, full after {full_after:?}"
    );
    let mut rig = rig(LogOptions { ring_bytes: 1 << 20, segment_bytes, ..SMALL });
    rig.puts(1, 100);
    rig.writer.sync().unwrap();
    // Half of it goes beside the ring, or through it.
    if beside {
        rig.puts(1, 600_000)
    } else {
        rig.puts(400, 1_000)
    }
    let end = seal.then(|| {
        rig.log.request_seal(Epoch(2));
        let (epoch, cut) = rig.close_epoch();
        let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(common::CORE, cut)] });
        (EpochEnd { epoch, barrier, seal }, cut)
    });
    rig.puts(200, 1_000);
    // Others close epochs, which ask for no seal.
    rig.close_epoch();
    rig.puts(1, 1_000);
    rig.log.write_out().unwrap();
    let written = rig.log.written();
    assert_eq!(written, rig.writer.position());
    let before = rig.storage.event_count();
    let fail = |kind, after, error, for_good| {
        rig.storage.inject(Fault { kind: Some(kind), name: None, after, error, for_good });
    };
    fail(OperationKind::Sync, 0, ErrorKind::Other, false);
    full_after
        .into_iter()
        .for_each(|after| fail(OperationKind::Allocate, after, ErrorKind::StorageFull, true));
    let finish = || match &end {
        Some((end, cut)) => rig.log.end_epoch(end).map(|sealed| {
            let sealed = sealed.unwrap();
            let end = sealed.end.unwrap();
            assert_eq!(end.sequence, *cut, "{context}: sealed beside the cut");
            // Only then may a checkpoint do without it.
            let holder = segments(&rig.storage.current());
            let holder = holder.iter().find(|segment| segment.header.segment == end.segment).unwrap();
            assert!(!sealed.is_complete || holder.is_sealed(), "{context}: more stands behind the seal");
        }),
        None => rig.log.sync().map(drop),
    };
    if let Err(error) = finish() {
        assert!(full_after.is_some() && matches!(error, WriterError::NoSpace { .. }), "{context}: {error}");
        rig.storage.heal();
        // As a flusher does from time to time: it must not stop halfway.
        rig.log.write_out().unwrap();
        finish().unwrap();
    }
    // What stands beyond the cut may have no place yet.
    rig.storage.heal();
    rig.writer.sync().unwrap();
    assert_eq!(rig.log.stats().continuations, 1, "{context}");
    for at in before..=rig.storage.event_count() {
        // A kill leaves all that was done until then.
        let survival = Survival { sector_bytes: 4096, sectors: Pick::All, names: Pick::All };
        let entries = read_image(rig.storage.image(at, &survival));
        let entries = entries.unwrap_or_else(|error| panic!("{context}, {at} events: {error}"));
        check_prefix(&entries, &rig.appended);
        let found = entries.len() as u64;
        assert!(found >= written.0, "{context}, {at} events: {found} of {written} are there");
    }
    rig.check_durable();
}

#[test]
fn no_kill_takes_what_was_written_while_a_failed_sync_is_continued() {
    // More than one write's worth, so that a kill can come between two; in one segment and in several.
    for segment_bytes in [1 << 20, 128 << 10_u64] {
        for seal in [false, true] {
            for full_after in [None, Some(0), Some(1), Some(2)] {
                check_kills_of_a_continuation(segment_bytes, seal, false, full_after);
            }
            check_kills_of_a_continuation(segment_bytes, seal, true, None);
        }
    }
}
