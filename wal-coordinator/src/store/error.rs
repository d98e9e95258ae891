//! Why a checkpoint could not be stored, by what the caller can do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wal_reader::ReadError;

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
    /// The current checkpoint is in an engine's own store, so runs alone would not be the state. Give that store.
    #[error("the current checkpoint is in the engine's own store: configure that store, not runs")]
    OtherStore,
    /// The engine's own store failed.
    #[error("the engine's store failed: {0}")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    pub(super) fn write(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Write { operation, path: path.to_owned(), source }
    }
}
