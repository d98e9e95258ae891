//! What machines read: JSON that parses, says what people are told, and loses nothing; and plain manners of a program.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use wal_coordinator::PerCoreWalManager;
use wal_format::{EntryRef, PerCoreWalEntry, WalOperation};
use wal_recovery::{BoxError, PerCoreRecoveryManager, Replay};

use crate::fixture::{Fixture, command, config, run};

struct Entries(Vec<PerCoreWalEntry>);

impl Replay for Entries {
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        self.0.push(entry.to_owned());
        Ok(())
    }
}

/// Bytes as the JSON of `dump` gives them.
fn bytes(entry: &Value, name: &str) -> Vec<u8> {
    if let Some(text) = entry[name].as_str() {
        return text.as_bytes().to_vec();
    }
    let digits = entry[format!("{name}_hex")].as_str().expect("either form");
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn entry(json: &Value) -> PerCoreWalEntry {
    let number = |name: &str| json[name].as_u64().unwrap();
    let operation = match json["op"].as_str().unwrap() {
        "put" => WalOperation::Put { key: bytes(json, "key"), value: bytes(json, "value") },
        "delete" => WalOperation::Delete { key: bytes(json, "key") },
        "checkpoint" => WalOperation::Checkpoint { id: number("id") },
        "barrier" => WalOperation::EpochBarrier,
        "commit" => WalOperation::Commit {
            offsets: json["offsets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|offset| {
                    (offset["source"].as_str().unwrap().to_owned(), offset["offset"].as_u64().unwrap())
                })
                .collect(),
            watermark: json["watermark"].as_i64(),
        },
        other => panic!("{other}"),
    };
    PerCoreWalEntry {
        epoch: wal_format::Epoch(number("epoch")),
        sequence: wal_format::Sequence(number("sequence")),
        core_id: wal_format::CoreId(u16::try_from(number("core")).unwrap()),
        timestamp_ns: number("timestamp_ns"),
        operation,
    }
}

#[test]
fn what_is_dumped_is_what_recovery_replays() {
    let fixture = Fixture::small();
    let mut expected = Entries(Vec::new());
    PerCoreRecoveryManager::new(fixture.log()).recover(&mut expected).unwrap();
    for hex in [&[][..], &["--hex"]] {
        let ran = fixture.wal(&[&["dump", "--merged", "--json"], hex].concat());
        ran.expect(0);
        let entries: Vec<_> = ran.json_lines().iter().map(entry).collect();
        assert_eq!(entries, expected.0);
    }
    let by_core = fixture.wal(&["dump", "--json"]);
    let mut entries: Vec<_> = by_core.json_lines().iter().map(entry).collect();
    assert!(entries.is_sorted_by_key(|entry| (entry.core_id, entry.sequence)));
    entries.sort_by_key(PerCoreWalEntry::order_key);
    assert_eq!(entries, expected.0);
}

#[test]
fn filters_take_what_they_say() {
    let fixture = Fixture::small();
    let all = fixture.wal(&["dump", "--json", "--merged"]).json_lines();
    let check = |words: &[&str], takes: &dyn Fn(&Value) -> bool| {
        let found = fixture.wal(&[&["dump", "--json", "--merged"], words].concat());
        let expected: Vec<_> = all.iter().filter(|entry| takes(entry)).cloned().collect();
        assert!(!expected.is_empty(), "{words:?} takes nothing");
        assert_eq!(found.json_lines(), expected, "{words:?}");
    };
    let last = all.last().unwrap()["epoch"].as_u64().unwrap();
    check(&["--core", "1"], &|entry| entry["core"] == 1);
    check(&["--core", "1", "--core", "0"], &|_| true);
    check(&["--epoch", &format!("{last}..")], &|entry| entry["epoch"] == last);
    check(&["--epoch", &format!("..{}", last - 1)], &|entry| entry["epoch"].as_u64() < Some(last));
    check(&["--key", "user/1"], &|entry| entry["key"] == "user/1");
    check(&["--key", "0x6f7264"], &|entry| entry["key_hex"].is_string());
    check(&["--op", "delete,commit"], &|entry| entry["op"] == "delete" || entry["op"] == "commit");
    assert_eq!(fixture.wal(&["dump", "--core", "7"]).code, 2);
}

