//! Channels: what the const generics of [`Channel`] mean, and the lanes they stand for.

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Deref;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering, compiler_fence};

use crate::arg::{Encoding, Preformatted};
use crate::futex::Lock;
use crate::held::Held;
use crate::lane::{LaneHead, LaneRef, SCRATCH_BYTES, Shape};
use crate::policy::{BlockFor, Policy};
use crate::ring::{MAX_FRAME_SLOTS, RingMemory};
use crate::stats::{self, LaneStats, Stats};

/// The most bytes of a record, its header included; more is cut.
pub(crate) const MAX_RECORD_BYTES: usize = 68 * 1024;

/// Scratch areas for threads that have no lane of their own.
pub(crate) const POOL: usize = 4;

/// Fixes, by its type, how the records of some statements travel. Made by [`channel!`](crate::channel!).
///
/// * `SLOT_BYTES`: bytes of a slot, a power of two from 64 to 4096. A record takes as many slots as it needs; each cache
///   line it touches costs time, so choose the smallest size that usually suffices.
/// * `SLOTS`: slots of a thread's ring, a power of two from 2 to 2^24. A record may take half of them, and at most
///   68 KiB (rounded up to whole slots); what is longer is cut, and says so.
/// * `THREADS`: how many threads can have a ring of their own at a time, 1 to 4096. Further threads
///   share one more ring, behind a lock: slower, and not fair when hundreds crowd there.
/// * `P`: what happens when a ring is full, a [`Policy`].
/// * `E`: when values become text, an [`Encoding`].
///
/// It takes about `(THREADS + 1) * (SLOT_BYTES * SLOTS + 128 KiB)` bytes of address space, and of memory as much as was ever
/// used of that. Sizes that cannot work are errors at compile time.
pub struct Channel<
    const SLOT_BYTES: usize,
    const SLOTS: usize,
    const THREADS: usize,
    P: Policy = BlockFor<1_000_000>,
    E: Encoding = Preformatted,
> {
    state: ChannelState<<P::Ring<SLOT_BYTES, SLOTS> as RingMemory>::Producer>,
    kind: PhantomData<(P, E)>,
}

/// What every channel has at run time.
#[doc(hidden)]
pub struct ChannelState<H> {
    pub(crate) name: &'static str,
    /// Where its lanes lie; null before the region is laid out.
    base: AtomicPtr<u8>,
    /// Lanes below this index were claimed at some time.
    pub(crate) claimed: AtomicU32,
    /// How often the writer has freed a lane: a thread without one looks again when this changes.
    pub(crate) freed: AtomicU32,
    pub(crate) pool: [Lock<()>; POOL],
    pub(crate) shared: Lock<Option<SharedHalf<H>>>,
}

/// The producing half of the shared lane.
pub(crate) struct SharedHalf<H>(pub(crate) H);

// SAFETY: a ring's producing half refers to the region only, which every thread sees, and has one
// user at a time: the one who holds the lock around it.
unsafe impl<H> Send for SharedHalf<H> {}

impl<const SLOT_BYTES: usize, const SLOTS: usize, const THREADS: usize, P: Policy, E: Encoding>
    Channel<SLOT_BYTES, SLOTS, THREADS, P, E>
{
    /// Only [`channel!`](crate::channel!) calls this.
    #[doc(hidden)]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            SLOT_BYTES.is_power_of_two() && SLOT_BYTES >= 64 && SLOT_BYTES <= 4096,
            "a channel's SLOT_BYTES must be a power of two from 64 to 4096"
        );
        assert!(
            SLOTS.is_power_of_two() && SLOTS >= 2 && SLOTS <= 1 << 24,
            "a channel's SLOTS must be a power of two from 2 to 16777216"
        );
        assert!(THREADS >= 1 && THREADS <= 4096, "a channel's THREADS must be 1 to 4096");
        assert!(
            SLOT_BYTES as u128 * SLOTS as u128 * (THREADS as u128 + 1) <= 1 << 38,
            "a channel may take 256 GiB of address space: SLOT_BYTES * SLOTS * (THREADS + 1)"
        );
        Channel {
            state: ChannelState {
                name,
                base: AtomicPtr::new(core::ptr::null_mut()),
                claimed: AtomicU32::new(0),
                freed: AtomicU32::new(0),
                pool: [const { Lock::new(()) }; POOL],
                shared: Lock::new(None),
            },
            kind: PhantomData,
        }
    }

    /// The name it was declared with.
    pub fn name(&self) -> &'static str {
        self.state.name
    }

    /// A handle onto this channel's statistics. Takes no lock.
    pub fn stats(&'static self) -> Stats {
        Stats::of(self)
    }

    /// The statistics of this channel's lanes, one by one, the shared lane last. Takes no lock.
    pub fn lanes(&'static self) -> impl Iterator<Item = LaneStats> {
        stats::lanes_of(self)
    }
}

