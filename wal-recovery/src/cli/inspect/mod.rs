//! `wal inspect DIR`: what is in a log directory, and what recovery would do with it.

mod print;

use std::collections::BTreeMap;

use wal_format::{CoreId, Epoch, FileName, Manifest, SegmentNumber, Sequence};
use wal_reader::SegmentStats;

use super::Outcome;
use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::paint::Style;
use super::survey::{Condition, Survey};

/// Sources of a checkpoint that people are shown.
const SOURCES_SHOWN: usize = 8;

/// What is in a log: segments, epochs, times, checkpoint, and what recovery would do
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The end of the log stands in it.
    Active,
    /// Complete: its last frame is a seal.
    Sealed,
    /// The log went on elsewhere without sealing it: it ends where the next header says.
    Closed,
    /// Made ahead of use; holds nothing.
    Prepared,
    /// Released, waits to be used again.
    Free,
    /// Given up after a failed sync; not part of the log.
    GivenUp,
    /// The checkpoint has made it superfluous.
    Obsolete,
    /// Its header block cannot be read.
    Damaged,
}

/// One segment file.
pub(super) struct Segment {
    pub(super) core: CoreId,
    pub(super) segment: SegmentNumber,
    pub(super) state: State,
    pub(super) stats: SegmentStats,
}

/// Who keeps the oldest segment of a core.
#[derive(Debug, PartialEq, Eq)]
enum Pin {
    /// Its entries are in no checkpoint yet.
    NoCheckpoint { last: Option<Epoch>, entries: u64 },
    /// No longer needed by recovery: a reader holds it, or the next checkpoint removes it.
    Reader,
}

pub(super) struct Inspection<'a> {
    survey: &'a Survey,
    pub(super) segments: Vec<Segment>,
    pins: Vec<(CoreId, SegmentNumber, Pin)>,
    /// When each core's first entry was appended.
    firsts: BTreeMap<CoreId, u64>,
    /// Entries that recovery would replay, and bytes that it would read for it.
    pub(super) entries: u64,
    bytes: u64,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let survey = Survey::take(&args.directory.path, console)?;
    let inspection = Inspection::of(&survey);
    if console.json {
        console.object(|json| inspection.write(json))?;
    } else {
        inspection.print(&args.directory.path, console)?;
    }
    Ok(if survey.is_damaged() { Outcome::Damaged } else { Outcome::Whole })
}

impl<'a> Inspection<'a> {
    pub(super) fn of(survey: &'a Survey) -> Self {
        let segments = segments(survey);
        let pins = survey.cores().into_iter().filter_map(|core| {
            let oldest =
                segments.iter().find(|segment| segment.core == core && segment.state != State::Free)?;
            let manifest = survey.plan.manifest.as_ref();
            let core_plan = survey.plan.cores.iter().find(|planned| planned.scan.core == core)?;
            pin(manifest, core, oldest.segment, core_plan.end.sequence).map(|pin| (core, oldest.segment, pin))
        });
        Self {
            pins: pins.collect(),
            firsts: survey
                .cores()
                .into_iter()
                .filter_map(|core| Some((core, first_ns(survey, core)?)))
                .collect(),
            entries: survey.plan.cores.iter().map(|core| waiting(survey, core.scan.core)).sum(),
            bytes: survey.plan.bytes_to_read(),
            segments,
            survey,
        }
    }

    /// The figures of a core's segments together.
    pub(super) fn total_of(&self, core: CoreId) -> SegmentStats {
        let of_core: Vec<_> = self.segments.iter().filter(|segment| segment.core == core).collect();
        total(&of_core)
    }

    /// How long replay would take at the rate of the scan, which checks the same bytes.
    fn seconds(&self) -> Option<std::time::Duration> {
        let Survey { bytes_read, took, .. } = self.survey;
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let share = (*bytes_read > 0).then(|| self.bytes as f64 / *bytes_read as f64)?;
        std::time::Duration::try_from_secs_f64(took.as_secs_f64() * share).ok()
    }
}

/// Timestamp of the first entry that can be read: the figures of segments begin with the one before.
fn first_ns(survey: &Survey, core: CoreId) -> Option<u64> {
    let mut reader = survey.plan.reader(&survey.source, core);
    reader.advance().ok()?.then(|| reader.entry().timestamp_ns)
}

/// Every segment file of every core, ascending, and the free ones.
fn segments(survey: &Survey) -> Vec<Segment> {
    let mut segments = Vec::new();
    for core in &survey.plan.cores {
        let scan = &core.scan;
        let mut add = |numbers: &[SegmentNumber], state| {
            let of = |segment: &SegmentNumber| Segment {
                core: scan.core,
                segment: *segment,
                state,
                stats: SegmentStats { segment: *segment, ..SegmentStats::default() },
            };
            segments.extend(numbers.iter().map(of));
        };
        add(&scan.prepared, State::Prepared);
        add(&scan.damaged, State::Damaged);
        add(&scan.superseded, State::GivenUp);
        add(&scan.obsolete, State::Obsolete);
        let last = scan.segments.last().map(|stats| stats.segment);
        for stats in &scan.segments {
            let state = match stats.sealed {
                true => State::Sealed,
                false if Some(stats.segment) == last => State::Active,
                false => State::Closed,
            };
            segments.push(Segment { core: scan.core, segment: stats.segment, state, stats: *stats });
        }
    }
    let free = survey.inventory.free.iter().map(|(core, segment)| Segment {
        core: *core,
        segment: *segment,
        state: State::Free,
        stats: SegmentStats { segment: *segment, ..SegmentStats::default() },
    });
    segments.extend(free);
    for segment in &mut segments {
        if segment.stats.bytes_used == 0 {
            segment.stats.bytes_wasted = length(survey, segment);
        }
    }
    segments.sort_by_key(|segment| (segment.core, segment.segment));
    segments
}

