//! Loom's models of the rings, on the code that ships.
//!
//! `RUSTFLAGS="--cfg kakashi_loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release --lib`. Each model says
//! which claim it checks; `scripts/mutants.sh` weakens the code and shows that a model notices.
//!
//! Payloads of [`Spsc`] are plain memory, which loom does not see: the `tracked` cells stand for it.
//! Those of [`Overwrite`] are atomic words, each of which may be read as old as the memory model allows.

use loom::thread;

use super::overwrite::{Overwrite, OverwriteProducer};
use super::spsc::{Spsc, SpscProducer};
use super::{Consumer, Dest, Frame, ProducerHalf, RingMemory, RingView};
use crate::models::with_static;

/// Frames as a consumer saw them: user, slots, frames missed before.
type Seen = Vec<(u64, usize, u64)>;

/// Reads all there is at this moment. The words behind a frame word must all equal the user's bits;
/// `written` tells at which offsets there are words.
fn drain(consumer: &mut dyn Consumer, written: impl Fn(usize) -> Vec<usize>, seen: &mut Seen) {
    consumer.poll();
    let mut missed = 0;
    loop {
        let run = consumer.run();
        missed += run.evicted;
        if run.len == 0 {
            break;
        }
        let word = |offset: usize| {
            assert!(offset + 8 <= run.len);
            // SAFETY: a run is readable memory of whole words.
            unsafe { run.start.add(offset).cast::<u64>().read() }
        };
        let frame = Frame(word(0));
        if frame.is_filler() {
            consumer.advance(frame.slots(), 0);
            continue;
        }
        for offset in written(frame.slots()) {
            assert_eq!(word(offset), frame.user(), "a torn frame");
        }
        seen.push((frame.user(), frame.slots(), std::mem::take(&mut missed)));
        consumer.advance(frame.slots(), 1);
    }
    consumer.release();
}

/// Where the words of a frame's payload are; of a large slot, the first and the last.
fn words(bytes: usize, prefix: usize) -> Vec<usize> {
    let last = bytes - prefix - 8;
    if bytes < 64 { (8..=last).step_by(8).collect() } else { vec![8, last] }
}

/// As a call does it: by what is known first, then by asking.
fn push<P: ProducerHalf>(producer: &mut P, slots: usize, user: u64, written: &[usize]) -> bool {
    let half: *mut P = producer;
    // SAFETY: one grant at a time: the first is none when the second is asked for, which the borrow checker does
    // not see.
    let Some(grant) = (unsafe { (*half).reserve_known(slots).or_else(|| (*half).reserve(slots)) }) else {
        return false;
    };
    for &offset in written {
        // SAFETY: within the frame.
        unsafe { grant.dest().put(offset, user) };
    }
    grant.commit(user);
    true
}

mod spsc {
    use super::*;

    type Ring<const N: usize> = Spsc<64, N>;

    fn push<const N: usize>(producer: &mut SpscProducer<64, N>, slots: usize, user: u64) -> bool {
        super::push(producer, slots, user, &words(slots * 64, 0))
    }

    fn drain(consumer: &mut dyn Consumer, seen: &mut Seen) {
        super::drain(consumer, |slots| words(slots * 64, 0), seen);
    }

