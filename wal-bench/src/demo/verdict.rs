//! The end of the demo: everything is counted once more, plainly, and compared; the table.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Options;
use super::core_thread::Failure;
use super::input::Input;
use super::parent::LOG;
use super::story::{Recovery, Story};
use super::verify::{count_plainly, differences, recover};
use crate::table::{Table, bytes, count, time};

/// Counts plainly, compares, and prints the table. Whether all is right.
pub(super) fn conclude(
    options: &Options,
    directory: &Path,
    input: &Input,
    story: &Story,
) -> Result<bool, Failure> {
    let (counts, recovered) = recover(&directory.join(LOG))?;
    let counted = counts.total();
    let started = Instant::now();
    let expected = count_plainly(input)?;
    let plain_time = started.elapsed();
    if let Some(changed) = input.files.iter().find(|file| !file.is_unchanged()) {
        return Err(format!("{} was changed meanwhile: no verdict; try again", changed.path.display()).into());
    }
    for file in &input.files {
        let offset = recovered.offsets.get(&file.name()).copied();
        if offset != Some(file.bytes) {
            return Err(format!("{}: read to {offset:?} of {}", file.path.display(), file.bytes).into());
        }
    }
    let differences = differences(&counted, &expected);
    let words: u64 = expected.values().sum();
    let mut table = Table::default();
    table.row("input", format!("{} sources, {}", count(input.files.len() as u64), bytes(input.bytes())));
    table.row("words", format!("{}, {} different", count(words), count(expected.len() as u64)));
    table.row("cores", options.cores.to_string());
    table.row(
        "time counting",
        format!("{}; plainly, in one thread: {}", time(story.work_time), time(plain_time)),
    );
    table.row("entries appended", count(story.entries));
    table.row("appends per second", count(per_second(story.entries, story.work_time)));
    table.row("bytes logged", bytes(story.bytes));
    let checkpoints =
        format!("{}, {} written, the longest {}", story.checkpoints, bytes(story.checkpoint_bytes), {
            time(Duration::from_micros(story.checkpoint_micros_max))
        });
    table.row("checkpoints", checkpoints);
    table.row("kills", format!("{}, {} of them during recovery", story.kills, story.kills_in_recovery));
    let of = |text: fn(&Recovery) -> String| story.recoveries.iter().map(text).collect::<Vec<_>>().join(", ");
    table.row("recovery times", of(|recovery| time(recovery.time)));
    table.row("entries replayed", of(|recovery| count(recovery.entries)));
    table.row("keys from checkpoint", of(|recovery| count(recovery.keys)));
    table.row("watermark", recovered.watermark().map_or("none".to_owned(), |ms| format!("{ms} ms")));
    let verdict = match differences.len() {
        0 => format!("all {} counts are right: nothing lost, nothing twice", count(expected.len() as u64)),
        wrong => format!("{} of {} counts are WRONG", count(wrong as u64), count(expected.len() as u64)),
    };
    table.row("verdict", verdict);
    print!("{table}");
    for difference in differences.iter().take(10) {
        println!(
            "    {:?}: counted {}, expected {}",
            difference.word, difference.counted, difference.expected
        );
    }
    Ok(differences.is_empty())
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn per_second(number: u64, time: Duration) -> u64 {
    (number as f64 / time.as_secs_f64().max(1e-6)) as u64
}
