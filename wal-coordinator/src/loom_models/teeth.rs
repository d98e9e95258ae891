//! Teeth: without any one of the orderings that the protocols name, and with any one of the flaws that they could
//! have, a model fails. So no model passes because it is blind, and no ordering is stronger than it has to be.

use std::panic::catch_unwind;

use super::{checkpoints, closing, epochs, requests, rig};
use crate::edge::{Edge, weakened};
use crate::flaw::{Flaw, planted};

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
    without_ask: Ask fails requests::two_who_ask,
    without_answer: Answer fails requests::two_who_ask,
    --
    looking_before_taking_note: LooksFirst fails requests::two_who_ask,
    asking_for_the_seal_late: AsksForSealLate fails checkpoints::while_draining,
    counting_outside_of_the_lock: CountsUnlocked fails epochs::two_closes,
    counting_before_the_sync: CountsUnsynced fails epochs::two_ends,
    looking_out_of_turn: LooksOutOfTurn fails epochs::two_who_wait_for_space,
    sealing_out_of_turn: SealsOutOfTurn fails checkpoints::while_waiting_for_space,
    closing_silently: ClosesSilently fails closing::while_waiting_for_a_checkpoint,
    releasing_early: ReleasesEarly fails checkpoints::while_appending,
    forgetting_readers: ForgetsReaders fails checkpoints::while_reading,
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
