//! Segment files made ahead of need: fresh and zero-filled, or recycled.
//!
//! A core's next segment exists under its final name before it is needed, its name durable and its space allocated,
//! so that rotation costs neither a directory sync nor an allocation. [`SegmentSupply::prepare`] does the slow work
//! on a background thread; where nobody called it in time, [`SegmentSupply::take`] makes a file at once that is
//! allocated but mostly not filled: correct, only its first syncs are slower.
//!
//! # Shared state
//!
//! | variable | written and read by | lock |
//! |---|---|---|
//! | a core's `next`, `spare`, `preparing` | its drain (`take`, `ensure`), a background thread (`prepare`) | the core's own, held by the drain also while it makes a file, by `prepare` only before and after |
//! | `cores` | everybody, to find a core's lock | its own, held for the look-up only |
//! | `free` | who recycles and who makes a segment | its own, held for one push or pop |
//! | `holdings` | whoever takes, makes or recycles; who watches | its own, a leaf: `holdings.rs` |
//!
//! 1. A number is drawn under the core's lock, and never twice: no two files of a core have one name.
//! 2. A spare is put and taken under the core's lock: it is given out once. A free name is popped once, so a recycled file
//!    becomes the segment of one core.
//! 3. `prepare` works without the lock, so `take` may overtake it. It sees that under the lock: if there is a spare by
//!    then, its own file is removed; if a number was drawn since, it takes a fresh one and renames its file. Numbers of
//!    segments in use ascend in the order of their use, as readers require.
//!
//! Therefore a file is some core's spare or segment, or free, or gone, and only one of these at a time. That it is not read
//! any more when it comes back is the business of who calls [`SegmentSupply::recycle`].
//!
//! Not for deciding what may be recycled: the caller of [`SegmentSupply::recycle`] has a durable manifest that says so.

#[cfg(all(test, not(loom), not(shuttle), feature = "testing"))]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use wal_format::{CoreId, FileName, SegmentNumber};

use crate::error::WriterError;
use crate::flaw::Flaw;
use crate::holdings::Holdings;
use crate::stall::{self, Place};
use crate::storage::{Storage, StorageFile, uninterrupted, write_all_at};
use crate::sync::Mutex;

/// Filled at once in a file that was not prepared: enough for the first commits.
const FIRST_FILL_BYTES: u64 = 256 * 1024;
/// Segments end where a page does: writes cover whole pages, and must not need more than was allocated.
const PAGE_BYTES: u64 = 4096;
const FILL_STEP: usize = 1024 * 1024;

/// The segment files of a log that hold nothing yet. Shared by all cores, `Sync`.
pub struct SegmentSupply {
    storage: Arc<dyn Storage>,
    segment_bytes: u64,
    free_max: usize,
    /// Each core's own lock is held while its file is made: the others must not wait for that. `prepare` holds none.
    cores: Mutex<BTreeMap<CoreId, Arc<Mutex<CoreSupply>>>>,
    free: Mutex<Vec<String>>,
    condition: OnceLock<Box<Condition>>,
    holdings: Holdings,
}

/// How to go on with a segment that is filled in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// With the next step.
    Step,
    /// With all that is left, in one go: the segment is needed. Steps without rests would hold up syncs for longer.
    Rush,
    /// Not at all: the file is removed.
    Stop,
}

/// What must be done before any core accepts entries.
type Condition = dyn Fn() -> Result<(), WriterError> + Send + Sync;

#[derive(Default)]
struct CoreSupply {
    /// Number of the next file to be made.
    next: SegmentNumber,
    spare: Option<Spare>,
    preparing: bool,
}

impl CoreSupply {
    /// A number is used once: a file of a failed attempt may still have its name.
    fn take_number(&mut self) -> SegmentNumber {
        let number = self.next;
        self.next = number.next();
        number
    }
}

/// A segment file without content: named, allocated, ready.
pub(crate) struct Spare {
    pub(crate) number: SegmentNumber,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn StorageFile>,
    /// Bytes that can be written without asking for space.
    pub(crate) capacity: u64,
    /// Bytes that are zeros on the medium, or stale bytes: no metadata changes when they are written.
    pub(crate) filled: u64,
}

