//! What a user can do about a call that the file system refused.
//!
//! Words for messages, and nothing that a program should decide by: that is what the errors' kinds are for.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

/// What to see to before the call is made again, as the middle of a sentence: "free some space".
#[must_use]
pub fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
        ErrorKind::FileTooLarge => "raise the limit on the size of files (RLIMIT_FSIZE, `ulimit -f`)",
        ErrorKind::PermissionDenied => "give this process the permission",
        ErrorKind::ReadOnlyFilesystem => "make the file system writable",
        ErrorKind::NotFound => "put back what is missing",
        _ => match Errno::from_io_error(error) {
            // These have no kind of their own.
            Some(Errno::MFILE) => "raise the limit on open files (RLIMIT_NOFILE, `ulimit -n`)",
            Some(Errno::NFILE) => "raise the system's limit on open files (`fs.file-max`)",
            Some(Errno::IO) => "look at the medium",
            _ => "remove the cause",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(errno: Errno, expected: &str) {
        let told = remedy(&Error::from(errno));
        assert!(told.contains(expected), "{errno}: {told}");
    }

    #[test]
    fn limits_are_told_by_the_names_that_raise_them() {
        check(Errno::MFILE, "RLIMIT_NOFILE");
        check(Errno::NFILE, "fs.file-max");
        check(Errno::FBIG, "RLIMIT_FSIZE");
    }

    #[test]
    fn full_disks_and_full_quotas_need_space() {
        check(Errno::NOSPC, "free some space");
        check(Errno::DQUOT, "free some space");
    }

    #[test]
    fn every_refusal_has_a_remedy() {
        check(Errno::ROFS, "writable");
        check(Errno::ACCESS, "permission");
        check(Errno::IO, "medium");
        check(Errno::NOENT, "put back");
        check(Errno::LOOP, "remove the cause");
    }
}
