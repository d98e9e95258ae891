//! Teeth: without any one of the orderings that the protocols name, a model fails. So no model passes because it is
//! blind, and no ordering is stronger than it has to be.

use std::panic::catch_unwind;

use super::{epoch, progress, ring};
use crate::sync::{Edge, weakened};

/// Runs `model` without `edge`: it must fail, and by what it asserts, not by running out of loom's bounds.
fn check(edge: Edge, model: fn()) {
    weakened::set(Some(edge));
    let result = catch_unwind(|| loom::model(model));
    weakened::set(None);
    let panic = result.expect_err("the model holds without this ordering");
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    assert!(!message.contains("exceeded"), "{edge:?}: {message}");
}

macro_rules! teeth {
    ($($test:ident: $edge:ident fails $model:path,)*) => {
        const PROVEN: &[Edge] = &[$(Edge::$edge),*];

        $(
            #[test]
            fn $test() {
                check(Edge::$edge, $model);
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
}

#[test]
fn every_ordering_has_teeth() {
    for edge in Edge::ALL {
        assert!(PROVEN.contains(edge), "no model is known to need {edge:?}");
    }
}
