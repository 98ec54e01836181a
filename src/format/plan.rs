//! Plans: what is the same in every line of a statement and a thread, made once.
//!
//! A line is `time c0 v0 c1 v1 ... cn`: between the values stand texts that do not change, from the level and the
//! thread to the end of the line. A plan holds these, escaped, in one piece of memory; a line is then what stands before
//! the time (a user's pattern may have it elsewhere: then there are no plans), the time, and copies and numbers by turns. What a plan cannot hold (values out of their order, a text that
//! stands in the line twice, more than eight values or twelve places for them, 480 bytes of text) is rendered piece by
//! piece, by the same rules (`grammar.rs`).
//!
//! Where a record's cells lie, and how each becomes text, is told by its values' kinds, which are nearly always the
//! same for a statement. So a plan has a step for each value, made for the record that came last; whether the next one
//! fits is one comparison of its metas (`line.rs` goes over the steps, `row.rs` over records that follow each other).
//! Any bytes are rendered to something harmless here, too; `fuzz.rs` holds both ways against each other.

use super::digits::{integer, sign};
use super::escape::MAX_EXPANSION;
use super::grammar::{Grammar, START_BYTES, Text};
use super::json::{Ecs, Json, Otel};
use super::keys::Limits;
use super::logfmt::Logfmt;
use super::out::{Out, Pen};
use super::pattern::Pattern;
use super::said::Escape;
use super::timestamp::{Parts, TIMESTAMP_BYTES, Timestamp};
use super::what::What;
use super::{Format, LineCache, LineHead};
use crate::callsite::{Callsite, Piece, Statement};
use crate::level::Level;
use crate::record::{HEADER, Raw, Record, word};

/// Plans of one thread in one format.
const PLANS: usize = 64;
/// The formats with plans but for patterns, which have the first codes.
const FORMATS: usize = 5;
/// Bytes of a plan's texts.
pub(super) const TEXT: usize = 480;
/// Values of a plan.
pub(super) const VALUES: usize = 8;
/// Where they stand.
pub(super) const STEPS: usize = 12;
/// What a pen may read beyond a text.
const BEYOND: usize = Pen::BEYOND;

/// What a statement's lines are made of.
#[derive(Clone)]
pub(super) struct Plan {
    /// The callsite and the logger, as they stand in a record's first word; with `UNFIT`, of a statement whose lines are
    /// rendered piece by piece.
    pub(super) key: u64,
    pub(super) level: Level,
    pub(super) format: Format,
    /// Bit by bit: whether the step is a field, and whether an earlier one has its value.
    pub(super) fields: u16,
    again: u16,
    values: u8,
    pub(super) count: u8,
    /// The record that the steps were made for: its metas, as far as they say where cells lie and what is in them, and
    /// which bits these are.
    pub(super) metas: [u64; 2],
    pub(super) mask: [u64; 2],
    /// Where the texts of such a record's values begin, behind the last cell.
    pub(super) cells_end: u16,
    /// Bytes that a record must have.
    least: u32,
    /// Whether such records go beyond a cache line of 64 bytes.
    pub(super) wide: bool,
    pub(super) steps: [Step; STEPS],
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

impl Step {
    /// Which of the record's values it is.
    fn value(&self) -> usize {
        (usize::from(self.len) - HEADER) / 2 % VALUES
    }
}

/// What stands before a line's texts: a constant, and the time.
pub(super) struct Start {
    text: [u8; START_BYTES],
    len: usize,
    time_len: usize,
    /// The time is a number.
    in_ns: bool,
}

impl Start {
    pub(super) fn of(format: Format, time: &Timestamp) -> Start {
        let start = match format {
            Format::Json => Json::START,
            Format::JsonOtel => Otel::START,
            Format::JsonEcs => Ecs::START,
            Format::Logfmt => Logfmt::START,
            Format::Pattern(pattern) => pattern.start().unwrap_or_default(),
            _ => Text::START,
        };
        let mut text = [0; START_BYTES];
        text[..start.len()].copy_from_slice(start);
        Start { text, len: start.len(), time_len: time.len(), in_ns: format == Format::JsonOtel }
    }

