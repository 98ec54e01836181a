//! What happens when a ring is full: each policy is a type, and brings its ring.
#![forbid(unsafe_code)]

use crate::ring::RingMemory;
use crate::ring::overwrite::Overwrite;
use crate::ring::spsc::Spsc;

/// How long a call may wait for room.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Never,
    /// Microseconds.
    For(u64),
    Forever,
}

mod sealed {
    pub trait Sealed {}
}

/// An overflow policy: [`Block`], [`BlockFor`], [`DropNewest`] or [`DropOldest`].
pub trait Policy: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Ring<const B: usize, const N: usize>: RingMemory;
    #[doc(hidden)]
    const WAIT: Wait;
    #[doc(hidden)]
    const NAME: &'static str;
}

/// Wait until there is room. Ends only when a slot is free, the backend stops or no sink is alive.
///
/// The wait spins for at most 20 µs, then sleeps in the kernel. Nothing is lost, and a stalled disk
/// stalls the caller: choose it where that is what you want.
#[derive(Clone, Copy, Debug)]
pub struct Block;

/// Wait until there is room, for at most `MICROS` microseconds; then drop the record and count it as
/// `wait_expired`.
///
/// After an expired wait, calls of that thread drop at once until the writer has moved again: a hung
/// disk costs a thread one wait, not one per call. The same happens when the writer is given no
/// processor for that long: leave it a core that others do not fill.
#[derive(Clone, Copy, Debug)]
pub struct BlockFor<const MICROS: u64>;

/// Drop the record that finds no room, and count it as `newest`. Never waits (a thread without a lane of
/// its own waits up to 100 ms for its turn on the shared one).
#[derive(Clone, Copy, Debug)]
pub struct DropNewest;

/// Evict the oldest records to make room, and count them as `oldest`. Wait-free: never waits, never
/// retries, and the newest record is always in (a thread without a lane of its own waits up to 100 ms for
/// its turn on the shared one).
#[derive(Clone, Copy, Debug)]
pub struct DropOldest;

macro_rules! policy {
    ([$($generics:tt)*] $policy:ty, $ring:ident, $wait:expr, $name:literal) => {
        impl<$($generics)*> sealed::Sealed for $policy {}
        impl<$($generics)*> Policy for $policy {
            type Ring<const B: usize, const N: usize> = $ring<B, N>;
            const WAIT: Wait = $wait;
            const NAME: &'static str = $name;
        }
    };
}

policy!([] Block, Spsc, Wait::Forever, "block");
policy!([const MICROS: u64] BlockFor<MICROS>, Spsc, Wait::For(MICROS), "block-for");
policy!([] DropNewest, Spsc, Wait::Never, "drop-newest");
policy!([] DropOldest, Overwrite, Wait::Never, "drop-oldest");
