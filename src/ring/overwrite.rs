//! The ring that never refuses: `DropOldest`. The producer is wait-free, the newest frame is always
//! in, and whole frames are evicted.
//!
//! Slots are 8-byte atomic words. The producer alone moves both ends: `write`, up to which frames are
//! published, and `floor`, below which they are evicted. Evicting is a store, never a negotiation;
//! the consumer copies a frame out and then looks whether `floor` has passed it meanwhile.
//!
//! ```text
//! slot 0                                                    slot 1 ...
//! | sequence number | frame word | payload ............... | payload ...
//! ```
//!
//! Proof that no torn frame is read. To reuse a slot, the producer stores `floor` (A), then the slot's
//! words with Release (B). The consumer loads words with Acquire (C), then `floor` (D). If any word of
//! the copy is newer than the frame, C read a value of B, so A happens before D, and D returns a floor
//! above the frame: the copy is thrown away. If D returns a floor not above the frame, every word is
//! the frame's own, since `write` was loaded with Acquire before and all older words happen before it.
//! No fence is used, so that ThreadSanitizer can follow. Loom checks this file as it ships.
//!
//! Each frame carries its sequence number, by which the consumer knows how many it has missed. It is
//! the only one who counts them, so nothing is counted both as read and as evicted; what is evicted
//! and not yet missed, `counts` computes from the floor's sequence number. A frame that was copied and
//! not stepped over is at hand: no longer to be evicted, not yet read, hence still queued.
//!
//! Decision: a claim by compare-and-swap before each read was rejected: it makes the producer wait for
//! a consumer that sleeps with a claim, or needs a second ring; and both sides pay a locked instruction
//! per frame. Relaxed words between fences would be as right, but neither sanitizer nor reader can
//! check them as easily; on x86_64 a Release store is a plain one.

use core::marker::PhantomData;
use core::mem::offset_of;

use crate::number::load_short;
use crate::sync::{AtomicBool, AtomicU64, Line, Ordering, add_owned, load_owned};

use super::{
    AHEAD, Consumer, Dest, Frame, Grant, MAX_FRAME_SLOTS, OverwriteLayout, Peek, ProducerHalf, RingCounts,
    RingLayout, RingMemory, RingView, Run, prefetch_write,
};

/// Bytes before the frame word: the sequence number.
const PREFIX: usize = 8;

#[derive(Default)]
#[repr(C)]
struct ProducerSide {
    /// Slots ever published.
    write: AtomicU64,
    /// Frames ever published.
    frames: AtomicU64,
    /// Slots ever evicted or given back.
    floor: AtomicU64,
    /// Sequence number of the frame at `floor`.
    floor_sequence: AtomicU64,
    held: AtomicBool,
}

/// Set in the count of frames taken: one of them is at hand.
const AT_HAND: u64 = 1 << 63;

/// How many frames were taken, and how many of them were stepped over.
pub fn taken_and_read(frames: u64) -> (u64, u64) {
    let taken = frames & !AT_HAND;
    (taken, taken.saturating_sub(frames >> 63))
}

#[derive(Default)]
#[repr(C)]
struct ConsumerSide {
    /// Slots stepped over; what is below may be reused without a loss.
    read: AtomicU64,
    /// The sequence number that the consumer expects next: frames taken and frames missed.
    sequence: AtomicU64,
    /// Frames taken, from the moment on at which a copy was found whole; with `AT_HAND`, the last one was not
    /// stepped over yet.
    frames: AtomicU64,
    held: AtomicBool,
}

/// A ring of `N` slots of `B` bytes. All bytes zero is an empty ring.
#[repr(C, align(128))]
pub struct Overwrite<const B: usize, const N: usize> {
    producer: Line<ProducerSide>,
    consumer: Line<ConsumerSide>,
    #[cfg(not(kakashi_loom))]
    slots: core::cell::UnsafeCell<[AlignedSlot<B>; N]>,
    #[cfg(kakashi_loom)]
    words: Box<[AtomicU64]>,
}

#[cfg(not(kakashi_loom))]
#[repr(C, align(64))]
struct AlignedSlot<const B: usize>([u8; B]);

// SAFETY: the sides are atomics; `slots` is reached only as atomic words.
unsafe impl<const B: usize, const N: usize> Sync for Overwrite<B, N> {}

