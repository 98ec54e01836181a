//! The log call, on the thread that makes it. What is not `#[cold]` here is the hot path.
//!
//! A call is: the callsite's switch (in the macro), this thread's lane, the tick, a reservation, the
//! stores, one Release store that publishes them, and a hint that fetches the lines of a later call. There is no
//! allocation, no lock, no system call, and, but under the policies that wait, no loop.
//!
//! Decision: all of it is inlined into the statement. As a function of its own (for values that become text, whose
//! code is long) it was 5 to 9 ns slower, since the values go through memory: 2 ints + text 36 ns instead of 27. The
//! price is that a function with little but such a statement saves its registers before the level check.
//!
//! Decision: a `Deferred` call relieves the writer while that is behind ([`relieves_writer`]). The writer takes 32 ns
//! for three numbers as they are, 19 for their texts, and some 40 to write the line; the callers wait meanwhile. So a
//! flood of such records goes as fast as one of `Preformatted` ones (by turns in a noisy stretch, 10.3 to 10.8 million a
//! second from one thread, 8.6 to 11.7 from four), and the usual call does not know of it: nothing is known to be free
//! while it lasts, which leads to `push_slow`.
//!
//! *Re-entrancy.* User code (`Display`, `Debug`) runs before anything is reserved; what it logs is a
//! call like any other. While the lane is in use its state is `BUSY`, which only a signal handler can
//! see: its call goes to the shared lane without waiting, or is dropped as `reentrant`. The state is
//! an ordinary cell: both sides are one thread, and compiler fences keep the order.

use core::sync::atomic::{Ordering, compiler_fence};

use crate::arg::{Arena, Args, Encoding, Offsets, UNCAPPED, Values};
use crate::callsite::Callsite;
use crate::channel::{BUSY, ChannelSpec, Handle, READY, UNCLAIMED, channels};
use crate::clock;
use crate::cold::{self, Lane};
use crate::context;
use crate::held::MOST_WORDS;
use crate::level::Level;
use crate::logger::{self, Fate, INDEX};
use crate::record::{CONTEXT, HEADER, SHARED_HEADER, frame_user};
use crate::ring::{Frame, Grant, PlainDest, ProducerHalf};
use crate::target::Target;
use crate::watch;

/// Logs one record; the macros call this when the callsite is on.
#[doc(hidden)]
#[inline(always)]
pub fn log<T: Target, A: Args>(target: &T, callsite: &'static Callsite, args: A) {
    if A::FORMATS && args.formats() {
        log_formatted(target, callsite, args);
    } else {
        push(target, callsite, args.ready(&Arena::new(&mut [])));
    }
}

/// Bytes of a record with texts of at most `cap` bytes, its ring's prefix included.
#[inline(always)]
fn bytes<C: ChannelSpec, V: Values>(values: &V, at: Offsets, cap: usize) -> usize {
    let texts = if V::VARIABLE { values.tails(cap) } else { 0 };
    C::PREFIX + at.fixed() + texts
}

#[inline(always)]
pub(crate) fn slots<C: ChannelSpec, V: Values>(values: &V, at: Offsets, cap: usize) -> usize {
    bytes::<C, V>(values, at, cap).div_ceil(C::SLOT_BYTES)
}

/// Fills a reservation and publishes it.
///
/// # Safety
/// The grant has `slots(values, at, cap)` slots, and `at` is for values that are `preformatted` or not.
#[inline(always)]
pub(crate) unsafe fn fill<V: Values, P: ProducerHalf>(
    grant: Grant<'_, P>,
    tick: u64,
    user: u64,
    preformatted: bool,
    values: &V,
    at: Offsets,
    cap: usize,
) {
    let dest = grant.dest();
    // SAFETY: as the caller promised.
    unsafe {
        crate::ring::Dest::put(dest, 8, tick);
        values.store(preformatted, dest, at, 0, 0, cap);
    }
    grant.commit(user);
}

