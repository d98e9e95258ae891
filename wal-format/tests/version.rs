//! Versions: newer is told from damaged, and damaged never passes for newer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/golden.rs"]
mod golden;
#[path = "common/subjects.rs"]
mod subjects;

use wal_format::{FormatError, Found, HeaderBlock, Manifest, Meta, RunHeader, limits};

type Decode = fn(&[u8]) -> Result<(), FormatError>;

/// Every structure with a version, and where its reserved bytes are (of the manifest: the end of its fields).
fn versioned() -> [(&'static str, Decode, usize); 4] {
    [
        ("wal.meta", |bytes| Meta::decode(bytes).map(drop), 32),
        ("segment header", |bytes| HeaderBlock::decode(bytes).map(drop), 88),
        ("run header", |bytes| RunHeader::decode(bytes).map(drop), 48),
        ("checkpoint manifest", |bytes| Manifest::decode(bytes).map(drop), 0),
    ]
}

#[track_caller]
fn check(change: impl Fn(&mut [u8]), is_signed: bool, expected: impl Fn(&FormatError) -> bool) {
    for (name, decode, _) in versioned() {
        let subject = subjects::all().into_iter().find(|subject| subject.name == name).unwrap();
        let mut bytes = subject.valid;
        change(&mut bytes);
        if is_signed {
            subject.sign.unwrap()(&mut bytes);
        }
        let error = decode(&bytes).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn an_intact_block_of_another_major_version_is_newer() {
    for major in [limits::VERSION_MAJOR + 1, 0x0100, u16::MAX] {
        check(
            |bytes| bytes[8..10].copy_from_slice(&major.to_le_bytes()),
            true,
            |error| matches!(error, FormatError::Version { found, supported: 1, .. } if *found == major),
        );
    }
}

#[test]
fn a_newer_major_version_may_have_changed_everything_else() {
    check(
        |bytes| {
            bytes[8] = 2;
            bytes[12..60].fill(0xee);
        },
        true,
        |error| matches!(error, FormatError::Version { found: 2, .. }),
    );
}

#[test]
fn flipped_version_bits_are_damage_not_a_newer_version() {
    for bit in 0..32 {
        check(
            |bytes| bytes[8 + bit / 8] ^= 1 << (bit % 8),
            false,
            |error| matches!(error, FormatError::Checksum { .. }),
        );
    }
}

#[test]
fn another_magic_is_another_kind_of_file() {
    check(|bytes| bytes[7] ^= 1, true, |error| matches!(error, FormatError::Magic { .. }));
}

#[test]
fn reserved_bytes_are_refused_in_this_minor_version_and_ignored_in_a_newer_one() {
    for (name, decode, reserved_at) in versioned() {
        let subject = subjects::all().into_iter().find(|subject| subject.name == name).unwrap();
        let mut bytes = subject.valid;
        if reserved_at == 0 {
            bytes.push(1);
        } else {
            bytes[reserved_at] = 1;
        }
        subject.sign.unwrap()(&mut bytes);
        assert!(matches!(decode(&bytes), Err(FormatError::Malformed { .. })), "{name}");
        bytes[subjects::MINOR_VERSION].copy_from_slice(&(limits::VERSION_MINOR + 1).to_le_bytes());
        subject.sign.unwrap()(&mut bytes);
        assert_eq!(decode(&bytes), Ok(()), "{name}");
    }
}

#[test]
fn unknown_flags_of_an_intact_structure_are_an_error_of_their_own() {
    for bit in 0..8 {
        let mut frame = subjects::all().into_iter().find(|subject| subject.name == "frame").unwrap().valid;
        frame[5] |= 1 << bit;
        let damaged = Found::at(&subjects::seed(), subjects::FRAME_OFFSET, &frame);
        assert!(matches!(damaged, Ok(Found::Damaged(_))), "{damaged:?}");
        subjects::sign_frame(&mut frame);
        let newer = Found::at(&subjects::seed(), subjects::FRAME_OFFSET, &frame);
        assert_eq!(newer, Err(FormatError::Flags { what: "frame header", flags: 1 << bit }));
    }
    let manifest = subjects::all().into_iter().find(|subject| subject.name == "checkpoint manifest").unwrap();
    for bit in 1..32 {
        let mut bytes = manifest.valid.clone();
        bytes[12..16].copy_from_slice(&(1_u32 << bit).to_le_bytes());
        assert!(matches!(Manifest::decode(&bytes), Err(FormatError::Checksum { .. })));
        manifest.sign.unwrap()(&mut bytes);
        let flags = 1 << bit;
        assert_eq!(Manifest::decode(&bytes), Err(FormatError::Flags { what: "checkpoint manifest", flags }));
    }
}
