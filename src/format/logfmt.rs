//! Lines of `key=value`: <https://brandur.org/logfmt>, with the quoting of <https://github.com/go-logfmt/logfmt>.
#![forbid(unsafe_code)]

use super::escape::{push_json, push_word};
use super::grammar::Grammar;
use super::keys::{Limits, underscores};
use super::out::Out;
use super::said::push_plain;
use super::{LineHead, push_field_name};
use crate::callsite::Field;
use crate::level::Level;
use crate::record::Value;

pub(super) struct Logfmt;

impl Grammar for Logfmt {
    const START: &'static [u8] = b"time=";
    const END: &'static [u8] = b"";

    #[inline]
    fn push_head(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>) {
        out.push(match head.level {
            Level::Error => b" level=error logger=".as_slice(),
            Level::Warn => b" level=warn logger=",
            Level::Info => b" level=info logger=",
            Level::Debug => b" level=debug logger=",
            Level::Trace => b" level=trace logger=",
        });
        push_text(out, limits, head.target.as_bytes());
        if let Some((file, line)) = head.location {
            out.push(b" file=");
            push_text(out, limits, file.as_bytes());
            out.push(b" line=");
            out.push_u64(line.into());
        }
        out.push(b" thread=");
        push_text(out, limits, head.thread.name());
        out.push(b" msg=\"");
    }

    #[inline]
    fn push_tail(out: &mut Out<'_>, _: Limits, _: &LineHead<'_>) {
        out.push_byte(b'"');
    }

    fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize) {
        let name = fields[at].name;
        out.push_byte(b' ');
        if limits.are_none() {
            push_field_name(out, name);
        } else {
            limits.push_key(out, name, |out, name| super::push_name(out, name, b" =\""));
        }
        for _ in 0..underscores(fields, at, &["time", "level", "logger", "file", "line", "thread", "msg"]) {
            out.push_byte(b'_');
        }
        out.push_byte(b'=');
    }

    fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>) {
        match *value {
            Value::None => out.push(b"null"),
            Value::Text { bytes, cut: 0, .. } => push_text(out, limits, bytes),
            Value::Text { .. } => limits.push_string(out, |out| push_plain(out, value, push_json)),
            // Of a char, and of what a damaged record has in a number's place.
            ref value => push_plain(out, value, push_word),
        }
    }
}

/// A text as one word, or in quotes.
fn push_text(out: &mut Out<'_>, limits: Limits, text: &[u8]) {
    if limits.are_none() { push_word(out, text) } else { limits.push_text(out, text) }
}
