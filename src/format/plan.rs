//! Plans: what is the same in every line of a statement and a thread, made once.
//!
//! A line is `time c0 v0 c1 v1 ... cn`: between the values stand texts that do not change, from the level and the
//! thread to the end of the line. A plan holds these, escaped, in one piece of memory; a line is then the time, and
//! copies and numbers by turns. What a plan cannot hold (a value that the template names twice or out of its order,
//! more than eight values, 256 bytes of text) is rendered piece by piece, by the same rules (`format/mod.rs`).
//!
//! Where a record's cells lie, and how each becomes text, is told by its values' kinds, which are nearly always the
//! same for a statement. So a plan has a step for each value, made for the record that came last; whether the next one
//! fits is one comparison of its metas (`line.rs` goes over the steps, `row.rs` over records that follow each other).
//! Any bytes are rendered to something harmless here, too; `fuzz.rs` holds both ways against each other.

use super::escape::push_escaped;
use super::out::{Out, Pen};
use super::timestamp::TIMESTAMP_BYTES;
use super::{LineCache, LineHead, MAX_EXPANSION, push_field_name, push_origin};
use crate::callsite::{Callsite, Piece, Statement};
use crate::level::Level;
use crate::record::{HEADER, Kind, PREFORMATTED, Record, word};

/// Plans of one thread.
const PLANS: usize = 64;
/// Bytes of a plan's texts.
pub(super) const TEXT: usize = 256;
/// Values of a plan.
pub(super) const VALUES: usize = 8;
/// What a pen may read beyond a text.
const BEYOND: usize = Pen::BEYOND;

/// What a statement's lines are made of.
#[derive(Clone)]
pub(super) struct Plan {
    /// The callsite and the logger, as they stand in a record's first word; with `UNFIT`, of a statement whose lines are
    /// rendered piece by piece.
    pub(super) key: u64,
    pub(super) level: Level,
    /// Bit by bit: whether the value is a field's, which is quoted if it must be.
    pub(super) fields: u8,
    pub(super) values: u8,
    /// The record that the steps were made for: its metas, as far as they say where cells lie and what is in them, and
    /// which bits these are.
    pub(super) metas: [u64; 2],
    pub(super) mask: [u64; 2],
    /// Where the texts of such a record's values begin, behind the last cell.
    pub(super) cells_end: u16,
    /// Bytes that a record must have.
    pub(super) least: u16,
    /// Whether such records go beyond a cache line of 64 bytes.
    pub(super) wide: bool,
    pub(super) steps: [Step; VALUES],
    /// Where the text behind the last value begins, and its bytes.
    pub(super) last: (u16, u16),
    pub(super) texts: [u8; TEXT + BEYOND],
}

/// A value, and the text before it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Step {
    /// Where the text begins, and its bytes.
    pub(super) start: u16,
    pub(super) text: u16,
    /// Where the value's cell lies in the record.
    pub(super) cell: u16,
    /// Where the length in its meta lies in the record.
    pub(super) len: u8,
    pub(super) what: What,
}

/// How a value becomes text.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Not as one of the following: by all the rules (`format/mod.rs`).
    Odd,
    /// Nor this one, which is a field's.
    OddField,
    /// A number's text in one, two or three words.
    Digits8,
    Digits16,
    Digits24,
    /// The same of a float, which may have to be brought into another form.
    FloatDigits,
    Unsigned,
    Signed,
    F32,
    F64,
    Bool,
    /// A text in the message, and a field's, which is quoted if it must be.
    Text,
    Field,
}

impl What {
    fn of(tag: u8, field: bool) -> Self {
        match (Kind::of(tag), tag & PREFORMATTED != 0) {
            (Kind::Str | Kind::Display | Kind::Debug, _) if field => What::Field,
            (Kind::Str | Kind::Display | Kind::Debug, _) => What::Text,
            (Kind::U8 | Kind::U16 | Kind::I8 | Kind::I16, true) => What::Digits8,
            (Kind::U32 | Kind::I32, true) => What::Digits16,
            (Kind::U64 | Kind::I64, true) => What::Digits24,
            (Kind::F32 | Kind::F64, true) => What::FloatDigits,
            (Kind::Bool, false) => What::Bool,
            (Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64, false) => What::Unsigned,
            (Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64, false) => What::Signed,
            (Kind::F32, false) => What::F32,
            (Kind::F64, false) => What::F64,
            _ if field => What::OddField,
            _ => What::Odd,
        }
    }
}

