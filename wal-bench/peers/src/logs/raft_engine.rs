//! raft-engine: key and value of one region, a batch of one entry each unless many are to be durable at once.
//!
//! Its `sync()` writes an empty batch, which returns before it reaches the file; `write(batch, true)` is what syncs.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use ::raft_engine::{Config, Engine, LogBatch, ReadableSize};
use wal_bench::workload::key;

use super::{Setup, Single, Sink};
use crate::Failure;

const REGION: u64 = 1;

pub(super) struct Raft {
    engine: Engine,
}

fn open(directory: &Path) -> Result<Raft, Failure> {
    let directory = directory.to_str().ok_or("a path that is not UTF-8")?.to_owned();
    // Nothing is purged, and a batch is written as it is.
    let config = Config {
        dir: directory,
        purge_threshold: ReadableSize::gb(100),
        batch_compression_threshold: ReadableSize::kb(0),
        ..Config::default()
    };
    Ok(Raft { engine: Engine::open(config)? })
}

impl Single for Raft {
    fn open(directory: &Path, _: &Setup) -> Result<Self, Failure> {
        open(directory)
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let mut batch = LogBatch::default();
        let last = numbers.end - 1;
        let in_one = last - numbers.start < 64;
        for number in numbers {
            batch.put(REGION, key(number).to_vec(), value.to_vec())?;
            if !in_one && number < last {
                self.engine.write(&mut batch, false)?;
            }
        }
        let appended = Instant::now();
        self.engine.write(&mut batch, true)?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let raft = open(directory)?;
        let mut result = Ok(());
        raft.engine.scan_raw_messages(REGION, None, None, false, |key, value| {
            result = sink.take(key, value);
            result.is_ok()
        })?;
        result.map(|()| (raft, sink))
    }
}
