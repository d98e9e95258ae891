//! The entries of all measurements: a key of 16 bytes and a value of 100, as of a small row or an event.

/// Of every key.
pub const KEY_BYTES: usize = 16;
/// Of every value, unless a measurement says otherwise.
pub const VALUE_BYTES: usize = 100;

/// The key with this number: all differ, and they are in no order.
#[must_use]
pub fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&crate::random::mix(number).to_le_bytes());
    key
}

/// The key with this number, cheaply: numbers in a row are neighbours.
#[must_use]
#[inline]
pub fn key_in_order(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'k'; KEY_BYTES];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_differ() {
        for key in [key, key_in_order] {
            assert_eq!((0..10_000).map(key).collect::<BTreeSet<_>>().len(), 10_000);
        }
    }
}