impl<const B: usize, const N: usize> Overwrite<B, N> {
    #[cfg(any(test, kakashi_loom, feature = "fuzzing"))]
    pub fn new_boxed() -> Box<Self> {
        Box::new(Self {
            producer: Line::default(),
            consumer: Line::default(),
            #[cfg(not(kakashi_loom))]
            slots: core::cell::UnsafeCell::new([const { AlignedSlot([0; B]) }; N]),
            #[cfg(kakashi_loom)]
            words: (0..N * B / 8).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The word at `offset` bytes (a multiple of 8) into the slot of `position`, and all words of the ring
    /// around it.
    #[inline(always)]
    fn pointer(&self, position: u64, offset: usize) -> *const AtomicU64 {
        let at = ((position as usize & (N - 1)) * B + offset) / 8 % (N * B / 8);
        #[cfg(kakashi_loom)]
        let words = self.words.as_ptr();
        #[cfg(not(kakashi_loom))]
        let words = self.slots.get().cast_const().cast::<AtomicU64>();
        // SAFETY: `at` is below the number of words.
        unsafe { words.add(at) }
    }

    #[inline(always)]
    fn word(&self, position: u64, offset: usize) -> &AtomicU64 {
        // SAFETY: a word of the ring; the array is 64-aligned, and nothing accesses it but as atomic words.
        unsafe { &*self.pointer(position, offset) }
    }
}

/// The frame word's place in the first of the slots that the producer fills: a frame lies in one piece.
#[derive(Clone, Copy)]
pub struct AtomicDest(*const AtomicU64);

// SAFETY: every offset within the reserved slots is an atomic word.
unsafe impl Dest for AtomicDest {
    #[inline(always)]
    unsafe fn put(self, offset: usize, word: u64) {
        // Release: B of the proof.
        // SAFETY: within the frame, as the caller promised; the words live as long as the ring.
        unsafe { (*self.0.add(offset / 8)).store(word, Ordering::Release) };
    }

    #[inline(always)]
    unsafe fn put_bytes(self, offset: usize, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut at = offset;
        for word in words {
            // SAFETY: as the caller promised.
            unsafe { self.put(at, u64::from_le_bytes(*word)) };
            at += 8;
        }
        if !rest.is_empty() {
            // SAFETY: as the caller promised: rounded up to a multiple of 8.
            unsafe { self.put(at, load_short(rest)) };
        }
    }
}

/// The producing half: wait-free.
pub struct OverwriteProducer<const B: usize, const N: usize> {
    ring: &'static Overwrite<B, N>,
    floor: u64,
}

impl<const B: usize, const N: usize> OverwriteProducer<B, N> {
    #[inline(always)]
    fn position(&self) -> u64 {
        load_owned(&self.ring.producer.write)
    }

    /// The number of the next frame.
    #[inline(always)]
    fn sequence(&self) -> u64 {
        load_owned(&self.ring.producer.frames)
    }

    /// `slots` slots from `position` on, which are free and do not cross the end.
    #[inline(always)]
    fn grant(&mut self, position: u64, slots: usize) -> Grant<'_, Self> {
        // B of the proof.
        self.ring.word(position, 0).store(self.sequence(), Ordering::Release);
        let dest = AtomicDest(self.ring.pointer(position, PREFIX));
        Grant { dest, slots, end: position + slots as u64, ring: self.ring, half: PhantomData }
    }

    /// Raises the floor over what was read, if that makes the slots below `end` free, which do not fit above the floor
    /// as it is.
    #[inline(always)]
    fn look(&mut self, position: u64, end: u64) -> bool {
        let read = self.reader_position();
        if read > position || end > read + N as u64 {
            return false;
        }
        // Above the floor as it was: `end` fits now.
        self.floor = read;
        self.publish_floor(position);
        true
    }

    /// Raises the floor until the slots below `end` are free: over what was read in one step, then frame by
    /// frame.
    fn evict(&mut self, position: u64, end: u64) {
        let needed = end - N as u64;
        self.floor = self.floor.max(self.reader_position().min(position));
        while self.floor < needed {
            // Relaxed: this thread (or one that handed the ring over) wrote the word.
            let frame = Frame(load_owned(self.ring.word(self.floor, PREFIX)));
            // A frame of this ring has 1..=N/2 slots; the bounds keep a damaged one from ending
            // progress.
            self.floor += frame.slots().clamp(1, N) as u64;
        }
        self.floor = self.floor.min(position);
        self.publish_floor(position);
    }

    #[inline(always)]
    fn publish_floor(&mut self, position: u64) {
        let side = &self.ring.producer;
        // A of the proof; the Release stores of the words that follow make it visible.
        side.floor.store(self.floor, Ordering::Relaxed);
        let sequence =
            if self.floor == position { self.sequence() } else { load_owned(self.ring.word(self.floor, 0)) };
        // Behind the floor, hence Release: a frame that is counted as evicted cannot be read any more.
        side.floor_sequence.store(sequence, Ordering::Release);
    }
}

impl<const B: usize, const N: usize> ProducerHalf for OverwriteProducer<B, N> {
    type Dest = AtomicDest;
    type Ring = Overwrite<B, N>;

    #[inline(always)]
    fn reserve_known(&mut self, slots: usize) -> Option<Grant<'_, Self>> {
        debug_assert!(slots <= N / 2, "a frame has at most half of the slots");
        let position = self.position();
        let crosses = slots > 1 && (position as usize & (N - 1)) + slots > N;
        let end = position + slots as u64;
        if crosses || end > self.floor + N as u64 && !self.look(position, end) {
            return None;
        }
        Some(self.grant(position, slots))
    }

    #[inline(always)]
    fn reserve(&mut self, slots: usize) -> Option<Grant<'_, Self>> {
        let mut position = self.position();
        let to_end = N - (position as usize & (N - 1));
        let filler = if slots > 1 && slots > to_end { to_end } else { 0 };
        let end = position + (filler + slots) as u64;
        if end > self.floor + N as u64 && !self.look(position, end) {
            self.evict(position, end);
        }
        if filler != 0 {
            // A filler has the number of the frame after it, and does not use it up.
            self.ring.word(position, 0).store(self.sequence(), Ordering::Release);
            self.ring.word(position, PREFIX).store(Frame::filler(filler).0, Ordering::Release);
            position += filler as u64;
        }
        Some(self.grant(position, slots))
    }

