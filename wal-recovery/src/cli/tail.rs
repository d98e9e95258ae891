//! `wal tail [-f] DIR`: the last entries of a log, and those that come.
//!
//! The follower decides what may be shown; this formats and waits. With `-f` it ends when whoever reads has seen enough or a
//! signal comes, behind a whole line, and says from where to go on.

use std::collections::VecDeque;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use wal_format::{CoreId, EntryRef, LogId};
use wal_reader::{
    CoreFollower, FollowError, Inventory, Level, MergedFollower, Pace, PerCoreWalReader, Position, Source,
    Start, read_meta,
};

use super::args::Directory;
use super::console::Console;
use super::dump::filter::{Filter, Operation};
use super::ending::Ending;
use super::failure::Failure;
use super::look::Look;
use super::paint::Style;
use super::{Outcome, entry};

/// How long one round of waiting takes at most; then it looks for new cores, and goes on.
const ROUND: Duration = Duration::from_secs(1);

/// Print the last entries of a log, and follow it while an engine writes it
///
/// In the global order of all cores, whole epochs at a time, what no recovery takes back: an epoch shows when it is closed and
/// a later one, or a checkpoint, says that it is durable. With --per-core every core's entries as soon as they stand in its
/// files. Nothing is locked or held: what a checkpoint releases before it was read is gone (exit code 1).
///
/// With --follow it ends with exit code 0 on SIGINT or SIGTERM, at once on a second one (130), and when nobody reads its output
/// any more. Standard error says in the end behind which position to go on; with --json, a line after each round does.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// Go on with what is written from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last N entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, conflicts_with = "from")]
    lines: usize,
    /// Begin behind this position, as an earlier run printed it; or at the `start` of what is in no checkpoint; or at the
    /// `end`
    #[arg(long, value_name = "POSITION")]
    from: Option<From>,
    /// Show what the files prove durable, or all that is written
    #[arg(long, value_name = "LEVEL", default_value = "durable")]
    level: Reached,
    /// In the global order of all cores, whole epochs at a time [default]
    #[arg(long, conflicts_with = "per_core")]
    merged: bool,
    /// Core by core, as entries arrive
    #[arg(long)]
    per_core: bool,
    /// Only this core; may be given several times
    #[arg(long, value_name = "N")]
    core: Vec<u16>,
    /// Only puts and deletes of keys that begin so: text, or 0x and hexadecimal digits
    #[arg(long, value_name = "PREFIX", value_parser = super::text::parse_bytes)]
    // The path keeps clap from taking it for a list of values.
    key: Option<std::vec::Vec<u8>>,
    /// Only these operations; may be given several times, or separated by commas
    #[arg(long, value_name = "OP", value_delimiter = ',')]
    op: Vec<Operation>,
    /// Keys and values as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reached {
    Durable,
    Written,
}

/// A follower calls damage only what it meets again: files may be released while it looks. So often it is asked once more
/// before a log counts as read to its end.
const LOOKS_AGAIN: u32 = 4;

/// Where to begin, if not with the last lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct From(Start);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "start" => Start::Checkpoint,
            "end" => Start::End,
            text => Start::At(text.parse::<Position>().map_err(|error| error.to_string())?),
        }))
    }
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let source = Look::at(&args.directory.path, false, &console.progress);
    let log_id = log_id(&*source, &args.directory.path)?;
    let start = args.from.as_ref().map_or(Start::Checkpoint, |from| from.0.clone());
    let level = match args.level {
        Reached::Durable => Level::Durable,
        Reached::Written => Level::Written,
    };
    let mut followed = if args.per_core {
        Followed::Cores(Cores {
            source,
            log_id,
            level,
            start,
            chosen: args.core.clone(),
            followers: Vec::new(),
        })
    } else {
        Followed::Merged(Box::new(MergedFollower::new(source, level, start)?))
    };
    let ending = if args.follow {
        Some(
            Ending::armed()
                .map_err(|error| Failure::file("handle signals for", &args.directory.path, error))?,
        )
    } else {
        None
    };
    let filter = Filter { epochs: None, key: args.key.clone(), operations: args.op.clone() };
    let takes = |entry: &EntryRef<'_>| {
        filter.takes(entry) && (args.core.is_empty() || args.core.contains(&entry.core_id.0))
    };
    let mut lines =
        Lines { as_hex: args.hex, last: args.from.is_none().then_some(args.lines), kept: VecDeque::new() };
    let result = (|| {
        let (mut is_new, mut idle) = (false, 0);
        loop {
            let mut pace = Pace::new(if args.follow && !is_new { ROUND } else { Duration::ZERO });
            is_new = followed.each(&mut pace, ending.as_ref(), |entry, more| {
                if takes(entry) { lines.print(console, entry, more) } else { Ok(()) }
            })?;
            lines.release(console)?;
            if is_new && console.json {
                console.object(|json| json.string("position", followed.position()))?;
            }
            console.finish()?;
            idle = if is_new { 0 } else { idle + 1 };
            if ending.as_ref().map_or(idle > LOOKS_AGAIN, Ending::has_come) {
                return Ok(Outcome::Whole);
            }
        }
    })();
    // Of what was on its way, nobody knows how much has been read.
    let is_read =
        !matches!(result, Err(Failure::Output(_))) && !ending.as_ref().is_some_and(Ending::nobody_reads);
    if !console.json && is_read {
        console.note(Style::Heading, format_args!("to go on: --from {}", followed.position()));
    }
    result
}

