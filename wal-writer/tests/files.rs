//! What becomes of segment files beside their frames: how they are filled before use, how large they are made, how many
//! are kept for later.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]
#![allow(clippy::disallowed_types, reason = "tests stand outside of the loom models")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::{CORE, LOSE_ALL, SMALL, rig, segments, setup};
use wal_writer::format::{CoreId, Epoch, FileName, Origin, SegmentNumber, Sequence};
use wal_writer::storage::recording::{Event, Operation, OperationKind, Pick, RecordingStorage, Survival};
use wal_writer::{EpochEnd, Flusher, LogOptions, Pace, SegmentPosition, StartAt, WriteBatch, WriterError};

/// The writes so far: file, offset, bytes.
fn writes(storage: &RecordingStorage, from: usize) -> Vec<(u64, u64, Box<[u8]>)> {
    let writes = storage.events().into_iter().skip(from).filter_map(|event| match event {
        Event::Begin(Operation::Write { file, offset, bytes }) => Some((file.0, offset, bytes[..].into())),
        _ => None,
    });
    writes.collect()
}

fn syncs(storage: &RecordingStorage) -> usize {
    let is_sync = |event: &&Event| matches!(event, Event::Begin(Operation::Sync { .. }));
    storage.events().iter().filter(is_sync).count()
}

#[test]
fn a_prepared_segment_is_on_the_medium_whole_and_one_made_in_haste_is_not_waited_for() {
    let rig = rig(SMALL);
    rig.supply.prepare(CORE).unwrap();
    let durable = rig.storage.image(rig.storage.event_count(), &LOSE_ALL);
    let name = FileName::Segment(CORE, SegmentNumber(0)).to_string();
    assert_eq!(durable, BTreeMap::from([(name, vec![0; SMALL.segment_bytes as usize])]));

    let mut rig = common::rig(LogOptions { segment_bytes: 4 << 20, ..SMALL });
    rig.put(10).unwrap();
    rig.log.write_out().unwrap();
    assert_eq!(syncs(&rig.storage), 0);
    rig.writer.sync().unwrap();
    assert_eq!(syncs(&rig.storage), 1);
    rig.check_durable();
}

/// A core that syncs meanwhile waits for what the device is busy with.
#[test]
fn a_segment_is_filled_in_steps_each_durable_before_the_next_and_given_up_if_told() {
    const STEP: u64 = 1 << 20;
    let options = LogOptions { segment_bytes: 3 * STEP + 8192, ..SMALL };
    let rig = common::rig(options);
    let (mut asked, mut seen) = (Vec::new(), 0);
    let name = FileName::Segment(CORE, SegmentNumber(0)).to_string();
    rig.supply
        .prepare_paced(CORE, |filled| {
            asked.push(filled);
            let (calls, from) = (writes(&rig.storage, seen), filled - STEP);
            assert_eq!(calls.iter().map(|(_, at, _)| *at).min(), Some(from), "filled twice, or left out");
            assert_eq!(calls.iter().map(|(_, at, bytes)| at + bytes.len() as u64).max(), Some(filled));
            seen = rig.storage.event_count();
            assert_eq!(syncs(&rig.storage) as u64, filled / STEP, "the next step adds to this one");
            Pace::Step
        })
        .unwrap();
    assert_eq!(asked, [STEP, 2 * STEP, 3 * STEP]);
    assert_eq!(syncs(&rig.storage), 4);
    let durable = rig.storage.image(rig.storage.event_count(), &LOSE_ALL);
    assert_eq!(durable, BTreeMap::from([(name.clone(), vec![0; options.segment_bytes as usize])]));

    let rig = common::rig(options);
    let pace = |filled| if filled < 2 * STEP { Pace::Step } else { Pace::Stop };
    let given_up = rig.supply.prepare_paced(CORE, pace).unwrap_err();
    assert!(matches!(given_up, WriterError::Closed { core: CORE }), "{given_up}");
    assert!(rig.supply.is_wanting(CORE), "nobody makes one");
    let keep_all = Survival { sector_bytes: 512, sectors: Pick::All, names: Pick::All };
    assert!(
        !rig.storage.image(rig.storage.event_count(), &keep_all).contains_key(&name),
        "half a file is left"
    );
    let (before, mut asked) = (syncs(&rig.storage), Vec::new());
    let pace = |filled| {
        asked.push(filled);
        if filled < 2 * STEP { Pace::Step } else { Pace::Rush }
    };
    rig.supply.prepare_paced(CORE, pace).unwrap();
    assert_eq!(asked, [STEP, 2 * STEP], "asked although it is needed");
    assert_eq!(syncs(&rig.storage) - before, 3, "two steps, and the rest in one go");
    assert!(!rig.supply.is_wanting(CORE));
    assert_eq!(rig.log.stats().segments.made, 1);
}

