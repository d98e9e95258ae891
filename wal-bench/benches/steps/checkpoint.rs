//! A checkpoint of distinct keys into none.

use criterion::{BatchSize, Criterion, Throughput};
use wal_coordinator::CheckpointCoordinator;

use crate::common::filled;

const KEYS: u64 = 100_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    group.sample_size(10).throughput(Throughput::Elements(KEYS));
    group.bench_function("100 k keys", |bencher| {
        bencher.iter_batched(
            || {
                let directory = tempfile::tempdir().expect("a directory");
                (filled(directory.path(), 1, KEYS), directory)
            },
            |(manager, directory)| {
                CheckpointCoordinator::new(&manager).create_checkpoint().expect("a checkpoint");
                (manager, directory)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
