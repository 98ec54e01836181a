//! What can go wrong, and what a caller is told of it.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;
use std::{error, fmt, io};

/// Why a backend could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A backend that was started by `start()` runs already. Shut it down first.
    AlreadyRunning,
    /// The previous backend's writer is not gone yet: a shutdown has timed out, or is under way, or the default
    /// backend did not hand over in time. Try again later.
    StillStopping,
    /// A sink could not be opened.
    Sink {
        /// The file it was to write to, or the sink's type where it has no path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Two sinks write to the same file.
    DuplicateSink {
        /// The file of the second one, or the sink's type where it has no path.
        path: PathBuf,
    },
    /// There are more sinks than a backend can have.
    TooManySinks {
        /// How many were given.
        given: usize,
        /// How many there can be.
        most: usize,
    },
    /// The core that the writer was to be pinned to is not one that this process may use.
    WriterCore {
        /// The core that was asked for.
        core: usize,
        /// The cores that there are.
        allowed: Vec<usize>,
    },
    /// There is no address space for the region that holds the rings.
    Memory(io::Error),
    /// The writer thread could not be made.
    Thread(io::Error),
    /// The black box could not be made, or what stands in it could not be brought into the log.
    BlackBox(BlackBoxError),
    /// The `log` crate has another logger already, and can have one only.
    OtherLogger,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::AlreadyRunning => f.write_str(
                "a backend runs already in this process: shut it down before starting another one",
            ),
            StartError::StillStopping => {
                f.write_str("the previous backend is still stopping: try again when its writer is gone")
            }
            StartError::Sink { path, source } => {
                write!(f, "cannot open the log sink `{}`: {source}", path.display())
            }
            StartError::DuplicateSink { path } => {
                write!(f, "two sinks write to `{}`: give each sink a file of its own", path.display())
            }
            StartError::TooManySinks { given, most } => {
                write!(f, "{given} sinks were given, and at most {most} can be")
            }
            StartError::WriterCore { core, allowed } => {
                write!(f, "the writer cannot be pinned to core {core}: this process may use {allowed:?}")
            }
            StartError::Memory(source) => write!(f, "cannot reserve the memory of the rings: {source}"),
            StartError::Thread(source) => write!(f, "cannot start the writer thread: {source}"),
            StartError::BlackBox(source) => write!(f, "{source}"),
            StartError::OtherLogger => f.write_str(
                "the `log` crate has another logger already: install none, or leave `log_facade` out",
            ),
        }
    }
}

impl error::Error for StartError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            StartError::Sink { source, .. } | StartError::Memory(source) | StartError::Thread(source) => {
                Some(source)
            }
            StartError::BlackBox(source) => source.source(),
            _ => None,
        }
    }
}

/// What is wrong with a black box.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlackBoxError {
    /// The process has logged before, so that its rings lie elsewhere.
    TooLate {
        /// The file that was asked for.
        path: PathBuf,
        /// The file that is the process's black box already, if there is one.
        other: Option<PathBuf>,
    },
    /// The system refuses.
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done to it.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file does not lie on a file system in memory.
    NotOnTmpfs {
        /// The file.
        path: PathBuf,
    },
    /// There is no room for it.
    Space {
        /// The file.
        path: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A process lives in it.
    InUse {
        /// The file.
        path: PathBuf,
        /// The process, as it numbers itself.
        pid: u32,
    },
    /// The file is none of ours.
    Foreign {
        /// The file.
        path: PathBuf,
        /// How one sees that.
        why: String,
    },
    /// Another version of the crate has made it.
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout's number.
        found: u32,
        /// The number that this version reads.
        reads: u32,
        /// The version of the crate that has made it.
        build: String,
    },
    /// What stands in it cannot be.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What that is.
        what: String,
    },
    /// A sink did not take what was left in it. Nothing is lost: it still stands there.
    Recovery {
        /// The black box.
        path: PathBuf,
        /// The sink's name.
        sink: String,
        /// The sink's error.
        source: io::Error,
    },
}

impl fmt::Display for BlackBoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlackBoxError::TooLate { path, other: None } => write!(
                f,
                "the black box `{}` comes too late: this process has logged already, and its rings lie elsewhere; \
                 start the backend before the first log call",
                path.display()
            ),
            BlackBoxError::TooLate { path, other: Some(other) } => write!(
                f,
                "the black box cannot be `{}`: this process has one already, `{}`, for as long as it lives",
                path.display(),
                other.display()
            ),
            BlackBoxError::Io { path, doing, source } => {
                write!(f, "cannot {doing} the black box `{}`: {source}", path.display())
            }
            BlackBoxError::NotOnTmpfs { path } => write!(
                f,
                "the black box `{}` is not on a file system in memory, so that log calls would wait for the disk: put \
                 it under /dev/shm, or ask for `black_box_on_disk`",
                path.display()
            ),
            BlackBoxError::Space { path, needed, source } => write!(
                f,
                "there is no room for the black box `{}`, which takes {} MiB: {source}; make its file system larger, \
                 or the program's channels smaller",
                path.display(),
                needed.div_ceil(1 << 20)
            ),
            BlackBoxError::InUse { path, pid } => write!(
                f,
                "process {pid} lives in the black box `{}`: give each process one of its own",
                path.display()
            ),
            BlackBoxError::Foreign { path, why } => {
                write!(f, "`{}` is not a black box of ours: {why}", path.display())
            }
            BlackBoxError::Version { path, found, reads, build } => write!(
                f,
                "the black box `{}` was made by version {build} of kakashi-log, with layout {found}, and this one \
                 reads layout {reads}: recover it with the `kakashi` of that version, or remove it",
                path.display()
            ),
            BlackBoxError::Damaged { path, what } => {
                write!(
                    f,
                    "the black box `{}` is damaged: {what} (to start without what it holds, move it away)",
                    path.display()
                )
            }
            BlackBoxError::Recovery { path, sink, source } => write!(
                f,
                "the sink `{sink}` does not take what the black box `{}` holds: {source}; nothing is lost, it still \
                 stands there",
                path.display()
            ),
        }
    }
}

