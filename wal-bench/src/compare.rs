//! Two revisions beside each other: their bench programs, built before, measure in alternation, and every figure that both
//! have is given as a ratio.
//!
//! The order is A B B A A B B A: whatever drifts, a machine that warms up or a neighbour that comes and goes, meets both.
//! Each pair of neighbours gives one ratio; what is said is their median and how far apart they lie. Where the ratios of
//! the pairs lie on both sides of 1, or within the noise, a difference cannot be told, and that is said.
//! Not a test: nothing here fails because something is slower.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::{amount, digits};
use crate::results::{Figure, Results, Row};
use crate::samples::Samples;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The bench program of the older revision.
    pub old: PathBuf,
    /// Of the newer.
    pub new: PathBuf,
    /// What the older is called.
    pub old_name: String,
    /// Pairs of runs.
    pub rounds: u64,
    /// What both are given: `--quick`, `--only`, `--dir`.
    pub options: Vec<String>,
}

/// One figure of both revisions.
#[derive(Clone, Debug, Default)]
struct Pairs {
    unit: String,
    old: Samples,
    new: Samples,
    /// New over old, of each pair of runs.
    ratios: Samples,
    /// The same of the yardstick, which no revision changes.
    yardsticks: Samples,
}

/// The figures of two revisions.
#[derive(Clone, Debug, Default)]
struct Paired {
    /// That both have, by name, in the order of the newer.
    both: Vec<(String, Pairs)>,
    only_old: Vec<String>,
    only_new: Vec<String>,
}

/// What can be said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Better,
    Worse,
    WithinNoise,
}

/// The figures of a run, in its order, by name.
type Run = Vec<Row>;

/// Measures, and returns the report in Markdown.
///
/// # Errors
/// A program that does not run, or that prints nothing which can be read.
pub fn compare(comparison: &Comparison) -> Result<String, Failure> {
    let mut pairs = Vec::new();
    for round in 0..comparison.rounds {
        eprintln!("round {} of {}", round + 1, comparison.rounds);
        let (old, new) = if round % 2 == 0 {
            let old = run(&comparison.old, &comparison.options)?;
            (old, run(&comparison.new, &comparison.options)?)
        } else {
            let new = run(&comparison.new, &comparison.options)?;
            (run(&comparison.old, &comparison.options)?, new)
        };
        pairs.push((old, new));
    }
    document(&comparison.old_name, &pairs)
}

/// One run of a bench program.
fn run(program: &Path, options: &[String]) -> Result<Run, Failure> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(program);
    let output = command.args(options).arg("--out").arg(out.path()).stderr(Stdio::piped()).output()?;
    if output.status.success() {
        let results: Results = serde_json::from_slice(&std::fs::read(out.path().join("results.json"))?)?;
        return Ok(results.figures.into_iter().map(|Figure { row, .. }| row).collect());
    }
    // Before there were results as data there was no `--out`, only a table.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) || !said.contains("--out") {
        return Err(format!("{} {}: {said}", program.display(), options.join(" ")).into());
    }
    let output = Command::new(program).args(options).output()?;
    let rows = rows_of_table(&String::from_utf8_lossy(&output.stdout));
    if rows.is_empty() || !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} {}: printed no figures: {said}", program.display(), options.join(" ")).into());
    }
    Ok(rows)
}

/// The figures of a report in Markdown, as far as they are one number with a unit. They have three digits only.
fn rows_of_table(document: &str) -> Run {
    let row = |line: &str| {
        let cells: Vec<&str> =
            line.strip_prefix("| ")?.strip_suffix('|')?.split(" | ").map(str::trim).collect();
        let (value, unit) = number(cells.get(1)?)?;
        let yardstick = cells.get(2).and_then(|cell| number(cell)).map_or(0.0, |(value, _)| value);
        Some(Row::beside(cells.first()?, value, yardstick, unit))
    };
    document.lines().filter_map(row).collect()
}

