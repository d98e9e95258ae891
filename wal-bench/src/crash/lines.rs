//! What the engine says: each line is written after the fact that it acknowledges.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The log is open.
    Open,
    /// Every entry of `core` below `sequence` is written at least: it survives the process.
    Kept { core: usize, sequence: u64 },
    /// The epoch is durable on all cores.
    EpochDurable(u64),
    /// A checkpoint of the epoch was made.
    Checkpointed(u64),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Kept { core, sequence } => write!(f, "kept {core} {sequence}"),
            Self::EpochDurable(epoch) => write!(f, "epoch {epoch}"),
            Self::Checkpointed(epoch) => write!(f, "checkpoint {epoch}"),
        }
    }
}

impl Line {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        Some(match words.as_slice() {
            ["open"] => Self::Open,
            ["kept", core, sequence] => {
                Self::Kept { core: core.parse().ok()?, sequence: sequence.parse().ok()? }
            }
            ["epoch", epoch] => Self::EpochDurable(epoch.parse().ok()?),
            ["checkpoint", epoch] => Self::Checkpointed(epoch.parse().ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back() {
        let lines =
            [Line::Open, Line::Kept { core: 2, sequence: 17 }, Line::EpochDurable(4), Line::Checkpointed(3)];
        lines.iter().for_each(|line| assert_eq!(Line::parse(&line.to_string()), Some(*line)));
        assert_eq!(Line::parse("kept 1"), None);
    }
}
