//! Ctrl-C, and the signals whose handler logs.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::load::{Sender, log_from_handler};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C was pressed, or the process was asked to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn on_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: errno is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    log_from_handler();
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int), flags: libc::c_int) {
    // SAFETY: all zero is a valid `sigaction`; the handlers call what is async-signal-safe only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        libc::sigemptyset(&mut action.sa_mask);
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0, "a handler can be set");
    }
}

/// The first Ctrl-C ends the run early, the second one at once.
pub fn install() {
    handle(libc::SIGINT, on_interrupt, libc::SA_RESTART | libc::SA_RESETHAND);
    handle(libc::SIGTERM, on_interrupt, libc::SA_RESTART | libc::SA_RESETHAND);
    restart_calls(true);
}

/// Whether system calls go on after the handler, or fail with EINTR.
pub fn restart_calls(yes: bool) {
    handle(libc::SIGUSR1, on_signal, if yes { libc::SA_RESTART } else { 0 });
}

/// Interrupts a thread, wherever it is.
pub fn send(sender: &Sender) {
    let tid = sender.tid.load(Ordering::Acquire);
    if tid != 0 {
        // SAFETY: a thread that has ended meanwhile is an error; one that has got its number is ours, too.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) };
    }
}
