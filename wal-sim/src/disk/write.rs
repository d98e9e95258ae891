//! The disk as a `Storage`: what the append side does to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_writer::{Storage, StorageFile};

use super::fault::{CallKind, Effect};
use super::inode::Inode;
use super::names::{FileId, NameChange};
use super::{SimDisk, State};

impl Storage for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.perform(CallKind::Create, name, true, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            if state.files.directory.cache.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.inodes.push(Arc::new(Inode::default()));
            let file = state.files.inodes.len() - 1;
            state.change_names(begun.call, NameChange::Create(name.into(), file));
            Ok(file)
        })?;
        Ok(self.writable(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.perform(CallKind::Open, name, false, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            state.file(name)
        })?;
        Ok(self.writable(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.perform(CallKind::Rename, from, true, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            let file = state.file(from)?;
            state.change_names(begun.call, NameChange::Rename(from.into(), to.into(), file));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(CallKind::Remove, name, true, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            state.file(name)?;
            state.change_names(begun.call, NameChange::Remove(name.into()));
            Ok(())
        })
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.perform(CallKind::SyncDirectory, ".", true, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            Arc::make_mut(&mut state.files.directory).settle(begun.call);
            Ok(())
        })
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.shared.state.lock();
        state.check_alive(self.process)?;
        if state.locks.contains_key(name) {
            return Ok(None);
        }
        state.locks.insert(name.to_owned(), self.process);
        Ok(Some(Box::new(Lock { disk: self.clone(), name: name.to_owned() })))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("simulated").join(name)
    }
}

impl SimDisk {
    fn writable(&self, name: &str, file: FileId) -> Arc<dyn StorageFile> {
        Arc::new(Writable { disk: self.clone(), name: name.to_owned(), file })
    }
}

impl State {
    fn change_names(&mut self, call: u64, change: NameChange) {
        Arc::make_mut(&mut self.files.directory).change(call, change);
    }
}

struct Lock {
    disk: SimDisk,
    name: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.shared.state.lock();
        if state.locks.get(&self.name) == Some(&self.disk.process) {
            state.locks.remove(&self.name);
        }
    }
}

struct Writable {
    disk: SimDisk,
    /// The name under which it was opened, for hooks.
    name: String,
    file: FileId,
}

impl StorageFile for Writable {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.perform(CallKind::Write, &self.name, true, |state, begun| {
            let bytes = &bytes[..begun.part(bytes.len())];
            state.check_space(self.file, offset + bytes.len() as u64)?;
            if let Some(error) = begun.error() {
                let part = state.random.below(2 * bytes.len() as u64 + 1);
                let part = usize::try_from(part).unwrap_or(0).saturating_sub(bytes.len());
                state.inode(self.file).write(begun.call, offset, &bytes[..part]);
                return Err(error);
            }
            let inode = state.inode(self.file);
            inode.write(begun.call, offset, bytes);
            if begun.effect == Some(Effect::Lost) {
                inode.lose(begun.call);
            }
            Ok(bytes.len())
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.disk.perform(CallKind::Allocate, &self.name, true, |state, begun| {
            begun.error().map_or(Ok(()), Err)?;
            state.check_space(self.file, length)?;
            state.inode(self.file).extend(begun.call, length);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.perform(CallKind::Sync, &self.name, true, |state, begun| state.sync(self.file, begun))
    }
}
