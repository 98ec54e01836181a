//! Loom's model of a batch's notes in the journal: whoever reads them afterwards, whatever of the stores it finds, finds each
//! record in one place.
#![forbid(unsafe_code)]

use loom::thread;

use super::backend::publish;
use super::with_static;
use crate::journal::Journal;
use crate::lane::LaneHead;
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, RingMemory, RingView};
use crate::sync::Ordering;

struct Boxed<R> {
    head: LaneHead,
    ring: R,
    journal: Journal,
}

const BYTES: usize = 10;

/// A round of the writer's, in the order of `Writer::seal` and `Lanes::release`.
fn round<R>(boxed: &Boxed<R>, consumer: &mut dyn Consumer) {
    consumer.poll();
    assert_ne!(consumer.run().len, 0);
    consumer.advance(1, 1);
    // `Journal::next`, but not by a load, which would hide schedules from loom (`sync::load_owned`).
    let batch = 1;
    boxed.journal.sinks[0].stage(batch, BYTES, 1);
    boxed.head.note_batch(batch, consumer.position(), 1);
    boxed.journal.seal(batch);
    consumer.release();
}

/// Whether ring and staging have the record, as `blackbox/` reads it. The stores are read from the last to the first, so
/// that what is found is what a death behind one of them leaves.
fn places<R: RingView>(boxed: &Boxed<R>) -> (bool, bool) {
    let (read, write) = boxed.ring.ends();
    let sealed = boxed.journal.sealed.load(Ordering::Acquire);
    let writer = &boxed.head.writer;
    let batch_read = writer.batch_read.load(Ordering::Acquire);
    let from = if writer.batch.load(Ordering::Acquire) == sealed { batch_read } else { read };
    let sink = &boxed.journal.sinks[0];
    let staged = sink.staged.load(Ordering::Acquire);
    let counts = sink.batch.load(Ordering::Acquire) <= sealed;
    (from < write, counts && staged != 0)
}

fn is_in_one_place<R: RingMemory>(ring: fn() -> R) {
    loom::model(move || {
        let boxed = Boxed { head: LaneHead::default(), ring: ring(), journal: Journal::default() };
        with_static(Box::new(boxed), |boxed| {
            publish(&mut boxed.ring.producer(), 1);
            let writer = thread::spawn(move || round(boxed, &mut *boxed.ring.consumer()));
            let (in_ring, in_batch) = places(boxed);
            assert!(in_ring != in_batch, "in the ring: {in_ring}, in the batch: {in_batch}");
            writer.join().expect("it ends");
            assert_eq!(places(boxed), (false, true));
        });
    });
}

#[test]
fn a_record_is_in_the_ring_or_in_the_batch() {
    is_in_one_place(|| *Spsc::<64, 4>::new_boxed());
}

#[test]
fn a_record_that_may_be_evicted_is_in_the_ring_or_in_the_batch() {
    is_in_one_place(|| *Overwrite::<64, 4>::new_boxed());
}
