//! Entries to bytes and back, and the checksum of a frame.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use wal_bench::workload::key;
use wal_format::{EntryDecoder, EntryEncoder, OperationRef, entry::entry_bytes};

use crate::common::VALUE;

/// About a frame of 64 KiB.
const COUNT: usize = 540;

pub(crate) fn bench(criterion: &mut Criterion) {
    let key = key(1);
    let operation = OperationRef::Put { key: &key, value: &VALUE };
    let mut payload = vec![0; COUNT * entry_bytes(100, &operation)];
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("encode an entry", |bencher| {
        bencher.iter(|| {
            let mut encoder = EntryEncoder::new(black_box(&mut payload));
            (0..COUNT).for_each(|_| encoder.entry(false, 100, black_box(&operation)));
        });
    });
    group.bench_function("decode an entry", |bencher| {
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
    group.bench_function("checksum of frames", |bencher| {
        bencher.iter(|| crc32fast::hash(black_box(&payload)));
    });
    group.finish();
}
