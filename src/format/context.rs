//! The lines of records that have a context: its fields stand behind their own.
#![forbid(unsafe_code)]

use super::choice::Format;
use super::escape::{push_name, push_quoted};
use super::keys::MOST_FIELDS;
use super::out::Out;
use super::said::Said;
use super::{LineCache, LineHead, push_line, push_value};
use crate::callsite::{Field, Statement};
use crate::record::{MAX_VALUES, Record, Value};

/// Fields at the end of a text line.
#[inline(never)]
pub(super) fn push<'a>(out: &mut Out<'_>, fields: impl Iterator<Item = (&'a [u8], Value<'a>)>) {
    for (name, value) in fields {
        out.push_byte(b' ');
        push_name(out, name, b" =\"");
        out.push_byte(b'=');
        push_value(out, &value, push_quoted);
    }
}

/// As much of a name as is text: that of a damaged record may be cut within a character.
pub(super) fn name_of(name: &[u8]) -> &str {
    name.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// A line of another format than text: that of a statement with more fields. What is beyond the most that there can be
/// is counted in a field of its own.
#[inline(never)]
pub(super) fn formatted<'a>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    format: Format,
    head: &LineHead<'_>,
    statement: Statement<'a>,
    record: &Record<'a>,
    shared: bool,
) {
    let mut values = [Value::None; MAX_VALUES + MOST_FIELDS];
    let mut fields = [const { Field { name: "", value: 0, in_message: false } }; MOST_FIELDS];
    let mut used = record.values(shared, statement.values, &mut values[..MAX_VALUES]);
    let mut named = statement.fields.len().min(MOST_FIELDS - 1);
    for (to, field) in fields.iter_mut().zip(&statement.fields[..named]) {
        *to = Field { name: field.name, value: field.value, in_message: field.in_message };
    }
    let room = MOST_FIELDS - 1 - named;
    let mut add = |name, value| {
        fields[named] = Field { name, value: used as u8, in_message: false };
        values[used] = value;
        (named, used) = (named + 1, used + 1);
    };
    let mut context = record.context(shared, statement.values);
    for (name, value) in context.by_ref().take(room) {
        add(name_of(name), value);
    }
    let left = context.count();
    if left != 0 {
        add("fields_left_out", Value::Unsigned(left as u64));
    }
    let (fields, values) = (&fields[..named], &values[..used]);
    let statement = Statement { fields, values: used, ..statement };
    push_line(cache, out, format, head, &Said::Record(statement, values));
}
