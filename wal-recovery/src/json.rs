//! Just enough JSON to write a report: objects, arrays, numbers, strings.

use std::fmt::{Display, Write};

/// Writes one JSON value into a string. Commas come by themselves.
pub(crate) struct Json {
    out: String,
    needs_comma: bool,
}

impl Json {
    /// One object, filled by `fill`.
    pub(crate) fn document(fill: impl FnOnce(&mut Self)) -> String {
        let mut json = Self { out: String::new(), needs_comma: false };
        json.block('{', '}', fill);
        json.out
    }

    pub(crate) fn number(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.raw(&value.to_string());
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) {
        self.name(name);
        self.raw(if value { "true" } else { "false" });
    }

    pub(crate) fn string(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.quoted(&value.to_string());
        self.needs_comma = true;
    }

    /// A number, or `null`.
    pub(crate) fn optional_number(&mut self, name: &str, value: Option<impl Display>) {
        self.name(name);
        match value {
            Some(value) => self.raw(&value.to_string()),
            None => self.raw("null"),
        }
    }

    /// A string, or `null`.
    pub(crate) fn optional_string(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.optional_number(name, None::<u8>),
        }
    }

    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.block('{', '}', fill);
    }

    /// An array of objects.
    pub(crate) fn objects<T>(&mut self, name: &str, items: &[T], mut fill: impl FnMut(&mut Self, &T)) {
        self.name(name);
        self.block('[', ']', |json| {
            for item in items {
                json.comma();
                json.block('{', '}', |json| fill(json, item));
            }
        });
    }

    /// An array of strings.
    pub(crate) fn strings<T: Display>(&mut self, name: &str, items: &[T]) {
        self.name(name);
        self.block('[', ']', |json| {
            for item in items {
                json.comma();
                json.quoted(&item.to_string());
                json.needs_comma = true;
            }
        });
    }

    /// An array of numbers.
    pub(crate) fn numbers<T: Display>(&mut self, name: &str, items: &[T]) {
        self.name(name);
        self.block('[', ']', |json| {
            for item in items {
                json.comma();
                json.raw(&item.to_string());
            }
        });
    }

    fn block(&mut self, open: char, close: char, fill: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.needs_comma = false;
        fill(self);
        self.out.push(close);
        self.needs_comma = true;
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.quoted(name);
        self.out.push(':');
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.out.push(',');
        }
        self.needs_comma = false;
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
        self.needs_comma = true;
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                control if u32::from(control) < 0x20 => {
                    // Writing to a string cannot fail.
                    let _ = write!(self.out, "\\u{:04x}", u32::from(control));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_values_and_strings_are_escaped() {
        let text = Json::document(|json| {
            json.string("a", "x\"y\\z\n\u{1}é");
            json.optional_number("b", None::<u8>);
            json.object("c", |json| json.numbers("d", &[1, 2]));
            json.objects("e", &[1, 2], |json, item| json.number("f", item));
            json.strings("g", &["h", "i"]);
            json.bool("j", true);
        });
        let expected = r#"{"a":"x\"y\\z\n\u0001é","b":null,"c":{"d":[1,2]},"e":[{"f":1},{"f":2}],"g":["h","i"],"j":true}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn empty_collections_are_closed() {
        let text = Json::document(|json| {
            json.numbers::<u8>("a", &[]);
            json.object("b", |_| {});
        });
        assert_eq!(text, r#"{"a":[],"b":{}}"#);
    }
}
