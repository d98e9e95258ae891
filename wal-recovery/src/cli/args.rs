//! What the command line may say. The texts here are the manual's: `docs/wal.md` repeats them, held by a test.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use super::{diff, dump, html, inspect, salvage, stats, tail, verify, why};

/// Printed below every help.
const EXIT_CODES: &str = "\
Exit codes:
  0  whole, or done
  1  damaged, or different
  2  wrong usage: unknown options, no log there, a log of a newer version
  3  the operating system refused to read or write

No subcommand changes a file of the log. Only salvage keeps its lock, shared, while it reads.";

/// Look into a per-core write-ahead log
#[derive(Debug, Parser)]
#[command(name = "wal", version, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Print JSON: one object, or one a line where there are many
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Colours: on a terminal unless NO_COLOR is set, always, or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Inspect(inspect::Args),
    Verify(verify::Args),
    Dump(dump::Args),
    Tail(tail::Args),
    Salvage(salvage::Args),
    Why(why::Args),
    Stats(stats::Args),
    Diff(diff::Args),
    Html(html::Args),
}

/// The directory that most subcommands take.
#[derive(Debug, clap::Args)]
pub(super) struct Directory {
    /// The log's directory
    #[arg(value_name = "DIR")]
    pub(super) path: PathBuf,
}

impl Command {
    /// The log that it looks at; of two, the first.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Inspect(args) => &args.directory.path,
            Self::Verify(args) => &args.directory.path,
            Self::Dump(args) => &args.directory.path,
            Self::Tail(args) => &args.directory.path,
            Self::Salvage(args) => &args.directory.path,
            Self::Why(args) => &args.directory.path,
            Self::Stats(args) => &args.directory.path,
            Self::Diff(args) => &args.one,
            Self::Html(args) => &args.directory.path,
        }
    }
}
