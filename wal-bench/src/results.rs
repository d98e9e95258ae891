//! What a run of measurements found, as data: what every report is made from, and what two revisions exchange.
//!
//! Promises: written as JSON and read back it is the same; fields that a newer revision adds are passed over, fields that
//! an older one lacks are empty. Not for presentation: see [`report`](crate::report).

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Of the run: "Measurements", "Peers".
    pub title: String,
    /// Where it was made.
    pub machine: Machine,
    /// What it was made with, a sentence each.
    #[serde(default)]
    pub settings: Vec<String>,
    /// In the order in which they were measured.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// What is shown as a picture.
    #[serde(default)]
    pub plots: Vec<Plot>,
}

/// A figure, and the scenario (`--only NAME`) that it is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The scenario.
    pub scenario: String,
    /// What was measured.
    #[serde(flatten)]
    pub row: Row,
}

/// One measurement, beside its yardstick if it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Names it in every run and revision.
    pub name: String,
    /// In `unit`.
    pub value: f64,
    /// What the same took without the log, in `unit`.
    #[serde(default)]
    pub yardstick: Option<f64>,
    /// Half of what lies between its bounds, in parts of it, where these were found.
    #[serde(default)]
    pub spread: Option<f64>,
    /// `ns`, `us`, `s`, `B`, `MiB`, `MB/s`, `M entries/s`, ...; more of a rate is better, less of anything else.
    pub unit: String,
    /// The aims ([`report::aims`](crate::report::aims)) that this is held against, by name.
    #[serde(default)]
    pub aims: Vec<String>,
}

/// A picture of one thing that depends on another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Says what is shown.
    pub title: String,
    /// How it was measured and how to read it.
    #[serde(default)]
    pub note: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// In the order of the legend.
    pub lines: Vec<Line>,
    /// Stretches of `x` in which something went on.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// Places with a name: aims.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// What an axis shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// With its unit.
    pub label: String,
    /// How values become places.
    pub scale: Scale,
}

/// How values become places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// From zero on, in even steps.
    #[default]
    Linear,
    /// In powers of ten.
    Log,
    /// In powers of two, which are written out: numbers of cores.
    Doubling,
    /// Parts of all from 0 to below 1, a step for each further nine: 0.9, 0.99, 0.999, ...
    Nines,
}

/// One line of a plot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// `x` and `y`, by ascending `x`.
    pub points: Vec<(f64, f64)>,
}

/// A stretch of `x` in which something went on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What went on.
    pub name: String,
    /// Where it began.
    pub from: f64,
    /// Where it ended.
    pub to: f64,
}

/// A place with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What is there.
    pub name: String,
    /// `x` and `y`.
    pub at: (f64, f64),
}

/// What a scenario found.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Its figures.
    pub rows: Vec<Row>,
    /// Its pictures.
    pub plots: Vec<Plot>,
}

impl Row {
    /// A value beside a yardstick of the same unit.
    #[must_use]
    pub fn beside(name: &str, value: f64, yardstick: f64, unit: &str) -> Self {
        let yardstick = (yardstick > 0.0).then_some(yardstick);
        Self { yardstick, ..Self::alone(name, value, unit) }
    }

    /// A value that has no yardstick.
    #[must_use]
    pub fn alone(name: &str, value: f64, unit: &str) -> Self {
        // JSON has no other numbers.
        let value = if value.is_finite() { value } else { 0.0 };
        Self {
            name: name.to_owned(),
            value,
            yardstick: None,
            spread: None,
            unit: unit.to_owned(),
            aims: Vec::new(),
        }
    }

    /// The same figure, held against an aim.
    #[must_use]
    pub fn aim(mut self, name: &str) -> Self {
        self.aims.push(name.to_owned());
        self
    }

    /// The same figure, known to within so many parts of it.
    #[must_use]
    pub fn within(self, spread: f64) -> Self {
        Self { spread: Some(spread), ..self }
    }

    /// How many times the yardstick the value is.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.yardstick.filter(|yardstick| *yardstick > 0.0).map(|yardstick| self.value / yardstick)
    }

    /// Whether more is better.
    #[must_use]
    pub fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

impl From<Vec<Row>> for Measured {
    fn from(rows: Vec<Row>) -> Self {
        Self { rows, plots: Vec::new() }
    }
}

impl Axis {
    /// An axis.
    #[must_use]
    pub fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.to_owned(), scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_from_json_as_they_were() {
        let results = crate::report::example::results();
        let text = serde_json::to_string(&results).expect("written");
        assert_eq!(serde_json::from_str::<Results>(&text).expect("read"), results);
    }

    #[test]
    fn results_of_another_revision_are_read() {
        let text = r#"{"title": "t", "machine": {"kernel": "1", "moon": "full"}, "figures": [
            {"scenario": "append", "name": "n", "value": 1.5, "unit": "ns", "colour": "red"}]}"#;
        let results: Results = serde_json::from_str(text).expect("read");
        assert_eq!(results.figures[0].row, Row::alone("n", 1.5, "ns"));
        assert_eq!(results.machine.kernel, "1");
    }

    #[test]
    fn a_ratio_needs_a_yardstick() {
        assert_eq!(Row::beside("n", 3.0, 2.0, "ns").ratio(), Some(1.5));
        assert_eq!(Row::beside("n", 3.0, 0.0, "ns").ratio(), None);
        assert_eq!(Row::alone("n", f64::NAN, "ns").value.to_bits(), 0);
    }
}
