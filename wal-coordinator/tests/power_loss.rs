//! Power loss at every operation of a whole life: two cores, rotation, epochs, checkpoints, release, reopening. What the
//! strict model of a disk may leave is recovered and compared; some of it is opened again, and loses power again.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_coordinator::{CheckpointCoordinator, CoreId, Epoch, PerCoreWalConfig, PerCoreWalManager, Scope};
use wal_reader::{MemorySource, Source, SourceFile};
use wal_recovery::{PerCoreRecoveredState, PerCoreRecoveryManager};
use wal_writer::storage::recording::{Pick, RecordedFile, RecordingStorage, Survival};

const CORES: usize = 2;

type State = HashMap<Vec<u8>, Vec<u8>>;
type Image = std::collections::BTreeMap<String, Vec<u8>>;

/// Reads what the process itself would see in the recording storage.
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

/// What was promised once this many operations had begun or ended.
#[derive(Clone, Debug, Default)]
struct Promise {
    events: usize,
    durable: Vec<u64>,
    epoch: Epoch,
}

/// Everything that was ever appended, per core: key and value by sequence number.
#[derive(Default)]
struct Model(Vec<Vec<(Vec<u8>, Vec<u8>)>>);

impl Model {
    /// The state after the first entries of each core. No key belongs to two cores.
    fn state(&self, ends: &[u64]) -> State {
        let prefixes = self.0.iter().zip(ends);
        prefixes
            .flat_map(|(entries, end)| entries[..usize::try_from(*end).unwrap()].iter().cloned())
            .collect()
    }
}

fn config(path: &Path, storage: &RecordingStorage) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(path, CORES).inline();
    config.log.segment_bytes = 16 * 1024;
    config.log.ring_bytes = 16 * 1024;
    config.storage = Arc::new(storage.clone());
    config.source = Arc::new(Live(storage.clone()));
    config
}

/// Appends, syncs, closes epochs and makes checkpoints, and notes what was promised when.
fn live(path: &Path, storage: &RecordingStorage, model: &mut Model, rounds: usize) -> Vec<Promise> {
    let mut manager = PerCoreWalManager::new(config(path, storage)).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let mut promises = Vec::new();
    model.0.resize(CORES, Vec::new());
    for round in 0..rounds {
        for core in 0..CORES {
            // The second core rests now and then.
            for number in 0..if core == 1 && round % 3 == 0 { 0 } else { 4 } {
                let key = format!("{core}/{}", (round * 4 + number) % 23).into_bytes();
                let value = format!("{core}:{round}:{number}").repeat(12 + round % 20).into_bytes();
                manager.writer(core).append_put(&key, &value).unwrap();
                model.0[core].push((key, value));
            }
        }
        match round % 5 {
            0 => drop(manager.writer(0).sync().unwrap()),
            1 => manager.sync_all().unwrap(),
            2 | 3 => drop(manager.advance_epoch()),
            _ => drop(checkpoints.create_checkpoint().unwrap()),
        }
        let durable = manager.synced_positions().iter().map(|position| position.sequence.0).collect();
        promises.push(Promise { events: storage.event_count(), durable, epoch: manager.durable_epoch() });
    }
    promises
}

fn recover(image: &Image, scope: Scope) -> PerCoreRecoveredState {
    let mut source = MemorySource::new();
    image.iter().for_each(|(name, bytes)| source.insert(name.clone(), bytes.clone()));
    PerCoreRecoveryManager::with_source(Arc::new(source)).scope(scope).recover_state().unwrap()
}

fn ends(recovered: &PerCoreRecoveredState) -> Vec<u64> {
    let end = |core| recovered.resume.core(CoreId(core)).map_or(0, |core| core.next_sequence.0);
    (0..).take(CORES).map(end).collect()
}

#[track_caller]
fn check(image: &Image, model: &Model, promise: &Promise, context: &str) {
    if !image.contains_key("wal.meta") {
        assert!(promise.durable.iter().all(|durable| *durable == 0), "{context}: everything is gone");
        return;
    }
    let all = recover(image, Scope::Everything);
    let found = ends(&all);
    let kept = found.iter().zip(&promise.durable).all(|(found, promised)| found >= promised);
    assert!(kept, "{context}: cores end at {found:?}, promised {promise:?}\n{}", all.report);
    assert_eq!(all.state, model.state(&found), "{context}\n{}", all.report);
    let cut = recover(image, Scope::ConsistentCut);
    assert_eq!(cut.state, model.state(&ends(&cut)), "{context}, cut\n{}", cut.report);
    let reached = cut.report.cut.unwrap_or_default();
    assert!(reached >= promise.epoch, "{context}: cut at {reached}, promised {promise:?}\n{}", cut.report);
}

/// What had been promised when this many operations had begun or ended.
fn promised(promises: &[Promise], events: usize) -> Promise {
    let last = promises.iter().take_while(|promise| promise.events <= events).last();
    last.cloned().unwrap_or_else(|| Promise { durable: vec![0; CORES], ..Promise::default() })
}

#[test]
fn no_power_loss_takes_what_any_rung_promised() {
    let directory = tempfile::tempdir().unwrap();
    let storage = RecordingStorage::new();
    let mut model = Model::default();
    let promises = live(directory.path(), &storage, &mut model, 60);
    let total = storage.event_count();
    let mut images = 0;
    for events in 0..=total {
        let promise = promised(&promises, events);
        let whole = [(512, Pick::Nothing), (512, Pick::All)];
        let drawn = (0..6_u64).map(|draw| {
            let seed = events as u64 * 8 + draw;
            (if draw % 2 == 0 { 512 } else { 4096 }, Pick::Seed(seed))
        });
        for (sector_bytes, pick) in whole.into_iter().chain(drawn) {
            let survival = Survival { sector_bytes, sectors: pick, names: pick };
            let image = storage.image(events, &survival);
            check(&image, &model, &promise, &format!("after {events} of {total} operations, {survival:?}"));
            images += 1;
        }
    }
    println!("{images} images");
    assert!(images > 5_000, "only {images} images");
}

#[test]
fn what_was_recovered_goes_on_and_survives_the_next_power_loss() {
    let directory = tempfile::tempdir().unwrap();
    let storage = RecordingStorage::new();
    let mut model = Model::default();
    live(directory.path(), &storage, &mut model, 30);
    let total = storage.event_count();
    for events in (40..total).step_by(total / 40) {
        let pick = Pick::Seed(events as u64);
        let image = storage.image(events, &Survival { sector_bytes: 512, sectors: pick, names: pick });
        if !image.contains_key("wal.meta") {
            continue;
        }
        // The next life begins with what came back, and knows nothing of the rest.
        let before = ends(&recover(&image, Scope::Everything));
        let kept = |(entries, end): (&Vec<_>, &u64)| entries[..usize::try_from(*end).unwrap()].to_vec();
        let mut next_model = Model(model.0.iter().zip(&before).map(kept).collect());
        let next = RecordingStorage::from_image(image);
        let promises = live(directory.path(), &next, &mut next_model, 12);
        let next_total = next.event_count();
        for at in (0..=next_total).step_by(7) {
            let survival = Survival { sector_bytes: 512, sectors: Pick::Seed(at as u64), names: pick };
            let mut promise = promised(&promises, at);
            for (durable, inherited) in promise.durable.iter_mut().zip(&before) {
                *durable = (*durable).max(*inherited);
            }
            let context = format!("{events}, then {at} of {next_total}, {survival:?}");
            check(&next.image(at, &survival), &next_model, &promise, &context);
        }
    }
}
