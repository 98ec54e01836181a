//! Plans: what is the same in every line of a statement and a thread, made once.
//!
//! A line is `time c0 v0 c1 v1 ... cn`: between the values stand texts that do not change, from the level and the
//! thread to the end of the line. A plan holds these, escaped, in one piece of memory; a line is then the time, and
//! copies and numbers by turns. What a plan cannot hold (a value that the template names twice or out of its order,
//! more than eight values, 256 bytes of text) is rendered piece by piece, by the same rules (`format/mod.rs`).
//!
//! A record's values are decoded where they go, rather than into an array first: they are matched once, by their tag.
//! Any bytes are rendered to something harmless here, too; `fuzz.rs` holds both ways against each other.

use super::escape::{push_escaped, push_quoted};
use super::out::{Out, Pen};
use super::timestamp::TIMESTAMP_BYTES;
use super::{LineCache, LineHead, MAX_EXPANSION, float, push_origin, push_value};
use crate::callsite::{Callsite, Piece};
use crate::number::{self, ASCII_ZEROS, Short};
use crate::record::{Kind, PLAIN, PREFORMATTED, Record, Value, decode_cell};

/// Plans of one thread.
const PLANS: usize = 64;
/// Bytes of a plan's texts.
const TEXT: usize = 256;
/// Values of a plan.
const VALUES: usize = 8;
/// What a pen may read beyond a text.
const BEYOND: usize = Pen::BEYOND;

#[derive(Clone)]
struct Plan {
    callsite: u32,
    logger: u16,
    state: State,
    /// Bit by bit: whether the value is a field's, which is quoted if it must be.
    fields: u8,
    values: u8,
    /// Where each text ends.
    ends: [u16; VALUES + 1],
    texts: [u8; TEXT + BEYOND],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Ready,
    /// The statement's lines are rendered piece by piece.
    Unfit,
}

/// The plans of one thread's statements, by the statement's place in the program.
pub(crate) struct Plans(Box<[Plan]>);

impl Plans {
    pub(crate) fn new() -> Self {
        const EMPTY: Plan = Plan {
            callsite: 0,
            logger: 0,
            state: State::Empty,
            fields: 0,
            values: 0,
            ends: [0; VALUES + 1],
            texts: [0; TEXT + BEYOND],
        };
        Plans(vec![EMPTY; PLANS].into_boxed_slice())
    }

    /// Forgets all: the lane has another thread.
    pub(crate) fn clear(&mut self) {
        for plan in &mut self.0 {
            plan.state = State::Empty;
        }
    }

    /// One record as a text line, its end included. `head` is called for a statement's first line, and whenever
    /// another one has taken its plan's place.
    #[inline]
    pub(crate) fn record<'h>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        ns: i64,
        callsite: &Callsite,
        record: &Record<'_>,
        head: impl Fn() -> LineHead<'h>,
    ) {
        let at = record.callsite as usize / size_of::<Callsite>() % PLANS;
        let plan = &mut self.0[at];
        if (plan.callsite, plan.logger) != (record.callsite, record.logger) || plan.state == State::Empty {
            plan.make(callsite, record, &head());
        }
        // A line that might not fit is cut where it is rendered piece by piece.
        if plan.state == State::Ready
            && out.remaining() > TIMESTAMP_BYTES + Plan::MOST + record.len() * MAX_EXPANSION
        {
            cache.time.push(out, ns);
            plan.render(out, record);
        } else {
            super::record(cache, out, &head(), callsite, record, false);
        }
    }
}

impl Plan {
    /// The most that a line comes to but for its time, and texts of values: a pen is asked for as much at a time.
    const MOST: usize = TEXT + VALUES * 24 + BEYOND;

    #[cold]
    #[inline(never)]
    fn make(&mut self, callsite: &Callsite, record: &Record<'_>, head: &LineHead<'_>) {
        (self.callsite, self.logger) = (record.callsite, record.logger);
        self.state = if self.lay_out(callsite, head).is_some() { State::Ready } else { State::Unfit };
    }

    /// `None` when the statement does not fit into a plan.
    fn lay_out(&mut self, callsite: &Callsite, head: &LineHead<'_>) -> Option<()> {
        (self.values, self.fields) = (0, 0);
        let values = callsite.values();
        // Room that is never used up: a text that ends there is too long.
        let mut texts = [0; TEXT + 1];
        let mut out = Out::new(&mut texts);
        push_origin(&mut out, head);
        for piece in callsite.pieces() {
            match *piece {
                Piece::Literal(text) => push_escaped(&mut out, text.as_bytes()),
                Piece::Value(at) => self.end_text(out.len(), at, values, false)?,
            }
        }
        for field in callsite.fields().iter().filter(|field| !field.in_message) {
            out.push_byte(b' ');
            push_escaped(&mut out, field.name.as_bytes());
            out.push_byte(b'=');
            self.end_text(out.len(), field.value, values, true)?;
        }
        out.push_byte(b'\n');
        if usize::from(self.values) != values || out.len() > TEXT {
            return None;
        }
        *self.ends.get_mut(values)? = out.len() as u16;
        self.texts.get_mut(..=TEXT)?.copy_from_slice(&texts);
        Some(())
    }

