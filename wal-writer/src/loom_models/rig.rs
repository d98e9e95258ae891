//! One core's log as it is in production, on the model storage, and what must hold of its files at any moment.
//!
//! What needs no second thread (the first segment, the first entries) is done before there is one.

use std::sync::Arc;

use loom::sync::Notify;
use wal_format::{Barrier, CoreId, Epoch, PerCoreWalEntry, Sequence, WalOperation};
use wal_reader::{MemorySource, PerCoreWalReader};

pub(super) use crate::loom_rig::check;
use crate::loom_rig::{self, LOG_ID};
use crate::storage::model::{ModelImage, ModelStorage};
use crate::{
    CoreLog, CoreWalWriter, EpochEnd, Flusher, GlobalEpoch, Retention, SealedAt, SegmentSupply, WriterError,
};

pub(super) const CORE: CoreId = CoreId(0);
/// A value that goes beside the ring; two of them do not fit one segment.
const LARGE_BYTES: usize = 4000;

/// A log whose first entry will be number 0 of epoch 1.
pub(super) struct Rig {
    pub(super) storage: ModelStorage,
    pub(super) supply: Arc<SegmentSupply>,
    pub(super) global: Arc<GlobalEpoch>,
    pub(super) log: Arc<CoreLog>,
    pub(super) writer: CoreWalWriter,
}

pub(super) fn rig(retention: Retention) -> Rig {
    rig_with(retention, None)
}

pub(super) fn rig_with(retention: Retention, flusher: Option<Arc<dyn Flusher>>) -> Rig {
    let storage = ModelStorage::default();
    let supply = loom_rig::supply(Arc::new(storage.clone()));
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let parts = loom_rig::parts(CORE, retention, Arc::clone(&supply), flusher);
    let (writer, log) = CoreWalWriter::new(parts, Arc::clone(&global), loom_rig::clock(), 0);
    Rig { storage, supply, global, log, writer }
}

impl Rig {
    /// Closes the epoch and ends it on this log, as a coordinator does: where it was cut, and sealed if asked to.
    pub(super) fn coordinator(&self) -> Coordinator {
        Coordinator { global: Arc::clone(&self.global), log: Arc::clone(&self.log) }
    }

    pub(super) fn files(&self) -> Files {
        Files(self.storage.clone())
    }
}

/// Appends the next entry; its key is its number.
pub(super) fn put(writer: &mut CoreWalWriter) -> Result<Sequence, WriterError> {
    writer.append_put(&key(writer.sequence()), b"")
}

/// Appends an entry that does not fit the ring.
pub(super) fn put_large(writer: &mut CoreWalWriter) -> Result<Sequence, WriterError> {
    writer.append_put(&key(writer.sequence()), &[0; LARGE_BYTES])
}

pub(super) fn key(sequence: Sequence) -> [u8; 1] {
    [u8::try_from(sequence.0).unwrap()]
}

/// Who closes epochs, one at a time.
pub(super) struct Coordinator {
    global: Arc<GlobalEpoch>,
    log: Arc<CoreLog>,
}

impl Coordinator {
    /// Closes the epoch, and returns what to end it with, and its cut.
    pub(super) fn close(&self, seal: bool) -> (EpochEnd, Sequence) {
        if seal {
            self.log.request_seal(self.global.current().next());
        }
        let (epoch, cuts) = self.global.close(&[Arc::clone(self.log.pin())]);
        let barrier = Barrier { durable_epoch: Epoch(0), cuts: vec![(CORE, cuts[0])] };
        (EpochEnd { epoch, barrier: Some(barrier), seal }, cuts[0])
    }

    /// Closes the epoch and ends it on this log.
    pub(super) fn end_epoch(&self, seal: bool) -> (Sequence, Result<Option<SealedAt>, WriterError>) {
        let (end, cut) = self.close(seal);
        (cut, self.log.end_epoch(&end))
    }
}

/// The files of a log, read as after a power loss, or a kill, at this moment, by the production reader.
#[derive(Clone)]
pub(super) struct Files(ModelStorage);

impl Files {
    /// Every entry below `sequence` survives a power loss: what whoever acknowledges it promises.
    #[track_caller]
    pub(super) fn assert_durable(&self, sequence: Sequence) {
        let entries = read(self.0.durable());
        assert!(entries.len() as u64 >= sequence.0, "{} entries are durable, not {sequence}", entries.len());
    }

    /// Every entry below `sequence` survives the process.
    #[track_caller]
    pub(super) fn assert_written(&self, sequence: Sequence) {
        let entries = read(self.0.current());
        assert!(entries.len() as u64 >= sequence.0, "{} entries are written, not {sequence}", entries.len());
    }

    /// How many entries a process would find that starts now.
    pub(super) fn written(&self) -> usize {
        read(self.0.current()).len()
    }

    /// Entry i is of epoch 1 if and only if i < `cut`.
    #[track_caller]
    pub(super) fn assert_cut(&self, cut: Sequence) {
        for entry in read(self.0.current()) {
            assert_eq!(entry.sequence < cut, entry.epoch == Epoch(1), "{entry:?} and the cut {cut}");
        }
    }
}

/// Reads the log from its start: numbered without a gap, each entry what was appended, and no sign of damage.
#[track_caller]
fn read(image: ModelImage) -> Vec<PerCoreWalEntry> {
    let mut source = MemorySource::new();
    image.into_iter().for_each(|(name, bytes)| source.insert(name, bytes));
    let mut entries = Vec::new();
    if source.iter().next().is_none() {
        return entries;
    }
    let mut reader = PerCoreWalReader::open(Arc::new(source), LOG_ID, CORE, None).unwrap();
    while let Some(entry) = reader.next().unwrap() {
        let entry = entry.to_owned();
        assert_eq!(entry.sequence.0, entries.len() as u64);
        let expected = key(entry.sequence);
        assert!(matches!(&entry.operation, WalOperation::Put { key, .. } if **key == expected), "{entry:?}");
        entries.push(entry);
    }
    entries
}

/// What wakes the flusher of a model.
#[derive(Default)]
pub(super) struct Bell(Notify);

impl Flusher for Bell {
    fn wake(&self, _core: CoreId) {
        self.0.notify();
    }
}

impl Bell {
    /// Flushes as often as it is woken, until `through` is durable or never will be.
    pub(super) fn flush(&self, log: &CoreLog, through: Sequence) {
        while log.durable() < through && log.check().is_ok() {
            self.0.wait();
            if log.is_wanted() {
                let _ = log.sync();
            }
        }
    }
}
