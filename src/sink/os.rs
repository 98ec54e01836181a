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
