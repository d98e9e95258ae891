//! The state that a power loss meets, and the images that it may leave of it.
//!
//! What is undecided is a list of *slots*: a sector or page with the contents that it may have, a file with the lengths
//! that it may have, a change of a name that survives or not. An image is one choice for every slot. A sector that was
//! written with the bytes that it had is no slot: of a page that is written again with more behind it, only the new part
//! is undecided.

use std::sync::Arc;

use super::content::{Content, PAGE_SECTORS, Page, Sectors, index};
use super::image::Image;
use super::inode::{Change, Inode, Pending};
use super::names::{Directory, FileId};
use super::random::Random;
use super::{Files, SimDisk};

/// What survives or does not survive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 512 bytes.
    Sector,
    /// 4096 bytes.
    Page,
}

/// One of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Nothing that is undecided survives.
    Nothing,
    /// Everything does.
    All,
    /// The image of this number, below [`Undecided::images`].
    Number(u64),
    /// Drawn: each slot by itself, with odds that are drawn too, from hardly anything to nearly everything.
    Seed(u64),
}

/// The disk at one moment.
#[derive(Clone)]
pub struct Snapshot {
    calls: u64,
    files: Files,
}

/// A [`Snapshot`] with all that is undecided, ready to make images.
pub struct Undecided {
    directory: Arc<Directory>,
    /// Every file as it is if nothing survives.
    certain: Vec<Arc<Inode>>,
    slots: Vec<Slot>,
}

/// Something that has one of several contents.
struct Slot {
    file: FileId,
    contents: Contents,
}

enum Contents {
    /// Sectors of a page; the first content is the one on the medium.
    Page { at: usize, sectors: Sectors, contents: Vec<Arc<Page>> },
    /// Lengths of the file.
    Lengths(Vec<u64>),
}

impl Snapshot {
    pub(crate) fn new(calls: u64, files: &Files) -> Self {
        Self { calls, files: files.clone() }
    }

    /// The disk then, cache included.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        SimDisk::after(self.files.clone(), self.calls)
    }

    /// How many calls had been made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What is undecided, if sectors or pages survive whole.
    #[must_use]
    pub fn undecided(&self, unit: Unit) -> Undecided {
        let directory = Arc::clone(&self.files.directory);
        let settled = |inode: &Arc<Inode>| match inode.pending.is_empty() {
            // Lost pages are in the cache alone.
            true if inode.cache.pages.len() == inode.medium.pages.len()
                && inode.cache.pages.iter().zip(&inode.medium.pages).all(|(a, b)| Arc::ptr_eq(a, b)) =>
            {
                Arc::clone(inode)
            }
            _ => Arc::new(Inode::settled(inode.medium.clone())),
        };
        let certain = self.files.inodes.iter().map(settled).collect();
        let reachable = |file: &FileId| {
            let pending = directory.pending.iter().any(|(_, change)| change.file() == Some(*file));
            pending || directory.medium.values().any(|named| named == file)
        };
        let dirty = self.files.inodes.iter().enumerate().filter(|(_, inode)| !inode.pending.is_empty());
        let slots = dirty
            .filter(|(file, _)| reachable(file))
            .flat_map(|(file, inode)| {
                slots(inode, unit).into_iter().map(move |contents| Slot { file, contents })
            })
            .collect();
        Undecided { directory, certain, slots }
    }
}

impl Undecided {
    /// How many slots have more than one content, changes of names included.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len() + self.directory.pending.len()
    }

    /// How many changes of names are undecided.
    #[must_use]
    pub fn names(&self) -> usize {
        self.directory.pending.len()
    }

    /// How many images there are, if they can be counted.
    #[must_use]
    pub fn images(&self) -> Option<u64> {
        let names = 1_u64.checked_shl(u32::try_from(self.directory.pending.len()).ok()?)?;
        self.slots.iter().try_fold(names, |images, slot| images.checked_mul(slot.contents.count() as u64))
    }

    /// The image with these picks for data and for names. [`Pick::Number`] counts the names first.
    #[must_use]
    pub fn image(&self, pick: Pick) -> Image {
        self.image_by(pick, |_| None)
    }

    /// The same, with the changes of names for which `names` has a word decided by it.
    #[must_use]
    pub fn image_by(&self, pick: Pick, names: impl Fn(usize) -> Option<bool>) -> Image {
        let mut chooser = Chooser::new(pick);
        let names = self.directory.surviving(|index| {
            let chosen = chooser.choose(2) == 1;
            names(index).unwrap_or(chosen)
        });
        let mut inodes = self.certain.clone();
        let mut open: Option<(FileId, Content)> = None;
        for slot in &self.slots {
            let choice = chooser.choose(slot.contents.count());
            if choice == 0 {
                continue;
            }
            if open.as_ref().is_none_or(|(file, _)| *file != slot.file) {
                close(&mut inodes, open.take());
                open = Some((slot.file, inodes[slot.file].medium.clone()));
            }
            let Some((_, content)) = &mut open else { continue };
            slot.contents.apply(choice, content);
        }
        close(&mut inodes, open);
        Image { names, inodes }
    }
}

