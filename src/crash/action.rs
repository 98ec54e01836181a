//! Signal actions: putting ours in, taking it out, and what was there before.

use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, zeroed};
use core::sync::atomic::{AtomicBool, Ordering};

/// What is handled. The first four are faults.
pub(super) const SIGNALS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTERM, libc::SIGINT];
const FAULTS: usize = 4;

pub(super) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The action before ours.
struct Before {
    known: AtomicBool,
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is written before `known` is set (Release) and ours put in, and read only once it is (Acquire);
// it is written again only when ours is not in, by one `start` at a time.
unsafe impl Sync for Before {}

static BEFORE: [Before; SIGNALS.len()] =
    [const { Before { known: AtomicBool::new(false), action: UnsafeCell::new(MaybeUninit::uninit()) } };
        SIGNALS.len()];

fn get(signal: i32) -> libc::sigaction {
    // SAFETY: all zero is a valid `sigaction`, which the call writes to.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        libc::sigaction(signal, core::ptr::null(), &mut action);
        action
    }
}

/// Puts `handler` in for each signal, but where SIGABRT, SIGTERM or SIGINT is ignored: it stays so.
pub(crate) fn install(handler: Handler) {
    ensure_stack();
    for (at, (&signal, before)) in SIGNALS.iter().zip(&BEFORE).enumerate() {
        let old = get(signal);
        if old.sa_sigaction == handler as usize || (at >= FAULTS && old.sa_sigaction == libc::SIG_IGN) {
            continue;
        }
        // SAFETY: ours is not in, so that nobody reads it; callers hold the backend's lock.
        unsafe { (*before.action.get()).write(old) };
        before.known.store(true, Ordering::Release);
        // SAFETY: the action is whole, and its function is async-signal-safe and there for the program's life.
        unsafe {
            let mut ours: libc::sigaction = zeroed();
            ours.sa_sigaction = handler as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART & old.sa_flags;
            // A second signal must not end the process before the first one's work is done; a fault in there must.
            libc::sigfillset(&mut ours.sa_mask);
            for &other in SIGNALS[..=FAULTS].iter().filter(|&&other| other != signal) {
                libc::sigdelset(&mut ours.sa_mask, other);
            }
            libc::sigaction(signal, &ours, core::ptr::null_mut());
        }
    }
}

/// Whether a signal comes from what the thread did: a fault, or its `abort`.
pub(super) fn is_of_thread(signal: i32) -> bool {
    SIGNALS[..=FAULTS].contains(&signal)
}

/// Restores what was there, where `handler` still is.
pub(crate) fn uninstall(handler: Handler) {
    for (&signal, before) in SIGNALS.iter().zip(&BEFORE) {
        if before.known.load(Ordering::Acquire) && get(signal).sa_sigaction == handler as usize {
            // SAFETY: known, hence written.
            unsafe { libc::sigaction(signal, (*before.action.get()).as_ptr(), core::ptr::null_mut()) };
        }
    }
}

/// Lets the action before ours happen. True when that ends the process once the handler has returned.
///
/// # Safety
/// Within `ours`, the handler for `signal`, with the kernel's arguments.
pub(super) unsafe fn chain(
    ours: Handler,
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) -> bool {
    let before = SIGNALS.iter().zip(&BEFORE).find(|(known, _)| **known == signal).map(|(_, before)| before);
    let known = before.filter(|before| before.known.load(Ordering::Acquire));
    // SAFETY: known, hence written. Without: the default action, all zero.
    let old = unsafe { known.map_or(zeroed(), |before| (*before.action.get()).assume_init()) };
    // SAFETY: `info` is the kernel's. What the kernel itself raised has a positive code.
    let by_kernel = unsafe { (*info).si_code > 0 };
    let is_fault = SIGNALS[..FAULTS].contains(&signal) && by_kernel;
    if old.sa_sigaction == libc::SIG_IGN && !is_fault {
        return false;
    }
    if old.sa_sigaction == libc::SIG_DFL
        || old.sa_sigaction == libc::SIG_IGN
        || old.sa_flags & libc::SA_RESETHAND != 0
    {
        // SAFETY: the default action, all zero, is a valid one.
        unsafe {
            let default: libc::sigaction = zeroed();
            libc::sigaction(signal, &default, core::ptr::null_mut());
        }
    }
    match old.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            if !is_fault {
                // It is blocked until the handler has returned.
                // SAFETY: to the calling thread.
                unsafe {
                    let thread = libc::syscall(libc::SYS_gettid);
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal);
                }
            }
            true
        }
        function => {
            // It may abort, as Rust's does for an overflowed stack; our handler would only pass that on, and its frame
            // may not fit into what is left of an alternate stack.
            let abort = is_fault.then(|| lend_abort(ours)).flatten();
            // SAFETY: the program installed this function, with these flags, for this.
            unsafe {
                if old.sa_flags & libc::SA_SIGINFO != 0 {
                    let function: Handler = core::mem::transmute::<usize, Handler>(function);
                    function(signal, info, context);
                } else {
                    let function = core::mem::transmute::<usize, extern "C" fn(i32)>(function);
                    function(signal);
                }
                if let Some(abort) = abort {
                    libc::sigaction(libc::SIGABRT, &abort, core::ptr::null_mut());
                }
            }
            false
        }
    }
}

/// Restores the action before ours for SIGABRT, and returns ours; `None` when it is not in.
fn lend_abort(ours: Handler) -> Option<libc::sigaction> {
    let now = get(libc::SIGABRT);
    let before = &BEFORE[FAULTS];
    if now.sa_sigaction != ours as *const () as usize || !before.known.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: known, hence written.
    unsafe { libc::sigaction(libc::SIGABRT, (*before.action.get()).as_ptr(), core::ptr::null_mut()) };
    Some(now)
}

/// Lets the calling thread, the writer, take its own faults: blocked ones end the process without a handler.
pub(crate) fn unblock_faults() {
    // SAFETY: the set is written before it is read.
    unsafe {
        let mut faults: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut faults);
        for &signal in &SIGNALS[..=FAULTS] {
            libc::sigaddset(&mut faults, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &faults, core::ptr::null_mut());
    }
}

/// An alternate stack for the calling thread, if it has none. It stays for good.
fn ensure_stack() {
    const BYTES: usize = 64 * 1024;
    // SAFETY: the mapping is fresh and never unmapped; both structs are written before they are read.
    unsafe {
        let mut now: libc::stack_t = zeroed();
        if libc::sigaltstack(core::ptr::null(), &mut now) != 0 || now.ss_flags & libc::SS_DISABLE == 0 {
            return;
        }
        if let Ok(memory) = super::stack::map(BYTES) {
            let stack = libc::stack_t { ss_sp: memory.cast(), ss_flags: 0, ss_size: BYTES };
            libc::sigaltstack(&stack, core::ptr::null_mut());
        }
    }
}
