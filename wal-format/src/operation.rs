//! What an entry says: the five operations, owned and borrowed.
//!
//! [`WalOperation`] owns its bytes; [`OperationRef`] borrows them from a buffer, which is what readers hand out.

use crate::error::FormatError;
use crate::limits::SOURCE_NAME_BYTES_MAX;
use crate::varint::{split_varint, unzigzag, varint_bytes, write_varint, zigzag};

/// One operation, owned. Source: `FORMAT.md#entry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalOperation {
    /// Sets `key` to `value`.
    Put {
        /// Any bytes.
        key: Vec<u8>,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// Removes `key`.
    Delete {
        /// Any bytes.
        key: Vec<u8>,
    },
    /// The application's note that it completed a checkpoint of its own.
    Checkpoint {
        /// The application's number for it.
        id: u64,
    },
    /// Positions in the sources up to which all effects stand before this entry: what makes replay exactly-once.
    Commit {
        /// Per source the next offset to read. A source that is not named keeps its former offset.
        offsets: Vec<(String, u64)>,
        /// Event time up to which this core has seen everything.
        watermark: Option<i64>,
    },
    /// The application's mark that it saw its epoch begin. The epoch itself stands in the frame.
    EpochBarrier,
}

/// One operation, borrowed from the bytes that it was decoded from, or from the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationRef<'a> {
    /// See [`WalOperation::Put`].
    Put {
        /// Any bytes.
        key: &'a [u8],
        /// Any bytes.
        value: &'a [u8],
    },
    /// See [`WalOperation::Delete`].
    Delete {
        /// Any bytes.
        key: &'a [u8],
    },
    /// See [`WalOperation::Checkpoint`].
    Checkpoint {
        /// The application's number for it.
        id: u64,
    },
    /// See [`WalOperation::Commit`].
    Commit {
        /// Per source the next offset to read.
        offsets: Offsets<'a>,
        /// Event time up to which this core has seen everything.
        watermark: Option<i64>,
    },
    /// See [`WalOperation::EpochBarrier`].
    EpochBarrier,
}

/// The source offsets of a borrowed `Commit`: either the caller's slice, or encoded bytes already checked.
#[derive(Clone, Copy)]
pub struct Offsets<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Slice(&'a [(&'a str, u64)]),
    Owned(&'a [(String, u64)]),
    /// Invariant: `parse` accepted these bytes.
    Encoded {
        count: usize,
        bytes: &'a [u8],
    },
}

/// Code of a `Put`, in the tag of its entry.
pub const CODE_PUT: u8 = 1;
pub(crate) const CODE_DELETE: u8 = 2;
pub(crate) const CODE_CHECKPOINT: u8 = 3;
pub(crate) const CODE_COMMIT: u8 = 4;
pub(crate) const CODE_EPOCH_BARRIER: u8 = 5;

impl<'a> OperationRef<'a> {
    /// An owned copy.
    #[must_use]
    pub fn to_owned(&self) -> WalOperation {
        match *self {
            Self::Put { key, value } => WalOperation::Put { key: key.to_vec(), value: value.to_vec() },
            Self::Delete { key } => WalOperation::Delete { key: key.to_vec() },
            Self::Checkpoint { id } => WalOperation::Checkpoint { id },
            Self::Commit { offsets, watermark } => WalOperation::Commit {
                offsets: offsets.iter().map(|(name, offset)| (name.to_owned(), offset)).collect(),
                watermark,
            },
            Self::EpochBarrier => WalOperation::EpochBarrier,
        }
    }

