//! What a file sink asks of the system that the standard library does not offer.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Lets the descriptor of `file` be that of `by` from now on, in one step: whoever writes to its number meanwhile writes to
/// the one or the other.
pub(super) fn replace(file: &File, by: &File) -> io::Result<()> {
    // SAFETY: both are open; the number stays `file`'s, which owns what it is now.
    let done = unsafe { libc::dup3(by.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the calling thread out of everybody's way: no signal is handled on it, and others run first.
pub(super) fn stay_behind() {
    // SAFETY: the set is filled before it is read; nothing else is passed.
    unsafe {
        let mut all = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, core::ptr::null_mut());
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
