//! Lines of `key=value`: <https://brandur.org/logfmt>, with the quoting of <https://github.com/go-logfmt/logfmt>.
#![forbid(unsafe_code)]

use super::escape::{push_json, push_word};
use super::keys::{Limits, fitted, underscores};
use super::out::Out;
use super::said::{Said, push_plain};
use super::{LineCache, LineHead, push_field_name};
use crate::level::Level;
use crate::record::Value;

const KEYS: &[&str] = &["time", "level", "logger", "file", "line", "thread", "msg"];

pub(super) fn push(cache: &mut LineCache, out: &mut Out<'_>, head: &LineHead<'_>, said: &Said<'_>) {
    fitted(out, said, |out, limits| {
        out.push(b"time=");
        cache.time.push(out, head.ns);
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
        out.push(b" msg=");
        limits.push_message(out, said);
        let fields = said.fields();
        for (at, field) in fields.iter().enumerate() {
            out.push_byte(b' ');
            if limits.are_none() {
                push_field_name(out, field.name);
            } else {
                limits.push_key(out, field.name, |out, name| super::push_name(out, name, b" =\""));
            }
            for _ in 0..underscores(fields, at, KEYS) {
                out.push_byte(b'_');
            }
            out.push_byte(b'=');
            push_value(out, limits, said.value(field));
        }
    });
}

/// A text as one word, or in quotes.
fn push_text(out: &mut Out<'_>, limits: Limits, text: &[u8]) {
    if limits.are_none() { push_word(out, text) } else { limits.push_text(out, text) }
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
