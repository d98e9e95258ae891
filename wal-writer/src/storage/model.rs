//! A storage in memory for loom models: as little as the append side needs, and strict.
//!
//! Promises: only what was written to a file before a sync of it **began**, and only once that sync has returned, is
//! in [`ModelStorage::durable`]; names are once the directory was synced after them. Beginning and returning are two
//! steps, and loom may switch to another thread between them, as before every write. A sync that fails makes nothing
//! durable; a second sync of that file, which no code may ask for, panics.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `steps` | writes, and syncs that begin: Relaxed read-modify-write | nobody | nothing: makes each of them a step of its own, whose order loom tries, and orders no memory, as a kernel need not |
//! | `synced` | syncs that return, Relaxed | [`ModelStorage::durable`], Relaxed | nothing: who acknowledges must have ordered it, or an older number is read and less is durable than was said |
//! | the rest | one thread at a time, under a lock that loom does not see and that is never held across a step | | |
#![allow(
    clippy::disallowed_types,
    reason = "the content must not order the threads, as a lock of loom would"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Storage, StorageFile};
use crate::sync::{AtomicU64, PlainMutex};

/// File content by name.
pub type ModelImage = BTreeMap<String, Vec<u8>>;

/// Told which name goes, for good or for another, and what the disk has for certain at that moment.
pub type OnRemoval = Arc<dyn Fn(&str, &ModelImage) + Send + Sync>;

/// A file, for reading, whatever becomes of its name.
pub struct ModelReader(Arc<ModelFile>);

/// More than any model makes.
const FILES_MAX: usize = 12;

/// The storage. Clones share one disk. Made before the threads of a model are, so that they all know its variables.
#[derive(Clone, Default)]
pub struct ModelStorage {
    directory: Arc<PlainMutex<Directory>>,
    faults: Arc<PlainMutex<Faults>>,
    counters: Arc<[Counters; FILES_MAX]>,
}

#[derive(Default)]
struct Counters {
    steps: AtomicU64,
    /// The first so many writes are durable.
    synced: AtomicU64,
}

#[derive(Default)]
struct Faults {
    syncs: u32,
    writes: u32,
    is_full: bool,
}

#[derive(Default)]
struct Directory {
    files_made: usize,
    names: BTreeMap<String, Arc<ModelFile>>,
    durable_names: BTreeMap<String, Arc<ModelFile>>,
    on_removal: Option<OnRemoval>,
}

struct ModelFile {
    faults: Arc<PlainMutex<Faults>>,
    counters: Arc<[Counters; FILES_MAX]>,
    /// Which of the counters are its own.
    number: usize,
    content: PlainMutex<Content>,
}

#[derive(Default)]
struct Content {
    /// Offset and bytes of every write.
    writes: Vec<(u64, Vec<u8>)>,
    has_failed: bool,
    /// As `synced`, for whoever asks what the disk has, and not what a thread can know.
    synced: usize,
}

impl ModelStorage {
    /// The next `count` syncs fail.
    pub fn fail_syncs(&self, count: u32) {
        locked(&self.faults, |faults| faults.syncs = count);
    }

    /// The next `count` writes fail.
    pub fn fail_writes(&self, count: u32) {
        locked(&self.faults, |faults| faults.writes = count);
    }

    /// From now on there is space for more, or none.
    pub fn set_full(&self, is_full: bool) {
        locked(&self.faults, |faults| faults.is_full = is_full);
    }

    /// Has `call` told of every name that goes.
    pub fn on_removal(&self, call: impl Fn(&str, &ModelImage) + Send + Sync + 'static) {
        self.directory(|directory| directory.on_removal = Some(Arc::new(call)));
    }

