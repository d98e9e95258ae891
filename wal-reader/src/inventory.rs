//! What is in a log directory, by name only; and the two small files that describe the whole of it.

use std::collections::BTreeMap;

use wal_format::limits::{MANIFEST_BYTES_MAX, META_BYTES};
use wal_format::{CoreId, FileName, FormatError, LogId, Manifest, Meta, SegmentNumber, names};

use crate::error::ReadError;
use crate::source::{Source, read_full};
use crate::window::grow;

/// The files of a log directory, sorted by what their names say. Content is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// `wal.meta` is there.
    pub meta: bool,
    /// `checkpoint.manifest` is there.
    pub manifest: bool,
    /// Segment numbers of every core that has any, ascending.
    pub segments: BTreeMap<CoreId, Vec<SegmentNumber>>,
    /// Released segments that wait to be used again, ascending.
    pub free: Vec<(CoreId, SegmentNumber)>,
    /// Checkpoint runs, ascending, whether or not a manifest names them.
    pub runs: Vec<u64>,
    /// Unfinished replacements; mean nothing.
    pub temporaries: Vec<String>,
    /// Names that are not of this library: reported, never touched.
    pub unknown: Vec<String>,
}

impl Inventory {
    /// Lists a directory.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn list(source: &dyn Source) -> Result<Self, ReadError> {
        let mut names = source.names().map_err(|error| ReadError::io("list", &source.path(""), error))?;
        names.sort_unstable();
        let mut inventory = Self::default();
        for name in names {
            match FileName::parse(&name) {
                Some(FileName::Lock) => {}
                Some(FileName::Meta) => inventory.meta = true,
                Some(FileName::Manifest) => inventory.manifest = true,
                Some(FileName::Segment(core, segment)) => {
                    inventory.segments.entry(core).or_default().push(segment);
                }
                Some(FileName::Free(core, segment)) => inventory.free.push((core, segment)),
                Some(FileName::Run(run)) => inventory.runs.push(run),
                Some(FileName::Temporary(_)) => inventory.temporaries.push(name),
                None => inventory.unknown.push(name),
            }
        }
        // Names sort as numbers only while these have equally many digits.
        inventory.segments.values_mut().for_each(|segments| segments.sort_unstable());
        inventory.free.sort_unstable();
        inventory.runs.sort_unstable();
        Ok(inventory)
    }

    /// The segment numbers of one core, ascending.
    #[must_use]
    pub fn segments_of(&self, core: CoreId) -> &[SegmentNumber] {
        self.segments.get(&core).map_or(&[], Vec::as_slice)
    }
}

/// Reads `wal.meta`; `None` if it is not there.
///
/// # Errors
/// [`ReadError::Io`], [`ReadError::Format`].
pub fn read_meta(source: &dyn Source) -> Result<Option<Meta>, ReadError> {
    // One byte more than there should be, so that a longer file is refused.
    let Some(bytes) = read_small(source, names::META, META_BYTES as u64 + 1)? else {
        return Ok(None);
    };
    let meta = Meta::decode(&bytes);
    meta.map(Some).map_err(|error| ReadError::Format { path: source.path(names::META), cause: error })
}

/// Reads `checkpoint.manifest`; `None` if it is not there.
///
/// # Errors
/// [`ReadError::Io`], [`ReadError::Format`]; [`ReadError::Foreign`] if it is intact, but of another log.
pub fn read_manifest(source: &dyn Source, log_id: LogId) -> Result<Option<Manifest>, ReadError> {
    let Some(bytes) = read_small(source, names::MANIFEST, MANIFEST_BYTES_MAX)? else {
        return Ok(None);
    };
    let path = source.path(names::MANIFEST);
    let manifest = Manifest::decode(&bytes).map_err(|error| match error {
        FormatError::OutOfMemory { bytes, .. } => {
            ReadError::OutOfMemory { path: path.clone(), bytes: bytes as u64 }
        }
        cause => ReadError::Format { path: path.clone(), cause },
    })?;
    if manifest.log_id != log_id {
        return Err(ReadError::Foreign { path, expected: log_id, found: manifest.log_id });
    }
    Ok(Some(manifest))
}

/// The first `bytes_max` bytes of a file; `None` if there is no such file.
fn read_small(source: &dyn Source, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let failed = |operation, error| ReadError::io(operation, &source.path(name), error);
    let file = match source.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", error)),
    };
    let length = file.len().map_err(|error| failed("measure", error))?.min(bytes_max);
    let mut bytes = Vec::new();
    grow(&mut bytes, usize::try_from(length).unwrap_or(usize::MAX), &source.path(name))?;
    let filled = read_full(&*file, &mut bytes, 0).map_err(|error| failed("read", error))?;
    bytes.truncate(filled);
    Ok(Some(bytes))
}