    /// Frames arrive whole and in order, a full ring refuses and loses nothing, and a slot changes
    /// hands only with everything that was done to it before (the tracked cells).
    #[test]
    fn frames_are_whole_and_in_order() {
        loom::model(|| {
            with_static(Ring::<2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                let writer = thread::spawn(move || {
                    let taken: Vec<u64> = (1..=4).filter(|&user| push(&mut producer, 1, user)).collect();
                    // Two fit into the empty ring, whatever the consumer does.
                    assert_eq!(taken[..2], [1, 2]);
                    taken
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain(&mut *consumer, &mut seen);
                drain(&mut *consumer, &mut seen);
                let taken = writer.join().expect("the producer ends");
                drain(&mut *consumer, &mut seen);
                assert_eq!(seen, taken.iter().map(|&user| (user, 1, 0)).collect::<Seen>());
                let counts = ring.counts();
                assert_eq!((counts.published, counts.consumed), (taken.len() as u64, taken.len() as u64));
                assert_eq!((counts.queued(), counts.occupied), (0, 0));
            });
        });
    }

    /// At the end of the ring a filler goes before a frame that would cross it; both become visible at
    /// once, and their slots come back.
    #[test]
    fn a_filler_and_its_frame_are_one() {
        loom::model(|| {
            with_static(Ring::<4>::new_boxed(), |ring| {
                let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
                // Up to the last slot: a frame of two needs a filler of one there.
                assert!(push(&mut producer, 1, 100) && push(&mut producer, 2, 101));
                let mut seen = Vec::new();
                drain(&mut *consumer, &mut seen);
                let writer = thread::spawn(move || {
                    assert!(push(&mut producer, 2, 1), "a frame of half the ring fits into an empty one");
                    assert!(push(&mut producer, 1, 2));
                    push(&mut producer, 2, 3)
                });
                drain(&mut *consumer, &mut seen);
                let third = writer.join().expect("the producer ends");
                drain(&mut *consumer, &mut seen);
                let mut expected = vec![(100, 1, 0), (101, 2, 0), (1, 2, 0), (2, 1, 0)];
                if third {
                    expected.push((3, 2, 0));
                }
                assert_eq!(seen, expected);
                assert_eq!(ring.counts().occupied, 0);
            });
        });
    }

    /// The limit only underestimates, and is asked for anew when it is reached: after a refusal,
    /// released slots are found.
    #[test]
    fn a_refused_producer_finds_released_slots() {
        loom::model(|| {
            with_static(Ring::<2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                assert!(push(&mut producer, 1, 1) && push(&mut producer, 1, 2));
                let mut consumer = ring.consumer();
                let reader = thread::spawn(move || {
                    let mut seen = Vec::new();
                    drain(&mut *consumer, &mut seen);
                    (consumer, seen)
                });
                let early = push(&mut producer, 1, 3);
                let (mut consumer, mut seen) = reader.join().expect("the consumer ends");
                assert!(push(&mut producer, 1, 4), "one slot of two is free at least");
                let moved = producer.reader_position();
                assert_eq!(moved, 2);
                drain(&mut *consumer, &mut seen);
                let users: Vec<u64> = seen.iter().map(|seen| seen.0).collect();
                assert_eq!(users, if early { vec![1, 2, 3, 4] } else { vec![1, 2, 4] });
            });
        });
    }

