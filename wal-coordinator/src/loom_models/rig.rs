//! An open log of all cores without flushers, as it is in production, on the model storage.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_format::{CoreId, Epoch, SegmentNumber, Sequence};
use wal_reader::{MemorySource, PerCoreWalReader, Source, SourceFile};
pub(super) use wal_writer::loom_rig::check;
use wal_writer::loom_rig::{self, LOG_ID, clock};
use wal_writer::storage::model::{ModelReader, ModelStorage};
use wal_writer::{CoreLog, CoreWalWriter, Flusher, GlobalEpoch, Storage};

use crate::decision::Decision;
use crate::retention::Retention;
use crate::shared::{Shared, SharedParts};

/// A log whose next entry of each core is number 0, of epoch 1.
pub(super) struct Rig {
    pub(super) storage: ModelStorage,
    pub(super) shared: Arc<Shared>,
    pub(super) writers: Vec<CoreWalWriter>,
}

/// One core's writer and log, on `storage`.
pub(super) fn core(
    storage: &ModelStorage,
    retention: wal_writer::Retention,
    flusher: Option<Arc<dyn Flusher>>,
) -> (CoreWalWriter, Arc<CoreLog>) {
    let supply = loom_rig::supply(Arc::new(storage.clone()));
    let parts = loom_rig::parts(CoreId(0), retention, supply, flusher);
    CoreWalWriter::new(parts, Arc::new(GlobalEpoch::new(Epoch(1))), clock(), 0)
}

/// A log of so many cores.
pub(super) fn rig(cores: u16) -> Rig {
    let storage = ModelStorage::default();
    let seam: Arc<dyn Storage> = Arc::new(storage.clone());
    let supply = loom_rig::supply(Arc::clone(&seam));
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let until_durable = wal_writer::Retention::UntilDurable;
    let (writers, logs): (Vec<_>, Vec<_>) = (0..cores)
        .map(|core| {
            let parts = loom_rig::parts(CoreId(core), until_durable, Arc::clone(&supply), None);
            CoreWalWriter::new(parts, Arc::clone(&global), clock(), 0)
        })
        .unzip();
    let shared = Shared::new(SharedParts {
        log_id: LOG_ID,
        storage: seam,
        source: Arc::new(Live(storage.clone())),
        supply,
        opened_at: vec![SegmentNumber(0); logs.len()],
        decision: Decision::nothing(),
        active: logs.len(),
        logs,
        global,
        durable_epoch: Epoch(0),
        retention: Arc::new(Retention::new(None)),
        flushers: None,
        checkpoint_budget_bytes: 4096,
        threads_max: 1,
        clock: clock(),
    });
    Rig { storage, shared: Arc::new(shared), writers }
}

/// Appends the next entry; its key is its number.
#[track_caller]
pub(super) fn put(writer: &mut CoreWalWriter) -> Sequence {
    let key = [u8::try_from(writer.sequence().0).unwrap()];
    writer.append_put(&key, b"").unwrap()
}

/// Every entry of `core` below `sequence` would survive if the power failed now.
#[track_caller]
pub(super) fn assert_durable(storage: &ModelStorage, core: CoreId, sequence: Sequence) {
    let mut source = MemorySource::new();
    storage.durable().into_iter().for_each(|(name, bytes)| source.insert(name, bytes));
    let mut reader = PerCoreWalReader::open(Arc::new(source), LOG_ID, core, None).unwrap();
    let mut entries = 0;
    while let Some(entry) = reader.next().unwrap() {
        assert_eq!(entry.sequence.0, entries);
        entries += 1;
    }
    assert!(entries >= sequence.0, "{entries} entries of core {core} are durable, not {sequence}");
}

/// The files as a process sees them, changing while it reads.
struct Live(ModelStorage);

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.names())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let file = self.0.read(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(LiveFile(file)))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("model").join(name)
    }
}

struct LiveFile(ModelReader);

impl SourceFile for LiveFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.bytes();
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
        let count = buf.len().min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}
