//! The snapshot of a log through the `metrics` facade (feature `metrics`): names, units, and how they are told.
//!
//! Pulled, not pushed: whoever scrapes, or a thread of the engine's with a timer, calls [`MetricsExporter::export`]. So nothing
//! runs on the log's own threads, nothing is told that nobody asked for, and without a call the feature costs nothing.
//!
//! Counters are told as absolute numbers. Of a distribution each call tells what was recorded since the call before, each
//! value once, at the middle of its bucket: within an eighth of what it was, a sixteenth as a rule. A recorder with buckets or quantiles of its
//! own therefore counts every event exactly once, however often it is asked.
//!
//! [`METRICS`] is the table of all that is told; `docs/metrics.md` is the same for people, and a test compares them.

use metrics::{Key, Label, Level, Metadata, Recorder, Unit};

use crate::handle::LogHandle;
use crate::retention::PinnedBy;
use crate::stats::{Overdue, WalStats};
use wal_writer::{Histogram, LogStats};

/// Tells a recorder of the `metrics` facade how a log stands. One for each log: two would tell distributions twice.
///
/// ```
/// use wal_coordinator::{MetricsExporter, PerCoreWalConfig, PerCoreWalManager};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// let manager = PerCoreWalManager::new(PerCoreWalConfig::new(&path, 4))?;
/// let mut exporter = MetricsExporter::new(manager.handle()).with_label("log", "orders");
/// // Whenever somebody scrapes, or every few seconds:
/// exporter.export();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It holds a [`LogHandle`], so the directory stays locked until it is dropped.
pub struct MetricsExporter {
    log: LogHandle,
    labels: Vec<Label>,
    told: WalStats,
    is_described: bool,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is in.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
    of: Of,
}

/// Where a metric comes from. Those of a core have the label `core`.
#[derive(Clone, Copy, Debug)]
enum Of {
    CoreCounter(fn(&LogStats) -> u64),
    CoreGauge(fn(&WalStats, usize) -> f64),
    CoreHistogram(fn(&LogStats) -> &Histogram, f64),
    Counter(fn(&WalStats) -> u64),
    Gauge(fn(&WalStats) -> f64),
    Histogram(fn(&WalStats) -> &Histogram, f64),
}

impl Metric {
    /// `counter`, `gauge` or `histogram`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.of {
            Of::CoreCounter(_) | Of::Counter(_) => "counter",
            Of::CoreGauge(_) | Of::Gauge(_) => "gauge",
            Of::CoreHistogram(..) | Of::Histogram(..) => "histogram",
        }
    }

    /// Whether there is one for each core, with the label `core`.
    #[must_use]
    pub fn is_per_core(&self) -> bool {
        matches!(self.of, Of::CoreCounter(_) | Of::CoreGauge(_) | Of::CoreHistogram(..))
    }
}

const SECONDS: f64 = 1e-9;

