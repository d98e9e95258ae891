//! Mistakes that loom models make on purpose, to show that they would see them: an ordering taken away (`edges!`), a
//! step of a protocol put wrong (`flaws!`).
//!
//! Production code says which ordering it needs (`Edge::TailPublish.order()`), and asks at the place where a step could
//! be put wrong (`Flaw::IgnoresPin.is_planted()`): constants that the compiler removes, except in a build for loom.
//! Every mistake has a model that fails with it (`loom_models/teeth.rs`). The macros serve wal-coordinator as well; they
//! are an interface for nobody else.

/// Lists mistakes once: the enum, `ALL` of them, and whether the model that runs makes one.
#[doc(hidden)]
#[macro_export]
macro_rules! mistakes {
    ($(#[$enum_doc:meta])* $enum:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $enum { $($(#[$doc])* $name,)* }

        impl $enum {
            /// All of them, for the test that each has a model that sees it.
            #[cfg(all(test, loom))]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// Whether the model that runs makes this mistake.
            #[cfg(not(loom))]
            #[inline(always)]
            pub(crate) const fn is_planted(self) -> bool {
                let _ = self;
                false
            }

            /// Whether the model that runs makes this mistake.
            #[cfg(loom)]
            pub(crate) fn is_planted(self) -> bool {
                $crate::mistake::is_planted(self.id())
            }

            #[cfg(loom)]
            pub(crate) const fn id(self) -> $crate::mistake::Id {
                match self { $(Self::$name => (module_path!(), stringify!($name)),)* }
            }
        }
    };
}

/// Names every ordering and fence that a protocol of the crate rests on.
#[doc(hidden)]
#[macro_export]
macro_rules! edges {
    ($($(#[$doc:meta])* $name:ident: $strength:ident,)*) => {
        $crate::mistakes! {
            /// One ordering of one protocol; the file that uses it argues what it pairs with. The mistake is to do without.
            Edge { $($(#[$doc])* $name,)* }
        }

        impl Edge {
            #[inline(always)]
            const fn strength(self) -> std::sync::atomic::Ordering {
                match self { $(Self::$name => std::sync::atomic::Ordering::$strength,)* }
            }

            #[cfg(not(loom))]
            #[inline(always)]
            pub(crate) const fn order(self) -> std::sync::atomic::Ordering {
                self.strength()
            }

            #[cfg(loom)]
            pub(crate) fn order(self) -> std::sync::atomic::Ordering {
                if self.is_planted() { std::sync::atomic::Ordering::Relaxed } else { self.strength() }
            }
        }
    };
}

/// Names every step of a protocol of the crate that could be put wrong.
#[doc(hidden)]
#[macro_export]
macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $crate::mistakes! {
            /// One mistake that this crate does not make.
            Flaw { $($(#[$doc])* $name,)* }
        }

        impl Flaw {
            /// `lock`, or nothing: it is left here.
            #[inline(always)]
            pub(crate) fn leaves<T>(self, lock: T) -> Option<T> {
                if self.is_planted() { None } else { Some(lock) }
            }
        }
    };
}

#[cfg(loom)]
mod planted {
    use std::cell::Cell;

    /// Which mistake: the module that lists it, and its name.
    pub type Id = (&'static str, &'static str);

    thread_local! {
        /// Of the model on this thread. loom runs all threads of a model on the thread that called it.
        static MISTAKE: Cell<Option<Id>> = const { Cell::new(None) };
    }

    /// Whether the model on this thread makes this mistake.
    pub fn is_planted(mistake: Id) -> bool {
        MISTAKE.get() == Some(mistake)
    }

    /// Lets the models on this thread make this mistake, or none.
    #[cfg(feature = "testing")]
    pub(crate) fn plant(mistake: Option<Id>) {
        MISTAKE.set(mistake);
    }
}

#[cfg(all(loom, feature = "testing"))]
pub(crate) use planted::plant;
#[cfg(loom)]
pub use planted::{Id, is_planted};
