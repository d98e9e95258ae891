//! Into the ring and out of it, on one thread and on a storage that takes all and keeps nothing: what the log itself costs,
//! without a device and without a neighbour.

use criterion::{BatchSize, Criterion, Throughput};
use wal_bench::nowhere;
use wal_bench::workload::key_in_order;
use wal_coordinator::{CoreWalWriter, PerCoreWalManager};

use crate::common::{BURST, VALUE};

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = nowhere::config(directory.path(), 1).inline();
    let mut manager = PerCoreWalManager::new(config).expect("a new log");
    let mut writer = manager.take_writer(0).expect("the writer");
    let writer = std::cell::RefCell::new(&mut writer);
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(BURST));
    group.bench_function("in", |bencher| {
        bencher.iter_batched(
            || writer.borrow_mut().sync().map(drop).expect("synced"),
            |()| fill(&mut writer.borrow_mut()),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("out, into frames", |bencher| {
        bencher.iter_batched(
            || fill(&mut writer.borrow_mut()),
            |()| writer.borrow_mut().sync().expect("synced"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn fill(writer: &mut CoreWalWriter) {
    for number in 0..BURST {
        writer.append_put(&key_in_order(number), &VALUE).expect("appended");
    }
}