fn length(survey: &Survey, segment: &Segment) -> u64 {
    let name = match segment.state {
        State::Free => FileName::Free(segment.core, segment.segment),
        _ => FileName::Segment(segment.core, segment.segment),
    };
    survey.source.open(&name.to_string()).ok().and_then(|file| file.len().ok()).unwrap_or(0)
}

/// The figures of several segments together.
fn total(segments: &[&Segment]) -> SegmentStats {
    segments.iter().fold(SegmentStats::default(), |sum, segment| {
        let stats = &segment.stats;
        SegmentStats {
            entries: sum.entries + stats.entries,
            sequences: joined(sum.sequences, stats.sequences),
            epochs: joined(sum.epochs, stats.epochs),
            timestamps: joined(sum.timestamps, stats.timestamps),
            ..sum
        }
    })
}

fn joined<T: Ord>(one: Option<(T, T)>, other: Option<(T, T)>) -> Option<(T, T)> {
    match (one, other) {
        (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
        (one, other) => one.or(other),
    }
}

/// Entries of a core that are in no checkpoint.
fn waiting(survey: &Survey, core: CoreId) -> u64 {
    let end = survey.plan.cores.iter().find(|planned| planned.scan.core == core);
    let from = survey.plan.first_sequence(core);
    end.map_or(0, |planned| planned.end.sequence.0.saturating_sub(from.0))
}

/// Pure: who keeps `segment`, the oldest file of `core`, whose log ends at `end`.
fn pin(manifest: Option<&Manifest>, core: CoreId, segment: SegmentNumber, end: Sequence) -> Option<Pin> {
    let position = manifest.and_then(|manifest| manifest.core(core));
    if position.is_some_and(|position| segment < position.segment) {
        return Some(Pin::Reader);
    }
    let entries = end.0.saturating_sub(position.map_or(0, |position| position.sequence.0));
    let last = manifest.map(|manifest| manifest.epoch);
    (entries > 0).then_some(Pin::NoCheckpoint { last, entries })
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Sealed => "sealed",
            Self::Closed => "closed",
            Self::Prepared => "prepared",
            Self::Free => "free",
            Self::GivenUp => "given up",
            Self::Obsolete => "obsolete",
            Self::Damaged => "damaged",
        }
    }
}

/// A condition in one word.
pub(super) fn words(condition: Condition) -> (&'static str, Style) {
    match condition {
        Condition::Whole => ("whole", Style::Good),
        Condition::Torn => ("torn", Style::Notice),
        Condition::Growing => ("growing", Style::Good),
        Condition::Damaged => ("damaged", Style::Bad),
        Condition::Undecided => ("undecided", Style::Notice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CorePosition, LogId};

    fn manifest(segment: u64, sequence: u64) -> Manifest {
        let position = CorePosition {
            core: CoreId(0),
            segment: SegmentNumber(segment),
            offset: 4096,
            sequence: Sequence(sequence),
            last_timestamp: 0,
            last_epoch: Epoch(3),
        };
        Manifest {
            log_id: LogId([1; 16]),
            external: false,
            epoch: Epoch(3),
            created_ns: 0,
            cores: vec![position],
            offsets: Vec::new(),
            watermarks: Vec::new(),
            runs: Vec::new(),
            next_run: 0,
        }
    }

    #[test]
    fn the_oldest_segment_is_kept_by_what_no_checkpoint_has_or_by_a_reader() {
        let of = |manifest: Option<&Manifest>, segment, end| {
            pin(manifest, CoreId(0), SegmentNumber(segment), Sequence(end))
        };
        assert_eq!(of(None, 0, 0), None);
        assert_eq!(of(None, 0, 5), Some(Pin::NoCheckpoint { last: None, entries: 5 }));
        let made = manifest(2, 40);
        assert_eq!(of(Some(&made), 2, 40), None);
        assert_eq!(of(Some(&made), 2, 41), Some(Pin::NoCheckpoint { last: Some(Epoch(3)), entries: 1 }));
        assert_eq!(of(Some(&made), 1, 41), Some(Pin::Reader));
    }

    #[test]
    fn replay_takes_as_long_as_the_look_took_for_as_many_bytes() {
        use std::time::Duration;

        let mut log = wal_reader::testing::LogBuilder::new(LogId([1; 16]));
        log.put(CoreId(0), b"key", b"value");
        let mut survey = crate::cli::survey::tests::survey(log.source());
        let bytes = Inspection::of(&survey).bytes;
        assert!(bytes > 0);
        let mut seconds = |read, took| {
            (survey.bytes_read, survey.took) = (read, Duration::from_secs(took));
            Inspection::of(&survey).seconds()
        };
        assert_eq!(seconds(bytes, 8), Some(Duration::from_secs(8)));
        assert_eq!(seconds(4 * bytes, 8), Some(Duration::from_secs(2)));
        assert_eq!(seconds(0, 8), None);
    }
}
