//! `wal html DIR`: a page that shows a log, self-contained: cores as lanes over time, what is damaged in red.

mod axis;
mod lanes;
mod page;

use super::Outcome;
use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::survey::Survey;

use lanes::Picture;

/// A self-contained page to look at: cores as lanes over time, epochs, segments, frames, gaps
///
/// Prints the page: `wal html DIR > log.html`. It loads nothing from anywhere. Zoom with the wheel or with + and -, move
/// by dragging or with the arrow keys. With --json, the data that the page shows.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// At most so many blocks in all lanes: what a log has more in frames is shown in blocks of several
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    blocks: usize,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let survey = Survey::take(&args.directory.path, console)?;
    let plan = survey.readable(console)?;
    console.progress.begin("drawing", plan.bytes_to_read());
    let picture = Picture::draw(&survey, &plan, args.blocks)?;
    console.progress.clear();
    if console.json {
        console.object(|json| picture.write(json))?;
    } else {
        console.line(page::page(&survey, &plan, &picture, &args.directory.path))?;
    }
    Ok(if survey.is_damaged() { Outcome::Damaged } else { Outcome::Whole })
}
