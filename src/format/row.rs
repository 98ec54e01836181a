//! Records that follow each other in a lane, rendered in one go.
//!
//! What is the same for all of them is looked at once, and what changes from one to the next (the place in the ring, the
//! output, the time, the counts) stays in registers. At the first record about which anything is out of the ordinary
//! (a filler, a younger or a late one, a statement without a plan, too little room) it ends: the writer has another way
//! for that one, and then comes back.

use super::out::Out;
use super::plan::{Plan, Plans, Start};
use super::{Format, LineCache};
use crate::clock::Shown;
use crate::level::LevelFilter;
use crate::record::word;
use crate::ring::{Frame, prefetch_read};

/// Frames next to each other, from a record on.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) frames: &'a [u8],
    /// Bytes from one frame to the next, per slot.
    pub(crate) slot_bytes: usize,
    /// The tick of records without one.
    pub(crate) untimed: u64,
    /// The tick up to which records are taken.
    pub(crate) limit: u64,
    /// No line is begun when there are that many bytes in the output.
    pub(crate) full: usize,
    /// The lines that are wanted, and their format; and those that others want, too, before which the row ends.
    pub(crate) wanted: LevelFilter,
    pub(crate) shared: LevelFilter,
    pub(crate) format: Format,
}

/// What was gone over.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Gone {
    pub(crate) bytes: usize,
    pub(crate) slots: usize,
    pub(crate) records: u64,
}

/// How many slots ahead a record's lines are asked for: its thread has written them, so that they lie in another core's
/// cache, and a line that is waited for costs more than the rest of the rendering.
const AHEAD: usize = 8;

impl Plans {
    /// Renders the row's records until something is out of the ordinary. The first one is not younger than the row's
    /// limit, and `shown` begins with it.
    #[inline]
    pub(crate) fn row(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        self.row_by(Wide::here(), cache, out, row, shown)
    }

    /// The same, with or without wide vectors.
    #[inline]
    fn row_by(
        &mut self,
        wide: Option<Wide>,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        match (wide, row.format.is_quoted()) {
            #[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
            // SAFETY: the processor has what it is compiled for.
            (Some(_), true) => unsafe { self.wide_row::<true>(cache, out, row, shown) },
            #[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
            // SAFETY: as above.
            (Some(_), false) => unsafe { self.wide_row::<false>(cache, out, row, shown) },
            (_, true) => self.any_row::<true>(cache, out, row, shown),
            (_, false) => self.any_row::<false>(cache, out, row, shown),
        }
    }

    /// By what most processors since 2013 have: copies of 32 bytes, and shifts and counts that need fewer instructions.
    ///
    /// Decision: the same code, compiled twice, hence the same head twice. A record of three numbers took 18.5 ns instead of 22 `Preformatted`, and one
    /// less of 39 `Deferred`; by 64 bytes (AVX-512), no less.
    #[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    #[inline(never)]
    fn wide_row<const QUOTED: bool>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        self.row_of::<QUOTED>(cache, out, row, shown)
    }

    /// By what every processor has.
    #[inline(never)]
    fn any_row<const QUOTED: bool>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        self.row_of::<QUOTED>(cache, out, row, shown)
    }

    #[inline(always)]
    fn row_of<const QUOTED: bool>(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        let Some(plans) = self.all(row.format) else { return Gone::default() };
        let start = Start::of(row.format, &cache.time);
        let mut pen = out.here();
        // What is left of the output when it is full.
        let least = out.remaining().saturating_sub(row.full.saturating_sub(out.len()));
        let mut rest = row.frames;
        let mut records = 0;
        while rest.len() >= Plan::LEAST {
            let (frame, tick) = (Frame(word(rest, 0)), word(rest, 8));
            let tick = if tick == 0 { row.untimed } else { tick };
            let len = (frame.slots() * row.slot_bytes).min(rest.len());
            let plan = &mut plans[Plan::place(frame.user())];
            // SAFETY: the pen is the one that the output gave.
            let room = unsafe { out.remaining_from(pen) };
            if frame.is_filler()
                || plan.key != frame.user()
                || row.shared.allows(plan.level)
                || tick > row.limit
                || room <= least
                || room <= Plan::most::<QUOTED>(len)
                || !plan.takes(rest, len)
            {
                break;
            }
            let Some(ns) = shown.ns(tick) else { break };
            prefetch(rest, row.slot_bytes, plan.wide, len);
            let (record, behind) = rest.split_at(len);
            if row.wanted.allows(plan.level) {
                // SAFETY: there is room for a line, and the plan takes the record.
                let behind = unsafe {
                    let pen = start.write::<QUOTED>(&mut cache.time, pen, ns);
                    plan.line::<QUOTED>(out, pen, record)
                };
                let Some(behind) = behind else { break };
                pen = behind;
            }
            records += 1;
            rest = behind;
        }
        // SAFETY: the pen is the one that the output gave.
        unsafe { out.put_down(pen) };
        let bytes = row.frames.len() - rest.len();
        Gone { bytes, slots: bytes.div_ceil(row.slot_bytes), records }
    }
}