    /// The text before value `at` ends at `end`.
    fn end_text(&mut self, end: usize, at: u8, values: usize, field: bool) -> Option<()> {
        if at != self.values || usize::from(at) >= values.min(VALUES) {
            return None;
        }
        *self.ends.get_mut(usize::from(at))? = end as u16;
        self.fields |= u8::from(field) << at;
        self.values += 1;
        Some(())
    }

    #[inline(always)]
    fn render(&self, out: &mut Out<'_>, record: &Record<'_>) {
        let Some(mut pen) = out.pen(Self::MOST) else { return };
        let mut stream = record.stream(false, self.values.into());
        let mut start = 0;
        for at in 0..usize::from(self.values).min(VALUES) {
            start = self.text(&mut pen, start, at);
            let (tag, len, cell) = stream.next();
            if let Some(number) = number_of(tag, len, cell) {
                // SAFETY: a number has at most 24 bytes, of which `MOST` counts `VALUES` times as many.
                unsafe { pen.short(number.words, usize::from(number.len).min(24)) };
                continue;
            }
            // SAFETY: the pen is the one that the output gave.
            unsafe { out.put_down(pen) };
            let push_text = if self.fields >> at & 1 == 0 { push_escaped } else { push_quoted };
            match Kind::of(tag) {
                kind @ (Kind::Str | Kind::Display | Kind::Debug) if !cell.is_empty() => {
                    match stream.text(kind, cell) {
                        Value::Text { bytes, cut: 0, .. } => push_text(out, bytes),
                        value => push_value(out, &value, push_text),
                    }
                }
                _ => push_value(out, &decode_cell(tag, len, cell), push_text),
            }
            match out.pen(Self::MOST) {
                Some(again) => pen = again,
                // Only an odd record comes here: no room is left, and the line ends as it is.
                None => return out.end_line(),
            }
        }
        self.text(&mut pen, start, usize::from(self.values).min(VALUES));
        // SAFETY: the pen is the one that the output gave.
        unsafe { out.put_down(pen) };
    }

    /// Writes the text before value `at`, which begins at `start`, and returns its end.
    #[inline(always)]
    fn text(&self, pen: &mut Pen, start: usize, at: usize) -> usize {
        let end = usize::from(self.ends[at]);
        if start <= end && end <= TEXT {
            // SAFETY: the texts of a line are `TEXT` bytes at most, which `MOST` counts; as many are readable, and
            // `BEYOND` more.
            unsafe { pen.wide(self.texts.as_ptr().add(start), end - start) };
        }
        end
    }
}

/// The text of a number of at most 64 bits, if that is what the cell holds and nothing is odd about it.
#[inline(always)]
fn number_of(tag: u8, len: u8, cell: &[u8]) -> Option<Short> {
    let low = u64::from_le_bytes(*cell.first_chunk()?);
    if tag & PREFORMATTED == 0 {
        return match Kind::of(tag) {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Some(integer(false, low)),
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => {
                Some(integer((low as i64) < 0, (low as i64).unsigned_abs()))
            }
            Kind::F64 => Some(number::f64_text(f64::from_bits(low))).filter(|text| text.plain),
            _ => None,
        };
    }
    let (float, len) = match Kind::of(tag) {
        Kind::F32 | Kind::F64 if len & PLAIN != 0 => (true, len & !PLAIN),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => {
            (false, len)
        }
        _ => return None,
    };
    let word = |at: usize| match cell.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(word) => u64::from_le_bytes(*word),
        None => 0,
    };
    let words = [low, word(8), word(16)];
    let fits = len != 0 && usize::from(len) <= cell.len();
    let is_number = is_number(words[0], len.into(), 0, float)
        && (len <= 8
            || (is_number(words[1], len.into(), 8, float) && is_number(words[2], len.into(), 16, float)));
    (fits && is_number).then_some(Short { words, len, plain: true })
}

/// Whether the bytes of a word that belong to a text of `len` bytes, the first of them at `at`, are digits, a sign, or
/// (of a float) a point.
#[inline(always)]
fn is_number(word: u64, len: usize, at: usize, float: bool) -> bool {
    if len <= at {
        return true;
    }
    let kept = if len - at >= 8 {
        word
    } else {
        word & !(u64::MAX << (8 * (len - at))) | ASCII_ZEROS << (8 * (len - at))
    };
    let others = float::others(kept.to_le_bytes());
    // A sign is the first byte of all; a point is one byte, wherever it is.
    let sign = u32::from(at == 0 && kept as u8 == b'-');
    let rest = others & !sign;
    rest == 0
        || (float
            && rest.is_power_of_two()
            && kept >> (8 * rest.trailing_zeros()) as u8 & 0xFF == u64::from(b'.'))
}

#[inline(always)]
fn integer(negative: bool, n: u64) -> Short {
    if n < 10_000_000_000_000_000 {
        number::integer_text(negative, n)
    } else {
        number::long_integer_text(negative, n)
    }
}