/// One record into this thread's lane.
///
/// What could be in the way (no lane yet, no room known of, a clock that is read by a call) leads to
/// [`push_slow`], which does the whole call in its way: so nothing here lives across a call, and no value is
/// moved to the stack but there.
#[inline(always)]
fn push<T: Target, V: Values>(target: &T, callsite: &'static Callsite, values: V) {
    const {
        assert!(V::COUNT <= crate::record::MAX_VALUES, "a record has at most 32 values");
    }
    let preformatted = <T::Channel as ChannelSpec>::Encoding::PREFORMATTED;
    let at = Offsets::new::<V>(preformatted, HEADER);
    let bytes = bytes::<T::Channel, V>(&values, at, UNCAPPED);
    let slots = bytes.div_ceil(T::Channel::SLOT_BYTES);
    let user = frame_user(callsite.id(), target.logger());
    // Of a record without texts a constant.
    let fits = slots <= T::Channel::MAX_SLOTS && !(V::VARIABLE && values.is_cut(UNCAPPED));
    // SAFETY: the handle is this thread's, which is in this call.
    let handle = unsafe { &*T::handle() };
    if T::BOUND {
        return target.bound(|| push_slow(target.channel(), handle, user, values));
    }
    if fits && handle.state.get() == READY {
        handle.state.set(BUSY);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the state was READY: the half is there, and nobody but this call uses it.
        let producer = unsafe { (*handle.producer.get()).assume_init_mut() };
        // Before the reservation: the clock's latency and the rest of the call overlap.
        if let Some(tick) = clock::quick_tick()
            && let Some(grant) = producer.reserve_known(slots)
        {
            grant.prefetch(lines::<T::Channel, V>(at));
            // SAFETY: that many slots were reserved.
            unsafe { fill(grant, tick, user, preformatted, &values, at, UNCAPPED) };
            compiler_fence(Ordering::SeqCst);
            handle.state.set(READY);
            return;
        }
        compiler_fence(Ordering::SeqCst);
        handle.state.set(READY);
    }
    push_slow(target.channel(), handle, user, values);
}

/// The cache lines that the next record will likely touch: a constant, two for one with texts.
#[inline(always)]
fn lines<C: ChannelSpec, V: Values>(at: Offsets) -> usize {
    let fixed = (C::PREFIX + at.fixed()).div_ceil(64);
    (fixed + V::VARIABLE as usize).min(C::SLOT_BYTES / 64).min(4)
}

/// Everything that is not the usual case: the first call, a full ring, a value that must be cut, a
/// thread without a lane, a call within a call, a context.
#[cold]
#[inline(never)]
fn push_slow<C: ChannelSpec, V: Values>(channel: &'static C, handle: &Handle<C>, user: u64, values: V) {
    context::with(|context| {
        let Some(context) = context else {
            return push_record(channel, handle, user, &values, false);
        };
        let laden = (context, values);
        if cap::<C, _>(&laden, at_of::<C, _>(&laden, SHARED_HEADER)).is_some() {
            push_record(channel, handle, user | CONTEXT as u64, &laden, false);
        } else {
            // Rather the record alone than none, on a ring of a few small slots.
            push_record(channel, handle, user, &values, true);
        }
    });
}

/// What becomes of a record while some have to be looked at before it is known.
#[cold]
#[inline(never)]
fn fate<C: ChannelSpec, V: Values>(user: u64, values: &V) -> Fate {
    let Some(callsite) = Callsite::from_id(user as u32 & !CONTEXT) else { return Fate::Written };
    let fate = match logger::fate_of(callsite, (user >> 32) as u16) {
        Fate::Asked { .. } if is_asked_for::<C, V>(user & PLAIN_USER, values) => Fate::Written,
        Fate::Asked { held: true } => Fate::HeldBack,
        Fate::Asked { held: false } => Fate::Dropped,
        fate => fate,
    };
    if fate == Fate::Written && callsite.level() == Level::Error {
        let bytes = bytes::<C, V>(values, at_of::<C, V>(values, HEADER), UNCAPPED);
        channels().for_each(|channel| channel.write_held(bytes, true));
    }
    fate
}

