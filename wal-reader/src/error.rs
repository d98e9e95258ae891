//! Why reading failed, by what the caller can do about it.
//!
//! A message is the whole story in one line, the cause included, so `source()` does not give the cause once more.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;
use wal_format::{CoreId, FormatError, LogId, SegmentNumber, Sequence};

use crate::evidence::{Evidence, Reach};

/// Reading a log failed. How a log *ends* is never one of these: that is an [`Ending`](crate::Ending).
#[derive(Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refused. Says nothing about the log: try again, or look at the medium.
    #[error(
        "cannot {operation} {}: {cause}; this says nothing about the log: {}, then try again",
        path.display(), remedy(cause)
    )]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is not enough memory for a piece of a file that has to be read as a whole: a frame, or the manifest. Says
    /// nothing about the log: try again with more memory.
    #[error("cannot allocate {bytes} bytes to read {}: try again with more memory", path.display())]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// What was asked for. Never more than the file holds.
        bytes: u64,
    },
    /// Bytes that belong to the log are damaged. Restore the file, or recover in salvage mode.
    #[error("corrupt: {0}")]
    Corrupt(Box<Defect>),
    /// Bytes that belong to the log are not there. Restore the file, or recover in salvage mode.
    #[error("missing: {0}")]
    Missing(Box<Defect>),
    /// A segment file holds an intact segment that belongs elsewhere, and no checkpoint has released that. Restore a lost
    /// manifest first: without it, any file that was to be used again looks so. Else put the file back under its own name.
    #[error(
        "{} holds segment {segment} of core {core}, and no checkpoint says that this was released: if checkpoint.manifest is \
         missing, restore that first, for without it every file that was to be used again looks so; else the file was renamed \
         or swapped, so put it back under its own name",
        path.display()
    )]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The core that its header names.
        core: CoreId,
        /// The segment that its header names.
        segment: SegmentNumber,
    },
    /// A file of another log. Remove it from this directory, or give the right directory.
    #[error("{} belongs to log {found}, this is log {expected}: the file is in the wrong directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The log that is being read.
        expected: LogId,
        /// The log that the file names.
        found: LogId,
    },
    /// A checkpoint run that the manifest names is not there. Restore it.
    #[error("checkpoint run {run} is missing: {} does not exist; restore it from a backup", path.display())]
    RunMissing {
        /// Where it should be.
        path: PathBuf,
        /// Its number.
        run: u64,
    },
    /// A checkpoint run is not what the manifest says. Restore it.
    #[error(
        "checkpoint run {run} is corrupt at offset {offset} of {}: {reason}; restore it from a backup",
        path.display()
    )]
    RunCorrupt {
        /// The file.
        path: PathBuf,
        /// Its number.
        run: u64,
        /// Where reading stopped.
        offset: u64,
        /// Which check failed.
        reason: String,
    },
    /// A file as a whole cannot be decoded: damaged, or of a newer version, as the source says.
    #[error("{}: {cause}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// There are segments but no `wal.meta`: an incomplete copy, or not a log directory.
    #[error("{} has log files but no wal.meta: restore wal.meta from a backup, or give another directory", path.display())]
    NotALog {
        /// The directory.
        path: PathBuf,
    },
}

/// The message: what `unwrap`, `expect` and a `main` that returns an error print is all that many a user sees.
impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a core's log, and where.
#[derive(Clone, Debug)]
pub struct Defect {
    /// The file.
    pub path: PathBuf,
    /// The core whose log it is.
    pub core: CoreId,
    /// The segment.
    pub segment: SegmentNumber,
    /// First byte that cannot be read as the log.
    pub offset: u64,
    /// First sequence number that is affected.
    pub sequence: Sequence,
    /// First sequence number after the damage that is known again, if any is.
    pub sequence_end: Option<Sequence>,
    /// What proves that these bytes had been durable; `None` if the caller's own range does.
    pub evidence: Option<Evidence>,
    /// Which check failed.
    pub reason: String,
}

impl ReadError {
    pub(crate) fn io(operation: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), cause }
    }
}

/// What to see to before reading is tried again.
fn remedy(error: &io::Error) -> &'static str {
    match (error.kind(), Errno::from_io_error(error)) {
        (io::ErrorKind::PermissionDenied, _) => "give this process the permission to read",
        (io::ErrorKind::NotFound, _) => "put back what is missing",
        (_, Some(Errno::MFILE)) => "raise the limit on open files (RLIMIT_NOFILE, `ulimit -n`)",
        (_, Some(Errno::NFILE)) => "raise the system's limit on open files (`fs.file-max`)",
        _ => "look at the medium",
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log of core {}, {} at offset {}, ", self.core, self.path.display(), self.offset)?;
        match self.sequence_end {
            Some(end) => write!(f, "sequences {} to below {end}", self.sequence)?,
            None => write!(f, "from sequence {}", self.sequence)?,
        }
        write!(f, ": {}", self.reason)?;
        if let Some(evidence) = &self.evidence {
            write!(f, "; {evidence}")?;
        }
        match self.evidence.map(|evidence| evidence.reach) {
            // This one may be whole, and the next one gone.
            Some(Reach::Place(last, _)) if last > self.segment => {
                write!(f, "; restore this file and those up to segment {last} from a copy")?;
            }
            _ => f.write_str("; restore this file from a copy")?,
        }
        f.write_str(", or recover in salvage mode to take what is intact")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failed_call_comes_with_what_to_do() {
        for (errno, text) in [
            (Errno::ACCESS, "permission to read"),
            (Errno::PERM, "permission to read"),
            (Errno::NOENT, "put back what is missing"),
            (Errno::MFILE, "`ulimit -n`"),
            (Errno::NFILE, "`fs.file-max`"),
            (Errno::IO, "look at the medium"),
        ] {
            let error = ReadError::io("read", Path::new("/log/wal.meta"), errno.into()).to_string();
            assert!(error.contains("/log/wal.meta") && error.contains(text), "{errno}: {error}");
        }
    }
}