/// Everything that is told, in the order of `docs/metrics.md`.
pub const METRICS: &[Metric] = &[
    core_counter("wal_entries_appended_total", Unit::Count, "entries appended", |core| core.entries),
    core_counter("wal_entries_written_total", Unit::Count, "entries written to files", |core| {
        core.written_entries
    }),
    core_counter("wal_entries_durable_total", Unit::Count, "entries made durable", |core| {
        core.durable_entries
    }),
    core_counter("wal_payload_bytes_total", Unit::Bytes, "encoded entries, each once", |core| {
        core.payload_bytes
    }),
    core_counter("wal_frames_total", Unit::Count, "frames written, of all kinds", |core| core.frames),
    core_counter("wal_frame_bytes_total", Unit::Bytes, "frames written, with headers", |core| core.bytes),
    core_counter("wal_file_bytes_total", Unit::Bytes, "handed to the file system, in whole pages", |core| {
        core.file_bytes
    }),
    core_histogram(
        "wal_sync_duration_seconds",
        Unit::Seconds,
        "syncs that succeeded: time on the device",
        |core| &core.sync_ns,
        SECONDS,
    ),
    core_histogram(
        "wal_sync_entries",
        Unit::Count,
        "entries that each sync made durable",
        |core| &core.sync_entries,
        1.0,
    ),
    core_counter("wal_sync_failures_total", Unit::Count, "syncs that failed", |core| core.sync_failures),
    core_counter("wal_write_failures_total", Unit::Count, "writes that failed", |core| core.write_failures),
    core_counter(
        "wal_continuations_total",
        Unit::Count,
        "failures after which the log went on in a fresh segment",
        |core| core.continuations,
    ),
    core_histogram(
        "wal_room_wait_seconds",
        Unit::Seconds,
        "appends that waited for room in a full ring",
        |core| &core.room_wait_ns,
        SECONDS,
    ),
    core_counter("wal_rotations_total", Unit::Count, "segments sealed", |core| core.rotations),
    core_counter("wal_segments_made_total", Unit::Count, "segment files made", |core| core.segments.made),
    core_counter("wal_segments_reused_total", Unit::Count, "released files taken again", |core| {
        core.segments.reused
    }),
    core_counter(
        "wal_segments_late_total",
        Unit::Count,
        "segment files that the log had to wait for",
        |core| core.segments.late,
    ),
    core_counter(
        "wal_segments_refused_total",
        Unit::Count,
        "segment files refused for want of space",
        |core| core.segments.refused,
    ),
    core_counter(
        "wal_segments_released_total",
        Unit::Count,
        "segments released after a checkpoint",
        |core| core.segments.released,
    ),
    core_gauge("wal_durable_lag_entries", Unit::Count, "entries appended and not durable", |log, core| {
        float(log.cores[core].durable_lag_entries())
    }),
    core_gauge("wal_ring_bytes", Unit::Bytes, "size of the ring", |log, core| {
        float(log.cores[core].ring_bytes)
    }),
    core_gauge("wal_ring_fill_bytes", Unit::Bytes, "bytes of the ring that are still needed", |log, core| {
        float(log.cores[core].ring_fill_bytes)
    }),
    core_gauge("wal_ring_fill_bytes_max", Unit::Bytes, "the most that there ever were", |log, core| {
        float(log.cores[core].ring_fill_bytes_max)
    }),
    core_gauge("wal_held_bytes", Unit::Bytes, "segment files in use", |log, core| {
        float(log.cores[core].held_bytes)
    }),
    core_gauge(
        "wal_pinned_checkpoint_bytes",
        Unit::Bytes,
        "segment files that wait for a checkpoint",
        |log, core| pinned(log, core, false),
    ),
    core_gauge(
        "wal_pinned_reader_bytes",
        Unit::Bytes,
        "segment files that a reader keeps from being released",
        |log, core| pinned(log, core, true),
    ),
    core_gauge(
        "wal_poisoned",
        Unit::Count,
        "1 if nothing of this core becomes durable any more",
        |log, core| flag(log.cores[core].poisoned_since.is_some()),
    ),
    core_gauge(
        "wal_epoch_owed",
        Unit::Count,
        "1 if this core owes its end of the oldest epoch that is not durable",
        |log, core| named(log.owed.as_ref(), core),
    ),
    core_gauge("wal_close_awaited", Unit::Count, "1 if a close waits for this core's append", |log, core| {
        named(log.closing.as_ref(), core)
    }),
    gauge("wal_epoch", Unit::Count, "the current epoch", |log| float(log.epoch.0)),
    gauge("wal_durable_epoch", Unit::Count, "the last durable epoch", |log| float(log.durable_epoch.0)),
    gauge("wal_checkpoint_epoch", Unit::Count, "epoch of the last checkpoint", |log| {
        float(log.checkpoint_epoch.0)
    }),
    gauge("wal_durable_lag_epochs", Unit::Count, "closed epochs that are not durable", |log| {
        float(log.durable_lag_epochs())
    }),
    gauge(
        "wal_epoch_owed_seconds",
        Unit::Seconds,
        "how long the oldest closed epoch has not been durable",
        |log| seconds(log.owed.as_ref()),
    ),
    gauge("wal_close_awaited_seconds", Unit::Seconds, "how long a close has waited for an append", |log| {
        seconds(log.closing.as_ref())
    }),
    histogram(
        "wal_epoch_close_seconds",
        Unit::Seconds,
        "closing an epoch",
        |log| &log.epoch_close_ns,
        SECONDS,
    ),
    histogram(
        "wal_epoch_durable_seconds",
        Unit::Seconds,
        "from the close of an epoch until it was durable",
        |log| &log.epoch_durable_ns,
        SECONDS,
    ),
    histogram(
        "wal_checkpoint_duration_seconds",
        Unit::Seconds,
        "checkpoints that were made",
        |log| &log.checkpoints.duration_ns,
        SECONDS,
    ),
    counter("wal_checkpoint_failures_total", Unit::Count, "checkpoints that failed", |log| {
        log.checkpoints.failed
    }),
    counter("wal_checkpoint_entries_total", Unit::Count, "entries merged into checkpoints", |log| {
        log.checkpoints.entries
    }),
    counter("wal_checkpoint_keys_total", Unit::Count, "keys written by checkpoints", |log| {
        log.checkpoints.keys
    }),
    counter("wal_checkpoint_bytes_total", Unit::Bytes, "bytes written by checkpoints", |log| {
        log.checkpoints.bytes_written
    }),
    gauge("wal_checkpoint_runs", Unit::Count, "runs that the last checkpoint consists of", |log| {
        log.checkpoints.last.as_ref().map_or(0.0, |last| float(last.runs as u64))
    }),
    gauge(
        "wal_checkpoint_running_seconds",
        Unit::Seconds,
        "how long the checkpoint in progress has been running; 0 if there is none",
        |log| log.checkpoints.running.unwrap_or_default().as_secs_f64(),
    ),
    gauge(
        "wal_checkpoint_age_seconds",
        Unit::Seconds,
        "since the last checkpoint ended, or the log was opened",
        |log| log.checkpoints.age.unwrap_or(log.elapsed).as_secs_f64(),
    ),
    gauge("wal_free_segments", Unit::Count, "released segment files that wait to be used again", |log| {
        float(log.free_segments)
    }),
];

