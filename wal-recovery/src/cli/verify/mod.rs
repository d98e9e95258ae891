//! `wal verify DIR`: reads every byte that the log consists of, and says of each damaged range what it means.

mod against;
mod damage;

use std::path::{Path, PathBuf};

use wal_format::Row;

use super::Outcome;
use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::paint::Style;
use super::survey::Survey;
use super::table::{Align, Cell, Table};
use super::text::{bytes, count, counted, duration, range};
use crate::json::Json;

use damage::{Damage, Runs};

/// More looks than this at a checkpoint that is always replaced tell nothing new.
const LOOKS_MAX: usize = 8;

/// Prove that a log is whole, or say what is damaged, on what evidence, and what to do
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// Also check that the log still holds what an earlier report says: the JSON of a recovery report, or of an
    /// earlier `wal verify --json`
    #[arg(long, value_name = "REPORT")]
    against: Option<PathBuf>,
}

struct Verification<'a> {
    survey: &'a Survey,
    runs: Runs,
    damages: Vec<Damage>,
    /// With `--against`: what is not as the report says.
    differences: Option<Vec<String>>,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let report = args.against.as_deref().map(against::read).transpose()?;
    let path = &args.directory.path;
    let (survey, runs) = look(path, console)?;
    let damages = damage::find(&survey, &runs, path, console)?;
    let differences = report.map(|report| against::compare(&report, &survey.plan));
    let verification = Verification { survey: &survey, runs, damages, differences };
    if console.json {
        console.object(|json| verification.write(json))?;
    } else {
        verification.print(path, console)?;
    }
    Ok(if verification.is_whole() { Outcome::Whole } else { Outcome::Damaged })
}

/// Looks at logs and runs of one checkpoint: an engine may make another one in between, and remove runs.
fn look(path: &Path, console: &Console) -> Result<(Survey, Runs), Failure> {
    for _ in 0..LOOKS_MAX {
        let survey = Survey::take(path, console)?;
        survey.check_decided()?;
        let runs = damage::read_runs(&survey, console)?;
        if runs.errors.is_empty() || !survey.is_outdated() {
            return Ok((survey, runs));
        }
    }
    Err(Failure::Moving("the checkpoint".to_owned()))
}