impl SegmentSupply {
    /// A supply of segments of `segment_bytes` that keeps at most `free_max` released files for reuse.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, segment_bytes: u64, free_max: usize) -> Self {
        let segment_bytes = segment_bytes.next_multiple_of(PAGE_BYTES);
        Self {
            storage,
            segment_bytes,
            free_max,
            cores: Mutex::default(),
            free: Mutex::default(),
            condition: OnceLock::new(),
            holdings: Holdings::default(),
        }
    }

    /// The storage that the files are made in.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Which segment files are in use, and what became of others.
    #[must_use]
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Released files that wait to be used again.
    #[must_use]
    pub fn free_segments(&self) -> usize {
        self.free.lock().len()
    }

    /// What a segment takes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// From now on, no core accepts an entry unless `condition` says that it may. Called without any lock of a log. Set
    /// once; a second one is ignored.
    pub fn set_condition(&self, condition: impl Fn() -> Result<(), WriterError> + Send + Sync + 'static) {
        let _ = self.condition.set(Box::new(condition));
    }

    pub(crate) fn check_condition(&self) -> Result<(), WriterError> {
        self.condition.get().map_or(Ok(()), |condition| condition())
    }

    /// Says that new segments of `core` are numbered from `next` on.
    pub fn register(&self, core: CoreId, next: SegmentNumber) {
        let core = self.core(core);
        let mut supply = core.lock();
        supply.next = supply.next.max(next);
    }

    /// Takes over free files that an earlier process left.
    pub fn adopt_free(&self, names: impl IntoIterator<Item = String>) {
        self.free.lock().extend(names);
    }

    /// Whether `core` has no spare segment, and nobody is making one.
    #[must_use]
    pub fn is_wanting(&self, core: CoreId) -> bool {
        let core = self.core(core);
        let supply = core.lock();
        supply.spare.is_none() && !supply.preparing
    }

    /// Bytes that the spare segment of `core` can hold.
    pub(crate) fn spare_bytes(&self, core: CoreId) -> u64 {
        self.core(core).lock().spare.as_ref().map_or(0, |spare| spare.capacity)
    }

    /// Makes the next segment of `core`, whole: recycled, or zero-filled and synced. Slow; for a background thread.
    ///
    /// # Errors
    /// [`WriterError::NoSpace`], [`WriterError::Io`]. The log goes on without.
    pub fn prepare(&self, core: CoreId) -> Result<(), WriterError> {
        self.prepare_paced(core, |_| Pace::Rush)
    }

    /// [`SegmentSupply::prepare`] in steps: whoever syncs meanwhile has to wait for what the device is busy with, so
    /// a new file is filled and synced 1 MiB at a time, and `pace`, asked in between with the bytes filled so far, may
    /// wait for as long as it likes before it says how to go on.
    ///
    /// # Errors
    /// As there, and [`WriterError::Closed`] after [`Pace::Stop`].
    pub fn prepare_paced(&self, core: CoreId, pace: impl FnMut(u64) -> Pace) -> Result<(), WriterError> {
        let of_core = self.core(core);
        let number = {
            let mut supply = of_core.lock();
            if supply.spare.is_some() || supply.preparing {
                return Ok(());
            }
            supply.preparing = true;
            supply.take_number()
        };
        let free = self.free.lock().pop();
        let made = match free {
            Some(free) => self.reuse(core, number, &free),
            None => self.make(core, number, self.segment_bytes, self.segment_bytes, pace),
        };
        stall::at(Place::SegmentMade);
        let mut supply = of_core.lock();
        supply.preparing = false;
        let mut spare = self.counted(core, false, made)?;
        if supply.spare.is_some() {
            // `take` could not wait and went ahead; this one is not needed.
            drop(supply);
            return self.storage.remove(&spare.name).map_err(|error| self.io("remove", &spare.name, error));
        }
        if supply.next != number.next() && !Flaw::KeepsOvertakenNumber.is_planted() {
            // Overtaken as well, but welcome. The numbers of a chain ascend, so it needs a new one.
            spare.number = supply.take_number();
            let name = FileName::Segment(core, spare.number).to_string();
            self.rename_durably(&spare.name, &name)?;
            spare.name = name;
        }
        supply.spare = Some(spare);
        Ok(())
    }

    /// Makes sure that `core` has a spare segment that can hold `bytes`.
    pub(crate) fn ensure(&self, core: CoreId, bytes: u64) -> Result<(), WriterError> {
        self.ensure_locked(core, &mut self.core(core).lock(), bytes)
    }

    /// The next segment of `core`, able to hold `bytes`.
    pub(crate) fn take(&self, core: CoreId, bytes: u64) -> Result<Spare, WriterError> {
        let of_core = self.core(core);
        let mut supply = of_core.lock();
        self.ensure_locked(core, &mut supply, bytes)?;
        let spare = supply.spare.take().unwrap_or_else(|| unreachable!("ensured under the same lock"));
        self.holdings.taken(core, spare.number, spare.capacity);
        Ok(spare)
    }

    fn ensure_locked(&self, core: CoreId, supply: &mut CoreSupply, bytes: u64) -> Result<(), WriterError> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        if let Some(spare) = &mut supply.spare {
            if spare.capacity < bytes {
                let larger = self.allocate(spare.file.as_ref(), &spare.name, bytes);
                self.counted(core, false, larger)?;
                spare.capacity = bytes;
            }
            return Ok(());
        }
        let capacity = bytes.max(self.segment_bytes);
        let number = supply.take_number();
        // Without background threads nobody prepares: released files are used again here, or never.
        let free = if capacity == self.segment_bytes { self.free.lock().pop() } else { None };
        let made = match free {
            Some(free) => self.reuse(core, number, &free),
            None => self.make(core, number, capacity, FIRST_FILL_BYTES.min(capacity), |_| Pace::Rush),
        };
        supply.spare = Some(self.counted(core, true, made)?);
        Ok(())
    }

    /// `made`, after taking note of it; `late` if somebody waited for it.
    fn counted<T>(&self, core: CoreId, late: bool, made: Result<T, WriterError>) -> Result<T, WriterError> {
        self.holdings.count(core, |counts| match &made {
            Ok(_) => counts.late += u64::from(late),
            Err(WriterError::NoSpace { .. }) => counts.refused += 1,
            Err(_) => {}
        });
        made
    }

    fn core(&self, core: CoreId) -> Arc<Mutex<CoreSupply>> {
        Arc::clone(self.cores.lock().entry(core).or_default())
    }

    /// Takes back segments that no manifest needs any more: keeps some of them for reuse, removes the others, and those that
    /// are larger than usual.
    ///
    /// # Errors
    /// [`WriterError::Io`]. What was not recycled is still there, and harmless.
    pub fn recycle(&self, core: CoreId, segments: &[SegmentNumber]) -> Result<(), WriterError> {
        for number in segments {
            let name = FileName::Segment(core, *number).to_string();
            // One that was made for a large batch would keep its size for ever, and be counted as a usual one.
            let is_usual = self.holdings.bytes(core, *number..=*number) <= self.segment_bytes;
            if is_usual && self.free.lock().len() < self.free_max {
                let free = FileName::Free(core, *number).to_string();
                self.storage.rename(&name, &free).map_err(|error| self.io("rename", &name, error))?;
                self.free.lock().push(free);
            } else {
                self.storage.remove(&name).map_err(|error| self.io("remove", &name, error))?;
            }
            self.holdings.released(core, *number);
            stall::at(Place::SegmentReleased);
        }
        if segments.is_empty() { Ok(()) } else { self.sync_directory() }
    }

    /// `pace` as in [`SegmentSupply::prepare_paced`], where all of the file is filled.
    fn make(
        &self,
        core: CoreId,
        number: SegmentNumber,
        capacity: u64,
        fill: u64,
        pace: impl FnMut(u64) -> Pace,
    ) -> Result<Spare, WriterError> {
        let name = FileName::Segment(core, number).to_string();
        let file =
            self.storage.create(&name).map_err(|error| self.space("create", &name, capacity, error))?;
        stall::at(Place::SegmentCreated);
        let made = self.allocate(file.as_ref(), &name, capacity).and_then(|()| {
            stall::at(Place::SegmentAllocated);
            if fill < capacity {
                self.fill(file.as_ref(), &name, 0, fill)?;
                stall::at(Place::SegmentFilled);
            } else {
                self.fill_in_steps(core, file.as_ref(), &name, capacity, pace)?;
            }
            self.sync_directory()
        });
        if let Err(error) = made {
            // Half-made files must not be in the way of the next attempt, or of the next start.
            let _ = self.storage.remove(&name);
            return Err(error);
        }
        stall::at(Place::SegmentNamed);
        self.holdings.count(core, |counts| counts.made += 1);
        Ok(Spare { number, name, file, capacity, filled: fill })
    }

    /// Each step is durable before the next: no sync of a core waits for more than one, unless the segment is needed.
    fn fill_in_steps(
        &self,
        core: CoreId,
        file: &dyn StorageFile,
        name: &str,
        capacity: u64,
        mut pace: impl FnMut(u64) -> Pace,
    ) -> Result<(), WriterError> {
        let mut filled = 0;
        while filled < capacity {
            let to = match if filled == 0 { Pace::Step } else { pace(filled) } {
                Pace::Step => capacity.min(filled + FILL_STEP as u64),
                Pace::Rush => capacity,
                Pace::Stop => return Err(WriterError::Closed { core }),
            };
            self.fill(file, name, filled, to)?;
            stall::at(Place::SegmentFilled);
            uninterrupted(|| file.sync_data()).map_err(|error| self.io("sync", name, error))?;
            filled = to;
        }
        Ok(())
    }

    /// Gives a released file its new name. Its content stays: every check of the format knows it as stale.
    fn reuse(&self, core: CoreId, number: SegmentNumber, free: &str) -> Result<Spare, WriterError> {
        let name = FileName::Segment(core, number).to_string();
        self.rename_durably(free, &name)?;
        let file = self.storage.open(&name).map_err(|error| self.io("open", &name, error))?;
        self.allocate(file.as_ref(), &name, self.segment_bytes)?;
        self.holdings.count(core, |counts| counts.reused += 1);
        Ok(Spare { number, name, file, capacity: self.segment_bytes, filled: self.segment_bytes })
    }

    fn allocate(&self, file: &dyn StorageFile, name: &str, capacity: u64) -> Result<(), WriterError> {
        match uninterrupted(|| file.allocate(capacity)) {
            // Not every file system preallocates; writing zeros reserves space as well.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.fill(file, name, 0, capacity),
            result => result.map_err(|error| self.space("allocate", name, capacity, error)),
        }
    }

    fn fill(&self, file: &dyn StorageFile, name: &str, from: u64, to: u64) -> Result<(), WriterError> {
        fill_with_zeros(file, from, to).map_err(|error| self.space("fill", name, to, error))
    }

    fn rename_durably(&self, from: &str, to: &str) -> Result<(), WriterError> {
        self.storage.rename(from, to).map_err(|error| self.io("rename", from, error))?;
        stall::at(Place::SegmentRenamed);
        self.sync_directory()
    }

    fn sync_directory(&self) -> Result<(), WriterError> {
        self.storage.sync_directory().map_err(|error| self.io("sync the directory of", ".", error))
    }

    fn io(&self, operation: &'static str, name: &str, error: io::Error) -> WriterError {
        WriterError::io(operation, self.storage.path(name), error)
    }

    fn space(&self, operation: &'static str, name: &str, bytes: u64, error: io::Error) -> WriterError {
        WriterError::space(operation, self.storage.path(name), bytes, error)
    }
}

/// Writes zeros over `[from, to)`.
pub(crate) fn fill_with_zeros(file: &dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_STEP];
    let mut at = from;
    while at < to {
        let bytes = usize::try_from(to - at).map_or(FILL_STEP, |bytes| bytes.min(FILL_STEP));
        write_all_at(file, &zeros[..bytes], at)?;
        at += bytes as u64;
    }
    Ok(())
}
