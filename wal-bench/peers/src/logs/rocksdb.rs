//! RocksDB: a store; its write-ahead log is the log. The memtable is large, so that a restart reads the log, and then writes a
//! table of it: what would keep it from that is not in this binding.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use ::rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};
use wal_bench::workload::key;

use super::{Setup, Single, Sink};
use crate::Failure;

pub(super) struct Rocks(DB);

fn open(directory: &Path) -> Result<Rocks, Failure> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(2 << 30);
    Ok(Rocks(DB::open(&options, directory.join("db"))?))
}

impl Single for Rocks {
    fn open(directory: &Path, _: &Setup) -> Result<Self, Failure> {
        open(directory)
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let last = numbers.end - 1;
        let mut batch = WriteBatch::default();
        if last - numbers.start < 64 {
            numbers.for_each(|number| batch.put(key(number), value));
        } else {
            for number in numbers.start..last {
                self.0.put(key(number), value)?;
            }
            batch.put(key(last), value);
        }
        let appended = Instant::now();
        self.0.write_opt(batch, &synced)?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let log = open(directory)?;
        for entry in log.0.iterator(IteratorMode::Start) {
            let (key, value) = entry?;
            sink.take(&key, &value)?;
        }
        Ok((log, sink))
    }
}
