//! The process that kills, and then checks what is left.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use wal_recovery::BoxError;

use super::Options;
use super::agenda::Agenda;
use super::lines::Line;
use super::oracle::{Oracle, Prefix};
use super::points::{ARE_BUILT_IN, KillAt, Point, VARIABLE};
use super::verify::{Promised, verify};
use crate::child::{Engine, Next};
use crate::random::{Random, mix};
use crate::table::{Bar, Table, count, time};

/// After so many kills the next one starts with an empty directory: logs that begin are as interesting as old ones.
const KILLS_PER_DIRECTORY: u64 = 25;
/// The same number on every Unix.
const SIGKILL: i32 = 9;
/// An engine that does not come by its point is killed after this.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Totals {
    kills: u64,
    while_opening: u64,
    checkpoints: u64,
    written: u64,
    durable: u64,
    epochs: u64,
    replayed: u64,
    entries: u64,
}

/// Runs the loop. Exit code 1: something was lost.
pub(super) fn main(options: &Options) -> ExitCode {
    println!("crash loop, seed {}", options.seed);
    let started = Instant::now();
    let mut totals = Totals::default();
    let points = Point::all().filter(|_| ARE_BUILT_IN);
    let mut agenda = Agenda::new(points, options.point);
    let mut bar = Bar::new();
    let mut round = 0;
    while !is_over(options, &totals, started) {
        match directory_life(options, round, &mut totals, &mut agenda, &mut bar, started) {
            Ok(()) => round += 1,
            Err(error) => {
                bar.clear();
                let kills = totals.kills + 1;
                let point = options.point.map_or(String::new(), |point| format!(" --point {point}"));
                println!(
                    "FAILED at kill {kills}: {error}; again: crash --seed {} --cores {} --kills {kills}{point}",
                    options.seed, options.cores
                );
                return ExitCode::from(1);
            }
        }
    }
    bar.clear();
    let mut table = Table::default();
    table.row(
        "kills",
        format!("{}, {} of them while the log was being opened", totals.kills, totals.while_opening),
    );
    let (points, at_points) = agenda.counts();
    let reached = points - agenda.unreached().count() as u64;
    table.row("named points", format!("{reached} of {points} reached, by {} kills", count(at_points)));
    table.row("directories", count(round));
    table.row("entries appended", count(totals.entries));
    let Totals { written, durable, epochs, .. } = totals;
    let told = [(written, "written"), (durable, "durable"), (epochs, "epoch-durable")];
    let told = told.map(|(number, rung)| format!("{} {rung}", count(number)));
    table.row("acknowledgements checked", told.join(", "));
    table.row("checkpoints", count(totals.checkpoints));
    table.row("entries replayed", count(totals.replayed));
    table.row("time", time(started.elapsed()));
    if !agenda.is_complete_after(totals.kills) {
        print!("{table}");
        let never: Vec<_> = agenda.unreached().map(|point| point.to_string()).collect();
        println!("FAILED: nothing was lost, but no kill was at {}", never.join(", "));
        return ExitCode::from(1);
    }
    table.row("verdict", "nothing was lost, nothing came back that was not written");
    print!("{table}");
    ExitCode::SUCCESS
}

fn is_over(options: &Options, totals: &Totals, started: Instant) -> bool {
    options.kills.is_some_and(|kills| totals.kills >= kills)
        || options.time_max.is_some_and(|time_max| started.elapsed() >= time_max)
}

