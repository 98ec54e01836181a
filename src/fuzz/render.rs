//! Any bytes as a record, any text, any float: what comes of it is one line.
#![forbid(unsafe_code)]

use super::text::{escaped, in_quotes, is_hazard, quoted, unquoted};
use crate::callsite::{Callsite, Field, Piece};
use crate::format::{self, Format, LineCache, LineHead, Out, Plans};
use crate::lane::ThreadId;
use crate::level::Level;
use crate::number;
use crate::record::{HEADER, Kind, MAX_VALUES, PLAIN, PREFORMATTED, Record, SHARED_HEADER, meta, metas};
use crate::zone::Zone;

const fn field(name: &'static str, value: u8, in_message: bool) -> Field<'static> {
    Field { name, value, in_message }
}

/// Statements of several shapes; the last two say things that no macro would make them say.
static CALLSITES: [Callsite; 6] = {
    const fn site(
        template: &'static str,
        pieces: &'static [Piece<'static>],
        fields: &'static [Field<'static>],
        values: u8,
    ) -> Callsite {
        Callsite::new(Level::Info, false, "fuzz", "src/fuzz.rs", 1, template, pieces, fields, values)
    }
    use Piece::{Literal, Value};
    [
        site("static", &[Literal("static")], &[], 0),
        site("{}", &[Value(0)], &[], 1),
        site("{} @ {}", &[Value(0), Literal(" @ "), Value(1)], &[field("k", 2, false)], 3),
        site("{k}", &[Value(0)], &[field("k", 0, true), field("l", 1, false), field("m.n", 2, false)], 8),
        site("", &[], &[field("a", 30, false), field("b", 31, false)], MAX_VALUES as u8),
        site(
            "{}{}",
            &[Value(9), Literal("\n\u{202e}"), Value(0), Value(0)],
            &[field("\u{7f}", 200, false)],
            5,
        ),
    ]
};

/// The message of a text, and the same as a field.
pub(super) static TEXT: Callsite = Callsite::new(
    Level::Info,
    false,
    "fuzz",
    "src/fuzz.rs",
    1,
    "{}",
    &[Piece::Value(0), Piece::Literal(" ")],
    &[field("k", 0, false)],
    1,
);

/// A message that is a text, and a field that is one.
pub(super) static MESSAGE: Callsite =
    Callsite::new(Level::Info, false, "fuzz", "src/fuzz.rs", 1, "{}", &[Piece::Value(0)], &[], 1);
pub(super) static FIELD: Callsite =
    Callsite::new(Level::Info, false, "fuzz", "src/fuzz.rs", 1, "", &[], &[field("k", 0, false)], 1);

/// Bytes behind the room of a line, which stay as they are.
pub(super) const GUARD: [u8; 64] = [0xA5; 64];

/// That a record's line by plan, in `room` bytes, is the line piece by piece.
pub(super) fn check_plan(
    format: Format,
    room: usize,
    callsite: &Callsite,
    head: &LineHead<'_>,
    record: &Record<'_>,
    line: &[u8],
) {
    let mut buffer = [vec![0; room], GUARD.to_vec()].concat();
    let (mut plans, mut cache) = (Plans::new(), LineCache::new(Zone::UTC));
    // Twice: the first line makes the plan.
    for _ in 0..2 {
        let mut out = Out::new(&mut buffer[..room]);
        plans.record(&mut cache, &mut out, format, head.ns, callsite, record, || head.clone());
        let len = out.len();
        assert_eq!(buffer[room..], GUARD, "{format:?}: a line by plan stays in its room");
        assert_eq!(
            String::from_utf8_lossy(&buffer[..len]),
            String::from_utf8_lossy(line),
            "{format:?}: a line by plan is the line piece by piece"
        );
    }
}

