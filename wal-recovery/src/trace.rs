//! Spans and events of recovery for subscribers of `tracing` (feature `tracing`).
//!
//! ```text
//! recovery{scope, mode}
//!   scan{core, entries, bytes}            one for each core, perhaps at the same time
//!   planned{core, verdict, end, ...}      an event for each core: what was decided
//!   plan{cores, consistent_epoch, cut}
//!   replay{entries, bytes}                the checkpoint's keys and the logs, merged
//!     replay_core{core, entries, bytes}   one for each core, if each is replayed into a sink of its own
//! ```
//!
//! A log that an engine is at work on may be scanned more than once. Without the feature, all of this is empty.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "nobody is told"))]

use wal_format::CoreId;

use crate::options::{Mode, Scope};
use crate::plan::Plan;

/// Target of all spans and events of this crate.
#[cfg(feature = "tracing")]
const TARGET: &str = "wal_recovery";

/// A span that this thread is in, until it goes.
#[must_use]
pub(crate) struct Entered(#[cfg(feature = "tracing")] tracing::span::EnteredSpan);

/// The span that a thread is in, for others to go on in.
pub(crate) struct Here(#[cfg(feature = "tracing")] tracing::Span);

/// A span of this crate, entered.
macro_rules! enter {
    ($($span:tt)*) => {
        Entered(
            #[cfg(feature = "tracing")]
            tracing::info_span!(target: TARGET, $($span)*).entered(),
        )
    };
}

impl Entered {
    /// Says what came of it.
    pub(crate) fn done(&self, entries: u64, bytes: u64) {
        #[cfg(feature = "tracing")]
        self.0.record("entries", entries).record("bytes", bytes);
    }
}

impl Here {
    pub(crate) fn now() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            tracing::Span::current(),
        )
    }

    /// One core is scanned, on whichever thread.
    pub(crate) fn scan(&self, core: CoreId) -> Entered {
        enter!(parent: &self.0, "scan", core = core.0, entries = tracing::field::Empty, bytes = tracing::field::Empty)
    }

    /// One core is replayed into a sink of its own, on whichever thread.
    pub(crate) fn replay_core(&self, core: CoreId) -> Entered {
        enter!(
            parent: &self.0,
            "replay_core",
            core = core.0,
            entries = tracing::field::Empty,
            bytes = tracing::field::Empty
        )
    }
}

/// Everything, from the first look at the directory on.
pub(crate) fn recovery(scope: Scope, mode: Mode) -> Entered {
    enter!("recovery", %scope, %mode)
}

/// Entries are handed to the engine.
pub(crate) fn replay() -> Entered {
    enter!("replay", entries = tracing::field::Empty, bytes = tracing::field::Empty)
}

/// What was decided.
pub(crate) fn planned(plan: &Plan) {
    #[cfg(feature = "tracing")]
    {
        let optional = |epoch: Option<wal_format::Epoch>| epoch.map(|epoch| epoch.0);
        let span = tracing::info_span!(
            target: TARGET,
            "plan",
            cores = plan.cores.len(),
            consistent_epoch = optional(plan.consistent_epoch),
            cut = optional(plan.cut)
        );
        let _entered = span.enter();
        for core in &plan.report.cores {
            tracing::info!(
                target: TARGET,
                core = core.core.0,
                verdict = %core.verdict,
                row = core.row.label(),
                end_segment = core.end_in_scope.segment.0,
                end_offset = core.end_in_scope.offset,
                end_sequence = core.end_in_scope.sequence.0,
                discarded_entries = core.discarded.entries,
                "planned"
            );
        }
    }
}
