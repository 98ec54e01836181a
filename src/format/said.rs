//! What a line says: a record's message and fields, or words of the logger's own; each format writes it by its own
//! escapes.
#![forbid(unsafe_code)]

use super::out::Out;
use super::push_value;
use crate::callsite::{Field, Piece, Statement};
use crate::record::Value;
use crate::zone::Zone;

/// How a format writes text.
pub(super) type Escape = fn(&mut Out<'_>, &[u8]);

pub(super) enum Said<'a> {
    Record(Statement<'a>, &'a [Value<'a>]),
    /// Moments in them are of the zone.
    Own(Zone, &'a dyn Fn(&mut Words<'_, '_>)),
}

impl<'a> Said<'a> {
    #[inline(always)]
    pub(super) fn push_message(&self, out: &mut Out<'_>, escape: Escape) {
        match self {
            Said::Own(zone, say) => say(&mut Words { out, escape, zone: *zone }),
            Said::Record(statement, values) => {
                for piece in statement.pieces {
                    match *piece {
                        Piece::Literal(text) => escape(out, text.as_bytes()),
                        Piece::Value(at) => push_plain(out, value(values, at), escape),
                    }
                }
            }
        }
    }

    pub(super) fn fields(&self) -> &'a [Field<'a>] {
        match self {
            Said::Record(statement, _) => statement.fields,
            Said::Own(..) => &[],
        }
    }

    pub(super) fn value(&self, field: &Field<'_>) -> &Value<'a> {
        match self {
            Said::Record(_, values) => value(values, field.value),
            Said::Own(..) => &Value::Damaged,
        }
    }
}

fn value<'v, 'r>(values: &'v [Value<'r>], at: u8) -> &'v Value<'r> {
    values.get(usize::from(at)).unwrap_or(&Value::Damaged)
}

/// A value as it stands in a message. What a damaged record has in a number's place is escaped, too.
#[inline(always)]
pub(super) fn push_plain(out: &mut Out<'_>, value: &Value<'_>, escape: Escape) {
    match *value {
        Value::Number(text) | Value::Wide(text) | Value::PlainFloat(text) | Value::Float(text)
            if text.is_empty()
                || !text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) =>
        {
            escape(out, text);
        }
        ref value => push_value(out, value, escape),
    }
}

/// The logger's own words on their way into a line.
pub(crate) struct Words<'o, 'b> {
    pub(super) out: &'o mut Out<'b>,
    pub(super) escape: Escape,
    zone: Zone,
}

impl Words<'_, '_> {
    pub(crate) fn push_bytes(&mut self, text: &[u8]) {
        (self.escape)(self.out, text);
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    pub(crate) fn push_u64(&mut self, number: u64) {
        self.out.push_u64(number);
    }

    /// A moment as it stands in a text line.
    pub(crate) fn push_time(&mut self, ns: i64) {
        super::push_time(self.out, self.zone, ns);
    }
}

#[cfg(test)]
mod tests {
    use crate::format::{Format, LineCache, LineHead, Out, notice, writer_thread};
    use crate::level::Level;
    use crate::zone::Zone;

    #[test]
    fn moments_in_words_are_of_the_lines_zone() {
        let head = LineHead {
            ns: 0,
            level: Level::Warn,
            target: "kakashi",
            location: None,
            thread: writer_thread(),
        };
        for (zone, expected) in [
            (Zone::UTC, " from 1970-01-01T00:00:00.000000000Z\n"),
            (Zone::noted(&[345]), " from 1970-01-01T05:45:00.000000000+05:45\n"),
        ] {
            let mut room = [0; 256];
            let mut out = Out::new(&mut room);
            notice(&mut LineCache::new(zone), &mut out, Format::Text, &head, &|words| {
                words.push_str("from ");
                words.push_time(0);
            });
            assert!(out.bytes().ends_with(expected.as_bytes()), "{}", String::from_utf8_lossy(out.bytes()));
        }
    }
}
