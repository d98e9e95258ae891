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
