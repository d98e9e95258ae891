//! A load on the whole log, as an engine is: threads that append at a rate or as fast as it goes, checkpoints meanwhile, a
//! line a second, and at the end what it came to.
//!
//! Promises: with a rate, latencies count from the time at which an entry was due, so that a stall is charged to every entry
//! that it held up; what the cores counted is compared with what the log counted; with `--verify` the log is recovered
//! afterwards and compared with what was appended. Not for judging single steps: see [`measure`](crate::measure).

mod entries;
mod outcome;
mod settings;
mod verify;
mod worker;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use wal_coordinator::{CheckpointCoordinator, LogHandle, PerCoreWalConfig, PerCoreWalManager, WalStats};

pub use outcome::{Outcome, Quantiles};
pub use settings::{Distribution, Settings, SyncMode};
pub use verify::Verified;

use crate::args::{Args, Known};
use crate::pinned;
use crate::report::amount;
use crate::usage;
use entries::Entries;
use outcome::Used;
use worker::{Part, Shared, Worker};

const HELP: &str = "\
Usage: load [--cores N] [--rate N] [--sync MODE] [--duration SECONDS] [options]

Puts a load on a new log and says what came of it: latencies, throughput, CPU, memory, bytes written.

Options:
  --cores N            cores of the log, a thread each, held on a CPU (default 2)
  --no-pin             do not hold them
  --rate N             entries a second of each core, due at fixed times; latencies count from there
                       (default: each as soon as the one before is done)
  --sync MODE          none: an entry is done when it is appended (default)
                       each: when a sync of its own has returned
                       batch:N: N entries as one batch, done when its sync has returned
                       interval:MS: what a core appended in MS milliseconds becomes durable together
  --keys N             distinct keys of each core (default 100000)
  --distribution D     uniform (default), or zipf:THETA, with THETA between 0 and 1; zipf is zipf:0.99
  --value BYTES        100 (default), or a range from which each is drawn: 32-1024
  --duration SECONDS   how long (default 10)
  --entries N          entries of each core, if these come first
  --checkpoint SECONDS from the beginning of one checkpoint to that of the next (default: none)
  --ring-kib N         ring of each core, a power of two (default 4096)
  --segment-kib N      segments (default 65536)
  --seed N             draws keys and lengths (default 1)
  --dir DIR            where the log is made and removed (default: the directory for temporary files)
  --verify             recover the log afterwards, and compare it with what was appended
  --json               print the outcome as JSON, and the lines on standard error
";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// For how long a second's line waits for cores that are held up.
const LINE_WAIT: Duration = Duration::from_millis(100);

/// Runs the program with the arguments `words`.
pub fn main(words: impl IntoIterator<Item = String>) -> ExitCode {
    let parsed = Args::parse(KNOWN, words).and_then(|args| Ok((Settings::parse(&args)?, args.has("--json"))));
    let (settings, is_json) = match parsed {
        Ok(parsed) => parsed,
        Err(usage) => return usage.report(HELP),
    };
    let told = |line: &str| if is_json { eprintln!("{line}") } else { println!("{line}") };
    let written = run(&settings, &told).and_then(|outcome| {
        Ok(if is_json { serde_json::to_string_pretty(&outcome)? } else { outcome.to_string() })
    });
    match written {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(1)
        }
    }
}

const KNOWN: Known = Known {
    flags: &["--no-pin", "--verify", "--json"],
    options: &[
        "--cores",
        "--rate",
        "--sync",
        "--keys",
        "--distribution",
        "--value",
        "--duration",
        "--entries",
        "--checkpoint",
        "--ring-kib",
        "--segment-kib",
        "--seed",
        "--dir",
    ],
};

