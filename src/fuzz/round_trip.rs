//! From a log statement through a ring to a line: values of every type, stored by the code that ships, in each
//! encoding and in slots of several sizes, come out as what `format!` gives, cut as the rules say.
//!
//! The statements are those of the macros, expanded against [`front`]: all but the thread's lane and the clock is
//! what a program runs. What is expected is computed from the values' own `Display` and `Debug`, the template as
//! `format!` reads it, and the table of sizes in `record.rs`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;

use super::input::Input;
use super::lent::Lent;
use super::statements::STATEMENTS;
use super::text::{escaped, quoted};
use super::told::{Expected, Told};
use crate::arg::{Arena, Args, Deferred, Encoding, Offsets, Preformatted, UNCAPPED, Values};
use crate::callsite::Callsite;
use crate::channel::{Channel, ChannelSpec};
use crate::format::{self, LineCache, LineHead, Out, Plans};
use crate::lane::ThreadId;
use crate::policy::{Block, DropOldest};
use crate::record::{HEADER, Record, SHARED_HEADER, frame_user};
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Frame, ProducerHalf, RingMemory, RingView};
use crate::zone::Zone;
use crate::{cold, hot};

/// What `emit!` takes for the crate: everything of it but where a record goes.
pub(super) mod front {
    pub(in crate::__fuzz) use crate::level::Level;

    pub(in crate::__fuzz) mod __private {
        pub(in crate::__fuzz) use crate::__fuzz::round_trip::{Lanes, log};
        pub(in crate::__fuzz) use crate::arg::{
            FieldDisplay, FieldOption, FieldValue, Formatted, PlainDisplay, PlainValue, Probe, SizeAny,
            SizeKnown, SpecAny, SpecKnown,
        };
        pub(in crate::__fuzz) use crate::callsite::{Callsite, Field, Piece};
        pub(in crate::__fuzz) use crate::spec::Spec;

        /// What is asked of a target before a record is made.
        pub(in crate::__fuzz) struct Target;

        impl Target {
            pub(in crate::__fuzz) fn wants(_: &Lanes, _: u8, _: crate::level::Level) -> bool {
                true
            }
        }
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
    /// The last record was one that relieved the writer.
    relieves: bool,
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
        let (plans, cache, room, waiting) =
            (Plans::new(), LineCache::new(Zone::UTC), Vec::new(), VecDeque::new());
        Lane { producer, consumer, plans, cache, shared, relieves: false, room, waiting, _ring: ring }
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
        // Every other record is one that relieves the writer, where that fits.
        self.relieves = !self.relieves && !self.shared;
        let as_text = Offsets::new::<A::Ready<'_>>(true, header);
        let relieves = self.relieves && hot::slots::<C, _>(&values, as_text, UNCAPPED) <= C::MAX_SLOTS;
        let (preformatted, at) = if relieves { (true, as_text) } else { (C::Encoding::PREFORMATTED, at) };
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
                hot::fill(grant, expected.tick, user, preformatted, &values, at, cap);
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
        // As wide as the writer has it, or as narrow as the line itself; by plan, with room behind it for a pen.
        let wide = 4 * bytes.len() + 1024 + expected.len();
        self.room.resize(self.room.len().max(wide + PEN + 8192), 0);
        for (room, for_plan) in [(wide, wide), (wide, wide), (expected.len(), expected.len() + PEN + 4096)] {
            let mut out = Out::new(&mut self.room[..room]);
            format::record(
                &mut self.cache,
                &mut out,
                format::Format::Text,
                &head,
                callsite.statement(),
                &record,
                self.shared,
            );
            let len = out.len();
            assert_eq!(String::from_utf8_lossy(&self.room[..len]), expected);
            if !self.shared {
                let mut out = Out::new(&mut self.room[..for_plan]);
                let format = format::Format::Text;
                self.plans.record(&mut self.cache, &mut out, format, 0, callsite, &record, || head.clone());
                let len = out.len();
                assert_eq!(String::from_utf8_lossy(&self.room[..len]), expected);
            }
        }
    }
}

/// More than a plan's pen is asked for at a time.
const PEN: usize = 512;

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
    pub(super) fn expect(
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