    /// Writes it, and returns the pen behind it.
    ///
    /// # Safety
    /// There is room for [`Start::MOST`] bytes.
    #[inline(always)]
    pub(super) unsafe fn write<const QUOTED: bool>(
        &self,
        time: &mut Timestamp,
        mut pen: Pen,
        ns: i64,
    ) -> Pen {
        // SAFETY: as the caller promised.
        unsafe {
            // Most patterns, and all of text, begin with the time.
            if QUOTED || self.len > 0 {
                pen.put(0, self.text);
                pen = pen.moved(self.len);
            }
            let Parts { second, threes: [millis, micros, nanos], end, unix: (unix, unix_len) } =
                time.parts(ns);
            if QUOTED && self.in_ns {
                if unix_len == 0 {
                    sign(&mut pen, ns < 0);
                    integer(&mut pen, ns.unsigned_abs());
                    return pen;
                }
                pen.put(0, *unix);
                pen = pen.moved(unix_len);
                pen.put(0, millis);
                pen.put(3, micros);
                pen.put(6, nanos);
                return pen.moved(9);
            }
            pen.put(0, *second);
            pen.put(20, millis);
            pen.put(23, micros);
            pen.put(26, nanos);
            pen.put(29, end);
            pen.moved(self.time_len)
        }
    }

    const MOST: usize = START_BYTES + TIMESTAMP_BYTES;
}

/// The plans of one thread's statements, by the statement's place in the program, for each format.
pub(crate) struct Plans {
    formats: [Option<Box<[Plan; PLANS]>>; FORMATS],
    /// As many as there are sinks with a pattern of their own.
    patterns: Vec<(Pattern, Box<[Plan; PLANS]>)>,
}

impl Plans {
    /// None yet: the memory comes with the lane's first record in a format, some 50 KiB.
    pub(crate) fn new() -> Self {
        Plans { formats: [const { None }; FORMATS], patterns: Vec::new() }
    }

    #[cold]
    fn allocate() -> Box<[Plan; PLANS]> {
        const EMPTY: Plan = Plan {
            key: Plan::NONE,
            level: Level::Error,
            format: Format::Text,
            fields: 0,
            again: 0,
            values: 0,
            count: 0,
            metas: [0; 2],
            mask: [0; 2],
            cells_end: 0,
            least: 0,
            wide: false,
            steps: [Step { start: 0, text: 0, cell: 0, len: 0, what: What::Odd }; STEPS],
            last: (0, 0),
            texts: [0; TEXT + BEYOND],
        };
        Box::new([EMPTY; PLANS])
    }

    /// Whether there are plans for a format's lines.
    pub(crate) fn are_for(format: Format) -> bool {
        match format {
            Format::Pattern(pattern) => pattern.start().is_some(),
            _ => (format.code() as usize) < FORMATS,
        }
    }

    /// Forgets all: the lane has another thread.
    pub(crate) fn clear(&mut self) {
        let patterns = self.patterns.iter_mut().map(|(_, plans)| plans);
        for plan in self.formats.iter_mut().flatten().chain(patterns).flat_map(|all| all.iter_mut()) {
            plan.key = Plan::NONE;
        }
    }

    /// All of a format, if there are any yet.
    pub(super) fn all(&mut self, format: Format) -> Option<&mut [Plan; PLANS]> {
        match format {
            Format::Pattern(pattern) => {
                self.patterns.iter_mut().find(|(of, _)| *of == pattern).map(|(_, plans)| &mut **plans)
            }
            _ => self.formats.get_mut(format.code() as usize)?.as_deref_mut(),
        }
    }

    /// The same; they are made if there are none. `None` of a format without plans.
    fn all_or_new(&mut self, format: Format) -> Option<&mut [Plan; PLANS]> {
        let Format::Pattern(pattern) = format else {
            let plans = self.formats.get_mut(format.code() as usize)?;
            return Some(plans.get_or_insert_with(Self::allocate));
        };
        pattern.start()?;
        let at = self.patterns.iter().position(|(of, _)| *of == pattern).unwrap_or_else(|| {
            self.patterns.push((pattern, Self::allocate()));
            self.patterns.len() - 1
        });
        self.patterns.get_mut(at).map(|(_, plans)| &mut **plans)
    }

    /// One record as a line, its end included. `head` is called for a statement's first line, and whenever
    /// another one has taken its plan's place.
    #[allow(clippy::too_many_arguments)] // as of `format::record`
    pub(crate) fn record<'h>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        format: Format,
        ns: i64,
        callsite: &Callsite,
        record: &Record<'_>,
        head: impl Fn() -> LineHead<'h>,
    ) {
        if !record.has_context
            && let Some(plans) = self.all_or_new(format)
        {
            let key = record.key();
            let plan = &mut plans[Plan::place(key)];
            if plan.key & !Plan::UNFIT != key {
                plan.make(key, format, callsite.statement(), &head());
            }
            if plan.key == key
                && record.len() >= Plan::LEAST
                && plan.takes(record.bytes(), record.len())
                && if format.is_quoted() {
                    plan.record::<true>(cache, out, ns, record)
                } else {
                    plan.record::<false>(cache, out, ns, record)
                }
            {
                return;
            }
        }
        super::record(cache, out, format, &head(), callsite.statement(), record, false);
    }
}

