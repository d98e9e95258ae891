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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wal_format::{Epoch, LogId, Manifest, SegmentNumber, Sequence};
    use wal_reader::Source;
    use wal_reader::testing::LogBuilder;

    use crate::json::Json;
    use crate::manager::PerCoreRecoveryManager;

    #[test]
    fn what_is_read_is_a_report_of_bounded_size() {
        let place = tempfile::tempdir().expect("there is room");
        let path = place.path().join("report.json");
        let said = |text: &str| {
            std::fs::write(&path, text).expect("there is room");
            read(&path).map_err(|error| error.to_string())
        };
        assert!(said(r#"{"log_id":"a","cores":[]}"#).is_ok());
        assert!(said(r#"{"report":{"log_id":"a","cores":[]}}"#).is_ok());
        for no_report in [r#"{"cores":[]}"#, r#"{"log_id":"a"}"#, r#"{"log_id":"a","cores":1}"#] {
            assert!(said(no_report).is_err_and(|said| said.contains("it has no `log_id` and `cores`")));
        }
        let sized = |length| {
            // A hole: it takes no space.
            let file = std::fs::File::create(&path).expect("there is room");
            file.set_len(length).expect("there is room");
            read(&path).expect_err("zeros are no report").to_string()
        };
        assert!(!sized(REPORT_BYTES_MAX).contains("too large"));
        assert!(sized(REPORT_BYTES_MAX + 1).contains("it is too large"));
    }

    /// A report of one segment, and the same segment now.
    fn segment(entries: u64, frames: u64) -> SegmentStats {
        SegmentStats {
            segment: SegmentNumber(3),
            entries,
            frames,
            bytes_used: 4096 + 64 * frames,
            sequences: (entries > 0).then_some((Sequence(5), Sequence(4 + entries))),
            epochs: (entries > 0).then_some((Epoch(2), Epoch(2))),
            timestamps: (entries > 0).then_some((100, 100 + entries)),
            digest: u32::try_from(frames).unwrap_or(0),
            ..SegmentStats::default()
        }
    }

    fn position(segment: u64, offset: u64) -> CorePosition {
        CorePosition {
            core: CoreId(0),
            segment: SegmentNumber(segment),
            offset,
            sequence: Sequence(5),
            last_timestamp: 100,
            last_epoch: Epoch(1),
        }
    }

    #[track_caller]
    fn check(
        then: &SegmentStats,
        now: &SegmentStats,
        position: Option<CorePosition>,
        is_last: bool,
        expected: &[&str],
    ) {
        let text = Json::document(|json| crate::report::write_segment(json, then));
        let then = serde_json::from_str(&text).expect("it is JSON");
        let mut found = Vec::new();
        compare_segment(&then, now, position.as_ref(), is_last, &mut |what| found.push(what));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_segment_holds_what_it_held() {
        let then = segment(2, 2);
        check(&then, &then, None, false, &[]);
        check(&then, &then, Some(position(3, 4096)), true, &[]);
        let other = SegmentStats {
            sequences: Some((Sequence(6), Sequence(7))),
            epochs: Some((Epoch(3), Epoch(3))),
            timestamps: Some((101, 103)),
            bytes_used: 9000,
            entries: 3,
            digest: 9,
            ..then
        };
        let firsts = [
            "first sequence is 6, and was 5",
            "first epoch is 3, and was 2",
            "first timestamp ns is 101, and was 100",
        ];
        let rest = [
            "bytes used is 9000, and was 4224",
            "last sequence is 7, and was 6",
            "entries is 3, and was 2",
            "last timestamp ns is 103, and was 102",
            "digest is 9, and was 2",
        ];
        let all = [&firsts[..], &rest[..]].concat();
        for is_last in [false, true] {
            check(&then, &other, None, is_last, &all);
            // A position at the first frame, or in another segment, moves nothing.
            check(&then, &other, Some(position(3, 4096)), is_last, &all);
            check(&then, &other, Some(position(2, 5000)), is_last, &all);
            // Behind it only the end can be told.
            check(&then, &other, Some(position(3, 4160)), is_last, &rest[..2]);
        }
        // The last one may have grown, and nothing else.
        let grown = SegmentStats { frames: 3, ..other };
        check(&then, &grown, None, true, &firsts);
        check(&then, &grown, None, false, &all);
        let shrunk = SegmentStats { frames: 1, ..other };
        check(&then, &shrunk, None, true, &all);
    }

    #[test]
    fn a_segment_that_held_no_entry_had_no_first_one() {
        let (then, now) = (segment(0, 1), segment(2, 3));
        check(&then, &now, None, true, &[]);
        let none = SegmentStats { frames: 1, bytes_used: then.bytes_used, digest: 1, ..now };
        let told = [
            "last sequence is 6, and was none",
            "entries is 2, and was 0",
            "last timestamp ns is 102, and was none",
        ];
        check(&then, &none, None, false, &told);
        // Behind a position that moved, not even the last one.
        check(&then, &none, Some(position(3, 4160)), false, &[]);
        let held = SegmentStats { bytes_used: 4160, ..segment(2, 1) };
        let lost = SegmentStats { sequences: None, ..held };
        check(&held, &lost, Some(position(3, 4160)), false, &["last sequence is none, and was 6"]);
    }

    /// A log of two segments, and its report.
    fn log(change: impl FnOnce(&mut LogBuilder)) -> (Plan, Value) {
        let mut log = LogBuilder::new(LogId([1; 16]));
        log.put(CoreId(0), b"a", b"1");
        log.rotate(CoreId(0));
        log.put(CoreId(0), b"b", b"2");
        change(&mut log);
        let source: Arc<dyn Source> = Arc::new(log.source());
        let plan = PerCoreRecoveryManager::with_source(source).plan().expect("the log is whole");
        let text = Json::document(|json| plan.report.write(json));
        (plan, serde_json::from_str(&text).expect("it is JSON"))
    }

    #[test]
    fn only_the_segment_in_which_a_log_ended_may_have_grown() {
        let (_, then) = log(|_| ());
        let (grown, _) = log(|log| {
            log.put(CoreId(0), b"c", b"3");
        });
        assert_eq!(compare(&then, &grown), Vec::<String>::new());
        // The first segment says that it had one frame less.
        let mut less = then;
        let frames = &mut less["cores"][0]["segments"][0]["frames"];
        *frames = Value::from(frames.as_u64().expect("it is a number") - 1);
        less["cores"][0]["segments"][0]["digest"] = Value::from(1);
        let found = compare(&less, &grown);
        assert!(found.len() == 1 && found[0].starts_with("core 0, segment 0: digest is "), "{found:?}");
    }

    #[test]
    fn a_checkpoint_is_no_older_and_of_one_epoch_no_other() {
        let with = |epoch| {
            log(|log| {
                let manifest = Manifest { epoch: Epoch(epoch), ..log.empty_manifest(epoch) };
                log.manifest(&manifest);
            })
        };
        let found = |report: &Value, plan: &Plan| {
            let mut found = Vec::new();
            compare_checkpoint(&report["checkpoint"], plan, &mut found);
            found
        };
        let ((older, then_older), (newer, then_newer), (none, _)) = (with(1), with(2), log(|_| ()));
        assert_eq!(found(&then_older, &older), Vec::<String>::new());
        assert_eq!(found(&then_older, &newer), Vec::<String>::new());
        assert_eq!(found(&then_newer, &older), ["the checkpoint is of epoch 1, and was of epoch 2"]);
        assert_eq!(found(&then_newer, &none), ["the checkpoint of epoch 2 is gone"]);
        let mut other = then_older;
        other["checkpoint"]["runs"] = Value::from(7);
        assert_eq!(found(&other, &older), ["the checkpoint of epoch 1 has 0 runs, and had 7"]);
        // Of a later one, nothing is known.
        assert_eq!(found(&other, &newer), Vec::<String>::new());
    }
}
