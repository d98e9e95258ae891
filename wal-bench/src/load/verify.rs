//! Whether the log that a load has left holds what was appended, and nothing else.
//!
//! What was appended is drawn once more from the seed. Recovery must find every entry that no checkpoint holds, go on behind
//! the last one, and come to the state of all of them.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use wal_format::CoreId;
use wal_recovery::PerCoreRecoveryManager;

use super::Failure;
use super::entries::Entries;
use super::settings::Settings;

/// What was found, when all was as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries that the log numbers: all that were appended.
    pub entries: u64,
    /// Of these, replayed from segments; the others are in the checkpoint.
    pub entries_replayed: u64,
    /// Keys that came from the checkpoint.
    pub checkpoint_keys: u64,
    /// Keys of the recovered state.
    pub keys: u64,
}

/// Recovers the closed log in `path` and compares it with `appended` entries of each core.
///
/// # Errors
/// Recovery fails, or finds anything else.
pub(super) fn verify(path: &Path, settings: &Settings, appended: &[u64]) -> Result<Verified, Failure> {
    let mut state: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let recovered = PerCoreRecoveryManager::new(path).recover(&mut state)?;
    for (core, entries) in appended.iter().enumerate() {
        let id = CoreId(u16::try_from(core)?);
        let next = recovered.resume.core(id).map_or(0, |resume| resume.next_sequence.0);
        if next != *entries {
            return Err(
                format!("core {core}: {entries} entries were appended, the log ends before {next}").into()
            );
        }
    }
    let mut expected = HashMap::with_capacity(state.len());
    for (core, entries) in appended.iter().enumerate() {
        let mut drawn = Entries::new(settings, core);
        for _ in 0..*entries {
            let (key, value) = drawn.draw();
            // A key that is there keeps its allocation.
            let held: &mut Vec<u8> = expected.entry(key.to_vec()).or_default();
            held.clear();
            held.extend_from_slice(value);
        }
    }
    if let Some(what) = difference(&expected, &state) {
        return Err(what.into());
    }
    let report = &recovered.report;
    let entries = appended.iter().sum();
    if report.checkpoint.is_none() && report.entries_replayed != entries {
        return Err(format!("{} of {entries} entries were replayed", report.entries_replayed).into());
    }
    Ok(Verified {
        entries,
        entries_replayed: report.entries_replayed,
        checkpoint_keys: report.checkpoint_keys,
        keys: state.len() as u64,
    })
}

type State = HashMap<Vec<u8>, Vec<u8>>;

/// What is wrong with `found`, if anything is.
fn difference(expected: &State, found: &State) -> Option<String> {
    let wrong = expected.iter().find(|(key, value)| found.get(*key) != Some(*value));
    if let Some((key, value)) = wrong {
        let found = found.get(key);
        return Some(format!("key {key:02x?} should be {value:02x?} and is {found:02x?}"));
    }
    let more = found.keys().find(|key| !expected.contains_key(*key));
    more.map(|key| format!("key {key:02x?} was never appended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_other_or_too_much_is_found() {
        let state = |pairs: &[(u8, u8)]| -> State {
            pairs.iter().map(|(key, value)| (vec![*key], vec![*value])).collect()
        };
        let expected = state(&[(1, 1), (2, 2)]);
        assert_eq!(difference(&expected, &expected.clone()), None);
        for found in [state(&[(1, 1)]), state(&[(1, 1), (2, 3)]), state(&[(1, 1), (2, 2), (3, 3)])] {
            assert!(difference(&expected, &found).is_some(), "{found:?}");
        }
    }
}
