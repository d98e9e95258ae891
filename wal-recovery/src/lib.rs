//! Crash recovery for a per-core write-ahead log: scan, plan, replay, report.
//!
//! ```text
//!               Checkpoint(epoch) + WAL.replay(epoch..current) = Consistent State
//!
//!   all cores'    ┌─ scan ───────────┐    ┌─ plan ──────────┐    ┌─ replay ───────────────┐
//!   files    ───> │ settle, read,    │ ─> │ each log's end, │ ─> │ the checkpoint's keys, │
//!                 │ collect evidence │    │ the last whole  │    │ then entries in the    │
//!                 └─ in parallel ────┘    │ epoch; pure     │    │ global order           │
//!                                         └────────┬────────┘    └───────────┬────────────┘
//!                                                  ▼                         ▼
//!                                           RecoveryReport              your engine
//!                               what, where, on what evidence
//! ```
//!
//! **For** engines that come back, and for whoever asks what is in a directory and whether it is whole. Links the format and the
//! read side only. The command `wal` does this and more from a shell, and [`salvage`] writes what is intact of a damaged log into
//! a new one.
//!
//! **Not for** opening a log for appending: [wal-coordinator](../wal_coordinator/index.html) recovers by itself, under the
//! log's lock. Not for repair: the files stay as they are.
//!
//! # Guarantees
//!
//! * Nothing of the log is ever written: recovery may be interrupted anywhere and repeated, with the same result.
//! * What was acknowledged as durable comes back, or recovery refuses and says what is missing, where, and on what
//!   evidence. What is cut off was never promised.
//! * The cores are witnesses for each other: a barrier in any log says how far every core had come.
//! * Entries come in the global order, each once; source offsets and watermarks with them. Memory does not grow with the
//!   log.
//!
//! Not promised: the last writes of a core that no later evidence attests may be lost by a medium that loses them after it
//! acknowledged their sync, without anybody noticing; barriers bound this to the epochs since the last one.
//!
//! # A small example
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let recovered = wal_recovery::recover_per_core(path)?;
//! println!("{} keys, offsets {:?}", recovered.state.len(), recovered.offsets);
//! println!("{}", recovered.report);
//! # assert!(recovered.state.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A real one: an engine with a state of its own
//!
//! ```
//! use wal_format::{EntryRef, Manifest, OperationRef};
//! use wal_recovery::{BoxError, PerCoreRecoveryManager, Replay, Scope};
//!
//! /// Sums up what was ever put.
//! #[derive(Default)]
//! struct Engine(u64);
//!
//! impl Replay for Engine {
//!     fn checkpoint(&mut self, manifest: &Manifest) -> Result<(), BoxError> {
//!         // With a store of its own, an engine would load what it kept of this epoch here.
//!         println!("a checkpoint of epoch {}", manifest.epoch);
//!         Ok(())
//!     }
//!
//!     fn state(&mut self, _key: &[u8], value: &[u8]) -> Result<(), BoxError> {
//!         self.0 += u64::from_le_bytes(value.try_into()?); // a refusal stops recovery
//!         Ok(())
//!     }
//!
//!     fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
//!         match entry.operation {
//!             OperationRef::Put { key, value } => self.state(key, value),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let mut engine = Engine::default();
//! let recovered = PerCoreRecoveryManager::new(path)
//!     .scope(Scope::ConsistentCut) // whole epochs only
//!     .progress(|progress| eprintln!("{} of {} bytes", progress.bytes, progress.bytes_total))
//!     .recover(&mut engine)?;
//! std::fs::write(path.with_extension("report.json"), recovered.report.to_json())?;
//! # std::fs::remove_file(path.with_extension("report.json"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | [`Scope::Everything`] | each core to its end: nothing that a sync acknowledged is dropped (default) |
//! | [`Scope::ConsistentCut`] | up to the last epoch that every core holds whole |
//! | [`Scope::UpToEpoch`] | up to and with an epoch |
//! | [`Mode::Strict`] | refuse what is missing or corrupt (default) |
//! | [`Mode::Salvage`] | take everything that is intact, also behind damage, and report every gap |
//!
//! # Errors
//!
//! [`RecoveryError`]: no such directory, damage with place and evidence, a checkpoint that is missing or cannot be read, a scope
//! that cannot be had any more, or what your own [`Replay`] returned. Nothing was changed on disk, so it can be tried
//! again.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `cli` | the command `wal`: `cargo install --path wal-recovery --features cli`; the manual is `docs/wal.md` |
//! | `tracing` | spans of scan, plan and replay |
//!
//! # Reading order
//!
//! [`recover_per_core`] is the short way; [`PerCoreRecoveryManager`] has all choices; [`Plan`] is the decision, [`Replay`]
//! what your engine implements, [`RecoveryReport`] what it is told; [`salvage`] is for after an accident. In the source:
//! `settle.rs` (what the cache may show), `plan.rs` (the decision, pure), `replay.rs`. Before:
//! [wal-reader](../wal_reader/index.html). Next crate: [wal-coordinator](../wal_coordinator/index.html).
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
mod trace;

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
