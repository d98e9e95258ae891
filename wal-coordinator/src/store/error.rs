//! Why a checkpoint could not be stored, by what the caller can do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use wal_reader::ReadError;
use wal_writer::storage::Storage;

/// The checkpoint was not stored. The previous one is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The changes, or a run of the previous checkpoint, could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A call to the file system failed. Out of space: free some and make the checkpoint again.
    #[error("cannot {operation} {}: {source}", path.display())]
    Write {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The engine's own store failed.
    #[error("the engine's store failed: {0}")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// A failed call on the file `name`, or on the directory if `name` is empty.
    pub(super) fn write(
        operation: &'static str,
        storage: &dyn Storage,
        name: &str,
        source: io::Error,
    ) -> Self {
        Self::Write { operation, path: storage.path(name), source }
    }
}