impl Plan {
    const NONE: u64 = u64::MAX;
    const UNFIT: u64 = 1 << 63;

    /// Bytes of a record whose metas can be read as two words. Records of ours lie in slots of 64.
    pub(super) const LEAST: usize = HEADER + 16;

    /// Which of the steps it is.
    pub(super) fn place_of(&self, step: &Step) -> usize {
        self.steps.iter().position(|other| core::ptr::eq(other, step)).unwrap_or_default()
    }

    /// Which of the plans is the statement's. One statement may be used with several loggers by turns.
    #[inline(always)]
    pub(super) fn place(key: u64) -> usize {
        (key as u32 as usize / size_of::<Callsite>()).wrapping_add((key >> 32) as usize) % PLANS
    }

    /// The room that a line of a record of `len` bytes may need, its start included; of text also with escapes, where a
    /// line is cut by plan as it is piece by piece.
    #[inline(always)]
    pub(super) fn most<const QUOTED: bool>(len: usize) -> usize {
        Start::MOST + Self::rest(if QUOTED { len } else { len * MAX_EXPANSION })
    }

    /// The same without escapes from its first value on: the plan's texts, numbers and quotes, and texts no longer than
    /// the record.
    #[inline(always)]
    pub(super) fn rest(len: usize) -> usize {
        TEXT + STEPS * 32 + len + BEYOND
    }

    /// The line of a record that the plan takes. False when there is no room for it: then nothing is written.
    #[inline(always)]
    fn record<const QUOTED: bool>(
        &self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        ns: i64,
        record: &Record<'_>,
    ) -> bool {
        if out.remaining() <= Self::most::<QUOTED>(record.len()) {
            return false;
        }
        let start = Start::of(self.format, &cache.time);
        let before = out.here();
        // SAFETY: there is room for that much, and the plan takes it.
        let behind = unsafe {
            let pen = start.write::<QUOTED>(&mut cache.time, before, ns);
            self.line::<QUOTED>(out, pen, record.bytes())
        };
        // SAFETY: the pens are those that the output gave.
        unsafe { out.put_down(behind.unwrap_or(before)) };
        behind.is_some()
    }

    #[cold]
    #[inline(never)]
    fn make(&mut self, key: u64, format: Format, statement: Statement<'_>, head: &LineHead<'_>) {
        (self.level, self.format) = (head.level, format);
        // For no record yet.
        (self.metas, self.mask) = ([u64::MAX; 2], [0; 2]);
        self.key = if self.lay_out(format, statement, head).is_some() { key } else { key | Self::UNFIT };
    }

    /// `None` when the statement does not fit into a plan.
    fn lay_out(&mut self, format: Format, statement: Statement<'_>, head: &LineHead<'_>) -> Option<()> {
        (self.values, self.count, self.fields, self.again) = (0, 0, 0, 0);
        if statement.foreign || statement.values > VALUES {
            return None;
        }
        // Room that is never used up: a text that ends there is too long.
        let mut texts = [0; TEXT + 1];
        let mut layout = Layout { plan: self, out: Out::new(&mut texts), start: 0 };
        match format {
            Format::Json => layout.line::<Json>(statement, head)?,
            Format::JsonOtel => layout.line::<Otel>(statement, head)?,
            Format::JsonEcs => layout.line::<Ecs>(statement, head)?,
            Format::Logfmt => layout.line::<Logfmt>(statement, head)?,
            Format::Pattern(pattern) => pattern.lay_out(&mut layout, statement, head)?,
            _ => layout.line::<Text>(statement, head)?,
        }
        let Layout { mut out, start, .. } = layout;
        out.push_byte(b'\n');
        if out.len() > TEXT {
            return None;
        }
        self.last = (start as u16, (out.len() - start) as u16);
        // Those behind the last one that is shown, too: their metas are in the record.
        self.values = statement.values as u8;
        self.texts.get_mut(..=TEXT)?.copy_from_slice(&texts);
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
        len >= self.least as usize
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
        let mut raws = [Raw::default(); VALUES];
        for (at, raw) in raws.iter_mut().enumerate().take(values) {
            *raw = stream.next();
            let told: u128 = if raw.size_is_in_meta() { 0xFFFF } else { 0xFF };
            mask |= told << (16 * at);
        }
        // At most eight cells of 255 words.
        self.cells_end = stream.cell() as u16;
        self.wide = self.cells_end > 64;
        self.least = u32::from(self.cells_end).max(Self::LEAST as u32);
        for (step, at) in self.steps.iter_mut().zip(0..self.count) {
            let [field, again] = [self.fields, self.again].map(|bits| bits >> at & 1 != 0);
            let raw = &raws[step.value()];
            step.cell = raw.cell as u16;
            step.what = What::of(raw.tag, field, self.format);
            self.wide |= raw.is_text();
            if again && raw.is_text() {
                // Where it lies is not kept. No record is that long.
                self.least = u32::MAX;
            }
        }
        self.mask = [mask as u64, (mask >> 64) as u64];
        self.metas = [HEADER, HEADER + 8].map(|at| word(record, at) & self.mask[at / 8 - HEADER / 8]);
    }
}

