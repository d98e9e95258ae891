//! What a log tells whoever watches it: a plain value, a difference of two, and a page for people.
//!
//! Taken with [`LogHandle::stats`](crate::LogHandle::stats), without stopping anybody. What each figure is good for, and
//! when to worry, is in `docs/operating.md`.

use std::fmt;
use std::time::Duration;

use wal_format::{CoreId, Epoch, Sequence};
use wal_writer::{Histogram, LogStats};

use crate::checkpoint::CheckpointReport;
use crate::retention::{Pinned, PinnedBy};

/// Counters of the whole log since it was opened, and how it stands now.
///
/// Each figure is exact, together they may be a moment apart; none is lower than in a snapshot before. The difference of two
/// snapshots ([`WalStats::since`]) is of the same type, for rates. Printed, it is a page for people.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WalStats {
    /// How long the counters have been counting: since the log was opened, or since the earlier snapshot.
    pub elapsed: Duration,
    /// Per core that appends, by its number.
    pub cores: Vec<LogStats>,
    /// The current epoch.
    pub epoch: Epoch,
    /// The last durable epoch.
    pub durable_epoch: Epoch,
    /// Epoch of the last checkpoint, also of an earlier process; 0 if there was none.
    pub checkpoint_epoch: Epoch,
    /// How long closing an epoch took, nanoseconds each: waiting for appends in flight.
    pub epoch_close_ns: Histogram,
    /// How long it took from there until the epoch was durable on all cores, nanoseconds each.
    pub epoch_durable_ns: Histogram,
    /// A close that waits for an append of this core, longer than an append takes: its thread lost its CPU, or hangs in
    /// a clock of the engine's.
    pub closing: Option<Overdue>,
    /// The oldest epoch that is closed and not durable, and the cores that owe their end of it.
    pub owed: Option<Overdue>,
    /// Checkpoints.
    pub checkpoints: CheckpointStats,
    /// Per core whose oldest segment cannot be released: which one, what it keeps, and who needs it. As
    /// [`LogHandle::why_pinned`](crate::LogHandle::why_pinned), without asking the file system.
    pub pinned: Vec<Pinned>,
    /// Released segment files that wait to be used again.
    pub free_segments: u64,
}

/// An epoch that is not over, and the cores that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overdue {
    /// The epoch.
    pub epoch: Epoch,
    /// The cores.
    pub cores: Vec<CoreId>,
    /// For how long it has waited.
    pub age: Duration,
}

/// Checkpoints since the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStats {
    /// How long those that were made took, nanoseconds each.
    pub duration_ns: Histogram,
    /// Those that failed.
    pub failed: u64,
    /// Entries that were merged.
    pub entries: u64,
    /// Keys that were written.
    pub keys: u64,
    /// Bytes that were written: merging older runs included.
    pub bytes_written: u64,
    /// Segments that were released.
    pub segments_released: u64,
    /// For how long the one in progress has been running.
    pub running: Option<Duration>,
    /// How long ago the last one ended; `None` if this process has made none.
    pub age: Option<Duration>,
    /// What the last one did.
    pub last: Option<CheckpointReport>,
}

impl CheckpointStats {
    /// How many were made.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.duration_ns.count()
    }

    pub(crate) fn note(&mut self, report: &CheckpointReport) {
        self.entries += report.entries;
        self.keys += report.keys;
        self.bytes_written += report.bytes_written;
        self.segments_released += report.segments_released as u64;
        self.last = Some(report.clone());
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            duration_ns: self.duration_ns.since(&earlier.duration_ns),
            failed: self.failed.saturating_sub(earlier.failed),
            entries: self.entries.saturating_sub(earlier.entries),
            keys: self.keys.saturating_sub(earlier.keys),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
            segments_released: self.segments_released.saturating_sub(earlier.segments_released),
            ..self.clone()
        }
    }
}

impl WalStats {
    /// All cores together.
    #[must_use]
    pub fn total(&self) -> LogStats {
        let mut total = LogStats::default();
        self.cores.iter().for_each(|core| total.merge(core));
        total
    }

    /// What was counted since the snapshot `earlier` of the same log. What is not a count (epochs, ring, pins, who is waited
    /// for) stays as it is now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.cores.iter().map(Some).chain(std::iter::repeat(None));
        let cores = self.cores.iter().zip(before);
        Self {
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            cores: cores
                .map(|(now, before)| before.map_or_else(|| now.clone(), |before| now.since(before)))
                .collect(),
            epoch_close_ns: self.epoch_close_ns.since(&earlier.epoch_close_ns),
            epoch_durable_ns: self.epoch_durable_ns.since(&earlier.epoch_durable_ns),
            checkpoints: self.checkpoints.since(&earlier.checkpoints),
            ..self.clone()
        }
    }

    /// `count` of this snapshot as a rate, per second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate to 15 digits")]
    pub fn per_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// Closed epochs that are not durable.
    #[must_use]
    pub fn durable_lag_epochs(&self) -> u64 {
        self.epoch.0.saturating_sub(1).saturating_sub(self.durable_epoch.0)
    }

    /// Bytes of segment files that wait for a checkpoint or for a reader.
    #[must_use]
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned.iter().map(|pinned| pinned.bytes).sum()
    }

    /// The cores that are poisoned, and since which entry nothing of theirs becomes durable.
    pub fn poisoned(&self) -> impl Iterator<Item = (CoreId, Sequence)> {
        let numbered = (0_u16..).zip(&self.cores);
        numbered.filter_map(|(core, stats)| Some((CoreId(core), stats.poisoned_since?)))
    }
}