/// A write into pages that were never written costs the file system metadata at the next sync.
#[test]
fn small_commits_stay_on_filled_pages_and_large_ones_fill_none() {
    const SEGMENT_BYTES: u64 = 4 << 20;
    let options = LogOptions { ring_bytes: 1 << 20, segment_bytes: SEGMENT_BYTES, ..SMALL };
    for bytes in [100, 5_000, 40_000, 70_000, 200_000, 270_000, 400_000] {
        let mut rig = rig(options);
        let mut filled: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut fills, mut seen, mut commits) = (0, 0, 0);
        while rig.log.durable_position().segment == SegmentNumber(0) && commits < 2_000 {
            // Small entries in commits of some, so that the segment is full some day.
            rig.puts(1 + 3_000 / bytes, bytes);
            rig.writer.sync().unwrap();
            commits += 1;
            let later = writes(&rig.storage, seen);
            seen = rig.storage.event_count();
            for (file, offset, written) in later {
                let end = offset + written.len() as u64;
                let before = filled.entry(file).or_default();
                let is_fill = offset == *before && written.iter().all(|byte| *byte == 0);
                fills += u64::from(is_fill);
                assert!(is_fill || bytes >= 256 * 1024 || end <= *before, "{bytes}: {offset} is not filled");
                // Its pages: the one that it shares with what came before, and one of zeros behind.
                let frames = 2 * (bytes.max(3_000) + 4096) + 2 * 4096;
                assert!(is_fill || written.len() <= frames, "{bytes}: {} bytes in a write", written.len());
                *before = end.max(*before);
            }
        }
        let files = filled.len() as u64;
        if bytes >= 256 * 1024 {
            // What a file begins with, and once more for its seal, which is small.
            assert!(fills <= 2 * files, "{bytes}: {fills} fills of {files} files");
        } else {
            // Of 1 MiB each, when 128 KiB were left.
            let most = files * (1 + SEGMENT_BYTES.div_ceil((1 << 20) - (128 << 10)));
            assert!(commits > 10 && fills <= most, "{bytes}: {fills} fills of {files} files");
        }
    }
}

#[test]
fn a_small_commit_that_leaves_less_than_the_margin_fills_a_step_ahead_and_no_other_does() {
    const MIB: u64 = 1 << 20;
    let options = LogOptions { ring_bytes: 1 << 20, segment_bytes: 4 * MIB, ..SMALL };
    let mut rig = rig(options);
    rig.log.begin(&EpochEnd { epoch: Epoch(0), barrier: None, seal: false }).unwrap();
    // Of a file that was made in haste, 256 KiB are filled.
    let (mut filled, mut end, mut fills) = (MIB / 4, 4096, 0);
    // Where commits end: some leave the margin or just not, some take less than 256 KiB or just not, with the page that
    // they share with the one before.
    let to_margin = [65_408, 130_816, 130_944, 131_072, 131_200];
    let to_small = [500_032, 800_000, 1_048_448, 1_306_624, 1_568_704];
    let to_end = (8..12).map(|step| 200_064 * step).chain((7..12).map(|step| 330_048 * step));
    let to_end = to_end.chain([3_960_704, 3_960_832, 3_960_960]);
    for to in to_margin.into_iter().chain(to_small).chain(to_end) {
        let seen = rig.storage.event_count();
        // The frame's header, and of the payload what is not the value: a delta may take a byte less, frames end at eights.
        let bytes = to - end - 64;
        let lengths = 1 + usize::from(bytes >= 128 + 10) + usize::from(bytes >= (1 << 14) + 10);
        let value = bytes as usize - 5 - lengths;
        rig.writer.append_put(b"k", &vec![7; value]).unwrap();
        rig.writer.sync().unwrap();
        let used = to - end / 4096 * 4096;
        (end, fills) = (to, fills + u64::from(filled < 4 * MIB));
        assert_eq!(rig.log.durable_position().offset, end);
        let is_due = used < 256 * 1024 && filled < 4 * MIB && end + MIB / 8 >= filled;
        let expected = is_due.then(|| (filled, (end + MIB).min(4 * MIB)));
        let zeros = writes(&rig.storage, seen)
            .into_iter()
            .filter(|(file, _, bytes)| *file == 0 && bytes.iter().all(|byte| *byte == 0));
        let zeros: Vec<_> = zeros.map(|(_, offset, bytes)| (offset, offset + bytes.len() as u64)).collect();
        let found = zeros.first().map(|first| (first.0, zeros.last().unwrap().1));
        assert_eq!(found, expected, "a commit of {used} up to {end}, filled to {filled}");
        filled = expected.map_or(filled, |(_, to)| to).max((end + 64).next_multiple_of(4096).min(4 * MIB));
    }
    assert!(filled == 4 * MIB && fills > 10);
}

