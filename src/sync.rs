//! The synchronisation types of the crate, and the one place that switches them for loom.
//!
//! Build with `RUSTFLAGS="--cfg kakashi_loom"` to let loom explore the shipping rings and lanes.
//! Futexes, like everything that blocks, stay outside the models: what they guard is modelled, how
//! a thread sleeps is not.

#[cfg(not(kakashi_loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(kakashi_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Two 64-byte lines: what adjacent-line prefetchers on x86_64 and the 128-byte lines of some
/// aarch64 cores treat as one (the constant crossbeam's `CachePadded` uses for both).
#[derive(Default)]
#[repr(C, align(128))]
pub(crate) struct Line<T>(pub T);

impl<T> core::ops::Deref for Line<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Adds to a counter that only the calling thread writes: a load and a store, no read-modify-write.
///
/// Relaxed: the value is a statistic; nothing is read on the strength of it.
#[inline(always)]
pub(crate) fn add_owned(counter: &AtomicU64, by: u64) {
    counter.store(load_owned(counter).wrapping_add(by), Ordering::Relaxed);
}

/// Reads what only the calling side writes: its own last store, or that of the thread that handed the
/// side over to it.
///
/// Under loom this is no step of the schedule, and a check that there is one writer. A load would be a
/// mistake there: loom remembers only the last access of each atomic, so that a load before this side's
/// store hides the other side's load before that, and the schedules with the store in front are not tried.
#[inline(always)]
pub(crate) fn load_owned(own: &AtomicU64) -> u64 {
    #[cfg(not(kakashi_loom))]
    return own.load(Ordering::Relaxed);
    #[cfg(kakashi_loom)]
    // SAFETY: loom panics when a store does not happen before this.
    return unsafe { own.unsync_load() };
}
