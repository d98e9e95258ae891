//! What must come back after a power loss or a kill, compared with the story.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_coordinator::{EntryRef, Epoch, PerCoreWalEntry, Replay, Scope, WalOperation};
use wal_reader::MemorySource;
use wal_recovery::{BoxError, PerCoreRecoveryManager, Recovered};
use wal_writer::storage::recording::{Image, Pick, Survival};

use crate::dice::Dice;
use crate::story::{Notes, Promise, Told};
use crate::world::World;

/// Everything that recovery hands over.
#[derive(Default)]
struct Seen {
    checkpoint: BTreeMap<Vec<u8>, Vec<u8>>,
    entries: Vec<PerCoreWalEntry>,
}

impl Replay for Seen {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.checkpoint.insert(key.to_vec(), value.to_vec());
        Ok(())
    }
    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        self.entries.push(entry.to_owned());
        Ok(())
    }
}

/// Cuts the power at moments that the dice choose, among them right behind an acknowledgement with nothing surviving
/// but what was synced, and checks what comes back.
pub(crate) fn check_power_losses(world: &World, dice: &mut Dice) {
    let notes = world.story.notes();
    let total = world.storage.event_count();
    if !notes.promises.is_empty() {
        let promise = notes.promises[dice.below(notes.promises.len())];
        check_power_loss(world, &notes, promise.events, Pick::Nothing, Pick::Nothing);
    }
    let events = dice.below(total + 1);
    check_power_loss(world, &notes, events, Pick::Seed(dice.next()), Pick::Seed(dice.next()));
}

/// As if the process had been killed at a moment of the dice's: what was called survives, synced or not.
pub(crate) fn check_kill(world: &World, dice: &mut Dice) {
    let notes = world.story.notes();
    let events = dice.below(world.storage.event_count() + 1);
    let survival = Survival { sector_bytes: 512, sectors: Pick::All, names: Pick::All };
    let image = world.storage.image(events, &survival);
    check_image(&image, &notes, &told(&notes, events, true), &format!("killed after {events} operations"));
}

/// Checks the image that the power loss leaves, and returns it.
pub(crate) fn check_power_loss(
    world: &World,
    notes: &Notes,
    events: usize,
    sectors: Pick,
    names: Pick,
) -> Image {
    let survival = Survival { sector_bytes: 512, sectors, names };
    let image = world.storage.image(events, &survival);
    let context = format!("power lost after {events} operations, {survival:?}");
    check_image(&image, notes, &told(notes, events, false), &context);
    image
}

/// What had been promised by then.
fn told(notes: &Notes, events: usize, is_kill: bool) -> Vec<Told> {
    let given = notes.promises.iter().filter(|promise| promise.events <= events);
    given
        .map(|Promise { told, .. }| *told)
        .filter(|told| is_kill || !matches!(told, Told::Written(..)))
        .collect()
}

fn check_image(image: &Image, notes: &Notes, told: &[Told], context: &str) {
    if !image.contains_key("wal.meta") {
        assert!(told.is_empty(), "{context}: no log is left, promised were {told:?}");
        return;
    }
    let (all, recovered) = recover(image, Scope::Everything, context);
    let ends = check_entries(&all, &recovered, notes, None, context);
    let checkpoint = recovered.report.checkpoint.as_ref().map_or(Epoch(0), |checkpoint| checkpoint.epoch);
    let (cut, recovered_cut) = recover(image, Scope::ConsistentCut, context);
    let reached = recovered_cut.report.cut.unwrap_or_default().max(checkpoint);
    let cut_ends = check_entries(&cut, &recovered_cut, notes, Some(reached), context);
    // Nobody may append in an epoch again that was called durable; one that was empty leaves no other trace.
    let next_epoch = recovered.resume.next_epoch;
    let is_whole = |epoch| (0..notes.cores.len()).all(|core| notes.cut(core, epoch) <= cut_ends[core]);
    for told in told {
        let is_kept = match *told {
            Told::Written(core, end) | Told::Durable(core, end) => {
                ends.get(core).is_some_and(|found| *found as u64 >= end)
            }
            Told::Epoch(epoch) => is_whole(epoch) && next_epoch > epoch,
            Told::Checkpoint(epoch) => checkpoint >= epoch,
        };
        assert!(
            is_kept,
            "{context}: {told:?} was promised; cores end at {ends:?}, the cut is {reached}, the checkpoint \
             {checkpoint}, the next epoch {next_epoch}\n{}\n{notes}",
            recovered.report
        );
    }
}

/// Nothing but what was appended, exactly, without gaps, and with `cut` exactly the entries up to it. Where each core
/// ends.
fn check_entries(
    seen: &Seen,
    recovered: &Recovered,
    notes: &Notes,
    cut: Option<Epoch>,
    context: &str,
) -> Vec<usize> {
    let checkpoint = recovered.report.checkpoint.as_ref().map(|checkpoint| checkpoint.epoch);
    let mut expected = BTreeMap::new();
    let mut ends = Vec::new();
    for core in 0..notes.cores.len() {
        let end = checkpoint.map_or(0, |epoch| notes.cut(core, epoch));
        for entry in &notes.cores[core][..end] {
            match &entry.value {
                Some(value) => drop(expected.insert(entry.key.clone(), value.clone())),
                None => drop(expected.remove(&entry.key)),
            }
        }
        ends.push(end);
    }
    assert_eq!(
        seen.checkpoint, expected,
        "{context}: the checkpoint of {checkpoint:?} is not what was appended"
    );
    check_merge(&seen.entries, notes, &mut ends, context);
    if let Some(cut) = cut {
        let whole: Vec<_> = (0..notes.cores.len()).map(|core| notes.cut(core, cut)).collect();
        assert_eq!(ends, whole, "{context}: the cut at {cut} is not all of the epochs up to it");
    }
    ends
}

/// The entries continue each core's log at `ends`, are what was appended, and come in the global order. Moves `ends`.
pub(crate) fn check_merge(entries: &[PerCoreWalEntry], notes: &Notes, ends: &mut [usize], context: &str) {
    for pair in entries.windows(2) {
        assert!(pair[0].order_key() < pair[1].order_key(), "{context}: {pair:?} are not in order");
    }
    for found in entries {
        let end = &mut ends[found.core_id.index()];
        assert_eq!(found.sequence.0, *end as u64, "{context}: core {} has a gap or goes back", found.core_id);
        let appended = notes.of(found.core_id).get(*end);
        let appended = appended.unwrap_or_else(|| panic!("{context}: {found:?} was never appended"));
        let is_same = match (&found.operation, &appended.value) {
            (WalOperation::Put { key, value }, Some(put)) => *key == appended.key && value == put,
            (WalOperation::Delete { key }, None) => *key == appended.key,
            _ => false,
        };
        let is_its_epoch = appended.epoch.is_none_or(|epoch| epoch == found.epoch);
        assert!(is_same && is_its_epoch, "{context}: {found:?} came back, appended was {appended:?}");
        *end += 1;
    }
}

fn recover(image: &Image, scope: Scope, context: &str) -> (Seen, Recovered) {
    let mut source = MemorySource::new();
    image.iter().for_each(|(name, bytes)| source.insert(name.clone(), bytes.clone()));
    let mut seen = Seen::default();
    let manager = PerCoreRecoveryManager::with_source(Arc::new(source)).scope(scope).threads_max(1);
    let recovered = manager.recover(&mut seen).unwrap_or_else(|error| panic!("{context}: {error}"));
    (seen, recovered)
}
