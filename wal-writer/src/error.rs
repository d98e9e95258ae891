//! What can go wrong on the append side, by what the caller can do about it.
//!
//! A message is the whole story in one line: what failed, where, why, what that means for the call, and what to do.
//! So `source()` gives only what the message leaves out, and a chain of errors that is printed says nothing twice. Who
//! passes a failure on as the reason for another quotes [`WriterError::what`], since meaning and advice are its own then.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use wal_format::{CoreId, Sequence};

use crate::storage::remedy;

/// Why an append or a sync did not do what it was asked. `Clone`: every waiter gets to see the same failure.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum WriterError {
    /// A call to the file system failed. Nothing was acknowledged; the caller may try again.
    #[error(
        "{}: this call accepted and acknowledged nothing, what was accepted before is kept; {}, then call again",
        self.what(), remedy(cause)
    )]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the file system said.
        cause: Arc<io::Error>,
    },
    /// There is no space for more of the log. Everything accepted so far is kept; appends work again when there is
    /// room.
    #[error(
        "{}: this call accepted and acknowledged nothing, what was accepted before is kept; \
         free some space or make a checkpoint, then call again",
        self.what()
    )]
    NoSpace {
        /// The file that would have been made or extended.
        path: PathBuf,
        /// Bytes that it needs.
        needed_bytes: u64,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// The entry, or the batch as a whole, is larger than a frame may be. It was not accepted.
    #[error(
        "an entry or batch of {bytes} bytes is larger than the {max} bytes that one frame can hold: split it"
    )]
    EntryTooLarge {
        /// Encoded size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The name of a source is longer than readers accept. The commit was not accepted.
    #[error("the name of a source has more than {max} bytes")]
    SourceNameTooLong {
        /// The limit.
        max: usize,
    },
    /// A sync failed and the log could not go on elsewhere. Nothing from `since` on is durable, or ever will be.
    #[error("{}; stop, replace the medium, and recover", self.what())]
    Poisoned {
        /// The core.
        core: CoreId,
        /// First sequence number that is not durable.
        since: Sequence,
        /// What failed.
        cause: Arc<WriterError>,
    },
    /// The log was closed while this was waited for, or before it was called.
    #[error("the log of core {core} is closed: open it again")]
    Closed {
        /// The core.
        core: CoreId,
    },
}

/// The message: what `unwrap`, `expect` and a `main` that returns an error print is all that many a user sees.
impl fmt::Debug for WriterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl WriterError {
    /// What failed, where and why, without what it means for the caller of this crate and what to do: for messages of
    /// whoever failed because of it.
    #[must_use]
    pub fn what(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| match self {
            Self::Io { operation, path, cause } => {
                write!(f, "cannot {operation} {}: {cause}", path.display())
            }
            Self::NoSpace { path, needed_bytes, .. } => {
                write!(f, "no space to preallocate {needed_bytes} bytes for {}", path.display())
            }
            Self::Poisoned { core, since, cause } => {
                write!(
                    f,
                    "core {core} is poisoned: nothing from sequence {since} on is durable ({})",
                    cause.what()
                )
            }
            Self::Closed { core } => write!(f, "the log of core {core} is closed"),
            // The entry alone is at fault.
            Self::EntryTooLarge { .. } | Self::SourceNameTooLong { .. } => write!(f, "{self}"),
        })
    }

    pub(crate) fn io(operation: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self::Io { operation, path, cause: Arc::new(source) }
    }

    /// An error of a call that reserves space: out of space is a condition of its own.
    pub(crate) fn space(
        operation: &'static str,
        path: PathBuf,
        needed_bytes: u64,
        source: io::Error,
    ) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, needed_bytes, source: Arc::new(source) }
            }
            _ => Self::io(operation, path, source),
        }
    }
}
