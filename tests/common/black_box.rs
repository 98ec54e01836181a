//! What the tests of black boxes share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kakashi::{FileSink, Place, Sink};

use super::Directory;

const HOUR: Duration = Duration::from_secs(3600);

/// The files of a test: the box on tmpfs, the log, and the numbers whose calls have returned.
pub struct Files {
    pub directory: Directory,
    pub black_box: PathBuf,
}

impl Files {
    pub fn new() -> Self {
        remove_left();
        let directory = Directory::new();
        let name = directory.file("box").parent().and_then(Path::file_name).map(std::ffi::OsStr::to_owned);
        let name = name.unwrap_or_default();
        let black_box = Path::new("/dev/shm").join(format!("{}.box", name.to_string_lossy()));
        let _ = std::fs::remove_file(&black_box);
        std::fs::write(directory.file("box"), black_box.as_os_str().as_encoded_bytes())
            .expect("it is written");
        Files { directory, black_box }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.file("")
    }

    pub fn log(&self) -> PathBuf {
        self.directory.file("log")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.black_box);
        let _ = std::fs::remove_file(self.black_box.with_extension("copy"));
    }
}

/// Removes what tests that were killed have left on the tmpfs, where it is memory: theirs whose process is gone, and, since
/// that may be in another container, only what is an hour old.
fn remove_left() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for left in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = left.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("kakashi-test-")?.split('-').next());
            let is_old = || left.metadata().ok()?.modified().ok()?.elapsed().ok().map(|age| age >= HOUR);
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) && is_old() == Some(true) {
                let _ = std::fs::remove_file(left.path());
            }
        }
    });
}

/// Completes the log of a box. The lock of who had it just now may live on for a moment, in a child that another test is
/// about to start.
pub fn complete(path: &Path) -> Result<kakashi::__box::Report, kakashi::BlackBoxError> {
    loop {
        match kakashi::__box::complete(path) {
            Err(kakashi::BlackBoxError::InUse { .. }) => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// The box of a scenario, which lies in a directory.
pub fn box_of(directory: &str) -> PathBuf {
    let bytes = std::fs::read(Path::new(directory).join("box")).expect("the test has named the box");
    String::from_utf8(bytes).expect("it is UTF-8").into()
}

pub fn log_of(directory: &str) -> PathBuf {
    Path::new(directory).join("log")
}

/// Numbers in memory that outlives the process which counts.
pub struct Counts(*mut AtomicU64);

// SAFETY: atomics.
unsafe impl Sync for Counts {}

impl Counts {
    pub fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.expect("the counts can be opened");
        file.set_len(4096).expect("there is room");
        // SAFETY: a fresh shared mapping of a page that is there.
        let base = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        Counts(base.cast())
    }

    pub fn of(&self, at: usize) -> &AtomicU64 {
        assert!(at < 8);
        // SAFETY: within the page.
        unsafe { &*self.0.add(at * 8) }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        // SAFETY: mapped by `open`.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Takes nothing, and never says so.
pub struct Hanging(pub FileSink);

impl Sink for Hanging {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}
