//! Memory while reading: how much of it recovery takes, and what happens when there is none.
//!
//! Requests for frames, keys, values and the manifest, as large as a file says, are refused as an error of its own, never
//! by ending the process. Requests for names and for tables (a row a core, source, run, epoch or gap) end the process if
//! they fail, as everywhere in Rust; recovery only reads, so that does no harm: the last test ends it at many places and
//! finds the directory as it was.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(
    clippy::disallowed_types,
    reason = "the tests of this file count what the process allocates: one at a time"
)]

mod common;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::contents;
use wal_coordinator::{CoreId, EntryRef, Epoch, LogId, Replay, Scope};
use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CorePosition, OperationRef, SegmentNumber, Sequence, SourceOffset};
use wal_fuzz::allocation;
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, MergedReader, PerCoreWalReader, ReadError, read_manifest};
use wal_recovery::{BoxError, Mode, PerCoreRecoveryManager, RecoveryError};

const LOG: LogId = LogId([7; 16]);
const CORES: u16 = 2;
const WINDOW_BYTES: usize = 256 * 1024;

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine that keeps nothing, so that what is held is held by recovery.
#[derive(Default)]
struct Counted {
    keys: u64,
    entries: u64,
}

impl Replay for Counted {
    fn state(&mut self, _: &[u8], _: &[u8]) -> Result<(), BoxError> {
        self.keys += 1;
        Ok(())
    }

    fn entry(&mut self, _: &EntryRef<'_>) -> Result<(), BoxError> {
        self.entries += 1;
        Ok(())
    }
}

fn manager(source: &MemorySource) -> PerCoreRecoveryManager {
    PerCoreRecoveryManager::with_source(Arc::new(source.clone()))
}

fn total_bytes(source: &MemorySource) -> usize {
    source.iter().map(|(name, bytes)| name.len() + bytes.len()).sum()
}

/// Two cores of some segments each, `bytes` in all, in frames of about 4 KiB.
fn plain(bytes: usize) -> MemorySource {
    let mut log = LogBuilder::new(LOG);
    let values: Vec<Vec<u8>> = (0..40).map(|value| vec![value; 100]).collect();
    let batch: Vec<_> = values.iter().map(|value| OperationRef::Put { key: &value[..16], value }).collect();
    let segment_bytes = bytes / 8;
    for core in (0..CORES).map(CoreId) {
        for _ in 0..4 {
            while log.core(core).bytes.len() < segment_bytes {
                log.batch(core, &batch);
            }
            log.sync(core);
            log.rotate(core);
        }
    }
    log.source()
}

/// A log with a checkpoint, in which every size is large: frames, keys, values.
fn large() -> MemorySource {
    let mut log = LogBuilder::new(LOG);
    let (key, value) = (vec![1; 100_000], vec![2; 700_000]);
    let mut manifest = log.empty_manifest(1);
    manifest.runs.push(log.run(
        0,
        1,
        &[(&key, Some(&value)), (b"small", Some(b"value")), (b"t", None), (b"u", Some(&value))],
    ));
    manifest.next_run = 1;
    for core in (0..CORES).map(CoreId) {
        manifest.cores.push(CorePosition {
            core,
            segment: SegmentNumber(0),
            offset: HEADER_BLOCK_BYTES as u64,
            sequence: Sequence(0),
            last_timestamp: 0,
            last_epoch: Epoch(1),
        });
        log.set_epoch(2);
        log.put(core, b"small", b"value");
        log.put(core, &key, &value);
        log.sync(core);
        log.rotate(core);
        log.put(core, b"small", &value);
    }
    log.manifest(&manifest);
    log.source()
}

#[test]
fn recovery_holds_a_buffer_a_core_whatever_the_length_of_the_log() {
    let _alone = alone();
    let peak = |bytes| {
        let source = plain(bytes);
        let manager = manager(&source);
        let mut engine = Counted::default();
        let (recovered, peak) = allocation::peak_bytes(|| manager.recover(&mut engine));
        recovered.unwrap();
        assert!(engine.entries > 5_000, "{} entries", engine.entries);
        peak
    };
    let (short, long) = (peak(2 << 20), peak(16 << 20));
    println!("recovery holds {short} bytes of 2 MiB, {long} of 16 MiB");
    let bound = usize::from(CORES) * WINDOW_BYTES + 128 * 1024;
    assert!(short <= bound && long <= bound, "{short} and {long} bytes, bound {bound}");
}