/// A record as a line in `room` bytes.
fn render_in(room: usize, callsite: &Callsite, bytes: &[u8], shared: bool) -> String {
    let mut buffer = [vec![0; room], GUARD.to_vec()].concat();
    let record = Record::new(bytes);
    let thread =
        if shared { record.thread() } else { ThreadId { tid: 1, name: *b"fuzz\n\xff\0\0\0\0\0\0\0\0\0\0" } };
    let head = LineHead {
        ns: bytes.get(8..16).map_or(0, |tick| i64::from_le_bytes(tick.try_into().unwrap_or_default())),
        level: callsite.level(),
        target: callsite.module_path(),
        location: Some((callsite.file(), callsite.line())),
        thread,
    };
    let mut out = Out::new(&mut buffer[..room]);
    format::record(
        &mut LineCache::new(Zone::UTC),
        &mut out,
        Format::Text,
        &head,
        callsite.statement(),
        &record,
        shared,
    );
    let len = out.len();
    assert_eq!(buffer[room..], GUARD, "a line stays in its room");
    buffer.truncate(len);
    if !shared {
        check_plan(Format::Text, room, callsite, &head, &record, &buffer);
    }
    let line = String::from_utf8(buffer).expect("a line is UTF-8");
    assert!(line.ends_with('\n') || room == 0, "a line has an end: {line:?}");
    let text = line.strip_suffix('\n').unwrap_or_default();
    assert!(!text.contains(is_hazard), "a line is one line and drives no terminal: {line:?}");
    text.to_owned()
}

fn render(callsite: &Callsite, bytes: &[u8], shared: bool) -> String {
    let line = render_in(bytes.len() * 16 + 64 * 1024, callsite, bytes, shared);
    // Where there is less room, there is a part of it.
    let room = bytes.first().map_or(0, |&byte| byte as usize) * 2;
    let part = render_in(room, callsite, bytes, shared);
    assert!(line.starts_with(&part), "{part:?} is not a part of {line:?}");
    line
}

/// The statement that an input of `decode` chooses, whether its record is a shared lane's, and the record.
pub(super) fn choice(bytes: &[u8]) -> Option<(&'static Callsite, bool, &[u8])> {
    let (&choice, record) = bytes.split_first()?;
    Some((&CALLSITES[choice as usize % CALLSITES.len()], choice & 0x80 != 0, record))
}

/// A slot may hold any bytes; what is rendered is one line of harmless text.
pub fn decode(bytes: &[u8]) {
    if let Some((callsite, shared, record)) = choice(bytes) {
        render(callsite, record, shared);
        for pattern in PATTERNS {
            render_by_pattern(pattern, callsite, record, shared);
        }
    }
}

/// With plans, but for the last four: their message or time has a width, too many bytes before it, or is there twice.
const PATTERNS: [&str; 8] = [
    "{time} {message}{fields}",
    "at most sixteen {time}{fields} of {file}:{line} [{thread:*^20}] {message} {logger:>40}",
    "{time}{thread_id:>9} {level:<7}{fields}",
    "{time} {message}|{message}{fields}",
    "{time} {message:>60}",
    "{time:>40} {message}",
    "more than sixteen {time} {message}",
    "{time} {message} {time}",
];

/// A line by a pattern is harmless, and the same by plan.
fn render_by_pattern(pattern: &str, callsite: &Callsite, bytes: &[u8], shared: bool) {
    let format = Format::pattern(pattern).expect("it is a pattern");
    let record = Record::new(bytes);
    let (target, location) = (callsite.module_path(), Some((callsite.file(), callsite.line())));
    let thread = ThreadId { tid: 1, name: *b"fuzz\n\xff\0\0\0\0\0\0\0\0\0\0" };
    let head = LineHead { ns: 7, level: callsite.level(), target, location, thread };
    let narrow = bytes.first().map_or(0, |&byte| byte as usize) * 2;
    for room in [narrow, bytes.len() * 16 + 64 * 1024] {
        let mut buffer = [vec![0; room], GUARD.to_vec()].concat();
        let mut out = Out::new(&mut buffer[..room]);
        let mut cache = LineCache::new(Zone::UTC);
        format::record(&mut cache, &mut out, format, &head, callsite.statement(), &record, shared);
        let len = out.len();
        assert_eq!(buffer[room..], GUARD, "a line stays in its room");
        buffer.truncate(len);
        if !shared {
            check_plan(format, room, callsite, &head, &record, &buffer);
        }
        let line = String::from_utf8(buffer).expect("a line is UTF-8");
        let text = line.strip_suffix('\n').unwrap_or_default();
        assert!(!text.contains(is_hazard), "a line is one line and drives no terminal: {line:?}");
    }
}

