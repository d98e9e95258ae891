//! What the page shows of each core: frames over time, in a bounded number of blocks, segments, gaps, epochs.

use wal_format::{CoreId, EntryDecoder};

use super::axis::{Piece, layout};
use crate::cli::dump::frames;
use crate::cli::failure::Failure;
use crate::cli::survey::Survey;
use crate::json::Json;
use crate::plan::{CorePlan, Plan};

/// Every lane has room for so many blocks, however many there are.
const BLOCKS_MIN: usize = 100;
/// More epochs than this are not told apart on a screen.
const EPOCHS_MAX: usize = 2000;

/// One frame, or several that stand one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    from_ns: u64,
    to_ns: u64,
    frames: u64,
    entries: u64,
    bytes: u64,
    epochs: (u64, u64),
    first_sequence: u64,
    segment: u64,
    offset: u64,
}

/// A stretch of a lane that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    from_ns: u64,
    /// `None`: the log ends with it.
    to_ns: Option<u64>,
    lost: Option<u64>,
    reason: String,
}

/// One core.
pub(super) struct Lane {
    core: CoreId,
    blocks: Vec<Block>,
    /// Frames of the largest blocks: 1 unless the log has more frames than there is room for.
    frames_a_block: u64,
    holes: Vec<Hole>,
}

/// Everything that is drawn.
pub(super) struct Picture {
    axis: Vec<Piece>,
    lanes: Vec<Lane>,
    /// Epoch and the time of its first entry on any core, ascending.
    epochs: Vec<(u64, u64)>,
    /// Epoch and time of the checkpoint.
    checkpoint: Option<(u64, u64)>,
}

impl Picture {
    /// Reads every frame, and keeps about `blocks_max` blocks of them.
    pub(super) fn draw(survey: &Survey, plan: &Plan, blocks_max: usize) -> Result<Self, Failure> {
        let room = (blocks_max / plan.cores.len().max(1)).max(BLOCKS_MIN);
        let mut epochs = Vec::new();
        let mut lanes = Vec::with_capacity(plan.cores.len());
        for core in &plan.cores {
            lanes.push(draw_lane(survey, core, room, &mut epochs)?);
        }
        let checkpoint = plan.manifest.as_ref().map(|manifest| (manifest.epoch.0, manifest.created_ns));
        let blocks = lanes.iter().flat_map(|lane| &lane.blocks);
        let mut busy: Vec<_> = blocks.map(|block| (block.from_ns, block.to_ns)).collect();
        busy.extend(checkpoint.map(|(_, made_ns)| (made_ns, made_ns)));
        Ok(Self { axis: layout(busy), lanes, epochs: thinned(epochs), checkpoint })
    }

    pub(super) fn write(&self, json: &mut Json) {
        let origin_ns = self.axis.first().map_or(0, |piece| piece.from_ns);
        let time = |time_ns: u64| Micros(time_ns.saturating_sub(origin_ns));
        json.string("origin_ns", origin_ns);
        json.objects("axis", &self.axis, |json, piece| {
            json.number("t0", time(piece.from_ns));
            json.number("t1", time(piece.to_ns));
            json.number("x0", piece.from);
            json.number("x1", piece.to);
            json.bool("idle", piece.is_idle);
        });
        json.objects("lanes", &self.lanes, |json, lane| {
            json.number("core", lane.core);
            json.number("frames_a_block", lane.frames_a_block);
            json.objects("blocks", &lane.blocks, |json, block| {
                json.number("t0", time(block.from_ns));
                json.number("t1", time(block.to_ns));
                json.number("frames", block.frames);
                json.number("entries", block.entries);
                json.number("bytes", block.bytes);
                json.numbers("epochs", &[block.epochs.0, block.epochs.1]);
                json.string("sequence", block.first_sequence);
                json.string("segment", block.segment);
                json.number("offset", block.offset);
            });
            json.objects("gaps", &lane.holes, |json, hole| {
                json.number("t0", time(hole.from_ns));
                json.optional_number("t1", hole.to_ns.map(time));
                json.optional_number("lost", hole.lost);
                json.string("reason", &hole.reason);
            });
        });
        json.objects("epochs", &self.epochs, |json, (epoch, time_ns)| {
            json.number("epoch", epoch);
            json.number("t", time(*time_ns));
        });
        match self.checkpoint {
            Some((epoch, made_ns)) => json.object("checkpoint", |json| {
                json.number("epoch", epoch);
                json.number("t", time(made_ns));
            }),
            None => json.optional_string("checkpoint", None::<u8>),
        }
    }
}

