//! The file: how it is opened, whom it belongs to, and how it becomes the region.
//!
//! *Locked.* An open-file-description lock (`fcntl(2)`, F_OFD_SETLK) over the whole file says that a process lives in
//! it. The kernel drops it with the process, however that dies, and others can ask for it without taking it
//! (F_OFD_GETLK), so that looking on disturbs nobody. A forked child must not keep it: see [`leave_in_child`].
//!
//! *Reserved.* `fallocate(2)` before the mapping: a full disk is an error here, and no SIGBUS in a log call.
//!
//! *Private.* `/dev/shm` is everybody's. A file that is another user's, that others can read or write, that has another
//! name as well, or that is a link, is refused: what stands in it decides which files a recovery appends to.

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::BlackBoxError;
use crate::region::{self, CLEAN, MAGIC, Origin, PAGE, RegionHeader, Shown};

use super::tables;

/// <https://man7.org/linux/man-pages/man2/statfs.2.html>
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// What a box begins with while it is made.
const MAKING: [u8; 8] = *b"kakashi?";

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> BlackBoxError + use<'a> {
    move |source| BlackBoxError::Io { path: path.to_owned(), doing, source }
}

/// A file that this process has locked.
pub(crate) struct Claimed {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// How many steps a recovery goes: all, but in a test.
    pub(super) steps: Cell<u64>,
}

/// What a claimed file holds.
pub(crate) enum Content {
    /// Nothing that has to be kept.
    Nothing,
    /// What a process has left that did not come to its end.
    Left,
}

/// Opens, checks and locks the file at `path`, making it if there is none.
pub(crate) fn claim(path: &Path, on_disk: bool) -> Result<Claimed, BlackBoxError> {
    let path = std::path::absolute(path).map_err(failed(path, "find"))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => {
                io::Error::new(error.kind(), "it is a symbolic link: give the file's own path")
            }
            _ => error,
        })
        .map_err(failed(&path, "open"))?;
    check(&file, &path)?;
    if !on_disk && !is_on_tmpfs(&file).map_err(failed(&path, "look at the file system of"))? {
        return Err(BlackBoxError::NotOnTmpfs { path });
    }
    lock(&file).map_err(|source| match holder(&file) {
        Ok(Some(pid)) => BlackBoxError::InUse { path: path.clone(), pid },
        _ => BlackBoxError::Io { path: path.clone(), doing: "lock", source },
    })?;
    // Another process may have removed it between the two, at its end.
    let there = std::fs::symlink_metadata(&path).map(|there| (there.dev(), there.ino())).ok();
    let ours = file.metadata().map_err(failed(&path, "open"))?;
    if there != Some((ours.dev(), ours.ino())) {
        return claim(&path, on_disk);
    }
    Ok(Claimed { file, path, steps: Cell::new(u64::MAX) })
}

fn check(file: &File, path: &Path) -> Result<(), BlackBoxError> {
    let data = file.metadata().map_err(failed(path, "look at"))?;
    // SAFETY: no arguments.
    let me = unsafe { libc::geteuid() };
    let why = if !data.file_type().is_file() {
        "it is no regular file".to_owned()
    } else if data.uid() != me {
        format!("it belongs to user {}, and this process is user {me}", data.uid())
    } else if data.mode() & 0o077 != 0 {
        format!("its mode {:04o} lets others at it, and must be 0600", data.mode() & 0o7777)
    } else if data.nlink() != 1 {
        "it has more than one name".to_owned()
    } else {
        return Ok(());
    };
    Err(BlackBoxError::Foreign { path: path.to_owned(), why })
}

fn is_on_tmpfs(file: &File) -> io::Result<bool> {
    // SAFETY: zeros are a valid `statfs`, which is written to.
    let system = unsafe {
        let mut system: libc::statfs = core::mem::zeroed();
        if libc::fstatfs(file.as_raw_fd(), &mut system) != 0 {
            return Err(io::Error::last_os_error());
        }
        system
    };
    #[allow(clippy::unnecessary_cast)] // its type differs between the architectures
    Ok(system.f_type as i64 == TMPFS_MAGIC)
}

fn whole_file() -> libc::flock {
    // SAFETY: zeros are a valid `flock`: from the start to the end, and no process.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock
}

fn lock(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the lock outlives the call.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &whole_file()) };
    if taken == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The process that lives in the file, if there is one: as its header says, or 0 if that says nothing.
pub(super) fn holder(file: &File) -> io::Result<Option<u32>> {
    let mut lock = whole_file();
    // SAFETY: as above; the lock is written to.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if lock.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    let mut pid = [0; 4];
    let at = core::mem::offset_of!(RegionHeader, origin) + core::mem::offset_of!(Origin, pid);
    let _ = file.read_exact_at(&mut pid, at as u64);
    Ok(Some(u32::from_ne_bytes(pid)))
}

