//! From a log statement through a ring to a line: values of every type, stored by the code that ships, in each
//! encoding and in slots of several sizes, come out as what `format!` gives, cut as the rules say.
//!
//! The statements are those of the macros, expanded against [`front`]: all but the thread's lane and the clock is
//! what a program runs. What is expected is computed from the values' own `Display` and `Debug`, the template as
//! `format!` reads it, and the table of sizes in `record.rs`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use super::input::Input;
use super::lent::Lent;
use super::text::{escaped, quoted};
use crate::arg::{Arena, Args, Deferred, Encoding, Offsets, Preformatted, Values};
use crate::callsite::{Callsite, Piece};
use crate::channel::{Channel, ChannelSpec};
use crate::format::{self, LineCache, LineHead, Out, Plans};
use crate::lane::ThreadId;
use crate::policy::{Block, DropOldest};
use crate::record::{HEADER, Record, SHARED_HEADER, frame_user};
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Frame, ProducerHalf, RingMemory, RingView};
use crate::{cold, hot};

/// What `emit!` takes for the crate: everything of it but where a record goes.
pub(super) mod front {
    pub(in crate::__fuzz) use crate::level::Level;

    pub(in crate::__fuzz) mod __private {
        pub(in crate::__fuzz) use crate::__fuzz::round_trip::{Lanes, log};
        pub(in crate::__fuzz) use crate::arg::{
            FieldDisplay, FieldOption, FieldValue, Formatted, PlainDisplay, PlainValue, Probe,
        };
        pub(in crate::__fuzz) use crate::callsite::{Callsite, Field, Piece};

        /// What is asked of a target before a record is made.
        pub(in crate::__fuzz) struct Target;

        impl Target {
            pub(in crate::__fuzz) fn wants(_: &Lanes, _: u8, _: crate::level::Level) -> bool {
                true
            }
        }
    }
}

/// A log statement of a program.
macro_rules! say {
    ($lanes:expr, $($statement:tt)*) => {
        kakashi_log_macros::emit! { (crate::__fuzz::round_trip::front) on Info ($lanes, $($statement)*) }
    };
}

/// A value by what it shows, and by the bytes that it takes.
#[derive(Clone, Debug)]
struct Told {
    text: String,
    /// Bytes of its cell, by whether it is preformatted.
    cell: [usize; 2],
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// As it is, whatever room there is.
    Fixed,
    /// A text of the program's.
    Text,
    /// A text that `core::fmt` makes in the arena.
    Formatted,
}

trait Tell: fmt::Display {
    const CELL: [usize; 2];
    const HOW: How = How::Fixed;

    fn told(&self) -> Told {
        Told { text: self.to_string(), cell: Self::CELL, how: Self::HOW }
    }
}

macro_rules! tell {
    ($($type:ty: $cell:expr;)*) => {$(
        impl Tell for $type {
            const CELL: [usize; 2] = $cell;
        }
    )*};
}

// Deferred, preformatted.
tell! {
    bool: [0, 0];
    char: [8, 8];
    u8: [8, 8];
    i8: [8, 8];
    u16: [8, 8];
    i16: [8, 8];
    u32: [8, 16];
    i32: [8, 16];
    u64: [8, 24];
    i64: [8, 24];
    usize: [8, 24];
    isize: [8, 24];
    u128: [16, 40];
    i128: [16, 40];
    f32: [8, 24];
    f64: [8, 24];
}

impl Tell for str {
    const CELL: [usize; 2] = [8, 8];
    const HOW: How = How::Text;
}

/// A value that is there only sometimes: its cell always is.
fn optional<T: Tell>(value: &Option<T>) -> Told {
    match value {
        Some(value) => value.told(),
        None => Told { text: "None".to_owned(), cell: T::CELL, how: How::Fixed },
    }
}

/// What `core::fmt` makes of a value.
fn formatted(text: String) -> Told {
    Told { text, cell: [8, 8], how: How::Formatted }
}

/// Has no type of ours, and writes piece by piece.
struct Pieces<'a>(&'a str, bool);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split_inclusive(' ').try_for_each(|piece| f.write_str(piece))?;
        if self.1 { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Pieces<'_> {
    /// What a line says of it: `format!` would panic where it fails.
    fn said(&self) -> String {
        format!("{}{}", self.0, if self.1 { "<fmt::Error>" } else { "" })
    }
}

