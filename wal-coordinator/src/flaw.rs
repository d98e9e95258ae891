//! Flaws: deliberate mistakes that a loom model plants in a protocol, to show that it would see them.
//!
//! Production code asks [`Flaw::is_planted`] at the place where the mistake would be made: a constant `false` that the
//! compiler removes, except in a build for loom. Each flaw here has a model that fails with it
//! (`loom_models/teeth.rs`); as in wal-writer.

/// Lists the flaws once: the enum, and [`Flaw::ALL`].
macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One mistake that this crate does not make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flaw { $($(#[$doc])* $name,)* }

        impl Flaw {
            /// All of them, for the test that each has a model that sees it.
            #[cfg(all(test, loom))]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

flaws! {
    /// `woken.rs`: the flusher takes note of a request after it has looked.
    LooksFirst,
    /// `shared.rs`: the seal is asked for when the next epoch has begun.
    AsksForSealLate,
    /// `shared.rs`: a closed epoch is counted when others may have closed the next.
    CountsUnlocked,
    /// `shared.rs`: a core's end of an epoch counts before it is synced.
    CountsUnsynced,
    /// `shared.rs`: who waits without flushers looks for a failure while somebody is still at it.
    LooksOutOfTurn,
    /// `shared.rs`: a checkpoint ends an epoch while somebody without flushers looks for its failure.
    SealsOutOfTurn,
    /// `shared.rs`: closing does not reach those who wait for an epoch.
    ClosesSilently,
    /// `checkpoint.rs`: segments go before the manifest is durable that does without them.
    ReleasesEarly,
    /// `retention.rs`: segments go while somebody reads them.
    ForgetsReaders,
}

impl Flaw {
    /// Whether the model that runs wants this mistake made.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) const fn is_planted(self) -> bool {
        let _ = self;
        false
    }

    /// Whether the model that runs wants this mistake made.
    #[cfg(loom)]
    pub(crate) fn is_planted(self) -> bool {
        planted::is(self)
    }

    /// `lock`, or nothing: it is left here.
    #[inline(always)]
    pub(crate) fn leaves<T>(self, lock: T) -> Option<T> {
        if self.is_planted() { None } else { Some(lock) }
    }
}

/// The flaw of the model on this thread. loom runs all threads of a model on the thread that called it.
#[cfg(loom)]
pub(crate) mod planted {
    use super::Flaw;
    use std::cell::Cell;

    thread_local! {
        static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
    }

    pub(super) fn is(flaw: Flaw) -> bool {
        FLAW.get() == Some(flaw)
    }

    #[cfg(test)]
    pub(crate) fn set(flaw: Option<Flaw>) {
        FLAW.set(flaw);
    }
}
