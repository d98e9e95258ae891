//! What subscribers of `tracing` see: the tree of spans of a recovery and of a checkpoint, the events of a failure, and
//! nothing of a log at work.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use common::*;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;
use wal_coordinator::*;
use wal_recovery::PerCoreRecoveryManager;

/// A span or an event, as it was told.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    level: Level,
    target: String,
    parent: Option<usize>,
    fields: BTreeMap<&'static str, String>,
    metadata: &'static Metadata<'static>,
}

/// Keeps all spans and events of one thread, in their order. Clones share.
#[derive(Clone, Default)]
struct Collecting(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    told: Vec<Told>,
    entered: Vec<usize>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl State {
    fn note(&mut self, metadata: &'static Metadata<'static>, parent: Option<usize>) -> &mut Told {
        self.told.push(Told {
            name: metadata.name().to_owned(),
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            parent,
            fields: BTreeMap::new(),
            metadata,
        });
        self.told.last_mut().unwrap()
    }
}

fn index(id: &Id) -> usize {
    usize::try_from(id.into_u64()).unwrap() - 1
}

fn id(index: usize) -> Id {
    Id::from_u64(index as u64 + 1)
}

impl Subscriber for Collecting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wal_")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.0.lock();
        let parent = span.parent().map(index).or_else(|| state.entered.last().copied());
        let told = state.note(span.metadata(), parent.filter(|_| !span.is_root()));
        span.record(told);
        id(state.told.len() - 1)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut self.0.lock().told[index(span)]);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut state = self.0.lock();
        let parent = state.entered.last().copied();
        let told = state.note(event.metadata(), parent);
        event.record(told);
        // An event's own name says where it stands in the code.
        told.name = told.fields.remove("message").unwrap_or_default();
    }
    fn enter(&self, span: &Id) {
        self.0.lock().entered.push(index(span));
    }
    fn exit(&self, span: &Id) {
        let left = self.0.lock().entered.pop();
        assert_eq!(left, Some(index(span)), "spans are left in the reverse order");
    }
    fn current_span(&self) -> Current {
        let state = self.0.lock();
        let current = state.entered.last();
        current
            .map_or_else(Current::none, |current| Current::new(id(*current), state.told[*current].metadata))
    }
}

impl Collecting {
    /// What was told while `work` ran.
    fn watch<T>(work: impl FnOnce() -> T) -> (T, Vec<Told>) {
        let collecting = Self::default();
        let result = tracing::subscriber::with_default(collecting.clone(), work);
        let state = collecting.0.lock();
        assert!(state.entered.is_empty(), "a span was not left");
        (result, state.told.clone())
    }
}

/// The tree as lines: names with some of their fields, indented by depth.
fn tree(told: &[Told], fields: &[&str]) -> String {
    let depth = |of: &Told| std::iter::successors(of.parent, |parent| told[*parent].parent).count();
    let line = |one: &Told| {
        let shown = fields.iter().filter_map(|name| Some(format!(" {name}={}", one.fields.get(name)?)));
        format!("{}{}{}\n", "  ".repeat(depth(one)), one.name, shown.collect::<String>())
    };
    // As they nest: children behind their parent, in their order.
    fn lines(told: &[Told], parent: Option<usize>, line: &dyn Fn(&Told) -> String) -> String {
        let children = told.iter().enumerate().filter(|(_, one)| one.parent == parent);
        children.map(|(at, one)| line(one) + &lines(told, Some(at), line)).collect()
    }
    lines(told, None, &line)
}

/// One thread, so that the order is the same each time.
fn on_one_thread(path: &std::path::Path, cores: usize) -> PerCoreWalConfig {
    let mut config = config(path, cores);
    config.threads_max = 1;
    config
}

#[test]
fn a_log_at_work_tells_nothing_and_a_checkpoint_its_steps() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(on_one_thread(&path, 2)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let ((), told) = Collecting::watch(|| {
        for round in 0_u64..400 {
            for core in 0..2 {
                manager.writer(core).append_put(&round.to_le_bytes(), &[1; 400]).unwrap();
                manager.writer(core).sync().unwrap();
            }
            manager.advance_epoch();
        }
    });
    assert_eq!(tree(&told, &[]), "", "appends, syncs, rotations, epochs");
    let (report, told) = Collecting::watch(|| checkpoints.create_checkpoint().unwrap());
    let released = |core: u16| manager.stats().cores[usize::from(core)].segments.released;
    let expected = format!(
        "checkpoint epoch={} entries=800 keys=400 bytes={bytes}\n  seal cores=2\n  store\n    run bytes={bytes}\n  \
         manifest runs=1\n  release segments={}\n    released core=0 segments={}\n    released core=1 segments={}\n",
        report.epoch,
        report.segments_released,
        released(0),
        released(1),
        bytes = report.bytes_written
    );
    assert!(report.segments_released > 2);
    assert_eq!(
        tree(&told, &["core", "epoch", "entries", "keys", "cores", "bytes", "runs", "segments"]),
        expected
    );
}