fn log_id(source: &dyn Source, path: &Path) -> Result<LogId, Failure> {
    let meta = read_meta(source)?;
    let missing = || Failure::Usage(format!("there is no log in {}: it has no wal.meta", path.display()));
    Ok(meta.ok_or_else(missing)?.log_id)
}

enum Followed {
    Merged(Box<MergedFollower>),
    Cores(Cores),
}

/// Every core by itself.
struct Cores {
    source: Arc<dyn Source>,
    log_id: LogId,
    level: Level,
    start: Start,
    chosen: Vec<u16>,
    followers: Vec<(CoreId, CoreFollower)>,
}

impl Followed {
    /// Hands over what is there; waits for it as `pace` says, until the `ending`. Whether there was anything.
    fn each(
        &mut self,
        pace: &mut Pace,
        ending: Option<&Ending>,
        mut visit: impl FnMut(&EntryRef<'_>, bool) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut is_new = false;
        let is_interrupted = || ending.is_some_and(Ending::is_interrupted);
        loop {
            match self {
                Self::Merged(follower) => {
                    while !is_interrupted() && follower.advance()? {
                        is_new = true;
                        visit(&follower.entry(), follower.more_of_batch())?;
                    }
                }
                Self::Cores(cores) => {
                    cores.look_for_more()?;
                    for (_, follower) in &mut cores.followers {
                        while !is_interrupted() && follower.advance()? {
                            is_new = true;
                            visit(&follower.entry(), follower.more_of_batch())?;
                        }
                    }
                }
            }
            if is_new || ending.is_some_and(Ending::has_come) || !pace.wait() {
                return Ok(is_new);
            }
        }
    }

    /// Behind what was handed over.
    fn position(&self) -> Position {
        match self {
            Self::Merged(follower) => follower.position(),
            Self::Cores(cores) => {
                let begun = match &cores.start {
                    Start::At(position) => position.clone(),
                    _ => Position::beginning(cores.log_id),
                };
                cores.followers.iter().fold(begun, |mut all, (_, follower)| {
                    all.cores.extend(follower.position().cores);
                    all
                })
            }
        }
    }
}

impl Cores {
    /// Follows cores that have appeared.
    fn look_for_more(&mut self) -> Result<(), Failure> {
        let inventory = Inventory::list(&*self.source)?;
        for core in inventory.segments.keys().copied() {
            let is_chosen = self.chosen.is_empty() || self.chosen.contains(&core.0);
            if !is_chosen || self.followers.iter().any(|(followed, _)| *followed == core) {
                continue;
            }
            let (source, start) = (Arc::clone(&self.source), self.start.clone());
            self.followers
                .push((core, PerCoreWalReader::follow(source, self.log_id, core, self.level, start)?));
        }
        // What comes into being after the first look is new from its first entry on.
        if self.start == Start::End {
            self.start = Start::Checkpoint;
        }
        Ok(())
    }
}

/// Lines on their way out: at first only the last ones are wanted.
struct Lines {
    as_hex: bool,
    last: Option<usize>,
    kept: VecDeque<String>,
}

impl Lines {
    fn print(&mut self, console: &mut Console, found: &EntryRef<'_>, more: bool) -> Result<(), Failure> {
        let text = if console.json {
            crate::json::Json::document(|json| entry::write(json, found, more, self.as_hex))
        } else {
            entry::line(found, more, self.as_hex)
        };
        let Some(last) = self.last else { return console.line(text) };
        self.kept.push_back(text);
        if self.kept.len() > last {
            self.kept.pop_front();
        }
        Ok(())
    }

    /// All that was there at first was seen.
    fn release(&mut self, console: &mut Console) -> Result<(), Failure> {
        self.last = None;
        self.kept.drain(..).try_for_each(|line| console.line(line))
    }
}

impl std::convert::From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Read(error) => error.into(),
            FollowError::OtherLog { .. } => Self::Usage(error.to_string()),
            error => Self::Follow(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_word_or_a_position() {
        assert_eq!("start".parse(), Ok(From(Start::Checkpoint)));
        assert_eq!("end".parse(), Ok(From(Start::End)));
        let position = Position::beginning(LogId([7; 16]));
        assert_eq!(position.to_string().parse(), Ok(From(Start::At(position))));
        assert!("elsewhere".parse::<From>().is_err());
    }
}