/// The plans of one thread's statements, by the statement's place in the program.
pub(crate) struct Plans(Option<Box<[Plan; PLANS]>>);

impl Plans {
    /// None yet: the memory comes with the lane's first record, some 30 KiB.
    pub(crate) fn new() -> Self {
        Plans(None)
    }

    #[cold]
    fn allocate() -> Box<[Plan; PLANS]> {
        const EMPTY: Plan = Plan {
            key: Plan::NONE,
            level: Level::Error,
            fields: 0,
            values: 0,
            metas: [0; 2],
            mask: [0; 2],
            cells_end: 0,
            least: 0,
            wide: false,
            steps: [Step { start: 0, text: 0, cell: 0, len: 0, what: What::Odd }; VALUES],
            last: (0, 0),
            texts: [0; TEXT + BEYOND],
        };
        Box::new([EMPTY; PLANS])
    }

    /// Forgets all: the lane has another thread.
    pub(crate) fn clear(&mut self) {
        for plan in self.0.iter_mut().flat_map(|all| all.iter_mut()) {
            plan.key = Plan::NONE;
        }
    }

    /// All of them, if there are any yet.
    pub(super) fn all(&mut self) -> Option<&mut [Plan; PLANS]> {
        self.0.as_deref_mut()
    }

    /// One record as a text line, its end included. `head` is called for a statement's first line, and whenever
    /// another one has taken its plan's place.
    pub(crate) fn record<'h>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        ns: i64,
        callsite: &Callsite,
        record: &Record<'_>,
        head: impl Fn() -> LineHead<'h>,
    ) {
        if record.has_context {
            return super::text(cache, out, &head(), callsite.statement(), record, false);
        }
        let key = record.key();
        let plan = &mut self.0.get_or_insert_with(Self::allocate)[Plan::place(key)];
        if plan.key & !Plan::UNFIT != key {
            plan.make(key, callsite.statement(), &head());
        }
        if plan.key == key
            && record.len() >= Plan::LEAST
            && out.remaining() > Plan::most(record.len())
            && plan.takes(record.bytes(), record.len())
        {
            cache.time.push(out, ns);
            let pen = out.here();
            // SAFETY: there is room for that much, and the plan takes it.
            unsafe {
                let pen = plan.line(out, pen, record.bytes());
                out.put_down(pen);
            }
            return;
        }
        super::text(cache, out, &head(), callsite.statement(), record, false);
    }
}

impl Plan {
    const NONE: u64 = u64::MAX;
    const UNFIT: u64 = 1 << 63;

    /// Bytes of a record whose metas can be read as two words. Records of ours lie in slots of 64.
    pub(super) const LEAST: usize = HEADER + 16;

    /// Which of the plans is the statement's. One statement may be used with several loggers by turns.
    #[inline(always)]
    pub(super) fn place(key: u64) -> usize {
        (key as u32 as usize / size_of::<Callsite>()).wrapping_add((key >> 32) as usize) % PLANS
    }

    /// The room in which a line of a record of `len` bytes can never be cut, its time included: where there is less, it
    /// is rendered piece by piece.
    #[inline(always)]
    pub(super) fn most(len: usize) -> usize {
        TIMESTAMP_BYTES + Self::TEXTS_AND_NUMBERS + BEYOND + len * MAX_EXPANSION
    }

    /// The most that the plan's texts and a record's numbers come to.
    pub(super) const TEXTS_AND_NUMBERS: usize = TEXT + VALUES * 24;

