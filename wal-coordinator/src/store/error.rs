//! Why a checkpoint could not be stored, by what the caller can do about it.
//!
//! A message is the whole story in one line, the cause included, so `source()` does not give the cause once more.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wal_reader::ReadError;
use wal_recovery::{BoxError, with_sources};
use wal_writer::storage::remedy;

/// The checkpoint was not stored. The previous one is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The changes, or a run of the previous checkpoint, could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no space for the checkpoint. Free some and make it again.
    #[error(
        "no space for {needed_bytes} bytes of {}; nothing is lost and the log goes on: free some space, then make the \
         checkpoint again",
        path.display()
    )]
    NoSpace {
        /// The file that would have been made or extended.
        path: PathBuf,
        /// Bytes that were to be stored when space ran out. More may be needed behind them: a run is written as it is
        /// merged.
        needed_bytes: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// A call to the file system failed.
    #[error(
        "cannot {operation} {}: {cause}; nothing is lost and the log goes on: {}, then make the checkpoint again",
        path.display(), remedy(cause)
    )]
    Write {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// The current checkpoint is in an engine's own store, so runs alone would not be the state. Give that store.
    #[error("the current checkpoint is in the engine's own store: configure that store, not runs")]
    OtherStore,
    /// The engine's own store failed.
    #[error("the engine's store failed: {}", with_sources(&**.0))]
    Engine(BoxError),
}

impl StoreError {
    pub(super) fn write(operation: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Write { operation, path: path.to_owned(), cause }
    }

    /// An error of a call that stores `needed_bytes`, or makes what was stored durable: some file systems find out only
    /// then that there is no space.
    pub(super) fn space(operation: &'static str, path: &Path, needed_bytes: u64, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path: path.to_owned(), needed_bytes, source: error }
            }
            _ => Self::write(operation, path, error),
        }
    }
}
