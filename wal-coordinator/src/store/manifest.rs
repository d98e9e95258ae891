//! Publishing the manifest: the one step that makes a checkpoint the current one (`FORMAT.md#manifest`).

use std::io;

use wal_format::limits::MANIFEST_BYTES_MAX;
use wal_format::{FileName, Manifest, names};
use wal_writer::storage::Storage;

use super::error::StoreError;
use super::replace::{ReplaceError, replace};

/// Replaces the manifest as a whole: temporary file, sync, rename, directory sync. On return it is durable.
///
/// What it names must be durable before.
///
/// # Errors
/// [`StoreError::NoSpace`], [`StoreError::Write`]. If it was the rename, or the sync of the directory, either manifest may
/// be the one that a power loss leaves: both are whole, so remove nothing that either names until a later one was
/// published.
pub fn publish_manifest(storage: &dyn Storage, manifest: &Manifest) -> Result<(), StoreError> {
    let bytes = manifest.encode();
    check_size(bytes.len() as u64).map_err(|error| {
        let path = storage.path(&FileName::Temporary(names::MANIFEST).to_string());
        StoreError::write("write", &path, error)
    })?;
    replace(storage, names::MANIFEST, &bytes).map_err(|ReplaceError { operation, path, source }| {
        StoreError::space(operation, &path, bytes.len() as u64, source)
    })
}

fn check_size(bytes: u64) -> io::Result<()> {
    if bytes > MANIFEST_BYTES_MAX {
        let reason = format!("{bytes} bytes are more than any reader accepts");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_readers_accept() {
        check_size(1).unwrap();
        check_size(MANIFEST_BYTES_MAX).unwrap();
        for bytes in [MANIFEST_BYTES_MAX + 1, u64::MAX] {
            assert_eq!(check_size(bytes).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
