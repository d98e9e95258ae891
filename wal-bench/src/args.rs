//! A command line: flags, and options with one value each. Small, because a dependency would be larger than the need.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

/// The options that a program knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Options without a value.
    pub flags: &'static [&'static str],
    /// Options with one.
    pub options: &'static [&'static str],
}

/// A command line that made sense.
#[derive(Clone, Debug, Default)]
pub struct Args {
    values: BTreeMap<String, String>,
}

/// What is wrong with a command line, or a request for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// `--help` was given.
    Help,
    /// This is wrong.
    Wrong(String),
}

impl Args {
    /// Sorts `words` into the options that are known.
    ///
    /// # Errors
    /// [`Usage`]: an unknown or repeated option, a missing value, `--help`.
    pub fn parse(known: Known, words: impl IntoIterator<Item = String>) -> Result<Self, Usage> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = if known.flags.contains(&word.as_str()) {
                String::new()
            } else if known.options.contains(&word.as_str()) {
                words.next().ok_or_else(|| Usage::Wrong(format!("{word} needs a value")))?
            } else if word == "--help" || word == "-h" {
                return Err(Usage::Help);
            } else {
                return Err(Usage::Wrong(format!("unknown argument {word:?}")));
            };
            if args.values.insert(word.clone(), value).is_some() {
                return Err(Usage::Wrong(format!("{word} was given twice")));
            }
        }
        Ok(args)
    }

    /// Whether the option was given.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.values.contains_key(option)
    }

    /// The value of an option, if it was given.
    #[must_use]
    pub fn value(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    /// The value of an option as a number within `range`, if it was given.
    ///
    /// # Errors
    /// [`Usage::Wrong`]: not a number, or out of range.
    pub fn number<T>(&self, option: &str, range: std::ops::RangeInclusive<T>) -> Result<Option<T>, Usage>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.value(option) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (low, high) = (range.start(), range.end());
                Err(Usage::Wrong(format!("{option} takes a number from {low} to {high}, not {text:?}")))
            }
        }
    }
}

impl Usage {
    /// Tells the user, and returns the exit code: 2 for a mistake, 0 for help.
    #[must_use]
    pub fn report(&self, help: &str) -> ExitCode {
        match self {
            Self::Help => {
                print!("{help}");
                ExitCode::SUCCESS
            }
            Self::Wrong(why) => {
                eprintln!("{why}\n\n{help}");
                ExitCode::from(2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known { flags: &["--keep"], options: &["--cores", "--dir"] };

    fn parse(words: &[&str]) -> Result<Args, Usage> {
        Args::parse(KNOWN, words.iter().map(|word| (*word).to_owned()))
    }

    #[track_caller]
    fn check_wrong(words: &[&str]) {
        assert!(matches!(parse(words), Err(Usage::Wrong(_))), "{words:?}");
    }

    #[test]
    fn flags_and_values_are_found() {
        let args = parse(&["--cores", "3", "--keep"]).expect("a good command line");
        assert!(args.has("--keep"));
        assert_eq!(args.number("--cores", 1..=64), Ok(Some(3)));
        assert_eq!(args.value("--dir"), None);
    }

    #[test]
    fn mistakes_are_refused() {
        check_wrong(&["--core", "3"]);
        check_wrong(&["--cores"]);
        check_wrong(&["3"]);
        check_wrong(&["--keep", "--keep"]);
        let args = parse(&["--cores", "0"]).expect("parsed, not yet checked");
        assert!(args.number("--cores", 1..=64).is_err());
        assert_eq!(parse(&["--help"]).err(), Some(Usage::Help));
    }
}
