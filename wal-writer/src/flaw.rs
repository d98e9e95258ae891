//! Flaws: deliberate mistakes that a loom model plants in a protocol, to show that it would see them.
//!
//! Production code asks [`Flaw::is_planted`] at the place where the mistake would be made: a constant `false` that the
//! compiler removes, except in a build for loom. A [`crate::sync::Edge`] does the same for single orderings. Each flaw
//! here has a model that fails with it (`loom_models/teeth.rs`).

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
    /// `log.rs`: a sync is acknowledged when it begins.
    AcknowledgesBegunSync,
    /// `log.rs`: two syncs of one core at a time.
    LeavesGate,
    /// `log.rs`: the writer's overdraft is forgiven after the drain's lock is left.
    ForgivesUnlocked,
    /// `log.rs`: a drain that overdraws what was granted tells nobody.
    OverdrawsSilently,
    /// `log.rs`: the flusher is woken before it could know what for.
    WakesBeforeWanted,
    /// `log.rs`: closing does not reach those who wait.
    ClosesSilently,
    /// `drain/mod.rs`: ring bytes are given back when they are written, although they must stay until durable.
    ReleasesWritten,
    /// `drain/mod.rs`: a failed write is forgotten by the next.
    ForgetsDoubt,
    /// `drain/mod.rs`: the seal is left to the coordinator, whoever drains the next epoch before it.
    IgnoresSealRequest,
    /// `drain/ticket.rs`: a finished sync covers what was written while it ran.
    CoversArrivals,
    /// `drain/ticket.rs`: a finished sync covers the whole of a file that was left while it ran.
    CoversRotation,
    /// `pin.rs`: closing does not wait for appends in flight.
    IgnoresPin,
    /// `progress.rs`: who waits looks at the number before it takes the lock, and not again.
    ChecksUnlocked,
    /// `supply.rs`: a file that was overtaken while it was made keeps its number.
    KeepsOvertakenNumber,
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
