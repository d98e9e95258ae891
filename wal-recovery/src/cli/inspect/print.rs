//! What `wal inspect` found, for people and for machines.

use std::path::Path;

use wal_format::{FileName, Manifest, RunMeta};

use super::{Inspection, Pin, SOURCES_SHOWN, Segment, State, total, words};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::paint::Style;
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::{bytes, count, counted, duration, range, time};
use crate::json::Json;

impl Inspection<'_> {
    pub(super) fn print(&self, path: &Path, console: &mut Console) -> Result<(), Failure> {
        let Self { survey, .. } = self;
        let title = console.painted(Style::Heading, format_args!("log {}", survey.log_id));
        console.line(format_args!("{title} in {}", path.display()))?;
        console.line(format_args!("engine   {}", survey.engine.describe()))?;
        self.print_cores(console)?;
        self.print_segments(console)?;
        self.print_checkpoint(console)?;
        self.print_recovery(console)?;
        for (core, segment, pin) in &self.pins {
            console.line(format_args!("  core {core} keeps segment {segment}: {}", pin.describe()))?;
        }
        self.print_strangers(console)
    }

    fn print_cores(&self, console: &mut Console) -> Result<(), Failure> {
        console.heading("cores")?;
        let mut table = Table::new(&[
            ("core", Align::Right),
            ("segments", Align::Right),
            ("epochs", Align::Right),
            ("sequences", Align::Right),
            ("entries", Align::Right),
            ("first entry (UTC)", Align::Left),
            ("last entry (UTC)", Align::Left),
            ("condition", Align::Left),
        ]);
        for core in &self.survey.plan.cores {
            let of_core: Vec<_> =
                self.segments.iter().filter(|segment| segment.core == core.scan.core).collect();
            let stats = total(&of_core);
            let (first, last) = match (self.firsts.get(&core.scan.core), stats.timestamps) {
                (Some(first), Some((_, last))) => (time(*first), time(last)),
                _ => ("-".to_owned(), "-".to_owned()),
            };
            let (condition, style) = words(self.survey.condition(core.scan.core));
            table.row([
                core.scan.core.to_string().into(),
                of_core.len().to_string().into(),
                range(stats.epochs.map(|(first, last)| (first.0, last.0))).into(),
                range(stats.sequences.map(|(first, last)| (first.0, last.0))).into(),
                count(stats.entries).into(),
                first.into(),
                last.into(),
                Cell::styled(condition, style),
            ]);
        }
        table.print(console)
    }

    fn print_segments(&self, console: &mut Console) -> Result<(), Failure> {
        console.heading("segments")?;
        let mut table = Table::new(&[
            ("core", Align::Right),
            ("segment", Align::Right),
            ("state", Align::Left),
            ("epochs", Align::Right),
            ("sequences", Align::Right),
            ("entries", Align::Right),
            ("frames", Align::Right),
            ("used", Align::Right),
            ("wasted", Align::Right),
        ]);
        for Segment { core, segment, state, stats } in &self.segments {
            let was_read = stats.bytes_used > 0;
            let shown = |text: String| if was_read { text } else { "-".to_owned() };
            let wasted =
                if was_read || stats.bytes_wasted > 0 { bytes(stats.bytes_wasted) } else { "-".to_owned() };
            table.row([
                core.to_string().into(),
                segment.to_string().into(),
                Cell::styled(state.as_str(), state.style()),
                range(stats.epochs.map(|(first, last)| (first.0, last.0))).into(),
                range(stats.sequences.map(|(first, last)| (first.0, last.0))).into(),
                shown(count(stats.entries)).into(),
                shown(count(stats.frames)).into(),
                shown(bytes(stats.bytes_used)).into(),
                wasted.into(),
            ]);
        }
        table.print(console)
    }

    fn print_checkpoint(&self, console: &mut Console) -> Result<(), Failure> {
        console.heading("checkpoint")?;
        let Some(manifest) = &self.survey.plan.manifest else {
            let problems = &self.survey.plan.report.problems;
            if problems.is_empty() {
                return console.line("  none: recovery begins with the first entry");
            }
            return problems.iter().try_for_each(|problem| {
                let problem = console.painted(Style::Bad, problem);
                console.line(format_args!("  {problem}"))
            });
        };
        let made = time(manifest.created_ns);
        let place = if manifest.external { ", its state in the engine's own store" } else { "" };
        console.line(format_args!("  epoch {}, made {made}{place}", manifest.epoch))?;
        let mut table = Table::new(&[
            ("run", Align::Right),
            ("epoch", Align::Right),
            ("keys", Align::Right),
            ("bytes", Align::Right),
        ]);
        for RunMeta { run, entries, length, epoch, .. } in &manifest.runs {
            table.row([
                run.to_string().into(),
                epoch.to_string().into(),
                count(*entries).into(),
                bytes(*length).into(),
            ]);
        }
        if !table.is_empty() {
            table.print(console)?;
        }
        for source in manifest.offsets.iter().take(SOURCES_SHOWN) {
            console
                .line(format_args!("  source {:?} is read up to offset {}", source.source, source.offset))?;
        }
        match manifest.offsets.len().saturating_sub(SOURCES_SHOWN) {
            0 => Ok(()),
            more => console.line(format_args!("  and {more} more sources; --json names all")),
        }
    }

    fn print_recovery(&self, console: &mut Console) -> Result<(), Failure> {
        let plan = &self.survey.plan;
        console.heading("recovery")?;
        let entries = counted(self.entries, "entry", "entries");
        let read = bytes(self.bytes);
        let took = match self.seconds() {
            Some(seconds) => format!(", about {} at the rate of this look", duration(seconds)),
            None => String::new(),
        };
        let scope = plan.scope;
        console.line(format_args!("  replay of {scope}: {entries}, {read} to read{took}"))?;
        let cut = match plan.consistent_epoch {
            Some(epoch) => format!("epoch {epoch} is the last that every core holds whole"),
            None => "no epoch is whole on every core yet".to_owned(),
        };
        console.line(format_args!("  {cut}; the next epoch is {}", plan.resume.next_epoch))
    }

    fn print_strangers(&self, console: &mut Console) -> Result<(), Failure> {
        let report = &self.survey.plan.report;
        for name in &report.unknown_files {
            console.line(format_args!("  unknown file {name:?}: not of this log, left alone"))?;
        }
        for name in &report.temporary_files {
            console.line(format_args!(
                "  unfinished file {name:?}: means nothing, the next opening removes it"
            ))?;
        }
        for run in &report.unnamed_runs {
            let name = FileName::Run(*run);
            console.line(format_args!("  {name}: named by no checkpoint, the next one removes it"))?;
        }
        Ok(())
    }

    pub(super) fn write(&self, json: &mut Json) {
        let Self { survey, .. } = self;
        let plan = &survey.plan;
        json.string("log_id", survey.log_id);
        json.string("engine", survey.engine.as_str());
        json.bool("damaged", survey.is_damaged());
        json.objects("cores", &plan.cores, |json, core| {
            let id = core.scan.core;
            json.number("core", id);
            json.string("condition", words(survey.condition(id)).0);
            json.string("row", core.ending.row);
            json.number("next_sequence", core.end.sequence);
            let of_core: Vec<_> = self.segments.iter().filter(|segment| segment.core == id).collect();
            json.number("entries", total(&of_core).entries);
            json.optional_number("first_timestamp_ns", self.firsts.get(&id));
            json.objects("segments", &of_core, |json, segment| {
                json.string("state", segment.state.as_str());
                crate::report::write_segment(json, &segment.stats);
            });
            match self.pins.iter().find(|(core, ..)| *core == id) {
                Some((_, segment, pin)) => json.object("oldest_segment", |json| {
                    json.number("segment", segment);
                    json.string("pinned_by", pin.as_str());
                }),
                None => json.optional_string("oldest_segment", None::<u8>),
            }
        });
        match &plan.manifest {
            Some(manifest) => json.object("checkpoint", |json| write_manifest(json, manifest)),
            None => json.optional_string("checkpoint", None::<u8>),
        }
        json.object("recovery", |json| {
            json.string("scope", plan.scope);
            json.number("entries", self.entries);
            json.number("bytes", self.bytes);
            json.optional_number("consistent_epoch", plan.consistent_epoch);
            json.number("next_epoch", plan.resume.next_epoch);
        });
        json.strings("problems", &plan.report.problems);
        json.strings("unknown_files", &plan.report.unknown_files);
        json.strings("temporary_files", &plan.report.temporary_files);
        json.numbers("unnamed_runs", &plan.report.unnamed_runs);
    }
}

