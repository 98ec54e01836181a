//! Fields whose names are known at run time only, as they are put into a record: entry by entry, in one text
//! (`record/foreign.rs` says how).
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};

use crate::arg::Bounded;
use crate::record::foreign::{ENTRY, FieldKind, LONGEST, entry};

/// Takes fields, one by one.
pub(crate) struct Fields<'f, 'm> {
    out: &'f mut Bounded<'m>,
}

impl<'f, 'm> Fields<'f, 'm> {
    pub(crate) fn new(out: &'f mut Bounded<'m>) -> Self {
        Fields { out }
    }
}

/// What takes fields.
pub(crate) trait Add {
    /// Adds a field whose value is what `value` writes.
    fn add(&mut self, name: &str, kind: FieldKind, value: fmt::Arguments<'_>);

    fn number(&mut self, name: &str, value: impl fmt::Display) {
        self.add(name, FieldKind::Number, format_args!("{value}"));
    }

    /// A float, which is no number in a line if it is none in arithmetic.
    fn float(&mut self, name: &str, value: f64) {
        let kind = if value.is_finite() { FieldKind::Number } else { FieldKind::Text };
        self.add(name, kind, format_args!("{value}"));
    }

    fn bool(&mut self, name: &str, value: bool) {
        self.add(name, FieldKind::Bool, format_args!("{value}"));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.add(name, FieldKind::Text, format_args!("{value}"));
    }
}

impl Add for Fields<'_, '_> {
    fn add(&mut self, name: &str, kind: FieldKind, value: fmt::Arguments<'_>) {
        let start = self.out.len;
        // Room for the lengths, which are known in the end. Once something was cut, so is the rest.
        if self.out.cut > 0 || self.out.memory.len() - start < ENTRY {
            self.out.cut += name.len() + 1;
            let _ = self.out.write_fmt(value);
            return;
        }
        self.out.len += ENTRY;
        let name_at = self.out.len;
        let _ = self.out.write_str(&name[..name.floor_char_boundary(LONGEST)]);
        let value_at = self.out.len;
        if self.out.write_fmt(value).is_err() {
            let _ = self.out.write_str("<fmt::Error>");
        }
        let (name, value) = (value_at - name_at, self.out.len - value_at);
        self.out.memory[start..name_at].copy_from_slice(&entry(kind, name, value));
    }
}

#[cfg(feature = "tracing")]
impl Fields<'_, '_> {
    /// Adds entries that are ready, all of them or none.
    pub(crate) fn entries(&mut self, entries: &str) {
        if self.out.cut > 0 || self.out.memory.len() - self.out.len < entries.len() {
            self.out.cut += entries.len();
        } else {
            let _ = self.out.write_str(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::foreign::Fields as Decoded;
    use crate::record::{Kind, Value};

    #[test]
    fn fields_keep_their_kinds_in_any_room() {
        let put = |out: &mut Fields<'_, '_>| {
            out.number("n", -7);
            out.float("f", 1e21);
            out.float("nan", f64::NAN);
            out.bool("yes", true);
            out.text("text", "7");
            out.add("display", FieldKind::Display, format_args!("{:>3}", 7));
            out.add("debug", FieldKind::Debug, format_args!("{:?}", "7"));
            out.add("nothing", FieldKind::Nothing, format_args!(""));
        };
        let text = |kind, bytes: &'static [u8]| Value::Text { kind, bytes, cut: 0 };
        let all = [
            (&b"n"[..], Value::Number(b"-7")),
            (b"f", Value::Number(b"1000000000000000000000")),
            (b"nan", text(Kind::Str, b"NaN")),
            (b"yes", Value::Bool(true)),
            (b"text", text(Kind::Str, b"7")),
            (b"display", text(Kind::Display, b"  7")),
            (b"debug", text(Kind::Debug, b"\"7\"")),
            (b"nothing", Value::None),
        ];
        for room in 0..300 {
            let mut memory = vec![0; room];
            let mut out = Bounded { memory: &mut memory, len: 0, cut: 0 };
            put(&mut Fields { out: &mut out });
            let (len, cut) = (out.len, out.cut);
            let found: Vec<_> = Decoded::new(&memory[..len], cut as u32).collect();
            let whole = found.iter().zip(&all).take_while(|(found, all)| found == all).count();
            if cut == 0 {
                assert_eq!((whole, found.len()), (all.len(), all.len()), "{room}");
            } else {
                assert!(found.len() <= whole + 1, "{room}: {found:?}");
                assert!(matches!(found.last(), Some((_, Value::Text { cut: 1.., .. }))), "{room}: {found:?}");
            }
        }
    }
}
