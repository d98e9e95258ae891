//! One segment file as a sequence of frames, each checked before it is handed out (`FORMAT.md#frame`).

use std::ops::Range;
use std::path::Path;

use wal_format::checksum::extend;
use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};
use wal_format::{
    Barrier, Damage, EntryDecoder, Epoch, FormatError, Found, FrameHeader, FrameKind, Seal, SegmentHeader,
    SegmentSeed, Sequence,
};

use crate::error::ReadError;
use crate::source::SourceFile;
use crate::stop::{Step, Stop, StopReason};
use crate::window::{WINDOW_BYTES, Window};

/// Writers zero-fill the page that they write, so up to its end zeros mean "nothing yet" even where fewer than a
/// header's worth of them are followed by the former life of the file.
const PAGE_BYTES: u64 = 4096;

/// Frames from this size on are stepped over by reading no more than this of each.
const SKIM_BYTES: usize = 4096;

/// What the next frame must follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Sequence number of the next entry, exactly.
    pub sequence: Sequence,
    /// Least epoch of the next frame.
    pub epoch: Epoch,
    /// Least timestamp of the next entry, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
}

impl Order {
    /// The same, raised to the bounds that a segment's header states.
    #[must_use]
    pub fn raised_by(mut self, header: &SegmentHeader) -> Self {
        self.epoch = self.epoch.max(header.epoch);
        self.timestamp = self.timestamp.max(header.last_timestamp);
        self
    }
}

/// How much of a frame is checked before it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Checksums and order of frames. The caller decodes the entries and reports the last timestamp.
    Frame,
    /// The entries too: each decodes, they are as many as the header says, and the last one completes its batch.
    Entries,
    /// As [`Depth::Entries`] from this offset on. Of data frames that end at or before it the header alone, and of the
    /// last one before anything else is decided the entries: for bytes that are proven durable and checked when replayed.
    Skim(u64),
}

impl Depth {
    /// Whether a frame of entries from `at` to `end` is passed by with its header alone.
    fn skims(self, header: &FrameHeader, at: u64) -> bool {
        let Self::Skim(through) = self else { return false };
        header.kind == FrameKind::Data && at.saturating_add(header.frame_bytes() as u64) <= through
    }
}

/// A frame of entries that was passed by with its header alone.
#[derive(Clone, Copy)]
struct Skimmed {
    offset: u64,
    header: FrameHeader,
    /// What it followed from.
    before: Order,
}

/// Reads the frames of one segment, in order, through one buffer.
pub struct FrameReader {
    window: Window,
    seed: SegmentSeed,
    /// Where the segment ends for good, if that is known.
    end: Option<u64>,
    depth: Depth,
    order: Order,
    /// What the current frame followed from.
    before: Order,
    /// The current frame, if its entries were passed by: then `order` has the timestamp of its first entry.
    skimmed: Option<Skimmed>,
    /// Of the current frame.
    header: Option<FrameHeader>,
    /// Of the current frame, in the window; empty if there is none, or it was passed by.
    payload: Range<usize>,
    offset: u64,
    /// Of the next frame.
    next: u64,
    /// Entries and digest so far, if reading began with the first frame: what a seal is checked against.
    sealed_by: Option<(u64, u32)>,
    sealed: bool,
}

