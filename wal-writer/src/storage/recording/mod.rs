//! A storage in memory that remembers every operation, fails on demand, and rebuilds what a power loss could leave.
//!
//! For tests, of this crate and of those above it. Promises: the same calls and the same settings give the same
//! record, and the same record, index and [`Survival`] give the same image. A model, and a strict one: a name counts
//! only once the directory was synced; a failed sync makes nothing durable, nor does a later one on that file for what
//! was written before it.

mod fault;
mod image;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use self::fault::Faults;
pub use self::fault::{Fault, Trouble};
use self::image::Disk;
pub use self::image::{Image, Pending, Pick, Survival, splitmix64};
pub use self::record::{Event, FileId, Operation, OperationKind};
use super::{Storage, StorageFile};
use crate::sync::PlainMutex as Mutex;

/// Called in the middle of every operation: after it was recorded, before it takes effect. May use the storage.
pub type Hook = Arc<dyn Fn(OperationKind, &str) + Send + Sync>;

/// The storage. Clones share one disk.
#[derive(Clone, Default)]
pub struct RecordingStorage {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
}

#[derive(Default)]
struct State {
    /// What was there before the first operation.
    initial: Image,
    events: Vec<Event>,
    /// Content as a running process sees it.
    files: BTreeMap<FileId, Content>,
    names: BTreeMap<String, FileId>,
    next_file: u64,
    locks: BTreeSet<String>,
    quota_bytes: Option<u64>,
    faults: Faults,
}

struct Content {
    /// The name under which it was last known, for messages and hooks.
    name: String,
    bytes: Vec<u8>,
}

impl RecordingStorage {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory that holds `image`, durably: what a process finds after a crash.
    #[must_use]
    pub fn from_image(image: Image) -> Self {
        let storage = Self::new();
        {
            let mut state = storage.shared.state.lock();
            for (name, bytes) in &image {
                let file = state.new_file(name);
                state.names.insert(name.clone(), file);
                state.content(file).bytes.clone_from(bytes);
            }
            state.initial = image;
        }
        storage
    }

    /// Makes an operation fail; see [`Fault`]. Several may be pending.
    pub fn inject(&self, fault: Fault) {
        self.shared.state.lock().faults.inject(fault);
    }

    /// Faults that were injected and have not come, or go on, are over.
    pub fn heal(&self) {
        self.shared.state.lock().faults.heal();
    }

    /// Sets how writes are shortened and calls interrupted.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.shared.state.lock().faults.trouble = trouble;
    }

    /// Sets how many bytes all files together may have: beyond, calls fail with `StorageFull`.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.shared.state.lock().quota_bytes = bytes;
    }

    /// Sets what is called in the middle of every operation.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.shared.hook.lock() = hook;
    }

    /// Everything that was done so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.state.lock().events.clone()
    }

    /// How many events there are so far: an index for [`RecordingStorage::image`].
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.shared.state.lock().events.len()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shared.state.lock().used_bytes()
    }

    /// The files as a running process sees them.
    #[must_use]
    pub fn current(&self) -> Image {
        let state = self.shared.state.lock();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[file].bytes.clone())).collect()
    }

    /// A file as a running process sees it, now and later, whatever it is renamed to.
    #[must_use]
    pub fn reader(&self, name: &str) -> Option<RecordedFile> {
        let file = *self.shared.state.lock().names.get(name)?;
        Some(RecordedFile { storage: self.clone(), file })
    }

    /// What may be left of the files if the power fails after the first `events` events.
    #[must_use]
    pub fn image(&self, events: usize, survival: &Survival) -> Image {
        let state = self.shared.state.lock();
        Disk::replay(&state.initial, &state.events[..events]).image(survival)
    }

    /// What is undecided if the power fails after the first `events` events.
    #[must_use]
    pub fn pending(&self, events: usize, sector_bytes: usize) -> Pending {
        let state = self.shared.state.lock();
        Disk::replay(&state.initial, &state.events[..events]).pending(sector_bytes)
    }

    /// Records, calls the hook, and applies `effect` unless a fault says otherwise.
    fn perform<T>(
        &self,
        operation: Operation,
        name: &str,
        effect: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let kind = operation.kind();
        let (event, fault) = {
            let mut state = self.shared.state.lock();
            if state.faults.interrupts(kind) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let fault = state.faults.next(kind, name);
            state.events.push(Event::Begin(operation));
            (state.events.len() - 1, fault)
        };
        let hook = self.shared.hook.lock().clone();
        if let Some(hook) = hook {
            hook(kind, name);
        }
        let mut state = self.shared.state.lock();
        let result = match fault {
            Some(error) => Err(error.into()),
            None => effect(&mut state),
        };
        let error = result.as_ref().err().map(io::Error::kind);
        state.events.push(Event::End { begin: event, error });
        result
    }
}

