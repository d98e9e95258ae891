//! Metrics through the facade: all that the table says and nothing else, every event once however often it is asked,
//! and documents that name what there is.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use common::*;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use parking_lot::Mutex;
use wal_coordinator::*;

/// What one metric was told.
#[derive(Default)]
struct Told {
    counter: Mutex<Option<u64>>,
    gauge: Mutex<Option<f64>>,
    values: Mutex<Vec<(f64, usize)>>,
}

impl CounterFn for Told {
    fn increment(&self, _: u64) {
        unreachable!("counters are told as absolute numbers");
    }
    fn absolute(&self, value: u64) {
        *self.counter.lock() = Some(value);
    }
}

impl GaugeFn for Told {
    fn increment(&self, _: f64) {
        unreachable!("gauges are set");
    }
    fn decrement(&self, _: f64) {
        unreachable!("gauges are set");
    }
    fn set(&self, value: f64) {
        *self.gauge.lock() = Some(value);
    }
}

impl HistogramFn for Told {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }
    fn record_many(&self, value: f64, count: usize) {
        self.values.lock().push((value, count));
    }
}

/// Its kind, its unit, and what is said of it.
type Described = (&'static str, Option<Unit>, String);
/// A name and its labels.
type Named = (String, Vec<(String, String)>);

/// Keeps all that it is told, by name and labels.
#[derive(Default)]
struct Collecting {
    described: Mutex<BTreeMap<String, Described>>,
    told: Mutex<BTreeMap<Named, Arc<Told>>>,
}

impl Collecting {
    fn describe(&self, kind: &'static str, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        let before = self.described.lock().insert(name.as_str().to_owned(), (kind, unit, help.to_string()));
        assert!(before.is_none(), "{} is described twice", name.as_str());
    }

    fn register(&self, key: &Key) -> Arc<Told> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        let key = (key.name().to_owned(), labels.collect());
        Arc::clone(self.told.lock().entry(key).or_default())
    }

    fn of(&self, name: &str, core: Option<u16>) -> Arc<Told> {
        let told = self.told.lock();
        let core = core.map(|core| core.to_string());
        let mut found = told.iter().filter(|((named, labels), _)| {
            named == name
                && labels.iter().find(|(key, _)| key == "core").map(|(_, value)| value) == core.as_ref()
        });
        let (_, told) = found.next().unwrap_or_else(|| panic!("{name} of {core:?} was not told"));
        assert!(found.next().is_none(), "{name} of {core:?} was told under two keys");
        Arc::clone(told)
    }

    fn counter(&self, name: &str, core: Option<u16>) -> u64 {
        self.of(name, core).counter.lock().unwrap()
    }

    fn gauge(&self, name: &str, core: Option<u16>) -> f64 {
        self.of(name, core).gauge.lock().unwrap()
    }

    /// How many values a histogram was told.
    fn count(&self, name: &str, core: Option<u16>) -> u64 {
        self.of(name, core).values.lock().iter().map(|(_, count)| *count as u64).sum()
    }
}

impl Recorder for Collecting {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, unit, &help);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, unit, &help);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, unit, &help);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.register(key))
    }
}

#[test]
fn all_of_the_table_is_told_and_every_event_once_however_often_it_is_asked() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let recorder = Collecting::default();
    let mut exporter = MetricsExporter::new(manager.handle()).with_label("log", "orders");
    let mut export = || metrics::with_local_recorder(&recorder, || exporter.export());
    export();
    for round in 1..=5_u64 {
        for core in 0..2 {
            for number in 0..50 * (core as u64 + 1) {
                manager.writer(core).append_put(&number.to_le_bytes(), &[7; 300]).unwrap();
            }
            manager.writer(core).sync().unwrap();
        }
        manager.advance_epoch();
        if round % 2 == 0 {
            checkpoints.create_checkpoint().unwrap();
        }
        // Asked twice: the second time there is nothing new.
        export();
        export();
    }
    let stats = manager.stats();
    for (core, of_core) in (0..).zip(&stats.cores) {
        let core = Some(core);
        for (name, expected) in [
            ("wal_entries_appended_total", of_core.entries),
            ("wal_entries_durable_total", of_core.durable_entries),
            ("wal_payload_bytes_total", of_core.payload_bytes),
            ("wal_file_bytes_total", of_core.file_bytes),
            ("wal_rotations_total", of_core.rotations),
            ("wal_segments_released_total", of_core.segments.released),
        ] {
            assert_eq!(recorder.counter(name, core), expected, "{name}");
            assert!(expected > 0, "{name}: nothing happened");
        }
        assert_eq!(recorder.count("wal_sync_duration_seconds", core), of_core.syncs);
        assert_eq!(recorder.count("wal_sync_entries", core), of_core.sync_entries.count());
        for (name, sum, scale) in [
            ("wal_sync_entries", of_core.sync_entries.sum(), 1.0),
            ("wal_sync_duration_seconds", of_core.sync_ns.sum(), 1e-9),
        ] {
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let (told, exact) = {
                let values = recorder.of(name, core);
                let told: f64 = values.values.lock().iter().map(|(value, count)| value * *count as f64).sum();
                (told, sum as f64 * scale)
            };
            assert!((told - exact).abs() <= exact / 8.0, "{name}: {told} were told, {exact} there were");
        }
    }
    for name in ["wal_epoch_owed_seconds", "wal_close_awaited_seconds"] {
        assert!(recorder.gauge(name, None).abs() < 1e-9, "{name}: nobody waits");
    }
    assert_eq!(recorder.count("wal_epoch_close_seconds", None), stats.epoch_close_ns.count());
    assert_eq!(recorder.count("wal_checkpoint_duration_seconds", None), 2);
    assert_eq!(recorder.counter("wal_checkpoint_keys_total", None), stats.checkpoints.keys);
    let pinned: f64 = (0..2).map(|core| recorder.gauge("wal_pinned_checkpoint_bytes", Some(core))).sum();
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let expected = stats.pinned_bytes() as f64;
    assert!((pinned - expected).abs() < 1.0 && expected > 0.0, "{pinned} of {expected}");

    let described = recorder.described.lock();
    let told: BTreeSet<_> = recorder.told.lock().keys().map(|(name, _)| name.clone()).collect();
    let table: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(told, table, "what is told, and what the table has");
    assert_eq!(table.len(), METRICS.len(), "a name that stands twice");
    for metric in METRICS {
        assert_eq!(described[metric.name], (metric.kind(), Some(metric.unit), metric.help.to_owned()));
        // Registered as what it is: the others of its kinds were told nothing.
        let told = recorder.told.lock();
        for (_, told) in told.iter().filter(|((name, _), _)| name == metric.name) {
            let of_kind = match metric.kind() {
                "counter" => told.counter.lock().is_some(),
                "gauge" => told.gauge.lock().is_some(),
                _ => told.counter.lock().is_none() && told.gauge.lock().is_none(),
            };
            assert!(of_kind, "{} is no {}", metric.name, metric.kind());
        }
    }
    let labels =
        |labels: &[(String, String)]| labels.iter().any(|label| *label == ("log".into(), "orders".into()));
    assert!(recorder.told.lock().keys().all(|(_, all)| labels(all)), "a metric without the log's label");
}

