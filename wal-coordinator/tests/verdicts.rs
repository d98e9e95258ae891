//! Every row of `FORMAT.md#verdicts`, reached by a history that ran through the coordinator on a simulated disk: what a strict
//! recovery says of it, and what salvage gives.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;

use wal_coordinator::{
    CheckpointCoordinator, CoreId, EntryRef, Epoch, Mode, PerCoreWalConfig, PerCoreWalManager, RecoveryError,
    Replay, Sequence,
};
use wal_format::{FileName, Found, FrameHeader, Meta, Row, SegmentNumber, SegmentSeed};
use wal_reader::{Defect, Evidence, Reach, ReadError, Witness};
use wal_recovery::{BoxError, PerCoreRecoveryManager, Recovered};
use wal_sim::disk::{Image, Pick, SimDisk, Unit};

const SECTOR: usize = 512;
/// A frame with one of these values begins a sector of its own: 16 + 64 + 3 + 7 bytes are not the value's.
const VALUE: [u8; 900] = [b'v'; 900];

fn open(disk: &SimDisk, cores: usize) -> PerCoreWalManager {
    let mut config = PerCoreWalConfig::new(std::env::temp_dir(), cores).inline();
    config.log.segment_bytes = 16 * 1024;
    config.log.ring_bytes = 16 * 1024;
    config.threads_max = 1;
    config.storage = Arc::new(disk.clone());
    config.source = Arc::new(disk.clone());
    PerCoreWalManager::new(config).unwrap()
}

/// What is left for certain, or everything.
fn left(disk: &SimDisk, pick: Pick) -> Image {
    disk.snapshot().undecided(Unit::Sector).image(pick)
}

/// The first `count` entries on a core, each in a frame of its own, synced.
fn synced(manager: &mut PerCoreWalManager, core: usize, count: u64) {
    for _ in 0..count {
        let key = manager.writer(core).sequence().0.to_le_bytes();
        manager.writer(core).append_put(&key, &VALUE).unwrap();
        manager.writer(core).sync().unwrap();
    }
}

fn name(core: u16, segment: u64) -> String {
    FileName::Segment(CoreId(core), SegmentNumber(segment)).to_string()
}

/// The frames of a segment, with their offsets.
fn frames(image: &Image, core: u16, segment: u64) -> Vec<(usize, FrameHeader)> {
    let log_id = Meta::decode(&image.get("wal.meta").unwrap()).unwrap().log_id;
    let seed = SegmentSeed::new(log_id, CoreId(core), SegmentNumber(segment));
    let bytes = image.get(&name(core, segment)).unwrap();
    let (mut found, mut at) = (Vec::new(), 4096);
    while let Ok(Found::Header(header)) = Found::at(&seed, at as u64, &bytes[at..]) {
        found.push((at, header));
        at += header.frame_bytes();
    }
    found
}

/// Zeros over everything of a file from `from` on.
fn zero(image: &mut Image, name: &str, from: usize) {
    let mut bytes = image.get(name).unwrap();
    bytes[from..].fill(0);
    image.set(name, &bytes);
}

#[derive(Debug, Default)]
struct Keys(Vec<(CoreId, Sequence)>);

impl Replay for Keys {
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        self.0.push((entry.core_id, entry.sequence));
        Ok(())
    }
}

impl Keys {
    fn of(&self, core: u16) -> Vec<u64> {
        self.0.iter().filter(|(of, _)| *of == CoreId(core)).map(|(_, sequence)| sequence.0).collect()
    }
}

fn recover(image: &Image, mode: Mode) -> Result<(Keys, Recovered), RecoveryError> {
    let (mut keys, disk) = (Keys::default(), SimDisk::from_image(image, 0));
    let recovered = PerCoreRecoveryManager::with_source(Arc::new(disk)).mode(mode).recover(&mut keys)?;
    Ok((keys, recovered))
}