/// The tags of the values that an input of `decode` has, those of no kind of ours left out; and all there are.
pub fn tags(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let all = (0..=u8::MAX).filter(|&tag| Kind::of(tag) as u8 == tag & !PREFORMATTED);
    let Some((callsite, shared, record)) = choice(bytes) else { return (Vec::new(), all.collect()) };
    let metas = record.get(if shared { SHARED_HEADER } else { HEADER }..).unwrap_or_default();
    let tags = metas.as_chunks::<2>().0.iter().take(callsite.statement().values).map(|meta| meta[0]);
    (tags.filter(|&tag| Kind::of(tag) as u8 == tag & !PREFORMATTED).collect(), all.collect())
}

/// The message of a record of `TEXT`, and the field's value.
fn message(line: &str) -> &str {
    line.split_once("] ").expect("a line has a head").1
}

/// A record of one value: the frame word, the tick, the meta, the cell, the text.
pub(super) fn record_of(kind: Kind, preformatted: bool, len: u8, cell: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(&meta(kind, preformatted, len).to_le_bytes());
    bytes.resize(HEADER + metas(1), 0);
    bytes.extend_from_slice(cell);
    bytes.resize(HEADER + metas(1) + kind.cell(preformatted), 0);
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Text is escaped as the plain description of it says, in a message and in a field.
pub fn escape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // What is no UTF-8 is never a bare word.
    let value = if core::str::from_utf8(bytes).is_ok() { quoted(&text) } else { in_quotes(&text) };
    assert_eq!(unquoted(&value).as_deref(), Some(&*text), "a value reads back");
    let record = record_of(Kind::Str, false, 0, &(bytes.len() as u64).to_le_bytes(), bytes);
    for (callsite, expected) in [
        (&TEXT, format!("{}  k={value}", escaped(&text))),
        (&MESSAGE, escaped(&text)),
        (&FIELD, format!(" k={value}")),
    ] {
        assert_eq!(message(&render(callsite, &record, false)), expected);
    }
}

/// A float's length as it stands in its meta.
fn len_of(text: number::Short) -> u8 {
    text.len | if text.plain { PLAIN } else { 0 }
}

/// A float is written as `Display` writes it, in both encodings; and a cell may hold any bytes.
pub fn float(bytes: &[u8]) {
    let check = |kind: Kind, bits: u64, cell: &[u8], len: u8, expected: String| {
        for record in
            [record_of(kind, false, 0, &bits.to_le_bytes(), &[]), record_of(kind, true, len, cell, &[])]
        {
            assert_eq!(message(&render(&TEXT, &record, false)), format!("{expected}  k={expected}"));
        }
    };
    for bytes in bytes.as_chunks::<8>().0 {
        let value = f64::from_le_bytes(*bytes);
        // Its neighbours in the number of decimals are the interesting ones.
        for value in [value, (value * 100.0).round() / 100.0, value.round(), f64::from(value as f32)] {
            let text = number::f64_text(value);
            check(Kind::F64, value.to_bits(), &text.bytes(), len_of(text), value.to_string());
            let value = value as f32;
            let text = number::f32_text(value);
            check(Kind::F32, u64::from(value.to_bits()), &text.bytes(), len_of(text), value.to_string());
        }
    }
    let len = bytes.len().min(24);
    render(&TEXT, &record_of(Kind::F64, true, len as u8, &bytes[..len], &[]), false);
}
