//! Columns that line up.

use super::console::Console;
use super::failure::Failure;
use super::paint::Style;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// Rows of equally many cells under headings.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it, two spaces in and two between the columns.
    pub(super) fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let heading = self.columns.iter().map(|(name, _)| Cell::styled(*name, Style::Quiet)).collect();
        let rows: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for row in rows {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let padding = " ".repeat(width - cell.width());
                let text = console.paint.text(cell.style, &cell.text);
                line += "  ";
                match align {
                    Align::Left => line += &format!("{text}{padding}"),
                    Align::Right => line += &format!("{padding}{text}"),
                }
            }
            console.line(line.trim_end())?;
        }
        Ok(())
    }
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_empty_until_it_has_a_row() {
        let mut table = Table::new(&[("core", Align::Right)]);
        assert!(table.is_empty());
        table.row(["1".into()]);
        assert!(!table.is_empty());
    }
}
