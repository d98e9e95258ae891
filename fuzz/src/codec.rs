//! Targets of wal-format: whatever is accepted is what the encoder writes, and what is encoded is what comes back.

use std::sync::LazyLock;

use wal_format::entry::{entry_bytes, put_bytes_max};
use wal_format::varint::{split_varint, varint_bytes, write_varint};
use wal_format::{
    Barrier, CoreId, CorePosition, EntryDecoder, EntryEncoder, Epoch, FileName, Found, LogId, Manifest,
    RunMeta, SegmentNumber, SegmentSeed, Sequence, SourceOffset, WalOperation,
};

use crate::allocation;
use crate::choices::Choices;
use crate::subjects::{self, FRAME_OFFSET, Subject};

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(subjects::all);

pub(crate) fn headers(input: &[u8]) {
    const NAMES: [&str; 4] =
        ["wal.meta", "segment header", "segment header without a predecessor", "run header"];
    let mut choices = Choices::new(input);
    match choices.below(NAMES.len() + 1) {
        at if at < NAMES.len() => drop(subject(NAMES[at], choices)),
        _ => name(choices),
    }
}

pub(crate) fn manifest(input: &[u8]) {
    let mut choices = Choices::new(input);
    if choices.once_in(2) {
        let manifest = any_manifest(&mut choices);
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest), "a manifest comes back");
    } else {
        subject("checkpoint manifest", choices);
    }
}

/// A frame is accepted at one place only. Two offsets below 2^32 differ in a burst of 32 bits, which a CRC-32 always
/// tells apart; and a header names its core and segment.
pub(crate) fn frame(input: &[u8]) {
    let mut choices = Choices::new(input);
    let home = subjects::seed();
    let offset = u64::from(choices.number() as u32);
    let elsewhere = [
        (home.of(CoreId(choices.byte().into()), home.segment()), FRAME_OFFSET),
        (home.of(home.core(), SegmentNumber(choices.byte().into())), FRAME_OFFSET),
        (SegmentSeed::new(LogId([choices.byte(); 16]), home.core(), home.segment()), FRAME_OFFSET),
        (home, offset),
    ];
    let bytes = subject("frame", choices);
    let is_header = |(seed, offset)| matches!(Found::at(&seed, offset, &bytes), Ok(Found::Header(_)));
    if is_header((home, FRAME_OFFSET)) {
        for place in elsewhere.into_iter().filter(|place| *place != (home, FRAME_OFFSET)) {
            assert!(!is_header(place), "accepted at {place:?} as well");
        }
    }
}

pub(crate) fn entries(input: &[u8]) {
    let mut choices = Choices::new(input);
    match choices.below(6) {
        0 => drop(subject("entries", choices)),
        1 => drop(subject("barrier", choices)),
        2 => drop(subject("seal", choices)),
        3 => varint(choices.rest()),
        4 => barrier(choices),
        _ => encode_and_decode(choices),
    }
}

/// Runs one decoder over bytes of three kinds: as they come, with checksums put right, a valid structure with changes.
fn subject(name: &str, mut choices: Choices<'_>) -> Vec<u8> {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name).expect("a known name");
    let kind = choices.below(4);
    let mut bytes = if kind < 2 {
        choices.rest().to_vec()
    } else {
        let mut bytes = subject.valid.clone();
        for _ in 0..=choices.below(4) {
            change(&mut bytes, &mut choices);
        }
        bytes
    };
    if let (true, Some(sign)) = (kind % 2 == 1, subject.sign) {
        sign(&mut bytes);
    }
    check(subject, &bytes);
    bytes
}

fn check(subject: &Subject, bytes: &[u8]) {
    let (accepted, peak) = allocation::peak_bytes(|| (subject.accepts)(bytes));
    let max = allocation::bytes_max(bytes.len());
    assert!(peak <= max, "{}: {peak} bytes held for {} of input", subject.name, bytes.len());
    let again = (subject.again)(bytes);
    assert_eq!(again.is_some(), accepted, "{}", subject.name);
    // A newer minor version may have put something where this one puts nothing.
    let minor = subject.minor_version.clone().and_then(|at| bytes.get(at));
    if let Some(again) = again
        && minor.is_none_or(|minor| minor == [0, 0])
    {
        assert!(again == bytes, "{}: the encoder does not write {bytes:02x?}", subject.name);
    }
}

