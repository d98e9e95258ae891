//! No space, for real: small file systems that fill up, files that must not grow, descriptors that run out. And what
//! was cut off stays off however little space there is, on the simulated disk.
//!
//! The small file systems are tmpfs and ext4 in a mount namespace of the test's own (`unshare`). Where this is not
//! permitted, the test says so on standard error and is over; the simulated disk needs no permission. More sizes:
//! `WAL_FULL_DISK_SIZES=1000 cargo test --release -p wal-coordinator --test full_disk`; one alone: `WAL_FULL_DISK_SEED=N`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test; this binary runs itself under limits"
)]

mod common;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use common::*;
use wal_coordinator::store::StoreError;
use wal_coordinator::*;
use wal_format::FileName;
use wal_reader::ReadError;

const CORES: usize = 3;
const KEYS: u64 = 60;
/// What makes room in the end: for the segments of three cores, used and made ahead.
const BALLAST_BYTES: u64 = 640 * 1024;

/// What core `core` writes as its entry `number`.
fn entry(core: usize, number: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(number << 8 | core as u64);
    let bytes = if random.once_in(400) { 30_000 } else { random.below(700) };
    let value = (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect();
    (format!("{core}/{}", number % KEYS).into_bytes(), value)
}

/// The state after the first entries of each core.
fn state_of(ends: &[u64]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let last = |(core, end): (usize, &u64)| {
        (end.saturating_sub(KEYS)..*end).map(move |number| entry(core, number)).collect::<Vec<_>>()
    };
    ends.iter().enumerate().flat_map(last).collect()
}

/// Recovers without writing anything, and holds what comes back to what was acknowledged. Where each core ends.
#[track_caller]
fn check_recovers(path: &Path, acknowledged: &[u64], told: &str) -> Vec<u64> {
    let before = contents(path);
    let (seen, recovered) = recover(path);
    assert_eq!(contents(path), before, "{told}: recovery wrote");
    let next =
        |core: usize| recovered.resume.core(CoreId(core as u16)).map_or(0, |core| core.next_sequence.0);
    let ends: Vec<_> = (0..acknowledged.len()).map(next).collect();
    let enough = ends.iter().zip(acknowledged).all(|(end, least)| end >= least);
    assert!(enough, "{told}: {acknowledged:?} acknowledged, {ends:?} there\n{}", recovered.report);
    assert!(seen.state == state_of(&ends), "{told}: another state\n{}", recovered.report);
    ends
}

/// The error that the system gave.
fn system_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a std::io::Error> {
    let of_writer = |error: &'a WriterError| match error {
        WriterError::Io { cause, .. } | WriterError::NoSpace { source: cause, .. } => Some(cause.as_ref()),
        _ => None,
    };
    let of_read = |error: &'a ReadError| match error {
        ReadError::Io { cause, .. } => Some(cause),
        _ => None,
    };
    if let Some(error) = error.downcast_ref::<WriterError>() {
        return of_writer(error);
    }
    match error.downcast_ref::<PerCoreWalError>()? {
        PerCoreWalError::Io { cause, .. } | PerCoreWalError::NoSpace { source: cause, .. } => Some(cause),
        PerCoreWalError::Writer(error) => of_writer(error),
        PerCoreWalError::Read(error) | PerCoreWalError::Recovery(RecoveryError::Read(error)) => {
            of_read(error)
        }
        PerCoreWalError::Checkpoint { cause, .. } => match cause {
            CheckpointFailure::Core { cause, .. } => of_writer(cause),
            CheckpointFailure::Read(error) | CheckpointFailure::Store(StoreError::Read(error)) => {
                of_read(error)
            }
            CheckpointFailure::Store(
                StoreError::Write { cause, .. } | StoreError::NoSpace { source: cause, .. },
            ) => Some(cause),
            _ => None,
        },
        _ => None,
    }
}

#[track_caller]
fn check_no_space(error: &WriterError, directory: &Path) {
    let WriterError::NoSpace { path, needed_bytes, source } = error else { panic!("{error}") };
    assert!(path.starts_with(directory) && *needed_bytes >= 4096, "{error}");
    assert_eq!(source.kind(), ErrorKind::StorageFull, "{error}");
    says(
        error,
        &["no space", directory.to_str().unwrap(), "accepted and acknowledged nothing", "call again"],
    );
}

