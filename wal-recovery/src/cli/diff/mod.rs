//! `wal diff DIR1 DIR2`: the first difference of two logs in the global order, and of what they recover to.

mod entries;
mod state;

use std::path::PathBuf;

use super::Outcome;
use super::console::Console;
use super::entry;
use super::failure::Failure;
use super::paint::Style;
use super::survey::Survey;
use super::text::{counted, quoted};
use crate::json::Json;
use crate::plan::Plan;

use entries::{FirstDifference, Side};
use state::StateDifference;

/// The first difference of two logs, in the global order and in recovered state
///
/// Entries are compared above the later of the two checkpoints; what the checkpoints hold is compared as state. Memory is
/// bounded: the state of large logs is compared in several passes. Exit code 1 if anything differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory of one log
    #[arg(value_name = "DIR1")]
    pub(super) one: PathBuf,
    /// The directory of the other
    #[arg(value_name = "DIR2")]
    other: PathBuf,
    /// Entries may have other sequence numbers, as in a salvaged copy
    #[arg(long)]
    ignore_sequences: bool,
}

struct Comparison {
    compared: u64,
    first: Option<FirstDifference>,
    state: StateDifference,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let [one, other] = [&args.one, &args.other].map(|path| -> Result<(Survey, Plan), Failure> {
        let survey = Survey::take(path, console)?;
        let plan = survey.readable(console)?;
        Ok((survey, plan))
    });
    let ((one, one_plan), (other, other_plan)) = (one?, other?);
    console.progress.begin("comparing entries", one_plan.bytes_to_read() + other_plan.bytes_to_read());
    let above = one_plan.checkpoint_epoch().max(other_plan.checkpoint_epoch());
    let merged = [one_plan.merged(&one.source), other_plan.merged(&other.source)];
    let (compared, first) = entries::first_difference(merged, above, !args.ignore_sequences)?;
    let state = state::compare([(&one.source, one_plan), (&other.source, other_plan)], &console.progress)?;
    console.progress.clear();
    let comparison = Comparison { compared, first, state };
    if console.json {
        console.object(|json| comparison.write(json))?;
    } else {
        comparison.print(args, console)?;
    }
    Ok(if comparison.is_equal() { Outcome::Whole } else { Outcome::Damaged })
}

impl Comparison {
    fn is_equal(&self) -> bool {
        self.first.is_none() && self.state.is_equal()
    }

    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        let same = counted(self.compared, "entry is", "entries are");
        match &self.first {
            None => console.line(format_args!("entries  {same} the same, in the same order"))?,
            Some(difference) => {
                console.line(format_args!("entries  {same} the same, then"))?;
                for (side, path) in [(&difference.one, &args.one), (&difference.other, &args.other)] {
                    let said = match side {
                        Side::Entry(entry, more) => entry::line(&entry.as_ref(), *more, false),
                        Side::Later(entry) => format!(
                            "not this one; goes on with {}",
                            entry::line(&entry.as_ref(), false, false)
                        ),
                        Side::End => "nothing more".to_owned(),
                    };
                    let name = console.painted(Style::Notice, path.display());
                    console.line(format_args!("  {name}: {said}"))?;
                }
            }
        }
        self.state.print(args, console)?;
        let (text, style) = if self.is_equal() { ("equal", Style::Good) } else { ("different", Style::Bad) };
        let text = console.painted(style, text);
        console.line(text)
    }

    fn write(&self, json: &mut Json) {
        json.bool("equal", self.is_equal());
        json.number("entries_equal", self.compared);
        match &self.first {
            None => json.optional_string("first_difference", None::<u8>),
            Some(difference) => json.object("first_difference", |json| {
                for (name, side) in [("one", &difference.one), ("other", &difference.other)] {
                    match side {
                        Side::Entry(entry, more) => {
                            json.object(name, |json| entry::write(json, &entry.as_ref(), *more, false));
                        }
                        Side::Later(_) | Side::End => json.optional_string(name, None::<u8>),
                    }
                }
            }),
        }
        self.state.write(json);
    }
}

impl StateDifference {
    fn is_equal(&self) -> bool {
        self.differing == 0 && self.offsets.is_empty() && self.watermarks.is_empty()
    }

    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        let [one, other] = [&args.one, &args.other].map(|path| path.display().to_string());
        if self.external {
            console
                .line("state    in an engine's own store, at least in part: only the logs were compared")?;
        }
        if self.differing == 0 {
            console.line(format_args!("state    {} the same", counted(self.keys, "key is", "keys are")))?;
        } else {
            let keys = counted(self.keys, "key", "keys");
            let differing = counted(self.differing, "differs", "differ");
            console.line(format_args!("state    of {keys} {differing}; the first"))?;
        }
        if let Some((key, values)) = &self.first {
            console.line(format_args!("  {}", quoted(key)))?;
            for (value, path) in values.iter().zip([&one, &other]) {
                let value = value
                    .as_ref()
                    .map_or("does not exist".to_owned(), |value| quoted(value.get(..100).unwrap_or(value)));
                let name = console.painted(Style::Notice, path);
                console.line(format_args!("  {name}: {value}"))?;
            }
        }
        for (what, [first, second]) in self.offsets.iter().chain(&self.watermarks) {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            let (first, second) = (shown(first), shown(second));
            console.line(format_args!("{what}: {first} in {one}, {second} in {other}"))?;
        }
        Ok(())
    }

    fn write(&self, json: &mut Json) {
        json.number("keys", self.keys);
        json.number("keys_differing", self.differing);
        json.bool("external", self.external);
        match &self.first {
            None => json.optional_string("first_key", None::<u8>),
            Some((key, [one, other])) => json.object("first_key", |json| {
                entry::write_bytes(json, "key", key, false);
                for (name, value) in [("one", one), ("other", other)] {
                    if let Some(value) = value {
                        entry::write_bytes(json, name, value, false);
                    }
                }
            }),
        }
        let others: Vec<_> = self.offsets.iter().chain(&self.watermarks).collect();
        json.objects("other_differences", &others, |json, (what, [one, other])| {
            json.string("what", what);
            json.optional_string("one", one.as_ref());
            json.optional_string("other", other.as_ref());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_equal_if_nothing_differs() {
        let pair = || vec![("source a".to_owned(), [None, None])];
        let states = [
            StateDifference::default(),
            StateDifference { differing: 1, ..StateDifference::default() },
            StateDifference { offsets: pair(), ..StateDifference::default() },
            StateDifference { watermarks: pair(), ..StateDifference::default() },
        ];
        let equal = |state: StateDifference| {
            let of_state = state.is_equal();
            assert_eq!(Comparison { compared: 1, first: None, state }.is_equal(), of_state);
            of_state
        };
        assert_eq!(states.map(equal), [true, false, false, false]);
        let first = Some(FirstDifference { one: Side::End, other: Side::End });
        assert!(!Comparison { compared: 1, first, state: StateDifference::default() }.is_equal());
    }
}