/// The log of core 0 ends in this row, with so many entries.
#[track_caller]
fn check_ends(image: &Image, row: Row, entries: u64) -> Recovered {
    let (keys, recovered) = recover(image, Mode::Strict).unwrap();
    assert_eq!(recovered.report.cores[0].row, row, "{}", recovered.report);
    assert_eq!(keys.of(0), (0..entries).collect::<Vec<_>>(), "{}", recovered.report);
    recovered
}

/// Strict refuses, and says where, what, and by whose word; the message names it all.
#[track_caller]
fn check_refused(image: &Image, row: Row, segment: u64, offset: usize, sequence: u64) -> Evidence {
    let error = recover(image, Mode::Strict).unwrap_err();
    let message = error.to_string();
    let RecoveryError::Read(ReadError::Missing(defect) | ReadError::Corrupt(defect)) = &error else {
        panic!("{message}")
    };
    let is_corrupt = matches!(error, RecoveryError::Read(ReadError::Corrupt(_)));
    assert_eq!(is_corrupt, row == Row::DamageShort, "{message}");
    let Defect { core, evidence, .. } = &**defect;
    assert_eq!(
        (*core, defect.segment, defect.offset),
        (CoreId(0), SegmentNumber(segment), offset as u64),
        "{message}"
    );
    assert_eq!(defect.sequence, Sequence(sequence), "{message}");
    let evidence = evidence.unwrap();
    let parts = [
        name(0, segment),
        format!("offset {offset}"),
        defect
            .sequence_end
            .map_or(format!("sequence {sequence}"), |end| format!("sequences {sequence} to below {end}")),
        evidence.to_string(),
        "salvage".to_owned(),
    ];
    for part in parts {
        assert!(message.contains(&part), "{part:?} is not in: {message}");
    }
    if let Reach::Sequence(end) = evidence.reach {
        assert_eq!(defect.sequence_end, Some(end), "{message}");
    }
    evidence
}

/// Salvage gives every entry of both cores but `lost` of core 0, and accounts for every byte between.
#[track_caller]
fn check_salvaged(
    image: &Image,
    entries: [u64; 2],
    lost: std::ops::Range<u64>,
    bytes: std::ops::Range<usize>,
) {
    let (keys, recovered) = recover(image, Mode::Salvage).unwrap();
    let report = &recovered.report;
    let kept: Vec<_> = (0..entries[0]).filter(|sequence| !lost.contains(sequence)).collect();
    assert_eq!(keys.of(0), kept, "{report}");
    assert_eq!(keys.of(1), (0..entries[1]).collect::<Vec<_>>(), "{report}");
    let gaps = &report.cores[0].gaps;
    let [gap] = gaps.as_slice() else { panic!("{report}") };
    assert_eq!((gap.from.offset, gap.from.sequence.0), (bytes.start as u64, lost.start), "{report}");
    match &gap.to {
        Some(to) => assert_eq!((to.offset, to.sequence.0), (bytes.end as u64, lost.end), "{report}"),
        None => assert_eq!(lost.end, entries[0], "a gap without an end is at the end\n{report}"),
    }
    assert!(report.has_gaps() && report.to_json().contains("\"gaps\""));
}

#[test]
fn zero_past_a_synced_log_ends_clean() {
    let disk = SimDisk::new(1);
    let mut manager = open(&disk, 1);
    synced(&mut manager, 0, 3);
    check_ends(&left(&disk, Pick::Nothing), Row::ZeroPast, 3);
}

/// Two cores, three epochs; the barriers of the second and third say that the first is durable.
fn witnessed() -> (SimDisk, PerCoreWalManager) {
    let disk = SimDisk::new(1);
    let mut manager = open(&disk, 2);
    synced(&mut manager, 0, 3);
    synced(&mut manager, 1, 2);
    manager.advance_epoch();
    // Core 0 rests: nothing of its own says any more what it had.
    synced(&mut manager, 1, 1);
    manager.advance_epoch();
    (disk, manager)
}

