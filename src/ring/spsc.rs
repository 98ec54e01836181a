//! The ring that refuses when it is full: `ringbuf`'s halves over memory of ours, with a short way of our own on
//! the producer's side.
//!
//! [`Spsc`] implements `ringbuf`'s `Observer` and `Raw` on a `repr(C)` struct without pointers, which
//! is valid when all its bytes are zero, so that a lane can lie in any mapping. Positions count slots
//! and are 64 bits wide; `ringbuf` sees them modulo twice the capacity, a constant power of two.
//!
//! Proof. A slot belongs to the producer from `write` up to `read + SLOTS`, to the consumer from
//! `read` up to `write`. Each position has one writer, which stores it with Release after its last
//! access to the slots that change hands; the other side loads it with Acquire before its first.
//! Loom checks this file as it ships (`models.rs`).
//!
//! Decision: the producer keeps a *limit*, the position up to which slots are known to be free, and looks at the
//! consumer's position again only when it has come there: once while the ring goes round, if the consumer keeps up.
//! So the usual call compares its position with the limit, stores into the slot, and stores the new position;
//! `ringbuf`'s `Prod` guards that there is one producer, and is not on its path. `CachingProd` keeps an index of its
//! own beside the position (a store more, and eight instructions to make the 64-bit position of it): with it, a call of
//! three numbers took 78 instructions and 27 ns where it takes 40 and 16 now (bursts of 20, bare clock 13 ns).

use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::num::NonZeroUsize;

use ringbuf::traits::{Observer, Raw, RingBuffer};
use ringbuf::wrap::Wrap as _;
use ringbuf::wrap::caching::CachingCons;
use ringbuf::wrap::direct::Prod;

use super::{
    AHEAD, Consumer, Dest, Frame, Grant, Peek, PlainDest, ProducerHalf, RingCounts, RingLayout, RingMemory,
    RingView, Run, prefetch_write,
};
use crate::sync::{AtomicBool, AtomicU64, Line, Ordering, load_owned};

/// One slot: `B` bytes, nothing known about them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Slot<const B: usize>(MaybeUninit<[u8; B]>);

/// What one side of the ring writes.
#[derive(Default)]
#[repr(C)]
struct Side {
    /// Slots ever passed; the index is this modulo the capacity.
    position: AtomicU64,
    /// Frames ever passed.
    frames: AtomicU64,
    held: AtomicBool,
}

/// A ring of `N` slots of `B` bytes. All bytes zero is an empty ring.
#[repr(C, align(128))]
pub struct Spsc<const B: usize, const N: usize> {
    producer: Line<Side>,
    consumer: Line<Side>,
    slots: core::cell::UnsafeCell<[Slot<B>; N]>,
    #[cfg(kakashi_loom)]
    tracked: [loom::cell::UnsafeCell<()>; N],
}

// SAFETY: `producer` and `consumer` are atomics. `slots` is reached only by the two halves, of which there is one
// each (the `held` flags), over disjoint ranges (the proof above): the producer's from `write` up to `read + N`.
unsafe impl<const B: usize, const N: usize> Sync for Spsc<B, N> {}

impl<const B: usize, const N: usize> Spsc<B, N> {
    /// Positions as ringbuf counts them.
    const MASK: usize = 2 * N - 1;

    #[cfg(any(test, kakashi_loom, feature = "fuzzing"))]
    pub fn new_boxed() -> Box<Self> {
        Box::new(Self {
            producer: Line::default(),
            consumer: Line::default(),
            slots: core::cell::UnsafeCell::new([Slot(MaybeUninit::uninit()); N]),
            #[cfg(kakashi_loom)]
            tracked: core::array::from_fn(|_| loom::cell::UnsafeCell::new(())),
        })
    }

    /// Where the slot of a position lies.
    #[inline(always)]
    fn slot(&self, position: u64) -> *mut u8 {
        let at = position as usize & (N - 1);
        // SAFETY: below `N`.
        unsafe { self.slots.get().cast::<Slot<B>>().add(at).cast() }
    }

    /// Where a range of slots lies: up to the ring's end, and from its start.
    #[inline(always)]
    fn ranges(start: usize, end: usize) -> (usize, usize, usize) {
        let first = start & (N - 1);
        let len = end.wrapping_sub(start) & Self::MASK;
        let left = len.min(N - first);
        (first, left, len - left)
    }