/// A number and its unit, if there is nothing else.
fn number(cell: &str) -> Option<(f64, &str)> {
    let (value, unit) = cell.split_once(' ')?;
    let is_unit = !unit.is_empty()
        && !unit.contains([',', ';', ':'])
        && !unit.starts_with(|c: char| c.is_ascii_digit());
    Some((value.parse().ok()?, unit)).filter(|_| is_unit)
}

fn document(old_name: &str, runs: &[(Run, Run)]) -> Result<String, Failure> {
    let Paired { both, only_old, only_new } = paired(runs);
    if both.is_empty() {
        return Err(format!("{old_name} and this revision have no figure in common").into());
    }
    let mut text = format!(
        "# Compared with {old_name}\n\n{} pairs of runs, in the order old new new old. The ratio is new over old, the median of the \
         pairs, and in brackets the least and the greatest.\n\n| figure | old | new | ratio | of the yardstick | |\n|---|---:|---:|---:|---:|---|\n",
        runs.len()
    );
    for (name, mut pair) in both {
        let said = match pair.said(Row::alone("", 0.0, &pair.unit).is_rate()) {
            Said::Better => "better",
            Said::Worse => "**worse**",
            Said::WithinNoise => "within noise",
        };
        let [old, new] = [&mut pair.old, &mut pair.new].map(|side| amount(side.median(), &pair.unit));
        let yardstick =
            if pair.yardsticks.is_empty() { String::new() } else { digits(pair.yardsticks.median()) };
        let [least, ratio, most] = [0.0, 0.5, 1.0].map(|part| digits(pair.ratios.quantile(part)));
        let name = name.replace('|', "\\|");
        let _ =
            writeln!(text, "| {name} | {old} | {new} | {ratio} ({least}-{most}) | {yardstick} | {said} |");
    }
    for (side, names) in [("the old", only_old), ("the new", only_new)] {
        if !names.is_empty() {
            let _ = write!(text, "\nOnly in {side} revision, not compared: {}.\n", names.join("; "));
        }
    }
    Ok(text)
}

/// Figures are the same if name and unit are.
fn paired(runs: &[(Run, Run)]) -> Paired {
    let mut paired = Paired::default();
    let found = &mut paired.both;
    for (index, (old, new)) in runs.iter().enumerate() {
        let by_name: BTreeMap<&str, &Row> = old.iter().map(|row| (row.name.as_str(), row)).collect();
        for row in new {
            let Some(before) = by_name.get(row.name.as_str()).filter(|before| before.unit == row.unit) else {
                if index == 0 {
                    paired.only_new.push(row.name.clone());
                }
                continue;
            };
            let at = found.iter().position(|(name, _)| *name == row.name).unwrap_or_else(|| {
                found.push((row.name.clone(), Pairs { unit: row.unit.clone(), ..Pairs::default() }));
                found.len() - 1
            });
            found[at].1.push(before, row);
        }
        if index == 0 {
            let is_new =
                |row: &&Row| new.iter().any(|other| other.name == row.name && other.unit == row.unit);
            paired.only_old.extend(old.iter().filter(|row| !is_new(row)).map(|row| row.name.clone()));
        }
    }
    paired
}

impl Pairs {
    fn push(&mut self, old: &Row, new: &Row) {
        self.old.push(old.value);
        self.new.push(new.value);
        if old.value > 0.0 {
            self.ratios.push(new.value / old.value);
        }
        if let (Some(old), Some(new)) = (old.yardstick, new.yardstick) {
            self.yardsticks.push(new / old);
        }
    }

