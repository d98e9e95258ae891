//! The process that kills: starts the engine again and again, holds it to what it acknowledged, and gives the verdict.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::Options;
use super::core_thread::Failure;
use super::input::Input;
use super::kills::{Kill, plan};
use super::protocol::Event;
use super::verify::{count_plainly, differences, recover};
use crate::child::{Engine, Next};
use crate::table::{Bar, Table, bytes, count, time};

/// The log, in the demo's directory.
pub(super) const LOG: &str = "log";
/// The copy of the default input, in the demo's directory.
const TEXT: &str = "text";
/// Makes a run of some ten seconds of the text that a machine with this workspace has.
const DEFAULT_ROUNDS: u64 = 4;
/// The list of sources, in the demo's directory.
pub(super) const LIST: &str = "input.list";

/// What has happened so far.
#[derive(Debug, Default)]
struct Story {
    /// Per source how far it was acknowledged, or recovered, whichever was later.
    known: Vec<u64>,
    recoveries: Vec<Recovery>,
    kills: usize,
    kills_in_recovery: usize,
    checkpoints: u64,
    checkpoint_bytes: u64,
    checkpoint_micros_max: u64,
    entries: u64,
    bytes: u64,
    work_time: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Recovery {
    time: Duration,
    entries: u64,
    keys: u64,
}

/// How a life of the engine ended.
#[derive(PartialEq, Eq)]
enum End {
    Killed,
    Done,
}

/// Runs the demo. Exit code 1: a count is wrong, something acknowledged was lost, or the engine failed.
pub(super) fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("\nFAILED: {error}");
            if let Some(directory) = &options.directory {
                eprintln!("The log is kept in {}", directory.display());
            }
            ExitCode::from(1)
        }
    }
}

fn run(options: &Options) -> Result<bool, Failure> {
    let temporary = options.directory.is_none().then(tempfile::tempdir).transpose()?;
    let directory = match (&options.directory, &temporary) {
        (Some(directory), _) => directory.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => return Err("no directory".into()),
    };
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let input = prepare(options, directory)?;
    input.save(&directory.join(LIST))?;
    println!("cores: {}, kills: {}, seed: {}", options.cores, options.kills, options.seed);
    println!("log:   {}\n", directory.join(LOG).display());
    let mut story = Story { known: vec![0; input.files.len()], ..Story::default() };
    let mut bar = Bar::new();
    let mut kills = plan(options.seed, options.kills).into_iter();
    while live(options, directory, &input, kills.next(), &mut story, &mut bar)? == End::Killed {}
    bar.clear();
    let good = conclude(options, directory, &input, &story)?;
    if options.directory.is_some() && !options.keep && good {
        fs::remove_dir_all(directory.join(LOG))?;
        fs::remove_file(directory.join(LIST))?;
        if options.input.is_none() {
            fs::remove_dir_all(directory.join(TEXT))?;
        }
        // Only if it is ours alone.
        let _ = fs::remove_dir(directory);
    }
    Ok(good)
}

/// Lists the input, and tells what it is.
fn prepare(options: &Options, directory: &Path) -> Result<Input, Failure> {
    let (once, rounds) = match &options.input {
        Some(path) => (Input::below(path).map_err(|error| format!("{}: {error}", path.display()))?, 1),
        None => (Input::default_text()?.copied_to(&directory.join(TEXT))?, DEFAULT_ROUNDS),
    };
    if once.files.is_empty() {
        return Err("there is no text to count: give a file or folder with --input".into());
    }
    let rounds = options.rounds.unwrap_or(rounds);
    let (files, size) = (count(once.files.len() as u64), bytes(once.bytes()));
    println!("input: {files} files, {size}; read {rounds} times, as one stream");
    if once.left_out > 0 {
        println!("       {} more files are left out: this much is enough", count(once.left_out));
    }
    Ok(once.repeated(rounds))
}

/// One life of the engine.
fn live(
    options: &Options,
    directory: &Path,
    input: &Input,
    kill: Option<Kill>,
    story: &mut Story,
    bar: &mut Bar,
) -> Result<End, Failure> {
    let args = ["--engine", "--cores", &options.cores.to_string(), "--dir", &directory.to_string_lossy()];
    let mut engine = Engine::start(&args.map(str::to_owned))?;
    let started = Instant::now();
    let total = input.bytes();
    let mut deadline = match kill {
        Some(Kill::InRecovery { thousandths }) => {
            let last = story.recoveries.last().map_or(Duration::from_millis(20), |recovery| recovery.time);
            Some(started + last.mul_f64(fraction(thousandths)))
        }
        _ => None,
    };
    let mut life = Life::default();
    loop {
        match engine.next(deadline) {
            Next::Line(line) => {
                life.note(&line, input, story)?;
                let done: u64 = story.known.iter().sum();
                let phase = if life.begun.is_some() { "counting" } else { "recovering" };
                bar.show(
                    done,
                    total,
                    &format!("{phase}; {} kills, {} checkpoints", story.kills, story.checkpoints),
                );
                if let Some(Kill::AtWork { thousandths, delay }) = kill
                    && life.begun.is_some()
                    && done >= scaled(total, thousandths)
                {
                    deadline = deadline.or(Some(Instant::now() + delay));
                }
            }
            Next::Deadline => break,
            Next::End => {
                let status = engine.wait()?;
                life.finish(story);
                return if status.success() && life.done {
                    Ok(End::Done)
                } else {
                    Err(format!("the engine stopped by itself: {status}").into())
                };
            }
        }
    }
    let (rest, status) = engine.kill()?;
    for line in rest {
        life.note(&line, input, story)?;
    }
    life.finish(story);
    if life.done {
        return Ok(End::Done);
    }
    if status.code().is_some() {
        return Err(format!("the engine stopped by itself: {status}").into());
    }
    story.kills += 1;
    story.kills_in_recovery += usize::from(life.begun.is_none());
    Ok(End::Killed)
}

