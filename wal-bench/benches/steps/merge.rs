//! The ordered merge of four cores that took turns: it changes cores with every entry.

use std::hint::black_box;

use criterion::{Criterion, Throughput};

use crate::common::filled;

const PER_CORE: u64 = 50_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let manager = filled(directory.path(), 4, PER_CORE);
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
