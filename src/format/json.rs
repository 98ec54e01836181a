//! Lines as JSON objects. `Format` (`choice.rs`) says what is in them.
#![forbid(unsafe_code)]

use super::escape::push_json;
use super::grammar::Grammar;
use super::keys::{Limits, underscores};
use super::out::Out;
use super::said::push_plain;
use super::{LineCache, LineHead};
use crate::callsite::Field;
use crate::level::Level;
use crate::number;
use crate::record::Value;

/// `{"time":...,"level":...,...,"message":...,` and the fields.
pub(super) struct Json;

impl Grammar for Json {
    const START: &'static [u8] = b"{\"time\":\"";
    const END: &'static [u8] = b"}";

    #[inline]
    fn push_head(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>) {
        out.push(b"\",\"level\":\"");
        out.push_str(head.level.as_str());
        out.push(b"\",\"logger\":");
        limits.push_text(out, head.target.as_bytes());
        if let Some((file, line)) = head.location {
            out.push(b",\"file\":");
            limits.push_text(out, file.as_bytes());
            out.push(b",\"line\":");
            out.push_u64(line.into());
        }
        out.push(b",\"thread\":");
        limits.push_text(out, head.thread.name());
        out.push(b",\"message\":\"");
    }

    #[inline]
    fn push_tail(out: &mut Out<'_>, _: Limits, _: &LineHead<'_>) {
        out.push_byte(b'"');
    }

    fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize) {
        push_key(out, limits, fields, at, &["time", "level", "logger", "file", "line", "thread", "message"]);
    }

    fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>) {
        push_value(out, limits, value);
    }
}

/// <https://www.elastic.co/guide/en/ecs-logging/overview/current/intro.html>: the first keys are those, in this order.
pub(super) struct Ecs;

impl Grammar for Ecs {
    const START: &'static [u8] = b"{\"@timestamp\":\"";
    const END: &'static [u8] = b"}";

    #[inline]
    fn push_head(out: &mut Out<'_>, _: Limits, head: &LineHead<'_>) {
        out.push(b"\",\"log.level\":\"");
        out.push_str(head.level.as_str());
        out.push(b"\",\"message\":\"");
    }

    #[inline]
    fn push_tail(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>) {
        out.push(b"\",\"ecs.version\":\"1.6.0\",\"log.logger\":");
        limits.push_text(out, head.target.as_bytes());
        if let Some((file, line)) = head.location {
            out.push(b",\"log.origin.file.name\":");
            limits.push_text(out, file.as_bytes());
            out.push(b",\"log.origin.file.line\":");
            out.push_u64(line.into());
        }
        out.push(b",\"process.thread.name\":");
        limits.push_text(out, head.thread.name());
        if head.thread.tid != 0 {
            out.push(b",\"process.thread.id\":");
            out.push_u64(head.thread.tid.into());
        }
    }

    fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize) {
        const OWN: &[&str] = &[
            "@timestamp",
            "log.level",
            "message",
            "ecs.version",
            "log.logger",
            "log.origin.file.name",
            "log.origin.file.line",
            "process.thread.name",
            "process.thread.id",
        ];
        push_key(out, limits, fields, at, OWN);
    }

    fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>) {
        push_value(out, limits, value);
    }
}

/// <https://opentelemetry.io/docs/specs/otel/logs/data-model/>, and the attributes of the semantic conventions for
/// threads and source code.
pub(super) struct Otel;

impl Grammar for Otel {
    const START: &'static [u8] = b"{\"Timestamp\":\"";
    const END: &'static [u8] = b"}}";

    fn push_time(_: &mut LineCache, out: &mut Out<'_>, ns: i64) {
        push_signed(out, ns);
    }

    #[inline]
    fn push_head(out: &mut Out<'_>, _: Limits, head: &LineHead<'_>) {
        let severity = match head.level {
            Level::Trace => 1,
            Level::Debug => 5,
            Level::Info => 9,
            Level::Warn => 13,
            Level::Error => 17,
        };
        out.push(b"\",\"SeverityText\":\"");
        out.push_str(head.level.as_str());
        out.push(b"\",\"SeverityNumber\":");
        out.push_u64(severity);
        out.push(b",\"Body\":\"");
    }

    #[inline]
    fn push_tail(out: &mut Out<'_>, limits: Limits, head: &LineHead<'_>) {
        out.push(b"\",\"InstrumentationScope\":{\"Name\":");
        limits.push_text(out, head.target.as_bytes());
        out.push(b"},\"Attributes\":{\"thread.name\":");
        limits.push_text(out, head.thread.name());
        if head.thread.tid != 0 {
            out.push(b",\"thread.id\":");
            out.push_u64(head.thread.tid.into());
        }
        if let Some((file, line)) = head.location {
            out.push(b",\"code.file.path\":");
            limits.push_text(out, file.as_bytes());
            out.push(b",\"code.line.number\":");
            out.push_u64(line.into());
        }
    }

    fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize) {
        push_key(
            out,
            limits,
            fields,
            at,
            &["thread.name", "thread.id", "code.file.path", "code.line.number"],
        );
    }

    fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>) {
        push_value(out, limits, value);
    }
}

fn push_key(out: &mut Out<'_>, limits: Limits, fields: &[Field<'_>], at: usize, own: &[&str]) {
    out.push(b",\"");
    limits.push_key(out, fields[at].name, push_json);
    for _ in 0..underscores(fields, at, own) {
        out.push_byte(b'_');
    }
    out.push(b"\":");
}

fn push_value(out: &mut Out<'_>, limits: Limits, value: &Value<'_>) {
    match *value {
        Value::Number(text) if is_number(text) => out.push(text),
        Value::PlainFloat(text) | Value::Float(text) if is_number(text) => push_float(out, text),
        Value::F64(value) if value.is_finite() => push_short_float(out, number::f64_text(value)),
        Value::F32(value) if value.is_finite() => push_short_float(out, number::f32_text(value)),
        Value::Unsigned(value) => out.push_u64(value),
        Value::Signed(value) => push_signed(out, value),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::None => out.push(b"null"),
        ref value => limits.push_string(out, |out| push_plain(out, value, push_json)),
    }
}

fn push_signed(out: &mut Out<'_>, value: i64) {
    if value < 0 {
        out.push_byte(b'-');
    }
    out.push_u64(value.unsigned_abs());
}

fn push_short_float(out: &mut Out<'_>, text: number::Short) {
    push_float(out, text.bytes().get(..text.len.into()).unwrap_or_default());
}

/// The shortest digits, with an exponent where they have one: as JSON takes them.
fn push_float(out: &mut Out<'_>, text: &[u8]) {
    out.push(text);
    if !text.iter().any(|byte| matches!(byte, b'.' | b'e')) {
        out.push(b".0");
    }
}

/// Whether a text is a JSON number: <https://www.rfc-editor.org/rfc/rfc8259#section-6>. Of a damaged record, it may be
/// anything.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for text in
            ["0", "-0", "10", "1.5", "-0.25", "1e21", "1e+21", "1.5e-7", "0.0", "18446744073709551615"]
        {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in
            ["", "-", "01", "-01", "1.", ".5", "1e", "1e+", "1.5.2", "+1", "NaN", "inf", "1 ", "1\"", "0x1"]
        {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
