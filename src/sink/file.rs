//! A file.
//!
//! Decision: `O_APPEND` also for a file that is truncated first, so that each write goes to the end
//! whoever else writes; and `flock`, so that a second backend (a plugin with a copy of the crate in
//! it, another process) is refused rather than mixed in. A forked child shares the open file and the
//! lock, and writes to it, too; the lock is opened when the process that took it closes the sink, or
//! when the last of them has died.
//!
//! Going on in a new file: the old one is renamed, the new one opened under the log's name and put in place of the old one's
//! descriptor, so that a crash handler that writes to its number always writes to the log. It happens between two lines and
//! before the place is noted to which the next bytes go (`journal.rs`), and when any of it fails, the log goes on in the
//! file that is open: a rotation can fail, and a record cannot be lost by it.
//!
//! Decision: of our own. `tracing-appender`, `file-rotate`, `rolling-file` and `logroller` rotate between two writes of the
//! caller's, which may be in the middle of a line here; none can be told apart from its old file by who reads the black box,
//! and where renaming or opening fails they panic, or write nowhere.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::keeper::{Keeper, Plan};
use super::rotation::{Retention, Rotation, folder, free_name, with_end};
use super::{Place, Sink, SinkId, os, reopens};
use crate::clock;

/// How long after a failure going on in a new file is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Files closed since the last `sync` that are held for the next one.
const UNSYNCED: usize = 2;

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
///
/// With a new file each day, and before one becomes longer than 100 MiB; old ones are kept for a month:
///
/// ```no_run
/// # use std::time::Duration;
/// # use kakashi::{FileSink, Period, Retention, Rotation};
/// let sink = FileSink::append("/var/log/app/app.log")
///     .make_folder(true)
///     .rotate(Rotation::every(Period::Day).or_bytes(100 << 20))
///     .keep(Retention::default().age(Duration::from_secs(31 * 86_400)));
/// ```
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    truncate: bool,
    mode: u32,
    follow_links: bool,
    make_folder: bool,
    latest: Option<PathBuf>,
    rotation: Option<Rotation>,
    keep: Retention,
    compress: bool,
    /// The path from the root on, once the file is open.
    absolute: PathBuf,
    file: Option<File>,
    /// The process that has opened, and locked, the file.
    opened_by: u32,
    /// Bytes in the file, as far as we know.
    bytes: u64,
    /// What comes next begins a line.
    at_line: bool,
    /// When the period ends, in ns since 1970.
    ends: i64,
    /// Going on in a new file has failed: when to try again.
    again: Option<Instant>,
    /// The requests to open the file anew that were fulfilled.
    reopened: u64,
    /// Files that were closed since the last `sync`.
    unsynced: Vec<File>,
    keeper: Option<Keeper>,
}

impl FileSink {
    /// The permission bits of a new file, unless told otherwise.
    pub(crate) const MODE: u32 = 0o640;

