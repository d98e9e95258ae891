//! The `sweep` program: which rows, how much of them, and a table of what was done.
#![allow(clippy::disallowed_methods, reason = "a developer tool says how long it took")]

use std::process::ExitCode;
use std::time::Instant;

use super::rows::{ROWS, Row};
use super::run::{Budget, Tally, run};

/// Runs the program with `args`.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let (rows, budget) = match parse(args) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("sweep: {message}");
            return ExitCode::from(2);
        }
    };
    println!("{} images, seed {}", budget.images, budget.seed);
    println!(
        "{:>3} {:<20} {:>9} {:>9} {:>8} {:>8} {:>9}",
        "row", "sweep", "cases", "recovered", "further", "seconds", "cases/s"
    );
    let (begin, mut total, mut failed) = (Instant::now(), 0, false);
    for row in rows {
        let begin = Instant::now();
        match run(row, &budget) {
            Ok(tally) => {
                total += tally.cases();
                print_row(row, &tally, begin.elapsed().as_secs_f64());
            }
            Err(what) => {
                println!("{:>3} {:<20} FAILED\n{what}", row.number, row.name);
                failed = true;
            }
        }
    }
    println!("    {:<20} {total:>9} {:>27.1}", "all", begin.elapsed().as_secs_f64());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_row(row: &Row, tally: &Tally, seconds: f64) {
    let (cases, checked, whole) = (tally.cases(), tally.checked(), tally.whole());
    let rate = cases as f64 / seconds.max(1e-3);
    println!(
        "{:>3} {:<20} {cases:>9} {checked:>9} {whole:>8} {seconds:>8.1} {rate:>9.0}",
        row.number, row.name
    );
    for (what, count) in tally.notes() {
        println!("    {count:>30} {what}");
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(Vec<&'static Row>, Budget), String> {
    let (mut rows, mut budget): (Vec<&Row>, _) = (ROWS.iter().collect(), Budget::GATE);
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("`{option}` needs a value behind it"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("`{option} {value}` is not a number"));
        match option.as_str() {
            "--images" => budget.images = number()?,
            "--seed" => budget.seed = number()?,
            "--unit" => budget.unit = Some(usize::try_from(number()?).map_err(|error| error.to_string())?),
            "--only" => {
                let is_named = |row: &&Row| {
                    value.split(',').any(|name| row.name == name || name == row.number.to_string())
                };
                rows = ROWS.iter().filter(is_named).collect();
                if rows.is_empty() {
                    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
                    return Err(format!("no sweep `{value}`; there are: {}", names.join(", ")));
                }
            }
            _ => return Err(format!("unknown option `{option}`")),
        }
    }
    Ok((rows, budget))
}