/// A plan in the making: its texts up to now, and where the one begins that no value has ended yet.
pub(super) struct Layout<'p, 't> {
    plan: &'p mut Plan,
    pub(super) out: Out<'t>,
    start: usize,
}

impl Layout<'_, '_> {
    fn line<G: Grammar>(&mut self, statement: Statement<'_>, head: &LineHead<'_>) -> Option<()> {
        G::push_head(&mut self.out, Limits::NONE, head);
        self.message(statement, G::ESCAPE)?;
        G::push_tail(&mut self.out, Limits::NONE, head);
        for (at, field) in statement.fields.iter().enumerate() {
            if G::ALL_FIELDS || !field.in_message {
                G::push_key(&mut self.out, Limits::NONE, statement.fields, at);
                self.value(field.value, true)?;
            }
        }
        self.out.push(G::END);
        Some(())
    }

    pub(super) fn message(&mut self, statement: Statement<'_>, escape: Escape) -> Option<()> {
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => escape(&mut self.out, text.as_bytes()),
                Piece::Value(at) => self.value(at, false)?,
            }
        }
        Some(())
    }

    /// The text before value `at` ends here. Of the values that stand there for the first time, each is the next one.
    pub(super) fn value(&mut self, at: u8, field: bool) -> Option<()> {
        let (plan, end) = (&mut *self.plan, self.out.len());
        let step = plan.steps.get_mut(usize::from(plan.count)).filter(|_| at <= plan.values)?;
        (step.start, step.text) = (self.start as u16, (end - self.start) as u16);
        step.len = HEADER as u8 + 2 * at + 1;
        self.start = end;
        plan.fields |= u16::from(field) << plan.count;
        plan.again |= u16::from(at < plan.values) << plan.count;
        plan.values = plan.values.max(at + 1);
        plan.count += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{HEADER, Kind, meta, metas};
    use crate::zone::Zone;

    /// The longest texts that a plan takes, the longest numbers, the shortest records: in any room, a line stays
    /// in it, and is what it is where there is room enough, or its beginning.
    #[test]
    fn a_line_by_plan_stays_in_its_room() {
        const LITERAL: &str = "a text of fifty bytes, the same in all of the lines";
        const PIECES: [Piece<'static>; 10] = {
            let mut pieces = [const { Piece::Literal(LITERAL) }; 10];
            (pieces[8], pieces[9]) = (Piece::Value(0), Piece::Value(1));
            pieces
        };
        // As much as fits into a plan of text, of the others, and one value more.
        static NUMBERS: [Callsite; 4] = [
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", PIECES.split_at(9).0, &[], 1),
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", &PIECES, &[], 2),
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", PIECES.split_at(9).0.split_at(4).1, &[], 1),
            Callsite::new(Level::Info, false, "m", "f.rs", 1, "", PIECES.split_at(4).1, &[], 2),
        ];
        let head = LineHead {
            ns: 0,
            level: Level::Info,
            target: "m",
            location: Some(("f.rs", 1)),
            thread: ThreadId { tid: 1, name: [b'x'; 16] },
        };
        let formats = [
            Format::Text,
            Format::Json,
            Format::JsonOtel,
            Format::JsonEcs,
            Format::Logfmt,
            // A line's head as long as that of text.
            Format::pattern("begin {time} INFO m {file}:1 [{thread}] {message}").expect("it is one"),
        ];
        for (format, (site, count)) in formats
            .into_iter()
            .flat_map(|format| NUMBERS.iter().zip([1, 2, 1, 2]).map(move |site| (format, site)))
        {
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
                plans.record(&mut cache, &mut out, format, 0, site, &record, || head.clone());
                let len = out.len();
                assert_eq!(memory[room..], GUARD, "a line stays in its room of {room}");
                memory.truncate(len);
                memory
            };
            let whole = line(4096);
            assert!(whole.len() > TIMESTAMP_BYTES + 180, "{}", whole.len());
            for room in 1..2048 {
                let part = line(room);
                if !format.is_quoted() {
                    let (_, text) = part.split_last().expect("it ends");
                    assert!(whole.starts_with(text), "in {room}");
                } else if room >= whole.len() {
                    assert_eq!(part, whole, "in {room}");
                }
            }
        }
    }
}
