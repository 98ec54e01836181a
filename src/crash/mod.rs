//! The end of the process by a signal or a panic: what was logged before is written first.
//!
//! ```text
//! signal --> handler: one thread at a time --> a writer there, and not this thread?
//!                yes: ask it (`writer/request.rs`), at most 500 ms --answered--> chain
//!                no, or no answer: take the consumer side over (`writer/tenure.rs`), write (`writer/rescue.rs`) --> chain
//! ```
//!
//! *Chain*: what was there before us happens. A function is called. With the default action, that is restored, and the
//! handler returns: a fault's instruction is run again and faults; any other signal was raised again and is
//! delivered. So the process dies as it would have, by the same signal, with a core if that makes one.
//!
//! | `CRASHING` | |
//! |---|---|
//! | 0 | nobody |
//! | a thread's id | it is in the handler: another thread waits for it, at most 2 s, then chains; the same one has crashed within the handler, or within a handler that it called, and chains at once |
//! | `DYING` | the work is done and the default action under way: who comes chains |
//!
//! Everything here is async-signal-safe: atomics, futex, `sigaction`, `write`, no memory, no lock. The rescue runs
//! on a stack of its own (`stack.rs`): an alternate stack as Rust's std makes it has 8 KiB, half of which
//! the kernel's frame may take.
//!
//! Decision: the other threads are not stopped. A signal to each of them would have to be one that they
//! do not block, and would leave the program's own handler, which is called next, with locks that a stopped thread
//! holds. So the promise is about calls that returned before the signal.
//!
//! Decision: no handler on the writer's side for a sink that hangs: a batch in a hanging `write(2)` cannot be called
//! back, and is written once more to that descriptor only.

mod action;
pub(crate) mod panic;
mod stack;

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use action::chain;
use action::is_of_thread;
pub(crate) use action::{install, unblock_faults, uninstall};

use crate::channel::channels;
use crate::futex;
use crate::gate::{self, State};
use crate::lane::ThreadId;
use crate::region;
use crate::writer::{self, CrashCause, tenure};

/// How long the writer is waited for, in ms.
static PATIENCE_MS: AtomicU64 = AtomicU64::new(500);

/// Changes how long a crash waits for the writer, for tests on machines that stand still for longer.
#[doc(hidden)]
pub fn set_crash_patience(patience: Duration) {
    PATIENCE_MS.store(patience.as_millis() as u64, Ordering::Relaxed);
}

/// How long the writer has, at a signal and at a panic.
fn patience() -> Duration {
    Duration::from_millis(PATIENCE_MS.load(Ordering::Relaxed))
}

/// How long another crashed thread is.
const OTHERS_PATIENCE: Duration = Duration::from_secs(2);

const DYING: u32 = u32::MAX;

static CRASHING: AtomicU32 = AtomicU32::new(0);

/// Whether there is a backend to ask: false before a start and after a shutdown.
static ARMED: AtomicBool = AtomicBool::new(false);

/// Sets memory aside and puts the handlers in.
pub(crate) fn arm() {
    writer::prepare_rescue();
    stack::prepare();
    ARMED.store(true, Ordering::Release);
    install(on_signal);
}

/// Takes them out where they still are ours.
pub(crate) fn disarm() {
    if ARMED.swap(false, Ordering::AcqRel) {
        uninstall(on_signal);
    }
}

/// Whether the handlers were put in.
pub(crate) fn is_armed() -> bool {
    ARMED.load(Ordering::Acquire)
}

/// In a forked child: the parent's crash is not its own.
pub(crate) fn forget() {
    CRASHING.store(0, Ordering::Relaxed);
    tenure::forget();
    writer::forget_requests();
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the calling thread's own.
    let errno = unsafe { *libc::__errno_location() };
    let me = tid();
    match CRASHING.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            if ARMED.load(Ordering::Acquire) {
                save(signal, me);
            }
            // SAFETY: the kernel's own arguments are passed on.
            if unsafe { chain(on_signal, signal, info, context) } {
                CRASHING.store(DYING, Ordering::Release);
            } else {
                CRASHING.store(0, Ordering::Release);
            }
            futex::wake_all(&CRASHING);
        }
        Err(other) => {
            let deadline = futex::deadline(OTHERS_PATIENCE);
            while other != me && other != DYING && CRASHING.load(Ordering::Acquire) == other {
                let Some(left) = futex::remaining(deadline) else { break };
                futex::wait(&CRASHING, other, Some(left));
            }
            // SAFETY: as above.
            unsafe { chain(on_signal, signal, info, context) };
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Gets out what was logged, and what the thread held back if the signal is its own doing.
fn save(signal: i32, tid: u32) {
    if is_of_thread(signal) && gate::state().is_open() {
        channels().for_each(|channel| channel.write_held(0, false));
    }
    let cause = CrashCause { signal, thread: ThreadId { tid, name: name(tid) } };
    let patience = patience();
    if tenure::can_answer(tid) && writer::ask(&cause, patience) {
        return;
    }
    if region::is_shown() {
        // A black box has the rest, and brings it into the log exactly once.
        return;
    }
    let Some(taken) = tenure::take_over() else { return };
    // SAFETY: one thread at a time has taken over, so that the stack has one user; `rescue` does not unwind.
    unsafe { stack::call(|| writer::rescue(taken, &cause)) };
    if taken.writer {
        gate::set_state(State::Failed);
    }
    tenure::give_back(taken);
}

fn tid() -> u32 {
    // SAFETY: gettid has no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

fn name(tid: u32) -> [u8; 16] {
    let mut name = *b"main\0\0\0\0\0\0\0\0\0\0\0\0";
    if tid != std::process::id() {
        // SAFETY: PR_GET_NAME writes 16 bytes.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        name[15] = 0;
    }
    name
}
