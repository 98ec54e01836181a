//! A lane: one thread's ring with its counters and its scratch area, as it lies in the region.
//!
//! ```text
//! | LaneHead: owner, name | producer's counters | writer's | Ring | scratch |
//! ```
//!
//! The lane's *owner* word is its life: `FREE -> CLAIMED` (a thread's compare-and-swap, its first call),
//! `CLAIMED -> RELEASED` (that thread's exit), `RELEASED -> FREE` (the writer, once it has drained the
//! ring). The Release stores and Acquire loads of that word hand the producing half from thread to
//! thread: the new owner sees every position that the old one wrote. Loom checks the hand-over.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::futex;
use crate::ring::{RingLayout, RingView};
use crate::sync::{AtomicU32, AtomicU64, Line, Ordering, add_owned};

/// Nobody's.
pub(crate) const FREE: u32 = 0;
/// A thread's.
pub(crate) const CLAIMED: u32 = 1;
/// Its thread has ended; it is free when the writer has drained it.
pub(crate) const RELEASED: u32 = 2;

/// Bytes of a lane's scratch area: where values are formatted that need `core::fmt`.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Why a record was dropped. The order is that of the counters in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Newest,
    Oldest,
    WaitExpired,
    FormatPanicked,
    Reentrant,
    NoLane,
    AfterShutdown,
    ExitTimeout,
    Sink,
}

impl Cause {
    pub(crate) const ALL: [Cause; CAUSES] = [
        Cause::Newest,
        Cause::Oldest,
        Cause::WaitExpired,
        Cause::FormatPanicked,
        Cause::Reentrant,
        Cause::NoLane,
        Cause::AfterShutdown,
        Cause::ExitTimeout,
        Cause::Sink,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Cause::Newest => "newest",
            Cause::Oldest => "oldest",
            Cause::WaitExpired => "wait_expired",
            Cause::FormatPanicked => "format_panicked",
            Cause::Reentrant => "reentrant",
            Cause::NoLane => "no_lane",
            Cause::AfterShutdown => "after_shutdown",
            Cause::ExitTimeout => "exit_timeout",
            Cause::Sink => "sink",
        }
    }
}

pub(crate) const CAUSES: usize = 9;

/// Drops by cause.
///
/// Added to by read-modify-write: a signal handler may drop a record while the thread it interrupted
/// counts one. Only calls that drop pay for it.
#[derive(Default)]
#[repr(C)]
pub struct Drops([AtomicU64; CAUSES]);

impl Drops {
    #[cfg(not(kakashi_loom))]
    pub(crate) const fn new() -> Self {
        Drops([const { AtomicU64::new(0) }; CAUSES])
    }

    #[inline]
    pub(crate) fn add(&self, cause: Cause, by: u64) {
        self.0[cause as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        Cause::ALL.iter().fold(0, |total, &cause| total.wrapping_add(self.get(cause)))
    }
}

/// The producer's counters.
#[derive(Default)]
#[repr(C)]
pub struct ProducerCounters {
    pub(crate) drops: Drops,
    /// When the first and the last of the drops happened that the writer has not told yet, in ticks.
    pub(crate) first_drop: AtomicU64,
    pub(crate) last_drop: AtomicU64,
    pub(crate) truncated: AtomicU64,
    pub(crate) blocked: AtomicU64,
    pub(crate) blocked_ns: AtomicU64,
}

/// The writer's fields.
#[derive(Default)]
#[repr(C)]
pub struct WriterCounters {
    /// A producer sleeps on this word until slots are released.
    pub(crate) waiting: AtomicU32,
    /// Drops that were told in the log.
    pub(crate) told: Drops,
    /// The most slots that were ever seen occupied.
    pub(crate) high_water: AtomicU64,
    /// Records that no writer will take: published after a shutdown had closed the ring.
    pub(crate) late_leftover: AtomicU64,
    /// The number of the last batch with records of this lane, and the read position behind them (`journal.rs`).
    pub(crate) batch: AtomicU64,
    pub(crate) batch_read: AtomicU64,
    /// The tick of the last of them.
    pub(crate) batch_tick: AtomicU64,
}

/// A channel's figures, and where what is in the memory of its lanes: for who reads them from outside.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub(crate) threads: usize,
    pub(crate) slots: usize,
    pub(crate) slot_bytes: usize,
    /// Bytes from one lane to the next, and from a lane's start to its ring and to what its thread holds back.
    pub(crate) lane_bytes: usize,
    pub(crate) ring: usize,
    pub(crate) held: usize,
    pub(crate) layout: RingLayout,
}

/// What a lane has besides its ring and its scratch area. All bytes zero is a free lane.
#[derive(Default)]
#[repr(C, align(128))]
pub struct LaneHead {
    owner: AtomicU32,
    thread: AtomicU32,
    name: [AtomicU64; 2],
    pub(crate) producer: Line<ProducerCounters>,
    pub(crate) writer: Line<WriterCounters>,
}

/// The thread that a record is from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ThreadId {
    /// The kernel's thread id.
    pub(crate) tid: u32,
    /// The kernel's name for it, at most 15 bytes, padded with zeros.
    pub(crate) name: [u8; 16],
}

impl ThreadId {
    pub(crate) fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        &self.name[..end]
    }
}

