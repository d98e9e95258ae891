//! Which call goes wrong, and how.

use std::io;

/// A call through one of the two seams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// `Storage::create`.
    Create,
    /// `Storage::open`.
    Open,
    /// `Storage::rename`.
    Rename,
    /// `Storage::remove`.
    Remove,
    /// `Storage::sync_directory`.
    SyncDirectory,
    /// `StorageFile::write_at`.
    Write,
    /// `StorageFile::allocate`.
    Allocate,
    /// `sync_data` of a file that is being written.
    Sync,
    /// `Source::names`.
    List,
    /// `Source::open`.
    OpenToRead,
    /// `SourceFile::len`.
    Length,
    /// `SourceFile::read_at`.
    Read,
    /// `sync` of a file that is being read.
    SyncInherited,
    /// `SourceFile::drop_cache`.
    DropCache,
}

impl CallKind {
    /// Calls that change names.
    pub const NAMES: &[Self] = &[Self::Create, Self::Rename, Self::Remove, Self::SyncDirectory];
    /// Calls that may need space.
    pub const SPACE: &[Self] = &[Self::Create, Self::Allocate, Self::Write];
    /// Calls of the read side.
    pub const READING: &[Self] =
        &[Self::List, Self::OpenToRead, Self::Length, Self::Read, Self::SyncInherited, Self::DropCache];
}

/// How much of a read or write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One byte.
    One,
    /// Half of it, at least one byte.
    Half,
    /// All but one byte, at least one.
    AllButOne,
}

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails. Of a write, a part may be in the cache all the same; of what a failed sync was to cover, a part may be
    /// on the medium, and the rest never will.
    Error(io::ErrorKind),
    /// A read or write does only a part; any other call is as usual.
    Short(Part),
    /// A write says that it is done, shows in the cache, and never reaches the medium; any other call is as usual.
    Lost,
}

/// Makes the `after`-th matching call from now on go wrong (0: the next one).
#[derive(Clone, Debug)]
pub struct Fault {
    /// Of these kinds; empty for any.
    pub kinds: &'static [CallKind],
    /// How many matching calls are as usual before.
    pub after: u64,
    /// What happens.
    pub effect: Effect,
    /// Also to all matching calls behind it.
    pub for_good: bool,
}

impl Fault {
    /// Fails the `after`-th call of any kind with an I/O error.
    #[must_use]
    pub fn eio(after: u64, for_good: bool) -> Self {
        Self { kinds: &[], after, effect: Effect::Error(io::ErrorKind::Other), for_good }
    }
}

impl Part {
    pub(crate) fn of(self, bytes: usize) -> usize {
        let part = match self {
            Self::One => 1,
            Self::Half => bytes / 2,
            Self::AllButOne => bytes.saturating_sub(1),
        };
        part.max(1).min(bytes)
    }
}

/// The effect on the call of `kind` that begins, if there is one.
pub(crate) fn next_effect(faults: &mut Vec<Fault>, kind: CallKind) -> Option<Effect> {
    let mut effect = None;
    faults.retain_mut(|fault| {
        if !fault.kinds.is_empty() && !fault.kinds.contains(&kind) {
            return true;
        }
        if fault.after > 0 {
            fault.after -= 1;
            return true;
        }
        effect = effect.or(Some(fault.effect));
        fault.for_good
    });
    effect
}
