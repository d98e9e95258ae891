//! Seeded bugs of wal-recovery: recovery: settling, cuts, decisions, refusal.

use super::{Bug, Test};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "cache-not-dropped",
        file: "wal-recovery/src/settle.rs",
        old: "file.drop_cache(proven, to).map_err(|error| failed(\"drop the cached pages of\", error))?;",
        new: "",
        test: Test::In(
            "wal-recovery",
            "faults",
            "what_is_not_proven_durable_is_synced_and_dropped_from_the_cache_before_it_decides",
        ),
        harm: "after EIO and a restart, recovery believes what only the page cache has",
    },
    Bug {
        name: "barren-taken-for-granted",
        file: "wal-recovery/src/settle.rs",
        old: "let to = barren.map_or(u64::MAX, |barren| barren.from);",
        new: "let to = end.max(proven);",
        test: Test::Unit(
            "wal-recovery",
            "settle::tests::what_holds_no_frame_behind_the_last_one_is_not_dropped_and_anything_else_is",
        ),
        harm: "after EIO and a restart, what decides where the log ends may be frames that only the page cache has",
    },
    Bug {
        name: "files-between-others-used-again",
        file: "wal-recovery/src/plan.rs",
        old: "filter(|segment| Some(*segment) > highest)",
        new: "filter(|_| true)",
        test: Test::In(
            "wal-recovery",
            "chains",
            "a_file_that_lost_its_header_stays_as_long_as_the_decision_needs_it",
        ),
        harm: "after two power losses, the second while opening, recovery refuses a log from which nothing durable is missing",
    },
    Bug {
        name: "inherited-files-not-synced",
        file: "wal-recovery/src/settle.rs",
        old: "file.sync().map_err(|error| failed(\"sync\", error))?;",
        new: "",
        test: Test::In(
            "wal-recovery",
            "faults",
            "what_is_not_proven_durable_is_synced_and_dropped_from_the_cache_before_it_decides",
        ),
        harm: "what recovery accepted is gone after the next power loss",
    },
    Bug {
        name: "short-core-accepted-in-a-cut",
        file: "wal-recovery/src/plan.rs",
        old: ".is_none_or(|cut| cut <= scan.end.sequence)",
        new: ".is_none_or(|_| true)",
        test: Test::In("wal-recovery", "scopes", "consistent_cut_is_the_last_epoch_that_every_core_reached"),
        harm: "an epoch is applied on one core and not on the other",
    },
    Bug {
        name: "strict-accepts-errors",
        file: "wal-recovery/src/manager.rs",
        old: "plan.cores.iter().find(|core| core.ending.verdict().is_error())",
        new: "plan.cores.iter().find(|_| false)",
        test: Test::In("wal-recovery", "verdicts", "zero_short_of_evidence_is_missing"),
        harm: "acknowledged entries are missing and nobody is told",
    },
    Bug {
        name: "missing-meta-is-a-new-log",
        file: "wal-recovery/src/manager.rs",
        old: "if has_files { Err(",
        new: "if false && has_files { Err(",
        test: Test::In("wal-recovery", "chains", "segments_without_wal_meta_are_not_a_log"),
        harm: "a directory with logs is taken for an empty one",
    },
    Bug {
        name: "earlier-decision-forgotten",
        file: "wal-recovery/src/plan.rs",
        old: "match dropped.into_iter().chain(above).min_by_key",
        new: "match above.into_iter().min_by_key",
        test: Test::In(
            "wal-recovery",
            "scopes",
            "a_decision_that_was_recorded_on_one_core_only_holds_for_all",
        ),
        harm: "recovery run twice gives two states",
    },
    Bug {
        name: "checkpointed-entries-replayed-again",
        file: "wal-recovery/src/replay.rs",
        old: "    let checkpoint = plan.checkpoint_epoch();\n    while merged.advance()? {",
        new: "    let checkpoint = None;\n    while merged.advance()? {",
        test: Test::In("wal-recovery", "scopes", "entries_of_checkpointed_epochs_are_not_replayed"),
        harm: "old values overwrite what the checkpoint holds",
    },
    Bug {
        name: "resume-below-what-was-seen",
        file: "wal-recovery/src/plan.rs",
        old: "next_epoch: max_epoch.unwrap_or_default().next(),",
        new: "next_epoch: checkpoint.unwrap_or_default().next(),",
        test: Test::In(
            "wal-coordinator",
            "mistakes",
            "m04_epochs_and_sequences_go_on_after_reopening_so_newer_entries_sort_later",
        ),
        harm: "epochs restart after reopening: newer entries sort before older ones",
    },
    Bug {
        name: "segment-numbers-used-twice",
        file: "wal-recovery/src/plan.rs",
        old: "next_segment: used.max().map_or(SegmentNumber(0), SegmentNumber::next),",
        new: "next_segment: used.max().unwrap_or_default(),",
        test: Test::In(
            "wal-coordinator",
            "end_to_end",
            "what_was_synced_comes_back_with_and_without_a_checkpoint",
        ),
        harm: "a new segment takes the place of one in use",
    },
    Bug {
        name: "named-cores-left-out",
        file: "wal-recovery/src/manager.rs",
        old: "for core in witnesses.cores().difference(&scanned) {",
        new: "for core in witnesses.cores().difference(&scanned).take(0) {",
        test: Test::In(
            "wal-recovery",
            "verdicts",
            "a_core_without_any_file_is_missing_once_a_durable_barrier_names_it",
        ),
        harm: "a core whose files are all gone is not missed",
    },
];
