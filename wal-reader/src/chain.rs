//! Which segment files make up a core's log, by their headers alone (`FORMAT.md#segment-header`, "Chain").

use std::collections::BTreeMap;
use std::ops::Bound;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, LogId, Origin, SegmentHeader, SegmentNumber, Sequence};

use crate::error::{Defect, ReadError};
use crate::evidence::{Evidence, Reach, Witness};
use crate::position::LogPosition;
use crate::segment::{SegmentState, read_state, segment_name};
use crate::source::Source;

/// One segment of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its header.
    pub header: SegmentHeader,
    /// Where it ends for good, by the header of the next link; the last link has no such word.
    pub end: Option<u64>,
}

/// A file above the last link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// The segment that its name says.
    pub segment: SegmentNumber,
    /// What its header block says.
    pub state: SegmentState,
    /// Where it ends for good, if a header above it says so.
    pub end: Option<u64>,
}

/// A core's log as its segment headers describe it. Frames have not been looked at.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Where the log begins: the checkpoint's position, or its very first entry. An offset of 0 says that not even
    /// the header block of that segment can be read.
    pub begin: LogPosition,
    /// The segments from there, ascending, each linked to the one before.
    pub links: Vec<Link>,
    /// All files above the last link, ascending. A file in use stands here if a file below it cannot be read.
    pub above: Vec<Above>,
    /// Files that the chain jumps over: given up after a failed sync.
    pub superseded: Vec<SegmentNumber>,
    /// Files below the checkpoint's position: no longer needed.
    pub obsolete: Vec<SegmentNumber>,
    /// What the headers prove.
    pub proofs: Vec<Evidence>,
}

impl Chain {
    /// Finds the chain of one core among its files (`segments`, ascending).
    ///
    /// `start` is the checkpoint's position of this core, if there is a checkpoint that knows it. `released` says of a
    /// segment whether a checkpoint has placed its core's position beyond it, so that its file may have been reused.
    ///
    /// # Errors
    /// [`ReadError::Io`], [`ReadError::Foreign`], [`ReadError::Format`] as of [`read_state`];
    /// [`ReadError::Misplaced`] for a file that holds a live segment of another name;
    /// [`ReadError::Corrupt`] if a header contradicts the checkpoint.
    pub fn find(
        source: &dyn Source,
        log_id: LogId,
        core: CoreId,
        segments: &[SegmentNumber],
        start: Option<LogPosition>,
        released: &dyn Fn(CoreId, SegmentNumber) -> bool,
    ) -> Result<Self, ReadError> {
        let first_needed = start.map_or(SegmentNumber(0), |start| start.segment);
        let (obsolete, needed): (Vec<_>, Vec<_>) =
            segments.iter().copied().partition(|segment| *segment < first_needed);
        let mut states = BTreeMap::new();
        for segment in needed {
            // A file that vanishes between listing and opening is as absent as one that never was.
            let Some(state) = read_state(source, log_id, core, segment)? else { continue };
            if let SegmentState::Prepared(Some((other, number))) = state
                && !released(other, number)
            {
                let path = source.path(&segment_name(core, segment));
                return Err(ReadError::Misplaced { path, core: other, segment: number });
            }
            states.insert(segment, state);
        }
        let chain = link(states, start, obsolete);
        chain.check_begin(source, core)?;
        Ok(chain)
    }

    /// Where reading begins: that of [`Self::begin`], or of the first link if the chain jumps over the beginning.
    #[must_use]
    pub fn read_from(&self) -> LogPosition {
        match self.links.first() {
            Some(link) if link.header.segment > self.begin.segment => {
                LogPosition::start_of(link.header.segment, link.header.first_sequence)
            }
            _ => self.begin,
        }
    }

    fn check_begin(&self, source: &dyn Source, core: CoreId) -> Result<(), ReadError> {
        let Some(Link { header, end: Some(end) }) = self.links.first() else {
            return Ok(());
        };
        let begin = &self.begin;
        if header.segment != begin.segment || *end >= begin.offset {
            return Ok(());
        }
        Err(ReadError::Corrupt(Box::new(Defect {
            path: source.path(&segment_name(core, header.segment)),
            core,
            segment: header.segment,
            offset: *end,
            sequence: begin.sequence,
            sequence_end: None,
            evidence: Some(Evidence {
                reach: Reach::Place(begin.segment, begin.offset),
                witness: Witness::Manifest,
            }),
            reason: "the next segment says that this one ends before the checkpoint's position".to_owned(),
        })))
    }
}

