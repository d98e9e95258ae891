//! Colours, where somebody looks.

/// What a piece of text says, not how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Heading,
    /// Beside the point.
    Quiet,
    Good,
    /// Worth a look.
    Notice,
    Bad,
}

/// Turns styles into terminal sequences, or leaves the text alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn text(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Heading => "1",
            Style::Quiet => "2",
            Style::Good => "32",
            Style::Notice => "33",
            Style::Bad => "1;31",
        };
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whether to paint: asked for, or on a terminal that has colours, unless `NO_COLOR` is set to anything
/// (<https://no-color.org>).
pub(super) fn wants_colour(
    asked: Option<bool>,
    terminal: bool,
    no_color: Option<&str>,
    term: Option<&str>,
) -> bool {
    let refused = no_color.is_some_and(|value| !value.is_empty()) || term == Some("dumb");
    asked.unwrap_or(terminal && !refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_and_no_objection_or_an_order() {
        assert!(wants_colour(None, true, None, Some("xterm")));
        assert!(wants_colour(None, true, Some(""), None), "an empty NO_COLOR is none");
        assert!(!wants_colour(None, true, Some("1"), Some("xterm")));
        assert!(!wants_colour(None, true, None, Some("dumb")));
        assert!(!wants_colour(None, false, None, Some("xterm")));
        assert!(
            wants_colour(Some(true), false, Some("1"), None),
            "an option is stronger than the environment"
        );
        assert!(!wants_colour(Some(false), true, None, None));
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Paint::new(false).text(Style::Bad, "corrupt"), "corrupt");
        assert_eq!(Paint::new(true).text(Style::Bad, "corrupt"), "\u{1b}[1;31mcorrupt\u{1b}[0m");
        assert_eq!(Paint::new(true).text(Style::Plain, "x"), "x");
    }
}
