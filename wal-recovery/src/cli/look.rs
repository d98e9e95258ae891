//! The log directory as `wal` reads it: every byte counted for the progress line, and no engine disturbed.
//!
//! Recovery syncs what it inherits and drops it from the page cache before it believes it (write-ordering rule 8). On a
//! log that somebody writes to, that would be work taken from the engine for nothing: what is not durable there is
//! being written this moment. So both are left out while an engine runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_reader::{Directory, Source, SourceFile};

use super::progress::Progress;

/// A directory, looked at.
pub(super) struct Look {
    inner: Directory,
    /// Sync and drop the cache, as recovery would.
    settles: bool,
    progress: Arc<Progress>,
}

struct LookFile {
    inner: Box<dyn SourceFile>,
    settles: bool,
    progress: Arc<Progress>,
}

impl Look {
    pub(super) fn at(path: &Path, settles: bool, progress: &Arc<Progress>) -> Arc<dyn Source> {
        Arc::new(Self { inner: Directory::new(path), settles, progress: Arc::clone(progress) })
    }
}

impl Source for Look {
    fn names(&self) -> io::Result<Vec<String>> {
        self.inner.names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        // Opening a pipe would wait for whoever writes into it.
        if !std::fs::metadata(self.path(name))?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let inner = self.inner.open(name)?;
        Ok(Box::new(LookFile { inner, settles: self.settles, progress: Arc::clone(&self.progress) }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

impl SourceFile for LookFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.inner.read_at(buf, offset)?;
        self.progress.add(count as u64);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        if self.settles { self.inner.sync() } else { Ok(()) }
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        if self.settles { self.inner.drop_cache(from, to) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that can neither be synced nor dropped from the cache.
    struct Refuses;

    impl SourceFile for Refuses {
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }

        fn drop_cache(&self, _: u64, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
    }

    #[test]
    fn a_file_is_settled_only_if_no_engine_may_write_it() {
        for settles in [false, true] {
            let progress = Arc::new(Progress::new(false));
            let file = LookFile { inner: Box::new(Refuses), settles, progress };
            assert_eq!((file.sync().is_err(), file.drop_cache(0, 1).is_err()), (settles, settles));
        }
    }
}
