//! A facade's record on its way into a ring: a log call like any other, but that target, place and keys are values, too.
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};

use crate::arg::{Arena, Args, Bounded, Text, Value as _};
use crate::callsite;
use crate::channel::DEFAULT;
use crate::hot;
use crate::level::Level;
use crate::record::Kind;
use crate::record::foreign::{ENTRY, FieldKind, LONGEST, entry};

/// What a facade is given to log.
pub(crate) trait Event {
    fn target(&self) -> &str;
    /// The file, empty if it is not known, and the line.
    fn place(&self) -> (&str, u32);
    /// The message, where it needs no formatting.
    fn literal(&self) -> Option<&str> {
        None
    }
    fn message(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    fn fields(&self, out: &mut Fields<'_, '_>);
}

/// Logs an event through the default channel. Its target has been found to be wanted.
pub(crate) fn log(level: Level, event: &impl Event) {
    let callsite = callsite::foreign(level);
    if callsite.switch() != 0 {
        hot::log(&DEFAULT, callsite, Values(event));
    }
}

struct Values<'e, E>(&'e E);

impl<E: Event> Args for Values<'_, E> {
    const FORMATS: bool = true;
    type Ready<'a>
        = (Text<'a>, (Text<'a>, (u32, (Text<'a>, (Text<'a>, ())))))
    where
        Self: 'a;

    fn ready<'a>(&'a self, arena: &'a Arena<'_>) -> Self::Ready<'a> {
        let Values(event) = self;
        let message = match event.literal() {
            Some(text) => text.value(),
            None => arena.text(Kind::Display, |out| event.message(out)),
        };
        let fields = arena.text(Kind::Str, |out| {
            event.fields(&mut Fields { out });
            Ok(())
        });
        let (file, line) = event.place();
        (event.target().value(), (file.value(), (line, (message, (fields, ())))))
    }
}

/// Takes an event's fields, one by one.
pub(crate) struct Fields<'f, 'm> {
    out: &'f mut Bounded<'m>,
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
