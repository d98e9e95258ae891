//! `wal tail`: the end of a log at rest, and a log that an engine in this process writes, rotates and releases meanwhile.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use wal_coordinator::{CheckpointCoordinator, PerCoreWalManager};

use crate::fixture::{Fixture, Ran, command, config, reopen};

/// The command at work, and what it prints.
struct Tail {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    position: String,
}

impl Tail {
    fn begin(fixture: &Fixture, words: &[&str]) -> Self {
        let mut command = command();
        command.args(["tail", "-f", "--json"]).args(words).arg(fixture.log());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, position: String::new() }
    }

    /// Core and sequence of the next `count` entries.
    fn take(&mut self, count: usize) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        while found.len() < count {
            let line = self.lines.next().expect("it goes on").unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            match line["position"].as_str() {
                Some(position) => position.clone_into(&mut self.position),
                None => found.push(entry(&line)),
            }
        }
        found
    }

    /// The next line is a position: all that was there was printed.
    fn take_position(&mut self) -> String {
        assert_eq!(self.take_line()["op"], Value::Null);
        self.position.clone()
    }

    /// Reads no more.
    fn hang_up(&mut self) {
        let other = command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap().stdout.take();
        self.lines = BufReader::new(other.unwrap()).lines();
    }

    fn take_line(&mut self) -> Value {
        let line: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        line["position"].as_str().unwrap_or_default().clone_into(&mut self.position);
        line
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn entry(line: &Value) -> (u64, u64) {
    (line["core"].as_u64().unwrap(), line["sequence"].as_u64().unwrap())
}

fn entries(ran: &Ran) -> Vec<(u64, u64)> {
    let lines = ran.json_lines();
    lines.iter().filter(|line| line["op"].is_string()).map(entry).collect()
}

#[test]
fn the_last_lines_of_a_log_at_rest_are_those_of_the_merged_dump() {
    let fixture = Fixture::small();
    let all = fixture.wal(&["dump", "--merged"]).out;
    // The last epoch is closed, but nothing says yet that it is durable.
    let durable: Vec<_> = all.lines().filter(|line| line.starts_with("epoch 2")).collect();
    assert_eq!((all.lines().count(), durable.len()), (6, 5));
    let told = |words: &[&str]| fixture.wal(words).expect(0).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(told(&["tail"]), durable);
    assert_eq!(told(&["tail", "--from", "start"]), durable);
    assert_eq!(told(&["tail", "-n", "2"]), durable[3..]);
    assert_eq!(told(&["tail", "-n", "0"]), [""; 0]);
    assert_eq!(told(&["tail", "--from", "end"]), [""; 0]);
    assert_eq!(told(&["tail", "--level", "written"]), all.lines().collect::<Vec<_>>());
    let core_0: Vec<_> = durable.iter().filter(|line| line.contains("core 0")).copied().collect();
    assert_eq!(told(&["tail", "--core", "0"]), core_0);
    let keys: Vec<_> = durable.iter().filter(|line| line.contains("\"user/3\"")).copied().collect();
    assert_eq!(told(&["tail", "--key", "user/3", "--op", "put"]), keys);
    let dump = fixture.wal(&["dump"]).out;
    assert_eq!(told(&["tail", "--per-core", "--level", "written"]), dump.lines().collect::<Vec<_>>());
}

#[test]
fn the_end_is_the_end_of_every_core() {
    let fixture = Fixture::small();
    for level in ["durable", "written"] {
        let ran = fixture.wal(&["tail", "--per-core", "--from", "end", "--level", level]);
        assert_eq!(ran.expect(0), "");
    }
}

#[test]
fn where_to_go_on_is_told_once_and_kept_without_a_core_to_follow() {
    let fixture = Fixture::small();
    let json = fixture.wal(&["tail", "--from", "start", "--json"]);
    json.expect(0);
    assert_eq!(json.err, "");
    let position = json.json_lines().last().unwrap()["position"].as_str().unwrap().to_owned();
    let ran = fixture.wal(&["tail", "--per-core", "--core", "9", "--from", &position]);
    assert_eq!((ran.expect(0), ran.err.as_str()), ("", &*format!("wal: to go on: --from {position}\n")));
}

#[test]
fn a_core_that_comes_later_is_new_from_its_first_entry_on() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    manager.writer(0).append_put(b"key", b"before").unwrap();
    manager.sync_all().unwrap();
    let mut tail = Tail::begin(&fixture, &["--from", "end", "--per-core", "--level", "written"]);
    // One that came too early is behind the end: another tells when it follows.
    let first = std::thread::scope(|scope| {
        let looker = scope.spawn(|| tail.take(1)[0]);
        while !looker.is_finished() {
            manager.writer(0).append_put(b"key", b"value").unwrap();
            manager.sync_all().unwrap();
        }
        looker.join().unwrap()
    });
    assert!(first.0 == 0 && first.1 > 0, "what was there before is shown: {first:?}");
    drop(manager);
    let mut manager = reopen(&fixture.log(), 2);
    manager.writer(1).append_put(b"key", b"of a new core").unwrap();
    manager.sync_all().unwrap();
    assert!((0..1_000_000).any(|_| tail.take(1) == [(1, 0)]));
}