/// The whole story of a log on a small disk, which is empty.
fn life_on_a_small_disk(disk: &Path, told: &str, mut random: Random) {
    let path = disk.join("log");
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_BYTES as usize]).unwrap();
    let options = |random: &mut Random| {
        let mut options = if random.once_in(2) { background(&path, CORES) } else { config(&path, CORES) };
        options.memory_time_max = std::time::Duration::from_millis(2);
        options.log.ring_bytes = (16 * 1024) << random.below(3);
        options.log.retention = [Retention::UntilDurable, Retention::UntilWritten][random.index(2)];
        options
    };
    let mut acknowledged = vec![0; CORES];
    match PerCoreWalManager::new(options(&mut random)) {
        Ok(manager) => fill(manager, &path, &mut acknowledged, &mut random, told),
        // There is not even room for its identity.
        Err(error) => assert_eq!(
            system_error(&error).map(std::io::Error::kind),
            Some(ErrorKind::StorageFull),
            "{told}: {error}"
        ),
    }
    let rest = disk.join("rest");
    fill_every_byte(&rest);
    if path.join("wal.meta").exists() {
        let ends = check_recovers(&path, &acknowledged, told);
        // Opening succeeds; appends and checkpoints say that there is no room, or find some.
        let mut manager = PerCoreWalManager::new(options(&mut random))
            .unwrap_or_else(|error| panic!("{told}: opening on a full disk: {error}"));
        assert_eq!(manager.positions().iter().map(|at| at.sequence.0).collect::<Vec<_>>(), ends, "{told}");
        acknowledged = ends;
        for (core, acknowledged) in acknowledged.iter_mut().enumerate() {
            append_until_refused(manager.writer(core), &path, 1, acknowledged, &mut random);
        }
        let mut checkpoints = CheckpointCoordinator::new(&manager);
        check_checkpoint(&mut checkpoints, told);
        drop((checkpoints, manager));
        acknowledged = check_recovers(&path, &acknowledged, told);
    }
    std::fs::remove_file(rest).unwrap();
    std::fs::remove_file(ballast).unwrap();
    let mut manager = PerCoreWalManager::new(options(&mut random))
        .unwrap_or_else(|error| panic!("{told}: opening with room: {error}"));
    for (core, acknowledged) in acknowledged.iter_mut().enumerate() {
        let writer = manager.writer(core);
        for _ in 0..20 {
            let (key, value) = entry(core, writer.position().0);
            writer.append_put(&key, &value).unwrap_or_else(|error| panic!("{told}: with room: {error}"));
        }
        *acknowledged = writer.sync().unwrap_or_else(|error| panic!("{told}: with room: {error}")).0;
    }
    manager.close().unwrap();
    check_recovers(&path, &acknowledged, told);
}

/// All cores append until they are refused several times, while checkpoints are made.
fn fill(
    mut manager: PerCoreWalManager,
    path: &Path,
    acknowledged: &mut [u64],
    random: &mut Random,
    told: &str,
) {
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let writers: Vec<_> = (0..CORES).map(|core| manager.take_writer(core).unwrap()).collect();
    std::thread::scope(|scope| {
        let cores: Vec<_> = writers.into_iter().zip(acknowledged.iter_mut()).collect();
        for (mut writer, acknowledged) in cores {
            let mut random = Random::new(random.next());
            scope.spawn(move || append_until_refused(&mut writer, path, 5, acknowledged, &mut random));
        }
        for _ in 0..4 {
            check_checkpoint(&mut checkpoints, told);
        }
    });
}

