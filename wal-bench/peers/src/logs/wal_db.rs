//! wal-db: one file; every append is a write of its own, and there are no batches.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use ::wal_db::Wal;
use wal_bench::workload::{KEY_BYTES, key};

use super::{Setup, Single, Sink};
use crate::Failure;

pub(super) struct WalDb(Wal);

impl Single for WalDb {
    fn open(directory: &Path, _: &Setup) -> Result<Self, Failure> {
        Ok(Self(Wal::open(directory.join("log"))?))
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let mut record = vec![0; KEY_BYTES + value.len()];
        record[KEY_BYTES..].copy_from_slice(value);
        for number in numbers {
            record[..KEY_BYTES].copy_from_slice(&key(number));
            let _ = self.0.append(&record)?;
        }
        let appended = Instant::now();
        self.0.sync()?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let wal = Wal::open(directory.join("log"))?;
        for record in wal.iter()? {
            sink.take_record(record?.data())?;
        }
        Ok((Self(wal), sink))
    }
}
