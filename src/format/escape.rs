//! Text in a line-oriented log: no value can end a line, drive a terminal, or reorder what is read.
//!
//! Escaped are C0 (`\n`, `\r`, `\t`, others as `\x1b`), DEL (`\x7f`), C1 (`\u{85}`), the line and
//! paragraph separators and the bidirectional controls (`\u{202e}`); bytes that are not UTF-8
//! become U+FFFD. All else stays as it is.
//!
//! Decision: [`push_escaped`] leaves a backslash alone, so that paths and regular expressions stay
//! readable; its output cannot be turned back where a value holds an escape's text. [`push_quoted`]
//! doubles it within quotes, and can; so does [`push_json`], by JSON's escapes alone (`\u001b`). [`push_name`] writes it as `\x5c`, and what would end the name likewise, so that a
//! line can be taken apart whatever its logger, its thread and its fields are called.
//!
//! Decision: printable ASCII is found eight bytes at a time and copied in bulk. In other text the
//! three lead bytes that a hazard can have (C2, D8, E2) are looked for in the same way, so that
//! most scripts pay for the check of UTF-8 alone.

#![forbid(unsafe_code)]

use crate::format::out::Out;
use crate::number::load_short;

/// Output bytes per input byte at most (`\x1b`), but for the two quotes that [`push_quoted`] may
/// add.
pub(crate) const MAX_EXPANSION: usize = 4;
/// The same of [`push_json`] (`\u001b`).
pub(crate) const JSON_EXPANSION: usize = 6;

/// What an escape looks like.
const PLAIN: u8 = 0;
/// The same, and `"` and `\` have a backslash in front.
const QUOTED: u8 = 1;
/// By the escapes that JSON has.
const JSON: u8 = 2;

/// Appends `bytes` as text that stays within its line.
#[inline]
pub(crate) fn push_escaped(out: &mut Out, bytes: &[u8]) {
    if all_unmarked(bytes, unprintable) { out.push(bytes) } else { escape::<PLAIN>(out, bytes) }
}

/// Appends `bytes` as the value of a field: in double quotes if it is empty, or holds a space, `"`,
/// `=`, `\` or anything that [`push_escaped`] would change. Within quotes, `"` and `\` have a
/// backslash in front.
#[inline]
pub(crate) fn push_quoted(out: &mut Out, bytes: &[u8]) {
    if !bytes.is_empty() && all_unmarked(bytes, |word| unprintable(word) | asks_for_quotes(word)) {
        out.push(bytes);
    } else {
        quote::<QUOTED>(out, bytes);
    }
}

/// The same with JSON's escapes within the quotes: what readers of logfmt know.
#[inline]
pub(super) fn push_word(out: &mut Out, bytes: &[u8]) {
    if !bytes.is_empty() && all_unmarked(bytes, |word| unprintable(word) | asks_for_quotes(word)) {
        out.push(bytes);
    } else {
        quote::<JSON>(out, bytes);
    }
}

/// Appends `bytes` as they stand between the quotes of a JSON string.
#[inline]
pub(super) fn push_json(out: &mut Out, bytes: &[u8]) {
    if all_unmarked(bytes, |word| unprintable(word) | needs_backslash(word)) {
        out.push(bytes);
    } else {
        escape::<JSON>(out, bytes);
    }
}

/// Appends `bytes` as a part of a line that one of `ends`, printable ASCII, would end: these and backslashes are
/// escaped, too.
#[inline]
pub(crate) fn push_name<const N: usize>(out: &mut Out, bytes: &[u8], ends: &[u8; N]) {
    let plain = |word| {
        ends.iter().fold(unprintable(word) | equal(word, b'\\'), |marks, &end| marks | equal(word, end))
    };
    if all_unmarked(bytes, plain) { out.push(bytes) } else { escape_name(out, bytes, ends) }
}