#[test]
fn a_merge_holds_a_buffer_a_core_whatever_the_length_of_the_log() {
    let _alone = alone();
    let peak = |bytes| {
        let source: Arc<MemorySource> = Arc::new(plain(bytes));
        let merge = || {
            let open = |core| PerCoreWalReader::open(Arc::clone(&source) as _, LOG, core, None);
            let readers = (0..CORES).map(CoreId).map(open).collect::<Result<Vec<_>, _>>()?;
            let mut merged = MergedReader::new(readers);
            while merged.advance()? {}
            Ok::<_, ReadError>(merged.entries())
        };
        let (entries, peak) = allocation::peak_bytes(merge);
        assert!(entries.unwrap() > 5_000);
        peak
    };
    let (short, long) = (peak(2 << 20), peak(16 << 20));
    println!("a merge holds {short} bytes of 2 MiB, {long} of 16 MiB");
    let bound = usize::from(CORES) * WINDOW_BYTES + 128 * 1024;
    assert!(short <= bound && long <= bound, "{short} and {long} bytes, bound {bound}");
}

/// As many rows of recovery's tables as bytes can ask for: epochs, barriers, gaps, sources. Logs of nothing but such
/// frames hold more than twice their size; the figures are in docs/testing.md.
#[test]
fn tables_take_at_most_16_times_the_bytes_that_ask_for_their_rows() {
    let _alone = alone();
    let core = CoreId(0);
    let tiny = |log: &mut LogBuilder, at: u64| {
        log.put(core, &[], &at.to_le_bytes()[..1]);
    };
    let mut cases: BTreeMap<&str, MemorySource> = BTreeMap::new();
    let mut log = LogBuilder::new(LOG);
    for at in 0..30_000 {
        log.set_epoch(1 + at);
        tiny(&mut log, at);
    }
    cases.insert("every frame an epoch", log.source());
    let mut log = LogBuilder::new(LOG);
    for at in 0..30_000 {
        log.barrier(core, 1 + at, 0, &[(0, 0)]);
    }
    cases.insert("every frame a barrier", log.source());
    let mut log = LogBuilder::new(LOG);
    let mut starts = Vec::new();
    for at in 0..30_000 {
        starts.push(log.end(core).offset);
        tiny(&mut log, at);
    }
    let mut source = log.source();
    let name = log.core(core).name();
    for start in starts.into_iter().skip(1).step_by(2) {
        source.get_mut(&name).unwrap()[usize::try_from(start).unwrap() + 20] ^= 1;
    }
    cases.insert("every other frame damaged", source);
    let mut log = LogBuilder::new(LOG);
    let mut manifest = log.empty_manifest(1);
    manifest.offsets =
        (0..100_000).map(|at| SourceOffset { source: format!("{at:06}"), offset: at }).collect();
    log.manifest(&manifest);
    cases.insert("a manifest of sources", log.source());
    for (name, source) in cases {
        for mode in [Mode::Strict, Mode::Salvage] {
            let manager = manager(&source).mode(mode);
            let (recovered, peak) = allocation::peak_bytes(|| manager.recover(&mut Counted::default()));
            let total = total_bytes(&source);
            let max = 16 * total;
            println!(
                "{name}, {mode}: {peak} bytes held of {total}, {:?}",
                recovered.err().map(|error| error.to_string())
            );
            assert!(peak <= max, "{name}, {mode}: {peak} bytes held of {total}, at most {max}");
        }
    }
}

#[test]
fn a_size_that_comes_from_a_file_and_does_not_fit_is_an_error_at_every_request() {
    let _alone = alone();
    let source = large();
    let manager = manager(&source);
    let whole = manager.recover_state().unwrap();
    let (mut n, mut of_files, mut of_state) = (0, 0, 0);
    loop {
        let (recovered, has_failed) = allocation::failing(n, 16 * 1024, || manager.recover_state());
        match recovered {
            Ok(recovered) => {
                assert!(!has_failed, "request {n} failed, and nobody was told");
                assert_eq!(recovered.state, whole.state);
                break;
            }
            Err(RecoveryError::Read(ReadError::OutOfMemory { path, bytes })) => {
                let file = path.file_name().unwrap().to_string_lossy().into_owned();
                let length = source.get(&file).map_or(0, <[u8]>::len) as u64;
                assert!(bytes > 0 && bytes <= 3 * length, "{bytes} bytes for {file} of {length}");
                of_files += 1;
            }
            Err(RecoveryError::OutOfMemory { bytes }) => {
                assert!(bytes > 0);
                of_state += 1;
            }
            Err(error) => panic!("request {n}: {error}"),
        }
        assert!(has_failed, "request {n}");
        n += 1;
    }
    println!("{of_files} requests for what files hold and {of_state} for the state failed, one at a time");
    assert!(of_files >= 8 && of_state >= 4, "{of_files} and {of_state}");
}