#[test]
fn zero_short_the_synced_tail_of_a_core_is_gone_and_another_cores_barrier_proves_it() {
    let (disk, _manager) = witnessed();
    let mut image = left(&disk, Pick::Nothing);
    let all = frames(&image, 0, 0);
    let (offset, header) = all[1];
    assert_eq!(header.first_sequence, Sequence(1));
    zero(&mut image, &name(0, 0), offset);
    let evidence = check_refused(&image, Row::ZeroShort, 0, offset, 1);
    assert_eq!(evidence.witness, Witness::Barrier { core: CoreId(1), epoch: Epoch(1) });
    assert_eq!(evidence.reach, Reach::Sequence(Sequence(3)));
    // Nothing of core 0 is left behind the loss: the gap reaches to its end.
    check_salvaged(&image, [3, 3], 1..3, offset..offset);
}

#[test]
fn zero_short_a_whole_core_is_gone_and_another_cores_barrier_proves_it() {
    let (disk, _manager) = witnessed();
    let mut image = left(&disk, Pick::Nothing);
    image.remove(&name(0, 0));
    let error = recover(&image, Mode::Strict).unwrap_err().to_string();
    for part in ["core 0", "sequences 0 to below 3", "the barrier of epoch 1 in the log of core 1"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    let (keys, _) = recover(&image, Mode::Salvage).unwrap();
    assert_eq!((keys.of(0), keys.of(1)), (vec![], vec![0, 1, 2]));
}

#[test]
fn zero_past_without_a_durable_epoch_the_same_loss_cannot_be_told_from_a_crash() {
    let disk = SimDisk::new(1);
    let mut manager = open(&disk, 2);
    synced(&mut manager, 0, 3);
    synced(&mut manager, 1, 2);
    // The last group that nothing attests: undetectable with one copy.
    let mut image = left(&disk, Pick::Nothing);
    let (last, _) = frames(&image, 0, 0)[2];
    zero(&mut image, &name(0, 0), last);
    check_ends(&image, Row::ZeroPast, 2);
}

/// A core whose second segment was the first, until a checkpoint released it; entries 0 to `before` are checkpointed.
fn recycled() -> (SimDisk, PerCoreWalManager, u64) {
    let disk = SimDisk::new(1).recording();
    let mut manager = open(&disk, 1);
    synced(&mut manager, 0, 14);
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let report = checkpoints.create_checkpoint().unwrap();
    assert!(report.segments_released > 0, "{report:?}");
    (disk, manager, 14)
}

/// The segment that core 0 writes to now.
fn current(image: &Image) -> u64 {
    let numbers = image.names().filter_map(|name| match FileName::parse(name) {
        Some(FileName::Segment(CoreId(0), segment)) => Some(segment.0),
        _ => None,
    });
    numbers.max().unwrap()
}

/// `image`, with the sectors of the current segment from `from` on as they were when its file was free.
fn with_former_life(disk: &SimDisk, image: &Image, segment: u64, from: usize) -> Image {
    let reused = name(0, segment);
    let snapshots = disk.snapshots();
    let first = snapshots
        .iter()
        .map(|snapshot| snapshot.undecided(Unit::Sector).image(Pick::All))
        .find(|image| image.has(&reused))
        .unwrap();
    let mut mixed = image.clone();
    for sector in from / SECTOR..16 * 1024 / SECTOR {
        mixed.set_sector(&reused, sector, &first.sector(&reused, sector));
    }
    mixed
}

#[test]
fn stale_past_a_recycled_file_whose_first_frames_were_not_synced_ends_clean() {
    let (disk, mut manager, before) = recycled();
    manager.writer(0).append_put(b"key", &VALUE).unwrap();
    manager.writer(0).log().write_out().unwrap();
    let image = left(&disk, Pick::All);
    let segment = current(&image);
    // Of the first write only the header block survives.
    let image = with_former_life(&disk, &image, segment, 4096);
    let (keys, recovered) = recover(&image, Mode::Strict).unwrap();
    assert_eq!(recovered.report.cores[0].row, Row::StalePast, "{}", recovered.report);
    assert_eq!((keys.of(0), recovered.resume.cores[0].next_sequence), (vec![], Sequence(before)));
}

#[test]
fn stale_short_a_recycled_file_lost_what_was_synced_and_a_later_frame_proves_it() {
    let (disk, mut manager, before) = recycled();
    synced(&mut manager, 0, 10);
    let image = left(&disk, Pick::Nothing);
    let segment = current(&image);
    let all = frames(&image, 0, segment);
    // The second page of the file never reached the medium; those behind it did.
    let mut damaged = with_former_life(&disk, &image, segment, 4096);
    for sector in 16..32 {
        damaged.set_sector(&name(0, segment), sector, &image.sector(&name(0, segment), sector));
    }
    let evidence = check_refused(&damaged, Row::StaleShort, segment, 4096, before);
    let next = all.iter().find(|(at, _)| *at >= 8192).unwrap();
    assert!(
        matches!(evidence.witness, Witness::Frame { offset, .. } if offset >= next.0 as u64),
        "{evidence}"
    );
    let (keys, recovered) = recover(&damaged, Mode::Salvage).unwrap();
    let first = next.1.first_sequence.0;
    assert_eq!(keys.of(0), (first..before + 10).collect::<Vec<_>>(), "{}", recovered.report);
    let gap = &recovered.report.cores[0].gaps[0];
    assert_eq!((gap.from.offset, gap.to.map(|to| to.offset)), (4096, Some(next.0 as u64)));
}

#[test]
fn damage_past_a_torn_write_is_cut_and_what_follows_it_is_counted() {
    let disk = SimDisk::new(1);
    let mut manager = open(&disk, 1);
    synced(&mut manager, 0, 2);
    let durable = left(&disk, Pick::Nothing);
    for _ in 0..2 {
        manager.writer(0).append_put(b"unsynced", &VALUE).unwrap();
        manager.writer(0).log().write_out().unwrap();
    }
    let mut image = left(&disk, Pick::All);
    let torn = frames(&image, 0, 0)[2].0;
    // The frame's second sector is as it was; all before and behind it survives.
    let sector = torn / SECTOR + 1;
    image.set_sector(&name(0, 0), sector, &durable.sector(&name(0, 0), sector));
    let recovered = check_ends(&image, Row::DamagePast, 2);
    assert_eq!(recovered.report.cores[0].discarded.entries, 1, "{}", recovered.report);
    let disk = SimDisk::from_image(&image, 0);
    let mut manager = open(&disk, 1);
    synced(&mut manager, 0, 1);
    check_ends(&left(&disk, Pick::Nothing), Row::ZeroPast, 3);
}

#[test]
fn damage_short_a_rotten_bit_in_a_synced_frame_is_corrupt() {
    let (disk, _manager) = witnessed();
    let mut image = left(&disk, Pick::Nothing);
    let all = frames(&image, 0, 0);
    let (offset, _) = all[1];
    image.flip(&name(0, 0), offset + 100, 3);
    check_refused(&image, Row::DamageShort, 0, offset, 1);
    check_salvaged(&image, [3, 3], 1..2, offset..all[2].0);
}

#[test]
fn the_manifest_is_evidence_of_what_stands_behind_its_position() {
    let (disk, _manager, before) = recycled();
    let mut image = left(&disk, Pick::Nothing);
    let files: Vec<_> = image.names().filter(|name| name.starts_with("wal-0")).map(str::to_owned).collect();
    files.iter().for_each(|name| image.remove(name));
    // Everything is in the checkpoint, and the log goes on behind it.
    let (keys, recovered) = recover(&image, Mode::Strict).unwrap();
    assert_eq!((keys.of(0), recovered.resume.cores[0].next_sequence), (vec![], Sequence(before)));
    // Without the checkpoint, the log lacks its beginning.
    let (disk, mut manager, _) = recycled();
    synced(&mut manager, 0, 1);
    let mut image = left(&disk, Pick::Nothing);
    image.remove("checkpoint.manifest");
    let error = recover(&image, Mode::Strict).unwrap_err();
    assert!(
        matches!(error, RecoveryError::CheckpointMissing { sequence, .. } if sequence == Sequence(before)),
        "{error}"
    );
}
