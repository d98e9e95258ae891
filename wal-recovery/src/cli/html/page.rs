//! The page itself: HTML around the data, style and script inside of it, nothing loaded from anywhere.
//!
//! Everything that comes from the log is escaped, as text in the HTML and as `<` in the data. A content security policy
//! forbids the page to reach for anything.

use std::fmt::{Display, Write};
use std::path::Path;

use super::lanes::Picture;
use crate::cli::inspect::{Inspection, words};
use crate::cli::paint::Style;
use crate::cli::survey::Survey;
use crate::cli::text::{bytes, count, range, time};
use crate::json::Json;
use crate::plan::Plan;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The whole page. `plan` is the one that was drawn: of a damaged log, that of salvage.
pub(super) fn page(survey: &Survey, plan: &Plan, picture: &Picture, path: &Path) -> String {
    let inspection = Inspection::of(survey);
    let title = Escaped(path.display());
    let mut html = String::new();
    html += "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n";
    html += &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n");
    html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    html += &format!("<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n");
    header(&mut html, survey, path);
    facts(&mut html, survey, &inspection);
    chart(&mut html);
    html += "<div class=\"two\">\n";
    cores(&mut html, survey, &inspection);
    checkpoint(&mut html, survey);
    html += "</div>\n";
    gaps(&mut html, survey, plan);
    segments(&mut html, &inspection);
    let data = Json::document(|json| picture.write(json)).replace('<', "\\u003c");
    html += &format!(
        "<script type=\"application/json\" id=\"log\">{data}</script>\n<script>\n{SCRIPT}</script>\n"
    );
    html += "</main></body></html>";
    html
}

fn header(html: &mut String, survey: &Survey, path: &Path) {
    let (word, class) = match (survey.is_damaged(), survey.engine.may_write()) {
        (true, _) => ("damaged", "bad"),
        (false, true) => ("whole, engine running", "good"),
        (false, false) => ("whole", "good"),
    };
    *html += &format!(
        "<header><div><h1>{}</h1><div class=\"id\">log {}</div></div><span class=\"pill {class}\">{word}</span>\
         <button id=\"theme\">light / dark</button></header>\n",
        Escaped(path.display()),
        survey.log_id
    );
}

fn facts(html: &mut String, survey: &Survey, inspection: &Inspection<'_>) {
    let stats = survey.plan.cores.iter().flat_map(|core| &core.scan.segments);
    let used: u64 = stats.clone().map(|stats| stats.bytes_used).sum();
    let frames: u64 = stats.clone().map(|stats| stats.frames).sum();
    let epochs = stats.clone().filter_map(|stats| stats.epochs);
    let epochs = epochs.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)));
    let epochs = epochs.map(|(first, last)| (first.0, last.0));
    let is_one_epoch = epochs.is_some_and(|(first, last)| first == last);
    let (cores, entries) = (survey.plan.cores.len() as u64, survey.plan.report.entries_found());
    let name = |number, one, many| if number == 1 { one } else { many };
    let facts = [
        (count(cores), name(cores, "core", "cores")),
        (count(entries), name(entries, "entry in the logs", "entries in the logs")),
        (count(frames), name(frames, "frame", "frames")),
        (bytes(used), "used by the logs"),
        (range(epochs), if is_one_epoch { "epoch in the logs" } else { "epochs in the logs" }),
        (
            survey.plan.consistent_epoch.map_or("none".to_owned(), |epoch| epoch.to_string()),
            "last whole epoch",
        ),
        (count(inspection.entries), name(inspection.entries, "entry to replay", "entries to replay")),
    ];
    *html += "<div class=\"facts\">\n";
    for (value, name) in facts {
        *html += &format!("<div class=\"fact\"><b>{value}</b><span>{name}</span></div>\n");
    }
    *html += "</div>\n";
}

fn chart(html: &mut String) {
    let legend = [
        ("var(--data)", "entries, as high as frames are large"),
        ("var(--mark)", "barriers and seals"),
        ("var(--bad)", "cannot be read"),
        ("var(--check)", "checkpoint"),
    ];
    *html +=
        "<section class=\"card\"><div class=\"tools\"><h2>Cores over time (UTC)</h2><div class=\"legend\">";
    for (colour, name) in legend {
        *html += &format!("<span><i style=\"background:{colour}\"></i>{name}</span>");
    }
    *html += "</div><button id=\"out\">-</button><button id=\"in\">+</button><button id=\"all\">all</button></div>\n\
              <div id=\"chart\" tabindex=\"0\"><div id=\"tip\"></div><noscript>The picture needs scripts; the tables below \
              do not.</noscript></div></section>\n";
}