#[test]
fn every_json_parses_and_agrees_with_what_people_are_told() {
    let fixture = Fixture::small();
    let inspected = fixture.wal(&["inspect", "--json"]).json();
    let told = fixture.wal(&["inspect"]);
    assert!(told.out.contains(inspected["log_id"].as_str().unwrap()));
    let entries = inspected["recovery"]["entries"].as_u64().unwrap();
    assert!(told.out.contains(&format!("replay of everything: {entries} entries")), "{}", told.out);
    assert_eq!(inspected["engine"], "stopped");
    let dumped = fixture.wal(&["dump", "--json"]).json_lines().len() as u64;
    assert_eq!(entries, dumped);

    let verified = fixture.wal(&["verify", "--json"]).json();
    assert_eq!(
        (&verified["whole"], verified["damages"].as_array().map(Vec::len)),
        (&Value::Bool(true), Some(0))
    );
    assert_eq!(verified["report"]["log_id"], inspected["log_id"]);

    let stats = fixture.wal(&["stats", "--json"]).json();
    assert_eq!(stats["entry_bytes"]["count"].as_u64(), Some(dumped));
    let by_operation = stats["operations"].as_array().unwrap().iter();
    assert_eq!(by_operation.map(|of| of["entries"].as_u64().unwrap()).sum::<u64>(), dumped);

    let log = fixture.log();
    let why = run(&["why", "--json"], &[log.as_path(), Path::new("user/1")]).json_lines();
    assert_eq!(why.len(), 4, "a run, two entries, a verdict");
    assert_eq!((&why[3]["value"], &why[3]["words"]), (&Value::from("third"), &Value::from(3)));

    let diff = run(&["diff", "--json"], &[&log, &log]).json();
    assert_eq!((&diff["equal"], diff["entries_equal"].as_u64()), (&Value::Bool(true), Some(dumped)));

    let segment = fixture.segments(0).remove(0);
    fixture.flip(&segment, fixture.frame(0, &segment, 0) + 70);
    let verified = fixture.wal(&["verify", "--json"]);
    verified.expect(1);
    let damage = &verified.json()["damages"][0];
    let told = fixture.wal(&["verify"]);
    for part in ["file", "reason", "evidence", "row", "remedy"] {
        let part = damage[part].as_str().unwrap_or_else(|| panic!("no {part} in {damage}"));
        assert!(told.out.contains(part), "{part} is not in {}", told.out);
    }
}

#[test]
fn a_failure_is_json_too_if_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let ran = run(&["inspect", "--json"], &[&place.path().join("gone")]);
    ran.expect(2);
    assert_eq!(ran.json()["exit_code"], 2);
    assert!(ran.json()["error"].as_str().unwrap().contains("does not exist"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_dump_quietly() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    for _ in 0..50_000_u32 {
        manager.writer(0).append_put(b"key", b"value").unwrap();
    }
    manager.sync_all().unwrap();
    drop(manager);
    let mut child = command();
    child.args(["dump"]).arg(fixture.log()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    assert!(first.contains("put \"key\" = \"value\""), "{first}");
    drop(reader);
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaints.as_str()), (Some(0), ""));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let fixture = Fixture::small();
    let has_colour = |words: &[&str]| fixture.wal(words).out.contains('\u{1b}');
    assert!(!has_colour(&["inspect"]), "a pipe is no terminal");
    assert!(has_colour(&["inspect", "--color", "always"]));
    assert!(!has_colour(&["inspect", "--color", "never"]));
    let painted = command().args(["inspect", "--color", "always"]).arg(fixture.log()).output().unwrap();
    let plain = fixture.wal(&["inspect"]).out;
    let mut text = String::from_utf8(painted.stdout).unwrap();
    while let Some(at) = text.find('\u{1b}') {
        let end = text[at..].find('m').unwrap();
        text.replace_range(at..=at + end, "");
    }
    let line_up = |text: &str| text.lines().take(8).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(line_up(&text), line_up(&plain), "colours must not move columns");
}