    /// Moves a position to the one that equals `index` modulo twice the capacity.
    #[inline(always)]
    fn move_to(side: &Side, index: usize) {
        // Relaxed: this side is the position's only writer. Release: the slots passed so far are
        // the other side's, which pairs with an Acquire in `reader_position` or `write_index`.
        let position = load_owned(&side.position);
        let step = index.wrapping_sub(position as usize) & Self::MASK;
        side.position.store(position + step as u64, Ordering::Release);
    }

    #[cfg(kakashi_loom)]
    fn track(&self, start: usize, end: usize, write: bool) {
        for at in 0..(end.wrapping_sub(start) & Self::MASK) {
            let cell = &self.tracked[start.wrapping_add(at) & (N - 1)];
            if write { cell.with_mut(|_| ()) } else { cell.with(|_| ()) }
        }
    }
}

impl<const B: usize, const N: usize> Observer for Spsc<B, N> {
    type Item = Slot<B>;

    #[inline(always)]
    fn capacity(&self) -> NonZeroUsize {
        const { NonZeroUsize::new(N).expect("a ring has slots") }
    }

    #[inline(always)]
    fn read_index(&self) -> usize {
        self.consumer.position.load(Ordering::Acquire) as usize & Self::MASK
    }

    #[inline(always)]
    fn write_index(&self) -> usize {
        self.producer.position.load(Ordering::Acquire) as usize & Self::MASK
    }

    fn read_is_held(&self) -> bool {
        self.consumer.held.load(Ordering::Acquire)
    }

    fn write_is_held(&self) -> bool {
        self.producer.held.load(Ordering::Acquire)
    }
}

// SAFETY: capacity, indices and slices describe the one array `slots`; positions move only through
// `move_to`, which publishes before it returns; the flags are swapped atomically.
unsafe impl<const B: usize, const N: usize> Raw for Spsc<B, N> {
    #[inline(always)]
    unsafe fn unsafe_slices(
        &self,
        start: usize,
        end: usize,
    ) -> (&[MaybeUninit<Slot<B>>], &[MaybeUninit<Slot<B>>]) {
        #[cfg(kakashi_loom)]
        self.track(start, end, false);
        let (first, left, right) = Self::ranges(start, end);
        let base = self.slots.get().cast::<MaybeUninit<Slot<B>>>();
        // SAFETY: `first + left <= N` and `right <= first`; the caller owns the range.
        unsafe {
            (core::slice::from_raw_parts(base.add(first), left), core::slice::from_raw_parts(base, right))
        }
    }

    #[inline(always)]
    unsafe fn unsafe_slices_mut(
        &self,
        start: usize,
        end: usize,
    ) -> (&mut [MaybeUninit<Slot<B>>], &mut [MaybeUninit<Slot<B>>]) {
        #[cfg(kakashi_loom)]
        self.track(start, end, true);
        let (first, left, right) = Self::ranges(start, end);
        let base = self.slots.get().cast::<MaybeUninit<Slot<B>>>();
        // SAFETY: as above; the two parts do not overlap, and the caller owns both.
        unsafe {
            (
                core::slice::from_raw_parts_mut(base.add(first), left),
                core::slice::from_raw_parts_mut(base, right),
            )
        }
    }

    #[inline(always)]
    unsafe fn set_read_index(&self, value: usize) {
        Self::move_to(&self.consumer, value);
    }

    #[inline(always)]
    unsafe fn set_write_index(&self, value: usize) {
        Self::move_to(&self.producer, value);
    }

    unsafe fn hold_read(&self, flag: bool) -> bool {
        self.consumer.held.swap(flag, Ordering::AcqRel)
    }

    unsafe fn hold_write(&self, flag: bool) -> bool {
        self.producer.held.swap(flag, Ordering::AcqRel)
    }
}

impl<const B: usize, const N: usize> RingBuffer for Spsc<B, N> {}

impl<const B: usize, const N: usize> AsRef<Self> for Spsc<B, N> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<const B: usize, const N: usize> AsMut<Self> for Spsc<B, N> {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// `ringbuf`'s producer, and how far it may go without asking it.
pub struct SpscProducer<const B: usize, const N: usize> {
    half: Prod<&'static Spsc<B, N>>,
    /// Slots below this position are known to be free: it only underestimates.
    limit: u64,
    /// The position up to which nothing is known to be free, since a call had to wait.
    pressed_until: u64,
}

impl<const B: usize, const N: usize> SpscProducer<B, N> {
    #[inline(always)]
    fn ring(&self) -> &'static Spsc<B, N> {
        self.half.rb_ref()
    }

    /// Learns how far the consumer has come, and says whether the slots below `end` are known to be free now: none are
    /// while there is backpressure.
    #[inline(always)]
    fn look(&mut self, position: u64, end: u64) -> bool {
        if position < self.pressed_until {
            return false;
        }
        self.limit = self.reader_position() + N as u64;
        end <= self.limit
    }

