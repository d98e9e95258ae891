//! The search for whole frames where the log can no longer be followed: evidence, and what a cut discards.

use std::path::Path;

use wal_format::frame::FRAME_MAGIC;
use wal_format::limits::{FRAME_ALIGN_BYTES, FRAME_HEADER_BYTES, frame_aligned};
use wal_format::{CoreId, Found, FrameHeader, LogId, SegmentNumber, SegmentSeed};

use crate::error::ReadError;
use crate::segment::{open_segment, segment_name};
use crate::source::{Source, SourceFile};
use crate::window::Window;

const STEP: u64 = FRAME_ALIGN_BYTES as u64;
/// A multiple of the step, and long enough for the compiler to look at it in vectors.
const BLOCK_BYTES: usize = 256;
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// A stretch without a frame of the log that its file belongs to, from an offset to the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barren {
    /// The file.
    pub segment: SegmentNumber,
    /// Where the stretch begins.
    pub from: u64,
    /// There is something in it that is neither zero nor of the file's former life.
    pub residue: bool,
}

impl Barren {
    /// Searches a segment's file from offset `from` on; `None` if there is no such file, or a frame header of it there
    /// whose checksum holds, be the frame whole or not.
    ///
    /// # Errors
    /// [`ReadError::Io`]; [`ReadError::Format`] for an intact frame that needs a newer version.
    pub fn find(
        source: &dyn Source,
        log_id: LogId,
        core: CoreId,
        segment: SegmentNumber,
        from: u64,
    ) -> Result<Option<Self>, ReadError> {
        let Some(file) = open_segment(source, core, segment)? else { return Ok(None) };
        let path = source.path(&segment_name(core, segment));
        let mut search = Search::new(file, &path, SegmentSeed::new(log_id, core, segment), from, None)?;
        let is_barren = search.next()?.is_none();
        Ok(is_barren.then(|| Self { segment, from, residue: search.residue() }))
    }
}

/// A header whose checksum holds, found by search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    /// The payload's checksum holds too.
    pub(crate) whole: bool,
}

/// Looks at every place where a frame could start, from an offset to the end of the file.
pub(crate) struct Search {
    window: Window,
    seed: SegmentSeed,
    at: u64,
    /// Bytes below this belong to a frame of the file's former life.
    stale_until: u64,
    /// Bytes below this have been checked as part of a payload that failed.
    failed_until: u64,
    residue: bool,
}

impl Search {
    pub(crate) fn new(
        file: Box<dyn SourceFile>,
        path: &Path,
        seed: SegmentSeed,
        from: u64,
        end: Option<u64>,
    ) -> Result<Self, ReadError> {
        let window = Window::new(file, path.to_path_buf(), end)?;
        Ok(Self {
            window,
            seed,
            at: from.checked_next_multiple_of(STEP).unwrap_or(u64::MAX),
            stale_until: 0,
            failed_until: 0,
            residue: false,
        })
    }

    /// Whether anything was passed that is neither zero nor of the file's former life.
    pub(crate) fn residue(&self) -> bool {
        self.residue
    }

    /// The next header that holds. A frame that is whole is stepped over, anything else is searched.
    pub(crate) fn next(&mut self) -> Result<Option<Hit>, ReadError> {
        while self.at < self.window.limit() {
            if !self.skip_to_magic()? {
                continue;
            }
            let at = self.at;
            let bytes = self.window.from(at, FRAME_HEADER_BYTES)?;
            let found = Found::at(&self.seed, at, bytes);
            let length = bytes.get(8..12).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
            match found {
                Ok(Found::Header(header)) => return self.hit(at, header).map(Some),
                Ok(Found::Stale(_)) => {
                    let payload_bytes = frame_aligned(length.unwrap_or(0) as usize);
                    self.stale_until =
                        at.saturating_add((FRAME_HEADER_BYTES.saturating_add(payload_bytes)) as u64);
                }
                Ok(Found::Nothing | Found::Damaged(_)) => self.residue |= at >= self.stale_until,
                Err(cause) => {
                    return Err(ReadError::Format { path: self.window.path().to_path_buf(), cause });
                }
            }
            self.at += STEP;
        }
        Ok(None)
    }

    /// The payload of a hit that is whole, until the next step.
    pub(crate) fn payload(&mut self, hit: &Hit) -> Result<&[u8], ReadError> {
        let bytes = self.window.from(hit.offset, hit.header.frame_bytes())?;
        let payload =
            bytes.get(FRAME_HEADER_BYTES..).and_then(|rest| rest.get(..hit.header.payload_bytes as usize));
        Ok(payload.unwrap_or(&[]))
    }

