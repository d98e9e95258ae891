//! What is remembered of an operation.

use std::io;
use std::sync::Arc;

/// A file, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// One call through the storage seam.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the parameters of the seam's calls")]
pub enum Operation {
    /// `Storage::create`.
    Create { name: String, file: FileId },
    /// `Storage::open`.
    Open { name: String },
    /// `StorageFile::write_at`, with the bytes that were accepted.
    Write { file: FileId, offset: u64, bytes: Arc<[u8]> },
    /// `StorageFile::allocate`.
    Allocate { file: FileId, length: u64 },
    /// `StorageFile::sync_data`.
    Sync { file: FileId },
    /// `Storage::rename`.
    Rename { from: String, to: String },
    /// `Storage::remove`.
    Remove { name: String },
    /// `Storage::sync_directory`.
    SyncDirectory,
}

/// An operation without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "see `Operation`")]
pub enum OperationKind {
    Create,
    Open,
    Write,
    Allocate,
    Sync,
    Rename,
    Remove,
    SyncDirectory,
}

/// An operation begins, or ends. Others may happen in between, from other threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was called.
    Begin(Operation),
    /// It returned.
    End {
        /// Index of its beginning.
        begin: usize,
        /// Why it failed, if it did.
        error: Option<io::ErrorKind>,
    },
}

impl Operation {
    /// Which call it was.
    #[must_use]
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::Create { .. } => OperationKind::Create,
            Self::Open { .. } => OperationKind::Open,
            Self::Write { .. } => OperationKind::Write,
            Self::Allocate { .. } => OperationKind::Allocate,
            Self::Sync { .. } => OperationKind::Sync,
            Self::Rename { .. } => OperationKind::Rename,
            Self::Remove { .. } => OperationKind::Remove,
            Self::SyncDirectory => OperationKind::SyncDirectory,
        }
    }
}
