//! An engine with its own checkpoint store: `own_store DIRECTORY TRANSFERS`, on two cores, again and again.
//!
//! The entries are *changes* of accounts, not their values: "last write wins", which is what the log's own store does, would
//! be wrong. So the engine folds them itself into a snapshot, a file of its own: [`Snapshots`]. The one rule to get right
//! is that a change counts once: a checkpoint that failed is tried again, with the same changes and more. Here a snapshot
//! is made of the one that the *manifest* names and the changes above it, never of what was written last.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wal_coordinator::store::{Changes, CheckpointCut, CheckpointStore, StoreError, StoredState};
use wal_coordinator::{
    BoxError, CheckpointCoordinator, CoreWalWriter, EntryRef, Epoch, Manifest, OperationRef,
    PerCoreWalConfig, PerCoreWalManager, Replay, WriteBatch,
};

const CORES: usize = 2;

/// What every account holds; `transfers/CORE` counts that core's transfers.
type Accounts = BTreeMap<String, i64>;

fn add(accounts: &mut Accounts, entry: &EntryRef<'_>) -> Result<(), BoxError> {
    if let OperationRef::Put { key, value } = entry.operation {
        *accounts.entry(String::from_utf8(key.to_vec())?).or_default() +=
            i64::from_le_bytes(value.try_into()?);
    }
    Ok(())
}

/// Snapshots in a directory, named by the epoch up to which they hold everything.
#[derive(Clone)]
struct Snapshots(PathBuf);

impl Snapshots {
    fn load(&self, epoch: Epoch) -> Result<Accounts, BoxError> {
        let text = fs::read_to_string(self.0.join(epoch.to_string()))?;
        let lines = text.lines().map(|line| line.rsplit_once(' ').ok_or("not a snapshot"));
        lines.map(|line| line.map(|(name, sum)| Ok((name.to_owned(), sum.parse()?)))?).collect()
    }

    /// Durable when it returns: the file, then its name.
    fn save(&self, epoch: Epoch, accounts: &Accounts) -> io::Result<u64> {
        let text: String = accounts.iter().map(|(name, sum)| format!("{name} {sum}\n")).collect();
        let unfinished = self.0.join("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(unfinished, self.0.join(epoch.to_string()))?;
        File::open(&self.0)?.sync_all()?;
        Ok(text.len() as u64)
    }
}

impl CheckpointStore for Snapshots {
    fn apply(&mut self, cut: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError> {
        let before = cut.previous.as_ref().map_or(Ok(Accounts::new()), |manifest| self.load(manifest.epoch));
        let mut accounts = before.map_err(StoreError::Engine)?;
        while let Some(entry) = changes.next()? {
            add(&mut accounts, &entry).map_err(StoreError::Engine)?;
        }
        let bytes_written =
            self.save(cut.epoch, &accounts).map_err(|error| StoreError::Engine(error.into()))?;
        Ok(StoredState {
            external: true,
            bytes_written,
            keys: accounts.len() as u64,
            ..StoredState::default()
        })
    }

    /// Only now may the snapshots before go: until the manifest is durable, a crash goes back to them.
    fn published(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let remove = || {
            for file in fs::read_dir(&self.0)? {
                let file = file?;
                if file.file_name().to_str() != Some(&manifest.epoch.to_string()) {
                    fs::remove_file(file.path())?;
                }
            }
            Ok::<_, io::Error>(())
        };
        remove().map_err(|error| StoreError::Engine(error.into()))
    }
}

/// The engine, as it is brought back.
struct Bank {
    snapshots: Snapshots,
    accounts: Accounts,
}

impl Replay for Bank {
    fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
        self.accounts = self.snapshots.load(manifest.epoch)?;
        Ok(())
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        add(&mut self.accounts, entry)
    }
}

/// The n-th transfer of a core: from, to, how much.
fn transfer(core: usize, n: i64) -> (String, String, i64) {
    (format!("account {}", (n + 3) % 7), format!("account {}", n * n % 5), n % 100 + core as i64)
}

/// Every transfer that is counted moved its money, and no other did.
fn audit(accounts: &Accounts) {
    let mut expected = Accounts::new();
    for core in 0..CORES {
        let counter = format!("transfers/{core}");
        let transfers = accounts.get(&counter).copied().unwrap_or(0);
        for n in 0..transfers {
            let (from, to, sum) = transfer(core, n);
            *expected.entry(from).or_default() -= sum;
            *expected.entry(to).or_default() += sum;
            *expected.entry(counter.clone()).or_default() += 1;
        }
    }
    assert_eq!(*accounts, expected, "a transfer came back in part, twice or not at all");
}

fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: own_store DIRECTORY TRANSFERS")?;
    let transfers: i64 = args.next().ok_or("how many transfers?")?.parse()?;
    let snapshots = Snapshots(Path::new(&path).join("snapshots"));
    fs::create_dir_all(&snapshots.0)?;

    let mut bank = Bank { snapshots: snapshots.clone(), accounts: Accounts::new() };
    let mut config = PerCoreWalConfig::new(Path::new(&path).join("log"), CORES);
    config.log.segment_bytes = 4 * 1024 * 1024;
    let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut bank)?;
    audit(&bank.accounts);
    let done = |core| bank.accounts.get(&format!("transfers/{core}")).copied().unwrap_or(0);
    println!("recovered {} {}, {} entries replayed", done(0), done(1), recovered.report.entries_replayed);

    let mut checkpoints = CheckpointCoordinator::with_store(&manager, Box::new(snapshots));
    std::thread::scope(|scope| {
        let mut cores = Vec::new();
        for core in 0..CORES {
            let (writer, done) = (manager.take_writer(core)?, done(core));
            cores.push(scope.spawn(move || make_transfers(core, writer, done..done + transfers)));
        }
        while !cores.iter().all(|core| core.is_finished()) {
            checkpoints.create_checkpoint()?;
        }
        cores.into_iter().try_for_each(|core| core.join().map_err(|_| "a core panicked")?)
    })?;
    Ok(manager.close()?)
}

fn make_transfers(
    core: usize,
    mut writer: CoreWalWriter,
    numbers: std::ops::Range<i64>,
) -> Result<(), BoxError> {
    let mut batch = WriteBatch::new();
    for n in numbers {
        let (from, to, sum) = transfer(core, n);
        batch.clear();
        batch.put(from.as_bytes(), &(-sum).to_le_bytes()).put(to.as_bytes(), &sum.to_le_bytes());
        batch.put(format!("transfers/{core}").as_bytes(), &1_i64.to_le_bytes());
        writer.append_batch(&batch)?;
        if n % 100 == 99 {
            writer.durable().wait()?;
            println!("core {core}: {}", n + 1);
        }
    }
    Ok(writer.durable().wait()?)
}
