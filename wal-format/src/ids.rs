//! Numbers that must not be confused, each as a type of its own.
//!
//! Every one is a plain public wrapper: it prevents mixing, it does not guard a range. Ranges are checked where
//! bytes are decoded ([`crate::limits`]).

use std::fmt;

/// Index of a core, 0-based; at most [`CORES_MAX`](crate::limits::CORES_MAX) of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// Number of an epoch. Epochs order the cores against each other and never restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Number of an entry within its core: gapless, from 0, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Number of a segment within its core, ascending, never reused for other content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// 128 random bits that tell one log from every other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

impl CoreId {
    /// The index as a `usize`, for indexing per-core tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Epoch {
    /// The epoch that follows. Saturates: 2^64 epochs do not happen.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl SegmentNumber {
    /// The segment that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Sequence {
    /// The sequence number `count` entries later.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

macro_rules! display_as_number {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_number!(CoreId, Epoch, Sequence, SegmentNumber);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_number_is_one_more_and_never_wraps() {
        assert_eq!((Epoch(6).next(), SegmentNumber(6).next()), (Epoch(7), SegmentNumber(7)));
        assert_eq!((Sequence(6).plus(3), Sequence(6).plus(0)), (Sequence(9), Sequence(6)));
        let last = u64::MAX;
        assert_eq!((Epoch(last).next(), SegmentNumber(last).next()), (Epoch(last), SegmentNumber(last)));
        assert_eq!(Sequence(last - 1).plus(2), Sequence(last));
        assert_eq!(CoreId(u16::MAX).index(), 65_535);
    }

    #[test]
    fn a_log_is_printed_as_32_hexadecimal_digits() {
        let log_id = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xfe, 0xff]);
        assert_eq!(log_id.to_string(), "000102030405060708090a0b0c0dfeff");
        assert_eq!(format!("{log_id:?}"), "LogId(000102030405060708090a0b0c0dfeff)");
    }
}
