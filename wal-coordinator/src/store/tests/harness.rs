//! A store in a temporary directory, a storage that records every operation and fails the one it is told to, and
//! checkpoints made as the coordinator makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;
use wal_format::{
    CoreId, Epoch, FileName, LogId, Manifest, PerCoreWalEntry, RunMeta, Sequence, WalOperation,
};
use wal_reader::{CheckpointReader, Directory, Inventory, ReadError, Source, SourceFile};
use wal_writer::storage::{DirectoryStorage, Storage, StorageFile};

use crate::store::{
    Changes, CheckpointCut, CheckpointStore, RunStore, StoreError, StoredState, publish_manifest,
};

pub(super) const LOG_ID: LogId = LogId([0x5a; 16]);

pub(super) type State = BTreeMap<Vec<u8>, Vec<u8>>;
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Records operations; from the `fail_at`-th on, fails one or all.
#[derive(Default)]
pub(super) struct Script {
    pub(super) operations: Vec<(&'static str, String)>,
    pub(super) fail_at: Option<usize>,
    pub(super) for_good: bool,
    pub(super) failed: bool,
    /// Runs that are read now, and the most there ever were.
    pub(super) open: (usize, usize),
}

#[derive(Clone)]
pub(super) struct Probe(pub(super) Arc<Mutex<Script>>);

impl Probe {
    fn step(&self, operation: &'static str, name: &str) -> io::Result<()> {
        let mut script = self.0.lock();
        let index = script.operations.len();
        script.operations.push((operation, name.to_owned()));
        let fails = script.fail_at.is_some_and(|at| index == at || (script.for_good && index > at));
        script.failed |= fails;
        if fails { Err(io::Error::other(format!("injected: {operation} {name}"))) } else { Ok(()) }
    }
}

struct ProbeStorage(DirectoryStorage, Probe);
struct ProbeFile(Arc<dyn StorageFile>, Probe, String);
struct ProbeSource(Directory, Probe);
struct ProbeSourceFile(Box<dyn SourceFile>, Probe, String);

impl Storage for ProbeStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.1.step("create", name)?;
        Ok(Arc::new(ProbeFile(self.0.create(name)?, self.1.clone(), name.to_owned())))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.1.step("rename", from)?;
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.1.step("remove", name)?;
        self.0.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.1.step("sync_directory", "")?;
        self.0.sync_directory()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.0.lock(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

impl StorageFile for ProbeFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if let Err(error) = self.1.step("write", &self.2) {
            // Half of it arrives: the worst that a failed write can do.
            self.0.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.0.write_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.step("sync", &self.2)?;
        self.0.sync_data()
    }
}

impl Source for ProbeSource {
    fn names(&self) -> io::Result<Vec<String>> {
        self.1.step("names", "")?;
        self.0.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.1.step("open", name)?;
        let file = ProbeSourceFile(self.0.open(name)?, self.1.clone(), name.to_owned());
        let open = &mut self.1.0.lock().open;
        *open = (open.0 + 1, open.1.max(open.0 + 1));
        Ok(Box::new(file))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }
}

impl Drop for ProbeSourceFile {
    fn drop(&mut self) {
        self.1.0.lock().open.0 -= 1;
    }
}

impl SourceFile for ProbeSourceFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.step("read", &self.2)?;
        self.0.read_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        self.0.drop_cache(from, to)
    }
}

/// A log directory without a log: checkpoints only.
pub(super) struct Site {
    pub(super) directory: TempDir,
    pub(super) probe: Probe,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) store: RunStore,
    pub(super) manifest: Option<Manifest>,
    pub(super) oracle: State,
}

impl Site {
    pub(super) fn new(budget_bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let probe = Probe(Arc::default());
        let real = DirectoryStorage::new(directory.path());
        let storage: Arc<dyn Storage> = Arc::new(ProbeStorage(real, probe.clone()));
        let source = Arc::new(ProbeSource(Directory::new(directory.path()), probe.clone()));
        let store = RunStore::new(Arc::clone(&storage), source).with_budget_bytes(budget_bytes);
        Self { directory, probe, storage, store, manifest: None, oracle: State::new() }
    }

    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<StoredState, StoreError> {
        let epoch = Epoch(self.manifest.as_ref().map_or(1, |manifest| manifest.epoch.0 + 1));
        let cut = CheckpointCut { epoch, previous: self.manifest.clone(), log_id: LOG_ID, created_ns: 77 };
        let entries = entries(epoch, changes);
        let mut changes = Changes::of_entries(&entries);
        let known: BTreeSet<u64> = self.run_files().into_iter().collect();
        let state = self.store.apply(&cut, &mut changes)?;
        assert!(changes.is_drained(), "the store left changes behind");
        let named: BTreeSet<u64> = state.runs.iter().map(|run| run.run).collect();
        if !self.probe.0.lock().failed {
            let new = self.run_files().into_iter().filter(|run| !known.contains(run) && !named.contains(run));
            let new: Vec<_> = new.collect();
            assert!(new.is_empty(), "{new:?} were made on the way and are still there");
        }
        Ok(state)
    }