impl error::Error for BlackBoxError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            BlackBoxError::Io { source, .. }
            | BlackBoxError::Space { source, .. }
            | BlackBoxError::Recovery { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<BlackBoxError> for StartError {
    fn from(error: BlackBoxError) -> Self {
        StartError::BlackBox(error)
    }
}

/// Why a flush did not succeed. Nothing is discarded by a flush that fails.
#[derive(Debug)]
#[non_exhaustive]
pub enum FlushError {
    /// The time was over.
    TimedOut {
        /// Records that were not yet written, at that moment.
        unwritten: u64,
    },
    /// Called from the writer's own thread (by a sink), which would have to wait for itself.
    WouldDeadlock,
    /// A sink could not sync, or no sink is alive.
    Sink(io::Error),
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushError::TimedOut { unwritten } => {
                write!(
                    f,
                    "the flush timed out with {unwritten} records not yet written (nothing is discarded)"
                )
            }
            FlushError::WouldDeadlock => {
                f.write_str("a flush from the writer's own thread would wait for itself")
            }
            FlushError::Sink(source) => write!(f, "a sink failed: {source}"),
        }
    }
}

impl error::Error for FlushError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            FlushError::Sink(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a shutdown did not come to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The time was over. The writer goes on; `state()` is `Stopping` until another shutdown or a start finds it gone.
    TimedOut {
        /// Records that were not yet written, at that moment.
        unwritten: u64,
    },
    /// Called from the writer's own thread (by a sink), which would have to wait for itself.
    WouldDeadlock,
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShutdownError::TimedOut { unwritten } => {
                write!(
                    f,
                    "the shutdown timed out with {unwritten} records not yet written; the writer goes on"
                )
            }
            ShutdownError::WouldDeadlock => {
                f.write_str("a shutdown from the writer's own thread would wait for itself")
            }
        }
    }
}

impl error::Error for ShutdownError {}

/// Why a thread could not be given a lane of its own. Its records go through the shared lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareError {
    /// The channel's `THREADS` lanes are all taken, or the thread is ending, or what it has put into the shared lane is not
    /// written yet ([`Clock::Coarse`](crate::Clock::Coarse) and `None` only).
    AllLanesTaken,
    /// The backend was shut down.
    Stopped,
    /// The default backend could not be started.
    NotStarted,
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PrepareError::AllLanesTaken => "all lanes of the channel are taken: raise its THREADS",
            PrepareError::Stopped => "the backend was shut down: start it again first",
            PrepareError::NotStarted => "the default backend could not be started",
        })
    }
}

impl error::Error for PrepareError {}

/// What the backend tells the function given to `Builder::on_error`. It is called on the writer's thread.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackendError<'a> {
    /// A sink failed, and is tried again; the batch stays in staging meanwhile.
    Retrying {
        /// The sink's file, or its type where it has none.
        sink: &'a str,
        /// Its error.
        error: &'a io::Error,
    },
    /// A sink failed for longer than the retry limit, while others are alive: what it misses from now
    /// on is counted, and told in its log when it works again.
    Suspended {
        /// The sink's file, or its type where it has none.
        sink: &'a str,
        /// Its last error.
        error: &'a io::Error,
        /// How long it has failed.
        after: Duration,
    },
    /// A suspended sink works again.
    Resumed {
        /// The sink's file, or its type where it has none.
        sink: &'a str,
        /// Records it has missed.
        missed: u64,
    },
    /// A sink could not go on in a new file, or its old files could not be compressed or removed. It writes on to the file
    /// that it has, and tries again.
    Rotation {
        /// The sink's file, or its type where it has none.
        sink: &'a str,
        /// Why.
        error: &'a io::Error,
    },
    /// A sink failed for good, and is not used any more.
    Retired {
        /// The sink's file, or its type where it has none.
        sink: &'a str,
        /// Its error; a panic is an error of kind `Other` with the panic's message.
        error: &'a io::Error,
    },
}

impl fmt::Display for BackendError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendError::Retrying { sink, error } => {
                write!(f, "sink `{sink}` failed, trying again: {error}")
            }
            BackendError::Suspended { sink, error, after } => {
                write!(f, "sink `{sink}` is suspended after {after:?} of failures: {error}")
            }
            BackendError::Resumed { sink, missed } => {
                write!(f, "sink `{sink}` works again; it missed {missed} records")
            }
            BackendError::Rotation { sink, error } => {
                write!(f, "sink `{sink}` goes on in the file that it has: {error}")
            }
            BackendError::Retired { sink, error } => {
                write!(f, "sink `{sink}` failed for good and is retired: {error}")
            }
        }
    }
}

impl error::Error for BackendError<'_> {}

/// An error that can be given to several.
#[derive(Clone)]
pub(crate) struct Failure {
    kind: io::ErrorKind,
    code: Option<i32>,
    message: String,
}

impl Failure {
    pub(crate) fn new(sink: &str, error: &io::Error) -> Self {
        Failure { kind: error.kind(), code: error.raw_os_error(), message: format!("{sink}: {error}") }
    }

    pub(crate) fn to_error(&self) -> io::Error {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.message.clone()),
        }
    }
}