#[test]
fn a_position_goes_on_exactly_where_it_was_printed() {
    let fixture = Fixture::small();
    let first = fixture.wal(&["tail", "--from", "start"]);
    let position = first.err.split("--from ").nth(1).unwrap().trim().to_owned();
    assert_eq!(fixture.wal(&["tail", "--from", &position]).expect(0), "");
    let after = fixture.wal(&["tail", "--from", &position, "--level", "written"]);
    assert!(after.expect(0).contains("third") && after.out.lines().count() == 1, "{}", after.out);
    fixture.wal(&["tail", "--from", "elsewhere"]).expect(2);
    let other = position.replace("a5a5", "5a5a");
    let ran = fixture.wal(&["tail", "--from", &other]);
    ran.expect(2);
    assert!(ran.err.contains("belongs to log"), "{}", ran.err);
}

#[test]
fn a_live_engine_is_followed_through_rotation_release_and_reopening_with_more_cores() {
    let fixture = Fixture::empty();
    let mut settings = config(&fixture.log(), 2);
    settings.log.segment_bytes = 64 * 1024;
    let mut manager = PerCoreWalManager::new(settings).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut merged = Tail::begin(&fixture, &["--from", "start"]);
    let mut single =
        Tail::begin(&fixture, &["--from", "start", "--per-core", "--core", "0", "--level", "written"]);
    for round in 0..4_u64 {
        let of_core_0 = 24 * round..24 * (round + 1);
        for _ in 0..24 {
            manager.writer(0).append_put(b"key", &[7; 4096]).unwrap();
        }
        manager.writer(1).append_put(b"key", b"value").unwrap();
        manager.advance_epoch();
        let of_core_0: Vec<_> = of_core_0.map(|sequence| (0, sequence)).collect();
        assert_eq!(single.take(24), of_core_0);
        // The barrier of the next epoch calls this one durable.
        manager.writer(1).append_delete(b"key").unwrap();
        manager.advance_epoch();
        let last_round = (round > 0).then(|| (1, 2 * round - 1));
        let expected: Vec<_> = last_round.into_iter().chain(of_core_0).chain([(1, 2 * round)]).collect();
        assert_eq!(merged.take(expected.len()), expected);
        assert!(checkpoints.create_checkpoint().unwrap().segments_released > 1);
    }
    drop((manager, checkpoints));
    let mut manager = reopen(&fixture.log(), 4);
    manager.writer(3).append_put(b"key", b"of a new core").unwrap();
    manager.advance_epoch();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.advance_epoch();
    assert_eq!(merged.take(2), [(1, 7), (3, 0)]);
    assert_eq!(single.take(1), [(0, 96)]);
}

#[test]
fn whoever_comes_back_too_late_is_told_that_it_fell_behind() {
    let fixture = Fixture::empty();
    let mut settings = config(&fixture.log(), 1);
    settings.log.segment_bytes = 64 * 1024;
    let mut manager = PerCoreWalManager::new(settings).unwrap();
    let fill = |manager: &mut PerCoreWalManager| {
        for _ in 0..40 {
            manager.writer(0).append_put(b"key", &[7; 4096]).unwrap();
        }
        manager.advance_epoch();
    };
    fill(&mut manager);
    fill(&mut manager);
    let first = fixture.wal(&["tail", "--from", "start", "--json"]);
    first.expect(0);
    assert_eq!(entries(&first), (0..40).map(|sequence| (0, sequence)).collect::<Vec<_>>());
    let position = first.json_lines().last().unwrap()["position"].as_str().unwrap().to_owned();
    fill(&mut manager);
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    fill(&mut manager);
    let ran = fixture.wal(&["tail", "--from", &position]);
    ran.expect(1);
    assert!(ran.err.contains("fell behind: it needs sequence 40 of core 0"), "{}", ran.err);
    assert!(ran.err.contains("load the checkpoint"), "{}", ran.err);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    let mut tail = Tail::begin(&fixture, &["--from", "start", "--level", "written"]);
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.advance_epoch();
    assert_eq!(tail.take(1), [(0, 0)]);
    assert!(tail.take_position().contains(":0=1@1."));
    tail.hang_up();
    // Another test's child may hold the pipe for the moment between its fork and its exec.
    let ended = loop {
        manager.writer(0).append_put(b"key", b"value").unwrap();
        manager.advance_epoch();
        if let Some(ended) = tail.child.try_wait().unwrap() {
            break ended;
        }
    };
    assert_eq!(ended.code(), Some(0));
}

