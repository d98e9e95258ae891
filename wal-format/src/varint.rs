//! LEB128 varints of 64 bits, shortest form only (`FORMAT.md#entry`).

use crate::limits::VARINT_BYTES_MAX;

/// Bytes that `value` takes as a varint, 1 to 10.
#[must_use]
pub const fn varint_bytes(value: u64) -> usize {
    // 7 bits a byte; `| 1` gives zero its one byte.
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// Maps signed to unsigned so that small magnitudes stay short.
#[must_use]
pub const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// Inverse of [`zigzag`].
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// Writes `value` at `at` and returns the position behind it.
///
/// # Panics
/// If `out` is too short: callers size their buffers with [`varint_bytes`] first.
#[inline]
pub fn write_varint(out: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        out[at] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = (value & 0x7f) as u8;
    at + 1
}

/// Splits one varint off the front of `bytes`; `None` if it is cut off, too long, or not in shortest form.
#[inline]
#[must_use]
pub fn split_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((u64::from(first), rest));
    }
    split_long_varint(bytes)
}

#[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
fn split_long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes.first_chunk() {
        Some(word) => split_varint_of_word(u64::from_le_bytes(*word), bytes),
        None => None,
    }
    .or_else(|| split_varint_by_bytes(bytes))
}

/// A varint of at most eight bytes, all of which are in `word`: their low seven bits are moved together, first in pairs,
/// then pairs of pairs.
#[inline]
#[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
fn split_varint_of_word(word: u64, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None; // longer than eight
    }
    let last_bit = ends.trailing_zeros();
    let sevens = word & (u64::MAX >> (63_u32.checked_sub(last_bit)?)) & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    let length = last_bit.checked_add(1)? / 8;
    let is_shortest = varint_bytes(value) == length as usize;
    is_shortest.then_some((value, bytes.get(length as usize..)?))
}

#[deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]
fn split_varint_by_bytes(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let shift = u32::try_from(index).ok()?.checked_mul(7)?;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits.checked_shl(shift)?;
        if shifted.checked_shr(shift)? != bits {
            return None; // more than 64 bits
        }
        value |= shifted;
        if byte < 0x80 {
            let shortest = byte != 0 || index == 0;
            return shortest.then_some((value, bytes.get(index.checked_add(1)?..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_at_every_width() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit).wrapping_sub(1), 1 << bit]);
        for value in edges.chain([u64::MAX]) {
            let mut out = [0; VARINT_BYTES_MAX];
            let length = write_varint(&mut out, 0, value);
            assert_eq!(length, varint_bytes(value), "{value}");
            assert_eq!(split_varint(&out[..length]), Some((value, &[][..])), "{value}");
            for cut in 0..length {
                assert_eq!(split_varint(&out[..cut]), None, "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_word_and_single_bytes_say_the_same() {
        // Every pattern of continuation bits over ten bytes, with payload bits at their extremes and between.
        for continued in 0..1_u32 << 10 {
            for bits in [0, 1, 0x40, 0x55, 0x7f] {
                let bytes: Vec<_> =
                    (0..10).map(|at| bits | if continued >> at & 1 == 1 { 0x80 } else { 0 }).collect();
                for length in 0..=10 {
                    assert_eq!(split_varint(&bytes[..length]), split_varint_by_bytes(&bytes[..length]));
                }
            }
        }
    }

    #[test]
    fn a_word_takes_every_varint_that_it_holds_whole() {
        // One bit at a time and all below it: whatever is moved to a wrong place or lost shows.
        for bit in 0..56 {
            for value in [1 << bit, (1 << bit) - 1, (0x0055_aa55_aa55_aa55 >> (55 - bit)) | 1 << bit] {
                let mut bytes = [0xff; VARINT_BYTES_MAX];
                let length = write_varint(&mut bytes, 0, value);
                let word = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                assert_eq!(split_varint_of_word(word, &bytes), Some((value, &bytes[length..])), "{value:#x}");
            }
        }
    }

    #[test]
    fn longer_forms_and_overflow_are_refused() {
        assert_eq!(split_varint(&[0x80, 0]), None);
        assert_eq!(split_varint(&[0xff, 0x80, 0]), None);
        assert_eq!(split_varint(&[0xff; 10]), None);
        assert_eq!(split_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(split_varint(&[0x80; 11]), None);
    }

    #[test]
    fn zigzag_is_a_bijection_with_small_images() {
        for value in [0, 1, -1, 2, -2, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(-1), 1);
    }
}
