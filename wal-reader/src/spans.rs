//! Stretches of segments that are to be read, and how to find them between two positions of a core's log.

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, LogId, SegmentNumber};

use crate::error::{Defect, ReadError};
use crate::frames::Order;
use crate::position::LogPosition;
use crate::segment::{SegmentState, read_state, segment_name};
use crate::source::Source;

/// A stretch of one segment that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The segment.
    pub segment: SegmentNumber,
    /// Offset of its first frame.
    pub from: u64,
    /// Offset behind its last frame.
    pub to: u64,
    /// What its first frame must follow from.
    pub order: Order,
    /// Entries before it are lost: its sequence numbers need not follow from the span before.
    pub after_gap: bool,
}

/// The spans between two positions, by the segments' headers from `end` backwards.
pub(crate) fn link_range(
    source: &dyn Source,
    log_id: LogId,
    core: CoreId,
    start: LogPosition,
    end: LogPosition,
) -> Result<Vec<Span>, ReadError> {
    if start.place() >= end.place() {
        return Ok(Vec::new());
    }
    let header_block = HEADER_BLOCK_BYTES as u64;
    let defect = |segment, reason: &str| {
        Box::new(Defect {
            path: source.path(&segment_name(core, segment)),
            core,
            segment,
            offset: 0,
            sequence: start.sequence,
            sequence_end: Some(end.sequence),
            evidence: None,
            reason: reason.to_owned(),
        })
    };
    let mut spans = Vec::new();
    let (mut segment, mut to) = end.place();
    loop {
        if (segment, to) == start.place() {
            break; // Nothing of it is needed: it may have been named before it was made.
        }
        let state = match read_state(source, log_id, core, segment)? {
            Some(SegmentState::InUse(header)) => Ok(header),
            Some(SegmentState::Prepared(None)) => Err("its header block is empty".to_owned()),
            Some(SegmentState::Prepared(Some((core, segment)))) => {
                Err(format!("it holds segment {segment} of core {core}"))
            }
            Some(SegmentState::Damaged(error)) => {
                return Err(ReadError::Corrupt(defect(segment, &error.to_string())));
            }
            Some(SegmentState::Absent) | None => Err("the segment's file does not exist".to_owned()),
        };
        let header = state.map_err(|reason| ReadError::Missing(defect(segment, &reason)))?;
        let at_start = segment == start.segment;
        let (from, sequence) =
            if at_start { (start.offset, start.sequence) } else { (header_block, header.first_sequence) };
        let order = Order { sequence, ..Order::default() }.raised_by(&header);
        spans.push(Span { segment, from, to, order, after_gap: false });
        if at_start {
            break;
        }
        match header.previous {
            Some(previous) if previous.segment >= start.segment => {
                (segment, to) = (previous.segment, previous.end);
            }
            // The start was named, but the log went on elsewhere: allowed if nothing is skipped.
            _ if header.first_sequence <= start.sequence => break,
            _ => {
                let reason = "no segment links it to the start of the range";
                return Err(ReadError::Missing(defect(segment, reason)));
            }
        }
    }
    spans.reverse();
    Ok(spans)
}