impl MetricsExporter {
    /// An exporter of the log that `log` is a handle of. The first call tells everything since the log was opened.
    #[must_use]
    pub fn new(log: LogHandle) -> Self {
        Self { log, labels: Vec::new(), told: WalStats::default(), is_described: false }
    }

    /// Adds a label to every metric: to tell several logs of one process apart.
    #[must_use]
    pub fn with_label(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(key, value.into()));
        self
    }

    /// Tells the recorder that is installed how the log stands now. Install it before the first call: what a call tells of
    /// distributions, no other does.
    pub fn export(&mut self) {
        let stats = self.log.stats();
        let since = stats.since(&self.told);
        metrics::with_recorder(|recorder| {
            if !std::mem::replace(&mut self.is_described, true) {
                METRICS.iter().for_each(|metric| describe(recorder, metric));
            }
            for metric in METRICS {
                self.tell(recorder, metric, &stats, &since);
            }
        });
        self.told = stats;
    }

    fn tell(&self, recorder: &dyn Recorder, metric: &Metric, stats: &WalStats, since: &WalStats) {
        let metadata = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        let of_log = || Key::from_parts(metric.name, self.labels.clone());
        let of_core = |core: usize| {
            let label = Label::new("core", core.to_string());
            Key::from_parts(metric.name, [&self.labels[..], &[label]].concat())
        };
        let counter = |key: Key, count| recorder.register_counter(&key, &metadata).absolute(count);
        let gauge = |key: Key, value| recorder.register_gauge(&key, &metadata).set(value);
        let histogram = |key: Key, values: &Histogram, scale: f64| {
            let told = recorder.register_histogram(&key, &metadata);
            for (low, high, count) in values.buckets() {
                let middle = middle(low, high, values.max());
                told.record_many(float(middle) * scale, usize::try_from(count).unwrap_or(usize::MAX));
            }
        };
        let cores = || 0..stats.cores.len();
        match metric.of {
            Of::CoreCounter(of) => cores().for_each(|core| counter(of_core(core), of(&stats.cores[core]))),
            Of::CoreGauge(of) => cores().for_each(|core| gauge(of_core(core), of(stats, core))),
            Of::CoreHistogram(of, scale) => {
                cores().for_each(|core| histogram(of_core(core), of(&since.cores[core]), scale));
            }
            Of::Counter(of) => counter(of_log(), of(stats)),
            Of::Gauge(of) => gauge(of_log(), of(stats)),
            Of::Histogram(of, scale) => histogram(of_log(), of(since), scale),
        }
    }
}

