//! Configuring and starting a backend.
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    CONTROL, Guard, SHUTDOWN_TIMEOUT, SHUTDOWN_TIMEOUT_MS, WRITER_RUNS, WriterCore, WriterThread, hook,
    join_writer, open, prepare,
};
use crate::blackbox::{self, Content, FileSizeLimit};
use crate::clock::{self, Clock};
use crate::cores;
use crate::error::{BlackBoxError, StartError};
use crate::filter::{Filter, FilterError};
use crate::futex;
use crate::gate::{self, State};
use crate::journal::MAX_SINKS;
use crate::level::LevelFilter;
use crate::sink::{ConsoleSink, Retry, Sink, SinkOptions};
use crate::writer::{self, Config, Idle, OnError, Outlet, SINKS, Stop};
use crate::{crash, logger, region, thread};

/// A backend to be started. Made by [`builder`].
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    level: Option<LevelFilter>,
    filter: Option<Filter>,
    backtrace: Option<(LevelFilter, usize)>,
    #[cfg(feature = "log")]
    log_facade: bool,
    sinks: Vec<(Box<dyn Sink>, SinkOptions)>,
    core: WriterCore,
    idle: Idle,
    clock: Clock,
    shutdown_timeout: Duration,
    retry: Retry,
    on_error: Option<OnError>,
    /// The path, and whether it may lie on a disk.
    black_box: Option<(PathBuf, bool)>,
    crash_handler: bool,
    panic_hook: bool,
}

