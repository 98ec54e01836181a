//! Flushes: tickets that the callers draw and the writer honours.
//!
//! A caller draws a number (under the lock), rings and sleeps until the writer's `done` has reached it.
//! The writer accepts the highest number drawn, then notes what every lane has published by then; what
//! a caller's calls, or any call that happened before, had published is among it, since the number was
//! handed over by the lock. When all that is taken by the sinks, all numbers up to the accepted one are
//! done.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
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
    /// The last failures.
    failures: [Option<Failed>; 8],
    next_failure: usize,
}

/// A failure, and whom it concerns.
struct Failed {
    /// The numbers `after + 1` to `upto`.
    after: u64,
    upto: u64,
    /// Only those that wanted a sync.
    sync: bool,
    failure: Failure,
}

static DESK: Lock<Desk> = Lock::new(EMPTY);
const EMPTY: Desk =
    Desk { drawn: 0, accepted: 0, done: 0, sync: 0, failures: [const { None }; 8], next_failure: 0 };

/// `drawn`, readable without the lock: the writer looks every round.
static DRAWN: AtomicU64 = AtomicU64::new(0);
/// The writer's `done`, likewise.
static DONE: AtomicU64 = AtomicU64::new(0);
/// The writer has left a closed backend: nothing more will be done, and all that could be is.
static CLOSED: AtomicBool = AtomicBool::new(false);
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
    match failure {
        Some(failure) => finish(accepted, Some((false, failure))),
        None => finish(accepted, if wants_sync { sync().map(|failure| (true, failure)) } else { None }),
    }
}

/// The writer leaves a closed backend: what was drawn later than it last looked concerns dropped records
/// only.
pub(crate) fn complete_all(sync: impl FnOnce() -> Option<Failure>, failure: Option<Failure>) {
    accept(drawn());
    complete(sync, failure);
    CLOSED.store(true, Ordering::Release);
}

/// A writer begins.
pub(crate) fn open() {
    CLOSED.store(false, Ordering::Release);
}

/// The highest number drawn.
pub(crate) fn drawn() -> u64 {
    DRAWN.load(Ordering::Acquire)
}

fn finish(upto: u64, failure: Option<(bool, Failure)>) {
    let mut desk = DESK.lock();
    if let Some((sync, failure)) = failure {
        let at = desk.next_failure;
        desk.failures[at] = Some(Failed { after: desk.done, upto, sync, failure });
        desk.next_failure = (at + 1) % desk.failures.len();
    }
    desk.done = desk.done.max(upto);
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
    // Written over without a drop: the parent's writer may have been in the middle of it.
    // SAFETY: the pointer is that of the guarded value.
    unsafe { core::ptr::write(&mut *DESK.lock(), EMPTY) };
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
                let failed = desk
                    .failures
                    .iter()
                    .flatten()
                    .find(|failed| failed.after < mine && mine <= failed.upto && (sync || !failed.sync));
                return failed.map_or(Ok(()), |failed| Err(FlushError::Sink(failed.failure.to_error())));
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
        State::Stopping if CLOSED.load(Ordering::Acquire) => Some(Ok(())),
        State::Failed => {
            Some(Err(FlushError::Sink(std::io::Error::other("there is no backend: it could not be started"))))
        }
        _ => None,
    }
}
