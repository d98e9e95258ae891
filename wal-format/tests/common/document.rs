//! FORMAT.md as data: its marked tables, its prose, and the lines of its hex dump.

use std::collections::BTreeMap;

pub(crate) struct Document {
    /// Rows of cells by the table's name; the first row is the heading.
    tables: BTreeMap<String, Vec<Vec<String>>>,
    /// All of it, with any white space as one blank.
    prose: String,
}

/// A line of the dump: bytes at an offset, and what they are. `follows` says that nothing was left out before it.
pub(crate) struct DumpLine {
    pub(crate) follows: bool,
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) note: String,
}

pub(crate) fn text() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../FORMAT.md");
    std::fs::read_to_string(path).expect("FORMAT.md stands at the top of the workspace")
}

impl Document {
    pub(crate) fn parse(text: &str) -> Self {
        let mut tables = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = table_name(line) {
                let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
                let rows = rows.map(cells).filter(|row| !row.iter().all(|cell| cell.starts_with("--")));
                let previous = tables.insert(name.to_owned(), rows.collect());
                assert!(previous.is_none(), "table {name} stands there twice");
            }
        }
        Self { tables, prose: text.split_whitespace().collect::<Vec<_>>().join(" ") }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.tables.keys().map(String::as_str).collect()
    }

    /// The rows below the heading, if the heading is the expected one.
    pub(crate) fn rows(&self, name: &str, heading: &[&str]) -> Result<&[Vec<String>], String> {
        let rows = self.tables.get(name).ok_or(format!("there is no table {name}"))?;
        match rows.split_first() {
            Some((found, rows)) if found == heading => Ok(rows),
            found => Err(format!("table {name} has the heading {found:?}")),
        }
    }

    pub(crate) fn says(&self, sentence: &str) -> Result<(), String> {
        if self.prose.contains(sentence) { Ok(()) } else { Err(format!("it does not say: {sentence}")) }
    }
}

/// The document with one cell changed, for every cell of every marked table; and where that cell is.
pub(crate) fn with_one_cell_changed(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut changed = Vec::new();
    let mut table = None;
    for (index, line) in lines.iter().enumerate() {
        if let Some(name) = table_name(line) {
            table = Some(name);
        } else if !line.starts_with('|') {
            table = None;
        }
        let (Some(name), true) = (table, line.starts_with("| ")) else { continue };
        for column in 0..cells(line).len() {
            let mut cells = cells(line);
            cells[column] = match cells[column].parse::<u64>() {
                Ok(number) => (number + 1).to_string(),
                Err(_) => format!("{}s", cells[column]),
            };
            let line = format!("| {} |", cells.join(" | "));
            let mut lines = lines.clone();
            lines[index] = &line;
            changed.push((format!("{name}: {line}"), lines.join("\n")));
        }
    }
    changed
}

/// The lines of the example; headings (`# ...`) are for the human reader.
pub(crate) fn dump(text: &str) -> Vec<DumpLine> {
    let example = text.split_once("\n## Example\n").expect("there is an example").1;
    let dump = example.split("```").nth(1).expect("the example has a dump");
    let mut lines = Vec::new();
    let mut follows = false;
    for line in dump.lines().skip(1).filter(|line| !line.starts_with('#')) {
        if line == "..." {
            follows = false;
            continue;
        }
        let (offset, rest) = line.split_once("  ").expect("an offset");
        let (bytes, note) = rest.split_once("  ").unwrap_or((rest, ""));
        lines.push(DumpLine {
            follows,
            offset: usize::from_str_radix(offset, 16).expect("a hexadecimal offset"),
            bytes: bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect(),
            note: note.trim().to_owned(),
        });
        follows = true;
    }
    lines
}

fn table_name(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- table: ")?.strip_suffix(" -->")
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().trim_end_matches(':').to_owned()).collect()
}
