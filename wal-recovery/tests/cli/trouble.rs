//! Damaged, foreign, newer and hostile directories: the right exit code, a clear word, and never a panic or a wait.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use wal_coordinator::{CheckpointCoordinator, PerCoreWalManager};
use wal_format::checksum::crc;

use crate::fixture::{Fixture, Ran, config, run};

const SUBCOMMANDS: [&str; 4] = ["inspect", "verify", "dump", "stats"];

#[track_caller]
fn check(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, code, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains(says) || ran.err.contains(says), "no {says:?} in {}\n{}", ran.out, ran.err);
}

#[test]
fn mistakes_of_usage_are_code_2() {
    let place = tempfile::tempdir().unwrap();
    let gone = place.path().join("gone");
    for words in SUBCOMMANDS {
        check(&run(&[words], &[&gone]), 2, "does not exist");
        check(&run(&[words], &[place.path()]), 2, "holds no log");
        check(&run(&[words, "--nonsense"], &[place.path()]), 2, "--nonsense");
        check(&run(&[words], &[]), 2, "DIR");
    }
    check(&run(&["nonsense"], &[]), 2, "nonsense");
    check(&run(&[], &[]), 2, "Usage");
    let fixture = Fixture::small();
    check(&fixture.wal(&["dump", "--epoch", "9..3"]), 2, "epoch 9 comes after 3");
    check(&fixture.wal(&["dump", "--frames", "--merged"]), 2, "--merged");
    check(&fixture.wal(&["verify", "--against", "/dev/null"]), 2, "is no report");
    check(&fixture.wal(&["verify", "--against", "/no/such/file"]), 3, "/no/such/file");
}

/// Raises the major version of a block whose CRC stands behind its first `covered` bytes.
fn make_newer(path: &Path, covered: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 2;
    let crc = crc(&bytes[..covered]).to_le_bytes();
    bytes[covered..covered + 4].copy_from_slice(&crc);
    fs::write(path, bytes).unwrap();
}

#[test]
fn without_the_manifest_a_file_that_was_to_be_used_again_asks_for_the_manifest() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    manager.writer(0).append_put(b"key", b"first").unwrap();
    manager.sync_all().unwrap();
    let released = fs::read(fixture.file("wal-00000-0000000000000000.log")).unwrap();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    manager.writer(0).append_put(b"key", b"second").unwrap();
    manager.sync_all().unwrap();
    drop(manager);
    // As the supply prepares one: the header of the former life is still in it.
    fs::write(fixture.file("wal-00000-0000000000000009.log"), released).unwrap();
    check(&fixture.wal(&["verify"]), 0, "");
    fs::remove_file(fixture.file("checkpoint.manifest")).unwrap();
    let ran = fixture.wal(&["verify"]);
    for says in [
        "wal-00000-0000000000000009.log",
        "segment 0 of core 0",
        "checkpoint.manifest is missing, restore that first",
    ] {
        check(&ran, 1, says);
    }
}

#[test]
fn a_newer_version_is_said_to_be_newer_and_not_damaged() {
    let fixture = Fixture::small();
    make_newer(&fixture.file("wal.meta"), 60);
    SUBCOMMANDS.iter().for_each(|words| check(&fixture.wal(&[words]), 2, "use a newer release"));
    let fixture = Fixture::small();
    let segment = fixture.segments(0).remove(0);
    make_newer(&fixture.file(&segment), 4092);
    SUBCOMMANDS.iter().for_each(|words| check(&fixture.wal(&[words]), 2, "use a newer release"));
}

#[test]
fn what_belongs_elsewhere_is_named() {
    let fixture = Fixture::small();
    let (zero, one) = (fixture.segments(0).remove(0), fixture.segments(1).remove(0));
    fs::remove_file(fixture.file(&one)).unwrap();
    fs::copy(fixture.file(&zero), fixture.file(&one)).unwrap();
    check(&fixture.wal(&["verify"]), 1, "put it back under its own name");

    let fixture = Fixture::small();
    fs::remove_file(fixture.file("wal.meta")).unwrap();
    check(&fixture.wal(&["verify"]), 1, "restore wal.meta");

    let fixture = Fixture::small();
    let meta = wal_format::Meta { log_id: wal_format::LogId([1; 16]) }.encode();
    fs::write(fixture.file("wal.meta"), meta).unwrap();
    check(&fixture.wal(&["verify"]), 1, "wrong directory");
}

#[test]
fn checkpoint_damage_is_found_run_by_run() {
    let fixture = Fixture::small();
    let run_file = "run-0000000000000000.ckpt";
    fixture.flip(run_file, 4096 + 70);
    check(&fixture.wal(&["verify"]), 1, run_file);
    check(&fixture.wal(&["inspect"]), 0, "checkpoint");
    fs::remove_file(fixture.file(run_file)).unwrap();
    check(&fixture.wal(&["verify"]), 1, "missing: run-0000000000000000.ckpt");
    let fixture = Fixture::small();
    fixture.flip("checkpoint.manifest", 40);
    check(&fixture.wal(&["verify"]), 1, "corrupt: checkpoint.manifest");
    check(&fixture.wal(&["inspect"]), 1, "checkpoint.manifest");
}

