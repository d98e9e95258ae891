//! Results as documents: Markdown for a terminal or a commit, and one page of HTML with pictures.
//!
//! Promises: a function of the results alone, so the same results are the same document; the page needs no network, and
//! follows the reader's choice of light or dark. [`aims`] says what was meant to be reached.

pub mod aims;
pub mod axis;
pub mod html;
pub mod markdown;
pub mod svg;

#[cfg(test)]
pub(crate) mod example;

/// About three digits.
#[must_use]
pub fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 99_999.5 => crate::table::count(rounded(number)),
        size if size >= 99.95 => format!("{number:.0}"),
        size if size >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people; a measured size")]
fn rounded(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

/// A number and its unit, in the unit of time that leaves few digits.
#[must_use]
pub fn amount(number: f64, unit: &str) -> String {
    let (number, unit) = match unit {
        "ns" if number >= 9_999.5 => (number / 1e3, "us"),
        _ => (number, unit),
    };
    let (number, unit) = match unit {
        "us" if number >= 9_999.5 => (number / 1e3, "ms"),
        _ => (number, unit),
    };
    let number = digits(number);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// Panics unless every element is closed in its turn, every attribute quoted, and no `<` or `&` stands alone.
#[cfg(test)]
#[track_caller]
pub(crate) fn well_formed(xml: &str) {
    let (mut open, mut rest) = (Vec::new(), xml);
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "a `>` in {text:?}");
        well_escaped(text);
        let (tag, after) = after.split_once('>').expect("a tag that ends");
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
            continue;
        }
        let attributes: Vec<&str> = tag.trim_end_matches('/').split('"').collect();
        assert!(attributes.len() % 2 == 1, "a quote in <{tag}>");
        attributes.iter().skip(1).step_by(2).for_each(|value| well_escaped(value));
        attributes[..attributes.len() - 1]
            .iter()
            .step_by(2)
            .for_each(|name| assert!(name.ends_with('='), "<{tag}>"));
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(rest.trim().is_empty() && open.is_empty(), "{open:?} is open, {rest:?} follows");
}

#[cfg(test)]
#[track_caller]
fn well_escaped(text: &str) {
    for after in text.split('&').skip(1) {
        let name = after.split(';').next().expect("a first part");
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "&{after}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_of_markup_finds_what_is_wrong() {
        well_formed("<a b=\"c\"><d/>x &amp; y</a>\n");
        for wrong in [
            "<a>",
            "<a></b>",
            "</a>",
            "<a><b></a></b>",
            "<a>&</a>",
            "<a b=\"&x;\"/>",
            "<a b=\"/>",
            "a > b<c/>",
        ] {
            let found = std::panic::catch_unwind(|| well_formed(wrong));
            assert!(found.is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_have_about_three_digits_and_a_unit_that_fits() {
        for (number, unit, text) in [
            (0.0, "ns", "0.00 ns"),
            (9.996, "ns", "10.0 ns"),
            (14.66, "ns", "14.7 ns"),
            (571.4, "ns", "571 ns"),
            (23_000.0, "ns", "23.0 us"),
            (45e6, "ns", "45.0 ms"),
            (123_456.7, "B", "123 457 B"),
            (0.5, "", "0.50"),
        ] {
            assert_eq!(amount(number, unit), text);
        }
    }
}