    /// The operation's code: its tag without the batch bit (`FORMAT.md#entry`).
    #[inline]
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Put { .. } => CODE_PUT,
            Self::Delete { .. } => CODE_DELETE,
            Self::Checkpoint { .. } => CODE_CHECKPOINT,
            Self::Commit { .. } => CODE_COMMIT,
            Self::EpochBarrier => CODE_EPOCH_BARRIER,
        }
    }

    /// Bytes of the body, without tag and timestamp delta.
    #[inline]
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        match *self {
            Self::Put { key, value } => {
                length_bytes(key) + length_bytes(value) + key.len().saturating_add(value.len())
            }
            Self::Delete { key } => length_bytes(key) + key.len(),
            Self::Checkpoint { id } => varint_bytes(id),
            Self::Commit { offsets, watermark } => {
                let per_offset = |(name, offset): (&str, u64)| {
                    length_bytes(name.as_bytes()) + name.len() + varint_bytes(offset)
                };
                varint_bytes(offsets.len() as u64)
                    + offsets.iter().map(per_offset).sum::<usize>()
                    + watermark.map_or(1, |at| 1 + varint_bytes(zigzag(at)))
            }
            Self::EpochBarrier => 0,
        }
    }

    /// Whether a reader would accept this: names of sources are bounded.
    #[inline]
    #[must_use]
    pub fn is_encodable(&self) -> bool {
        match self {
            Self::Commit { offsets, .. } => {
                offsets.iter().all(|(name, _)| name.len() <= SOURCE_NAME_BYTES_MAX)
            }
            _ => true,
        }
    }

    /// Writes the body at `at`, returns the position behind it.
    #[inline]
    pub(crate) fn write_body(&self, out: &mut [u8], mut at: usize) -> usize {
        match *self {
            Self::Put { key, value } => {
                at = write_varint(out, at, key.len() as u64);
                at = write_varint(out, at, value.len() as u64);
                at = write_bytes(out, at, key);
                write_bytes(out, at, value)
            }
            Self::Delete { key } => {
                at = write_varint(out, at, key.len() as u64);
                write_bytes(out, at, key)
            }
            Self::Checkpoint { id } => write_varint(out, at, id),
            Self::Commit { offsets, watermark } => {
                at = write_varint(out, at, offsets.len() as u64);
                for (name, offset) in offsets.iter() {
                    at = write_varint(out, at, name.len() as u64);
                    at = write_bytes(out, at, name.as_bytes());
                    at = write_varint(out, at, offset);
                }
                out[at] = u8::from(watermark.is_some());
                watermark.map_or(at + 1, |watermark| write_varint(out, at + 1, zigzag(watermark)))
            }
            Self::EpochBarrier => at,
        }
    }

    /// Splits the body of operation `code` off the front of `bytes`.
    #[inline]
    #[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
    pub(crate) fn split_body(code: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), FormatError> {
        const CUT: FormatError = FormatError::malformed("entry", "cut off, or a length beyond the frame");
        Ok(match code {
            CODE_PUT => {
                let (key_bytes, rest) = split_varint(bytes).ok_or(CUT)?;
                let (value_bytes, rest) = split_varint(rest).ok_or(CUT)?;
                let (key, rest) = split_bytes(rest, key_bytes).ok_or(CUT)?;
                let (value, rest) = split_bytes(rest, value_bytes).ok_or(CUT)?;
                (Self::Put { key, value }, rest)
            }
            CODE_DELETE => {
                let (key_bytes, rest) = split_varint(bytes).ok_or(CUT)?;
                let (key, rest) = split_bytes(rest, key_bytes).ok_or(CUT)?;
                (Self::Delete { key }, rest)
            }
            CODE_CHECKPOINT => {
                let (id, rest) = split_varint(bytes).ok_or(CUT)?;
                (Self::Checkpoint { id }, rest)
            }
            CODE_COMMIT => split_commit(bytes)?,
            CODE_EPOCH_BARRIER => (Self::EpochBarrier, bytes),
            _ => return Err(FormatError::malformed("entry", "unknown operation")),
        })
    }
}

impl WalOperation {
    /// The borrowed twin.
    #[must_use]
    pub fn as_ref(&self) -> OperationRef<'_> {
        match self {
            Self::Put { key, value } => OperationRef::Put { key, value },
            Self::Delete { key } => OperationRef::Delete { key },
            Self::Checkpoint { id } => OperationRef::Checkpoint { id: *id },
            Self::Commit { offsets, watermark } => {
                OperationRef::Commit { offsets: Offsets(Repr::Owned(offsets)), watermark: *watermark }
            }
            Self::EpochBarrier => OperationRef::EpochBarrier,
        }
    }
}

