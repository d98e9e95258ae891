//! Before anything unproven is believed: sync it, drop it from the page cache (write-ordering rule 8).
//!
//! After a failed sync the page cache shows data that the medium does not have. Whoever decides on such data where a
//! log ends decides something else after the next power loss. So each file is asked, by what the cache shows, up to
//! where it is *proven* durable; what lies beyond is synced, and dropped, so that the scan sees the medium.
//!
//! Not dropped is what the cache shows without a frame of its file's, from behind the last one, and the place of the next, to the
//! end of the file: most of a segment that was filled ahead of use, or of one that is used again. **A frame that the medium
//! has, the cache shows**:
//!
//! 1. Frames are written through the cache, and of a page that is cached nothing else changes the medium.
//! 2. Over a frame nothing is written but itself: a page that is written again holds the same frames, and more
//!    (`FORMAT.md`, rule 5). Zeros go to where nothing was written yet, or to a file without a frame of its number; a number,
//!    and with it what a frame's checksum begins with, is given to one file once.
//! 3. So whatever the cache shows at a place without a frame was written before any frame came there, or read from the medium.
//!    In the first case the medium has it, or, if that write was lost, what the file held in a former life, and no check takes
//!    that for a frame of this one. In the second the medium had it, and by 1 has it still.
//!
//! The other way around nothing is believed: a frame in the cache that is not proven durable is read again. What the medium
//! has there instead can differ only where a write was lost that was none of this life's frames: the log ends at the same place,
//! with the same evidence, and only whether some residue stands behind it may be told in another way.
//!
//! 1 is what a [`SourceFile`] promises. It would not hold of a cache that does not see what another machine wrote.

use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};
use wal_format::{CoreId, Found, LogId, Origin, SegmentNumber, SegmentSeed};
use wal_reader::{
    Barren, ReadError, SegmentState, Source, SourceFile, open_segment, read_full, read_state, segment_name,
};

