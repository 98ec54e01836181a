//! Records that say themselves where they come from: those of a facade, whose targets, files and keys are known at the
//! call only.
//!
//! Their values are always the same five: target, file, line, message, and the fields as one text, entry by entry:
//!
//! ```text
//! kind (1)   n a number, b a boolean, s a text, d a value by its Display, g by its Debug, 0 nothing
//! lengths    of the name (3 bytes) and of the value (3): six bits each, the low ones first
//! name, value
//! ```
//!
//! So all of it is UTF-8 (the lengths' bytes are below 64), and any bytes decode to something without harm.
//!
//! Decision: one text rather than a value for each key and each value: a statement has a fixed number of values, so that
//! there would have to be one for each number of keys, and 16 bytes in the record for each key that is not there.
#![forbid(unsafe_code)]

use super::{Kind, Record, Value, is_of_number};

/// Bytes before an entry's name.
pub(crate) const ENTRY: usize = 7;
/// The longest name, and the longest value.
pub(crate) const LONGEST: usize = (1 << 18) - 1;

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FieldKind {
    /// Decimal digits, with a sign and a point.
    Number = b'n',
    Bool = b'b',
    Text = b's',
    Display = b'd',
    Debug = b'g',
    Nothing = b'0',
}

/// What stands before an entry's name; the lengths are at most `LONGEST`.
pub(crate) fn entry(kind: FieldKind, name: usize, value: usize) -> [u8; ENTRY] {
    let part = |length: usize, at: usize| (length >> (6 * at)) as u8 & 63;
    [kind as u8, part(name, 0), part(name, 1), part(name, 2), part(value, 0), part(value, 1), part(value, 2)]
}

/// The lengths of the name and of the value of the entry that some bytes begin with.
pub(crate) fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let &[_, ref parts @ ..] = bytes.first_chunk::<ENTRY>()?;
    let length = |at: usize| {
        parts[at..at + 3].iter().rev().fold(0, |length, &part| length << 6 | usize::from(part & 63))
    };
    Some((length(0), length(3)))
}

/// A facade's record.
pub(crate) struct Foreign<'a> {
    /// The target; empty of a damaged record.
    pub(crate) target: &'a str,
    /// File and line, if they are known.
    pub(crate) location: Option<(&'a str, u32)>,
    pub(crate) message: Value<'a>,
    pub(crate) fields: Fields<'a>,
    /// The thread's context.
    pub(crate) context: Shown<'a>,
}

impl<'a> Foreign<'a> {
    #[inline]
    pub(crate) fn new(record: &Record<'a>, shared: bool) -> Self {
        let mut values = [Value::None; 5];
        record.values(shared, 5, &mut values);
        let [target, file, line, message, fields] = values;
        let line = match line {
            Value::Unsigned(line) => line as u32,
            Value::Number(digits) => {
                digits.iter().fold(0_u32, |line, digit| line.wrapping_mul(10) + u32::from(digit & 15))
            }
            _ => 0,
        };
        let (fields, cut) = match fields {
            Value::Text { bytes, cut, .. } => (bytes, cut),
            _ => (&[][..], 0),
        };
        Foreign {
            target: text(target),
            location: Some((text(file), line)).filter(|(file, _)| !file.is_empty()),
            message,
            fields: Fields::new(fields, cut),
            context: record.context(shared, 5),
        }
    }
}

/// As much of a text as is one.
fn text(value: Value<'_>) -> &str {
    let Value::Text { bytes, .. } = value else { return "" };
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The fields of a context: of one name, the innermost one.
pub(crate) struct Shown<'a>(pub(crate) Fields<'a>);

impl<'a> Iterator for Shown<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (name, value) = self.0.next()?;
            if !self.0.clone().any(|(inner, _)| inner == name) {
                return Some((name, value));
            }
        }
    }
}

/// The fields of a facade's record, one by one: name and value.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// Bytes that did not fit: behind the last one.
    cut: u32,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(entries: &'a [u8], cut: u32) -> Self {
        Fields { rest: entries, cut }
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Some((name, value)) = lengths(self.rest) else {
            self.rest = &[];
            let cut = core::mem::take(&mut self.cut);
            return (cut != 0).then_some((b"fields", Value::Text { kind: Kind::Str, bytes: b"", cut }));
        };
        let head = self.take(ENTRY);
        let (name, bytes) = (self.take(name), self.take(value));
        let text = |kind, cut| Value::Text { kind, bytes, cut };
        if self.rest.len() < ENTRY && self.cut != 0 {
            // What is left of a number is another one.
            return Some((name, text(Kind::Str, core::mem::take(&mut self.cut))));
        }
        let value = match head[0] {
            b'n' if !bytes.is_empty() && bytes.iter().all(|&byte| is_of_number(byte)) => Value::Number(bytes),
            b'b' => Value::Bool(bytes == b"true"),
            b's' => text(Kind::Str, 0),
            b'd' => text(Kind::Display, 0),
            b'g' => text(Kind::Debug, 0),
            b'0' => Value::None,
            _ => Value::Damaged,
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_and_a_cut_is_told() {
        let mut bytes = Vec::new();
        let long = "x".repeat(5000);
        for (kind, name, value) in [
            (FieldKind::Number, "n", "-1.5"),
            (FieldKind::Bool, "b", "true"),
            (FieldKind::Text, long.as_str(), ""),
            (FieldKind::Nothing, "", ""),
            (FieldKind::Number, "odd", "1 \n"),
            (FieldKind::Display, "d", long.as_str()),
        ] {
            bytes.extend(entry(kind, name.len(), value.len()));
            bytes.extend([name, value].concat().bytes());
        }
        assert!(bytes.is_ascii());
        let text = |kind, text: &'static [u8]| Value::Text { kind, bytes: text, cut: 0 };
        let found: Vec<_> = Fields::new(&bytes, 0).collect();
        assert_eq!(found[0], (&b"n"[..], Value::Number(b"-1.5")));
        assert_eq!(found[1], (&b"b"[..], Value::Bool(true)));
        assert_eq!(found[2], (long.as_bytes(), text(Kind::Str, b"")));
        assert_eq!(found[3], (&b""[..], Value::None));
        assert_eq!(found[4].1, Value::Damaged);
        assert_eq!(found[5].1, Value::Text { kind: Kind::Display, bytes: long.as_bytes(), cut: 0 });
        assert_eq!(found.len(), 6);
        // Any part of it, with something cut, says so once, at its end.
        for len in 0..bytes.len() {
            let found: Vec<_> = Fields::new(&bytes[..len], 9).map(|(_, value)| value).collect();
            let (last, before) = found.split_last().expect("the cut is told");
            assert!(matches!(last, Value::Text { cut: 9, .. }), "{len}: {last:?}");
            assert!(before.iter().all(|value| !matches!(value, Value::Text { cut: 9, .. })));
        }
    }

    #[test]
    fn any_bytes_decode_to_something() {
        let mut state = 1_u64;
        let mut bytes = [0_u8; 200];
        for _ in 0..20_000 {
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 33) as u8 & if state >> 60 == 0 { 0xFF } else { 0x13 };
            }
            let len = (state >> 40) as usize % 201;
            let found = Fields::new(&bytes[..len], 0).fold(0, |sum, (name, _)| sum + name.len() + ENTRY);
            assert!(found <= len);
            let foreign = Foreign::new(&Record::new(&bytes[..len]), state >> 39 & 1 != 0);
            let _ = (foreign.target, foreign.location, foreign.message, foreign.fields.count());
        }
    }
}
