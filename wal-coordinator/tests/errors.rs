//! `docs/errors.md` quotes what the code says, to the letter.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal_coordinator::{
    CheckpointFailure, CoreId, Epoch, PerCoreWalError, RecoveryError, Sequence, WriterError,
};
use wal_format::SegmentNumber;
use wal_reader::{Defect, ReadError};

fn segment(core: u16, number: u64) -> PathBuf {
    Path::new("/data/wal").join(format!("wal-{core:05}-{number:016}.log"))
}

fn defect(reason: &str) -> Box<Defect> {
    Box::new(Defect {
        path: segment(2, 7),
        core: CoreId(2),
        segment: SegmentNumber(7),
        offset: 69_632,
        sequence: Sequence(1_804),
        sequence_end: Some(Sequence(1_911)),
        evidence: None,
        reason: reason.to_owned(),
    })
}

/// The messages that the document explains, in its order.
fn messages() -> Vec<String> {
    let no_space = || WriterError::NoSpace {
        path: segment(2, 8),
        needed_bytes: 67_108_864,
        source: Arc::new(io::Error::from_raw_os_error(28)),
    };
    let failed_sync = WriterError::Io {
        operation: "sync",
        path: segment(2, 8),
        source: Arc::new(io::Error::from_raw_os_error(5)),
    };
    let descriptors = WriterError::Io {
        operation: "create",
        path: segment(2, 8),
        source: Arc::new(io::Error::from_raw_os_error(24)),
    };
    let poisoned =
        WriterError::Poisoned { core: CoreId(2), since: Sequence(1_804), cause: Arc::new(failed_sync) };
    let in_checkpoint = PerCoreWalError::Checkpoint {
        epoch: Epoch(41),
        source: CheckpointFailure::Core { core: CoreId(2), source: no_space() },
    };
    let directory = || PathBuf::from("/data/wal");
    let manifest = || PathBuf::from("/data/wal/checkpoint.manifest");
    let missing =
        RecoveryError::CheckpointMissing { path: manifest(), core: CoreId(2), sequence: Sequence(1_500) };
    vec![
        no_space().to_string(),
        descriptors.to_string(),
        poisoned.to_string(),
        in_checkpoint.to_string(),
        PerCoreWalError::InUse { path: directory() }.to_string(),
        RecoveryError::Overtaken { path: directory() }.to_string(),
        RecoveryError::from(ReadError::Corrupt(defect("the checksum of the payload is wrong"))).to_string(),
        ReadError::Missing(defect("the file ends here")).to_string(),
        missing.to_string(),
        ReadError::NotALog { path: directory() }.to_string(),
    ]
}

#[test]
fn the_document_quotes_ten_messages_as_the_code_says_them() {
    let document = include_str!("../../docs/errors.md");
    let quoted: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(quoted, messages());
}

#[test]
fn every_message_says_where_and_what_to_do() {
    for message in messages() {
        assert!(message.contains("/data/wal"), "no file in: {message}");
    }
}