impl FrameReader {
    /// Reads from offset `from` to offset `end`, or as far as there are frames.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn new(
        file: Box<dyn SourceFile>,
        path: &Path,
        seed: SegmentSeed,
        from: u64,
        end: Option<u64>,
        order: Order,
        depth: Depth,
    ) -> Result<Self, ReadError> {
        let window = Window::new(file, path.to_path_buf(), end)?;
        let sealed_by = (from == HEADER_BLOCK_BYTES as u64).then_some((0, 0));
        Ok(Self {
            window,
            seed,
            end,
            depth,
            order,
            before: order,
            skimmed: None,
            header: None,
            payload: 0..0,
            offset: from,
            next: from,
            sealed_by,
            sealed: false,
        })
    }

    /// Uses `buffer` instead of allocating one.
    #[must_use]
    pub fn with_buffer(mut self, buffer: Vec<u8>) -> Self {
        self.window = self.window.with_buffer(buffer);
        self
    }

    /// Gives the buffer back.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.window.into_buffer()
    }

    /// Steps to the next frame.
    ///
    /// # Errors
    /// [`ReadError::Io`]; [`ReadError::Format`] for an intact frame that needs a newer version.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        self.header = None;
        self.payload = 0..0;
        let at = self.next;
        let found = self.find(at)?;
        let goes_on = found
            .as_ref()
            .is_ok_and(|header| self.depth.skims(header, at) && header.epoch == self.order.epoch);
        if !goes_on && let Some(stop) = self.catch_up()? {
            return Ok(stop);
        }
        let header = match found {
            Ok(header) => header,
            Err(reason) => return Ok(self.stop(reason)),
        };
        self.before = self.order;
        match self.check(at, &header)? {
            Ok(order) => self.order = order,
            Err(damage) => return Ok(self.stop(StopReason::Damage(damage))),
        }
        if self.skimmed.is_none() {
            let payload_at = at + FRAME_HEADER_BYTES as u64;
            self.payload = self.window.place(payload_at, header.payload_bytes as usize);
        }
        self.offset = at;
        self.next = at + header.frame_bytes() as u64;
        self.header = Some(header);
        Ok(Step::Frame)
    }

    /// The header at `at`, or why there is none.
    fn find(&mut self, at: u64) -> Result<Result<FrameHeader, StopReason>, ReadError> {
        if self.end == Some(at) {
            return Ok(Err(StopReason::End));
        }
        let chunk = self.chunk(at);
        let bytes = self.window.glance(at, FRAME_HEADER_BYTES, chunk)?;
        let found = Found::at(&self.seed, at, bytes)
            .map_err(|cause| ReadError::Format { path: self.window.path().to_path_buf(), cause })?;
        Ok(match found {
            Found::Header(header) => Ok(header),
            Found::Nothing => Err(StopReason::Nothing),
            Found::Stale(segment) => Err(StopReason::Stale(segment)),
            Found::Damaged(Damage::Magic { found: 0 }) if self.page_is_zero_from(at)? => {
                Err(StopReason::Nothing)
            }
            Found::Damaged(damage) => Err(StopReason::Damage(damage)),
        })
    }

    /// How much to read at `at`, if anything is.
    fn chunk(&self, at: u64) -> usize {
        let last = usize::try_from(at - self.offset).unwrap_or(usize::MAX);
        match &self.skimmed {
            // What lies between two headers is not read.
            Some(_) if last >= SKIM_BYTES => SKIM_BYTES,
            // Whole frames, if they are as long as the last one, and the header behind them: what is left of a frame
            // when the window moves on would be copied.
            _ => match WINDOW_BYTES.checked_div(last) {
                Some(frames @ 1..) => frames * last + FRAME_HEADER_BYTES,
                _ => WINDOW_BYTES,
            },
        }
    }

    /// Reads the entries of the last frame, if they were passed by: what comes next needs its last timestamp.
    fn catch_up(&mut self) -> Result<Option<Step>, ReadError> {
        let Some(Skimmed { offset, header, before }) = self.skimmed.take() else { return Ok(None) };
        let bytes = self.window.from(offset, header.frame_bytes())?;
        let payload = bytes.get(FRAME_HEADER_BYTES..).unwrap_or(&[]);
        let mut order = before;
        let checked = header
            .check_payload(&self.seed, offset, payload)
            .and_then(|payload| check_entries(&header, payload, &mut order));
        match checked {
            Ok(()) => {
                self.order.timestamp = order.timestamp;
                Ok(None)
            }
            Err(damage) => {
                (self.order, self.next) = (before, offset);
                Ok(Some(self.stop(StopReason::Damage(damage))))
            }
        }
    }

    /// The current frame's header, after [`Step::Frame`].
    #[must_use]
    pub fn header(&self) -> Option<&FrameHeader> {
        self.header.as_ref()
    }

    /// The current frame's payload; empty before the first frame and behind the last, and if it was passed by.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.window.at(self.payload.clone())
    }

    /// Offset of the current frame.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset behind the current frame.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// What the current frame followed from.
    #[must_use]
    pub fn before(&self) -> Order {
        self.before
    }

    /// What the next frame must follow from. Its timestamp counts the current frame only with [`Depth::Entries`].
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// With [`Depth::Frame`]: the timestamp of the current frame's last entry.
    pub fn set_last_timestamp(&mut self, timestamp: u64) {
        self.order.timestamp = timestamp;
    }

    /// Whether the segment's seal has been read.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Bytes read from the file so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.window.bytes_read()
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.window.path()
    }

    fn stop(&self, reason: StopReason) -> Step {
        Step::Stop(Stop { offset: self.next, reason })
    }

    fn page_is_zero_from(&mut self, at: u64) -> Result<bool, ReadError> {
        let rest = PAGE_BYTES - at % PAGE_BYTES;
        let rest = usize::try_from(rest).unwrap_or(0);
        let bytes = self.window.from(at, rest)?;
        Ok(bytes.iter().take(rest).all(|byte| *byte == 0))
    }

    /// All checks behind the header's own. `Ok(Ok(..))` is what the frame after this one must follow from.
    fn check(&mut self, at: u64, header: &FrameHeader) -> Result<Result<Order, Damage>, ReadError> {
        if let Err(damage) = self.check_header(at, header) {
            return Ok(Err(damage));
        }
        let cut = Damage::PayloadCut { payload_bytes: header.payload_bytes };
        // Before anything is loaded: a length beyond the file must not cost memory.
        if self.window.limit().saturating_sub(at) < header.frame_bytes() as u64 {
            return Ok(Err(cut));
        }
        if self.depth.skims(header, at) {
            let bytes = self.window.from(at, FRAME_HEADER_BYTES)?;
            self.sealed_by = count(self.sealed_by, header, bytes.get(..FRAME_HEADER_BYTES).unwrap_or(&[]));
            self.skimmed = Some(Skimmed { offset: at, header: *header, before: self.order });
            return Ok(Ok(Order {
                sequence: header.next_sequence(),
                epoch: header.epoch,
                timestamp: header.base_timestamp,
            }));
        }
        let bytes = self.window.glance(at, header.frame_bytes(), self.chunk(at))?;
        let Some((header_bytes, rest)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else {
            return Ok(Err(cut));
        };
        let payload = match header.check_payload(&self.seed, at, rest) {
            Ok(payload) => payload,
            Err(damage) => return Ok(Err(damage)),
        };
        let mut order = self.order;
        let checked = match header.kind {
            FrameKind::Data if self.depth != Depth::Frame => check_entries(header, payload, &mut order),
            FrameKind::Data | FrameKind::Pad => Ok(()),
            FrameKind::Barrier => Barrier::decode(payload).map(drop).map_err(Damage::Content),
            FrameKind::Seal => check_seal(at, payload, &self.order, self.sealed_by),
        };
        if let Err(damage) = checked {
            return Ok(Err(damage));
        }
        self.sealed_by = count(self.sealed_by, header, header_bytes);
        if header.kind == FrameKind::Data {
            order.epoch = header.epoch;
        }
        order.sequence = header.next_sequence();
        self.sealed = header.kind == FrameKind::Seal;
        Ok(Ok(order))
    }

    /// What the header alone tells: whether the frame follows from the one before.
    fn check_header(&self, at: u64, header: &FrameHeader) -> Result<(), Damage> {
        let order = &self.order;
        if self.sealed {
            return Err(content("a frame stands behind the seal"));
        }
        if header.first_sequence != order.sequence {
            return Err(out_of_order("sequence", order.sequence.0, header.first_sequence.0));
        }
        if header.synced_through > at {
            return Err(content("it claims that bytes behind itself were durable"));
        }
        // A barrier closes an epoch that is over: entries of the next one may already stand before it.
        if header.kind != FrameKind::Data {
            return Ok(());
        }
        if header.epoch < order.epoch {
            return Err(out_of_order("epoch", order.epoch.0, header.epoch.0));
        }
        if header.base_timestamp < order.timestamp {
            return Err(out_of_order("timestamp", order.timestamp, header.base_timestamp));
        }
        Ok(())
    }
}

