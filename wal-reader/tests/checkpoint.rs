//! Checkpoint runs: one by one, and merged by key with the newest on top.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

use std::collections::BTreeMap;

use wal_format::checksum::{crc, extend};
use wal_format::entry::entry_bytes;
use wal_format::{
    CoreId, EntryEncoder, Epoch, FrameHeader, FrameKind, LogId, OperationRef, RunHeader, RunMeta, Seal,
    SegmentNumber, Sequence, limits,
};
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
    // All of every run, and nothing twice; their header blocks are read when they are opened.
    let length = runs.iter().map(|run| run.length - 4096).sum::<u64>();
    assert_eq!(reader.bytes_read(), length);
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
    let mut renamed = source.clone();
    renamed.insert("run-0000000000000009.ckpt", source.get("run-0000000000000003.ckpt").unwrap().to_vec());
    for wrong in [RunMeta { epoch: Epoch(6), ..meta }, RunMeta { run: 9, ..meta }] {
        let error = read_run(&renamed, wrong).unwrap_err();
        assert!(error.to_string().contains("its header says run 3 of epoch 5, the manifest"), "{error}");
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

/// A run of epoch 1 with a frame for each of these epochs and keys, in a pad frame's company, and its seal.
fn run_of(frames: &[(u64, &[&[u8]])]) -> (MemorySource, RunMeta) {
    let header = RunHeader { log_id: LOG, run: 0, epoch: Epoch(1) };
    let (seed, mut bytes, mut digest, mut sequence) = (header.seed(), header.encode(), crc(&[]), 0);
    let mut frame = |bytes: &mut Vec<u8>, kind, epoch, entries: usize, payload: &[u8]| {
        let mut aligned = payload.to_vec();
        aligned.resize(limits::frame_aligned(payload.len()), 0);
        let header = FrameHeader {
            kind,
            flags: 0,
            core: CoreId(limits::RUN_CORE),
            payload_bytes: payload.len() as u32,
            entry_count: entries as u32,
            epoch: Epoch(epoch),
            first_sequence: Sequence(sequence),
            base_timestamp: 0,
            segment: SegmentNumber(0),
            synced_through: 0,
            payload_crc: 0,
        };
        let encoded = header.encode(&seed, bytes.len() as u64, &aligned);
        let before = digest;
        digest = extend(digest, &encoded);
        bytes.extend([&encoded[..], &aligned].concat());
        sequence += entries as u64;
        (before, sequence)
    };
    for (epoch, keys) in frames {
        let mut payload = Vec::new();
        for key in *keys {
            let (operation, from) = (OperationRef::Delete { key }, payload.len());
            payload.resize(from + entry_bytes(0, &operation), 0);
            EntryEncoder::new(&mut payload[from..]).entry(false, 0, &operation);
        }
        frame(&mut bytes, FrameKind::Data, *epoch, keys.len(), &payload);
        frame(&mut bytes, FrameKind::Pad, 1, 0, &[0; 8]);
    }
    let (digest, entries) = frame(&mut bytes.clone(), FrameKind::Pad, 1, 0, &[]);
    let (length, next_sequence) = (bytes.len() as u64, Sequence(entries));
    let seal = Seal { entry_count: entries, next_sequence, last_timestamp: 0, length, digest };
    frame(&mut bytes, FrameKind::Seal, 1, 0, &seal.encode());
    let meta = RunMeta { run: 0, entries, length: bytes.len() as u64, digest, epoch: Epoch(1) };
    let mut source = MemorySource::new();
    source.insert("run-0000000000000000.ckpt", bytes);
    (source, meta)
}

#[test]
fn keys_ascend_across_frames_whatever_stands_between_and_the_empty_key_is_the_first() {
    let keys = |frames: &[(u64, &[&[u8]])]| {
        let (source, meta) = run_of(frames);
        read_run(&source, meta).map(|entries| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>())
    };
    assert_eq!(keys(&[(1, &[b"", b"a"]), (1, &[b"b"])]).unwrap(), [&b""[..], b"a", b"b"]);
    for frames in
        [[(1, &[&b"b"[..]][..]), (1, &[b"a"])], [(1, &[b"b"]), (1, &[b"b"])], [(1, &[b""]), (1, &[b""])]]
    {
        let error = keys(&frames).unwrap_err();
        assert!(error.to_string().contains("not in ascending order"), "{error}");
    }
    let error = keys(&[(1, &[b"a"]), (2, &[b"b"])]).unwrap_err();
    assert!(error.to_string().contains("a frame of another epoch"), "{error}");
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
