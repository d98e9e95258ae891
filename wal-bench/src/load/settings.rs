//! What a load is: how many cores, how fast, which entries, how durable, for how long. Plain data, read from words.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::args::{Args, Usage};

/// A load.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Cores of the log, each with a thread of its own.
    pub cores: usize,
    /// Whether each core's thread is held on one CPU.
    pub pinned: bool,
    /// Entries a second of each core, appended at times that are fixed before (open loop). `None`: the next entry as soon
    /// as the one before is done (closed loop).
    pub rate: Option<u64>,
    /// When an entry is done.
    pub sync: SyncMode,
    /// Distinct keys of each core.
    pub keys: u64,
    /// Which of them come how often.
    pub distribution: Distribution,
    /// Bytes of a value.
    pub value_bytes: RangeInclusive<usize>,
    /// When a core ends: whichever comes first.
    pub duration: Duration,
    /// Entries of each core, if that is to end it.
    pub entries: Option<u64>,
    /// Time from the beginning of one checkpoint to that of the next; `None`: no checkpoints.
    pub checkpoint: Option<Duration>,
    /// Of the ring of each core.
    pub ring_bytes: Option<usize>,
    /// Of a segment.
    pub segment_bytes: Option<u64>,
    /// Draws keys and lengths.
    pub seed: u64,
    /// Where the log's directory is made, and removed.
    pub directory: PathBuf,
    /// Whether the log is recovered afterwards, and compared with what was appended.
    pub verify: bool,
}

/// When an entry is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// As soon as the append returns; background flushers write it out in their time.
    None,
    /// When a sync of its own has returned.
    Each,
    /// So many are appended as one atomic batch, and are done when its sync has returned.
    Batch(u64),
    /// All of this stretch of time become durable together, while the core goes on.
    Interval(Duration),
}

/// Which keys come how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// The n-th most frequent one as often as 1/n^theta.
    Zipf(f64),
}

impl Settings {
    /// Reads the options that the help names.
    ///
    /// # Errors
    /// [`Usage::Wrong`]: something that is not what the option takes.
    pub fn parse(args: &Args) -> Result<Self, Usage> {
        let seconds = |option: &str, lowest: f64| match args.value(option) {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(seconds) if (lowest..=1e6).contains(&seconds) => {
                    Ok(Some(Duration::from_secs_f64(seconds)).filter(|time| !time.is_zero()))
                }
                _ => Err(wrong(option, text, "a number of seconds")),
            },
        };
        let parsed = |option: &str, default: &str| args.value(option).unwrap_or(default).to_owned();
        let cores: usize = args.number("--cores", 1..=1024)?.unwrap_or(2);
        let values = parsed("--value", "100");
        Ok(Self {
            cores,
            pinned: !args.has("--no-pin"),
            rate: args.number("--rate", 1..=1_000_000_000)?,
            sync: read("--sync", &parsed("--sync", "none"))?,
            keys: args.number("--keys", 1..=1 << 32)?.unwrap_or(100_000),
            distribution: read("--distribution", &parsed("--distribution", "uniform"))?,
            value_bytes: range(&values).ok_or_else(|| wrong("--value", &values, "bytes: 100, or 32-1024"))?,
            duration: seconds("--duration", 0.01)?.unwrap_or(Duration::from_secs(10)),
            entries: args.number("--entries", 1..=u64::MAX)?,
            checkpoint: seconds("--checkpoint", 0.0)?,
            ring_bytes: args.number("--ring-kib", 4..=1 << 20)?.map(|kib: usize| kib << 10),
            segment_bytes: args.number("--segment-kib", 16..=1 << 22)?.map(|kib: u64| kib << 10),
            seed: args.number("--seed", 0..=u64::MAX)?.unwrap_or(1),
            directory: args.value("--dir").map_or_else(std::env::temp_dir, PathBuf::from),
            verify: args.has("--verify"),
        })
    }
}

