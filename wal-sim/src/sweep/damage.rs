//! Rows 4, 5 and 6: a log as a power loss leaves it, and damage to it. Writes that it is made of are lost (`lost_writes.rs`);
//! sectors of one segment, and segments, stand in each other's place; every bit of it is flipped, alone and with others.
//!
//! What must come of it is decided by an oracle of its own ([`Layout`]): damage before what anything that is left proves to
//! have been durable is an error; behind that, the log ends at the first frame that is damaged, and nowhere else.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use wal_coordinator::{Retention, Scope};
use wal_format::{FileName, names};
use wal_reader::Source;
use wal_recovery::{BoxError, Mode, PerCoreRecoveryManager, Recovered, Replay};

use super::check::recover;
use super::layout::Layout;
use super::model::Model;
use super::power_loss::{Reference, reference};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{Image, Pick, Random, SECTOR_BYTES, SimDisk, Unit};

/// Of so many cases, one is salvaged.
const SALVAGED_ONE_IN: u64 = 16;

/// Two cores with everything: rotation, checkpoints, recycled files, another life with the third core.
const LIVES: Lives = &[(2, 27, Retention::UntilDurable), (3, 5, Retention::UntilDurable)];
/// The same log with a third life, of so many cores that it has 1 024 sectors and more.
const MANY_SECTORS: Lives = &[LIVES[0], LIVES[1], (32, 5, Retention::UntilDurable)];

/// Cores, rounds, and how long bytes stay in the ring, of one life after the other.
type Lives = &'static [(usize, usize, Retention)];

/// The undamaged log and all that is known of it.
pub(super) struct Log {
    pub(super) image: Image,
    pub(super) layout: Layout,
    model: Model,
    pub(super) ends: Vec<u64>,
}

/// One damaged copy of the log.
pub(super) struct Damage {
    pub(super) image: Image,
    /// Items of the layout that cannot be read any more.
    pub(super) items: Vec<usize>,
    /// Files stand under each other's names: an error is right, whatever is lost.
    may_be_refused: bool,
}

impl Log {
    fn new(seed: u64) -> Result<Self, String> {
        Self::with_history(seed).map(|(log, _)| log)
    }

    fn of(lives: Lives, seed: u64) -> Result<(Self, Reference), String> {
        let reference = reference("a damaged log", lives, seed)?;
        let last = reference.snapshots.last().ok_or("no snapshots")?;
        let image = last.undecided(Unit::Sector).image(Pick::Nothing);
        let (layout, model) = (Layout::of(&image)?, reference.story.model_at(last.calls()).clone());
        let (ends, _) = recover(&SimDisk::from_image(&image, 0), &model, Scope::Everything)?;
        Ok((Self { image, layout, model, ends }, reference))
    }

    /// The log, and how it came about.
    pub(super) fn with_history(seed: u64) -> Result<(Self, Reference), String> {
        Self::of(LIVES, seed)
    }

    /// The files of the log itself and of its checkpoint, without those that only wait to be used again.
    fn files(&self) -> Vec<String> {
        let is_read = |name: &&str| !matches!(FileName::parse(name), Some(FileName::Free(..)) | None);
        self.image.names().filter(is_read).map(str::to_owned).collect()
    }

    /// `image` with this sector of `file` replaced.
    pub(super) fn replaced(
        &self,
        damage: &mut Damage,
        file: &str,
        sector: usize,
        bytes: &[u8; SECTOR_BYTES],
    ) {
        let now = self.image.sector(file, sector);
        let differs = |at: &usize| now[*at] != bytes[*at];
        let (Some(first), Some(last)) =
            ((0..SECTOR_BYTES).find(differs), (0..SECTOR_BYTES).rev().find(differs))
        else {
            return;
        };
        damage.image.set_sector(file, sector, bytes);
        let start = sector * SECTOR_BYTES;
        damage.items.extend(self.layout.at(file, start + first, start + last + 1));
    }

    pub(super) fn undamaged(&self) -> Damage {
        Damage { image: self.image.clone(), items: Vec::new(), may_be_refused: false }
    }

    /// Recovers the damaged log, and holds it to what the layout says.
    pub(super) fn check(&self, damage: &Damage, number: u64, tally: &Tally) -> Result<(), String> {
        tally.count();
        let losses = self.layout.losses(&damage.items);
        let is_vital =
            damage.items.iter().any(|at| self.layout.items[*at].place.is_none() && self.is_vital(*at));
        let must_fail = is_vital || losses.iter().any(|(_, is_proven)| *is_proven);
        let disk = SimDisk::from_image(&damage.image, 0);
        match recover(&disk, &self.model, Scope::Everything) {
            Ok(_) if must_fail => {
                return Err(format!("taken for a tail, although it had been durable: {losses:?}"));
            }
            Ok((ends, recovered)) => {
                let mut expected = self.ends.clone();
                for (place, _) in &losses {
                    let end = &mut expected[place.core.index()];
                    *end = (*end).min(place.sequence.0);
                }
                if ends != expected {
                    return Err(format!("it ends at {ends:?}, not {expected:?}\n{}", recovered.report));
                }
                tally.note(if losses.is_empty() {
                    "without any effect"
                } else {
                    "cut at the first damaged frame"
                });
            }
            Err(what) if !what.contains("recovery refuses") => return Err(what),
            Err(what) if !must_fail && !damage.may_be_refused => {
                return Err(format!("refused, although nothing proves that it was durable: {what}"));
            }
            Err(_) => tally.note("detected"),
        }
        if number.is_multiple_of(SALVAGED_ONE_IN) {
            tally.count_whole();
            self.salvage(&disk)?;
        }
        Ok(())
    }

