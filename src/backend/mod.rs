//! The backend: starting and stopping the writer, and the promises about what is written by then.
//!
//! Its state is one word (`gate.rs`) that changes under the lock of [`CONTROL`]:
//!
//! ```text
//! Idle --first call--> AutoStarted --start()--> Running --shutdown--> Stopping --> Stopped --start()--> Running
//! Idle ------------------start()--------------> Running
//! ```
//!
//! *Closing the rings* is leaving them: a thread that has a lane may still publish into it after the writer
//! noted its last position. Such records are counted as `after_shutdown` (by the difference of counts,
//! so that nothing is counted both ways), and the next writer skips them. No check on the hot path is
//! needed for that, and no fence between the two sides.

mod builder;
mod exit;
mod fork;
mod presets;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use builder::{Builder, builder};

use crate::clock::{self, Clock};
use crate::cores;
use crate::error::{FlushError, ShutdownError, StartError};
use crate::futex::{self, Held, Lock};
use crate::gate::{self, State};
use crate::sink::ConsoleSink;
use crate::writer::{self, Idle, Outlet, SINKS, Stop, Writer};
use crate::{crash, region, stats, thread, tickets};

/// How long a shutdown may take where nobody says otherwise.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the backend knows of itself.
struct Control {
    writer: Option<JoinHandle<()>>,
    /// Counts the explicit starts, so that an old guard does not stop a new backend.
    generation: u64,
    idle: Idle,
    core: WriterCore,
    clock: Clock,
    hooked: bool,
}

static CONTROL: Lock<Control> = Lock::new(Control {
    writer: None,
    generation: 0,
    idle: Idle::Backoff,
    core: WriterCore::Last,
    clock: Clock::Counter,
    hooked: false,
});

/// The builder's `shutdown_timeout` in ms, which an exit must know without the lock.
static SHUTDOWN_TIMEOUT_MS: AtomicU64 = AtomicU64::new(SHUTDOWN_TIMEOUT.as_millis() as u64);

fn shutdown_timeout() -> Duration {
    Duration::from_millis(SHUTDOWN_TIMEOUT_MS.load(Ordering::Relaxed))
}

/// When the rings were closed, in ns of the monotonic clock.
static CLOSED_AT: AtomicU64 = AtomicU64::new(0);

/// 1 while a writer runs; set to 0, and woken on, when it is gone.
static WRITER_RUNS: AtomicU32 = AtomicU32::new(0);

/// Where the writer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterCore {
    /// On the last core of those that the process may use, if there are more than one.
    Last,
    /// Wherever the scheduler puts it.
    Any,
    Core(usize),
}

/// What was written by a backend that was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Records that the sinks have taken, since the program started.
    pub messages_written: u64,
    /// Records that were dropped, since the program started.
    pub messages_dropped: u64,
}

impl ShutdownReport {
    fn now() -> Self {
        let stats = stats::get_async_stats();
        ShutdownReport { messages_written: stats.messages_written, messages_dropped: stats.messages_dropped }
    }
}

/// Keeps a started backend alive; shuts it down when dropped.
#[must_use = "dropping the guard shuts the backend down: bind it to a name that lives as long as the logging"]
#[derive(Debug)]
pub struct Guard {
    generation: u64,
}

impl Guard {
    /// Shuts the backend down: see [`shutdown_async_backend`].
    ///
    /// # Errors
    /// [`ShutdownError::TimedOut`] when not everything was written in time; the writer goes on.
    pub fn shutdown(self, timeout: Duration) -> Result<ShutdownReport, ShutdownError> {
        let generation = self.generation;
        core::mem::forget(self);
        shutdown(timeout, Some(generation))
    }
}

impl Drop for Guard {
    /// Shuts down within the builder's `shutdown_timeout`. When that does not suffice, it says so in one
    /// line on standard error.
    fn drop(&mut self) {
        if let Err(error) = shutdown(shutdown_timeout(), Some(self.generation)) {
            exit::say(&format!("kakashi: {error}"));
        }
    }
}

/// Sets the state, for this process and for those that look into its black box.
fn set_state(state: State) {
    gate::set_state(state);
    region::show_state(state as u32);
}