#[cold]
fn escape_name(out: &mut Out, bytes: &[u8], ends: &[u8]) {
    let is_end = |byte: &u8| *byte == b'\\' || ends.contains(byte);
    for piece in bytes.split_inclusive(is_end) {
        match piece.split_last().filter(|(last, _)| is_end(last)) {
            Some((&end, before)) => {
                push_escaped(out, before);
                out.push(&[b'\\', b'x', HEX[usize::from(end >> 4)], HEX[usize::from(end & 0xF)]]);
            }
            None => push_escaped(out, piece),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Length of the character at `at` if it must be escaped, else 0. Of UTF-8, `at` may be any byte.
#[inline]
const fn hazard(utf8: &[u8], at: usize) -> usize {
    let second = if at + 1 < utf8.len() { utf8[at + 1] } else { 0 };
    let third = if at + 2 < utf8.len() { utf8[at + 2] } else { 0 };
    match (utf8[at], second, third) {
        (0x00..=0x1F | 0x7F, ..) => 1,
        (0xC2, 0x80..=0x9F, _) => 2,                  // C1
        (0xD8, 0x9C, _) => 2,                         // U+061C
        (0xE2, 0x80, 0x8E | 0x8F | 0xA8..=0xAE) => 3, // U+200E, U+200F, U+2028..=U+202E
        (0xE2, 0x81, 0xA6..=0xA9) => 3,               // U+2066..=U+2069
        _ => 0,
    }
}

#[inline(never)]
fn escape<const HOW: u8>(out: &mut Out, bytes: &[u8]) {
    let clean = find(bytes, 0, |word| {
        if HOW == PLAIN { unprintable(word) } else { unprintable(word) | needs_backslash(word) }
    });
    let (clean, rest) = bytes.split_at(clean);
    out.push(clean);
    if rest.is_empty() {
        return;
    }
    match core::str::from_utf8(rest) {
        Ok(text) => escape_text::<HOW>(out, text),
        Err(_) => {
            for chunk in rest.utf8_chunks() {
                escape_text::<HOW>(out, chunk.valid());
                if !chunk.invalid().is_empty() {
                    out.push_str("\u{FFFD}");
                }
            }
        }
    }
}

fn escape_text<const HOW: u8>(out: &mut Out, text: &str) {
    let bytes = text.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = next_suspect::<HOW>(bytes, at) {
        let length = match bytes[found] {
            b'"' | b'\\' if HOW != PLAIN => 1,
            _ => hazard(bytes, found),
        };
        at = found + length.max(1);
        if length > 0 {
            out.push(&bytes[copied..found]);
            push_escape::<HOW>(out, &text[found..at]);
            copied = at;
        }
    }
    out.push(&bytes[copied..]);
}

fn push_escape<const HOW: u8>(out: &mut Out, hazard: &str) {
    let char = hazard.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
    let digit = |shift: u32| HEX[(char as usize >> shift) & 0xF];
    match char {
        '\n' => out.push(b"\\n"),
        '\r' => out.push(b"\\r"),
        '\t' => out.push(b"\\t"),
        '"' | '\\' => out.push(&[b'\\', char as u8]),
        // None lies beyond U+FFFF.
        _ if HOW == JSON => out.push(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]),
        '\0'..='\x7F' => out.push(&[b'\\', b'x', digit(4), digit(0)]),
        '\u{80}'..='\u{FF}' => out.push(&[b'\\', b'u', b'{', digit(4), digit(0), b'}']),
        '\u{100}'..='\u{FFF}' => out.push(&[b'\\', b'u', b'{', digit(8), digit(4), digit(0), b'}']),
        _ => out.push(&[b'\\', b'u', b'{', digit(12), digit(8), digit(4), digit(0), b'}']),
    }
}

/// A value that is not bare printable ASCII.
#[inline(never)]
fn quote<const HOW: u8>(out: &mut Out, bytes: &[u8]) {
    let bare = !bytes.is_empty()
        && all_unmarked(bytes, asks_for_quotes)
        && core::str::from_utf8(bytes).is_ok_and(|text| !has_hazard(text.as_bytes()));
    if bare {
        out.push(bytes);
    } else {
        out.push_byte(b'"');
        escape::<HOW>(out, bytes);
        out.push_byte(b'"');
    }
}

/// Whether nothing needs an escape, eight bytes at a time.
fn has_hazard(utf8: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = next_suspect::<PLAIN>(utf8, at) {
        if hazard(utf8, found) > 0 {
            return true;
        }
        at = found + 1;
    }
    false
}

/// The next byte, from `at` on, that may begin something to escape.
#[inline]
fn next_suspect<const HOW: u8>(utf8: &[u8], at: usize) -> Option<usize> {
    let found = find(utf8, at, |word| {
        let mut marks = word.wrapping_sub(spread(b' ')) & !word;
        for suspect in [0x7F, 0xC2, 0xD8, 0xE2] {
            marks |= equal(word, suspect);
        }
        if HOW == PLAIN { marks } else { marks | needs_backslash(word) }
    });
    (found < utf8.len()).then_some(found)
}

// Marks: what a function finds among the eight bytes of a word, the first in the low byte. It sets
// the high bit of the lowest byte that it looks for, and that of no byte below. Above, carries make
// marks unreliable; bits that are not high mean nothing.

/// Marks bytes other than printable ASCII.
#[inline]
fn unprintable(word: u64) -> u64 {
    // From 7F on, the high bit is set before or after adding one; below 20, after subtracting.
    word | word.wrapping_add(ONES) | word.wrapping_sub(spread(b' '))
}

/// Marks the printable bytes that cannot stand in a bare value.
#[inline]
fn asks_for_quotes(word: u64) -> u64 {
    needs_backslash(word) | equal(word, b' ') | equal(word, b'=')
}

/// Marks the printable bytes that have a backslash in front within quotes.
#[inline]
fn needs_backslash(word: u64) -> u64 {
    equal(word, b'"') | equal(word, b'\\')
}

#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ spread(byte);
    difference.wrapping_sub(ONES) & !difference
}

const ONES: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = spread(0x80);

const fn spread(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Whether `mark`, which must pass `.`, finds nothing in `bytes`.
#[inline(always)]
fn all_unmarked(bytes: &[u8], mark: impl Fn(u64) -> u64) -> bool {
    let word = |bytes: &[u8; 8]| mark(u64::from_le_bytes(*bytes));
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return match bytes.len() {
            0 => true,
            len => mark(load_short(bytes) | (spread(b'.') << (8 * len))) & HIGH_BITS == 0,
        };
    };
    let mut marks = word(first) | word(last);
    if bytes.len() > 16 {
        // Four words at a time, independent of each other; the last ones overlap.
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            if words.iter().fold(0, |marks, bytes| marks | word(bytes)) & HIGH_BITS != 0 {
                return false;
            }
        }
        for bytes in rest.as_chunks::<8>().0 {
            marks |= word(bytes);
        }
    }
    marks & HIGH_BITS == 0
}