fn write_manifest(json: &mut Json, manifest: &Manifest) {
    json.number("epoch", manifest.epoch);
    json.number("created_ns", manifest.created_ns);
    json.bool("external", manifest.external);
    json.objects("runs", &manifest.runs, |json, run| {
        json.number("run", run.run);
        json.number("epoch", run.epoch);
        json.number("keys", run.entries);
        json.number("bytes", run.length);
    });
    json.objects("offsets", &manifest.offsets, |json, source| {
        json.string("source", &source.source);
        json.number("offset", source.offset);
    });
}

impl Pin {
    fn describe(&self) -> String {
        match self {
            Self::NoCheckpoint { last, entries } => {
                let entries = counted(*entries, "entry is", "entries are");
                let since = last
                    .map_or("none was made yet".to_owned(), |last| format!("the last is of epoch {last}"));
                format!("{entries} in no checkpoint; {since}")
            }
            Self::Reader => {
                "the checkpoint has it; a reader holds it, or the next checkpoint removes it".to_owned()
            }
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::NoCheckpoint { .. } => "no checkpoint",
            Self::Reader => "reader, or next checkpoint",
        }
    }
}

impl State {
    fn style(self) -> Style {
        match self {
            Self::Active => Style::Good,
            Self::Sealed | Self::Closed => Style::Plain,
            Self::Prepared | Self::Free | Self::GivenUp | Self::Obsolete => Style::Quiet,
            Self::Damaged => Style::Bad,
        }
    }
}