/// What a line should say.
struct Expected {
    /// The message as `format!` makes it.
    message: String,
    /// Names of the fields behind it.
    fields: &'static [&'static str],
    /// The values in the record's order.
    values: Vec<Told>,
    /// Room for what `core::fmt` makes.
    arena: usize,
    tick: u64,
    logger: u16,
}

impl Expected {
    /// The values as far as they are kept, with the bytes that are missing: first where they are formatted, then by
    /// the record's most bytes for a text. `None` when even without texts there is no room.
    fn kept<C: ChannelSpec>(&self, shared: bool) -> Option<Vec<(String, usize)>> {
        let mut room = self.arena;
        let kept = self.values.iter().map(|value| match value.how {
            How::Formatted => {
                let text = &value.text[..value.text.floor_char_boundary(room)];
                room -= text.len();
                (text, value.text.len() - text.len())
            }
            _ => (&value.text[..], 0),
        });
        let kept: Vec<_> = kept.collect();
        let most_slots = (68 * 1024 + C::PREFIX).div_ceil(C::SLOT_BYTES).min(C::SLOTS / 2);
        let cells = self.values.iter().map(|value| value.cell[usize::from(C::Encoding::PREFORMATTED)]);
        let fixed = if shared { 40 } else { 16 } + self.values.len().div_ceil(4) * 8 + cells.sum::<usize>();
        let room = (most_slots * C::SLOT_BYTES).checked_sub(C::PREFIX + fixed)?;
        let texts = || kept.iter().zip(&self.values).filter(|(_, value)| value.how != How::Fixed);
        let fits = |cap: usize| {
            texts().map(|((text, _), _)| text.len().min(cap).next_multiple_of(8)).sum::<usize>() <= room
        };
        let longest = texts().map(|((text, _), _)| text.len()).max().unwrap_or(0);
        // Texts take whole words.
        let cap = if fits(longest) {
            longest
        } else {
            (0..=longest).step_by(8).take_while(|&cap| fits(cap)).last()?
        };
        let shown = kept.iter().zip(&self.values).map(|(&(text, cut), value)| match value.how {
            How::Fixed => (text.to_owned(), 0),
            _ => {
                let short = &text[..text.floor_char_boundary(cap)];
                (short.to_owned(), cut + text.len() - short.len())
            }
        });
        Some(shown.collect())
    }

    /// The line's message and fields, of values as far as they were kept.
    fn text(&self, callsite: &Callsite, kept: &[(String, usize)]) -> String {
        let statement = callsite.statement();
        let value = |at: u8, show: fn(&str) -> String| {
            let (text, cut) = &kept[usize::from(at)];
            let mark = if *cut == 0 { String::new() } else { format!("…[+{cut} bytes]") };
            show(text) + &mark
        };
        let mut line = String::new();
        for piece in statement.pieces {
            match *piece {
                Piece::Literal(text) => line += &escaped(text),
                Piece::Value(at) => line += &value(at, escaped),
            }
        }
        let fields = statement.fields.iter().filter(|field| !field.in_message);
        for (field, name) in fields.zip(self.fields) {
            assert_eq!(field.name, *name);
            line += &format!(" {name}={}", value(field.value, quoted));
        }
        line
    }
}

const THREAD: ThreadId = ThreadId { tid: 7, name: *b"round-trip\0\0\0\0\0\0" };

/// A ring of a channel, and what was put into it and not yet read.
struct Lane<C: ChannelSpec> {
    producer: <C::Ring as RingMemory>::Producer,
    consumer: Box<dyn Consumer>,
    plans: Plans,
    cache: LineCache,
    shared: bool,
    room: Vec<u8>,
    waiting: VecDeque<(&'static Callsite, u64, u16, String)>,
    // Behind the halves: dropped last.
    _ring: Lent<C::Ring>,
}

impl<C: ChannelSpec> Lane<C> {
    fn new(ring: Box<C::Ring>, shared: bool) -> Self {
        let ring = Lent::of(ring);
        // SAFETY: the halves are dropped before the ring.
        let lent = unsafe { ring.get() };
        let (producer, consumer) = (lent.producer(), lent.consumer());
        let (plans, cache, room, waiting) = (Plans::new(), LineCache::new(), Vec::new(), VecDeque::new());
        Lane { producer, consumer, plans, cache, shared, room, waiting, _ring: ring }
    }