/// Room for the record that stands in the ring, too, and what many small frames may take beside their entries.
#[test]
fn for_an_entry_beside_the_ring_a_file_is_made_with_so_much_room() {
    for bytes in (40_000..44_096).step_by(13) {
        let mut rig = rig(SMALL);
        let mut batch = WriteBatch::new();
        batch.put(b"key", &vec![7; bytes]);
        rig.writer.append_batch(&batch).unwrap();
        let needed = batch.encoded_bytes() + 17;
        // Header block, seal, slack for a barrier and the ends of epochs, and one part in 32.
        let room = needed + needed / 32 + 2 * 1024 + 4096 + 1024;
        let name = FileName::Segment(CORE, SegmentNumber(0)).to_string();
        assert_eq!(rig.storage.current()[&name].len(), room.next_multiple_of(4096), "{bytes}");
    }
}

#[test]
fn a_log_that_goes_on_says_so_in_its_first_segment_and_passes_over_that_if_it_is_too_small() {
    for bytes in [100, 9_000, 40_000] {
        let mut setup = setup(SMALL);
        let before = SegmentPosition { segment: SegmentNumber(6), offset: 8192, sequence: Sequence(90) };
        setup.start =
            StartAt { sequence: before.sequence, timestamp_ns: 5, epoch: Epoch(3), end: Some(before) };
        setup.next_segment = SegmentNumber(7);
        let mut rig = setup.build();
        rig.log.begin(&EpochEnd { epoch: Epoch(3), barrier: None, seal: false }).unwrap();
        let durable = rig.storage.image(rig.storage.event_count(), &LOSE_ALL);
        let begun = segments(&durable).remove(0);
        let previous = begun.header.previous.unwrap();
        assert_eq!((previous.segment, previous.end), (before.segment, before.offset));
        assert_eq!((begun.header.origin, begun.frames.len()), (Origin::Resumption, 0));
        rig.log.begin(&EpochEnd { epoch: Epoch(3), barrier: None, seal: false }).unwrap();
        rig.put(bytes).unwrap();
        rig.writer.sync().unwrap();
        common::check_writes_stay_within_what_was_allocated(&rig.storage);
        let all = segments(&rig.storage.current());
        let last = all.last().unwrap();
        assert_eq!((last.header.previous, last.header.origin), (Some(previous), Origin::Resumption));
        assert_eq!((all.len(), last.data().count()), (1 + usize::from(bytes > 16_000), 1), "{bytes}");
        assert!(all.iter().all(|segment| !segment.is_sealed()), "what is passed over is not sealed");
    }
}

#[test]
fn what_a_write_out_took_to_files_is_told_part_by_part() {
    let mut rig = rig(LogOptions { ring_bytes: 4 << 20, segment_bytes: 8 << 20, ..SMALL });
    rig.puts(700, 4096);
    let (log, told) = (Arc::clone(&rig.log), Arc::new(AtomicU64::new(0)));
    let telling = Arc::clone(&told);
    rig.storage.set_hook(Some(Arc::new(move |kind, _: &str| {
        if kind == OperationKind::Write {
            telling.fetch_max(log.written().0, Relaxed);
        }
    })));
    rig.log.write_out().unwrap();
    // Half a MiB is 128 entries with what stands around them, and a frame 16.
    let told = told.load(Relaxed);
    assert!(
        (700 - 128 - 16..700).contains(&told),
        "before the last write, {told} of 700 were told as written"
    );
    rig.check_all();
}

#[test]
fn a_file_is_as_large_as_what_must_fit_and_no_larger() {
    for bytes in [5_000, 9_000, 20_000, 60_000] {
        let mut rig = rig(SMALL);
        for round in 0..6 {
            rig.puts(round, 300);
            rig.put(bytes).unwrap();
        }
        rig.writer.sync().unwrap();
        rig.check_durable();
        common::check_writes_stay_within_what_was_allocated(&rig.storage);
        // Its header block, its seal, and the frames of what had been appended before.
        let most = (bytes + bytes / 16 + 5 * 4096).max(SMALL.segment_bytes as usize);
        for (name, content) in rig.storage.current() {
            assert!(content.len() <= most, "{name} has {} bytes for an entry of {bytes}", content.len());
        }
    }
}

