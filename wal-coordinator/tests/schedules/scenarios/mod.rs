//! The lives that schedules are drawn for. Each ends with everything dropped and joined, so that a wake-up that was lost
//! shows as a deadlock, and with power losses that the oracle looks into.

pub(crate) mod actors;
pub(crate) mod checkpoints;
pub(crate) mod epochs;
pub(crate) mod failures;
pub(crate) mod followers;
pub(crate) mod receipts;
pub(crate) mod reopening;
pub(crate) mod shutdown;
pub(crate) mod space;
