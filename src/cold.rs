//! What a log call does when the usual case does not hold. Nothing here is on the hot path.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::{Ordering, compiler_fence};
use std::time::{Duration, Instant};

use crate::channel::{BUSY, ChannelSpec, Handle, LADEN, POOL, READY, UNCLAIMED, pool_scratch};
use crate::error::PrepareError;
use crate::futex::{self, Held};
use crate::gate::{self, State};
use crate::lane::{Cause, LaneHead, SCRATCH_BYTES, ThreadId};
use crate::policy::{Policy, Wait};
use crate::record::HEADER;
use crate::ring::{Dest, Frame, Grant, ProducerHalf, RingMemory, RingView};
use crate::sync::add_owned;
use crate::{clock, region, thread};

/// Stack memory for values that a nested call formats.
pub(crate) const NESTED_BYTES: usize = 512;

/// How long a waiting call spins before it sleeps.
const SPIN: Duration = Duration::from_micros(20);
/// How long it sleeps at most before it looks again whether the backend still runs.
const NAP: Duration = Duration::from_millis(10);
/// How long a policy that does not wait for room waits for its turn on the shared lane: the holder only
/// copies a record, but may have been preempted.
const SHARED_TURN: Duration = Duration::from_millis(100);

/// How much of a ring a first call makes present; `prepare_thread` makes all of it.
const CLAIM_POPULATES: usize = 1 << 20;

