//! `wal salvage DIR OUT`: everything that is intact, in a new log, with a report of every gap beside it.

use std::path::{Path, PathBuf};

use super::args::Directory;
use super::console::Console;
use super::engine::Held;
use super::failure::Failure;
use super::look::Look;
use super::paint::Style;
use super::table::{Align, Table};
use super::text::{bytes, count, counted};
use super::{Outcome, survey};
use crate::salvage::{Salvage, SalvageError, SalvageReport};

/// Write all that is intact into a new log, with a report of every gap
///
/// The original is only read, under a shared lock, so no engine may be running. OUT must not exist, or be empty; it
/// appears when all of it is durable and has been read back. The report is written to OUT.salvage.json. Entries keep
/// core, epoch, timestamp and order; those before a gap are numbered up, as the report says, so that the log has no
/// holes and no number of a lost entry is given out again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// The new log's directory
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Only say what would be taken and what is lost
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let (path, out) = (&args.directory.path, &args.out);
    let held = Held::of(path)?;
    let Some(_held) = held else {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "an engine has {path} open: stop it, or let it make a checkpoint; `wal verify` and `wal dump` can look at it meanwhile"
        )));
    };
    let source = Look::at(path, true, &console.progress);
    console.progress.begin("looking for what is intact", survey::bytes_of(&*source)?.saturating_mul(3));
    let salvage = Salvage::new(source);
    let report = if args.dry_run {
        salvage.plan()?
    } else {
        let report = salvage.write(out)?;
        let beside = report_name(out);
        std::fs::write(&beside, report.to_json() + "\n")
            .map_err(|error| Failure::file("write", &beside, error))?;
        report
    };
    console.progress.clear();
    if console.json {
        console.object(|json| report.write(json))?;
    } else {
        print(&report, path, (!args.dry_run).then_some(out), console)?;
    }
    Ok(if report.is_complete() { Outcome::Whole } else { Outcome::Damaged })
}

/// `out`: where it was written.
fn print(
    report: &SalvageReport,
    path: &Path,
    out: Option<&PathBuf>,
    console: &mut Console,
) -> Result<(), Failure> {
    match out {
        Some(out) => {
            let (from, to, size) = (path.display(), out.display(), bytes(report.bytes_written));
            console.line(format_args!("salvaged {from} into {to}: log {}, {size}", report.log_id))?;
        }
        None => console.line(format_args!("would salvage {}", path.display()))?,
    }
    if let Some(epoch) = report.checkpoint_epoch {
        let state = match (report.external, out) {
            (true, _) => "its state is in the engine's own store".to_owned(),
            (false, Some(_)) => counted(report.checkpoint_keys, "key", "keys"),
            (false, None) => "its state as far as it is intact".to_owned(),
        };
        console.line(format_args!("  checkpoint of epoch {epoch}: {state}"))?;
    }
    let mut table = Table::new(&[
        ("core", Align::Right),
        ("entries", Align::Right),
        ("lost", Align::Right),
        ("sequences", Align::Right),
        ("next", Align::Right),
    ]);
    for core in &report.cores {
        let lost = if core.lost > 0 { Style::Bad } else { Style::Quiet };
        let begin = core.pieces.first().map_or(0, |piece| piece.original.0);
        let renumbered = if core.first_sequence.0 == begin {
            format!("from {begin}, as they were")
        } else {
            format!("from {begin}, now from {}", core.first_sequence)
        };
        table.row([
            core.core.to_string().into(),
            count(core.entries).into(),
            super::table::Cell::styled(count(core.lost), lost),
            renumbered.into(),
            core.next_sequence.to_string().into(),
        ]);
    }
    table.print(console)?;
    for core in &report.recovery.cores {
        for gap in &core.gaps {
            let to = gap.to.map_or("on".to_owned(), |to| format!("to {to}"));
            let text = format!("lost: core {} from {} {to}: {}", core.core, gap.from, gap.reason);
            let text = console.painted(Style::Bad, text);
            console.line(format_args!("  {text}"))?;
        }
    }
    for problem in &report.recovery.problems {
        let text = console.painted(Style::Bad, format_args!("lost: {problem}"));
        console.line(format_args!("  {text}"))?;
    }
    match out {
        Some(out) if report.is_complete() => {
            console.line(format_args!("nothing was lost; the report is in {}", report_name(out).display()))
        }
        Some(out) => console.line(format_args!("every gap is in {}", report_name(out).display())),
        None if report.is_complete() => console.line("nothing is lost"),
        None => Ok(()),
    }
}

fn report_name(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".salvage.json");
    out.with_file_name(name)
}

impl From<SalvageError> for Failure {
    fn from(error: SalvageError) -> Self {
        match error {
            SalvageError::Recovery(error) => Self::Log(error),
            SalvageError::Write { operation, path, cause: source } => Self::File { operation, path, source },
            error @ SalvageError::Differs { .. } => Self::Copy(error.to_string()),
            error => Self::Usage(error.to_string()),
        }
    }
}
