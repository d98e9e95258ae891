//! Epochs: frames never mix them, and a requested seal cuts exactly between two of them.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Random, SMALL, rig, segments};
use wal_reader::{LogPosition, PerCoreWalReader};
use wal_writer::format::{Barrier, Epoch, FileName, FrameHeader, FrameKind, SegmentNumber, Sequence};
use wal_writer::storage::recording::{Fault, OperationKind};
use wal_writer::{EpochEnd, SealedAt, WriterError};

/// Everything below `sealed` has an epoch below `before`, everything behind it has that or a higher one.
#[track_caller]
fn check_seal(rig: &common::Rig, sealed: &SealedAt, before: Epoch, cut: Sequence) {
    let end = sealed.end.unwrap();
    assert_eq!(end.sequence, cut, "the seal does not stand at the cut");
    assert!(sealed.is_complete);
    let all = segments(&rig.storage.current());
    for segment in &all {
        for (offset, frame) in segment.frames.iter().filter(|(_, frame)| frame.kind == FrameKind::Data) {
            let is_before = (segment.header.segment, *offset) < (end.segment, end.offset);
            assert_eq!(is_before, frame.epoch < before, "segment {} offset {offset}", segment.header.segment);
        }
    }
    let holder = all.iter().find(|segment| segment.header.segment == end.segment).unwrap();
    assert!(holder.is_sealed());
    assert_eq!(holder.end(), end.offset);
}

#[test]
fn a_frame_never_mixes_epochs() {
    let mut rig = rig(SMALL);
    let mut cuts = Vec::new();
    for round in 0..20 {
        rig.puts(round % 4, 30);
        cuts.push(rig.close_epoch());
    }
    rig.puts(1, 30);
    rig.writer.sync().unwrap();
    rig.check_durable();
    let entries = rig.read();
    for (epoch, cut) in cuts {
        for entry in &entries {
            assert_eq!(
                entry.sequence < cut,
                entry.epoch <= epoch,
                "{:?}, cut of {epoch} is {cut}",
                entry.sequence
            );
        }
    }
}

#[test]
fn a_requested_seal_cuts_between_the_epochs_whoever_drains_first() {
    for drains in 0..4 {
        let mut rig = rig(SMALL);
        rig.puts(5, 100);
        rig.log.request_seal(Epoch(2));
        let (closed, cut) = rig.close_epoch();
        rig.puts(3, 100);
        // Somebody else drains across the cut, and somebody syncs, before the epoch is ended.
        if drains & 1 == 1 {
            rig.log.write_out().unwrap();
        }
        if drains & 2 == 2 {
            rig.writer.sync().unwrap();
        }
        rig.puts(2, 100);
        let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(common::CORE, cut)] });
        let end = EpochEnd { epoch: closed, barrier, seal: true };
        let sealed = rig.log.end_epoch(&end).unwrap().unwrap();
        check_seal(&rig, &sealed, Epoch(2), cut);
        rig.check_durable();
        let again =
            rig.log.end_epoch(&EpochEnd { epoch: closed, barrier: None, seal: true }).unwrap().unwrap();
        assert_eq!(again.end, sealed.end, "asked again, the answer is the same");
    }
}

#[test]
fn the_barrier_of_a_later_epoch_never_stands_before_a_seal() {
    for (earlier, entries) in [(0, 0), (0, 3), (3, 0), (3, 3)] {
        let mut rig = rig(SMALL);
        let barrier = |cut| Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(common::CORE, cut)] });
        rig.puts(earlier, 100);
        let (closed, cut) = rig.close_epoch();
        rig.log.end_epoch(&EpochEnd { epoch: closed, barrier: barrier(cut), seal: false }).unwrap();
        rig.puts(entries, 100);
        rig.log.request_seal(Epoch(3));
        let (sealed_epoch, cut) = rig.close_epoch();
        // Somebody waits for the next epoch, which is empty, and its end is written first.
        let (later, _) = rig.close_epoch();
        rig.log.end_epoch(&EpochEnd { epoch: later, barrier: barrier(cut), seal: false }).unwrap();
        let end = EpochEnd { epoch: sealed_epoch, barrier: barrier(cut), seal: true };
        let sealed = rig.log.end_epoch(&end).unwrap().unwrap();
        let end = sealed.end.unwrap();
        assert_eq!(end.sequence, cut, "{earlier}, {entries}: the seal does not stand at the cut");
        // A checkpoint makes everything before the seal superfluous. The barrier is the later epoch's only trace.
        let sealed = sealed.end.map(|end| (end.segment, end.offset));
        let barriers = segments(&rig.storage.current()).into_iter().flat_map(|segment| {
            let number = segment.header.segment;
            let is_later = |frame: &FrameHeader| frame.kind == FrameKind::Barrier && frame.epoch == later;
            let found = segment.frames.into_iter().filter(move |(_, frame)| is_later(frame));
            found.map(move |(offset, _)| (number, offset)).collect::<Vec<_>>()
        });
        let barriers: Vec<_> = barriers.collect();
        assert_eq!(barriers.len(), 1, "{earlier} entries, then {entries}");
        assert!(
            sealed.is_none_or(|end| barriers[0] >= end),
            "{earlier}, {entries}: {barriers:?}, {sealed:?}"
        );
    }
}