/// The middle of a bucket, as far as there are values in it.
fn middle(low: u64, high: u64, max: u64) -> u64 {
    u64::midpoint(low, high.min(max.max(low)))
}

fn describe(recorder: &dyn Recorder, metric: &Metric) {
    let (name, unit, help) = (metric.name.into(), Some(metric.unit), metric.help.into());
    match metric.kind() {
        "counter" => recorder.describe_counter(name, unit, help),
        "gauge" => recorder.describe_gauge(name, unit, help),
        _ => recorder.describe_histogram(name, unit, help),
    }
}

type Core<T> = fn(&LogStats) -> T;
type Name = &'static str;

const fn core_counter(name: Name, unit: Unit, help: &'static str, of: Core<u64>) -> Metric {
    Metric { name, unit, help, of: Of::CoreCounter(of) }
}

const fn core_gauge(name: Name, unit: Unit, help: &'static str, of: fn(&WalStats, usize) -> f64) -> Metric {
    Metric { name, unit, help, of: Of::CoreGauge(of) }
}

const fn core_histogram(
    name: Name,
    unit: Unit,
    help: &'static str,
    of: fn(&LogStats) -> &Histogram,
    scale: f64,
) -> Metric {
    Metric { name, unit, help, of: Of::CoreHistogram(of, scale) }
}

const fn counter(name: Name, unit: Unit, help: &'static str, of: fn(&WalStats) -> u64) -> Metric {
    Metric { name, unit, help, of: Of::Counter(of) }
}

const fn gauge(name: Name, unit: Unit, help: &'static str, of: fn(&WalStats) -> f64) -> Metric {
    Metric { name, unit, help, of: Of::Gauge(of) }
}

const fn histogram(
    name: Name,
    unit: Unit,
    help: &'static str,
    of: fn(&WalStats) -> &Histogram,
    scale: f64,
) -> Metric {
    Metric { name, unit, help, of: Of::Histogram(of, scale) }
}

/// Bytes of the core's segments that wait for a checkpoint, or for a reader.
fn pinned(log: &WalStats, core: usize, by_reader: bool) -> f64 {
    let of_core = log.pinned.iter().filter(|pinned| pinned.core.index() == core);
    let matching = of_core.filter(|pinned| !matches!(pinned.by, PinnedBy::NoCheckpoint { .. }) == by_reader);
    float(matching.map(|pinned| pinned.bytes).sum())
}

fn named(overdue: Option<&Overdue>, core: usize) -> f64 {
    flag(overdue.is_some_and(|overdue| overdue.cores.iter().any(|named| named.index() == core)))
}

fn seconds(overdue: Option<&Overdue>) -> f64 {
    overdue.map_or(0.0, |overdue| overdue.age.as_secs_f64())
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits, as all that the facade tells")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_as_the_middle_of_its_bucket_and_never_above_the_largest() {
        for value in (0..50).flat_map(|bits| [1_u64 << bits, (1 << bits) + 1, (3 << bits) - 1]) {
            for largest in [value, value + value / 20] {
                let mut values = Histogram::default();
                values.record(value);
                values.record(largest);
                for (low, high, _) in
                    values.buckets().filter(|(low, high, _)| (*low..=*high).contains(&value))
                {
                    let told = middle(low, high, values.max());
                    assert!((low..=high.min(largest)).contains(&told), "{value} is told as {told}");
                    let (above, below) = (high.min(largest) - told, told - low);
                    assert!(above.abs_diff(below) <= 1, "{value}: {told} in {low}..={high}");
                }
            }
        }
    }
}