impl fmt::Display for WalStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "over {:.1?}: epoch {}, {} durable, {} in a checkpoint; {} free segments",
            self.elapsed, self.epoch, self.durable_epoch, self.checkpoint_epoch, self.free_segments
        )?;
        writeln!(f, "epochs       closed in {}", self.epoch_close_ns.as_durations())?;
        writeln!(f, "             durable in {}", self.epoch_durable_ns.as_durations())?;
        self.checkpoints.fmt(f)?;
        writeln!(
            f,
            "{:>5} {:>12} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6} {:>6} {:>7} {:>9} {:>9}",
            "core",
            "entries",
            "/s",
            "not dur.",
            "MB/s",
            "syncs",
            "p50 us",
            "p99 us",
            "max us",
            "each",
            "ring",
            "max",
            "waits",
            "wait ms",
            "held MB"
        )?;
        for (core, stats) in self.cores.iter().enumerate() {
            self.row(f, &core.to_string(), stats)?;
        }
        if self.cores.len() > 1 {
            self.row(f, "all", &self.total())?;
        }
        self.pinned.iter().try_for_each(|pinned| writeln!(f, "pinned       {pinned}"))?;
        self.trouble(f)
    }
}

impl WalStats {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, core: &LogStats) -> fmt::Result {
        let micros = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| format!("{:.0}", ns as f64 / 1e3));
        let part = |bytes: u64| format!("{:.0}%", 100.0 * bytes as f64 / core.ring_bytes.max(1) as f64);
        let each = core.sync_entries.mean().map_or("-".to_owned(), |mean| format!("{mean:.1}"));
        let busiest = if name == "all" { "-".to_owned() } else { part(core.ring_fill_bytes_max) };
        writeln!(
            f,
            "{name:>5} {:>12} {:>10.0} {:>9} {:>9.2} {:>9} {:>9} {:>9} {:>9} {each:>7} {:>6} {busiest:>6} {:>7} {:>9.1} {:>9.1}",
            core.entries,
            self.per_second(core.entries),
            core.durable_lag_entries(),
            self.per_second(core.file_bytes) / 1e6,
            core.syncs,
            micros(core.sync_ns.quantile(0.5)),
            micros(core.sync_ns.quantile(0.99)),
            micros(core.sync_ns.quantile(1.0)),
            part(core.ring_fill_bytes),
            core.room_wait_ns.count(),
            core.room_wait_ns.sum() as f64 / 1e6,
            core.held_bytes as f64 / 1e6
        )
    }

    /// What somebody should look at.
    fn trouble(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (core, since) in self.poisoned() {
            writeln!(f, "POISONED     core {core}: nothing from sequence {since} on is durable")?;
        }
        let total = self.total();
        let failures = [("syncs", total.sync_failures), ("writes", total.write_failures)];
        for (what, count) in failures.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "FAILED       {count} {what}, {} continued on a fresh segment", total.continuations)?;
        }
        if total.segments.refused > 0 {
            writeln!(f, "NO SPACE     {} segments were refused", total.segments.refused)?;
        }
        if let Some(overdue) = &self.closing {
            writeln!(f, "CLOSING      {overdue} in the middle of an append")?;
        }
        match &self.owed {
            Some(overdue) => writeln!(f, "NOT DURABLE  {overdue}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} waits for {:.1?}, for core", self.epoch, self.age)?;
        self.cores.iter().try_for_each(|core| write!(f, " {core}"))
    }
}

impl fmt::Display for CheckpointStats {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        write!(f, "checkpoints  {} made", self.made())?;
        if self.made() > 0 {
            write!(f, " in {}", self.duration_ns.as_durations())?;
        }
        write!(f, "; {} failed", self.failed)?;
        if let Some(running) = self.running {
            write!(f, "; one has been running for {running:.1?}")?;
        }
        writeln!(f)?;
        if let (Some(last), Some(age)) = (&self.last, self.age) {
            let megabytes = megabytes(last.bytes_written);
            writeln!(
                f,
                "             the last one {age:.1?} ago: epoch {}, {} entries, {} keys, {megabytes:.1} MB written, {} runs",
                last.epoch, last.entries, last.keys, last.runs
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Pinned {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6;
        write!(f, "core {}: {megabytes:.1} MB from segment {} on, ", self.core, self.segment)?;
        match &self.by {
            PinnedBy::NoCheckpoint { entries, .. } => write!(f, "by {entries} entries in no checkpoint"),
            PinnedBy::Reader { label } => write!(f, "by the reader {label:?}"),
            PinnedBy::Follower { name, since } => {
                write!(f, "by the follower {name:?}, which has read up to epoch {since}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