/// Adds a frame to what a seal is checked against.
fn count(so_far: Option<(u64, u32)>, header: &FrameHeader, header_bytes: &[u8]) -> Option<(u64, u32)> {
    so_far.map(|(entries, digest)| {
        (entries.saturating_add(u64::from(header.entry_count)), extend(digest, header_bytes))
    })
}

/// Decodes all entries; leaves the last one's timestamp in `order`.
fn check_entries(header: &FrameHeader, payload: &[u8], order: &mut Order) -> Result<(), Damage> {
    let mut decoder = EntryDecoder::new(payload);
    let mut timestamp = header.base_timestamp;
    let mut more = false;
    for _ in 0..header.entry_count {
        let entry = decoder.next_entry().map_err(Damage::Content)?;
        let entry = entry.ok_or_else(|| content("fewer entries than the header says"))?;
        timestamp = timestamp
            .checked_add(entry.timestamp_delta)
            .ok_or_else(|| content("a timestamp beyond 64 bits"))?;
        if more && entry.timestamp_delta != 0 {
            return Err(content("the entries of one batch have different timestamps"));
        }
        more = entry.more;
    }
    if decoder.remaining() > 0 {
        return Err(content("more entries than the header says"));
    }
    if more {
        return Err(content("the last batch is incomplete"));
    }
    order.timestamp = timestamp;
    Ok(())
}

fn check_seal(at: u64, payload: &[u8], order: &Order, sealed_by: Option<(u64, u32)>) -> Result<(), Damage> {
    let seal = Seal::decode(payload).map_err(Damage::Content)?;
    let follows = seal.next_sequence == order.sequence && seal.length == at;
    let counts = sealed_by.is_none_or(|counted| counted == (seal.entry_count, seal.digest));
    if follows && counts { Ok(()) } else { Err(content("the seal does not fit the frames before it")) }
}

pub(crate) fn content(detail: &'static str) -> Damage {
    Damage::Content(FormatError::Malformed { what: "frame", detail })
}

pub(crate) fn out_of_order(field: &'static str, expected: u64, found: u64) -> Damage {
    Damage::Order { field, expected, found }
}
