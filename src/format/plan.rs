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
use super::{LineCache, LineHead, MAX_EXPANSION, push_origin};
use crate::callsite::{Callsite, Piece, Statement};
use crate::level::Level;
use crate::record::{Kind, PREFORMATTED, Record};

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
    pub(super) steps: [Step; VALUES],
    /// Bytes of the text behind the last value.
    pub(super) last: u16,
    pub(super) texts: [u8; TEXT + BEYOND],
}

/// A value, and the text before it.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Bytes of the text.
    pub(super) text: u16,
    /// Where the value's cell lies in the record, and how many bytes it has.
    pub(super) cell: u16,
    pub(super) size: u16,
    pub(super) what: What,
}

/// How a value becomes text.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Not as one of the following: by all the rules (`format/mod.rs`).
    Odd,
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
            _ => What::Odd,
        }
    }
}

/// The plans of one thread's statements, by the statement's place in the program.
pub(crate) struct Plans(Box<[Plan]>);

impl Plans {
    /// None yet: the memory comes with the lane's first record, some 30 KiB.
    pub(crate) fn new() -> Self {
        Plans(Box::new([]))
    }

    #[cold]
    fn allocate(&mut self) {
        const EMPTY: Plan = Plan {
            key: Plan::NONE,
            level: Level::Error,
            fields: 0,
            values: 0,
            metas: [0; 2],
            mask: [0; 2],
            cells_end: 0,
            steps: [Step { text: 0, cell: 0, size: 0, what: What::Odd }; VALUES],
            last: 0,
            texts: [0; TEXT + BEYOND],
        };
        self.0 = vec![EMPTY; PLANS].into_boxed_slice();
    }

    /// Forgets all: the lane has another thread.
    pub(crate) fn clear(&mut self) {
        for plan in &mut self.0 {
            plan.key = Plan::NONE;
        }
    }

    /// Where the plan of the statement `key` is, if there is one. One statement may be used with several loggers by
    /// turns.
    #[inline(always)]
    pub(super) fn at(&mut self, key: u64) -> Option<&mut Plan> {
        let at = (key as u32 as usize / size_of::<Callsite>()).wrapping_add((key >> 32) as usize);
        self.0.get_mut(at % PLANS)
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
        if self.0.is_empty() {
            self.allocate();
        }
        let key = record.key();
        if let Some(plan) = self.at(key) {
            if plan.key & !Plan::UNFIT != key {
                plan.make(key, callsite.statement(), &head());
            }
            if plan.key == key && plan.takes(record.bytes()) && out.remaining() > plan.most(record.len()) {
                cache.time.push(out, ns);
                let pen = out.here();
                // SAFETY: there is room for that much.
                unsafe {
                    let pen = plan.line(out, pen, record);
                    out.put_down(pen);
                }
                return;
            }
        }
        super::record(cache, out, &head(), callsite.statement(), record, false);
    }
}

impl Plan {
    const NONE: u64 = u64::MAX;
    const UNFIT: u64 = 1 << 63;

    /// The room in which a line of a record of `len` bytes can never be cut, its time included: where there is less, it
    /// is rendered piece by piece.
    #[inline(always)]
    pub(super) fn most(&self, len: usize) -> usize {
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
            push_escaped(&mut out, field.name.as_bytes());
            out.push_byte(b'=');
            self.end_text(&mut start, out.len(), field.value, values, true)?;
        }
        out.push_byte(b'\n');
        if usize::from(self.values) != values || out.len() > TEXT {
            return None;
        }
        self.last = (out.len() - start) as u16;
        self.texts.get_mut(..=TEXT)?.copy_from_slice(&texts);
        Some(())
    }

    /// The text before value `at` ends at `end`.
    fn end_text(&mut self, start: &mut usize, end: usize, at: u8, values: usize, field: bool) -> Option<()> {
        if at != self.values || usize::from(at) >= values.min(VALUES) {
            return None;
        }
        self.steps.get_mut(usize::from(at))?.text = (end - *start) as u16;
        *start = end;
        self.fields |= u8::from(field) << at;
        self.values += 1;
        Some(())
    }

    /// Whether the record is one for whose like the steps are, or can be made.
    #[inline(always)]
    pub(super) fn takes(&mut self, record: &[u8]) -> bool {
        if !self.fits(record) {
            self.fit(record);
        }
        record.len() >= usize::from(self.cells_end) && self.fits(record)
    }

    /// Whether the steps are for records with such metas.
    #[inline(always)]
    fn fits(&self, record: &[u8]) -> bool {
        let Some([low, high]) = Record::metas_at(record) else { return false };
        (low & self.mask[0]) ^ self.metas[0] | (high & self.mask[1]) ^ self.metas[1] == 0
    }

    /// Makes the steps for a record.
    #[cold]
    #[inline(never)]
    fn fit(&mut self, record: &[u8]) {
        let Some(metas) = Record::metas_at(record) else { return };
        let values = usize::from(self.values).min(VALUES);
        let mut stream = Record::new(record).stream(values);
        let mut mask = 0;
        for (at, step) in self.steps.iter_mut().enumerate().take(values) {
            let raw = stream.next();
            (step.cell, step.size) = (raw.cell as u16, raw.size as u16);
            step.what = What::of(raw.tag, self.fields >> at & 1 != 0);
            let told: u128 = if raw.size_is_in_meta() { 0xFFFF } else { 0xFF };
            mask |= told << (16 * at);
        }
        // At most eight cells of 255 words.
        self.cells_end = stream.cell() as u16;
        self.mask = [mask as u64, (mask >> 64) as u64];
        self.metas = [metas[0] & self.mask[0], metas[1] & self.mask[1]];
    }
}
