//! `docs/errors.md` quotes what the code says, to the letter, when these things really happen: a full disk, a limit, a
//! second opener, a damaged file. Only the directory's name is another.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use parking_lot::Mutex;
use wal_coordinator::*;
use wal_reader::{Directory, Source, SourceFile};
use wal_recovery::PerCoreRecoveryManager;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const EFBIG: i32 = 27;

/// Makes something happen in an empty place.
type Cause = Box<dyn FnOnce(&Path) -> Box<dyn Error>>;
/// The errors, each with the directory of its log.
type Collected = Vec<(PathBuf, Box<dyn Error>)>;

/// A log of one core on a watched disk, and one entry that is nowhere but in memory.
fn unsynced(path: &Path) -> (Watched, PerCoreWalManager) {
    let watched = Watched::new(path);
    let mut manager = PerCoreWalManager::new(watched.under(config(path, 1))).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    (watched, manager)
}

/// Appends until it is refused: there may be room in memory, and in a segment made ahead.
fn append_until_refused(manager: &mut PerCoreWalManager) -> WriterError {
    let refused = (0..100_000).find_map(|_| manager.writer(0).append_put(b"key", b"value").err());
    refused.expect("the ring is not that large")
}

fn refused_append(kind: Kind, error: i32) -> impl FnOnce(&Path) -> Box<dyn Error> {
    move |path| {
        let (watched, mut manager) = unsynced(path);
        watched.fail(kind, "wal-", 0, usize::MAX, Refused::Os(error));
        append_until_refused(&mut manager).into()
    }
}

fn failed_syncs(path: &Path) -> Box<dyn Error> {
    let (watched, mut manager) = unsynced(path);
    watched.fail(Kind::Sync, "wal-", 0, 1, Refused::Os(EIO));
    // The segment to go on in can be made.
    watched.fail(Kind::Sync, "0000000000000001.log", 1, 1, Refused::Os(EIO));
    manager.writer(0).sync().unwrap_err().into()
}

fn full_for_an_append(path: &Path) -> Box<dyn Error> {
    let (watched, mut manager) = unsynced(path);
    watched.fill_up();
    append_until_refused(&mut manager).into()
}

fn full_for_a_new_log(path: &Path) -> Box<dyn Error> {
    let watched = Watched::new(path);
    watched.set_quota(Some(0));
    let refused = PerCoreWalManager::new(watched.under(config(path, 1))).err().unwrap();
    watched.heal();
    PerCoreWalManager::new(watched.under(config(path, 1))).unwrap();
    refused.into()
}

fn full_for_a_core_of_a_checkpoint(path: &Path) -> Box<dyn Error> {
    let (watched, mut manager) = unsynced(path);
    let writer = Mutex::new((manager.take_writer(0).unwrap(), false));
    watched.fill_up();
    // Accepted while there is room in the segment, which the checkpoint then seals: it needs the next one.
    watched.set_hook(move |kind, _| {
        let (writer, is_done) = &mut *writer.lock();
        if kind == Kind::Write && !std::mem::replace(is_done, true) {
            writer.append_put(b"key", b"value").unwrap();
        }
    });
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    checkpoints.create_checkpoint().unwrap_err();
    checkpoints.create_checkpoint().unwrap_err().into()
}

fn full_for_a_checkpoint(path: &Path) -> Box<dyn Error> {
    let (watched, mut manager) = unsynced(path);
    manager.writer(0).sync().unwrap();
    watched.fill_up();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap_err().into()
}

fn opened_twice(path: &Path) -> Box<dyn Error> {
    let _first = PerCoreWalManager::new(config(path, 1)).unwrap();
    refused(path)
}

fn refused(path: &Path) -> Box<dyn Error> {
    PerCoreWalManager::new(config(path, 1)).err().unwrap().into()
}

/// A log whose engine makes a checkpoint whenever somebody looks at the manifest.
struct Restless {
    directory: Directory,
    engine: Mutex<(PerCoreWalManager, CheckpointCoordinator)>,
}

impl Source for Restless {
    fn names(&self) -> io::Result<Vec<String>> {
        self.directory.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        if name == "checkpoint.manifest" {
            let (manager, checkpoints) = &mut *self.engine.lock();
            manager.writer(0).append_put(b"key", b"value").unwrap();
            checkpoints.create_checkpoint().unwrap();
        }
        self.directory.open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path(name)
    }
}