/// What [`settle`] found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Everything before this place is proven durable.
    pub(crate) proven: Option<(SegmentNumber, u64)>,
    /// What was not dropped, since it holds no frame.
    pub(crate) barren: Vec<Barren>,
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
    let mut is_followed = false;
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
            None => (0, HEADER_BLOCK_BYTES as u64),
        };
        let stated_here = stated.filter(|(at, _)| *at == segment).map_or(0, |(_, through)| through);
        let proven = shown.max(stated_here);
        // Where a later header says how this one ends, nobody asks what stands behind that, be it readable or not.
        let barren =
            if is_followed { None } else { Barren::find(source, log_id, core, segment, end.max(proven))? };
        is_followed |= header.is_some();
        file.sync().map_err(|error| failed("sync", error))?;
        // Where the next frame would stand decides how the log ends: that is read from the medium as well.
        let to = barren.map_or(u64::MAX, |barren| barren.from + FRAME_HEADER_BYTES as u64);
        file.drop_cache(proven, to).map_err(|error| failed("drop the cached pages of", error))?;
        settled.barren.extend(barren);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wal_format::{Epoch, FrameHeader, FrameKind, OperationRef, Origin, Sequence};
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
        let asked = |(index, (segment, from)): (usize, &(u64, u64))| {
            let name = name(*segment);
            // They end with their last frame. What stands behind it is looked at in the newest alone.
            let behind = log.source().get(&name).unwrap().len() as u64 + FRAME_HEADER_BYTES as u64;
            let to = if index == 0 { behind } else { u64::MAX };
            [format!("sync {name}"), format!("drop {name} {from} to {to}")]
        };
        assert_eq!(source.log(), dropped.iter().enumerate().flat_map(asked).collect::<Vec<_>>());
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
    fn what_holds_no_frame_behind_the_last_one_is_not_dropped_and_anything_else_is() {
        let (core, numbers) = (CoreId(0), [SegmentNumber(0), SegmentNumber(1)]);
        let mut log = LogBuilder::new(LogId([7; 16]));
        log.put(core, b"a", b"value");
        log.sync(core);
        let proven = log.end(core).offset;
        log.put(core, b"b", b"value");
        let end = log.end(core).offset;
        let name = |segment| segment_name(core, segment);
        // How long the file of segment 0 and that made ahead of use are, what stands in one of them at an offset, and how much
        // is not dropped, and holds what is neither zero nor of a former life.
        let check = |length: usize, odd: Option<(usize, usize, &[u8])>, barren: [Option<bool>; 2]| {
            let mut source = log.source();
            source.get_mut(&name(numbers[0])).unwrap().resize(length, 0);
            source.insert(name(numbers[1]), vec![0; length]);
            if let Some((file, at, bytes)) = odd {
                source.get_mut(&name(numbers[file])).unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
            }
            let source = FaultySource::new(Arc::new(source), Faults::default());
            let settled = settle(&source, log.log_id(), core, &numbers).unwrap();
            let starts = [end, HEADER_BLOCK_BYTES as u64];
            let found = |file: usize| {
                barren[file].map(|residue| Barren { segment: numbers[file], from: starts[file], residue })
            };
            let expected = Settled {
                proven: Some((numbers[0], proven)),
                barren: [found(1), found(0)].into_iter().flatten().collect(),
            };
            let what = format!("{length} {odd:?}");
            assert_eq!(settled, expected, "{what}");
            let asked = |file: usize, from: u64| {
                let name = name(numbers[file]);
                let to = barren[file].map_or(u64::MAX, |_| starts[file] + FRAME_HEADER_BYTES as u64);
                [format!("sync {name}"), format!("drop {name} {from} to {to}")]
            };
            assert_eq!(source.log(), [asked(1, 0), asked(0, proven)].concat(), "{what}");
        };
        let first = usize::try_from(end).unwrap();
        for length in
            [first, first + 1, 8 * STRIDE_BYTES - 1, 8 * STRIDE_BYTES, 8 * STRIDE_BYTES + first, 1 << 20]
        {
            check(length, None, [Some(false); 2]);
            for back in [1, 4096, 40_000] {
                let Some(at) = length.checked_sub(back) else { continue };
                let is_behind = at >= HEADER_BLOCK_BYTES;
                check(length, Some((1, at, &[1])), [Some(false), Some(is_behind)]);
                if at >= first {
                    check(length, Some((0, at, &[1])), [Some(true), Some(false)]);
                }
            }
        }
        let frame = |segment, at: usize| {
            let seed = SegmentSeed::new(log.log_id(), core, segment);
            let header = FrameHeader { segment, ..FRAME };
            [&header.encode(&seed, at as u64, &[0; 64])[..], &[0; 64]].concat()
        };
        for (file, at) in
            [(0, first + 8), (0, 1 << 19), (1, HEADER_BLOCK_BYTES), (1, 1 << 19), (1, (1 << 20) - 128)]
        {
            let own = frame(numbers[file], at);
            let mut expected = [Some(false); 2];
            // Of a former life.
            check(1 << 20, Some((file, at, &frame(SegmentNumber(9), at))), expected);
            expected[file] = Some(true);
            let torn = [&own[..8], &[!own[8]], &own[9..]].concat();
            check(1 << 20, Some((file, at, &torn)), expected);
            expected[file] = None;
            check(1 << 20, Some((file, at, &own)), expected);
            // Its header is all that counts: the payload may be what a crash kept from the medium.
            check(1 << 20, Some((file, at, &[&own[..127], &[1]].concat())), expected);
        }
    }

    const FRAME: FrameHeader = FrameHeader {
        kind: FrameKind::Pad,
        flags: 0,
        core: CoreId(0),
        payload_bytes: 64,
        entry_count: 0,
        epoch: Epoch(1),
        first_sequence: Sequence(0),
        base_timestamp: 0,
        segment: SegmentNumber(0),
        synced_through: 0,
        payload_crc: 0,
    };
}
