//! Reading what is on disk, from a warm cache: one core's entries, and finding out what a crash left.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use wal_coordinator::{EntryRef, Replay};
use wal_format::CoreId;
use wal_reader::{Directory, PerCoreWalReader, Source, read_meta};
use wal_recovery::{BoxError, PerCoreRecoveryManager};

use crate::common::filled;

const ENTRIES: u64 = 200_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 1, ENTRIES).close().expect("closed");
    let source: Arc<dyn Source> = Arc::new(Directory::new(directory.path()));
    let log_id = read_meta(&*source).expect("read").expect("a log").log_id;
    let recovery = PerCoreRecoveryManager::new(directory.path());
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("scan one core", |bencher| {
        bencher.iter(|| {
            let mut reader =
                PerCoreWalReader::open(Arc::clone(&source), log_id, CoreId(0), None).expect("opened");
            while let Some(entry) = reader.next().expect("whole") {
                black_box(&entry);
            }
            assert_eq!(reader.entries(), ENTRIES);
        });
    });
    group.bench_function("plan a recovery", |bencher| {
        bencher.iter(|| recovery.plan().expect("a plan"));
    });
    group.bench_function("recover", |bencher| {
        bencher.iter(|| recovery.recover(&mut Taken).expect("recovered"));
    });
    group.finish();
}

/// Takes everything.
struct Taken;

impl Replay for Taken {
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        black_box(entry);
        Ok(())
    }
}
