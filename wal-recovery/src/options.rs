//! What to recover, and how much damage to accept.

use std::fmt;

use wal_format::Epoch;

/// How far each core's log is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Each core to its end: nothing that a sync acknowledged is dropped.
    #[default]
    Everything,
    /// Whole epochs only: up to the last epoch whose end every core has reached.
    ConsistentCut,
    /// Up to and with this epoch.
    UpToEpoch(Epoch),
}

/// What to do about bytes that had been durable and are missing or damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refuse, and say which file, where, and on what evidence.
    #[default]
    Strict,
    /// Take everything that is intact, also behind damage, and report every gap.
    Salvage,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::ConsistentCut => f.write_str("consistent cut"),
            Self::UpToEpoch(epoch) => write!(f, "up to epoch {epoch}"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Salvage => "salvage",
        })
    }
}