/// Makes the rings be taken care of: starts the default backend if nothing was started yet. False when
/// the rings are closed.
pub(crate) fn ensure_open() -> bool {
    loop {
        match gate::state() {
            State::AutoStarted | State::Running => return true,
            State::Stopping | State::Stopped | State::Failed => return false,
            // A sink that logs while a start is giving it what a black box had, with the lock held.
            State::Idle if thread::is_writer() => return false,
            State::Idle => {}
        }
        let mut control = CONTROL.lock();
        if gate::state() != State::Idle {
            continue;
        }
        if let Err(error) = auto_start(&mut control) {
            set_state(State::Failed);
            exit::say(&format!("kakashi: records are dropped: {error}"));
            return false;
        }
    }
}

/// Starts the default backend: text on standard error. In a forked child, the parent's sinks.
fn auto_start(control: &mut Held<'_, Control>) -> Result<(), StartError> {
    prepare(control)?;
    let thread = WriterThread::new()?;
    let mut sinks = SINKS.lock();
    if sinks.is_empty() {
        let sink = ConsoleSink::stderr();
        let name = crate::Sink::name(&sink);
        let outlet = Outlet::new(Box::new(sink), name, Default::default());
        sinks.install(vec![outlet], writer::Config { retry: Default::default(), on_error: None });
    } else {
        sinks.adopt();
    }
    drop(sinks);
    open(control, thread, State::AutoStarted, false);
    Ok(())
}

/// What every backend needs, once per process. A black box has become the region before.
fn prepare(control: &mut Held<'_, Control>) -> Result<(), StartError> {
    hook(control);
    thread::make_key();
    region::ensure().map_err(StartError::Memory)?;
    clock::init(control.clock);
    Ok(())
}

/// Sees to exits and forks: before there is a region, which a child must not share.
fn hook(control: &mut Held<'_, Control>) {
    if !control.hooked {
        control.hooked = true;
        exit::hook();
        fork::hook();
    }
}

/// A thread for the writer, which waits for it; it ends when this is dropped.
///
/// Decision: made before anything is given up for it. A take-over that finds out too late that there can be no thread
/// leaves the calls of threads that have a lane to nobody: they do not look whether a writer runs.
struct WriterThread {
    handle: JoinHandle<()>,
    work: mpsc::Sender<(Box<Writer>, WriterCore)>,
}

impl WriterThread {
    fn new() -> Result<Self, StartError> {
        let (work, comes) = mpsc::channel::<(Box<Writer>, WriterCore)>();
        let _blocked = SignalsBlocked::now();
        let spawned = std::thread::Builder::new().name("kakashi-writer".to_owned()).spawn(move || {
            if let Ok((writer, core)) = comes.recv() {
                run(*writer, core);
            }
        });
        Ok(WriterThread { handle: spawned.map_err(StartError::Thread)?, work })
    }
}

/// The writer's thread, from its work's coming on.
fn run(writer: Writer, core: WriterCore) {
    pin(core);
    if crash::is_armed() {
        crash::unblock_faults();
    }
    // What a sink or the program's error function throws is caught where it is called; this is for
    // a mistake of our own: waiting callers are let go, and it is said.
    if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
        region::totals().workers.store(0, Ordering::Relaxed);
        region::totals().active_workers.store(0, Ordering::Relaxed);
        writer::tenure::abandon();
        set_state(State::Failed);
        exit::say("kakashi: the writer panicked; records are dropped from now on");
    }
    WRITER_RUNS.store(0, Ordering::Release);
    futex::wake_all(&WRITER_RUNS);
}

/// Gives the thread its writer and opens the rings.
fn open(control: &mut Held<'_, Control>, thread: WriterThread, state: State, discard: bool) {
    let writer = Box::new(Writer::new(control.idle, discard));
    writer::ask_to_stop(Stop::No);
    WRITER_RUNS.store(1, Ordering::Release);
    writer::tenure::begin();
    // Calls may publish from here on; the writer, or a recovery, will find them, and can tell their times.
    region::show_clock(writer.clock());
    region::set_end(region::OPEN);
    set_state(state);
    // It waits for this, and for nothing else.
    let _ = thread.work.send((writer, control.core));
    control.writer = Some(thread.handle);
}

fn pin(core: WriterCore) {
    let allowed = cores::allowed();
    match core {
        WriterCore::Core(core) => cores::pin_to(core),
        WriterCore::Last if allowed.len() > 1 => cores::pin_to(allowed[allowed.len() - 1]),
        // A writer that cannot be pinned still writes.
        WriterCore::Last | WriterCore::Any => cores::unpin(),
    }
}