    /// `slots` slots from `position` on, which are free and do not cross the end.
    #[inline(always)]
    fn grant(&mut self, position: u64, slots: usize) -> Grant<'_, Self> {
        #[cfg(kakashi_loom)]
        self.ring().track(position as usize, position as usize + slots, true);
        let ring = self.ring();
        let dest = PlainDest::new(ring.slot(position));
        Grant { dest, slots, end: position + slots as u64, ring, half: PhantomData }
    }
}

impl<const B: usize, const N: usize> ProducerHalf for SpscProducer<B, N> {
    type Dest = PlainDest;
    type Ring = Spsc<B, N>;

    #[inline(always)]
    fn reserve_known(&mut self, slots: usize) -> Option<Grant<'_, Self>> {
        debug_assert!(slots <= N / 2, "a frame has at most half of the slots");
        let position = load_owned(&self.ring().producer.position);
        let crosses = slots > 1 && (position as usize & (N - 1)) + slots > N;
        let end = position + slots as u64;
        if crosses || end > self.limit && !self.look(position, end) {
            return None;
        }
        Some(self.grant(position, slots))
    }

    fn reserve(&mut self, slots: usize) -> Option<Grant<'_, Self>> {
        let mut position = load_owned(&self.ring().producer.position);
        let to_end = N - (position as usize & (N - 1));
        let filler = if slots > 1 && slots > to_end { to_end } else { 0 };
        let end = position + (filler + slots) as u64;
        // Under backpressure nothing is known to be free, and there may be room all the same.
        let pressed = position < self.pressed_until;
        if end > self.limit
            && !self.look(position, end)
            && (!pressed || end > self.reader_position() + N as u64)
        {
            return None;
        }
        if filler != 0 {
            let grant = self.grant(position, filler);
            // SAFETY: a slot has room for a word.
            unsafe { grant.dest.put(0, Frame::filler(filler).0) };
            // Not published yet: that is done together with the frame.
            position += filler as u64;
        }
        Some(self.grant(position, slots))
    }

    #[inline(always)]
    fn prefetch(ring: &'static Spsc<B, N>, position: u64, lines: usize) {
        if N >= 4 * AHEAD {
            let slot = ring.slot(position + AHEAD as u64);
            for line in 0..lines {
                prefetch_write(slot.wrapping_add(line * 64));
            }
        }
    }

    #[inline(always)]
    fn reader_position(&self) -> u64 {
        self.ring().consumer.position.load(Ordering::Acquire)
    }

    fn note_backpressure(&mut self) {
        self.pressed_until = load_owned(&self.ring().producer.position) + N as u64;
        self.limit = 0;
    }

    fn is_under_backpressure(&mut self) -> bool {
        let position = load_owned(&self.ring().producer.position);
        if position < self.pressed_until && self.reader_position() == position {
            self.pressed_until = self.pressed_until.saturating_sub((N as u64 / 8).max(1));
        }
        position < self.pressed_until
    }

    #[inline(always)]
    fn publish(ring: &'static Spsc<B, N>, end: u64) {
        let side = &ring.producer;
        crate::sync::add_owned(&side.frames, 1);
        // Release: the slots below are the consumer's, which pairs with the Acquire in `write_index`.
        side.position.store(end, Ordering::Release);
    }
}

impl<const B: usize, const N: usize> RingMemory for Spsc<B, N> {
    type Producer = SpscProducer<B, N>;

    const LAYOUT: RingLayout = RingLayout {
        write: offset_of!(Self, producer) + offset_of!(Side, position),
        published: offset_of!(Self, producer) + offset_of!(Side, frames),
        read: offset_of!(Self, consumer) + offset_of!(Side, position),
        consumed: offset_of!(Self, consumer) + offset_of!(Side, frames),
        slots: offset_of!(Self, slots),
        overwrite: None,
    };

    const PREFIX: usize = 0;

    fn producer(&'static self) -> SpscProducer<B, N> {
        // What is free is asked for by the first call.
        SpscProducer { half: Prod::new(self), limit: 0, pressed_until: 0 }
    }
}

impl<const B: usize, const N: usize> RingView for Spsc<B, N> {
    fn consumer(&'static self) -> Box<dyn Consumer> {
        let half = CachingCons::new(self);
        let position = self.consumer.position.load(Ordering::Relaxed);
        Box::new(SpscConsumer { half, snapshot: position, cursor: position, released: position, frames: 0 })
    }

