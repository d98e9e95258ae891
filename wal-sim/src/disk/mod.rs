//! The simulated disk: strict, deterministic, in memory, below both seams of the log.
//!
//! Strict: data is durable only after its file's sync, a name only after the directory's; of everything else any subset
//! may survive a power loss, in sectors of 512 bytes or pages of 4096, in any order ([`Snapshot`]). A failed sync leaves
//! in the cache what the medium may never get, and dropping the cache shows it. Calls fail, are interrupted, do a part
//! or lie, as told ([`Fault`]). The same calls with the same settings give the same disk.
//!
//! Every clone is the same disk, seen by the same process. [`SimDisk::reboot`] begins another process: whatever the old
//! one still holds can no longer change anything, as after SIGKILL. What a power loss leaves is another disk:
//! [`SimDisk::from_image`].
//!
//! Not modelled: time, and calls that overlap on one file other than by [`SimDisk::set_hook`].

mod content;
mod fault;
mod image;
mod inode;
mod names;
mod random;
mod read;
mod snapshot;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::content::SECTOR_BYTES;
pub use self::fault::{CallKind, Effect, Fault, Part};
pub use self::image::Image;
pub use self::random::Random;
pub use self::snapshot::{Pick, Snapshot, Undecided, Unit};

use self::content::PAGE_BYTES;
use self::fault::next_effect;
use self::inode::Inode;
use self::names::{Directory, FileId};

/// Called in the middle of every call, after it began and before it takes effect. May use the disk.
pub type Hook = Arc<dyn Fn(CallKind, &str) + Send + Sync>;

/// A directory on a simulated disk: a `Storage` and a `Source` at once.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
    process: u64,
}

struct Shared {
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
}

/// All files, for the price of a few reference counts.
#[derive(Clone, Default)]
pub(crate) struct Files {
    pub(crate) inodes: Vec<Arc<Inode>>,
    pub(crate) directory: Arc<Directory>,
}

struct State {
    files: Files,
    calls: u64,
    /// The process that may change anything.
    process: u64,
    locks: BTreeMap<String, u64>,
    faults: Vec<Fault>,
    faults_met: u64,
    quota_bytes: Option<u64>,
    random: Random,
    /// Of every state after a change, and the number of calls until then; if recording.
    history: Option<Vec<(u64, Files)>>,
    log: Option<Vec<(CallKind, Arc<str>)>>,
}

/// A call that has begun.
struct Begun {
    /// Its number.
    call: u64,
    effect: Option<Effect>,
}

impl Begun {
    /// The error that it is to end with.
    fn error(&self) -> Option<io::Error> {
        match self.effect {
            Some(Effect::Error(kind)) => Some(kind.into()),
            _ => None,
        }
    }

    /// How many of `bytes` it is to do.
    fn part(&self, bytes: usize) -> usize {
        match self.effect {
            Some(Effect::Short(part)) => part.of(bytes),
            _ => bytes,
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(0)
    }
}

impl SimDisk {
    /// An empty disk. `seed` decides what the model leaves open: which pages a failed sync loses, how much of a failed
    /// write is in the cache.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_files(Files::default(), seed)
    }

    /// The disk after a power loss: on the medium is `image`, in the cache nothing else.
    #[must_use]
    pub fn from_image(image: &Image, seed: u64) -> Self {
        Self::with_files(image.files(), seed)
    }

    /// Another disk in the same state, cache included; no fault is pending.
    #[must_use]
    pub fn twin(&self) -> Self {
        let state = self.shared.state.lock();
        Self::after(state.files.clone(), state.calls)
    }

    /// A disk in the state that it had after so many calls: what is pending bears their numbers.
    fn after(files: Files, calls: u64) -> Self {
        let disk = Self::with_files(files, 0);
        disk.shared.state.lock().calls = calls;
        disk
    }

