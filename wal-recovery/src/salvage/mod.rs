//! Salvage into a new log: everything that is intact, in a directory that verifies whole and can be opened for writing.
//!
//! **Guarantees.** The original is only read. The new directory appears under its name when all of it is durable and a
//! strict recovery of it has found exactly what was written; until then it is called `NAME.partial`. Entries keep
//! their core, epoch, timestamp, order and batches; no number of a lost entry is ever given out again.
//!
//! **Renumbering.** A log cannot have holes: sequence numbers are gapless. So entries *before* a gap are numbered up, and
//! the last piece of every core keeps its numbers, with which the log then goes on. [`Piece`] says what became what.
//!
//! **Epochs.** Salvage is a close, as an opening is: what is there counts, all epochs are over. Run it on a log
//! cut at an epoch ([`Salvage::scope`]) if only whole epochs shall count.

mod frame_file;
mod pieces;
mod report;
mod writer;

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use wal_format::{Epoch, LogId};
use wal_reader::Source;

use crate::error::RecoveryError;
use crate::manager::PerCoreRecoveryManager;
use crate::options::{Mode, Scope};
use crate::plan::Plan;

pub use pieces::Piece;
pub use report::{SalvageReport, SalvagedCore};

/// Segments of the new log are as large as this, as an engine's are by default.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Writing a salvaged log failed. What was written stays under the partial name, for a look; remove it to try again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// Reading the original failed, beyond the damage that salvage accepts.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The place for the new log is taken.
    #[error("{} exists already: give a directory that does not exist, or is empty", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The new log would stand inside of the original's directory.
    #[error("{} is inside of the log that is to be salvaged: give a place beside it", path.display())]
    Inside {
        /// The place that was given.
        path: PathBuf,
    },
    /// There is no log to salvage.
    #[error("{} holds no log: give the directory that has the file wal.meta", path.display())]
    NotALog {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {operation} {}: {cause}; remove what there is of the copy, see to the cause, then salvage again", path.display())]
    Write {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Recovery of what was written does not find what was written: keep the original, and do not use the copy.
    #[error("the copy in {} is not what was written: {what}", path.display())]
    Differs {
        /// The partial copy.
        path: PathBuf,
        /// What is different.
        what: String,
    },
}

/// Writes what is intact of a log into a new one.
///
/// ```
/// # use wal_format::{CoreId, LogId};
/// # use wal_reader::{Source, testing::LogBuilder};
/// # use std::sync::Arc;
/// use wal_recovery::{recover_per_core, salvage::Salvage};
///
/// # let mut log = LogBuilder::new(LogId([7; 16]));
/// # log.put(CoreId(0), b"key", b"value");
/// # let damaged: Arc<dyn Source> = Arc::new(log.source());
/// # let directory = tempfile::tempdir()?;
/// let out = directory.path().join("salvaged");
/// let report = Salvage::new(damaged).write(&out)?;
/// println!("{}", report.to_json());
/// assert_eq!(recover_per_core(&out)?.state[&b"key"[..]], b"value");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Salvage {
    source: Arc<dyn Source>,
    scope: Scope,
    log_id: Option<LogId>,
    segment_bytes_max: u64,
}

impl Salvage {
    /// Salvages from `source`. Nobody may write to it meanwhile.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source, scope: Scope::Everything, log_id: None, segment_bytes_max: SEGMENT_BYTES_MAX }
    }

    /// How far each log is taken; everything, unless told otherwise.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The identity of the new log; random, unless told otherwise. Must not be that of any other log.
    #[must_use]
    pub fn log_id(mut self, log_id: LogId) -> Self {
        self.log_id = Some(log_id);
        self
    }

    /// Segments of the new log are sealed before a frame that would make them larger; 64 MiB, unless told otherwise. A
    /// frame that is larger has a segment of its own.
    #[must_use]
    pub fn segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes;
        self
    }

    /// What [`Self::write`] would do. Reads, and writes nothing.
    ///
    /// # Errors
    /// [`SalvageError::Recovery`], [`SalvageError::NotALog`].
    pub fn plan(&self) -> Result<SalvageReport, SalvageError> {
        let (plan, log_id) = self.decide()?;
        Ok(SalvageReport::of_plan(&plan, log_id))
    }

    /// Writes the new log to `out`, which must not exist or be empty. Durable on return.
    ///
    /// # Errors
    /// All of [`SalvageError`]. `out` exists only on success.
    pub fn write(&self, out: &Path) -> Result<SalvageReport, SalvageError> {
        self.check_place(out)?;
        let (plan, log_id) = self.decide()?;
        let mut report = SalvageReport::of_plan(&plan, log_id);
        let partial = partial_name(out);
        fs::create_dir(&partial).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SalvageError::Exists { path: partial.clone() },
            _ => failed("create", &partial, error),
        })?;
        writer::write(&self.source, &plan, &mut report, &partial, self.segment_bytes_max)?;
        sync_directory(&partial)?;
        check(&partial, &plan, &report)?;
        fs::rename(&partial, out).map_err(|error| failed("rename", &partial, error))?;
        sync_directory(parent_of(out))?;
        Ok(report)
    }

    fn decide(&self) -> Result<(Plan, LogId), SalvageError> {
        let manager = PerCoreRecoveryManager::with_source(Arc::clone(&self.source));
        let plan = manager.mode(Mode::Salvage).scope(self.scope).plan()?;
        if plan.resume.log_id.is_none() {
            return Err(SalvageError::NotALog { path: self.source.path("") });
        }
        Ok((plan, self.log_id.unwrap_or_else(random_log_id)))
    }

    fn check_place(&self, out: &Path) -> Result<(), SalvageError> {
        let is_taken = match fs::read_dir(out) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if is_taken {
            return Err(SalvageError::Exists { path: out.to_owned() });
        }
        let parent = parent_of(out);
        let place = fs::canonicalize(parent).map_err(|error| failed("find", parent, error))?;
        let is_inside =
            fs::canonicalize(self.source.path("")).is_ok_and(|original| place.starts_with(original));
        if is_inside { Err(SalvageError::Inside { path: out.to_owned() }) } else { Ok(()) }
    }
}

