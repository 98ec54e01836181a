//! What the fuzz targets call, and `tests/fuzz_replay.rs` calls with their corpora: functions of any bytes
//! that panic when a promise is broken.

use std::collections::VecDeque;

pub use crate::blackbox::fuzz::black_box;
use crate::callsite::{Callsite, Field, Piece};
use crate::format::{self, LineCache, LineHead, Out, Plans};
use crate::lane::ThreadId;
use crate::level::Level;
use crate::number;
use crate::record::{HEADER, Kind, MAX_VALUES, PLAIN, Record, meta, metas};
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Dest, Frame, ProducerHalf, RingMemory, RingView};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Each target by the name of its corpus.
pub const TARGETS: [(&str, Target); 5] =
    [("black_box", black_box), ("decode", decode), ("escape", escape), ("float", float), ("rings", rings)];

const fn field(name: &'static str, value: u8, in_message: bool) -> Field<'static> {
    Field { name, value, in_message }
}

/// Statements of several shapes; the last two say things that no macro would make them say.
static CALLSITES: [Callsite; 6] = {
    const fn site(
        template: &'static str,
        pieces: &'static [Piece<'static>],
        fields: &'static [Field<'static>],
        values: u8,
    ) -> Callsite {
        Callsite::new(Level::Info, false, "fuzz", "src/fuzz.rs", 1, template, pieces, fields, values)
    }
    use Piece::{Literal, Value};
    [
        site("static", &[Literal("static")], &[], 0),
        site("{}", &[Value(0)], &[], 1),
        site("{} @ {}", &[Value(0), Literal(" @ "), Value(1)], &[field("k", 2, false)], 3),
        site("{k}", &[Value(0)], &[field("k", 0, true), field("l", 1, false), field("m.n", 2, false)], 8),
        site("", &[], &[field("a", 30, false), field("b", 31, false)], MAX_VALUES as u8),
        site(
            "{}{}",
            &[Value(9), Literal("\n\u{202e}"), Value(0), Value(0)],
            &[field("\u{7f}", 200, false)],
            5,
        ),
    ]
};

/// The message of a text, and the same as a field.
static TEXT: Callsite = Callsite::new(
    Level::Info,
    false,
    "fuzz",
    "src/fuzz.rs",
    1,
    "{}",
    &[Piece::Value(0), Piece::Literal(" ")],
    &[field("k", 0, false)],
    1,
);