/// What one life of the engine told.
#[derive(Debug, Default)]
struct Life {
    recovered: Vec<(usize, u64)>,
    begun: Option<Instant>,
    entries: u64,
    bytes: u64,
    done: bool,
}

impl Life {
    fn note(&mut self, line: &str, input: &Input, story: &mut Story) -> Result<(), Failure> {
        match Event::parse(line).ok_or_else(|| format!("the engine said {line:?}"))? {
            Event::Recovered { micros, entries, keys } => {
                story.recoveries.push(Recovery { time: Duration::from_micros(micros), entries, keys });
            }
            Event::Offset { file, offset } => self.recovered.push((file, offset)),
            Event::Stranger { name } => {
                return Err(format!("the log holds counts of {name}, which is not in the input now").into());
            }
            Event::Begun => {
                self.begun = Some(Instant::now());
                self.check_nothing_is_lost(input, story)?;
            }
            Event::Durable { file, offset } => {
                let known = story.known.get_mut(file).ok_or("an unknown source")?;
                *known = offset.max(*known);
            }
            Event::Logged { entries, bytes } => (self.entries, self.bytes) = (entries, bytes),
            Event::Checkpoint { micros, bytes, .. } => {
                story.checkpoints += 1;
                story.checkpoint_bytes += bytes;
                story.checkpoint_micros_max = story.checkpoint_micros_max.max(micros);
            }
            Event::Done => self.done = true,
        }
        Ok(())
    }

    /// Whatever was acknowledged before the kill must be there after it.
    fn check_nothing_is_lost(&self, input: &Input, story: &mut Story) -> Result<(), Failure> {
        let mut found = vec![0; input.files.len()];
        for (file, offset) in &self.recovered {
            *found.get_mut(*file).ok_or("an unknown source")? = *offset;
        }
        for ((source, known), found) in input.files.iter().zip(&mut story.known).zip(found) {
            let name = source.path.display();
            if found < *known {
                return Err(format!("{name}: {known} bytes were acknowledged, {found} came back").into());
            }
            if found > source.bytes {
                return Err(format!("{name} is shorter than what was counted of it before").into());
            }
            *known = found;
        }
        Ok(())
    }

    fn finish(&self, story: &mut Story) {
        story.entries += self.entries;
        story.bytes += self.bytes;
        story.work_time += self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    }
}

/// Counts plainly, compares, and prints the table. Whether all is right.
fn conclude(options: &Options, directory: &Path, input: &Input, story: &Story) -> Result<bool, Failure> {
    let (counts, recovered) = recover(&directory.join(LOG))?;
    let counted = counts.total();
    let started = Instant::now();
    let expected = count_plainly(input)?;
    let plain_time = started.elapsed();
    if let Some(changed) = input.files.iter().find(|file| !file.is_unchanged()) {
        return Err(format!("{} was changed meanwhile: no verdict; try again", changed.path.display()).into());
    }
    for file in &input.files {
        let offset = recovered.offsets.get(&file.name()).copied();
        if offset != Some(file.bytes) {
            return Err(format!("{}: read to {offset:?} of {}", file.path.display(), file.bytes).into());
        }
    }
    let differences = differences(&counted, &expected);
    let words: u64 = expected.values().sum();
    let mut table = Table::default();
    table.row("input", format!("{} sources, {}", count(input.files.len() as u64), bytes(input.bytes())));
    table.row("words", format!("{}, {} different", count(words), count(expected.len() as u64)));
    table.row("cores", options.cores.to_string());
    table.row(
        "time counting",
        format!("{}; plainly, in one thread: {}", time(story.work_time), time(plain_time)),
    );
    table.row("entries appended", count(story.entries));
    table.row("appends per second", count(per_second(story.entries, story.work_time)));
    table.row("bytes logged", bytes(story.bytes));
    let checkpoints =
        format!("{}, {} written, the longest {}", story.checkpoints, bytes(story.checkpoint_bytes), {
            time(Duration::from_micros(story.checkpoint_micros_max))
        });
    table.row("checkpoints", checkpoints);
    table.row("kills", format!("{}, {} of them during recovery", story.kills, story.kills_in_recovery));
    let of = |text: fn(&Recovery) -> String| story.recoveries.iter().map(text).collect::<Vec<_>>().join(", ");
    table.row("recovery times", of(|recovery| time(recovery.time)));
    table.row("entries replayed", of(|recovery| count(recovery.entries)));
    table.row("keys from checkpoint", of(|recovery| count(recovery.keys)));
    table.row("watermark", recovered.watermark().map_or("none".to_owned(), |ms| format!("{ms} ms")));
    let verdict = match differences.len() {
        0 => format!("all {} counts are right: nothing lost, nothing twice", count(expected.len() as u64)),
        wrong => format!("{} of {} counts are WRONG", count(wrong as u64), count(expected.len() as u64)),
    };
    table.row("verdict", verdict);
    print!("{table}");
    for difference in differences.iter().take(10) {
        println!(
            "    {:?}: counted {}, expected {}",
            difference.word, difference.counted, difference.expected
        );
    }
    Ok(differences.is_empty())
}

#[allow(clippy::cast_precision_loss, reason = "thousandths are small")]
fn fraction(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

fn scaled(total: u64, thousandths: u64) -> u64 {
    total / 1000 * thousandths + total % 1000 * thousandths / 1000
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn per_second(number: u64, time: Duration) -> u64 {
    (number as f64 / time.as_secs_f64().max(1e-6)) as u64
}