/// A backend with the default settings: level `Info`, text on standard error if no sink is added, the writer
/// on the last core and sleeping when idle.
///
/// ```
/// use std::time::Duration;
/// use kakashi::{ConsoleSink, FileSink, LevelFilter, SinkOptions};
///
/// # let dir = std::env::temp_dir().join(format!("kakashi-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("app.log");
/// let guard = kakashi::builder()
///     .level(LevelFilter::Debug)
///     .sink(FileSink::append(&path))
///     .sink_with(ConsoleSink::stderr(), SinkOptions::default().level(LevelFilter::Error))
///     .shutdown_timeout(Duration::from_secs(2))
///     .start()?;
/// kakashi::debug!("started");
/// guard.shutdown(Duration::from_secs(2))?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn builder() -> Builder {
    Builder {
        level: None,
        filter: None,
        backtrace: None,
        #[cfg(feature = "log")]
        log_facade: false,
        sinks: Vec::new(),
        core: WriterCore::Last,
        idle: Idle::Backoff,
        clock: Clock::Counter,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
        retry: Retry::default(),
        on_error: None,
        black_box: None,
        crash_handler: false,
        panic_hook: false,
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("level", &self.level)
            .field("filter", &self.filter)
            .field("sinks", &self.sinks.iter().map(|(sink, _)| sink.name()).collect::<Vec<_>>())
            .field("core", &self.core)
            .field("idle", &self.idle)
            .field("clock", &self.clock)
            .field("backtrace", &self.backtrace)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("retry", &self.retry)
            .field("black_box", &self.black_box)
            .field("crash_handler", &self.crash_handler)
            .field("panic_hook", &self.panic_hook)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the global level; see [`set_level`](crate::set_level). Left as it is when not called.
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets which records are written, by level and target; see [`set_filter`](crate::set_filter). Its bare level counts
    /// rather than [`level`](Builder::level). Left as it is when not called.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// The same, read from a variable of the environment; nothing is changed when there is no such variable.
    ///
    /// # Errors
    /// [`FilterError`] when what the variable holds is no filter.
    ///
    /// ```
    /// let guard = kakashi::builder().filter_from_env("KAKASHI_LOG")?.start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter_from_env(self, variable: &str) -> Result<Self, FilterError> {
        let Some(text) = std::env::var_os(variable) else { return Ok(self) };
        let filter = match text.to_str() {
            Some(text) => text.parse(),
            None => Err(FilterError::not_unicode(text.to_string_lossy().into_owned())),
        };
        Ok(self.filter(filter.map_err(|error| error.of_variable(variable))?))
    }

    /// Holds back records that are not logged otherwise, and writes them when they are of use: of each thread the last
    /// `records` ones of `level` or more severe, in front of the next record of [`Level::Error`](crate::Level::Error) that
    /// the thread logs. Default: none, or what [`set_backtrace`](crate::set_backtrace) has set.
    ///
    /// ```
    /// use kakashi::{LevelFilter, debug, error, info};
    ///
    /// # let sink = kakashi::MemorySink::new();
    /// let guard = kakashi::builder().backtrace(LevelFilter::Debug, 32).sink(sink.clone()).start()?;
    /// debug!("connecting to {}", "10.0.0.7"); // kept in memory
    /// info!("ready");
    /// debug!("read {} bytes", 0);
    /// error!("connection lost"); // written, the two of `debug!` in front of it
    /// # guard.shutdown(std::time::Duration::from_secs(1))?;
    /// # let text = sink.text();
    /// # let found: Vec<_> = ["ready", "connecting", "read 0", "lost"].iter().map(|part| text.find(part).unwrap()).collect();
    /// # assert!(found.is_sorted());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Their lines have the time at which they were made, so that they stand behind younger ones, and count as
    /// [`late`](crate::AsyncStats::late). A thread's error lets all channels write what it holds back there; so does its
    /// panic with the [`panic_hook`](Builder::panic_hook), and its fault or `abort` with the
    /// [`crash_handler`](Builder::crash_handler). Each channel holds back by itself, at most 64 KiB. What a thread holds back when it ends is gone.
    ///
    /// When the process dies, whatever way, what its threads hold back is in the [`black_box`](Builder::black_box): a
    /// recovery brings it into the log with the other records, and says how many they are. `kakashi backtrace PATH|PID`
    /// prints what the threads of a process hold back now, also while it runs, or hangs. Without a box it is gone, as at the process's own end.
    ///
    /// What is [off](LevelFilter::Off) by its target is not held back, and neither is what a thread without a
    /// ring of its own logs, or a signal handler in the middle of a call.
    ///
    /// A call that is held back is evaluated and costs about what one costs that is written; the writer has no work with it. Other calls
    /// read the clock in a less direct way meanwhile. See the benchmark report.
    pub fn backtrace(mut self, level: LevelFilter, records: usize) -> Self {
        self.backtrace = Some((level, records));
        self
    }

    /// Makes this backend the logger of the `log` crate; see [`log_facade`](crate::log_facade). Default: off.
    #[cfg(feature = "log")]
    pub fn log_facade(mut self, on: bool) -> Self {
        self.log_facade = on;
        self
    }

    /// Adds a sink that gets every record, as text. At most 8 sinks.
    pub fn sink(self, sink: impl Sink) -> Self {
        self.sink_with(sink, SinkOptions::default())
    }

    /// Adds a sink with options of its own.
    pub fn sink_with(mut self, sink: impl Sink, options: SinkOptions) -> Self {
        self.sinks.push((Box::new(sink), options));
        self
    }

    /// Pins the writer to a core, or leaves it to the scheduler (`None`). Default: the last core of those
    /// that the process could use when it began, if there are more than one.
    pub fn writer_core(mut self, core: Option<usize>) -> Self {
        self.core = core.map_or(WriterCore::Any, WriterCore::Core);
        self
    }

    /// Sets how the writer waits for records. Default: [`Idle::Backoff`].
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// Sets how a log call reads the time. Default: [`Clock::Counter`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long the exit of the program, and the drop of the guard, wait for what is queued to be
    /// written. Default: 5 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Sets how failing sinks are tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets a function that is told of each failure of a sink. It is called on the writer's thread: it may
    /// log (such a call never waits), and it must not wait for the backend.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }

    /// Puts rings and staging into the file at `path`, which outlives the process: no record whose call has returned is
    /// lost to a crash, an abort or `kill -9`. It must lie on tmpfs, as `/dev/shm/app.box` does, and belong to one process.
    ///
    /// A box that a dead process has left there is recovered first: what its log has not got goes into the sinks, and a
    /// line says so. For a [`FileSink`](crate::FileSink) on a regular file to which nobody else appends, each record is in
    /// the file exactly once; elsewhere at least once. `kakashi recover` does the same by hand. A sink that does not take
    /// them is waited for as long as the limit of [`retry`](Builder::retry); then `start` fails, and the box keeps what it holds.
    ///
    /// The file takes the memory that the channels can come to, at once, so that a log call never finds the file
    /// system full. It is removed when the process exits with everything written. Log calls cost what they cost without.
    ///
    /// It survives the process, not the machine: what must survive that, [`sync`](crate::sync()).
    pub fn black_box(mut self, path: impl AsRef<Path>) -> Self {
        self.black_box = Some((path.as_ref().to_owned(), false));
        self
    }

    /// The same on any file system. On a disk, a log call that touches a page which the kernel is just writing back waits
    /// for the disk: milliseconds.
    pub fn black_box_on_disk(mut self, path: impl AsRef<Path>) -> Self {
        self.black_box = Some((path.as_ref().to_owned(), true));
        self
    }

    /// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM and SIGINT, which get the records out
    /// before the process dies. Default: off.
    ///
    /// Guaranteed, for records whose call returned before the signal was raised: they are in every
    /// [`FileSink`](crate::FileSink) and [`ConsoleSink`](crate::ConsoleSink) that wants them, once each, in order per
    /// thread, with a line behind them that names signal and thread. The writer has 500 ms for that, and for the
    /// other sinks, too; if it hangs or is itself the one that crashed, the handler writes to the
    /// descriptors of those two kinds of sink. Then what was there before happens: the earlier handler is called, or
    /// the default action ends the process by the same signal, with its core.
    ///
    /// With a [`black_box`](Builder::black_box) it only asks the writer: what that one does not write, the box has.
    /// At a fault or an abort, what the thread [holds back](Builder::backtrace) is written, too, as far as there is room.
    ///
    /// Not guaranteed: records of calls that overlap or follow the signal (other threads go on); sinks of other kinds,
    /// when the writer hangs or has crashed; a descriptor that the writer itself hangs in gets that batch
    /// twice, or not at all when it still does not take it; what a corrupted memory did to the records.
    ///
    /// A handler that the program installs *after* `start()` is the program's, and ours is not called unless that one
    /// calls it. SIGABRT, SIGTERM and SIGINT that are ignored stay ignored. The old actions return with a
    /// shutdown. A thread that overflows its stack needs an alternate one: threads made by Rust's `std` have it, and
    /// `start()` gives one to its own thread; others need a `sigaltstack` of their own.
    ///
    /// ```
    /// let guard = kakashi::builder().crash_handler(true).panic_hook(true).start()?;
    /// # Ok::<(), kakashi::StartError>(())
    /// ```
    pub fn crash_handler(mut self, on: bool) -> Self {
        self.crash_handler = on;
        self
    }

    /// Adds to the panic hook, once per process, a flush before and after the hook that was there, of at most
    /// 500 ms together: also a panic that aborts the process gets its records out, with those that the panicking thread
    /// [holds back](Builder::backtrace). Default: off.
    ///
    /// It logs nothing itself, and does nothing on the writer's thread or when no backend runs. A panic that
    /// is caught pays for the flush, too; one within a panic hook aborts without a hook, which is the
    /// [`crash_handler`](Builder::crash_handler)'s.
    pub fn panic_hook(mut self, on: bool) -> Self {
        self.panic_hook = on;
        self
    }

    /// Opens the sinks and starts the writer. A default backend that a first call has started hands over:
    /// nothing is lost or written twice.
    ///
    /// # Errors
    /// [`StartError`] says what, where and what to do. After an error, what ran before goes on; but the sinks are
    /// opened one after the other, so a file that [`FileSink::create`](crate::FileSink::create) opened is empty.
    pub fn start(mut self) -> Result<Guard, StartError> {
        refuse_if_running()?;
        self.check_core()?;
        if self.sinks.is_empty() {
            self = self.sink(ConsoleSink::stderr());
        }
        let (config, level) = (Config { retry: self.retry, on_error: self.on_error }, self.level);
        // Opened without the lock: `open` is code of the user's, and may log.
        let mut outlets = open_all(self.sinks)?;

        let patience = futex::deadline(self.shutdown_timeout);
        // Held for long by a shutdown with a long time-out only.
        let mut control = CONTROL.lock_until(patience).ok_or(StartError::StillStopping)?;
        refuse_if_running()?;
        if let Some((path, on_disk)) = &self.black_box {
            hook(&mut control);
            enter_black_box(path, *on_disk, &mut outlets, &config.retry)?;
        }
        prepare(&mut control)?;
        let thread = WriterThread::new()?;
        #[cfg(feature = "log")]
        if self.log_facade {
            crate::log_facade::init().map_err(|_| StartError::OtherLogger)?;
        }
        let before = gate::state();
        match before {
            State::AutoStarted => {
                writer::ask_to_stop(Stop::HandOver);
                if !join_writer(&mut control, patience) {
                    if writer::take_back() {
                        // It goes on as it was, and so do the calls.
                        return Err(StartError::StillStopping);
                    }
                    join_writer(&mut control, None);
                }
            }
            State::Stopping if !join_writer(&mut control, futex::deadline(Duration::ZERO)) => {
                return Err(StartError::StillStopping);
            }
            _ => {}
        }
        control.clock = self.clock;
        clock::init(self.clock);
        SINKS.lock().install(outlets, config);
        control.generation += 1;
        SHUTDOWN_TIMEOUT_MS
            .store(self.shutdown_timeout.as_millis().min(u64::MAX.into()) as u64, Ordering::Relaxed);
        control.idle = self.idle;
        control.core = self.core;
        if let Some(level) = level {
            logger::set_level(level);
        }
        if let Some(filter) = self.filter {
            logger::set_filter(filter);
        }
        if let Some((level, records)) = self.backtrace {
            logger::set_backtrace(level, records);
        }
        if self.panic_hook {
            crash::panic::install();
        }
        if self.crash_handler {
            crash::arm();
        } else {
            // An earlier backend's, whose shutdown ran out of time.
            crash::disarm();
        }
        open(&mut control, thread, State::Running, matches!(before, State::Stopped | State::Stopping));
        Ok(Guard { generation: control.generation })
    }

    fn check_core(&self) -> Result<(), StartError> {
        let WriterCore::Core(core) = self.core else { return Ok(()) };
        let allowed = cores::allowed();
        if allowed.contains(&core) { Ok(()) } else { Err(StartError::WriterCore { core, allowed }) }
    }
}