/// A channel's parameters, as a trait: what code that is generic over channels is written against.
#[doc(hidden)]
pub trait ChannelSpec: AnyChannel + Sized {
    const SLOT_BYTES: usize;
    const SLOTS: usize;
    const THREADS: usize;
    type Policy: Policy;
    type Encoding: Encoding;
    type Ring: RingMemory;

    /// Bytes before a record in its first slot.
    const PREFIX: usize = Self::Ring::PREFIX;

    /// Whether calls leave numbers' texts to the writer, and can relieve it.
    const LEAVES_TEXTS: bool = !Self::Encoding::PREFORMATTED;

    /// The most slots of a record.
    const MAX_SLOTS: usize = {
        let mut most = (MAX_RECORD_BYTES + Self::PREFIX).div_ceil(Self::SLOT_BYTES);
        if most > Self::SLOTS / 2 {
            most = Self::SLOTS / 2;
        }
        if most < MAX_FRAME_SLOTS { most } else { MAX_FRAME_SLOTS }
    };

    fn state(&self) -> &ChannelState<<Self::Ring as RingMemory>::Producer>;

    /// A lane's head, ring and scratch area; `None` before the region is laid out.
    fn parts(&self, lane: usize) -> Option<LaneParts<Self::Ring>>;
}

/// A lane as its own thread knows it.
#[doc(hidden)]
pub struct LaneParts<R: 'static> {
    pub(crate) head: &'static LaneHead,
    pub(crate) ring: &'static R,
    pub(crate) scratch: *mut u8,
    pub(crate) held: &'static Held,
}

/// A lane in memory.
#[repr(C)]
struct Lane<R> {
    head: LaneHead,
    ring: R,
    scratch: [u8; SCRATCH_BYTES],
    held: Held,
}

impl<const SLOT_BYTES: usize, const SLOTS: usize, const THREADS: usize, P: Policy, E: Encoding> ChannelSpec
    for Channel<SLOT_BYTES, SLOTS, THREADS, P, E>
{
    const SLOT_BYTES: usize = SLOT_BYTES;
    const SLOTS: usize = SLOTS;
    const THREADS: usize = THREADS;
    type Policy = P;
    type Encoding = E;
    type Ring = P::Ring<SLOT_BYTES, SLOTS>;

    #[inline(always)]
    fn state(&self) -> &ChannelState<<Self::Ring as RingMemory>::Producer> {
        &self.state
    }

    fn parts(&self, lane: usize) -> Option<LaneParts<Self::Ring>> {
        let base = self.state.base.load(Ordering::Acquire);
        if base.is_null() || lane > THREADS {
            return None;
        }
        // SAFETY: `place` was given memory for `THREADS + 1` lanes, zeroed (which is a valid empty
        // lane) and never unmapped.
        unsafe {
            let lane = base.cast::<Lane<Self::Ring>>().add(lane);
            Some(LaneParts {
                head: &(*lane).head,
                ring: &(*lane).ring,
                scratch: (&raw mut (*lane).scratch).cast(),
                held: &(*lane).held,
            })
        }
    }
}

/// A channel, type-erased: what the region, the writer and the statistics need.
#[doc(hidden)]
pub trait AnyChannel: Send + Sync + 'static {
    fn channel_name(&self) -> &'static str;
    fn threads(&self) -> usize;
    fn policy(&self) -> &'static str;
    fn shape(&self) -> Shape;
    /// Bytes of all its lanes and its scratch pool.
    fn bytes(&self) -> usize;
    /// Gives it its memory.
    ///
    /// # Safety
    /// `base` points to `bytes()` zeroed bytes, page-aligned, that stay mapped.
    unsafe fn place(&self, base: *mut u8);
    /// Forgets its memory, in a forked child.
    ///
    /// # Safety
    /// No other thread runs.
    unsafe fn displace(&self);
    /// A lane: 0 to `threads() - 1` are the threads' own, `threads()` is the shared one.
    fn lane(&self, at: usize) -> Option<LaneRef>;
    /// Lanes from this index on were never claimed.
    fn claimed(&self) -> usize;
    /// Tells threads without a lane that one was freed.
    fn note_freed(&self);
}

