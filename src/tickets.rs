//! Flushes: tickets that the callers draw and the writer honours.
//!
//! A caller draws a number (under the lock), rings and sleeps until the writer's `done` has reached it.
//! The writer accepts the highest number drawn, then notes what every lane has published by then; what
//! a caller's calls, or any call that happened before, had published is among it, since the number was
//! handed over by the lock. When all that is taken by the sinks, all numbers up to the accepted one are
//! done.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Failure, FlushError};
use crate::futex::{self, Lock};
use crate::gate::{self, State};
use crate::{stats, thread};

struct Desk {
    drawn: u64,
    accepted: u64,
    done: u64,
    /// The highest number drawn that wants a sync.
    sync: u64,
    /// The failures of the last numbers done, by the highest number each concerns.
    failures: [(u64, Option<Failure>); 8],
    next_failure: usize,
}

static DESK: Lock<Desk> = Lock::new(EMPTY);
const EMPTY: Desk =
    Desk { drawn: 0, accepted: 0, done: 0, sync: 0, failures: [const { (0, None) }; 8], next_failure: 0 };

/// `drawn`, readable without the lock: the writer looks every round.
static DRAWN: AtomicU64 = AtomicU64::new(0);
/// The writer's `done`, likewise.
static DONE: AtomicU64 = AtomicU64::new(0);
/// Changes with each completion; callers sleep on it.
static COMPLETIONS: AtomicU32 = AtomicU32::new(0);

/// The highest number drawn, if it is not done.
pub(crate) fn pending() -> Option<u64> {
    let drawn = DRAWN.load(Ordering::Acquire);
    (drawn != DONE.load(Ordering::Relaxed)).then_some(drawn)
}

/// The writer has begun to write what is published by now, for all numbers up to `ticket`.
pub(crate) fn accept(ticket: u64) {
    DESK.lock().accepted = ticket;
}

/// What was accepted is written.
pub(crate) fn complete(sync: impl FnOnce() -> Option<Failure>, failure: Option<Failure>) {
    let (accepted, wants_sync) = {
        let desk = DESK.lock();
        (desk.accepted, desk.sync > desk.done)
    };
    let failure = failure.or_else(|| if wants_sync { sync() } else { None });
    finish(accepted, failure);
}

/// The writer leaves a closed backend: what was drawn later than it last looked concerns dropped records
/// only.
pub(crate) fn complete_all(sync: impl FnOnce() -> Option<Failure>, failure: Option<Failure>) {
    accept(drawn());
    complete(sync, failure);
}

/// The highest number drawn.
pub(crate) fn drawn() -> u64 {
    DRAWN.load(Ordering::Acquire)
}

fn finish(upto: u64, failure: Option<Failure>) {
    let mut desk = DESK.lock();
    desk.done = desk.done.max(upto);
    let at = desk.next_failure;
    desk.failures[at] = (upto, failure);
    desk.next_failure = (at + 1) % desk.failures.len();
    DONE.store(desk.done, Ordering::Relaxed);
    drop(desk);
    COMPLETIONS.fetch_add(1, Ordering::Release);
    futex::wake_all(&COMPLETIONS);
}

/// Forgets all, in a forked child.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe fn forget() {
    // SAFETY: passed on to the caller.
    unsafe { DESK.force_open() };
    *DESK.lock() = EMPTY;
    DRAWN.store(0, Ordering::Relaxed);
    DONE.store(0, Ordering::Relaxed);
}

/// Draws a number and waits until it is done.
pub(crate) fn flush(timeout: Duration, sync: bool) -> Result<(), FlushError> {
    if thread::is_writer() {
        return Err(FlushError::WouldDeadlock);
    }
    if let Some(result) = without_writer() {
        return result;
    }
    let deadline = futex::deadline(timeout);
    let mine = {
        let mut desk = DESK.lock();
        desk.drawn += 1;
        if sync {
            desk.sync = desk.drawn;
        }
        DRAWN.store(desk.drawn, Ordering::Release);
        desk.drawn
    };
    gate::ring_bell();
    loop {
        let seen = COMPLETIONS.load(Ordering::Acquire);
        {
            let desk = DESK.lock();
            if desk.done >= mine {
                // The failure of the first completion that covers this number.
                let failure = desk
                    .failures
                    .iter()
                    .filter(|(upto, _)| *upto >= mine)
                    .min_by_key(|(upto, _)| *upto)
                    .and_then(|(_, failure)| failure.as_ref());
                return failure.map_or(Ok(()), |failure| Err(FlushError::Sink(failure.to_error())));
            }
        }
        if let Some(result) = without_writer() {
            return result;
        }
        let Some(left) = futex::remaining(deadline) else {
            return Err(FlushError::TimedOut { unwritten: stats::stats().queue_size() });
        };
        futex::wait(&COMPLETIONS, seen, Some(left.min(Duration::from_millis(100))));
    }
}

/// The result where no writer will come: nothing was logged, or the shutdown has written all.
fn without_writer() -> Option<Result<(), FlushError>> {
    match gate::state() {
        State::Idle | State::Stopped => Some(Ok(())),
        State::Failed => {
            Some(Err(FlushError::Sink(std::io::Error::other("there is no backend: it could not be started"))))
        }
        _ => None,
    }
}
