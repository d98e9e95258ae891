//! What a load came to: for people, and as data.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use wal_coordinator::WalStats;
use wal_writer::Histogram;

use super::verify::Verified;
use super::worker::{Latencies, Part};
use crate::report::{amount, digits};
use crate::table::{Table, count};

/// The parts that are told of a distribution.
const PARTS: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// What a load came to. Times are nanoseconds; a quantile is at most an eighth too high, as
/// [`Histogram`] is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// What was asked for.
    pub load: String,
    /// Until the last core had ended.
    pub appending_s: f64,
    /// Until everything was durable.
    pub durable_s: f64,
    /// Appended, and durable, by the cores' own count.
    pub entries: u64,
    /// By the log's count.
    pub log_entries: u64,
    /// By the log's count.
    pub log_durable_entries: u64,
    /// Of their keys and values.
    pub payload_bytes: u64,
    /// Over the time until the last core had ended.
    pub appended_per_s: f64,
    /// Over the time until everything was durable.
    pub durable_per_s: f64,
    /// From when an entry was due until its append returned.
    pub append: Quantiles,
    /// Calls that append, without the wait for their turn.
    pub call: Quantiles,
    /// From when an entry was due until it was durable, with a sync mode.
    pub durable: Quantiles,
    /// Of the log's syncs, by its own count.
    pub sync: Quantiles,
    /// Entries that a sync made durable.
    pub sync_entries_mean: f64,
    /// Appends that waited for room in a full ring, and for how long together.
    pub room_waits: u64,
    /// Of these.
    pub room_wait_s: f64,
    /// CPU of all threads until everything was durable, for each entry; waiting for entries to be due is not in it.
    pub cpu_ns: f64,
    /// Of it, drawing an entry and looking at the clock: what the load itself takes, measured before.
    pub cpu_ns_of_load: f64,
    /// CPU spent waiting for entries to be due, for each entry.
    pub spun_ns: f64,
    /// The most memory that the process had.
    pub memory_peak_mib: f64,
    /// Bytes written to segments, for each byte of keys and values.
    pub written_segments: f64,
    /// By checkpoints.
    pub written_checkpoints: f64,
    /// Zeros that new segments were filled with.
    pub written_filling: f64,
    /// Segments that were sealed.
    pub rotations: u64,
    /// Checkpoints that were made.
    pub checkpoints: u64,
    /// Of these.
    pub checkpoint: Quantiles,
    /// If that was asked for.
    pub verified: Option<Verified>,
}

/// Of a distribution; zeros if nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are not above.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    pub p999: u64,
    /// 9999 of ten thousand.
    pub p9999: u64,
    /// The largest.
    pub max: u64,
}

/// What the process used meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) appending: Duration,
    pub(super) durable: Duration,
    pub(super) cpu: Duration,
    pub(super) cpu_ns_of_load: f64,
    pub(super) memory_kib: u64,
    pub(super) segment_bytes: u64,
}

