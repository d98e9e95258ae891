//! Target: a whole directory through recovery, in both modes and all scopes.
//!
//! What strict recovery gives, salvage gives too, entry by entry; more only behind a torn tail. Recovery run twice reports the same. A narrower scope
//! gives nothing that a wider one does not. Nothing comes back that was not written, unless checksums were forged; and
//! an intact directory comes back whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use wal_format::{CoreId, EntryRef, Epoch, PerCoreWalEntry};
use wal_reader::MemorySource;
use wal_recovery::{BoxError, Mode, PerCoreRecoveryManager, Recovered, RecoveryError, Replay, Scope};

use crate::allocation;
use crate::choices::Choices;
use crate::damage::{self, Harm};
use crate::history::{self, History, is_gapless};
use crate::metered::{Metered, total_bytes};

/// An engine that keeps everything.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) entries: Vec<PerCoreWalEntry>,
}

impl Replay for Kept {
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
    pub(crate) fn of_core(&self, core: CoreId) -> Vec<&PerCoreWalEntry> {
        self.entries.iter().filter(|entry| entry.core_id == core).collect()
    }
}

/// An engine that keeps nothing, so that what is held is held by recovery.
struct Forgetful;

impl Replay for Forgetful {
    fn entry(&mut self, _: &EntryRef<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

pub(crate) fn recover(
    files: &MemorySource,
    scope: Scope,
    mode: Mode,
) -> Result<(Kept, Recovered), RecoveryError> {
    let manager = PerCoreRecoveryManager::with_source(Arc::new(files.clone())).scope(scope).mode(mode);
    let mut kept = Kept::default();
    let recovered = manager.recover(&mut kept)?;
    Ok((kept, recovered))
}

pub(crate) fn check(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut history = history::make(&mut choices, 3);
    let harm = damage::inflict(&mut history.files, &mut choices);
    let files = &history.files;
    for mode in [Mode::Strict, Mode::Salvage] {
        measured(files, mode);
    }
    let salvaged = recover(files, Scope::Everything, Mode::Salvage);
    let strict = recover(files, Scope::Everything, Mode::Strict);
    if let Ok((kept, report)) = &strict {
        let (salvaged, _) = salvaged.as_ref().expect("strict recovery took it");
        assert_eq!(kept.state, salvaged.state);
        // Behind a torn tail, salvage goes on where strict recovery rightly stops.
        let is_cut = report.report.cores.iter().any(|core| core.discarded.frames > 0);
        assert!(is_cut || kept == salvaged, "strict and salvage differ\n{}", report.report);
        for core in report.report.cores.iter().map(|core| core.core) {
            let is_part = salvaged.of_core(core).starts_with(&kept.of_core(core));
            assert!(is_part, "core {core}: salvage lacks what strict recovery has\n{}", report.report);
        }
        assert!(is_gapless(&kept.entries), "{:?}", kept.entries);
        assert!(kept.entries.is_sorted_by_key(PerCoreWalEntry::order_key));
        again(files, Mode::Strict, kept, report);
        narrower(files, kept);
        if harm == Harm::Intact {
            intact(&history, kept);
        }
    } else {
        let error = strict.err().map(|error| error.to_string());
        assert!(harm > Harm::Intact, "an intact directory is refused: {error:?}");
    }
    if let Ok((kept, report)) = &salvaged {
        again(files, Mode::Salvage, kept, report);
        assert!(kept.entries.is_sorted_by_key(PerCoreWalEntry::order_key));
        if harm < Harm::Forgery {
            for entry in &kept.entries {
                assert!(history.written.contains(entry), "{entry:?} was never written");
            }
        }
    }
}

fn measured(files: &MemorySource, mode: Mode) {
    let metered = Metered::new(files);
    let total = total_bytes(files);
    let manager = PerCoreRecoveryManager::with_source(Arc::new(metered.clone())).mode(mode);
    let (recovered, peak) = allocation::peak_bytes(|| manager.recover(&mut Forgetful));
    assert!(peak <= allocation::bytes_max(total), "{mode}: {peak} bytes held for {total}");
    // Settling, headers, scan, search, replay; in salvage, reading begins anew behind every gap.
    let gaps = recovered
        .iter()
        .flat_map(|recovered| &recovered.report.cores)
        .map(|core| core.gaps.len() as u64)
        .sum::<u64>();
    let bytes_max = (12 + 3 * gaps) * total as u64 + 65_536;
    let read = metered.bytes_read();
    assert!(read <= bytes_max || recovered.is_err(), "{mode}: {read} bytes read of {total}, {gaps} gaps");
}

fn again(files: &MemorySource, mode: Mode, kept: &Kept, recovered: &Recovered) {
    let (kept_again, recovered_again) = recover(files, Scope::Everything, mode).expect("as before");
    assert_eq!(&kept_again, kept, "recovery run twice");
    assert_eq!(recovered_again.report.to_json(), recovered.report.to_json(), "recovery run twice");
}

fn narrower(files: &MemorySource, everything: &Kept) {
    let last = everything.entries.last().map_or(1, |entry| entry.epoch.0);
    for scope in [Scope::ConsistentCut, Scope::UpToEpoch(Epoch(last / 2)), Scope::UpToEpoch(Epoch(last))] {
        let Ok((kept, recovered)) = recover(files, scope, Mode::Strict) else { continue };
        assert_eq!(kept.state, everything.state, "{scope}");
        for core in recovered.report.cores.iter().map(|core| core.core) {
            let (part, all) = (kept.of_core(core), everything.of_core(core));
            assert!(all.starts_with(&part), "{scope}: core {core} is no prefix");
        }
        if let Scope::UpToEpoch(epoch) = scope {
            assert!(kept.entries.iter().all(|entry| entry.epoch <= epoch), "{scope}");
        }
    }
}

fn intact(history: &History, kept: &Kept) {
    for (core, entries) in &history.live {
        assert!(kept.of_core(*core).into_iter().eq(entries), "core {core} of an intact directory");
    }
}
