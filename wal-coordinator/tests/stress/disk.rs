//! The real directory, and beside it, at every moment, what a power loss would leave if nothing survived that it may
//! take: of each file what was in it when its last finished sync began, of the names those that stood when the last
//! finished sync of the directory began.
//!
//! Also fails a sync now and then, and insists that no file is synced again after that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use wal_coordinator::{DirectoryStorage, Storage, StorageFile};
use wal_reader::MemorySource;

use super::common::Random;

/// Names and what is in the files.
type Image = BTreeMap<String, Arc<Vec<u8>>>;

/// The directory, shared by all lives of a log. Clones share.
#[derive(Clone)]
pub(crate) struct Disk {
    inner: Arc<DirectoryStorage>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Everything that happens to a file or name gets a number.
    moment: u64,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: (u64, BTreeMap<String, u64>),
    random: Random,
    /// Syncs of segments between two that fail; none does if there is no number.
    fails_once_in: Option<u64>,
    /// Per core, the syncs since the last that failed: the log survives one failure, not two in a row.
    calm: BTreeMap<String, u64>,
    failures: u64,
}

/// What was written to a file, and what of it is durable.
struct Content {
    bytes: Vec<u8>,
    durable: (u64, Arc<Vec<u8>>),
    has_failed: bool,
}

impl Disk {
    pub(crate) fn new(path: &Path, seed: u64) -> Self {
        let state = State {
            moment: 0,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: (0, BTreeMap::new()),
            random: Random::new(seed),
            fails_once_in: None,
            calm: BTreeMap::new(),
            failures: 0,
        };
        Self { inner: Arc::new(DirectoryStorage::new(path)), state: Arc::new(Mutex::new(state)) }
    }

    /// From now on about one sync of a segment in so many fails.
    pub(crate) fn fail_once_in(&self, times: Option<u64>) {
        self.state.lock().fails_once_in = times;
    }

    /// Syncs that failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.state.lock().failures
    }

    /// What a power loss at this moment leaves at least.
    pub(crate) fn after_power_loss(&self) -> MemorySource {
        let state = self.state.lock();
        let image = state.durable_names.1.iter();
        let image: Image =
            image.map(|(name, id)| (name.clone(), Arc::clone(&state.files[id].durable.1))).collect();
        drop(state);
        source(image)
    }

    /// What a kill at this moment leaves: everything that was written.
    pub(crate) fn after_kill(&self) -> MemorySource {
        let state = self.state.lock();
        let image = state.names.iter();
        let image: Image =
            image.map(|(name, id)| (name.clone(), Arc::new(state.files[id].bytes.clone()))).collect();
        drop(state);
        source(image)
    }

    fn file(&self, name: &str, id: u64, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        // Of a segment, `wal-` and its core.
        let core = name.starts_with("wal-").then(|| name.chars().take(9).collect());
        Arc::new(DiskFile { disk: self.clone(), id, core, inner })
    }
}

fn source(image: Image) -> MemorySource {
    let mut source = MemorySource::new();
    image.into_iter().for_each(|(name, bytes)| source.insert(name, bytes.to_vec()));
    source
}

impl State {
    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn is_to_fail(&mut self, core: &str) -> bool {
        let calm = self.calm.entry(core.to_owned()).or_default();
        *calm += 1;
        let fails = self.fails_once_in.is_some_and(|times| *calm > 8 && self.random.once_in(times));
        if fails {
            *calm = 0;
            self.failures += 1;
        }
        fails
    }
}

impl Storage for Disk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state.lock();
        let inner = self.inner.create(name)?;
        let id = state.next_moment();
        let empty = Content { bytes: Vec::new(), durable: (0, Arc::default()), has_failed: false };
        state.files.insert(id, empty);
        state.names.insert(name.to_owned(), id);
        drop(state);
        Ok(self.file(name, id, inner))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let state = self.state.lock();
        let inner = self.inner.open(name)?;
        let id = state.names[name];
        drop(state);
        Ok(self.file(name, id, inner))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        self.inner.rename(from, to)?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        // It begins anew under its next name.
        state.files.entry(id).and_modify(|content| content.has_failed = false);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        self.inner.remove(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let (moment, names) = {
            let mut state = self.state.lock();
            (state.next_moment(), state.names.clone())
        };
        self.inner.sync_directory()?;
        let mut state = self.state.lock();
        if state.durable_names.0 < moment {
            state.durable_names = (moment, names);
            let named: BTreeSet<u64> =
                state.names.values().chain(state.durable_names.1.values()).copied().collect();
            state.files.retain(|id, _| named.contains(id));
        }
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.inner.lock(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

struct DiskFile {
    disk: Disk,
    id: u64,
    /// If it is a segment, whose.
    core: Option<String>,
    inner: Arc<dyn StorageFile>,
}

impl StorageFile for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.inner.write_at(bytes, offset)?;
        let mut state = self.disk.state.lock();
        if let Some(content) = state.files.get_mut(&self.id) {
            let (from, to) = (index(offset), index(offset) + written);
            content.bytes.resize(content.bytes.len().max(to), 0);
            content.bytes[from..to].copy_from_slice(&bytes[..written]);
        }
        Ok(written)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)?;
        let mut state = self.disk.state.lock();
        if let Some(content) = state.files.get_mut(&self.id) {
            content.bytes.resize(content.bytes.len().max(index(length)), 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (moment, bytes) = {
            let mut state = self.disk.state.lock();
            // Not of one that is being made: that is an error that the caller gets to see, and nothing is lost.
            let is_in_use =
                state.files.get(&self.id).is_some_and(|content| content.bytes.iter().any(|byte| *byte != 0));
            let fails = self.core.as_ref().is_some_and(|core| is_in_use && state.is_to_fail(core));
            let moment = state.next_moment();
            let Some(content) = state.files.get_mut(&self.id) else { return self.inner.sync_data() };
            assert!(!content.has_failed, "a file is synced again after a sync of it failed");
            if fails {
                content.has_failed = true;
                return Err(io::Error::other("this sync fails, as the test wants it"));
            }
            (moment, Arc::new(content.bytes.clone()))
        };
        self.inner.sync_data()?;
        let mut state = self.disk.state.lock();
        if let Some(content) = state.files.get_mut(&self.id).filter(|content| content.durable.0 < moment) {
            content.durable = (moment, bytes);
        }
        Ok(())
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}
