//! How a log ends: the total table of `FORMAT.md#verdicts`, as a pure function.
//!
//! A log that stops being readable at X either ends there, or something is gone. Which of the two is decided by
//! evidence D of what had been durable, never by the look of the bytes alone.

use std::fmt;

/// What stands at the first unreadable position X.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// Zeros, the end of the file, or no file.
    Nothing,
    /// A frame of another incarnation of the file.
    Stale,
    /// Bytes that fail a check.
    Damage,
}

/// One row of the table, by its label in `FORMAT.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// Nothing, at or beyond the evidence.
    ZeroPast,
    /// Nothing, short of the evidence.
    ZeroShort,
    /// Stale bytes, at or beyond the evidence.
    StalePast,
    /// Stale bytes, short of the evidence.
    StaleShort,
    /// Damage, at or beyond the evidence.
    DamagePast,
    /// Damage, short of the evidence.
    DamageShort,
}

/// What a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The log ends here.
    Clean,
    /// The log ends here; stale bytes of a recycled file follow.
    Stale,
    /// The log is cut here: a write that nobody was promised did not arrive whole. What follows is discarded.
    Torn,
    /// Error: bytes that had been durable are not there.
    Missing,
    /// Error: bytes that had been durable are damaged.
    Corrupt,
}

impl Row {
    /// All rows, in the order of `FORMAT.md`.
    pub const ALL: [Self; 6] = [
        Self::ZeroPast,
        Self::ZeroShort,
        Self::StalePast,
        Self::StaleShort,
        Self::DamagePast,
        Self::DamageShort,
    ];

    /// The row for `finding` at X; `short` says X < D.
    #[must_use]
    pub fn of(finding: Finding, short: bool) -> Self {
        match (finding, short) {
            (Finding::Nothing, false) => Self::ZeroPast,
            (Finding::Nothing, true) => Self::ZeroShort,
            (Finding::Stale, false) => Self::StalePast,
            (Finding::Stale, true) => Self::StaleShort,
            (Finding::Damage, false) => Self::DamagePast,
            (Finding::Damage, true) => Self::DamageShort,
        }
    }

    /// What the row means.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::ZeroPast => Verdict::Clean,
            Self::StalePast => Verdict::Stale,
            Self::DamagePast => Verdict::Torn,
            Self::ZeroShort | Self::StaleShort => Verdict::Missing,
            Self::DamageShort => Verdict::Corrupt,
        }
    }

    /// Its label in `FORMAT.md`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ZeroPast => "ZERO-PAST",
            Self::ZeroShort => "ZERO-SHORT",
            Self::StalePast => "STALE-PAST",
            Self::StaleShort => "STALE-SHORT",
            Self::DamagePast => "DAMAGE-PAST",
            Self::DamageShort => "DAMAGE-SHORT",
        }
    }
}

impl Verdict {
    /// Whether acknowledged data is gone: strict recovery refuses.
    #[must_use]
    pub fn is_error(self) -> bool {
        matches!(self, Self::Missing | Self::Corrupt)
    }

    /// The verdict as `FORMAT.md` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean end",
            Self::Stale => "stale, clean end",
            Self::Torn => "torn",
            Self::Missing => "missing",
            Self::Corrupt => "corrupt",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