    /// Steps over so many slots, so that what follows lies anywhere in the ring.
    fn turn(&mut self, slots: usize) {
        for _ in 0..slots % C::SLOTS {
            self.producer.reserve(1).expect("it is empty").commit(0);
            self.consumer.poll();
            self.consumer.run();
            self.consumer.advance(1, 1);
            self.consumer.release();
        }
    }

    /// One call, as `hot` makes it.
    fn log<A: Args>(
        &mut self,
        callsite: &'static Callsite,
        args: &A,
        expected: &Expected,
        memory: &mut [u8],
    ) {
        let arena = Arena::new(&mut memory[..expected.arena]);
        let values = args.ready(&arena);
        let header = if self.shared { SHARED_HEADER } else { HEADER };
        let at = Offsets::new::<A::Ready<'_>>(C::Encoding::PREFORMATTED, header);
        let cap = hot::cap::<C, _>(&values, at);
        let kept = expected.kept::<C>(self.shared);
        let (Some(cap), Some(kept)) = (cap, &kept) else {
            assert_eq!(cap.is_some(), kept.is_some(), "whether there is room for {:?}", expected.values);
            return;
        };
        assert_eq!(values.is_cut(cap), kept.iter().any(|(_, cut)| *cut != 0), "whether it counts as cut");
        let slots = hot::slots::<C, _>(&values, at, cap);
        let line = expected.text(callsite, kept);
        let shared = self.shared;
        for full in [false, true] {
            if full {
                self.read();
            }
            let half: *mut _ = &mut self.producer;
            // SAFETY: one grant at a time: the first is none when the second is asked for, which the borrow checker
            // does not see.
            let grant = unsafe { (*half).reserve_known(slots).or_else(|| (*half).reserve(slots)) };
            let Some(grant) = grant else {
                assert!(!full, "an empty ring has room for {slots} slots");
                continue;
            };
            // SAFETY: that many slots were reserved, with room for the thread if the header has it.
            unsafe {
                if shared {
                    cold::put_thread(grant.dest(), THREAD);
                }
                let user = frame_user(callsite.id(), expected.logger);
                hot::fill::<C, _, _>(grant, expected.tick, user, &values, at, cap);
            }
            break;
        }
        self.waiting.push_back((callsite, expected.tick, expected.logger, line));
    }

    /// Reads all, and holds it against what is waiting.
    fn read(&mut self) {
        self.consumer.poll();
        loop {
            let run = self.consumer.run();
            // What was evicted, in its order: the oldest.
            self.waiting.drain(..run.evicted as usize);
            if run.len == 0 {
                break;
            }
            // SAFETY: a run is that many readable bytes.
            let bytes = unsafe { core::slice::from_raw_parts(run.start, run.len) };
            let frame =
                Frame(u64::from_le_bytes(*bytes.first_chunk().expect("a run begins with a frame word")));
            if !frame.is_filler() {
                let frame = &bytes[..frame.slots() * run.slot_bytes - C::PREFIX];
                self.check(frame);
            }
            self.consumer.advance(frame.slots(), u64::from(!frame.is_filler()));
        }
        self.consumer.release();
        assert!(self.waiting.is_empty() || C::PREFIX != 0, "all is read");
    }

