//! Flushes: tickets that the callers draw (`desk.rs`) and the writer honours. A caller draws one, rings and sleeps until
//! it is done.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::desk::Desk;
use crate::error::{Failure, FlushError};
use crate::gate::{self, State};
use crate::{futex, stats, thread};

static DESK: Desk<Failure> = Desk::new();
/// The writer has left a closed backend: nothing more will be done, and all that could be is.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Changes with each completion; callers sleep on it.
static COMPLETIONS: AtomicU32 = AtomicU32::new(0);

/// The highest number drawn, if it is not done.
pub(crate) fn pending() -> Option<u64> {
    DESK.pending()
}

/// The writer has begun to write what was published when it had found `ticket`.
pub(crate) fn accept(ticket: u64) {
    DESK.accept(ticket);
}

/// What was accepted is written.
pub(crate) fn complete(sync: impl FnOnce() -> Option<Failure>, failure: Option<Failure>) {
    let (accepted, wants_sync) = DESK.accepted();
    let failure = match failure {
        Some(failure) => Some((false, failure)),
        None if wants_sync => sync().map(|failure| (true, failure)),
        None => None,
    };
    DESK.finish(accepted, failure);
    COMPLETIONS.fetch_add(1, Ordering::Release);
    futex::wake_all(&COMPLETIONS);
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
    DESK.drawn()
}

/// Forgets all, in a forked child.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe fn forget() {
    // SAFETY: passed on to the caller.
    unsafe { DESK.forget() };
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
    let mine = DESK.draw(sync);
    gate::ring_bell();
    loop {
        let seen = COMPLETIONS.load(Ordering::Acquire);
        if let Some(outcome) = DESK.outcome(mine, sync, Failure::to_error) {
            return outcome.map_err(FlushError::Sink);
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
