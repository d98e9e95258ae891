//! Space: a full disk refuses entries before they are accepted; short and interrupted calls are nobody's business;
//! files made ahead, or used before, read as empty.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod common;

use common::{Random, SMALL, rig, segments};
use wal_reader::{PerCoreWalReader, StopReason};
use wal_writer::format::{Barrier, Epoch, SegmentNumber, Sequence};
use wal_writer::storage::recording::Trouble;
use wal_writer::{EpochEnd, LogOptions, Retention, WriterError};

#[test]
fn a_full_disk_refuses_entries_before_they_are_accepted() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut quota = 20_000 + random.below(60_000);
        let ring_bytes = 4096 << random.below(3);
        let retention = [Retention::UntilDurable, Retention::UntilWritten][random.below(2) as usize];
        let mut rig = rig(LogOptions { ring_bytes, retention, ..SMALL });
        rig.storage.set_quota(Some(quota));
        let mut refusals = 0;
        while refusals < 20 {
            let bytes = [10, 10, 10, 500, 3_000, 9_000][random.below(6) as usize];
            match rig.put(bytes) {
                Ok(_) => {}
                Err(WriterError::NoSpace { .. }) => {
                    refusals += 1;
                    // What was accepted can always be synced: nothing is lost while there is no space.
                    assert_eq!(rig.writer.sync().unwrap(), rig.writer.position());
                    rig.check_durable();
                    if random.below(2) == 0 {
                        quota += random.below(30_000);
                        rig.storage.set_quota(Some(quota));
                    }
                }
                Err(error) => panic!("{error}"),
            }
            // Many small frames use up more than they were counted for.
            if random.below(2) == 0 {
                rig.writer.sync().unwrap();
            }
        }
        rig.storage.set_quota(None);
        rig.puts(20, 500);
        rig.writer.sync().unwrap();
        rig.check_durable();
    }
}

#[test]
fn opening_on_a_full_disk_succeeds_and_appends_say_so() {
    let mut rig = rig(SMALL);
    rig.storage.set_quota(Some(0));
    let error = rig.put(1).unwrap_err();
    assert!(matches!(error, WriterError::NoSpace { .. }), "{error}");
    assert!(rig.storage.current().is_empty(), "half-made files are removed");
    rig.storage.set_quota(None);
    rig.puts(1, 1);
    rig.writer.sync().unwrap();
    rig.check_durable();
}

#[test]
fn an_epoch_ends_on_a_full_disk_so_that_space_can_be_released() {
    let mut rig = rig(SMALL);
    rig.storage.set_quota(Some(16 * 1024));
    while rig.put(100).is_ok() {}
    rig.writer.sync().unwrap();
    rig.log.request_seal(Epoch(2));
    let (closed, cut) = rig.close_epoch();
    let cuts = (0..500).map(|core| (wal_writer::format::CoreId(core), Sequence(0))).collect();
    let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts });
    // Without its barrier the epoch is not part of any cut: an error, unless it is for a checkpoint.
    let unsealed = rig.log.end_epoch(&EpochEnd { epoch: closed, barrier: barrier.clone(), seal: false });
    assert!(matches!(unsealed, Err(WriterError::NoSpace { .. })), "{unsealed:?}");
    let sealed = rig.log.end_epoch(&EpochEnd { epoch: closed, barrier, seal: true }).unwrap().unwrap();
    assert!(!sealed.has_barrier);
    assert_eq!(sealed.end.unwrap().sequence, cut);
    assert!(sealed.is_complete);
    rig.check_durable();
    // The checkpoint is done: the segment is released and used again.
    rig.supply.recycle(common::CORE, &[sealed.end.unwrap().segment]).unwrap();
    rig.supply.prepare(common::CORE).unwrap();
    rig.put(100).unwrap();
    rig.writer.sync().unwrap();
}

#[test]
fn what_has_a_place_becomes_durable_although_the_rest_has_none() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    rig.storage.set_quota(Some(rig.storage.used_bytes()));
    rig.log.request_seal(Epoch(2));
    let (_, cut) = rig.close_epoch();
    // Accepted while the current segment had room; but that is sealed at the cut.
    rig.puts(2, 100);
    assert!(matches!(rig.writer.sync(), Err(WriterError::NoSpace { .. })));
    assert!(matches!(rig.writer.durable().wait(), Err(WriterError::NoSpace { .. })), "a wait must not hang");
    assert_eq!(rig.log.durable(), cut);
    rig.storage.set_quota(None);
    rig.writer.durable().wait().unwrap();
    rig.check_durable();
}