impl<const SLOT_BYTES: usize, const SLOTS: usize, const THREADS: usize, P: Policy, E: Encoding> AnyChannel
    for Channel<SLOT_BYTES, SLOTS, THREADS, P, E>
{
    fn channel_name(&self) -> &'static str {
        self.state.name
    }

    fn threads(&self) -> usize {
        THREADS
    }

    fn policy(&self) -> &'static str {
        P::NAME
    }

    fn shape(&self) -> Shape {
        Shape {
            threads: THREADS,
            slots: SLOTS,
            slot_bytes: SLOT_BYTES,
            lane_bytes: size_of::<Lane<<Self as ChannelSpec>::Ring>>(),
            ring: offset_of!(Lane<<Self as ChannelSpec>::Ring>, ring),
            held: offset_of!(Lane<<Self as ChannelSpec>::Ring>, held),
            layout: <Self as ChannelSpec>::Ring::LAYOUT,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Lane<<Self as ChannelSpec>::Ring>>() * (THREADS + 1) + POOL * SCRATCH_BYTES
    }

    unsafe fn place(&self, base: *mut u8) {
        self.state.base.store(base, Ordering::Release);
    }

    unsafe fn displace(&self) {
        self.state.base.store(core::ptr::null_mut(), Ordering::Release);
        self.state.claimed.store(0, Ordering::Relaxed);
        // SAFETY: passed on to the caller; the half belonged to the parent's ring.
        unsafe { self.state.shared.force_open() };
        core::mem::forget(self.state.shared.lock().take());
        for lock in &self.state.pool {
            // SAFETY: as above.
            unsafe { lock.force_open() };
        }
    }

    fn lane(&self, at: usize) -> Option<LaneRef> {
        let parts = self.parts(at)?;
        Some(LaneRef { head: parts.head, ring: parts.ring, shared: at == THREADS })
    }

    fn claimed(&self) -> usize {
        self.state.claimed.load(Ordering::Acquire) as usize
    }

    fn note_freed(&self) {
        self.state.freed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A scratch area of the channel's pool.
pub(crate) fn pool_scratch<C: ChannelSpec>(channel: &C, at: usize) -> Option<*mut u8> {
    let first = channel.parts(0)?;
    let base = core::ptr::from_ref(first.head).cast::<u8>().cast_mut();
    let offset = size_of::<Lane<C::Ring>>() * (C::THREADS + 1) + at * SCRATCH_BYTES;
    // The lanes' memory is one piece, which the pool ends; its provenance is the region's.
    let region = channel.state().base.load(Ordering::Acquire);
    debug_assert_eq!(region, base);
    // SAFETY: `bytes()` counts `POOL` areas behind the lanes.
    Some(unsafe { region.add(offset) })
}

/// What a thread has of a channel: its lane's producing half, in a thread-local without destructor.
#[doc(hidden)]
pub struct Handle<C: ChannelSpec> {
    pub(crate) state: Cell<u8>,
    /// The thread has a context.
    pub(crate) laden: Cell<bool>,
    pub(crate) scratch_busy: Cell<bool>,
    pub(crate) head: Cell<Option<&'static LaneHead>>,
    pub(crate) scratch: Cell<*mut u8>,
    pub(crate) held: Cell<Option<&'static Held>>,
    pub(crate) producer: UnsafeCell<MaybeUninit<<C::Ring as RingMemory>::Producer>>,
    /// `freed` of the channel when the thread last found no free lane, plus one.
    pub(crate) found_none: Cell<u32>,
    /// Where the reader stood when a wait expired, plus one; 0 when none did.
    pub(crate) expired_at: Cell<u64>,
    /// Records of the shared lane up to the thread's last one there; 0 when there is none.
    pub(crate) shared_upto: Cell<u64>,
}

/// The thread has not claimed a lane.
pub(crate) const UNCLAIMED: u8 = 0;
/// It has one, and `producer` is there.
pub(crate) const READY: u8 = 1;
/// It is using its lane at this moment, or getting one: whoever sees this is a signal handler.
pub(crate) const BUSY: u8 = 2;
/// As `READY`, and the thread has a context, which goes into every record: not by the quick way.
pub(crate) const LADEN: u8 = 3;

impl<C: ChannelSpec> Handle<C> {
    #[allow(clippy::new_without_default)] // `Default` is not const
    pub const fn new() -> Self {
        Handle {
            state: Cell::new(UNCLAIMED),
            laden: Cell::new(false),
            scratch_busy: Cell::new(false),
            head: Cell::new(None),
            scratch: Cell::new(core::ptr::null_mut()),
            held: Cell::new(None),
            producer: UnsafeCell::new(MaybeUninit::uninit()),
            found_none: Cell::new(0),
            expired_at: Cell::new(0),
            shared_upto: Cell::new(0),
        }
    }

    /// Gives the lane back, at the thread's end. A signal handler that comes in between sees `BUSY`.
    pub fn release(&self) {
        if matches!(self.state.get(), READY | LADEN) {
            self.state.set(BUSY);
            compiler_fence(Ordering::SeqCst);
            let head = self.head.take();
            // SAFETY: the state was one of a lane that is there, and not in use.
            unsafe { (*self.producer.get()).assume_init_drop() };
            if let Some(head) = head {
                head.release();
            }
            compiler_fence(Ordering::SeqCst);
            self.state.set(UNCLAIMED);
        }
    }

    /// The lane is not in use any more.
    pub(crate) fn rest(&self) {
        self.state.set(match self.head.get() {
            None => UNCLAIMED,
            Some(_) if self.laden.get() => LADEN,
            Some(_) => READY,
        });
    }

    /// Whether the thread has a context. Of a call under way the next one knows it.
    pub fn set_laden(&self, laden: bool) {
        self.laden.set(laden);
        if self.state.get() != BUSY {
            self.rest();
        }
    }

    /// Forgets the lane, in a forked child: it is the parent's.
    pub fn reset(&self) {
        self.state.set(UNCLAIMED);
        self.head.set(None);
        self.held.set(None);
        self.found_none.set(0);
        self.expired_at.set(0);
        self.shared_upto.set(0);
    }
}

/// One channel of this program, in the section that lists them.
#[doc(hidden)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ChannelEntry {
    pub channel: &'static dyn AnyChannel,
    pub release_thread: fn(),
    pub reset_thread: fn(),
    pub set_laden: fn(bool),
    pub write_held: fn(usize, bool),
}

impl Deref for ChannelEntry {
    type Target = dyn AnyChannel;

    fn deref(&self) -> &Self::Target {
        self.channel
    }
}

impl ChannelEntry {
    pub(crate) fn release_thread(&self) {
        (self.release_thread)();
    }

    pub(crate) fn set_laden(&self, laden: bool) {
        (self.set_laden)(laden);
    }

    /// Lets the calling thread write what it holds back, and leaves room for a record of so many bytes. Whether it `waits` for
    /// room, where the policy does.
    pub(crate) fn write_held(&self, bytes: usize, waits: bool) {
        (self.write_held)(bytes, waits);
    }

    pub(crate) fn reset_thread(&self) {
        (self.reset_thread)();
    }
}

unsafe extern "Rust" {
    #[link_name = "__start_kakashi_channels_0_1"]
    safe static FIRST: [ChannelEntry; 0];
    #[link_name = "__stop_kakashi_channels_0_1"]
    safe static END: [ChannelEntry; 0];
}

/// Every channel of this program. There is at least the default one.
pub(crate) fn channel_entries() -> &'static [ChannelEntry] {
    let (first, end) = (&raw const FIRST, &raw const END);
    let len = (end.addr() - first.addr()) / size_of::<ChannelEntry>();
    // SAFETY: the linker puts the statics of the section, all of this type, next to each other.
    unsafe { core::slice::from_raw_parts(first.cast(), len) }
}

