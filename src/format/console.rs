//! Short, coloured lines for terminals.
#![forbid(unsafe_code)]

use super::escape::{push_escaped, push_name, push_quoted};
use super::out::Out;
use super::said::Said;
use super::{LineCache, LineHead, push_field_name, push_value};
use crate::level::Level;

/// `time LEVEL logger message key=value ...`, what is not the message dimmed.
pub(super) fn push(cache: &mut LineCache, out: &mut Out<'_>, head: &LineHead<'_>, said: &Said<'_>) {
    out.push(b"\x1b[2m");
    cache.time.push_clock(out, head.ns);
    out.push(match head.level {
        Level::Error => b"\x1b[0m \x1b[1;31mERROR\x1b[0m \x1b[2m".as_slice(),
        Level::Warn => b"\x1b[0m \x1b[33mWARN\x1b[0m  \x1b[2m",
        Level::Info => b"\x1b[0m \x1b[32mINFO\x1b[0m  \x1b[2m",
        Level::Debug => b"\x1b[0m \x1b[34mDEBUG\x1b[0m \x1b[2m",
        Level::Trace => b"\x1b[0m \x1b[35mTRACE\x1b[0m \x1b[2m",
    });
    push_name(out, head.target.as_bytes(), b" ");
    out.push(b"\x1b[0m ");
    said.push_message(out, push_escaped);
    for field in said.fields().iter().filter(|field| !field.in_message) {
        out.push(b" \x1b[2m");
        push_field_name(out, field.name);
        out.push(b"=\x1b[0m");
        push_value(out, said.value(field), push_quoted);
    }
    out.end_line();
}
