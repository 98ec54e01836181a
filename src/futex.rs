//! Waiting, and waking those who wait: the kernel's futex, and a lock on it.
//!
//! Decision: not `std::sync::Mutex`, since the holders must be able to give up after a time (a
//! `fork` or an exit must not hang behind a sink that does), and a forked child must be able to
//! open a lock whose holder it has not inherited.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, Ordering};

/// Sleeps while `word` holds `expected`, for at most `timeout`; may wake for no reason.
#[cfg(not(kakashi_loom))]
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    let spec = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: t.subsec_nanos() as _,
    });
    let spec = spec.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: FUTEX_WAIT reads the word, which outlives the call, and a timespec or null.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            spec,
        );
    }
}

#[cfg(kakashi_loom)]
pub(crate) use modelled::wait;
#[cfg(kakashi_loom)]
use modelled::wake;

/// The kernel's part, for loom: looking and going to sleep are one step, and who is not woken sleeps for ever, which loom
/// tells. All words share a queue.
#[cfg(kakashi_loom)]
mod modelled {
    use loom::sync::{Condvar, Mutex};

    use super::{AtomicU32, Duration, Ordering};

    loom::lazy_static! {
        static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    pub(crate) fn wait(word: &AtomicU32, expected: u32, _: Option<Duration>) {
        let held = QUEUE.0.lock().expect("nobody panics");
        if word.load(Ordering::Relaxed) == expected {
            drop(QUEUE.1.wait(held));
        }
    }

    pub(super) fn wake(_: &AtomicU32, _: i32) {
        let _held = QUEUE.0.lock().expect("nobody panics");
        QUEUE.1.notify_all();
    }
}

/// Wakes every thread that sleeps on `word`.
pub(crate) fn wake_all(word: &AtomicU32) {
    wake(word, i32::MAX);
}

#[cfg(not(kakashi_loom))]
fn wake(word: &AtomicU32, count: i32) {
    // SAFETY: FUTEX_WAKE uses the word's address only.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count);
    }
}

/// The moment `timeout` from now, or `None` when that is beyond what the clock can say.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// What is left until `deadline`; `None` there means for ever, here it means "it has passed".
pub(crate) fn remaining(deadline: Option<Instant>) -> Option<Duration> {
    match deadline {
        None => Some(Duration::from_secs(3600)),
        Some(at) => at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
    }
}

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep.
const CONTENDED: u32 = 2;

/// A mutual exclusion that can be tried for a time (Drepper, "Futexes Are Tricky", mutex 3).
///
/// It does not poison: what it guards stays whole on a panic, or is caught inside.
pub(crate) struct Lock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
    /// Loom sees the value by this: a new holder must have seen what the last one did.
    #[cfg(kakashi_loom)]
    seen: loom::cell::UnsafeCell<()>,
}

// SAFETY: `value` is reached only through a `Held`, of which there is one at a time; it moves
// between threads with the lock, hence `T: Send`.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The right to the value of a [`Lock`].
pub(crate) struct Held<'a, T> {
    lock: &'a Lock<T>,
}

/// How often a lock is tried before its thread sleeps.
const TRIES: usize = if cfg!(kakashi_loom) { 0 } else { 100 };

impl<T> Lock<T> {
    #[cfg(not(kakashi_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self { word: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    #[cfg(kakashi_loom)]
    pub(crate) fn new(value: T) -> Self {
        let seen = loom::cell::UnsafeCell::new(());
        Self { word: AtomicU32::new(FREE), value: UnsafeCell::new(value), seen }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Held<'_, T>> {
        // Acquire pairs with the Release in `drop`: the previous holder's writes are seen.
        self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).ok().map(|_| self.held())
    }

    fn held(&self) -> Held<'_, T> {
        #[cfg(kakashi_loom)]
        self.seen.with_mut(|_| ());
        Held { lock: self }
    }

    pub(crate) fn lock(&self) -> Held<'_, T> {
        loop {
            if let Some(held) = self.lock_until(None) {
                return held;
            }
        }
    }

    /// The lock, or `None` when `deadline` passed first (`None`: within an hour).
    pub(crate) fn lock_until(&self, deadline: Option<Instant>) -> Option<Held<'_, T>> {
        if let Some(held) = self.try_lock() {
            return Some(held);
        }
        for _ in (0..).take(TRIES) {
            core::hint::spin_loop();
            if let Some(held) = self.try_lock() {
                return Some(held);
            }
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            wait(&self.word, CONTENDED, Some(remaining(deadline)?));
        }
        Some(self.held())
    }

    /// Opens a lock that was taken and whose [`Held`] was forgotten.
    ///
    /// # Safety
    /// The calling thread took it, and nobody uses the value.
    #[cfg(not(kakashi_loom))]
    pub(crate) unsafe fn open_held(&self) {
        drop(Held { lock: self });
    }

    /// Opens a lock whose holder does not exist: in a forked child, after a lock that could not
    /// be had in time.
    ///
    /// # Safety
    /// No thread of this process holds the lock, or will go on as if it did.
    #[cfg(not(kakashi_loom))]
    pub(crate) unsafe fn force_open(&self) {
        self.word.store(FREE, Ordering::Release);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a `Held` is the exclusive right to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next holder.
        if self.lock.word.swap(FREE, Ordering::Release) == CONTENDED {
            wake(&self.lock.word, 1);
        }
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn lock_excludes_and_times_out() {
        static LOCK: Lock<u64> = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        *LOCK.lock() += 1;
                    }
                });
            }
        });
        let held = LOCK.lock();
        assert_eq!(*held, 40_000);
        let second = std::thread::scope(|scope| {
            scope.spawn(|| LOCK.lock_until(deadline(Duration::from_millis(1))).is_none()).join()
        });
        assert!(second.expect("the waiting thread returns"));
        drop(held);
        assert!(LOCK.try_lock().is_some());
    }
}