    fn check(&mut self, bytes: &[u8]) {
        let (callsite, tick, logger, line) = self.waiting.pop_front().expect("something was logged");
        let record = Record::new(bytes);
        assert_eq!((record.callsite, record.logger), (callsite.id(), logger));
        assert_eq!(bytes[8..16], tick.to_le_bytes());
        assert!(!self.shared || record.thread() == THREAD);
        let location = Some((callsite.file(), callsite.line()));
        let head = LineHead {
            ns: 0,
            level: callsite.level(),
            target: callsite.module_path(),
            location,
            thread: THREAD,
        };
        let expected = format!(
            "1970-01-01T00:00:00.000000000Z INFO  {} {}:{} [round-trip] {line}\n",
            callsite.module_path(),
            callsite.file(),
            callsite.line()
        );
        // As wide as the writer has it, or as narrow as the line itself.
        let wide = (4 * bytes.len() + 1024).max(expected.len());
        self.room.resize(self.room.len().max(wide), 0);
        for room in [wide, wide, expected.len()] {
            let mut out = Out::new(&mut self.room[..room]);
            format::record(&mut self.cache, &mut out, &head, callsite.statement(), &record, self.shared);
            let len = out.len();
            assert_eq!(String::from_utf8_lossy(&self.room[..len]), expected);
            if !self.shared {
                let mut out = Out::new(&mut self.room[..room]);
                self.plans.record(&mut self.cache, &mut out, head.ns, callsite, &record, || head.clone());
                let len = out.len();
                assert_eq!(String::from_utf8_lossy(&self.room[..len]), expected);
            }
        }
    }
}

/// Room of a lane for what `core::fmt` makes.
const ARENA: usize = 64 * 1024;

/// A lane of each kind, and what the next call should come to.
pub(super) struct Lanes {
    all: RefCell<All>,
    expected: RefCell<Option<Expected>>,
}

macro_rules! lanes {
    ($($name:ident: Channel<$bytes:literal, $slots:literal, 1, $policy:ty, $encoding:ty>, $ring:ident, $shared:literal;)*) => {
        struct All {
            memory: Vec<u8>,
            $($name: Lane<Channel<$bytes, $slots, 1, $policy, $encoding>>,)*
        }

        impl All {
            fn new() -> Self {
                All { memory: Vec::new(), $($name: Lane::new($ring::new_boxed(), $shared),)* }
            }

            fn turn(&mut self, slots: usize) {
                $(self.$name.turn(slots);)*
            }

            fn log<A: Args>(&mut self, callsite: &'static Callsite, args: &A, expected: &Expected) {
                let mut memory = core::mem::take(&mut self.memory);
                memory.resize(ARENA, 0);
                $(self.$name.log(callsite, args, expected, &mut memory);)*
                self.memory = memory;
            }

            fn read(&mut self) {
                $(self.$name.read();)*
            }
        }
    };
}

lanes! {
    tiny_preformatted: Channel<64, 4, 1, Block, Preformatted>, Spsc, false;
    tiny_deferred: Channel<64, 4, 1, Block, Deferred>, Spsc, false;
    small_preformatted: Channel<64, 16, 1, Block, Preformatted>, Spsc, false;
    small_deferred: Channel<64, 16, 1, Block, Deferred>, Spsc, false;
    shared: Channel<128, 8, 1, Block, Preformatted>, Spsc, true;
    oldest_preformatted: Channel<64, 8, 1, DropOldest, Preformatted>, Overwrite, false;
    oldest_deferred: Channel<64, 16, 1, DropOldest, Deferred>, Overwrite, false;
    oldest_shared: Channel<256, 8, 1, DropOldest, Deferred>, Overwrite, true;
    roomy_preformatted: Channel<4096, 64, 1, Block, Preformatted>, Spsc, false;
    roomy_deferred: Channel<4096, 64, 1, Block, Deferred>, Spsc, false;
}

impl Lanes {
    fn expect(
        &self,
        input: &mut Input<'_>,
        message: String,
        fields: &'static [&'static str],
        values: Vec<Told>,
    ) {
        // A lane's own memory, that of a nested call, or hardly any.
        let arena = match input.byte() {
            0..128 => ARENA,
            128..160 => 512,
            room => usize::from(room - 160),
        };
        let (tick, logger) = (input.number() as u64, input.number() as u16);
        *self.expected.borrow_mut() = Some(Expected { message, fields, values, arena, tick, logger });
    }
}