fn is_hazard(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Bytes behind the room of a line, which stay as they are.
const GUARD: [u8; 64] = [0xA5; 64];

/// A record as a line in `room` bytes.
fn render_in(room: usize, callsite: &Callsite, bytes: &[u8], shared: bool) -> String {
    let guarded = || [vec![0; room], GUARD.to_vec()].concat();
    let mut buffer = guarded();
    let record = Record::new(bytes);
    let thread =
        if shared { record.thread() } else { ThreadId { tid: 1, name: *b"fuzz\n\xff\0\0\0\0\0\0\0\0\0\0" } };
    let head = LineHead {
        ns: bytes.get(8..16).map_or(0, |tick| i64::from_le_bytes(tick.try_into().unwrap_or_default())),
        level: callsite.level(),
        target: callsite.module_path(),
        location: Some((callsite.file(), callsite.line())),
        thread,
    };
    let mut out = Out::new(&mut buffer[..room]);
    format::record(&mut LineCache::new(), &mut out, &head, callsite.statement(), &record, shared);
    let len = out.len();
    assert_eq!(buffer[room..], GUARD, "a line stays in its room");
    buffer.truncate(len);
    if !shared {
        // Twice: the first line makes the plan.
        let (mut plans, mut cache, mut planned) = (Plans::new(), LineCache::new(), guarded());
        for _ in 0..2 {
            let mut out = Out::new(&mut planned[..room]);
            plans.record(&mut cache, &mut out, head.ns, callsite, &record, || head.clone());
            let len = out.len();
            assert_eq!(planned[room..], GUARD, "a line by plan stays in its room");
            assert_eq!(
                String::from_utf8_lossy(&planned[..len]),
                String::from_utf8_lossy(&buffer),
                "a line by plan is the line piece by piece"
            );
        }
    }
    let line = String::from_utf8(buffer).expect("a line is UTF-8");
    assert!(line.ends_with('\n') || room == 0, "a line has an end: {line:?}");
    let text = line.strip_suffix('\n').unwrap_or_default();
    assert!(!text.contains(is_hazard), "a line is one line and drives no terminal: {line:?}");
    text.to_owned()
}

fn render(callsite: &Callsite, bytes: &[u8], shared: bool) -> String {
    let line = render_in(bytes.len() * 16 + 64 * 1024, callsite, bytes, shared);
    // Where there is less room, there is a part of it.
    let room = bytes.first().map_or(0, |&byte| byte as usize) * 2;
    let part = render_in(room, callsite, bytes, shared);
    assert!(line.starts_with(&part), "{part:?} is not a part of {line:?}");
    line
}

/// A slot may hold any bytes; what is rendered is one line of harmless text.
pub fn decode(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let callsite = &CALLSITES[choice as usize % CALLSITES.len()];
    render(callsite, bytes, choice & 0x80 != 0);
}

/// The message of a record of `TEXT`, and the field's value.
fn message(line: &str) -> &str {
    line.split_once("] ").expect("a line has a head").1
}

/// A record of one value: the frame word, the tick, the meta, the cell, the text.
fn record_of(kind: Kind, preformatted: bool, len: u8, cell: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend_from_slice(&meta(kind, preformatted, len).to_le_bytes());
    bytes.resize(HEADER + metas(1), 0);
    bytes.extend_from_slice(cell);
    bytes.resize(HEADER + metas(1) + kind.cell(preformatted), 0);
    bytes.extend_from_slice(text);
    bytes
}

/// Text is escaped as the plain description of it says, in a message and in a field.
pub fn escape(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let escaped = |quoted: bool| {
        text.chars().fold(String::new(), |so_far, char| match char {
            '\n' => so_far + r"\n",
            '\r' => so_far + r"\r",
            '\t' => so_far + r"\t",
            '"' | '\\' if quoted => so_far + "\\" + char.encode_utf8(&mut [0; 4]),
            _ if !is_hazard(char) => so_far + char.encode_utf8(&mut [0; 4]),
            _ if char.is_ascii() => so_far + &format!(r"\x{:02x}", char as u32),
            _ => so_far + &format!(r"\u{{{:x}}}", char as u32),
        })
    };
    let bare = !bytes.is_empty()
        && core::str::from_utf8(bytes).is_ok()
        && !text.contains(is_hazard)
        && !text.contains([' ', '"', '=', '\\']);
    let value = if bare { text.clone().into_owned() } else { format!("\"{}\"", escaped(true)) };
    let line =
        render(&TEXT, &record_of(Kind::Str, false, 0, &(bytes.len() as u64).to_le_bytes(), bytes), false);
    assert_eq!(message(&line), format!("{}  k={value}", escaped(false)));
}

/// A float's length as it stands in its meta.
fn len_of(text: number::Short) -> u8 {
    text.len | if text.plain { PLAIN } else { 0 }
}

/// A float is written as `Display` writes it, in both encodings; and a cell may hold any bytes.
pub fn float(bytes: &[u8]) {
    let check = |kind: Kind, bits: u64, cell: &[u8], len: u8, expected: String| {
        for record in
            [record_of(kind, false, 0, &bits.to_le_bytes(), &[]), record_of(kind, true, len, cell, &[])]
        {
            assert_eq!(message(&render(&TEXT, &record, false)), format!("{expected}  k={expected}"));
        }
    };
    for bytes in bytes.as_chunks::<8>().0 {
        let value = f64::from_le_bytes(*bytes);
        // Its neighbours in the number of decimals are the interesting ones.
        for value in [value, (value * 100.0).round() / 100.0, value.round(), f64::from(value as f32)] {
            let text = number::f64_text(value);
            check(Kind::F64, value.to_bits(), &text.bytes(), len_of(text), value.to_string());
            let value = value as f32;
            let text = number::f32_text(value);
            check(Kind::F32, u64::from(value.to_bits()), &text.bytes(), len_of(text), value.to_string());
        }
    }
    let len = bytes.len().min(24);
    render(&TEXT, &record_of(Kind::F64, true, len as u8, &bytes[..len], &[]), false);
}

/// Slots of the rings.
const N: u64 = 8;

/// What a ring should do, by positions that nobody wraps.
#[derive(Default)]
struct Model {
    /// What was published: position, slots, and the user of what is no filler.
    entries: VecDeque<(u64, u64, Option<u64>)>,
    write: u64,
    /// Given back by the consumer.
    released: u64,
    floor: u64,
    next_user: u64,
}

impl Model {
    /// Slots of a filler before a frame.
    fn filler(&self, slots: u64) -> u64 {
        let to_end = N - self.write % N;
        if slots > 1 && slots > to_end { to_end } else { 0 }
    }

    /// Where a frame would end.
    fn end(&self, slots: u64) -> u64 {
        self.write + self.filler(slots) + slots
    }

    /// What a ring that overwrites does to make room: what was read first, then whole frames.
    fn evict(&mut self, slots: u64) {
        let end = self.end(slots);
        if end > self.floor + N {
            self.floor = self.floor.max(self.released);
        }
        while end > self.floor + N {
            let floor = self.floor;
            self.floor += self.entries.iter().find(|entry| entry.0 == floor).expect("it is published").1;
        }
    }

    fn push(&mut self, slots: u64) {
        let filler = self.filler(slots);
        if filler != 0 {
            self.entries.push_back((self.write, filler, None));
        }
        self.entries.push_back((self.write + filler, slots, Some(self.next_user)));
        self.write += filler + slots;
        self.next_user += 1;
    }

    /// The first frame from `position` on that is published before `snapshot`: slots and user.
    fn next(&self, position: u64, snapshot: u64) -> Option<(u64, u64, u64)> {
        let mut frames = self.entries.iter().filter_map(|&(at, slots, user)| Some((at, slots, user?)));
        frames.find(|&(at, ..)| at >= position && at < snapshot)
    }
}

fn push<P: ProducerHalf>(producer: &mut P, slots: u64, prefix: u64, user: u64, commit: bool) -> bool {
    let bytes = (slots * 64 - prefix) as usize;
    let (half, slots): (*mut P, usize) = (producer, slots as usize);
    // As a call does it: by what is known first, then by asking.
    // SAFETY: one grant at a time: the first is none when the second is asked for, which the borrow checker does
    // not see.
    let Some(grant) = (unsafe { (*half).reserve_known(slots).or_else(|| (*half).reserve(slots)) }) else {
        return false;
    };
    let word = user | 0xA5 << 56;
    // SAFETY: all within the frame; `bytes` counts from the frame word.
    unsafe {
        if user.is_multiple_of(2) {
            grant.dest().put_bytes(8, &word.to_le_bytes().repeat(bytes / 8)[..bytes - 8]);
        } else {
            (8..bytes).step_by(8).for_each(|at| grant.dest().put(at, word));
        }
    }
    if commit {
        grant.commit(user);
    }
    true
}

/// The frame at hand: slots and user; its payload is checked.
fn look(consumer: &mut dyn Consumer, prefix: usize, evicted: &mut u64) -> Option<(u64, u64)> {
    loop {
        let run = consumer.run();
        *evicted += run.evicted;
        if run.len == 0 {
            return None;
        }
        // SAFETY: a run is that many readable bytes, in whole words.
        let words = unsafe { core::slice::from_raw_parts(run.start.cast::<u64>(), run.len / 8) };
        let frame = Frame(words[0]);
        if frame.is_filler() {
            consumer.advance(frame.slots(), 0);
            continue;
        }
        let len = (frame.slots() * run.slot_bytes - prefix) / 8;
        assert!(words[1..len].iter().all(|&word| word == frame.user() | 0xA5 << 56), "torn: {words:x?}");
        return Some((frame.slots() as u64, frame.user()));
    }
}

/// Lends a box for good, as far as `body` can tell.
fn with_static<T: 'static>(value: Box<T>, body: impl FnOnce(&'static T)) {
    let value = Box::into_raw(value);
    // SAFETY: it lives until the next statement, and `body` drops what refers to it.
    body(unsafe { &*value });
    // SAFETY: it came from a box.
    drop(unsafe { Box::from_raw(value) });
}

