//! The desk at which flushes draw numbers: which are drawn, accepted and done, and what failed meanwhile.
//!
//! A caller draws a number; the writer reads the highest one drawn, then notes what every lane has published by then,
//! accepts the number, and finishes it when all that is in the sinks. What the caller's calls had published, or any calls
//! that happened before the drawing, is among it: the Release store of `drawn` comes after them, and the writer's Acquire
//! load before it looks at the lanes. Who finds its number done finds what the writer did before: by the lock. Loom
//! checks both.
#![cfg_attr(kakashi_loom, allow(dead_code))] // its models use a part

use crate::futex::{Held, Lock};
use crate::sync::{AtomicU64, Ordering};

/// Numbers from 1 on. `F` is a sink's failure.
pub(crate) struct Desk<F> {
    book: Lock<Book<F>>,
    /// `drawn` of the book, readable without the lock: the writer looks every round.
    drawn: AtomicU64,
    /// `done`, likewise. The writer's own.
    done: AtomicU64,
}

struct Book<F> {
    drawn: u64,
    accepted: u64,
    done: u64,
    /// The highest number drawn that wants a sync.
    sync: u64,
    /// The last failures.
    failures: [Option<Failed<F>>; 8],
    next_failure: usize,
}

/// A failure, and whom it concerns.
struct Failed<F> {
    /// The numbers `after + 1` to `upto`.
    after: u64,
    upto: u64,
    /// Only those that wanted a sync.
    sync: bool,
    failure: F,
}

impl<F> Book<F> {
    const EMPTY: Self =
        Book { drawn: 0, accepted: 0, done: 0, sync: 0, failures: [const { None }; 8], next_failure: 0 };
}

impl<F> Desk<F> {
    #[cfg(not(kakashi_loom))]
    pub(crate) const fn new() -> Self {
        Desk { book: Lock::new(Book::EMPTY), drawn: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    #[cfg(kakashi_loom)]
    pub(crate) fn new() -> Self {
        Desk { book: Lock::new(Book::EMPTY), drawn: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    fn book(&self) -> Held<'_, Book<F>> {
        self.book.lock()
    }

    /// The caller's: a number.
    pub(crate) fn draw(&self, sync: bool) -> u64 {
        let mut book = self.book();
        book.drawn += 1;
        if sync {
            book.sync = book.drawn;
        }
        self.drawn.store(book.drawn, Ordering::Release);
        book.drawn
    }

    /// The caller's: `None` while its number is not done; then whether something failed that concerns it.
    pub(crate) fn outcome<E>(&self, mine: u64, sync: bool, told: impl Fn(&F) -> E) -> Option<Result<(), E>> {
        let book = self.book();
        if book.done < mine {
            return None;
        }
        let concerns =
            |failed: &&Failed<F>| failed.after < mine && mine <= failed.upto && (sync || !failed.sync);
        let failed = book.failures.iter().flatten().find(concerns);
        Some(failed.map_or(Ok(()), |failed| Err(told(&failed.failure))))
    }

    /// The highest number drawn.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Acquire)
    }

    /// The highest number drawn, if it is not done.
    pub(crate) fn pending(&self) -> Option<u64> {
        let drawn = self.drawn();
        (drawn != self.done.load(Ordering::Relaxed)).then_some(drawn)
    }

    /// The writer has begun to write what was published when it had found `number`.
    pub(crate) fn accept(&self, number: u64) {
        self.book().accepted = number;
    }

    /// The number accepted, and whether one of those that are not done wants a sync.
    pub(crate) fn accepted(&self) -> (u64, bool) {
        let book = self.book();
        (book.accepted, book.sync > book.done)
    }

    /// All numbers up to `upto` are done; the failure concerns all of them, or those only that wanted a sync.
    pub(crate) fn finish(&self, upto: u64, failure: Option<(bool, F)>) {
        let mut book = self.book();
        if let Some((sync, failure)) = failure {
            let at = book.next_failure;
            book.failures[at] = Some(Failed { after: book.done, upto, sync, failure });
            book.next_failure = (at + 1) % book.failures.len();
        }
        book.done = book.done.max(upto);
        self.done.store(book.done, Ordering::Relaxed);
    }

    /// Forgets all, in a forked child.
    ///
    /// # Safety
    /// No other thread runs.
    #[cfg(not(kakashi_loom))]
    pub(crate) unsafe fn forget(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.book.force_open() };
        // Written over without a drop: the parent's writer may have been in the middle of it.
        // SAFETY: the pointer is that of the guarded value.
        unsafe { core::ptr::write(&mut *self.book(), Book::EMPTY) };
        self.drawn.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }
}
