//! FORMAT.md is normative: each of its tables and its example are what the code does. Bytes are put together here
//! by hand, with a CRC and varints of this file's own, so that code and document cannot be wrong alike.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "common/document.rs"]
mod document;
#[path = "common/golden.rs"]
mod golden;

use std::fmt::Debug;

use document::Document;
use golden::{Golden, encode_entries};
use wal_format::{
    Barrier, CoreId, CorePosition, Epoch, FileName, Finding, Found, FrameHeader, FrameKind, HeaderBlock,
    LogId, Manifest, Meta, Origin, Previous, Row, RunHeader, RunMeta, Seal, SegmentHeader, SegmentNumber,
    SegmentSeed, Sequence, SourceOffset, Verdict, WalOperation, limits, names,
};

type Check = fn(&Document) -> Result<(), String>;

const CHECKS: [(&str, Check); 12] = [
    ("barrier", barrier),
    ("directory", directory),
    ("entry", entry),
    ("frame", frame),
    ("limits", limits),
    ("manifest", manifest),
    ("meta", meta),
    ("operations", operations),
    ("run", run),
    ("seal", seal),
    ("segment", segment),
    ("verdicts", verdicts),
];

const LOG_ID: [u8; 16] = *b"0123456789abcdef";

#[test]
fn every_table_of_the_document_is_what_the_code_does() {
    let document = Document::parse(&document::text());
    assert_eq!(document.names(), CHECKS.map(|(name, _)| name), "each table has its check");
    for (name, check) in CHECKS {
        assert_eq!(check(&document), Ok(()), "table {name}");
    }
}

#[test]
fn a_change_of_any_cell_is_noticed() {
    let changed = document::with_one_cell_changed(&document::text());
    assert!(changed.len() > 250, "{} cells", changed.len());
    for (cell, text) in changed {
        let document = Document::parse(&text);
        assert!(CHECKS.iter().any(|(_, check)| check(&document).is_err()), "{cell}");
    }
}

#[test]
fn the_example_is_the_golden_file() {
    let [_, (name, file), ..] = Golden::v1().files();
    let text = document::text();
    assert!(text.contains(&format!("wal-format/golden/v1/{name}")));
    assert_eq!(std::fs::read(golden::directory().join(name.to_string())).unwrap(), file);
    let mut end = 0;
    let mut shown = 0;
    for line in document::dump(&text) {
        assert!(if line.follows { line.offset == end } else { line.offset >= end }, "{:08x}", line.offset);
        end = line.offset + line.bytes.len();
        assert_eq!(file[line.offset..end], line.bytes, "{:08x}", line.offset);
        shown += line.bytes.len();
    }
    assert!(shown > 300, "{shown} bytes shown");
}

#[test]
fn the_example_names_the_fields_of_the_tables() {
    let text = document::text();
    let document = Document::parse(&text);
    let dump = document::dump(&text);
    for (table, starts) in [("segment", &[0][..]), ("frame", &[0x1000, 0x10f8]), ("barrier", &[0x1138])] {
        for row in document.rows(table, &["offset", "size", "field"]).unwrap() {
            for start in starts {
                let offset = start + row[0].parse::<usize>().unwrap();
                let field = first_word(row[2].trim_start_matches("per "));
                let line = dump.iter().find(|line| line.offset == offset).expect("every field has its line");
                assert_eq!(first_word(&line.note), field, "{offset:08x}");
            }
        }
    }
}

#[test]
fn the_readme_shows_the_example_that_the_doc_test_runs() {
    let crate_root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(crate_root.join(file)).unwrap();
    let (readme, lib) = (read("README.md"), read("src/lib.rs"));
    let docs: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim_start).collect();
    let shown = readme.split_once("```rust\n").unwrap().1.split_once("```").unwrap().0;
    let docs = docs.join("\n");
    assert!(docs.contains(&format!("```\n{}\n```", shown.trim())), "no doc test of lib.rs is this:\n{shown}");
}

/// The name of a field without what is said about it.
fn first_word(text: &str) -> &str {
    text.split([' ', ',']).next().unwrap_or(text)
}

fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Rows of offset, size and field are gapless, end where `bytes` end, name the expected fields, and the bytes there
/// are the expected ones. `n` is the number of items, for a size of so many bytes "x n".
fn fields(
    document: &Document,
    table: &str,
    bytes: &[u8],
    n: usize,
    expected: &[(&str, &[u8])],
) -> Result<(), String> {
    let rows = document.rows(table, &["offset", "size", "field"])?;
    equal("rows", rows.len(), expected.len())?;
    let mut end = 0;
    for (row, (field, value)) in rows.iter().zip(expected) {
        let [offset, size, name] = row.as_slice() else { return Err(format!("{row:?} is no row")) };
        equal("field", name.as_str(), field)?;
        equal(field, offset.parse(), Ok(end))?;
        let size = match size.strip_suffix(" x n") {
            Some(size) => size.parse::<usize>().map(|size| size * n),
            None => size.parse(),
        };
        let size = size.map_err(|_| format!("{row:?} has no size"))?;
        end += size;
        equal(field, bytes.get(end - size..end), Some(*value))?;
    }
    equal("end of the table", end, bytes.len())
}

/// Rows of two cells and more whose first cells are the expected ones.
fn rows(document: &Document, table: &str, heading: &[&str], expected: &[Vec<String>]) -> Result<(), String> {
    equal(table, document.rows(table, heading)?, expected)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// CRC-32 (IEEE), bit by bit.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    let state =
        bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    (!state).to_le_bytes()
}

fn meta(document: &Document) -> Result<(), String> {
    let value = Meta { log_id: LogId(LOG_ID) };
    let bytes = value.encode();
    equal("decoded", Meta::decode(&bytes), Ok(value))?;
    let expected: [(&str, &[u8]); 7] = [
        ("magic `PCWALMET`", b"PCWALMET"),
        ("version_major", &[1, 0]),
        ("version_minor", &[0, 0]),
        ("reserved", &[0; 4]),
        ("log_id", &LOG_ID),
        ("reserved", &[0; 28]),
        ("crc of bytes 0..60", &crc(&bytes[..60])),
    ];
    fields(document, "meta", &bytes, 0, &expected)?;
    document.says("# On-disk format, version 1 ")
}

fn segment(document: &Document) -> Result<(), String> {
    let value = SegmentHeader {
        log_id: LogId(LOG_ID),
        core: CoreId(0x0102),
        segment: SegmentNumber(0x1111),
        origin: Origin::Continuation,
        first_sequence: Sequence(0x2222),
        epoch: Epoch(0x3333),
        last_timestamp: 0x4444,
        previous: Some(Previous { segment: SegmentNumber(0x1110), end: 0x6666, synced_through: 0x5555 }),
    };
    let bytes = value.encode();
    equal("decoded", HeaderBlock::decode(&bytes), Ok(HeaderBlock::Header(value)))?;
    let expected: [(&str, &[u8]); 16] = [
        ("magic `PCWALSEG`", b"PCWALSEG"),
        ("version_major", &[1, 0]),
        ("version_minor", &[0, 0]),
        ("core", &[2, 1]),
        ("origin", &[2]),
        ("reserved", &[0]),
        ("log_id", &LOG_ID),
        ("segment", &[0x11, 0x11, 0, 0, 0, 0, 0, 0]),
        ("first_sequence", &[0x22, 0x22, 0, 0, 0, 0, 0, 0]),
        ("epoch", &[0x33, 0x33, 0, 0, 0, 0, 0, 0]),
        ("last_timestamp", &[0x44, 0x44, 0, 0, 0, 0, 0, 0]),
        ("previous_segment", &[0x10, 0x11, 0, 0, 0, 0, 0, 0]),
        ("previous_end", &[0x66, 0x66, 0, 0, 0, 0, 0, 0]),
        ("previous_synced_through", &[0x55, 0x55, 0, 0, 0, 0, 0, 0]),
        ("reserved", &[0; 4004]),
        ("crc of bytes 0..4092", &crc(&bytes[..4092])),
    ];
    fields(document, "segment", &bytes, 0, &expected)?;
    document.says("`origin`: 0 first segment of this core, 1 rotation, 2 continuation after a failed sync, 3 resumption")?;
    for (origin, code) in
        [(Origin::First, 0), (Origin::Rotation, 1), (Origin::Continuation, 2), (Origin::Resumption, 3)]
    {
        let previous = value.previous.filter(|_| origin != Origin::First);
        let bytes = SegmentHeader { origin, previous, ..value }.encode();
        equal("origin", bytes[14], code)?;
        let is_first = bytes[64..88] == [[0xff; 8], [0; 8], [0; 8]].concat()[..];
        equal("nothing precedes", is_first, code == 0)?;
    }
    document.says("`previous_segment` is 2^64-1 and the other two are 0")
}

