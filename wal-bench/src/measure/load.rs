//! The whole process under load, as `load` puts it on: what is left of the single figures when everything happens at once.
//!
//! At a rate, with group commit and checkpoints meanwhile; latencies count from when an entry was due. The log alone: a plain
//! file has neither group commit nor checkpoints to be compared with.

use super::{Failure, Measured, Plan, Row};
use crate::load::{self, Outcome, Quantiles};

pub(super) fn measure(plan: &Plan) -> Result<Measured, Failure> {
    // A CPU is left to flushers and checkpoints: beside two threads that never sleep they would wait for their turn.
    let cores = std::thread::available_parallelism()?.get().saturating_sub(1).max(1);
    let (cores_word, seconds) = (cores.to_string(), plan.choose("15", "4"));
    let common = ["--cores", &cores_word, "--checkpoint", "1.5", "--verify", "--duration", seconds];
    let mut rows = Vec::new();
    for (name, words) in [
        ("100 k entries/s, group commit every 10 ms", ["--rate", "100000", "--sync", "interval:10"]),
        ("1 k entries/s, each with a sync", ["--rate", "1000", "--sync", "each"]),
    ] {
        let settings = load::settings(&[&common[..], &words[..]].concat(), &plan.directory)?;
        rows.extend(figures(&format!("{cores} x {name}"), &load::run(&settings, &|_| {})?));
    }
    Ok(rows.into())
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn figures(load: &str, outcome: &Outcome) -> Vec<Row> {
    let row = |what: &str, value, unit| Row::alone(&format!("load of {load}: {what}"), value, unit);
    let quantiles = |what: &str, of: &Quantiles| {
        [("p50", of.p50), ("p99", of.p99), ("p99.9", of.p999), ("worst", of.max)]
            .map(|(part, ns)| row(&format!("{what}, {part}"), ns as f64 / 1e3, "us"))
    };
    let mut rows = Vec::new();
    rows.extend(quantiles("from due to appended", &outcome.append));
    rows.extend(quantiles("from due to durable", &outcome.durable));
    rows.push(row("durable", outcome.durable_per_s / 1e3, "k entries/s"));
    rows.push(row("CPU of all threads per entry, the load's own included", outcome.cpu_ns, "ns"));
    let written = outcome.written_segments + outcome.written_checkpoints;
    rows.push(row("bytes written to segments and checkpoints per byte of key and value", written, ""));
    rows
}
