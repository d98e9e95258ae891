//! The merge of all cores against a plain sort, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

use std::sync::Arc;

use wal_format::{CoreId, Epoch, LogId, OperationRef, PerCoreWalEntry};
use wal_reader::testing::LogBuilder;
use wal_reader::{MergedReader, PerCoreWalReader, ReadError, Source};

const LOG: LogId = LogId([7; 16]);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn random_log(seed: u64) -> (LogBuilder, u16) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut log = LogBuilder::new(LOG);
    let cores = 1 + random.below(6) as u16;
    let (mut epoch, mut clock, mut core) = (1, 0, CoreId(0));
    for _ in 0..random.below(300) {
        // Runs from one core, and quick changes; many equal timestamps.
        if random.below(3) == 0 {
            core = CoreId(random.below(u64::from(cores)) as u16);
        }
        epoch += u64::from(random.below(30) == 0);
        clock += random.below(2);
        log.set_epoch(epoch);
        log.set_clock(clock);
        log.put(core, &clock.to_le_bytes(), b"value");
        if random.below(40) == 0 {
            log.rotate(core);
        }
    }
    (log, cores)
}

fn readers(log: &LogBuilder, cores: u16) -> Vec<PerCoreWalReader> {
    let source: Arc<dyn Source> = Arc::new(log.source());
    (0..cores)
        .map(|core| PerCoreWalReader::open(Arc::clone(&source), LOG, CoreId(core), None).unwrap())
        .collect()
}

fn all(mut reader: PerCoreWalReader) -> Vec<PerCoreWalEntry> {
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        entries.push(entry.to_owned());
    }
    entries
}

#[test]
fn the_merge_is_the_sorted_concatenation() {
    for seed in 0..200 {
        let (log, cores) = random_log(seed);
        let mut expected: Vec<_> = readers(&log, cores).into_iter().flat_map(all).collect();
        expected.sort_by_key(PerCoreWalEntry::order_key);
        let mut merged = MergedReader::new(readers(&log, cores));
        let mut found = Vec::new();
        while let Some(entry) = merged.next().unwrap() {
            found.push(entry.to_owned());
        }
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(merged.entries(), expected.len() as u64);
        let source = log.source();
        let segments = source.iter().filter(|(name, _)| name.starts_with("wal-"));
        let bytes: usize = segments.map(|(_, bytes)| bytes.len() - 4096).sum();
        assert_eq!(merged.bytes_read(), bytes as u64, "seed {seed}: every frame is read once");
        for bound in [0, 1, 3, 99] {
            let mut merged = MergedReader::new(readers(&log, cores)).up_to(Some(Epoch(bound)));
            let mut count = 0;
            while merged.advance().unwrap() {
                assert!(merged.entry().epoch <= Epoch(bound));
                count += 1;
            }
            let expected = expected.iter().filter(|entry| entry.epoch <= Epoch(bound)).count();
            assert_eq!(count, expected, "seed {seed} up to {bound}");
        }
    }
}

#[test]
fn one_core_given_twice_steps_back_and_is_refused() {
    let mut log = LogBuilder::new(LOG);
    log.put(CoreId(0), b"a", b"value");
    let mut twice = readers(&log, 1);
    twice.extend(readers(&log, 1));
    let mut merged = MergedReader::new(twice);
    assert!(merged.advance().unwrap());
    assert!(matches!(merged.advance(), Err(ReadError::Corrupt(_))));
}

#[test]
fn an_error_of_any_core_is_an_error_of_the_merge() {
    let mut log = LogBuilder::new(LOG);
    let start = log.put(CoreId(0), b"a", b"value");
    log.put(CoreId(1), b"b", b"value");
    let end = log.end(CoreId(0));
    let mut source = log.source();
    source.get_mut("wal-00000-0000000000000000.log").unwrap()[start.offset as usize + 66] ^= 1;
    let source: Arc<dyn Source> = Arc::new(source);
    let damaged = PerCoreWalReader::range(Arc::clone(&source), LOG, CoreId(0), start, end).unwrap();
    let intact = PerCoreWalReader::open(source, LOG, CoreId(1), None).unwrap();
    assert!(matches!(MergedReader::new(vec![intact, damaged]).advance(), Err(ReadError::Corrupt(_))));
}

#[test]
fn no_cores_merge_to_nothing() {
    let mut merged = MergedReader::new(Vec::new());
    assert!(!merged.advance().unwrap());
    assert!(merged.next().unwrap().is_none());
}

#[test]
fn a_batch_comes_out_in_one_piece_and_says_where_it_ends() {
    let mut log = LogBuilder::new(LOG);
    let operation = OperationRef::Delete { key: b"key" };
    for core in [1, 0, 1] {
        // All of one timestamp.
        log.set_clock(1000);
        log.batch(CoreId(core), &[operation; 3]);
    }
    let mut merged = MergedReader::new(readers(&log, 2));
    assert!(!merged.more_of_batch());
    let mut found = Vec::new();
    while merged.advance().unwrap() {
        found.push((merged.entry().core_id.0, merged.entry().sequence.0, merged.more_of_batch()));
    }
    let batch = |core, first| [(core, first, true), (core, first + 1, true), (core, first + 2, false)];
    assert_eq!(found, [batch(0, 0), batch(1, 0), batch(1, 3)].concat());
}
