//! `cargo xtask bugs`: the tests, tested. Each seeded bug must be caught by the test that its table names.
//!
//! Promises: the workspace itself is never touched (bugs go into a copy below the target directory); a bug counts as
//! caught only if the changed code compiled, the named test ran, and it failed, while the same test passes without
//! the bug. The tables beside this file are compared with the sources by `cargo xtask tidy`, so they cannot rot.
//!
//! Not part of the gate: the full run takes as long as building a crate or two per bug.

mod check;
mod coordinator;
mod copy;
mod format;
mod kills;
mod reader;
mod recovery;
mod run;
mod schedules;
mod watching;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(crate) use check::findings;

use crate::failure::{Failure, number, unknown};
use copy::Workspace;
use run::Outcome;

pub(crate) const HELP: &str = "\
Usage: cargo xtask bugs [--list] [--only NAME[,NAME...]] [--shard I --of N]

Puts one bug after the other into a copy of the workspace and runs the test that must catch it. Each
bug drops or moves one sync, acknowledgement, check, ordering, bound or seed of a checksum.

Options:
  --list         list the bugs with their tests and run nothing
  --only NAMES   only the bugs of these names; part of a name means all that contain it
  --shard I      only every N-th bug, from the I-th (from 0) on
  --of N         the N of --shard

Takes some 20 seconds a bug on two cores; the copy and what is built of it are kept in target/bugs.
Exit code: 0 when every bug was caught.
";

/// One seeded bug.
pub(crate) struct Bug {
    /// Words with dashes: what is wrong with the code.
    pub(crate) name: &'static str,
    /// The file, from the workspace's root.
    pub(crate) file: &'static str,
    /// Text that occurs in the file exactly once.
    pub(crate) old: &'static str,
    /// What the bug puts in its place.
    pub(crate) new: &'static str,
    /// The test that must fail.
    pub(crate) test: Test,
    /// What would be lost if nobody noticed.
    pub(crate) harm: &'static str,
}

/// Where a test stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    /// `tests/FILE.rs` of a package, and the test's name.
    In(&'static str, &'static str, &'static str),
    /// A unit test: package, and the test's path in the library.
    Unit(&'static str, &'static str),
    /// A loom model: package, and its path in the library.
    Loom(&'static str, &'static str),
    /// A scenario under drawn schedules (`cargo xtask schedules`), by its name.
    Schedules(&'static str),
    /// The kill loop at one point (`cargo xtask crash --point NAME`).
    Kills(&'static str),
}

impl Test {
    fn package(&self) -> &'static str {
        match self {
            Self::In(package, ..) | Self::Unit(package, _) | Self::Loom(package, _) => package,
            Self::Schedules(_) => "wal-coordinator",
            Self::Kills(_) => "wal-bench",
        }
    }

    /// As the test harness, or the program, spells it.
    fn path(&self) -> &'static str {
        match self {
            Self::In(_, _, path)
            | Self::Unit(_, path)
            | Self::Loom(_, path)
            | Self::Schedules(path)
            | Self::Kills(path) => path,
        }
    }
}

/// All bugs, by crate.
pub(crate) fn all() -> Vec<&'static Bug> {
    let tables: [&[Bug]; 8] = [
        format::BUGS,
        reader::BUGS,
        recovery::BUGS,
        writer::BUGS,
        coordinator::BUGS,
        schedules::BUGS,
        watching::BUGS,
        kills::BUGS,
    ];
    tables.into_iter().flatten().collect()
}

#[derive(Debug, Default, PartialEq)]
struct Options {
    list: bool,
    only: Vec<String>,
    shard: u64,
    of: u64,
}

/// Runs the bugs with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    let selected = select(&options)?;
    if options.list {
        selected.iter().for_each(|bug| println!("{:<46}{}\n    {}", bug.name, bug.test.path(), bug.harm));
        println!("{} bugs", selected.len());
        return Ok(());
    }
    let workspace = Workspace::refresh()?;
    let sound = without_bugs(&workspace, &selected)?;
    println!("{} bugs:", selected.len());
    let (mut caught, mut escaped) = (0, Vec::new());
    for bug in &selected {
        let Some(without) = sound.get(&bug.test) else { continue };
        let begin = Instant::now();
        let outcome = run_one(&workspace, bug, *without)?;
        println!("{}", line(bug.name, &outcome.to_string(), begin.elapsed(), &bug.test));
        if outcome.is_caught() {
            caught += 1;
        } else {
            escaped.push(bug.name);
        }
    }
    println!("{caught} of {} bugs caught", selected.len());
    let unsound = selected.iter().filter(|bug| !sound.contains_key(&bug.test)).map(|bug| bug.test.path());
    let unsound: BTreeSet<_> = unsound.collect();
    if !unsound.is_empty() {
        let names = unsound.into_iter().collect::<Vec<_>>().join(", ");
        Err(Failure::failed(format!("fails without a bug, and can catch none: {names}")))
    } else if escaped.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(format!("not caught: {}", escaped.join(", "))))
    }
}