    #[inline(always)]
    fn prefetch(ring: &'static Overwrite<B, N>, position: u64, lines: usize) {
        if N >= 4 * AHEAD {
            let slot = ring.pointer(position + AHEAD as u64, 0).cast::<u8>();
            for line in 0..lines {
                prefetch_write(slot.wrapping_add(line * 64));
            }
        }
    }

    #[inline(always)]
    fn reader_position(&self) -> u64 {
        // Acquire pairs with the Release in `Consumer::release`: the consumer has copied out what is below.
        self.ring.consumer.read.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn publish(ring: &'static Overwrite<B, N>, end: u64) {
        let side = &ring.producer;
        add_owned(&side.frames, 1);
        // Release pairs with the Acquire in `Consumer::poll`: the frame's words are visible.
        side.write.store(end, Ordering::Release);
    }
}

impl<const B: usize, const N: usize> Drop for OverwriteProducer<B, N> {
    fn drop(&mut self) {
        self.ring.producer.held.store(false, Ordering::Release);
    }
}

impl<const B: usize, const N: usize> RingMemory for Overwrite<B, N> {
    type Producer = OverwriteProducer<B, N>;

    const LAYOUT: RingLayout = RingLayout {
        write: offset_of!(Self, producer) + offset_of!(ProducerSide, write),
        published: offset_of!(Self, producer) + offset_of!(ProducerSide, frames),
        read: offset_of!(Self, consumer) + offset_of!(ConsumerSide, read),
        consumed: offset_of!(Self, consumer) + offset_of!(ConsumerSide, frames),
        #[cfg(not(kakashi_loom))]
        slots: offset_of!(Self, slots),
        #[cfg(kakashi_loom)]
        slots: 0,
        overwrite: Some(OverwriteLayout {
            floor: offset_of!(Self, producer) + offset_of!(ProducerSide, floor),
            floor_sequence: offset_of!(Self, producer) + offset_of!(ProducerSide, floor_sequence),
            sequence: offset_of!(Self, consumer) + offset_of!(ConsumerSide, sequence),
        }),
    };

    const PREFIX: usize = PREFIX;

    fn producer(&'static self) -> OverwriteProducer<B, N> {
        assert!(!self.producer.held.swap(true, Ordering::AcqRel), "a ring has one producer");
        OverwriteProducer { ring: self, floor: self.producer.floor.load(Ordering::Relaxed) }
    }
}

impl<const B: usize, const N: usize> RingView for Overwrite<B, N> {
    fn consumer(&'static self) -> Box<dyn Consumer> {
        assert!(!self.consumer.held.swap(true, Ordering::AcqRel), "a ring has one consumer");
        let read = self.consumer.read.load(Ordering::Relaxed);
        Box::new(OverwriteConsumer {
            ring: self,
            snapshot: read,
            read,
            sequence: self.consumer.sequence.load(Ordering::Relaxed),
            copy: Vec::with_capacity((N / 2).min(MAX_FRAME_SLOTS) * B / 8),
            copied: None,
        })
    }