    /// Better or worse only if every pair is so, by more than the pairs differ among themselves, more than the yardstick moved
    /// in any of them, and more than one percent: of a program beside itself, one figure in eight agrees by chance in the
    /// sign of four pairs.
    fn said(&mut self, is_rate: bool) -> Said {
        if self.ratios.len() < 2 {
            return Said::WithinNoise;
        }
        let ends = |samples: &mut Samples| [0.0, 1.0].map(|part| samples.quantile(part) - 1.0);
        let [least, most] = ends(&mut self.ratios);
        let yardstick = if self.yardsticks.is_empty() { [0.0; 2] } else { ends(&mut self.yardsticks) };
        let moved = yardstick.into_iter().map(f64::abs).fold(0.01, f64::max);
        let noise = moved.max((most - least) / 2.0);
        let agree = least * most > 0.0 && least.abs().min(most.abs()) > noise;
        match (agree, (least > 0.0) == is_rate) {
            (false, _) => Said::WithinNoise,
            (true, true) => Said::Better,
            (true, false) => Said::Worse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: &str, pairs: &[(f64, f64)], yardsticks: Option<&[(f64, f64)]>, expected: Said) {
        let mut all = Pairs { unit: unit.to_owned(), ..Pairs::default() };
        for (index, (old, new)) in pairs.iter().enumerate() {
            let (before, after) = yardsticks.map_or((0.0, 0.0), |yardsticks| yardsticks[index]);
            all.push(&Row::beside("n", *old, before, unit), &Row::beside("n", *new, after, unit));
        }
        assert_eq!(all.said(Row::alone("n", 0.0, unit).is_rate()), expected, "{pairs:?}");
    }

    #[test]
    fn a_difference_is_told_only_beyond_the_noise() {
        check("ns", &[(10.0, 8.0), (10.0, 8.5)], None, Said::Better);
        check("ns", &[(10.0, 12.0), (10.0, 11.5)], None, Said::Worse);
        check("MB/s", &[(10.0, 12.0), (10.0, 11.5)], None, Said::Better);
        check("ns", &[(10.0, 8.0), (10.0, 10.1)], None, Said::WithinNoise);
        check("ns", &[(10.0, 9.95), (10.0, 9.96)], None, Said::WithinNoise);
        check("ns", &[(10.0, 8.0)], None, Said::WithinNoise);
        // All on one side, one of them hardly: two modes of the same code.
        check("ns", &[(10.0, 5.6), (10.0, 7.2), (10.0, 9.8)], None, Said::WithinNoise);
        // The yardstick got faster as well: it was the machine.
        check("ns", &[(10.0, 8.0), (10.0, 8.5)], Some(&[(50.0, 38.0), (50.0, 39.0)]), Said::WithinNoise);
        check("ns", &[(10.0, 5.0), (10.0, 5.5)], Some(&[(50.0, 45.0), (50.0, 52.0)]), Said::Better);
    }

    #[test]
    fn figures_of_one_revision_only_are_named_and_not_compared() {
        let row = |name: &str, value, unit: &str| Row::alone(name, value, unit);
        let old = vec![row("both", 2.0, "ns"), row("gone", 1.0, "ns"), row("other unit", 1.0, "ns")];
        let new = vec![row("new", 1.0, "ns"), row("both", 3.0, "ns"), row("other unit", 1.0, "us")];
        let text = document("abc", &[(old.clone(), new.clone()), (old.clone(), new)]).expect("compared");
        assert!(text.contains("| both | 2.00 ns | 3.00 ns | 1.50 (1.50-1.50) |  | **worse** |"), "{text}");
        assert!(text.contains("Only in the old revision, not compared: gone; other unit."), "{text}");
        assert!(text.contains("Only in the new revision, not compared: new; other unit."), "{text}");
        assert!(document("abc", &[(old, vec![row("new", 1.0, "ns")])]).is_err());
    }

    #[test]
    fn a_table_of_an_older_revision_is_read() {
        let table = "# Measurements\n\n| figure | log | yardstick | ratio |\n|---|---|---|---|\n\
            | append, burst | 14.7 ns | 51.6 ns | 0.29 |\n| merging, per entry | 51.9 ns |  |  |\n\
            | closes | p50 0.1 us, p99 2 us, worst 9 us, of 300 |  |  |\n| two cores | 21.8 M entries/s | 15.5 M entries/s | 1.41 |\n";
        let expected = vec![
            Row::beside("append, burst", 14.7, 51.6, "ns"),
            Row::alone("merging, per entry", 51.9, "ns"),
            Row::beside("two cores", 21.8, 15.5, "M entries/s"),
        ];
        assert_eq!(rows_of_table(table), expected);
    }
}
