//! The copy of the workspace that the bugs are put into.
//!
//! Promises: a file is written only if its content differs, so that what is built of the copy stays good from run to
//! run; a bug that an interrupted run left behind is gone after the next [`Workspace::refresh`].

use std::io;
use std::path::{Path, PathBuf};

use super::Bug;
use crate::failure::Failure;
use crate::process;

/// Folders that the copy does without, wherever they are.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// The copy.
pub(super) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Makes the copy what the workspace is now.
    pub(super) fn refresh() -> Result<Self, Failure> {
        let base = process::target_dir().join("bugs");
        let workspace = Self { root: base.join("workspace"), target: base.join("target") };
        let from = process::root();
        mirror(&from, &workspace.root, &LEFT_OUT).map_err(|error| {
            Failure::failed(format!("cannot copy the workspace to {}: {error}", workspace.root.display()))
        })?;
        Ok(workspace)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the bug in; returns the text of the file before, for [`Self::take_out`]. The workspace itself may have
    /// changed meanwhile, and only a copy that is of one moment can be trusted.
    pub(super) fn put_in(&self, bug: &Bug) -> Result<String, Failure> {
        let path = self.root.join(bug.file);
        let failed = |what: String| Failure::failed(format!("bug `{}`: {what}", bug.name));
        let text =
            std::fs::read_to_string(&path).map_err(|error| failed(format!("{}: {error}", bug.file)))?;
        let count = text.matches(bug.old).count();
        if count != 1 {
            return Err(failed(format!("its old text occurs {count} times in {}", bug.file)));
        }
        std::fs::write(&path, text.replacen(bug.old, bug.new, 1))
            .map_err(|error| failed(error.to_string()))?;
        Ok(text)
    }

    /// The file becomes what it was.
    pub(super) fn take_out(&self, bug: &Bug, text: &str) -> Result<(), Failure> {
        let restored = std::fs::write(self.root.join(bug.file), text);
        restored.map_err(|error| Failure::failed(format!("cannot restore {}: {error}", bug.file)))
    }
}

/// Makes `to` a copy of `from`, without what is `left_out`.
fn mirror(from: &Path, to: &Path, left_out: &[&str]) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if left_out.iter().any(|out| name == **out) {
            continue;
        }
        let (source, copy) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            mirror(&source, &copy, left_out)?;
        } else {
            copy_if_different(&source, &copy)?;
        }
    }
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if from.join(entry.file_name()).exists() && !left_out.iter().any(|out| entry.file_name() == **out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn copy_if_different(from: &Path, to: &Path) -> io::Result<()> {
    let bytes = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    std::fs::write(to, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_follows_its_original_and_keeps_what_is_the_same() {
        let base = process::target_dir().join(format!("mirror-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        let done = (|| {
            std::fs::create_dir_all(from.join("a"))?;
            std::fs::create_dir_all(from.join("target"))?;
            std::fs::write(from.join("a/kept"), "kept")?;
            std::fs::write(from.join("a/changed"), "1")?;
            std::fs::write(from.join("target/out"), "")?;
            mirror(&from, &to, &["target"])?;
            let kept_at = std::fs::metadata(to.join("a/kept"))?.modified()?;
            std::fs::write(from.join("a/changed"), "2")?;
            std::fs::write(to.join("a/left over"), "")?;
            mirror(&from, &to, &["target"])?;
            assert_eq!(std::fs::read(to.join("a/changed"))?, b"2");
            assert_eq!(std::fs::metadata(to.join("a/kept"))?.modified()?, kept_at);
            assert!(!to.join("a/left over").exists() && !to.join("target").exists());
            std::fs::remove_dir_all(&base)
        })();
        assert!(done.is_ok(), "{done:?}");
    }
}