#[test]
fn opening_and_recovery_tell_what_was_scanned_decided_and_replayed() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(on_one_thread(&path, 2)).unwrap();
    for (core, entries) in [(0, 3), (1, 5)] {
        for _ in 0..entries {
            manager.writer(core).append_put(b"key", b"value").unwrap();
        }
    }
    manager.close().unwrap();
    let recovery = PerCoreRecoveryManager::new(&path).threads_max(1);
    let (recovered, told) = Collecting::watch(|| recovery.recover(&mut Seen::default()).unwrap());
    let report = &recovered.report;
    let bytes =
        |core: usize| report.cores[core].segments.iter().map(|segment| segment.bytes_used).sum::<u64>();
    let steps = format!(
        "scan core=0 entries=3 bytes={}\n  scan core=1 entries=5 bytes={}\n  plan cores=2\n    \
         planned core=0 verdict=clean end end_sequence=3\n    planned core=1 verdict=clean end end_sequence=5\n",
        bytes(0),
        bytes(1)
    );
    let shown = ["core", "cores", "scope", "entries", "bytes", "verdict", "end_sequence"];
    let scope = report.scope;
    let expected =
        format!("recovery scope={scope}\n  {steps}  replay entries=8 bytes={}\n", report.bytes_read);
    assert_eq!(tree(&told, &shown), expected);

    let of_each = |_: CoreId| Seen::default();
    let replay = || recovery.recover_parallel(&mut Seen::default(), of_each).unwrap();
    let ((_, recovered), told) = Collecting::watch(replay);
    let (_, of_each) = (recovered, tree(&told, &["core", "entries"]));
    let replayed = "  replay entries=8\n";
    assert!(of_each.contains(replayed), "{of_each}");

    let (manager, told) = Collecting::watch(|| PerCoreWalManager::new(on_one_thread(&path, 2)).unwrap());
    drop(manager);
    let expected = format!("open cores=2\n  recovery scope={scope}\n    {}", steps.replace("\n  ", "\n    "));
    assert_eq!(tree(&told, &shown), expected);
}

#[test]
fn a_failed_write_is_told_with_its_file_and_then_that_the_log_goes_on() {
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let mut manager = PerCoreWalManager::new(watched.under(on_one_thread(&path, 1))).unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    manager.writer(0).sync().unwrap();
    manager.writer(0).append_put(b"key", b"value").unwrap();
    watched.fail(Kind::Write, "wal-00000", 0, 1, std::io::ErrorKind::Other);
    let (_, told) = Collecting::watch(|| manager.writer(0).sync().unwrap());
    let events: Vec<_> = told.iter().map(|one| (one.name.as_str(), one.level)).collect();
    assert_eq!(events, [("write failed", Level::WARN), ("continued on a fresh segment", Level::INFO)]);
    assert!(told[0].fields["error"].contains("cannot write"), "{:?}", told[0]);
    assert!(told[0].fields["error"].contains("wal-00000-0000000000000000.log"), "{:?}", told[0]);
}

#[test]
fn a_failed_sync_is_told_and_then_that_the_log_goes_on_or_is_poisoned() {
    for retention in [Retention::UntilDurable, Retention::UntilWritten] {
        let (_directory, path) = place();
        let watched = Watched::new(&path);
        let mut options = watched.under(on_one_thread(&path, 2));
        options.log.retention = retention;
        let mut manager = PerCoreWalManager::new(options).unwrap();
        manager.writer(1).append_put(b"key", b"value").unwrap();
        manager.writer(1).sync().unwrap();
        manager.writer(1).append_put(b"key", b"value").unwrap();
        watched.fail(Kind::Sync, "wal-00001", 0, 1, std::io::ErrorKind::Other);
        let ((), told) = Collecting::watch(|| {
            manager.advance_epoch();
        });
        let events: Vec<_> = told.iter().map(|one| (one.name.as_str(), one.level)).collect();
        let failed = &told[0];
        assert_eq!((failed.fields["core"].as_str(), failed.target.as_str()), ("1", "wal_writer"));
        assert!(failed.fields["error"].contains("cannot sync"), "{failed:?}");
        assert!(failed.fields["error"].contains("wal-00001-0000000000000000.log"), "{failed:?}");
        if retention == Retention::UntilDurable {
            let expected = [("sync failed", Level::WARN), ("continued on a fresh segment", Level::INFO)];
            assert_eq!(events, expected);
            assert_eq!(told[1].fields["durable"], "2");
        } else {
            let expected =
                [("sync failed", Level::WARN), ("poisoned", Level::ERROR), ("epoch_end_failed", Level::WARN)];
            assert_eq!(events, expected);
            assert_eq!((told[1].fields["since"].as_str(), told[2].fields["epoch"].as_str()), ("1", "1"));
        }
    }
}