/// Both rings against a queue: the first byte chooses the ring, each other one is a step.
pub fn rings(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, steps)) if first.is_multiple_of(2) => {
            with_static(Spsc::<64, 8>::new_boxed(), |ring| refuse(ring, steps))
        }
        Some((_, steps)) => with_static(Overwrite::<64, 8>::new_boxed(), |ring| overwrite(ring, steps)),
        None => {}
    }
}

/// `Block`, `BlockFor` and `DropNewest`: it refuses exactly when there is no room, and loses nothing.
fn refuse(ring: &'static Spsc<64, 8>, steps: &[u8]) {
    let mut model = Model::default();
    let (mut producer, mut consumer) = (Some(ring.producer()), ring.consumer());
    let (mut snapshot, mut position, mut passed, mut none) = (0, 0, 0, 0);
    for step in steps {
        let slots = u64::from(1 + (step >> 4) % 4);
        let half = producer.get_or_insert_with(|| ring.producer());
        match step % 8 {
            0..3 => {
                let fits = model.end(slots) <= model.released + N;
                assert_eq!(push(half, slots, 0, model.next_user, true), fits);
                if fits {
                    model.push(slots);
                }
            }
            3 => {
                push(half, slots, 0, model.next_user, false);
            }
            4 => {
                snapshot = consumer.poll();
                assert_eq!(snapshot, model.write);
            }
            5 => {
                let expected = model.next(position, snapshot);
                let seen = look(&mut *consumer, 0, &mut none);
                assert_eq!(seen, expected.map(|(_, slots, user)| (slots, user)));
                if let Some((at, slots, _)) = expected {
                    consumer.advance(slots as usize, 1);
                    position = at + slots;
                    passed += 1;
                    assert_eq!(consumer.position(), position);
                }
            }
            6 => {
                consumer.release();
                model.released = consumer.position();
                assert_eq!(half.reader_position(), model.released);
                let counts = ring.counts();
                assert_eq!((counts.consumed, counts.queued()), (passed, model.next_user - passed));
            }
            // The next thread of the lane goes on where this one ended.
            _ => producer = None,
        }
        assert_eq!((ring.counts().published, ring.counts().evicted, none), (model.next_user, 0, 0));
    }
}

