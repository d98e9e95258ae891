//! Sizes and bounds of the format. What the writer refuses is what the reader would refuse: both use these.

/// Major version of the format. A reader refuses any other.
pub const VERSION_MAJOR: u16 = 1;
/// Minor version: additions that an older reader may ignore.
pub const VERSION_MINOR: u16 = 0;

/// Bytes of a segment header and of a run header: one whole page, so that frames start page-aligned.
pub const HEADER_BLOCK_BYTES: usize = 4096;
/// Bytes of `wal.meta`.
pub const META_BYTES: usize = 64;
/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 64;
/// Every frame starts at a multiple of this: bounds the search for frames beyond damage.
pub const FRAME_ALIGN_BYTES: usize = 8;

/// A data frame is closed at this payload, unless one batch alone is larger. Large enough that the header and the
/// seed cost under 0.2 %, small enough to stay in the L2 cache while it is checksummed.
pub const FRAME_PAYLOAD_BYTES_TARGET: usize = 64 * 1024;
/// No frame is larger, so no batch is.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most cores of one log, running or not. A barrier with a cut for each fits one ordinary frame.
pub const CORES_MAX: usize = 4096;
/// The core number that run files use in place of a core.
pub const RUN_CORE: u16 = u16::MAX;
/// Longest name of a source in a commit.
pub const SOURCE_NAME_BYTES_MAX: usize = 4096;
/// Longest varint.
pub const VARINT_BYTES_MAX: usize = 10;
/// Largest `checkpoint.manifest` that a reader accepts.
pub const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;

// Chained, so that a changed constant that breaks another does not compile.
const _: () = assert!(HEADER_BLOCK_BYTES.is_multiple_of(FRAME_ALIGN_BYTES));
const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(FRAME_ALIGN_BYTES));
const _: () = assert!(FRAME_PAYLOAD_BYTES_TARGET <= FRAME_PAYLOAD_BYTES_MAX);
const _: () = assert!(FRAME_PAYLOAD_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(crate::control::barrier_bytes(CORES_MAX) <= FRAME_PAYLOAD_BYTES_TARGET);
const _: () = assert!(CORES_MAX <= RUN_CORE as usize);

/// `bytes` rounded up to a multiple of [`FRAME_ALIGN_BYTES`].
#[must_use]
pub const fn frame_aligned(bytes: usize) -> usize {
    bytes.saturating_add(FRAME_ALIGN_BYTES - 1) / FRAME_ALIGN_BYTES * FRAME_ALIGN_BYTES
}
