//! What was appended comes back: byte-exact, in order, batches whole, whatever the sizes and the clock.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests stand outside of the loom models"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{Random, SMALL, any_operation, check_entries, put, read_image, rig, segments, setup};
use wal_writer::format::limits::FRAME_PAYLOAD_BYTES_MAX;
use wal_writer::format::{Epoch, OperationRef, Origin, Sequence, WalOperation};
use wal_writer::{Clock, LogOptions, TimeSource, WriteBatch, WriterError};

#[test]
fn synced_entries_of_every_kind_come_back_byte_exact() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut rig = rig(SMALL);
        for _ in 0..random.below(120) {
            match random.below(8) {
                0 => {
                    rig.writer.sync().unwrap();
                }
                1 => rig.log.write_out().unwrap(),
                2 => {
                    rig.close_epoch();
                }
                3 => {
                    let batch: Vec<_> =
                        (0..random.below(12)).map(|_| any_operation(&mut random, 300)).collect();
                    rig.batch(&batch).unwrap();
                }
                _ => {
                    let operation = any_operation(&mut random, 1_500);
                    match &operation {
                        WalOperation::Delete { key } => rig.writer.append_delete(key),
                        operation => rig.writer.append(&operation.as_ref()),
                    }
                    .unwrap();
                    rig.appended.push(operation);
                }
            }
        }
        rig.writer.sync().unwrap();
        rig.check_all();
        rig.check_durable();
    }
}

#[test]
fn a_batch_stands_in_one_frame_with_one_timestamp() {
    let mut rig = rig(SMALL);
    rig.puts(2, 10);
    // One for each way beside or through the ring: small, most of the ring, larger than it, larger than a segment.
    for bytes in [5, 150, 400, 2_000] {
        let batch: Vec<_> = (0..10).map(|at| put(&[at], &vec![at; bytes])).collect();
        let first = rig.batch(&batch).unwrap();
        rig.puts(1, 10);
        rig.writer.sync().unwrap();
        let entries = rig.read();
        let of_batch = &entries[usize::try_from(first.0).unwrap()..][..10];
        assert!(of_batch.iter().all(|entry| entry.timestamp_ns == of_batch[0].timestamp_ns), "{bytes} bytes");
        let all = segments(&rig.storage.current());
        let holders = all.iter().flat_map(|segment| segment.data()).filter(|frame| {
            frame.first_sequence < first.plus(10)
                && first < frame.first_sequence.plus(u64::from(frame.entry_count))
        });
        assert_eq!(holders.count(), 1, "frames that hold a part of the batch of {bytes} bytes");
    }
    rig.check_durable();
}

#[test]
fn entries_larger_than_ring_and_segment_keep_order_among_small_ones() {
    let mut rig = rig(SMALL);
    for round in 0..30_usize {
        rig.puts(round % 4, 20);
        rig.put([1_900, 2_100, 4_000, 5_000, 17_000, 70_000, 200_000][round % 7]).unwrap();
        if round % 5 == 0 {
            rig.close_epoch();
        }
    }
    rig.writer.sync().unwrap();
    rig.check_durable();
}

/// What goes beside the ring waits for an empty one. What counts is what it takes at most: with the longest delta, and the
/// record of an epoch before it.
#[test]
fn what_takes_half_of_the_ring_at_most_goes_through_it_and_nothing_else() {
    type Append = fn(&mut wal_writer::CoreWalWriter, &[u8]) -> Result<Sequence, WriterError>;
    // Beside the value: tag and delta, lengths and key, an epoch's record. A batch was encoded with a delta of one byte.
    let appends: [(Append, usize); 4] = [
        (|writer, value| writer.append_put(b"k", value), 11 + 4 + 9),
        (|writer, value| writer.append_delete(value), 11 + 2 + 9),
        (|writer, value| writer.append(&OperationRef::Put { key: b"k", value }), 11 + 4 + 9),
        (|writer, value| writer.append_batch(WriteBatch::new().put(b"k", value)), 10 + 6 + 9),
    ];
    for (index, (append, overhead)) in appends.into_iter().enumerate() {
        let largest = SMALL.ring_bytes / 2 - overhead;
        for bytes in [largest - 1, largest, largest + 1, largest + 20] {
            let mut rig = rig(SMALL);
            rig.put(10).unwrap();
            append(&mut rig.writer, &vec![7; bytes]).unwrap();
            let waited = rig.log.durable() > Sequence(0);
            assert_eq!(waited, bytes > largest, "append {index} of {bytes} bytes");
        }
    }
}

#[test]
fn an_entry_of_any_size_fits_any_segment() {
    // Each ring is half full of an entry that must not wait for room that never comes.
    for ring_bytes in [4096, 1 << 16, 1 << 20, 1 << 22] {
        let mut rig = rig(LogOptions { ring_bytes, ..SMALL });
        for bytes in
            [ring_bytes / 2 - 100, ring_bytes / 4 + 1, ring_bytes / 2 + 1, ring_bytes - 20, ring_bytes + 1]
        {
            rig.put(bytes).unwrap();
            rig.put(10).unwrap();
        }
        rig.writer.sync().unwrap();
        rig.check_durable();
    }
}

