//! Appends that the ring takes in, with background flushers, one by one and in batches.

use criterion::{BatchSize, Criterion, Throughput};
use wal_bench::workload::key_in_order;
use wal_coordinator::{CoreWalWriter, WriteBatch};

use crate::common::{BURST, VALUE, filled};

const BATCH: u64 = 64;

pub(crate) fn bench(criterion: &mut Criterion) {
    bursts(criterion, "one by one", BURST, |writer| {
        for number in 0..BURST {
            writer.append_put(&key_in_order(number), &VALUE).expect("appended");
        }
    });
    let mut batch = WriteBatch::new();
    bursts(criterion, "in batches of 64", BURST / BATCH * BATCH, |writer| {
        for from in (0..BURST / BATCH).map(|batch| batch * BATCH) {
            batch.clear();
            for number in from..from + BATCH {
                batch.put(&key_in_order(number), &VALUE);
            }
            writer.append_batch(&batch).expect("appended");
        }
    });
}

fn bursts(criterion: &mut Criterion, name: &str, entries: u64, mut append: impl FnMut(&mut CoreWalWriter)) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut manager = filled(directory.path(), 1, 0);
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