fn cores(html: &mut String, survey: &Survey, inspection: &Inspection<'_>) {
    *html += "<section class=\"card\"><h2>Cores</h2><table><tr><th>core</th><th>entries</th><th>sequences</th>\
              <th>epochs</th><th>ends in segment</th><th class=\"l\">condition</th></tr>\n";
    for core in &survey.plan.cores {
        let id = core.scan.core;
        let stats = inspection.total_of(id);
        let (word, style) = words(survey.condition(id));
        let class = class(style);
        *html += &format!(
            "<tr><td>{id}</td><td>{}</td><td>{}</td><td>{}</td><td>{} at {}</td><td class=\"l\"><span class=\"pill {class}\">{word}</span></td></tr>\n",
            count(stats.entries),
            range(stats.sequences.map(|(first, last)| (first.0, last.0))),
            range(stats.epochs.map(|(first, last)| (first.0, last.0))),
            core.scan.end.segment,
            core.scan.end.offset,
        );
    }
    *html += "</table></section>\n";
}

fn checkpoint(html: &mut String, survey: &Survey) {
    *html += "<section class=\"card\"><h2>Checkpoint</h2>";
    for problem in &survey.plan.report.problems {
        *html += &format!("<p class=\"pill bad wide\">{}</p>", Escaped(problem));
    }
    match &survey.plan.manifest {
        None => *html += "<p class=\"muted\">None: recovery begins with the first entry.</p>",
        Some(manifest) => {
            let made = time(manifest.created_ns);
            *html += &format!("<p>Everything up to epoch <b>{}</b>, made {made}.</p>", manifest.epoch);
            if manifest.external {
                *html += "<p class=\"muted\">The state is in the engine's own store.</p>";
            }
            if !manifest.runs.is_empty() {
                *html += "<table><tr><th>run</th><th>epoch</th><th>keys</th><th>bytes</th></tr>";
                for run in &manifest.runs {
                    let (keys, size) = (count(run.entries), bytes(run.length));
                    *html += &format!(
                        "<tr><td>{}</td><td>{}</td><td>{keys}</td><td>{size}</td></tr>",
                        run.run, run.epoch
                    );
                }
                *html += "</table>";
            }
        }
    }
    *html += "</section>\n";
}

fn gaps(html: &mut String, survey: &Survey, plan: &Plan) {
    if plan.cores.iter().all(|core| core.gaps.is_empty()) {
        return;
    }
    *html += "<section class=\"card\"><h2>What cannot be read</h2><table><tr><th>core</th><th class=\"l\">from</th>\
              <th class=\"l\">to</th><th>entries lost</th><th class=\"l\">found there</th></tr>\n";
    for core in &plan.cores {
        for gap in &core.gaps {
            let to =
                gap.to.map_or("the end".to_owned(), |to| format!("segment {} at {}", to.segment, to.offset));
            let lost =
                gap.to.map_or("?".to_owned(), |to| count(to.sequence.0.saturating_sub(gap.from.sequence.0)));
            *html += &format!(
                "<tr><td>{}</td><td class=\"l\">segment {} at {}</td><td class=\"l\">{to}</td><td>{lost}</td><td class=\"l wide\">{}</td></tr>\n",
                core.scan.core,
                gap.from.segment,
                gap.from.offset,
                Escaped(&gap.reason)
            );
        }
    }
    *html += "</table>\n";
    for core in survey.plan.cores.iter().filter(|core| core.ending.verdict().is_error()) {
        if let Some(evidence) = &core.ending.evidence {
            let core = core.scan.core;
            *html += &format!("<p class=\"muted evidence\">Core {core}: {}.</p>\n", Escaped(evidence));
        }
    }
    *html += "</section>\n";
}

fn segments(html: &mut String, inspection: &Inspection<'_>) {
    *html += "<section class=\"card\"><h2>Segments</h2><table><tr><th>core</th><th>segment</th><th class=\"l\">state</th>\
              <th>entries</th><th>sequences</th><th>epochs</th><th>frames</th><th>used</th><th>wasted</th></tr>\n";
    for segment in &inspection.segments {
        let stats = &segment.stats;
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            segment.core,
            segment.segment,
            segment.state.as_str(),
            count(stats.entries),
            range(stats.sequences.map(|(first, last)| (first.0, last.0))),
            range(stats.epochs.map(|(first, last)| (first.0, last.0))),
            count(stats.frames),
            bytes(stats.bytes_used),
            bytes(stats.bytes_wasted)
        );
    }
    *html += "</table></section>\n";
}

fn class(style: Style) -> &'static str {
    match style {
        Style::Good => "good",
        Style::Notice => "warn",
        Style::Bad => "bad",
        Style::Plain | Style::Heading | Style::Quiet => "",
    }
}

/// Text that cannot become markup.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_log_becomes_markup() {
        let escaped = Escaped("<script>\"'&").to_string();
        assert_eq!(escaped, "&lt;script&gt;&quot;&#39;&amp;");
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        for text in [STYLE, SCRIPT] {
            for way in [
                "http:", "https:", "url(\"", "url('", "@import", "fetch(", "import(", "XMLHttp", "//cdn",
                "</script",
            ] {
                assert!(!text.contains(way), "the page reaches out by {way}");
            }
        }
    }
}