fn frame(document: &Document) -> Result<(), String> {
    let seed = SegmentSeed::new(LogId(LOG_ID), CoreId(0x0102), SegmentNumber(0x1111));
    let mut place = LOG_ID.to_vec();
    place.extend([2, 1, 0, 0, 0x11, 0x11, 0, 0, 0, 0, 0, 0]);
    place.extend([0x38, 0x77, 0, 0, 0, 0, 0, 0]);
    let payload = [5, 0, 5, 0, 5, 0, 0, 0];
    let value = FrameHeader {
        kind: FrameKind::Data,
        flags: 0,
        core: CoreId(0x0102),
        payload_bytes: 6,
        entry_count: 3,
        epoch: Epoch(0x3333),
        first_sequence: Sequence(0x2222),
        base_timestamp: 0x4444,
        segment: SegmentNumber(0x1111),
        synced_through: 0x5555,
        payload_crc: u32::from_le_bytes(crc(&[&place, &payload[..]].concat())),
    };
    let bytes = value.encode(&seed, 0x7738, &payload);
    equal("decoded", Found::at(&seed, 0x7738, &bytes), Ok(Found::Header(value)))?;
    equal("payload", value.check_payload(&seed, 0x7738, &payload), Ok(&payload[..6]))?;
    let expected: [(&str, &[u8]); 13] = [
        ("magic `0x4C57_4346`", &[0x46, 0x43, 0x57, 0x4c]),
        ("kind", &[1]),
        ("flags", &[0]),
        ("core", &[2, 1]),
        ("payload_bytes", &[6, 0, 0, 0]),
        ("entry_count", &[3, 0, 0, 0]),
        ("epoch", &[0x33, 0x33, 0, 0, 0, 0, 0, 0]),
        ("first_sequence", &[0x22, 0x22, 0, 0, 0, 0, 0, 0]),
        ("base_timestamp", &[0x44, 0x44, 0, 0, 0, 0, 0, 0]),
        ("segment", &[0x11, 0x11, 0, 0, 0, 0, 0, 0]),
        ("synced_through", &[0x55, 0x55, 0, 0, 0, 0, 0, 0]),
        ("payload_crc", &crc(&[&place, &payload[..]].concat())),
        ("header_crc of bytes 0..60", &crc(&[&place, &bytes[..60]].concat())),
    ];
    fields(document, "frame", &bytes, 0, &expected)?;
    document.says(
        "seed (log_id 16 bytes, core 4 bytes, segment 8 bytes, offset of the frame in its file 8 bytes)",
    )?;
    document.says("64-byte header, payload, zeros up to a multiple of 8.")?;
    document.says("`kind`: 1 data, 2 barrier, 3 seal, 4 pad.")?;
    for (kind, code) in
        [(FrameKind::Data, 1), (FrameKind::Barrier, 2), (FrameKind::Seal, 3), (FrameKind::Pad, 4)]
    {
        let entry_count = if kind == FrameKind::Data { 3 } else { 0 };
        let header = FrameHeader { kind, entry_count, ..value };
        let bytes = header.encode(&seed, 0x7738, &payload);
        equal("kind", bytes[4], code)?;
        equal("decoded", Found::at(&seed, 0x7738, &bytes), Ok(Found::Header(header)))?;
    }
    Ok(())
}

fn entry(document: &Document) -> Result<(), String> {
    let expected = [
        row(["tag", "1 byte: bits 0-2 operation, bit 7 \"more of this batch follows\", bits 3-6 zero"]),
        row(["timestamp delta", "varint, to the entry before; of the first entry, to `base_timestamp`"]),
        row(["body", "by operation"]),
    ];
    rows(document, "entry", &["part", "content"], &expected)?;
    let delete = || WalOperation::Delete { key: b"k".into() };
    equal("one entry", encode_entries(&[(false, 300, delete())]), vec![2, 0xac, 0x02, 1, b'k'])?;
    equal("in a batch", encode_entries(&[(true, 300, delete())]), vec![0x82, 0xac, 0x02, 1, b'k'])?;
    for bit in 3..7 {
        let bytes = [2 | 1 << bit, 0, 0];
        equal("bits 3-6", wal_format::EntryDecoder::new(&bytes).next_entry().is_err(), true)?;
    }
    Ok(())
}