fn refuse_if_running() -> Result<(), StartError> {
    match gate::state() {
        State::Running => Err(StartError::AlreadyRunning),
        _ if writer::tenure::is_taken() => Err(StartError::StillStopping),
        State::Stopping if WRITER_RUNS.load(Ordering::Acquire) != 0 => Err(StartError::StillStopping),
        _ if thread::is_writer() => Err(StartError::AlreadyRunning),
        _ => Ok(()),
    }
}

/// Recovers what stands in the black box, and makes it the region. A process has one box, from before its first call on.
fn enter_black_box(
    path: &Path,
    on_disk: bool,
    outlets: &mut [Outlet],
    retry: &Retry,
) -> Result<(), BlackBoxError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let own = blackbox::own_path();
    if own == Some(&absolute) {
        return Ok(());
    }
    if region::exists() {
        return Err(BlackBoxError::TooLate { path: path.to_owned(), other: own.map(Path::to_owned) });
    }
    let _limit = FileSizeLimit::is_an_error();
    let claimed = blackbox::claim(path, on_disk)?;
    if let Content::Left = claimed.content()? {
        let mut targets: Vec<_> = outlets.iter_mut().map(Outlet::target).collect();
        thread::as_writer(|| claimed.recover(&mut targets, retry))?;
    }
    claimed.lay_out()
}

/// Opens the sinks in order; those opened are closed again when one fails.
fn open_all(sinks: Vec<(Box<dyn Sink>, SinkOptions)>) -> Result<Vec<Outlet>, StartError> {
    if sinks.len() > MAX_SINKS {
        return Err(StartError::TooManySinks { given: sinks.len(), most: MAX_SINKS });
    }
    let mut identities = Vec::new();
    let mut outlets = Vec::with_capacity(sinks.len());
    for (mut sink, options) in sinks {
        let name = sink.name();
        let duplicate = || StartError::DuplicateSink { path: PathBuf::from(&name) };
        if sink.identity().is_some_and(|identity| identities.contains(&identity)) {
            return Err(duplicate());
        }
        options
            .check_filter()
            .map_err(|why| std::io::Error::new(std::io::ErrorKind::InvalidInput, why))
            .and_then(|()| sink.open())
            .map_err(|source| StartError::Sink { path: PathBuf::from(&name), source })?;
        if let Some(identity) = sink.identity() {
            if identities.contains(&identity) {
                return Err(duplicate());
            }
            identities.push(identity);
        }
        outlets.push(Outlet::new(sink, name, options));
    }
    Ok(outlets)
}
