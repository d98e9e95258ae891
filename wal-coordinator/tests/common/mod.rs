//! What the tests of this crate share: small logs, crash copies, a storage that counts, fails and fills up, replay
//! into plain values, random numbers by seed.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod within;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use wal_coordinator::{
    CoreId, DirectoryStorage, EntryRef, OperationRef, PerCoreWalConfig, PerCoreWalEntry, Replay, Scope,
    Storage, StorageFile,
};
use wal_format::{FileName, Found, FrameHeader, LogId, Meta, SegmentNumber, SegmentSeed};
use wal_reader::{Directory, Inventory, Source, SourceFile};
use wal_recovery::{BoxError, PerCoreRecoveryManager, Recovered, RecoveryError};
#[allow(unused_imports, reason = "every test binary uses its own part")]
pub(crate) use within::within_a_minute;

/// Small segments and rings, so that everything happens often; no threads.
pub(crate) fn config(path: &Path, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, cores).inline();
    config.log.segment_bytes = 64 * 1024;
    config.log.ring_bytes = 64 * 1024;
    config
}

/// The same with background threads. Nothing is written out for its age, so that only what is asked for happens.
pub(crate) fn background(path: &Path, cores: usize) -> PerCoreWalConfig {
    let mut config = config(path, cores);
    config.flush = wal_coordinator::FlushMode::Background { threads: 0 };
    config.memory_time_max = Duration::from_secs(3600);
    config
}

/// An empty place for a log. The log's own directory does not exist yet.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    (directory, path)
}

/// What a killed process would leave: all files as the page cache has them, in a new place.
pub(crate) fn crash_copy(path: &Path) -> (TempDir, PathBuf) {
    let (directory, copy) = place();
    std::fs::create_dir(&copy).unwrap();
    for name in Directory::new(path).names().unwrap() {
        match std::fs::copy(path.join(&name), copy.join(&name)) {
            // A background thread may rename or remove a file meanwhile; it is empty of anything acknowledged.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => drop(result.unwrap()),
        }
    }
    (directory, copy)
}

/// Everything that recovery hands over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Keys of the checkpoint, then overlaid with the log.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Keys of the checkpoint alone.
    pub(crate) checkpointed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Entries of the log, in the order in which they came.
    pub(crate) entries: Vec<PerCoreWalEntry>,
}

impl Replay for Seen {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.state.insert(key.to_vec(), value.to_vec());
        self.checkpointed.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        apply(&mut self.state, &entry.operation);
        self.entries.push(entry.to_owned());
        Ok(())
    }
}

/// The effect of one operation.
pub(crate) fn apply(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, operation: &OperationRef<'_>) {
    match operation {
        OperationRef::Put { key, value } => drop(state.insert(key.to_vec(), value.to_vec())),
        OperationRef::Delete { key } => drop(state.remove(*key)),
        _ => {}
    }
}

/// Recovers from empty memory.
pub(crate) fn try_recover(path: &Path, scope: Scope) -> Result<(Seen, Recovered), RecoveryError> {
    let mut seen = Seen::default();
    let recovered = PerCoreRecoveryManager::new(path).scope(scope).recover(&mut seen)?;
    Ok((seen, recovered))
}

/// Recovers everything from empty memory.
#[track_caller]
pub(crate) fn recover(path: &Path) -> (Seen, Recovered) {
    try_recover(path, Scope::Everything).unwrap_or_else(|error| panic!("{error}"))
}

/// The values of all keys, as text.
pub(crate) fn text(state: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<String, String> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    state.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// The files of one core's segments, oldest first.
pub(crate) fn segment_files(path: &Path, core: u16) -> Vec<(SegmentNumber, PathBuf)> {
    let inventory = Inventory::list(&Directory::new(path)).unwrap();
    let numbers = inventory.segments_of(CoreId(core)).iter();
    numbers.map(|number| (*number, path.join(FileName::Segment(CoreId(core), *number).to_string()))).collect()
}

/// The id of the log in this directory.
pub(crate) fn log_id(path: &Path) -> LogId {
    Meta::decode(&std::fs::read(path.join("wal.meta")).unwrap()).unwrap().log_id
}

/// The whole frames at the front of a segment file, with their offsets.
pub(crate) fn frames(path: &Path, core: u16, segment: SegmentNumber) -> Vec<(u64, FrameHeader)> {
    let seed = SegmentSeed::new(log_id(path), CoreId(core), segment);
    let bytes = std::fs::read(path.join(FileName::Segment(CoreId(core), segment).to_string())).unwrap();
    let mut found = Vec::new();
    let mut at = 4096;
    while let Some(rest) = bytes.get(at..)
        && let Ok(Found::Header(header)) = Found::at(&seed, at as u64, rest)
    {
        found.push((at as u64, header));
        at += header.frame_bytes();
    }
    found
}

/// Changes bytes of a file in place.
pub(crate) fn overwrite(file: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    std::fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Flips one bit of a file.
pub(crate) fn flip(file: &Path, byte: u64, bit: u8) {
    let bytes = std::fs::read(file).unwrap();
    overwrite(file, byte, &[bytes[usize::try_from(byte).unwrap()] ^ (1 << bit)]);
}

/// Names and contents of all files: to show that nothing was touched.
pub(crate) fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = Directory::new(path).names().unwrap();
    names.into_iter().map(|name| (name.clone(), std::fs::read(path.join(name)).unwrap())).collect()
}

/// Asserts that a message names all that it should, and that its sources repeat nothing of it.
#[track_caller]
pub(crate) fn says(error: &dyn std::error::Error, words: &[&str]) {
    let message = error.to_string();
    for source in std::iter::successors(error.source(), |source| source.source()) {
        assert!(
            !message.contains(&source.to_string()),
            "{message:?} says it all, and its source says {source}"
        );
    }
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
}

/// Random numbers by seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Below `bound`, as an index.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    /// True once in `times`, on average.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A call through the storage seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Open,
    Rename,
    Remove,
    SyncDirectory,
    Write,
    Allocate,
    Sync,
}