impl Verification<'_> {
    fn is_whole(&self) -> bool {
        !self.damages.iter().any(|damage| damage.is_loss)
            && self.differences.as_ref().is_none_or(Vec::is_empty)
    }

    fn print(&self, path: &Path, console: &mut Console) -> Result<(), Failure> {
        let title = console.painted(Style::Heading, format_args!("log {}", self.survey.log_id));
        console.line(format_args!("{title} in {}", path.display()))?;
        console.line(format_args!("engine   {}", self.survey.engine.describe()))?;
        self.print_cores(console)?;
        self.print_runs(console)?;
        for damage in &self.damages {
            damage.print(console)?;
        }
        self.print_differences(console)?;
        let report = &self.survey.plan.report;
        // Where damage was reported, what stands behind it has been said.
        let is_reported = |core| self.damages.iter().any(|damage| damage.core == Some(core));
        // Pieces of frames are no news: a page that was written leaves half of what the file held in an earlier use.
        let discards =
            report.cores.iter().filter(|core| core.discarded.frames > 0 && !is_reported(core.core));
        for core in discards {
            let frames = counted(core.discarded.frames, "whole frame", "whole frames");
            let entries = counted(core.discarded.entries, "entry", "entries");
            let text = format!(
                "core {}: {frames} behind the end ({entries}) that nobody was promised; they do not count",
                core.core
            );
            console.line(format_args!("  {}", console.painted(Style::Quiet, text)))?;
        }
        for name in &report.unknown_files {
            console.line(format_args!("  unknown file {name:?}: not of this log, not looked into"))?;
        }
        self.print_verdict(console)
    }

    fn print_cores(&self, console: &mut Console) -> Result<(), Failure> {
        console.heading("cores")?;
        let mut table = Table::new(&[
            ("core", Align::Right),
            ("entries", Align::Right),
            ("epochs", Align::Right),
            ("ends in segment", Align::Right),
            ("at offset", Align::Right),
            ("row", Align::Left),
            ("verdict", Align::Left),
        ]);
        for core in &self.survey.plan.cores {
            let (word, style) = super::inspect::words(self.survey.condition(core.scan.core));
            let stats = &core.scan.segments;
            let epochs = stats.iter().filter_map(|stats| stats.epochs);
            let epochs = epochs.reduce(|(first, _), (_, last)| (first, last));
            table.row([
                core.scan.core.to_string().into(),
                count(stats.iter().map(|stats| stats.entries).sum()).into(),
                range(epochs.map(|(first, last)| (first.0, last.0))).into(),
                core.scan.end.segment.to_string().into(),
                core.scan.end.offset.to_string().into(),
                core.ending.row.label().into(),
                Cell::styled(if word == "growing" { word } else { core.ending.verdict().as_str() }, style),
            ]);
        }
        table.print(console)
    }

    fn print_runs(&self, console: &mut Console) -> Result<(), Failure> {
        let Some(manifest) = &self.survey.plan.manifest else { return Ok(()) };
        let runs = counted(manifest.runs.len() as u64, "run", "runs");
        let keys = counted(self.runs.entries, "key", "keys");
        let read = bytes(self.runs.bytes);
        console.line(format_args!("\n  checkpoint of epoch {}: {runs}, {keys}, {read} read", manifest.epoch))
    }

    fn print_differences(&self, console: &mut Console) -> Result<(), Failure> {
        let Some(differences) = &self.differences else { return Ok(()) };
        if differences.is_empty() {
            return console.line("\n  the log holds everything that the report says");
        }
        console.heading("not as the report says")?;
        differences.iter().try_for_each(|difference| {
            let text = console.painted(Style::Bad, difference);
            console.line(format_args!("  {text}"))
        })
    }

    fn print_verdict(&self, console: &mut Console) -> Result<(), Failure> {
        let Survey { bytes_read, took, .. } = self.survey;
        let read = bytes(bytes_read + self.runs.bytes);
        let took = duration(*took + self.runs.took);
        let lost = self.damages.iter().filter(|damage| damage.is_loss).count() as u64;
        let verdict = if self.is_whole() {
            console.painted(Style::Good, "whole")
        } else if lost > 0 {
            let ranges = counted(lost, "range", "ranges");
            console.painted(Style::Bad, format_args!("damaged: {ranges}"))
        } else {
            console.painted(Style::Bad, "changed since the report")
        };
        console.line(format_args!("\n{verdict}; {read} read in {took}"))
    }

    fn write(&self, json: &mut Json) {
        let Self { survey, runs, damages, differences } = self;
        json.string("log_id", survey.log_id);
        json.string("engine", survey.engine.as_str());
        json.bool("whole", self.is_whole());
        json.objects("cores", &survey.plan.cores, |json, core| {
            json.number("core", core.scan.core);
            json.string("condition", super::inspect::words(survey.condition(core.scan.core)).0);
            json.number("entries", core.scan.segments.iter().map(|stats| stats.entries).sum::<u64>());
            json.string("row", core.ending.row);
            json.string("verdict", core.ending.verdict());
        });
        json.number("checkpoint_keys", runs.entries);
        json.number("bytes_read", survey.bytes_read + runs.bytes);
        json.objects("damages", damages, |json, damage| damage.write(json));
        match differences {
            Some(differences) => json.strings("differences", differences),
            None => json.optional_string("differences", None::<u8>),
        }
        json.object("report", |json| survey.plan.report.write(json));
    }
}

/// The label of a row, for damage that has one.
fn label(row: Option<Row>) -> &'static str {
    row.map_or("-", Row::label)
}
