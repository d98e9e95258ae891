//! Logs that the real coordinator wrote, the same bytes on every run; and the command, run on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use wal_coordinator::{
    CheckpointCoordinator, Clock, PerCoreWalConfig, PerCoreWalManager, TimeSource, WriteBatch,
};
use wal_format::{LogId, Meta};
use wal_reader::testing::LogBuilder;

pub(crate) const LOG: LogId = LogId([0xa5; 16]);
/// 2023-11-14 22:13:20 UTC.
const BEGIN_NS: u64 = 1_700_000_000_000_000_000;

/// Each look at the clock is a millisecond later.
struct Ticks(Mutex<u64>);

impl TimeSource for Ticks {
    fn now_ns(&self) -> u64 {
        let mut now = self.0.lock().unwrap();
        *now += 1_000_000;
        *now
    }
}

/// A temporary directory with a log in it.
pub(crate) struct Fixture {
    pub(crate) place: tempfile::TempDir,
}

pub(crate) fn config(path: &Path, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, cores).inline();
    config.log.segment_bytes = 1 << 20;
    config.clock = Clock::injected(Arc::new(Ticks(Mutex::new(BEGIN_NS))));
    config
}

/// Opens a log that was open a moment ago: another test's child may hold its lock between its fork and its exec.
#[track_caller]
pub(crate) fn reopen(path: &Path, cores: usize) -> PerCoreWalManager {
    for _ in 0..100_000 {
        match PerCoreWalManager::new(config(path, cores)) {
            Err(error) if error.to_string().contains("is in use") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays in use", path.display());
}

impl Fixture {
    /// Nothing but an identity, so that the first opening does not roll its own.
    pub(crate) fn empty() -> Self {
        let fixture = Self { place: tempfile::tempdir().unwrap() };
        fs::create_dir(fixture.log()).unwrap();
        fs::write(fixture.log().join("wal.meta"), Meta { log_id: LOG }.encode()).unwrap();
        fixture
    }

    /// Two cores, a checkpoint, and two epochs above it, closed for good.
    pub(crate) fn small() -> Self {
        let fixture = Self::empty();
        let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
        for number in 0..5_u8 {
            let key = format!("user/{number}");
            manager.writer(0).append_put(key.as_bytes(), b"first").unwrap();
            manager.writer(1).append_commit(&[("orders", u64::from(number) + 1)], Some(100)).unwrap();
        }
        CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
        manager.writer(0).append_put(b"user/1", b"second").unwrap();
        manager.writer(0).append_delete(b"user/2").unwrap();
        manager.writer(0).sync().unwrap();
        manager.writer(1).append_put(b"order/\xff\n", &[0, 159, 146, 150]).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(b"user/3", b"batch").commit(&[("orders", 9), ("clicks", 1)], None);
        manager.writer(1).append_batch(&batch).unwrap();
        manager.writer(1).sync().unwrap();
        manager.advance_epoch();
        manager.writer(0).append_put(b"user/1", b"third").unwrap();
        manager.sync_all().unwrap();
        manager.advance_epoch();
        drop(manager);
        fixture
    }

    /// Four cores in bursts over some epochs, a checkpoint in the middle, and what core 2 appended last damaged.
    pub(crate) fn four() -> Self {
        let fixture = Self::empty();
        let mut settings = config(&fixture.log(), 4);
        settings.log.segment_bytes = 1 << 20;
        let mut manager = PerCoreWalManager::new(settings).unwrap();
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % below
        };
        for round in 0..36 {
            for core in 0..4 {
                // Core 3 is idle half of the time.
                let entries = if core == 3 && round % 8 > 3 { 0 } else { 4 + next(40) };
                for _ in 0..entries {
                    let key = format!("key/{core}/{}", next(500));
                    manager.writer(core).append_put(key.as_bytes(), &vec![b'v'; 50 + next(900)]).unwrap();
                }
                manager.writer(core).sync().unwrap();
            }
            if round % 6 == 5 {
                manager.advance_epoch();
            }
            if round == 11 {
                CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
            }
        }
        manager.sync_all().unwrap();
        drop(manager);
        let segments = fixture.segments(2);
        let segment = &segments[segments.len() / 2];
        let offsets: Vec<_> = (5..9).map(|index| fixture.frame(2, segment, index)).collect();
        offsets.into_iter().for_each(|offset| fixture.flip(segment, offset + 100));
        fixture
    }

    /// One core with one entry.
    pub(crate) fn one() -> Self {
        let fixture = Self::empty();
        let mut manager = PerCoreWalManager::new(config(&fixture.log(), 1)).unwrap();
        manager.writer(0).append_put(b"only", b"entry").unwrap();
        manager.sync_all().unwrap();
        drop(manager);
        fixture
    }

    /// The files that were laid out by hand.
    pub(crate) fn built(log: &LogBuilder) -> Self {
        let fixture = Self::empty();
        for (name, bytes) in log.source().iter() {
            fs::write(fixture.file(name), bytes).unwrap();
        }
        fixture
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.place.path().join("log")
    }

    /// A file of the log.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.log().join(name)
    }

    /// The segment files of a core with frames in them, ascending.
    pub(crate) fn segments(&self, core: u16) -> Vec<String> {
        let plan = wal_recovery::PerCoreRecoveryManager::new(self.log()).plan().unwrap();
        let planned = plan.cores.iter().find(|planned| planned.scan.core.0 == core).unwrap();
        let spans =
            planned.spans.iter().map(|span| wal_reader::segment_name(planned.scan.core, span.segment));
        spans.collect()
    }

    /// Changes one byte.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let path = self.file(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }

    /// Offset of the n-th frame of a segment.
    pub(crate) fn frame(&self, core: u16, segment: &str, index: usize) -> usize {
        let lines = run(&["dump", "--frames", "--json", "--core", &core.to_string()], &[&self.log()]);
        let number = segment.rsplit('-').next().unwrap().trim_end_matches(".log").parse::<u64>().unwrap();
        let frames = lines.json_lines();
        let offsets =
            frames.iter().filter(|frame| frame["segment"] == number).map(|frame| frame["offset"].as_u64());
        usize::try_from(offsets.flatten().nth(index).unwrap()).unwrap()
    }

    /// Runs a subcommand on the log.
    #[track_caller]
    pub(crate) fn wal(&self, words: &[&str]) -> Ran {
        run(words, &[&self.log()])
    }
}

/// What the command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command, with nothing of this process's environment that could change what it prints.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wal"));
    command.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    command
}

/// Runs the command with these words and then these paths.
#[track_caller]
pub(crate) fn run(words: &[&str], paths: &[&Path]) -> Ran {
    Ran::of(&command().args(words).args(paths).output().unwrap())
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is text");
        let ran = Self {
            code: output.status.code().expect("it was killed"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran
    }

    /// Standard output, if the exit code is this one.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        &self.out
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
