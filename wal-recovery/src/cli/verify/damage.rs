//! Every damaged range of a log, with what it means and what to do about it.

use std::path::Path;
use std::time::Duration;

use wal_format::{CoreId, FileName, Row, Sequence, names};
use wal_reader::{CoreScan, Evidence, Gap, Reach, ReadError, RunReader};

use super::label;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::paint::Style;
use crate::cli::survey::{Condition, Survey};
use crate::cli::text::{counted, range};
use crate::json::Json;
use crate::manager::PerCoreRecoveryManager;
use crate::options::Mode;
use crate::plan::CorePlan;

/// A range of bytes that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) file: String,
    pub(super) core: Option<CoreId>,
    /// First byte.
    pub(super) from: u64,
    /// The file and byte where the log goes on; `None` if it does not.
    pub(super) to: Option<(String, u64)>,
    /// First sequence number concerned, and the first that is known again.
    pub(super) sequences: Option<(Sequence, Option<Sequence>)>,
    pub(super) epochs: Option<(u64, u64)>,
    pub(super) row: Option<Row>,
    pub(super) verdict: &'static str,
    pub(super) reason: String,
    pub(super) evidence: Option<Evidence>,
    /// Something is gone that had been durable.
    pub(super) is_loss: bool,
    pub(super) remedy: String,
}

/// What reading all runs of the checkpoint came to.
pub(super) struct Runs {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) took: Duration,
    pub(super) errors: Vec<ReadError>,
}

/// Reads every run to its end.
pub(super) fn read_runs(survey: &Survey, console: &Console) -> Result<Runs, Failure> {
    let metas = survey.plan.manifest.iter().flat_map(|manifest| &manifest.runs);
    console.progress.begin("reading the checkpoint", metas.clone().map(|meta| meta.length).sum());
    let mut runs = Runs { entries: 0, bytes: 0, took: Duration::ZERO, errors: Vec::new() };
    for meta in metas {
        let mut read = || {
            let mut reader = RunReader::open(&*survey.source, survey.log_id, *meta)?;
            while reader.advance()? {
                runs.entries += 1;
            }
            Ok(())
        };
        match read() {
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            Err(error) => runs.errors.push(error),
            Ok(()) => {}
        }
    }
    (runs.bytes, runs.took) = console.progress.so_far();
    console.progress.clear();
    Ok(runs)
}

/// All damage, checkpoint first, then core by core.
pub(super) fn find(
    survey: &Survey,
    runs: &Runs,
    path: &Path,
    console: &Console,
) -> Result<Vec<Damage>, Failure> {
    let mut damages = Vec::new();
    damages.extend(survey.plan.report.problems.iter().map(|problem| of_manifest(problem, path)));
    damages.extend(runs.errors.iter().map(|error| of_run(error, path)));
    let is_concerned =
        |core: &&CorePlan| matches!(survey.condition(core.scan.core), Condition::Torn | Condition::Damaged);
    if survey.plan.cores.iter().any(|core| is_concerned(&core)) {
        console.progress.begin("looking for what is intact", survey.bytes_read);
        let manager = PerCoreRecoveryManager::with_source(survey.source.clone()).mode(Mode::Salvage);
        let salvage = manager.plan()?;
        console.progress.clear();
        for strict in survey.plan.cores.iter().filter(is_concerned) {
            let salvaged = salvage.cores.iter().find(|core| core.scan.core == strict.scan.core);
            damages.extend(of_core(strict, salvaged, path));
        }
    }
    Ok(damages)
}

/// The gaps that salvage sees in a core's log; of a torn tail behind which nothing is whole, the end.
fn of_core(strict: &CorePlan, salvaged: Option<&CorePlan>, path: &Path) -> Vec<Damage> {
    let scan = salvaged.map_or(&strict.scan, |core| &core.scan);
    let witness = [strict, salvaged.unwrap_or(strict)].into_iter().filter_map(|core| core.ending.evidence);
    let proofs: Vec<_> = scan.proofs.iter().copied().chain(witness).collect();
    let mut gaps = salvaged.map_or_else(Vec::new, |core| core.gaps.clone());
    if !gaps.iter().any(|gap| gap.from.place() == strict.scan.end.place()) {
        let (finding, reason) = (strict.ending.reason.finding(), strict.ending.reason.to_string());
        gaps.insert(0, Gap { from: strict.scan.end, to: None, finding, reason });
    }
    let discarded = strict.scan.discarded.entries;
    gaps.iter().map(|gap| of_gap(gap, scan, &proofs, discarded, path)).collect()
}