    /// Whether nothing can be recovered without this file.
    fn is_vital(&self, item: usize) -> bool {
        let item = &self.layout.items[item];
        item.file == names::META || item.file == names::MANIFEST || item.file.ends_with(".ckpt")
    }

    /// Whatever the damage, salvage gives nothing that was not written; and it may refuse.
    fn salvage(&self, disk: &SimDisk) -> Result<(), String> {
        match self.salvaged(disk) {
            Err(wal_recovery::RecoveryError::Replay(what)) => Err(format!("salvage: {what}")),
            _ => Ok(()),
        }
    }

    /// What salvage makes of it, with every entry compared.
    pub(super) fn salvaged(&self, disk: &SimDisk) -> Result<Recovered, wal_recovery::RecoveryError> {
        let source: Arc<dyn Source> = Arc::new(disk.clone());
        let manager = PerCoreRecoveryManager::with_source(source).mode(Mode::Salvage).threads_max(1);
        manager.recover(&mut Known(&self.model))
    }
}

/// An engine that knows every entry, and takes them with gaps.
struct Known<'a>(&'a Model);

impl Replay for Known<'_> {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        if self.0.knows_value(key, value) { Ok(()) } else { Err("a value that nobody wrote".into()) }
    }

    fn entry(&mut self, entry: &wal_coordinator::EntryRef<'_>) -> Result<(), BoxError> {
        if self.0.knows(entry) {
            Ok(())
        } else {
            Err(format!("an entry that nobody appended: {entry:?}").into())
        }
    }
}

/// Row 5.
struct Misdirected {
    log: Log,
    files: Vec<String>,
    /// Sectors that take part: of which file, and which.
    pool: Vec<(usize, usize)>,
}

/// Sectors of a segment of the log.
const SECTORS_A_FILE: usize = 32;

pub(crate) fn prepare_misdirected(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let (sectors, lives) = match budget.images.cmp(&Budget::GATE.images) {
        Ordering::Less => (12, LIVES),
        Ordering::Equal => (64, LIVES),
        Ordering::Greater => (1_024, MANY_SECTORS),
    };
    let (log, _) = Log::of(lives, budget.seed)?;
    let is_segment = |name: &String| matches!(FileName::parse(name), Some(FileName::Segment(..)));
    let files: Vec<_> = log.files().into_iter().filter(is_segment).collect();
    // The last segments first: what stands in them matters.
    let (earlier, last) = (0..files.len()).partition::<Vec<_>, _>(|file| file + 2 < files.len());
    let pool = last.into_iter().chain(earlier.into_iter().rev());
    let pool = pool.flat_map(|file| (0..SECTORS_A_FILE).map(move |sector| (file, sector)));
    let pool = pool.take(sectors).collect();
    Ok(Box::new(Misdirected { log, files, pool }))
}

impl Sweep for Misdirected {
    /// A sector each, and one of all pairs of files.
    fn units(&self) -> usize {
        self.pool.len() + 1
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let Some(&(one_file, one)) = self.pool.get(unit) else { return self.swapped_files(tally) };
        let log = &self.log;
        for (number, (other_file, other)) in (0..).zip(&self.pool) {
            let (one_name, other_name) = (&self.files[one_file], &self.files[*other_file]);
            let (ours, theirs) = (log.image.sector(one_name, one), log.image.sector(other_name, *other));
            let mut copied = log.undamaged();
            log.replaced(&mut copied, other_name, *other, &ours);
            copied.may_be_refused = true;
            let what = |verb: &str| format!("sector {one} of {one_name} {verb} {other} of {other_name}");
            log.check(&copied, number, tally)
                .map_err(|error| format!("{}: {error}", what("written over")))?;
            if (one_file, one) < (*other_file, *other) {
                log.replaced(&mut copied, one_name, one, &theirs);
                log.check(&copied, number, tally)
                    .map_err(|error| format!("{}: {error}", what("swapped with")))?;
            }
        }
        Ok(())
    }
}