/// Microseconds with their thousandths: nanoseconds that a number of JavaScript can hold.
struct Micros(u64);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn draw_lane(
    survey: &Survey,
    core: &CorePlan,
    room: usize,
    epochs: &mut Vec<(u64, u64)>,
) -> Result<Lane, Failure> {
    let mut lane = Lane { core: core.scan.core, blocks: Vec::new(), frames_a_block: 1, holes: Vec::new() };
    // Before the first entry: what the checkpoint's position says.
    let mut before_ns = core.spans.first().map_or(0, |span| span.order.timestamp);
    for span in &core.spans {
        let mut is_first = true;
        frames::each(survey, core.scan.core, span, |frame| {
            let first = EntryDecoder::new(frame.payload).next_entry().ok().flatten();
            let delta = first.map_or(0, |entry| entry.timestamp_delta);
            let has_entries = frame.header.entry_count > 0;
            let from_ns =
                if has_entries { frame.header.base_timestamp.saturating_add(delta) } else { frame.last_ns };
            if std::mem::take(&mut is_first) && span.after_gap {
                lane.end_hole(from_ns);
            }
            let block = Block {
                from_ns,
                to_ns: frame.last_ns.max(from_ns),
                frames: 1,
                entries: u64::from(frame.header.entry_count),
                bytes: frame.header.frame_bytes() as u64,
                epochs: (frame.header.epoch.0, frame.header.epoch.0),
                first_sequence: frame.header.first_sequence.0,
                segment: frame.header.segment.0,
                offset: frame.offset,
            };
            before_ns = block.to_ns;
            if has_entries {
                note_epoch(epochs, block.epochs.0, from_ns);
            }
            lane.blocks.push(block);
            if lane.blocks.len() > room {
                lane.shrink(room);
            }
            Ok(())
        })?;
        let here = |gap: &&wal_reader::Gap| gap.from.place() == (span.segment, span.to);
        if let Some(gap) = core.gaps.iter().find(here) {
            let lost = gap.to.map(|to| to.sequence.0.saturating_sub(gap.from.sequence.0));
            lane.holes.push(Hole { from_ns: before_ns, to_ns: None, lost, reason: gap.reason.clone() });
        }
    }
    // A log whose beginning cannot be read, or nothing of which can.
    let drawn = lane.holes.len();
    let first_ns = lane.blocks.first().map_or(before_ns, |block| block.from_ns);
    if let Some(gap) = core.gaps.first().filter(|_| drawn < core.gaps.len()) {
        let lost = gap.to.map(|to| to.sequence.0.saturating_sub(gap.from.sequence.0));
        let reason = gap.reason.clone();
        lane.holes.insert(0, Hole { from_ns: first_ns, to_ns: Some(first_ns), lost, reason });
    }
    Ok(lane)
}

fn note_epoch(epochs: &mut Vec<(u64, u64)>, epoch: u64, time_ns: u64) {
    match epochs.binary_search_by_key(&epoch, |(known, _)| *known) {
        Ok(at) => epochs[at].1 = epochs[at].1.min(time_ns),
        Err(at) => epochs.insert(at, (epoch, time_ns)),
    }
}

/// Every n-th epoch, if there are too many to be told apart.
fn thinned(epochs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let step = epochs.len().div_ceil(EPOCHS_MAX).max(1);
    epochs.into_iter().step_by(step).collect()
}

