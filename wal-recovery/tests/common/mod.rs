//! What the tests of recovery share: an engine that keeps every entry, and a small log with everything in it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_format::{CoreId, EntryRef, LogId, Manifest, OperationRef, Origin, PerCoreWalEntry, SegmentNumber};
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, Source};
use wal_recovery::{
    BoxError, Mode, PerCoreRecoveryManager, Recovered, RecoveryError, RecoveryReport, Replay, Scope,
};

pub const LOG: LogId = LogId([7; 16]);
pub const A: CoreId = CoreId(0);
pub const B: CoreId = CoreId(1);

/// Keeps whatever it is given.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub checkpoint: Option<Manifest>,
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub entries: Vec<PerCoreWalEntry>,
}

impl Replay for Kept {
    fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
        assert!(self.checkpoint.is_none() && self.state.is_empty() && self.entries.is_empty());
        self.checkpoint = Some(manifest.clone());
        Ok(())
    }

    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.state.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        self.entries.push(entry.to_owned());
        Ok(())
    }
}

impl Kept {
    pub fn of_core(&self, core: CoreId) -> Vec<PerCoreWalEntry> {
        self.entries.iter().filter(|entry| entry.core_id == core).cloned().collect()
    }

    pub fn sequences(&self, core: CoreId) -> Vec<u64> {
        self.of_core(core).iter().map(|entry| entry.sequence.0).collect()
    }
}

pub fn manager(source: &MemorySource) -> PerCoreRecoveryManager {
    PerCoreRecoveryManager::with_source(Arc::new(source.clone()) as Arc<dyn Source>)
}

pub fn recover_with(
    source: &MemorySource,
    scope: Scope,
    mode: Mode,
) -> Result<(Kept, Recovered), RecoveryError> {
    let mut kept = Kept::default();
    let manager = manager(source).scope(scope).mode(mode);
    let recovered = manager.recover(&mut kept);
    assert_decided_as_by_a_plan(&manager, &recovered);
    Ok((kept, recovered?))
}

/// Recovery reads what is proven durable once, with replay; a plan reads all before. Both come to the same.
fn assert_decided_as_by_a_plan(
    manager: &PerCoreRecoveryManager,
    recovered: &Result<Recovered, RecoveryError>,
) {
    match (recovered, manager.plan()) {
        (Ok(recovered), Ok(plan)) => {
            assert_eq!(recovered.resume, plan.resume);
            let figures = RecoveryReport {
                checkpoint_keys: recovered.report.checkpoint_keys,
                entries_replayed: recovered.report.entries_replayed,
                bytes_read: recovered.report.bytes_read,
                problems: recovered.report.problems.clone(),
                ..plan.report
            };
            assert_eq!(recovered.report, figures);
        }
        (Err(error), Err(other)) => assert_eq!(error.to_string(), other.to_string()),
        // A run of the checkpoint is read by replay alone.
        (Err(error), Ok(plan)) => assert!(plan.manifest.is_some(), "{error}"),
        (Ok(_), Err(error)) => panic!("recovered what a plan refuses: {error}"),
    }
}

pub fn recover(source: &MemorySource) -> Result<(Kept, Recovered), RecoveryError> {
    recover_with(source, Scope::Everything, Mode::Strict)
}

pub fn salvage(source: &MemorySource) -> Result<(Kept, Recovered), RecoveryError> {
    recover_with(source, Scope::Everything, Mode::Salvage)
}

/// A small log of two cores with every kind of segment and frame, and per file the offset that later evidence proves.
pub struct Small {
    pub source: MemorySource,
    pub proven: BTreeMap<String, u64>,
}

pub fn small() -> Small {
    let mut log = LogBuilder::new(LOG);
    let mut proven = BTreeMap::new();
    for core in [A, B] {
        for round in 0..3_u8 {
            log.put(core, &[core.0 as u8, round], b"first");
            log.sync(core);
            log.batch(
                core,
                &[
                    OperationRef::Delete { key: &[round] },
                    OperationRef::Checkpoint { id: 300 },
                    OperationRef::EpochBarrier,
                ],
            );
        }
        // Segment 0 is durable to its end when segment 1 begins to be synced.
        log.sync(core);
        let first = log.core(core).name();
        log.rotate(core);
        proven.insert(first, u64::MAX);
        log.put(core, b"second segment", b"one");
        log.sync(core);
        let (durable, timestamp) = (log.end(core), log.core(core).timestamp);
        proven.insert(log.core(core).name(), durable.offset);
        let again = log.clock();
        log.put(core, b"in doubt", b"two");
        log.put(core, b"in doubt", b"three");
        let written = log.end(core);
        log.begin(core, SegmentNumber(2), Origin::Rotation, Some(written));
        log.put(core, b"in doubt", b"four");
        // A sync fails: segment 2 is given up, what was in doubt stands again in segment 3.
        log.core(core).timestamp = timestamp;
        log.begin(core, SegmentNumber(3), Origin::Continuation, Some(durable));
        log.set_clock(again);
        log.put(core, b"in doubt", b"two");
        log.put(core, b"in doubt", b"three");
        log.put(core, b"in doubt", b"four");
        log.set_epoch(2);
        log.sync(core);
        proven.insert(log.core(core).name(), log.end(core).offset);
        log.put(core, b"tail", b"five");
        log.set_epoch(1);
    }
    let mut source = log.source();
    // Zeros behind the tail of the last segments, as in a file that was filled ahead.
    for core in [A, B] {
        let name = log.core(core).name();
        if let Some(bytes) = source.get_mut(&name) {
            bytes.resize(bytes.len() + 200, 0);
        }
    }
    Small { source, proven }
}
