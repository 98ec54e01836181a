//! In the process that is looked at: stops after each store into guarded pages, and after each system call that changes a
//! file or maps one.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::common::black_box::Counts;
use crate::{GO_ON, JOURNAL, PAGE, STOP};

/// Addresses of guarded pages; 0 is none.
static PAGES: [AtomicUsize; 32] = [const { AtomicUsize::new(0) }; 32];
/// Where the header is, which has parts that do not count.
static HEADER: AtomicUsize = AtomicUsize::new(0);
/// The last file that was mapped, and its bytes.
static MAPPED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// The two words of `Counts` by which it is stopped and goes on.
static WORDS: [AtomicPtr<AtomicU64>; 2] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 2];
static STOPPED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The pages that this thread's current instruction may write to.
    static OPENED: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

/// From here on, changes are stopped at.
pub fn arm(counts: &'static Counts) {
    // SAFETY: handlers for the life of the process.
    unsafe {
        for (signal, handler) in
            [(libc::SIGSEGV, faulted as *const () as usize), (libc::SIGTRAP, stepped as *const () as usize)]
        {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigfillset(&mut action.sa_mask);
            libc::sigdelset(&mut action.sa_mask, libc::SIGSEGV);
            assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
        }
    }
    WORDS[1].store(std::ptr::from_ref(counts.of(GO_ON)).cast_mut(), Ordering::Release);
    WORDS[0].store(std::ptr::from_ref(counts.of(STOP)).cast_mut(), Ordering::Release);
}

/// The writer blocks all signals, and the kernel kills a thread that blocks a fault's.
pub fn unblock() {
    // SAFETY: a set of signals, and numbers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGSEGV);
        libc::sigaddset(&mut set, libc::SIGTRAP);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// Guards the journal, and the pages at `lanes`, of the box that was mapped last.
pub fn guard(lanes: &[u64]) {
    let base = MAPPED[0].load(Ordering::Relaxed);
    HEADER.store(base, Ordering::Relaxed);
    let journal = (0..JOURNAL.end).step_by(PAGE);
    for (slot, at) in PAGES.iter().zip(journal.chain(lanes.iter().copied())) {
        slot.store(base + at as usize, Ordering::Release);
        protect(base + at as usize, libc::PROT_READ);
    }
    assert_eq!(PAGES[31].load(Ordering::Relaxed), 0, "more pages than are foreseen");
}

fn protect(page: usize, access: i32) {
    // SAFETY: a page of a mapping of the box; what is refused is told to the handler.
    unsafe { libc::mprotect(std::ptr::with_exposed_provenance_mut(page), PAGE, access) };
}

/// Waits until the test has looked.
pub fn stop() {
    let words = [0, 1].map(|at: usize| WORDS[at].load(Ordering::Acquire));
    if words[0].is_null() {
        return;
    }
    // SAFETY: they are words of a mapping that stays.
    let [stop, go_on] = words.map(|word| unsafe { &*word });
    while STOPPED.swap(true, Ordering::Acquire) {
        std::thread::yield_now();
    }
    let number = stop.load(Ordering::Relaxed) + 1;
    stop.store(number, Ordering::Release);
    while go_on.load(Ordering::Acquire) != number {
        std::thread::yield_now();
    }
    STOPPED.store(false, Ordering::Release);
}

const TRAP_FLAG: i64 = 1 << 8;

/// A store into a guarded page: it may go on, alone.
unsafe extern "C" fn faulted(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives both.
    let (address, context) =
        unsafe { ((*info).si_addr() as usize, &mut *context.cast::<libc::ucontext_t>()) };
    let page = address & !(PAGE - 1);
    if address == 0 || !PAGES.iter().any(|guarded| guarded.load(Ordering::Relaxed) == page) {
        // A fault of its own: again, and to the end.
        // SAFETY: a disposition.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        return;
    }
    let offset = address.wrapping_sub(HEADER.load(Ordering::Relaxed)) as u64;
    let counts = JOURNAL.contains(&offset) || offset >= JOURNAL.end.next_multiple_of(PAGE as u64);
    COUNTS.set(COUNTS.get() | counts);
    let [first, second] = OPENED.get();
    OPENED.set(if first == 0 || first == page { [page, second] } else { [first, page] });
    protect(page, libc::PROT_READ | libc::PROT_WRITE);
    context.uc_mcontext.gregs[libc::REG_EFL as usize] |= TRAP_FLAG;
}

/// The store has happened.
unsafe extern "C" fn stepped(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives it.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG;
    for page in OPENED.replace([0; 2]).into_iter().filter(|&page| page != 0) {
        protect(page, libc::PROT_READ);
    }
    if COUNTS.replace(false) {
        // SAFETY: this thread's own.
        let errno = unsafe { *libc::__errno_location() };
        stop();
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
}

/// A system call of that number, and a stop behind it.
macro_rules! stopping {
    ($($(#[$doc:meta])* $name:ident = $number:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the caller's arguments.
            let result = unsafe { libc::syscall(libc::$number $(, $argument)*) };
            stop();
            result as $result
        }
    )*};
}

stopping! {
    write = SYS_write(descriptor: i32, bytes: *const libc::c_void, len: usize) -> isize;
    pwrite64 = SYS_pwrite64(descriptor: i32, bytes: *const libc::c_void, len: usize, at: i64) -> isize;
    ftruncate64 = SYS_ftruncate(descriptor: i32, len: i64) -> i32;
    rename = SYS_rename(from: *const libc::c_char, to: *const libc::c_char) -> i32;
}

/// Notes what is mapped, and guards the header of a box that is recovered.
#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    at: *mut libc::c_void,
    len: usize,
    access: i32,
    flags: i32,
    descriptor: i32,
    offset: i64,
) -> *mut libc::c_void {
    // SAFETY: the caller's arguments.
    let base = unsafe { libc::syscall(libc::SYS_mmap, at, len, access, flags, descriptor, offset) };
    if base > 0 && descriptor >= 0 && flags & libc::MAP_SHARED != 0 && access & libc::PROT_WRITE != 0 {
        MAPPED[0].store(base as usize, Ordering::Relaxed);
        MAPPED[1].store(len, Ordering::Relaxed);
        if !WORDS[0].load(Ordering::Acquire).is_null()
            && len == JOURNAL.end.next_multiple_of(PAGE as u64) as usize
        {
            guard(&[]);
        }
    }
    std::ptr::with_exposed_provenance_mut(base as usize)
}
