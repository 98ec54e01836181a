//! Lines by a pattern of the user's, which is taken apart once.
#![forbid(unsafe_code)]

use core::fmt;

use super::escape::{push_escaped, push_name, push_quoted};
use super::grammar::START_BYTES;
use super::out::{Align, Out};
use super::plan::Layout;
use super::said::Said;
use super::{LineCache, LineHead, push_field_name, push_value};
use crate::callsite::{Field, Statement};
use crate::interned::{Interned, Kept};

/// Bytes of a pattern at most: what a black box has room for.
const MOST_BYTES: usize = 1024;

/// A pattern that was taken apart: see [`Format::pattern`](crate::Format::pattern).
#[derive(Clone, Copy)]
pub struct Pattern(&'static Kept<Parsed>);

impl Pattern {
    /// The pattern as it was given.
    pub fn text(&self) -> &'static str {
        &self.0.text
    }

    pub(super) fn new(text: &str) -> Result<Pattern, PatternError> {
        let parts = parse(text)?;
        let has_message = parts.iter().any(|part| matches!(part, Part::Name(Name::Message, _)));
        let time = planned(&parts);
        Ok(Pattern(ALL.keep(Parsed { text: text.to_owned(), parts, has_message, time })))
    }

    /// What stands before the time, if its lines can be made by plans.
    pub(super) fn start(&self) -> Option<&'static [u8]> {
        match self.0.parts.get(..self.0.time?)? {
            [Part::Literal(text)] => Some(text.as_bytes()),
            _ => Some(b""),
        }
    }

    /// A line from behind the time on, as the same in all of a statement's lines.
    pub(super) fn lay_out(
        self,
        layout: &mut Layout<'_, '_>,
        statement: Statement<'_>,
        head: &LineHead<'_>,
    ) -> Option<()> {
        for part in self.0.parts.get(self.0.time? + 1..)? {
            match part {
                Part::Literal(text) => layout.out.push_str(text),
                Part::Name(Name::Message, _) => layout.message(statement, push_escaped)?,
                Part::Name(Name::Fields, _) => {
                    for field in statement.fields.iter().filter(|field| self.0.shows(field)) {
                        push_key(&mut layout.out, field);
                        layout.value(field.value, true)?;
                    }
                }
                Part::Name(name, width) => {
                    let start = layout.out.len();
                    push_constant(&mut layout.out, *name, head);
                    pad(&mut layout.out, start, *width);
                }
            }
        }
        Some(())
    }

    pub(super) fn number(self) -> u32 {
        self.0.number()
    }

    /// Looks and does nothing else: it may be a signal handler that asks.
    pub(super) fn of_number(number: u32) -> Option<Pattern> {
        ALL.numbered(number).map(Pattern)
    }
}

impl PartialEq for Pattern {
    /// There is one of each text.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.0.text).finish()
    }
}

struct Parsed {
    text: String,
    parts: Vec<Part>,
    has_message: bool,
    /// Which part is the time, if lines can be made by plans.
    time: Option<usize>,
}

impl Parsed {
    /// Whether a field stands among `{fields}`.
    fn shows(&self, field: &Field<'_>) -> bool {
        !(field.in_message && self.has_message)
    }
}

impl PartialEq for Parsed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// All patterns of the process.
static ALL: Interned<Parsed> = Interned::new();

enum Part {
    Literal(String),
    Name(Name, Option<Width>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Time,
    Level,
    Logger,
    File,
    Line,
    Thread,
    ThreadId,
    Message,
    Fields,
}

const NAMES: [(&str, Name); 9] = [
    ("time", Name::Time),
    ("level", Name::Level),
    ("logger", Name::Logger),
    ("file", Name::File),
    ("line", Name::Line),
    ("thread", Name::Thread),
    ("thread_id", Name::ThreadId),
    ("message", Name::Message),
    ("fields", Name::Fields),
];

#[derive(Clone, Copy)]
struct Width {
    align: Align,
    fill: char,
    width: u8,
}

/// Why a pattern is none. `Display` shows the pattern, with a mark below the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pattern: String,
    at: usize,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Unknown(String),
    Open,
    Close,
    Width(String),
    LineBreak,
    Long,
}

impl PatternError {
    /// The byte of the pattern where it is wrong.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Unknown(name) => {
                write!(f, "unknown name `{}`: the names are ", name.escape_debug())?;
                for (at, (name, _)) in NAMES.iter().enumerate() {
                    write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
                }
            }
            Problem::Open => f.write_str("a `{` without its `}`: a brace itself is written `{{`")?,
            Problem::Close => f.write_str("a `}` without its `{`: a brace itself is written `}}`")?,
            Problem::Width(width) => write!(
                f,
                "`{}` is no width: write `<5`, `>5` or `^5`, a character to fill with in front if need be, at most 255",
                width.escape_debug()
            )?,
            Problem::LineBreak => f.write_str("a line break: each record is one line")?,
            Problem::Long => write!(f, "more than {MOST_BYTES} bytes")?,
        }
        if self.problem == Problem::Long {
            return Ok(());
        }
        let (before, rest) = self.pattern.split_at(self.at);
        let before = before.escape_debug().to_string();
        write!(f, "\n{before}{}\n{:width$}^", rest.escape_debug(), "", width = before.chars().count())
    }
}

