//! Whether a text in a log line is the text that was logged: the logger's escaping, written a second time,
//! from its documentation and not from its code.
#![forbid(unsafe_code)]

use std::io::Write;

/// The mark of a text that was cut begins with this, and goes on with the number of bytes.
const CUT: &[u8] = "…[+".as_bytes();
const CUT_END: &[u8] = b" bytes]";

/// The logger promises not to cut a text of up to so many bytes.
const NEVER_CUT: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Whole,
    /// Cut, with the mark that says so.
    Cut,
    Different,
}

/// What `shown`, of a log line, is of `text`.
pub fn compare(text: &str, shown: &[u8]) -> Shown {
    if is_escaped(text, shown) {
        return Shown::Whole;
    }
    let kept = cut(shown).and_then(|(kept, missing)| Some((kept, text.len().checked_sub(missing)?)));
    match kept {
        Some((kept, len))
            if (NEVER_CUT..text.len()).contains(&len)
                && text.is_char_boundary(len)
                && is_escaped(&text[..len], kept) =>
        {
            Shown::Cut
        }
        _ => Shown::Different,
    }
}

/// What stands before the mark, and the number of bytes that it tells of.
fn cut(shown: &[u8]) -> Option<(&[u8], usize)> {
    let rest = shown.strip_suffix(CUT_END)?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = rest.split_at(rest.len() - digits);
    Some((before.strip_suffix(CUT)?, str::from_utf8(number).ok()?.parse().ok()?))
}

/// Whether `shown` is `text`, escaped.
fn is_escaped(text: &str, shown: &[u8]) -> bool {
    let (mut text, mut shown) = (text, shown);
    loop {
        let plain = text.bytes().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(text.len());
        let Some((same, rest)) = shown.split_at_checked(plain) else { return false };
        if *same != text.as_bytes()[..plain] {
            return false;
        }
        text = &text[plain..];
        shown = rest;
        let Some(char) = text.chars().next() else { return shown.is_empty() };
        let mut buffer = [0; 12];
        let Some(rest) = shown.strip_prefix(escape(char, &mut buffer)) else { return false };
        shown = rest;
        text = &text[char.len_utf8()..];
    }
}

/// How a character is shown.
fn escape(char: char, buffer: &mut [u8; 12]) -> &[u8] {
    match char {
        '\n' => br"\n",
        '\r' => br"\r",
        '\t' => br"\t",
        '\0'..='\x1F' | '\x7F' => written(buffer, format_args!("\\x{:02x}", char as u32)),
        // C1; the bidirectional controls, and the separators of lines and paragraphs.
        '\u{80}'..='\u{9F}'
        | '\u{61C}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2066}'..='\u{2069}' => written(buffer, format_args!("\\u{{{:x}}}", char as u32)),
        _ => char.encode_utf8(buffer).as_bytes(),
    }
}

fn written<'b>(buffer: &'b mut [u8; 12], text: std::fmt::Arguments<'_>) -> &'b [u8] {
    let mut rest = &mut buffer[..];
    // The longest is `\u{202e}`.
    let _ = rest.write_fmt(text);
    let len = 12 - rest.len();
    &buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_told_from_what_they_stand_for() {
        for (text, shown) in [
            ("", ""),
            ("GET /?line=3 200", "GET /?line=3 200"),
            ("\x1b[31mred\x1b[0m\t\r\n\0\x7f", r"\x1b[31mred\x1b[0m\t\r\n\x00\x7f"),
            ("日本語 🦀 é", "日本語 🦀 é"),
            ("a\u{85}b\u{61c}\u{202e}\u{2028}\u{2069}", r"a\u{85}b\u{61c}\u{202e}\u{2028}\u{2069}"),
            (r"C:\new", r"C:\new"),
        ] {
            assert_eq!(compare(text, shown.as_bytes()), Shown::Whole, "{shown}");
            assert_eq!(compare(&format!("{text}x"), shown.as_bytes()), Shown::Different);
            assert_eq!(compare(text, format!("{shown}x").as_bytes()), Shown::Different);
        }
        for text in ["\x1b", "\u{85}", "\u{202e}", "\n"] {
            assert_eq!(compare(text, text.as_bytes()), Shown::Different, "{text:?} must be escaped");
        }
    }

    #[test]
    fn a_cut_text_is_its_beginning_and_what_is_missing() {
        let text = format!("{}é", "x\t".repeat(40_000));
        let shown = |kept: usize, missing: usize| format!("{}…[+{missing} bytes]", r"x\t".repeat(kept / 2));
        let compare = |shown: String| compare(&text, shown.as_bytes());
        assert_eq!(compare(shown(70_000, text.len() - 70_000)), Shown::Cut);
        assert_eq!(compare(shown(70_000, text.len() - 70_001)), Shown::Different);
        assert_eq!(compare(shown(80_000, 1)), Shown::Different, "within a character");
        assert_eq!(compare(shown(80_000, 2)), Shown::Cut);
        assert_eq!(compare(shown(80_000, 0)), Shown::Different);
        assert_eq!(compare(shown(60_000, text.len() - 60_000)), Shown::Different, "sooner than promised");
        assert_eq!(compare(shown(70_000, usize::MAX)), Shown::Different);
    }

    #[test]
    fn a_text_may_hold_the_mark_itself() {
        let text = "so it ends …[+5 bytes]";
        assert_eq!(compare(text, text.as_bytes()), Shown::Whole);
    }
}
