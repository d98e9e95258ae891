//! Why bytes are not what they should be.

use thiserror::Error;

/// Bytes that cannot be decoded, and what that means for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The magic number is not there: another kind of file, or overwritten.
    #[error(
        "{what} does not start with its magic number: this is not a file of this format, or its start is damaged"
    )]
    Magic {
        /// The structure that was expected.
        what: &'static str,
    },
    /// Intact, but written by a newer version of this library.
    #[error("{what} has format version {found}, this library reads version {supported}: use a newer release")]
    Version {
        /// The structure that was read.
        what: &'static str,
        /// Major version found.
        found: u16,
        /// Major version that this library reads.
        supported: u16,
    },
    /// Intact, but uses a feature that this version does not have.
    #[error("{what} has flags {flags:#04x} that this version does not know: use a newer release")]
    Flags {
        /// The structure that was read.
        what: &'static str,
        /// All flags found.
        flags: u32,
    },
    /// The checksum does not fit the bytes.
    #[error("checksum of {what} is {found:#010x}, expected {expected:#010x}: the bytes are damaged")]
    Checksum {
        /// The structure that was read.
        what: &'static str,
        /// Computed from the bytes.
        expected: u32,
        /// Stored with the bytes.
        found: u32,
    },
    /// There is not enough memory for what was decoded. Says nothing about the bytes.
    #[error("cannot allocate {bytes} bytes for {what}: try again with more memory")]
    OutOfMemory {
        /// The structure that was read.
        what: &'static str,
        /// What was asked for: in proportion to the bytes at hand.
        bytes: usize,
    },
    /// The checksum holds, or does not apply, and yet a field has no meaning.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// The structure that was read.
        what: &'static str,
        /// The field and what is wrong with it.
        detail: &'static str,
    },
}

impl FormatError {
    pub(crate) const fn malformed(what: &'static str, detail: &'static str) -> Self {
        Self::Malformed { what, detail }
    }
}
