//! Segment files: opening one, and what its header block says (`FORMAT.md#segment-header`).

use std::io;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, FileName, FormatError, HeaderBlock, LogId, SegmentHeader, SegmentNumber};

use crate::error::ReadError;
use crate::source::{Source, SourceFile, read_full};

/// What the header block of a segment file says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Its own header: the file has, or had, a part in the log.
    InUse(SegmentHeader),
    /// Made ahead of use: zeros, or the header of the life before, which is given.
    Prepared(Option<(CoreId, SegmentNumber)>),
    /// A header block that fails a check.
    Damaged(FormatError),
    /// There is no such file, although another segment's header names it.
    Absent,
}

impl SegmentState {
    /// The header, if the file is in use.
    #[must_use]
    pub fn header(&self) -> Option<&SegmentHeader> {
        match self {
            Self::InUse(header) => Some(header),
            Self::Prepared(_) | Self::Damaged(_) | Self::Absent => None,
        }
    }
}

/// The name of a segment's file.
#[must_use]
pub fn segment_name(core: CoreId, segment: SegmentNumber) -> String {
    FileName::Segment(core, segment).to_string()
}

/// Opens a segment's file; `None` if it does not exist.
///
/// # Errors
/// [`ReadError::Io`].
pub fn open_segment(
    source: &dyn Source,
    core: CoreId,
    segment: SegmentNumber,
) -> Result<Option<Box<dyn SourceFile>>, ReadError> {
    let name = segment_name(core, segment);
    match source.open(&name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReadError::io("open", &source.path(&name), error)),
    }
}

/// Reads the header block of a segment file; `None` if the file does not exist.
///
/// # Errors
/// [`ReadError::Io`]; [`ReadError::Foreign`] for an intact header of another log; [`ReadError::Format`] for one of a
/// newer version.
pub fn read_state(
    source: &dyn Source,
    log_id: LogId,
    core: CoreId,
    segment: SegmentNumber,
) -> Result<Option<SegmentState>, ReadError> {
    let Some(file) = open_segment(source, core, segment)? else {
        return Ok(None);
    };
    let path = source.path(&segment_name(core, segment));
    let mut block = vec![0; HEADER_BLOCK_BYTES];
    let filled = read_full(&*file, &mut block, 0).map_err(|error| ReadError::io("read", &path, error))?;
    block.truncate(filled);
    match HeaderBlock::decode(&block) {
        Ok(HeaderBlock::Zero) => Ok(Some(SegmentState::Prepared(None))),
        Ok(HeaderBlock::Header(header)) if header.log_id != log_id => {
            Err(ReadError::Foreign { path, expected: log_id, found: header.log_id })
        }
        Ok(HeaderBlock::Header(header)) if (header.core, header.segment) == (core, segment) => {
            Ok(Some(SegmentState::InUse(header)))
        }
        Ok(HeaderBlock::Header(header)) => {
            Ok(Some(SegmentState::Prepared(Some((header.core, header.segment)))))
        }
        Err(cause @ FormatError::Version { .. }) => Err(ReadError::Format { path, cause }),
        Err(error) => Ok(Some(SegmentState::Damaged(error))),
    }
}