/// One call, after it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) offset: u64,
    /// Of a write.
    pub(crate) bytes: u64,
    pub(crate) is_zeros: bool,
    pub(crate) is_ok: bool,
}

/// Which calls fail.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Part of the file's name.
    pub(crate) name: String,
    /// How many matching calls succeed first.
    pub(crate) after: usize,
    /// How many fail then.
    pub(crate) times: usize,
    pub(crate) error: Refused,
}

/// What a call that fails says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    Kind(io::ErrorKind),
    /// A number of the operating system.
    Os(i32),
}

impl From<io::ErrorKind> for Refused {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Kind(kind) => kind.into(),
            Refused::Os(number) => Self::from_raw_os_error(number),
        }
    }
}

type Hook = Arc<dyn Fn(Kind, &str) + Send + Sync>;

/// The real file system, watched: counts all calls, and lets tests make them fail, fill up or wait. Clones share.
#[derive(Clone)]
pub(crate) struct Watched {
    inner: Arc<DirectoryStorage>,
    path: PathBuf,
    state: Arc<Mutex<State>>,
    /// Held while a file grows, from the look at the quota on: of two that grow at once, the second sees the first.
    growth: Arc<Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// Calls that have begun; those that have ended are in `calls`, until they are forgotten.
    begun: usize,
    ended: usize,
    calls: Vec<Call>,
    faults: Vec<Fault>,
    quota_bytes: Option<u64>,
    is_read_only: bool,
    hook: Option<Hook>,
    reads: Vec<String>,
    /// What the files that somebody has open are called now.
    names: Vec<Arc<Mutex<String>>>,
}

impl Watched {
    pub(crate) fn new(path: &Path) -> Self {
        let inner = Arc::new(DirectoryStorage::new(path));
        Self { inner, path: path.to_owned(), state: Arc::default(), growth: Arc::default() }
    }

    /// The configuration, over this storage and source.
    pub(crate) fn under(&self, mut config: PerCoreWalConfig) -> PerCoreWalConfig {
        config.storage = Arc::new(self.clone());
        config.source =
            Arc::new(WatchedSource { inner: Directory::new(&self.path), state: Arc::clone(&self.state) });
        config
    }

    pub(crate) fn fail(&self, kind: Kind, name: &str, after: usize, times: usize, error: impl Into<Refused>) {
        let error = error.into();
        self.state.lock().faults.push(Fault { kind, name: name.to_owned(), after, times, error });
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.quota_bytes = None;
        state.is_read_only = false;
    }

    /// No more bytes than the files have now.
    pub(crate) fn fill_up(&self) {
        let used = used_bytes(&self.path, "");
        self.state.lock().quota_bytes = Some(used);
    }

    pub(crate) fn set_quota(&self, bytes: Option<u64>) {
        self.state.lock().quota_bytes = bytes;
    }

    pub(crate) fn set_read_only(&self) {
        self.state.lock().is_read_only = true;
    }

    pub(crate) fn set_hook(&self, hook: impl Fn(Kind, &str) + Send + Sync + 'static) {
        self.state.lock().hook = Some(Arc::new(hook));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().calls.clone()
    }

