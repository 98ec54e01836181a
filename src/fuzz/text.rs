//! The escaping of a line, written a second time: from what it promises, a character at a time, and back again.
#![forbid(unsafe_code)]

/// What could end a line, drive a terminal or reorder what is read.
pub(super) fn is_hazard(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn push(text: &mut String, char: char) {
    match char {
        '\n' => text.push_str(r"\n"),
        '\r' => text.push_str(r"\r"),
        '\t' => text.push_str(r"\t"),
        _ if !is_hazard(char) => text.push(char),
        _ if char.is_ascii() => *text += &format!(r"\x{:02x}", char as u32),
        _ => *text += &format!(r"\u{{{:x}}}", char as u32),
    }
}

/// A text in a message.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut so_far, char| {
        push(&mut so_far, char);
        so_far
    })
}

/// A text as a field's value.
pub(super) fn quoted(text: &str) -> String {
    if is_bare(text) { text.to_owned() } else { in_quotes(text) }
}

fn is_bare(text: &str) -> bool {
    !text.is_empty() && !text.contains(is_hazard) && !text.contains([' ', '"', '=', '\\'])
}

pub(super) fn in_quotes(text: &str) -> String {
    let inner = text.chars().fold(String::with_capacity(text.len()), |mut so_far, char| {
        if matches!(char, '"' | '\\') {
            so_far.push('\\');
        }
        push(&mut so_far, char);
        so_far
    });
    format!("\"{inner}\"")
}

/// What was escaped, if every backslash begins an escape.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len());
    while let Some(char) = chars.next() {
        let hex = |digits: String| char::from_u32(u32::from_str_radix(&digits, 16).ok()?);
        out.push(match char {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' => hex(chars.by_ref().take(2).collect())?,
                'u' => hex(chars.by_ref().skip(1).take_while(|&char| char != '}').collect())?,
                char @ ('"' | '\\') => char,
                _ => return None,
            },
            char => char,
        });
    }
    Some(out)
}

/// The value of a field, which is a bare word or stands in quotes.
pub(super) fn unquoted(value: &str) -> Option<String> {
    match value.strip_prefix('"') {
        None => is_bare(value).then(|| value.to_owned()),
        Some(rest) => {
            let inner = rest.strip_suffix('"')?;
            // No quote within but those of escapes.
            let plain = inner.replace(r"\\", "").replace("\\\"", "");
            (!plain.contains('"') && !plain.ends_with('\\')).then(|| unescaped(inner))?
        }
    }
}
