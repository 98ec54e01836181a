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

/// Appends to a file, which `start()` opens, with mode 0640 if it makes it.
///
/// ```no_run
/// let guard = kakashi::builder().sink(kakashi::FileSink::append("/var/log/app.log")).start()?;
/// # Ok::<(), kakashi::StartError>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    truncate: bool,
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
            absolute: PathBuf::new(),
            file: None,
            opened_by: 0,
        }
    }

    /// Empties the file at `path` first, or makes it.
    pub fn create(path: impl AsRef<Path>) -> Self {
        FileSink {
            path: path.as_ref().to_owned(),
            truncate: true,
            absolute: PathBuf::new(),
            file: None,
            opened_by: 0,
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file sink was not opened"))
    }
}

impl Sink for FileSink {
    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
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
            None => std::fs::metadata(&self.path),
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
