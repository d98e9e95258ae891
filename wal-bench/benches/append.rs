//! Small measurements of single steps, for comparing two versions of the code on one machine. The figures that the log
//! is judged by come from the `bench` program.
#![allow(missing_docs, reason = "criterion's macros make public functions without")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wal_coordinator::{CoreWalWriter, PerCoreWalConfig, PerCoreWalManager, Retention, WriteBatch};
use wal_format::{EntryDecoder, EntryEncoder, OperationRef, entry::entry_bytes};

const KEY: [u8; 16] = [1; 16];
const VALUE: [u8; 100] = [2; 100];
/// Fits the ring of 4 MiB, so that a burst is not held up by the device.
const BURST: u64 = 20_000;

fn open(path: &Path, cores: usize) -> PerCoreWalManager {
    let mut config = PerCoreWalConfig::new(path, cores);
    config.log.retention = Retention::UntilWritten;
    PerCoreWalManager::new(config).expect("a new log")
}

fn bursts(criterion: &mut Criterion, name: &str, entries: u64, mut append: impl FnMut(&mut CoreWalWriter)) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut manager = open(directory.path(), 1);
    let mut writer = manager.take_writer(0).expect("the writer");
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(entries));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || manager.sync_all().expect("synced"),
            |()| append(&mut writer),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn append(criterion: &mut Criterion) {
    bursts(criterion, "put", BURST, |writer| {
        for _ in 0..BURST {
            writer.append_put(black_box(&KEY), black_box(&VALUE)).expect("appended");
        }
    });
    let mut batch = WriteBatch::new();
    bursts(criterion, "batch of 64", BURST / 64 * 64, |writer| {
        for _ in 0..BURST / 64 {
            batch.clear();
            for _ in 0..64 {
                batch.put(black_box(&KEY), black_box(&VALUE));
            }
            writer.append_batch(&batch).expect("appended");
        }
    });
}

fn codec(criterion: &mut Criterion) {
    const COUNT: usize = 500;
    let operation = OperationRef::Put { key: &KEY, value: &VALUE };
    let mut payload = vec![0; COUNT * entry_bytes(100, &operation)];
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            let mut encoder = EntryEncoder::new(black_box(&mut payload));
            (0..COUNT).for_each(|_| encoder.entry(false, 100, black_box(&operation)));
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut decoder = EntryDecoder::new(black_box(&payload));
            let mut found = 0;
            while let Some(entry) = decoder.next_entry().expect("whole") {
                black_box(entry);
                found += 1;
            }
            assert_eq!(found, COUNT);
        });
    });
    group.finish();
}

fn merge(criterion: &mut Criterion) {
    const PER_CORE: u64 = 50_000;
    let directory = tempfile::tempdir().expect("a directory");
    let mut manager = open(directory.path(), 4);
    for _ in 0..PER_CORE {
        for core in 0..4 {
            manager.writer(core).append_put(&KEY, &VALUE).expect("appended");
        }
    }
    manager.sync_all().expect("synced");
    let log = manager.handle();
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(4 * PER_CORE));
    group.bench_function("4 cores in turns", |bencher| {
        bencher.iter(|| {
            let mut merged = log.merged(None, "bench").expect("a merge");
            while let Some(entry) = merged.next().expect("whole") {
                black_box(&entry);
            }
        });
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1))
}

criterion_group! { name = all; config = quick(); targets = append, codec, merge }
criterion_main!(all);
