//! What criterion kept of the benches of single steps, as figures of a report: the median for each element, of all that is
//! below a directory.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::results::{Figure, Row};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `estimates.json`, as far as it is of interest.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// `benchmark.json`, as far as it is of interest.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

/// The figures below `directory`, by name.
///
/// # Errors
/// It cannot be read, or holds something that criterion has not written.
pub fn read(directory: &Path) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    look(directory, &mut figures)?;
    figures.sort_by(|a: &Figure, b| a.row.name.cmp(&b.row.name));
    Ok(figures)
}

fn look(directory: &Path, figures: &mut Vec<Figure>) -> Result<(), Failure> {
    let kept = directory.join("new");
    let (estimates, benchmark) = (kept.join("estimates.json"), kept.join("benchmark.json"));
    if estimates.is_file() && benchmark.is_file() {
        let figure = figure(&fs::read_to_string(&benchmark)?, &fs::read_to_string(&estimates)?);
        figures.push(figure.map_err(|error| format!("{}: {error}", kept.display()))?);
        return Ok(());
    }
    for entry in fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            look(&entry.path(), figures)?;
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a count of entries")]
fn figure(benchmark: &str, estimates: &str) -> Result<Figure, Failure> {
    let benchmark: Benchmark = serde_json::from_str(benchmark)?;
    let Estimates { median } = serde_json::from_str(estimates)?;
    let elements = benchmark.throughput.and_then(|throughput| throughput.elements).unwrap_or(1).max(1) as f64;
    let Interval { lower_bound, upper_bound } = median.confidence_interval;
    let spread = (upper_bound - lower_bound) / 2.0 / median.point_estimate.max(f64::MIN_POSITIVE);
    let step = benchmark
        .function_id
        .map_or(benchmark.group_id.clone(), |function| format!("{}, {function}", benchmark.group_id));
    let row = Row::alone(&format!("step: {step}, for each element"), median.point_estimate / elements, "ns");
    Ok(Figure { scenario: "steps".to_owned(), row: row.within(spread) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESTIMATES: &str = r#"{"mean": {}, "median": {"confidence_interval": {"confidence_level": 0.95,
        "lower_bound": 990.0, "upper_bound": 1030.0}, "point_estimate": 1000.0, "standard_error": 1.0}}"#;

    #[test]
    fn what_criterion_kept_is_found_below_a_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, throughput) in [("b", r#"{"Elements": 500}"#), ("a", "null")] {
            let kept = directory.path().join("codec").join(name).join("new");
            fs::create_dir_all(&kept).expect("made");
            fs::write(kept.join("estimates.json"), ESTIMATES).expect("written");
            let benchmark =
                format!(r#"{{"group_id": "codec", "function_id": "{name}", "throughput": {throughput}}}"#);
            fs::write(kept.join("benchmark.json"), benchmark).expect("written");
        }
        let figures = read(directory.path()).expect("read");
        let rows: Vec<_> =
            figures.iter().map(|figure| (figure.row.name.as_str(), figure.row.value)).collect();
        let name = |step| format!("step: codec, {step}, for each element");
        assert_eq!(rows, [(name("a").as_str(), 1000.0), (name("b").as_str(), 2.0)]);
        assert!(figures.iter().all(|figure| figure.row.spread == Some(0.02)));
        fs::write(directory.path().join("codec/a/new/estimates.json"), "{}").expect("written");
        assert!(read(directory.path()).is_err());
    }
}
