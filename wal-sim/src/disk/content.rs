//! The bytes of a file in pages that copies share until one of them is written.

use std::sync::{Arc, OnceLock};

/// The page cache's unit.
pub(crate) const PAGE_BYTES: usize = 4096;
/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Sectors of a page, and bits of a [`Sectors`].
pub(crate) const PAGE_SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;

/// A set of the sectors of one page: bit i is sector i.
pub(crate) type Sectors = u8;

/// One page and the hash of its bytes.
pub(crate) struct Page {
    bytes: [u8; PAGE_BYTES],
    hash: u64,
}

impl Page {
    pub(crate) fn new(bytes: [u8; PAGE_BYTES]) -> Arc<Self> {
        let hash = hash_page(&bytes);
        Arc::new(Self { bytes, hash })
    }

    pub(crate) fn zeros() -> Arc<Self> {
        static ZEROS: OnceLock<Arc<Page>> = OnceLock::new();
        Arc::clone(ZEROS.get_or_init(|| Self::new([0; PAGE_BYTES])))
    }

    pub(crate) fn bytes(&self) -> &[u8; PAGE_BYTES] {
        &self.bytes
    }

    pub(crate) fn sector(&self, sector: usize) -> &[u8] {
        &self.bytes[sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES]
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }

    /// This page with `sectors` of `newer`.
    pub(crate) fn with_sectors(self: &Arc<Self>, newer: &Arc<Self>, sectors: Sectors) -> Arc<Self> {
        if sectors == Sectors::MAX {
            return Arc::clone(newer);
        }
        let mut bytes = self.bytes;
        for sector in (0..PAGE_SECTORS).filter(|sector| sectors & (1 << sector) != 0) {
            bytes[sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES].copy_from_slice(newer.sector(sector));
        }
        if bytes == newer.bytes { Arc::clone(newer) } else { Self::new(bytes) }
    }
}

/// The content of a file. Bytes of the last page beyond `length` are zeros.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) pages: Vec<Arc<Page>>,
    pub(crate) length: u64,
}

impl Content {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let page = |part: &[u8]| {
            let mut page = [0; PAGE_BYTES];
            page[..part.len()].copy_from_slice(part);
            Page::new(page)
        };
        Self { pages: bytes.chunks(PAGE_BYTES).map(page).collect(), length: bytes.len() as u64 }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; index(self.length)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// The page at `at`: zeros where none was written.
    pub(crate) fn page(&self, at: usize) -> Arc<Page> {
        self.pages.get(at).map_or_else(Page::zeros, Arc::clone)
    }

    pub(crate) fn set_page(&mut self, at: usize, page: Arc<Page>) {
        if self.pages.len() <= at {
            self.pages.resize_with(at + 1, Page::zeros);
        }
        self.pages[at] = page;
    }

    /// Makes the file `length` bytes long. Pages beyond are forgotten; new ones are zeros.
    pub(crate) fn set_length(&mut self, length: u64) {
        self.length = length;
        self.pages.resize_with(index(length).div_ceil(PAGE_BYTES), Page::zeros);
    }

    /// Copies bytes from `offset` on; how many there were.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = index(offset.min(self.length));
        let count = buffer.len().min(index(self.length) - from);
        let mut done = 0;
        while done < count {
            let (page, at) = ((from + done) / PAGE_BYTES, (from + done) % PAGE_BYTES);
            let part = (PAGE_BYTES - at).min(count - done);
            buffer[done..done + part].copy_from_slice(&self.pages[page].bytes[at..at + part]);
            done += part;
        }
        count
    }

    pub(crate) fn hash(&self) -> u64 {
        let pages = self.pages.iter().map(|page| page.hash);
        pages.fold(mix(self.length), |hash, page| mix(hash.rotate_left(17) ^ page))
    }
}

/// An offset in memory.
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Spreads a number over all bits.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 32)
}

fn hash_page(bytes: &[u8; PAGE_BYTES]) -> u64 {
    let mut lanes = [1_u64, 2, 3, 4];
    let (words, _) = bytes.as_chunks::<8>();
    for four in words.as_chunks::<4>().0 {
        for (lane, word) in lanes.iter_mut().zip(four) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }
    lanes.into_iter().fold(0, |hash, lane| mix(hash ^ lane))
}
