//! Where a subcommand prints: standard output, painted or plain, for people or as JSON; progress beside it.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;

use super::args::{Args, When};
use super::failure::Failure;
use super::paint::{Paint, Style, wants_colour};
use super::progress::Progress;
use crate::json::Json;

pub(super) struct Console {
    out: Box<dyn Write>,
    pub(super) json: bool,
    pub(super) paint: Paint,
    /// For standard error.
    alert: Paint,
    pub(super) progress: Arc<Progress>,
}

impl Console {
    /// The console of this process.
    pub(super) fn of_process(args: &Args) -> Self {
        let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let (no_color, term) = (variable("NO_COLOR"), variable("TERM"));
        let asked = match args.color {
            When::Auto => None,
            When::Always => Some(true),
            When::Never => Some(false),
        };
        let paint =
            |terminal| Paint::new(wants_colour(asked, terminal, no_color.as_deref(), term.as_deref()));
        let stdout = io::stdout();
        Self {
            json: args.json,
            paint: paint(stdout.is_terminal()),
            alert: paint(io::stderr().is_terminal()),
            out: Box::new(BufWriter::with_capacity(1 << 16, stdout.lock())),
            progress: Arc::new(Progress::new(io::stderr().is_terminal())),
        }
    }

    /// A painted piece of a line.
    pub(super) fn painted(&self, style: Style, text: impl Display) -> String {
        self.paint.text(style, &text.to_string())
    }

    /// One line.
    pub(super) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.progress.clear();
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// A line above a part of the output.
    pub(super) fn heading(&mut self, text: impl Display) -> Result<(), Failure> {
        let text = self.painted(Style::Heading, text);
        self.line(format_args!("\n{text}"))
    }

    /// One JSON object on a line of its own.
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Json)) -> Result<(), Failure> {
        self.line(Json::document(fill))
    }

    /// What was printed reaches the reader, or the reader is gone.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.progress.clear();
        Ok(self.out.flush()?)
    }

    /// Something that whoever reads only standard output need not know.
    pub(super) fn note(&self, style: Style, text: impl Display) {
        self.progress.clear();
        eprintln!("wal: {}", self.alert.text(style, &text.to_string()));
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        if self.json {
            let _ = self.object(|json| {
                json.string("error", failure);
                json.number("exit_code", failure.exit_code());
            });
        }
        // What was printed so far belongs before the failure.
        let _ = self.out.flush();
        self.note(Style::Bad, failure);
    }
}
