//! What opening a log writes, on which cores, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed step is a failed test")]

mod common;

use std::path::{Path, PathBuf};

use common::{Kind, Watched, config, contents, flip, frames, log_id, place, recover, says, segment_files};
use wal_coordinator::store::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState};
use wal_coordinator::{CheckpointCoordinator, CoreId, PerCoreWalConfig, PerCoreWalManager, WriterError};
use wal_format::{FrameKind, HeaderBlock, Origin, SegmentHeader, SegmentNumber};

fn headers(path: &Path, core: u16) -> Vec<SegmentHeader> {
    let files = segment_files(path, core).into_iter();
    let headers = files.filter_map(|(number, file)| {
        let bytes = std::fs::read(file).unwrap();
        match HeaderBlock::decode(&bytes[..4096]) {
            Ok(HeaderBlock::Header(header)) if header.segment == number => Some(header),
            _ => None,
        }
    });
    headers.collect()
}

/// How many segments of each core were begun by an opening, and how many of them hold a barrier.
fn begun(path: &Path, cores: u16) -> Vec<(usize, usize)> {
    let of_core = |core| {
        let begun = headers(path, core).into_iter().filter(|header| header.origin == Origin::Resumption);
        let begun: Vec<_> = begun.map(|header| header.segment).collect();
        let has_barrier = |segment| {
            let frames = frames(path, core, segment);
            frames.iter().any(|(_, frame)| frame.kind == FrameKind::Barrier)
        };
        (begun.len(), begun.iter().filter(|segment| has_barrier(**segment)).count())
    };
    (0..cores).map(of_core).collect()
}

/// A log of three cores, checkpointed. Then, on `cut_core`, an entry more, which a crash damages: its log is cut short.
fn log_of_three(path: &Path, cut_core: Option<usize>) {
    let mut manager = PerCoreWalManager::new(config(path, 3)).unwrap();
    for core in 0..3 {
        manager.writer(core).append_put(&[core.to_le_bytes()[0]], b"value").unwrap();
    }
    manager.sync_all().unwrap();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    for core in 0..3 {
        manager.writer(core).append_put(b"later", &[core.to_le_bytes()[0]]).unwrap();
        manager.writer(core).sync().unwrap();
    }
    let Some(core) = cut_core else { return };
    manager.writer(core).append_put(b"lost", &[7; 100]).unwrap();
    manager.writer(core).log().write_out().unwrap();
    let (_copy, copy) = common::crash_copy(path);
    drop(manager);
    std::fs::remove_dir_all(path).unwrap();
    std::fs::create_dir(path).unwrap();
    contents(&copy).into_iter().for_each(|(name, bytes)| std::fs::write(path.join(name), bytes).unwrap());
    let core = u16::try_from(core).unwrap();
    let (number, file) = segment_files(path, core).pop().unwrap();
    let (offset, frame) = *frames(path, core, number).last().unwrap();
    assert_eq!(frame.kind, FrameKind::Data);
    flip(&file, offset + 64 + 20, 1);
}

#[test]
fn a_log_is_begun_on_the_cores_that_go_on_and_where_something_was_cut_off() {
    for cut_core in [None, Some(0), Some(1), Some(2)] {
        for cores in 1..=4 {
            let (_directory, path) = place();
            log_of_three(&path, cut_core);
            let manager = PerCoreWalManager::new(config(&path, cores)).unwrap();
            let expected = |core| usize::from(core < cores.min(3) || cut_core == Some(core));
            let expected: Vec<_> = (0..4).map(|core| (expected(core), expected(core))).collect();
            assert_eq!(begun(&path, 4), expected, "cut off on {cut_core:?}, {cores} cores go on");
            // Each begins with the header and the barrier, and nothing else.
            let synced: u64 = manager.stats().cores.iter().map(|core| core.syncs).sum();
            assert_eq!(synced, (0..cores).map(|core| expected[core].0 as u64).sum::<u64>());
            drop(manager);
            assert_eq!(recover(&path).0.state.len(), 4);
        }
    }
}

