//! Teeth: without any one of the orderings that the protocols name, and with any one of the flaws that they could
//! have, a model fails. So no model passes because it is blind, and no ordering is stronger than it has to be.

use super::{closing, drains, epoch, failures, progress, ring, space, syncs, watch};
use crate::flaw::Flaw;
use crate::sync::Edge;

crate::teeth! {
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
    looking_upwards: LooksUpwards fails watch::rungs,
    looking_past_drains: LooksPastDrains fails watch::rungs,
}
