//! `wal dump --frames`: the frames of each segment, where they stand, what they hold and what they prove.

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{Barrier, CoreId, FrameHeader, FrameKind, Seal, SegmentSeed};
use wal_reader::{
    Defect, Depth, FrameReader, ReadError, Span, Step, StopReason, open_segment, read_state, segment_name,
};

use super::filter::Epochs;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::paint::Style;
use crate::cli::survey::Survey;
use crate::cli::text::{hex, time};
use crate::json::Json;
use crate::plan::Plan;

const HEX_BYTES_A_LINE: usize = 32;

/// A frame, and where it stands.
pub(in crate::cli) struct Frame<'a> {
    pub(in crate::cli) core: CoreId,
    pub(in crate::cli) offset: u64,
    pub(in crate::cli) header: FrameHeader,
    pub(in crate::cli) payload: &'a [u8],
    /// Timestamp of the last entry up to its end.
    pub(in crate::cli) last_ns: u64,
}

pub(super) fn print(
    survey: &Survey,
    plan: &Plan,
    cores: &[CoreId],
    epochs: Option<&Epochs>,
    with_payload: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    for core in plan.cores.iter().filter(|core| cores.contains(&core.scan.core)) {
        for span in &core.spans {
            if span.from == HEADER_BLOCK_BYTES as u64 {
                print_header(survey, core.scan.core, span, console)?;
            }
            each(survey, core.scan.core, span, |frame| {
                if epochs.is_none_or(|epochs| epochs.contains(frame.header.epoch)) {
                    frame.print(with_payload, console)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Hands out every frame of a span.
pub(in crate::cli) fn each(
    survey: &Survey,
    core: CoreId,
    span: &Span,
    mut visit: impl FnMut(&Frame<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let path = survey.source.path(&segment_name(core, span.segment));
    let Some(file) = open_segment(&*survey.source, core, span.segment)? else {
        let cause = std::io::ErrorKind::NotFound.into();
        return Err(ReadError::Io { operation: "open", path, cause }.into());
    };
    let seed = SegmentSeed::new(survey.log_id, core, span.segment);
    let mut frames =
        FrameReader::new(file, &path, seed, span.from, Some(span.to), span.order, Depth::Entries)?;
    loop {
        match frames.step()? {
            Step::Frame => {}
            Step::Stop(stop) if stop.reason == StopReason::End => return Ok(()),
            // It was whole a moment ago.
            Step::Stop(stop) => {
                let defect = Defect {
                    path,
                    core,
                    segment: span.segment,
                    offset: stop.offset,
                    sequence: frames.order().sequence,
                    sequence_end: None,
                    evidence: None,
                    reason: stop.reason.to_string(),
                };
                return Err(ReadError::Corrupt(Box::new(defect)).into());
            }
        }
        let Some(header) = frames.header().copied() else { continue };
        let (offset, last_ns) = (frames.offset(), frames.order().timestamp);
        visit(&Frame { core, offset, header, payload: frames.payload(), last_ns })?;
    }
}

fn print_header(survey: &Survey, core: CoreId, span: &Span, console: &mut Console) -> Result<(), Failure> {
    let state = read_state(&*survey.source, survey.log_id, core, span.segment)?;
    let Some(header) = state.as_ref().and_then(|state| state.header()) else { return Ok(()) };
    if console.json {
        return Ok(());
    }
    let origin = format!("{:?}", header.origin).to_lowercase();
    let previous = match header.previous {
        Some(previous) => format!(
            ", the log before it ends in segment {} at {}, durable up to {}",
            previous.segment, previous.end, previous.synced_through
        ),
        None => String::new(),
    };
    let text = format!(
        "core {core} segment {}: {origin}, from sequence {}, epoch {} on{previous}",
        span.segment, header.first_sequence, header.epoch
    );
    let text = console.painted(Style::Heading, text);
    console.line(text)
}

impl Frame<'_> {
    /// The kind, and what a barrier or a seal says.
    fn content(&self) -> (&'static str, String) {
        let FrameHeader { kind, entry_count, first_sequence, .. } = self.header;
        match kind {
            FrameKind::Data => {
                let last = first_sequence.0 + u64::from(entry_count).saturating_sub(1);
                ("data", format!("sequences {first_sequence}-{last}"))
            }
            FrameKind::Barrier => match Barrier::decode(self.payload) {
                Ok(barrier) => {
                    let cuts: Vec<_> =
                        barrier.cuts.iter().map(|(core, cut)| format!("{core}:{cut}")).collect();
                    ("barrier", format!("durable epoch {}, cuts {}", barrier.durable_epoch, cuts.join(" ")))
                }
                Err(error) => ("barrier", error.to_string()),
            },
            FrameKind::Seal => match Seal::decode(self.payload) {
                Ok(seal) => {
                    let (entries, next) = (seal.entry_count, seal.next_sequence);
                    ("seal", format!("{entries} entries, next sequence {next}, digest {:08x}", seal.digest))
                }
                Err(error) => ("seal", error.to_string()),
            },
            FrameKind::Pad => ("pad", String::new()),
        }
    }

    fn print(&self, with_payload: bool, console: &mut Console) -> Result<(), Failure> {
        let (kind, content) = self.content();
        if console.json {
            return console.object(|json| self.write(json, kind, with_payload));
        }
        let FrameHeader { epoch, payload_bytes, synced_through, base_timestamp, segment, .. } = self.header;
        let (core, offset, time) = (self.core.0, self.offset, time(base_timestamp));
        console.line(format_args!(
            "core {core:<3} segment {:<4} at {offset:<10} {kind:<7} epoch {:<5} {payload_bytes:>7} bytes, durable below {synced_through:<10} {time}  {content}",
            segment.0, epoch.0
        ))?;
        if with_payload {
            for line in self.payload.chunks(HEX_BYTES_A_LINE) {
                console.line(format_args!("    {}", hex(line)))?;
            }
        }
        Ok(())
    }

    fn write(&self, json: &mut Json, kind: &str, with_payload: bool) {
        let header = &self.header;
        json.number("core", self.core);
        json.number("segment", header.segment);
        json.number("offset", self.offset);
        json.string("kind", kind);
        json.number("epoch", header.epoch);
        json.number("first_sequence", header.first_sequence);
        json.number("entries", header.entry_count);
        json.number("payload_bytes", header.payload_bytes);
        json.number("base_timestamp_ns", header.base_timestamp);
        json.number("synced_through", header.synced_through);
        if let (FrameKind::Barrier, Ok(barrier)) = (header.kind, Barrier::decode(self.payload)) {
            json.number("durable_epoch", barrier.durable_epoch);
            json.objects("cuts", &barrier.cuts, |json, (core, cut)| {
                json.number("core", core);
                json.number("sequence", cut);
            });
        }
        if with_payload {
            json.string("payload_hex", hex(self.payload));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wal_format::LogId;
    use wal_reader::testing::LogBuilder;

    #[test]
    fn what_was_whole_a_moment_ago_and_is_not_is_an_error() {
        const A: CoreId = CoreId(0);
        let mut log = LogBuilder::new(LogId([1; 16]));
        log.put(A, b"first", b"value");
        let second = log.put(A, b"second", b"value");
        let mut survey = crate::cli::survey::tests::survey(log.source());
        let frames = |survey: &Survey| {
            let mut count = 0;
            let found = each(survey, A, &survey.plan.cores[0].spans[0], |_| {
                count += 1;
                Ok(())
            });
            (count, found.map_err(|error| error.to_string()))
        };
        assert_eq!(frames(&survey), (2, Ok(())));
        let mut files = log.source();
        let bytes = files.get_mut(&log.core(A).name()).expect("it has a segment");
        bytes[usize::try_from(second.offset).expect("it is small") + 66] ^= 1;
        survey.source = Arc::new(files);
        let (count, found) = frames(&survey);
        assert!(count == 1 && found.is_err_and(|said| said.contains("payload checksum")));
    }
}