/// What a statement calls.
pub(super) fn log<A: Args>(lanes: &Lanes, callsite: &'static Callsite, args: A) {
    let expected = lanes.expected.take().expect("each statement is expected");
    let whole: Vec<_> = expected.values.iter().map(|value| (value.text.clone(), 0)).collect();
    let mut line = escaped(&expected.message);
    let shown = callsite.statement().fields.iter().filter(|field| !field.in_message);
    for (field, name) in shown.zip(expected.fields) {
        let _ = write!(line, " {name}={}", quoted(&whole[usize::from(field.value)].0));
    }
    assert_eq!(expected.text(callsite, &whole), line, "the statement is what was expected of it");
    assert_eq!(callsite.statement().values, expected.values.len());
    lanes.all.borrow_mut().log(callsite, &args, &expected);
}

/// The first byte says where in their rings the lanes begin; then come statements, each with its values.
pub fn round_trip(bytes: &[u8]) {
    // More than a record holds.
    let mut input = Input::new(bytes, 80_000);
    let lanes = Lanes { all: RefCell::new(All::new()), expected: RefCell::new(None) };
    lanes.all.borrow_mut().turn(input.byte().into());
    while !input.is_empty() {
        let which = input.byte();
        let statement = STATEMENTS[usize::from(which) % STATEMENTS.len()];
        statement(&lanes, &mut input);
        if which & 0x80 != 0 {
            lanes.all.borrow_mut().read();
        }
    }
    lanes.all.borrow_mut().read();
}

const STATEMENTS: [fn(&Lanes, &mut Input<'_>); 14] = [
    unsigned, signed, wide, floats, small, texts, owned, options, displayed, specs, many, repeated, plain,
    no_values,
];

fn unsigned(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.number() as u8, input.number() as u16, input.number() as u32);
    let (d, e) = (input.number() as u64, input.number() as usize);
    let values = vec![a.told(), b.told(), c.told(), d.told(), e.told()];
    lanes.expect(input, format!("{a} {b}{c}/{d}"), &["e"], values);
    say!(*lanes, "{} {}{}/{d}", a, b, c, d = d, e = e);
}

fn signed(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.number() as i8, input.number() as i16, input.number() as i32);
    let (d, e) = (input.number() as i64, input.number() as isize);
    let values = vec![a.told(), b.told(), c.told(), d.told(), e.told()];
    lanes.expect(input, format!("{{{a}}}{b} {c}…{d}"), &["e.f"], values);
    say!(*lanes, "{{{}}}{} {}…{}", a, b, c, d, e.f = e);
}

fn wide(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b) = (input.number(), input.number() as i128);
    lanes.expect(input, format!("{a} {b}"), &[], vec![a.told(), b.told()]);
    say!(*lanes, "{} {}", a, b);
}

fn floats(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.double(), input.double() as f32, input.double(), input.double() as f32);
    lanes.expect(input, format!("{a} {b}"), &["c", "d"], vec![a.told(), b.told(), c.told(), d.told()]);
    say!(*lanes, "{a} {}", b, c = c, d = d);
}

fn small(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.flag(), input.char(), input.char(), input.flag());
    lanes.expect(input, format!("{a}{b}"), &["c", "d"], vec![a.told(), b.told(), c.told(), d.told()]);
    say!(*lanes, "{}{}", a, b, c = c, d = d);
}

fn texts(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, n, b, c) = (input.text(), input.number() as u32, input.text(), input.text());
    let (a, b) = (a.as_str(), b.as_str());
    lanes.expect(
        input,
        format!("{a}|{n}|{b}"),
        &["c"],
        vec![a.told(), n.told(), b.told(), c.as_str().told()],
    );
    say!(*lanes, "{a}|{}|{}", n, b, c = c);
}

fn owned(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.text(), input.text(), input.text(), input.number() as i64);
    let values = vec![a.as_str().told(), b.as_str().told(), c.as_str().told(), d.told(), d.told()];
    lanes.expect(input, format!("{a}{b}"), &["c", "d", "e"], values);
    let (a, b, c) = (a.into_boxed_str(), std::sync::Arc::<str>::from(b), Cow::<str>::Owned(c));
    say!(*lanes, "{}{}", a, b, c = c, d = Box::new(d), e = &&d);
}