#[test]
fn what_is_kept_for_a_reader_is_told_apart_from_what_waits_for_a_checkpoint() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
    manager.writer(0).append_put(b"key", &[7; 300]).unwrap();
    manager.sync_all().unwrap();
    let reading = manager.handle().merged(None, "backup").unwrap();
    CheckpointCoordinator::new(&manager).create_checkpoint().unwrap();
    manager.writer(1).append_put(b"key", &[7; 300]).unwrap();
    manager.sync_all().unwrap();
    let recorder = Collecting::default();
    metrics::with_local_recorder(&recorder, || MetricsExporter::new(manager.handle()).export());
    let kept = |name: &str| [0, 1].map(|core| recorder.gauge(name, Some(core)) > 0.5);
    assert_eq!(kept("wal_pinned_reader_bytes"), [true, false], "{:?}", manager.stats().pinned);
    assert_eq!(kept("wal_pinned_checkpoint_bytes"), [false, true], "{:?}", manager.stats().pinned);
    drop(reading);
}

/// A poisoned core, an epoch that it keeps from becoming durable, and who is to blame.
#[test]
fn a_core_that_is_poisoned_is_named_with_the_epoch_that_waits_for_it() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut options = watched.under(config(&path, 3));
    options.log.retention = Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(options).unwrap();
    for core in 0..3 {
        manager.writer(core).append_put(b"key", b"value").unwrap();
        manager.writer(core).sync().unwrap();
        manager.writer(core).append_put(b"key", b"value").unwrap();
    }
    watched.fail(Kind::Sync, "wal-00001", 0, 1, std::io::ErrorKind::Other);
    let epoch = manager.advance_epoch();
    let stats = manager.stats();
    assert_eq!(stats.poisoned().collect::<Vec<_>>(), [(CoreId(1), Sequence(1))]);
    let owed = stats.owed.as_ref().unwrap();
    assert_eq!((owed.epoch, &owed.cores[..]), (epoch, &[CoreId(1)][..]));
    assert_eq!((stats.cores[1].sync_failures, stats.total().poisoned_since), (1, Some(Sequence(1))));
    let page = stats.to_string();
    assert!(page.contains("POISONED     core 1: nothing from sequence 1 on is durable"), "{page}");
    assert!(page.contains("NOT DURABLE  epoch 1 waits for"), "{page}");
    let recorder = Collecting::default();
    let mut exporter = MetricsExporter::new(manager.handle());
    metrics::with_local_recorder(&recorder, || exporter.export());
    let flags = |name: &str| [0, 1, 2].map(|core| recorder.gauge(name, Some(core)) > 0.5);
    assert_eq!(flags("wal_poisoned"), [false, true, false]);
    assert_eq!(flags("wal_epoch_owed"), [false, true, false]);
    let age = recorder.gauge("wal_epoch_owed_seconds", None);
    assert!(age >= owed.age.as_secs_f64() && age < 3600.0, "{age} seconds");
    assert_eq!(recorder.counter("wal_sync_failures_total", Some(1)), 1);
}

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

#[test]
fn the_document_of_metrics_has_every_metric_as_the_code_has_it() {
    let text = document("metrics.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `wal_")).collect();
    let expected: Vec<_> = METRICS
        .iter()
        .map(|metric| {
            let labels = if metric.is_per_core() { "core" } else { "" };
            let (kind, unit) = (metric.kind(), metric.unit.as_str());
            format!("| `{}` | {kind} | {unit} | {labels} | {} |", metric.name, metric.help)
        })
        .collect();
    assert!(rows == expected, "docs/metrics.md should have these rows:\n{}", expected.join("\n"));
}

#[test]
fn every_metric_that_the_operators_page_names_exists() {
    let text = document("operating.md");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let named: BTreeSet<_> = words.filter(|word| word.starts_with("wal_")).collect();
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert!(named.len() >= 12, "the page names {} metrics", named.len());
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "docs/operating.md names metrics that do not exist: {unknown:?}");
}
