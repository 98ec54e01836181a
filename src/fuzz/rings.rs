//! Ring operations against a queue: each byte of an input is a step.

use std::collections::VecDeque;

use super::lent::Lent;
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Dest, Frame, ProducerHalf, RingMemory, RingView};

/// Slots of the rings.
const N: u64 = 8;

/// Where the positions begin: as in a new ring, off its start, and where 32 bits, or all that are counted, end.
const STARTS: [u64; 4] = [0, 3, (1 << 32) - 5, (1 << 63) - 7];

/// What a ring should do, by positions that nobody wraps.
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
    fn new(start: u64) -> Self {
        Model { entries: VecDeque::new(), write: start, released: start, floor: start, next_user: 0 }
    }

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

    /// All that lies next to each other in memory from `position` on: slots, and the user of what is no filler.
    fn run(&self, position: u64, snapshot: u64) -> Vec<(u64, Option<u64>)> {
        let to_end = position + N - position % N;
        let lies_there = |entry: &&(u64, u64, _)| (position..snapshot.min(to_end)).contains(&entry.0);
        self.entries.iter().filter(lies_there).map(|&(_, slots, user)| (slots, user)).collect()
    }

    /// The frames that a reader in the consumer's place sees.
    fn from(&self, position: u64) -> Vec<(u64, u64)> {
        let frames = self.entries.iter().filter(|entry| entry.0 >= position);
        frames.filter_map(|&(_, slots, user)| Some((slots, user?))).collect()
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

/// The frames that lie next to each other, from the one at hand on, fillers included; their payload is checked.
fn whole_run(consumer: &mut dyn Consumer) -> Vec<(u64, Option<u64>)> {
    let run = consumer.run();
    let mut words = match run.len {
        0 => &[][..],
        // SAFETY: a run is that many readable bytes, in whole words.
        len => unsafe { core::slice::from_raw_parts(run.start.cast::<u64>(), len / 8) },
    };
    let mut seen = Vec::new();
    while let Some(&first) = words.first() {
        let frame = Frame(first);
        let (payload, rest) = words.split_at(frame.slots() * run.slot_bytes / 8);
        let user = (!frame.is_filler()).then_some(frame.user());
        assert!(user.is_none_or(|user| payload[1..].iter().all(|&word| word == user | 0xA5 << 56)), "torn");
        seen.push((frame.slots() as u64, user));
        words = rest;
    }
    seen
}

/// What is there, for a reader in the consumer's place.
fn peek_all(ring: &dyn RingView, from: u64) -> Vec<(u64, u64)> {
    let (mut at, until) = (from, ring.ends().1);
    let (mut seen, mut copy) = (Vec::new(), [0; N as usize * 8]);
    // SAFETY: a frame begins at each of these positions, none of which is below the read position.
    while let Some(peek) = unsafe { ring.peek(at, until, &mut copy) } {
        let frame = Frame(copy[0]);
        assert!(copy[1..peek.words].iter().all(|&word| word == frame.user() | 0xA5 << 56), "torn: {copy:x?}");
        seen.push((frame.slots() as u64, frame.user()));
        at = peek.next;
    }
    assert!(at <= until);
    seen
}

/// An empty ring whose positions are at `start`.
fn started<R: RingMemory>(mut ring: Box<R>, start: u64) -> Lent<R> {
    let layout = R::LAYOUT;
    let floor = layout.overwrite.map_or(layout.read, |overwrite| overwrite.floor);
    for at in [layout.write, layout.read, floor] {
        // SAFETY: the layout says where in the ring, which is ours alone, the positions are: 64 bits each.
        unsafe { (&raw mut *ring).cast::<u8>().add(at).cast::<u64>().write(start) };
    }
    Lent::of(ring)
}

/// Both rings against a queue: the first byte chooses the ring and where it begins, each other one is a step.
pub fn rings(bytes: &[u8]) {
    let Some((&first, steps)) = bytes.split_first() else { return };
    let start = STARTS[usize::from(first >> 1) % STARTS.len()];
    if first.is_multiple_of(2) {
        let ring = started(Spsc::<64, 8>::new_boxed(), start);
        // SAFETY: the halves are gone when it returns.
        refuse(unsafe { ring.get() }, start, steps);
    } else {
        let ring = started(Overwrite::<64, 8>::new_boxed(), start);
        // SAFETY: as above.
        overwrite(unsafe { ring.get() }, start, steps);
    }
}

/// `Block`, `BlockFor` and `DropNewest`: it refuses exactly when there is no room, and loses nothing.
fn refuse(ring: &'static Spsc<64, 8>, start: u64, steps: &[u8]) {
    let mut model = Model::new(start);
    let (mut producer, mut consumer) = (Some(ring.producer()), ring.consumer());
    let (mut snapshot, mut position, mut passed, mut none) = (start, start, 0, 0);
    let mut pressed_until = start;
    for step in steps {
        let slots = u64::from(1 + (step >> 4) % 4);
        let whole = step >> 7 != 0;
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
                let fits = model.end(slots) <= model.released + N;
                assert_eq!(push(half, slots, 0, model.next_user, false), fits);
            }
            4 if whole => assert_eq!(peek_all(ring, model.released), model.from(model.released)),
            4 => {
                snapshot = consumer.poll();
                assert_eq!(snapshot, model.write);
            }
            5 if whole => {
                let expected = model.run(position, snapshot);
                assert_eq!(whole_run(&mut *consumer), expected);
                let slots = expected.iter().map(|(slots, _)| slots).sum::<u64>();
                let frames = expected.iter().filter(|(_, user)| user.is_some()).count() as u64;
                consumer.advance(slots as usize, frames);
                position += slots;
                passed += frames;
                assert_eq!(consumer.position(), position);
            }
            5 => {
                let expected = model.next(position, snapshot);
                let seen = look(&mut *consumer, 0, &mut none);
                assert_eq!(seen, expected.map(|(_, slots, user)| (slots, user)));
                if let Some((at, slots, _)) = expected {
                    consumer.advance(slots as usize, 1);
                    position = at + slots;
                    passed += 1;
                }
                assert_eq!(consumer.position(), position);
            }
            6 => {
                consumer.release();
                model.released = consumer.position();
                assert_eq!(half.reader_position(), model.released);
                let counts = ring.counts();
                assert_eq!((counts.consumed, counts.queued()), (passed, model.next_user - passed));
                assert_eq!(counts.occupied, model.write - model.released);
            }
            // A call had to wait: what is granted is the same.
            _ if whole => {
                half.note_backpressure();
                pressed_until = model.write + N;
            }
            // The next thread of the lane goes on where this one ended.
            _ => (producer, pressed_until) = (None, start),
        }
        if let Some(half) = &mut producer {
            if model.write < pressed_until && model.released == model.write {
                pressed_until -= N / 8;
            }
            assert_eq!(half.is_under_backpressure(), model.write < pressed_until);
        }
        assert_eq!((ring.counts().published, ring.counts().evicted, none), (model.next_user, 0, 0));
    }
}

/// `DropOldest`: it never refuses, evicts whole frames from the oldest on and no more than it must, and what is
/// missed is told.
fn overwrite(ring: &'static Overwrite<64, 8>, start: u64, steps: &[u8]) {
    let mut model = Model::new(start);
    let (mut producer, mut consumer) = (Some(ring.producer()), ring.consumer());
    let (mut snapshot, mut position, mut read, mut next) = (start, start, 0, 0);
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
            4 if step >> 7 != 0 => {
                assert_eq!(peek_all(ring, model.released), model.from(model.released.max(model.floor)));
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
        assert!(counts.consumed == read && counts.occupied <= N);
    }
}
