//! Results as one page of HTML: the machine, the aims, the plots, every figure.
//!
//! Promises: one file, no network, no script; light or dark as the reader's system is; well-formed whatever the texts are.

use std::fmt::Write;

use super::aims::verdicts;
use super::markdown;
use super::svg::{escape, gauge, picture};
use crate::results::{Plot, Results, Row};

const STYLE: &str = "
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2330; --faint: #5b6675; --rule: #d9dee5; --span: #eceff4;
  --c0: #2563a8; --c1: #c2571a; --c2: #2e7d4f; --c3: #8a3fa0; --c4: #8a6d00; --c5: #5f6b7a; --yes: #2e7d4f; --no: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181f; --ink: #e3e8ef; --faint: #9aa5b4; --rule: #333b47; --span: #232a35;
    --c0: #6fb1f5; --c1: #f0965a; --c2: #6cc490; --c3: #cf8fe3; --c4: #d8bd4e; --c5: #a7b3c2; --yes: #6cc490; --no: #f28b82; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem;
  padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .75rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .25rem; } p { color: var(--faint); margin: .25rem 0 .5rem; max-width: 52rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; } dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { color: var(--faint); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
.yes { color: var(--yes); } .no { color: var(--no); font-weight: 600; } .none { color: var(--faint); }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font: 12px system-ui, sans-serif; } .up, .end { text-anchor: end; }
.across { text-anchor: middle; text-align: center; white-space: nowrap; } .label { fill: var(--ink); } .axis { stroke: var(--faint); } .grid { stroke: var(--rule); }
.aim { stroke: var(--no); stroke-width: 3; } svg .aimed { fill: var(--no); font-weight: 600;
  paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.span { fill: var(--span); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.gauge { width: 150px; min-width: 150px; } .within { stroke: var(--yes); fill: var(--yes); stroke-width: 2; }
.beyond { stroke: var(--no); fill: var(--no); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.25rem; list-style: none; margin: .25rem 0 .5rem; padding: 0; }
.legend i { display: inline-block; width: 1.1rem; height: 3px; margin-right: .45rem; vertical-align: middle; }
";

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{0}</title>\n\
         <style>{STYLE}{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(&results.title),
        colours()
    );
    page.push_str(&machine(results));
    page.push_str(&aims(results));
    if !results.plots.is_empty() {
        page.push_str("<h2>Plots</h2>\n");
    }
    results.plots.iter().for_each(|plot| page.push_str(&figure(plot)));
    page.push_str(&figures(results));
    page.push_str("</body>\n</html>\n");
    page
}

/// The classes of the lines.
fn colours() -> String {
    let class = |index| {
        format!(
            ".line.c{index} {{ stroke: var(--c{index}); }} .mark.c{index} {{ fill: var(--c{index}); }} \
             i.c{index} {{ background: var(--c{index}); }}\n"
        )
    };
    (0..super::svg::COLOURS).map(class).collect()
}

fn machine(results: &Results) -> String {
    let mut html = String::from("<dl>\n");
    for (name, value) in results.machine.properties() {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    for setting in &results.settings {
        let (name, value) = setting.split_once(": ").unwrap_or(("", setting));
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    html.push_str("</dl>\n");
    html
}

fn figure(plot: &Plot) -> String {
    let mut html = format!("<h3>{}</h3>\n", escape(&plot.title));
    if !plot.note.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", escape(&plot.note));
    }
    html.push_str("<figure>\n<ul class=\"legend\">\n");
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = index % super::svg::COLOURS;
        let _ = writeln!(html, "<li><i class=\"c{colour}\"></i>{}</li>", escape(&line.name));
    }
    let _ = write!(html, "</ul>\n{}</figure>\n", picture(plot));
    html
}

fn aims(results: &Results) -> String {
    let mut html = String::from(
        "<h2>Aims</h2>\n<div class=\"wide\"><table>\n<tr><th>aim</th><th>bound</th><th>held against it</th>\
         <th class=\"number\">log</th><th class=\"number\">yardstick</th><th class=\"number\">ratio</th>\
         <th class=\"across\">better | aim | worse</th><th>reached</th></tr>\n",
    );
    for verdict in verdicts(results) {
        let class = match verdict.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "none",
        };
        let word = markdown::word(&verdict).replace(['*', '`'], "");
        let [name, value, yardstick, ratio, gauge] = verdict.row.map_or_else(Default::default, |row| {
            let gauge = verdict.aim.bound.part(row).map_or(String::new(), gauge);
            let [value, yardstick] = [markdown::value(row), markdown::yardstick(row)];
            [escape(&row.name), escape(&value), escape(&yardstick), markdown::ratio(row), gauge]
        });
        let (what, bound) = (escape(verdict.aim.what), escape(&verdict.aim.bound.to_string()));
        let _ = writeln!(
            html,
            "<tr><td>{what}</td><td>{bound}</td><td>{name}</td><td class=\"number\">{value}</td>\
             <td class=\"number\">{yardstick}</td><td class=\"number\">{ratio}</td><td>{gauge}</td>\
             <td class=\"{class}\">{word}</td></tr>"
        );
    }
    html.push_str("</table></div>\n");
    html
}

fn figures(results: &Results) -> String {
    let mut html = String::from(
        "<h2>Figures</h2>\n<div class=\"wide\"><table>\n<tr><th>figure</th><th class=\"number\">log</th>\
         <th class=\"number\">yardstick</th><th class=\"number\">ratio</th></tr>\n",
    );
    results.figures.iter().for_each(|figure| html.push_str(&line(&figure.row)));
    html.push_str("</table></div>\n");
    html
}

fn line(row: &Row) -> String {
    format!(
        "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
        escape(&row.name),
        escape(&markdown::value(row)),
        escape(&markdown::yardstick(row)),
        markdown::ratio(row)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{example, well_formed};

    #[test]
    fn a_page_is_well_formed_and_needs_nothing_else() {
        let page = page(&example::results());
        well_formed(page.trim_start_matches("<!doctype html>\n"));
        for outside in ["<script", "<link", "<img", "url(", "src=", "href=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        // The only address is the name of SVG.
        assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count());
    }

    #[test]
    fn texts_of_the_results_are_escaped() {
        let mut results = example::results();
        let hostile = "</td><b>&\"'";
        results.title = hostile.to_owned();
        results.settings.push(hostile.to_owned());
        results.figures[0].row.name = hostile.to_owned();
        results.figures[0].row.unit = hostile.to_owned();
        results.plots[0].title = hostile.to_owned();
        results.plots[0].note = hostile.to_owned();
        results.plots[0].x.label = hostile.to_owned();
        results.plots[1].spans[0].name = hostile.to_owned();
        let page = page(&results);
        well_formed(page.trim_start_matches("<!doctype html>\n"));
        assert!(!page.contains("<b>"));
        assert!(page.contains("EPYC&gt; &amp; &quot;co&quot;"));
    }

    #[test]
    fn every_line_of_a_plot_is_in_its_legend() {
        let page = page(&example::results());
        for name in ["log", "&lt;yardstick&gt;", "core 1"] {
            assert!(page.contains(&format!("</i>{name}</li>")), "{name}");
        }
    }
}
