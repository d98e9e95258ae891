//! walrus-rust: one topic. Whether appends are durable is a property of the whole process, and so is its directory.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use wal_bench::workload::{KEY_BYTES, key};
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use super::{Setup, Single, Sink};
use crate::Failure;

const TOPIC: &str = "entries";

pub(super) struct WalrusLog {
    walrus: Walrus,
}

/// The parent has `WALRUS_DATA_DIR` name the directory of all cores.
fn open(directory: &Path, setup: &Setup) -> Result<WalrusLog, Failure> {
    let name = directory.file_name().and_then(|name| name.to_str()).ok_or("a directory without a name")?;
    let schedule = if setup.durable { FsyncSchedule::SyncEach } else { FsyncSchedule::NoFsync };
    let consistency = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
    Ok(WalrusLog { walrus: Walrus::with_consistency_and_schedule_for_key(name, consistency, schedule)? })
}

impl Single for WalrusLog {
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure> {
        open(directory, setup)
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let count = numbers.end - numbers.start;
        let record = |number| [&key(number)[..], value].concat();
        if (2..=64).contains(&count) {
            let records: Vec<Vec<u8>> = numbers.map(record).collect();
            let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            self.walrus.batch_append_for_topic(TOPIC, &batch)?;
            return Ok(Instant::now());
        }
        let mut record = record(0);
        for number in numbers {
            record[..KEY_BYTES].copy_from_slice(&key(number));
            self.walrus.append_for_topic(TOPIC, &record)?;
        }
        Ok(Instant::now())
    }

    fn restart(directory: &Path, setup: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let log = open(directory, setup)?;
        loop {
            let entries = log.walrus.batch_read_for_topic(TOPIC, 1 << 20, true)?;
            if entries.is_empty() {
                return Ok((log, sink));
            }
            entries.iter().try_for_each(|entry| sink.take_record(&entry.data))?;
        }
    }
}