impl Lane {
    fn end_hole(&mut self, to_ns: u64) {
        if let Some(hole) = self.holes.last_mut() {
            hole.to_ns = Some(to_ns);
        }
    }

    /// Joins neighbours of one segment until there is room again; blocks of twice as many frames only if it takes that.
    fn shrink(&mut self, room: usize) {
        self.join_neighbours();
        while self.blocks.len() > room * 7 / 8 && self.frames_a_block < 1 << 62 {
            self.frames_a_block *= 2;
            self.join_neighbours();
        }
    }

    fn join_neighbours(&mut self) {
        let mut joined: Vec<Block> = Vec::with_capacity(self.blocks.len());
        for block in self.blocks.drain(..) {
            match joined.last_mut() {
                Some(last)
                    if last.segment == block.segment && last.frames + block.frames <= self.frames_a_block =>
                {
                    last.join(&block);
                }
                _ => joined.push(block),
            }
        }
        self.blocks = joined;
    }
}

impl Block {
    fn join(&mut self, next: &Self) {
        self.to_ns = self.to_ns.max(next.to_ns);
        self.frames += next.frames;
        self.entries += next.entries;
        self.bytes += next.bytes;
        self.epochs.1 = next.epochs.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64) -> Block {
        Block {
            from_ns: number * 10,
            to_ns: number * 10 + 5,
            frames: 1,
            entries: 2,
            bytes: 100,
            epochs: (number / 100, number / 100),
            first_sequence: number * 2,
            segment: number / 300,
            offset: 4096,
        }
    }

    #[test]
    fn blocks_are_joined_until_they_fit_and_lose_nothing() {
        let mut lane = Lane { core: CoreId(0), blocks: Vec::new(), frames_a_block: 1, holes: Vec::new() };
        for number in 0..1000 {
            lane.blocks.push(block(number));
            if lane.blocks.len() > 64 {
                lane.shrink(64);
            }
        }
        assert!(lane.blocks.len() <= 64 && lane.frames_a_block <= 64, "{}", lane.blocks.len());
        let sum = |of: fn(&Block) -> u64| lane.blocks.iter().map(of).sum::<u64>();
        assert_eq!(
            (sum(|block| block.frames), sum(|block| block.entries), sum(|block| block.bytes)),
            (1000, 2000, 100_000)
        );
        assert!(lane.blocks.is_sorted_by(|a, b| a.to_ns <= b.from_ns && a.first_sequence < b.first_sequence));
        assert!(lane.blocks.iter().all(|block| block.frames <= lane.frames_a_block));
    }

    #[test]
    fn an_epoch_begins_with_its_first_entry_on_any_core() {
        let mut epochs = Vec::new();
        for (epoch, time_ns) in [(3, 50), (4, 90), (3, 40), (1, 10)] {
            note_epoch(&mut epochs, epoch, time_ns);
        }
        assert_eq!(epochs, [(1, 10), (3, 40), (4, 90)]);
        let many: Vec<_> = (0..5000).map(|epoch| (epoch, epoch)).collect();
        assert!((EPOCHS_MAX / 2..=EPOCHS_MAX).contains(&thinned(many).len()));
    }

    #[test]
    fn no_more_is_joined_than_room_takes() {
        let lane_of = |segment: fn(u64) -> u64| Lane {
            core: CoreId(0),
            blocks: (0..112).map(|number| Block { segment: segment(number), ..block(number) }).collect(),
            frames_a_block: 1,
            holes: Vec::new(),
        };
        // Seven eighths of 64 are enough.
        let mut lane = lane_of(|_| 0);
        lane.shrink(64);
        assert_eq!((lane.blocks.len(), lane.frames_a_block), (56, 2));
        let mut lane = lane_of(|_| 0);
        lane.shrink(60);
        assert_eq!((lane.blocks.len(), lane.frames_a_block), (28, 4));
        // Blocks of different segments stay apart, and it ends.
        let mut lane = lane_of(|number| number);
        lane.shrink(64);
        assert_eq!((lane.blocks.len(), lane.frames_a_block), (112, 1 << 62));
    }
}
