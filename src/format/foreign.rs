//! The lines of records that come through a facade: like those of our own statements, but for where they get head, keys
//! and values from.
#![forbid(unsafe_code)]

use super::choice::Format;
use super::context;
use super::escape::push_escaped;
use super::keys::MOST_FIELDS;
use super::out::Out;
use super::said::Said;
use super::{LineCache, LineHead, push_head, push_line, push_value};
use crate::callsite::{Field, Piece, Statement};
use crate::record::foreign::Foreign;
use crate::record::{Record, Value};

/// The head of a record's line, given the one that its statement has.
pub(crate) fn head_of<'a>(
    statement: Statement<'_>,
    head: &LineHead<'a>,
    record: &Record<'a>,
    shared: bool,
) -> LineHead<'a> {
    if statement.foreign { place(head, &Foreign::new(record, shared)) } else { head.clone() }
}

fn place<'a>(head: &LineHead<'a>, foreign: &Foreign<'a>) -> LineHead<'a> {
    // A head has the same number of words in every line.
    let target = if foreign.target.is_empty() { head.target } else { foreign.target };
    LineHead { target, location: foreign.location, ..head.clone() }
}

#[inline(never)]
pub(super) fn record<'a>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    head: &LineHead<'a>,
    record: &Record<'a>,
    shared: bool,
) {
    let foreign = Foreign::new(record, shared);
    push_head(cache, out, &place(head, &foreign));
    push_value(out, &foreign.message, push_escaped);
    context::push(out, foreign.fields);
    context::push(out, foreign.context);
    out.end_line();
}

/// A line of another format than text: that of a statement with these fields. What is beyond the most that there can be
/// is counted in a field of its own.
#[inline(never)]
pub(super) fn formatted<'a>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    format: Format,
    head: &LineHead<'a>,
    record: &Record<'a>,
    shared: bool,
) {
    const MESSAGE: &[Piece<'static>] = &[Piece::Value(0)];
    let foreign = Foreign::new(record, shared);
    let head = place(head, &foreign);
    let mut values = [Value::None; MOST_FIELDS + 2];
    let mut fields = [const { Field { name: "", value: 0, in_message: false } }; MOST_FIELDS + 1];
    values[0] = foreign.message;
    let mut count = 0;
    let mut add = |name, value| {
        fields[count] = Field { name, value: count as u8 + 1, in_message: false };
        count += 1;
        values[count] = value;
    };
    let mut all = foreign.fields.chain(foreign.context);
    for (name, value) in all.by_ref().take(MOST_FIELDS) {
        add(context::name_of(name), value);
    }
    let left = all.count();
    if left != 0 {
        add("fields_left_out", Value::Unsigned(left as u64));
    }
    let (fields, values) = (&fields[..count], &values[..=count]);
    let statement = Statement { pieces: MESSAGE, fields, values: count + 1, foreign: false };
    push_line(cache, out, format, &head, &Said::Record(statement, values));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{HEADER, Kind, meta};
    use crate::zone::Zone;

    /// Whatever stands in a record, it is one line, which drives no terminal, and stays in its room.
    #[test]
    fn any_bytes_are_one_line() {
        let statement = Statement { pieces: &[], fields: &[], values: 5, foreign: true };
        let head = LineHead {
            ns: 0,
            level: Level::Info,
            target: "log",
            location: None,
            thread: ThreadId { tid: 1, name: [b'x'; 16] },
        };
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let mut longest = 0;
        for _ in 0..20_000 {
            let mut bytes = [0_u8; 256];
            bytes.fill_with(|| random() as u8);
            // Mostly the kinds of ours, and lengths that may lie within the record.
            for (at, kind) in
                [Kind::Str, Kind::Str, Kind::U32, Kind::Display, Kind::Str].into_iter().enumerate()
            {
                if random() % 8 != 0 {
                    let preformatted = kind == Kind::U32;
                    bytes[HEADER + 2 * at..][..2].copy_from_slice(&meta(kind, preformatted, 3).to_le_bytes());
                }
            }
            for cell in [HEADER + 16, HEADER + 24, HEADER + 48, HEADER + 56] {
                let cut = if random() % 4 == 0 { random() << 32 } else { 0 };
                bytes[cell..cell + 8].copy_from_slice(&((random() % 48) | cut).to_le_bytes());
            }
            // Where the fields are, as a rule.
            for at in (120..249).step_by(9) {
                bytes[at..at + 7].copy_from_slice(&[b"nbsdg0?"[random() as usize % 7], 2, 0, 0, 3, 0, 0]);
            }
            let mut memory = [0; 4096];
            let mut out = Out::new(&mut memory);
            let record = Record::new(&bytes[..random() as usize % 257]);
            let formats = [Format::Text, Format::Json, Format::Logfmt, Format::Console];
            let format = formats[random() as usize % 4];
            let shared = random() % 8 == 0;
            crate::format::record(
                &mut LineCache::new(Zone::UTC),
                &mut out,
                format,
                &head,
                statement,
                &record,
                shared,
            );
            let text = core::str::from_utf8(out.bytes()).expect("it is UTF-8");
            let line = text.strip_suffix('\n').expect("it ends");
            // The console's colours are its own.
            let line = ["0", "2", "1;31", "32", "33", "34", "35"]
                .iter()
                .fold(line.to_owned(), |line, colour| line.replace(&format!("\u{1b}[{colour}m"), ""));
            assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line:?}");
            if format == Format::Json {
                serde_json::from_str::<serde_json::Value>(&line).expect("it is an object");
            }
            longest = longest.max(line.len());
        }
        assert!(longest > 200, "{longest}");
    }
}