fn wrong(option: &str, text: &str, what: &str) -> Usage {
    Usage::Wrong(format!("{option} takes {what}, not {text:?}"))
}

fn read<T: FromStr<Err = &'static str>>(option: &str, text: &str) -> Result<T, Usage> {
    text.parse().map_err(|what| wrong(option, text, what))
}

/// `100`, or `32-1024`.
fn range(text: &str) -> Option<RangeInclusive<usize>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high && high <= 1 << 20).then_some(low..=high)
}

impl FromStr for SyncMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, number) = text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)));
        let number = number.map(|number| number.parse().ok().filter(|number| (1..=100_000).contains(number)));
        match (word, number) {
            ("none", None) => Ok(Self::None),
            ("each", None) => Ok(Self::Each),
            ("batch", Some(Some(entries))) => Ok(Self::Batch(entries)),
            ("interval", Some(Some(ms))) => Ok(Self::Interval(Duration::from_millis(ms))),
            _ => Err("none, each, batch:ENTRIES or interval:MILLISECONDS"),
        }
    }
}

impl FromStr for Distribution {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, theta) = text.split_once(':').unwrap_or((text, "0.99"));
        match (word, theta.parse::<f64>()) {
            ("uniform", _) if text == word => Ok(Self::Uniform),
            ("zipf", Ok(theta)) if theta > 0.0 && theta < 1.0 => Ok(Self::Zipf(theta)),
            _ => Err("uniform or zipf:THETA, with THETA above 0 and below 1"),
        }
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pinned = if self.pinned { "pinned" } else { "not pinned" };
        write!(f, "{} cores, {pinned}; ", self.cores)?;
        match self.rate {
            Some(rate) => write!(f, "open loop, {} entries/s each; ", crate::table::count(rate))?,
            None => f.write_str("closed loop; ")?,
        }
        match self.sync {
            SyncMode::None => f.write_str("no sync; ")?,
            SyncMode::Each => f.write_str("a sync after each entry; ")?,
            SyncMode::Batch(entries) => write!(f, "durable batches of {entries}; ")?,
            SyncMode::Interval(time) => write!(f, "group commit every {time:?}; ")?,
        }
        let (low, high) = (self.value_bytes.start(), self.value_bytes.end());
        let values = if low == high { format!("{low}") } else { format!("{low} to {high}") };
        write!(f, "{} keys each, ", crate::table::count(self.keys))?;
        match self.distribution {
            Distribution::Uniform => f.write_str("uniform; ")?,
            Distribution::Zipf(theta) => write!(f, "Zipf with theta {theta}; ")?,
        }
        write!(f, "key {} bytes, value {values} bytes; ", crate::workload::KEY_BYTES)?;
        match self.checkpoint {
            Some(every) => write!(f, "a checkpoint every {every:?}; ")?,
            None => f.write_str("no checkpoints; ")?,
        }
        write!(f, "seed {}", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_distributions_are_read() {
        assert_eq!("none".parse(), Ok(SyncMode::None));
        assert_eq!("batch:64".parse(), Ok(SyncMode::Batch(64)));
        assert_eq!("interval:5".parse(), Ok(SyncMode::Interval(Duration::from_millis(5))));
        for text in ["", "batch", "batch:0", "batch:x", "each:1", "interval:", "sometimes"] {
            assert!(text.parse::<SyncMode>().is_err(), "{text}");
        }
        assert_eq!("uniform".parse(), Ok(Distribution::Uniform));
        assert_eq!("zipf".parse(), Ok(Distribution::Zipf(0.99)));
        assert_eq!("zipf:0.5".parse(), Ok(Distribution::Zipf(0.5)));
        for text in ["zipf:1", "zipf:0", "zipf:x", "uniform:1", "normal"] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_one_or_a_range() {
        assert_eq!(range("100"), Some(100..=100));
        assert_eq!(range("32-1024"), Some(32..=1024));
        for text in ["", "2-1", "x", "1-", "9999999"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
