//! Any bytes as a record, in each format, in any room: what comes of it is one line that its readers can read, and a
//! text reads back.
#![forbid(unsafe_code)]

use super::render::{FIELD, GUARD, MESSAGE, TEXT, check_plan, choice, record_of};
use super::text::is_hazard;
use crate::callsite::Callsite;
use crate::format::{self, Format, LineCache, LineHead, Out};
use crate::lane::ThreadId;
use crate::record::{Kind, Record};
use crate::zone::Zone;

/// A JSON value.
#[derive(Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }
}

/// Reads JSON by the letter of RFC 8259; arrays and white space are none of ours.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(())
    }

    fn value(&mut self) -> Option<Json> {
        match self.0.bytes().next()? {
            b'{' => self.object(),
            b'"' => self.string().map(Json::Text),
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Option<Json> {
        self.take("{")?;
        let mut members: Vec<(String, Json)> = Vec::new();
        loop {
            let key = self.string()?;
            self.take(":")?;
            // No key twice, but for those of which only the mark of a cut is left.
            members.iter().all(|(other, _)| *other != key || key == "…").then_some(())?;
            members.push((key, self.value()?));
            if self.take("}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(",")?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.0;
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        let len = start.len() - self.0.len();
        Some(Json::Number(start[..len].to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let char = self.0.chars().next()?;
            self.0 = &self.0[char.len_utf8()..];
            text.push(match char {
                '"' => return Some(text),
                '\0'..' ' => return None,
                '\\' => {
                    let escape = self.0.chars().next()?;
                    self.0 = &self.0[escape.len_utf8()..];
                    match escape {
                        '"' | '\\' => escape,
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let (hex, rest) = self.0.split_at_checked(4)?;
                            self.0 = rest;
                            char::from_u32(u32::from_str_radix(hex, 16).ok()?)?
                        }
                        _ => return None,
                    }
                }
                char => char,
            });
        }
    }
}

fn json_of(line: &str) -> Option<Json> {
    let mut reader = Reader(line);
    let value = reader.object()?;
    reader.0.is_empty().then_some(value)
}

/// The values of a logfmt line by their keys.
fn logfmt_of(line: &str) -> Option<Vec<(&str, String)>> {
    let (mut rest, mut pairs) = (line, Vec::new());
    loop {
        let (key, behind) = rest.split_once('=')?;
        (!key.contains([' ', '"'])).then_some(())?;
        let mut reader = Reader(behind);
        let value = if behind.starts_with('"') {
            reader.string()?
        } else {
            let word = behind.split(' ').next()?;
            (!word.is_empty() && !word.contains(['"', '='])).then_some(())?;
            reader.take(word)?;
            word.to_owned()
        };
        pairs.push((key, value));
        if reader.0.is_empty() {
            return Some(pairs);
        }
        reader.take(" ")?;
        rest = reader.0;
    }
}

/// A record's line in `room` bytes.
fn render(room: usize, format: Format, callsite: &Callsite, bytes: &[u8], shared: bool) -> String {
    let mut buffer = [vec![0; room], GUARD.to_vec()].concat();
    let record = Record::new(bytes);
    let thread = if shared {
        record.thread()
    } else {
        ThreadId { tid: 1, name: *b"q\"\\\n\xff=\x1b \0\0\0\0\0\0\0\0" }
    };
    let head = LineHead {
        ns: bytes.get(8..16).map_or(0, |tick| i64::from_le_bytes(tick.try_into().unwrap_or_default())),
        level: callsite.level(),
        target: "a \"name\"=\\\n\u{202e}",
        location: Some((callsite.file(), callsite.line())),
        thread,
    };
    let mut out = Out::new(&mut buffer[..room]);
    let cache = &mut LineCache::new(Zone::UTC);
    format::record(cache, &mut out, format, &head, callsite.statement(), &record, shared);
    let len = out.len();
    assert_eq!(buffer[room..], GUARD, "a line stays in its room");
    buffer.truncate(len);
    if !shared {
        check_plan(format, room, callsite, &head, &record, &buffer);
    }
    String::from_utf8(buffer).unwrap_or_else(|error| panic!("{format:?}: a line is UTF-8: {error}"))
}

/// A line as its readers have it; of a JSON one, the object.
fn check(format: Format, line: &str, may_be_cut: bool) -> Option<Json> {
    let is_whole = !matches!(format, Format::Console | Format::Pattern(_));
    if line.is_empty() {
        assert!(may_be_cut, "{format:?}: there is a line");
        return None;
    }
    let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("{format:?}: a line has an end: {line:?}"));
    let is_bad = |char| is_hazard(char) && !(char == '\u{1b}' && format == Format::Console);
    assert!(!text.contains(is_bad), "{format:?}: a line is one line and drives no terminal: {line:?}");
    if !is_whole {
        return None;
    }
    if format == Format::Logfmt {
        assert!(logfmt_of(text).is_some(), "no logfmt: {line:?}");
        return None;
    }
    Some(json_of(text).unwrap_or_else(|| panic!("{format:?}: no JSON: {line:?}")))
}

fn formats() -> [Format; 6] {
    let pattern =
        "{time} {level:.>7}{logger:é^20}{file}{line:<3}{thread} {thread_id} {{{message:>40}}}{fields}";
    let pattern = Format::pattern(pattern).unwrap_or_default();
    [Format::Json, Format::JsonOtel, Format::JsonEcs, Format::Logfmt, Format::Console, pattern]
}

/// A slot may hold any bytes; in each format they are one line of it, or, where there is no room for that, none.
pub fn json(bytes: &[u8]) {
    let Some((callsite, shared, record)) = choice(bytes) else { return };
    let small = record.first().map_or(0, |&byte| usize::from(byte) * 16);
    for format in formats() {
        check(format, &render(record.len() * 24 + 64 * 1024, format, callsite, record, shared), false);
        check(format, &render(small, format, callsite, record, shared), true);
    }
    // The same bytes as a text, which stands in the message, in a field, or, by no plan, in both.
    let text = String::from_utf8_lossy(record);
    let len = (record.len() as u64).to_le_bytes();
    let record = record_of(Kind::Str, false, 0, &len, record);
    for (callsite, message, has_field) in
        [(&MESSAGE, &*text, false), (&FIELD, "", true), (&TEXT, &*format!("{text} "), true)]
    {
        let line = |format| render(record.len() * 24 + 64 * 1024, format, callsite, &record, false);
        for (format, key, fields) in [
            (Format::Json, "message", None),
            (Format::JsonEcs, "message", None),
            (Format::JsonOtel, "Body", Some("Attributes")),
        ] {
            let object = check(format, &line(format), false).unwrap_or(Json::Null);
            assert_eq!(object.get(key).and_then(Json::text), Some(message));
            let fields = fields.map_or(Some(&object), |fields| object.get(fields));
            let field = fields.and_then(|fields| fields.get("k")).and_then(Json::text);
            assert_eq!(field, has_field.then_some(&*text));
        }
        let line = line(Format::Logfmt);
        let pairs = logfmt_of(line.trim_end_matches('\n')).unwrap_or_default();
        let expected = [("msg", message.to_owned()), ("k", text.to_string())];
        assert_eq!(pairs[6..], expected[..1 + usize::from(has_field)], "{line:?}");
    }
}