    fn counts(&self) -> RingCounts {
        let side = &self.consumer;
        let mut frames = side.frames.load(Ordering::Acquire);
        let mut sequence = side.sequence.load(Ordering::Acquire);
        // The two change together: a few tries find a moment at which they did not.
        for _ in 0..4 {
            let again = side.frames.load(Ordering::Acquire);
            if again == frames {
                break;
            }
            frames = again;
            sequence = side.sequence.load(Ordering::Acquire);
        }
        let (taken, consumed) = taken_and_read(frames);
        let read = side.read.load(Ordering::Acquire);
        let gone = self.producer.floor_sequence.load(Ordering::Relaxed).max(sequence);
        let floor = self.producer.floor.load(Ordering::Relaxed).max(read);
        RingCounts {
            published: self.producer.frames.load(Ordering::Relaxed),
            consumed,
            evicted: gone.saturating_sub(taken),
            occupied: self.producer.write.load(Ordering::Relaxed).saturating_sub(floor).min(N as u64),
            capacity: N as u64,
        }
    }

    fn ends(&self) -> (u64, u64) {
        let read = self.consumer.read.load(Ordering::Acquire);
        (read, self.producer.write.load(Ordering::Acquire))
    }

    /// As `copy_next`, by the same proof.
    unsafe fn peek(&self, from: u64, until: u64, copy: &mut [u64]) -> Option<Peek> {
        let mut at = from;
        loop {
            at = at.max(self.producer.floor.load(Ordering::Acquire));
            if at >= until {
                return None;
            }
            let frame = Frame(self.word(at, PREFIX).load(Ordering::Acquire));
            let words = match frame.is_filler() {
                true => 0,
                false => ((frame.slots().clamp(1, (N / 2).max(1)) * B - PREFIX) / 8).min(copy.len()),
            };
            for (to, word) in copy.iter_mut().take(words).enumerate() {
                *word = self.word(at, PREFIX + to * 8).load(Ordering::Acquire);
            }
            if self.producer.floor.load(Ordering::Relaxed) > at {
                continue;
            }
            at += frame.slots().clamp(1, N) as u64;
            if !frame.is_filler() {
                return Some(Peek { next: at, words });
            }
        }
    }
}

struct OverwriteConsumer<const B: usize, const N: usize> {
    ring: &'static Overwrite<B, N>,
    snapshot: u64,
    read: u64,
    /// The next frame's number if none was missed.
    sequence: u64,
    /// The frame at `read`, its sequence number cut off.
    copy: Vec<u64>,
    copied: Option<Copied>,
}

#[derive(Clone, Copy)]
struct Copied {
    slots: u64,
    sequence: u64,
    missed: u64,
}

impl<const B: usize, const N: usize> OverwriteConsumer<B, N> {
    /// Copies the oldest frame that is still there, and validates the copy.
    fn copy_next(&mut self) -> Option<Copied> {
        loop {
            // Acquire: reads of the words below must not be older than this floor.
            self.read = self.read.max(self.ring.producer.floor.load(Ordering::Acquire));
            if self.read >= self.snapshot {
                return None;
            }
            // Acquire: C of the proof, here and below.
            let sequence = self.ring.word(self.read, 0).load(Ordering::Acquire);
            let frame = Frame(self.ring.word(self.read, PREFIX).load(Ordering::Acquire));
            let slots = frame.slots().clamp(1, (N / 2).max(1));
            self.copy.clear();
            self.copy.push(frame.0);
            if !frame.is_filler() {
                let ring = self.ring;
                let words = (slots * B - PREFIX) / 8;
                let read = self.read;
                self.copy
                    .extend((1..words).map(|at| ring.word(read, PREFIX + at * 8).load(Ordering::Acquire)));
            }
            // D of the proof. Relaxed: the Acquire loads above keep it behind them.
            if self.ring.producer.floor.load(Ordering::Relaxed) > self.read {
                continue;
            }
            if frame.is_filler() {
                self.read += frame.slots().clamp(1, N) as u64;
                continue;
            }
            return Some(Copied {
                slots: slots as u64,
                sequence,
                missed: sequence.wrapping_sub(self.sequence),
            });
        }
    }
}

impl<const B: usize, const N: usize> Consumer for OverwriteConsumer<B, N> {
    fn poll(&mut self) -> u64 {
        // Acquire pairs with the Release in `publish`.
        self.snapshot = self.ring.producer.write.load(Ordering::Acquire);
        self.snapshot
    }