impl Outcome {
    /// Of all parts of all cores, and what the log counted.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(super) fn new(load: String, all: &Part, stats: &WalStats, used: &Used) -> Self {
        let total = stats.total();
        let each = |sum: f64| sum / all.entries.max(1) as f64;
        let amplified = |bytes: u64| bytes as f64 / all.bytes.max(1) as f64;
        let per_second = |time: Duration| all.entries as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
        let Latencies { append, call, durable } = &all.latencies;
        Self {
            load,
            appending_s: used.appending.as_secs_f64(),
            durable_s: used.durable.as_secs_f64(),
            entries: all.entries,
            log_entries: total.entries,
            log_durable_entries: total.durable_entries,
            payload_bytes: all.bytes,
            appended_per_s: per_second(used.appending),
            durable_per_s: per_second(used.durable),
            append: append.into(),
            call: call.into(),
            durable: durable.into(),
            sync: (&total.sync_ns).into(),
            sync_entries_mean: total.sync_entries.mean().unwrap_or_default(),
            room_waits: total.room_wait_ns.count(),
            room_wait_s: total.room_wait_ns.sum() as f64 / 1e9,
            cpu_ns: each((used.cpu.as_nanos() as f64 - all.spun_ns as f64).max(0.0)),
            cpu_ns_of_load: used.cpu_ns_of_load,
            spun_ns: each(all.spun_ns as f64),
            memory_peak_mib: used.memory_kib as f64 / 1024.0,
            written_segments: amplified(total.file_bytes),
            written_checkpoints: amplified(stats.checkpoints.bytes_written),
            written_filling: amplified(total.segments.made * used.segment_bytes),
            rotations: total.rotations,
            checkpoints: stats.checkpoints.made(),
            checkpoint: (&stats.checkpoints.duration_ns).into(),
            verified: None,
        }
    }

    /// Whether the cores and the log counted the same.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn check(&self) -> Result<(), String> {
        let counts = [self.log_entries, self.log_durable_entries, self.append.count];
        if counts.iter().all(|count| *count == self.entries) {
            return Ok(());
        }
        Err(format!(
            "{} entries were appended; the log counts {} and {} durable; {} were timed",
            self.entries, self.log_entries, self.log_durable_entries, self.append.count
        ))
    }
}

impl From<&Histogram> for Quantiles {
    fn from(histogram: &Histogram) -> Self {
        let [p50, p90, p99, p999, p9999, max] =
            PARTS.map(|(_, part)| histogram.quantile(part).unwrap_or_default());
        let (count, mean) = (histogram.count(), histogram.mean().unwrap_or_default());
        Self { count, mean, p50, p90, p99, p999, p9999, max }
    }
}

impl Quantiles {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn cells(&self) -> [String; 6] {
        [self.p50, self.p90, self.p99, self.p999, self.p9999, self.max].map(|ns| amount(ns as f64, "ns"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.load)?;
        write!(f, "  {:<34}", "")?;
        PARTS.iter().try_for_each(|(name, _)| write!(f, "{name:>10}"))?;
        writeln!(f, "{:>14}", "of")?;
        for (name, quantiles) in [
            ("append, from when it was due", &self.append),
            ("append, the call alone", &self.call),
            ("durable, from when it was due", &self.durable),
            ("sync of the log", &self.sync),
            ("checkpoint", &self.checkpoint),
        ] {
            if quantiles.count > 0 {
                write!(f, "  {name:<34}")?;
                quantiles.cells().iter().try_for_each(|cell| write!(f, "{cell:>10}"))?;
                writeln!(f, "{:>14}", count(quantiles.count))?;
            }
        }
        let mut table = Table::default();
        table.row("entries", format!("{} in {:.2} s", count(self.entries), self.appending_s));
        table.row(
            "throughput",
            format!("{} /s appended, {} /s durable", digits(self.appended_per_s), digits(self.durable_per_s)),
        );
        table.row("group commit", format!("{} entries a sync", digits(self.sync_entries_mean)));
        table.row(
            "waits for room",
            format!("{}, {:.3} s of all cores together", count(self.room_waits), self.room_wait_s),
        );
        table.row(
            "CPU for each entry",
            format!(
                "{} of all threads, of which {} draw it and look at the clock; and {} spent waiting for it",
                amount(self.cpu_ns, "ns"),
                amount(self.cpu_ns_of_load, "ns"),
                amount(self.spun_ns, "ns")
            ),
        );
        table.row("memory", format!("{:.1} MiB at most", self.memory_peak_mib));
        table.row(
            "written for each byte",
            format!(
                "{} to segments, {} by checkpoints, {} zeros into new segments",
                digits(self.written_segments),
                digits(self.written_checkpoints),
                digits(self.written_filling)
            ),
        );
        table.row("segments sealed", count(self.rotations));
        if let Some(verified) = &self.verified {
            table.row(
                "verified",
                format!(
                    "all {} entries came back: {} replayed, {} keys from the checkpoint, {} keys in all",
                    count(verified.entries),
                    count(verified.entries_replayed),
                    count(verified.checkpoint_keys),
                    count(verified.keys)
                ),
            );
        }
        write!(f, "\n{table}")
    }
}
