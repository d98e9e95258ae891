//! Teeth: without any one of the orderings that the protocols name, and with any one of the flaws that they could
//! have, a model fails. So no model passes because it is blind, and no ordering is stronger than it has to be.

use std::panic::catch_unwind;

use super::{closing, drains, epoch, failures, progress, rig, ring, space, syncs};
use crate::flaw::{Flaw, planted};
use crate::sync::{Edge, weakened};

/// What a model goes without.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    Weakened(Edge),
    Planted(Flaw),
}

impl Mistake {
    fn make(self) {
        match self {
            Self::Weakened(edge) => weakened::set(Some(edge)),
            Self::Planted(flaw) => planted::set(Some(flaw)),
        }
    }

    fn unmake() {
        weakened::set(None);
        planted::set(None);
    }
}

/// Runs `model` with `mistake`: it must fail, and by what it asserts, not by running out of loom's bounds.
fn check(mistake: Mistake, model: fn()) {
    mistake.make();
    let result = catch_unwind(|| rig::check(model));
    Mistake::unmake();
    let panic = result.expect_err("the model does not see the mistake");
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    println!("{mistake:?}: {message}");
    assert!(!message.contains("exceeded"), "{mistake:?}: {message}");
}

macro_rules! teeth {
    (
        $($edge_test:ident: $edge:ident fails $edge_model:path,)*
        --
        $($flaw_test:ident: $flaw:ident fails $flaw_model:path,)*
    ) => {
        const PROVEN_EDGES: &[Edge] = &[$(Edge::$edge),*];
        const PROVEN_FLAWS: &[Flaw] = &[$(Flaw::$flaw),*];

        $(
            #[test]
            fn $edge_test() {
                check(Mistake::Weakened(Edge::$edge), $edge_model);
            }
        )*
        $(
            #[test]
            fn $flaw_test() {
                check(Mistake::Planted(Flaw::$flaw), $flaw_model);
            }
        )*
    };
}

teeth! {
    without_tail_publish: TailPublish fails ring::publish,
    without_tail_read: TailRead fails ring::publish,
    without_head_release: HeadRelease fails ring::reuse,
    without_head_read: HeadRead fails ring::reuse,
    without_epoch_advance: EpochAdvance fails epoch::seal_request,
    without_epoch_read: EpochRead fails epoch::seal_request,
    without_append_fence: AppendFence fails epoch::cut,
    without_close_fence: CloseFence fails epoch::cut,
    without_unpin: Unpin fails epoch::cut,
    without_pin_read: PinRead fails epoch::cut,
    without_appended_store: AppendedStore fails epoch::cut,
    without_appended_read: AppendedRead fails epoch::cut,
    without_marker_store: MarkerStore fails epoch::cut,
    without_marker_read: MarkerRead fails epoch::cut,
    without_progress_store: ProgressStore fails progress::blocking,
    without_progress_read: ProgressRead fails progress::blocking,
    --
    acknowledging_a_sync_that_began: AcknowledgesBegunSync fails syncs::arrival,
    two_syncs_of_one_core: LeavesGate fails syncs::owner_and_flusher,
    forgiving_outside_of_the_lock: ForgivesUnlocked fails space::overdraft,
    overdrawing_silently: OverdrawsSilently fails space::overdraft,
    waking_before_saying_why: WakesBeforeWanted fails closing::writer_dropped,
    closing_silently: ClosesSilently fails closing::while_blocked,
    releasing_what_is_not_durable: ReleasesWritten fails failures::continuation_of_a_full_ring,
    forgetting_a_failed_write: ForgetsDoubt fails failures::failed_write,
    ignoring_a_seal_request: IgnoresSealRequest fails drains::seal,
    covering_what_arrived: CoversArrivals fails syncs::arrival,
    covering_what_was_rotated: CoversRotation fails syncs::rotation,
    ignoring_a_pin: IgnoresPin fails epoch::cut,
    checking_outside_of_the_lock: ChecksUnlocked fails progress::blocking,
    keeping_an_overtaken_number: KeepsOvertakenNumber fails space::overtaken,
}

#[test]
fn every_ordering_has_teeth() {
    for edge in Edge::ALL {
        assert!(PROVEN_EDGES.contains(edge), "no model is known to need {edge:?}");
    }
}

#[test]
fn every_flaw_is_seen() {
    for flaw in Flaw::ALL {
        assert!(PROVEN_FLAWS.contains(flaw), "no model is known to see {flaw:?}");
    }
}