impl State {
    fn new_file(&mut self, name: &str) -> FileId {
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.files.insert(file, Content { name: name.to_owned(), bytes: Vec::new() });
        file
    }

    fn content(&mut self, file: FileId) -> &mut Content {
        self.files.get_mut(&file).unwrap_or_else(|| unreachable!("a file lives as long as its handles"))
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[file].bytes.len() as u64).sum()
    }

    /// Makes the file at least `length` bytes long, within the quota.
    fn extend(&mut self, file: FileId, length: usize) -> io::Result<()> {
        let has = self.content(file).bytes.len();
        if length <= has {
            return Ok(());
        }
        let used = self.used_bytes() + (length - has) as u64;
        if self.quota_bytes.is_some_and(|quota| used > quota) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.content(file).bytes.resize(length, 0);
        Ok(())
    }
}

impl Storage for RecordingStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = {
            let mut state = self.shared.state.lock();
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.new_file(name)
        };
        self.perform(Operation::Create { name: name.to_owned(), file }, name, |state| {
            state.names.insert(name.to_owned(), file);
            Ok(())
        })?;
        Ok(Arc::new(RecordedFile { storage: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.perform(Operation::Open { name: name.to_owned() }, name, |state| {
            let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(Arc::new(RecordedFile { storage: self.clone(), file }) as Arc<dyn StorageFile>)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let operation = Operation::Rename { from: from.to_owned(), to: to.to_owned() };
        self.perform(operation, from, |state| {
            let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), file);
            to.clone_into(&mut state.content(file).name);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(Operation::Remove { name: name.to_owned() }, name, |state| {
            state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.perform(Operation::SyncDirectory, ".", |_| Ok(()))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let is_free = self.shared.state.lock().locks.insert(name.to_owned());
        Ok(is_free.then(|| Box::new(Lock { storage: self.clone(), name: name.to_owned() }) as _))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("recorded").join(name)
    }
}

struct Lock {
    storage: RecordingStorage,
    name: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.storage.shared.state.lock().locks.remove(&self.name);
    }
}

/// A file of a [`RecordingStorage`]: for writing as a [`StorageFile`], and for reading what is there now.
pub struct RecordedFile {
    storage: RecordingStorage,
    file: FileId,
}

impl RecordedFile {
    /// Bytes in it now.
    #[must_use]
    pub fn bytes_now(&self) -> u64 {
        self.storage.shared.state.lock().files[&self.file].bytes.len() as u64
    }

    /// Reads some bytes at `offset`; 0 at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let state = self.storage.shared.state.lock();
        let bytes = &state.files[&self.file].bytes;
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        count
    }

    fn name(&self) -> String {
        self.storage.shared.state.lock().files[&self.file].name.clone()
    }
}

impl StorageFile for RecordedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let count = self.storage.shared.state.lock().faults.shorten(bytes.len());
        let bytes = &bytes[..count];
        let operation = Operation::Write { file: self.file, offset, bytes: bytes.into() };
        self.storage.perform(operation, &self.name(), |state| {
            let from = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
            state.extend(self.file, from + count)?;
            state.content(self.file).bytes[from..from + count].copy_from_slice(bytes);
            Ok(count)
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let operation = Operation::Allocate { file: self.file, length };
        self.storage.perform(operation, &self.name(), |state| {
            let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
            state.extend(self.file, length)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.perform(Operation::Sync { file: self.file }, &self.name(), |_| Ok(()))
    }
}
