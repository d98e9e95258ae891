//! `wal dump DIR`: the entries of the logs, one a line; or their frames.

pub(super) mod filter;
pub(super) mod frames;

use wal_format::CoreId;
use wal_reader::{Gap, MergedReader};

use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::paint::Style;
use super::survey::Survey;
use super::{Outcome, entry};
use crate::plan::Plan;

use filter::{Epochs, Filter, Operation};

/// Print the entries of the logs, one a line
///
/// Entries that the checkpoint has made superfluous are not in the logs any more; `wal why` looks into the checkpoint
/// too. Of a damaged log everything that is intact is printed, with a note for every gap, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// Only this core; may be given several times
    #[arg(long, value_name = "N")]
    core: Vec<u16>,
    /// Only these epochs: `7`, `3..9` (both included), `3..`, `..9`
    #[arg(long, value_name = "A..B")]
    epoch: Option<Epochs>,
    /// Only puts and deletes of keys that begin so: text, or 0x and hexadecimal digits
    #[arg(long, value_name = "PREFIX", value_parser = super::text::parse_bytes, conflicts_with = "frames")]
    // The path keeps clap from taking it for a list of values.
    key: Option<std::vec::Vec<u8>>,
    /// Only these operations; may be given several times, or separated by commas
    #[arg(long, value_name = "OP", value_delimiter = ',', conflicts_with = "frames")]
    op: Vec<Operation>,
    /// Frames in place of entries: where they stand, what kind they are, what they prove
    #[arg(long, conflicts_with = "merged")]
    frames: bool,
    /// Keys and values as hexadecimal digits; with --frames, the payload too
    #[arg(long)]
    hex: bool,
    /// In the global order of all cores; without it, core after core
    #[arg(long)]
    merged: bool,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let survey = Survey::take(&args.directory.path, console)?;
    let plan = survey.readable(console)?;
    let chosen: Vec<CoreId> = survey
        .cores()
        .into_iter()
        .filter(|core| args.core.is_empty() || args.core.contains(&core.0))
        .collect();
    if let Some(missing) = args.core.iter().find(|core| !chosen.contains(&CoreId(**core))) {
        return Err(Failure::Usage(format!(
            "there is no core {missing} in {}",
            args.directory.path.display()
        )));
    }
    console.progress.begin("reading", plan.bytes_to_read());
    if args.frames {
        frames::print(&survey, &plan, &chosen, args.epoch.as_ref(), args.hex, console)?;
    } else {
        let filter = Filter { epochs: args.epoch, key: args.key.clone(), operations: args.op.clone() };
        if args.merged {
            let readers = chosen.iter().map(|core| plan.reader(&survey.source, *core)).collect();
            print(MergedReader::new(readers), &filter, args.hex, console)?;
        } else {
            for core in &chosen {
                // One core alone: merging it changes nothing.
                print(
                    MergedReader::new(vec![plan.reader(&survey.source, *core)]),
                    &filter,
                    args.hex,
                    console,
                )?;
            }
        }
    }
    Ok(if note_gaps(&plan, &chosen, console) { Outcome::Damaged } else { Outcome::Whole })
}

fn print(
    mut entries: MergedReader,
    filter: &Filter,
    as_hex: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    while entries.advance()? {
        let found = entries.entry();
        if !filter.takes(&found) {
            continue;
        }
        let more = entries.more_of_batch();
        if console.json {
            console.object(|json| entry::write(json, &found, more, as_hex))?;
        } else {
            console.line(entry::line(&found, more, as_hex))?;
        }
    }
    Ok(())
}

/// Says what is not in the output although it had been in the log; whether there is anything.
fn note_gaps(plan: &Plan, chosen: &[CoreId], console: &Console) -> bool {
    let mut any = false;
    for core in plan.cores.iter().filter(|core| chosen.contains(&core.scan.core)) {
        for Gap { from, to, reason, .. } in &core.gaps {
            any = true;
            let to = to.map_or("on".to_owned(), |to| format!("to {to}"));
            let text = format!("core {}: nothing can be read from {from} {to}: {reason}", core.scan.core);
            console.note(Style::Bad, text);
        }
    }
    any
}
