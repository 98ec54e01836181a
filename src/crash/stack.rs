//! A stack for the rescue: rendering takes more than an alternate stack has.

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::io;

use crate::region;

const BYTES: usize = 512 * 1024;

static STACK: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// Memory for a stack, below which lies a page that faults: what overflows it meets nobody's memory.
pub(super) fn map(bytes: usize) -> io::Result<*mut u8> {
    // SAFETY: a question about the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
    let base = region::map(page + bytes)?;
    // SAFETY: the first page of a fresh mapping, which nobody refers to.
    if unsafe { libc::mprotect(base.cast(), page, libc::PROT_NONE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(base.wrapping_add(page))
}

/// Makes it, once. Pages that are not touched cost nothing.
pub(super) fn prepare() {
    if STACK.load(Ordering::Acquire).is_null()
        && let Ok(stack) = map(BYTES)
    {
        // Another `start` at the same moment leaves one mapping unused.
        STACK.store(stack, Ordering::Release);
    }
}

/// Calls `body` on that stack; where there is none, on the one in use.
///
/// # Safety
/// One caller at a time, and `body` does not unwind.
pub(super) unsafe fn call<F: FnOnce()>(body: F) {
    extern "C" fn enter<F: FnOnce()>(body: *mut Option<F>) {
        // SAFETY: the pointer is that of `call`'s own variable.
        if let Some(body) = unsafe { (*body).take() } {
            body();
        }
    }
    let mut body = Some(body);
    let base = STACK.load(Ordering::Acquire);
    if base.is_null() {
        return enter(&mut body);
    }
    // Aligned to 16: a mapping begins and ends at pages.
    let top = base.wrapping_add(BYTES);
    let function = enter::<F> as extern "C" fn(*mut Option<F>);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the stack is ours alone, and the old one is restored from a register that the callee keeps.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {function}",
            "mov rsp, r12",
            top = in(reg) top,
            function = in(reg) function,
            in("rdi") &mut body,
            out("r12") _,
            clobber_abi("C"),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!(
            "mov x20, sp",
            "mov sp, {top}",
            "blr {function}",
            "mov sp, x20",
            top = in(reg) top,
            function = in(reg) function,
            in("x0") &mut body,
            out("x20") _,
            clobber_abi("C"),
        );
    }
}