#[test]
fn no_damaged_byte_of_the_log_goes_unseen() {
    let whole = Fixture::small();
    let clean = whole.wal(&["verify", "--json"]);
    clean.expect(0);
    let (mut flipped, mut refused) = (0, 0);
    for core in 0..2 {
        for name in whole.segments(core) {
            let bytes = fs::read(whole.file(&name)).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let header = (0..4096).step_by(1361);
            for at in header.chain((4096..end).step_by(13)) {
                whole.flip(&name, at);
                let ran = whole.wal(&["verify", "--json"]);
                let json = ran.json();
                let seen = json["damages"].as_array().is_some_and(|found| !found.is_empty())
                    || json["error"].is_string();
                assert!(seen, "{name} at {at}: {}", ran.out);
                // Damage is what strict recovery refuses: what nothing proves to have been durable is torn.
                let is_refused = wal_recovery::recover_per_core(whole.log()).is_err();
                assert_eq!(ran.code == 1, is_refused, "{name} at {at}: {}", ran.out);
                refused += usize::from(is_refused);
                whole.flip(&name, at);
                flipped += 1;
            }
        }
    }
    assert!(flipped > 50 && refused > 20, "only {flipped} bytes were tried, and {refused} refused");
    let again = whole.wal(&["verify", "--json"]).json();
    assert_eq!(again["report"], clean.json()["report"]);
}

#[test]
fn unknown_and_unfinished_files_are_named_and_left_alone() {
    let fixture = Fixture::small();
    let strange = std::ffi::OsStr::from_bytes(b"\x1b[31m\xff\nname");
    fs::write(fixture.log().join(strange), b"x").unwrap();
    fs::write(fixture.file("checkpoint.manifest.tmp"), b"half").unwrap();
    for words in ["inspect", "verify"] {
        let ran = fixture.wal(&[words]);
        check(&ran, 0, "unknown file");
        assert!(!ran.out.contains('\u{1b}'), "a file name reached the terminal as it is");
    }
    check(&fixture.wal(&["inspect"]), 0, "unfinished file");
    assert!(fixture.log().join(strange).exists() && fixture.file("checkpoint.manifest.tmp").exists());
}

#[test]
fn a_hostile_directory_is_an_error_and_no_wait() {
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let fixture = Fixture::small();
    pipe(&fixture.file("LOCK"));
    check(&fixture.wal(&["verify"]), 0, "unknown (LOCK cannot be opened)");
    let segment = fixture.segments(0).remove(0);
    pipe(&fixture.file(&segment));
    SUBCOMMANDS.iter().for_each(|words| check(&fixture.wal(&[words]), 3, "not a regular file"));

    let fixture = Fixture::small();
    let segment = fixture.segments(0).remove(0);
    fs::remove_file(fixture.file(&segment)).unwrap();
    fs::create_dir(fixture.file(&segment)).unwrap();
    SUBCOMMANDS.iter().for_each(|words| check(&fixture.wal(&[words]), 3, &segment));

    // A directory that is a file.
    check(&run(&["verify"], &[&fixture.file("wal.meta")]), 3, "wal.meta");
}

#[test]
fn a_report_is_checked_again() {
    let fixture = Fixture::small();
    let report = fixture.place.path().join("report.json");
    fs::write(&report, fixture.wal(&["verify", "--json"]).out).unwrap();
    let against = |fixture: &Fixture| run(&["verify", "--against"], &[&report, &fixture.log()]);
    check(&against(&fixture), 0, "the log holds everything that the report says");
    // A recovery's own report will do as well.
    let own = fixture.place.path().join("own.json");
    let recovered = wal_recovery::recover_per_core(fixture.log()).unwrap();
    fs::write(&own, recovered.report.to_json()).unwrap();
    check(&run(&["verify", "--against"], &[&own, &fixture.log()]), 0, "holds everything");

    // Growing, checkpoints and restarts are no change of what was there.
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
    manager.writer(0).append_put(b"more", b"entries").unwrap();
    manager.sync_all().unwrap();
    drop(manager);
    check(&against(&fixture), 0, "holds everything");
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 3)).unwrap();
    manager.writer(2).append_put(b"more", b"cores").unwrap();
    wal_coordinator::CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    drop(manager);
    check(&against(&fixture), 0, "holds everything");

    // Another log, a shorter log, a log with other content under right checksums.
    let other = Fixture::small();
    let id = wal_format::Meta { log_id: wal_format::LogId([2; 16]) }.encode();
    let elsewhere = Fixture::empty();
    fs::write(elsewhere.file("wal.meta"), id).unwrap();
    check(&against(&elsewhere), 1, "of another log");
    let segment = other.segments(0).remove(0);
    other.flip(&segment, other.frame(0, &segment, 0) + 70);
    check(&against(&other), 1, "and reached");
    check(&against(&Fixture::empty()), 1, "its log is gone");
}

#[test]
fn other_content_under_right_checksums_is_not_what_the_report_says() {
    let write = |value: &[u8]| {
        let fixture = Fixture::empty();
        let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
        manager.writer(0).append_put(b"key", value).unwrap();
        manager.sync_all().unwrap();
        drop(manager);
        fixture
    };
    let (then, now) = (write(b"one"), write(b"two"));
    let report = then.place.path().join("report.json");
    fs::write(&report, then.wal(&["verify", "--json"]).out).unwrap();
    check(&run(&["verify", "--against"], &[&report, &then.log()]), 0, "whole");
    check(&run(&["verify", "--against"], &[&report, &now.log()]), 1, "digest is");
}