impl LaneHead {
    /// A producer's part when its ring is full: sleeps until the writer has released slots, for that time at most. True
    /// when there was room at the last look, and it did not sleep.
    pub(crate) fn sleep_for_room(&self, time: Duration, has_room: impl FnOnce() -> bool) -> bool {
        // The writer swaps this word to 0 after it has released slots, and wakes who is on it.
        // Both sides use read-modify-writes on the one word: either the writer's swap comes later
        // and sees the 1, or this one reads from it (AcqRel) and sees the released slots below.
        let waiting = &self.writer.waiting;
        waiting.swap(1, Ordering::AcqRel);
        if has_room() {
            return true;
        }
        futex::wait(waiting, 1, Some(time));
        false
    }

    /// The writer's part, when it has released slots.
    #[inline]
    pub(crate) fn wake_waiting(&self) {
        let waiting = &self.writer.waiting;
        // AcqRel: see `sleep_for_room`.
        if waiting.swap(0, Ordering::AcqRel) != 0 {
            futex::wake_all(waiting);
        }
    }

    /// Makes a free lane the calling thread's.
    pub(crate) fn claim(&self, thread: ThreadId) -> bool {
        // Acquire pairs with the Release in `set_free`: the last owner's positions are seen.
        if self.owner.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        self.set_thread(thread);
        true
    }

    /// Names the thread whose records follow. They are published after this, by a Release store, so
    /// that Relaxed is enough here.
    pub(crate) fn set_thread(&self, thread: ThreadId) {
        self.thread.store(thread.tid, Ordering::Relaxed);
        let (words, _) = thread.name.as_chunks::<8>();
        for (slot, word) in self.name.iter().zip(words) {
            slot.store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
    }

    pub(crate) fn thread(&self) -> ThreadId {
        let mut thread = ThreadId { tid: self.thread.load(Ordering::Relaxed), name: [0; 16] };
        for (bytes, word) in thread.name.as_chunks_mut::<8>().0.iter_mut().zip(&self.name) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        thread
    }

    /// The owner's end: Release hands all it wrote to the writer, and on to the next owner.
    pub(crate) fn release(&self) {
        self.owner.store(RELEASED, Ordering::Release);
    }

    /// The writer's: Acquire pairs with `release`, so that the last record is seen by the next poll.
    pub(crate) fn owner(&self) -> u32 {
        self.owner.load(Ordering::Acquire)
    }

    /// The writer's, for a released lane that it has drained.
    pub(crate) fn set_free(&self) {
        self.owner.store(FREE, Ordering::Release);
    }

    /// Counts a dropped record and notes when that was.
    #[cold]
    pub(crate) fn dropped(&self, cause: Cause, tick: u64) {
        let counters = &self.producer;
        if !self.has_untold() {
            counters.first_drop.store(tick, Ordering::Relaxed);
        }
        counters.last_drop.store(tick, Ordering::Relaxed);
        counters.drops.add(cause, 1);
    }

    /// Drops that the producing side counted.
    pub(crate) fn drops_in_all(&self) -> u64 {
        self.producer.drops.total()
    }

    /// Whether drops were counted that the log does not tell of yet.
    pub(crate) fn has_untold(&self) -> bool {
        self.producer.drops.total() != self.writer.told.total()
    }

    /// Remembers how full the ring was.
    pub(crate) fn note_fill(&self, occupied: u64) {
        if occupied > self.writer.high_water.load(Ordering::Relaxed) {
            self.writer.high_water.store(occupied, Ordering::Relaxed);
        }
    }

    /// Notes that the records before the read position `read` are in the batch `batch`, which is not sealed yet. The
    /// number first: a position is believed only with the number of a sealed batch. `tick` is the last one's.
    pub(crate) fn note_batch(&self, batch: u64, read: u64, tick: u64) {
        self.writer.batch.store(batch, Ordering::Release);
        self.writer.batch_read.store(read, Ordering::Release);
        self.writer.batch_tick.store(tick, Ordering::Release);
    }

    pub(crate) fn add_leftover(&self, by: u64) {
        add_owned(&self.writer.late_leftover, by);
    }
}

/// A lane as the writer and the statistics know it.
#[derive(Clone, Copy)]
pub struct LaneRef {
    pub(crate) head: &'static LaneHead,
    pub(crate) ring: &'static dyn RingView,
    /// Shared by threads that have no lane of their own: each record names its thread.
    pub(crate) shared: bool,
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lane_has_one_owner_and_knows_its_name() {
        let head = LaneHead::default();
        let id = ThreadId { tid: 7, name: *b"matcher-1\0\0\0\0\0\0\0" };
        assert!(head.claim(id));
        assert!(!head.claim(id));
        assert_eq!(head.thread(), id);
        assert_eq!(head.thread().name(), b"matcher-1");
        head.release();
        assert_eq!(head.owner(), RELEASED);
        assert!(!head.claim(id));
        head.set_free();
        assert!(head.claim(id));
    }

    #[test]
    fn the_first_drop_since_the_last_telling_is_remembered() {
        let head = LaneHead::default();
        head.dropped(Cause::Newest, 5);
        head.dropped(Cause::Newest, 9);
        assert_eq!(head.producer.first_drop.load(Ordering::Relaxed), 5);
        assert_eq!(head.producer.last_drop.load(Ordering::Relaxed), 9);
        head.writer.told.add(Cause::Newest, 2);
        head.dropped(Cause::WaitExpired, 20);
        assert_eq!(head.producer.first_drop.load(Ordering::Relaxed), 20);
        assert_eq!(head.drops_in_all(), 3);
    }
}
