//! Whether an engine has the log open, without being in its way.
//!
//! An engine holds the file `LOCK` exclusively for as long as anything of it could write. Asking for a shared lock
//! answers the question; it is given back at once, so that an engine can start while somebody looks. One that starts in
//! that very moment is told that the log is in use, and finds it free when it tries again. Only `wal salvage` keeps the
//! shared lock, for as long as it copies.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use wal_format::names;

use super::failure::Failure;

/// Whether somebody writes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// `LOCK` is held.
    Running,
    /// `LOCK` is free, or was never made.
    Stopped,
    /// `LOCK` cannot be opened by this user.
    Unknown,
}

/// A shared lock: no engine can open the log while it lives.
pub(super) struct Held {
    _file: Option<File>,
}

impl Engine {
    /// Asks, and gives the lock back at once.
    pub(super) fn of(directory: &Path) -> Result<Self, Failure> {
        Ok(match hold(directory)? {
            Asked::Free(_) => Self::Stopped,
            Asked::Taken => Self::Running,
            Asked::Refused => Self::Unknown,
        })
    }

    /// Whether files may change while they are read.
    pub(super) fn may_write(self) -> bool {
        self != Self::Stopped
    }

    /// For people.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Running => "running (LOCK is held); nothing was locked, the tails are still being written",
            Self::Stopped => "not running (LOCK is free); a shared lock was held for a moment to ask",
            Self::Unknown => "unknown (LOCK cannot be opened); nothing was locked",
        }
    }

    /// For machines.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

impl Held {
    /// Keeps engines out until it is dropped; `None` if one is running.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, Failure> {
        match hold(directory)? {
            Asked::Free(file) => Ok(Some(Self { _file: file })),
            Asked::Taken => Ok(None),
            Asked::Refused => {
                let path = directory.join(names::LOCK);
                Err(Failure::file("lock", &path, io::ErrorKind::PermissionDenied.into()))
            }
        }
    }
}

enum Asked {
    /// Held from here on, if there is a file to hold.
    Free(Option<File>),
    Taken,
    Refused,
}

fn hold(directory: &Path) -> Result<Asked, Failure> {
    let path = directory.join(names::LOCK);
    // Opening a pipe would wait for whoever writes into it.
    if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(Asked::Refused);
    }
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Asked::Free(None)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Asked::Refused),
        Err(error) => return Err(Failure::file("open", &path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Asked::Free(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(Asked::Taken),
        Err(TryLockError::Error(error)) => Err(Failure::file("lock", &path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_that_is_known_to_be_at_rest_is_taken_for_one() {
        let may_write = [Engine::Running, Engine::Unknown, Engine::Stopped].map(Engine::may_write);
        assert_eq!(may_write, [true, true, false]);
    }

    #[test]
    fn what_cannot_be_asked_is_an_error() {
        let place = tempfile::tempdir().expect("there is room");
        let of = |path: &Path| Engine::of(path).map_err(|error| error.to_string());
        assert_eq!(of(place.path()), Ok(Engine::Stopped));
        // A directory that is a file: its LOCK is neither missing nor refused.
        let file = place.path().join("file");
        std::fs::write(&file, b"").expect("there is room");
        assert!(of(&file).is_err_and(|said| said.contains("LOCK")));
    }

    #[test]
    fn a_lock_that_this_user_may_not_open_says_nothing() {
        use std::os::unix::fs::PermissionsExt;

        let place = tempfile::tempdir().expect("there is room");
        let lock = place.path().join(names::LOCK);
        std::fs::write(&lock, b"").expect("there is room");
        std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o000)).expect("it is ours");
        if File::open(&lock).is_ok() {
            eprintln!("NOT TESTED: this user may open everything");
            return;
        }
        assert_eq!(Engine::of(place.path()).ok(), Some(Engine::Unknown));
        assert!(Held::of(place.path()).is_err());
    }
}
