//! `wal why DIR KEY`: the history of one key over checkpoint and logs, and which entry decided its value.

use wal_format::{EntryRef, Epoch, OperationRef};
use wal_reader::{ReadError, RunReader};

use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::paint::Style;
use super::survey::Survey;
use super::text::quoted;
use super::{Outcome, entry};

/// The history of one key, and which entry decided its value
///
/// Reads the checkpoint's runs, oldest first, and then the logs in the global order: the last word counts. What a
/// checkpoint merged into its runs is one word for all entries before.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// The key: text, or 0x and hexadecimal digits
    #[arg(value_name = "KEY", value_parser = super::text::parse_bytes)]
    key: std::vec::Vec<u8>,
    /// Values as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

/// Who had the last word so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decider {
    /// A run of the checkpoint.
    Run { run: u64, epoch: Epoch },
    /// An entry of a log.
    Entry { epoch: u64, core: u16, sequence: u64 },
}

/// What the words so far come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct History {
    words: u64,
    decided_by: Option<Decider>,
    /// The value; `None` if the key is deleted, or was never written.
    value: Option<Vec<u8>>,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let survey = Survey::take(&args.directory.path, console)?;
    let plan = survey.readable(console)?;
    console.progress.begin("reading", plan.bytes_to_read());
    let mut history = History::default();
    let is_missing = !read_runs(&survey, args, &mut history, console)?;
    let checkpoint = plan.checkpoint_epoch();
    let mut entries = plan.merged(&survey.source);
    while entries.advance()? {
        let found = entries.entry();
        if checkpoint.is_some_and(|epoch| found.epoch <= epoch) || !history.note(&args.key, &found) {
            continue;
        }
        if console.json {
            console.object(|json| {
                json.string("from", "log");
                entry::write(json, &found, entries.more_of_batch(), args.hex);
            })?;
        } else {
            console.line(entry::line(&found, entries.more_of_batch(), args.hex))?;
        }
    }
    history.print(args, console)?;
    if plan.manifest.as_ref().is_some_and(|manifest| manifest.external) {
        console.note(
            Style::Notice,
            "the checkpoint's state is in the engine's own store, which was not looked into",
        );
    }
    if is_missing || plan.report.has_gaps() {
        console.note(Style::Bad, "the log is damaged, so words may be missing: see `wal verify`");
        return Ok(Outcome::Damaged);
    }
    Ok(Outcome::Whole)
}

/// The key in every run, oldest first; whether all of them could be read.
fn read_runs(
    survey: &Survey,
    args: &Args,
    history: &mut History,
    console: &mut Console,
) -> Result<bool, Failure> {
    let mut all = true;
    for meta in survey.plan.manifest.iter().flat_map(|manifest| &manifest.runs) {
        match find(survey, *meta, &args.key) {
            Ok(None) => {}
            Ok(Some(value)) => {
                let operation = match &value {
                    Some(value) => OperationRef::Put { key: &args.key, value },
                    None => OperationRef::Delete { key: &args.key },
                };
                if console.json {
                    console.object(|json| {
                        json.string("from", "checkpoint");
                        json.number("run", meta.run);
                        json.number("epoch", meta.epoch);
                        json.string("op", entry::name(&operation));
                        entry::write_bytes(json, "key", &args.key, args.hex);
                        if let Some(value) = &value {
                            entry::write_bytes(json, "value", value, args.hex);
                        }
                    })?;
                } else {
                    let said = entry::operation(&operation, args.hex);
                    console.line(format_args!(
                        "epoch {:<5} checkpoint run {}  {said}",
                        meta.epoch.0, meta.run
                    ))?;
                }
                history.words += 1;
                history.decided_by = Some(Decider::Run { run: meta.run, epoch: meta.epoch });
                history.value = value;
            }
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                all = false;
                console.note(Style::Bad, error);
            }
        }
    }
    Ok(all)
}

/// What a run says of the key: a value, or that it is deleted.
fn find(
    survey: &Survey,
    meta: wal_format::RunMeta,
    key: &[u8],
) -> Result<Option<Option<Vec<u8>>>, ReadError> {
    let mut run = RunReader::open(&*survey.source, survey.log_id, meta)?;
    while run.advance()? {
        if run.key() == key {
            return Ok(Some(run.value().map(<[u8]>::to_vec)));
        }
        if run.key() > key {
            break; // Keys ascend.
        }
    }
    Ok(None)
}

impl History {
    /// Takes an entry in; whether it is about the key.
    fn note(&mut self, key: &[u8], entry: &EntryRef<'_>) -> bool {
        match entry.operation {
            OperationRef::Put { key: written, value } if written == key => {
                let held = self.value.get_or_insert_default();
                held.clear();
                held.extend_from_slice(value);
            }
            OperationRef::Delete { key: deleted } if deleted == key => self.value = None,
            _ => return false,
        }
        self.words += 1;
        self.decided_by =
            Some(Decider::Entry { epoch: entry.epoch.0, core: entry.core_id.0, sequence: entry.sequence.0 });
        true
    }

    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        if console.json {
            return console.object(|json| {
                json.string("from", "verdict");
                entry::write_bytes(json, "key", &args.key, args.hex);
                json.number("words", self.words);
                json.bool("exists", self.value.is_some());
                if let Some(value) = &self.value {
                    entry::write_bytes(json, "value", value, args.hex);
                }
                match &self.decided_by {
                    None => json.optional_string("decided_by", None::<u8>),
                    Some(Decider::Run { run, .. }) => {
                        json.object("decided_by", |json| json.number("run", run))
                    }
                    Some(Decider::Entry { core, sequence, .. }) => json.object("decided_by", |json| {
                        json.number("core", core);
                        json.number("sequence", sequence);
                    }),
                }
            });
        }
        let key = quoted(&args.key);
        let text = match (&self.decided_by, &self.value) {
            (None, _) => format!("{key} was never written, as far as this log goes back"),
            (Some(decider), Some(_)) => format!("{key} has this value by {}", decider.describe()),
            (Some(decider), None) => format!("{key} does not exist: deleted by {}", decider.describe()),
        };
        let text = console.painted(Style::Heading, text);
        console.line(text)
    }
}

impl Decider {
    fn describe(&self) -> String {
        match self {
            Self::Run { run, epoch } => format!("run {run} of the checkpoint, epoch {epoch}"),
            Self::Entry { epoch, core, sequence } => {
                format!("sequence {sequence} of core {core}, epoch {epoch}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, Sequence};

    #[test]
    fn the_last_word_about_the_key_counts() {
        let mut history = History::default();
        let mut say = |sequence, operation| {
            let entry = EntryRef {
                epoch: Epoch(2),
                sequence: Sequence(sequence),
                core_id: CoreId(1),
                timestamp_ns: 0,
                operation,
            };
            let is_about = history.note(b"k", &entry);
            (is_about, history.value.clone(), history.words)
        };
        assert_eq!(say(0, OperationRef::Put { key: b"k", value: b"1" }), (true, Some(b"1".to_vec()), 1));
        assert_eq!(say(1, OperationRef::Put { key: b"kk", value: b"2" }), (false, Some(b"1".to_vec()), 1));
        assert_eq!(say(2, OperationRef::Delete { key: b"k" }), (true, None, 2));
        assert_eq!(say(3, OperationRef::EpochBarrier), (false, None, 2));
        assert_eq!(say(4, OperationRef::Put { key: b"k", value: b"" }), (true, Some(Vec::new()), 3));
        assert_eq!(history.decided_by, Some(Decider::Entry { epoch: 2, core: 1, sequence: 4 }));
    }
}
