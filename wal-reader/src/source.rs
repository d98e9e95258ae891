//! The seam between reading and the file system: few methods, so that tests can stand in for every fault.
//!
//! Implementations do one system call per method and report what it did; loops over short and interrupted reads are
//! above the seam, in [`read_full`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log directory, for reading.
pub trait Source: Send + Sync {
    /// Names of all files in it, in any order.
    ///
    /// # Errors
    /// Whatever the system says; `NotFound` if there is no such directory.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Whatever the system says; `NotFound` if there is no such file.
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>>;

    /// The file's path, for messages; the directory's own if `name` is empty.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file of a log directory, open for reading.
///
/// Reads show what was written to the file, by whichever process, also where the medium does not have it. Recovery relies on
/// that: a frame that does not show it does not look for behind a cache. Not a file system, then, whose cache does not see
/// what another machine writes.
pub trait SourceFile: Send + Sync {
    /// Bytes in it now.
    ///
    /// # Errors
    /// Whatever the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it is empty now.
    ///
    /// # Errors
    /// Whatever the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads some bytes at `offset`; 0 at the end of the file. May be short, may be interrupted: see [`read_full`].
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes durable whatever the file's cache holds, by whoever it was written.
    ///
    /// # Errors
    /// Whatever the system says. Never to be retried.
    fn sync(&self) -> io::Result<()>;

    /// Drops cached bytes from `from` to `to`, and some around them if need be, so that the next read of them shows the
    /// medium. After a failed sync, the cache may show what the medium does not have.
    ///
    /// # Errors
    /// Whatever the system says.
    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()>;
}

/// Fills as much of `buf` as the file has from `offset` on; less only at the end of the file.
///
/// # Errors
/// Whatever the system says, except an interruption: that is repeated.
pub fn read_full(file: &dyn SourceFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file that several read.
pub(crate) struct SharedFile(pub(crate) Arc<dyn SourceFile>);

impl SourceFile for SharedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        self.0.drop_cache(from, to)
    }
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`. Nothing is opened yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_path_buf())
    }
}

impl Source for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(DirectoryFile(File::open(self.path(name))?)))
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

struct DirectoryFile(File);

impl SourceFile for DirectoryFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        let page_bytes = rustix::param::page_size() as u64;
        let aligned = first_folio_of(from, page_bytes);
        // To the end of the file, if there is none.
        let end = to.checked_add(page_bytes << 11).map(|behind| first_folio_of(behind, page_bytes));
        let length = end.and_then(|end| NonZero::new(end - aligned));
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        rustix::fs::fadvise(&self.0, aligned, length, rustix::fs::Advice::DontNeed)?;
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let _ = (aligned, length);
        Ok(())
    }
}

/// Where the largest folio (piece of the page cache) that may hold `offset` begins. The kernel silently keeps one that is
/// to be dropped in part, and makes them as large as the writes that filled the file. None is larger than 2^11 pages
/// (`MAX_XAS_ORDER`), and each begins at a multiple of its length.
fn first_folio_of(offset: u64, page_bytes: u64) -> u64 {
    offset - offset % (page_bytes << 11)
}

/// A directory in memory: for tests, fuzzing, and logs that arrive by other means than a file system.
///
/// Clones share their files until one of them is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemorySource {
    files: BTreeMap<String, Arc<Vec<u8>>>,
}

impl MemorySource {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates or replaces a file.
    pub fn insert(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(name.into(), Arc::new(bytes));
    }

    /// Removes a file and returns its bytes, if there was one.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files.remove(name).map(Arc::unwrap_or_clone)
    }

    /// A file's bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|bytes| bytes.as_slice())
    }

    /// A file's bytes, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.files.get_mut(name).map(Arc::make_mut)
    }

    /// All files, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

impl Source for MemorySource {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let bytes = self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile(Arc::clone(bytes))))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("memory").join(name)
    }
}

struct MemoryFile(Arc<Vec<u8>>);

impl SourceFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = buf.len().min(self.0.len() - from);
        buf[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_the_cache_that_is_covered_in_part_is_dropped_whole() {
        const MIB: u64 = 1 << 20;
        for (offset, at_4_kib, at_64_kib) in [
            (0, 0, 0),
            (1, 0, 0),
            (8 * MIB - 1, 0, 0),
            (8 * MIB, 8 * MIB, 0),
            (20 * MIB, 16 * MIB, 0),
            (128 * MIB, 128 * MIB, 128 * MIB),
            (150 * MIB, 144 * MIB, 128 * MIB),
        ] {
            assert_eq!(first_folio_of(offset, 4096), at_4_kib, "{offset}");
            assert_eq!(first_folio_of(offset, 65_536), at_64_kib, "{offset}");
        }
    }

    #[test]
    fn a_file_that_several_read_is_the_file_itself() {
        use crate::testing::{Faults, FaultySource};
        let mut memory = MemorySource::new();
        memory.insert("file", b"content".to_vec());
        let source = FaultySource::new(Arc::new(memory), Faults::default());
        let file = SharedFile(Arc::from(source.open("file").unwrap()));
        let mut bytes = [0; 3];
        assert_eq!((file.len().unwrap(), file.read_at(&mut bytes, 4).unwrap()), (7, 3));
        assert_eq!(&bytes, b"ent");
        file.sync().unwrap();
        file.drop_cache(5, 7).unwrap();
        assert_eq!(source.log(), ["sync file", "drop file 5 to 7"]);
    }
}
