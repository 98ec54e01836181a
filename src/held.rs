//! Records that a thread holds back until it logs an error: the last ones, in memory of its lane.
//!
//! ```text
//! | oldest, end, frames | words: frame word, tick, values | frame word, ... |
//! ```
//!
//! What lies there are frames as in a ring, of eight-byte slots, each in one piece: one that would cross the end has
//! a filler in front. There is no other side: the thread alone reads and writes it, while its lane's state is `BUSY`,
//! and what it wants to have written it copies into its ring. So a record that is held back costs the writer
//! nothing, is lost to no full ring, and makes none.
//!
//! In a black box another process reads it: when its process has died (`blackbox/recover.rs`), or while that runs
//! (`blackbox/backtrace.rs`). For the former, what a frame overwrites is given up before, and a frame counts when it is whole, whichever
//! instruction was the thread's last; for the latter, who reads looks at `oldest` again afterwards.
//!
//! Decision: the positions and the words are plain memory of one thread, handed over with the lane. The writer could hold
//! records back, as Quill's does, if they went through the ring: but then each of them is a record for ring and
//! writer, and a burst of what nobody may ever read can block a thread, or evict what is to be written.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::fence;

use crate::ring::{Frame, PlainDest};
use crate::sync::{AtomicU64, Ordering, add_owned, load_owned};

/// Bytes of the frames that a thread can hold back in a channel.
pub(crate) const HELD_BYTES: usize = 64 * 1024;
pub(crate) const WORDS: usize = HELD_BYTES / 8;
/// The most words of a frame: so it has room beside a filler.
pub(crate) const MOST_WORDS: usize = WORDS / 2;

/// What a lane's thread holds back. All bytes zero is nothing.
#[repr(C, align(128))]
pub struct Held {
    /// Words ever passed: of the frames that were written or forgotten, and of all.
    oldest: AtomicU64,
    end: AtomicU64,
    /// Frames between the two.
    frames: AtomicU64,
    /// A recovery's note: the number of a batch, and `oldest` once that is written. As `WriterCounters` has it.
    batch: AtomicU64,
    batch_oldest: AtomicU64,
    words: UnsafeCell<[u64; WORDS]>,
}

/// Where the parts lie, for who reads them in a file.
pub(crate) const OLDEST: usize = offset_of!(Held, oldest);
pub(crate) const END: usize = offset_of!(Held, end);
pub(crate) const BATCH: usize = offset_of!(Held, batch);
pub(crate) const BATCH_OLDEST: usize = offset_of!(Held, batch_oldest);
pub(crate) const FRAMES_AT: usize = offset_of!(Held, words);

// SAFETY: the words are reached by `add`, `first` and `pass` only, whose callers have the lane; the rest are atomics.
unsafe impl Sync for Held {}

impl Held {
    /// Adds a frame of `words` words, which `fill` stores, behind those that are there: of which so many are forgotten that
    /// there are `most` at the most.
    ///
    /// # Safety
    /// The lane is the calling thread's, and nobody else of it is at this. `words` is 1 to `MOST_WORDS`. `fill` stores within so many words,
    /// and the frame word among them, which says `words` slots.
    pub(crate) unsafe fn add(&self, words: usize, most: usize, fill: impl FnOnce(PlainDest)) {
        debug_assert!((1..=MOST_WORDS).contains(&words));
        if most == 0 {
            return;
        }
        while load_owned(&self.frames) >= most as u64 {
            // SAFETY: as the caller promised.
            unsafe { self.pass() };
        }
        let at = load_owned(&self.end) as usize % WORDS;
        let filler = if at + words > WORDS { WORDS - at } else { 0 };
        while load_owned(&self.end) + (filler + words) as u64 > load_owned(&self.oldest) + WORDS as u64 {
            // SAFETY: as the caller promised.
            unsafe { self.pass() };
        }
        // `oldest` before what lay there is overwritten.
        fence(Ordering::Release);
        if filler != 0 {
            // SAFETY: the words up to the end are free, and there is one.
            unsafe { self.pointer(at).write(Frame::filler(filler).0) };
        }
        fill(PlainDest::new(self.pointer((at + filler) % WORDS).cast()));
        self.end.store(load_owned(&self.end) + (filler + words) as u64, Ordering::Release);
        add_owned(&self.frames, 1);
    }

    /// How many words each frame has, the oldest first.
    ///
    /// # Safety
    /// As of `first`.
    pub(crate) unsafe fn lengths(&self) -> impl Iterator<Item = usize> {
        let (mut at, end) = (load_owned(&self.oldest), load_owned(&self.end));
        core::iter::from_fn(move || {
            loop {
                if at >= end {
                    return None;
                }
                // SAFETY: the words from `oldest` to `end` were written.
                let frame = unsafe { Frame(self.pointer(at as usize % WORDS).read()) };
                at += frame.slots().max(1) as u64;
                if !frame.is_filler() {
                    return Some(frame.slots());
                }
            }
        })
    }

