//! The disk as a `Source`: what the read side sees of it, which is the cache.

use std::io;
use std::path::{Path, PathBuf};

use wal_reader::{Source, SourceFile};

use super::SimDisk;
use super::fault::CallKind;
use super::names::FileId;

impl Source for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.perform(CallKind::List, "", false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            Ok(state.files.directory.cache.keys().map(|name| (**name).to_owned()).collect())
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let file = self.perform(CallKind::OpenToRead, name, false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            state.file(name)
        })?;
        Ok(Box::new(Readable { disk: self.clone(), name: name.to_owned(), file }))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("simulated").join(name)
    }
}

struct Readable {
    disk: SimDisk,
    name: String,
    file: FileId,
}

impl SourceFile for Readable {
    fn len(&self) -> io::Result<u64> {
        self.disk.perform(CallKind::Length, &self.name, false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            Ok(state.files.inodes[self.file].cache.length)
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.perform(CallKind::Read, &self.name, false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            let part = begun.part(buffer.len());
            Ok(state.files.inodes[self.file].cache.read(&mut buffer[..part], offset))
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.perform(CallKind::SyncInherited, &self.name, true, |state, begun| {
            if begun.error().is_none() && state.files.inodes[self.file].pending.is_empty() {
                return Ok(());
            }
            state.sync(self.file, begun)
        })
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        self.disk.perform(CallKind::DropCache, &self.name, false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            state.inode(self.file).drop_cache(from, to);
            Ok(())
        })
    }
}
