//! Events of one core's log for subscribers of `tracing` (feature `tracing`): what is rare, and what somebody should know.
//!
//! Each event is a function here, so this file is the list of them. Without the feature they are empty. None is on the append
//! path, nor at every sync: a log at work tells nothing. Errors are fields, whole sentences by themselves.
#![cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "nobody is told"))]

use wal_format::{CoreId, Sequence};

use crate::error::WriterError;

/// Targets of all events of this crate.
#[cfg(feature = "tracing")]
const TARGET: &str = "wal_writer";

/// A sync failed: what it was to cover is in doubt, and that file is never synced again.
pub(crate) fn sync_failed(core: CoreId, error: &WriterError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, core = core.0, %error, "sync failed");
}

/// A write failed: nothing more goes to that file.
pub(crate) fn write_failed(core: CoreId, error: &WriterError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, core = core.0, %error, "write failed");
}

/// What a failure had left in doubt is durable in a fresh segment; nothing was lost.
pub(crate) fn continued(core: CoreId, durable: Sequence) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: TARGET, core = core.0, durable = durable.0, "continued on a fresh segment");
}

/// Nothing from `since` on will become durable.
pub(crate) fn poisoned(core: CoreId, since: Sequence, cause: &WriterError) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: TARGET, core = core.0, since = since.0, %cause, "poisoned");
}