    fn counts(&self) -> RingCounts {
        // The consumer's figures first: they never exceed the producer's of a later moment.
        let consumed = self.consumer.frames.load(Ordering::Acquire);
        let read = self.consumer.position.load(Ordering::Acquire);
        RingCounts {
            published: self.producer.frames.load(Ordering::Relaxed),
            consumed,
            evicted: 0,
            occupied: self.producer.position.load(Ordering::Relaxed).saturating_sub(read).min(N as u64),
            capacity: N as u64,
        }
    }

    fn ends(&self) -> (u64, u64) {
        let read = self.consumer.position.load(Ordering::Acquire);
        (read, self.producer.position.load(Ordering::Acquire))
    }

    unsafe fn peek(&self, from: u64, until: u64, copy: &mut [u64]) -> Option<Peek> {
        let mut at = from;
        while at < until {
            let first = at as usize & (N - 1);
            // SAFETY: `first` is below `N`; the slots up to `until` were published before it was read, and
            // stay as they are, as the caller promised.
            let words = unsafe { self.slots.get().cast_const().cast::<Slot<B>>().add(first).cast::<u64>() };
            // SAFETY: as above.
            let frame = Frame(unsafe { words.read() });
            let next = at + frame.slots().max(1) as u64;
            if !frame.is_filler() {
                let len = (frame.slots().clamp(1, N - first) * B / 8).min(copy.len());
                // SAFETY: as above; the frame ends within the ring.
                unsafe { core::ptr::copy_nonoverlapping(words, copy.as_mut_ptr(), len) };
                return Some(Peek { next, words: len });
            }
            at = next;
        }
        None
    }
}

struct SpscConsumer<const B: usize, const N: usize> {
    half: CachingCons<&'static Spsc<B, N>>,
    /// Slots published at the last poll.
    snapshot: u64,
    /// Slots stepped over.
    cursor: u64,
    /// Slots given back.
    released: u64,
    /// Frames stepped over and not yet given back.
    frames: u64,
}

impl<const B: usize, const N: usize> Consumer for SpscConsumer<B, N> {
    fn poll(&mut self) -> u64 {
        // ringbuf's index, lifted to 64 bits: the ring holds at most N slots from `released` on.
        let occupied = self.half.occupied_len() as u64;
        self.snapshot = self.released + occupied;
        self.snapshot
    }

    fn run(&mut self) -> Run {
        // SAFETY: the consumer owns `released..snapshot`, and `cursor` lies in between.
        let (left, _) = unsafe {
            let mask = Spsc::<B, N>::MASK as u64;
            self.half.unsafe_slices((self.cursor & mask) as usize, (self.snapshot & mask) as usize)
        };
        Run { start: left.as_ptr().cast(), len: size_of_val(left), slot_bytes: B, evicted: 0 }
    }

    fn advance(&mut self, slots: usize, frames: u64) {
        self.cursor = (self.cursor + slots as u64).min(self.snapshot);
        self.frames += frames;
    }

    fn release(&mut self) -> bool {
        if self.cursor == self.released {
            return false;
        }
        // Release: who sees the count sees the publications that it counts.
        let frames = &self.half.rb().consumer.frames;
        frames.store(load_owned(frames) + self.frames, Ordering::Release);
        self.frames = 0;
        // SAFETY: these slots were read; nothing refers to them any more.
        unsafe { self.half.advance_read_index((self.cursor - self.released) as usize) };
        self.released = self.cursor;
        true
    }

    fn position(&self) -> u64 {
        self.cursor
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    fn frames(consumer: &mut dyn Consumer) -> Vec<(usize, u64)> {
        let mut seen = Vec::new();
        consumer.poll();
        loop {
            let run = consumer.run();
            if run.len == 0 {
                break;
            }
            // SAFETY: a run starts with a frame word.
            let frame = Frame(unsafe { run.start.cast::<u64>().read() });
            consumer.advance(frame.slots(), u64::from(!frame.is_filler()));
            if !frame.is_filler() {
                seen.push((frame.slots(), frame.user()));
            }
        }
        consumer.release();
        seen
    }

    #[test]
    fn refuses_when_full_and_goes_on_when_read() {
        let ring: &'static Spsc<64, 4> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for round in 0..1000u64 {
            for at in 0..4 {
                producer.reserve(1).expect("room").commit(round * 4 + at);
            }
            assert!(producer.reserve(1).is_none());
            let expected: Vec<_> = (0..4).map(|at| (1, round * 4 + at)).collect();
            assert_eq!(frames(&mut *consumer), expected);
        }
        assert_eq!(ring.counts().queued(), 0);
    }

