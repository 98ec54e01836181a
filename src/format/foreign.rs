//! The lines of records that come through a facade: like those of our own statements, but for where they get head, keys
//! and values from.
#![forbid(unsafe_code)]

use super::escape::{push_escaped, push_name, push_quoted};
use super::out::Out;
use super::{LineCache, LineHead, push_head, push_value};
use crate::callsite::Statement;
use crate::record::Record;
use crate::record::foreign::Foreign;

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
