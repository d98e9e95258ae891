//! Splits Rust source into code, comments and literals: just enough to ask what a word is part of.
//!
//! Promises: the views have the bytes of the source at the same offsets, so a hit in a view has the line it
//! has in the file; a word in a string or a comment is never taken for code. Not a parser: it neither knows
//! nor checks the grammar.

/// One source text, seen three ways. What a view leaves out is blank, line ends excepted.
pub(super) struct Views {
    /// The code alone.
    pub(super) code: String,
    /// The comments alone, with their markers.
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Splits `text`.
pub(super) fn split(text: &str) -> Views {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut comments = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = token(bytes, at);
        for &byte in &bytes[at..end] {
            let blank = if byte == b'\n' { b'\n' } else { b' ' };
            code.push(if kind == Kind::Code { byte } else { blank });
            comments.push(if kind == Kind::Comment { byte } else { blank });
        }
        at = end;
    }
    Views { code: lossless(code), comments: lossless(comments) }
}

/// Tokens begin and end at ASCII bytes, so blanking them cannot split a character.
fn lossless(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("blanking split a character: {error}"))
}

/// The kind of what starts at `at`, and where it ends. Always moves on by at least one byte.
fn token(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return (Kind::Comment, find(bytes, at, b'\n').unwrap_or(bytes.len()));
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, block_comment_end(bytes, at));
    }
    let literal = match rest[0] {
        b'"' => Some(string_end(bytes, at)),
        b'r' if starts_raw(bytes, at) => raw_string_end(bytes, at),
        b'\'' => char_end(bytes, at),
        _ => None,
    };
    literal.map_or((Kind::Code, at + 1), |end| (Kind::Literal, end))
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    bytes[from..].iter().position(|&byte| byte == wanted).map(|offset| from + offset)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the `r` at `at` can open a raw string: it starts a word, or follows the `b` or `c` that does.
fn starts_raw(bytes: &[u8], at: usize) -> bool {
    let in_word = |index: usize| is_word(bytes[index]);
    match at.checked_sub(1) {
        None => true,
        Some(before) if matches!(bytes[before], b'b' | b'c') => before == 0 || !in_word(before - 1),
        Some(before) => !in_word(before),
    }
}

/// `None` for a raw identifier such as `r#type`.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut at = open + 1;
    while let Some(quote) = find(bytes, at, b'"') {
        at = quote + 1;
        if bytes[at..].iter().take_while(|&&byte| byte == b'#').count() >= hashes {
            return Some(at + hashes);
        }
    }
    Some(bytes.len())
}

/// `None` for a lifetime.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    let next = *bytes.get(start + 1)?;
    if next == b'\\' {
        return find(bytes, start + 3, b'\'').map(|quote| quote + 1);
    }
    let width = match next {
        0x00..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    };
    let quote = start + 1 + width;
    (bytes.get(quote) == Some(&b'\'')).then_some(quote + 1)
}

/// Whether `byte` can be part of an identifier.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The offsets at which `word` stands in `text`, not as a part of a longer identifier.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    let ends_in_word = word.bytes().next_back().is_some_and(is_word);
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_some_and(|index| is_word(bytes[index]));
        let after = ends_in_word && bytes.get(at + word.len()).copied().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.` stands for a blank, to make the expectation readable.
    #[track_caller]
    fn check(source: &str, code: &str, comments: &str) {
        let views = split(source);
        assert_eq!(views.code.replace(' ', "."), code);
        assert_eq!(views.comments.replace(' ', "."), comments);
        assert_eq!(views.code.len(), source.len());
    }

    #[test]
    fn comments_are_no_code_and_nest() {
        check("a//b\nc", "a...\nc", ".//b\n.");
        check("a/*b/*c*/d*/e", "a...........e", "./*b/*c*/d*/.");
    }

    #[test]
    fn literals_are_neither_code_nor_comment() {
        check(r#"f("a//b\"c")"#, "f(.........)", "............");
        check("f(r#\"a\"b\"#)", "f(........)", "...........");
        check("f(br\"\\\")", "f(b....)", "........");
        check("f('\"','\\'')", "f(...,....)", "...........");
        check("f('é')", "f(....)", ".......");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        check("&'a//x", "&'a...", "...//x");
        check("r#type//x", "r#type...", "......//x");
        check("for\"x\"", "for...", "......");
    }

    #[test]
    fn words_are_whole_identifiers() {
        assert_eq!(words("safe unsafe_code unsafe", "unsafe").collect::<Vec<_>>(), [17]);
        assert_eq!(words("dbg!(x) my_dbg!(x)", "dbg!").collect::<Vec<_>>(), [0]);
    }
}
