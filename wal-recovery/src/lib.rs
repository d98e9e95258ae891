//! Crash recovery for a per-core write-ahead log: scan, plan, replay, report.
//!
//! ```text
//! Checkpoint(epoch) + WAL.replay(epoch..current) = Consistent State
//! ```
//!
//! *Scan* settles and reads every core's files, several cores at a time, and collects what they prove of each other.
//! *Plan* is pure: it gives each log its row of `FORMAT.md#verdicts`, finds the last epoch that is whole on every core,
//! and says where each log goes on. *Replay* hands the checkpoint's state and the entries above it to the engine.
//!
//! **Guarantees.** Nothing of the log is ever written: recovery may be interrupted anywhere and repeated, with the same result.
//! What was acknowledged as durable comes back, or recovery refuses and says what, where and on what evidence.
//!
//! **Not promised.** The last writes of a core that no later evidence attests may be lost by a medium that loses them
//! after it acknowledged their sync, without anybody noticing; barriers bound this to the epochs since the last one.
//!
//! [`recover_per_core`] is the short way; [`PerCoreRecoveryManager`] has all choices; [`salvage`] writes what is intact of
//! a damaged log into a new one. The command `wal` (feature `cli`, `docs/wal.md`) does this and more from a shell.
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

pub mod salvage;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use error::{BoxError, RecoveryError, with_sources};
pub use manager::{PerCoreRecoveryManager, recover_per_core};
pub use options::{Mode, Scope};
pub use plan::{CorePlan, Plan};
pub use progress::Progress;
pub use replay::{Recovered, Replay};
pub use report::{CheckpointReport, CoreReport, RecoveryReport};
pub use resume::{CoreResume, ResumePoints};
pub use state::PerCoreRecoveredState;
pub use wal_reader::{Evidence, Gap, LogPosition, SegmentStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