impl core::error::Error for PatternError {}

fn parse(text: &str) -> Result<Vec<Part>, PatternError> {
    let error = |at, problem| Err(PatternError { pattern: text.to_owned(), at, problem });
    if text.len() > MOST_BYTES {
        return error(MOST_BYTES, Problem::Long);
    }
    if let Some(at) = text.find(['\n', '\r']) {
        return error(at, Problem::LineBreak);
    }
    let (mut parts, mut literal, mut at) = (Vec::new(), String::new(), 0);
    while let Some(found) = text[at..].find(['{', '}']).map(|found| at + found) {
        literal += &text[at..found];
        let (brace, rest) = text[found..].split_at(1);
        if rest.starts_with(brace) {
            literal += brace;
            at = found + 2;
            continue;
        }
        if brace == "}" {
            return error(found, Problem::Close);
        }
        let end = match rest.find(['{', '}']) {
            Some(end) if rest[end..].starts_with('}') => end,
            _ => return error(found, Problem::Open),
        };
        let (name, width) = match rest[..end].split_once(':') {
            Some((name, width)) => (name, Some(width)),
            None => (&rest[..end], None),
        };
        let Some((_, known)) = NAMES.iter().find(|(known, _)| *known == name) else {
            return error(found + 1, Problem::Unknown(name.to_owned()));
        };
        let width = match width.map(|text| parse_width(text).ok_or(text)).transpose() {
            Ok(width) => width,
            Err(text) => return error(found + 2 + name.len(), Problem::Width(text.to_owned())),
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Name(*known, width));
        at = found + end + 2;
    }
    literal += &text[at..];
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// `[[fill]align]width`; without an alignment, the text stands left.
fn parse_width(text: &str) -> Option<Width> {
    let align = |char| match char {
        '<' => Some(Align::Left),
        '>' => Some(Align::Right),
        '^' => Some(Align::Center),
        _ => None,
    };
    let mut chars = text.chars();
    let (first, second) = (chars.next()?, chars.clone().next());
    let (fill, align, digits) = match (second.and_then(align), align(first)) {
        (Some(align), _) => (first, align, text.get(first.len_utf8() + 1..)?),
        (None, Some(align)) => (' ', align, chars.as_str()),
        (None, None) => (' ', Align::Left, text),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let width = digits.parse().ok().filter(|_| is_number)?;
    (!fill.is_control()).then_some(Width { align, fill, width })
}

/// The time's place, if it is there once and nothing but a few bytes stand before it, and what changes from line to line has
/// no width.
fn planned(parts: &[Part]) -> Option<usize> {
    let at = match parts {
        [Part::Name(Name::Time, _), ..] => 0,
        [Part::Literal(text), Part::Name(Name::Time, _), ..] if text.len() <= START_BYTES => 1,
        _ => return None,
    };
    let suits = |part: &Part| match part {
        Part::Literal(_) => true,
        Part::Name(Name::Time, _) => false,
        Part::Name(Name::Message | Name::Fields, width) => width.is_none(),
        Part::Name(..) => true,
    };
    let (time, rest) = parts[at..].split_first()?;
    (matches!(time, Part::Name(_, None)) && rest.iter().all(suits)).then_some(at)
}

pub(super) fn push(
    cache: &mut LineCache,
    out: &mut Out<'_>,
    pattern: Pattern,
    head: &LineHead<'_>,
    said: &Said<'_>,
) {
    for part in &pattern.0.parts {
        match part {
            Part::Literal(text) => out.push_str(text),
            Part::Name(name, width) => {
                let start = out.len();
                match name {
                    Name::Time => cache.time.push(out, head.ns),
                    Name::Message => said.push_message(out, push_escaped),
                    Name::Fields => {
                        for field in said.fields().iter().filter(|field| pattern.0.shows(field)) {
                            push_key(out, field);
                            push_value(out, said.value(field), push_quoted);
                        }
                    }
                    name => push_constant(out, *name, head),
                }
                pad(out, start, *width);
            }
        }
    }
    out.end_line();
}

fn push_key(out: &mut Out<'_>, field: &Field<'_>) {
    out.push_byte(b' ');
    push_field_name(out, field.name);
    out.push_byte(b'=');
}

/// What is the same in all lines of a statement and a thread.
fn push_constant(out: &mut Out<'_>, name: Name, head: &LineHead<'_>) {
    match name {
        Name::Time | Name::Message | Name::Fields => {}
        Name::Level => out.push_str(head.level.as_str()),
        Name::Logger => push_name(out, head.target.as_bytes(), b" "),
        Name::File => match head.location {
            Some((file, _)) => push_name(out, file.as_bytes(), b"["),
            None => out.push_byte(b'-'),
        },
        Name::Line => match head.location {
            Some((_, line)) => out.push_u64(line.into()),
            None => out.push_byte(b'-'),
        },
        Name::Thread => push_name(out, head.thread.name(), b"]"),
        Name::ThreadId => out.push_u64(head.thread.tid.into()),
    }
}

fn pad(out: &mut Out<'_>, start: usize, width: Option<Width>) {
    if let Some(Width { align, fill, width }) = width {
        out.pad(start, width.into(), align, fill);
    }
}