    fn with_files(files: Files, seed: u64) -> Self {
        let state = State {
            files,
            calls: 0,
            process: 0,
            locks: BTreeMap::new(),
            faults: Vec::new(),
            faults_met: 0,
            quota_bytes: None,
            random: Random::new(seed),
            history: None,
            log: None,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), hook: Mutex::new(None) }), process: 0 }
    }

    /// Remembers every state and every call from now on.
    #[must_use]
    pub fn recording(self) -> Self {
        {
            let mut state = self.shared.state.lock();
            state.history = Some(vec![(state.calls, state.files.clone())]);
            state.log = Some(Vec::new());
        }
        self
    }

    /// The same disk in a new process. All handles of the old one are dead: their calls fail and change nothing, their
    /// locks are free. The cache stays as it is.
    #[must_use]
    pub fn reboot(&self) -> Self {
        let mut state = self.shared.state.lock();
        state.process += 1;
        state.locks.clear();
        Self { shared: Arc::clone(&self.shared), process: state.process }
    }

    /// Makes a call go wrong. Several may be pending.
    pub fn inject(&self, fault: Fault) {
        self.shared.state.lock().faults.push(fault);
    }

    /// Takes back all faults, and the quota.
    pub fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.faults.clear();
        state.quota_bytes = None;
    }

    /// How many calls a fault had an effect on.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.shared.state.lock().faults_met
    }

    /// Sets how many bytes all files together may have: beyond, calls fail with `StorageFull`.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.shared.state.lock().quota_bytes = bytes;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shared.state.lock().used_bytes()
    }

    /// Sets what is called in the middle of every call.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.shared.hook.lock() = hook;
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.state.lock().calls
    }

    /// Kind and file of every call since [`SimDisk::recording`].
    #[must_use]
    pub fn log(&self) -> Vec<(CallKind, Arc<str>)> {
        self.shared.state.lock().log.clone().unwrap_or_default()
    }

    /// Every state that a power loss could meet since [`SimDisk::recording`], in order.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let state = self.shared.state.lock();
        let history = state.history.iter().flatten();
        history.map(|(calls, files)| Snapshot::new(*calls, files)).collect()
    }

    /// The state that a power loss would meet now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.state.lock();
        Snapshot::new(state.calls, &state.files)
    }

    /// The files as running processes see them.
    #[must_use]
    pub fn current(&self) -> Image {
        let state = self.shared.state.lock();
        Image::cached(&state.files)
    }

    /// Forgets everything in the cache that is clean.
    pub fn drop_caches(&self) {
        let mut state = self.shared.state.lock();
        state.files.inodes.iter_mut().for_each(|inode| Arc::make_mut(inode).drop_cache(0, u64::MAX));
    }

    /// Forgets some clean pages, as a kernel does that needs memory: each with odds of one half.
    pub fn forget_some(&self, random: &mut Random) {
        let mut state = self.shared.state.lock();
        for inode in &mut state.files.inodes {
            for page in 0..inode.cache.pages.len() as u64 {
                if random.once_in(2) {
                    let at = page * PAGE_BYTES as u64;
                    Arc::make_mut(inode).drop_cache(at, at + PAGE_BYTES as u64);
                }
            }
        }
    }

    /// Counts a call, runs the hook, then `effect` under the lock. `changes`: whether the medium may differ afterwards.
    fn perform<T>(
        &self,
        kind: CallKind,
        name: &str,
        changes: bool,
        effect: impl FnOnce(&mut State, &Begun) -> io::Result<T>,
    ) -> io::Result<T> {
        let begun = self.shared.state.lock().begin(self.process, kind, name)?;
        let hook = self.shared.hook.lock().clone();
        if let Some(hook) = hook {
            hook(kind, name);
        }
        let mut state = self.shared.state.lock();
        state.check_alive(self.process)?;
        if let Some(Effect::Error(io::ErrorKind::Interrupted)) = begun.effect {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let result = effect(&mut state, &begun);
        if changes {
            let (calls, files) = (state.calls, state.files.clone());
            state.history.iter_mut().for_each(|history| history.push((calls, files.clone())));
        }
        result
    }
}

impl State {
    fn check_alive(&self, process: u64) -> io::Result<()> {
        if self.process == process { Ok(()) } else { Err(io::Error::other("this process was killed")) }
    }

    fn begin(&mut self, process: u64, kind: CallKind, name: &str) -> io::Result<Begun> {
        self.check_alive(process)?;
        let call = self.calls;
        self.calls += 1;
        if let Some(log) = &mut self.log {
            log.push((kind, name.into()));
        }
        let effect = next_effect(&mut self.faults, kind);
        self.faults_met += u64::from(effect.is_some());
        Ok(Begun { call, effect })
    }

    fn inode(&mut self, file: FileId) -> &mut Inode {
        Arc::make_mut(&mut self.files.inodes[file])
    }

    fn file(&self, name: &str) -> io::Result<FileId> {
        self.files.directory.cache.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used_bytes(&self) -> u64 {
        let files = self.files.directory.cache.values();
        files.map(|file| self.files.inodes[*file].cache.length).sum()
    }

    /// Whether a file may become `length` bytes long.
    fn check_space(&self, file: FileId, length: u64) -> io::Result<()> {
        let has = self.files.inodes[file].cache.length;
        let Some(quota) = self.quota_bytes.filter(|_| length > has) else { return Ok(()) };
        if self.used_bytes() + (length - has) > quota {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// A sync of `file` that began with call `begun`.
    fn sync(&mut self, file: FileId, begun: &Begun) -> io::Result<()> {
        if let Some(error) = begun.error() {
            // Which pages are lost is the same as long as the seed and the calls are.
            let mut random = self.random.clone();
            self.random.next();
            let style = random.below(3);
            self.inode(file).fail(begun.call, || match style {
                0 => true,
                1 => random.once_in(2),
                _ => random.once_in(8),
            });
            return Err(error);
        }
        self.inode(file).settle(begun.call);
        Ok(())
    }
}