    /// Opens a file for reading.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<ModelReader> {
        self.directory(|directory| directory.names.get(name).cloned()).map(ModelReader)
    }

    /// The names, as a process finds them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.directory(|directory| directory.names.keys().cloned().collect())
    }

    /// What is left for certain if the power fails now, as far as the calling thread can know.
    #[must_use]
    pub fn durable(&self) -> ModelImage {
        let files = self.directory(|directory| directory.durable_names.clone());
        let image = files.into_iter().map(|(name, file)| {
            let synced = usize::try_from(file.counters().synced.load(Relaxed)).unwrap_or(usize::MAX);
            (name, locked(&file.content, |content| content.first(synced)))
        });
        image.collect()
    }

    /// What a process that starts now would find.
    #[must_use]
    pub fn current(&self) -> ModelImage {
        let files = self.directory(|directory| directory.names.clone());
        let image = files.into_iter().map(|(name, file)| {
            file.step();
            (name, locked(&file.content, |content| content.first(usize::MAX)))
        });
        image.collect()
    }

    fn removing(&self, name: &str) {
        let (call, files) =
            self.directory(|directory| (directory.on_removal.clone(), directory.durable_names.clone()));
        let Some(call) = call else { return };
        let of_disk = |file: &ModelFile| locked(&file.content, |content| content.first(content.synced));
        call(name, &files.into_iter().map(|(name, file)| (name, of_disk(&file))).collect());
    }

    fn directory<T>(&self, use_it: impl FnOnce(&mut Directory) -> T) -> T {
        locked(&self.directory, use_it)
    }
}

fn locked<S, T>(state: &PlainMutex<S>, use_it: impl FnOnce(&mut S) -> T) -> T {
    use_it(&mut state.lock())
}

fn failed() -> io::Error {
    io::Error::other("as the model asked for")
}

impl Content {
    fn first(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset, written) in self.writes.iter().take(count) {
            let at = usize::try_from(*offset).unwrap_or_else(|_| unreachable!("model files are small"));
            bytes.resize(bytes.len().max(at + written.len()), 0);
            bytes[at..at + written.len()].copy_from_slice(written);
        }
        bytes
    }
}

impl Storage for ModelStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.directory(|directory| {
            let number = directory.files_made;
            directory.files_made += 1;
            let (faults, counters) = (Arc::clone(&self.faults), Arc::clone(&self.counters));
            let file = Arc::new(ModelFile { faults, counters, number, content: PlainMutex::default() });
            let before = directory.names.insert(name.to_owned(), Arc::clone(&file));
            assert!(before.is_none(), "{name} was made twice");
            Ok(file as _)
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.directory(|directory| directory.names.get(name).cloned());
        file.map(|file| file as _).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.removing(from);
        self.directory(|directory| {
            let file = directory.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            let before = directory.names.insert(to.to_owned(), file);
            let is_segment = to.starts_with("wal-");
            assert!(!is_segment || before.is_none(), "{from} was renamed over {to}");
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.removing(name);
        let removed = self.directory(|directory| directory.names.remove(name));
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory(|directory| directory.durable_names = directory.names.clone());
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

impl ModelReader {
    /// What is in it now.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.step();
        locked(&self.0.content, |content| content.first(usize::MAX))
    }
}

impl ModelFile {
    fn counters(&self) -> &Counters {
        &self.counters[self.number]
    }

    fn step(&self) {
        self.counters().steps.fetch_add(1, Relaxed);
    }
}

impl StorageFile for ModelFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step();
        if locked(&self.faults, |faults| take_one(&mut faults.writes)) {
            return Err(failed());
        }
        locked(&self.content, |content| content.writes.push((offset, bytes.to_vec())));
        Ok(bytes.len())
    }

    fn allocate(&self, _length: u64) -> io::Result<()> {
        let is_full = locked(&self.faults, |faults| faults.is_full);
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        // The sync begins.
        self.step();
        let fails = locked(&self.faults, |faults| take_one(&mut faults.syncs));
        let begun = locked(&self.content, |content| {
            assert!(!content.has_failed, "a file was synced again after a failed sync");
            content.has_failed = fails;
            content.writes.len()
        });
        if fails {
            return Err(failed());
        }
        // Here others go on; then it returns.
        self.counters().synced.fetch_max(begun as u64, Relaxed);
        locked(&self.content, |content| content.synced = content.synced.max(begun));
        Ok(())
    }
}

fn take_one(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left -= u32::from(is_left);
    is_left
}