/// Kills in one directory, until it is time for the next.
fn directory_life(
    options: &Options,
    round: u64,
    totals: &mut Totals,
    agenda: &mut Agenda,
    bar: &mut Bar,
    started: Instant,
) -> Result<(), BoxError> {
    let directory = tempfile::Builder::new().prefix("wal-crash-").tempdir()?;
    let path = directory.path().join("log");
    let seed = mix(options.seed ^ round) >> 1;
    let oracle = Oracle::new(seed);
    let mut random = Random::new(seed ^ 1);
    // One more than usual appends now and then.
    let cores_max = options.cores + 1;
    let mut promised = Promised { kept: vec![0; cores_max], ..Promised::default() };
    let mut prefixes: Vec<_> = (0..u16::try_from(cores_max)?).map(Prefix::new).collect();
    let first = totals.kills;
    let mut life = 0;
    while totals.kills < first + KILLS_PER_DIRECTORY && !is_over(options, totals, started) {
        let is_new = !path.join("wal.meta").exists();
        if !is_new && life > 0 && agenda.wants_new_log() {
            break;
        }
        let kill_at = agenda.next(&mut random, is_new);
        let cores =
            if random.one_in(2) { options.cores as u64 } else { random.within(1..cores_max as u64 + 1) };
        let args = ["--engine", "--seed", &seed.to_string(), "--life", &life.to_string()];
        let more = ["--cores", &cores.to_string(), "--dir", &path.to_string_lossy()];
        let args: Vec<_> = args.iter().chain(&more).map(|word| (*word).to_owned()).collect();
        let outcome = kill_one(&args, kill_at, &mut random, &mut promised, totals)
            .map(|at| at.into_iter().for_each(|point| agenda.reached(point)))
            .and_then(|()| verify_if_there(&oracle, &path, &promised, &mut prefixes));
        match outcome {
            Ok(replayed) => totals.replayed += replayed,
            Err(error) => {
                let at = kill_at.map_or(String::new(), |kill_at| format!(", killed at {kill_at}"));
                return Err(format!("{error}{at}; kept in {}", directory.keep().display()).into());
            }
        }
        life += 1;
        let (done, of) = match (options.kills, options.time_max) {
            (Some(kills), _) => (totals.kills, kills),
            (None, Some(time_max)) => (started.elapsed().as_secs(), time_max.as_secs()),
            (None, None) => (0, 1),
        };
        bar.show(done, of, &format!("{} kills, {} points left", totals.kills, agenda.unreached().count()));
    }
    totals.entries += prefixes.iter().map(|prefix| prefix.next).sum::<u64>();
    Ok(())
}

/// An engine that was killed early may not even have made the directory.
fn verify_if_there(
    oracle: &Oracle,
    path: &Path,
    promised: &Promised,
    prefixes: &mut [Prefix],
) -> Result<u64, BoxError> {
    if path.is_dir() { verify(oracle, path, promised, prefixes) } else { Ok(0) }
}

/// Starts one engine, kills it at a random moment or lets it die at a point, and notes what it had promised. Returns the
/// point, if it got there.
fn kill_one(
    args: &[String],
    kill_at: Option<KillAt>,
    random: &mut Random,
    promised: &mut Promised,
    totals: &mut Totals,
) -> Result<Option<Point>, BoxError> {
    let environment = kill_at.map(|kill_at| (VARIABLE, kill_at.to_string()));
    let mut engine = Engine::start_program(&std::env::current_exe()?, args, environment.as_slice())?;
    // One in three is aimed at the opening: its time counts from the start of the process, the others' from when the
    // log is open. Some live long enough for a few checkpoints.
    let from_start = random.one_in(3);
    let micros = match random.within(0..3) {
        _ if from_start => 0..15_000,
        0 => 0..250_000,
        _ => 0..60_000,
    };
    let from_start = from_start || kill_at.is_some();
    let delay = Duration::from_micros(random.within(micros));
    let delay = if kill_at.is_some() { PATIENCE } else { delay };
    let mut deadline = from_start.then(|| Instant::now() + delay);
    let mut is_open = false;
    let mut lines = Vec::new();
    loop {
        match engine.next(deadline) {
            Next::Line(line) => {
                if line == Line::Open.to_string() {
                    is_open = true;
                    deadline = deadline.or(Some(Instant::now() + delay));
                }
                lines.push(line);
            }
            Next::Deadline => break,
            Next::End => break,
        }
    }
    let (rest, status) = engine.kill()?;
    if status.signal() != Some(SIGKILL) {
        return Err(format!("the engine stopped by itself: {status}").into());
    }
    lines.extend(rest);
    let mut point = None;
    for line in &lines {
        match Line::parse(line).ok_or_else(|| format!("the engine said {line:?}"))? {
            Line::Open => is_open = true,
            line @ (Line::Written { core, sequence } | Line::Durable { core, sequence }) => {
                let is_durable = matches!(line, Line::Durable { .. });
                *(if is_durable { &mut totals.durable } else { &mut totals.written }) += 1;
                let kept = promised.kept.get_mut(core).ok_or("an unknown core")?;
                *kept = sequence.max(*kept);
            }
            Line::EpochDurable(epoch) => {
                promised.epoch = promised.epoch.max(epoch);
                totals.epochs += 1;
            }
            Line::Checkpointed(epoch) => {
                promised.checkpoint = promised.checkpoint.max(epoch);
                totals.checkpoints += 1;
            }
            Line::At(at) => point = Some(at),
        }
    }
    totals.kills += 1;
    totals.while_opening += u64::from(!is_open);
    Ok(point)
}