    fn run(&mut self) -> Run {
        if self.copied.is_none() {
            self.copied = self.copy_next();
            if let Some(copied) = self.copied {
                // Not evicted from here on, whatever the floor does: it will be read.
                self.sequence = copied.sequence.wrapping_add(1);
                self.ring.consumer.sequence.store(self.sequence, Ordering::Release);
                let frames = &self.ring.consumer.frames;
                frames.store((load_owned(frames) + 1) | AT_HAND, Ordering::Release);
            }
        }
        let (len, evicted) = self.copied.map_or((0, 0), |copied| (self.copy.len() * 8, copied.missed));
        Run { start: self.copy.as_ptr().cast(), len, slot_bytes: B, evicted }
    }

    fn advance(&mut self, _slots: usize, _frames: u64) {
        if let Some(copied) = self.copied.take() {
            self.read += copied.slots;
            let frames = &self.ring.consumer.frames;
            frames.store(load_owned(frames) & !AT_HAND, Ordering::Release);
        }
    }

    fn release(&mut self) -> bool {
        let released = &self.ring.consumer.read;
        let moved = load_owned(released) != self.read;
        if moved {
            // Release pairs with the Acquire in `reader_position`.
            released.store(self.read, Ordering::Release);
        }
        moved
    }

    fn position(&self) -> u64 {
        if self.copied.is_some() {
            return self.read;
        }
        // What is evicted need not be waited for.
        self.read.max(self.ring.producer.floor.load(Ordering::Relaxed))
    }
}

impl<const B: usize, const N: usize> Drop for OverwriteConsumer<B, N> {
    fn drop(&mut self) {
        if let Some(copied) = self.copied.take() {
            // At hand and not taken: it, and what was missed before it, is the next consumer's.
            let side = &self.ring.consumer;
            side.sequence.store(copied.sequence.wrapping_sub(copied.missed), Ordering::Release);
            side.frames.store((load_owned(&side.frames) & !AT_HAND) - 1, Ordering::Release);
        }
        self.release();
        self.ring.consumer.held.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    /// Reads everything there is as (user, evicted before it, words all equal to user).
    fn drain(consumer: &mut dyn Consumer) -> Vec<(u64, u64)> {
        let mut seen = Vec::new();
        consumer.poll();
        loop {
            let run = consumer.run();
            if run.len == 0 {
                break;
            }
            // SAFETY: a run is a copy of whole words.
            let words = unsafe { core::slice::from_raw_parts(run.start.cast::<u64>(), run.len / 8) };
            let user = Frame(words[0]).user();
            assert!(words[1..].iter().all(|&word| word == user), "torn: {words:x?}");
            seen.push((user, run.evicted));
            consumer.advance(Frame(words[0]).slots(), 1);
        }
        consumer.release();
        seen
    }

    fn push<const B: usize, const N: usize>(producer: &mut OverwriteProducer<B, N>, slots: usize, user: u64) {
        let grant = producer.reserve(slots).expect("never refuses");
        for at in 1..(slots * B - PREFIX) / 8 {
            // SAFETY: within the frame.
            unsafe { grant.dest().put(at * 8, user) };
        }
        grant.commit(user);
    }

    #[test]
    fn keeps_the_newest_and_counts_the_evicted() {
        let ring: &'static Overwrite<64, 4> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for user in 0..10 {
            push(&mut producer, 1, user);
        }
        assert_eq!(ring.counts().queued(), 4);
        assert_eq!(ring.counts().evicted, 6);
        assert_eq!(drain(&mut *consumer), [(6, 6), (7, 0), (8, 0), (9, 0)]);
        assert_eq!((ring.counts().consumed, ring.counts().evicted), (4, 6));
    }

    /// A reader in another process knows what may be overwritten by the floor alone.
    #[test]
    fn what_is_written_over_is_below_the_floor() {
        let ring: &'static Overwrite<64, 8> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for position in 0..200 {
            if position % 3 == 0 {
                drain(&mut *consumer);
            }
            let grant = producer.reserve_known(1).expect("what there is was read");
            let side = &ring.producer;
            let (floor, sequence) =
                (side.floor.load(Ordering::Relaxed), side.floor_sequence.load(Ordering::Relaxed));
            assert!(floor + 8 > position, "position {position} takes a slot above the floor, {floor}");
            // Of frames of a slot each, the number is the position.
            assert_eq!(sequence, floor);
            (8..56).step_by(8).for_each(|at| {
                // SAFETY: within the frame.
                unsafe { grant.dest().put(at, position) }
            });
            grant.commit(position);
        }
    }

