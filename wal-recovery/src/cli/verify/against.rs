//! Whether a log still holds what an earlier report says of it.
//!
//! A log may have grown since, and a checkpoint may have released segments. Everything else that the report says must
//! still be so: which entries each segment held, with what checksums, and how far each log reached. Pure but for
//! [`read`].

use std::path::Path;

use serde_json::Value;
use wal_format::{CoreId, CorePosition};
use wal_reader::SegmentStats;

use crate::cli::failure::Failure;
use crate::plan::{CorePlan, Plan};

/// A report is a few hundred bytes a segment; more than this is something else.
const REPORT_BYTES_MAX: u64 = 256 << 20;

/// Reads the JSON of a recovery report, or the report in the JSON of a verification.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let failed = |operation, error| Failure::file(operation, path, error);
    let length = std::fs::metadata(path).map_err(|error| failed("read", error))?.len();
    if length > REPORT_BYTES_MAX {
        return Err(not_a_report(path, "it is too large"));
    }
    let text = std::fs::read(path).map_err(|error| failed("read", error))?;
    let mut value: Value =
        serde_json::from_slice(&text).map_err(|error| not_a_report(path, &error.to_string()))?;
    if value.get("report").is_some_and(Value::is_object) {
        value = value["report"].take();
    }
    if value.get("cores").is_some_and(Value::is_array) && value.get("log_id").is_some() {
        Ok(value)
    } else {
        Err(not_a_report(path, "it has no `log_id` and `cores`"))
    }
}

fn not_a_report(path: &Path, why: &str) -> Failure {
    Failure::Usage(format!("{} is no report: {why}", path.display()))
}

/// Everything that is not as `report` says.
pub(super) fn compare(report: &Value, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let log_id = plan.resume.log_id.map(|id| id.to_string());
    if report["log_id"].as_str() != log_id.as_deref() {
        let of = report["log_id"].as_str().unwrap_or("no log");
        return vec![format!("the report is of another log: {of}")];
    }
    compare_checkpoint(&report["checkpoint"], plan, &mut found);
    for core in report["cores"].as_array().into_iter().flatten() {
        let id = core["core"].as_u64().and_then(|id| u16::try_from(id).ok()).map(CoreId);
        let now = id.and_then(|id| plan.cores.iter().find(|planned| planned.scan.core == id));
        match now {
            Some(now) => compare_core(core, now, plan, &mut found),
            None => found.push(format!("core {}: its log is gone", core["core"])),
        }
    }
    found
}

fn compare_checkpoint(then: &Value, plan: &Plan, found: &mut Vec<String>) {
    let Some(epoch) = then["epoch"].as_u64() else { return };
    let now = plan.report.checkpoint.as_ref();
    match now {
        None => found.push(format!("the checkpoint of epoch {epoch} is gone")),
        Some(now) if now.epoch.0 < epoch => {
            found.push(format!("the checkpoint is of epoch {}, and was of epoch {epoch}", now.epoch));
        }
        Some(now) if now.epoch.0 == epoch => {
            for (name, now) in [("runs", now.runs), ("bytes", now.bytes)] {
                if then[name].as_u64() != Some(now) {
                    found.push(format!(
                        "the checkpoint of epoch {epoch} has {now} {name}, and had {}",
                        then[name]
                    ));
                }
            }
        }
        Some(_) => {}
    }
}

fn compare_core(then: &Value, now: &CorePlan, plan: &Plan, found: &mut Vec<String>) {
    let core = now.scan.core;
    let position = plan.manifest.as_ref().and_then(|manifest| manifest.core(core));
    let segments = then["segments"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        let number = segment["segment"].as_u64();
        if position.is_some_and(|position| number < Some(position.segment.0)) {
            continue; // The checkpoint has it, and it may have been released.
        }
        let stats = now.scan.segments.iter().find(|stats| Some(stats.segment.0) == number);
        match stats {
            Some(stats) => {
                let before = found.len();
                compare_segment(segment, stats, position, is_last, &mut |what| {
                    found.push(format!("core {core}, segment {}: {what}", stats.segment));
                });
                // Of one segment that is another one altogether, the first differences say enough.
                found.truncate(before + 3);
            }
            None => found.push(format!("core {core}: segment {} is gone", segment["segment"])),
        }
    }
    let reached = then["end_in_scope"]["sequence"].as_u64().unwrap_or(0);
    if now.scan.end.sequence.0 < reached {
        found.push(format!(
            "core {core}: the log ends at sequence {}, and reached {reached}",
            now.scan.end.sequence
        ));
    }
}

/// `is_last`: the log ended in it, so it may have grown.
fn compare_segment(
    then: &Value,
    now: &SegmentStats,
    position: Option<&CorePosition>,
    is_last: bool,
    differs: &mut dyn FnMut(String),
) {
    let mut check = |name: &str, now: Option<u64>| {
        let then = then[name].as_u64();
        if then != now {
            let shown = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
            differs(format!("{} is {}, and was {}", name.replace('_', " "), shown(now), shown(then)));
        }
    };
    // Read from the checkpoint's position on, which a later checkpoint moves: then only the end can be compared.
    let moved = position.is_some_and(|position| position.segment == now.segment && position.offset > 4096);
    let grew = is_last && then["frames"].as_u64() < Some(now.frames);
    if !moved {
        check("first_sequence", now.sequences.map(|(first, _)| first.0).filter(|_| !was_empty(then)));
        check("first_epoch", now.epochs.map(|(first, _)| first.0).filter(|_| !was_empty(then)));
        check("first_timestamp_ns", now.timestamps.map(|(first, _)| first).filter(|_| !was_empty(then)));
    }
    if grew {
        return;
    }
    check("bytes_used", Some(now.bytes_used));
    check("last_sequence", now.sequences.map(|(_, last)| last.0).filter(|_| !moved || !was_empty(then)));
    if !moved {
        check("entries", Some(now.entries));
        check("last_timestamp_ns", now.timestamps.map(|(_, last)| last));
        check("digest", Some(u64::from(now.digest)));
    }
}

fn was_empty(then: &Value) -> bool {
    then["entries"].as_u64() == Some(0)
}
