//! A frame is a frame only where it was written: what earlier lives of a file, misdirected writes and other logs
//! leave behind is told apart from it, and from each other as far as it matters.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/golden.rs"]
mod golden;
#[path = "common/subjects.rs"]
mod subjects;

use subjects::{FRAME_OFFSET, frame, seed};
use wal_format::{CoreId, Damage, Found, LogId, SegmentNumber, SegmentSeed};

/// A frame of [`seed`] at [`FRAME_OFFSET`], read as if it stood at `offset` of the file of `place`.
#[track_caller]
fn check(place: SegmentSeed, offset: u64, expected: &str) {
    let bytes = frame(&[5, 0], 1);
    let found = match Found::at(&place, offset, &bytes).unwrap() {
        Found::Header(header) => {
            header.check_payload(&place, offset, &bytes[64..]).unwrap();
            "header".to_owned()
        }
        Found::Nothing => "nothing".to_owned(),
        Found::Stale(segment) => format!("stale from segment {segment}"),
        Found::Damaged(Damage::HeaderChecksum { .. }) => "damaged".to_owned(),
        Found::Damaged(other) => format!("{other:?}"),
    };
    assert_eq!(found, expected, "at {offset} of {place:?}");
}

#[test]
fn a_frame_is_itself_where_it_was_written() {
    check(seed(), FRAME_OFFSET, "header");
}

#[test]
fn a_frame_of_an_earlier_life_of_the_file_is_stale() {
    check(seed().of(CoreId(3), SegmentNumber(10)), FRAME_OFFSET, "stale from segment 9");
    check(seed().of(CoreId(3), SegmentNumber(u64::MAX)), FRAME_OFFSET, "stale from segment 9");
    check(seed().of(CoreId(4), SegmentNumber(9)), FRAME_OFFSET, "stale from segment 9");
    check(seed().of(CoreId(4), SegmentNumber(12)), FRAME_OFFSET, "stale from segment 9");
}

#[test]
fn a_misdirected_frame_is_damage() {
    for offset in [0, FRAME_OFFSET - 8, FRAME_OFFSET + 8, FRAME_OFFSET + (1 << 32), FRAME_OFFSET << 32] {
        check(seed(), offset, "damaged");
        check(seed().of(CoreId(3), SegmentNumber(10)), offset, "damaged");
    }
}

#[test]
fn a_frame_of_another_log_is_damage() {
    for byte in 0..16 {
        let mut log_id = seed().log_id().0;
        log_id[byte] ^= 1;
        check(SegmentSeed::new(LogId(log_id), CoreId(3), SegmentNumber(9)), FRAME_OFFSET, "damaged");
        check(SegmentSeed::new(LogId(log_id), CoreId(3), SegmentNumber(10)), FRAME_OFFSET, "damaged");
    }
}

#[test]
fn an_earlier_life_does_not_excuse_damage() {
    let later = seed().of(CoreId(3), SegmentNumber(10));
    for bit in 0..64 * 8 {
        let mut bytes = frame(&[5, 0], 1);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = Found::at(&later, FRAME_OFFSET, &bytes);
        assert!(matches!(found, Ok(Found::Damaged(_))), "bit {bit}: {found:?}");
    }
}

#[test]
fn a_frame_that_names_this_file_but_is_sealed_for_another_is_damage() {
    // Header bytes of segment 10 under the CRC of segment 9: whole under neither story.
    let later = seed().of(CoreId(3), SegmentNumber(10));
    let mut bytes = frame(&[5, 0], 1);
    bytes[40] = 10;
    let crc = seed().crc_at(FRAME_OFFSET, &bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    for place in [seed(), later] {
        let found = Found::at(&place, FRAME_OFFSET, &bytes);
        assert!(matches!(found, Ok(Found::Damaged(_))), "{place:?}: {found:?}");
    }
}

#[test]
fn a_whole_header_over_the_payload_of_another_place_is_damage() {
    // A torn write over a recycled file: the new header arrived, the payload is the same bytes of an earlier life,
    // whose CRC would hold if it were not seeded.
    let bytes = frame(&[5, 0], 1);
    let Ok(Found::Header(mut header)) = Found::at(&seed(), FRAME_OFFSET, &bytes) else { panic!() };
    header.payload_crc = seed().of(CoreId(3), SegmentNumber(8)).crc_at(FRAME_OFFSET, &bytes[64..]);
    let checked = header.check_payload(&seed(), FRAME_OFFSET, &bytes[64..]);
    assert!(matches!(checked, Err(Damage::PayloadChecksum { .. })), "{checked:?}");
}

#[test]
fn zeros_and_the_end_of_the_file_are_nothing() {
    for length in [0, 1, 8, 63, 64, 65, 4096] {
        assert_eq!(Found::at(&seed(), FRAME_OFFSET, &vec![0; length]), Ok(Found::Nothing), "{length} zeros");
    }
    let mut later = vec![0; 128];
    later[64] = 1;
    assert_eq!(
        Found::at(&seed(), FRAME_OFFSET, &later),
        Ok(Found::Nothing),
        "zeros as far as a header reaches"
    );
}