/// Appends and syncs at times, until `refusals` appends were refused. An error is always for want of space.
fn append_until_refused(
    writer: &mut CoreWalWriter,
    path: &Path,
    refusals: u32,
    acknowledged: &mut u64,
    random: &mut Random,
) {
    let core = writer.core_id().index();
    let mut refused = 0;
    // A log that checkpoints keep short may go on for ever.
    for _ in 0..8_000 {
        let number = writer.position().0;
        let (key, value) = entry(core, number);
        match writer.append_put(&key, &value) {
            Ok(sequence) => assert_eq!(sequence.0, number),
            Err(error) => {
                check_no_space(&error, path);
                assert_eq!(writer.position().0, number, "a refused entry took a number");
                refused += 1;
            }
        }
        if refused == refusals || random.once_in(20) {
            match writer.sync() {
                Ok(sequence) => *acknowledged = sequence.0,
                // Entries that a checkpoint's seal came before wait in memory for the next segment.
                Err(error) => check_no_space(&error, path),
            }
        }
        if refused == refusals {
            return;
        }
    }
}

/// A checkpoint succeeds or says that there is no space; it changes nothing of what is there.
#[track_caller]
fn check_checkpoint(checkpoints: &mut CheckpointCoordinator, told: &str) {
    if let Err(error) = checkpoints.create_checkpoint() {
        let kind = system_error(&error).map(std::io::Error::kind);
        assert_eq!(kind, Some(ErrorKind::StorageFull), "{told}: {error}");
        let words = [
            "checkpoint of epoch",
            "all logs are kept: ",
            "no space",
            "free some space, then make the checkpoint",
        ];
        says(&error, &words);
        let no_space = matches!(
            error,
            PerCoreWalError::Checkpoint {
                cause: CheckpointFailure::Core { cause: WriterError::NoSpace { .. }, .. }
                    | CheckpointFailure::Store(StoreError::NoSpace { .. }),
                ..
            }
        );
        assert!(no_space && !error.to_string().contains("accepted"), "{told}: {error}");
    }
}

fn fill_every_byte(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for bytes in [65_536, 4_096, 512, 1] {
        while file.write_all(&vec![2; bytes]).is_ok() {}
    }
}

/// Room that a checkpoint needs, and less than a segment does.
const CHECKPOINT_ROOM: u64 = 48 * 1024;

/// On a disk that `fill` leaves room for a checkpoint on, and none for a segment: entries that are accepted for the rest of
/// a segment, which the seal of a checkpoint then ends, are no reason for that checkpoint to fail. It alone makes room.
fn checkpoint_makes_room_for_what_came_behind_its_cut(path: &Path, fill: impl FnOnce(&Watched), told: &str) {
    let watched = Watched::new(path);
    let mut options = watched.under(config(path, 2));
    // One core's end of an epoch after the other's, on this thread.
    options.threads_max = 1;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let mut writers: Vec<_> = (0..2).map(|core| manager.take_writer(core).unwrap()).collect();
    let append = |writer: &mut CoreWalWriter| {
        let (key, value) = entry(writer.core_id().index(), writer.position().0);
        writer.append_put(&key, &value).unwrap_or_else(|error| panic!("{told}: {error}"));
    };
    for writer in &mut writers {
        (0..5).for_each(|_| append(writer));
        writer.sync().unwrap();
        append(writer);
    }
    fill(&watched);
    let late = Arc::new(parking_lot::Mutex::new(writers.remove(1)));
    let of_hook = Arc::clone(&late);
    watched.set_hook(move |kind, name| {
        // Core 0 is at its end of the epoch, so core 1 appends to the next one; its own end comes after that.
        if kind == Kind::Sync
            && name.starts_with("wal-00000")
            && let Some(mut writer) = of_hook.try_lock()
            && writer.position() == Sequence(6)
        {
            let (key, value) = entry(1, 6);
            writer.append_put(&key, &value).expect("there is room in the current segment");
        }
    });
    let report = CheckpointCoordinator::new(&manager).create_checkpoint();
    let report = report.unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!((report.entries, report.segments_released), (12, 2), "{told}");
    assert_eq!(late.lock().sync().unwrap(), Sequence(7), "{told}: no room after the checkpoint");
    append(&mut writers[0]);
    writers[0].sync().unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(check_recovers(&crash_copy(path).1, &[7, 7], told), [7, 7], "{told}");
    watched.set_hook(|_, _| {});
}