#[test]
fn of_released_files_no_more_are_kept_than_was_said() {
    // `Setup` says 4.
    for released in 0..8 {
        let mut rig = rig(SMALL);
        while rig.log.durable_position().segment < SegmentNumber(8) {
            rig.puts(5, 300);
            rig.writer.sync().unwrap();
        }
        let before = rig.storage.current().len();
        let numbers: Vec<_> = (0..released).map(SegmentNumber).collect();
        rig.supply.recycle(CORE, &numbers).unwrap();
        let kept = numbers.len().min(4);
        assert_eq!(rig.supply.free_segments(), kept);
        let is_free = |name: &&String| matches!(FileName::parse(name), Some(FileName::Free(..)));
        let current = rig.storage.current();
        assert_eq!(current.keys().filter(is_free).count(), kept);
        assert_eq!(current.len(), before - (numbers.len() - kept), "the others are gone");
    }
}

#[test]
fn everything_that_is_appended_is_written_out_however_much_it_is() {
    for mebibytes in [0, 1, 3] {
        let mut rig = rig(LogOptions { ring_bytes: 4 << 20, segment_bytes: 8 << 20, ..SMALL });
        rig.put(1).unwrap();
        rig.puts(mebibytes * 256, 4096);
        rig.log.write_out().unwrap();
        assert_eq!(rig.log.written(), rig.writer.position());
        rig.check_all();
    }
}

#[test]
fn a_drain_is_one_write_unless_it_is_large_and_then_writes_of_half_a_mebibyte() {
    let mut rig = rig(LogOptions { ring_bytes: 4 << 20, segment_bytes: 8 << 20, ..SMALL });
    let mut seen = 0;
    for (epochs, count) in [(1, 1), (5, 3), (3, 100), (1, 500)] {
        for _ in 0..epochs {
            // Epochs share no frame.
            rig.puts(count, 4096);
            rig.close_epoch();
        }
        rig.log.write_out().unwrap();
        let all = writes(&rig.storage, seen);
        seen = rig.storage.event_count();
        let drained: Vec<_> =
            all.iter().filter(|(_, _, bytes)| bytes.iter().any(|byte| *byte != 0)).collect();
        let bytes = epochs * count * 4096;
        let most = 1 + bytes.div_ceil(512 * 1024);
        assert!(drained.len() <= most, "{} writes of {bytes} bytes", drained.len());
        // The frame that made it so large may be a whole one.
        assert!(drained.iter().all(|(_, _, bytes)| bytes.len() <= 600 * 1024));
        assert!(bytes > 512 * 1024 || drained.len() == 1);
    }
    rig.check_all();
}

#[derive(Default)]
struct Woken(AtomicU64);

impl Flusher for Woken {
    fn wake(&self, _core: CoreId) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_flusher_is_woken_before_half_of_the_ring_is_full() {
    for ring_bytes in [4096, 64 * 1024, 1 << 20] {
        let woken = Arc::new(Woken::default());
        let mut setup = setup(LogOptions { ring_bytes, segment_bytes: 4 << 20, ..SMALL });
        setup.flusher = Some(Arc::clone(&woken) as _);
        let mut rig = setup.build();
        let mut before = 0;
        while woken.0.load(Relaxed) == 0 {
            before = rig.log.stats().ring_fill_bytes;
            rig.put(ring_bytes / 128).unwrap();
        }
        // It looks whenever another quarter is full.
        let before = before as usize;
        assert!((ring_bytes / 4..ring_bytes / 2).contains(&before), "woken at {before} of {ring_bytes}");
    }
}

#[test]
fn files_that_were_waited_for_and_those_that_were_refused_are_counted() {
    let mut rig = rig(SMALL);
    rig.supply.prepare(CORE).unwrap();
    rig.put(10).unwrap();
    rig.writer.sync().unwrap();
    let counts = |rig: &common::Rig| {
        let segments = rig.log.stats().segments;
        (segments.made, segments.late, segments.refused)
    };
    assert_eq!(counts(&rig), (1, 0, 0));
    while rig.log.durable_position().segment == SegmentNumber(0) {
        rig.puts(5, 300);
        rig.writer.sync().unwrap();
    }
    let (made, late, refused) = counts(&rig);
    assert_eq!((late, refused), (made - 1, 0));
    rig.storage.set_quota(Some(rig.storage.used_bytes()));
    rig.supply.prepare(CORE).unwrap_err();
    while rig.put(300).is_ok() {}
    assert_eq!(counts(&rig).2, 2);
}
