//! Rings: queues of fixed-size slots, one thread's on one side, the writer's on the other.
//!
//! A ring knows slots and frames, not records. A *frame* is what one call publishes: one or more
//! slots that lie next to each other in memory and become visible by one store. Its first word says
//! how many slots it has; the other 48 bits of that word, and all bytes behind it, are the caller's.
//!
//! ```text
//! slot 0                                            slot 1 ...
//! | frame word: 15 bits slots | filler | 48 bits user | payload ............................... |
//! ```
//!
//! A frame that would cross the end of the ring is preceded by a *filler* frame up to that end, so
//! that encoder and decoder see flat memory. A frame has at most half of the ring's slots, hence a
//! frame and its filler always fit into an empty ring.
//!
//! | ring | policies | producer | full |
//! |---|---|---|---|
//! | [`spsc::Spsc`] | `Block`, `BlockFor`, `DropNewest` | its own, guarded by `ringbuf`'s `Prod` | refuses |
//! | [`overwrite::Overwrite`] | `DropOldest` | its own, wait-free | evicts whole frames |
//!
//! Decision: fillers instead of a ring mapped twice in a row (XTR). The double mapping needs a file
//! descriptor per ring and page-sized rings; the filler costs slots only at the wrap.

use core::marker::PhantomData;

#[cfg(all(test, kakashi_loom))]
mod models;
pub(crate) mod overwrite;
pub(crate) mod spsc;

/// The most slots that a frame can have: what 15 bits hold.
pub const MAX_FRAME_SLOTS: usize = (1 << 15) - 1;

const FILLER: u64 = 1 << 15;

/// The first word of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame(pub u64);

impl Frame {
    /// `user` is 48 bits wide.
    #[inline(always)]
    pub const fn new(slots: usize, user: u64) -> Self {
        debug_assert!(slots <= MAX_FRAME_SLOTS && user >> 48 == 0);
        Frame(user << 16 | slots as u64)
    }

    pub(crate) const fn filler(slots: usize) -> Self {
        Frame(FILLER | slots as u64)
    }

    /// How many slots the frame has. Never 0 in a frame of ours; a torn or foreign one may say so.
    #[inline(always)]
    pub const fn slots(self) -> usize {
        (self.0 & (FILLER - 1)) as usize
    }

    #[inline(always)]
    pub const fn is_filler(self) -> bool {
        self.0 & FILLER != 0
    }

    #[inline(always)]
    pub const fn user(self) -> u64 {
        self.0 >> 16
    }
}

/// Where a frame's bytes go. Offsets are in bytes from the frame word, multiples of 8.
///
/// # Safety
/// An implementation must accept every offset within the reserved slots.
pub unsafe trait Dest: Copy {
    /// Stores one word.
    ///
    /// # Safety
    /// `offset` is a multiple of 8 and `offset + 8` lies within the reserved frame.
    unsafe fn put(self, offset: usize, word: u64);

    /// Stores bytes; up to 7 bytes behind them, to the next multiple of 8, may be overwritten.
    ///
    /// # Safety
    /// `offset` is a multiple of 8 and `offset + bytes.len()`, rounded up to a multiple of 8, lies
    /// within the reserved frame.
    unsafe fn put_bytes(self, offset: usize, bytes: &[u8]);
}

/// Plain memory, of the one who writes to it.
#[derive(Clone, Copy)]
pub struct PlainDest(*mut u8);

impl PlainDest {
    /// `frame` is where the frame word goes: a multiple of 8.
    #[inline(always)]
    pub(crate) fn new(frame: *mut u8) -> Self {
        PlainDest(frame)
    }
}

// SAFETY: every offset within the reserved slots is plain memory of the one who has reserved them.
unsafe impl Dest for PlainDest {
    #[inline(always)]
    unsafe fn put(self, offset: usize, word: u64) {
        // SAFETY: within the frame, and 8-aligned since a slot is 64-aligned.
        unsafe { self.0.add(offset).cast::<u64>().write(word) };
    }

    #[inline(always)]
    unsafe fn put_bytes(self, offset: usize, bytes: &[u8]) {
        // SAFETY: within the frame; source and ring do not overlap.
        unsafe { copy_short(bytes.as_ptr(), self.0.add(offset), bytes.len()) };
    }
}