/// Where a call's record goes.
pub(crate) enum Lane {
    /// The thread's own; its state is `BUSY` now.
    Own(&'static LaneHead),
    /// The shared one; `waits` is false for a signal handler.
    Shared { waits: bool },
    /// Nowhere: the drop is counted.
    None,
}

/// Finds the lane of a call, claiming one or starting the backend if need be.
pub(crate) fn lane<C: ChannelSpec>(channel: &'static C, handle: &Handle<C>) -> Lane {
    let state = handle.state.get();
    if state == BUSY {
        return Lane::Shared { waits: false };
    }
    handle.state.set(BUSY);
    compiler_fence(Ordering::SeqCst);
    if let Some(head) = handle.head.get() {
        return Lane::Own(head);
    }
    if !(crate::ENSURE_OPEN)() {
        let cause = if gate::state() == State::Failed { Cause::NoLane } else { Cause::AfterShutdown };
        region::totals().drops.add(cause, 1);
        return Lane::None;
    }
    match claim(channel, handle) {
        Ok(head) => Lane::Own(head),
        Err(_) => Lane::Shared { waits: true },
    }
}

/// The end of a call that had `lane`.
pub(crate) fn done<C: ChannelSpec>(handle: &Handle<C>, lane: &Lane) {
    if !matches!(lane, Lane::Shared { waits: false }) {
        compiler_fence(Ordering::SeqCst);
        handle.rest();
    }
}

/// Claims a free lane. The handle's state must be `BUSY`.
fn claim<C: ChannelSpec>(channel: &'static C, handle: &Handle<C>) -> Result<&'static LaneHead, PrepareError> {
    if let Some(head) = handle.head.get() {
        // A signal handler was faster.
        return Ok(head);
    }
    if clock::is_coarse() && !has_left_shared(channel, handle) {
        return Err(PrepareError::AllLanesTaken);
    }
    let state = channel.state();
    let freed = state.freed.load(Ordering::Relaxed);
    if thread::is_ending() || handle.found_none.get() == freed.wrapping_add(1) || !thread::watch() {
        return Err(PrepareError::AllLanesTaken);
    }
    let id = thread::current();
    for at in 0..C::THREADS {
        let Some(parts) = channel.parts(at) else { break };
        if parts.head.claim(id) {
            region::populate(
                core::ptr::from_ref(parts.ring).cast(),
                size_of::<C::Ring>().min(CLAIM_POPULATES),
            );
            state.claimed.fetch_max(at as u32 + 1, Ordering::AcqRel);
            // SAFETY: the state is BUSY and there is no half yet: nobody reads it.
            unsafe { *handle.producer.get() = MaybeUninit::new(parts.ring.producer()) };
            handle.scratch.set(parts.scratch);
            parts.held.clear();
            handle.held.set(Some(parts.held));
            handle.expired_at.set(0);
            // The head last: a signal handler that sees it takes the scratch area to be there.
            compiler_fence(Ordering::SeqCst);
            handle.head.set(Some(parts.head));
            return Ok(parts.head);
        }
    }
    handle.found_none.set(freed.wrapping_add(1));
    Err(PrepareError::AllLanesTaken)
}

/// Whether what the thread has put into the shared lane has been read. Where ticks do not say which of two lanes' records
/// is the older one, it must have been before the thread logs to a lane of its own.
fn has_left_shared<C: ChannelSpec>(channel: &'static C, handle: &Handle<C>) -> bool {
    let upto = handle.shared_upto.get();
    upto == 0
        || channel.parts(C::THREADS).is_none_or(|parts| {
            let counts = parts.ring.counts();
            counts.consumed + counts.evicted >= upto
        })
}

/// Claims a lane before values are formatted, so that there is scratch memory for them.
#[cold]
pub(crate) fn claim_ahead<C: ChannelSpec>(channel: &'static C, handle: &Handle<C>) {
    if (crate::ENSURE_OPEN)() && handle.state.get() == UNCLAIMED {
        handle.state.set(BUSY);
        compiler_fence(Ordering::SeqCst);
        let _ = claim(channel, handle);
        compiler_fence(Ordering::SeqCst);
        handle.rest();
    }
}

/// `prepare_thread` of a channel.
pub(crate) fn prepare<C: ChannelSpec>(channel: &'static C, handle: &Handle<C>) -> Result<(), PrepareError> {
    match handle.state.get() {
        READY | LADEN => {
            // The thread may have been given a name since its first call.
            if let Some(head) = handle.head.get() {
                head.set_thread(thread::refresh());
            }
            populate_all(handle);
            return Ok(());
        }
        BUSY => return Err(PrepareError::AllLanesTaken),
        _ => {}
    }
    if !(crate::ENSURE_OPEN)() {
        return Err(if gate::state() == State::Failed {
            PrepareError::NotStarted
        } else {
            PrepareError::Stopped
        });
    }
    thread::refresh();
    handle.state.set(BUSY);
    compiler_fence(Ordering::SeqCst);
    let claimed = claim(channel, handle);
    if claimed.is_ok() {
        populate_all(handle);
    }
    compiler_fence(Ordering::SeqCst);
    handle.rest();
    claimed.map(|_| ())
}

/// Makes all of the thread's lane present: this is called ahead of the hot path.
fn populate_all<C: ChannelSpec>(handle: &Handle<C>) {
    if let Some(head) = handle.head.get() {
        region::populate(handle.scratch.get(), SCRATCH_BYTES);
        region::populate(core::ptr::from_ref(head).cast(), size_of::<LaneHead>() + size_of::<C::Ring>());
    }
}

/// Counts a drop, in the thread's lane if it has one.
pub(crate) fn drop_record<C: ChannelSpec>(handle: &Handle<C>, cause: Cause) {
    match handle.head.get() {
        Some(head) => head.dropped(cause, clock::now()),
        None => region::totals().drops.add(cause, 1),
    }
}

/// Writes what the thread holds back in this channel, the oldest first, and forgets it: as many of the last ones as there is
/// room for beside a record of `bytes` bytes, where the channel or the caller waits for none. The others count as dropped.
pub fn write_held<C: ChannelSpec>(handle: &Handle<C>, bytes: usize, waits: bool) {
    let (Some(head), Some(held)) = (handle.head.get(), handle.held.get()) else { return };
    // A signal handler's error in the middle of a call leaves them to the next one.
    if held.frames() == 0 || !matches!(handle.state.get(), READY | LADEN) {
        return;
    }
    handle.state.set(BUSY);
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the lane is this thread's, and its state is BUSY.
    let producer = unsafe { (*handle.producer.get()).assume_init_mut() };
    let slots_of = |words: usize| (C::PREFIX + words * 8).div_ceil(C::SLOT_BYTES);
    let beside = slots_of(bytes.div_ceil(8));
    if !waits || <C::Policy as Policy>::WAIT == Wait::Never {
        // SAFETY: as above.
        let mut slots: usize = unsafe { held.lengths() }.map(slots_of).sum();
        while slots + beside > C::SLOTS / 2 || producer.reserve(slots + beside).is_none() {
            // SAFETY: as above.
            let next = unsafe { held.lengths() }.next();
            let Some(words) = next else { break };
            slots -= slots_of(words);
            // SAFETY: as above.
            unsafe { held.pass() };
            head.dropped(Cause::Newest, clock::now());
        }
    }
    // SAFETY: as above.
    while let Some(frame) = unsafe { held.first() } {
        let slots = slots_of(frame.len());
        if wait_for_room(handle, head, producer, slots, None)
            && let Some(grant) = producer.reserve(slots)
        {
            let dest = grant.dest();
            for (at, &word) in frame.iter().enumerate().skip(1) {
                // SAFETY: the slots have room for the frame's words.
                unsafe { dest.put(at * 8, word) };
            }
            let user = Frame(frame[0]).user();
            // Before the commit: a process that dies in between must not leave it in both places.
            // SAFETY: as above.
            unsafe { held.pass() };
            grant.commit(user);
        } else {
            // SAFETY: as above.
            unsafe { held.pass() };
        }
    }
    compiler_fence(Ordering::SeqCst);
    handle.rest();
}

pub(crate) fn count_truncated(head: &LaneHead) {
    head.producer.truncated.fetch_add(1, Ordering::Relaxed);
}

/// Waits for room as the channel's policy says, counted from `began` (or from now). When there will be none, counts the
/// drop and says false.
pub(crate) fn wait_for_room<C: ChannelSpec, P: ProducerHalf>(
    handle: &Handle<C>,
    head: &LaneHead,
    producer: &mut P,
    slots: usize,
    began: Option<Instant>,
) -> bool {
    if producer.reserve(slots).is_some() {
        return true;
    }
    let began = began.unwrap_or_else(Instant::now);
    head.note_fill(C::SLOTS as u64);
    let refused = |cause| {
        head.dropped(cause, clock::now());
        false
    };
    if !gate::state().is_open() {
        return refused(Cause::AfterShutdown);
    }
    let limit = match <C::Policy as Policy>::WAIT {
        Wait::Never => return refused(Cause::Newest),
        // A sink that logs: the one who would make room is the one who waits.
        _ if thread::is_writer() => return refused(Cause::Newest),
        Wait::For(_) if handle.expired_at.get() == producer.reader_position().wrapping_add(1) => {
            return refused(Cause::WaitExpired);
        }
        Wait::For(micros) => Some(Duration::from_micros(micros)),
        Wait::Forever => None,
    };
    let room = wait(head, producer, slots, began, limit);
    if C::LEAVES_TEXTS {
        producer.note_backpressure();
    }
    let counters = &head.producer;
    add_owned(&counters.blocked, 1);
    add_owned(&counters.blocked_ns, began.elapsed().as_nanos() as u64);
    match room {
        Ok(()) => true,
        Err(cause) => {
            if cause == Cause::WaitExpired {
                // Kept though a shorter record may fit meanwhile: none waits again while the reader stands there.
                handle.expired_at.set(producer.reader_position().wrapping_add(1));
            }
            refused(cause)
        }
    }
}

fn wait<P: ProducerHalf>(
    head: &LaneHead,
    producer: &mut P,
    slots: usize,
    began: Instant,
    limit: Option<Duration>,
) -> Result<(), Cause> {
    let mut rung = false;
    loop {
        for _ in 0..64 {
            if producer.reserve(slots).is_some() {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        if !gate::state().is_open() {
            return Err(Cause::AfterShutdown);
        }
        let waited = began.elapsed();
        let left = limit.map_or(NAP, |limit| limit.saturating_sub(waited));
        if left.is_zero() {
            return Err(Cause::WaitExpired);
        }
        if waited < SPIN {
            continue;
        }
        if !rung {
            // The writer may be asleep, up to 10 ms.
            gate::ring_bell();
            rung = true;
        }
        if head.sleep_for_room(left.min(NAP), || producer.reserve(slots).is_some()) {
            return Ok(());
        }
    }
}

/// Gives `fill` a reservation in the shared lane, if there is one in time; the drop is counted if not.
/// Returns the lane that took the record.
pub(crate) fn with_shared<C: ChannelSpec>(
    channel: &'static C,
    handle: &Handle<C>,
    waits: bool,
    slots: usize,
    fill: impl FnOnce(Grant<'_, <C::Ring as RingMemory>::Producer>, ThreadId),
) -> Option<&'static LaneHead> {
    let shared = &channel.state().shared;
    let began = Instant::now();
    let held = if !waits || thread::is_writer() {
        shared.try_lock()
    } else {
        match <C::Policy as Policy>::WAIT {
            Wait::Forever => Some(shared.lock()),
            Wait::For(micros) => shared.lock_until(futex::deadline(Duration::from_micros(micros))),
            Wait::Never => shared.lock_until(futex::deadline(SHARED_TURN)),
        }
    };
    let Some(mut held) = held else {
        drop_record(handle, if waits { Cause::NoLane } else { Cause::Reentrant });
        return None;
    };
    let Some(parts) = channel.parts(C::THREADS) else {
        drop_record(handle, Cause::NoLane);
        return None;
    };
    let producer = &mut held.get_or_insert_with(|| crate::channel::SharedHalf(parts.ring.producer())).0;
    let id = thread::current();
    if !waits {
        match producer.reserve(slots) {
            Some(grant) => fill(grant, id),
            None => {
                drop_record(handle, Cause::Reentrant);
                return None;
            }
        }
    } else if wait_for_room::<C, _>(handle, parts.head, producer, slots, Some(began)) {
        if let Some(grant) = producer.reserve(slots) {
            fill(grant, id);
        }
    } else {
        return None;
    }
    handle.shared_upto.set(parts.ring.counts().published);
    Some(parts.head)
}

/// Stores the thread of a record in a shared lane.
///
/// # Safety
/// `dest` has room for a shared lane's header.
pub(crate) unsafe fn put_thread<D: Dest>(dest: D, thread: ThreadId) {
    // SAFETY: as the caller promised.
    unsafe {
        dest.put(HEADER, thread.tid as u64);
        dest.put_bytes(HEADER + 8, &thread.name);
    }
}

/// Memory for values that are being formatted. Dropped while their formatting is not finished, it
/// counts the call as `format_panicked`.
pub(crate) struct Scratch<'a, C: ChannelSpec> {
    handle: &'a Handle<C>,
    memory: &'a mut [u8],
    /// It is the lane's own.
    own: bool,
    _pool: Option<Held<'static, ()>>,
    finished: Cell<bool>,
    channel: PhantomData<C>,
}

impl<'a, C: ChannelSpec> Scratch<'a, C> {
    /// The lane's scratch area, or one of the channel's pool for a thread without lane; `None` when it
    /// is in use.
    pub(crate) fn take(channel: &'static C, handle: &'a Handle<C>) -> Option<Self> {
        if handle.scratch_busy.get() {
            return None;
        }
        if handle.head.get().is_some() {
            handle.scratch_busy.set(true);
            // SAFETY: the area is the lane's, which is this thread's, and was not in use.
            let memory = unsafe { core::slice::from_raw_parts_mut(handle.scratch.get(), SCRATCH_BYTES) };
            return Some(Scratch::new(handle, memory, true, None));
        }
        let (at, held) = (0..POOL).find_map(|at| Some((at, channel.state().pool[at].try_lock()?)))?;
        // SAFETY: the area belongs to who holds its lock.
        let memory = unsafe { core::slice::from_raw_parts_mut(pool_scratch(channel, at)?, SCRATCH_BYTES) };
        Some(Scratch::new(handle, memory, false, Some(held)))
    }

    pub(crate) fn nested(handle: &'a Handle<C>, memory: &'a mut [u8]) -> Self {
        Scratch::new(handle, memory, false, None)
    }

    fn new(handle: &'a Handle<C>, memory: &'a mut [u8], own: bool, pool: Option<Held<'static, ()>>) -> Self {
        Scratch { handle, memory, own, _pool: pool, finished: Cell::new(false), channel: PhantomData }
    }

    pub(crate) fn parts(&mut self) -> (&mut [u8], &Cell<bool>) {
        (self.memory, &self.finished)
    }
}

impl<C: ChannelSpec> Drop for Scratch<'_, C> {
    fn drop(&mut self) {
        if self.own {
            self.handle.scratch_busy.set(false);
        }
        if !self.finished.get() {
            drop_record(self.handle, Cause::FormatPanicked);
        }
    }
}
