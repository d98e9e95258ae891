//! One file: what processes see of it, what is certainly on the medium, and what is on its way.
//!
//! Three states of a sector that was written. *Pending*: in the cache, and on the medium or not, as a power loss may
//! have it; the next sync that succeeds settles it. *Settled*: on the medium. *Lost*: a sync failed; the cache says that
//! it is clean and goes on showing it, and no later sync brings it to the medium.

use std::sync::Arc;

use super::content::{Content, PAGE_BYTES, PAGE_SECTORS, Page, SECTOR_BYTES, Sectors, index};

/// A file.
#[derive(Clone, Default)]
pub(crate) struct Inode {
    /// As running processes see it.
    pub(crate) cache: Content,
    /// As it certainly is after a power loss, but for what is pending.
    pub(crate) medium: Content,
    /// In the order in which it was written.
    pub(crate) pending: Vec<Pending>,
}

/// Something written that no sync has settled yet.
#[derive(Clone)]
pub(crate) struct Pending {
    /// The call that wrote it.
    pub(crate) call: u64,
    pub(crate) change: Change,
}

#[derive(Clone)]
pub(crate) enum Change {
    /// These sectors of a page, with the page as it was in the cache then.
    Page { at: usize, page: Arc<Page>, sectors: Sectors },
    /// The file became this long.
    Length(u64),
}

impl Inode {
    /// A file that is on the medium, and only there.
    pub(crate) fn settled(content: Content) -> Self {
        Self { cache: content.clone(), medium: content, pending: Vec::new() }
    }

    /// Makes the file at least `length` bytes long.
    pub(crate) fn extend(&mut self, call: u64, length: u64) {
        if length > self.cache.length {
            self.cache.set_length(length);
            self.pending.push(Pending { call, change: Change::Length(length) });
        }
    }

    pub(crate) fn write(&mut self, call: u64, offset: u64, bytes: &[u8]) {
        self.extend(call, offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let from = index(offset) + done;
            let (at, within) = (from / PAGE_BYTES, from % PAGE_BYTES);
            let count = (PAGE_BYTES - within).min(bytes.len() - done);
            let mut page = *self.cache.page(at).bytes();
            page[within..within + count].copy_from_slice(&bytes[done..done + count]);
            let page = Page::new(page);
            self.cache.set_page(at, Arc::clone(&page));
            let sectors = sectors(within, within + count);
            self.pending.push(Pending { call, change: Change::Page { at, page, sectors } });
            done += count;
        }
    }

    /// What was written last never reaches the medium, although nobody was told: a lost write.
    pub(crate) fn lose(&mut self, call: u64) {
        self.pending.retain(|pending| pending.call != call || matches!(pending.change, Change::Length(_)));
    }

    /// A sync that began with call `before` succeeded.
    pub(crate) fn settle(&mut self, before: u64) {
        let medium = &mut self.medium;
        self.pending.retain(|pending| {
            let is_covered = pending.call < before;
            if is_covered {
                pending.change.apply(medium);
            }
            !is_covered
        });
    }

    /// A sync that began with call `before` failed. `is_lost` tosses for every page that was dirty.
    pub(crate) fn fail(&mut self, before: u64, mut is_lost: impl FnMut() -> bool) {
        self.pending.retain(|pending| {
            let is_data = matches!(pending.change, Change::Page { .. });
            !(is_data && pending.call < before && is_lost())
        });
    }

    /// Forgets cached pages from `from` to `to` that are not dirty: the next look at them shows the medium.
    pub(crate) fn drop_cache(&mut self, from: u64, to: u64) {
        let is_dirty = |at| {
            let same =
                |pending: &Pending| matches!(pending.change, Change::Page { at: dirty, .. } if dirty == at);
            self.pending.iter().any(same)
        };
        let first = index(from) / PAGE_BYTES;
        let end = self.cache.pages.len().min(usize::try_from(to).unwrap_or(usize::MAX).div_ceil(PAGE_BYTES));
        let clean: Vec<_> = (first..end).filter(|at| !is_dirty(*at)).collect();
        for at in clean {
            self.cache.set_page(at, self.medium.page(at));
        }
    }
}

impl Change {
    fn apply(&self, medium: &mut Content) {
        match self {
            Self::Length(length) => medium.set_length(medium.length.max(*length)),
            Self::Page { at, page, sectors } => {
                let settled = medium.page(*at).with_sectors(page, *sectors);
                medium.set_page(*at, settled);
            }
        }
    }
}

/// The sectors of a page that its bytes from `from` to `to` touch.
fn sectors(from: usize, to: usize) -> Sectors {
    let touched = from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES);
    (0..PAGE_SECTORS).filter(|sector| touched.contains(sector)).fold(0, |set, sector| set | 1 << sector)
}
