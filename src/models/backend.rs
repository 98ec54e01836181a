//! Loom's models of what goes on between callers, the writer and a crash handler: the lock, flushes, the closing of the
//! rings, and the taking over of the consumer side.

use loom::thread;

use super::with_static;
use crate::desk::Desk;
use crate::futex::Lock;
use crate::ownership::{ABSENT, MOVING, OWN, Ownership, WRITING};
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Dest, ProducerHalf, RingMemory, RingView};
use crate::sync::{AtomicU64, Ordering};

type Ring = Spsc<64, 4>;

/// Publishes a record.
pub(super) fn publish(producer: &mut impl ProducerHalf, user: u64) {
    let grant = producer.reserve(1).expect("the ring has room for all records");
    // SAFETY: within the frame.
    unsafe { grant.dest().put(8, user) };
    grant.commit(user);
}

/// Steps over what is published by now; returns how many records that were.
fn drain(consumer: &mut dyn Consumer) -> u64 {
    consumer.poll();
    let mut records = 0;
    loop {
        let run = consumer.run();
        if run.len == 0 {
            return records;
        }
        records += 1;
        consumer.advance(1, 1);
    }
}

/// One holder at a time, and each sees what the last one did.
#[test]
fn a_lock_excludes_and_hands_over() {
    loom::model(|| {
        with_static(Box::new(Lock::new(0_u32)), |lock| {
            let add = move || thread::spawn(move || *lock.lock() += 1);
            let (first, second) = (add(), add());
            if let Some(mut held) = lock.try_lock() {
                *held += 10;
                drop(held);
                *lock.lock() -= 10;
            }
            first.join().expect("it ends");
            second.join().expect("it ends");
            assert_eq!(*lock.lock(), 2);
        });
    });
}

/// What a flush is about: a ring, the desk, and a sink that says how much it has taken.
struct Flushed {
    ring: Ring,
    desk: Desk<()>,
    taken: AtomicU64,
    told: AtomicU64,
}

/// The writer's round, in the order of `writer::Writer::round`: the number first, then what is published, then it is
/// accepted; and done when the sink has it.
fn honour(flushed: &'static Flushed, consumer: &mut dyn Consumer) {
    let Some(number) = flushed.desk.pending() else { return };
    let records = drain(consumer);
    flushed.desk.accept(number);
    consumer.release();
    flushed.taken.store(flushed.taken.load(Ordering::Relaxed) + records, Ordering::Relaxed);
    let (accepted, _) = flushed.desk.accepted();
    flushed.desk.finish(accepted, None);
}

impl Flushed {
    fn new() -> Box<Self> {
        let (taken, told) = (AtomicU64::new(0), AtomicU64::new(0));
        Box::new(Flushed { ring: *Ring::new_boxed(), desk: Desk::new(), taken, told })
    }

    fn honoured(&'static self) -> thread::JoinHandle<()> {
        thread::spawn(move || honour(self, &mut *self.ring.consumer()))
    }

    /// Draws a number and looks whether it is done: then the sink has at least `records`.
    fn flush(&self, records: u64) {
        let mine = self.desk.draw(false);
        if let Some(outcome) = self.desk.outcome(mine, false, |_| ()) {
            assert_eq!(outcome, Ok(()));
            assert!(self.taken.load(Ordering::Relaxed) >= records, "done before it was taken");
        }
    }
}

/// Whoever flushes finds in the sink what it has logged before.
#[test]
fn a_flush_covers_what_was_logged_before() {
    loom::model(|| {
        with_static(Flushed::new(), |flushed| {
            let writer = flushed.honoured();
            publish(&mut flushed.ring.producer(), 1);
            flushed.flush(1);
            writer.join().expect("it ends");
            // Another flush, which the writer finds later, changes nothing.
            flushed.flush(1);
        });
    });
}

/// And what other threads have logged before they told it so.
#[test]
fn a_flush_covers_what_others_logged_before() {
    loom::model(|| {
        with_static(Flushed::new(), |flushed| {
            let writer = flushed.honoured();
            let other = thread::spawn(move || {
                publish(&mut flushed.ring.producer(), 1);
                flushed.told.store(1, Ordering::Release);
            });
            let told = flushed.told.load(Ordering::Acquire);
            flushed.flush(told);
            other.join().expect("it ends");
            writer.join().expect("it ends");
        });
    });
}

