//! Figures for people: numbers with thousands, bytes with units, a table of two columns, a progress bar.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A number with its thousands set apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes, in the unit that leaves one to four digits.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} B"),
        10_000..10_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

/// A time, in the unit that leaves one to four digits.
#[must_use]
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.1} s")
    } else if seconds >= 0.01 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{:.0} us", seconds * 1e6)
    }
}

/// Names and what they are, one a line.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<(String, String)>);

impl Table {
    /// One line more.
    pub fn row(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "  {name:<width$}  {value}"))
    }
}

/// A progress bar on a terminal; elsewhere a plain line now and then.
#[derive(Debug)]
pub struct Bar {
    is_terminal: bool,
    shown: Option<Instant>,
}

impl Bar {
    /// A bar on standard error.
    #[must_use]
    pub fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows that `done` of `total` is done, unless that was shown a moment ago.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a picture"
    )]
    pub fn show(&mut self, done: u64, total: u64, note: &str) {
        let every = Duration::from_millis(if self.is_terminal { 80 } else { 2000 });
        if self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let part = if total == 0 { 1.0 } else { done.min(total) as f64 / total as f64 };
        if self.is_terminal {
            let filled = (part * 40.0) as usize;
            eprint!(
                "\r  [{}{}] {:>3.0} %  {note}\x1b[K",
                "#".repeat(filled),
                ".".repeat(40 - filled),
                part * 100.0
            );
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("  {:>3.0} %  {note}", part * 100.0);
        }
    }

    /// Removes the bar, so that other lines can be written.
    pub fn clear(&mut self) {
        if self.is_terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")];
        cases.iter().for_each(|(number, text)| assert_eq!(count(*number), *text));
    }
}
