//! What is left of the files at some moment, with nothing undecided; and damage done to it.

use std::sync::Arc;

use super::Files;
use super::content::{Content, PAGE_BYTES, Page, SECTOR_BYTES, mix};
use super::inode::Inode;
use super::names::{Directory, FileId, Names};

/// The files of a directory. Clones and disks made from it share what nobody changes.
#[derive(Clone, Default)]
pub struct Image {
    pub(crate) names: Names,
    pub(crate) inodes: Vec<Arc<Inode>>,
}

impl Image {
    /// Files with these names and bytes.
    pub fn of_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut image = Self::default();
        for (name, bytes) in files {
            image.set(&name, &bytes);
        }
        image
    }

    pub(crate) fn cached(files: &Files) -> Self {
        let settled = |inode: &Arc<Inode>| Arc::new(Inode::settled(inode.cache.clone()));
        Self { names: files.directory.cache.clone(), inodes: files.inodes.iter().map(settled).collect() }
    }

    pub(crate) fn files(&self) -> Files {
        Files { inodes: self.inodes.clone(), directory: Arc::new(Directory::settled(self.names.clone())) }
    }

    /// The names of all files, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Whether there is a file of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// A file's bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.content(name).map(Content::to_bytes)
    }

    /// A file's length in bytes, 0 if there is none.
    #[must_use]
    pub fn length(&self, name: &str) -> u64 {
        self.content(name).map_or(0, |content| content.length)
    }

    /// The bytes of one sector; zeros where there are none.
    #[must_use]
    pub fn sector(&self, name: &str, sector: usize) -> [u8; SECTOR_BYTES] {
        let mut bytes = [0; SECTOR_BYTES];
        if let Some(content) = self.content(name) {
            content.read(&mut bytes, (sector * SECTOR_BYTES) as u64);
        }
        bytes
    }

    /// Creates or replaces a file.
    pub fn set(&mut self, name: &str, bytes: &[u8]) {
        self.put(name, Content::from_bytes(bytes));
    }

    /// Writes over one sector, or over as much of it as the file has.
    pub fn set_sector(&mut self, name: &str, sector: usize, bytes: &[u8; SECTOR_BYTES]) {
        self.change(name, sector * SECTOR_BYTES, |at| at.copy_from_slice(bytes));
    }

    /// Flips one bit of a file.
    pub fn flip(&mut self, name: &str, byte: usize, bit: u8) {
        self.change(name, byte / SECTOR_BYTES * SECTOR_BYTES, |sector| {
            sector[byte % SECTOR_BYTES] ^= 1 << bit
        });
    }

    /// Exchanges the contents of two files: each stands under the other's name.
    pub fn swap(&mut self, one: &str, other: &str) {
        let files = (self.names.get(one).copied(), self.names.get(other).copied());
        if let (Some(first), Some(second)) = files {
            self.names.insert(one.into(), second);
            self.names.insert(other.into(), first);
        }
    }

    /// Removes a file.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// A number that two different images share by accident only.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.names.iter().fold(self.names.len() as u64, |hash, (name, file)| {
            let name = name.bytes().fold(hash, |hash, byte| mix(hash ^ u64::from(byte)));
            mix(name ^ self.inodes[*file].medium.hash())
        })
    }

    fn content(&self, name: &str) -> Option<&Content> {
        self.names.get(name).map(|file| &self.inodes[*file].medium)
    }

    fn put(&mut self, name: &str, content: Content) {
        let file: FileId = self.inodes.len();
        self.inodes.push(Arc::new(Inode::settled(content)));
        self.names.insert(name.into(), file);
    }

    fn change(&mut self, name: &str, offset: usize, change: impl FnOnce(&mut [u8])) {
        let Some(file) = self.names.get(name).copied() else { return };
        let mut content = self.inodes[file].medium.clone();
        let mut page = *content.page(offset / PAGE_BYTES).bytes();
        let within = offset % PAGE_BYTES;
        change(&mut page[within..within + SECTOR_BYTES]);
        // Nothing stands beyond the end of a file.
        let length = content.length.saturating_sub((offset - within) as u64);
        let length = usize::try_from(length).map_or(PAGE_BYTES, |length| length.min(PAGE_BYTES));
        page[length..].fill(0);
        content.set_page(offset / PAGE_BYTES, Page::new(page));
        self.inodes[file] = Arc::new(Inode::settled(content));
    }
}