    #[cold]
    #[inline(never)]
    fn make(&mut self, key: u64, statement: Statement<'_>, head: &LineHead<'_>) {
        self.level = head.level;
        // For no record yet.
        (self.metas, self.mask) = ([u64::MAX; 2], [0; 2]);
        self.key = if self.lay_out(statement, head).is_some() { key } else { key | Self::UNFIT };
    }

    /// `None` when the statement does not fit into a plan.
    fn lay_out(&mut self, statement: Statement<'_>, head: &LineHead<'_>) -> Option<()> {
        (self.values, self.fields) = (0, 0);
        if statement.foreign {
            return None;
        }
        let values = statement.values;
        // Room that is never used up: a text that ends there is too long.
        let mut texts = [0; TEXT + 1];
        let mut out = Out::new(&mut texts);
        let mut start = 0;
        push_origin(&mut out, head);
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => push_escaped(&mut out, text.as_bytes()),
                Piece::Value(at) => self.end_text(&mut start, out.len(), at, values, false)?,
            }
        }
        for field in statement.fields.iter().filter(|field| !field.in_message) {
            out.push_byte(b' ');
            push_field_name(&mut out, field.name);
            out.push_byte(b'=');
            self.end_text(&mut start, out.len(), field.value, values, true)?;
        }
        out.push_byte(b'\n');
        if usize::from(self.values) != values || out.len() > TEXT {
            return None;
        }
        self.last = (start as u16, (out.len() - start) as u16);
        self.texts.get_mut(..=TEXT)?.copy_from_slice(&texts);
        Some(())
    }

    /// The text before value `at` ends at `end`.
    fn end_text(&mut self, start: &mut usize, end: usize, at: u8, values: usize, field: bool) -> Option<()> {
        if at != self.values || usize::from(at) >= values.min(VALUES) {
            return None;
        }
        let step = self.steps.get_mut(usize::from(at))?;
        (step.start, step.text) = (*start as u16, (end - *start) as u16);
        *start = end;
        self.fields |= u8::from(field) << at;
        self.values += 1;
        Some(())
    }

    /// Whether the record, the first `len` bytes of `from`, is one for whose like the steps are, or can be made.
    ///
    /// # Panics
    /// When there are not `LEAST` bytes.
    #[inline(always)]
    pub(super) fn takes(&mut self, from: &[u8], len: usize) -> bool {
        if !self.fits(from) {
            self.fit(&from[..len]);
        }
        len >= usize::from(self.least)
    }

    /// Whether the steps are for records with such metas.
    #[inline(always)]
    fn fits(&self, record: &[u8]) -> bool {
        let metas = [HEADER, HEADER + 8].map(|at| word(record, at) & self.mask[at / 8 - HEADER / 8]);
        metas == self.metas
    }

    /// Makes the steps for a record.
    #[cold]
    #[inline(never)]
    fn fit(&mut self, record: &[u8]) {
        let values = usize::from(self.values).min(VALUES);
        let mut stream = Record::new(record).stream(values);
        let mut mask = 0;
        for (at, step) in self.steps.iter_mut().enumerate().take(values) {
            let raw = stream.next();
            (step.cell, step.len) = (raw.cell as u16, (HEADER + 2 * at + 1) as u8);
            step.what = What::of(raw.tag, self.fields >> at & 1 != 0);
            let told: u128 = if raw.size_is_in_meta() { 0xFFFF } else { 0xFF };
            mask |= told << (16 * at);
        }
        // At most eight cells of 255 words.
        self.cells_end = stream.cell() as u16;
        let texts = self.steps[..values].iter().any(|step| matches!(step.what, What::Text | What::Field));
        self.wide = self.cells_end > 64 || texts;
        self.least = self.cells_end.max(Self::LEAST as u16);
        self.mask = [mask as u64, (mask >> 64) as u64];
        self.metas = [HEADER, HEADER + 8].map(|at| word(record, at) & self.mask[at / 8 - HEADER / 8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{HEADER, meta, metas};
    use crate::zone::Zone;

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
            let (mut plans, mut cache) = (Plans::new(), LineCache::new(Zone::UTC));
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