fn of_gap(gap: &Gap, scan: &CoreScan, proofs: &[Evidence], discarded: u64, path: &Path) -> Damage {
    let evidence = Evidence::strongest(proofs, &gap.from).filter(|evidence| evidence.is_beyond(&gap.from));
    let row = Row::of(gap.finding, evidence.is_some());
    let file_of = |segment| FileName::Segment(scan.core, segment).to_string();
    let file = file_of(gap.from.segment);
    let known_end = gap.to.map(|to| to.sequence).or(match evidence.map(|evidence| evidence.reach) {
        Some(Reach::Sequence(sequence)) => Some(sequence),
        _ => None,
    });
    let starts = &scan.epoch_starts;
    let before = starts.iter().rev().find(|start| start.position.place() < gap.from.place());
    let behind = gap.to.and_then(|to| starts.iter().find(|start| start.position.place() >= to.place()));
    let first = before.or(starts.first()).map(|start| start.epoch.0);
    let last = behind.map(|start| start.epoch.0).or(scan.max_epoch.map(|epoch| epoch.0));
    let remedy = if row.verdict().is_error() {
        restore(&file, path)
    } else if discarded > 0 {
        let behind = counted(discarded, "whole entry", "whole entries");
        format!("nothing: the next opening cuts it off, and {behind} behind it that nobody was promised")
    } else {
        "nothing: the next opening cuts it off".to_owned()
    };
    Damage {
        core: Some(scan.core),
        from: gap.from.offset,
        to: gap.to.map(|to| (file_of(to.segment), to.offset)),
        sequences: Some((gap.from.sequence, known_end)),
        epochs: first.zip(last).map(|(first, last)| (first.min(last), last)),
        row: Some(row),
        verdict: row.verdict().as_str(),
        reason: gap.reason.clone(),
        evidence,
        is_loss: row.verdict().is_error(),
        remedy,
        file,
    }
}

fn of_run(error: &ReadError, path: &Path) -> Damage {
    let (run, from) = match error {
        ReadError::RunCorrupt { run, offset, .. } => (Some(*run), *offset),
        ReadError::RunMissing { run, .. } => (Some(*run), 0),
        _ => (None, 0),
    };
    let file = run.map_or_else(|| "a checkpoint run".to_owned(), |run| FileName::Run(run).to_string());
    let verdict = if matches!(error, ReadError::RunMissing { .. }) { "missing" } else { "corrupt" };
    whole_file(file, from, verdict, error.to_string(), path)
}

fn of_manifest(problem: &str, path: &Path) -> Damage {
    whole_file(names::MANIFEST.to_owned(), 0, "corrupt", problem.to_owned(), path)
}

/// Damage of a file that the table of verdicts is not about.
fn whole_file(file: String, from: u64, verdict: &'static str, reason: String, path: &Path) -> Damage {
    Damage {
        core: None,
        from,
        to: None,
        sequences: None,
        epochs: None,
        row: None,
        verdict,
        reason,
        evidence: None,
        is_loss: true,
        remedy: restore(&file, path),
        file,
    }
}

fn restore(file: &str, path: &Path) -> String {
    format!("restore {file} from a copy, or take what is intact: wal salvage {} OUT", path.display())
}

impl Damage {
    pub(super) fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let style = if self.is_loss { Style::Bad } else { Style::Notice };
        let verdict = console.painted(style, self.verdict);
        let place = match &self.to {
            Some((file, to)) if *file == self.file => format!("bytes {} to below {to}", self.from),
            Some((file, to)) => format!("from byte {} to byte {to} of {file}", self.from),
            None => format!("from byte {}", self.from),
        };
        console.line(format_args!("\n{verdict}: {} {place}", self.file))?;
        let mut concerns = Vec::new();
        concerns.extend(self.core.map(|core| format!("core {core}")));
        concerns.extend(self.sequences.map(|(from, to)| match to {
            Some(to) if to > from => format!("sequences {}", range(Some((from.0, to.0 - 1)))),
            _ => format!("from sequence {from}"),
        }));
        concerns.extend(self.epochs.map(|(first, last)| {
            let word = if first == last { "epoch" } else { "epochs" };
            format!("{word} {}", range(Some((first, last))))
        }));
        if self.row.is_some() {
            concerns.push(format!("row {}", label(self.row)));
        }
        if !concerns.is_empty() {
            console.line(format_args!("  concerns  {}", concerns.join(", ")))?;
        }
        console.line(format_args!("  found     {}", self.reason))?;
        if let Some(evidence) = &self.evidence {
            console.line(format_args!("  evidence  {evidence}"))?;
        }
        console.line(format_args!("  to do     {}", self.remedy))
    }

    pub(super) fn write(&self, json: &mut Json) {
        json.string("file", &self.file);
        json.optional_number("core", self.core);
        json.number("from", self.from);
        match &self.to {
            Some((file, to)) => json.object("to", |json| {
                json.string("file", file);
                json.number("offset", to);
            }),
            None => json.optional_string("to", None::<u8>),
        }
        json.optional_number("first_sequence", self.sequences.map(|(from, _)| from));
        json.optional_number("next_known_sequence", self.sequences.and_then(|(_, to)| to));
        json.optional_number("first_epoch", self.epochs.map(|(first, _)| first));
        json.optional_number("last_epoch", self.epochs.map(|(_, last)| last));
        json.optional_string("row", self.row);
        json.string("verdict", self.verdict);
        json.bool("loss", self.is_loss);
        json.string("reason", &self.reason);
        json.optional_string("evidence", self.evidence);
        json.string("remedy", &self.remedy);
    }
}
