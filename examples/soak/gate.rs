//! Lets the conductor stop all threads that log at a place between two calls, and go on.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Mode {
    Run = 0,
    Pause = 1,
    End = 2,
}

struct Inner {
    mode: Mode,
    parked: usize,
}

pub struct Gate {
    /// `mode`, readable without the lock.
    mode: AtomicU32,
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Gate {
    pub const fn new() -> Self {
        Gate {
            mode: AtomicU32::new(Mode::Run as u32),
            inner: Mutex::new(Inner { mode: Mode::Run, parked: 0 }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) {
        let mut inner = self.lock();
        inner.mode = mode;
        self.mode.store(mode as u32, Ordering::Release);
        self.changed.notify_all();
    }

    /// A thread's: stands still while there is a pause. False when it is to end.
    pub fn pass(&self) -> bool {
        if self.mode.load(Ordering::Acquire) == Mode::Run as u32 {
            return true;
        }
        let mut inner = self.lock();
        if inner.mode == Mode::Pause {
            inner.parked += 1;
            self.changed.notify_all();
            while inner.mode == Mode::Pause {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
            inner.parked -= 1;
        }
        inner.mode != Mode::End
    }

    /// A thread's: does nothing for that long, or until there is a pause.
    pub fn idle(&self, time: Duration) {
        let inner = self.lock();
        let wait = self.changed.wait_timeout_while(inner, time, |inner| inner.mode == Mode::Run);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until that many threads stand still. False when they do not within `patience`.
    pub fn pause(&self, threads: usize, patience: Duration) -> bool {
        self.set(Mode::Pause);
        let end = Instant::now() + patience;
        let mut inner = self.lock();
        while inner.parked < threads {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub fn run(&self) {
        self.set(Mode::Run);
    }

    pub fn end(&self) {
        self.set(Mode::End);
    }
}
