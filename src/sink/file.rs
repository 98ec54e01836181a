//! A file.
//!
//! Decision: `O_APPEND` also for a file that is truncated first, so that each write goes to the end
//! whoever else writes; and `flock`, so that a second backend (a plugin with a copy of the crate in
//! it, another process) is refused rather than mixed in. A forked child shares the open file and the
//! lock, and writes to it, too; the lock is opened when the process that took it closes the sink, or
//! when the last of them has died.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Place, Sink, SinkId};

/// Appends to a file, which `start()` opens, with mode 0640 if it makes it and is told no other.
///
/// ```no_run
/// let guard = kakashi::builder().sink(kakashi::FileSink::append("/var/log/app.log")).start()?;
/// # Ok::<(), kakashi::StartError>(())
/// ```
///
/// Where others may write to the folder, and could put a link there to a file of the program's user:
///
/// ```no_run
/// # use kakashi::FileSink;
/// let sink = FileSink::append("/tmp/app.log").mode(0o600).follow_links(false);
/// ```
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    truncate: bool,
    mode: u32,
    follow_links: bool,
    /// The path from the root on, once the file is open.
    absolute: PathBuf,
    file: Option<File>,
    /// The process that has opened, and locked, the file.
    opened_by: u32,
}

impl FileSink {
    /// Appends to the file at `path`, making it if there is none.
    pub fn append(path: impl AsRef<Path>) -> Self {
        FileSink {
            path: path.as_ref().to_owned(),
            truncate: false,
            mode: 0o640,
            follow_links: true,
            absolute: PathBuf::new(),
            file: None,
            opened_by: 0,
        }
    }

    /// Empties the file at `path` first, or makes it.
    pub fn create(path: impl AsRef<Path>) -> Self {
        let mut sink = FileSink::append(path);
        sink.truncate = true;
        sink
    }

    /// Sets who may do what with a file that is made: permission bits, of which the process's `umask` takes some away.
    /// Default: `0o640`. A file that is there keeps its own.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Sets whether a symbolic link at the path is followed (default: yes), or makes `start()` fail (`O_NOFOLLOW` of `open(2)`). Links among the path's folders are followed in any case.
    #[must_use]
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file sink was not opened"))
    }
}

impl Sink for FileSink {
    fn open(&mut self) -> io::Result<()> {
        let flags = if self.follow_links { 0 } else { libc::O_NOFOLLOW };
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(self.mode).custom_flags(flags);
        let file = options.open(&self.path).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) if !self.follow_links => {
                let why = "it is a symbolic link, which this sink is not to follow";
                io::Error::new(error.kind(), why)
            }
            _ => error,
        })?;
        if file.metadata()?.file_type().is_file() {
            // Locked before it is emptied: another backend's file is not touched.
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::ResourceBusy,
                        "another backend, in this process or another one, writes to this file",
                    ));
                }
                // A file system without locks.
                Err(TryLockError::Error(_)) => {}
            }
            if self.truncate {
                file.set_len(0)?;
            }
        }
        self.absolute = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        self.file = Some(file);
        self.opened_by = std::process::id();
        Ok(())
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = self.file()?;
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
            return Ok(());
        }
        file.sync_data()
    }

    fn identity(&self) -> Option<SinkId> {
        let data = match &self.file {
            Some(file) => file.metadata(),
            None if self.follow_links => std::fs::metadata(&self.path),
            None => std::fs::symlink_metadata(&self.path),
        }
        .ok()?;
        // Devices such as /dev/null can be shared; what is written to a file cannot.
        data.file_type().is_file().then(|| SinkId::File { device: data.dev(), inode: data.ino() })
    }

    fn place(&self) -> Option<Place<'_>> {
        let data = self.file.as_ref()?.metadata().ok()?;
        let regular = data.file_type().is_file();
        regular.then(|| Place {
            device: data.dev(),
            inode: data.ino(),
            offset: data.size(),
            path: &self.absolute,
        })
    }

    fn descriptor(&self) -> Option<i32> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && self.opened_by == std::process::id()
        {
            // Closing alone would leave the lock to forked children that have the file open.
            let _ = file.unlock();
        }
    }
}
