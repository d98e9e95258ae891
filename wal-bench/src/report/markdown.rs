//! Results as Markdown: where they are from, what was meant to be reached, every figure.

use std::fmt::Write;

use super::aims::{Verdict, verdicts};
use super::{amount, digits};
use crate::results::{Results, Row};

/// The heading, and where the figures are from.
#[must_use]
pub fn opening(results: &Results) -> String {
    let mut text = format!("# {}\n\n", results.title);
    for (name, value) in results.machine.properties() {
        let _ = writeln!(text, "- {name}: {}", cell(&value));
    }
    for setting in &results.settings {
        let _ = writeln!(text, "- {}", cell(setting));
    }
    text
}

/// All of it.
#[must_use]
pub fn document(results: &Results) -> String {
    let mut text = opening(results);
    text.push_str(&aims(results));
    text.push_str("\n## Figures\n\n| figure | log | yardstick | ratio |\n|---|---:|---:|---:|\n");
    for figure in &results.figures {
        text.push_str(&line(&figure.row));
    }
    text
}

/// A figure as a line of the table.
fn line(row: &Row) -> String {
    format!("| {} | {} | {} | {} |\n", cell(&row.name), value(row), yardstick(row), ratio(row))
}

pub(super) fn yardstick(row: &Row) -> String {
    row.yardstick.map_or(String::new(), |value| amount(value, &row.unit))
}

/// With its unit, and its spread where that is known.
pub(super) fn value(row: &Row) -> String {
    let value = amount(row.value, &row.unit);
    row.spread.map_or(value.clone(), |spread| format!("{value} +-{} %", digits(spread * 100.0)))
}

pub(super) fn ratio(row: &Row) -> String {
    row.ratio().map_or(String::new(), digits)
}

fn aims(results: &Results) -> String {
    let mut text = String::from(
        "\n## Aims\n\n| aim | bound | held against it | log | yardstick | ratio | reached |\n|---|---|---|---:|---:|---:|---|\n",
    );
    for verdict in verdicts(results) {
        let [name, value, yardstick, ratio] = verdict
            .row
            .map_or_else(Default::default, |row| [cell(&row.name), value(row), yardstick(row), ratio(row)]);
        let (what, bound) = (cell(verdict.aim.what), verdict.aim.bound);
        let word = word(&verdict);
        let _ = writeln!(text, "| {what} | {bound} | {name} | {value} | {yardstick} | {ratio} | {word} |");
    }
    text
}

/// What is said of an aim.
pub(super) fn word(verdict: &Verdict<'_>) -> String {
    match (verdict.row, verdict.reached) {
        (None, _) => format!("not measured (`{}`)", verdict.aim.scenario),
        (_, None) => "nothing to compare with".to_owned(),
        (_, Some(true)) => "yes".to_owned(),
        (_, Some(false)) => "**no**".to_owned(),
    }
}

/// Text that ends neither the line nor the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_document_opens_with_where_its_figures_are_from() {
        let text = document(&example::results());
        let figures = text.find("## Figures").expect("a table");
        for said in
            ["# Example", "AMD", "2 usable", "Linux 6.1", "ext4 on /dev/x", "abc, with changes", "key 16"]
        {
            assert!(text[..figures].contains(said), "{said}:\n{text}");
        }
    }

    #[test]
    fn every_figure_is_a_row_of_four_cells() {
        let mut results = example::results();
        results.figures[0].row.name = "a|b\nc".to_owned();
        let text = document(&results);
        let table = text.split("## Figures").nth(1).expect("a table");
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), results.figures.len() + 2);
        assert_eq!(rows[2], "| a\\|b c | 14.0 ns | 50.0 ns | 0.28 |");
        assert!(rows[3..].iter().all(|row| row.matches('|').count() == 5), "{rows:?}");
    }

    #[test]
    fn aims_are_reached_or_not_or_not_measured() {
        let text = document(&example::results());
        assert!(text.contains("| at most 0.30 x | append, burst | 14.0 ns | 50.0 ns | 0.28 | yes |"));
        assert!(text.contains("| at most 10.0 us | one append: p99.99 | 20.0 us |  |  | **no** |"), "{text}");
        assert!(text.contains("not measured (`recovery`)"));
    }
}
