//! The table: a row for each log, a column for each figure, and how many times the yardstick each is.

use wal_bench::report::digits;
use wal_bench::samples::Samples;

/// A table.
pub(crate) struct Matrix {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<Cell>)>,
}

/// What stands in it.
pub(crate) enum Cell {
    Text(String),
    Figure { median: f64, spread: f64, ratio: Option<f64> },
}

impl Cell {
    /// The median, half the range in parts of it, and the ratio to the yardstick.
    pub(crate) fn figure(samples: &mut Samples, yardstick: Option<f64>) -> Self {
        let median = samples.median();
        let range = samples.quantile(1.0) - samples.quantile(0.0);
        let spread = if median > 0.0 { range / 2.0 / median } else { 0.0 };
        Self::Figure { median, spread, ratio: yardstick.filter(|one| *one > 0.0).map(|one| median / one) }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure { median, spread, ratio } => {
                let spread =
                    if *spread >= 0.005 { format!(" +-{:.0} %", spread * 100.0) } else { String::new() };
                let ratio = ratio.map_or(String::new(), |ratio| format!(", {} x", digits(ratio)));
                format!("{}{spread}{ratio}", digits(*median))
            }
        }
    }
}

impl Matrix {
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n| log | {} |\n|---|", self.title, self.columns.join(" | "));
        text.push_str(&"---:|".repeat(self.columns.len()));
        text.push('\n');
        for (name, cells) in &self.rows {
            let cells: Vec<String> = cells.iter().map(Cell::text).collect();
            text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_its_noise_and_its_ratio() {
        let mut samples = Samples::default();
        [90.0, 100.0, 120.0].into_iter().for_each(|sample| samples.push(sample));
        assert_eq!(Cell::figure(&mut samples, Some(50.0)).text(), "100 +-15 %, 2.00 x");
        let mut one = Samples::default();
        one.push(3.0);
        assert_eq!(Cell::figure(&mut one, None).text(), "3.00");
    }

    #[test]
    fn every_row_has_as_many_cells_as_there_are_columns() {
        let rows =
            vec![("a".to_owned(), vec![Cell::Text("x".to_owned()), Cell::Text("no flush".to_owned())])];
        let matrix = Matrix { title: "T".to_owned(), columns: vec!["p".to_owned(), "q".to_owned()], rows };
        assert_eq!(matrix.markdown(), "## T\n\n| log | p | q |\n|---|---:|---:|\n| a | x | no flush |\n\n");
    }
}