/// The user's part of a frame word without the bits that say a fate.
const PLAIN_USER: u64 = (INDEX as u64) << 32 | u32::MAX as u64;

/// Whether a directive with fields lets a record pass: it is put together aside, with its texts cut as it must be.
fn is_asked_for<C: ChannelSpec, V: Values>(user: u64, values: &V) -> bool {
    const BYTES: usize = 4096;
    let mut memory = [0_u64; BYTES / 8];
    let at = at_of::<C, V>(values, HEADER);
    let Some(cap) = longest(BYTES, |cap| at.fixed() + values.tails(cap) <= BYTES) else { return false };
    memory[0] = Frame::new(1, user).0;
    let memory = memory.as_mut_ptr().cast::<u8>();
    // SAFETY: with texts of at most `cap` bytes, all of it lies within these bytes.
    let bytes = unsafe {
        values.store(C::Encoding::PREFORMATTED, PlainDest::new(memory), at, 0, 0, cap);
        core::slice::from_raw_parts(memory, BYTES)
    };
    watch::lets_pass(bytes)
}

/// Keeps a record for the thread's next error. A thread without a lane of its own keeps none.
#[cold]
#[inline(never)]
fn hold_back<C: ChannelSpec, V: Values>(channel: &'static C, handle: &Handle<C>, user: u64, values: &V) {
    let lane = cold::lane(channel, handle);
    if let (Lane::Own(head), Some(held)) = (&lane, handle.held.get()) {
        let at = at_of::<C, V>(values, HEADER);
        let words = |cap| (at.fixed() + values.tails(cap)).div_ceil(8);
        let fits = |cap| words(cap) <= MOST_WORDS && slots::<C, V>(values, at, cap) <= C::MAX_SLOTS;
        if let Some(cap) = longest(C::MAX_SLOTS * C::SLOT_BYTES, fits) {
            let tick = clock::record_tick();
            // SAFETY: the lane is this thread's, and its state is BUSY; so many words are stored at the most, and the
            // frame word says how many.
            unsafe {
                held.add(words(cap), logger::held_records(), |dest| {
                    crate::ring::Dest::put(dest, 0, Frame::new(words(cap), user).0);
                    crate::ring::Dest::put(dest, 8, tick);
                    values.store(C::Encoding::PREFORMATTED, dest, at, 0, 0, cap);
                });
            }
            if values.is_cut(cap) {
                cold::count_truncated(head);
            }
        }
    }
    cold::done(handle, &lane);
}

/// Where the values go behind a header.
fn at_of<C: ChannelSpec, V: Values>(_: &V, header: usize) -> Offsets {
    Offsets::new::<V>(C::Encoding::PREFORMATTED, header)
}

/// A record whose context is among the values, or was left out (`is_cut`).
#[inline(never)]
fn push_record<C: ChannelSpec, V: Values>(
    channel: &'static C,
    handle: &Handle<C>,
    user: u64,
    values: &V,
    is_cut: bool,
) {
    if clock::is_diverted() {
        match fate::<C, V>(user, values) {
            Fate::Written => {}
            Fate::HeldBack => return hold_back(channel, handle, user & PLAIN_USER, values),
            Fate::Asked { .. } | Fate::Dropped => return,
        }
    }
    let user = user & PLAIN_USER;
    let lane = cold::lane(channel, handle);
    if matches!(lane, Lane::None) {
        return cold::done(handle, &lane);
    }
    let (header, preformatted) = match lane {
        Lane::Own(_) => (HEADER, C::Encoding::PREFORMATTED || relieves_writer(handle, values)),
        _ => (SHARED_HEADER, C::Encoding::PREFORMATTED),
    };
    let at = Offsets::new::<V>(preformatted, header);
    let Some(cap) = cap::<C, V>(values, at) else {
        // Even without its texts it is too large: only on a ring of a few small slots.
        cold::drop_record(handle, crate::lane::Cause::NoLane);
        return cold::done(handle, &lane);
    };
    let slots = slots::<C, V>(values, at, cap);
    let taken_by = match &lane {
        Lane::Own(head) => {
            // SAFETY: the lane is this thread's, and its state is BUSY.
            let producer = unsafe { (*handle.producer.get()).assume_init_mut() };
            let mut taken_by = None;
            if cold::wait_for_room::<C, _>(handle, head, producer, slots, None)
                && let Some(grant) = producer.reserve(slots)
            {
                // SAFETY: that many slots were reserved.
                unsafe { fill(grant, clock::record_tick(), user, preformatted, values, at, cap) };
                taken_by = Some(*head);
            }
            taken_by
        }
        Lane::Shared { waits } => {
            cold::with_shared(channel, handle, *waits, slots, |grant, thread| {
                // SAFETY: the thread's 24 bytes stand before the values.
                unsafe {
                    cold::put_thread(grant.dest(), thread);
                    fill(grant, clock::record_tick(), user, preformatted, values, at, cap);
                }
            })
        }
        Lane::None => None,
    };
    if let Some(head) = taken_by.filter(|_| is_cut || values.is_cut(cap)) {
        cold::count_truncated(head);
    }
    cold::done(handle, &lane);
}

