//! File names of a log directory (`FORMAT.md#directory`): values to names and back.

use std::fmt;

use crate::ids::{CoreId, SegmentNumber};

/// Name of the lock file.
pub const LOCK: &str = "LOCK";
/// Name of the file that identifies the log.
pub const META: &str = "wal.meta";
/// Name of the current checkpoint's manifest.
pub const MANIFEST: &str = "checkpoint.manifest";
/// Suffix of files that are about to replace another one.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a file of a log directory is, read off its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// `LOCK`
    Lock,
    /// `wal.meta`
    Meta,
    /// `checkpoint.manifest`
    Manifest,
    /// A segment of a core's log.
    Segment(CoreId, SegmentNumber),
    /// A released segment that waits to be used again, under the number that it had.
    Free(CoreId, SegmentNumber),
    /// A run of a checkpoint.
    Run(u64),
    /// An unfinished replacement of the named file.
    Temporary(&'static str),
}

impl FileName {
    /// The kind of file that `name` is, or `None` if no file of this library is spelled so.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let parsed = match name {
            LOCK => Self::Lock,
            META => Self::Meta,
            MANIFEST => Self::Manifest,
            _ => {
                if let Some(rest) = name.strip_prefix("wal-") {
                    let (core, segment) = parse_numbers(rest)?;
                    Self::Segment(core, segment)
                } else if let Some(rest) = name.strip_prefix("free-") {
                    let (core, segment) = parse_numbers(rest)?;
                    Self::Free(core, segment)
                } else if let Some(rest) = name.strip_prefix("run-") {
                    Self::Run(rest.strip_suffix(".ckpt")?.parse().ok()?)
                } else {
                    let target = name.strip_suffix(TEMPORARY_SUFFIX)?;
                    Self::Temporary([META, MANIFEST].into_iter().find(|known| *known == target)?)
                }
            }
        };
        // One spelling per file: "wal-0-1.log" or "+1" must not alias the real one.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str(LOCK),
            Self::Meta => f.write_str(META),
            Self::Manifest => f.write_str(MANIFEST),
            Self::Segment(core, segment) => write!(f, "wal-{:05}-{:016}.log", core.0, segment.0),
            Self::Free(core, segment) => write!(f, "free-{:05}-{:016}.log", core.0, segment.0),
            Self::Run(run) => write!(f, "run-{run:016}.ckpt"),
            Self::Temporary(target) => write!(f, "{target}{TEMPORARY_SUFFIX}"),
        }
    }
}

fn parse_numbers(rest: &str) -> Option<(CoreId, SegmentNumber)> {
    let (core, segment) = rest.strip_suffix(".log")?.split_once('-')?;
    Some((CoreId(core.parse().ok()?), SegmentNumber(segment.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_to_what_it_was_made_from() {
        for name in [
            FileName::Lock,
            FileName::Meta,
            FileName::Manifest,
            FileName::Segment(CoreId(0), SegmentNumber(0)),
            FileName::Segment(CoreId(u16::MAX), SegmentNumber(u64::MAX)),
            FileName::Free(CoreId(3), SegmentNumber(12)),
            FileName::Run(99),
            FileName::Temporary(META),
            FileName::Temporary(MANIFEST),
        ] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_spellings_are_unknown() {
        for name in [
            "",
            "lock",
            "wal-0-1.log",
            "wal-00000-0000000000000001.log.bak",
            "wal-00000-+000000000000001.log",
            "wal-99999-0000000000000001.log",
            "run-1.ckpt",
            "other.tmp",
            "wal.meta.tmp.tmp",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