/// Puts the load on a new log, and tells a line a second to `told`.
///
/// # Errors
/// Those of the log; counts that differ; with `verify`, a log that does not hold what was appended.
pub fn run(settings: &Settings, told: &dyn Fn(&str)) -> Result<Outcome, Failure> {
    let directory = tempfile::Builder::new().prefix("wal-load-").tempdir_in(&settings.directory)?;
    let path = directory.path().join("log");
    let mut config = PerCoreWalConfig::new(&path, settings.cores);
    config.log.ring_bytes = settings.ring_bytes.unwrap_or(config.log.ring_bytes);
    config.log.segment_bytes = settings.segment_bytes.unwrap_or(config.log.segment_bytes);
    let segment_bytes = config.log.segment_bytes;
    let entries: Vec<_> = (0..settings.cores).map(|core| Entries::new(settings, core)).collect();
    let cpu_ns_of_load = cost_of_load(entries[0].clone());
    let mut manager = PerCoreWalManager::new(config)?;
    let before = (manager.stats(), usage::cpu_time());
    let (all, appended, appending) = put(settings, entries, &mut manager, told)?;
    manager.sync_all()?;
    let used = Used {
        appending,
        durable: manager.stats().since(&before.0).elapsed,
        cpu: usage::cpu_time().saturating_sub(before.1),
        cpu_ns_of_load,
        memory_kib: usage::peak_kib().unwrap_or_default(),
        segment_bytes,
    };
    let stats = manager.stats().since(&before.0);
    manager.close()?;
    let mut outcome = Outcome::new(settings.to_string(), &all, &stats, &used);
    outcome.check()?;
    if settings.verify {
        outcome.verified = Some(verify::verify(&path, settings, &appended)?);
    }
    Ok(outcome)
}

/// CPU of drawing an entry and looking at the clock as often as a core does for one.
fn cost_of_load(mut entries: Entries) -> f64 {
    const COUNT: u32 = 100_000;
    let started = usage::cpu_time();
    for _ in 0..COUNT {
        std::hint::black_box(entries.draw());
        for _ in 0..3 {
            std::hint::black_box(Instant::now());
        }
    }
    usage::cpu_time().saturating_sub(started).as_nanos() as f64 / f64::from(COUNT)
}

/// What all cores did together, how many entries each appended, and how long it took.
fn put(
    settings: &Settings,
    entries: Vec<Entries>,
    manager: &mut PerCoreWalManager,
    told: &dyn Fn(&str),
) -> Result<(Part, Vec<u64>, Duration), Failure> {
    let writers: Vec<_> =
        (0..settings.cores).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    let (log, mut coordinator) = (manager.handle(), CheckpointCoordinator::new(manager));
    let shared = Shared { started: Instant::now(), tick: AtomicU64::new(0), stop: AtomicBool::new(false) };
    let (sender, parts) = channel();
    thread::scope(|scope| {
        let shared = &shared;
        let cores: Vec<_> = writers
            .into_iter()
            .zip(entries)
            .enumerate()
            .map(|(core, (writer, entries))| {
                let worker = Worker::new(core, writer, entries, settings, shared, Sender::clone(&sender));
                scope.spawn(move || {
                    if settings.pinned {
                        pinned::hold(core)?;
                    }
                    worker.run()
                })
            })
            .collect();
        drop(sender);
        let checkpoints = settings.checkpoint.map(|every| {
            let (ended, end) = channel::<()>();
            (ended, scope.spawn(move || make_checkpoints(&mut coordinator, every, &end)))
        });
        let all = watch(settings, shared, &log, &parts, told);
        let appending = shared.started.elapsed();
        if let Some((ended, thread)) = checkpoints {
            drop(ended);
            thread.join().map_err(|_| "the checkpoints panicked")??;
        }
        let appended =
            cores.into_iter().map(|core| core.join().map_err(|_| Failure::from("a core panicked"))?);
        Ok((all, appended.collect::<Result<_, _>>()?, appending))
    })
}

/// Until nobody holds the other end of `end` any more.
fn make_checkpoints(
    coordinator: &mut CheckpointCoordinator,
    every: Duration,
    end: &Receiver<()>,
) -> Result<(), Failure> {
    let mut next = Instant::now() + every;
    while end.recv_timeout(next.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout) {
        next += every;
        coordinator.create_checkpoint()?;
    }
    Ok(())
}

/// Tells a line a second, ends the load when its time is over, and returns when all cores have ended.
fn watch(
    settings: &Settings,
    shared: &Shared,
    log: &LogHandle,
    parts: &Receiver<(usize, Part)>,
    told: &dyn Fn(&str),
) -> Part {
    let mut all = Part::default();
    let mut second = Part::default();
    let (mut stats, mut number) = (log.stats(), 0_u32);
    let end = shared.started + settings.duration;
    told(
        "  second  appended/s   durable/s    MB/s  sync p99    due to appended: p50       p99       max      waits     ring  checkpoint",
    );
    loop {
        let next = (shared.started + Duration::from_secs(1) * (number + 1)).min(end);
        let is_over = shared.stop.load(Ordering::Relaxed);
        let wait = if is_over { Duration::MAX } else { next.saturating_duration_since(Instant::now()) };
        match parts.recv_timeout(wait) {
            Ok((_, part)) => second.merge(&part),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                number += 1;
                shared.tick.fetch_add(1, Ordering::Relaxed);
                gather(settings.cores, parts, &mut second);
                let now = log.stats();
                told(&line(number, &second, &now, &now.since(&stats)));
                stats = now;
                all.merge(&std::mem::take(&mut second));
                shared.stop.fetch_or(next >= end, Ordering::Relaxed);
            }
        }
    }
    all.merge(&second);
    all
}

