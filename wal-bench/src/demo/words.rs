//! What a word is, and where text may be cut.
//!
//! A word is a run of letters, digits, `_` and bytes above 127 (so UTF-8 stays whole); the key of a very long one is its
//! beginning. Text is cut behind a byte that belongs to no word. Only the end of a file may cut a word: if the file
//! is longer the next time, the piece that was counted is taken back ([`unfinished_word`]).

/// Words are told apart by this many bytes: a blob of hex in a source file need not become a key of a megabyte.
pub const WORD_BYTES_MAX: usize = 64;

/// Whether `byte` belongs to a word.
#[must_use]
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The words of `text`, in order.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !is_word_byte(*byte)).filter(|word| !word.is_empty()).map(key_of)
}

/// What a word is counted under.
#[must_use]
pub fn key_of(word: &[u8]) -> &[u8] {
    word.get(..WORD_BYTES_MAX).unwrap_or(word)
}

/// Where to cut `text` into a piece of about `target` bytes without cutting a word. `None` if that takes more text than
/// there is; `is_last` says that there is none.
#[must_use]
pub fn chunk_end(text: &[u8], target: usize, is_last: bool) -> Option<usize> {
    if text.len() <= target && is_last {
        return Some(text.len());
    }
    let (head, tail) = text.split_at(target.min(text.len()));
    let in_head = head.iter().rposition(|byte| !is_word_byte(*byte)).map(|at| at + 1);
    let in_tail = || tail.iter().position(|byte| !is_word_byte(*byte)).map(|at| head.len() + at + 1);
    in_head.or_else(in_tail).or_else(|| is_last.then_some(text.len()))
}

/// Start of the word that ends `before`, if it goes on with the byte `next`.
#[must_use]
pub fn unfinished_word(before: &[u8], next: u8) -> Option<usize> {
    let goes_on = is_word_byte(next) && before.last().is_some_and(|byte| is_word_byte(*byte));
    goes_on.then(|| before.iter().rposition(|byte| !is_word_byte(*byte)).map_or(0, |at| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = words(text.as_bytes()).map(String::from_utf8_lossy).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_are_runs_of_word_bytes() {
        check("", &[]);
        check("  ,;\n", &[]);
        check("let x_1 = foo(bar);", &["let", "x_1", "foo", "bar"]);
        check("größer als 1.5", &["größer", "als", "1", "5"]);
        check(&"a".repeat(100), &[&"a".repeat(WORD_BYTES_MAX)]);
    }

    #[test]
    fn any_cut_into_chunks_gives_the_same_words() {
        let text = b"one two  three, four\nfive_six seven eleven_and_a_very_long_one x y".as_slice();
        let whole: Vec<_> = words(text).collect();
        for target in 1..text.len() + 2 {
            let (mut at, mut found) = (0, Vec::new());
            while at < text.len() {
                let end = at + chunk_end(&text[at..], target, true).expect("there is no more text");
                assert!(end > at, "every chunk moves on");
                found.extend(words(&text[at..end]));
                at = end;
            }
            assert_eq!(found, whole, "target {target}");
        }
    }

    #[test]
    fn a_window_without_an_end_of_a_word_asks_for_more_text() {
        assert_eq!(chunk_end(b"abcdef", 4, false), None);
        assert_eq!(chunk_end(b"abcdef", 4, true), Some(6));
        assert_eq!(chunk_end(b"ab cdef", 4, false), Some(3));
        assert_eq!(chunk_end(b"abcdef g", 4, false), Some(7));
    }

    #[test]
    fn a_word_that_an_earlier_end_of_file_cut_is_found() {
        assert_eq!(unfinished_word(b"one tw", b'o'), Some(4));
        assert_eq!(unfinished_word(b"tw", b'o'), Some(0));
        assert_eq!(unfinished_word(b"one two", b' '), None);
        assert_eq!(unfinished_word(b"one two ", b'x'), None);
        assert_eq!(unfinished_word(b"", b'x'), None);
    }
}