/// Whether all of it is printable ASCII.
#[inline]
pub(super) fn is_printable(bytes: &[u8]) -> bool {
    all_unmarked(bytes, unprintable)
}

/// The first eight bytes of printable ASCII, or all that there are, and how many of these stand before the first one that has
/// a backslash in front within quotes.
#[inline]
pub(super) fn clean_of(bytes: &[u8]) -> ([u8; 8], usize) {
    let word = bytes.first_chunk().map_or_else(|| load_short(bytes), |word| u64::from_le_bytes(*word));
    let clean = ((needs_backslash(word) & HIGH_BITS).trailing_zeros() / 8) as usize;
    (word.to_le_bytes(), clean.min(bytes.len()))
}

/// Index of the first byte, from `from` on, that `mark` finds; `bytes.len()` if there is none.
#[inline(always)]
fn find(bytes: &[u8], from: usize, mark: impl Fn(u64) -> u64) -> usize {
    let first = |word: u64| ((mark(word) & HIGH_BITS).trailing_zeros() / 8) as usize;
    let mut at = from;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = first(u64::from_le_bytes(*word));
        if found < 8 {
            return at + found;
        }
        at += 8;
    }
    match bytes.get(at..) {
        None | Some([]) => bytes.len(),
        Some(rest) => at + first(load_short(rest)).min(rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        written(push_escaped, bytes)
    }

    fn quoted(bytes: &[u8]) -> String {
        written(push_quoted, bytes)
    }

    fn written(push: fn(&mut Out, &[u8]), bytes: &[u8]) -> String {
        let mut buf = vec![0; bytes.len() * MAX_EXPANSION + 2];
        let mut out = Out::new(&mut buf);
        push(&mut out, bytes);
        assert!(!out.overflowed());
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    /// Written down from the Unicode tables, not from the code.
    fn is_hazard(char: char) -> bool {
        char.is_control()
            || matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    }

    fn expected_escape(char: char) -> String {
        match char {
            '\n' => r"\n".into(),
            '\r' => r"\r".into(),
            '\t' => r"\t".into(),
            char if !is_hazard(char) => char.into(),
            char if char.is_ascii() => format!(r"\x{:02x}", char as u32),
            char => format!(r"\u{{{:x}}}", char as u32),
        }
    }

    fn unquote(text: &str) -> String {
        let Some(inner) = text.strip_prefix('"') else {
            return text.into();
        };
        let mut chars = inner.strip_suffix('"').unwrap().chars();
        let mut value = String::new();
        while let Some(char) = chars.next() {
            let hex = |digits: String| char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap();
            value.push(match char {
                '\\' => match chars.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'x' => hex(chars.by_ref().take(2).collect()),
                    'u' => hex(chars.by_ref().skip(1).take_while(|&char| char != '}').collect()),
                    char => char,
                },
                '"' => panic!("a bare quote in {text}"),
                char => char,
            });
        }
        value
    }

    /// Bytes that are mostly near something to escape, in any mixture.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[ -~]{0,20}".prop_map(String::into_bytes),
            2 => "[ぁ-ん一-龠é—“”€ا]{0,6}".prop_map(String::into_bytes),
            2 => "[\u{0}-\u{20}\u{7f}-\u{a0}\u{61b}-\u{61d}\u{200d}-\u{2030}\u{2065}-\u{206a}\"=\\\\]{0,3}"
                .prop_map(String::into_bytes),
            1 => prop::collection::vec(prop::sample::select(b"\x80\x9C\xA8\xC2\xD8\xE2\xED\xF0\xFFa".to_vec()), 0..4),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn every_character_in_every_place() {
        for char in (0..0x3000).chain(0xFE00..0x1_0100).filter_map(char::from_u32) {
            for lead in [0, 5] {
                let (before, after) = (&"abcdefgh"[..lead], "xyz");
                let text = format!("{before}{char}{after}");
                let result = format!("{before}{}{after}", expected_escape(char));
                assert_eq!(escaped(text.as_bytes()), result);
            }
        }
    }

    #[test]
    fn fields_are_quoted_when_they_must_be() {
        for (value, text) in [
            ("", r#""""#),
            ("a", "a"),
            ("a/b:c,d'e{}", "a/b:c,d'e{}"),
            ("日本", "日本"),
            ("a b", r#""a b""#),
            ("日 本", r#""日 本""#),
            ("a=b", r#""a=b""#),
            (r#"a"b"#, r#""a\"b""#),
            (r"a\b", r#""a\\b""#),
            ("a\n", r#""a\n""#),
            ("\u{85}é", r#""\u{85}é""#),
        ] {
            assert_eq!(quoted(value.as_bytes()), text);
        }
        assert_eq!(quoted(b"a\xFFb"), "\"a\u{FFFD}b\"");
    }

    #[test]
    fn names_end_where_they_should() {
        let name = |bytes: &[u8]| written(|out, bytes| push_name(out, bytes, b" ="), bytes);
        for (text, shown) in [
            ("", ""),
            ("a::b", "a::b"),
            ("a b", r"a\x20b"),
            ("long enough=for\\words", r"long\x20enough\x3dfor\x5cwords"),
            (" \n=\u{85}é", r"\x20\n\x3d\u{85}é"),
            ("[main] ", r"[main]\x20"),
        ] {
            assert_eq!(name(text.as_bytes()), shown);
        }
        assert_eq!(name(b"a\xFF b"), "a\u{FFFD}\\x20b");
    }

    #[test]
    fn the_expansion_is_reached_and_not_exceeded() {
        let growth =
            |char: char| escaped(char.encode_utf8(&mut [0; 4]).as_bytes()).len().div_ceil(char.len_utf8());
        let invalid = (0..=u8::MAX).map(|byte| escaped(&[byte]).len());
        assert_eq!(('\0'..=char::MAX).map(growth).chain(invalid).max(), Some(MAX_EXPANSION));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn hazards_are_escaped_and_all_else_is_copied(bytes in texts()) {
            let text = String::from_utf8_lossy(&bytes);
            let expected: String = text.chars().map(expected_escape).collect();
            prop_assert_eq!(escaped(&bytes), expected);
        }

        #[test]
        fn a_quoted_value_is_one_word_and_reads_back(bytes in texts()) {
            let text = String::from_utf8_lossy(&bytes);
            let word = quoted(&bytes);
            prop_assert!(!word.contains(is_hazard));
            prop_assert_eq!(unquote(&word), &*text);
            let bare = std::str::from_utf8(&bytes).is_ok_and(|text| {
                !text.is_empty() && !text.contains(is_hazard) && !text.contains([' ', '"', '=', '\\'])
            });
            prop_assert_eq!(!word.starts_with('"'), bare);
        }

        #[test]
        fn short_room_gives_a_prefix(bytes in texts(), room in 0_usize..100) {
            for push in [push_escaped, push_quoted] {
                let whole = written(push, &bytes);
                let mut buf = vec![0; room];
                let mut out = Out::new(&mut buf);
                push(&mut out, &bytes);
                prop_assert_eq!(out.bytes(), &whole.as_bytes()[..room.min(whole.len())]);
                prop_assert_eq!(out.overflowed(), whole.len() > room);
            }
        }
    }
}
