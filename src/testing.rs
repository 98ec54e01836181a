//! For tests: the records of one thread, while others log as well.
//!
//! `cargo test` runs tests in threads of one process, which has one backend. A sink is given each line behind the
//! kernel's number of the thread that logged it, which no two threads have at a time, and hands the line to the captures
//! that name that number.
#![forbid(unsafe_code)]

use core::marker::PhantomData;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::backend::{Builder, Guard, builder, flush};
use crate::error::StartError;
use crate::format::Format;
use crate::level::LevelFilter;
use crate::sink::{Sink, SinkOptions};
use crate::thread;

/// Longer than a flush takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those that are under way.
static CAPTURES: Mutex<Vec<Arc<Captured>>> = Mutex::new(Vec::new());

#[derive(Debug, Default)]
struct Captured {
    /// The threads whose lines it takes, as often as they are named.
    threads: Mutex<Vec<u32>>,
    lines: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A type that stays with its thread, and may be looked at from others.
type OfItsThread = PhantomData<MutexGuard<'static, ()>>;

/// Begins to keep what the calling thread logs. The first capture of the process starts the backend
/// ([`Builder::testing`]), which goes on for all; a test that needs other settings starts
/// [`Builder::testing`] with them before.
///
/// What it cannot do: see the lines of threads that were not [included](Capture::include), show a record below the
/// global level or off by a filter (both are the whole process's, as another test may have set them), or show one that
/// was dropped (`kakashi::get_async_stats().dropped` counts those).
///
/// # Panics
/// When another backend runs, which was not made by [`Builder::testing`], or none can be started.
///
/// ```
/// let capture = kakashi::testing::capture();
/// kakashi::info!("filled {} @ {:.2}", 7, 101.25, user_id = 123);
/// capture.assert_logged("filled 7 @ 101.25 user_id=123");
/// assert_eq!(capture.lines().len(), 1);
/// ```
#[must_use = "a capture ends when it is dropped"]
#[track_caller]
pub fn capture() -> Capture {
    ensure_started();
    let captured = Arc::new(Captured::default());
    lock(&CAPTURES).push(captured.clone());
    let capture = Capture { captured, _of_its_thread: PhantomData };
    capture.name_current();
    capture
}

/// What a thread has logged since its [`capture`] began. It ends when this is dropped.
#[derive(Debug)]
pub struct Capture {
    captured: Arc<Captured>,
    _of_its_thread: OfItsThread,
}

impl Capture {
    /// The lines so far, in the thread's order, as [`Format::Text`] has them, without line ends. Flushes first.
    ///
    /// # Panics
    /// When the backend was shut down, or does not write within a minute.
    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        written();
        lock(&self.captured.lines).clone()
    }

    /// The same as one text, a line end behind each line.
    ///
    /// # Panics
    /// As [`lines`](Capture::lines).
    #[track_caller]
    pub fn text(&self) -> String {
        self.lines().into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    /// Asserts that a line has `part` in it.
    ///
    /// # Panics
    /// When none has, with all that were captured; and as [`lines`](Capture::lines).
    #[track_caller]
    pub fn assert_logged(&self, part: &str) {
        let text = self.text();
        assert!(text.lines().any(|line| line.contains(part)), "not logged: {part:?}; captured:\n{text}");
    }

    /// Captures what the calling thread, another one, logs from now on, until what this gives is dropped. With it, lines
    /// of several threads are in the order of the log.
    ///
    /// # Panics
    /// As [`lines`](Capture::lines).
    ///
    /// ```
    /// let capture = kakashi::testing::capture();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         let _included = capture.include();
    ///         kakashi::info!("from a helper");
    ///     });
    /// });
    /// capture.assert_logged("from a helper");
    /// ```
    #[must_use = "the thread is included until this is dropped"]
    #[track_caller]
    pub fn include(&self) -> Included<'_> {
        self.name_current();
        Included { captured: &self.captured, _of_its_thread: PhantomData }
    }

    /// From the next record of the calling thread on: what came before, of this thread or an earlier one of its number,
    /// is written first.
    #[track_caller]
    fn name_current(&self) {
        written();
        lock(&self.captured.threads).push(thread::current().tid);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        lock(&CAPTURES).retain(|other| !Arc::ptr_eq(other, &self.captured));
    }
}

/// A further thread of a [`Capture`], by [`Capture::include`].
#[derive(Debug)]
pub struct Included<'a> {
    captured: &'a Captured,
    _of_its_thread: OfItsThread,
}

impl Drop for Included<'_> {
    fn drop(&mut self) {
        // Before the thread's number can be another one's. A failure is told by the next `lines`.
        let _ = flush(PATIENCE);
        let (tid, mut threads) = (thread::current().tid, lock(&self.captured.threads));
        if let Some(at) = threads.iter().position(|&other| other == tid) {
            threads.swap_remove(at);
        }
    }
}

#[track_caller]
fn written() {
    if let Err(error) = flush(PATIENCE) {
        panic!("what was logged could not be captured: {error}");
    }
}

/// Whether a backend with the sink was started.
static IS_CAPTURED: OnceLock<()> = OnceLock::new();

#[track_caller]
fn ensure_started() {
    static GUARD: OnceLock<Result<Option<Guard>, StartError>> = OnceLock::new();
    let started = GUARD.get_or_init(|| match Builder::testing().start() {
        Ok(guard) => Ok(Some(guard)),
        Err(StartError::AlreadyRunning) if IS_CAPTURED.get().is_some() => Ok(None),
        Err(error) => Err(error),
    });
    if let Err(error) = started {
        panic!("a capture needs a backend that was made by `Builder::testing`: {error}");
    }
}

impl Builder {
    /// For tests: what [`capture`] reads, which starts it by itself. Of use by hand where a test needs other settings,
    /// in the place of the process that comes first. Methods called on it change it, and sinks add up.
    ///
    /// | setting | value |
    /// |---|---|
    /// | [`level`](Builder::level) | trace |
    /// | [`sink_with`](Builder::sink_with) | one that keeps the lines of the threads that are captured, and no others |
    ///
    /// ```
    /// use kakashi::{Builder, LevelFilter};
    ///
    /// let _guard = Builder::testing().level(LevelFilter::Info).start()?;
    /// let capture = kakashi::testing::capture();
    /// kakashi::debug!("not seen");
    /// assert!(capture.lines().is_empty());
    /// # Ok::<(), kakashi::StartError>(())
    /// ```
    pub fn testing() -> Builder {
        let text = "{thread_id} {time} {level:<5} {logger} {file}:{line} [{thread}] {message}{fields}";
        // Known to be a pattern; text has no number in front, and its lines would be nobody's.
        let format = Format::pattern(text).unwrap_or_default();
        builder().level(LevelFilter::Trace).sink_with(ByThread, SinkOptions::default().format(format))
    }
}

/// Hands lines to the captures of their threads.
struct ByThread;

impl Sink for ByThread {
    fn open(&mut self) -> io::Result<()> {
        let _ = IS_CAPTURED.set(());
        Ok(())
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let captures = lock(&CAPTURES);
        if captures.is_empty() {
            return Ok(bytes.len());
        }
        for line in String::from_utf8_lossy(bytes).split_terminator('\n') {
            let Some((tid, line)) = line.split_once(' ') else { continue };
            let Ok(tid) = tid.parse() else { continue };
            for captured in captures.iter() {
                if lock(&captured.threads).contains(&tid) {
                    lock(&captured.lines).push(line.to_owned());
                }
            }
        }
        Ok(bytes.len())
    }
}
