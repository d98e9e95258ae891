//! Teeth: without any one of the orderings that the protocols name, and with any one of the flaws that they could
//! have, a model fails. So no model passes because it is blind, and no ordering is stronger than it has to be.

use super::{checkpoints, closing, epochs, requests};
use crate::edge::Edge;
use crate::flaw::Flaw;

wal_writer::teeth! {
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