/// A change of the kind that lengths, counts, tags and lists are vulnerable to.
pub(crate) fn change(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let reach = if choices.once_in(3) { bytes.len() } else { bytes.len().min(160) };
    let at = choices.below(reach.max(1)).min(bytes.len());
    match choices.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << choices.below(8),
        1 if at < bytes.len() => bytes[at] = choices.byte(),
        2 => {
            let value = choices.number().to_le_bytes();
            let width = [2, 4, 8][choices.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
        3 => bytes.truncate(at),
        4 => {
            let more = choices.bytes(64);
            drop(bytes.splice(at..at, more));
        }
        _ => {
            let piece = bytes[at..(at + choices.below(49)).min(bytes.len())].to_vec();
            let to = choices.below(bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
    }
}

fn name(mut choices: Choices<'_>) {
    const PARTS: [&str; 16] = [
        "wal-",
        "free-",
        "run-",
        "00000",
        "00001",
        "65535",
        "-",
        "0000000000000007",
        "18446744073709551615",
        ".log",
        ".ckpt",
        ".tmp",
        "wal.meta",
        "checkpoint.manifest",
        "LOCK",
        "+1",
    ];
    let name = if choices.once_in(2) {
        (0..choices.below(6)).map(|_| PARTS[choices.below(PARTS.len())]).collect()
    } else {
        String::from_utf8_lossy(choices.rest()).into_owned()
    };
    if let Some(parsed) = FileName::parse(&name) {
        assert_eq!(parsed.to_string(), name, "one spelling a file");
    }
}

fn varint(bytes: &[u8]) {
    let Some((value, rest)) = split_varint(bytes) else { return };
    let length = bytes.len() - rest.len();
    let mut again = [0; 10];
    assert_eq!(write_varint(&mut again, 0, value), length);
    assert_eq!(varint_bytes(value), length);
    assert_eq!(again[..length], bytes[..length], "shortest form only");
}

fn barrier(mut choices: Choices<'_>) {
    let mut cuts: Vec<_> = (0..choices.below(40))
        .map(|_| (CoreId(choices.number() as u16), Sequence(choices.number())))
        .collect();
    cuts.sort_unstable_by_key(|(core, _)| *core);
    cuts.dedup_by_key(|(core, _)| *core);
    let barrier = Barrier { durable_epoch: Epoch(choices.number()), cuts };
    assert_eq!(Barrier::decode(&barrier.encode()), Ok(barrier.clone()), "a barrier comes back");
    for (core, cut) in &barrier.cuts {
        assert_eq!(barrier.cut(*core), Some(*cut));
    }
}

fn encode_and_decode(mut choices: Choices<'_>) {
    let mut entries = Vec::new();
    while !choices.is_empty() && entries.len() < 64 {
        entries.push((choices.once_in(4), choices.number(), any_operation(&mut choices)));
    }
    let bytes: usize =
        entries.iter().map(|(_, delta, operation)| entry_bytes(*delta, &operation.as_ref())).sum();
    let mut payload = vec![0; bytes];
    let mut encoder = EntryEncoder::new(&mut payload);
    entries.iter().for_each(|(more, delta, operation)| encoder.entry(*more, *delta, &operation.as_ref()));
    assert_eq!(encoder.position(), bytes, "an entry is as long as was said");
    let mut decoder = EntryDecoder::new(&payload);
    for (more, delta, operation) in &entries {
        let raw = decoder.next_entry().expect("it was encoded").expect("as many as were encoded");
        assert_eq!((raw.more, raw.timestamp_delta), (*more, *delta));
        assert_eq!(
            raw.operation,
            operation.as_ref(),
            "borrowed from bytes and from the owned one are the same"
        );
        assert_eq!(&raw.operation.to_owned(), operation);
        if let (false, WalOperation::Put { key, value }) = (more, operation) {
            let mut put = vec![0; put_bytes_max(key, value)];
            let mut encoder = EntryEncoder::new(&mut put);
            encoder.put(*delta, key, value);
            let length = encoder.position();
            let mut entry = vec![0; entry_bytes(*delta, &operation.as_ref())];
            EntryEncoder::new(&mut entry).entry(false, *delta, &operation.as_ref());
            assert_eq!(put[..length], entry, "the short way writes the same");
        }
    }
    assert_eq!(decoder.next_entry(), Ok(None));
}

/// Any operation that a writer may append.
pub(crate) fn any_operation(choices: &mut Choices<'_>) -> WalOperation {
    match choices.below(6) {
        0 | 1 => WalOperation::Put { key: choices.bytes(300), value: choices.bytes(5000) },
        2 => WalOperation::Delete { key: choices.bytes(300) },
        3 => WalOperation::Checkpoint { id: choices.number() },
        4 => WalOperation::Commit {
            offsets: (0..choices.below(5)).map(|_| (choices.text(), choices.number())).collect(),
            watermark: choices.once_in(2).then(|| choices.number().cast_signed()),
        },
        _ => WalOperation::EpochBarrier,
    }
}

fn any_manifest(choices: &mut Choices<'_>) -> Manifest {
    let mut cores: Vec<_> = (0..choices.below(9))
        .map(|_| CorePosition {
            core: CoreId(choices.number() as u16),
            segment: SegmentNumber(choices.number()),
            offset: choices.number(),
            sequence: Sequence(choices.number()),
            last_timestamp: choices.number(),
            last_epoch: Epoch(choices.number()),
        })
        .collect();
    cores.sort_unstable_by_key(|position| position.core);
    cores.dedup_by_key(|position| position.core);
    let mut offsets: Vec<_> = (0..choices.below(6))
        .map(|_| SourceOffset { source: choices.text(), offset: choices.number() })
        .collect();
    offsets.sort_by(|a, b| a.source.cmp(&b.source));
    offsets.dedup_by(|a, b| a.source == b.source);
    let watermarks = cores.iter().map(|position| (position.core, choices.number().cast_signed())).collect();
    let external = choices.once_in(5);
    let runs: Vec<_> = (0..if external { 0 } else { choices.below(6) as u64 })
        .map(|run| RunMeta {
            run,
            entries: choices.number(),
            length: choices.number(),
            digest: choices.number() as u32,
            epoch: Epoch(choices.number()),
        })
        .collect();
    Manifest {
        log_id: LogId([choices.byte(); 16]),
        external,
        epoch: Epoch(choices.number()),
        created_ns: choices.number(),
        cores,
        offsets,
        watermarks,
        next_run: runs.len() as u64 + choices.below(3) as u64,
        runs,
    }
}