/// Copies a short text without a call: for up to 64 bytes by chunks that overlap at the end.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, and the two do not overlap.
#[inline(always)]
unsafe fn copy_short(from: *const u8, to: *mut u8, len: usize) {
    type Chunk = [u8; 16];
    // SAFETY: each branch touches only bytes below `len` on both sides.
    unsafe {
        if len > 64 {
            core::ptr::copy_nonoverlapping(from, to, len);
        } else if len >= 16 {
            let mut at = 0;
            while at + 16 < len {
                to.add(at).cast::<Chunk>().write_unaligned(from.add(at).cast::<Chunk>().read_unaligned());
                at += 16;
            }
            let last = len - 16;
            to.add(last).cast::<Chunk>().write_unaligned(from.add(last).cast::<Chunk>().read_unaligned());
        } else if len >= 8 {
            let (first, last) =
                (from.cast::<u64>().read_unaligned(), from.add(len - 8).cast::<u64>().read_unaligned());
            to.cast::<u64>().write_unaligned(first);
            to.add(len - 8).cast::<u64>().write_unaligned(last);
        } else if len >= 4 {
            let (first, last) =
                (from.cast::<u32>().read_unaligned(), from.add(len - 4).cast::<u32>().read_unaligned());
            to.cast::<u32>().write_unaligned(first);
            to.add(len - 4).cast::<u32>().write_unaligned(last);
        } else if len > 0 {
            to.write(from.read());
            to.add(len / 2).write(from.add(len / 2).read());
            to.add(len - 1).write(from.add(len - 1).read());
        }
    }
}

/// Asks for a cache line in order to read it. A hint: any address will do.
#[inline(always)]
pub(crate) fn prefetch_read(line: *const u8) {
    // SAFETY: a prefetch changes nothing and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags));
    }
}

/// The producing half of a ring. There is one per ring at a time, in one thread at a time.
pub trait ProducerHalf: Sized {
    type Dest: Dest;
    /// The ring's memory. A grant has it by itself: where the half lies is read anew after each store into a slot, since
    /// the compiler cannot know that it does not lie there.
    type Ring: 'static;

    /// Room for a frame of `slots` slots if it is known to be there and needs no filler: a comparison, and, once while
    /// the ring goes round (at each call when it is full), a look at how far the consumer has come. `None` says to ask
    /// [`reserve`](ProducerHalf::reserve).
    ///
    /// Decision: the look is made here, by a few instructions within the call. When it was left to the way of all that
    /// is unusual, whose code has left the caches since the last time, one burst of 20 calls in 410 (8192 slots) took
    /// 3 µs longer: p99.9 of bursts was 170 to 220 ns a call, and is 45 to 110.
    ///
    /// `slots` must be 1..=half of the ring's.
    fn reserve_known(&mut self, slots: usize) -> Option<Grant<'_, Self>>;

    /// Room for a frame of `slots` slots, or `None` when the ring is full.
    ///
    /// `slots` must be 1..=half of the ring's.
    fn reserve(&mut self, slots: usize) -> Option<Grant<'_, Self>>;

    /// How far the consumer has come, as of now: equal values mean that it has not moved.
    fn reader_position(&self) -> u64;

    /// Says that a call had to wait for room: until the ring has gone round once, all calls ask
    /// [`reserve`](ProducerHalf::reserve). A ring that never refuses knows no backpressure.
    fn note_backpressure(&mut self) {}

    /// Whether a call had to wait for room when the ring was last filled; asked once a call. Each time that the consumer
    /// turns out to have read all, an eighth of the ring less has to be gone round: in a flood that is so once when it
    /// has given slots back, and at every call when the flood is over.
    fn is_under_backpressure(&mut self) -> bool {
        false
    }

    /// Asks for the first `lines` cache lines of the slots that a call some time after that for `position` will fill.
    ///
    /// The consumer has read them, so that they lie in its core's cache. A store that has to wait for its line
    /// holds up all stores behind it, and soon the calls that make them; a line asked for [`AHEAD`] slots
    /// early is there. Measured, bursts of 20 calls of 48 bytes, cores 60 ns apart: p50 from 14.5 to 13.0 ns a
    /// call, which is the bare clock, p90 from 24 to 13.5, p99 from 36 to 18, p99.9 from 50-85 to 28-38.
    fn prefetch(ring: &'static Self::Ring, position: u64, lines: usize);

    /// Publishes what a grant has reserved, up to the position `end`. Only [`Grant::commit`] calls this.
    fn publish(ring: &'static Self::Ring, end: u64);
}

/// How many slots ahead lines are asked for. 8 left p99.9 at 40-50 ns where 20 had 28-38; much more would push the
/// caller's own data out of a cache of 32 KiB.
pub(crate) const AHEAD: usize = 16;

/// Asks for a cache line in order to write to it. A hint: any address will do.
#[inline(always)]
pub(crate) fn prefetch_write(line: *const u8) {
    // SAFETY: a prefetch changes nothing and never faults. PREFETCHW is there on every x86_64 (those Intel
    // processors that do not know it do nothing); `_mm_prefetch` would be a read's without a target feature.
    #[cfg(all(target_arch = "x86_64", not(kakashi_loom)))]
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(kakashi_loom)))]
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) line, options(nostack, preserves_flags));
    }
    #[cfg(kakashi_loom)]
    let _ = line;
}

