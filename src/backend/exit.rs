//! The end of the process by `exit` (so also by the return of `main`): what is queued is written first.

use core::sync::atomic::Ordering;
use std::time::Duration;

use super::{CLOSED_AT, await_writer, shutdown, shutdown_timeout};
use crate::gate::{self, State};
use crate::{blackbox, clock, futex, stats, thread};

pub(super) fn hook() {
    // SAFETY: `at_exit` is a function for the life of the program. A failure (no memory for the 33rd
    // handler) leaves exit without a drain, and the guard's drop as it is.
    unsafe { libc::atexit(at_exit) };
}

extern "C" fn at_exit() {
    write_what_is_queued();
    blackbox::remove_if_clean();
}

fn write_what_is_queued() {
    let state = gate::state();
    if !state.is_open() && state != State::Stopping {
        return;
    }
    if thread::is_writer() {
        // A sink called `exit`: the one who would write is the one who leaves.
        return report("a sink ended the process");
    }
    let timeout = shutdown_timeout();
    let written = match state {
        // What began before goes on for as long as the exit allows, counted from then.
        State::Stopping => {
            let waited = clock::monotonic_ns().saturating_sub(CLOSED_AT.load(Ordering::Relaxed));
            await_writer(futex::deadline(timeout.saturating_sub(Duration::from_nanos(waited))))
        }
        _ => shutdown(timeout, None).is_ok(),
    };
    if !written {
        report(&format!("within {timeout:?}"));
    }
}

fn report(why: &str) {
    let unwritten = stats::stats().queue_size();
    gate::abandon();
    if unwritten > 0 {
        say(&format!("kakashi: {unwritten} records were not written at exit ({why})"));
    }
}

/// One line on standard error, if somebody reads it: a full pipe must not hold up the end, and one without a reader
/// must not change it into one by SIGPIPE, which only Rust's own `main` ignores.
pub(super) fn say(line: &str) {
    let line = format!("{line}\n");
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // Not through `std::io::stderr`, whose lock another thread may hold while it is blocked.
    // SAFETY: `poll` is given one pollfd, and `write` the bytes of `line`.
    unsafe {
        if libc::poll(&mut stderr, 1, 100) == 1 && stderr.revents == libc::POLLOUT {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        }
    }
}