fn close(inodes: &mut [Arc<Inode>], open: Option<(FileId, Content)>) {
    if let Some((file, mut content)) = open {
        // What stands beyond the length that survived is gone.
        content.set_length(content.length);
        inodes[file] = Arc::new(Inode::settled(content));
    }
}

impl Contents {
    fn count(&self) -> usize {
        match self {
            Self::Page { contents, .. } => contents.len(),
            Self::Lengths(lengths) => lengths.len(),
        }
    }

    fn apply(&self, choice: usize, content: &mut Content) {
        match self {
            Self::Page { at, sectors, contents } => {
                let page = content.page(*at).with_sectors(&contents[choice], *sectors);
                content.set_page(*at, page);
            }
            Self::Lengths(lengths) => content.length = lengths[choice],
        }
    }
}

/// All slots of one file: pages ascending, the length last.
fn slots(inode: &Inode, unit: Unit) -> Vec<Contents> {
    let mut slots = Vec::new();
    let mut pages: Vec<_> =
        inode.pending.iter().filter_map(|pending| pending.page().map(|(at, ..)| at)).collect();
    pages.sort_unstable();
    pages.dedup();
    for at in pages {
        let versions: Vec<_> =
            inode.pending.iter().filter_map(Pending::page).filter(|page| page.0 == at).collect();
        let medium = inode.medium.page(at);
        match unit {
            Unit::Page => {
                let mut contents = vec![medium];
                for (_, page, sectors) in versions {
                    let last = &contents[contents.len() - 1];
                    let next = last.with_sectors(page, sectors);
                    if contents.iter().all(|content| !content.is_same(&next)) {
                        contents.push(next);
                    }
                }
                slots.push(Contents::Page { at, sectors: Sectors::MAX, contents });
            }
            Unit::Sector => slots.extend((0..PAGE_SECTORS).map(|sector| {
                let mut contents = vec![Arc::clone(&medium)];
                for (_, page, _) in versions.iter().filter(|(_, _, sectors)| sectors & (1 << sector) != 0) {
                    if contents.iter().all(|content| content.sector(sector) != page.sector(sector)) {
                        contents.push(Arc::clone(page));
                    }
                }
                Contents::Page { at, sectors: 1 << sector, contents }
            })),
        }
    }
    let mut lengths = vec![inode.medium.length];
    for pending in &inode.pending {
        if let Change::Length(length) = pending.change
            && lengths.iter().all(|known| *known < length)
        {
            lengths.push(length);
        }
    }
    slots.push(Contents::Lengths(lengths));
    slots.retain(|slot| slot.count() > 1);
    slots
}

impl Pending {
    fn page(&self) -> Option<(usize, &Arc<Page>, Sectors)> {
        match &self.change {
            Change::Page { at, page, sectors } => Some((*at, page, *sectors)),
            Change::Length(_) => None,
        }
    }
}

/// Chooses for one slot after the other.
struct Chooser {
    pick: Pick,
    rest: u64,
    random: Random,
    /// With a seed: a slot keeps what the medium has this often, of 16.
    keeps: u64,
}

impl Chooser {
    fn new(pick: Pick) -> Self {
        let (rest, seed) = match pick {
            Pick::Number(number) => (number, 0),
            Pick::Seed(seed) => (0, seed),
            Pick::Nothing | Pick::All => (0, 0),
        };
        let mut random = Random::new(seed);
        let keeps = [8, 2, 14, 1, 15, 8][index(random.below(6))];
        Self { pick, rest, random, keeps }
    }

    fn choose(&mut self, count: usize) -> usize {
        match self.pick {
            Pick::Nothing => 0,
            Pick::All => count - 1,
            Pick::Number(_) => {
                let digit = self.rest % count as u64;
                self.rest /= count as u64;
                index(digit)
            }
            Pick::Seed(_) => {
                if self.random.below(16) < self.keeps {
                    0
                } else {
                    1 + index(self.random.below(count as u64 - 1))
                }
            }
        }
    }
}