/// A shell's, which is there wherever programs can be started.
fn signal(names: &[&str], child: &Child) {
    for name in names {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status().unwrap();
        assert!(sent.success());
    }
}

/// More than a pipe and a buffer take, in a closed epoch.
fn backlog(manager: &mut PerCoreWalManager) -> usize {
    const ENTRIES: usize = 5_000;
    for number in 0..ENTRIES {
        manager.writer(0).append_put(format!("key/{number:08}").as_bytes(), &[b'v'; 100]).unwrap();
    }
    manager.advance_epoch();
    ENTRIES
}

#[test]
fn an_interrupt_ends_it_behind_a_whole_line_and_it_says_where_to_go_on() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    let entries = backlog(&mut manager);
    for name in ["INT", "TERM"] {
        let mut command = command();
        command.args(["tail", "-f", "--from", "start", "--level", "written"]).arg(fixture.log());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        // From here on signals are noted; the pipe is full, or will be.
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        signal(&[name], &child);
        reader.read_to_string(&mut text).unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
        assert!(text.ends_with("\"\n"), "the last line is cut off");
        let shown = text.lines().count();
        assert!(shown <= entries);
        let position = told.split("to go on: --from ").nth(1).unwrap().trim();
        let rest = fixture.wal(&["tail", "--from", position, "--level", "written"]);
        let all = fixture.wal(&["tail", "--from", "start", "--level", "written"]);
        assert_eq!(text + rest.expect(0), all.expect(0), "{shown} lines, and then those behind {position}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let fixture = Fixture::empty();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
    let _ = backlog(&mut manager);
    let mut tail = Tail::begin(&fixture, &["--from", "start", "--level", "written"]);
    let _ = tail.take(1);
    // Both wait for it when it goes on.
    signal(&["STOP", "INT", "TERM", "CONT"], &tail.child);
    assert_eq!(tail.child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_reader_that_has_gone_ends_it_although_nothing_is_written() {
    let fixture = Fixture::small();
    let mut tail = Tail::begin(&fixture, &["--from", "start"]);
    assert_eq!(tail.take(1).len(), 1);
    tail.hang_up();
    assert_eq!(tail.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_directory_that_goes_ends_it_with_an_error_that_names_it() {
    let fixture = Fixture::small();
    let mut command = command();
    command.args(["tail", "-f", "--from", "start"]).arg(fixture.log());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    reader.read_line(&mut text).unwrap();
    std::fs::rename(fixture.log(), fixture.place.path().join("elsewhere")).unwrap();
    reader.read_to_string(&mut text).unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{told}");
    assert_eq!(text, fixture_elsewhere(&fixture), "what was there was shown");
    assert!(told.contains(&fixture.log().display().to_string()) && told.contains("No such file"), "{told}");
    assert!(told.contains("to go on: --from wal-position-1:"), "{told}");
}

/// What there was in the directory that went.
fn fixture_elsewhere(fixture: &Fixture) -> String {
    let mut command = command();
    command.args(["tail", "--from", "start"]).arg(fixture.place.path().join("elsewhere"));
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_damaged_log_is_shown_up_to_the_damage_which_ends_it() {
    let fixture = Fixture::empty();
    let mut settings = config(&fixture.log(), 1);
    settings.log.segment_bytes = 64 * 1024;
    let mut manager = PerCoreWalManager::new(settings).unwrap();
    for _ in 0..40 {
        manager.writer(0).append_put(b"key", &[7; 4096]).unwrap();
        manager.sync_all().unwrap();
    }
    manager.advance_epoch();
    drop(manager);
    // The next segment's header says that all of this one was durable.
    let segment = &fixture.segments(0)[0];
    fixture.flip(segment, fixture.frame(0, segment, 5) + 100);
    let words = ["tail", "--from", "start", "--level", "written", "--per-core", "--json"];
    for more in [&[][..], &["-f"]] {
        let ran = fixture.wal(&[&words[..], more].concat());
        ran.expect(1);
        assert_eq!(entries(&ran), (0..5).map(|sequence| (0, sequence)).collect::<Vec<_>>());
        assert!(ran.err.contains(segment.as_str()) && ran.err.contains("sequence 5"), "{}", ran.err);
    }
    let ran = fixture.wal(&["tail", "--from", "start", "--level", "written", "--per-core"]);
    assert!(ran.err.contains("to go on: --from wal-position-1:"), "{}", ran.err);
}