    pub(super) fn manifest_of(&self, state: &StoredState) -> Manifest {
        let epoch = Epoch(self.manifest.as_ref().map_or(1, |manifest| manifest.epoch.0 + 1));
        Manifest {
            log_id: LOG_ID,
            external: state.external,
            epoch,
            created_ns: 77,
            cores: Vec::new(),
            offsets: Vec::new(),
            watermarks: Vec::new(),
            runs: state.runs.clone(),
            next_run: state.next_run,
        }
    }

    /// A whole checkpoint. The oracle follows if it succeeds.
    pub(super) fn checkpoint(&mut self, changes: &[Change]) -> Result<StoredState, StoreError> {
        let state = self.apply(changes)?;
        let manifest = self.manifest_of(&state);
        publish_manifest(&*self.storage, &manifest)?;
        self.manifest = Some(manifest.clone());
        apply_to(&mut self.oracle, changes);
        self.store.published(&manifest)?;
        Ok(state)
    }

    /// What a process that starts now finds.
    pub(super) fn found(&self) -> (Option<Manifest>, State) {
        let source = Directory::new(self.directory.path());
        let manifest = wal_reader::read_manifest(&source, LOG_ID).unwrap();
        let state = manifest.as_ref().map_or(State::new(), |manifest| read(&source, manifest).unwrap());
        (manifest, state)
    }

    #[track_caller]
    pub(super) fn check(&self, context: &str) {
        let (manifest, state) = self.found();
        assert_eq!(manifest, self.manifest, "{context}: manifest");
        assert!(state == self.oracle, "{context}: {} keys, expected {}", state.len(), self.oracle.len());
    }

    /// Numbers of all run files there are.
    pub(super) fn run_files(&self) -> Vec<u64> {
        Inventory::list(&Directory::new(self.directory.path())).unwrap().runs
    }

    pub(super) fn run_bytes(&self, meta: &RunMeta) -> Vec<u8> {
        std::fs::read(self.directory.path().join(FileName::Run(meta.run).to_string())).unwrap()
    }
}

fn read(source: &dyn Source, manifest: &Manifest) -> Result<State, ReadError> {
    let mut reader = CheckpointReader::open(source, manifest)?;
    let mut state = State::new();
    while reader.advance()? {
        let value = reader.value().expect("a state holds no deleted keys").to_vec();
        assert!(state.insert(reader.key().to_vec(), value).is_none(), "a key came twice");
    }
    Ok(state)
}

pub(super) fn apply_to(state: &mut State, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(state.insert(key.clone(), value.clone())),
            None => drop(state.remove(key)),
        }
    }
}

fn entries(epoch: Epoch, changes: &[Change]) -> Vec<PerCoreWalEntry> {
    let operation = |(key, value): &Change| match value.clone() {
        Some(value) => WalOperation::Put { key: key.clone(), value },
        None => WalOperation::Delete { key: key.clone() },
    };
    let noise = [WalOperation::EpochBarrier, WalOperation::Checkpoint { id: 5 }];
    let operations = changes.iter().map(operation).chain(noise);
    operations
        .zip(0..)
        .map(|(operation, number)| PerCoreWalEntry {
            epoch,
            sequence: Sequence(number),
            core_id: CoreId(0),
            timestamp_ns: number,
            operation,
        })
        .collect()
}

/// splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn index(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap()
    }

    /// Puts, overwrites and deletes among `keys` keys.
    pub(super) fn changes(&mut self, count: u64, keys: u64, value_bytes_max: u64) -> Vec<Change> {
        (0..count)
            .map(|_| {
                let key = format!("user:{}", self.below(keys)).into_bytes();
                let value = vec![self.next().to_le_bytes()[0]; self.index(value_bytes_max + 1)];
                (key, (self.below(4) > 0).then_some(value))
            })
            .collect()
    }
}