    fn hit(&mut self, at: u64, header: FrameHeader) -> Result<Hit, ReadError> {
        self.residue = true;
        let frame_bytes = header.frame_bytes() as u64;
        // As in reading, the rest of the file bounds what a length field may load. And no byte is checked twice: frames
        // of one life of a file do not overlap, so within a frame whose payload failed stands no whole one. Otherwise
        // a file full of headers, each with the rest of it for a payload, would take hours.
        let fits = self.window.limit().saturating_sub(at) >= frame_bytes && at >= self.failed_until;
        let whole = fits && {
            let bytes = self.window.from(at, header.frame_bytes())?;
            let payload = bytes.get(FRAME_HEADER_BYTES..).unwrap_or(&[]);
            header.check_payload(&self.seed, at, payload).is_ok()
        };
        if fits && !whole {
            self.failed_until = at.saturating_add(frame_bytes);
        }
        self.at += if whole { frame_bytes } else { STEP };
        Ok(Hit { offset: at, header, whole })
    }

    /// Steps to the next word that could begin a frame, within what is loaded; false if there was none.
    fn skip_to_magic(&mut self) -> Result<bool, ReadError> {
        let bytes = self.window.from(self.at, FRAME_HEADER_BYTES)?;
        let barren = barren(bytes);
        if barren > 0 {
            let end = self.at + barren as u64;
            let unexplained = self.stale_until.clamp(self.at, end) - self.at;
            let rest = usize::try_from(unexplained).ok().and_then(|from| bytes.get(from..barren));
            self.residue |= !is_zero(rest.unwrap_or(&[]));
            self.at = end;
            return Ok(false);
        }
        let (words, rest) = bytes.as_chunks::<FRAME_ALIGN_BYTES>();
        let mut at = self.at;
        let mut residue = self.residue;
        let mut is_magic = false;
        for word in words {
            let word = u64::from_le_bytes(*word);
            if word != 0 {
                if word & 0xffff_ffff == u64::from(FRAME_MAGIC) {
                    is_magic = true;
                    break;
                }
                residue |= at >= self.stale_until;
            }
            at += STEP;
        }
        if !is_magic && !rest.is_empty() {
            // The file ends within a word.
            residue |= at >= self.stale_until && rest.iter().any(|byte| *byte != 0);
            at = self.window.limit();
        }
        self.at = at;
        self.residue = residue;
        Ok(is_magic)
    }
}

/// Bytes at the front in which no frame begins, in whole blocks: most of a file that was filled ahead of use, or of one
/// that is used again.
fn barren(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let has_magic = |block: &[u8; BLOCK_BYTES]| {
        let (words, _) = block.as_chunks::<FRAME_ALIGN_BYTES>();
        // Without an early end: this is what compilers make vectors of.
        words
            .iter()
            .fold(false, |found, &[a, b, c, d, ..]| found | (u32::from_le_bytes([a, b, c, d]) == FRAME_MAGIC))
    };
    blocks.iter().take_while(|block| **block == ZEROS || !has_magic(block)).count() * BLOCK_BYTES
}

fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    blocks.iter().all(|block| *block == ZEROS) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{MemorySource, Source};
    use wal_format::limits::HEADER_BLOCK_BYTES;
    use wal_format::{CoreId, Epoch, FrameKind, LogId, SegmentNumber, Sequence};

    const AT: u64 = HEADER_BLOCK_BYTES as u64;

    fn frame(seed: &SegmentSeed, offset: u64, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            kind: FrameKind::Pad,
            flags: 0,
            core: seed.core(),
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            entry_count: 0,
            epoch: Epoch(1),
            first_sequence: Sequence(0),
            base_timestamp: 0,
            segment: seed.segment(),
            synced_through: 0,
            payload_crc: 0,
        };
        [&header.encode(seed, offset, payload)[..], payload].concat()
    }

    #[test]
    fn no_byte_is_checked_again_within_a_payload_that_failed() {
        let seed = SegmentSeed::new(LogId([7; 16]), CoreId(0), SegmentNumber(0));
        let inner = frame(&seed, AT + 64, &[0; 64]);
        let mut outer = frame(&seed, AT, &[inner, vec![0; 64]].concat());
        let length = outer.len() as u64;
        *outer.last_mut().unwrap() ^= 1;
        let behind = frame(&seed, AT + length, &[0; 8]);
        let mut source = MemorySource::new();
        source.insert("file", [vec![0; HEADER_BLOCK_BYTES], outer, behind].concat());
        let file = source.open("file").unwrap();
        let mut search = Search::new(file, Path::new("file"), seed, AT, None).unwrap();
        let mut hits = Vec::new();
        while let Some(hit) = search.next().unwrap() {
            hits.push((hit.offset - AT, hit.whole));
        }
        assert_eq!(hits, [(0, false), (64, false), (length, true)]);
    }

    /// What [`Search`] has to find, told in the plainest way: every place where a frame could start, one by one.
    fn reference(seed: &SegmentSeed, file: &[u8], from: usize) -> (Vec<(u64, bool)>, bool) {
        let (mut hits, mut residue, mut stale_until, mut failed_until) = (Vec::new(), false, 0, 0);
        let mut at = from.next_multiple_of(FRAME_ALIGN_BYTES);
        while at < file.len() {
            let bytes = &file[at..];
            match Found::at(seed, at as u64, bytes).unwrap() {
                Found::Header(header) => {
                    let end = at + header.frame_bytes();
                    let is_looked_at = end <= file.len() && at >= failed_until;
                    let is_whole = is_looked_at
                        && header.check_payload(seed, at as u64, &bytes[FRAME_HEADER_BYTES..]).is_ok();
                    if is_looked_at && !is_whole {
                        failed_until = end;
                    }
                    hits.push((at as u64, is_whole));
                    residue = true;
                    at = if is_whole { end } else { at + FRAME_ALIGN_BYTES };
                    continue;
                }
                Found::Stale(_) => {
                    let length = u32::from_le_bytes(*bytes[8..].first_chunk().unwrap());
                    stale_until = at + FRAME_HEADER_BYTES + frame_aligned(length as usize);
                }
                Found::Nothing | Found::Damaged(_) => {
                    let word = &bytes[..bytes.len().min(FRAME_ALIGN_BYTES)];
                    residue |= at >= stale_until && word.iter().any(|byte| *byte != 0);
                }
            }
            at += FRAME_ALIGN_BYTES;
        }
        (hits, residue)
    }

    #[track_caller]
    fn check(seed: &SegmentSeed, bytes: &[u8], from: usize, what: &str) {
        let mut source = MemorySource::new();
        source.insert("file", bytes.to_vec());
        let file = source.open("file").unwrap();
        let mut search = Search::new(file, Path::new("file"), *seed, from as u64, None).unwrap();
        let mut hits = Vec::new();
        while let Some(hit) = search.next().unwrap() {
            if hit.whole {
                let (payload, at) = (hit.header.payload_bytes as usize, usize::try_from(hit.offset).unwrap());
                assert_eq!(
                    search.payload(&hit).unwrap(),
                    &bytes[at + FRAME_HEADER_BYTES..][..payload],
                    "{what}"
                );
            }
            hits.push((hit.offset, hit.whole));
        }
        assert_eq!((hits, search.residue()), reference(seed, bytes, from), "{what}");
    }

    #[test]
    fn the_search_finds_what_looking_at_every_place_finds() {
        let own = SegmentSeed::new(LogId([7; 16]), CoreId(0), SegmentNumber(5));
        let former = own.of(CoreId(0), SegmentNumber(2));
        for seed in 0..4000_u64 {
            let mut state = seed;
            // splitmix64
            let mut below = |bound: u64| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
            };
            let mut bytes = vec![0; HEADER_BLOCK_BYTES];
            for _ in 0..below(7) {
                let at = bytes.len().next_multiple_of(FRAME_ALIGN_BYTES);
                let payload = vec![0x11; below(60) * 8];
                let piece = match below(8) {
                    0 | 1 => frame(&own, at as u64, &payload),
                    2 | 3 => frame(&former, at as u64, &payload),
                    4 => {
                        let inner = frame(&own, at as u64 + 64, &payload);
                        frame(&own, at as u64, &inner)
                    }
                    5 => FRAME_MAGIC.to_le_bytes().repeat(1 + below(80)),
                    6 => vec![0x22; below(300)],
                    _ => vec![0; below(900)],
                };
                let mut piece = piece;
                if below(4) == 0 && !piece.is_empty() {
                    let flipped = below(piece.len() as u64);
                    piece[flipped] ^= 1;
                }
                if below(4) == 0 {
                    piece.truncate(below(piece.len() as u64 + 1));
                }
                bytes.resize(at, 0);
                bytes.extend(piece);
            }
            let from = HEADER_BLOCK_BYTES + below(40);
            check(&own, &bytes, from, &format!("seed {seed}"));
        }
    }
}
