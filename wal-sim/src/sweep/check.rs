//! What every image has to stand: recovery, once more, to the cut, opening, appending, the next power loss.

use std::sync::Arc;

use wal_coordinator::{Epoch, Retention, Scope};
use wal_reader::Source;
use wal_recovery::{PerCoreRecoveryManager, Recovered};

use super::life::{Life, Story, check_kept};
use super::model::{Model, Promise, Seen};
use crate::disk::{Image, Pick, Random, SimDisk, Unit};

/// How much an image is put through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Recovered and compared.
    Once,
    /// Also again, also to the consistent cut; opened, appended to and synced; and after another power loss.
    Whole,
}

/// Recovers from empty memory, with every byte compared.
pub(crate) fn recover(disk: &SimDisk, model: &Model, scope: Scope) -> Result<(Vec<u64>, Recovered), String> {
    let mut seen = Seen::new(model);
    let source: Arc<dyn Source> = Arc::new(disk.clone());
    let manager = PerCoreRecoveryManager::with_source(source).scope(scope).threads_max(1);
    let recovered = manager.recover(&mut seen).map_err(|error| format!("recovery refuses: {error}"))?;
    let ends = model.check(&seen, &recovered).map_err(|what| format!("{what}\n{}", recovered.report))?;
    Ok((ends, recovered))
}

/// `image` gives back all that was promised, and nothing that was not appended.
pub(crate) fn check(image: &Image, story: &Story, calls: u64, depth: Depth, seed: u64) -> Result<(), String> {
    let (model, promise) = (story.model_at(calls), story.promised(calls));
    let disk = SimDisk::from_image(image, seed);
    let ends = check_disk(&disk, model, promise)?;
    if depth == Depth::Once {
        return Ok(());
    }
    let (again, _) = recover(&disk, model, Scope::Everything)?;
    if again != ends {
        return Err(format!("a second recovery ends at {again:?}, the first at {ends:?}"));
    }
    check_cut(&disk, model, promise)?;
    let mut known = model.clone();
    known.truncate(&ends);
    go_on(&disk, story.resumed(known), seed)
}

/// `image` gives back all that had been promised after so many calls.
pub(crate) fn check_image(image: &Image, story: &Story, calls: u64) -> Result<(), String> {
    check(image, story, calls, Depth::Once, 0)
}

/// Recovers everything and compares it with what was promised.
pub(crate) fn check_disk(disk: &SimDisk, model: &Model, promise: &Promise) -> Result<Vec<u64>, String> {
    let (ends, recovered) = recover(disk, model, Scope::Everything)?;
    let report = &recovered.report;
    check_kept(&ends, &promise.durable).map_err(|what| format!("{what}\n{report}"))?;
    let consistent = report.consistent_epoch.unwrap_or_default();
    if consistent < promise.epoch {
        return Err(format!("epoch {} had been durable, {consistent} is whole\n{report}", promise.epoch));
    }
    check_kept(&model.ends_of(consistent), &promise.cut)
        .map_err(|what| format!("of whole epochs, {what}\n{report}"))?;
    let checkpoint = report.checkpoint.as_ref().map_or(Epoch(0), |checkpoint| checkpoint.epoch);
    if checkpoint < promise.checkpoint {
        return Err(format!(
            "checkpoint {} had been made, {checkpoint} is there\n{report}",
            promise.checkpoint
        ));
    }
    Ok(ends)
}

/// Recovery that finds a process's cache reports what it reports of the medium alone, but for bytes that are nobody's frames: in
/// a file that is used again, the cache shows of its former life also what a failed sync of that one lost.
pub(crate) fn check_cache(disk: &SimDisk, model: &Model) -> Result<(), String> {
    let twin = disk.twin();
    let report = || {
        let (_, recovered) = recover(&twin, model, Scope::Everything)?;
        let mut report = recovered.report;
        report.cores.iter_mut().for_each(|core| core.discarded.residue = false);
        Ok::<_, String>(report)
    };
    let warm = report()?;
    twin.drop_caches();
    let cold = report()?;
    if warm == cold {
        return Ok(());
    }
    Err(format!("with a cache recovery reports\n{warm}\nand without one\n{cold}"))
}

/// The consistent cut is whole epochs of all cores, and reaches what was promised.
fn check_cut(disk: &SimDisk, model: &Model, promise: &Promise) -> Result<(), String> {
    let (ends, recovered) = recover(disk, model, Scope::ConsistentCut)?;
    let cut = recovered.report.cut.unwrap_or_default();
    let whole = model.ends_of(cut);
    if cut < promise.epoch || ends != whole {
        let promised = promise.epoch;
        return Err(format!("the cut {cut} (promised {promised}) ends at {ends:?}, its epochs at {whole:?}"));
    }
    Ok(())
}

/// The next life on what is left, and the next power losses.
fn go_on(disk: &SimDisk, mut story: Story, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let disk = disk.reboot().recording();
    let cores = 1 + random.below(4) as usize;
    let rounds = 1 + random.below(3) as usize;
    let life = Life { cores, rounds, seed, retention: Retention::UntilDurable, heal_at: None };
    let lived = story.live(&disk, &life).map_err(|error| format!("next life: {}", error.message()));
    lived?;
    if let Some(error) = story.errors.first() {
        return Err(format!("next life: {error}"));
    }
    let snapshots = disk.snapshots();
    let last = snapshots.len() - 1;
    let drawn = [random.below(last as u64 + 1) as usize, random.below(last as u64 + 1) as usize];
    let cases = [(last, Pick::Nothing), (drawn[0], Pick::Nothing), (drawn[1], Pick::Seed(random.next()))];
    for (at, pick) in cases {
        let snapshot = &snapshots[at];
        let image = snapshot.undecided(Unit::Sector).image(pick);
        let (model, promise) = (story.model_at(snapshot.calls()), story.promised(snapshot.calls()));
        check_disk(&SimDisk::from_image(&image, seed), model, promise)
            .map_err(|what| format!("next life, power loss after {} calls: {what}", snapshot.calls()))?;
    }
    Ok(())
}
