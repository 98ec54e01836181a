//! A line is read back: every part of it is found again, whatever the others hold.

use super::input::Input;
use super::lent::Lent;
use super::render::check_plan;
use super::text::{escaped, is_hazard, unescaped, unquoted};
use crate::callsite::{Callsite, Field, Piece};
use crate::format::{self, Format, LineCache, LineHead, Out};
use crate::lane::ThreadId;
use crate::level::Level;
use crate::record::{HEADER, Kind, Record, meta, metas};
use crate::zone::Zone;

const LEVELS: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

/// A value as its record has it, and its text; of one that was cut, how many bytes are missing.
struct Value {
    kind: Kind,
    cell: u64,
    text: String,
    cut: u32,
}

impl Value {
    fn of(input: &mut Input<'_>) -> Value {
        let value = |kind, cell, text| Value { kind, cell, text, cut: 0 };
        match input.byte() % 8 {
            0 => value(Kind::Bool, 0, "false".to_owned()),
            1 => {
                let number = input.number() as i64;
                value(Kind::I64, number as u64, number.to_string())
            }
            2 => {
                let number = input.double();
                value(Kind::F64, number.to_bits(), number.to_string())
            }
            3 => {
                let char = input.char();
                value(Kind::Char, char.into(), char.to_string())
            }
            4 => value(Kind::None, 0, "None".to_owned()),
            how => {
                let (text, cut) = (input.text(), if how == 5 { input.number() as u32 } else { 0 });
                let kind = if how == 6 { Kind::Debug } else { Kind::Str };
                Value { kind, cell: text.len() as u64 | u64::from(cut) << 32, text, cut }
            }
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Str | Kind::Debug | Kind::Char)
    }
}