/// Whether a `Deferred` call makes its numbers' texts all the same: under backpressure, for then it is the writer that
/// all wait for, and if no text has to be cut for it. The lane must be the thread's own, and `BUSY`.
fn relieves_writer<C: ChannelSpec, V: Values>(handle: &Handle<C>, values: &V) -> bool {
    // SAFETY: as said above.
    let producer = unsafe { (*handle.producer.get()).assume_init_mut() };
    producer.is_under_backpressure()
        && slots::<C, V>(values, Offsets::new::<V>(true, HEADER), UNCAPPED) <= C::MAX_SLOTS
}

/// The longest that a text may be for the record to fit: `UNCAPPED` when all fit as they are.
pub(crate) fn cap<C: ChannelSpec, V: Values>(values: &V, at: Offsets) -> Option<usize> {
    longest(C::MAX_SLOTS * C::SLOT_BYTES, |cap| slots::<C, V>(values, at, cap) <= C::MAX_SLOTS)
}

/// The largest cap below `most` that fits, or `UNCAPPED`.
fn longest(most: usize, fits: impl Fn(usize) -> bool) -> Option<usize> {
    if fits(UNCAPPED) {
        return Some(UNCAPPED);
    }
    if !fits(0) {
        return None;
    }
    let (mut low, mut high) = (0, most);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    Some(low)
}

/// Formats what needs `core::fmt` into scratch memory, then logs texts.
///
/// The arguments come by value: those of a call that does not need it stay in registers.
#[inline(never)]
fn log_formatted<T: Target, A: Args>(target: &T, callsite: &'static Callsite, args: A) {
    let args = &args;
    // SAFETY: the handle is this thread's, which is in this call.
    let handle = unsafe { &*T::handle() };
    if handle.state.get() == UNCLAIMED {
        cold::claim_ahead(target.channel(), handle);
    }
    match cold::Scratch::take(target.channel(), handle) {
        Some(mut scratch) => format_and_push(target, callsite, args, &mut scratch),
        None => log_nested(target, handle, callsite, args),
    }
}

/// The same with memory of its own: a call within a call.
#[cold]
#[inline(never)]
fn log_nested<T: Target, A: Args>(
    target: &T,
    handle: &Handle<T::Channel>,
    callsite: &'static Callsite,
    args: &A,
) {
    let mut memory = arrayvec::ArrayVec::<u8, { cold::NESTED_BYTES }>::from([0; cold::NESTED_BYTES]);
    format_and_push(target, callsite, args, &mut cold::Scratch::nested(handle, &mut memory));
}

