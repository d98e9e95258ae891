//! Before anything unproven is believed: sync it, drop it from the page cache (write-ordering rule 8).
//!
//! After a failed sync the page cache shows data that the medium does not have. Whoever decides on such data where a
//! log ends decides something else after the next power loss. So each file is asked, by what the cache shows, up to
//! where it is *proven* durable; what lies beyond is synced, and dropped, so that the scan sees the medium.
//!
//! Not dropped is what the cache shows as zeros, from behind the last frame to the end of the file: most of a segment that
//! was filled ahead of use. **A frame that the medium has, the cache shows**:
//!
//! 1. Frames are written through the cache, and of a page that is cached nothing else changes the medium.
//! 2. Over a frame nothing is written but itself: a page that is written again holds the same frames, and more
//!    (`FORMAT.md`, rule 5). Zeros go to where nothing was written yet, or to a file without a frame of its number; a number,
//!    and with it what a frame's checksum begins with, is given to one file once.
//! 3. So a zero in the cache was written before any frame came there, or read from the medium. In the first case the medium
//!    has zeros, or, if that write was lost, what the file held in a former life, and no check takes that for a frame of this
//!    one. In the second it had zeros, and by 1 has them still.
//!
//! The other way around nothing is believed: a frame in the cache that is not proven durable is read again. What the medium
//! has behind the zeros can differ only where a write of zeros was lost, and by bytes that are nobody's frames: the log ends at
//! the same place, with the same evidence.
//!
//! 1 is what a [`SourceFile`] promises. It would not hold of a cache that does not see what another machine wrote.

use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};
use wal_format::{CoreId, Found, LogId, Origin, SegmentNumber, SegmentSeed};
use wal_reader::{
    ReadError, SegmentState, Source, SourceFile, open_segment, read_full, read_state, segment_name,
};

/// What [`settle`] found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Everything before this place is proven durable.
    pub(crate) proven: Option<(SegmentNumber, u64)>,
    /// Segments, and offsets behind which they hold nothing but zeros.
    pub(crate) bare: Vec<(SegmentNumber, u64)>,
}

/// Large enough to hold many small frames, small enough to skip most of a large one.
const STRIDE_BYTES: usize = 4096;

/// Settles the files of one core (`segments`, ascending), from the last one back to one in which something is proven.
///
/// # Errors
/// [`ReadError::Io`]: also of a sync that failed, which is not to be repeated.
pub(crate) fn settle(
    source: &dyn Source,
    log_id: LogId,
    core: CoreId,
    segments: &[SegmentNumber],
) -> Result<Settled, ReadError> {
    let mut settled = Settled::default();
    // What the header of a later segment says of an earlier one: segment, offset proven.
    let mut stated: Option<(SegmentNumber, u64)> = None;
    for &segment in segments.iter().rev() {
        let Some(file) = open_segment(source, core, segment)? else { continue };
        let path = source.path(&segment_name(core, segment));
        let failed = |operation, cause| ReadError::Io { operation, path: path.clone(), cause };
        let state = match read_state(source, log_id, core, segment) {
            // Whatever is wrong with the header, the scan will say; here it only means that nothing is proven.
            Ok(state) => state,
            Err(error @ ReadError::Io { .. }) => return Err(error),
            Err(_) => None,
        };
        let header = match state {
            Some(SegmentState::InUse(header)) => Some(header),
            _ => None,
        };
        let (shown, end) = match &header {
            Some(_) => {
                let seed = SegmentSeed::new(log_id, core, segment);
                synced_through(&*file, &seed).map_err(|error| failed("read", error))?
            }
            None => (0, 0),
        };
        let is_bare = is_zero_from(&*file, end).map_err(|error| failed("read", error))?;
        let stated_here = stated.filter(|(at, _)| *at == segment).map_or(0, |(_, through)| through);
        let proven = shown.max(stated_here);
        file.sync().map_err(|error| failed("sync", error))?;
        let to = if is_bare { end.max(proven) } else { u64::MAX };
        file.drop_cache(proven, to).map_err(|error| failed("drop the cached pages of", error))?;
        if is_bare {
            settled.bare.push((segment, to));
        }
        if proven > 0 {
            // Anything durable in a segment says that all earlier ones are.
            settled.proven = Some((segment, proven));
            return Ok(settled);
        }
        if let Some(previous) = header.and_then(|header| Some((header.origin, header.previous?))) {
            let (origin, previous) = previous;
            let through = if origin == Origin::Resumption { previous.end } else { previous.synced_through };
            stated = Some((previous.segment, through));
        }
    }
    Ok(settled)
}

