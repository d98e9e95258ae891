//! Numbers, times and bytes for people.

use std::fmt::Write;
use std::time::Duration;

/// A number with its thousands set apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `3 entries`, `1 entry`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Bytes, in the binary unit that leaves up to four digits.
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = number as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

/// A time span, in the unit that leaves one to three digits.
pub(super) fn duration(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        _ if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// Nanoseconds since the Unix epoch as UTC, to the microsecond: `2026-11-23 04:42:11.123456`.
pub(super) fn time(timestamp_ns: u64) -> String {
    let (seconds, nanoseconds) = (timestamp_ns / 1_000_000_000, timestamp_ns % 1_000_000_000);
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let microseconds = nanoseconds / 1000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{microseconds:06}")
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
fn civil(day: u64) -> (u64, u64, u64) {
    // Years that begin in March: the leap day is the last. Eras of 400 years have 146097 days.
    let from_march = day + 719_468;
    let (era, of_era) = (from_march / 146_097, from_march % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

/// `first-last`, or the one number if they are equal.
pub(super) fn range(ends: Option<(u64, u64)>) -> String {
    match ends {
        None => "-".to_owned(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
    }
}

/// Bytes as text that fits a line: UTF-8 as it is, everything that is not printable as `\xNN`, quotes around it.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\\' => text.extend(['\\', letter]),
                letter if letter.is_control() || is_invisible(letter) => {
                    letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(&mut text, byte));
                }
                letter => text.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut text, *byte));
    }
    text.push('"');
    text
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// Letters that would move or hide what stands beside them on a terminal.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A key or prefix as the user typed it: text, or `0x` and hexadecimal digits.
pub(super) fn parse_bytes(typed: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = typed.strip_prefix("0x") else { return Ok(typed.as_bytes().to_vec()) };
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    };
    let parsed: Option<Vec<u8>> = pairs.map(byte).collect();
    parsed.ok_or_else(|| "behind 0x, give pairs of hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (timestamp_ns, text) in [
            (0, "1970-01-01 00:00:00.000000"),
            (951_782_400_000_000_000, "2000-02-29 00:00:00.000000"),
            (1_700_000_000_123_456_789, "2023-11-14 22:13:20.123456"),
            (4_102_444_799_999_999_999, "2099-12-31 23:59:59.999999"),
            (u64::MAX, "2554-07-21 23:34:33.709551"),
        ] {
            assert_eq!(time(timestamp_ns), text);
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (count(7), count(123), count(1234), count(1_234_567)),
            ("7".into(), "123".into(), "1 234".into(), "1 234 567".into())
        );
        assert_eq!(
            (bytes(1023), bytes(1024), bytes(u64::MAX)),
            ("1023 B".into(), "1.0 KiB".into(), "16.0 EiB".into())
        );
        assert_eq!(duration(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(range(Some((3, 9))), "3-9");
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
    }

    #[test]
    fn a_time_span_is_told_in_the_unit_that_leaves_few_digits() {
        for (micros, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1000, "1 ms"),
            (999_000, "999 ms"),
            (1_000_000, "1.0 s"),
            (9_900_000, "9.9 s"),
            (10_000_000, "10 s"),
            (119_000_000, "119 s"),
            (120_000_000, "2 min"),
            (7_199_000_000, "120 min"),
            (7_200_000_000, "2 h"),
            (172_799_000_000, "48 h"),
            (172_800_000_000, "2 days"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn days_follow_each_other_through_four_centuries() {
        let (mut expected, mut lengths) = ((1970, 1, 1), [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]);
        for day in 0..146_097 * 2 {
            assert_eq!(civil(day), expected);
            let (year, month, of_month): (u64, usize, u64) =
                (expected.0, usize::try_from(expected.1).unwrap(), expected.2);
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            lengths[1] = if is_leap { 29 } else { 28 };
            expected = match (of_month < lengths[month - 1], month) {
                (true, _) => (year, expected.1, of_month + 1),
                (false, 12) => (year + 1, 1, 1),
                (false, _) => (year, expected.1 + 1, 1),
            };
        }
    }

    #[test]
    fn any_bytes_fit_a_line() {
        assert_eq!(quoted("zähler".as_bytes()), "\"zähler\"");
        assert_eq!(quoted(b"a\n\"\\\x00\xff\x1b[2J"), r#""a\x0a\"\\\x00\xff\x1b[2J""#);
        assert_eq!(quoted("\u{202e}abc".as_bytes()), r#""\xe2\x80\xaeabc""#);
    }

    #[test]
    fn typed_bytes_are_text_or_hexadecimal() {
        assert_eq!(parse_bytes("key"), Ok(b"key".to_vec()));
        assert_eq!(parse_bytes("0x00ff"), Ok(vec![0, 255]));
        assert_eq!(parse_bytes("0x"), Ok(Vec::new()));
        for wrong in ["0xf", "0xzz", "0x+1", "0xä"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