#[test]
fn a_checkpoint_ends_its_epoch_although_entries_of_the_next_find_no_room() {
    for retention in [Retention::UntilDurable, Retention::UntilWritten] {
        let mut rig = rig(LogOptions { retention, ..SMALL });
        rig.puts(5, 100);
        rig.storage.set_quota(Some(rig.storage.used_bytes()));
        rig.log.request_seal(Epoch(2));
        let (closed, cut) = rig.close_epoch();
        // Accepted for the rest of a segment that the seal then ends. Only what the checkpoint releases can take them.
        rig.puts(2, 100);
        let barrier = Some(Barrier { durable_epoch: Epoch(0), cuts: vec![(common::CORE, cut)] });
        let end = EpochEnd { epoch: closed, barrier, seal: true };
        for _ in 0..2 {
            let sealed = rig.log.end_epoch(&end).unwrap().unwrap();
            assert_eq!(sealed.end.map(|end| end.sequence), Some(cut));
            assert!(sealed.is_complete && !sealed.has_barrier);
            assert_eq!(rig.log.durable(), cut);
        }
        // The checkpoint is done: the segment is released and used again.
        rig.supply.recycle(common::CORE, &[SegmentNumber(0)]).unwrap();
        rig.supply.prepare(common::CORE).unwrap();
        assert_eq!(rig.writer.sync().unwrap(), rig.writer.position());
    }
}

#[test]
fn short_writes_and_interruptions_change_no_byte() {
    let run = |trouble: Trouble| {
        let mut rig = rig(SMALL);
        rig.storage.set_trouble(trouble);
        for round in 0..40 {
            rig.puts(3, 200);
            rig.put(round * 300).unwrap();
            rig.writer.sync().unwrap();
        }
        rig.check_durable();
        rig.storage.current()
    };
    let undisturbed = run(Trouble::default());
    for short_every in 1..4 {
        for short_by in [1, 512, 2_000, usize::MAX] {
            for interrupt_every in [0, 2, 3, 7] {
                let trouble = Trouble { short_every, short_by, interrupt_every };
                // One byte at a time is slow; often enough is enough.
                if short_by == usize::MAX && short_every == 1 {
                    continue;
                }
                assert!(run(trouble) == undisturbed, "{trouble:?}");
            }
        }
    }
}

#[test]
fn a_prepared_segment_reads_as_the_end_of_the_log() {
    let mut rig = rig(SMALL);
    rig.puts(5, 100);
    rig.writer.sync().unwrap();
    rig.supply.prepare(common::CORE).unwrap();
    rig.check_durable();
    assert!(!rig.supply.is_wanting(common::CORE));
}

#[test]
fn a_file_that_was_made_for_a_large_batch_is_removed_when_it_is_released() {
    for bytes in [100, 40_000] {
        let mut rig = rig(SMALL);
        rig.put(bytes).unwrap();
        rig.writer.sync().unwrap();
        rig.supply.recycle(common::CORE, &[SegmentNumber(0)]).unwrap();
        let usual = usize::from(bytes == 100);
        assert_eq!(rig.supply.free_segments(), usual, "{bytes}");
        assert_eq!(rig.storage.current().len(), usual, "{bytes}");
    }
}

#[test]
fn what_a_recycled_file_held_before_never_comes_back() {
    let mut long_free = 0;
    for seed in 0..20 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut rig = rig(SMALL);
        let mut released = 0;
        for _ in 0..60 {
            rig.puts(1 + random.below(6) as usize, 300);
            if random.below(8) == 0 {
                rig.put(40_000).unwrap();
            }
            rig.writer.sync().unwrap();
            let end = rig.log.durable_position();
            // Half of the entries that were there are of no use any more.
            while released + 1 < end.segment.0 {
                // As an opening does that does not know how large a file is: longer ones are used again as well.
                rig.supply.holdings().inherit(common::CORE, SegmentNumber(released), 0);
                let _ = rig.supply.recycle(common::CORE, &[SegmentNumber(released)]);
                released += 1;
            }
            if random.below(2) == 0 {
                rig.supply.prepare(common::CORE).unwrap();
            }
            let current = rig.storage.current();
            long_free += current
                .iter()
                .filter(|(name, bytes)| name.starts_with("free-") && bytes.len() > 40_000)
                .count();
            let first = segments(&current).first().map(|segment| segment.header).unwrap();
            let start = wal_reader::LogPosition::start_of(first.segment, first.first_sequence);
            let last =
                wal_reader::LogPosition { segment: end.segment, offset: end.offset, sequence: end.sequence };
            let source = std::sync::Arc::new(common::source(current.clone()));
            let mut reader =
                PerCoreWalReader::range(source, common::LOG_ID, common::CORE, start, last).unwrap();
            let mut next = first.first_sequence;
            while let Some(entry) = reader.next().unwrap() {
                assert_eq!(entry.sequence, next);
                assert!(entry.operation == rig.appended[usize::try_from(next.0).unwrap()].as_ref());
                next = next.plus(1);
            }
            assert_eq!(next, rig.writer.position());
            let stop = scan_from(&current, start);
            assert!(matches!(stop, StopReason::End | StopReason::Nothing | StopReason::Stale(_)), "{stop:?}");
        }
        assert!(released > 3, "only {released} segments were released");
    }
    assert!(long_free > 20, "only {long_free} looks at a long file that waits for reuse");
}

fn scan_from(image: &wal_writer::storage::recording::Image, start: wal_reader::LogPosition) -> StopReason {
    let source = common::source(image.clone());
    let inventory = wal_reader::Inventory::list(&source).unwrap();
    let released = |_, _| true;
    let options =
        wal_reader::ScanOptions { start: Some(start), released: Some(&released), ..Default::default() };
    let segments = inventory.segments_of(common::CORE);
    wal_reader::CoreScan::run(&source, common::LOG_ID, common::CORE, segments, &options).unwrap().reason
}
