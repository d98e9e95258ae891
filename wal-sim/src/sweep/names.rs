//! Row 3: every change of a name that no sync of the directory covers yet is dropped, alone and in pairs, and kept alone and
//! in pairs, whatever becomes of the data.

use super::power_loss::{Reference, at_unit, check_one, references};
use super::run::{Budget, Sweep, Tally};
use crate::disk::{Pick, Random, Unit};

struct Names {
    references: Vec<Reference>,
    /// Every n-th snapshot only, for a small budget.
    step: usize,
    seed: u64,
}

pub(crate) fn prepare(budget: &Budget) -> Result<Box<dyn Sweep>, String> {
    let references = references(budget.seed)?;
    // At the gate's size, all of them: about eighty thousand images.
    let step = (Budget::GATE.images / 20 / budget.images.max(1)).max(1) as usize;
    Ok(Box::new(Names { references, step, seed: budget.seed }))
}

impl Sweep for Names {
    fn units(&self) -> usize {
        self.references.iter().map(|reference| reference.snapshots.len()).sum()
    }

    fn run(&self, unit: usize, tally: &Tally) -> Result<(), String> {
        if !unit.is_multiple_of(self.step) {
            return Ok(());
        }
        let Some((reference, snapshot)) = at_unit(&self.references, unit) else { return Ok(()) };
        let undecided = snapshot.undecided(Unit::Sector);
        let names = undecided.names();
        let mut random = Random::new(self.seed ^ (unit as u64) << 20);
        // A pair is tried when its second name is new; each alone at every call until the directory is synced.
        let is_new = at_unit(&self.references, unit.wrapping_sub(1))
            .is_none_or(|(_, before)| before.undecided(Unit::Sector).names() != names);
        let newest = names.saturating_sub(1);
        let pairs = (0..names).filter(|name| is_new && *name != newest).map(|name| [name, newest]);
        for pair in (0..names).map(|name| [name, name]).chain(pairs) {
            tally.note("names, or pairs of names, dropped and kept");
            for keeps in [false, true] {
                for pick in [Pick::Nothing, Pick::All, Pick::Seed(random.next())] {
                    let image = undecided.image_by(pick, |name| Some(pair.contains(&name) == keeps));
                    check_one(reference, snapshot, &image, random.next(), tally).map_err(|what| {
                        let (name, calls) = (reference.name, snapshot.calls());
                        let verb = if keeps { "only" } else { "all but" };
                        format!(
                            "{name}, after {calls} calls, {verb} names {pair:?} of {names}, {pick:?}: {what}"
                        )
                    })?;
                }
            }
        }
        Ok(())
    }
}
