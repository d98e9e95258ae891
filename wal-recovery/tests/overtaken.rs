//! Recovery beside an engine at work: a checkpoint that is made meanwhile is noticed, and the plan made anew.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]
#![allow(clippy::disallowed_types, reason = "counts calls; no model runs on it")]

mod common;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{A, LOG};
use wal_format::{Epoch, SegmentNumber};
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, Source, SourceFile, segment_name};
use wal_recovery::{PerCoreRecoveryManager, RecoveryError};

/// A directory that changes: with every look at the manifest the next state is there, and the last one stays.
struct Changing {
    states: Vec<MemorySource>,
    looks: AtomicUsize,
}

impl Changing {
    fn now(&self) -> &MemorySource {
        &self.states[self.looks.load(Ordering::SeqCst).min(self.states.len() - 1)]
    }
}

impl Source for Changing {
    fn names(&self) -> io::Result<Vec<String>> {
        self.now().names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let file = self.now().open(name);
        if name == "checkpoint.manifest" {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
        file
    }

    fn path(&self, name: &str) -> PathBuf {
        self.now().path(name)
    }
}

/// The log after its `count`-th checkpoint: each took in one segment and released its file.
fn after_checkpoints(count: u64) -> MemorySource {
    let mut log = LogBuilder::new(LOG);
    for round in 0..=count {
        log.set_epoch(round + 1);
        log.put(A, b"key", b"value");
        if round < count {
            log.rotate(A);
            log.release(A, SegmentNumber(round));
        }
    }
    let mut manifest = log.empty_manifest(count);
    manifest.external = true;
    manifest.cores = vec![wal_format::CorePosition {
        core: A,
        segment: SegmentNumber(count),
        offset: 4096,
        sequence: wal_format::Sequence(count),
        last_timestamp: log.core(A).header.last_timestamp,
        last_epoch: Epoch(count),
    }];
    log.manifest(&manifest);
    log.source()
}

fn plan(states: Vec<MemorySource>) -> Result<wal_recovery::Plan, RecoveryError> {
    let source = Changing { states, looks: AtomicUsize::new(0) };
    PerCoreRecoveryManager::with_source(Arc::new(source)).plan()
}

#[test]
fn a_checkpoint_made_while_recovery_looks_is_the_one_that_counts() {
    let (before, after) = (after_checkpoints(1), after_checkpoints(2));
    assert_ne!(before.get(&segment_name(A, SegmentNumber(1))), None);
    for state in [&before, &after] {
        assert!(plan(vec![state.clone()]).is_ok());
    }
    let plan = plan(vec![before, after]).unwrap();
    assert_eq!(plan.checkpoint_epoch(), Some(Epoch(2)));
    assert_eq!(plan.resume.cores[0].next_segment, SegmentNumber(3));
}

#[test]
fn checkpoints_without_end_are_an_error_that_says_so() {
    let states = (1..100).map(after_checkpoints).collect();
    assert!(matches!(plan(states), Err(RecoveryError::Overtaken { .. })));
}
