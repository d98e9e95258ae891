//! What people see, letter by letter, on a log that is the same on every run.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, Ran};

/// Compares with the golden file `name`, paths and times of this run put aside.
#[track_caller]
pub(crate) fn check(fixture: &Fixture, name: &str, ran: &Ran, code: i32) {
    let text = format!("{}{}", ran.expect(code), ran.err);
    let text = text.replace(&fixture.place.path().display().to_string(), "PLACE");
    let text = anonymous(&timeless(&text));
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

/// Without the identity that a salvaged log rolls for itself.
fn anonymous(text: &str) -> String {
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split(|char: char| !char.is_ascii_alphanumeric()).filter(is_id);
    words.filter(|id| *id != "a5".repeat(16)).fold(text.to_owned(), |text, id| text.replace(id, "ROLLED"))
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

/// Compares what machines read, laid out for people who read the difference.
#[track_caller]
pub(crate) fn check_json(fixture: &Fixture, name: &str, ran: &Ran, code: i32) {
    let laid_out = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::to_string_pretty(&json).unwrap() + "\n"
    };
    let out = ran.expect(code).lines().map(laid_out).collect();
    check(fixture, name, &Ran { code, out, err: String::new() }, code);
}

/// The page without its style and its program, which are files of the source.
fn page(ran: Ran) -> Ran {
    let mut out = String::new();
    let mut rest = ran.out.as_str();
    for (begin, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let (before, from) = rest.split_once(begin).unwrap();
        out += before;
        rest = from.split_once(end).unwrap().1;
    }
    Ran { out: out + rest, ..ran }
}

#[test]
fn what_machines_and_browsers_are_told_of_a_whole_log_stays_as_it_is() {
    let fixture = Fixture::small();
    let log = fixture.log();
    check_json(&fixture, "inspect.json", &fixture.wal(&["inspect", "--json"]), 0);
    check_json(&fixture, "verify.json", &fixture.wal(&["verify", "--json"]), 0);
    check_json(&fixture, "stats.json", &fixture.wal(&["stats", "--json"]), 0);
    let why = crate::fixture::run(&["why", "--json"], &[log.as_path(), Path::new("user/1")]);
    check_json(&fixture, "why.json", &why, 0);
    check(&fixture, "page.html", &page(fixture.wal(&["html"])), 0);
}

#[test]
fn what_machines_and_browsers_are_told_of_damage_stays_as_it_is() {
    let fixture = Fixture::small();
    let segment = fixture.segments(0).remove(0);
    fixture.flip(&segment, fixture.frame(0, &segment, 0) + 70);
    check_json(&fixture, "inspect-damaged.json", &fixture.wal(&["inspect", "--json"]), 1);
    check_json(&fixture, "verify-damaged.json", &fixture.wal(&["verify", "--json"]), 1);
    check(&fixture, "page-damaged.html", &page(fixture.wal(&["html"])), 1);
    let (log, out) = (fixture.log(), fixture.place.path().join("out"));
    let dry = crate::fixture::run(&["salvage", "--dry-run", "--json"], &[&log, &out]);
    check_json(&fixture, "salvage-dry-run.json", &dry, 1);
    check(&fixture, "salvage.txt", &crate::fixture::run(&["salvage"], &[&log, &out]), 1);
    let whole = fixture.place.path().join("whole");
    fs::rename(Fixture::small().log(), &whole).unwrap();
    check_json(&fixture, "diff.json", &crate::fixture::run(&["diff", "--json"], &[&whole, &out]), 1);
    check_json(&fixture, "diff-equal.json", &crate::fixture::run(&["diff", "--json"], &[&log, &out]), 0);
}

#[test]
fn a_page_of_many_frames_stays_as_it_is() {
    let fixture = Fixture::four();
    check(&fixture, "page-four.html", &page(fixture.wal(&["html", "--blocks", "6"])), 1);
    check(&fixture, "inspect-four.txt", &fixture.wal(&["inspect"]), 1);
    check(&fixture, "verify-four.txt", &fixture.wal(&["verify"]), 1);
    check(&fixture, "stats-four.txt", &fixture.wal(&["stats"]), 1);
}

/// A log of one core with these values of the keys 0, 1, 2 and so on, and one commit.
fn log_of(values: &[&str], offset: u64, watermark: i64) -> Fixture {
    let fixture = Fixture::empty();
    let mut manager =
        wal_coordinator::PerCoreWalManager::new(crate::fixture::config(&fixture.log(), 1)).unwrap();
    for (key, value) in values.iter().enumerate() {
        manager.writer(0).append_put(key.to_string().as_bytes(), value.as_bytes()).unwrap();
    }
    manager.writer(0).append_commit(&[("orders", offset), ("clicks", 7)], Some(watermark)).unwrap();
    manager.sync_all().unwrap();
    drop(manager);
    fixture
}

#[test]
fn what_differs_is_said_of_entries_and_of_state() {
    let one = log_of(&["a", "b", "c", "d"], 5, 100);
    for (name, other) in [
        ("offsets", log_of(&["a", "b", "c", "d"], 6, 100)),
        ("watermarks", log_of(&["a", "b", "c", "d"], 5, 101)),
        ("values", log_of(&["a", "x", "c", "y"], 5, 100)),
        ("shorter", log_of(&["a", "b"], 5, 100)),
    ] {
        let moved = one.place.path().join(name);
        fs::rename(other.log(), &moved).unwrap();
        let paths = [one.log(), moved.clone()];
        let [there, back] = [[&paths[0], &paths[1]], [&paths[1], &paths[0]]]
            .map(|paths| crate::fixture::run(&["diff"], &paths.map(|path| path.as_path())));
        check(&one, &format!("diff-{name}.txt"), &there, 1);
        check(&one, &format!("diff-{name}-back.txt"), &back, 1);
        let json = crate::fixture::run(&["diff", "--json"], &[&paths[0], &moved]);
        check_json(&one, &format!("diff-{name}.json"), &json, 1);
    }
}

#[test]
fn what_a_report_says_and_the_log_does_not_hold_is_told() {
    let fixture = Fixture::small();
    let report = fixture.place.path().join("report.json");
    fs::write(&report, fixture.wal(&["verify", "--json"]).out).unwrap();
    let against = |log: &Path| crate::fixture::run(&["verify", "--against"], &[&report, log]);
    check(&fixture, "against.txt", &against(&fixture.log()), 0);
    let put = |name: &str, other: Fixture| {
        let path = fixture.place.path().join(name);
        fs::rename(other.log(), &path).unwrap();
        path
    };
    let damaged = Fixture::small();
    let segment = damaged.segments(0).remove(0);
    damaged.flip(&segment, damaged.frame(0, &segment, 0) + 70);
    check(&fixture, "against-damaged.txt", &against(&put("damaged", damaged)), 1);
    // The same log before its checkpoint, and with less in it, and with nothing.
    let earlier = log_of(&["a", "b"], 5, 100);
    check(&fixture, "against-earlier.txt", &against(&put("earlier", earlier)), 1);
    check(&fixture, "against-empty.txt", &against(&put("empty", Fixture::empty())), 1);
    // A later checkpoint has all of it.
    let manager = wal_coordinator::PerCoreWalManager::new(crate::fixture::config(&fixture.log(), 2)).unwrap();
    wal_coordinator::CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    drop(manager);
    check(&fixture, "against-later.txt", &against(&fixture.log()), 0);
}
