//! The log of this repository, with its default settings; to be compared with logs that only go to the page cache, it keeps
//! entries in the ring until they are written, not until they are durable.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use wal_bench::workload::key;
use wal_coordinator::{
    CoreWalWriter, EntryRef, OperationRef, PerCoreWalConfig, PerCoreWalManager, Replay, Retention, WriteBatch,
};
use wal_recovery::BoxError;

use super::{Log, Setup, Sink};
use crate::Failure;

pub(super) struct Ours {
    writers: Vec<CoreWalWriter>,
    _manager: PerCoreWalManager,
}

struct Filling(Sink);

impl Replay for Filling {
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        match entry.operation {
            OperationRef::Put { key, value } => self.0.take(key, value),
            _ => Err("an operation that nobody appended".into()),
        }
    }
}

fn config(directory: &Path, setup: &Setup) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(directory.join("log"), setup.cores);
    if !setup.durable {
        config.log.retention = Retention::UntilWritten;
    }
    config
}

fn with_writers(mut manager: PerCoreWalManager) -> Result<Ours, Failure> {
    let writers = (0..manager.cores()).map(|core| manager.take_writer(core)).collect::<Result<_, _>>()?;
    Ok(Ours { writers, _manager: manager })
}

impl Log for Ours {
    fn open(directory: &Path, setup: &Setup) -> Result<Self, Failure> {
        with_writers(PerCoreWalManager::new(config(directory, setup))?)
    }

    fn append(&mut self, core: usize, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let writer = &mut self.writers[core];
        if (2..=64).contains(&(numbers.end - numbers.start)) {
            let mut batch = WriteBatch::new();
            for number in numbers {
                batch.put(&key(number), value);
            }
            writer.append_batch(&batch)?;
        } else {
            for number in numbers {
                writer.append_put(&key(number), value)?;
            }
        }
        let appended = Instant::now();
        writer.sync()?;
        Ok(appended)
    }

    fn restart(directory: &Path, setup: &Setup, sink: Sink) -> Result<(Self, Sink), Failure> {
        let mut filling = Filling(sink);
        let (manager, _) = PerCoreWalManager::recover(config(directory, setup), &mut filling)?;
        Ok((with_writers(manager)?, filling.0))
    }
}
