//! Replacing a small file as a whole, so that a crash leaves the old one or the new one and never a part.

use std::io;
use std::path::PathBuf;

use wal_format::{FileName, names};
use wal_writer::Storage;
use wal_writer::stall::{self, Place};
use wal_writer::storage::{uninterrupted, write_all_at};

/// Which step failed, on which file.
pub(crate) struct ReplaceError {
    pub(crate) operation: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Makes `bytes` the content of the file `target`, durably: temporary file, write, fsync, rename, directory fsync.
pub(crate) fn replace(storage: &dyn Storage, target: &'static str, bytes: &[u8]) -> Result<(), ReplaceError> {
    let temporary = FileName::Temporary(target).to_string();
    let failed = |operation, source| ReplaceError { operation, path: storage.path(&temporary), source };
    let at = |meta, manifest| stall::at(if target == names::META { meta } else { manifest });
    // One that a crash left is in the way.
    match uninterrupted(|| storage.remove(&temporary)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", error)),
        _ => {}
    }
    let file = uninterrupted(|| storage.create(&temporary)).map_err(|error| failed("create", error))?;
    at(Place::MetaCreated, Place::ManifestCreated);
    let written = write_all_at(&*file, bytes, 0)
        .map_err(|error| failed("write", error))
        .and_then(|()| {
            at(Place::MetaWritten, Place::ManifestWritten);
            uninterrupted(|| file.sync_data()).map_err(|error| failed("sync", error))
        })
        .and_then(|()| {
            at(Place::MetaSynced, Place::ManifestSynced);
            uninterrupted(|| storage.rename(&temporary, target)).map_err(|error| failed("rename", error))
        });
    if let Err(error) = written {
        // Best effort: the next attempt removes it too.
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    at(Place::MetaRenamed, Place::ManifestRenamed);
    let path = storage.path("");
    storage.sync_directory().map_err(|source| ReplaceError { operation: "sync", path, source })?;
    at(Place::MetaDurable, Place::ManifestDurable);
    Ok(())
}