/// A number that is drawn while the writer is at work on an earlier one is not done with it.
#[test]
fn a_flush_is_done_with_its_own_number() {
    loom::model(|| {
        with_static(Flushed::new(), |flushed| {
            let writer = flushed.honoured();
            let other = thread::spawn(move || {
                publish(&mut flushed.ring.producer(), 1);
                flushed.flush(1);
            });
            flushed.flush(0);
            other.join().expect("it ends");
            writer.join().expect("it ends");
        });
    });
}

/// A call that overlaps the closing of the rings is written, or left and counted, and never both: what the last writer
/// passed and what it left are what was published.
#[test]
fn a_call_that_overlaps_the_closing_is_written_or_left() {
    loom::model(|| {
        with_static(Ring::new_boxed(), |ring| {
            let caller = thread::spawn(move || {
                let mut producer = ring.producer();
                publish(&mut producer, 1);
                publish(&mut producer, 2);
            });
            let mut consumer = ring.consumer();
            // The target of a shutdown, and on until the writer stands there.
            let target = ring.ends().1;
            let mut written = 0;
            while consumer.position() < target {
                written += drain(&mut *consumer);
            }
            consumer.release();
            caller.join().expect("it ends");
            let counts = ring.counts();
            assert!(written >= target);
            assert_eq!((counts.published, counts.consumed), (2, written));
            // The next writer throws away what was left; nothing more and nothing less is there.
            assert_eq!(drain(&mut *consumer), 2 - written);
        });
    });
}

/// Two records, each with how often it was written, and what a handler goes by.
struct Taking {
    ring: Ring,
    ownership: Ownership,
    /// Records in staging: now, and from `MOVING` on.
    staged: AtomicU64,
    next: AtomicU64,
    batch_read: AtomicU64,
    written: [AtomicU64; 2],
    /// The records of a write that was under way when the word was taken.
    overtaken: AtomicU64,
}

impl Taking {
    fn write(&self, records: core::ops::Range<u64>) {
        for at in records {
            self.written[at as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The writer's rounds, in the order of `writer::Writer::round`; it ends where it would stop for ever.
    fn work(&'static self) {
        let mut consumer = self.ring.consumer();
        for _ in 0..2 {
            let first = consumer.position();
            let records = drain(&mut *consumer);
            self.next.store(records, Ordering::Relaxed);
            self.batch_read.store(consumer.position(), Ordering::Relaxed);
            if !self.ownership.pass(OWN, MOVING) {
                return;
            }
            consumer.release();
            self.staged.store(records, Ordering::Relaxed);
            if !self.ownership.pass(MOVING, OWN) || !self.ownership.pass(OWN, WRITING) {
                return;
            }
            self.write(first..first + records);
            self.staged.store(0, Ordering::Relaxed);
            self.next.store(0, Ordering::Relaxed);
            if !self.ownership.pass(WRITING, OWN) {
                self.overtaken.store(records, Ordering::Relaxed);
                return;
            }
        }
        let _ = self.ownership.pass(OWN, ABSENT);
    }

    /// The handler's.
    fn rescue(&self) {
        let taken = self.ownership.take_over().expect("nobody else takes it");
        let (read, published) = self.ring.ends();
        let (staged, from) = match taken.moving {
            true => (self.next.load(Ordering::Relaxed), self.batch_read.load(Ordering::Relaxed)),
            false => (self.staged.load(Ordering::Relaxed), read),
        };
        self.write(from - staged..from);
        self.write(from..published);
    }
}

/// Whenever the handler takes over, each record is written once; but for those of a write that was under way.
#[test]
fn a_record_is_the_writers_or_the_handlers() {
    loom::model(|| {
        let taking = Taking {
            ring: *Ring::new_boxed(),
            ownership: Ownership::new(),
            staged: AtomicU64::new(0),
            next: AtomicU64::new(0),
            batch_read: AtomicU64::new(0),
            written: [AtomicU64::new(0), AtomicU64::new(0)],
            overtaken: AtomicU64::new(0),
        };
        with_static(Box::new(taking), |taking| {
            let mut producer = taking.ring.producer();
            publish(&mut producer, 1);
            taking.ownership.begin();
            let writer = thread::spawn(move || taking.work());
            publish(&mut producer, 2);
            taking.rescue();
            writer.join().expect("it ends");
            let written = [0, 1].map(|at: usize| taking.written[at].load(Ordering::Relaxed));
            let twice = written.iter().filter(|&&times| times == 2).count() as u64;
            assert!(written.iter().all(|&times| (1..=2).contains(&times)), "{written:?}");
            assert!(twice <= taking.overtaken.load(Ordering::Relaxed), "{written:?}");
        });
    });
}