#[test]
fn a_manifest_that_does_not_fit_is_an_error_at_every_request() {
    let _alone = alone();
    let mut log = LogBuilder::new(LOG);
    let mut manifest = log.empty_manifest(1);
    manifest.offsets =
        (0..2000).map(|at| SourceOffset { source: format!("source {at:05}"), offset: at }).collect();
    log.manifest(&manifest);
    let source = log.source();
    let mut refused = 0;
    loop {
        let (read, has_failed) = allocation::failing(refused, 16 * 1024, || read_manifest(&source, LOG));
        match read {
            Ok(read) => break assert!(!has_failed && read == Some(manifest)),
            Err(ReadError::OutOfMemory { .. }) => refused += 1,
            Err(error) => panic!("request {refused}: {error}"),
        }
    }
    assert_eq!(refused, 2, "the bytes, and the list of the sources");
}

/// What salvage is for is damage. It must not take a lack of memory for that, and go on without.
#[test]
fn salvage_takes_no_lack_of_memory_for_damage() {
    let _alone = alone();
    let source = large();
    let manager = manager(&source).mode(Mode::Salvage);
    for n in 0.. {
        let (recovered, has_failed) =
            allocation::failing(n, 16 * 1024, || manager.recover(&mut Counted::default()));
        assert_eq!(recovered.is_err(), has_failed, "request {n}");
        if !has_failed {
            break;
        }
    }
}

const ROLE: &str = "WAL_MEMORY_TEST_DIRECTORY";
const NTH: &str = "WAL_MEMORY_TEST_NTH";
const BYTES_MIN: &str = "WAL_MEMORY_TEST_BYTES_MIN";

/// Recovers with an allocator whose n-th request of at least some size fails: started by the test below, as a process.
#[test]
fn role_of_the_process_without_memory() {
    let Ok(path) = std::env::var(ROLE) else { return };
    let [n, bytes_min] = [NTH, BYTES_MIN].map(|name| std::env::var(name).unwrap().parse().unwrap());
    let manager = PerCoreRecoveryManager::new(path);
    let (recovered, has_failed) = allocation::failing(n, bytes_min, || manager.recover_state().is_ok());
    std::process::exit(match (recovered, has_failed) {
        (true, false) => 0,
        (false, true) => 3,
        _ => 4,
    });
}

#[test]
fn recovery_that_dies_for_want_of_memory_leaves_everything_as_it_was() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (name, bytes) in large().iter() {
        std::fs::write(path.join(name), bytes).unwrap();
    }
    let before = contents(path);
    let whole = PerCoreRecoveryManager::new(path).recover_state().unwrap();
    // Small requests kill, large ones are told. The first few hundred small ones one by one would take minutes; their
    // neighbours are much alike.
    for (bytes_min, step) in [(0, 6), (16 * 1024, usize::MAX)] {
        let (mut died, mut refused, mut n) = (0, 0, 0);
        loop {
            match without_memory(path, n, bytes_min) {
                Ended::Whole => break,
                Ended::Refused => refused += 1,
                Ended::Died => died += 1,
            }
            assert!(contents(path) == before, "request {n} failed, and a file is another");
            n += 1 + n / step;
        }
        println!(
            "{died} processes died and {refused} were told, requests 0 to {n} of at least {bytes_min} bytes"
        );
        if bytes_min == 0 {
            assert!(died >= 10, "{died} and {refused}");
        } else {
            assert!(died == 0 && refused >= 1, "{died} and {refused}");
        }
    }
    let again = PerCoreRecoveryManager::new(path).scope(Scope::Everything).recover_state().unwrap();
    assert_eq!(again.state, whole.state);
}

enum Ended {
    Whole,
    Refused,
    Died,
}

fn without_memory(path: &Path, n: usize, bytes_min: usize) -> Ended {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "role_of_the_process_without_memory"]);
    child.env(ROLE, path).env(NTH, n.to_string()).env(BYTES_MIN, bytes_min.to_string());
    let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Whole,
        (Some(3), _) => Ended::Refused,
        (None, Some(6)) => Ended::Died,
        other => panic!("request {n}: the process ended with {other:?}"),
    }
}
