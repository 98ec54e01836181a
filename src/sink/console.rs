//! Standard output and standard error.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use super::{Sink, SinkId};

/// Writes to standard error or standard output, past Rust's own buffers and locks.
#[derive(Debug)]
pub struct ConsoleSink {
    descriptor: i32,
}

impl ConsoleSink {
    /// Standard error.
    pub fn stderr() -> Self {
        ConsoleSink { descriptor: libc::STDERR_FILENO }
    }

    /// Standard output.
    pub fn stdout() -> Self {
        ConsoleSink { descriptor: libc::STDOUT_FILENO }
    }
}

impl Sink for ConsoleSink {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the descriptor is the process's standard one, which nobody owns; the `File` is
        // never dropped, hence never closes it.
        let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.descriptor) });
        file.write(bytes)
    }

    fn identity(&self) -> Option<SinkId> {
        Some(SinkId::Console(self.descriptor))
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.descriptor)
    }

    fn name(&self) -> String {
        if self.descriptor == libc::STDOUT_FILENO { "stdout".to_owned() } else { "stderr".to_owned() }
    }
}