#[test]
fn rotation_leaves_sealed_segments_that_follow_each_other_without_a_gap() {
    let mut rig = rig(SMALL);
    for _ in 0..40 {
        rig.puts(7, 300);
        rig.writer.sync().unwrap();
    }
    rig.check_durable();
    let all = segments(&rig.storage.current());
    assert!(all.len() > 5, "only {} segments", all.len());
    assert_eq!((all[0].header.origin, all[0].header.previous), (Origin::First, None));
    for pair in all.windows(2) {
        assert!(pair[0].is_sealed());
        let (header, previous) = (&pair[1].header, pair[1].header.previous.unwrap());
        assert_eq!(header.origin, Origin::Rotation);
        assert_eq!((previous.segment, previous.end), (pair[0].header.segment, pair[0].end()));
        assert!(previous.synced_through <= previous.end);
        let entries: u64 = pair[0].data().map(|frame| u64::from(frame.entry_count)).sum();
        assert_eq!(header.first_sequence, pair[0].header.first_sequence.plus(entries));
    }
}

/// A clock that does what it likes: steps back, jumps ahead, stands still.
struct Hostile(AtomicU64);

impl TimeSource for Hostile {
    fn now_ns(&self) -> u64 {
        let call = self.0.fetch_add(1, Relaxed);
        match call % 4 {
            0 => u64::MAX / 2 - call * 1_000_000_000,
            1 => 0,
            2 => 5,
            _ => u64::MAX / 2 + call * 7,
        }
    }
}

#[test]
fn a_hostile_clock_reorders_nothing() {
    let mut setup = setup(SMALL);
    setup.clock = Clock::injected(Arc::new(Hostile(AtomicU64::new(0))));
    let mut rig = setup.build();
    for round in 0..60 {
        rig.puts(3, 100);
        rig.batch(&[put(b"a", b"1"), put(b"b", b"2")]).unwrap();
        if round % 7 == 0 {
            rig.put(6_000).unwrap();
            rig.close_epoch();
        }
    }
    rig.writer.sync().unwrap();
    rig.check_durable();
}

#[test]
fn a_reaction_is_later_than_what_was_observed() {
    let mut rig = rig(SMALL);
    rig.puts(1, 1);
    rig.writer.observe(5_000_000);
    rig.puts(1, 1);
    rig.writer.sync().unwrap();
    assert_eq!(rig.read()[1].timestamp_ns, 5_000_001);
    assert_eq!(rig.writer.last_timestamp_ns(), 5_000_001);
}

#[test]
fn the_limits_are_those_of_the_reader() {
    // Bytes of a Put's payload beside the value: tag, delta, two lengths, a key of one byte.
    let overhead = 1 + 1 + 1 + 4 + 1;
    let max = FRAME_PAYLOAD_BYTES_MAX - overhead;
    for ring_bytes in [4096, 1 << 28] {
        let mut rig = rig(LogOptions { ring_bytes, ..SMALL });
        let value = vec![7; max + 1];
        assert!(matches!(rig.writer.append_put(b"k", &value), Err(WriterError::EntryTooLarge { .. })));
        let mut batch = WriteBatch::new();
        batch.put(b"k", &value[..max - 2]).delete(b"");
        assert!(matches!(rig.writer.append_batch(&batch), Err(WriterError::EntryTooLarge { .. })));
        rig.put(3).unwrap();
        rig.writer.append_put(b"k", &value[..max]).unwrap();
        rig.put(3).unwrap();
        rig.writer.sync().unwrap();
        rig.appended.insert(1, put(b"k", &value[..max]));
        let entries = read_image(rig.storage.current()).unwrap();
        assert!(entries.len() == 3 && entries[1].operation == rig.appended[1], "ring of {ring_bytes}");
    }
}

#[test]
fn a_refused_append_leaves_no_trace() {
    let mut rig = rig(SMALL);
    rig.puts(1, 10);
    let long = "x".repeat(4097);
    let commits = [
        rig.writer.append_commit(&[(&long, 1)], None),
        rig.writer.append_batch(WriteBatch::new().put(b"k", b"v").commit(&[(&long, 1)], None)),
    ];
    for refused in commits {
        assert!(matches!(refused, Err(WriterError::SourceNameTooLong { max: 4096 })));
    }
    assert_eq!(
        rig.writer.append_batch(&WriteBatch::new()).unwrap(),
        Sequence(1),
        "an empty batch appends nothing"
    );
    rig.writer.append_commit(&[(&long[..4096], 9)], Some(-1)).unwrap();
    rig.appended
        .push(WalOperation::Commit { offsets: vec![(long[..4096].to_owned(), 9)], watermark: Some(-1) });
    rig.writer.sync().unwrap();
    rig.check_durable();
}

#[test]
fn positions_say_what_is_appended_and_what_is_durable() {
    let mut rig = rig(SMALL);
    rig.puts(3, 10);
    assert_eq!((rig.writer.position(), rig.writer.synced_position()), (Sequence(3), Sequence(0)));
    assert_eq!((rig.log.appended(), rig.log.written()), (Sequence(3), Sequence(0)));
    rig.log.write_out().unwrap();
    assert_eq!((rig.log.written(), rig.log.durable()), (Sequence(3), Sequence(0)));
    assert_eq!(rig.writer.sync().unwrap(), Sequence(3));
    assert_eq!((rig.writer.synced_position(), rig.writer.sequence()), (Sequence(3), Sequence(3)));
    assert_eq!(
        (rig.writer.core_id(), rig.writer.epoch(), rig.writer.last_epoch()),
        (common::CORE, Epoch(1), Epoch(1))
    );
    rig.writer.append(&OperationRef::EpochBarrier).unwrap();
    assert_eq!(rig.log.stats().entries, 4);
    assert_eq!(rig.log.stats().syncs, 1);
}

#[test]
fn what_is_written_survives_the_process_without_a_sync() {
    let mut rig = rig(SMALL);
    rig.puts(50, 200);
    rig.log.write_out().unwrap();
    check_entries(&rig.read(), &rig.appended);
}