    /// Calls of a flood that is over find all read, and soon do not ask any more.
    #[test]
    fn backpressure_ends_when_the_consumer_keeps_up() {
        let ring: &'static Spsc<64, 32> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        producer.note_backpressure();
        let mut pressed = 0;
        while producer.is_under_backpressure() {
            pressed += 1;
            assert!(producer.reserve_known(1).is_none());
            producer.reserve(1).expect("room").commit(0);
            frames(&mut *consumer);
        }
        assert_eq!(pressed, 6, "each has brought it five slots nearer");
        producer.reserve_known(1).expect("known").commit(0);
    }

    /// After a wait, every call of a ring's worth asks, and then none; what is free is granted all the while.
    #[test]
    fn backpressure_has_calls_ask_until_the_ring_has_gone_round() {
        let ring: &'static Spsc<64, 8> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for round in 0..10 {
            // It stays unread.
            producer.reserve(1).expect("room").commit(0);
            producer.note_backpressure();
            for _ in 0..7 {
                assert!(producer.is_under_backpressure() && producer.reserve_known(1).is_none(), "{round}");
                producer.reserve(1).expect("room").commit(0);
            }
            assert!(producer.is_under_backpressure() && producer.reserve(1).is_none(), "it is full");
            frames(&mut *consumer);
            assert!(
                !producer.is_under_backpressure(),
                "it has gone round, but for the eighth that all read is worth"
            );
            for _ in 0..8 {
                producer.reserve_known(1).expect("known since").commit(0);
            }
            frames(&mut *consumer);
        }
    }

    #[test]
    fn a_frame_never_crosses_the_end() {
        let ring: &'static Spsc<64, 8> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for round in 0..1000u64 {
            let slots = 1 + (round as usize * 7) % 4;
            let grant = producer.reserve(slots).expect("a frame of half the ring always fits");
            // SAFETY: the last word of the frame.
            unsafe { grant.dest().put(slots * 64 - 8, round) };
            grant.commit(round);
            assert_eq!(frames(&mut *consumer), [(slots, round)]);
        }
        assert_eq!(ring.counts().published, 1000);
        assert_eq!(ring.counts().occupied, 0);
    }

    #[test]
    fn a_reader_in_the_consumers_place_sees_the_same_frames() {
        let ring: &'static Spsc<64, 8> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for round in 0..100u64 {
            for slots in [1, 3, 2] {
                if let Some(grant) = producer.reserve(slots) {
                    // SAFETY: the words of the frame.
                    unsafe { (8..slots * 64).step_by(8).for_each(|offset| grant.dest().put(offset, round)) };
                    grant.commit(round);
                }
            }
            let (mut at, until) = ring.ends();
            let mut seen = Vec::new();
            // Not a whole frame of three slots; what is behind stays as it is.
            let mut copy = [0; 32];
            // SAFETY: from the read position on, which stays as it is, to the write position.
            while let Some(found) = unsafe { ring.peek(at, until, &mut copy[..20]) } {
                let frame = Frame(copy[0]);
                assert_eq!((found.words, copy[1]), ((frame.slots() * 8).min(20), round));
                assert_eq!(copy[20..], [0; 12], "beyond the copy");
                seen.push((frame.slots(), frame.user()));
                at = found.next;
            }
            assert_eq!(at, until);
            assert_eq!(seen, frames(&mut *consumer));
        }
    }

    #[test]
    fn a_run_ends_where_the_ring_does() {
        let ring: &'static Spsc<64, 4> = Box::leak(Spsc::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        (0..3).for_each(|user| producer.reserve(1).expect("room").commit(user));
        assert_eq!(frames(&mut *consumer).len(), 3);
        (3..6).for_each(|user| producer.reserve(1).expect("room").commit(user));
        consumer.poll();
        let end = ring.slots.get().wrapping_add(1).cast_const().cast::<u8>();
        let run = consumer.run();
        assert_eq!((run.start.wrapping_add(run.len), run.len), (end, 64), "one slot is left up to the end");
        consumer.advance(1, 1);
        let run = consumer.run();
        assert_eq!(
            (run.start, run.len),
            (ring.slots.get().cast_const().cast(), 128),
            "and two from the start"
        );
    }

    #[test]
    fn a_dropped_grant_publishes_nothing() {
        let ring: &'static Spsc<64, 4> = Box::leak(Spsc::new_boxed());
        let mut producer = ring.producer();
        let _ = producer.reserve(2);
        assert_eq!(ring.counts().published, 0);
        assert_eq!(frames(&mut *ring.consumer()), []);
    }
}