fn options(lanes: &Lanes, input: &mut Input<'_>) {
    let (some, text) = (input.byte(), input.text());
    let a = (some & 1 != 0).then(|| input.number() as i64);
    let b = (some & 2 != 0).then(|| input.double());
    let c = (some & 4 != 0).then_some(text.as_str());
    let d = (some & 8 != 0).then(|| input.number());
    let e = (some & 16 != 0).then(|| input.char());
    let f = (some & 32 != 0).then_some(true);
    let c_told = c.map_or(Told { text: "None".to_owned(), cell: [8, 8], how: How::Fixed }, str::told);
    let values = vec![optional(&a), optional(&b), c_told, optional(&d), optional(&e), optional(&f)];
    lanes.expect(input, "options".to_owned(), &["a", "b", "c", "d", "e", "f"], values);
    say!(*lanes, "options", a = a, b = b, c = c, d = d, e = e, f = f);
}

fn displayed(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, fails) = (input.text(), input.text(), input.text(), input.flag());
    let (a, b) = (Pieces(&a, fails), Pieces(&b, false));
    let c = Some(c);
    let values = vec![formatted(a.said()), formatted(b.said()), formatted(format!("{c:?}")), 7_u8.told()];
    lanes.expect(input, format!("{}, {b}", a.said()), &["c", "n"], values);
    say!(*lanes, "{}, {}", a, b, c = ?c, n = 7_u8);
}

fn specs(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c, d) = (input.text(), input.number() as i64, input.double(), input.char());
    let (width, precision) = (usize::from(input.byte()), usize::from(input.byte() % 32));
    let message = format!("{a:?} {b:>+width$} {c:*^9.precision$e} {d:?} {b:#x} {a:.precision$} {:010.3}", c);
    let values = [
        format!("{a:?}"),
        format!("{b:>+width$}"),
        format!("{c:*^9.precision$e}"),
        format!("{d:?}"),
        format!("{b:#x}"),
        format!("{a:.precision$}"),
        format!("{c:010.3}"),
    ];
    lanes.expect(input, message, &[], values.map(formatted).to_vec());
    say!(*lanes, "{a:?} {b:>+width$} {c:*^9.precision$e} {d:?} {b:#x} {a:.precision$} {:010.3}", c);
}

fn many(lanes: &Lanes, input: &mut Input<'_>) {
    let n: [i32; 16] = core::array::from_fn(|_| input.number() as i32);
    let (a, b) = (input.text(), input.text());
    let mut values: Vec<Told> = n.iter().map(Tell::told).collect();
    values.extend([a.as_str().told(), b.as_str().told()]);
    values.extend(n[..14].iter().map(|n| (*n as u16).told()));
    let message = n.map(|n| n.to_string()).join(" ")
        + " "
        + &a
        + &b
        + &n.map(|n| (n as u16).to_string())[..14].join("");
    lanes.expect(input, message, &[], values);
    let u = n.map(|n| n as u16);
    say!(
        *lanes,
        "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}",
        n[0],
        n[1],
        n[2],
        n[3],
        n[4],
        n[5],
        n[6],
        n[7],
        n[8],
        n[9],
        n[10],
        n[11],
        n[12],
        n[13],
        n[14],
        n[15],
        a,
        b,
        u[0],
        u[1],
        u[2],
        u[3],
        u[4],
        u[5],
        u[6],
        u[7],
        u[8],
        u[9],
        u[10],
        u[11],
        u[12],
        u[13]
    );
}

/// What no plan can hold: a value twice, and out of its order.
fn repeated(lanes: &Lanes, input: &mut Input<'_>) {
    let (a, b, c) = (input.text(), input.number() as u64, input.text());
    let values = vec![b.told(), a.as_str().told(), formatted(format!("{a:?}")), c.as_str().told()];
    lanes.expect(input, format!("{b}{a}{b} {a:?}"), &["c"], values);
    say!(*lanes, "{1}{0}{1} {0:?}", a, b, c = c);
}

fn plain(lanes: &Lanes, input: &mut Input<'_>) {
    let a = input.text();
    lanes.expect(input, a.clone(), &["a"], vec![a.as_str().told(), formatted(a.clone())]);
    say!(*lanes, "{}", a, a = %a);
}

fn no_values(lanes: &Lanes, input: &mut Input<'_>) {
    lanes.expect(input, "line\nend \u{1b}[0m {} \u{202e}".to_owned(), &[], Vec::new());
    say!(*lanes, "line\nend \u{1b}[0m {{}} \u{202e}");
}