/// Reserved slots. Dropped without [`commit`](Grant::commit), nothing has happened.
#[must_use = "a grant that is not committed publishes nothing"]
pub struct Grant<'a, P: ProducerHalf> {
    /// It borrows the half all the same: one grant at a time, in the half's thread.
    half: PhantomData<&'a mut P>,
    ring: &'static P::Ring,
    dest: P::Dest,
    slots: usize,
    /// The position behind the frame.
    end: u64,
}

impl<P: ProducerHalf> Grant<'_, P> {
    #[inline(always)]
    pub fn dest(&self) -> P::Dest {
        self.dest
    }

    /// Writes the frame word and publishes the frame, by one Release store.
    #[inline(always)]
    pub fn commit(self, user: u64) {
        // SAFETY: a grant has at least one slot, and a slot at least 64 bytes.
        unsafe { self.dest.put(0, Frame::new(self.slots, user).0) };
        P::publish(self.ring, self.end);
    }

    /// See [`ProducerHalf::prefetch`].
    #[inline(always)]
    pub fn prefetch(&self, lines: usize) {
        P::prefetch(self.ring, self.end, lines);
    }
}

/// Where what is in a ring's memory, in bytes from its start, for who reads it from outside. The figures of `Side`s are
/// 64 bits wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingLayout {
    /// The write position, and the frames ever published.
    pub write: usize,
    pub published: usize,
    /// The read position, and the frames ever read; of a ring that evicts, as [`overwrite::taken_and_read`] takes it.
    pub read: usize,
    pub consumed: usize,
    pub slots: usize,
    /// Of a ring that evicts: the rest.
    pub overwrite: Option<OverwriteLayout>,
}

/// What only a ring that evicts has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverwriteLayout {
    /// The position below which frames are evicted, and the sequence number of the frame there.
    pub floor: usize,
    pub floor_sequence: usize,
    /// The sequence number that the consumer expects next.
    pub sequence: usize,
}

/// A ring in memory, as the calling thread's side knows it: by its type.
pub trait RingMemory: RingView + 'static {
    type Producer: ProducerHalf;

    const LAYOUT: RingLayout;

    /// Bytes before the frame word in a frame's first slot.
    const PREFIX: usize;

    /// The producing half.
    ///
    /// # Panics
    /// When another one exists.
    fn producer(&'static self) -> Self::Producer;
}

/// A ring in memory, as the writer and the statistics know it: type-erased.
pub trait RingView: Sync {
    /// The consuming half.
    ///
    /// # Panics
    /// When another one exists.
    fn consumer(&'static self) -> Box<dyn Consumer>;

    /// What went through this ring so far. Each figure is read by itself: exact when the ring is
    /// quiet, otherwise within the frames in flight.
    fn counts(&self) -> RingCounts;

    /// The read and the write position, in slots.
    fn ends(&self) -> (u64, u64);

    /// The next frame from the position `from` on, fillers passed over, that begins before `until`: its words are
    /// copied, as many as `copy` holds. For a reader that has taken the consumer's place.
    ///
    /// # Safety
    /// `from` is where a frame begins, not below the read position, which does not pass the frame meanwhile;
    /// `until` is not above the write position.
    unsafe fn peek(&self, from: u64, until: u64, copy: &mut [u64]) -> Option<Peek>;
}

/// A frame that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Peek {
    /// The position behind it.
    pub next: u64,
    /// How many words of it were copied.
    pub words: usize,
}

/// What went through a ring, in frames, and how full it is, in slots.
#[derive(Clone, Copy, Default, Debug)]
pub struct RingCounts {
    /// Frames ever published.
    pub published: u64,
    /// Frames that the consumer has read.
    pub consumed: u64,
    /// Frames that were evicted unread.
    pub evicted: u64,
    /// Slots that hold published frames (and fillers) not yet read.
    pub occupied: u64,
    /// Slots in all.
    pub capacity: u64,
}

