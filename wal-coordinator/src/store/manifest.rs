//! Publishing the manifest: the one step that makes a checkpoint the current one (`FORMAT.md#manifest`).

use std::io;

use wal_format::limits::MANIFEST_BYTES_MAX;
use wal_format::{FileName, Manifest, names};
use wal_writer::storage::{Storage, uninterrupted, write_all_at};

use super::error::StoreError;

/// Replaces the manifest as a whole: temporary file, sync, rename, directory sync. On return it is durable.
///
/// What it names must be durable before.
///
/// # Errors
/// [`StoreError::Write`]. If the operation is `rename` or `sync`, either manifest may be the one that a power loss
/// leaves: both are whole, so remove nothing that either names until a later one was published.
pub fn publish_manifest(storage: &dyn Storage, manifest: &Manifest) -> Result<(), StoreError> {
    let temporary = FileName::Temporary(names::MANIFEST).to_string();
    let failed = |operation, error| StoreError::write(operation, &storage.path(&temporary), error);
    let bytes = manifest.encode();
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        let reason = format!("{} bytes are more than any reader accepts", bytes.len());
        return Err(failed("write", io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    // One that a crash left is in the way.
    match uninterrupted(|| storage.remove(&temporary)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", error)),
        _ => {}
    }
    let file = uninterrupted(|| storage.create(&temporary)).map_err(|error| failed("create", error))?;
    let written = write_all_at(&*file, &bytes, 0)
        .map_err(|error| failed("write", error))
        // Not repeated when interrupted: whether a sync that failed can be believed the next time is nowhere said.
        .and_then(|()| file.sync_data().map_err(|error| failed("sync", error)))
        .and_then(|()| {
            uninterrupted(|| storage.rename(&temporary, names::MANIFEST))
                .map_err(|error| failed("rename", error))
        });
    if let Err(error) = written {
        // Best effort: the next attempt removes it too.
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    storage.sync_directory().map_err(|error| StoreError::write("sync", &storage.path(""), error))
}
