//! Row 4: writes that the medium acknowledged and lost. Every sector of a log holds what it held before it was last written, each
//! alone and in pairs; and all files of one core hold what they held at some earlier moment, so that its log ends there.
//!
//! What must come of it is what [`Log`] says. Of a lost tail that is as follows: as long as anything that is left, be it
//! another core's barrier, proves that it had been durable, strict recovery refuses and salvage says which core lost
//! something. If nothing does, nobody can tell, and the log ends earlier (`FORMAT.md#assumptions-about-the-medium`).

use std::collections::BTreeMap;

use wal_format::{CoreId, FileName};

use super::damage::{Damage, Log};
use super::power_loss::Reference;
use super::run::{Budget, Sweep, Tally};
use crate::disk::{Image, Pick, SECTOR_BYTES, SimDisk, Unit};

type Sector = [u8; SECTOR_BYTES];

/// Sectors whose pairs a small budget loses; the gate loses those of all.
const TEST_SECTORS: usize = 24;

struct LostWrites {
    log: Log,
    history: Reference,
    /// What each sector held before, where it held something else: by file and sector.
    before: Vec<((String, usize), Sector)>,
    /// Of these, those that are lost in pairs.
    paired: Vec<usize>,
    cores: usize,
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let (log, history) = Log::with_history(budget.seed)?;
    let before: Vec<_> = former_sectors(&history, &log.image).into_iter().collect();
    let means_something = |at: &usize| {
        let ((file, sector), _) = &before[*at];
        !log.layout.at(file, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES).is_empty()
    };
    let all: Vec<usize> = (0..before.len()).filter(means_something).collect();
    let wanted = if budget.images < Budget::GATE.images { TEST_SECTORS } else { all.len() };
    // Of all files, not only of the first ones.
    let paired = all.iter().step_by((all.len() / wanted.max(1)).max(1)).copied().collect();
    let cores = log.ends.len();
    Ok(Box::new(LostWrites { log, history, before, paired, cores }))
}

impl Sweep for LostWrites {
    /// Each sector, each that is lost with others, each core.
    fn units(&self) -> usize {
        self.before.len() + self.paired.len() + self.cores
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        let pairs = unit.checked_sub(self.before.len());
        let Some(pair) = pairs else { return self.lose(&[unit], unit as u64, tally) };
        match pair.checked_sub(self.paired.len()) {
            None => self.paired[..pair]
                .iter()
                .try_for_each(|other| self.lose(&[*other, self.paired[pair]], *other as u64, tally)),
            Some(core) => self.lose_tails(core, tally),
        }
    }
}

impl LostWrites {
    fn lose(&self, sectors: &[usize], number: u64, tally: &Tally) -> Result<(), String> {
        let mut damage = self.log.undamaged();
        for at in sectors {
            let ((file, sector), bytes) = &self.before[*at];
            self.log.replaced(&mut damage, file, *sector, bytes);
        }
        let names = || {
            sectors.iter().map(|at| format!("sector {} of {}", self.before[*at].0.1, self.before[*at].0.0))
        };
        self.log
            .check(&damage, number, tally)
            .map_err(|what| format!("{} lost: {what}", names().collect::<Vec<_>>().join(" and ")))
    }

    /// All that the core wrote since each earlier moment is lost.
    fn lose_tails(&self, core: usize, tally: &Tally) -> Result<(), String> {
        let mut known = None;
        for snapshot in &self.history.snapshots {
            let earlier = snapshot.undecided(Unit::Sector).image(Pick::Nothing);
            let damage = self.reverted(core, &earlier);
            if damage.items.is_empty() || known.replace(damage.image.hash()) == Some(damage.image.hash()) {
                continue;
            }
            self.log
                .check(&damage, 0, tally)
                .and_then(|()| self.check_account(core, &damage, tally))
                .map_err(|what| {
                    format!("core {core} lost all that it wrote after {} calls: {what}", snapshot.calls())
                })?;
        }
        Ok(())
    }

    /// The log with all segments of a core as they were on the medium in `earlier`.
    fn reverted(&self, core: usize, earlier: &Image) -> Damage {
        let mut damage = self.log.undamaged();
        let image = &self.log.image;
        let is_ours = |name: &&str| matches!(FileName::parse(name), Some(FileName::Segment(CoreId(of), _)) if usize::from(of) == core);
        for name in image.names().filter(is_ours) {
            let sectors = usize::try_from(image.length(name)).unwrap_or(0).div_ceil(SECTOR_BYTES);
            for sector in 0..sectors {
                let held = if earlier.has(name) { earlier.sector(name, sector) } else { [0; SECTOR_BYTES] };
                self.log.replaced(&mut damage, name, sector, &held);
            }
        }
        damage
    }

    /// Salvage takes what is left of all cores, and says of which one something is missing.
    fn check_account(&self, core: usize, damage: &Damage, tally: &Tally) -> Result<(), String> {
        let losses = self.log.layout.losses(&damage.items);
        let Some((place, is_proven)) = losses.first() else { return Ok(()) };
        let salvaged = self.log.salvaged(&SimDisk::from_image(&damage.image, 0));
        let report = salvaged.map_err(|error| format!("salvage: {error}"))?.report;
        for found in &report.cores {
            let expected =
                if found.core.index() == core { place.sequence.0 } else { self.log.ends[found.core.index()] };
            if found.end.sequence.0 != expected {
                return Err(format!("salvage of core {} ends beside {expected}\n{report}", found.core));
            }
            if found.gaps.is_empty() == (found.core.index() == core && *is_proven) {
                return Err(format!("salvage does not say what core {core} lost, or too much\n{report}"));
            }
        }
        tally.note(match (is_proven, self.log.layout.is_proven_by_others_alone(place, &damage.items)) {
            (true, true) => "tails that only other cores' barriers prove: refused",
            (true, false) => "tails that the core itself or the checkpoint proves: refused",
            (false, _) => "tails that nothing proves: the log ends earlier",
        });
        Ok(())
    }
}

/// What every sector of `image` held on the medium before what it holds now.
fn former_sectors(history: &Reference, image: &Image) -> BTreeMap<(String, usize), Sector> {
    let mut before = BTreeMap::new();
    let mut open: Vec<(String, usize)> = image
        .names()
        .flat_map(|name| {
            let sectors = usize::try_from(image.length(name)).unwrap_or(0).div_ceil(SECTOR_BYTES);
            (0..sectors).map(move |sector| (name.to_owned(), sector))
        })
        .collect();
    for snapshot in history.snapshots.iter().rev() {
        let earlier = snapshot.undecided(Unit::Sector).image(Pick::Nothing);
        open.retain(|(name, sector)| {
            if !earlier.has(name) {
                // It was made later: the medium held nothing there, as far as anybody knows.
                before.entry((name.clone(), *sector)).or_insert([0; SECTOR_BYTES]);
                return false;
            }
            let held = earlier.sector(name, *sector);
            let differs = held != image.sector(name, *sector);
            if differs {
                before.insert((name.clone(), *sector), held);
            }
            !differs
        });
    }
    before
}