#[test]
fn somebody_says_that_the_epochs_of_cores_that_are_gone_are_over_and_nobody_begins_a_new_log() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 3)).unwrap();
    assert!((0..3).all(|core| segment_files(&path, core).is_empty()), "nothing was decided");
    manager.writer(2).append_put(b"key", b"value").unwrap();
    manager.advance_epoch();
    drop(manager);
    let written = segment_files(&path, 2);
    assert!((0..2).all(|core| segment_files(&path, core).is_empty()));
    drop(PerCoreWalManager::new(config(&path, 1)).unwrap());
    let first = headers(&path, 0);
    assert_eq!((first.len(), first[0].origin), (1, Origin::First));
    let kinds: Vec<_> = frames(&path, 0, first[0].segment).iter().map(|(_, frame)| frame.kind).collect();
    assert_eq!(kinds, [FrameKind::Barrier]);
    assert_eq!(segment_files(&path, 2), written);
}

#[test]
fn a_core_that_is_gone_is_sealed_as_it_stands_without_writing() {
    let (_directory, path) = place();
    log_of_three(&path, None);
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 2))).unwrap();
    watched.forget();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    assert_eq!(report.entries, 4);
    let writes = [Kind::Create, Kind::Write, Kind::Sync].map(|kind| watched.count(kind, "wal-00002"));
    assert_eq!(writes, [0, 0, 0]);
    assert_eq!(segment_files(&path, 2), []);
    // Cores without entries have nothing to seal the next time.
    manager.writer(1).append_put(b"key", b"value").unwrap();
    watched.forget();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    assert_eq!((watched.count(Kind::Sync, "wal-00000"), watched.count(Kind::Sync, "wal-00002")), (0, 0));
}

/// The end of a log with something behind it must be on disk before anything is accepted, on any core.
#[test]
fn what_could_not_be_recorded_for_want_of_space_is_recorded_before_the_first_entry_or_by_a_checkpoint() {
    // A core that goes on, and one that is gone.
    for (cut_core, cores, checkpoints) in [(0, 3, false), (0, 3, true), (2, 2, false), (2, 2, true)] {
        let (_directory, path) = place();
        log_of_three(&path, Some(cut_core));
        for (name, _) in contents(&path).into_iter().filter(|(name, _)| name.starts_with("free-")) {
            std::fs::remove_file(path.join(name)).unwrap();
        }
        let core = u16::try_from(cut_core).unwrap();
        let damaged = segment_files(&path, core);
        let watched = Watched::new(&path);
        watched.fill_up();
        let mut manager = PerCoreWalManager::new(watched.under(config(&path, cores))).unwrap();
        assert_eq!(begun(&path, 3), [(0, 0); 3], "there is no room for it");
        let refused = manager.writer(1).append_put(b"key", b"value");
        assert!(matches!(refused, Err(WriterError::NoSpace { .. })), "{refused:?}");
        watched.heal();
        let append = |manager: &mut PerCoreWalManager| {
            manager.writer(1).append_put(b"key", b"value").unwrap();
            begun(&path, 3)[cut_core]
        };
        if checkpoints {
            CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
            assert!(segment_files(&path, core).iter().all(|file| !damaged.contains(file)));
            // The manifest says where it goes on: there is no more to be recorded.
            let before = begun(&path, 3)[cut_core];
            assert_eq!(before, if cut_core < cores { (1, 1) } else { (0, 0) });
            assert_eq!(append(&mut manager), before, "core {core} of {cores}");
        } else {
            // The header alone: the barrier of the opening may be older than what stands in other logs.
            assert_eq!(append(&mut manager), (1, 0), "another core accepted an entry first");
        }
        manager.writer(1).sync().unwrap();
        drop(manager);
        let (seen, _) = recover(&path);
        assert_eq!(seen.state.len(), 5);
        assert!(!seen.state.contains_key(&b"lost"[..]));
    }
}

