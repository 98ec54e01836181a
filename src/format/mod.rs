//! From records to lines.
//!
//! A text line is `time LEVEL target file:line [thread] message key=value ...`, one line whatever the
//! values hold: what could end a line or drive a terminal is escaped (`escape.rs`). So it can be taken apart, whatever
//! logger, file and thread are called: the target ends at a space, the file at ` [`, the thread at `] `. What of a
//! message's text looks like a field cannot be told from one, unless the statement's fields are known: these are read
//! from the line's end.
//!
//! Its time is that of the sink's zone, and so in the other formats (`choice.rs`). These are `json`, `logfmt`, `console` and
//! the user's `pattern`, which write what is `said` piece by piece; but for `console`, there are plans (`plan.rs`), too.

mod choice;
mod console;
mod context;
mod digits;
mod escape;
mod float;
mod foreign;
mod glance;
mod grammar;
mod json;
mod keys;
mod line;
mod logfmt;
mod odd;
mod out;
mod pattern;
mod plan;
mod row;
mod said;
mod timestamp;
mod what;

use crate::callsite::{Piece, Statement};
use crate::lane::ThreadId;
use crate::level::Level;
use crate::number;
use crate::record::{MAX_VALUES, Record, Value};
use crate::zone::Zone;
pub use choice::Format;
pub(crate) use choice::Look;
pub(crate) use escape::JSON_EXPANSION;
use escape::{push_escaped, push_name, push_quoted};
pub(crate) use foreign::head_of;
pub(crate) use glance::{Glance, glance};
use json::{Ecs, Json, Otel};
use logfmt::Logfmt;
pub(crate) use out::Out;
pub use pattern::{Pattern, PatternError};
pub(crate) use plan::Plans;
pub(crate) use row::{Gone, Row};
use said::Said;
pub(crate) use said::Words;
use timestamp::Timestamp;

/// What stands before the message.
#[derive(Clone)]
pub(crate) struct LineHead<'a> {
    /// Nanoseconds since 1970.
    pub(crate) ns: i64,
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) location: Option<(&'a str, u32)>,
    pub(crate) thread: ThreadId,
}

/// What is kept from line to line.
pub(crate) struct LineCache {
    time: Timestamp,
}

impl LineCache {
    /// For lines whose times are of `zone`.
    pub(crate) fn new(zone: Zone) -> Self {
        LineCache { time: Timestamp::new(zone) }
    }

    /// The same for lines of `zone`.
    pub(crate) fn in_zone(&mut self, zone: Zone) -> &mut Self {
        if self.time.zone() != zone {
            *self = LineCache::new(zone);
        }
        self
    }
}

/// One record as a line, its end included.
pub(crate) fn record(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    format: Format,
    head: &LineHead<'_>,
    statement: Statement<'_>,
    record: &Record<'_>,
    shared: bool,
) {
    if let Format::Text = format {
        return text(cache, out, head, statement, record, shared);
    }
    if statement.foreign {
        return foreign::formatted(cache, out, format, head, record, shared);
    }
    if record.has_context {
        return context::formatted(cache, out, format, head, statement, record, shared);
    }
    // As for text.
    if statement.values <= 4 {
        push_values(cache, out, format, head, statement, record, shared, &mut [Value::None; 4]);
    } else {
        push_values(cache, out, format, head, statement, record, shared, &mut [Value::None; MAX_VALUES]);
    }
}

#[allow(clippy::too_many_arguments)] // one caller, and the room for its values
#[inline(always)]
fn push_values<'r>(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    format: Format,
    head: &LineHead<'_>,
    statement: Statement<'_>,
    record: &Record<'r>,
    shared: bool,
    values: &mut [Value<'r>],
) {
    let count = record.values(shared, statement.values, values);
    push_line(cache, out, format, head, &Said::Record(statement, &values[..count]));
}

/// One record as a text line.
#[inline]
fn text(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    head: &LineHead<'_>,
    statement: Statement<'_>,
    record: &Record<'_>,
    shared: bool,
) {
    if statement.foreign {
        return foreign::record(cache, out, head, record, shared);
    }
    push_head(cache, out, head);
    // Room for the usual few values is cheaper to clear than room for the most.
    if statement.values <= 4 {
        push_message(out, statement, record, shared, &mut [Value::None; 4]);
    } else {
        push_message(out, statement, record, shared, &mut [Value::None; MAX_VALUES]);
    }
    if record.has_context {
        context::push(out, record.context(shared, statement.values));
    }
    out.end_line();
}

/// A line of the logger's own.
pub(crate) fn notice(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    format: Format,
    head: &LineHead<'_>,
    message: &dyn Fn(&mut Words<'_, '_>),
) {
    push_line(cache, out, format, head, &Said::Own(cache.time.zone(), message));
}

fn push_line(cache: &mut LineCache, out: &mut Out<'_>, format: Format, head: &LineHead<'_>, said: &Said<'_>) {
    match format {
        Format::Text => {
            push_head(cache, out, head);
            said.push_message(out, push_escaped);
            out.end_line();
        }
        Format::Json => grammar::push::<Json>(cache, out, head, said),
        Format::JsonOtel => grammar::push::<Otel>(cache, out, head, said),
        Format::JsonEcs => grammar::push::<Ecs>(cache, out, head, said),
        Format::Logfmt => grammar::push::<Logfmt>(cache, out, head, said),
        Format::Console => console::push(cache, out, head, said),
        Format::Pattern(pattern) => pattern::push(cache, out, pattern, head, said),
    }
}