/// What the cores tell within a moment of being asked.
fn gather(cores: usize, parts: &Receiver<(usize, Part)>, second: &mut Part) {
    let deadline = Instant::now() + LINE_WAIT;
    let mut missing: Vec<usize> = (0..cores).collect();
    while !missing.is_empty() {
        let Ok((core, part)) = parts.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            return;
        };
        second.merge(&part);
        missing.retain(|other| *other != core);
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn line(number: u32, second: &Part, now: &WalStats, since: &WalStats) -> String {
    let total = since.total();
    let time = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| amount(ns as f64, "ns"));
    let append = |part| time(second.latencies.append.quantile(part));
    let checkpoint = match now.checkpoints.running {
        Some(running) => format!("runs for {:.1} s", running.as_secs_f64()),
        None => format!("{} made", now.checkpoints.made()),
    };
    format!(
        "{number:>8} {:>11.0} {:>11.0} {:>7.1} {:>9} {:>23} {:>9} {:>9} {:>10} {:>7.0}%  {checkpoint}",
        since.per_second(total.entries),
        since.per_second(total.durable_entries),
        since.per_second(total.file_bytes) / 1e6,
        time(total.sync_ns.quantile(0.99)),
        append(0.5),
        append(0.99),
        append(1.0),
        total.room_wait_ns.count(),
        total.ring_fill() * 100.0
    )
}

/// Puts a load on a log for another part of this program.
pub(crate) fn settings(words: &[&str], directory: &Path) -> Result<Settings, Failure> {
    let words = words.iter().map(|word| (*word).to_owned());
    let args = Args::parse(KNOWN, words).and_then(|args| Settings::parse(&args));
    let settings = args.map_err(|usage| format!("{usage:?}"))?;
    Ok(Settings { directory: directory.to_owned(), ..settings })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(words: &[&str]) -> Settings {
        super::settings(words, &std::env::temp_dir()).expect("settings")
    }

    #[test]
    fn the_help_names_every_option() {
        let known = || KNOWN.flags.iter().chain(KNOWN.options);
        let named: Vec<&str> = HELP.lines().filter_map(|line| line.strip_prefix("  --")).collect();
        assert_eq!(named.len(), known().count());
        for option in known() {
            let name = option.trim_start_matches("--");
            assert!(named.iter().any(|line| line.split(' ').next() == Some(name)), "{option}");
        }
    }

    #[test]
    fn a_core_that_stalls_is_charged_for_what_it_held_up() {
        // 100 entries a millisecond apart; the device of this log takes none for 50 ms of them. What a closed loop would
        // have called one slow append must be half of all.
        let settings =
            settings(&["--cores", "1", "--rate", "1000", "--entries", "100", "--segment-kib", "64"]);
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = PerCoreWalConfig::new(directory.path(), 1);
        config.log.segment_bytes = 64 << 10;
        let stalled = std::sync::Arc::new(AtomicU64::new(0));
        config.clock = wal_coordinator::Clock::injected(std::sync::Arc::new(Stalls(stalled)));
        let mut manager = PerCoreWalManager::new(config).expect("a new log");
        let (all, appended, _) =
            put(&settings, vec![Entries::new(&settings, 0)], &mut manager, &|_| {}).expect("a load");
        assert_eq!(appended, [100]);
        let held_up = |histogram: &wal_writer::Histogram| -> u64 {
            histogram.buckets().filter(|(_, high, _)| *high > 1_500_000).map(|(_, _, count)| count).sum()
        };
        assert!(held_up(&all.latencies.append) >= 45, "{:?}", all.latencies.append);
        assert!(held_up(&all.latencies.call) <= 20, "{:?}", all.latencies.call);
    }

    /// A clock whose twentieth reading takes 50 ms.
    struct Stalls(std::sync::Arc<AtomicU64>);

    impl wal_coordinator::TimeSource for Stalls {
        fn now_ns(&self) -> u64 {
            let reading = self.0.fetch_add(1, Ordering::Relaxed);
            if reading == 20 {
                let started = Instant::now();
                while started.elapsed() < Duration::from_millis(50) {
                    std::hint::spin_loop();
                }
            }
            1_700_000_000_000_000_000 + reading
        }
    }
}
