//! The policies against a model of what they promise: what a call does that finds its ring full.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::lent::Lent;
use crate::arg::Deferred;
use crate::channel::{Channel, ChannelSpec, Handle};
use crate::cold;
use crate::gate::{self, State};
use crate::lane::{Cause, LaneHead};
use crate::policy::{Block, BlockFor, DropNewest, DropOldest, Policy, Wait};
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;
use crate::ring::{Consumer, Frame, ProducerHalf, RingMemory, RingView};

/// Slots of the rings.
const N: usize = 8;
/// A wait that always expires: nobody makes room meanwhile.
const BRIEF: u64 = 1;
/// A thread is begun for a wait that ends well: so many an input.
const HELPED: usize = 2;

/// Each policy against its model: the first byte chooses, each other one is a step.
pub fn policies(bytes: &[u8]) {
    let Some((&first, steps)) = bytes.split_first() else { return };
    // There is one gate.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = gate::state();
    match first % 4 {
        0 => run::<Channel<64, N, 1, Block, Deferred>>(Lent::of(Spsc::new_boxed()), steps),
        1 => run::<Channel<64, N, 1, BlockFor<BRIEF>, Deferred>>(Lent::of(Spsc::new_boxed()), steps),
        2 => run::<Channel<64, N, 1, DropNewest, Deferred>>(Lent::of(Spsc::new_boxed()), steps),
        _ => run::<Channel<64, N, 1, DropOldest, Deferred>>(Lent::of(Overwrite::new_boxed()), steps),
    }
    gate::set_state(before);
}

/// What should have been counted.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    published: u64,
    blocked: u64,
    newest: u64,
    expired: u64,
    after_shutdown: u64,
}

fn run<C: ChannelSpec>(ring: Lent<C::Ring>, steps: &[u8]) {
    // SAFETY: the halves are declared behind, and dropped before.
    let ring = unsafe { ring.get() };
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
    let (head, handle) = (LaneHead::default(), Handle::<C>::new());
    let mut counts = Counts::default();
    let (mut open, mut helped) = (true, 0);
    // Where the reader stood when a wait expired.
    let mut expired_at = None;
    // Up to where the writer is relieved since one waited.
    let mut pressed_until = 0;
    gate::set_state(State::Running);
    for step in steps {
        let slots = usize::from(1 + (step >> 4) % 4);
        match step % 4 {
            0 | 1 => {
                let (write, read) = (ring.ends().1 as usize, producer.reader_position());
                let filler = if slots > 1 && slots > N - write % N { N - write % N } else { 0 };
                let fits = write + filler + slots <= read as usize + N;
                let evicts = C::PREFIX != 0;
                let mut accepted = fits || evicts;
                let blocked = counts.blocked;
                let mut help = false;
                // A shorter record may be accepted while longer ones are not waited for any more.
                if !accepted && !open {
                    counts.after_shutdown += 1;
                } else if !accepted {
                    match C::Policy::WAIT {
                        Wait::Never => counts.newest += 1,
                        Wait::For(_) => {
                            counts.blocked += u64::from(expired_at != Some(read));
                            counts.expired += 1;
                            expired_at = Some(read);
                        }
                        // It would wait for ever.
                        Wait::Forever if helped == HELPED => continue,
                        Wait::Forever => {
                            helped += 1;
                            counts.blocked += 1;
                            (accepted, help) = (true, true);
                        }
                    }
                }
                std::thread::scope(|scope| {
                    let helper = help.then(|| scope.spawn(|| read_all(&mut *consumer, &head)));
                    let room = cold::wait_for_room::<C, _>(&handle, &head, &mut producer, slots, None);
                    assert_eq!(room, accepted, "{slots} slots from {write} on, read up to {read}");
                    // To its very end, as the scope does not: a thread on its way out looks like a leak.
                    if let Some(helper) = helper {
                        helper.join().expect("it reads to the end");
                    }
                });
                if counts.blocked != blocked {
                    pressed_until = write + N;
                }
                if write < pressed_until && producer.reader_position() as usize == write {
                    pressed_until -= N / 8;
                }
                assert_eq!(producer.is_under_backpressure(), write < pressed_until, "whether one waited");
                if accepted {
                    let user = counts.published;
                    producer.reserve(slots).expect("there is room, as was said").commit(user);
                    counts.published += 1;
                }
            }
            2 => read_some(&mut *consumer, slots),
            _ => {
                open = !open;
                gate::set_state(if open { State::Running } else { State::Stopping });
            }
        }
        let drops = |cause| head.producer.drops.get(cause);
        let counted = Counts {
            published: ring.counts().published,
            blocked: head.producer.blocked.load(Ordering::Relaxed),
            newest: drops(Cause::Newest),
            expired: drops(Cause::WaitExpired),
            after_shutdown: drops(Cause::AfterShutdown),
        };
        assert_eq!(counted, counts);
        assert_eq!(head.drops_in_all(), counts.newest + counts.expired + counts.after_shutdown);
    }
}

/// Reads and gives back `most` frames, or as many as there are.
fn read_some(consumer: &mut dyn Consumer, most: usize) {
    consumer.poll();
    let mut left = most;
    while left != 0 {
        let run = consumer.run();
        if run.len == 0 {
            break;
        }
        // SAFETY: a run begins with a frame word.
        let frame = Frame(unsafe { run.start.cast::<u64>().read() });
        consumer.advance(frame.slots(), u64::from(!frame.is_filler()));
        left -= usize::from(!frame.is_filler());
    }
    consumer.release();
}

/// As the writer does it, once the call has gone to sleep: reads all, and wakes who waits for room.
fn read_all(consumer: &mut dyn Consumer, head: &LaneHead) {
    while head.writer.waiting.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    read_some(consumer, usize::MAX);
    head.wake_waiting();
}
