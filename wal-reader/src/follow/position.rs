//! How far a follower has come: what it saves, and goes on from after a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use wal_format::{CoreId, Epoch, LogId, Manifest, Sequence};

/// First word of the text form. Another form would have another one.
const PREFIX: &str = "wal-position-1";

/// How far every core's log has been followed, between two entries. Saved together with the effects of what was handed
/// out, it makes following exactly-once: [`Start::At`](super::Start::At) goes on with the entry right behind.
///
/// Counts in sequence numbers, which never change, not in files, which come and go; epoch and timestamp of the last entry
/// are there to notice a log that was taken back. A core that it does not name has not been followed yet. The text form
/// (`Display`, `FromStr`) is stable: `wal-position-1:LOG:CORE=NEXT@EPOCH.TIMESTAMP,...`, cores ascending.
///
/// ```
/// use wal_reader::Position;
/// let text = "wal-position-1:07070707070707070707070707070707:0=17@4.1700000000000000000,2=3@4.1700000000000000010";
/// let position: Position = text.parse()?;
/// assert_eq!(position.to_string(), text);
/// # Ok::<(), wal_reader::PositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The log that it is a position of.
    pub log_id: LogId,
    /// Per core that was followed.
    pub cores: BTreeMap<CoreId, CorePoint>,
}

/// How far one core's log has been followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorePoint {
    /// Number of the entry that comes next.
    pub next: Sequence,
    /// Epoch of the entry before it; 0 if there is none, or it is not known.
    pub epoch: Epoch,
    /// Timestamp of the entry before it, nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
}

/// A text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "not a position ({reason}): {text:?}; expected {PREFIX}:LOG:CORE=NEXT@EPOCH.TIMESTAMP,..., as it was printed"
)]
pub struct PositionError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Position {
    /// The beginning of the log with this id.
    #[must_use]
    pub fn beginning(log_id: LogId) -> Self {
        Self { log_id, cores: BTreeMap::new() }
    }

    /// Right behind what a checkpoint holds.
    #[must_use]
    pub fn behind(manifest: &Manifest) -> Self {
        let points = manifest.cores.iter().map(|core| {
            let before =
                CorePoint { next: core.sequence, epoch: core.last_epoch, timestamp_ns: core.last_timestamp };
            (core.core, before)
        });
        Self { log_id: manifest.log_id, cores: points.collect() }
    }

    /// How far one core's log has been followed.
    #[must_use]
    pub fn core(&self, core: CoreId) -> CorePoint {
        self.cores.get(&core).copied().unwrap_or_default()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}:{}:", self.log_id)?;
        for (index, (core, point)) in self.cores.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{core}={}@{}.{}", point.next, point.epoch, point.timestamp_ns)?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let wrong = |reason| PositionError { text: text.to_owned(), reason };
        let rest = text.trim().strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(':'));
        let rest = rest.ok_or_else(|| wrong("it begins differently"))?;
        let (log_id, cores) = rest.split_once(':').ok_or_else(|| wrong("it ends early"))?;
        let log_id = log_id_of(log_id).ok_or_else(|| wrong("its log is not 32 hexadecimal digits"))?;
        let mut position = Self::beginning(log_id);
        for part in cores.split(',').filter(|_| !cores.is_empty()) {
            let (core, point) = point_of(part).ok_or_else(|| wrong("a core is not four numbers"))?;
            if position.cores.last_key_value().is_some_and(|(last, _)| *last >= core) {
                return Err(wrong("its cores do not ascend"));
            }
            position.cores.insert(core, point);
        }
        Ok(position)
    }
}

fn log_id_of(text: &str) -> Option<LogId> {
    let digits = text.as_bytes();
    let mut id = [0; 16];
    if digits.len() != 2 * id.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(LogId(id))
}

fn point_of(text: &str) -> Option<(CoreId, CorePoint)> {
    let (core, rest) = text.split_once('=')?;
    let (next, rest) = rest.split_once('@')?;
    let (epoch, timestamp) = rest.split_once('.')?;
    let point = CorePoint {
        next: Sequence(number(next)?),
        epoch: Epoch(number(epoch)?),
        timestamp_ns: number(timestamp)?,
    };
    Some((CoreId(u16::try_from(number(core)?).ok()?), point))
}

/// Digits alone: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(next: u64, epoch: u64, timestamp_ns: u64) -> CorePoint {
        CorePoint { next: Sequence(next), epoch: Epoch(epoch), timestamp_ns }
    }

    #[test]
    fn a_position_survives_its_text_form() {
        let mut position = Position::beginning(LogId([0xa5; 16]));
        assert_eq!(position.to_string().parse(), Ok(position.clone()));
        position.cores.insert(CoreId(0), point(0, 0, 0));
        position.cores.insert(CoreId(65535), point(u64::MAX, u64::MAX, u64::MAX));
        assert_eq!(position.to_string().parse(), Ok(position.clone()));
        assert_eq!(format!(" {position}\n").parse(), Ok(position));
    }

    #[test]
    fn any_other_text_is_refused() {
        let id = "a5".repeat(16);
        for text in [
            String::new(),
            "wal-position-2::".to_owned(),
            format!("wal-position-1:{id}"),
            format!("wal-position-1:{id}0:"),
            format!("wal-position-1:{}:", "+5".repeat(16)),
            format!("wal-position-1:{id}:0=1@1"),
            format!("wal-position-1:{id}:0=+1@1.1"),
            format!("wal-position-1:{id}:0=1@1.1,"),
            format!("wal-position-1:{id}:65536=1@1.1"),
            format!("wal-position-1:{id}:1=1@1.1,0=1@1.1"),
            format!("wal-position-1:{id}:0=18446744073709551616@1.1"),
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