/// `DropOldest`: it never refuses, evicts whole frames from the oldest on and no more than it must, and what is
/// missed is told.
fn overwrite(ring: &'static Overwrite<64, 8>, steps: &[u8]) {
    let mut model = Model::default();
    let (mut producer, mut consumer) = (Some(ring.producer()), ring.consumer());
    let (mut snapshot, mut position, mut read, mut next) = (0, 0, 0, 0);
    // Copied out, and frames missed before it: no longer to be evicted.
    let mut at_hand = None;
    for step in steps {
        let slots = u64::from(1 + (step >> 4) % 4);
        let half = producer.get_or_insert_with(|| ring.producer());
        match step % 8 {
            0..4 => {
                let commit = step % 8 != 3;
                // A grant that is dropped has made room, too.
                model.evict(slots);
                assert!(push(half, slots, 8, model.next_user, commit), "it never refuses");
                if commit {
                    model.push(slots);
                }
            }
            4 => {
                snapshot = consumer.poll();
                assert_eq!(snapshot, model.write);
            }
            5 => {
                let expected = at_hand.or_else(|| model.next(position.max(model.floor), snapshot));
                let mut evicted = 0;
                let seen = look(&mut *consumer, 8, &mut evicted);
                assert_eq!(seen, expected.map(|(_, slots, user)| (slots, user)));
                at_hand = expected;
                if let Some((at, slots, user)) = expected {
                    assert_eq!(evicted, user - next, "what is missed is told");
                    if step >> 6 & 1 == 0 {
                        consumer.advance(slots as usize, 1);
                        (at_hand, position, read, next) = (None, at + slots, read + 1, user + 1);
                    }
                }
            }
            6 => {
                consumer.release();
                model.released = half.reader_position();
            }
            // The next thread of the lane goes on where this one ended.
            _ => producer = None,
        }
        let counts = ring.counts();
        assert_eq!(counts.published, model.next_user);
        assert_eq!(counts.published, counts.consumed + counts.evicted + counts.queued());
        assert!(counts.consumed >= read && counts.occupied <= N);
    }
}