/// While this is there, a file that may grow no further (`RLIMIT_FSIZE`) is an error of the calling thread's writes, and no
/// signal.
pub(crate) struct FileSizeLimit {
    before: libc::sigset_t,
}

impl FileSizeLimit {
    fn signal() -> libc::sigset_t {
        // SAFETY: zeros are a set, which is made to be one of one signal.
        unsafe {
            let mut set = core::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGXFSZ);
            set
        }
    }

    pub(crate) fn is_an_error() -> Self {
        // SAFETY: both sets are written before they are read.
        unsafe {
            let mut before = core::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, &Self::signal(), &mut before);
            FileSizeLimit { before }
        }
    }
}

impl Drop for FileSizeLimit {
    fn drop(&mut self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the sets are whole; a signal of ours that waits is taken before it may be delivered.
        unsafe {
            if libc::sigismember(&self.before, libc::SIGXFSZ) == 0 {
                libc::sigtimedwait(&Self::signal(), core::ptr::null_mut(), &at_once);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, core::ptr::null_mut());
        }
    }
}

impl Claimed {
    /// What the file holds. An error when that is none of ours.
    pub(crate) fn content(&self) -> Result<Content, BlackBoxError> {
        let len = self.file.metadata().map_err(failed(&self.path, "look at"))?.len();
        let mut start = [0; 8];
        if len == 0 || (self.file.read_exact_at(&mut start, 0).is_ok() && start == MAKING) {
            // Its making was cut short: the magic comes last.
            return Ok(Content::Nothing);
        }
        let view =
            super::view::View::of(self.file.try_clone().map_err(failed(&self.path, "open"))?, &self.path)?;
        Ok(if view.is_clean() { Content::Nothing } else { Content::Left })
    }

    /// The header, mapped, to be written to.
    pub(super) fn header(&self) -> Result<MappedHeader, BlackBoxError> {
        map(&self.file, HEADER_BYTES).map(MappedHeader).map_err(failed(&self.path, "map"))
    }

    /// Makes the file this process's region: what it holds is gone.
    pub(crate) fn lay_out(self) -> Result<(), BlackBoxError> {
        let tables = tables::encode();
        let plan = region::plan(tables.len(), true);
        let path = &self.path;
        self.file.set_len(0).map_err(failed(path, "empty"))?;
        self.file.write_all_at(&MAKING, 0).map_err(failed(path, "write to"))?;
        let reserved = loop {
            // SAFETY: the descriptor is open.
            match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), 0, plan.bytes as libc::off_t) } {
                libc::EINTR => {}
                result => break result,
            }
        };
        if reserved != 0 {
            // What was reserved of it until then is of no use.
            let _ = self.file.set_len(0);
            let _ = std::fs::remove_file(&self.path);
            let source = io::Error::from_raw_os_error(reserved);
            return Err(BlackBoxError::Space { path: self.path, needed: plan.bytes as u64, source });
        }
        let base = map(&self.file, plan.bytes).map_err(failed(path, "map"))?;
        let shown = Shown { origin: origin(), tables_hash: tables::hash(&tables), tables: &tables };
        // Once or, in a forked child, twice in a process's life.
        PATH.store(Box::leak(Box::new(self.path.clone())), Ordering::Relaxed);
        BYTES.store(plan.bytes, Ordering::Relaxed);
        BASE.store(base, Ordering::Relaxed);
        OWNER.store(std::process::id(), Ordering::Relaxed);
        // The descriptor, and the lock with it, stay to the end of the process.
        DESCRIPTOR.store(self.file.into_raw_fd(), Ordering::Release);
        // SAFETY: the mapping is of zeros but for the magic, which is stored last, of the planned size, and this process has the lock.
        unsafe { region::ensure_in(base, plan, &shown) };
        Ok(())
    }
}

const HEADER_BYTES: usize = size_of::<RegionHeader>().next_multiple_of(PAGE);

/// A box's header in memory. Unmapped at its end: a mapping keeps the lock.
pub(super) struct MappedHeader(*mut u8);

impl core::ops::Deref for MappedHeader {
    type Target = RegionHeader;

    fn deref(&self) -> &RegionHeader {
        // SAFETY: the mapping is as large and lives as long as this, and any bytes are a header; what changes in it is
        // atomic, and this process has the lock.
        unsafe { &*self.0.cast::<RegionHeader>() }
    }
}

impl Drop for MappedHeader {
    fn drop(&mut self) {
        // SAFETY: mapped by `header`, and nobody refers to it any more.
        unsafe { libc::munmap(self.0.cast(), HEADER_BYTES) };
    }
}