fn overtaken(path: &Path) -> Box<dyn Error> {
    let (_, manager) = unsynced(path);
    let checkpoints = CheckpointCoordinator::new(&manager);
    let source = Restless { directory: Directory::new(path), engine: Mutex::new((manager, checkpoints)) };
    PerCoreRecoveryManager::with_source(Arc::new(source)).recover_state().unwrap_err().into()
}

/// Ten entries, each synced, so that each has a frame.
fn log_of_frames(path: &Path) -> (PathBuf, Vec<u64>) {
    let mut manager = PerCoreWalManager::new(config(path, 1)).unwrap();
    for number in 0..10_u32 {
        manager.writer(0).append_put(&number.to_le_bytes(), &[7; 40]).unwrap();
        manager.writer(0).sync().unwrap();
    }
    drop(manager);
    let (segment, file) = segment_files(path, 0).into_iter().next().unwrap();
    (file, frames(path, 0, segment).into_iter().map(|(offset, _)| offset).collect())
}

fn damaged(path: &Path) -> Box<dyn Error> {
    let (file, frames) = log_of_frames(path);
    flip(&file, frames[0] + 70, 3);
    refused(path)
}

fn cut_short(path: &Path) -> Box<dyn Error> {
    let (file, frames) = log_of_frames(path);
    // Another segment says that this one had more.
    let mut manager = PerCoreWalManager::new(config(path, 1)).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.close().unwrap();
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(frames[0]).unwrap();
    refused(path)
}

fn without_manifest(path: &Path) -> Box<dyn Error> {
    let (_, manager) = unsynced(path);
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    manager.close().unwrap();
    let mut manager = PerCoreWalManager::new(config(path, 1)).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.close().unwrap();
    std::fs::remove_file(path.join("checkpoint.manifest")).unwrap();
    refused(path)
}

fn without_meta(path: &Path) -> Box<dyn Error> {
    log_of_frames(path);
    std::fs::remove_file(path.join("wal.meta")).unwrap();
    refused(path)
}

/// Checksums are other ones each time: every log has an id of its own.
fn without_checksums(message: &str) -> String {
    let words = message.split(' ').map(|word| if word.starts_with("0x") { "0x" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// What the document explains, in its order.
fn collect() -> Collected {
    let causes: Vec<Cause> = vec![
        Box::new(full_for_an_append),
        Box::new(full_for_a_new_log),
        Box::new(refused_append(Kind::Create, EMFILE)),
        Box::new(refused_append(Kind::Allocate, EFBIG)),
        Box::new(failed_syncs),
        Box::new(full_for_a_core_of_a_checkpoint),
        Box::new(full_for_a_checkpoint),
        Box::new(opened_twice),
        Box::new(overtaken),
        Box::new(damaged),
        Box::new(cut_short),
        Box::new(without_manifest),
        Box::new(without_meta),
    ];
    let places = causes.into_iter().map(|cause| {
        let (_directory, path) = place();
        let error = cause(&path);
        (path, error)
    });
    places.collect()
}

#[test]
fn the_document_quotes_the_messages_as_they_come() {
    let document = include_str!("../../docs/errors.md");
    let quoted: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let at_data = |(path, error): &(PathBuf, Box<dyn Error>)| {
        error.to_string().replace(path.to_str().unwrap(), "/data/wal")
    };
    let messages: Vec<_> = collect().iter().map(at_data).collect();
    let same = quoted.len() == messages.len()
        && quoted
            .iter()
            .zip(&messages)
            .all(|(quoted, said)| without_checksums(quoted) == without_checksums(said));
    assert!(same, "the document says\n{}\nthe code\n{}\n", quoted.join("\n"), messages.join("\n"));
}

#[test]
fn every_message_says_where_and_nothing_twice() {
    for (path, error) in collect() {
        says(&*error, &[path.to_str().unwrap()]);
        let message = error.to_string();
        let name = |word: &&str| word.starts_with(path.to_str().unwrap());
        let names: Vec<_> = message.split([' ', ';', ':', ',']).filter(name).collect();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{message}");
    }
}

#[test]
fn what_unwrap_prints_is_the_message() {
    #[track_caller]
    fn check(error: &dyn Error) {
        assert_eq!(format!("{error:?}"), error.to_string());
        assert!(!error.to_string().is_empty());
    }
    check(&PerCoreWalError::Config("a reason".to_owned()));
    check(&WriterError::Closed { core: CoreId(3) });
    check(&wal_reader::ReadError::NotALog { path: PathBuf::from("log") });
    check(&wal_recovery::RecoveryError::NotFound { path: PathBuf::from("log") });
}