#[test]
fn a_checkpoint_on_a_full_disk_makes_room_for_what_came_behind_its_cut() {
    let (_directory, path) = place();
    let fill = |watched: &Watched| {
        let used: u64 = contents(&path).values().map(|bytes| bytes.len() as u64).sum();
        watched.set_quota(Some(used + CHECKPOINT_ROOM));
    };
    checkpoint_makes_room_for_what_came_behind_its_cut(&path, fill, "a quota");
}

const ON_SMALL_DISKS: &str = "WAL_TEST_SMALL_DISKS";

/// In a child process with mounts of its own: one life on each of many small file systems.
#[test]
fn role_on_small_disks() {
    let Some(place) = std::env::var_os(ON_SMALL_DISKS).map(PathBuf::from) else { return };
    let number = |name, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (disk, image) = (place.join("disk"), place.join("image"));
    std::fs::create_dir(&disk).unwrap();
    let first = number("WAL_FULL_DISK_SEED", 0);
    let (first, sizes) = if first > 0 { (first, 1) } else { (1, number("WAL_FULL_DISK_SIZES", 20)) };
    let (mut on_tmpfs, mut on_ext4) = (0, 0);
    for seed in first..first + sizes {
        let mut random = Random::new(seed);
        let kib = BALLAST_BYTES / 1024 + 16 + random.below(1_500);
        let is_ext4 = seed % 5 == 0 && mount_ext4(&image, &disk, kib + 1_000);
        if !is_ext4 {
            assert!(runs("mount", &["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"], &disk));
        }
        *(if is_ext4 { &mut on_ext4 } else { &mut on_tmpfs }) += 1;
        let told = format!("disk of {kib} KiB, WAL_FULL_DISK_SEED={seed}");
        life_on_a_small_disk(&disk, &told, random);
        std::fs::remove_dir_all(disk.join("log")).unwrap();
        let rest = disk.join("rest");
        let fill = |_: &Watched| {
            let room = disk.join("room");
            std::fs::write(&room, vec![3; CHECKPOINT_ROOM as usize]).unwrap();
            fill_every_byte(&rest);
            std::fs::remove_file(room).unwrap();
        };
        checkpoint_makes_room_for_what_came_behind_its_cut(&disk.join("log"), fill, &told);
        assert!(runs("umount", &[], &disk));
    }
    println!("\n{on_tmpfs} sizes on tmpfs, {on_ext4} on ext4");
}

fn mount_ext4(image: &Path, disk: &Path, kib: u64) -> bool {
    std::fs::File::create(image).unwrap().set_len(kib * 1024).unwrap();
    runs("mkfs.ext4", &["-q", "-F", "-m", "0"], image)
        && runs("mount", &["-o", "loop", image.to_str().unwrap()], disk)
}

fn runs(program: &str, args: &[&str], last: &Path) -> bool {
    let output = Command::new(program).args(args).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs a role of this binary through a shell script that ends in `exec "$0" "$@"`.
fn run_role(before: &[&str], script: &str, role: &str, environment: (&str, &Path)) -> Output {
    let program = std::env::current_exe().unwrap();
    let shell = ["sh", "-c", script];
    let words = before.iter().chain(&shell).collect::<Vec<_>>();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program).args(["--exact", role, "--nocapture", "--test-threads=1"]);
    command.env(environment.0, environment.1).output().unwrap()
}

#[track_caller]
fn check_role(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Not captured, unlike `println!`: whoever runs the tests is to see it.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {why}");
}

#[test]
fn a_disk_that_fills_up_refuses_entries_loses_none_and_takes_more_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let can_mount = |unshare: &[&str]| {
        let script = format!("mount -t tmpfs -o size=64k none {}", directory.path().display());
        let words = unshare.iter().copied().chain(["sh", "-c", &script]).collect::<Vec<_>>();
        Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
    };
    let Some(unshare) =
        [&["unshare", "-m"][..], &["unshare", "-r", "-m"]].into_iter().find(|words| can_mount(words))
    else {
        return skip(
            "no small file systems: neither `unshare -m` nor `unshare -r -m` may mount a tmpfs here",
        );
    };
    let output =
        run_role(unshare, r#"exec "$0" "$@""#, "role_on_small_disks", (ON_SMALL_DISKS, directory.path()));
    let told = check_role(&output);
    let told = told.lines().find(|line| line.contains("on tmpfs")).expect("the child says what it did");
    if told.ends_with(" 0 on ext4") {
        skip("ext4 among the small file systems: `mkfs.ext4` or a loop mount does not work here");
    }
    println!("{told}");
}