/// The values as `Deferred` has them, laid out by the description of a record.
fn record_of(values: &[Value]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(values.iter().flat_map(|value| meta(value.kind, false, 0).to_le_bytes()));
    bytes.resize(HEADER + metas(values.len()), 0);
    let with_cell = values.iter().filter(|value| !matches!(value.kind, Kind::Bool | Kind::None));
    bytes.extend(with_cell.flat_map(|value| value.cell.to_le_bytes()));
    for value in values.iter().filter(|value| value.is_text() && value.kind != Kind::Char) {
        bytes.extend(value.text.bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// The parts of a line, as anybody can find them who knows how many fields there are.
#[derive(Debug, PartialEq)]
struct Parts {
    ns: i64,
    level: String,
    target: String,
    location: Option<(String, u32)>,
    thread: String,
    /// As it stands there.
    message: String,
    /// Name, value, and the bytes that are missing of it.
    fields: Vec<(String, String, u32)>,
}

fn parts(line: &str, fields: usize) -> Option<Parts> {
    let (time, rest) = line.split_at_checked(30)?;
    let (level, rest) = rest.strip_prefix(' ')?.split_at_checked(6)?;
    let (target, rest) = rest.split_once(' ')?;
    let (location, rest) = rest.split_once(" [")?;
    let (thread, rest) = rest.split_once("] ")?;
    let location = match location {
        "-" => None,
        _ => {
            let (file, line) = location.rsplit_once(':')?;
            Some((unescaped(file)?, line.parse().ok()?))
        }
    };
    let mut message = rest;
    let mut found = Vec::new();
    for _ in 0..fields {
        let (before, name, value, cut) = last_field(message)?;
        found.insert(0, (unescaped(name)?, unquoted(value)?, cut));
        message = before;
    }
    Some(Parts {
        ns: format::parse_time(time)?,
        level: level.trim_end().to_owned(),
        target: unescaped(target)?,
        location,
        thread: unescaped(thread)?,
        message: message.to_owned(),
        fields: found,
    })
}

/// What stands before the last field, its name, its value, and how many bytes are missing of that.
fn last_field(text: &str) -> Option<(&str, &str, &str, u32)> {
    let mark = text.strip_suffix(" bytes]").and_then(|text| text.rsplit_once("…[+"));
    let (text, cut) = match mark {
        Some((text, cut)) => (text, cut.parse().ok()?),
        None => (text, 0),
    };
    let equals = match text.strip_suffix('"') {
        // A quote within quotes has a backslash before it.
        Some(text) => text.rfind("=\"")?,
        None => text.rfind('=')?,
    };
    let (before, name) = text[..equals].rsplit_once(' ')?;
    Some((before, name, &text[equals + 1..], cut))
}

/// Any line: its head, its message and its fields are told apart and read back as they were.
pub fn line(bytes: &[u8]) {
    let mut input = Input::new(bytes, 2_000);
    let ns = input.number() as i64;
    let level = LEVELS[usize::from(input.byte()) % LEVELS.len()];
    let (target, file, at) = (Lent::new(input.text()), Lent::new(input.text()), input.number() as u32);
    let mut thread = ThreadId { tid: 1, name: [0; 16] };
    let name = input.bytes(16);
    thread.name[..name.len()].copy_from_slice(name);
    let thread_name = String::from_utf8_lossy(thread.name()).into_owned();
    let has_location = !input.flag();
    let (in_message, in_fields) = (input.byte() % 5, input.byte() % 5);
    let literals: Vec<String> = (0..=in_message).map(|_| input.text()).collect();
    let names: Vec<String> = (0..in_fields).map(|_| input.text()).collect();
    let values: Vec<Value> = (0..in_message + in_fields).map(|_| Value::of(&mut input)).collect();

    let (literals, names) = (Lent::new(literals), Lent::new(names));
    // SAFETY: the callsite, and what it is made of, is declared behind these, and dropped before.
    let (target, file, literals, names) =
        unsafe { (target.get().as_str(), file.get().as_str(), literals.get(), names.get()) };
    let mut pieces = Vec::new();
    for (at, text) in (0..).zip(literals) {
        pieces.push(Piece::Literal(text));
        pieces.extend((at < in_message).then_some(Piece::Value(at)));
    }
    let fields = names.iter().zip(in_message..);
    let fields = fields.map(|(name, value)| Field { name, value, in_message: false }).collect();
    let (pieces, fields): (_, Lent<Vec<Field<'_>>>) = (Lent::new(pieces), Lent::new(fields));
    // SAFETY: as above.
    let (pieces, fields) = unsafe { (pieces.get(), fields.get()) };
    let callsite = Callsite::new(level, false, target, file, at, "", pieces, fields, values.len() as u8);
    let location = has_location.then_some((file, at));
    let head = LineHead { ns, level, target, location, thread };

    let bytes = record_of(&values);
    let shown = shown(&callsite, &bytes, &head);
    let text = shown.strip_suffix('\n').expect("a line has an end");
    assert!(!text.contains(is_hazard), "a line is one line and drives no terminal: {shown:?}");
    let parts = parts(text, names.len()).unwrap_or_else(|| panic!("{shown:?} has the form of a line"));
    let (message_values, field_values) = values.split_at(in_message.into());
    let mut message = escaped(&literals[0]);
    for (value, text) in message_values.iter().zip(&literals[1..]) {
        message += &escaped(&value.text);
        if value.cut != 0 {
            message += &format!("…[+{} bytes]", value.cut);
        }
        message += &escaped(text);
    }
    let fields = names.iter().zip(field_values);
    let expected = Parts {
        ns,
        level: level.to_string(),
        target: target.to_owned(),
        location: location.map(|(file, line)| (file.to_owned(), line)),
        thread: thread_name,
        message,
        fields: fields.map(|(name, value)| (name.clone(), value.text.clone(), value.cut)).collect(),
    };
    assert_eq!(parts, expected, "{shown:?}");
    // A message leaves a backslash alone: it reads back where there is none.
    let whole: String =
        literals.iter().chain(message_values.iter().map(|value| &value.text)).cloned().collect();
    if !whole.contains('\\') && message_values.iter().all(|value| value.cut == 0) {
        let texts = message_values.iter().zip(&literals[1..]);
        let said = texts.fold(literals[0].clone(), |said, (value, text)| said + &value.text + text);
        assert_eq!(unescaped(&parts.message), Some(said));
    }
}

/// The record as a line, which is the same piece by piece and by plan.
fn shown(callsite: &Callsite, bytes: &[u8], head: &LineHead<'_>) -> String {
    let record = Record::new(bytes);
    let mut buffer = vec![0; 4096 + 16 * (bytes.len() + head.target.len())];
    let text = head.location.map_or(0, |(file, _)| file.len());
    let statement = callsite.statement();
    let literals = statement.pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.len(),
        Piece::Value(_) => 0,
    });
    let names = statement.fields.iter().map(|field| field.name.len());
    buffer.resize(buffer.len() + 4 * (text + literals.sum::<usize>() + names.sum::<usize>()), 0);
    let render = |out: &mut Out<'_>| {
        format::record(&mut LineCache::new(Zone::UTC), out, Format::Text, head, statement, &record, false);
        out.len()
    };
    let len = render(&mut Out::new(&mut buffer));
    let room = buffer.len();
    buffer.truncate(len);
    check_plan(Format::Text, room, callsite, head, &record, &buffer);
    String::from_utf8(buffer).expect("a line is UTF-8")
}

/// The target and the source file of what [`replayed`] makes.
pub const REPLAYED: (&str, &str) = ("REPLAY", "src/bin/kakashi/replay.rs");

/// The line of a record as `kakashi replay` logs it: a text, with the number of a thread, below 10^9, and the fields
/// `file`, `line` and `pass`.
pub fn replayed(text: &str, [thread, file, line, pass]: [u64; 4]) -> String {
    const fn field(name: &str, value: u8) -> Field<'_> {
        Field { name, value, in_message: false }
    }
    static FIELDS: [Field<'_>; 3] = [field("file", 1), field("line", 2), field("pass", 3)];
    let (level, (target, source)) = (Level::Info, REPLAYED);
    static PIECES: [Piece<'_>; 1] = [Piece::Value(0)];
    let callsite = Callsite::new(level, true, target, source, 46, "{}", &PIECES, &FIELDS, 4);
    let number = |number: u64| Value { kind: Kind::U64, cell: number, text: String::new(), cut: 0 };
    let text = Value { kind: Kind::Str, cell: text.len() as u64, text: text.to_owned(), cut: 0 };
    let mut id = ThreadId { tid: 1, name: [0; 16] };
    let name = format!("replay-{thread}");
    id.name[..name.len()].copy_from_slice(name.as_bytes());
    let head = LineHead { ns: 0, level, target, location: Some((source, 46)), thread: id };
    shown(&callsite, &record_of(&[text, number(file), number(line), number(pass)]), &head)
}
