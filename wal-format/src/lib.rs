//! The on-disk format of a per-core write-ahead log: values to bytes and back, names, limits, verdicts.
//!
//! [`FORMAT.md`](https://docs.rs/crate/wal-format/latest/source/FORMAT.md) at the top of the workspace is
//! normative; this crate implements it and nothing else. It performs no I/O, starts no thread, reads no clock and
//! contains no `unsafe`: bytes come in as slices and go out as slices.
//!
//! **Guarantees.** Decoding never panics and never allocates because a length field said so; every length is checked
//! against the bytes at hand first. Borrowed types ([`EntryRef`], [`OperationRef`]) point into the given bytes.
//!
//! Reading order: [`ids`] and [`names`], then [`operation`], [`entry`], [`frame`], [`segment`], and at last
//! [`verdict`], which says how a log ends.
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