/// The copy is believed only when a strict recovery of it finds what was written.
fn check(partial: &Path, plan: &Plan, report: &SalvageReport) -> Result<(), SalvageError> {
    let differs = |what: String| SalvageError::Differs { path: partial.to_owned(), what };
    let copy = PerCoreRecoveryManager::new(partial).plan().map_err(|error| differs(error.to_string()))?;
    for core in &report.cores {
        let found = copy.cores.iter().find(|copied| copied.scan.core == core.core);
        let entries = found.map_or(0, |copied| copied.scan.segments.iter().map(|stats| stats.entries).sum());
        let next = found.map(|copied| copied.end.sequence);
        if entries != core.entries || next != Some(core.next_sequence) {
            return Err(differs(format!("core {} has {entries} entries, not {}", core.core, core.entries)));
        }
    }
    let epoch = plan.checkpoint_epoch().unwrap_or(Epoch(0));
    let copied = copy.checkpoint_epoch().unwrap_or(Epoch(0));
    if copied == epoch {
        Ok(())
    } else {
        Err(differs(format!("its checkpoint is of epoch {copied}, not {epoch}")))
    }
}

fn partial_name(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    out.with_file_name(name)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> Result<(), SalvageError> {
    let sync = File::open(path).and_then(|directory| directory.sync_all());
    sync.map_err(|error| failed("sync", path, error))
}

fn failed(operation: &'static str, path: &Path, cause: io::Error) -> SalvageError {
    SalvageError::Write { operation, path: path.to_owned(), cause }
}

/// 128 bits that no other log has: the standard library's per-process random keys, hashed with what is unique here.
fn random_log_id() -> LogId {
    let half = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.write_u32(std::process::id());
        hasher.finish().to_le_bytes()
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half(1));
    id[8..].copy_from_slice(&half(2));
    LogId(id)
}

#[cfg(test)]
mod tests {
    use wal_format::{CoreId, Manifest};
    use wal_reader::Directory;
    use wal_reader::testing::LogBuilder;

    use super::*;

    /// Puts the files of a log into a directory of its own.
    fn directory(log: &LogBuilder) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, bytes) in log.source().iter() {
            fs::write(place.path().join(name), bytes).unwrap();
        }
        place
    }

    fn log(entries: u8, manifest: Option<&Manifest>) -> LogBuilder {
        let mut log = LogBuilder::new(LogId([7; 16]));
        log.set_epoch(3);
        for key in 0..entries {
            log.put(CoreId(1), &[key], b"value");
        }
        if let Some(manifest) = manifest {
            log.manifest(manifest);
        }
        log
    }

    #[test]
    fn a_copy_that_is_not_what_was_written_is_refused() {
        let checkpoint = LogBuilder::new(LogId([7; 16])).empty_manifest(2);
        let written = directory(&log(3, Some(&checkpoint)));
        let salvage = Salvage::new(Arc::new(Directory::new(written.path())));
        let (plan, log_id) = salvage.decide().unwrap();
        let report = SalvageReport::of_plan(&plan, log_id);
        check(written.path(), &plan, &report).unwrap();
        let other = LogBuilder::new(LogId([7; 16])).empty_manifest(1);
        for (copy, says) in [
            (log(2, Some(&checkpoint)), "core 1 has 2 entries, not 3"),
            (log(4, Some(&checkpoint)), "core 1 has 4 entries, not 3"),
            (log(0, Some(&checkpoint)), "core 1 has 0 entries, not 3"),
            (log(3, Some(&other)), "its checkpoint is of epoch 1, not 2"),
            (log(3, None), "its checkpoint is of epoch 0, not 2"),
        ] {
            let error = check(directory(&copy).path(), &plan, &report).unwrap_err();
            assert!(matches!(error, SalvageError::Differs { .. }));
            assert!(error.to_string().ends_with(says), "{error}");
        }
        // As many entries, and the numbers of others.
        let mut renumbered = report.clone();
        renumbered.cores[0].next_sequence = renumbered.cores[0].next_sequence.plus(1);
        check(written.path(), &plan, &renumbered).unwrap_err();
        // One that strict recovery refuses.
        fs::remove_file(written.path().join(wal_format::names::META)).unwrap();
        assert!(matches!(check(written.path(), &plan, &report), Err(SalvageError::Differs { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_synced_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        sync_directory(place.path()).unwrap();
        assert!(matches!(sync_directory(&place.path().join("gone")), Err(SalvageError::Write { .. })));
    }
}