/// The highest `synced_through` along the frames of a segment, by their headers alone, and where the last of them ends.
fn synced_through(file: &dyn SourceFile, seed: &SegmentSeed) -> std::io::Result<(u64, u64)> {
    let mut buffer = [0; STRIDE_BYTES];
    let (mut at, mut through) = (HEADER_BLOCK_BYTES as u64, 0);
    loop {
        let filled = read_full(file, &mut buffer, at)?;
        let mut offset = 0;
        // At least one header a turn, or the end: `at` always moves on.
        while let Some(bytes) = buffer.get(offset..filled) {
            if bytes.len() < FRAME_HEADER_BYTES && offset > 0 && filled == STRIDE_BYTES {
                break;
            }
            let here = at.saturating_add(offset as u64);
            let Ok(Found::Header(header)) = Found::at(seed, here, bytes) else {
                return Ok((through, here));
            };
            if header.synced_through <= here {
                through = through.max(header.synced_through);
            }
            offset = offset.saturating_add(header.frame_bytes());
        }
        at = at.saturating_add(offset as u64);
    }
}

/// Whether nothing but zeros stands in a file from `from` on.
fn is_zero_from(file: &dyn SourceFile, mut from: u64) -> std::io::Result<bool> {
    const ZEROS: [u8; STRIDE_BYTES] = [0; STRIDE_BYTES];
    let mut buffer = [0; 8 * STRIDE_BYTES];
    loop {
        let filled = read_full(file, &mut buffer, from)?;
        let mut pages = buffer.get(..filled).unwrap_or(&[]).chunks(STRIDE_BYTES);
        if !pages.all(|page| ZEROS.starts_with(page)) {
            return Ok(false);
        }
        if filled < buffer.len() {
            return Ok(true);
        }
        from = from.saturating_add(filled as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wal_format::{OperationRef, Origin};
    use wal_reader::testing::{Faults, FaultySource, LogBuilder};

    use super::*;

    /// The value sizes of one log's frames; every frame says that what stands before it is durable.
    #[track_caller]
    fn check(sizes: impl Iterator<Item = usize> + Clone) {
        let (log_id, core) = (LogId([7; 16]), CoreId(0));
        let mut log = LogBuilder::new(log_id);
        let mut last = 0;
        for size in sizes.clone() {
            log.sync(core);
            last = log.batch(core, &[OperationRef::Put { key: b"", value: &vec![1; size] }]).offset;
        }
        let source = log.source();
        let file = source.open(&log.core(core).name()).unwrap();
        let seed = SegmentSeed::new(log_id, core, SegmentNumber(0));
        let expected = (last, log.end(core).offset);
        assert_eq!(synced_through(&*file, &seed).unwrap(), expected, "{:?}", sizes.collect::<Vec<_>>());
    }

    #[test]
    fn the_last_frame_is_found_wherever_headers_fall_into_the_strides() {
        for count in [1, 2, 3, 50, 200] {
            for size in (0..80).chain([STRIDE_BYTES - 72, STRIDE_BYTES - 64, STRIDE_BYTES, 3 * STRIDE_BYTES])
            {
                check(std::iter::repeat_n(size, count));
            }
        }
        // A header that reaches beyond the stride by each multiple of eight.
        for size in 3900..4100 {
            check([size, 10, 20].into_iter());
        }
    }

    #[test]
    fn a_frame_that_claims_what_stands_behind_it_proves_nothing() {
        let (log_id, core) = (LogId([7; 16]), CoreId(0));
        for (claims, proves) in [(-8, true), (0, true), (1, false)] {
            let mut log = LogBuilder::new(log_id);
            log.put(core, b"a", b"value");
            let claim = log.end(core).offset.saturating_add_signed(claims);
            log.core(core).synced_through = claim;
            log.put(core, b"b", b"value");
            let source = log.source();
            let file = source.open(&log.core(core).name()).unwrap();
            let seed = SegmentSeed::new(log_id, core, SegmentNumber(0));
            let proven = if proves { claim } else { 0 };
            assert_eq!(synced_through(&*file, &seed).unwrap().0, proven, "{claims}");
        }
    }

    /// Settles core 0 of `log`, whose segments are those of `numbers`, and compares what is proven in the end, and where
    /// each file was dropped from, newest first.
    #[track_caller]
    fn check_settled(log: &LogBuilder, numbers: &[u64], proven: Option<(u64, u64)>, dropped: &[(u64, u64)]) {
        let source = FaultySource::new(Arc::new(log.source()), Faults::default());
        let segments: Vec<_> = numbers.iter().copied().map(SegmentNumber).collect();
        let settled = settle(&source, log.log_id(), CoreId(0), &segments).unwrap();
        let proven = proven.map(|(segment, through)| (SegmentNumber(segment), through));
        assert_eq!(settled.proven, proven);
        let name = |segment| segment_name(CoreId(0), SegmentNumber(segment));
        let asked = |(segment, from): &(u64, u64)| {
            let name = name(*segment);
            // They end with their last frame.
            let end = log.source().get(&name).unwrap().len();
            [format!("sync {name}"), format!("drop {name} {from} to {end}")]
        };
        assert_eq!(source.log(), dropped.iter().flat_map(asked).collect::<Vec<_>>());
    }

    #[test]
    fn files_are_asked_back_to_the_newest_in_which_anything_is_proven() {
        let core = CoreId(0);
        let mut log = LogBuilder::new(LogId([7; 16]));
        log.put(core, b"a", b"value");
        check_settled(&log, &[0], None, &[(0, 0)]);
        log.sync(core);
        let durable = log.end(core);
        // Its own frame says so.
        log.put(core, b"b", b"value");
        check_settled(&log, &[0], Some((0, durable.offset)), &[(0, durable.offset)]);
        log.put(core, b"c", b"value");
        let written = log.end(core);
        // A rotation says no more of the segment before than was known.
        log.begin(core, SegmentNumber(1), Origin::Rotation, Some(written));
        log.put(core, b"d", b"value");
        check_settled(&log, &[0, 1], Some((0, durable.offset)), &[(1, 0), (0, durable.offset)]);
        // A continuation says it of the segment in which the sync failed, not of the one between.
        log.begin(core, SegmentNumber(2), Origin::Continuation, Some(durable));
        log.put(core, b"b", b"value");
        let asked = [(2, 0), (1, 0), (0, durable.offset)];
        check_settled(&log, &[0, 1, 2], Some((0, durable.offset)), &asked);
        log.sync(core);
        let end = log.end(core);
        // A resumption records where all before ends, after a sync.
        log.begin(core, SegmentNumber(3), Origin::Resumption, Some(end));
        check_settled(&log, &[0, 1, 2, 3], Some((2, end.offset)), &[(3, 0), (2, end.offset)]);
        // A file that is gone is passed.
        log.release(core, SegmentNumber(2));
        check_settled(&log, &[0, 1, 2, 3], Some((0, durable.offset)), &[(3, 0), (1, 0), (0, durable.offset)]);
    }

    #[test]
    fn zeros_behind_the_last_frame_are_neither_dropped_nor_searched_and_anything_else_is() {
        let (core, numbers) = (CoreId(0), [SegmentNumber(0), SegmentNumber(1)]);
        let mut log = LogBuilder::new(LogId([7; 16]));
        log.put(core, b"a", b"value");
        log.sync(core);
        let proven = log.end(core).offset;
        log.put(core, b"b", b"value");
        let end = log.end(core).offset;
        let name = |segment| segment_name(core, segment);
        // How long the file of segment 0 and that made ahead of use are, and where a byte of them is not zero.
        let check = |length: usize, odd: Option<(usize, usize)>, bare: [bool; 2]| {
            let mut source = log.source();
            source.get_mut(&name(numbers[0])).unwrap().resize(length, 0);
            source.insert(name(numbers[1]), vec![0; length]);
            if let Some((file, at)) = odd {
                source.get_mut(&name(numbers[file])).unwrap()[at] = 1;
            }
            let source = FaultySource::new(Arc::new(source), Faults::default());
            let settled = settle(&source, log.log_id(), core, &numbers).unwrap();
            let at = |bare, to: u64| if bare { to } else { u64::MAX };
            let (to, to_ahead) = (at(bare[0], end), at(bare[1], 0));
            let bare = [(numbers[1], to_ahead), (numbers[0], to)].into_iter();
            let expected = Settled {
                proven: Some((numbers[0], proven)),
                bare: bare.filter(|(_, to)| *to < u64::MAX).collect(),
            };
            assert_eq!(settled, expected, "{length} {odd:?}");
            let asked = |segment, from, to| {
                [format!("sync {}", name(segment)), format!("drop {} {from} to {to}", name(segment))]
            };
            assert_eq!(
                source.log(),
                [asked(numbers[1], 0, to_ahead), asked(numbers[0], proven, to)].concat(),
                "{length} {odd:?}"
            );
        };
        let end = usize::try_from(end).unwrap();
        for length in [end, end + 1, 8 * STRIDE_BYTES - 1, 8 * STRIDE_BYTES, 8 * STRIDE_BYTES + end, 1 << 20]
        {
            check(length, None, [true, true]);
            for back in [1, 4096, 40_000] {
                let Some(at) = length.checked_sub(back) else { continue };
                check(length, Some((1, at)), [true, false]);
                if at >= end {
                    check(length, Some((0, at)), [false, true]);
                }
            }
        }
    }
}
