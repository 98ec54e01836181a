//! Loom's models of lanes: the hand-over from thread to thread, the waiting handshake, the counters.
//!
//! See `ring/models.rs` for how to run them.

mod backend;
mod journal;

use core::mem::ManuallyDrop;
use core::time::Duration;

use loom::thread;

use crate::lane::{Cause, FREE, LaneHead, RELEASED, ThreadId};
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Dest, Frame, ProducerHalf, RingMemory, RingView};
use crate::sync::{AtomicU64, Line, Ordering, add_owned};

/// Lends a box for good, as far as `body` can tell. `body` joins the threads it starts and drops what
/// refers to the box.
pub(crate) fn with_static<T: 'static>(value: Box<T>, body: impl FnOnce(&'static T)) {
    let value = Box::into_raw(value);
    // SAFETY: it lives until the next statement, behind which nothing refers to it.
    body(unsafe { &*value });
    // SAFETY: it came from a box.
    drop(unsafe { Box::from_raw(value) });
}

struct Lane<R> {
    head: LaneHead,
    ring: R,
}

impl<R> Lane<R> {
    fn new(ring: R) -> Box<Self> {
        Box::new(Lane { head: LaneHead::default(), ring })
    }
}

/// The writer's side of a lane, in the order of `writer::lanes::Cursor`: the owner, then the ring.
struct Cursor {
    head: &'static LaneHead,
    consumer: Box<dyn Consumer>,
    snapshot: u64,
    thread: ThreadId,
    /// User and thread of each record.
    seen: Vec<(u64, u32)>,
}

impl Cursor {
    fn new<R: RingView>(lane: &'static Lane<R>) -> Self {
        let consumer = lane.ring.consumer();
        let snapshot = consumer.position();
        Cursor { head: &lane.head, consumer, snapshot, thread: ThreadId::default(), seen: Vec::new() }
    }

    fn round(&mut self) {
        let released = self.head.owner() == RELEASED;
        let before = self.snapshot;
        self.snapshot = self.consumer.poll();
        if self.snapshot != before {
            self.thread = self.head.thread();
        }
        loop {
            let run = self.consumer.run();
            if run.len == 0 {
                break;
            }
            assert_eq!(run.evicted, 0);
            // SAFETY: a run starts with a frame word, and a word of payload.
            let (frame, payload) =
                unsafe { (run.start.cast::<u64>().read(), run.start.cast::<u64>().add(1).read()) };
            let frame = Frame(frame);
            assert_eq!(frame.user(), payload);
            self.seen.push((frame.user(), self.thread.tid));
            self.consumer.advance(frame.slots(), 1);
        }
        self.consumer.release();
        if released && self.consumer.position() >= self.snapshot {
            self.head.set_free();
        }
    }
}

/// A thread's whole life with a lane. Returns what it has published.
fn live<R: RingMemory>(lane: &'static Lane<R>, tid: u32, records: u64, tries: usize) -> Vec<(u64, u32)> {
    for _ in 0..tries {
        if lane.head.claim(ThreadId { tid, name: [tid as u8; 16] }) {
            let mut producer = lane.ring.producer();
            let mut published = Vec::new();
            for at in 0..records {
                let user = u64::from(tid) * 10 + at;
                let grant = producer.reserve(1).expect("the ring has room for all records");
                // SAFETY: within the frame.
                unsafe { grant.dest().put(8, user) };
                grant.commit(user);
                published.push((user, tid));
            }
            drop(producer);
            lane.head.release();
            return published;
        }
        thread::yield_now();
    }
    Vec::new()
}

/// One thread's records, then the next one's, through one lane: nothing is lost, doubled or out of order,
/// the second producing half goes on where the first ended, and each record is attributed to its own
/// thread, since the lane is free only when it is drained.
fn handed_over<R: RingMemory>(ring: fn() -> Box<R>, records: u64) {
    loom::model(move || {
        with_static(Lane::new(*ring()), |lane| {
            let mut cursor = Cursor::new(lane);
            let first = thread::spawn(move || live(lane, 1, records, 1));
            let second = thread::spawn(move || live(lane, 2, records, 2));
            cursor.round();
            cursor.round();
            let mut published = first.join().expect("the first ends");
            let after = second.join().expect("the second ends");
            cursor.round();
            // Either may be the first to claim.
            if cursor.seen.first().is_some_and(|seen| seen.1 == 2) {
                published = [after, published].concat();
            } else {
                published.extend(after);
            }
            assert_eq!(cursor.seen, published);
            assert_eq!(lane.head.owner(), FREE);
            let counts = lane.ring.counts();
            assert_eq!((counts.published, counts.consumed), (published.len() as u64, published.len() as u64));
        });
    });
}