fn operations(document: &Document) -> Result<(), String> {
    let commit =
        |watermark| WalOperation::Commit { offsets: vec![("ü".into(), 300), ("b".into(), 1)], watermark };
    let commit_body = "varint count, then per offset: varint name bytes, name (UTF-8), varint offset; then watermark: \
                       0, or 1 and a zigzag varint";
    let offsets = [2, 2, 0xc3, 0xbc, 0xac, 0x02, 1, b'b', 1];
    let cases: [(&str, &str, &str, WalOperation, Vec<u8>); 6] = [
        (
            "Put",
            "1",
            "varint key bytes, varint value bytes, key, value",
            WalOperation::Put { key: b"key".into(), value: b"va".into() },
            [&[3, 2], &b"keyva"[..]].concat(),
        ),
        (
            "Delete",
            "2",
            "varint key bytes, key",
            WalOperation::Delete { key: vec![9; 130] },
            [&[0x82, 1][..], &[9; 130]].concat(),
        ),
        ("Checkpoint", "3", "varint id", WalOperation::Checkpoint { id: 300 }, vec![0xac, 0x02]),
        ("Commit", "4", commit_body, commit(Some(-2)), [&offsets[..], &[1, 3]].concat()),
        ("Commit", "4", commit_body, commit(None), [&offsets[..], &[0]].concat()),
        ("EpochBarrier", "5", "nothing", WalOperation::EpochBarrier, vec![]),
    ];
    let mut expected: Vec<_> = cases.iter().map(|(name, code, body, ..)| row([name, code, body])).collect();
    expected.dedup();
    rows(document, "operations", &["operation", "code", "body"], &expected)?;
    for (name, code, _, operation, body) in cases {
        equal("name", format!("{operation:?}").starts_with(name), true)?;
        equal("code", operation.as_ref().code().to_string(), code.to_owned())?;
        let tag_and_delta = [operation.as_ref().code(), 0];
        equal(name, encode_entries(&[(false, 0, operation)]), [&tag_and_delta[..], &body].concat())?;
    }
    Ok(())
}

fn barrier(document: &Document) -> Result<(), String> {
    let cuts = vec![(CoreId(1), Sequence(0x2222)), (CoreId(0x0102), Sequence(0x3333))];
    let value = Barrier { durable_epoch: Epoch(0x4444), cuts };
    let bytes = value.encode();
    equal("decoded", Barrier::decode(&bytes), Ok(value))?;
    let cuts = [1, 0, 0, 0, 0x22, 0x22, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0x33, 0x33, 0, 0, 0, 0, 0, 0];
    let expected: [(&str, &[u8]); 3] = [
        ("durable_epoch", &[0x44, 0x44, 0, 0, 0, 0, 0, 0]),
        ("core_count", &[2, 0, 0, 0]),
        ("per core, ascending: core (4 bytes), cut (8 bytes)", &cuts),
    ];
    fields(document, "barrier", &bytes, 2, &expected)
}

fn seal(document: &Document) -> Result<(), String> {
    let value = Seal {
        entry_count: 0x1111,
        next_sequence: Sequence(0x2222),
        last_timestamp: 0x3333,
        length: 0x4444,
        digest: 0x5555,
    };
    let bytes = value.encode();
    equal("decoded", Seal::decode(&bytes), Ok(value))?;
    let expected: [(&str, &[u8]); 6] = [
        ("entry_count of the segment", &[0x11, 0x11, 0, 0, 0, 0, 0, 0]),
        ("next_sequence", &[0x22, 0x22, 0, 0, 0, 0, 0, 0]),
        ("last_timestamp", &[0x33, 0x33, 0, 0, 0, 0, 0, 0]),
        ("length, the offset of this frame", &[0x44, 0x44, 0, 0, 0, 0, 0, 0]),
        ("digest, CRC of all frame headers before it", &[0x55, 0x55, 0, 0]),
        ("reserved", &[0; 4]),
    ];
    fields(document, "seal", &bytes, 0, &expected)
}

