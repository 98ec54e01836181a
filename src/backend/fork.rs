//! `fork`: the parent goes on as if nothing had happened; the child gets fresh lanes and, on its first
//! call, a writer of its own over the same sinks.
//!
//! The forking thread takes the backend's two locks first, so that the child finds control and sinks whole.
//! It waits a second for each: behind a sink that hangs, `fork` must not. A child that was born without
//! the sinks' lock leaves them alone and logs to standard error.
//!
//! What was queued at the fork is the parent's, and written by it. `exec` after `fork` needs nothing of
//! this, and `vfork` and `posix_spawn` do not call it.

use core::cell::Cell;
use core::sync::atomic::Ordering;
use std::time::Duration;

use super::{CONTROL, WRITER_RUNS, set_state};
use crate::gate::{self, State};
use crate::writer::{self, SINKS, Stop};
use crate::{blackbox, crash, futex, region, thread, tickets};

const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    // The forking thread's own: several may be at it.
    static CONTROL_HELD: Cell<bool> = const { Cell::new(false) };
    static SINKS_HELD: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn hook() {
    // SAFETY: the three are functions for the life of the program.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

extern "C" fn prepare() {
    // A sink that forks holds the sinks' lock itself.
    let patience = if thread::is_writer() { Duration::ZERO } else { PATIENCE };
    let control = CONTROL.lock_until(futex::deadline(patience)).map(core::mem::forget);
    CONTROL_HELD.set(control.is_some());
    let sinks = writer::sinks_for_fork(patience).map(core::mem::forget);
    SINKS_HELD.set(sinks.is_some());
}

extern "C" fn parent() {
    // SAFETY: `prepare` took these locks on this thread and left them closed.
    unsafe {
        if SINKS_HELD.get() {
            SINKS.open_held();
        }
        if CONTROL_HELD.get() {
            CONTROL.open_held();
        }
    }
}

extern "C" fn child() {
    // SAFETY: this is the only thread of the child; what the parent's other threads held, nobody holds.
    unsafe {
        SINKS.force_open();
        CONTROL.force_open();
        tickets::forget();
        blackbox::leave_in_child();
        region::forget();
    }
    for entry in crate::channel::channels() {
        // SAFETY: as above.
        unsafe { entry.channel.displace() };
    }
    let was_writer = thread::is_writer();
    thread::forget();
    if !SINKS_HELD.get() || was_writer {
        SINKS.lock().abandon();
    }
    SINKS.lock().forget_staged();
    let mut control = CONTROL.lock();
    // The thread it stands for is the parent's.
    core::mem::forget(control.writer.take());
    control.generation += 1;
    writer::reset_stop(Stop::No);
    writer::forget_forks();
    crash::forget();
    WRITER_RUNS.store(0, Ordering::Relaxed);
    set_state(match gate::state() {
        State::Stopping | State::Stopped => State::Stopped,
        _ => State::Idle,
    });
}
