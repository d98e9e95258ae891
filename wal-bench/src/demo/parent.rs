//! The process that kills: starts the engine again and again, until the work is done.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::Options;
use super::core_thread::Failure;
use super::input::Input;
use super::kills::{Kill, plan};
use super::story::{Life, Story};
use super::verdict::conclude;
use crate::child::{Engine, Next};
use crate::table::{Bar, bytes, count};

/// The log, in the demo's directory.
pub(super) const LOG: &str = "log";
/// The copy of the default input, in the demo's directory.
const TEXT: &str = "text";
/// Makes a run of some ten seconds of the text that a machine with this workspace has.
const DEFAULT_ROUNDS: u64 = 4;
/// The list of sources, in the demo's directory.
pub(super) const LIST: &str = "input.list";

/// How a life of the engine ended.
#[derive(PartialEq, Eq)]
enum End {
    Killed,
    Done,
}

/// Runs the demo. Exit code 1: a count is wrong, something acknowledged was lost, or the engine failed; the directory is
/// then kept.
pub(super) fn main(options: &Options) -> ExitCode {
    let temporary = match options.directory.is_none().then(tempfile::tempdir).transpose() {
        Ok(temporary) => temporary,
        Err(error) => {
            eprintln!("no temporary directory: {error}");
            return ExitCode::from(1);
        }
    };
    let directory = temporary.as_ref().map(tempfile::TempDir::path).or(options.directory.as_deref());
    let result = run(options, directory.unwrap_or(Path::new(".")));
    if matches!(result, Ok(true)) {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = result {
        eprintln!("\nFAILED: {error}");
    }
    let directory = directory.unwrap_or(Path::new(".")).to_owned();
    if directory.join(LOG).exists() {
        temporary.map(tempfile::TempDir::keep);
        eprintln!("The log is kept in {}", directory.display());
    }
    ExitCode::from(1)
}

fn run(options: &Options, directory: &Path) -> Result<bool, Failure> {
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

#[allow(clippy::cast_precision_loss, reason = "thousandths are small")]
fn fraction(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

fn scaled(total: u64, thousandths: u64) -> u64 {
    total / 1000 * thousandths + total % 1000 * thousandths / 1000
}