    #[test]
    fn evicts_whole_frames() {
        let ring: &'static Overwrite<64, 8> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for user in 0..4 {
            push(&mut producer, 2, user);
        }
        push(&mut producer, 1, 4);
        assert_eq!(drain(&mut *consumer), [(1, 1), (2, 0), (3, 0), (4, 0)]);
        for user in 5..1000 {
            push(&mut producer, 1 + user as usize % 4, user);
            let counts = ring.counts();
            assert_eq!(counts.published, counts.consumed + counts.evicted + counts.queued());
        }
        let seen = drain(&mut *consumer);
        assert_eq!(seen.last().map(|last| last.0), Some(999));
        assert_eq!(seen.iter().map(|(_, evicted)| evicted + 1).sum::<u64>(), 995);
    }

    #[test]
    fn what_is_at_hand_when_a_consumer_leaves_is_the_next_ones() {
        let ring: &'static Overwrite<64, 4> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for user in 0..6 {
            push(&mut producer, 1, user);
        }
        consumer.poll();
        assert_ne!(consumer.run().len, 0);
        assert_eq!((ring.counts().consumed, ring.counts().evicted, ring.counts().queued()), (0, 2, 4));
        drop(consumer);
        assert_eq!((ring.counts().consumed, ring.counts().evicted, ring.counts().queued()), (0, 2, 4));
        assert_eq!(drain(&mut *ring.consumer()), [(2, 2), (3, 0), (4, 0), (5, 0)]);
        assert_eq!((ring.counts().consumed, ring.counts().evicted), (4, 2));
    }

    #[test]
    fn what_is_at_hand_is_queued_until_it_is_stepped_over() {
        let ring: &'static Overwrite<64, 4> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let counts = || (ring.counts().consumed, ring.counts().evicted, ring.counts().queued());
        push(&mut producer, 1, 0);
        consumer.poll();
        assert_ne!(consumer.run().len, 0);
        assert_eq!(counts(), (0, 0, 1));
        // The ring goes once around: the frame at hand is the only one of the first five that is not evicted.
        for user in 1..9 {
            push(&mut producer, 1, user);
        }
        assert_eq!(counts(), (0, 4, 5));
        consumer.advance(1, 1);
        assert_eq!(counts(), (1, 4, 4));
        assert_eq!(drain(&mut *consumer), [(5, 4), (6, 0), (7, 0), (8, 0)]);
        assert_eq!(counts(), (5, 4, 0));
    }

    #[test]
    fn a_reader_in_the_consumers_place_sees_the_same_frames() {
        let ring: &'static Overwrite<64, 8> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        for user in 0..500 {
            push(&mut producer, 1 + user as usize % 3, user);
            let (mut at, until) = ring.ends();
            let mut seen = Vec::new();
            let mut copy = [0; 64];
            // SAFETY: from the read position on, which stays as it is, to the write position.
            while let Some(found) = unsafe { ring.peek(at, until, &mut copy) } {
                let user = Frame(copy[0]).user();
                assert!(copy[1..found.words].iter().all(|&word| word == user), "torn: {copy:x?}");
                seen.push(user);
                at = found.next;
            }
            assert_eq!(seen.last(), Some(&user));
            if user % 7 == 0 {
                let read: Vec<u64> = drain(&mut *consumer).iter().map(|&(user, _)| user).collect();
                assert_eq!(seen, read);
            }
        }
    }

    #[test]
    fn no_frame_is_torn_between_threads() {
        const FRAMES: u64 = if cfg!(debug_assertions) { 200_000 } else { 2_000_000 };
        let ring: &'static Overwrite<64, 8> = Box::leak(Overwrite::new_boxed());
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        let (mut read, mut missed, mut next) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for user in 0..FRAMES {
                    push(&mut producer, 1 + user as usize % 3, user);
                }
            });
            while next < FRAMES {
                for (user, evicted) in drain(&mut *consumer) {
                    assert_eq!(user, next + evicted);
                    next = user + 1;
                    read += 1;
                    missed += evicted;
                }
            }
        });
        assert_eq!(read + missed, FRAMES);
        assert_eq!((ring.counts().consumed, ring.counts().evicted), (read, missed));
    }
}
