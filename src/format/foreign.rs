//! The lines of records that come through a facade: like those of our own statements, but for where they get head, keys
//! and values from.
#![forbid(unsafe_code)]

use super::choice::Format;
use super::escape::{push_escaped, push_name, push_quoted};
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
    for (name, value) in foreign.fields {
        out.push_byte(b' ');
        push_name(out, name, b" =\"");
        out.push_byte(b'=');
        push_value(out, &value, push_quoted);
    }
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
    let mut foreign = Foreign::new(record, shared);
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
    for (name, value) in foreign.fields.by_ref().take(MOST_FIELDS) {
        // A name of a damaged record may be cut within a character.
        add(name.utf8_chunks().next().map_or("", |chunk| chunk.valid()), value);
    }
    let left = foreign.fields.count();
    if left != 0 {
        add("fields_left_out", Value::Unsigned(left as u64));
    }
    let (fields, values) = (&fields[..count], &values[..=count]);
    let statement = Statement { pieces: MESSAGE, fields, values: count + 1, foreign: false };
    push_line(cache, out, format, &head, &Said::Record(statement, values));
}
