//! Target: a directory opened for writing. Whatever strict recovery accepts can be opened, appended to and recovered
//! again: all that was there, then what was added. What it refuses is refused, and left as it was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_coordinator::{CheckpointCoordinator, CoreId, PerCoreWalConfig, PerCoreWalManager};
use wal_format::WalOperation;
use wal_reader::{MemorySource, Source, SourceFile};
use wal_recovery::{Mode, PerCoreRecoveryManager, Scope};
use wal_writer::storage::recording::{RecordedFile, RecordingStorage};

use crate::choices::Choices;
use crate::damage;
use crate::directory::recover;
use crate::history;

pub(crate) fn check(input: &[u8]) {
    let mut choices = Choices::new(input);
    let cores = 1 + choices.below(3);
    let makes_checkpoint = choices.once_in(3);
    let mut history = history::make(&mut choices, 3);
    damage::inflict(&mut history.files, &mut choices);
    let files = history.files;
    let before = recover(&files, Scope::Everything, Mode::Strict);
    let planned = PerCoreRecoveryManager::with_source(Arc::new(files.clone())).plan();
    let storage = RecordingStorage::from_image(
        files.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect(),
    );
    let opened = PerCoreWalManager::new(config(&storage, cores));
    if let Err(error) = planned {
        assert!(opened.is_err(), "recovery refuses it, and it is opened: {error}");
        let now = storage.current();
        for (name, bytes) in files.iter().filter(|(name, _)| !name.ends_with(".tmp")) {
            assert!(now.get(name).is_some_and(|there| there == bytes), "{name} was changed");
        }
        return;
    }
    // Opening does not read the checkpoint's runs: whoever replays them learns of what is wrong with them.
    let Ok((kept, recovered)) = before else { return };
    // At the end of a number's range there is nothing to go on with; no log gets there.
    let near_end = |number: u64| number > u64::MAX / 2;
    let resume = &recovered.resume;
    let ends =
        resume.cores.iter().flat_map(|core| [core.next_sequence.0, core.next_segment.0, core.last_timestamp]);
    if ends.chain([resume.next_epoch.0, resume.timestamp_floor]).any(near_end) {
        return;
    }
    let mut manager = opened.unwrap_or_else(|error| panic!("recovery accepts it, opening does not: {error}"));
    for core in 0..cores {
        manager.writer(core).append_put(b"after", &[core as u8]).expect("room for an entry");
        manager.writer(core).sync().expect("a sync");
    }
    let checkpointed = makes_checkpoint && CheckpointCoordinator::new(&manager).create_checkpoint().is_ok();
    drop(manager);
    let mut files = MemorySource::new();
    storage.current().into_iter().for_each(|(name, bytes)| files.insert(name, bytes));
    let (after, _) = recover(&files, Scope::Everything, Mode::Strict)
        .unwrap_or_else(|error| panic!("it was open and synced: {error}"));
    let added = |core: u16| {
        (usize::from(core) < cores)
            .then_some(WalOperation::Put { key: b"after".to_vec(), value: vec![core as u8] })
    };
    if checkpointed {
        assert!(
            after.entries.is_empty() && after.state.contains_key(&b"after"[..]),
            "all is in the checkpoint"
        );
        return;
    }
    assert_eq!(after.state, kept.state);
    for core in (0..cores as u16).chain(recovered.report.cores.iter().map(|core| core.core.0)) {
        let mut found: Vec<_> =
            after.of_core(CoreId(core)).into_iter().map(|entry| entry.operation.clone()).collect();
        if let Some(added) = added(core) {
            assert_eq!(found.pop(), Some(added), "what was added to core {core} is not the last");
        }
        let expected = kept.of_core(CoreId(core));
        assert!(
            found.iter().eq(expected.iter().map(|entry| &entry.operation)),
            "core {core} changed by reopening"
        );
    }
}

fn config(storage: &RecordingStorage, cores: usize) -> PerCoreWalConfig {
    // Nothing is read or written there: both seams are the recording storage. It only has to exist.
    let mut config = PerCoreWalConfig::new(Path::new("/"), cores).inline();
    config.log.segment_bytes = 16 * 1024;
    config.log.ring_bytes = 4096;
    config.storage = Arc::new(storage.clone());
    config.source = Arc::new(Live(storage.clone()));
    config
}

/// What the process itself would see in the recording storage.
struct Live(RecordingStorage);

struct LiveFile(RecordedFile);

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.current().into_keys().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        let file = self.0.reader(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(LiveFile(file)))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("recorded").join(name)
    }
}

impl SourceFile for LiveFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes_now())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.0.read_at(buffer, offset))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}
