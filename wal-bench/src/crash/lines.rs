//! What the engine says: each line is written after the fact that it acknowledges.

use std::fmt;

use super::points::Point;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The log is open.
    Open,
    /// Every entry of `core` below `sequence` is written: it survives the process.
    Written { core: usize, sequence: u64 },
    /// Every entry of `core` below `sequence` is durable.
    Durable { core: usize, sequence: u64 },
    /// The epoch is durable on all cores.
    EpochDurable(u64),
    /// A checkpoint of the epoch was made.
    Checkpointed(u64),
    /// The process dies here.
    At(Point),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Written { core, sequence } => write!(f, "written {core} {sequence}"),
            Self::Durable { core, sequence } => write!(f, "durable {core} {sequence}"),
            Self::EpochDurable(epoch) => write!(f, "epoch {epoch}"),
            Self::Checkpointed(epoch) => write!(f, "checkpoint {epoch}"),
            Self::At(point) => write!(f, "at {point}"),
        }
    }
}

impl Line {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        Some(match words.as_slice() {
            ["open"] => Self::Open,
            ["written", core, sequence] => {
                Self::Written { core: core.parse().ok()?, sequence: sequence.parse().ok()? }
            }
            ["durable", core, sequence] => {
                Self::Durable { core: core.parse().ok()?, sequence: sequence.parse().ok()? }
            }
            ["epoch", epoch] => Self::EpochDurable(epoch.parse().ok()?),
            ["checkpoint", epoch] => Self::Checkpointed(epoch.parse().ok()?),
            ["at", point] => Self::At(Point::parse(point)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back() {
        let point = Point::all().last().expect("a point");
        let lines = [
            Line::Open,
            Line::Written { core: 2, sequence: 17 },
            Line::Durable { core: 1, sequence: 18 },
            Line::EpochDurable(4),
            Line::Checkpointed(3),
            Line::At(point),
        ];
        lines.iter().for_each(|line| assert_eq!(Line::parse(&line.to_string()), Some(*line)));
        assert_eq!(Line::parse("durable 1"), None);
    }
}