/// The indices of a channel's lanes that may hold something: those ever claimed, and the shared one.
pub(crate) fn lane_indices(channel: &dyn AnyChannel) -> impl Iterator<Item = usize> + use<> {
    (0..channel.claimed().min(channel.threads())).chain(core::iter::once(channel.threads()))
}

pub(crate) fn channels() -> impl Iterator<Item = &'static ChannelEntry> {
    channel_entries().iter()
}

crate::channel! {
    /// The channel behind plain `info!("...")`: 64 threads, 8192 slots of 128 bytes each.
    #[doc(hidden)]
    pub static DEFAULT: Channel<128, 8192, 64>;
}

/// Whether it is the channel behind plain `info!("...")`.
pub(crate) fn is_default(channel: &dyn AnyChannel) -> bool {
    core::ptr::addr_eq(channel, &raw const DEFAULT.channel)
}

/// Declares a channel: a static with rings, policy and encoding of its own, to be named first in a log statement.
///
/// The types in it must be in scope. It expands to a type and a static of that name, and a thread-local.
///
/// ```
/// use kakashi::{Channel, Deferred, DropOldest};
///
/// kakashi::channel!(
///     /// Fills: small slots, only the newest matter, rendered by the writer.
///     pub static ORDERS: Channel<64, 1024, 8, DropOldest, Deferred>;
/// );
///
/// kakashi::info!(ORDERS, "filled {} @ {}", 7, 101.25);
/// assert_eq!(ORDERS.stats().calls(), 1);
/// ```
///
/// Sizes that cannot work do not compile:
///
/// ```compile_fail
/// kakashi::channel!(static ODD: kakashi::Channel<100, 1024, 8>);
/// ```
#[macro_export]
macro_rules! channel {
    ($(#[$meta:meta])* $vis:vis static $name:ident : $channel:ty $(;)?) => {
        $(#[$meta])*
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        $vis struct $name {
            channel: $channel,
        }

        $(#[$meta])*
        $vis static $name: $name = $name { channel: <$channel>::new(::core::stringify!($name)) };

        const _: () = {
            ::std::thread_local! {
                static HANDLE: $crate::__private::Handle<$channel> = const { $crate::__private::Handle::new() };
            }

            #[used]
            #[unsafe(link_section = "kakashi_channels_0_1")]
            static ENTRY: $crate::__private::ChannelEntry = $crate::__private::ChannelEntry {
                channel: &$name.channel,
                release_thread: || HANDLE.with(|handle| handle.release()),
                reset_thread: || HANDLE.with(|handle| handle.reset()),
                set_laden: |laden| HANDLE.with(|handle| handle.set_laden(laden)),
                write_held: |bytes, waits| HANDLE.with(|handle| $crate::__private::write_held(handle, bytes, waits)),
            };

            impl ::core::ops::Deref for $name {
                type Target = $channel;

                #[inline(always)]
                fn deref(&self) -> &$channel {
                    &self.channel
                }
            }

            // SAFETY: the handle is a thread-local without destructor.
            unsafe impl $crate::__private::Target for $name {
                type Channel = $channel;

                #[inline(always)]
                fn channel(&self) -> &'static $channel {
                    &$name.channel
                }

                #[inline(always)]
                fn handle() -> *const $crate::__private::Handle<$channel> {
                    HANDLE.with(|handle| ::core::ptr::from_ref(handle))
                }

                #[inline(always)]
                fn logger(&self) -> u16 {
                    0
                }

                #[inline(always)]
                fn wants(&self, switch: u8, _: $crate::Level) -> bool {
                    $crate::__private::channel_wants(switch)
                }

                #[inline(always)]
                fn level_enabled(&self, level: $crate::Level) -> bool {
                    $crate::__private::channel_level_enabled(level)
                }
            }

            impl $name {
                /// Claims a lane of this channel for the calling thread, ahead of its first log call.
                ///
                /// # Errors
                /// When the thread cannot have a lane now; it logs through the shared lane then.
                pub fn prepare_thread(&self) -> ::core::result::Result<(), $crate::PrepareError> {
                    $crate::__private::prepare(self)
                }
            }
        };
    };
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;
    use crate::policy::DropOldest;
    use crate::region;

    /// What threads write to without a look is theirs alone: no part lies in another, or beyond the channel.
    fn check<C: ChannelSpec>(channel: &C) {
        assert!(channel.parts(0).is_none() && pool_scratch(channel, 0).is_none());
        let bytes = channel.bytes();
        let base = region::map(bytes).expect("there is room");
        // SAFETY: a fresh mapping of that size.
        unsafe { channel.place(base) };
        let mut parts = Vec::new();
        let mut part = |start: *const u8, len: usize| parts.push((start.addr() - base.addr(), len));
        for lane in 0..=C::THREADS {
            let LaneParts { head, ring, scratch, held } =
                channel.parts(lane).expect("it is one of the lanes");
            part(core::ptr::from_ref(head).cast(), size_of::<LaneHead>());
            part(core::ptr::from_ref(ring).cast(), size_of::<C::Ring>());
            part(scratch, SCRATCH_BYTES);
            part(core::ptr::from_ref(held).cast(), size_of::<Held>());
        }
        assert!(channel.parts(C::THREADS + 1).is_none());
        for at in 0..POOL {
            part(pool_scratch(channel, at).expect("it has memory"), SCRATCH_BYTES);
        }
        let ends = parts.iter().map(|(at, len)| at + len);
        let nexts = parts.iter().skip(1).map(|next| next.0).chain([bytes]);
        assert!(ends.zip(nexts).all(|(end, next)| end <= next), "{parts:?} in {bytes}");
    }

    #[test]
    fn the_parts_of_a_channel_lie_apart_and_within_it() {
        check(&Channel::<64, 4, 3>::new("refuses"));
        check(&Channel::<128, 2, 1, DropOldest>::new("evicts"));
    }
}
