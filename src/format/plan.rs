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
use super::{LineCache, LineHead, MAX_EXPANSION, push_origin, push_value};
use crate::callsite::{Callsite, Piece, Statement};
use crate::number::{self, Short};
use crate::record::{Kind, PLAIN, PREFORMATTED, Raw, Record, Stream, Value};

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
    /// None yet: the memory comes with the lane's first record, some 20 KiB.
    pub(crate) fn new() -> Self {
        Plans(Box::new([]))
    }

    #[cold]
    fn allocate(&mut self) {
        const EMPTY: Plan = Plan {
            callsite: 0,
            logger: 0,
            state: State::Empty,
            fields: 0,
            values: 0,
            ends: [0; VALUES + 1],
            texts: [0; TEXT + BEYOND],
        };
        self.0 = vec![EMPTY; PLANS].into_boxed_slice();
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
        if self.0.is_empty() {
            self.allocate();
        }
        // One statement may be used with several loggers by turns.
        let at = (record.callsite as usize / size_of::<Callsite>() + usize::from(record.logger)) % PLANS;
        let plan = &mut self.0[at];
        if (plan.callsite, plan.logger) != (record.callsite, record.logger) || plan.state == State::Empty {
            plan.make(callsite, record, &head());
        }
        // A line that might not fit is cut where it is rendered piece by piece.
        if plan.state == State::Ready
            && record.len() >= Stream::LEAST
            && out.remaining() > TIMESTAMP_BYTES + Plan::MOST + record.len() * MAX_EXPANSION
        {
            cache.time.push(out, ns);
            plan.render(out, record);
        } else {
            super::record(cache, out, &head(), callsite.statement(), record, false);
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
        self.state =
            if self.lay_out(callsite.statement(), head).is_some() { State::Ready } else { State::Unfit };
    }

    /// `None` when the statement does not fit into a plan.
    fn lay_out(&mut self, statement: Statement<'_>, head: &LineHead<'_>) -> Option<()> {
        (self.values, self.fields) = (0, 0);
        let values = statement.values;
        // Room that is never used up: a text that ends there is too long.
        let mut texts = [0; TEXT + 1];
        let mut out = Out::new(&mut texts);
        push_origin(&mut out, head);
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => push_escaped(&mut out, text.as_bytes()),
                Piece::Value(at) => self.end_text(out.len(), at, values, false)?,
            }
        }
        for field in statement.fields.iter().filter(|field| !field.in_message) {
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
        let values = usize::from(self.values).min(VALUES);
        let mut stream = record.stream(values);
        let (mut start, mut at) = (0, 0);
        while at < values {
            start = self.text(&mut pen, start, at);
            let raw = stream.next();
            let field = self.fields >> at & 1 != 0;
            at += 1;
            if let Some(number) = stream.words(raw).and_then(|words| number_of(raw, words)) {
                // SAFETY: a number has at most 24 bytes, of which `MOST` counts `VALUES` times as many.
                unsafe { pen.short(number.words, usize::from(number.len).min(24)) };
                continue;
            }
            // SAFETY: the pen is the one that the output gave.
            unsafe { out.put_down(pen) };
            let push_text = if field { push_quoted } else { push_escaped };
            match Kind::of(raw.tag) {
                Kind::Str | Kind::Display | Kind::Debug => match stream.text(raw) {
                    Value::Text { bytes, cut: 0, .. } => push_text(out, bytes),
                    value => push_value(out, &value, push_text),
                },
                _ => push_value(out, &stream.value(raw), push_text),
            }
            match out.pen(Self::MOST) {
                Some(again) => pen = again,
                // Never with a record of ours: a value that is longer than its cell says is a float written out, of at
                // most 400 bytes, which staging keeps room for behind the longest record. The line ends as it is.
                None => return out.end_line(),
            }
        }
        self.text(&mut pen, start, values);
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

/// The text of a number of at most 64 bits, if that is what the cell holds, which begins with `words`, and nothing is
/// odd about it.
#[inline(always)]
fn number_of(raw: Raw, words: [u64; 3]) -> Option<Short> {
    if raw.tag & PREFORMATTED == 0 {
        return match Kind::of(raw.tag) {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Some(integer(false, words[0])),
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => {
                Some(integer((words[0] as i64) < 0, (words[0] as i64).unsigned_abs()))
            }
            Kind::F64 => Some(number::f64_text(f64::from_bits(words[0]))).filter(|text| text.plain),
            _ => None,
        };
    }
    let (most, len) = match Kind::of(raw.tag) {
        Kind::F32 | Kind::F64 if raw.len & PLAIN != 0 => (24, raw.len & !PLAIN),
        Kind::U64 | Kind::I64 => (24, raw.len),
        Kind::U32 | Kind::I32 => (16, raw.len),
        Kind::U8 | Kind::U16 | Kind::I8 | Kind::I16 => (8, raw.len),
        _ => return None,
    };
    // Bytes behind the text mean nothing.
    let kept = KEPT.get(usize::from(len))?;
    let odd = (0..3).fold(0, |odd, at| odd | (words[at] ^ HARMLESS) & kept[at]);
    (len != 0 && len <= most && odd & OTHERS == 0).then_some(Short { words, len, plain: true })
}

/// By the length of a text, the bytes of three words that belong to it.
static KEPT: [[u64; 3]; 25] = {
    let mut kept = [[0; 3]; 25];
    let mut len = 0;
    while len < 25 {
        let mut at = 0;
        while at < len {
            kept[len][at / 8] |= 0xFF << (at % 8 * 8);
            at += 1;
        }
        len += 1;
    }
    kept
};

/// Digits and punctuation, `is_of_number`: 0x20 to 0x3F, in each byte.
const HARMLESS: u64 = u64::MAX / 255 * 0x20;
const OTHERS: u64 = u64::MAX / 255 * 0xE0;

#[inline(always)]
fn integer(negative: bool, n: u64) -> Short {
    if n < 10_000_000_000_000_000 {
        number::integer_text(negative, n)
    } else {
        number::long_integer_text(negative, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{HEADER, meta, metas};

    /// The longest texts that a plan takes, the longest numbers, the shortest records: in any room, a line stays
    /// in it, and is what it is where there is room enough, or its beginning.
    #[test]
    fn a_line_by_plan_stays_in_its_room() {
        const LITERAL: &str = "a text of fifty bytes, the same in all of the lines";
        const PIECES: [Piece<'static>; 5] = [
            Piece::Literal(LITERAL),
            Piece::Literal(LITERAL),
            Piece::Literal(LITERAL),
            Piece::Value(0),
            Piece::Value(1),
        ];
        static NUMBERS: [Callsite; 2] = [
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", PIECES.split_at(4).0, &[], 1),
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", &PIECES, &[], 2),
        ];
        let head = LineHead {
            ns: 0,
            level: Level::Info,
            target: "m",
            location: Some(("f.rs", 1)),
            thread: ThreadId { tid: 1, name: [b'x'; 16] },
        };
        for (site, count) in NUMBERS.iter().zip(1..) {
            let mut bytes = vec![0; HEADER];
            for _ in 0..count {
                bytes.extend_from_slice(&meta(Kind::F64, false, 0).to_le_bytes());
            }
            bytes.resize(HEADER + metas(count), 0);
            for _ in 0..count {
                bytes.extend_from_slice(&(-1.234_567_890_123_456_7e-5_f64).to_bits().to_le_bytes());
            }
            let record = Record::new(&bytes);
            let (mut plans, mut cache) = (Plans::new(), LineCache::new());
            let mut line = |room: usize| {
                const GUARD: [u8; 512] = [0xA5; 512];
                let mut memory = [vec![0; room], GUARD.to_vec()].concat();
                let mut out = Out::new(&mut memory[..room]);
                plans.record(&mut cache, &mut out, 0, site, &record, || head.clone());
                let len = out.len();
                assert_eq!(memory[room..], GUARD, "a line stays in its room of {room}");
                memory.truncate(len);
                memory
            };
            let whole = line(4096);
            assert!(whole.len() > TIMESTAMP_BYTES + 180, "{}", whole.len());
            for room in 1..2048 {
                let part = line(room);
                let (_, text) = part.split_last().expect("it ends");
                assert!(whole.starts_with(text), "in {room}");
            }
        }
    }
}