/// Blocks all signals in this thread, so that a thread made meanwhile never takes one.
struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    fn now() -> Self {
        // SAFETY: both sets are written before they are read.
        unsafe {
            let mut all: libc::sigset_t = core::mem::zeroed();
            let mut before: libc::sigset_t = core::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            SignalsBlocked(before)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that was in force.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, core::ptr::null_mut()) };
    }
}

/// Waits until the writer has left. False when the time was over.
fn await_writer(deadline: Option<Instant>) -> bool {
    while WRITER_RUNS.load(Ordering::Acquire) != 0 {
        let Some(left) = futex::remaining(deadline) else { return false };
        futex::wait(&WRITER_RUNS, 1, Some(left));
    }
    true
}

/// The same, and lets go of its thread.
fn join_writer(control: &mut Held<'_, Control>, deadline: Option<Instant>) -> bool {
    if !await_writer(deadline) {
        return false;
    }
    if let Some(handle) = control.writer.take() {
        // The thread has nothing left to do but to end.
        let _ = handle.join();
    }
    true
}

/// Waits until every record whose call happened before, on any thread, was taken by every live sink.
///
/// Nothing is discarded when it fails. After a shutdown, and before anything was logged, it is `Ok`.
///
/// # Errors
/// [`FlushError::TimedOut`] with the number of records still unwritten, [`FlushError::WouldDeadlock`] on
/// the writer's own thread, [`FlushError::Sink`] when no sink is alive.
///
/// ```
/// use std::time::Duration;
/// kakashi::info!("about to do something dangerous");
/// kakashi::flush(Duration::from_secs(1))?;
/// # Ok::<(), kakashi::FlushError>(())
/// ```
pub fn flush(timeout: Duration) -> Result<(), FlushError> {
    tickets::flush(timeout, false)
}

/// As [`flush()`], and every sink has made it durable: for a file, `fdatasync` returned.
///
/// # Errors
/// As [`flush()`], and [`FlushError::Sink`] with the error of a sink that could not sync.
pub fn sync(timeout: Duration) -> Result<(), FlushError> {
    tickets::flush(timeout, true)
}

/// Has all [`FileSink`](crate::FileSink)s open their paths anew, and waits until they have: from then on nothing is written
/// to a file that was renamed before. For `logrotate`'s `postrotate` and the like; see also
/// [`request_reopen`](crate::request_reopen), which does not wait.
///
/// # Errors
/// As [`flush()`]. A file that cannot be opened is no error here: the log goes on in the one it has, `on_error` is told, and
/// it is tried again each second.
pub fn reopen(timeout: Duration) -> Result<(), FlushError> {
    crate::sink::request_reopen();
    tickets::flush(timeout, false)
}

/// Closes the rings, writes what is in them and stops the writer.
///
/// Calls that come later are dropped and counted as `after_shutdown`; a call that overlaps the closing is
/// written or counted, never both. Calling it again, or when nothing was started, is fine. After it,
/// [`Builder::start`] works again.
///
/// # Errors
/// [`ShutdownError::TimedOut`] with the number of records still unwritten: the writer goes on, the state
/// is `Stopping`, and calling it again waits again. [`ShutdownError::WouldDeadlock`] on the writer's own
/// thread.
pub fn shutdown_async_backend(timeout: Duration) -> Result<ShutdownReport, ShutdownError> {
    shutdown(timeout, None)
}

fn shutdown(timeout: Duration, generation: Option<u64>) -> Result<ShutdownReport, ShutdownError> {
    if thread::is_writer() {
        return Err(ShutdownError::WouldDeadlock);
    }
    let deadline = futex::deadline(timeout);
    let timed_out = || ShutdownError::TimedOut { unwritten: stats::stats().queue_size() };
    let Some(mut control) = CONTROL.lock_until(deadline) else {
        return Err(timed_out());
    };
    if generation.is_some_and(|generation| generation != control.generation) {
        return Ok(ShutdownReport::now());
    }
    match gate::state() {
        State::Idle | State::Stopped | State::Failed => return Ok(ShutdownReport::now()),
        State::AutoStarted | State::Running => {
            CLOSED_AT.store(clock::monotonic_ns(), Ordering::Relaxed);
            set_state(State::Stopping);
            writer::ask_to_stop(Stop::Close);
        }
        State::Stopping => {}
    }
    if !join_writer(&mut control, deadline) {
        return Err(timed_out());
    }
    crash::disarm();
    set_state(State::Stopped);
    Ok(ShutdownReport::now())
}