impl RingCounts {
    /// Frames that are still to be read.
    pub fn queued(&self) -> u64 {
        self.published.saturating_sub(self.consumed).saturating_sub(self.evicted)
    }
}

/// Frames next to each other in memory, ready to be read.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub start: *const u8,
    /// Bytes; 0 when there is nothing up to the snapshot.
    pub len: usize,
    /// Bytes from one frame to the next, per slot.
    pub slot_bytes: usize,
    /// Frames evicted between the previous run and this one.
    pub evicted: u64,
}

/// The consuming half of a ring.
///
/// The order is: [`poll`](Consumer::poll), then [`run`](Consumer::run) and
/// [`advance`](Consumer::advance) by turns, then [`release`](Consumer::release).
pub trait Consumer: Send {
    /// Looks what is published (Acquire) and returns the position up to which runs will go.
    fn poll(&mut self) -> u64;

    /// The next frames up to the snapshot. The memory stays as it is until `advance` has gone over
    /// it and `release` was called.
    fn run(&mut self) -> Run;

    /// Steps over `slots` slots of the run, which hold `frames` frames (fillers do not count).
    fn advance(&mut self, slots: usize, frames: u64);

    /// Gives the slots that were stepped over back to the producer, and says whether there were any.
    fn release(&mut self) -> bool;

    /// How many slots were ever stepped over.
    fn position(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rings' proofs stand on: a second half of a kind is refused, as long as the first one is there.
    #[cfg(not(kakashi_loom))]
    #[test]
    fn a_ring_has_one_half_of_each_kind() {
        fn check<R: RingMemory>(ring: Box<R>) {
            let ring: &'static R = Box::leak(ring);
            let is_refused = |half: fn(&'static R)| {
                // The ring's flags are as a refusal finds them.
                let ring = std::panic::AssertUnwindSafe(ring);
                std::panic::catch_unwind(move || half(*ring)).is_err()
            };
            let (producer, consumer) = (ring.producer(), ring.consumer());
            assert!(is_refused(|ring| drop(ring.producer())), "one producer");
            assert!(is_refused(|ring| drop(ring.consumer())), "one consumer");
            drop((producer, consumer));
            drop((ring.producer(), ring.consumer()));
        }
        check(spsc::Spsc::<64, 4>::new_boxed());
        check(overwrite::Overwrite::<64, 4>::new_boxed());
    }

    /// What a call finds without asking: all that is free, each time the ring goes round, and not one slot more.
    #[cfg(not(kakashi_loom))]
    #[test]
    fn room_is_known_as_soon_as_it_is_there() {
        fn check<R: RingMemory>(ring: Box<R>, slots: usize) {
            let ring: &'static R = Box::leak(ring);
            let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
            let mut free = slots;
            for read in (0..slots).chain((0..slots).rev()) {
                for _ in 0..free {
                    producer.reserve_known(1).expect("there is room").commit(0);
                }
                assert!(producer.reserve_known(1).is_none(), "it is full");
                consumer.poll();
                for _ in 0..read {
                    assert_ne!(consumer.run().len, 0);
                    consumer.advance(1, 1);
                }
                consumer.release();
                free = read;
            }
        }
        check(spsc::Spsc::<64, 8>::new_boxed(), 8);
        check(overwrite::Overwrite::<64, 8>::new_boxed(), 8);
    }

    #[test]
    fn frame_word_holds_what_was_put_in() {
        let frame = Frame::new(MAX_FRAME_SLOTS, (1 << 48) - 1);
        assert_eq!((frame.slots(), frame.user(), frame.is_filler()), (MAX_FRAME_SLOTS, (1 << 48) - 1, false));
        assert!(Frame::filler(3).is_filler());
        assert_eq!(Frame::filler(3).slots(), 3);
    }

    #[test]
    fn short_copies_are_exact() {
        let from: Vec<u8> = (0..=255).collect();
        for len in 0..200 {
            let mut to = vec![0xEE; 256];
            // SAFETY: both are longer than `len`.
            unsafe { copy_short(from.as_ptr(), to.as_mut_ptr(), len) };
            assert_eq!(to[..len], from[..len]);
            assert!(to[len..].iter().all(|&byte| byte == 0xEE));
        }
    }
}