fn format_and_push<T: Target, A: Args>(
    target: &T,
    callsite: &'static Callsite,
    args: &A,
    scratch: &mut cold::Scratch<'_, T::Channel>,
) {
    let (memory, finished) = scratch.parts();
    let arena = Arena::new(memory);
    let values = args.ready(&arena);
    finished.set(true);
    push(target, callsite, values);
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;
    use crate::channel::Channel;
    use crate::lane::LaneHead;
    use crate::policy::Block;
    use crate::record::PREFORMATTED;
    use crate::ring::spsc::Spsc;
    use crate::ring::{Consumer, RingMemory, RingView};
    use core::mem::MaybeUninit;

    /// Slots of the ring; a record has two at the most.
    const N: usize = 16;
    const SLOT: usize = 64;
    type Small = Channel<SLOT, N, 1, Block, crate::arg::Deferred>;
    static SMALL: Small = Channel::new("small");

    /// A thread's side of a lane that is not in any region, and the other side.
    fn lane() -> (Handle<Small>, Box<dyn Consumer>) {
        clock::init(clock::Clock::Counter);
        let ring: &'static Spsc<SLOT, N> = Box::leak(Spsc::new_boxed());
        let handle = Handle::<Small>::new();
        handle.head.set(Some(Box::leak(Box::new(LaneHead::default()))));
        // SAFETY: nobody else has the handle.
        unsafe { *handle.producer.get() = MaybeUninit::new(ring.producer()) };
        handle.state.set(READY);
        (handle, ring.consumer())
    }

    /// Whether the first value of the one record that is there is text, and how many slots it has.
    fn read(consumer: &mut dyn Consumer) -> (bool, usize) {
        consumer.poll();
        let run = consumer.run();
        // SAFETY: a run is that many readable bytes, in whole words.
        let words = unsafe { core::slice::from_raw_parts(run.start.cast::<u64>(), run.len / 8) };
        let frame = Frame(words[0]);
        let preformatted = words[HEADER / 8] as u8 & PREFORMATTED != 0;
        consumer.advance(frame.slots(), u64::from(!frame.is_filler()));
        consumer.release();
        if frame.is_filler() { read(consumer) } else { (preformatted, frame.slots()) }
    }

    #[test]
    fn a_deferred_call_makes_the_text_while_the_writer_is_behind() {
        let (handle, mut consumer) = lane();
        // One record stays unread, so that the writer is behind; what is read is the one before.
        let call = || push_slow(&SMALL, &handle, 1, (7_u64, (1.5_f64, ())));
        let mut call_and_read = || {
            call();
            read(&mut *consumer)
        };
        call();
        assert_eq!(call_and_read(), (false, 1), "nobody had to wait");
        for _ in 0..3 {
            // SAFETY: this is the handle's thread, and no call is under way.
            unsafe { (*handle.producer.get()).assume_init_mut() }.note_backpressure();
            assert_eq!(call_and_read(), (false, 1), "from before");
            let texts = (0..N).take_while(|_| call_and_read() == (true, 2)).count();
            assert_eq!(texts, N / 2, "of two slots each, and the ring has gone round");
            assert_eq!(call_and_read(), (false, 1), "and nobody had to wait since");
        }
    }

    /// Twenty numbers are 192 bytes raw, and 536 as texts: more than half of the ring, which is the most of a record.
    #[test]
    fn a_deferred_call_leaves_to_the_writer_what_would_not_fit_as_text() {
        let (handle, mut consumer) = lane();
        // SAFETY: as above.
        unsafe { (*handle.producer.get()).assume_init_mut() }.note_backpressure();
        macro_rules! list {
            () => { () };
            ($_:tt $($rest:tt)*) => { (u64::MAX, list!($($rest)*)) };
        }
        let twenty = list!(. . . . . . . . . . . . . . . . . . . .);
        push_slow(&SMALL, &handle, 1, twenty);
        assert_eq!(read(&mut *consumer), (false, (HEADER + 5 * 8 + 20 * 8).div_ceil(SLOT)));
        push_slow(&SMALL, &handle, 1, (u64::MAX, ()));
        assert_eq!(read(&mut *consumer), (true, 1), "what fits is made");
    }
}
