//! Every truncation and every flipped bit of a small log: never a wrong entry, never a panic, and what was proven
//! durable is either there or an error.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of the tests' own making"
)]

mod common;

use common::{A, B, Kept, recover, recover_with, salvage, small};
use wal_reader::MemorySource;
use wal_recovery::{Mode, RecoveryError, Scope};

struct Sweep {
    intact: Kept,
}

impl Sweep {
    /// Recovers a damaged copy. `proven` says that the damage lies before what evidence in other bytes proves durable.
    #[track_caller]
    fn check(&self, damaged: &MemorySource, proven: bool, what: &dyn std::fmt::Display) {
        match recover(damaged) {
            Ok((kept, recovered)) => {
                assert!(!proven, "{what}: damage to durable bytes was cut silently\n{}", recovered.report);
                for core in [A, B] {
                    let (found, all) = (kept.of_core(core), self.intact.of_core(core));
                    assert!(all.starts_with(&found), "{what}: core {core} is no prefix: {found:?}");
                }
            }
            Err(RecoveryError::Read(_) | RecoveryError::CheckpointMissing { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        // Salvage gives only what was written, whatever the damage.
        if let Ok((kept, _)) = salvage(damaged) {
            for entry in &kept.entries {
                assert!(self.intact.entries.contains(entry), "{what}: salvaged {entry:?}");
            }
        }
    }
}

fn sweep() -> (Sweep, common::Small) {
    let small = small();
    let (intact, _) = recover(&small.source).unwrap();
    assert_eq!((intact.of_core(A).len(), intact.of_core(B).len()), (17, 17));
    (Sweep { intact }, small)
}

/// The reserved bytes of a header block are all alike: some of them stand for the rest.
fn is_reserved(offset: usize) -> bool {
    (128..4080).contains(&offset)
}

fn is_last(name: &str) -> bool {
    name.contains("0000000000000003")
}

#[test]
fn no_truncation_yields_a_wrong_entry_or_hides_a_durable_one() {
    let (sweep, small) = sweep();
    for (name, bytes) in small.source.iter().filter(|(name, _)| name.ends_with(".log")) {
        for length in 0..bytes.len() {
            if is_reserved(length) && !length.is_multiple_of(97) {
                continue;
            }
            let mut damaged = small.source.clone();
            damaged.get_mut(name).unwrap().truncate(length);
            // Of the last segment, nothing outside of it knows.
            let proven =
                !is_last(name) && small.proven.get(name).is_some_and(|proven| (length as u64) < *proven);
            sweep.check(&damaged, proven, &format_args!("{name} cut to {length} bytes"));
        }
    }
}

#[test]
fn no_flipped_bit_yields_a_wrong_entry_or_hides_a_durable_one() {
    let (sweep, small) = sweep();
    for (name, bytes) in small.source.iter().filter(|(name, _)| name.ends_with(".log")) {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                // Both cores are laid out alike: one of them is enough for all bits of every byte.
                let is_sampled = is_reserved(at) || name.starts_with("wal-00001");
                if is_sampled && at % 61 != bit {
                    continue;
                }
                let mut damaged = small.source.clone();
                damaged.get_mut(name).unwrap()[at] ^= 1 << bit;
                let proven = small.proven.get(name).is_some_and(|proven| (at as u64) < *proven);
                sweep.check(&damaged, proven, &format_args!("{name} bit {bit} of byte {at}"));
            }
        }
    }
}

#[test]
fn a_removed_file_is_an_error_unless_nothing_in_it_was_proven() {
    let (sweep, small) = sweep();
    for name in small.proven.keys() {
        let mut damaged = small.source.clone();
        damaged.remove(name);
        sweep.check(&damaged, !is_last(name), &format_args!("{name} removed"));
    }
}

#[test]
fn every_flipped_bit_of_wal_meta_is_an_error() {
    let (_, small) = sweep();
    for at in 0..64 {
        for bit in 0..8 {
            let mut damaged = small.source.clone();
            damaged.get_mut("wal.meta").unwrap()[at] ^= 1 << bit;
            let result = recover_with(&damaged, Scope::Everything, Mode::Salvage);
            assert!(matches!(result, Err(RecoveryError::Read(_))), "bit {bit} of byte {at}");
        }
    }
}