impl Misdirected {
    /// All pairs of segments, free ones included, stand under each other's names, or one under both.
    fn swapped_files(&self, tally: &Tally) -> Result<(), String> {
        let log = &self.log;
        let names: Vec<_> =
            log.image.names().filter(|name| name.ends_with(".log")).map(str::to_owned).collect();
        for one in &names {
            for other in names.iter().filter(|other| *other != one) {
                let mut damage = log.undamaged();
                damage.may_be_refused = true;
                damage.items = log.layout.at(one, 0, usize::MAX);
                if one < other {
                    damage.items.extend(log.layout.at(other, 0, usize::MAX));
                    damage.image.swap(one, other);
                } else {
                    let bytes = log.image.get(other).unwrap_or_default();
                    damage.image.set(one, &bytes);
                }
                log.check(&damage, 0, tally).map_err(|what| format!("{one} and {other}: {what}"))?;
            }
        }
        Ok(())
    }
}

/// Row 6.
struct BitRot {
    log: Log,
    /// Every byte, by file.
    bytes: Vec<(String, usize)>,
    /// Every n-th bit only, for a small budget.
    step: usize,
    /// So often several bits at once, drawn.
    draws: u64,
    seed: u64,
}

/// Bytes of the log whose every bit the gate flips.
const GATE_BYTES: usize = 64 * 1024;
/// Bytes that a unit goes through.
const BYTES_A_UNIT: usize = 256;
/// Draws that a unit makes.
const DRAWS_A_UNIT: u64 = 2_048;
/// Several flipped bits are often within so many bytes.
const NEAR_BYTES: u64 = 64;

pub(crate) fn prepare_bit_rot(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let log = Log::new(budget.seed)?;
    let length = |name: &str| usize::try_from(log.image.length(name)).unwrap_or(0);
    let mut bytes: Vec<_> = log
        .files()
        .into_iter()
        .flat_map(|name| (0..length(&name)).map(move |at| (name.clone(), at)))
        .collect();
    // First what means something: headers, frames, runs, manifest. Then zeros and former lives behind them.
    bytes.sort_by_cached_key(|(name, at)| log.layout.at(name, *at, at + 1).is_empty());
    if budget.images <= Budget::GATE.images {
        bytes.truncate(GATE_BYTES);
    }
    let step = (bytes.len() * 8 / (budget.images as usize).max(1)).max(1);
    let beyond = budget.images.saturating_sub(Budget::GATE.images);
    let draws = (budget.images / 100).max(beyond.saturating_sub(bytes.len() as u64 * 8));
    Ok(Box::new(BitRot { log, bytes, step, draws, seed: budget.seed }))
}

impl Sweep for BitRot {
    fn units(&self) -> usize {
        self.bytes.len().div_ceil(BYTES_A_UNIT) + self.draws.div_ceil(DRAWS_A_UNIT) as usize
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        if let Some(drawn) = unit.checked_sub(self.bytes.len().div_ceil(BYTES_A_UNIT)) {
            return self.several(drawn as u64, tally);
        }
        let first = unit * BYTES_A_UNIT;
        for number in (first * 8..self.bytes.len().min(first + BYTES_A_UNIT) * 8)
            .filter(|at| at.is_multiple_of(self.step))
        {
            let (file, byte) = &self.bytes[number / 8];
            let bit = (number % 8) as u8;
            let mut damage = self.log.undamaged();
            damage.image.flip(file, *byte, bit);
            damage.items = self.log.layout.at(file, *byte, byte + 1);
            self.log
                .check(&damage, number as u64 / 8, tally)
                .map_err(|what| format!("bit {bit} of byte {byte} of {file}: {what}"))?;
        }
        Ok(())
    }
}

impl BitRot {
    /// Two to eight bits at once, near each other or anywhere.
    fn several(&self, unit: u64, tally: &Tally) -> Result<(), String> {
        let first = unit * DRAWS_A_UNIT;
        for number in first..self.draws.min(first + DRAWS_A_UNIT) {
            let mut random = Random::new(self.seed ^ number << 20);
            let mut drawn = || &self.bytes[random.below(self.bytes.len() as u64) as usize];
            let (file, byte) = drawn();
            let anywhere: Vec<_> = (0..8).map(|_| drawn()).collect();
            let (count, is_near) = (2 + random.below(7) as usize, random.once_in(2));
            let end = self.log.image.length(file) - 1;
            let bits: BTreeSet<_> = (0..count)
                .map(|at| {
                    let near = (*byte as u64 + random.below(NEAR_BYTES)).min(end) as usize;
                    let (file, byte) = if is_near { (file, near) } else { (&anywhere[at].0, anywhere[at].1) };
                    (file, byte, random.below(8) as u8)
                })
                .collect();
            let mut damage = self.log.undamaged();
            for (file, byte, bit) in &bits {
                damage.image.flip(file, *byte, *bit);
                damage.items.extend(self.log.layout.at(file, *byte, byte + 1));
            }
            tally.note("several bits at once");
            self.log.check(&damage, number, tally).map_err(|what| format!("bits {bits:?}: {what}"))?;
        }
        Ok(())
    }
}