/// Says that the processor has what [`Plans::wide_row`] is compiled for: there is one only where that was found.
#[derive(Clone, Copy)]
struct Wide(());

impl Wide {
    #[inline]
    fn here() -> Option<Wide> {
        #[cfg(all(target_arch = "x86_64", not(kakashi_portable)))]
        // Found out once, and a load from then on.
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        #[cfg(not(all(target_arch = "x86_64", not(kakashi_portable))))]
        let found = false;
        found.then_some(Wide(()))
    }
}

/// Asks for the lines of a record like this one, of `len` bytes, some slots ahead.
#[inline(always)]
fn prefetch(rest: &[u8], slot_bytes: usize, wide: bool, len: usize) {
    let ahead = AHEAD * slot_bytes;
    if ahead < rest.len() {
        let line = rest.as_ptr().wrapping_add(ahead);
        prefetch_read(line);
        if wide {
            prefetch_read(line.wrapping_add(64));
            if len > slot_bytes {
                for at in (128..len).step_by(64) {
                    prefetch_read(line.wrapping_add(at));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callsite::{Callsite, Field, Piece};
    use crate::clock::{self, Anchor};
    use crate::format::LineHead;
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::record::{Kind, Record, meta};
    use crate::zone::Zone;

    const RECORDS: u64 = 12;
    const SLOT: usize = 64;
    static SITE: Callsite = Callsite::new(
        Level::Info,
        false,
        "m",
        "f.rs",
        1,
        "",
        &[Piece::Literal("v="), Piece::Value(0)],
        &[Field { name: "v", value: 0, in_message: true }],
        1,
    );

    /// Records of one statement, a slot each: numbers of two kinds in turn, three of each.
    fn frames(first: u64) -> Vec<u8> {
        let record = |at: u64| {
            let value = 7.25e10 + at as f64;
            let (kind, raw) = match at / 3 % 2 {
                0 => (Kind::F64, value.to_bits()),
                _ => (Kind::U64, value as u64),
            };
            let mut bytes = [Frame::new(1, 0).0.to_le_bytes(), (first + at).to_le_bytes()].concat();
            bytes.extend(u64::from(meta(kind, false, 0)).to_le_bytes());
            bytes.extend(raw.to_le_bytes());
            bytes.resize(SLOT, 0);
            bytes
        };
        (0..RECORDS).flat_map(record).collect()
    }

    /// How rows can be rendered here.
    fn ways() -> impl Iterator<Item = Option<Wide>> {
        [None].into_iter().chain(Wide::here().map(Some))
    }

    fn head() -> LineHead<'static> {
        let thread = ThreadId { tid: 1, name: [b'x'; 16] };
        LineHead { ns: 0, level: Level::Info, target: "m", location: Some(("f.rs", 1)), thread }
    }

    /// In any room and up to any tick, a row's lines are those of its records one by one, whole ones, and nothing else is
    /// written to.
    #[test]
    fn a_row_is_its_records_one_by_one_in_its_room() {
        const GUARD: [u8; 512] = [0xA5; 512];
        let anchor = Anchor::new();
        let first = clock::now();
        let frames = frames(first);
        let pattern = |text| Format::pattern(text).expect("it is one");
        for format in [
            Format::Text,
            Format::Json,
            Format::JsonOtel,
            Format::JsonEcs,
            Format::Logfmt,
            pattern("{time} {message}{fields}"),
            pattern("[ sixteen bytes {time}] {thread:*^20} {line:>9} {message} {level:<7}"),
        ] {
            let (mut plans, mut cache) = (Plans::new(), LineCache::new(Zone::UTC));
            let mut shown = anchor.row(first).expect("it is not late");
            let mut ends = vec![0];
            let mut whole = vec![0; 4096];
            let mut out = Out::new(&mut whole);
            for (at, frame) in (0..).zip(frames.chunks(SLOT)) {
                let ns = shown.ns(first + at).expect("it is not late");
                plans.record(&mut cache, &mut out, format, ns, &SITE, &Record::new(frame), head);
                ends.push(out.len());
            }
            let whole = out.bytes().to_vec();
            for room in 0..2 * whole.len() + 1000 {
                for (taken, wide) in
                    [1, 5, RECORDS].into_iter().flat_map(|taken| ways().map(move |wide| (taken, wide)))
                {
                    let mut memory = [vec![0; room], GUARD.to_vec()].concat();
                    let mut out = Out::new(&mut memory[..room]);
                    let row = Row {
                        frames: &frames,
                        slot_bytes: SLOT,
                        untimed: 0,
                        limit: first + taken - 1,
                        full: room,
                        wanted: LevelFilter::Info,
                        shared: LevelFilter::Off,
                        format,
                    };
                    let mut shown = anchor.row(first).expect("it is not late");
                    let gone = plans.row_by(wide, &mut cache, &mut out, row, &mut shown);
                    let len = out.len();
                    assert_eq!(memory[room..], GUARD, "a row stays in its room of {room}");
                    assert!(gone.records <= taken, "{gone:?} in {room}");
                    assert_eq!(
                        (gone.bytes, gone.slots),
                        (gone.records as usize * SLOT, gone.records as usize)
                    );
                    assert_eq!(memory[..len], whole[..ends[gone.records as usize]], "{format:?} in {room}");
                    if room == 2 * whole.len() + 999 {
                        assert_eq!(gone.records, taken, "there is room enough");
                    }
                }
            }
        }
    }

    /// A text that grows by its escapes until there is no room for a whole line is left to the other way, which cuts it.
    #[test]
    fn a_line_that_outgrows_its_room_is_no_rows() {
        outgrown(1, 400, 6);
        // Longer: else the plan's own room is enough for it.
        outgrown(b'"', 4000, 2);
    }

    /// A field of so many of a byte, each of which becomes `growth` bytes.
    fn outgrown(byte: u8, len: usize, growth: usize) {
        const GUARD: [u8; 64] = [0xA5; 64];
        static FIELD: Callsite = Callsite::new(
            Level::Info,
            false,
            "m",
            "f.rs",
            1,
            "",
            &[],
            &[Field { name: "v", value: 0, in_message: false }],
            1,
        );
        let anchor = Anchor::new();
        let first = clock::now();
        let slots = len / SLOT + 1;
        let mut frame = [Frame::new(slots, 0).0.to_le_bytes(), first.to_le_bytes()].concat();
        frame.extend(u64::from(meta(Kind::Str, false, 0)).to_le_bytes());
        frame.extend((len as u64).to_le_bytes());
        frame.resize(frame.len() + len, byte);
        frame.resize(slots * SLOT, 0);
        let record = Record::new(&frame);
        for format in [Format::Json, Format::JsonOtel, Format::JsonEcs, Format::Logfmt] {
            let (mut plans, mut cache) = (Plans::new(), LineCache::new(Zone::UTC));
            let mut cut = 0;
            for room in (0..growth * len + 2000).step_by(len / 130) {
                let ns = anchor.row(first).and_then(|mut shown| shown.ns(first)).expect("it is not late");
                let head = LineHead { ns, ..head() };
                let mut piecewise = vec![0; room];
                let mut out = Out::new(&mut piecewise);
                crate::format::record(&mut cache, &mut out, format, &head, FIELD.statement(), &record, false);
                let expected = out.bytes().to_vec();
                let mut memory = [vec![0; room], GUARD.to_vec()].concat();
                let mut out = Out::new(&mut memory[..room]);
                plans.record(&mut cache, &mut out, format, ns, &FIELD, &record, || head.clone());
                assert_eq!(out.bytes(), expected, "{format:?} in {room}");
                assert_eq!(memory[room..], GUARD, "{format:?} in {room}");
                let row = Row {
                    frames: &frame,
                    slot_bytes: SLOT,
                    untimed: 0,
                    limit: first,
                    full: room,
                    wanted: LevelFilter::Info,
                    shared: LevelFilter::Off,
                    format,
                };
                for wide in ways() {
                    let mut out = Out::new(&mut memory[..room]);
                    let mut shown = anchor.row(first).expect("it is not late");
                    let gone = plans.row_by(wide, &mut cache, &mut out, row, &mut shown);
                    let whole = gone.records == 1;
                    assert_eq!(out.bytes(), if whole { &*expected } else { b"" }, "{format:?} in {room}");
                    assert_eq!(memory[room..], GUARD, "{format:?} in {room}");
                    let fits = expected.len() > growth * len;
                    assert!(fits || !whole, "{format:?}: a row has cut a line in {room}");
                    cut += usize::from(!fits && room > len + 1600);
                }
            }
            assert_ne!(cut, 0, "there are rooms for a plan, but for no whole line");
        }
    }

    /// A record that is shorter than its kinds ask for is not gone over, whatever lies behind it.
    #[test]
    fn a_record_without_its_cells_ends_a_row() {
        const VALUES: u8 = 8;
        static WIDE: Callsite = Callsite::new(
            Level::Info,
            false,
            "m",
            "f.rs",
            1,
            "",
            &[
                Piece::Value(0),
                Piece::Value(1),
                Piece::Value(2),
                Piece::Value(3),
                Piece::Value(4),
                Piece::Value(5),
                Piece::Value(6),
                Piece::Value(7),
            ],
            &[],
            VALUES,
        );
        let anchor = Anchor::new();
        let first = clock::now();
        let record = |slots: usize| {
            let mut bytes = [Frame::new(slots, 0).0.to_le_bytes(), first.to_le_bytes()].concat();
            bytes.extend(meta(Kind::U64, false, 0).to_le_bytes().repeat(VALUES.into()));
            bytes.resize(4 * SLOT, 0);
            bytes
        };
        let (mut plans, mut cache) = (Plans::new(), LineCache::new(Zone::UTC));
        let mut memory = vec![0; 8192];
        let mut out = Out::new(&mut memory);
        plans.record(&mut cache, &mut out, Format::Text, 0, &WIDE, &Record::new(&record(4)), head);
        for (slots, whole) in [(4, 1), (1, 0)] {
            let row = Row {
                frames: &record(slots),
                slot_bytes: SLOT,
                untimed: 0,
                limit: first,
                full: 8192,
                wanted: LevelFilter::Info,
                shared: LevelFilter::Off,
                format: Format::Text,
            };
            let mut shown = anchor.row(first).expect("it is not late");
            assert_eq!(plans.row(&mut cache, &mut out, row, &mut shown).records, whole, "{slots} slots");
        }
    }
}