/// Pure: from the state of every file to the chain.
fn link(
    mut states: BTreeMap<SegmentNumber, SegmentState>,
    start: Option<LogPosition>,
    obsolete: Vec<SegmentNumber>,
) -> Chain {
    let mut proofs = Vec::new();
    let mut links = Vec::new();
    let mut ceiling = Bound::Unbounded;
    // Of chains that break off: the ends of their segments, and the stretches that they reach over.
    let mut ends = BTreeMap::new();
    let mut spanned = Vec::new();
    // Ends: each turn lowers the ceiling.
    while let Some(top) = top_below(&states, ceiling) {
        match follow(&states, top, start) {
            Ok(found) => {
                links = found;
                break;
            }
            Err(broken) => {
                let Broken { at, end, named_by, links } = broken;
                spanned.push((at, top.segment));
                ends.extend(links.iter().map(|link| (link.header.segment, link.end)));
                ends.insert(at, Some(end));
                states.entry(at).or_insert_with(|| {
                    // A header links only to a segment whose name was durable first (write-ordering rule 2).
                    let reach = Reach::Place(at, 1);
                    proofs.push(Evidence { reach, witness: Witness::Header { segment: named_by } });
                    SegmentState::Absent
                });
                ceiling = Bound::Excluded(at);
            }
        }
    }
    links.reverse();
    let begin_sequence = start.map_or(Sequence(0), |start| start.sequence);
    if let Some(Link { header, .. }) = links.first()
        && header.first_sequence > begin_sequence
        && start.is_none_or(|start| header.segment != start.segment)
    {
        // The log begins later than it should: its beginning is gone, whatever follows.
        proofs.push(Evidence {
            reach: Reach::Sequence(header.first_sequence),
            witness: Witness::Header { segment: header.segment },
        });
        ends.extend(links.iter().map(|link| (link.header.segment, link.end)));
        links.clear();
    }
    proofs.extend(states.values().filter_map(SegmentState::header).filter_map(proof_of));
    let last = links.last().map(|link| link.header.segment);
    let begin = begin(start, links.first(), &states);
    let in_chain = |segment| links.iter().any(|link: &Link| link.header.segment == segment);
    let is_jumped_over = |at: SegmentNumber| {
        let in_broken = spanned.iter().any(|(low, high)| *low < at && at < *high) && !ends.contains_key(&at);
        in_broken || (Some(at) < last && !in_chain(at))
    };
    let superseded = states.keys().copied().filter(|at| is_jumped_over(*at)).collect();
    let above = states.into_iter().filter(|(at, _)| Some(*at) > last && !is_jumped_over(*at));
    let above = above
        .map(|(segment, state)| Above { segment, state, end: ends.get(&segment).copied().flatten() })
        .collect();
    Chain { begin, links, above, superseded, obsolete, proofs }
}

fn top_below(
    states: &BTreeMap<SegmentNumber, SegmentState>,
    ceiling: Bound<SegmentNumber>,
) -> Option<SegmentHeader> {
    let below = states.range((Bound::Unbounded, ceiling)).rev();
    below.map(|(_, state)| state).find_map(SegmentState::header).copied()
}

/// A link to a segment that is not there or has no header.
struct Broken {
    at: SegmentNumber,
    /// Where that segment ends for good.
    end: u64,
    named_by: SegmentNumber,
    /// The links above it, descending.
    links: Vec<Link>,
}

/// The links from `top` down to the beginning, descending.
fn follow(
    states: &BTreeMap<SegmentNumber, SegmentState>,
    top: SegmentHeader,
    start: Option<LogPosition>,
) -> Result<Vec<Link>, Broken> {
    let mut links = vec![Link { header: top, end: None }];
    let mut header = top;
    // Ends: a header links only to a lower segment.
    while let Some(previous) = header.previous {
        let at = previous.segment;
        if start.is_some_and(|start| header.segment <= start.segment || at < start.segment) {
            break;
        }
        header = match states.get(&at).and_then(SegmentState::header) {
            Some(header) => *header,
            // Nothing of it is needed: it may have been named before it was made.
            None if start.is_some_and(|start| start.place() == (at, previous.end)) => break,
            None => {
                return Err(Broken { at, end: previous.end, named_by: header.segment, links });
            }
        };
        links.push(Link { header, end: Some(previous.end) });
    }
    Ok(links)
}

/// What a header proves of the segment before it.
fn proof_of(header: &SegmentHeader) -> Option<Evidence> {
    let previous = header.previous?;
    let through = match header.origin {
        Origin::Resumption => previous.end,
        Origin::First | Origin::Rotation | Origin::Continuation => previous.synced_through,
    };
    (through > 0).then_some(Evidence {
        reach: Reach::Place(previous.segment, through),
        witness: Witness::Header { segment: header.segment },
    })
}

fn begin(
    start: Option<LogPosition>,
    first: Option<&Link>,
    states: &BTreeMap<SegmentNumber, SegmentState>,
) -> LogPosition {
    let Some(start) = start else {
        return match first {
            Some(link) => LogPosition::start_of(link.header.segment, Sequence(0)),
            None => {
                let segment = states.keys().next().copied().unwrap_or_default();
                LogPosition { segment, offset: 0, sequence: Sequence(0) }
            }
        };
    };
    let readable = first.is_some() || start.offset <= HEADER_BLOCK_BYTES as u64;
    if readable { start } else { LogPosition { offset: 0, ..start } }
}