    /// The words of the oldest frame.
    ///
    /// # Safety
    /// The lane is the calling thread's, and nobody else of it is at this while the frame is looked at.
    pub(crate) unsafe fn first(&self) -> Option<&[u64]> {
        if load_owned(&self.frames) == 0 {
            return None;
        }
        let mut at = load_owned(&self.oldest) as usize % WORDS;
        // SAFETY: `at` is below `WORDS`; the words from `oldest` to `end` were written.
        let mut frame = unsafe { Frame(self.pointer(at).read()) };
        if frame.is_filler() {
            add_owned(&self.oldest, frame.slots() as u64);
            at = 0;
            // SAFETY: as above.
            frame = unsafe { Frame(self.pointer(at).read()) };
        }
        // SAFETY: a frame lies in one piece, and nobody writes to it meanwhile, as the caller promised.
        Some(unsafe { core::slice::from_raw_parts(self.pointer(at), frame.slots().min(WORDS - at)) })
    }

    /// Forgets the oldest frame.
    ///
    /// # Safety
    /// As of `first`.
    pub(crate) unsafe fn pass(&self) {
        // SAFETY: as the caller promised.
        match unsafe { self.first() } {
            Some(frame) => {
                add_owned(&self.oldest, frame.len() as u64);
                add_owned(&self.frames, u64::MAX);
            }
            None => self.oldest.store(load_owned(&self.end), Ordering::Relaxed),
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.oldest.store(load_owned(&self.end), Ordering::Relaxed);
        self.frames.store(0, Ordering::Relaxed);
    }

    /// How many frames are there.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    fn pointer(&self, at: usize) -> *mut u64 {
        self.words.get().cast::<u64>().wrapping_add(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::ring::Dest;

    fn empty() -> Box<Held> {
        let zero = || AtomicU64::new(0);
        let [oldest, end, frames, batch, batch_oldest] = [zero(), zero(), zero(), zero(), zero()];
        Box::new(Held { oldest, end, frames, batch, batch_oldest, words: UnsafeCell::new([0; WORDS]) })
    }

    fn add(held: &Held, words: usize, most: usize, mark: u64) {
        // SAFETY: it is this test's alone, and what is stored lies within the words.
        unsafe {
            held.add(words, most, |dest| {
                dest.put(0, Frame::new(words, mark).0);
                (1..words).for_each(|at| dest.put(at * 8, mark));
            });
        }
    }

    proptest! {
        /// Against a queue of which the first ones are forgotten: what is there is the last part of what was added, never
        /// more than asked for, all of it when it fits, and whole.
        #[test]
        fn the_last_ones_are_there_and_whole(
            steps in prop::collection::vec((1..=MOST_WORDS, 0_usize..20, 0_usize..3), 1..60),
        ) {
            let held = empty();
            let mut all = VecDeque::new();
            for (mark, (words, most, passed)) in steps.into_iter().enumerate() {
                // Small ones mostly, so that many lie there at a time.
                let words = if mark % 5 != 0 { words % 40 + 1 } else { words };
                let most = if most > 5 { 10_000 } else { most };
                add(&held, words, most, mark as u64);
                if most > 0 {
                    all.push_back((words, mark as u64));
                    // A filler is shorter than the frame behind it.
                    let has_room = 2 * all.iter().map(|(words, _)| words).sum::<usize>() <= WORDS;
                    prop_assert!(held.frames() as usize <= most);
                    prop_assert!(!has_room || held.frames() as usize == all.len().min(most));
                    all.drain(..all.len() - held.frames() as usize);
                }
                // SAFETY: it is this test's alone.
                let lengths: Vec<usize> = unsafe { held.lengths() }.collect();
                prop_assert!(lengths.iter().eq(all.iter().map(|(words, _)| words)));
                // Seldom, so that it fills.
                for _ in 0..passed * usize::from(mark % 7 == 0) {
                    // SAFETY: it is this test's alone.
                    let found = unsafe { held.first() }.map(|frame| {
                        assert!(frame[1..].iter().all(|&word| word == Frame(frame[0]).user()));
                        (frame.len(), Frame(frame[0]).user())
                    });
                    prop_assert_eq!(found, all.pop_front());
                    // SAFETY: as above.
                    unsafe { held.pass() };
                }
                prop_assert_eq!(held.frames() as usize, all.len());
            }
            held.clear();
            // SAFETY: as above.
            let first = unsafe { held.first() };
            prop_assert!(first.is_none());
        }
    }
}