const UNDER_LIMITS: &str = "WAL_TEST_UNDER_LIMITS";

/// In a child process with few descriptors, or a limit on the size of files: appends, checkpoints, and says what is
/// durable. Any error but that of the limit fails.
#[test]
fn role_under_limits() {
    let Some(path) = std::env::var_os(UNDER_LIMITS).map(PathBuf::from) else { return };
    let is_expected = |error: &(dyn Error + 'static)| {
        let system = system_error(error).unwrap_or_else(|| panic!("{error}"));
        // EMFILE, EFBIG.
        let limit = match system.raw_os_error() {
            // EMFILE, EFBIG.
            Some(24) => "raise the limit on open files (RLIMIT_NOFILE",
            Some(27) => "raise the limit on the size of files (RLIMIT_FSIZE",
            _ => panic!("{error}"),
        };
        says(error, &["cannot", path.to_str().unwrap(), limit]);
        let _ = writeln!(std::io::stdout(), "\nrefused: {error}");
    };
    let mut manager = match PerCoreWalManager::new(background(&path, CORES)) {
        Ok(manager) => manager,
        Err(error) => return is_expected(&error),
    };
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    for round in 0..20 {
        for core in 0..CORES {
            let writer = manager.writer(core);
            for _ in 0..60 {
                let (key, value) = entry(core, writer.position().0);
                if let Err(error) = writer.append_put(&key, &value) {
                    is_expected(&error);
                }
            }
            match writer.sync() {
                Ok(sequence) => println!("\ndurable {core} {sequence}"),
                Err(error) => is_expected(&error),
            }
        }
        if round % 4 == 0
            && let Err(error) = checkpoints.create_checkpoint()
        {
            is_expected(&error);
        }
    }
}