fn run(document: &Document) -> Result<(), String> {
    let value = RunHeader { log_id: LogId(LOG_ID), run: 0x1111, epoch: Epoch(0x2222) };
    let bytes = value.encode();
    equal("decoded", RunHeader::decode(&bytes), Ok(value))?;
    let expected: [(&str, &[u8]); 9] = [
        ("magic `PCWALRUN`", b"PCWALRUN"),
        ("version_major", &[1, 0]),
        ("version_minor", &[0, 0]),
        ("reserved", &[0; 4]),
        ("log_id", &LOG_ID),
        ("run", &[0x11, 0x11, 0, 0, 0, 0, 0, 0]),
        ("epoch", &[0x22, 0x22, 0, 0, 0, 0, 0, 0]),
        ("reserved", &[0; 4044]),
        ("crc of bytes 0..4092", &crc(&bytes[..4092])),
    ];
    fields(document, "run", &bytes, 0, &expected)?;
    document.says("with core 65535, the run number as segment")?;
    equal("seed", (value.seed().core(), value.seed().segment()), (CoreId(65535), SegmentNumber(0x1111)))
}

fn manifest(document: &Document) -> Result<(), String> {
    let value = Manifest {
        log_id: LogId(LOG_ID),
        external: false,
        epoch: Epoch(0x11),
        created_ns: 0x12,
        cores: vec![CorePosition {
            core: CoreId(0x0102),
            segment: SegmentNumber(0x21),
            offset: 0x22,
            sequence: Sequence(0x23),
            last_timestamp: 0x24,
            last_epoch: Epoch(0x25),
        }],
        offsets: vec![
            SourceOffset { source: "b".into(), offset: 0x31 },
            SourceOffset { source: "ü".into(), offset: 0x32 },
        ],
        watermarks: vec![(CoreId(0x0102), -2)],
        runs: vec![RunMeta { run: 0x51, entries: 0x52, length: 0x53, digest: 0x54, epoch: Epoch(0x55) }],
        next_run: 0x61,
    };
    let bytes = value.encode();
    equal("decoded", Manifest::decode(&bytes), Ok(value.clone()))?;
    let long = |byte: u8| [byte, 0, 0, 0, 0, 0, 0, 0];
    let core = [long(0x21), long(0x22), long(0x23), long(0x24), long(0x25)].concat();
    let sources =
        [&[2, 0, 0, 0, 1, 0, 0, 0, b'b'][..], &long(0x31), &[2, 0, 0, 0, 0xc3, 0xbc], &long(0x32)].concat();
    let watermarks = [1, 0, 0, 0, 2, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let run = [&long(0x51)[..], &long(0x52), &long(0x53), &[0x54, 0, 0, 0], &long(0x55)].concat();
    let parts: [(&str, &str, &[u8]); 12] = [
        ("magic", "8 bytes `PCWALCKP`", b"PCWALCKP"),
        ("version", "major 2 bytes, minor 2 bytes", &[1, 0, 0, 0]),
        ("flags", "4 bytes: bit 0 the state is in the engine's own store; other bits zero", &[0; 4]),
        ("log_id", "16 bytes", &LOG_ID),
        ("epoch", "8 bytes: every entry of this epoch and below is in the checkpoint", &long(0x11)),
        ("created_ns", "8 bytes", &long(0x12)),
        (
            "cores",
            "4 bytes count, then each 42 bytes: core 2, segment 8, offset 8, sequence 8, last_timestamp 8, \
             last_epoch 8",
            &[&[1, 0, 0, 0, 2, 1], &core[..]].concat(),
        ),
        ("offsets", "4 bytes count, then each: name bytes 4, name (UTF-8), offset 8", &sources),
        ("watermarks", "4 bytes count, then each 10 bytes: core 2, watermark 8 (signed)", &watermarks),
        (
            "runs",
            "4 bytes count, oldest first, then each 36 bytes: run 8, entries 8, length 8, digest 4, epoch 8",
            &[&[1, 0, 0, 0], &run[..]].concat(),
        ),
        ("next_run", "8 bytes", &long(0x61)),
        ("crc", "4 bytes, of everything before it", &crc(&bytes[..bytes.len() - 4])),
    ];
    let expected: Vec<_> = parts.iter().map(|(part, content, _)| row([part, content])).collect();
    rows(document, "manifest", &["part", "content"], &expected)?;
    equal("bytes", bytes, parts.map(|(.., bytes)| bytes).concat())?;
    let external = Manifest { external: true, runs: vec![], ..value };
    equal("flags", external.encode()[12..16].to_vec(), vec![1, 0, 0, 0])
}

fn verdicts(document: &Document) -> Result<(), String> {
    let findings = [
        (Finding::Nothing, "zeros, end of file, nothing"),
        (Finding::Stale, "frame of another incarnation"),
        (Finding::Damage, "bytes that fail a check"),
    ];
    let meaning = |verdict: Verdict| match verdict {
        Verdict::Torn => "torn: cut here, report what was discarded",
        Verdict::Clean => "clean end",
        Verdict::Stale => "stale, clean end",
        Verdict::Missing => "missing",
        Verdict::Corrupt => "corrupt",
    };
    let mut expected = Vec::new();
    let mut reached = Vec::new();
    for (finding, found) in findings {
        for (short, against) in [(false, "X >= D"), (true, "X < D")] {
            let row_of = Row::of(finding, short);
            let verdict = row_of.verdict();
            equal("label", row_of.to_string(), row_of.label().to_owned())?;
            equal("verdict", verdict.to_string(), first_part(meaning(verdict)).to_owned())?;
            equal("an error exactly if short of the evidence", verdict.is_error(), short)?;
            expected.push(row([row_of.label(), found, against, meaning(verdict)]));
            reached.push(row_of);
        }
    }
    equal("every case has a row of its own, in this order", reached, Row::ALL.to_vec())?;
    rows(document, "verdicts", &["row", "found at X", "X against D", "verdict"], &expected)?;
    document.says("*missing* and *corrupt* are errors.")
}

fn first_part(meaning: &str) -> &str {
    meaning.split_once(':').map_or(meaning, |(verdict, _)| verdict)
}

fn limits(document: &Document) -> Result<(), String> {
    let expected = [
        ("payload of a frame, so of a batch, bytes", limits::FRAME_PAYLOAD_BYTES_MAX as u64),
        ("cores in a barrier, and in a manifest", limits::CORES_MAX as u64),
        ("name of a source, bytes", limits::SOURCE_NAME_BYTES_MAX as u64),
        ("varint, bytes", limits::VARINT_BYTES_MAX as u64),
        ("`checkpoint.manifest`, bytes", limits::MANIFEST_BYTES_MAX),
    ];
    rows(
        document,
        "limits",
        &["limit", "value"],
        &expected.map(|(limit, value)| row([limit, &value.to_string()])),
    )
}

fn directory(document: &Document) -> Result<(), String> {
    // Spelled with 1 for every C, 2 for every S, 3 for every R.
    let (core, segment, run) = (CoreId(11111), SegmentNumber(2_222_222_222_222_222), 3_333_333_333_333_333);
    let expected = [
        (
            FileName::Lock,
            "empty; held with an advisory file lock by the one process that has the log open for writing",
        ),
        (FileName::Meta, "identity of the log ([meta](#meta))"),
        (FileName::Segment(core, segment), "segment S of core C ([segment](#segment)), both decimal"),
        (
            FileName::Free(core, segment),
            "a released segment that waits to be used again; its content means nothing",
        ),
        (FileName::Run(run), "checkpoint run R ([run](#run))"),
        (FileName::Manifest, "the current checkpoint ([manifest](#manifest))"),
    ];
    let mut expected: Vec<_> = expected
        .map(|(name, content)| {
            let name = name.to_string().replace('1', "C").replace('2', "S").replace('3', "R");
            row([&format!("`{name}`"), content])
        })
        .to_vec();
    let temporary =
        "an unfinished replacement of `wal.meta` or `checkpoint.manifest`; means nothing".to_owned();
    for name in [names::META, names::MANIFEST] {
        equal("temporary", FileName::parse(&format!("{name}.tmp")), Some(FileName::Temporary(name)))?;
    }
    expected.push(vec!["`*.tmp`".to_owned(), temporary]);
    rows(document, "directory", &["name", "content"], &expected)
}
