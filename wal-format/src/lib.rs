//! The on-disk format of a per-core write-ahead log: values to bytes and back, names, limits, verdicts.
//!
//! ```text
//!  wal-00003-0000000000000007.log: a segment of core 3's log
//!
//!  ┌─ header block ─┬─ frame ───────┬─ frame ───────┬─ barrier ─┬─ seal ─┬─ zeros ─────
//!  │ whose it is,   │ entries of    │ entries of    │ epoch e   │ count, │ nothing was
//!  │ what is before │ one epoch     │ one epoch     │ is closed │ digest │ written yet
//!  └────────────────┴───────┬───────┴───────────────┴───────────┴────────┴─────────────
//!                           │
//!         ┌─ frame header, 64 bytes ──────────────┬─ entry ─┬─ entry ─┬─ entry ─┐
//!         │ kind · epoch · sequence · time        │         │         │         │
//!         │ what was durable then · two checksums │         │         │         │
//!         └───────────────────────────────────────┴────┬────┴─────────┴─────────┘
//!                                                      │
//!                tag · time since the one before · key length · value length · key · value
//! ```
//!
//! [FORMAT.md](https://docs.rs/crate/wal-format/latest/source/FORMAT.md), at the top of the workspace, is normative: every
//! byte, and the order in which bytes must be written. This crate implements it and does nothing else.
//!
//! **For** whoever reads or writes such a log with means of their own: another language's test, a checker, a transport.
//!
//! **Not for** reading or writing files: that is [wal-reader](../wal_reader/index.html) and
//! [wal-writer](../wal_writer/index.html). Not against attackers: a checksum is no signature.
//!
//! # Guarantees
//!
//! * No I/O, no thread, no clock, no `unsafe`: bytes come in as slices and go out as slices.
//! * Hostile bytes are an error, never a panic; no length is believed before it is compared with the bytes at hand.
//! * A frame is valid only where it was written: its checksums are seeded with log, core, segment and offset.
//! * One encoding per value, pinned for ever by golden files; the document is compared with the code.
//!
//! # A small example
//!
//! ```
//! use wal_format::{EntryEncoder, EntryDecoder, OperationRef};
//!
//! let mut payload = [0; 64];
//! let mut encoder = EntryEncoder::new(&mut payload);
//! encoder.entry(false, 7, &OperationRef::Put { key: b"k", value: b"v" });
//! let length = encoder.position();
//!
//! let mut decoder = EntryDecoder::new(&payload[..length]);
//! let entry = decoder.next_entry().unwrap().unwrap();
//! assert_eq!(entry.operation, OperationRef::Put { key: b"k", value: b"v" });
//! assert_eq!(entry.timestamp_delta, 7);
//! assert!(decoder.next_entry().unwrap().is_none());
//! ```
//!
//! # A real one: all entries of a segment file
//!
//! ```
//! use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};
//! use wal_format::{EntryDecoder, Found, FrameKind, HeaderBlock, SegmentSeed};
//!
//! let bytes = std::fs::read("golden/v1/wal-00003-0000000000000007.log")?;
//! let HeaderBlock::Header(header) = HeaderBlock::decode(&bytes[..HEADER_BLOCK_BYTES])? else {
//!     return Ok(()); // prepared ahead of use
//! };
//! let seed = SegmentSeed::new(header.log_id, header.core, header.segment);
//! let (mut at, mut entries) = (HEADER_BLOCK_BYTES, 0);
//! // What stands behind the last valid frame, `wal_format::verdict` weighs.
//! while let Found::Header(frame) = Found::at(&seed, at as u64, &bytes[at..])? {
//!     let payload = frame.check_payload(&seed, at as u64, &bytes[at + FRAME_HEADER_BYTES..])?;
//!     if frame.kind == FrameKind::Data {
//!         let mut decoder = EntryDecoder::new(payload);
//!         while let Some(entry) = decoder.next_entry()? {
//!             println!("epoch {}: {:?}", frame.epoch, entry.operation);
//!             entries += 1;
//!         }
//!     }
//!     at += frame.frame_bytes();
//! }
//! assert!(entries > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! [`FormatError`]: bytes that cannot be decoded, by what that means: another kind of file, damaged, or *newer* than this
//! library. [`Damage`]: which check a frame failed. How a log ends is no error but a [`Verdict`].
//!
//! # Features
//!
//! None.
//!
//! # Reading order
//!
//! [`ids`] and [`names`], then [`operation`], [`entry`], [`frame`], [`segment`], and at last [`verdict`], which says how a log
//! ends. Next crate: [wal-writer](../wal_writer/index.html), which writes these bytes.
#![forbid(unsafe_code)]

pub mod ids;
pub mod limits;
pub mod names;

pub mod checksum;
mod fields;
pub mod varint;

pub mod control;
pub mod entry;
pub mod frame;
pub mod manifest;
pub mod meta;
pub mod operation;
pub mod run;
pub mod segment;

mod error;
pub mod verdict;

pub use checksum::SegmentSeed;
pub use control::{Barrier, Seal};
pub use entry::{EntryDecoder, EntryEncoder, EntryRef, OrderKey, PerCoreWalEntry, RawEntry};
pub use error::FormatError;
pub use frame::{Damage, Found, FrameHeader, FrameKind};
pub use ids::{CoreId, Epoch, LogId, SegmentNumber, Sequence};
pub use manifest::{CorePosition, Manifest, RunMeta, SourceOffset};
pub use meta::Meta;
pub use names::FileName;
pub use operation::{Offsets, OperationRef, WalOperation};
pub use run::RunHeader;
pub use segment::{HeaderBlock, Origin, Previous, SegmentHeader};
pub use verdict::{Finding, Row, Verdict};
