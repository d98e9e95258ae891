//! Checkpoint runs: one by one, and merged by key with the newest on top.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

use std::collections::BTreeMap;

use wal_format::{Epoch, LogId, RunMeta};
use wal_reader::testing::{LogBuilder, run_file};
use wal_reader::{CheckpointReader, MemorySource, ReadError, RunReader};

const LOG: LogId = LogId([7; 16]);

type Entry = (Vec<u8>, Option<Vec<u8>>);

fn read_run(source: &MemorySource, meta: RunMeta) -> Result<Vec<Entry>, ReadError> {
    let mut run = RunReader::open(source, LOG, meta)?;
    let mut entries = Vec::new();
    while run.advance()? {
        entries.push((run.key().to_vec(), run.value().map(<[u8]>::to_vec)));
    }
    Ok(entries)
}

fn read_all(source: &MemorySource, runs: &[RunMeta], keep_tombstones: bool) -> Result<Vec<Entry>, ReadError> {
    let mut reader = CheckpointReader::of_runs(source, LOG, runs, keep_tombstones)?;
    let mut entries = Vec::new();
    while reader.advance()? {
        entries.push((reader.key().to_vec(), reader.value().map(<[u8]>::to_vec)));
    }
    assert_eq!(reader.entries(), entries.len() as u64);
    Ok(entries)
}

fn sample() -> (MemorySource, RunMeta) {
    let mut log = LogBuilder::new(LOG);
    let entries: Vec<(Vec<u8>, Option<&[u8]>)> =
        (0..10_u8).map(|key| (vec![key], (key % 3 != 0).then_some(&b"value"[..]))).collect();
    let borrowed: Vec<_> = entries.iter().map(|(key, value)| (key.as_slice(), *value)).collect();
    let meta = log.run(3, 5, &borrowed);
    (log.source(), meta)
}

#[test]
fn a_run_gives_its_keys_in_order_with_tombstones() {
    let (source, meta) = sample();
    let entries = read_run(&source, meta).unwrap();
    assert_eq!(entries.len(), 10);
    assert!(entries.is_sorted());
    assert_eq!(entries.iter().filter(|(_, value)| value.is_none()).count(), 4);
}

#[test]
fn an_empty_run_is_a_run() {
    let mut log = LogBuilder::new(LOG);
    let meta = log.run(0, 1, &[]);
    assert_eq!(read_run(&log.source(), meta).unwrap(), []);
}

#[test]
fn a_run_that_is_not_what_the_manifest_says_is_refused() {
    let (source, meta) = sample();
    for wrong in [
        RunMeta { entries: meta.entries + 1, ..meta },
        RunMeta { length: meta.length + 8, ..meta },
        RunMeta { digest: meta.digest ^ 1, ..meta },
        RunMeta { epoch: Epoch(6), ..meta },
    ] {
        assert!(matches!(read_run(&source, wrong), Err(ReadError::RunCorrupt { run: 3, .. })), "{wrong:?}");
    }
    let absent = RunMeta { run: 4, ..meta };
    assert!(matches!(read_run(&source, absent), Err(ReadError::RunMissing { run: 4, .. })));
    let foreign = RunReader::open(&source, LogId([8; 16]), meta).err();
    assert!(matches!(foreign, Some(ReadError::Foreign { .. })));
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_run_is_an_error() {
    let (source, meta) = sample();
    let name = "run-0000000000000003.ckpt";
    let length = source.get(name).unwrap().len();
    for at in 0..length {
        let mut damaged = source.clone();
        damaged.get_mut(name).unwrap().truncate(at);
        assert!(read_run(&damaged, meta).is_err(), "cut to {at}");
        for bit in 0..8 {
            let mut damaged = source.clone();
            damaged.get_mut(name).unwrap()[at] ^= 1 << bit;
            assert!(read_run(&damaged, meta).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_run_that_ends_without_its_seal_is_incomplete_whatever_the_manifest_says() {
    const SEAL_FRAME_BYTES: usize = 64 + 40;
    let (mut source, meta) = sample();
    let bytes = source.get_mut("run-0000000000000003.ckpt").unwrap();
    bytes.truncate(bytes.len() - SEAL_FRAME_BYTES);
    let shorter = RunMeta { length: bytes.len() as u64, ..meta };
    assert!(matches!(read_run(&source, shorter), Err(ReadError::RunCorrupt { .. })));
}

#[test]
fn keys_out_of_order_or_twice_are_refused() {
    for keys in [[b"a", b"c", b"b", b"d"], [b"a", b"b", b"b", b"c"], [b"a", b"b", b"d", b"c"]] {
        let entries: Vec<_> = keys.iter().map(|key| (&key[..], Some(&b"value"[..]))).collect();
        let (bytes, meta) = run_file(LOG, 0, Epoch(1), &entries);
        let mut source = MemorySource::new();
        source.insert("run-0000000000000000.ckpt", bytes);
        assert!(matches!(read_run(&source, meta), Err(ReadError::RunCorrupt { .. })), "{keys:?}");
    }
}

#[test]
fn merged_runs_equal_a_map_that_was_written_in_order() {
    for seed in 0..100_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut log = LogBuilder::new(LOG);
        let mut model: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut metas = Vec::new();
        for run in 0..random(6) {
            let mut delta = BTreeMap::new();
            for _ in 0..random(30) {
                let value = (random(4) != 0).then(|| vec![run as u8, random(250) as u8]);
                delta.insert(vec![random(25) as u8], value);
            }
            let borrowed: Vec<_> =
                delta.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
            metas.push(log.run(run, run, &borrowed));
            model.extend(delta);
        }
        let source = log.source();
        let with_tombstones: Vec<_> = model.clone().into_iter().collect();
        assert_eq!(read_all(&source, &metas, true).unwrap(), with_tombstones, "seed {seed}");
        let live: Vec<_> = model.into_iter().filter(|(_, value)| value.is_some()).collect();
        assert_eq!(read_all(&source, &metas, false).unwrap(), live, "seed {seed}");
    }
}