/// The line that tells a sink what it missed while it was suspended.
pub(crate) fn missed_line(cache: &mut LineCache, out: &mut Out<'_>, format: Format, ns: i64, missed: u64) {
    let head =
        LineHead { ns, level: Level::Warn, target: "kakashi", location: None, thread: writer_thread() };
    notice(cache, out, format, &head, &|words| {
        words.push_str("this sink missed ");
        words.push_u64(missed);
        words.push_str(if missed == 1 { " record" } else { " records" });
        words.push_str(" while it failed");
    });
}

/// The thread of the logger's own lines.
pub(crate) fn writer_thread() -> ThreadId {
    ThreadId { tid: 0, name: *b"kakashi-writer\0\0" }
}

/// A moment as text, as it stands in a line.
pub(crate) fn time(zone: Zone, ns: i64) -> String {
    let mut text = [0; timestamp::TIMESTAMP_BYTES];
    let mut out = Out::new(&mut text);
    push_time(&mut out, zone, ns);
    let len = out.len();
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[cfg(feature = "fuzzing")]
pub(crate) use timestamp::parse as parse_time;

/// A moment as it stands in a line.
fn push_time(out: &mut Out<'_>, zone: Zone, ns: i64) {
    Timestamp::new(zone).push(out, ns);
}

#[inline]
fn push_head(cache: &mut LineCache, out: &mut Out<'_>, head: &LineHead<'_>) {
    cache.time.push(out, head.ns);
    push_origin(out, head);
}

/// What stands between the time and the message.
fn push_origin(out: &mut Out<'_>, head: &LineHead<'_>) {
    out.push(match head.level {
        Level::Error => b" ERROR ",
        Level::Warn => b" WARN  ",
        Level::Info => b" INFO  ",
        Level::Debug => b" DEBUG ",
        Level::Trace => b" TRACE ",
    });
    push_name(out, head.target.as_bytes(), b" ");
    match head.location {
        Some((file, line)) => {
            out.push_byte(b' ');
            push_name(out, file.as_bytes(), b"[");
            out.push_byte(b':');
            out.push_u64(line as u64);
        }
        None => out.push(b" -"),
    }
    out.push(b" [");
    push_name(out, head.thread.name(), b"]");
    out.push(b"] ");
}

#[inline]
fn push_message<'r>(
    out: &mut Out<'_>,
    statement: Statement<'_>,
    record: &Record<'r>,
    shared: bool,
    values: &mut [Value<'r>],
) {
    let count = record.values(shared, statement.values, values);
    let values = &values[..count];
    for piece in statement.pieces {
        match *piece {
            Piece::Literal(text) => push_escaped(out, text.as_bytes()),
            Piece::Value(at) => {
                push_value(out, values.get(at as usize).unwrap_or(&Value::Damaged), push_escaped)
            }
        }
    }
    for field in statement.fields {
        if !field.in_message {
            out.push_byte(b' ');
            push_field_name(out, field.name);
            out.push_byte(b'=');
            push_value(out, values.get(field.value as usize).unwrap_or(&Value::Damaged), push_quoted);
        }
    }
}

/// A field's name, of one word.
fn push_field_name(out: &mut Out<'_>, name: &str) {
    push_name(out, name.as_bytes(), b" =\"");
}

#[inline]
fn push_value(out: &mut Out<'_>, value: &Value<'_>, push_text: impl Fn(&mut Out<'_>, &[u8])) {
    match *value {
        Value::Number(text) | Value::Wide(text) | Value::PlainFloat(text) => out.push(text),
        Value::Float(text) => float::push_float(out, text),
        Value::Unsigned(value) => out.push_u64(value),
        Value::Signed(value) => {
            if value < 0 {
                out.push_byte(b'-');
            }
            out.push_u64(value.unsigned_abs());
        }
        Value::Text { bytes, cut, .. } => {
            push_text(out, bytes);
            if cut != 0 {
                push_cut(out, cut);
            }
        }
        Value::F64(value) => {
            push_short_float(out, number::f64_text(value));
        }
        Value::F32(value) => {
            push_short_float(out, number::f32_text(value));
        }
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Char(value) => push_text(out, value.encode_utf8(&mut [0; 4]).as_bytes()),
        Value::Unsigned128(value) => out.push_str(itoa::Buffer::new().format(value)),
        Value::Signed128(value) => out.push_str(itoa::Buffer::new().format(value)),
        Value::None => out.push_str("None"),
        Value::Damaged => out.push_str("<damaged>"),
    }
}

#[inline]
fn push_short_float(out: &mut Out<'_>, text: number::Short) {
    if text.plain {
        out.push_short(text.words, text.len.into());
    } else {
        float::push_float(out, text.bytes().get(..text.len.into()).unwrap_or_default());
    }
}

/// The mark of a text that was cut.
#[cold]
fn push_cut(out: &mut Out<'_>, cut: u32) {
    out.push_str("…[+");
    out.push_u64(cut as u64);
    out.push_str(" bytes]");
}
