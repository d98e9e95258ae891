//! What the engine tells its parent, one line each. A line is an acknowledgement: it is written after the fact.

use std::fmt;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Recovery is done: how long it took, what it handed over.
    Recovered { micros: u64, entries: u64, keys: u64 },
    /// Recovery found this source (by its place in the list) read up to here.
    Offset { file: usize, offset: u64 },
    /// Recovery found a source that is not in the list.
    Stranger { name: String },
    /// All offsets are told; the work begins.
    Begun,
    /// Everything of this source below `offset` is counted, and durable.
    Durable { file: usize, offset: u64 },
    /// Entries appended and bytes logged since the engine started.
    Logged { entries: u64, bytes: u64 },
    /// A checkpoint was made.
    Checkpoint { micros: u64, entries: u64, bytes: u64 },
    /// All input is counted, checkpointed and durable.
    Done,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recovered { micros, entries, keys } => write!(f, "recovered {micros} {entries} {keys}"),
            Self::Offset { file, offset } => write!(f, "offset {file} {offset}"),
            Self::Stranger { name } => write!(f, "stranger {name}"),
            Self::Begun => f.write_str("begun"),
            Self::Durable { file, offset } => write!(f, "durable {file} {offset}"),
            Self::Logged { entries, bytes } => write!(f, "logged {entries} {bytes}"),
            Self::Checkpoint { micros, entries, bytes } => write!(f, "checkpoint {micros} {entries} {bytes}"),
            Self::Done => f.write_str("done"),
        }
    }
}

impl Event {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        if name == "stranger" {
            return Some(Self::Stranger { name: rest.to_owned() });
        }
        let numbers: Vec<u64> = rest.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let index = |number: u64| usize::try_from(number).ok();
        Some(match (name, numbers.as_slice()) {
            ("recovered", &[micros, entries, keys]) => Self::Recovered { micros, entries, keys },
            ("offset", &[file, offset]) => Self::Offset { file: index(file)?, offset },
            ("begun", []) => Self::Begun,
            ("durable", &[file, offset]) => Self::Durable { file: index(file)?, offset },
            ("logged", &[entries, bytes]) => Self::Logged { entries, bytes },
            ("checkpoint", &[micros, entries, bytes]) => Self::Checkpoint { micros, entries, bytes },
            ("done", []) => Self::Done,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back() {
        let events = [
            Event::Recovered { micros: 1, entries: 2, keys: 3 },
            Event::Offset { file: 4, offset: 5 },
            Event::Stranger { name: "/a b/c.txt".to_owned() },
            Event::Begun,
            Event::Durable { file: 6, offset: 7 },
            Event::Logged { entries: 8, bytes: 9 },
            Event::Checkpoint { micros: 10, entries: 11, bytes: 12 },
            Event::Done,
        ];
        events.iter().for_each(|event| assert_eq!(Event::parse(&event.to_string()).as_ref(), Some(event)));
        ["", "durable 1", "durable x 2", "done 1", "other"]
            .iter()
            .for_each(|line| assert_eq!(Event::parse(line), None));
    }
}