#[test]
fn the_manual_says_what_the_help_says() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wal.md");
    let manual = fs::read_to_string(manual).unwrap();
    let overview = Fixture::empty().wal(&["--help"]);
    let commands = overview.out.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for words in
        std::iter::once(vec!["--help"]).chain(commands.iter().map(|command| vec![*command, "--help"]))
    {
        let help = command().args(&words).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(
            manual.contains(help.trim_end()),
            "docs/wal.md does not have `wal {}`:\n{help}",
            words.join(" ")
        );
    }
}

/// The address space that `wal` may use, and the bytes of the log that it reads with it.
const MEMORY_KIB: u64 = 48 * 1024;
const LARGE_BYTES: usize = 96 << 20;

#[test]
fn memory_does_not_grow_with_the_log() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
    let value = vec![7; 8 << 10];
    for number in 0..LARGE_BYTES / value.len() {
        manager.writer(number % 2).append_put(&number.to_le_bytes(), &value).unwrap();
    }
    manager.sync_all().unwrap();
    drop(manager);
    let log = fixture.log();
    for words in ["verify", "inspect", "stats", "dump --merged", "dump --frames --hex", "why KEY"] {
        let (command, key) = words.split_once(" KEY").map_or((words, ""), |(command, _)| (command, "0x00"));
        let line = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" {command} \"$1\" {key}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_wal")]).arg(&log).env("MALLOC_ARENA_MAX", "1");
        let output =
            shell.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_a_file_held_in_an_earlier_use_is_no_news() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    let mut checkpoints = wal_coordinator::CheckpointCoordinator::new(&manager);
    // Every checkpoint releases a segment, which is used again, and half overwritten.
    for round in 0..4_u64 {
        for number in 0..2_000 - 400 * round {
            manager.writer(0).append_put(&number.to_le_bytes(), &[7; 50]).unwrap();
        }
        manager.sync_all().unwrap();
        if round < 3 {
            checkpoints.create_checkpoint().unwrap();
        }
    }
    drop((checkpoints, manager));
    let recovered = wal_recovery::recover_per_core(fixture.log()).unwrap();
    assert!(recovered.report.cores[0].discarded.residue, "no segment was used again: {}", recovered.report);
    let ran = fixture.wal(&["verify"]);
    ran.expect(0);
    assert!(!ran.out.contains("behind the end"), "{}", ran.out);
}

#[test]
fn what_cannot_be_written_is_an_error_of_the_system() {
    let fixture = Fixture::small();
    for words in [&["dump"][..], &["tail", "--from", "start"]] {
        // Writing there finds no space; whoever has seen enough is another matter.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command().args(words).arg(fixture.log()).stdout(full).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("No space") && !told.contains("to go on"), "{told}");
    }
}

#[test]
fn what_was_read_of_log_and_checkpoint_is_told_together() {
    let fixture = Fixture::four();
    let json = fixture.wal(&["verify", "--json"]).json();
    let told = fixture.wal(&["verify"]).out;
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let read = format!("{:.1} MiB read in", json["bytes_read"].as_f64().unwrap() / 1024.0 / 1024.0);
    assert!(told.contains(&read), "{read}: {told}");
}

#[test]
fn of_more_keys_than_are_counted_the_least_that_one_can_have_is_less() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    // One more than `wal stats` has counters: it takes over that of another.
    for number in 0..1001_u32 {
        manager.writer(0).append_put(&number.to_le_bytes(), b"value").unwrap();
    }
    manager.sync_all().unwrap();
    drop(manager);
    let stats = fixture.wal(&["stats", "--json"]).json();
    let keys = stats["heaviest_keys"].as_array().unwrap();
    let bytes = |key: &Value| ["bytes_at_least", "bytes_at_most"].map(|name| key[name].as_u64().unwrap());
    let [least, most] = bytes(&keys[0]);
    assert!(least < most && most <= 2 * least + 8, "{least} to {most}");
    assert!(keys[1..].iter().map(bytes).all(|[least, most]| least == most), "{keys:?}");
}
