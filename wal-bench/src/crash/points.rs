//! The places at which an engine can be told to die: those that the log itself names, and the steps of reading it back.
//!
//! The environment variable [`VARIABLE`] names one and which visit of it is the last. Only a build with the feature
//! `kill-points` has the places; without it, `arm` refuses. The process ends by SIGKILL that it sends to itself, after
//! one line that says where: nothing is unwound, flushed or closed.

use std::fmt;

use wal_writer::stall::Place;

/// Names the place and the visit, as `segment-sealed:3`.
pub const VARIABLE: &str = "WAL_KILL_POINT";

/// A place to die at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Named by the log.
    Log(Place),
    /// A step of reading the log back.
    Reading(Step),
}

/// What recovery asks of the file system, and what it gives the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    DirectoryListed,
    FileOpened,
    FileRead,
    FileSynced,
    CacheDropped,
    StateReplayed,
    EntryReplayed,
}

const STEPS: [Step; 7] = [
    Step::DirectoryListed,
    Step::FileOpened,
    Step::FileRead,
    Step::FileSynced,
    Step::CacheDropped,
    Step::StateReplayed,
    Step::EntryReplayed,
];

impl Point {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Place::ALL.iter().copied().map(Self::Log).chain(STEPS.map(Self::Reading))
    }

    /// The one with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|point| point.to_string() == name)
    }

    /// Whether only a directory without a log has it.
    #[must_use]
    pub fn is_of_a_new_log(self) -> bool {
        use Place::{MetaCreated, MetaDurable, MetaRenamed, MetaSynced, MetaWritten};
        let meta = [MetaCreated, MetaWritten, MetaSynced, MetaRenamed, MetaDurable];
        matches!(self, Self::Log(place) if meta.contains(&place))
    }

    /// Whether it takes a sync that fails.
    #[must_use]
    pub fn is_of_a_failed_sync(self) -> bool {
        matches!(self, Self::Log(Place::Rewound | Place::Continued))
    }

    /// Whether every append or frame comes by.
    #[must_use]
    pub fn is_busy(self) -> bool {
        use Place::{Draining, Encoded, EpochRead, Pinned, Published};
        matches!(self, Self::Log(Pinned | EpochRead | Encoded | Published | Draining))
            || self == Self::Reading(Step::EntryReplayed)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Log(place) => format!("{place:?}"),
            Self::Reading(step) => format!("{step:?}"),
        };
        for (index, letter) in name.char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// Where an engine is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KillAt {
    /// The place.
    pub point: Point,
    /// Which visit of it, from 1.
    pub visit: u64,
}

impl fmt::Display for KillAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point, self.visit)
    }
}

impl KillAt {
    fn parse(text: &str) -> Option<Self> {
        let (name, visit) = text.split_once(':')?;
        let visit = visit.parse().ok().filter(|visit| *visit > 0)?;
        Some(Self { point: Point::parse(name)?, visit })
    }

    /// What the environment says. `None` if it says nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
        Self::parse(&text).map(Some).ok_or_else(|| format!("{VARIABLE}={text}: give NAME:VISIT"))
    }
}

/// Called at a step of reading.
pub(super) fn at(step: Step) {
    armed::reached(Point::Reading(step));
}

pub(super) use armed::{ARE_BUILT_IN, arm};

#[cfg(feature = "kill-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::engine::tell;
    use super::super::lines::Line;
    use super::{KillAt, Point};

    /// Whether this program has the places.
    pub(crate) const ARE_BUILT_IN: bool = true;

    static TARGET: OnceLock<(Point, AtomicU64)> = OnceLock::new();

    /// From now on, this process dies at `kill_at`.
    pub(crate) fn arm(kill_at: KillAt) -> Result<(), String> {
        TARGET.set((kill_at.point, AtomicU64::new(kill_at.visit))).map_err(|_| "armed twice".to_owned())?;
        wal_writer::stall::install(|place| reached(Point::Log(place)));
        Ok(())
    }

    pub(super) fn reached(point: Point) {
        let Some((target, visits_left)) = TARGET.get() else { return };
        // Beyond the last visit it wraps around, and the process is gone.
        if *target == point && visits_left.fetch_sub(1, Relaxed) == 1 {
            tell(Line::At(point));
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(not(feature = "kill-points"))]
mod armed {
    use super::{KillAt, Point};

    /// Whether this program has the places.
    pub(crate) const ARE_BUILT_IN: bool = false;

    pub(crate) fn arm(kill_at: KillAt) -> Result<(), String> {
        Err(format!("{kill_at}: this program was built without the feature kill-points"))
    }

    pub(super) fn reached(_: Point) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_point_has_a_name_of_its_own_that_leads_back_to_it() {
        let names: BTreeSet<String> = Point::all().map(|point| point.to_string()).collect();
        assert_eq!(names.len(), Point::all().count());
        assert!(Point::all().all(|point| Point::parse(&point.to_string()) == Some(point)));
        assert_eq!(Point::Log(Place::ManifestRenamed).to_string(), "manifest-renamed");
    }

    #[test]
    fn the_document_says_how_many_points_there_are() {
        let document = include_str!("../../../docs/testing.md");
        let count = format!("at each of {} named points", Point::all().count());
        assert!(document.contains(&count), "docs/testing.md does not say \"{count}\"");
    }

    #[test]
    fn a_point_and_a_visit_are_read_and_nonsense_is_not() {
        let kill_at = KillAt { point: Point::Reading(Step::FileSynced), visit: 7 };
        assert_eq!(KillAt::parse(&kill_at.to_string()), Some(kill_at));
        for wrong in ["", "file-synced", "file-synced:0", "file-synced:x", "nowhere:1"] {
            assert_eq!(KillAt::parse(wrong), None, "{wrong}");
        }
    }
}
