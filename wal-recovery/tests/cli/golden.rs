//! What people see, letter by letter, on a log that is the same on every run.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, Ran};

/// Compares with the golden file `name`, paths and times of this run put aside.
#[track_caller]
fn check(fixture: &Fixture, name: &str, ran: &Ran, code: i32) {
    let text = format!("{}{}", ran.expect(code), ran.err);
    let text = text.replace(&fixture.place.path().display().to_string(), "PLACE");
    let text = timeless(&text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden").join(name);
    if std::env::var_os("WAL_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} is not what is printed; `main.rs` says how to write it anew",
        path.display()
    );
}

/// Without what the clock of the machine says.
fn timeless(text: &str) -> String {
    let line = |line: &str| {
        let line = match line.split_once(" read in ") {
            Some((before, _)) => format!("{before} read in TIME"),
            None => line.to_owned(),
        };
        match line.split_once(", about ") {
            Some((before, rest)) => {
                let after = rest.find(" at the rate").map_or("", |at| &rest[at..]);
                format!("{before}, about TIME{after}")
            }
            None => line,
        }
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn a_whole_log_reads_well() {
    let fixture = Fixture::small();
    check(&fixture, "inspect.txt", &fixture.wal(&["inspect"]), 0);
    check(&fixture, "verify.txt", &fixture.wal(&["verify"]), 0);
    check(&fixture, "dump.txt", &fixture.wal(&["dump"]), 0);
    check(&fixture, "dump-merged.txt", &fixture.wal(&["dump", "--merged", "--hex"]), 0);
    check(&fixture, "dump-frames.txt", &fixture.wal(&["dump", "--frames"]), 0);
    check(&fixture, "stats.txt", &fixture.wal(&["stats"]), 0);
}

#[test]
fn the_history_of_a_key_reads_well() {
    let fixture = Fixture::small();
    let why = |key: &str| {
        let log = fixture.log();
        crate::fixture::run(&["why"], &[log.as_path(), Path::new(key)])
    };
    check(&fixture, "why.txt", &why("user/1"), 0);
    check(&fixture, "why-deleted.txt", &why("user/2"), 0);
    check(&fixture, "why-checkpoint.txt", &why("user/0"), 0);
    check(&fixture, "why-never.txt", &why("0x00"), 0);
}

#[test]
fn damage_reads_well() {
    let fixture = Fixture::small();
    let segment = fixture.segments(0).remove(0);
    fixture.flip(&segment, fixture.frame(0, &segment, 0) + 70);
    check(&fixture, "verify-damaged.txt", &fixture.wal(&["verify"]), 1);
    check(&fixture, "inspect-damaged.txt", &fixture.wal(&["inspect"]), 1);
    check(&fixture, "dump-damaged.txt", &fixture.wal(&["dump", "--core", "0"]), 1);
    let (log, out) = (fixture.log(), fixture.place.path().join("out"));
    let dry = crate::fixture::run(&["salvage", "--dry-run"], &[&log, &out]);
    check(&fixture, "salvage-dry-run.txt", &dry, 1);
    assert!(!out.exists());
    crate::fixture::run(&["salvage"], &[&log, &out]).expect(1);
    // The same log again, whole: the copy lacks what was damaged.
    let whole = fixture.place.path().join("whole");
    fs::rename(Fixture::small().log(), &whole).unwrap();
    check(&fixture, "diff.txt", &crate::fixture::run(&["diff"], &[&whole, &out]), 1);
    check(&fixture, "diff-equal.txt", &crate::fixture::run(&["diff"], &[&log, &out]), 0);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let fixture = Fixture::small();
    let segment = fixture.segments(1).pop().unwrap();
    let path = fixture.file(&segment);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 8;
    bytes[end..end + 8].copy_from_slice(b"FCWLtorn");
    fs::write(&path, bytes).unwrap();
    check(&fixture, "verify-torn.txt", &fixture.wal(&["verify"]), 0);
}