    /// The result of `work`, once no call was under way while it ran.
    pub(crate) fn undisturbed<T>(&self, work: impl Fn() -> T) -> T {
        let counts = || {
            let state = self.state.lock();
            (state.begun, state.ended)
        };
        loop {
            let before = counts();
            let result = work();
            if before.0 == before.1 && counts() == before {
                return result;
            }
        }
    }

    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.calls.clear();
        state.reads.clear();
    }

    /// Successful calls of this kind on files whose name contains `name`.
    pub(crate) fn count(&self, kind: Kind, name: &str) -> usize {
        let state = self.state.lock();
        state.calls.iter().filter(|call| call.kind == kind && call.is_ok && call.name.contains(name)).count()
    }

    /// Calls of any kind, reading included, on files whose name contains `name`.
    pub(crate) fn touched(&self, name: &str) -> Vec<String> {
        let state = self.state.lock();
        let calls =
            state.calls.iter().filter(|call| call.name.contains(name)).map(|call| format!("{call:?}"));
        calls.chain(state.reads.iter().filter(|read| read.contains(name)).cloned()).collect()
    }

    fn perform<T>(
        &self,
        call: Call,
        grows_to: Option<u64>,
        effect: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let hook = {
            let mut state = self.state.lock();
            state.begun += 1;
            state.hook.clone()
        };
        if let Some(hook) = hook {
            hook(call.kind, &call.name);
        }
        let _growth = grows_to.map(|_| self.growth.lock());
        let refused = self.state.lock().refusal(&call, grows_to, &self.path);
        let result = match refused {
            Some(error) => Err(error.into()),
            None => effect(),
        };
        let is_ok = result.is_ok();
        let mut state = self.state.lock();
        state.ended += 1;
        state.calls.push(Call { is_ok, ..call });
        result
    }

    fn file(&self, name: &str, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let name = Arc::new(Mutex::new(name.to_owned()));
        self.state.lock().names.push(Arc::clone(&name));
        Arc::new(WatchedFile { storage: self.clone(), name, inner })
    }
}

impl State {
    fn refusal(&mut self, call: &Call, grows_to: Option<u64>, path: &Path) -> Option<Refused> {
        if self.is_read_only {
            return Some(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        for fault in &mut self.faults {
            if fault.kind != call.kind || !call.name.contains(&fault.name) || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.error);
        }
        let (quota, to) = (self.quota_bytes?, grows_to?);
        let has = std::fs::metadata(path.join(&call.name)).map_or(0, |metadata| metadata.len());
        let is_full = to > has && used_bytes(path, &call.name) + to > quota;
        is_full.then_some(io::ErrorKind::StorageFull.into())
    }
}

/// Bytes of all files but one.
fn used_bytes(path: &Path, except: &str) -> u64 {
    let names = Directory::new(path).names().unwrap();
    let others = names.iter().filter(|name| *name != except);
    others.map(|name| std::fs::metadata(path.join(name)).map_or(0, |metadata| metadata.len())).sum()
}

fn call(kind: Kind, name: &str) -> Call {
    Call { kind, name: name.to_owned(), offset: 0, bytes: 0, is_zeros: false, is_ok: false }
}

impl Storage for Watched {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.perform(call(Kind::Create, name), None, || self.inner.create(name))?;
        Ok(self.file(name, file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.perform(call(Kind::Open, name), None, || self.inner.open(name))?;
        Ok(self.file(name, file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.perform(call(Kind::Rename, from), None, || self.inner.rename(from, to))?;
        for name in &self.state.lock().names {
            let mut name = name.lock();
            if *name == from {
                to.clone_into(&mut name);
            }
        }
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(call(Kind::Remove, name), None, || self.inner.remove(name))
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.perform(call(Kind::SyncDirectory, "."), None, || self.inner.sync_directory())
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        if self.state.lock().is_read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.inner.lock(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

struct WatchedFile {
    storage: Watched,
    name: Arc<Mutex<String>>,
    inner: Arc<dyn StorageFile>,
}

impl WatchedFile {
    /// A copy: nothing is held while the call is made.
    fn name(&self) -> String {
        self.name.lock().clone()
    }
}

impl StorageFile for WatchedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let is_zeros = bytes.iter().all(|byte| *byte == 0);
        let to = offset + bytes.len() as u64;
        let call = Call { offset, bytes: to - offset, is_zeros, ..call(Kind::Write, &self.name()) };
        self.storage.perform(call, Some(to), || self.inner.write_at(bytes, offset))
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        let call = Call { offset: length, ..call(Kind::Allocate, &self.name()) };
        self.storage.perform(call, Some(length), || self.inner.allocate(length))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.storage.perform(call(Kind::Sync, &self.name()), None, || self.inner.sync_data())
    }
}

struct WatchedSource {
    inner: Directory,
    state: Arc<Mutex<State>>,
}

impl Source for WatchedSource {
    fn names(&self) -> io::Result<Vec<String>> {
        self.inner.names()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        self.state.lock().reads.push(format!("read {name}"));
        self.inner.open(name)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}
