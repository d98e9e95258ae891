//! Crash recovery for a per-core write-ahead log: scan, plan, replay, report.
#![forbid(unsafe_code)]

mod error;
mod options;

mod scan;
mod settle;

mod plan;
mod resume;

mod progress;
mod replay;
mod state;

mod json;
mod report;

mod manager;

pub use error::{BoxError, RecoveryError};
pub use manager::{PerCoreRecoveryManager, recover_per_core};
pub use options::{Mode, Scope};
pub use plan::{CorePlan, Plan};
pub use progress::Progress;
pub use replay::{Recovered, Replay};
pub use report::{CheckpointReport, CoreReport, RecoveryReport};
pub use resume::{CoreResume, ResumePoints};
pub use state::PerCoreRecoveredState;
pub use wal_reader::{Evidence, Gap, LogPosition, SegmentStats};
