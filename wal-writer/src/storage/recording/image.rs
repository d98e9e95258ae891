//! What a power loss may leave: the synced for certain, of the rest any subset.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Event, FileId, Operation};

/// Files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// Which part of what is undecided survives. Items are numbered in the order in which they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Item i if bit i is set; items beyond 63 do not.
    Mask(u64),
    /// Each item by a coin that this seed tosses.
    Seed(u64),
}

/// How a power loss treats what is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survival {
    /// The unit in which writes survive: 512 or 4096.
    pub sector_bytes: usize,
    /// Which sectors of unsynced writes (and unsynced lengths) survive.
    pub sectors: Pick,
    /// Which unsynced changes of names survive.
    pub names: Pick,
}

/// How much is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Sectors, counted once for every write to them, and changes of length.
    pub sectors: usize,
    /// Changes of names.
    pub names: usize,
}

/// The next number of the splitmix64 sequence.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Pick {
    fn chooser(self) -> impl FnMut() -> bool {
        let (mut seed, mut index) = (if let Self::Seed(seed) = self { seed } else { 0 }, 0_u32);
        move || {
            let at = index;
            index = index.saturating_add(1);
            match self {
                Self::Nothing => false,
                Self::All => true,
                Self::Mask(mask) => mask.checked_shr(at).is_some_and(|rest| rest & 1 == 1),
                Self::Seed(_) => splitmix64(&mut seed) & 1 == 1,
            }
        }
    }
}

/// The medium, and the cache before it, after a number of events.
#[derive(Default)]
pub(super) struct Disk {
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    /// Changes of names that no directory sync covers yet.
    renames: Vec<(usize, NameChange)>,
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    writes: Vec<Write>,
}

/// Bytes, or with none a length, in the cache.
struct Write {
    event: usize,
    offset: u64,
    bytes: Arc<[u8]>,
    /// A sync failed after it: a later one does not cover it.
    is_doomed: bool,
}

enum NameChange {
    Create(String, FileId),
    Rename(String, String),
    Remove(String),
}

impl Disk {
    pub(super) fn replay(initial: &Image, events: &[Event]) -> Self {
        let mut disk = Self::default();
        for (number, (name, bytes)) in (0..).zip(initial) {
            let file = FileId(number);
            disk.names.insert(name.clone(), file);
            disk.files.insert(file, File { durable: bytes.clone(), writes: Vec::new() });
        }
        for (index, event) in events.iter().enumerate() {
            match event {
                Event::Begin(operation) => disk.begin(index, operation),
                Event::End { begin, error } => {
                    if let Event::Begin(operation) = &events[*begin] {
                        disk.end(*begin, operation, error.is_none());
                    }
                }
            }
        }
        disk
    }

    /// From its beginning on, an operation may take effect: also one that fails later.
    fn begin(&mut self, event: usize, operation: &Operation) {
        match operation {
            Operation::Create { name, file } => {
                self.renames.push((event, NameChange::Create(name.clone(), *file)));
            }
            Operation::Rename { from, to } => {
                self.renames.push((event, NameChange::Rename(from.clone(), to.clone())));
            }
            Operation::Remove { name } => self.renames.push((event, NameChange::Remove(name.clone()))),
            Operation::Write { file, offset, bytes } => {
                let write = Write { event, offset: *offset, bytes: Arc::clone(bytes), is_doomed: false };
                self.files.entry(*file).or_default().writes.push(write);
            }
            Operation::Allocate { file, length } => {
                let write = Write { event, offset: *length, bytes: Arc::new([]), is_doomed: false };
                self.files.entry(*file).or_default().writes.push(write);
            }
            Operation::Open { .. } | Operation::Sync { .. } | Operation::SyncDirectory => {}
        }
    }

    /// Only when it has returned success, a sync counts, and only for what was written before it began.
    fn end(&mut self, begin: usize, operation: &Operation, is_success: bool) {
        match (operation, is_success) {
            (Operation::Sync { file }, true) => self.files.entry(*file).or_default().settle(begin),
            (Operation::Sync { file }, false) => {
                let writes = &mut self.files.entry(*file).or_default().writes;
                writes.iter_mut().for_each(|write| write.is_doomed = true);
            }
            (Operation::SyncDirectory, true) => {
                for (_, change) in self.renames.extract_if(.., |(event, _)| *event < begin) {
                    change.apply(&mut self.names);
                }
            }
            // A call that said no changed no name.
            (Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. }, false) => {
                self.renames.retain(|(event, _)| *event != begin);
            }
            // A write that failed may have reached the cache in part; later syncs promise nothing of it.
            (Operation::Write { file, .. }, false) => {
                let writes = &mut self.files.entry(*file).or_default().writes;
                writes
                    .iter_mut()
                    .filter(|write| write.event == begin)
                    .for_each(|write| write.is_doomed = true);
            }
            _ => {}
        }
    }

    pub(super) fn pending(&self, sector_bytes: usize) -> Pending {
        let sectors =
            |file: &File| file.writes.iter().map(|write| write.sectors(sector_bytes).count()).sum::<usize>();
        Pending { sectors: self.files.values().map(sectors).sum(), names: self.renames.len() }
    }

    pub(super) fn image(self, survival: &Survival) -> Image {
        let mut names = self.names;
        let mut keeps_name = survival.names.chooser();
        for (_, change) in &self.renames {
            if keeps_name() {
                change.apply(&mut names);
            }
        }
        let mut keeps_sector = survival.sectors.chooser();
        let mut contents = BTreeMap::new();
        for (id, file) in self.files {
            let mut bytes = file.durable;
            for write in &file.writes {
                for (offset, part) in write.sectors(survival.sector_bytes) {
                    if keeps_sector() {
                        put(&mut bytes, offset, part);
                    }
                }
            }
            contents.insert(id, bytes);
        }
        names
            .into_iter()
            .map(|(name, file)| (name, contents.get(&file).cloned().unwrap_or_default()))
            .collect()
    }
}

impl File {
    /// What was written before event `begin` is durable now.
    fn settle(&mut self, begin: usize) {
        let settled: Vec<_> =
            self.writes.extract_if(.., |write| write.event < begin && !write.is_doomed).collect();
        for write in settled {
            // What it overwrote, however doomed, cannot come back.
            self.writes.retain(|older| older.event > write.event || !write.covers(older));
            put(&mut self.durable, write.offset, &write.bytes);
        }
    }
}

impl Write {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn covers(&self, other: &Self) -> bool {
        self.offset <= other.offset && other.end() <= self.end()
    }

    /// Its parts, none of which crosses a boundary between sectors.
    fn sectors(&self, sector_bytes: usize) -> impl Iterator<Item = (u64, &[u8])> {
        let into_sector = usize::try_from(self.offset % sector_bytes as u64).unwrap_or(0);
        let first = self.bytes.len().min(sector_bytes - into_sector);
        let (head, rest) = self.bytes.split_at(first);
        let mut offset = self.offset;
        std::iter::once(head).chain(rest.chunks(sector_bytes)).map(move |part| {
            let at = offset;
            offset += part.len() as u64;
            (at, part)
        })
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

/// Puts `part` at `offset`, with zeros before it if the file is shorter.
fn put(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let to = from.saturating_add(part.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(part);
}
