//! The directory: names as processes see them, names that are certainly on the medium, changes on their way.
//!
//! Each change is atomic by itself, and any subset of those that no sync of the directory covers may survive. A sync
//! that fails settles nothing and loses nothing: file systems that cannot write their journal stop altogether, so that
//! there is no later success to be believed.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A file, whatever its name is.
pub(crate) type FileId = usize;

/// Files by name.
pub(crate) type Names = BTreeMap<Arc<str>, FileId>;

#[derive(Clone, Default)]
pub(crate) struct Directory {
    pub(crate) cache: Names,
    pub(crate) medium: Names,
    pub(crate) pending: Vec<(u64, NameChange)>,
}

/// One call that changes names.
#[derive(Clone, Debug)]
pub(crate) enum NameChange {
    Create(Arc<str>, FileId),
    Rename(Arc<str>, Arc<str>, FileId),
    Remove(Arc<str>),
}

impl Directory {
    /// A directory that is on the medium.
    pub(crate) fn settled(names: Names) -> Self {
        Self { cache: names.clone(), medium: names, pending: Vec::new() }
    }

    pub(crate) fn change(&mut self, call: u64, change: NameChange) {
        change.apply(&mut self.cache);
        self.pending.push((call, change));
    }

    /// A sync that began with call `before` succeeded.
    pub(crate) fn settle(&mut self, before: u64) {
        let medium = &mut self.medium;
        self.pending.retain(|(call, change)| {
            let is_covered = *call < before;
            if is_covered {
                change.apply(medium);
            }
            !is_covered
        });
    }

    /// The names after a power loss that spares those changes that `survives` says.
    pub(crate) fn surviving(&self, mut survives: impl FnMut(usize) -> bool) -> Names {
        let mut names = self.medium.clone();
        for (index, (_, change)) in self.pending.iter().enumerate() {
            if survives(index) {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    /// The file that it gives a name.
    pub(crate) fn file(&self) -> Option<FileId> {
        match self {
            Self::Create(_, file) | Self::Rename(_, _, file) => Some(*file),
            Self::Remove(_) => None,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, file) => drop(names.insert(Arc::clone(name), *file)),
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(Arc::clone(to), *file);
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}