#[track_caller]
fn check_under_limit(limit: &str) -> usize {
    let (_directory, path) = place();
    // Without the trap, the first write beyond the limit would kill the process.
    let script = format!(r#"trap "" XFSZ; ulimit {limit}; exec "$0" "$@""#);
    let out = check_role(&run_role(&[], &script, "role_under_limits", (UNDER_LIMITS, &path)));
    let mut acknowledged = vec![0; CORES];
    for line in out.lines() {
        if let ["durable", core, end] = line.split(' ').collect::<Vec<_>>()[..] {
            acknowledged[core.parse::<usize>().unwrap()] = end.parse().unwrap();
        }
    }
    // The limit is gone with the process: all is there, and the log goes on.
    if path.join("wal.meta").exists() {
        check_recovers(&path, &acknowledged, limit);
    }
    let mut manager = PerCoreWalManager::new(config(&path, CORES)).unwrap();
    let number = manager.writer(0).position().0;
    let (key, value) = entry(0, number);
    manager.writer(0).append_put(&key, &value).unwrap();
    manager.close().unwrap();
    acknowledged[0] = number + 1;
    check_recovers(&path, &acknowledged, limit);
    out.lines().filter(|line| line.starts_with("refused")).count()
}

#[test]
fn descriptors_that_run_out_are_an_error_that_says_so_and_nothing_is_lost() {
    let refused: Vec<_> =
        (6..30).step_by(3).map(|descriptors| check_under_limit(&format!("-n {descriptors}"))).collect();
    assert!(refused.iter().any(|refused| *refused > 1) && refused.contains(&0), "{refused:?}");
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_says_so_and_nothing_is_lost() {
    // In blocks of 512 bytes: less than a header, than a segment, a whole segment, and room for the largest run.
    let refused: Vec<_> =
        [1, 4, 9, 33, 127, 128, 192, 4_096].map(|blocks| check_under_limit(&format!("-f {blocks}"))).into();
    assert!(refused[0] > 0 && refused[7] == 0, "{refused:?}");
}

/// A log of three cores: epoch 1 closed, by a checkpoint or not, and beyond it entries of a second epoch in several
/// segments.
fn log_with_an_open_epoch(path: &Path, by_checkpoint: bool) -> Vec<u64> {
    let mut manager = PerCoreWalManager::new(config(path, CORES)).unwrap();
    let mut ends = Vec::new();
    for epoch in 0..2 {
        for core in 0..CORES {
            for _ in 0..if epoch == 0 { 30 } else { 300 } {
                let number = manager.writer(core).position().0;
                let (key, value) = entry(core, number);
                manager.writer(core).append_put(&key, &value).unwrap();
            }
            if epoch == 0 {
                ends.push(manager.writer(core).position().0);
            }
        }
        if epoch == 0 && by_checkpoint {
            CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
        } else if epoch == 0 {
            manager.advance_epoch();
        }
        manager.sync_all().unwrap();
    }
    ends
}

#[test]
fn what_was_cut_off_stays_off_however_little_space_there_is() {
    // Cut off at a checkpoint, a log has nothing for the next one but the cut itself.
    for cut_at_checkpoint in [false, true] {
        let (_directory, original) = place();
        let ends = log_with_an_open_epoch(&original, cut_at_checkpoint);
        for (active, segments) in (1..=CORES).flat_map(|active| (0..6).map(move |room| (active, room))) {
            for checkpoint_first in [false, true] {
                let told = format!(
                    "{active} cores append, room for {segments} segments, cut at a checkpoint: {cut_at_checkpoint}, \
                     checkpoint first: {checkpoint_first}"
                );
                cut_off_stays_off(&original, &ends, active, segments, checkpoint_first, &told);
            }
        }
    }
}

fn cut_off_stays_off(
    original: &Path,
    ends: &[u64],
    active: usize,
    segments: u64,
    checkpoint_first: bool,
    told: &str,
) {
    let (_copied, path) = crash_copy(original);
    // No files at hand: space must come from the disk.
    for core in recover(&path).1.report.cores {
        let prepared = core.prepared.iter().map(|segment| FileName::Segment(core.core, *segment));
        prepared.for_each(|name| std::fs::remove_file(path.join(name.to_string())).unwrap());
    }
    for name in contents(&path).into_keys().filter(|name| name.starts_with("free-")) {
        std::fs::remove_file(path.join(name)).unwrap();
    }
    let watched = Watched::new(&path);
    let used: u64 = contents(&path).values().map(|bytes| bytes.len() as u64).sum();
    // And for a manifest, which is no room for another segment.
    let room = used + segments * 64 * 1024 + 32 * 1024;
    watched.set_quota(Some(room));
    let mut options = watched.under(config(&path, active));
    options.scope = Scope::ConsistentCut;
    let mut manager =
        PerCoreWalManager::new(options).unwrap_or_else(|error| panic!("{told}: opening: {error}"));
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut expected = ends.to_vec();
    if checkpoint_first {
        // One that fails has closed its epoch all the same: the next has nothing to close but what is owed.
        watched.set_quota(Some(used));
        assert!(checkpoints.create_checkpoint().is_err(), "{told}: without any room");
        watched.set_quota(Some(room));
    }
    let is_checkpointed = checkpoint_first && checkpoints.create_checkpoint().is_ok();
    let (key, value) = entry(0, ends[0]);
    let accepted = manager.writer(0).append_put(&key, &value).and_then(|_| manager.writer(0).sync());
    match &accepted {
        Ok(sequence) => expected[0] = sequence.0,
        Err(error) => says(error, &["no space", "call again"]),
    }
    assert_eq!(accepted.is_ok(), segments >= CORES as u64 || is_checkpointed, "{told}: {accepted:?}");
    if accepted.is_ok() || is_checkpointed {
        assert_eq!(check_recovers(&crash_copy(&path).1, &expected, told), expected, "{told}");
    }
    watched.heal();
    if accepted.is_err() {
        manager.writer(0).append_put(&key, &value).unwrap();
        expected[0] = manager.writer(0).sync().unwrap().0;
    }
    assert_eq!(check_recovers(&crash_copy(&path).1, &expected, told), expected, "{told}: with room");
    checkpoints.create_checkpoint().unwrap();
    drop((checkpoints, manager));
    assert_eq!(check_recovers(&path, &expected, told), expected, "{told}: after a checkpoint");
}
