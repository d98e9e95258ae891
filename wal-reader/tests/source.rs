//! Where logs are read from: a directory and its copy in memory say the same, byte for byte and name for name.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use wal_reader::testing::{Faults, FaultySource};
use wal_reader::{Directory, MemorySource, Source, read_full};

const FILES: [(&str, usize); 4] = [("empty", 0), ("one", 1), ("some", 10), ("page", 4096)];

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

fn in_memory() -> MemorySource {
    let mut memory = MemorySource::new();
    for (name, length) in FILES {
        memory.insert(name, bytes(length));
    }
    memory
}

/// What must hold of any source that has [`FILES`].
#[track_caller]
fn check(source: &dyn Source) {
    let mut names = source.names().unwrap();
    names.sort();
    assert_eq!(names, ["empty", "one", "page", "some"]);
    assert_eq!(source.open("none").err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    for (name, length) in FILES {
        let (file, expected) = (source.open(name).unwrap(), bytes(length));
        assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (length as u64, length == 0), "{name}");
        file.sync().unwrap();
        file.drop_cache(1, 2).unwrap();
        file.drop_cache(1, u64::MAX).unwrap();
        for from in (0..length + 3).filter(|from| from % 100 < 12 || from + 9 > length) {
            for count in [0, 1, 2, 9, length] {
                let mut into = vec![0xee; count];
                let filled = read_full(&*file, &mut into, from as u64).unwrap();
                let there = &expected[from.min(length)..(from + count).min(length).max(from.min(length))];
                assert_eq!(into[..filled], *there, "{count} bytes of {name} at {from}");
                assert!(into[filled..].iter().all(|byte| *byte == 0xee));
            }
        }
        assert_eq!(read_full(&*file, &mut [0; 4], 1 << 40).unwrap(), 0, "{name}");
    }
}

#[test]
fn a_directory_and_memory_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    for (name, length) in FILES {
        std::fs::write(directory.path().join(name), bytes(length)).unwrap();
    }
    check(&Directory::new(directory.path()));
    check(&in_memory());
}

#[test]
fn short_and_interrupted_reads_are_repeated_until_the_end_of_the_file() {
    for read_bytes_max in [1, 3, 4095] {
        let faults = Faults { read_bytes_max: Some(read_bytes_max), interrupt: true, ..Faults::default() };
        check(&FaultySource::new(Arc::new(in_memory()), faults));
    }
}

#[test]
fn files_are_named_by_where_they_are() {
    let directory = Directory::new("/log");
    assert_eq!(directory.path("wal.meta"), std::path::Path::new("/log/wal.meta"));
    assert_eq!(directory.path(""), std::path::Path::new("/log"), "the directory itself");
    assert_eq!(in_memory().path("wal.meta"), std::path::Path::new("memory/wal.meta"));
}

#[test]
fn a_file_in_memory_can_be_looked_at_changed_and_taken_out() {
    let original = in_memory();
    let mut memory = original.clone();
    assert_eq!(
        memory.iter().map(|(name, bytes)| (name, bytes.len())).collect::<Vec<_>>(),
        [("empty", 0), ("one", 1), ("page", 4096), ("some", 10)]
    );
    memory.get_mut("some").unwrap()[3] ^= 1;
    assert_eq!(original.get("some"), Some(&bytes(10)[..]), "a clone has files of its own once they change");
    assert_ne!(memory.get("some"), original.get("some"));
    assert_eq!(memory.remove("page"), Some(bytes(4096)));
    assert!(memory.get("page").is_none() && memory.get_mut("page").is_none());
    assert_eq!(memory.remove("page"), None);
}

#[test]
fn what_the_system_refuses_is_an_error() {
    // Nothing can be synced to a pipe, and it has no cached pages to drop.
    let (reader, _writer) = io::pipe().unwrap();
    let pipe = Directory::new("/proc/self/fd").open(&reader.as_raw_fd().to_string()).unwrap();
    assert!(pipe.sync().is_err());
    assert!(pipe.drop_cache(0, u64::MAX).is_err());
}

/// Whether the page of `file` at `offset` is cached; `None` if the file system does not tell.
fn is_cached(file: &File, offset: u64) -> Option<bool> {
    let mut byte = [0];
    match preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
        Ok(_) => Some(true),
        Err(Errno::AGAIN) => Some(false),
        Err(_) => None,
    }
}

/// Writes a file in steps of `step`, as a segment is filled ahead of use, drops its cached bytes from `from` to `to`, and
/// says where one is left; `None` if the file system does not tell.
fn left_behind(path: &Path, step: usize, from: u64, to: u64) -> Option<Option<u64>> {
    const LENGTH: u64 = 20 << 20;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    for at in (0..LENGTH).step_by(step) {
        file.write_all_at(&vec![0; step], at).unwrap();
    }
    file.sync_all().unwrap();
    let all_cached = (0..LENGTH).step_by(4096).all(|at| is_cached(&file, at) == Some(true));
    if !all_cached {
        return None;
    }
    let name = path.file_name().unwrap().to_str().unwrap();
    let dropped = Directory::new(path.parent().unwrap()).open(name).unwrap();
    let mut left = None;
    // The kernel keeps a page that somebody holds for a moment, for instance to reclaim it. What is kept for being part of
    // a larger piece stays however often it is dropped.
    for _ in 0..100 {
        dropped.drop_cache(from, to).unwrap();
        let last = to.min(LENGTH) - 1;
        left = (from..last).step_by(4096).chain([last]).find(|at| is_cached(&file, *at) == Some(true));
        if left.is_none() {
            return Some(None);
        }
    }
    // A file system in memory drops nothing.
    dropped.drop_cache(0, u64::MAX).unwrap();
    if is_cached(&file, LENGTH - 1) == Some(true) { None } else { Some(left) }
}

#[test]
fn nothing_that_was_to_be_dropped_stays_cached() {
    const MIB: u64 = 1 << 20;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("file");
    for step in [1 << 16, 1 << 20] {
        for from in [1, 70_000, 3 * MIB / 2, 9 * MIB + 100] {
            for to in [from + 1, from + MIB, u64::MAX] {
                match left_behind(&path, step, from, to) {
                    Some(left) => assert_eq!(left, None, "filled in steps of {step}, dropped {from} to {to}"),
                    None => {
                        return eprintln!("the cache of this file system cannot be looked at: not tested");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_farther_from_what_was_to_be_dropped_than_a_large_piece_stays_cached() {
    const MIB: u64 = 1 << 20;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("file");
    let page_bytes = rustix::param::page_size() as u64;
    let folio_bytes = page_bytes << 11;
    if folio_bytes > 8 * MIB {
        return eprintln!("the file is too short for pages of {page_bytes} bytes: not tested");
    }
    for (from, to) in [(1, 2), (9 * MIB + 100, 9 * MIB + 101), (3 * MIB / 2, 9 * MIB)] {
        let far = [from.checked_sub(folio_bytes), Some(to.next_multiple_of(folio_bytes))];
        // Under pressure, the kernel drops pages of its own accord: not the same ones each time.
        let is_kept = (0..10).any(|_| match left_behind(&path, 1 << 16, from, to) {
            Some(left) => {
                assert_eq!(left, None, "dropped {from} to {to}");
                let file = File::open(&path).unwrap();
                far.into_iter().flatten().all(|at| is_cached(&file, at) == Some(true))
            }
            None => true,
        });
        assert!(is_kept, "more was dropped than from {from} to {to}");
    }
}
