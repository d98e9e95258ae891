//! Whatever bytes a decoder is given: no panic, no allocation that a length field asked for, and never a value other
//! than the one that was written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/allocation.rs"]
mod allocation;
#[path = "common/golden.rs"]
mod golden;
#[path = "common/random.rs"]
mod random;
#[path = "common/subjects.rs"]
mod subjects;

use std::cell::Cell;

use random::{Random, for_each_seed};
use subjects::Subject;
use wal_format::{CoreId, Found, HeaderBlock, LogId, SegmentNumber, SegmentSeed};

/// Three times the input: a source's name and offset take 12 bytes and more in a manifest, 32 and more in memory.
/// The rest is the encoder's share, and none of it depends on a length field.
fn allocation_bytes_max(input_bytes: usize) -> usize {
    3 * input_bytes + 4096
}

/// What must hold for every input: decoding is bounded, and what is accepted is what the encoder would have written.
#[track_caller]
fn check(subject: &Subject, bytes: &[u8]) -> bool {
    let mut accepted = false;
    let peak = allocation::peak_bytes(|| accepted = (subject.accepts)(bytes));
    assert!(
        peak <= allocation_bytes_max(bytes.len()),
        "{}: {peak} bytes allocated for {} bytes: {bytes:02x?}",
        subject.name,
        bytes.len()
    );
    let again = (subject.again)(bytes);
    assert_eq!(again.is_some(), accepted, "{}", subject.name);
    // A newer minor version may have put something where this one puts nothing.
    let is_extended =
        subject.minor_version.clone().is_some_and(|at| bytes.get(at).is_some_and(|minor| minor != [0, 0]));
    if let Some(again) = again
        && !is_extended
    {
        assert!(again == bytes, "{}: the encoder does not write {bytes:02x?}", subject.name);
    }
    accepted
}

