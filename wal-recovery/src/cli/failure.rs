//! Why a subcommand could not say what it was asked for, and the exit code of each reason.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use wal_reader::{FollowError, ReadError};

use crate::error::RecoveryError;

/// Something of the log is damaged, missing or different.
pub(super) const DAMAGED: u8 = 1;
/// The arguments make no sense, or name something that this program cannot read by design.
pub(super) const USAGE: u8 = 2;
/// The operating system refused.
pub(super) const IO: u8 = 3;

/// Why a subcommand stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// The arguments make no sense together, or for this directory.
    Usage(String),
    /// Reading the log failed: damaged, of another kind, or refused by the system, as the error says.
    Log(RecoveryError),
    /// Reading or writing a file beside the log failed.
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// An engine released what was being read: nothing is known of it.
    Moving(String),
    /// The log is not any more what was followed.
    Follow(FollowError),
    /// A copy does not read back as it was written.
    Copy(String),
    /// Writing to standard output failed.
    Output(io::Error),
}

impl Failure {
    pub(super) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }

    /// What this means if an engine runs: damage that one look finds while files are released is none.
    pub(super) fn while_running(self) -> Self {
        match self {
            Self::Log(RecoveryError::Read(error)) if is_of_released(&error) => {
                Self::Moving("the log".to_owned())
            }
            other => other,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Log(error) => code_of(error),
            Self::Follow(_) => DAMAGED,
            Self::File { .. } | Self::Moving(_) | Self::Copy(_) | Self::Output(_) => IO,
        }
    }
}

fn code_of(error: &RecoveryError) -> u8 {
    match error {
        RecoveryError::NotFound { .. }
        | RecoveryError::BeforeCheckpoint { .. }
        | RecoveryError::ExternalState { .. } => USAGE,
        RecoveryError::CheckpointMissing { .. } | RecoveryError::CheckpointCorrupt { .. } => DAMAGED,
        RecoveryError::Read(error) => match error {
            ReadError::Io { .. } | ReadError::OutOfMemory { .. } => IO,
            ReadError::Format { cause, .. } if is_newer(cause) => USAGE,
            _ => DAMAGED,
        },
        RecoveryError::Replay(_) | RecoveryError::OutOfMemory { .. } | RecoveryError::Overtaken { .. } => IO,
    }
}

/// What reading a file meets that is removed or used again meanwhile.
fn is_of_released(error: &ReadError) -> bool {
    match error {
        ReadError::Io { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
        ReadError::Corrupt(_)
        | ReadError::Missing(_)
        | ReadError::Misplaced { .. }
        | ReadError::RunMissing { .. }
        | ReadError::RunCorrupt { .. } => true,
        _ => false,
    }
}

/// Intact, but of a format that this program does not know.
fn is_newer(error: &wal_format::FormatError) -> bool {
    matches!(error, wal_format::FormatError::Version { .. } | wal_format::FormatError::Flags { .. })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Copy(message) => f.write_str(message),
            Self::Log(error) => error.fmt(f),
            Self::Follow(error) => error.fmt(f),
            Self::Moving(what) => write!(
                f,
                "{what} was checkpointed and released by the running engine while it was read: try again"
            ),
            Self::File { operation, path, source } => {
                write!(f, "cannot {operation} {}: {source}", path.display())
            }
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        Self::Log(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Log(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, FormatError, SegmentNumber, Sequence};
    use wal_reader::Defect;

    fn defect() -> Box<Defect> {
        Box::new(Defect {
            path: PathBuf::new(),
            core: CoreId(0),
            segment: SegmentNumber(0),
            offset: 0,
            sequence: Sequence(0),
            sequence_end: None,
            evidence: None,
            reason: String::new(),
        })
    }

    fn io(kind: io::ErrorKind) -> ReadError {
        ReadError::Io { operation: "read", path: PathBuf::new(), cause: kind.into() }
    }

    fn format(cause: FormatError) -> ReadError {
        ReadError::Format { path: PathBuf::new(), cause }
    }

    #[test]
    fn every_error_of_reading_has_its_code_and_some_mean_nothing_while_an_engine_runs() {
        let path = PathBuf::new;
        let (core, segment) = (CoreId(0), SegmentNumber(0));
        let malformed = FormatError::Malformed { what: "frame", detail: "" };
        for (error, code, is_of_released) in [
            (io(io::ErrorKind::NotFound), IO, true),
            (io(io::ErrorKind::PermissionDenied), IO, false),
            (ReadError::OutOfMemory { path: path(), bytes: 1 }, IO, false),
            (ReadError::Corrupt(defect()), DAMAGED, true),
            (ReadError::Missing(defect()), DAMAGED, true),
            (ReadError::Misplaced { path: path(), core, segment }, DAMAGED, true),
            (ReadError::RunMissing { path: path(), run: 0 }, DAMAGED, true),
            (ReadError::RunCorrupt { path: path(), run: 0, offset: 0, reason: String::new() }, DAMAGED, true),
            (format(malformed), DAMAGED, false),
            (format(FormatError::Version { what: "segment", found: 9, supported: 1 }), USAGE, false),
        ] {
            let what = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit_code(), code, "{what}");
            let failure = failure.while_running();
            assert_eq!(matches!(failure, Failure::Moving(_)), is_of_released, "{what}");
            assert_eq!(failure.exit_code(), if is_of_released { IO } else { code }, "{what}");
        }
    }
}
