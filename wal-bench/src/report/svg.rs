//! A plot as SVG, to stand in a page that has the classes of [`html`](super::html).
//!
//! Promises: well-formed whatever the texts are; every point lies within the axes; values that an axis cannot show are
//! left out. Colours come from the page, so that light and dark are its choice.

use std::fmt::Write;

use super::axis::{Range, Tick};
use crate::results::{Axis, Plot, Span};

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 380.0;
/// What lies within the axes: left, top, right, bottom.
const FRAME: [f64; 4] = [78.0, 34.0, 800.0, 326.0];
/// Lines that the page has colours for.
pub(super) const COLOURS: usize = 6;

/// Text that is nothing but text.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Not allowed in XML, even escaped.
            control if control.is_control() && !matches!(control, '\n' | '\t') => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The picture.
#[must_use]
pub fn picture(plot: &Plot) -> String {
    let marks = || plot.marks.iter().map(|mark| &mark.at);
    let points = || plot.lines.iter().flat_map(|line| &line.points).chain(marks());
    let spans = plot.spans.iter().flat_map(|span| [span.from, span.to]);
    let x = Range::over(plot.x.scale, points().map(|point| point.0).chain(spans));
    let y = Range::over(plot.y.scale, points().map(|point| point.1));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">\n",
        escape(&plot.title)
    );
    plot.spans.iter().for_each(|span| svg.push_str(&stretch(span, &x)));
    svg.push_str(&axes(plot, &x.ticks(unit(&plot.x)), &y.ticks(unit(&plot.y))));
    for (index, line) in plot.lines.iter().enumerate() {
        let places =
            line.points.iter().filter_map(|(at, value)| Some((across(x.at(*at)?), up(y.at(*value)?))));
        svg.push_str(&drawn(&places.collect::<Vec<_>>(), index % COLOURS));
    }
    for mark in &plot.marks {
        if let (Some(at), Some(value)) = (x.at(mark.at.0), y.at(mark.at.1)) {
            svg.push_str(&aim(&mark.name, across(at), up(value)));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// How far a figure is from its aim, for a cell of a table: a line at the aim, a mark left of it where the figure is
/// within. A tick is a factor of two; what is more than eight times off stands at the end.
#[must_use]
pub fn gauge(part: f64) -> String {
    let place = |part: f64| 90.0 + part.max(f64::MIN_POSITIVE).log2().clamp(-3.0, 3.0) * 26.0;
    let mut svg = String::from(
        "<svg class=\"gauge\" viewBox=\"0 0 180 16\" role=\"img\" aria-label=\"distance from the aim\" \
         xmlns=\"http://www.w3.org/2000/svg\">",
    );
    let _ = write!(svg, "<line class=\"grid\" x1=\"8\" y1=\"8\" x2=\"172\" y2=\"8\"/>");
    for power in -3..=3 {
        let x = place(2_f64.powi(power));
        let _ = write!(svg, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"5\" x2=\"{x:.1}\" y2=\"11\"/>");
    }
    let class = if part <= 1.0 { "within" } else { "beyond" };
    let (aim, at) = (place(1.0), place(part));
    let _ = write!(
        svg,
        "<line class=\"{class}\" x1=\"{aim:.1}\" y1=\"8\" x2=\"{at:.1}\" y2=\"8\"/>\
         <line class=\"axis\" x1=\"{aim:.1}\" y1=\"1\" x2=\"{aim:.1}\" y2=\"15\"/>\
         <circle class=\"{class}\" cx=\"{at:.1}\" cy=\"8\" r=\"4\"/></svg>"
    );
    svg
}

/// What stands behind the last comma of a label.
fn unit(axis: &Axis) -> &str {
    axis.label.rsplit_once(", ").map_or("", |(_, unit)| unit)
}

fn across(at: f64) -> f64 {
    FRAME[0] + at * (FRAME[2] - FRAME[0])
}

fn up(at: f64) -> f64 {
    FRAME[3] - at * (FRAME[3] - FRAME[1])
}

/// A stretch in which something went on, its name at its top.
fn stretch(span: &Span, x: &Range) -> String {
    let (Some(from), Some(to)) = (x.at(span.from), x.at(span.to)) else { return String::new() };
    let (from, to) = (across(from.min(to)), across(from.max(to)));
    let [_, top, _, bottom] = FRAME;
    format!(
        "<rect class=\"span\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
         <text class=\"note\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        (to - from).max(1.0).min(FRAME[2] - from + 1.0),
        bottom - top,
        from + 4.0,
        top + 15.0,
        escape(&span.name)
    )
}

/// A bar with its name above it, which ends where the bar does if there is no room to its right.
fn aim(name: &str, x: f64, y: f64) -> String {
    let (from, to) = ((x - 16.0).max(FRAME[0]), (x + 16.0).min(FRAME[2]));
    let (class, at) = if x > FRAME[2] - 120.0 { ("aimed end", to) } else { ("aimed", from) };
    format!(
        "<line class=\"aim\" x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\"/>\n\
         <text class=\"{class}\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>\n",
        y - 6.0,
        escape(name)
    )
}

fn axes(plot: &Plot, across_ticks: &[Tick], up_ticks: &[Tick]) -> String {
    let [left, top, right, bottom] = FRAME;
    let mut svg = String::new();
    for tick in up_ticks {
        let y = up(tick.at);
        let _ =
            writeln!(svg, "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>");
        let text = escape(&tick.text);
        let _ = writeln!(svg, "<text class=\"up\" x=\"{}\" y=\"{:.1}\">{text}</text>", left - 8.0, y + 4.0);
    }
    for tick in across_ticks {
        let x = across(tick.at);
        let end = bottom + 5.0;
        let _ =
            writeln!(svg, "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{end}\"/>");
        let text = escape(&tick.text);
        let _ = writeln!(svg, "<text class=\"across\" x=\"{x:.1}\" y=\"{}\">{text}</text>", bottom + 20.0);
    }
    let _ =
        writeln!(svg, "<line class=\"axis\" x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>");
    let _ = writeln!(
        svg,
        "<text class=\"label\" x=\"{left}\" y=\"{}\">{}</text>\n<text class=\"label end\" x=\"{right}\" y=\"{}\">{}</text>",
        top - 16.0,
        escape(&plot.y.label),
        bottom + 42.0,
        escape(&plot.x.label)
    );
    svg
}

/// A line; with a mark at each point if they are few.
fn drawn(places: &[(f64, f64)], colour: usize) -> String {
    let mut path = String::new();
    for (index, (x, y)) in places.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { " L" });
    }
    let mut svg = String::new();
    if places.len() > 1 {
        let _ = writeln!(svg, "<path class=\"line c{colour}\" d=\"{path}\"/>");
    }
    if places.len() <= 24 {
        for (x, y) in places {
            let _ = writeln!(svg, "<circle class=\"mark c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
        }
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::report::{example, well_formed};
    use crate::results::{Line, Scale};

    /// Every number of the picture that is a place, as pairs across and up.
    fn places(svg: &str) -> Vec<(f64, f64)> {
        let attribute = |tag: &str, name: &str| -> Option<f64> {
            tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?.parse().ok()
        };
        let circles = svg.split('<').filter(|tag| tag.starts_with("circle"));
        let mut places: Vec<_> =
            circles.filter_map(|tag| Some((attribute(tag, "cx")?, attribute(tag, "cy")?))).collect();
        for path in svg.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            for point in path.split(['M', 'L']).filter(|point| !point.trim().is_empty()) {
                let mut numbers = point.split_whitespace().map(|number| number.parse().expect("a number"));
                places.push((numbers.next().expect("across"), numbers.next().expect("up")));
            }
        }
        places
    }

    #[track_caller]
    fn check(plot: &Plot) -> usize {
        let svg = picture(plot);
        well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let places = places(&svg);
        for (x, y) in &places {
            let inside = (FRAME[0]..=FRAME[2]).contains(x) && (FRAME[1]..=FRAME[3]).contains(y);
            assert!(inside, "{x} {y} of {plot:?}");
        }
        places.len()
    }

    #[test]
    fn example_plots_are_drawn_whole() {
        for plot in example::results().plots {
            let points: usize = plot.lines.iter().map(|line| line.points.len()).sum();
            assert_eq!(check(&plot), 2 * points, "a mark and a corner for each point");
        }
    }

    #[test]
    fn any_points_stay_within_the_axes() {
        let scales = [Scale::Linear, Scale::Log, Scale::Doubling, Scale::Nines];
        let odd = [0.0, -3.0, f64::NAN, f64::INFINITY, 1e15, 1e-12, 1.0];
        for seed in 0..400_u64 {
            let mut random = Random::new(seed);
            let number = |random: &mut Random| match random.within(0..4) {
                0 => odd[usize::try_from(random.within(0..7)).expect("small")],
                _ => random.within(0..1_000_000) as f64 / 997.0,
            };
            let line = |random: &mut Random| Line {
                name: "l".to_owned(),
                points: (0..random.within(0..40)).map(|_| (number(random), number(random))).collect(),
            };
            let scale = |random: &mut Random| scales[usize::try_from(random.within(0..4)).expect("small")];
            let plot = Plot {
                x: Axis::new("x", scale(&mut random)),
                y: Axis::new("y", scale(&mut random)),
                lines: (0..random.within(0..9)).map(|_| line(&mut random)).collect(),
                spans: vec![Span {
                    name: "s".to_owned(),
                    from: number(&mut random),
                    to: number(&mut random),
                }],
                ..Plot::default()
            };
            check(&plot);
        }
    }

    #[test]
    fn a_gauge_is_left_of_the_aim_where_the_figure_is_within() {
        for (part, is_left) in [(0.0, true), (0.5, true), (2.0, false), (1e9, false)] {
            let svg = gauge(part);
            well_formed(&svg);
            let (x, _) = places(&svg)[0];
            assert!((8.0..=172.0).contains(&x) && (x < 90.0) == is_left, "{part}: {x}");
        }
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a<b> & \"c\" 'd'\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; ");
    }
}