#[test]
fn a_lane_is_handed_over_whole() {
    handed_over(Spsc::<64, 4>::new_boxed, 2);
}

#[test]
fn a_lane_that_overwrites_is_handed_over_whole() {
    handed_over(Overwrite::<24, 4>::new_boxed, 2);
}

/// Of two threads that claim a lane, one has it.
#[test]
fn a_lane_has_one_owner() {
    loom::model(|| {
        with_static(Box::new(LaneHead::default()), |head| {
            let claim = move |tid| thread::spawn(move || head.claim(ThreadId { tid, name: [0; 16] }));
            let (first, second) = (claim(1), claim(2));
            let won = [first.join().expect("it ends"), second.join().expect("it ends")];
            assert_eq!(won.iter().filter(|&&won| won).count(), 1);
            assert_eq!(head.thread().tid, if won[0] { 1 } else { 2 });
        });
    });
}

/// A full ring, a writer that reads it empty, and a producer that waits for room without an end to its sleep: both
/// sides swap one word, so that the writer's swap sees the announcement, or the producer's reads from the writer's and
/// sees the released slots. A sleeper that nobody wakes would sleep for ever, and loom tells.
#[test]
fn a_swap_misses_no_sleeper() {
    loom::model(|| {
        with_static(Lane::<Spsc<64, 2>>::new(*Spsc::new_boxed()), |lane| {
            // When loom tells of a deadlock, nothing that it models may be dropped.
            let mut producer = ManuallyDrop::new(lane.ring.producer());
            for user in 0..2 {
                let grant = producer.reserve(1).expect("room");
                // SAFETY: within the frame.
                unsafe { grant.dest().put(8, user) };
                grant.commit(user);
            }
            let mut cursor = Cursor::new(lane);
            let writer = thread::spawn(move || {
                cursor.round();
                lane.head.wake_waiting();
            });
            // As in `cold::wait`, which also looks after a time.
            while !lane.head.sleep_for_room(Duration::MAX, || producer.reserve(1).is_some()) {}
            writer.join().expect("the writer ends");
            drop(ManuallyDrop::into_inner(producer));
        });
    });
}

/// Drops are added by several (a call and the signal handler that interrupted it, or the users of a
/// shared lane): none is lost, the writer tells each once, and never more than there are.
#[test]
fn drops_are_counted_and_told_once() {
    loom::model(|| {
        with_static(Box::new(LaneHead::default()), |head| {
            let drop_one = move || thread::spawn(move || head.producer.drops.add(Cause::Newest, 1));
            let (first, second) = (drop_one(), drop_one());
            // As `writer::lanes` does it.
            let tell = || {
                let (now, told) =
                    (head.producer.drops.get(Cause::Newest), head.writer.told.get(Cause::Newest));
                let new = now.checked_sub(told).expect("a count does not go back");
                head.writer.told.add(Cause::Newest, new);
                new
            };
            let early = tell() + tell();
            first.join().expect("it ends");
            second.join().expect("it ends");
            assert_eq!(early + tell(), 2);
            assert!(!head.has_untold());
        });
    });
}

/// A counter with one writer loses nothing by load and store, and never goes back for a reader.
#[test]
fn an_owned_counter_only_grows() {
    loom::model(|| {
        with_static(Box::new(Line(AtomicU64::new(0))), |counter| {
            let owner = thread::spawn(move || {
                add_owned(counter, 1);
                add_owned(counter, 2);
            });
            let first = counter.load(Ordering::Relaxed);
            let second = counter.load(Ordering::Relaxed);
            assert!(first <= second && [0, 1, 3].contains(&first), "{first}, {second}");
            owner.join().expect("it ends");
            assert_eq!(counter.load(Ordering::Relaxed), 3);
        });
    });
}
