//! Names every ordering that a protocol of this crate rests on. Production code says which one it needs
//! (`Edge::Ask.order()`, a constant once compiled); a loom model can take one away and must then fail.

use std::sync::atomic::Ordering;

macro_rules! edges {
    ($($(#[$doc:meta])* $name:ident: $strength:ident,)*) => {
        /// One ordering of one protocol; the file that uses it argues what it pairs with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Edge { $($(#[$doc])* $name,)* }

        impl Edge {
            /// All of them, for the test that each has a model that needs it.
            #[cfg(all(test, loom))]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            #[inline(always)]
            const fn strength(self) -> Ordering {
                match self { $(Self::$name => Ordering::$strength,)* }
            }
        }
    };
}

edges! {
    /// `woken.rs`: somebody asks for a look.
    Ask: Release,
    /// `woken.rs`: the flusher takes note, and looks.
    Answer: Acquire,
}

impl Edge {
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) const fn order(self) -> Ordering {
        self.strength()
    }

    #[cfg(loom)]
    pub(crate) fn order(self) -> Ordering {
        if weakened::is(self) { Ordering::Relaxed } else { self.strength() }
    }
}

/// The edge that the model on this thread does without. loom runs all threads of a model on the thread that called it.
#[cfg(loom)]
pub(crate) mod weakened {
    use super::Edge;
    use std::cell::Cell;

    thread_local! {
        static EDGE: Cell<Option<Edge>> = const { Cell::new(None) };
    }

    pub(super) fn is(edge: Edge) -> bool {
        EDGE.get() == Some(edge)
    }

    #[cfg(test)]
    pub(crate) fn set(edge: Option<Edge>) {
        EDGE.set(edge);
    }
}