#[test]
fn what_was_made_ahead_and_could_not_be_taken_back_at_opening_goes_with_the_next_checkpoint() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.close().unwrap();
    let ahead = wal_format::FileName::Segment(CoreId(0), SegmentNumber(1)).to_string();
    std::fs::write(path.join(&ahead), vec![0; 64 * 1024]).unwrap();
    let watched = Watched::new(&path);
    watched.fail(Kind::Rename, &ahead, 0, 1, std::io::ErrorKind::Other);
    let mut manager = PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    assert!(path.join(&ahead).exists(), "it is in nobody's way");
    manager.writer(0).append_put(b"key", b"value").unwrap();
    let report = CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    assert!(!path.join(&ahead).exists(), "{report:?}");
    assert_eq!(report.segments_released, 3, "the one before, that one, and the one that was sealed");
}

/// A store that is external, and empties a file when it has taken all changes: as one is that is only being made.
struct Emptying(PathBuf);

impl CheckpointStore for Emptying {
    fn apply(&mut self, _: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        while changes.next()?.is_some() {}
        std::fs::write(&self.0, vec![0; 64 * 1024]).unwrap();
        Ok(StoredState { external: true, ..StoredState::default() })
    }
}

#[test]
fn a_file_that_is_not_in_use_is_released_only_if_it_is_older_than_the_opening() {
    for (empty, is_released) in [(0, true), (1, false), (2, false)] {
        let (_directory, path) = place();
        let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
        manager.writer(0).append_put(b"key", b"value").unwrap();
        manager.close().unwrap();
        let mut manager = PerCoreWalManager::new(config(&path, 1)).unwrap();
        while segment_files(&path, 0).len() < 4 {
            manager.writer(0).append_put(b"key", &[7; 1000]).unwrap();
            manager.writer(0).sync().unwrap();
        }
        let (number, file) = segment_files(&path, 0).swap_remove(empty);
        assert_eq!(number, SegmentNumber(empty as u64));
        let store = Box::new(Emptying(file.clone()));
        let report = CheckpointCoordinator::with_store(&manager, store).create_checkpoint().unwrap();
        assert_eq!((!file.exists(), report.segments_released), (is_released, 2 + usize::from(is_released)));
    }
}

#[test]
fn what_cannot_be_removed_stops_opening_and_says_so() {
    for name in ["wal.meta", "checkpoint.manifest"] {
        let (_directory, path) = place();
        drop(PerCoreWalManager::new(config(&path, 1)).unwrap());
        let watched = Watched::new(&path);
        watched.fail(Kind::Remove, name, 0, 1, std::io::ErrorKind::Other);
        let Err(error) = PerCoreWalManager::new(watched.under(config(&path, 1))) else {
            panic!("opened, although {name} may be in the way");
        };
        says(&error, &["remove", name]);
        PerCoreWalManager::new(watched.under(config(&path, 1))).unwrap();
    }
}

#[test]
fn all_of_a_log_id_is_drawn() {
    let ids: Vec<_> = (0..4)
        .map(|_| {
            let (_directory, path) = place();
            drop(PerCoreWalManager::new(config(&path, 1)).unwrap());
            log_id(&path).0
        })
        .collect();
    let all = ids.iter().fold([0; 16], |all: [u8; 16], id| std::array::from_fn(|at| all[at] | id[at]));
    let same = ids.iter().fold([255; 16], |same: [u8; 16], id| std::array::from_fn(|at| same[at] & id[at]));
    // By chance, once in 10^18 runs.
    for half in [0..8, 8..16] {
        assert!(all[half.clone()] != [0; 8] && all[half.clone()] != same[half], "{ids:?}");
    }
}

#[test]
fn a_directory_may_be_named_without_a_path() {
    let (directory, _) = place();
    std::env::set_current_dir(directory.path()).unwrap();
    let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new("log", 1).inline()).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.close().unwrap();
    assert_eq!(recover(&directory.path().join("log")).0.state.len(), 1);
    std::env::set_current_dir("/").unwrap();
}