#[test]
fn every_valid_encoding_is_accepted() {
    for subject in subjects::all() {
        assert!(check(&subject, &subject.valid), "{}", subject.name);
        if let Some(sign) = subject.sign {
            let mut signed = subject.valid.clone();
            sign(&mut signed);
            assert_eq!(
                signed, subject.valid,
                "{}: its checksums are where this test puts them",
                subject.name
            );
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for subject in subjects::all() {
        for length in 0..subject.valid.len() {
            let accepted = check(&subject, &subject.valid[..length]);
            // Entries end where the payload ends: a prefix of whole entries is a shorter list, and the frame's CRC
            // and entry count say that it is not the one that was written.
            assert!(!accepted || subject.is_open_list, "{} cut to {length} bytes", subject.name);
        }
    }
}

#[test]
fn a_flipped_bit_is_never_decoded_as_another_value() {
    for subject in subjects::all() {
        for bit in 0..subject.valid.len() * 8 {
            let mut flipped = subject.valid.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Without a checksum of its own a value may be another one, but it is exactly what the bytes say.
            let accepted = check(&subject, &flipped);
            assert!(!accepted || subject.sign.is_none(), "{} with bit {bit} flipped", subject.name);
        }
    }
}

#[test]
fn a_damaged_header_never_passes_for_empty_or_stale() {
    let segment = subjects::all().into_iter().find(|subject| subject.name == "segment header").unwrap();
    for bit in 0..segment.valid.len() * 8 {
        let mut flipped = segment.valid.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(HeaderBlock::decode(&flipped).is_err(), "segment header with bit {bit} flipped");
    }
    let frame = subjects::all().into_iter().find(|subject| subject.name == "frame").unwrap();
    for bit in 0..64 * 8 {
        let mut flipped = frame.valid.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let found = Found::at(&subjects::seed(), subjects::FRAME_OFFSET, &flipped);
        assert!(matches!(found, Ok(Found::Damaged(_))), "frame with bit {bit} flipped: {found:?}");
    }
    for length in 1..64 {
        let found = Found::at(&subjects::seed(), subjects::FRAME_OFFSET, &frame.valid[..length]);
        assert!(matches!(found, Ok(Found::Damaged(_))), "frame cut to {length} bytes: {found:?}");
    }
}

#[test]
fn a_count_beyond_the_bytes_allocates_nothing() {
    const HUGE: [u32; 6] = [u32::MAX, u32::MAX - 1, 1 << 31, 1 << 24, 65_536, 4097];
    for subject in subjects::all() {
        for at in 0..subject.valid.len().saturating_sub(4) {
            for count in HUGE {
                let mut bytes = subject.valid.clone();
                bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
                if let Some(sign) = subject.sign {
                    sign(&mut bytes);
                }
                check(&subject, &bytes);
            }
        }
    }
}

#[test]
fn the_greediest_manifest_stays_within_the_bound() {
    // Sources with names of no bytes: the most memory that a byte of a manifest can ask for.
    const SOURCES: u32 = 200_000;
    let manifest = subjects::all().into_iter().find(|subject| subject.name == "checkpoint manifest").unwrap();
    let mut bytes = manifest.valid[..48].to_vec();
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(SOURCES.to_le_bytes());
    bytes.resize(bytes.len() + SOURCES as usize * 12, 0);
    bytes.extend([0; 4 + 4 + 8 + 4]);
    manifest.sign.unwrap()(&mut bytes);
    check(&manifest, &bytes);
}

#[test]
fn random_bytes_never_panic_a_decoder() {
    let subjects = subjects::all();
    for_each_seed(60_000, |seed| {
        let mut random = Random::new(seed);
        let subject = &subjects[random.below(subjects.len())];
        let length = if random.one_in(50) { random.within(0..=9000) } else { random.within(0..=200) };
        let mut bytes = random.bytes(length);
        // Half of them get past the magic number and the checksum, to what stands behind.
        if let (true, Some(sign)) = (random.one_in(2), subject.sign) {
            let start = random.within(4..=16).min(length);
            bytes[..start].copy_from_slice(&subject.valid[..start]);
            sign(&mut bytes);
        }
        check(subject, &bytes);
    });
}

#[test]
fn mutated_structures_with_good_checksums_never_panic_a_decoder() {
    let subjects = subjects::all();
    let accepted = vec![Cell::new(0_u32); subjects.len()];
    for_each_seed(160_000, |seed| {
        let mut random = Random::new(seed);
        let index = random.below(subjects.len());
        let subject = &subjects[index];
        let mut bytes = subject.valid.clone();
        for _ in 0..random.within(1..=4) {
            mutate(&mut bytes, &mut random);
        }
        if let Some(sign) = subject.sign {
            sign(&mut bytes);
        }
        let another = check(subject, &bytes) && bytes != subject.valid;
        accepted[index].update(|count| count + u32::from(another));
    });
    for (subject, accepted) in subjects.iter().zip(accepted) {
        assert!(accepted.get() > 100, "{}: no other value was reached: {accepted:?} times", subject.name);
    }
}

/// One change of the kind that lengths, counts, tags and lists are vulnerable to.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        *bytes = random.bytes(8);
    }
    // Mostly near the front, where the fields of the large blocks are.
    let reach = if random.one_in(4) { bytes.len() } else { bytes.len().min(200) };
    let at = random.below(reach);
    let interesting =
        [0, 1, 0x7f, 0x80, 0xff, 4095, 4096, 4097, u64::from(u32::MAX), 1 << 31, u64::MAX - 1, u64::MAX];
    match random.below(7) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.pick(&[0, 1, 2, 4, 5, 7, 0x7f, 0x80, 0x81, 0xff]),
        2 | 3 => {
            let value = if random.one_in(3) { random.magnitude() } else { random.pick(&interesting) };
            let width = random.pick(&[2, 4, 8]).min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        4 => bytes.truncate(at),
        5 => {
            let more = random.within(1..=64);
            let more = if random.one_in(2) { vec![0; more] } else { random.bytes(more) };
            bytes.splice(at..at, more);
        }
        _ => {
            // A piece once more: lists with an item twice, out of order.
            let piece = bytes[at..(at + random.within(1..=48)).min(bytes.len())].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
    }
}

#[test]
fn a_frame_is_never_accepted_under_a_random_place() {
    let frame = subjects::all().into_iter().find(|subject| subject.name == "frame").unwrap();
    for_each_seed(20_000, |seed| {
        let mut random = Random::new(seed);
        let place = SegmentSeed::new(
            if random.one_in(2) { LogId([7; 16]) } else { LogId([8; 16]) },
            CoreId(random.pick(&[3, 3, 4, u16::MAX])),
            SegmentNumber(random.pick(&[9, 9, 10, u64::MAX])),
        );
        let anywhere = random.magnitude();
        let offset = random.pick(&[subjects::FRAME_OFFSET, 0, 4104, anywhere]);
        if place == subjects::seed() && offset == subjects::FRAME_OFFSET {
            return;
        }
        let found = Found::at(&place, offset, &frame.valid);
        assert!(!matches!(found, Ok(Found::Header(_) | Found::Nothing)), "{place:?} at {offset}: {found:?}");
    });
}