#[test]
fn a_seal_that_is_durable_stands_although_a_later_sync_fails() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    rig.log.request_seal(Epoch(2));
    let (epoch, cut) = rig.close_epoch();
    let end = EpochEnd { epoch, barrier: None, seal: true };
    let sealed = rig.log.end_epoch(&end).unwrap().unwrap();
    assert_eq!(sealed.end.unwrap().sequence, cut);
    // Epochs whose ends nobody asks for; their entries are in a file whose sync fails.
    rig.puts(2, 100);
    rig.close_epoch();
    rig.puts(2, 100);
    rig.log.write_out().unwrap();
    let (kind, error) = (Some(OperationKind::Sync), std::io::ErrorKind::Other);
    rig.storage.inject(Fault { kind, name: None, after: 0, error, for_good: false });
    let again = || format!("{:?}", rig.log.end_epoch(&end).unwrap().unwrap());
    assert_eq!(again(), format!("{sealed:?}"), "asked again, the answer is the same");
    rig.writer.sync().unwrap();
    assert_eq!(rig.log.stats().continuations, 1);
    assert_eq!(format!("{:?}", rig.log.end_epoch(&end).unwrap().unwrap()), format!("{sealed:?}"));
    rig.check_durable();
    assert_eq!(
        segments(&rig.storage.current()).len(),
        3,
        "the seal's, the one that was given up, and the next"
    );
}

#[test]
fn seals_of_many_epochs_stand_at_their_cuts_while_syncs_fail() {
    let mut sealed_count = 0;
    for seed in 0..200 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut rig = rig(SMALL);
        let step = |rig: &mut common::Rig, random: &mut Random| {
            for _ in 0..random.below(4) {
                if rig.put(150).is_err() && rig.put(150).is_err() {
                    return;
                }
            }
            match random.below(4) {
                // May fail, and then be tried again: nothing is lost.
                0 => drop(rig.log.write_out()),
                1 => drop(rig.writer.sync()),
                2 => rig.storage.inject(Fault {
                    kind: Some(OperationKind::Sync),
                    name: None,
                    after: random.below(2) * 5,
                    error: std::io::ErrorKind::Other,
                    for_good: false,
                }),
                _ => {}
            }
        };
        for epoch in 1..12_u64 {
            step(&mut rig, &mut random);
            step(&mut rig, &mut random);
            rig.log.request_seal(Epoch(epoch + 1));
            let (closed, cut) = rig.close_epoch();
            assert_eq!(closed, Epoch(epoch));
            step(&mut rig, &mut random);
            step(&mut rig, &mut random);
            let end = EpochEnd { epoch: closed, barrier: None, seal: true };
            let sealed = match rig.log.end_epoch(&end) {
                Err(WriterError::Io { .. }) => rig.log.end_epoch(&end),
                result => result,
            };
            // Two failed syncs in a row poison: an answer too.
            let Ok(sealed) = sealed else { break };
            sealed_count += 1;
            let end = sealed.unwrap().end;
            assert!(end.is_none_or(|end| end.sequence == cut), "sealed at {end:?}, the cut is {cut}");
            // And it stands in the log, not in a file that was given up: everything up to it can be read.
            if let Some(end) = end {
                let first = rig.storage.current().keys().find_map(|name| segment_of(name)).unwrap();
                let start = LogPosition::start_of(first, Sequence(0));
                let end = LogPosition { segment: end.segment, offset: end.offset, sequence: end.sequence };
                let image = rig.storage.image(rig.storage.event_count(), &common::LOSE_ALL);
                let source = Arc::new(common::source(image));
                let mut reader =
                    PerCoreWalReader::range(source, common::LOG_ID, common::CORE, start, end).unwrap();
                while reader.advance().unwrap() {}
                assert_eq!(reader.entries(), cut.0);
            }
            // What was appended beyond the cut may have found no segment.
            if rig.writer.sync().is_err() {
                break;
            }
            rig.check_durable();
        }
    }
    assert!(sealed_count > 500, "only {sealed_count} epochs were sealed");
}

fn segment_of(name: &str) -> Option<SegmentNumber> {
    match FileName::parse(name) {
        Some(FileName::Segment(_, number)) => Some(number),
        _ => None,
    }
}

#[test]
fn an_epoch_without_entries_seals_nothing_and_costs_no_segment() {
    let mut rig = rig(SMALL);
    for round in 0..5 {
        rig.log.request_seal(Epoch(round + 2));
        let (closed, _) = rig.close_epoch();
        let sealed =
            rig.log.end_epoch(&EpochEnd { epoch: closed, barrier: None, seal: true }).unwrap().unwrap();
        assert_eq!(sealed.end, None);
    }
    assert_eq!(rig.storage.event_count(), 0, "an idle core does no I/O");
    rig.puts(1, 10);
    rig.log.request_seal(Epoch(7));
    let (closed, cut) = rig.close_epoch();
    let end = EpochEnd { epoch: closed, barrier: None, seal: true };
    let sealed = rig.log.end_epoch(&end).unwrap().unwrap();
    check_seal(&rig, &sealed, Epoch(7), cut);
    assert_eq!((sealed.before, sealed.epoch), (Epoch(7), Epoch(6)));
    assert_eq!(sealed.timestamp_ns, rig.writer.last_timestamp_ns());
}