    /// A grant that is dropped has published nothing, and its slots are reserved again by the next.
    #[test]
    fn a_dropped_grant_is_not_seen() {
        loom::model(|| {
            with_static(Ring::<2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                let writer = thread::spawn(move || {
                    let grant = producer.reserve(1).expect("room");
                    // SAFETY: within the frame.
                    unsafe { grant.dest().put(0, u64::MAX) };
                    drop(grant);
                    assert!(push(&mut producer, 1, 1));
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain(&mut *consumer, &mut seen);
                assert_eq!(seen, [(1, 1, 0)]);
            });
        });
    }

    /// What a third thread reads of a busy ring never says more was read than published.
    #[test]
    fn counts_add_up_at_any_moment() {
        loom::model(|| {
            with_static(Ring::<2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                let writer =
                    thread::spawn(move || (1..=2).filter(|&user| push(&mut producer, 1, user)).count());
                let observer = thread::spawn(move || {
                    let counts = ring.counts();
                    assert!(counts.consumed <= counts.published, "{counts:?}");
                    assert!(counts.occupied <= counts.capacity, "{counts:?}");
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                observer.join().expect("the observer ends");
            });
        });
    }
}

mod overwrite {
    use super::*;

    /// Slots of 64 bytes as they ship would be eight words each to explore; three words (sequence,
    /// frame, payload) are the same code.
    const SMALL: usize = 24;
    const PREFIX: usize = 8;

    fn push<const B: usize, const N: usize>(producer: &mut OverwriteProducer<B, N>, slots: usize, user: u64) {
        assert!(super::push(producer, slots, user, &words(slots * B, PREFIX)), "it never refuses");
    }

    fn drain<const B: usize>(consumer: &mut dyn Consumer, seen: &mut Seen) {
        super::drain(consumer, |slots| words(slots * B, PREFIX), seen);
    }

    /// Every frame is read or missed, in order and once: `seen` ends with the newest of `1..=last`, and
    /// each frame follows the one before by as many as it says were missed.
    fn account(ring: &dyn RingView, seen: &Seen, last: u64) {
        let mut before = 0;
        for &(user, _, missed) in seen {
            assert_eq!(user, before + 1 + missed, "{seen:?}");
            before = user;
        }
        assert_eq!(before, last, "the newest is always in: {seen:?}");
        let missed: u64 = seen.iter().map(|seen| seen.2).sum();
        assert_eq!(seen.len() as u64 + missed, last);
        let counts = ring.counts();
        assert_eq!(
            (counts.published, counts.consumed, counts.evicted, counts.queued()),
            (last, seen.len() as u64, missed, 0)
        );
    }

    /// While the producer laps the consumer, no frame is read torn or twice, the newest is in, and
    /// read + missed is what was published.
    fn lapped<const B: usize, const N: usize>(frames: u64) {
        loom::model(move || {
            with_static(Overwrite::<B, N>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                let writer = thread::spawn(move || {
                    for user in 1..=frames {
                        push(&mut producer, 1, user);
                    }
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain::<B>(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain::<B>(&mut *consumer, &mut seen);
                account(ring, &seen, frames);
            });
        });
    }

    #[test]
    fn no_frame_is_torn_when_lapped_once() {
        lapped::<64, 2>(4);
    }

    #[test]
    fn no_frame_is_torn_when_lapped_twice() {
        lapped::<SMALL, 2>(5);
    }

    #[test]
    fn no_frame_is_torn_in_a_ring_of_four() {
        lapped::<SMALL, 4>(6);
    }

    /// The same with frames of several slots: eviction takes whole frames, payload may lie where a
    /// later frame has its sequence number, and a filler lies at the end.
    #[test]
    fn frames_of_several_slots_are_evicted_whole() {
        loom::model(|| {
            with_static(Overwrite::<SMALL, 4>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                push(&mut producer, 2, 1);
                push(&mut producer, 1, 2);
                let writer = thread::spawn(move || {
                    // A filler of one, and two slots over the first frame.
                    push(&mut producer, 2, 3);
                    push(&mut producer, 1, 4);
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain::<SMALL>(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain::<SMALL>(&mut *consumer, &mut seen);
                for &(user, slots, _) in &seen {
                    assert_eq!(slots, [2, 1, 2, 1][user as usize - 1]);
                }
                account(ring, &seen, 4);
            });
        });
    }

    /// A filler's words go where a long frame's payload was.
    #[test]
    fn a_filler_is_not_mixed_with_payload() {
        loom::model(|| {
            with_static(Overwrite::<SMALL, 4>::new_boxed(), |ring| {
                let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
                let mut seen = Vec::new();
                push(&mut producer, 2, 1);
                drain::<SMALL>(&mut *consumer, &mut seen);
                push(&mut producer, 2, 2);
                push(&mut producer, 1, 3);
                let writer = thread::spawn(move || {
                    push(&mut producer, 2, 4);
                    // A filler in the last slot, where the second half of frame 2 is.
                    push(&mut producer, 2, 5);
                });
                drain::<SMALL>(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain::<SMALL>(&mut *consumer, &mut seen);
                account(ring, &seen, 5);
            });
        });
    }

    /// Single slots over a frame of two: its second slot is overwritten by a frame whose sequence word
    /// stands where payload stood.
    #[test]
    fn a_long_frame_is_not_mixed_with_short_ones() {
        loom::model(|| {
            with_static(Overwrite::<SMALL, 4>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                push(&mut producer, 2, 1);
                push(&mut producer, 2, 2);
                let writer = thread::spawn(move || {
                    push(&mut producer, 1, 3);
                    push(&mut producer, 1, 4);
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain::<SMALL>(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain::<SMALL>(&mut *consumer, &mut seen);
                account(ring, &seen, 4);
            });
        });
    }

    /// A consumer that releases while the producer evicts: what was read is not counted as evicted,
    /// and slots given back are reused without a loss.
    #[test]
    fn releasing_and_evicting_agree() {
        loom::model(|| {
            with_static(Overwrite::<SMALL, 2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                push(&mut producer, 1, 1);
                push(&mut producer, 1, 2);
                let writer = thread::spawn(move || {
                    push(&mut producer, 1, 3);
                    push(&mut producer, 1, 4);
                });
                let mut consumer = ring.consumer();
                let mut seen = Vec::new();
                drain::<SMALL>(&mut *consumer, &mut seen);
                drain::<SMALL>(&mut *consumer, &mut seen);
                writer.join().expect("the producer ends");
                drain::<SMALL>(&mut *consumer, &mut seen);
                account(ring, &seen, 4);
            });
        });
    }

    /// A frame that the consumer has copied out is still to be read: its position is not past it,
    /// however far the producer has gone meanwhile.
    #[test]
    fn the_position_stays_before_what_is_at_hand() {
        loom::model(|| {
            with_static(Overwrite::<SMALL, 2>::new_boxed(), |ring| {
                let mut producer = ring.producer();
                push(&mut producer, 1, 1);
                let writer = thread::spawn(move || {
                    for user in 2..=4 {
                        push(&mut producer, 1, user);
                    }
                });
                let mut consumer = ring.consumer();
                let snapshot = consumer.poll();
                let run = consumer.run();
                if run.len != 0 {
                    assert!(consumer.position() < snapshot, "it is at hand and not read");
                }
                writer.join().expect("the producer ends");
            });
        });
    }
}