/// Runs every test that is to catch a bug as the code is. Those that pass are returned, with how long they run: one that
/// fails would fail with any bug.
fn without_bugs(workspace: &Workspace, bugs: &[&'static Bug]) -> Result<BTreeMap<Test, Duration>, Failure> {
    let tests: BTreeSet<Test> = bugs.iter().map(|bug| bug.test).collect();
    println!("{} tests without any bug:", tests.len());
    let mut sound = BTreeMap::new();
    for test in tests {
        let begin = Instant::now();
        let (outcome, ran) = run::without_bug(workspace, &test)?;
        let passes = matches!(outcome, Outcome::Passed);
        let said = if passes { "passes".to_owned() } else { format!("DOES NOT PASS: {outcome}") };
        println!("{}", line("", &said, begin.elapsed(), &test));
        if passes {
            sound.insert(test, ran);
        }
    }
    Ok(sound)
}

/// Puts the bug in, runs its test, takes it out again, whatever happens.
fn run_one(workspace: &Workspace, bug: &Bug, without: Duration) -> Result<Outcome, Failure> {
    let text = workspace.put_in(bug)?;
    let outcome = run::with_bug(workspace, bug, without);
    workspace.take_out(bug, &text)?;
    outcome
}

fn line(name: &str, outcome: &str, took: Duration, test: &Test) -> String {
    format!("{name:<46}{outcome:<18}{:6.1} s  {}", took.as_secs_f64(), test.path())
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options { of: 1, ..Options::default() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--only" => {
                let names =
                    args.next().ok_or_else(|| Failure::usage("`bugs --only` needs names behind it"))?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            "--shard" => options.shard = number("bugs", arg, args.next())?,
            "--of" => options.of = number("bugs", arg, args.next())?,
            _ => return Err(unknown("bugs", arg)),
        }
    }
    if options.shard >= options.of {
        return Err(Failure::usage("`bugs --shard` counts from 0 and stays below `--of`"));
    }
    Ok(options)
}

fn select(options: &Options) -> Result<Vec<&'static Bug>, Failure> {
    let bugs = all();
    let is_whole = |name: &str| bugs.iter().any(|bug| bug.name == name);
    let is_meant = |bug: &Bug, name: &str| bug.name == name || (!is_whole(name) && bug.name.contains(name));
    let wanted = |bug: &&&Bug| options.only.is_empty() || options.only.iter().any(|name| is_meant(bug, name));
    let mine = (0_u64..).zip(bugs.iter().copied().filter(|bug| wanted(&bug)));
    let mut mine: Vec<_> =
        mine.filter(|(at, _)| at % options.of == options.shard).map(|(_, bug)| bug).collect();
    // What one test has to catch comes together, and of that what is in one file: less is built anew in between.
    mine.sort_by_key(|bug| (bug.test, bug.file));
    if mine.is_empty() {
        return Err(Failure::usage("no bug has such a name; `cargo xtask bugs --list` lists them"));
    }
    Ok(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_document_says_how_many_bugs_there_are() {
        let count = format!("| {} seeded bugs,", all().len());
        assert!(
            include_str!("../../docs/testing.md").contains(&count),
            "docs/testing.md does not say {count}"
        );
    }

    #[test]
    fn shards_share_the_bugs_and_names_select_them() {
        let count =
            |args: &[&str]| parse(&words(args)).and_then(|options| select(&options)).map(|bugs| bugs.len());
        let all = all().len();
        let shards = [["--shard", "0", "--of", "2"], ["--shard", "1", "--of", "2"]];
        let shared: usize = shards.iter().filter_map(|args| count(args).ok()).sum();
        assert_eq!(shared, all);
        let first = super::all()[0].name;
        assert!(count(&["--only", first]).is_ok_and(|count| count >= 1));
        assert!(count(&["--only", "released-before-the-manifest"]).is_ok_and(|count| count == 1));
        assert!(count(&["--only", "released-before-the"]).is_ok_and(|count| count > 1));
        for wrong in [&["--only", "no-such-bug"][..], &["--shard", "2", "--of", "2"], &["--only"], &["x"]] {
            assert!(matches!(count(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