    /// Appends to the file at `path`, making it if there is none.
    pub fn append(path: impl AsRef<Path>) -> Self {
        FileSink {
            path: path.as_ref().to_owned(),
            truncate: false,
            mode: Self::MODE,
            follow_links: true,
            make_folder: false,
            latest: None,
            rotation: None,
            keep: Retention::default(),
            compress: false,
            absolute: PathBuf::new(),
            file: None,
            opened_by: 0,
            bytes: 0,
            at_line: true,
            ends: i64::MAX,
            again: None,
            reopened: 0,
            unsynced: Vec::new(),
            keeper: None,
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

    /// Sets whether the folder is made, with those above it, when it is not there. Default: no, since a path that is wrong
    /// would go unnoticed.
    #[must_use]
    pub fn make_folder(mut self, make: bool) -> Self {
        self.make_folder = make;
        self
    }

    /// Sets when the log goes on in a new file. The file at the path is always the one that is written to. An old one is
    /// called as it is, with the moment at which it was closed behind, in UTC: `app.log.2026-11-25T19-22-01.123456Z`. No line
    /// is split between two files. (A recovery from a black box completes a batch in the file in which it had begun, which may
    /// become longer by that.)
    ///
    /// When the new file cannot be made, the log goes on in the one it has; `on_error` is told
    /// ([`BackendError::Rotation`](crate::BackendError::Rotation)), and it is tried again a second later.
    #[must_use]
    pub fn rotate(mut self, rotation: Rotation) -> Self {
        self.rotation = Some(rotation);
        self
    }

    /// Sets which old files are kept; the others are removed when a log goes on in a new file, and at the start. Default:
    /// all.
    #[must_use]
    pub fn keep(mut self, keep: Retention) -> Self {
        self.keep = keep;
        self
    }

    /// Sets whether old files are compressed, to `.gz`, on a thread of low priority (`kakashi-files`), so that the writer
    /// does not wait for it. What is not done when the process ends, the next one does.
    #[cfg(feature = "compress")]
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sets a symbolic link that `start()` makes, in place of one that is there, to the file that is written to.
    #[must_use]
    pub fn latest(mut self, link: impl AsRef<Path>) -> Self {
        self.latest = Some(link.as_ref().to_owned());
        self
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file sink was not opened"))
    }

    /// Opens what is at the path now, and locks it.
    fn open_path(&self) -> io::Result<File> {
        if self.make_folder {
            fs::create_dir_all(folder(&self.path))?;
        }
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
        }
        Ok(file)
    }

    /// Makes the link to the log, in one step for who follows it.
    fn make_latest(&self) -> io::Result<()> {
        let Some(link) = &self.latest else { return Ok(()) };
        if fs::symlink_metadata(link).is_ok_and(|data| !data.is_symlink()) {
            let why = format!("{} is no symbolic link, and is not replaced by one", link.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let unfinished = with_end(link, ".tmp");
        let _ = fs::remove_file(&unfinished);
        symlink(&self.absolute, &unfinished)?;
        fs::rename(&unfinished, link)
    }

    /// Whether the path leads to the file that is open.
    fn is_at_path(&self) -> bool {
        let same =
            |file: &File| Some(inode(&file.metadata().ok()?) == inode(&fs::metadata(&self.path).ok()?));
        self.file.as_ref().and_then(same).unwrap_or(false)
    }

    /// Goes on in what is at the path now.
    fn go_on(&mut self) -> io::Result<()> {
        let new = self.open_path()?;
        let bytes = new.metadata()?.len();
        let held = self.file()?;
        let old = held.try_clone()?;
        os::replace(held, &new)?;
        // It is no backend's any more; its other descriptors may be open for long, in forked children, too.
        let _ = old.unlock();
        if self.unsynced.len() == UNSYNCED {
            // The kernel has written most of it by now.
            self.unsynced.remove(0).sync_data()?;
        }
        self.unsynced.push(old);
        self.bytes = bytes;
        Ok(())
    }

    /// Gives the file another name and goes on in a new one.
    fn rotate_now(&mut self, now: i64) -> io::Result<()> {
        // Somebody else may have moved it away; then there is only a new one to be made.
        let moved = if self.is_at_path() { Some(free_name(&self.absolute, now)?) } else { None };
        if let Some(name) = &moved {
            fs::rename(&self.absolute, name)?;
        }
        self.go_on().inspect_err(|_| {
            if let Some(name) = &moved
                && fs::symlink_metadata(&self.absolute).is_err()
            {
                // It is the log still.
                let _ = fs::rename(name, &self.absolute);
            }
        })?;
        if let Some(keeper) = &self.keeper {
            keeper.look();
        }
        Ok(())
    }

    /// Whether the file is to be closed before `line`.
    fn is_due(&mut self, rotation: &Rotation, now: i64, line: u64) -> bool {
        if now >= self.ends && self.bytes == 0 {
            // Nothing of the period that has ended.
            self.ends = rotation.ends(now);
        }
        let is_full = |bytes: u64| bytes.saturating_add(line) > rotation.most_bytes();
        if is_full(self.bytes) {
            // Others may have cut it.
            self.bytes = self.file.as_ref().and_then(|file| Some(file.metadata().ok()?.len())).unwrap_or(0);
        }
        self.bytes != 0 && (now >= self.ends || is_full(self.bytes))
    }

    /// How many of the bytes belong into the file that is open.
    fn room(&self, bytes: &[u8]) -> usize {
        let most = self.rotation.map_or(u64::MAX, |rotation| rotation.most_bytes());
        let room = most.saturating_sub(self.bytes);
        if bytes.len() as u64 <= room || self.again.is_some() {
            return bytes.len();
        }
        let line_end = |part: &[u8]| part.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        // A line that is begun is ended here, and so is one that is too long for any file.
        line_end(&bytes[..room as usize]).unwrap_or_else(|| line_len(bytes))
    }
}

/// Bytes of the first line.
fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

/// When a file was last written to, in ns since 1970.
fn written_at(data: &fs::Metadata) -> i64 {
    data.mtime().saturating_mul(1_000_000_000).saturating_add(data.mtime_nsec())
}

fn inode(data: &fs::Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

impl Sink for FileSink {
    fn open(&mut self) -> io::Result<()> {
        // Another backend's file is locked, and not emptied.
        let file = self.open_path()?;
        let data = file.metadata()?;
        if data.is_file() && self.truncate {
            file.set_len(0)?;
        }
        self.absolute = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if let Some(rotation) = &self.rotation {
            if !data.is_file() {
                let why = "only a regular file can be rotated";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            // What an earlier process has written belongs to the period in which it did.
            let empty = self.truncate || data.len() == 0;
            let since = if empty { clock::wall_ns() } else { written_at(&data) };
            self.ends = rotation.ends(since);
        }
        self.bytes = if self.truncate { 0 } else { data.len() };
        self.at_line = true;
        self.reopened = reopens();
        self.make_latest()?;
        if self.compress || self.keep.is_limited() {
            let (path, keep) = (self.absolute.clone(), self.keep);
            let compress = self.compress.then_some(self.mode);
            self.keeper = Some(Keeper::start(Plan { path, keep, compress })?);
        }
        self.file = Some(file);
        self.opened_by = std::process::id();
        Ok(())
    }

    fn prepare(&mut self, next: &[u8]) -> io::Result<()> {
        if !self.at_line || self.again.is_some_and(|again| Instant::now() < again) {
            return Ok(());
        }
        self.again = None;
        let mut done = Ok(());
        let asked = reopens();
        if asked != self.reopened {
            done = if self.is_at_path() { Ok(()) } else { self.go_on() };
            if done.is_ok() {
                self.reopened = asked;
            }
        }
        if let Some(rotation) = self.rotation
            && !next.is_empty()
            && done.is_ok()
        {
            let now = clock::wall_ns();
            if self.is_due(&rotation, now, line_len(next) as u64) {
                done = self.rotate_now(now);
                if done.is_ok() {
                    self.ends = rotation.ends(now);
                }
            }
        }
        if done.is_err() {
            self.again = Some(Instant::now() + AGAIN);
            return done;
        }
        self.keeper.as_ref().and_then(Keeper::error).map_or(Ok(()), Err)
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room(bytes);
        let taken = self.file()?.write(&bytes[..room])?;
        self.bytes += taken as u64;
        if let Some(last) = bytes[..taken].last() {
            self.at_line = *last == b'\n';
        }
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        while let Some(old) = self.unsynced.first() {
            old.sync_data()?;
            self.unsynced.remove(0);
        }
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
            None if self.follow_links => fs::metadata(&self.path),
            None => fs::symlink_metadata(&self.path),
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