impl<'a> Offsets<'a> {
    /// Offsets from the caller's slice. A source named twice: the later one counts.
    #[must_use]
    pub fn new(offsets: &'a [(&'a str, u64)]) -> Self {
        Self(Repr::Slice(offsets))
    }

    /// How many offsets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Repr::Slice(slice) => slice.len(),
            Repr::Owned(slice) => slice.len(),
            Repr::Encoded { count, .. } => count,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Source and next offset to read, in the order given to the writer.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        let repr = self.0;
        let mut encoded = match repr {
            Repr::Encoded { bytes, .. } => bytes,
            _ => &[],
        };
        (0..self.len()).map_while(move |index| match repr {
            Repr::Slice(slice) => slice.get(index).copied(),
            Repr::Owned(slice) => slice.get(index).map(|(name, offset)| (name.as_str(), *offset)),
            Repr::Encoded { .. } => {
                let (name, offset, rest) = split_offset(encoded)?;
                encoded = rest;
                Some((name, offset))
            }
        })
    }
}

impl PartialEq for Offsets<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Offsets<'_> {}

impl std::fmt::Debug for Offsets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
fn split_commit(bytes: &[u8]) -> Result<(OperationRef<'_>, &[u8]), FormatError> {
    const CUT: FormatError = FormatError::malformed("commit", "cut off, or a name too long or not UTF-8");
    let (count, list) = split_varint(bytes).ok_or(CUT)?;
    let mut rest = list;
    for _ in 0..count {
        // Every offset takes at least two bytes, so the loop ends with the bytes, whatever `count` says.
        (_, _, rest) = split_offset(rest).ok_or(CUT)?;
    }
    let offsets = Offsets(Repr::Encoded { count: usize::try_from(count).map_err(|_| CUT)?, bytes: list });
    let (has_watermark, rest) = rest.split_first().ok_or(CUT)?;
    let (watermark, rest) = match has_watermark {
        0 => (None, rest),
        1 => {
            let (watermark, rest) = split_varint(rest).ok_or(CUT)?;
            (Some(unzigzag(watermark)), rest)
        }
        _ => return Err(FormatError::malformed("commit", "watermark flag is neither 0 nor 1")),
    };
    Ok((OperationRef::Commit { offsets, watermark }, rest))
}

fn split_offset(bytes: &[u8]) -> Option<(&str, u64, &[u8])> {
    let (name_bytes, rest) = split_varint(bytes)?;
    let (name, rest) = split_bytes(rest, name_bytes)?;
    if name.len() > SOURCE_NAME_BYTES_MAX {
        return None;
    }
    let (offset, rest) = split_varint(rest)?;
    Some((std::str::from_utf8(name).ok()?, offset, rest))
}

#[inline]
fn split_bytes(bytes: &[u8], count: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(count).ok()?)
}

#[inline]
fn write_bytes(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

#[inline]
fn length_bytes(bytes: &[u8]) -> usize {
    varint_bytes(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same list in each of the three forms that it can have.
    fn check_forms(list: &[(&str, u64)], other: &[(&str, u64)]) {
        let commit = OperationRef::Commit { offsets: Offsets::new(list), watermark: None };
        let mut bytes = vec![0; commit.body_bytes()];
        commit.write_body(&mut bytes, 0);
        let owned: Vec<_> = list.iter().map(|(name, offset)| ((*name).to_owned(), *offset)).collect();
        let (OperationRef::Commit { offsets: encoded, .. }, _) = split_commit(&bytes).unwrap() else {
            panic!("another operation");
        };
        let forms = [Offsets::new(list), Offsets(Repr::Owned(&owned)), encoded];
        for form in forms {
            assert_eq!(form.iter().collect::<Vec<_>>(), list);
            assert_eq!((form.len(), form.is_empty()), (list.len(), list.is_empty()));
            assert_eq!(forms.map(|other| form == other), [true; 3]);
            assert_eq!(form == Offsets::new(other), list == other, "{list:?} and {other:?}");
            let printed: std::collections::BTreeMap<_, _> = list.iter().copied().collect();
            assert_eq!(format!("{form:?}"), format!("{printed:?}"));
        }
    }

    #[test]
    fn offsets_are_equal_by_what_they_say_in_whatever_form() {
        let lists: [&[_]; 5] = [&[], &[("a", 1)], &[("a", 2)], &[("b", 1)], &[("a", 1), ("b", u64::MAX)]];
        for list in lists {
            for other in lists {
                check_forms(list, other);
            }
        }
    }
}
