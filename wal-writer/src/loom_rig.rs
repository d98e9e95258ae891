//! What the loom models of this crate and of wal-coordinator are set up with, and how they are run. For them only.
//!
//! Everything is shrunk: a ring of 128 bytes, segments of two pages, a clock that stands still.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Arc;

use wal_format::{CoreId, Epoch, LogId, Sequence};

use crate::{
    Clock, Flusher, LogOptions, LogParts, OnSyncFailure, Retention, SegmentSupply, StartAt, Storage,
    TimeSource, mistake,
};

/// The log of every model.
pub const LOG_ID: LogId = LogId([7; 16]);
const RING_BYTES: usize = 128;
const SEGMENT_BYTES: u64 = 8192;

thread_local! {
    /// loom runs all threads of a model on the thread that called it.
    static SCHEDULES: Cell<usize> = const { Cell::new(0) };
}

/// Runs `model` under every schedule. A whole log takes more steps than loom allows by default. Says, with
/// `--nocapture`, how many there were.
pub fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 50_000;
    SCHEDULES.set(0);
    builder.check(move || {
        SCHEDULES.set(SCHEDULES.get() + 1);
        model();
    });
    println!("{} schedules", SCHEDULES.get());
}

/// Runs `model` with `mistake`: it must fail, and by what it asserts, not by running out of loom's bounds.
///
/// # Panics
/// If it passes, or fails for another reason.
pub fn check_fails(mistake: mistake::Id, model: fn()) {
    mistake::plant(Some(mistake));
    let result = catch_unwind(|| check(model));
    mistake::plant(None);
    let Err(panic) = result else { panic!("the model does not see {mistake:?}") };
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    println!("{mistake:?}: {message}");
    assert!(!message.contains("exceeded"), "{mistake:?}: {message}");
}

/// Makes a test of each line, `test_name: Mistake fails model`, first of the crate's `Edge`s, then of its `Flaw`s, and
/// two that fail if a mistake has no line.
#[doc(hidden)]
#[macro_export]
macro_rules! teeth {
    (
        $($edge_test:ident: $edge:ident fails $edge_model:path,)*
        --
        $($flaw_test:ident: $flaw:ident fails $flaw_model:path,)*
    ) => {
        $(
            #[test]
            fn $edge_test() {
                $crate::loom_rig::check_fails(Edge::$edge.id(), $edge_model);
            }
        )*
        $(
            #[test]
            fn $flaw_test() {
                $crate::loom_rig::check_fails(Flaw::$flaw.id(), $flaw_model);
            }
        )*

        #[test]
        fn every_ordering_has_teeth() {
            for edge in Edge::ALL {
                assert!([$(Edge::$edge),*].contains(edge), "no model is known to need {edge:?}");
            }
        }

        #[test]
        fn every_flaw_is_seen() {
            for flaw in Flaw::ALL {
                assert!([$(Flaw::$flaw),*].contains(flaw), "no model is known to see {flaw:?}");
            }
        }
    };
}

struct StandingStill;

impl TimeSource for StandingStill {
    fn now_ns(&self) -> u64 {
        1_000
    }
}

/// A clock that stands still, so that it is no step of a schedule.
pub fn clock() -> Clock {
    Clock::injected(Arc::new(StandingStill))
}

/// Where the segments of a model come from.
pub fn supply(storage: Arc<dyn Storage>) -> Arc<SegmentSupply> {
    Arc::new(SegmentSupply::new(storage, SEGMENT_BYTES, 1))
}

/// A core's log whose first entry will be number 0.
pub fn parts(
    core: CoreId,
    retention: Retention,
    supply: Arc<SegmentSupply>,
    flusher: Option<Arc<dyn Flusher>>,
) -> LogParts {
    let on_sync_failure = OnSyncFailure::Continue;
    let options =
        LogOptions { ring_bytes: RING_BYTES, segment_bytes: SEGMENT_BYTES, retention, on_sync_failure };
    let start = StartAt { sequence: Sequence(0), timestamp_ns: 1_000, epoch: Epoch(0), end: None };
    LogParts { log_id: LOG_ID, core, options, start, supply, flusher }
}