fn map(file: &File, bytes: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh mapping touches no memory of anybody's.
    let base = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(core::ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}

/// This process's black box: its path, mapping, descriptor and process.
static PATH: AtomicPtr<PathBuf> = AtomicPtr::new(core::ptr::null_mut());
static BASE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static BYTES: AtomicUsize = AtomicUsize::new(0);
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicU32 = AtomicU32::new(0);

/// The path of this process's black box, if it has one.
pub(crate) fn own_path() -> Option<&'static Path> {
    let is_ours = OWNER.load(Ordering::Relaxed) == std::process::id();
    // SAFETY: a path, once stored, stays.
    is_ours.then(|| unsafe { PATH.load(Ordering::Relaxed).as_ref() })?.map(PathBuf::as_path)
}

/// Leaves the parent's black box, in a forked child: the pages become copies of the child's own, since a call that
/// forked is still in them, and the descriptor is closed. Both held the lock, which is the parent's.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe fn leave_in_child() {
    let descriptor = DESCRIPTOR.swap(-1, Ordering::AcqRel);
    if descriptor < 0 {
        return;
    }
    let (base, bytes) = (BASE.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let mut path = [0_u8; 32];
    let _ = io::Write::write_fmt(&mut &mut path[..31], format_args!("/proc/self/fd/{descriptor}"));
    // SAFETY: the mapping is replaced by one of the same content (through another description, since a mapping keeps
    // its own alive), or, where `/proc` is not to be had, by one of zeros: both are valid lanes; only this thread runs.
    unsafe {
        let copy = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        let kind = if copy < 0 { libc::MAP_ANONYMOUS } else { 0 };
        libc::mmap(base.cast(), bytes, access, libc::MAP_PRIVATE | libc::MAP_FIXED | kind, copy, 0);
        if copy >= 0 {
            libc::close(copy);
        }
        libc::close(descriptor);
    }
}

/// Removes the file at the end of the process, if all that was committed is written.
pub(crate) fn remove_if_clean() {
    if region::end() == Some(CLEAN)
        && let Some(path) = own_path()
    {
        // SAFETY: zeros are a valid `stat`, which is written to; the descriptor is this process's.
        let ours = unsafe {
            let mut data: libc::stat = core::mem::zeroed();
            (libc::fstat(DESCRIPTOR.load(Ordering::Relaxed), &mut data) == 0)
                .then_some((data.st_dev, data.st_ino))
        };
        let there = std::fs::symlink_metadata(path).map(|data| (data.dev(), data.ino())).ok();
        if there.is_some() && there == ours {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// This process.
fn origin() -> Origin {
    let mut origin =
        Origin { pid: std::process::id(), started: started("self").unwrap_or(0), ..Origin::default() };
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> = boot.into_iter().filter(u8::is_ascii_hexdigit).collect();
    fill(&mut origin.boot, &digits);
    fill(&mut origin.build, env!("CARGO_PKG_VERSION").as_bytes());
    let program = std::fs::read("/proc/self/comm").unwrap_or_default();
    fill(&mut origin.program, program.trim_ascii());
    origin
}

fn fill(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    to[..len].copy_from_slice(&from[..len]);
}

/// When a process began, in the kernel's ticks since boot: its number may be another one's later.
pub(super) fn started(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// More than the log statements of any program come to: a sparse file may say to be of any length.
const MOST_TABLES: u64 = 1 << 28;

/// Whether a region begins here, of this version: what is wrong if not.
pub(super) fn check_start(header: &RegionHeader, len: u64, path: &Path) -> Result<(), BlackBoxError> {
    let path = || path.to_owned();
    let magic = header.magic.load(Ordering::Relaxed);
    if magic != u64::from_le_bytes(MAGIC) {
        let why = match magic {
            _ if len == 0 => "it is empty",
            making if making == u64::from_le_bytes(MAKING) => {
                "a process that was making it has died, and nothing was logged into it"
            }
            _ => "it does not begin as a black box does",
        };
        return Err(BlackBoxError::Foreign { path: path(), why: why.to_owned() });
    }
    if header.version != region::VERSION {
        let build = super::view::text(&header.origin.build);
        return Err(BlackBoxError::Version {
            path: path(),
            found: header.version,
            reads: region::VERSION,
            build,
        });
    }
    let damaged = |what: &str| Err(BlackBoxError::Damaged { path: path(), what: what.to_owned() });
    if len < size_of::<RegionHeader>() as u64 {
        return damaged("it ends within its header");
    }
    if header.header_bytes as usize != size_of::<RegionHeader>() {
        return damaged("its header is not as long as it should be");
    }
    let parts = [header.tables, header.names, header.staging, header.lanes, header.bytes];
    if !parts.is_sorted()
        || header.tables < u64::from(header.header_bytes)
        || header.tables_bytes > header.names - header.tables
    {
        return damaged("its parts do not lie one behind the other");
    }
    if header.tables_bytes > MOST_TABLES {
        return damaged("its tables are longer than any program's");
    }
    if header.names > len {
        return damaged("it ends before its tables do");
    }
    Ok(())
}
