//! fjall: a keyspace of an LSM store; its journal is the log. The memtable is large, so that nothing but the journal is
//! written, and a restart reads the journal.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use wal_bench::workload::key;

use super::{Setup, Single, Sink};
use crate::Failure;

pub(super) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

fn open(directory: &Path) -> Result<Fjall, Failure> {
    let database = Database::builder(directory.join("db")).max_journaling_size(8 << 30).open()?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(2 << 30);
    let keyspace = database.keyspace("entries", options)?;
    Ok(Fjall { database, keyspace })
}

impl Single for Fjall {
    fn open(directory: &Path, _: &Setup) -> Result<Self, Failure> {
        open(directory)
    }

    fn append(&mut self, numbers: Range<u64>, value: &[u8]) -> Result<Instant, Failure> {
        let count = numbers.end - numbers.start;
        if (2..=64).contains(&count) {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            numbers.for_each(|number| batch.insert(&self.keyspace, key(number), value));
            let appended = Instant::now();
            batch.commit()?;
            return Ok(appended);
        }
        for number in numbers {
            self.keyspace.insert(key(number), value)?;
        }
        let appended = Instant::now();
        self.database.persist(PersistMode::SyncData)?;
        Ok(appended)
    }

    fn restart(directory: &Path, _: &Setup, mut sink: Sink) -> Result<(Self, Sink), Failure> {
        let log = open(directory)?;
        for entry in log.keyspace.iter() {
            let (key, value) = entry.into_inner()?;
            sink.take(&key, &value)?;
        }
        Ok((log, sink))
    }
}
