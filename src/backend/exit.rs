//! The end of the process by `exit` (so also by the return of `main`): what is queued is written first.

use core::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{CONTROL, SHUTDOWN_TIMEOUT, shutdown};
use crate::error::ShutdownError;
use crate::gate::{self, State};
use crate::thread;

/// A guard's drop has waited `shutdown_timeout` in vain: the exit does not wait as long again.
pub(super) static PATIENCE_SPENT: AtomicBool = AtomicBool::new(false);

pub(super) fn hook() {
    // SAFETY: `at_exit` is a function for the life of the program. A failure (no memory for the 33rd
    // handler) leaves exit without a drain, and the guard's drop as it is.
    unsafe { libc::atexit(at_exit) };
}

extern "C" fn at_exit() {
    let state = gate::state();
    if !state.is_open() && state != State::Stopping {
        return;
    }
    if thread::is_writer() {
        // A sink called `exit`: the one who would write is the one who leaves.
        report(crate::stats::stats().queue_size(), "a sink ended the process");
        return;
    }
    let timeout = match state {
        State::Stopping if PATIENCE_SPENT.load(Ordering::Relaxed) => Duration::ZERO,
        _ => CONTROL.try_lock().map_or(SHUTDOWN_TIMEOUT, |control| control.shutdown_timeout),
    };
    if let Err(ShutdownError::TimedOut { unwritten }) = shutdown(timeout, None) {
        report(unwritten, &format!("within {timeout:?}"));
    }
}

fn report(unwritten: u64, why: &str) {
    gate::abandon();
    if unwritten > 0 {
        say(&format!("kakashi: {unwritten} records were not written at exit ({why})"));
    }
}

/// One line on standard error, if somebody reads it: a full pipe must not hold up the end.
pub(super) fn say(line: &str) {
    let line = format!("{line}\n");
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // Not through `std::io::stderr`, whose lock another thread may hold while it is blocked.
    // SAFETY: `poll` is given one pollfd, and `write` the bytes of `line`.
    unsafe {
        if libc::poll(&mut stderr, 1, 100) == 1 && stderr.revents & libc::POLLOUT != 0 {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        }
    }
}
