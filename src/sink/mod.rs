//! Sinks: where lines go. A sink knows lines, not records.
mod console;
mod file;
mod filter;
mod keeper;
mod memory;
mod os;
mod retry;
mod rotation;

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::path::Path;

pub use console::ConsoleSink;
pub use file::FileSink;
pub(crate) use filter::SinkFilter;
pub use memory::MemorySink;
pub use retry::Retry;
pub use rotation::{Period, Retention, Rotation};

use crate::filter::Filter;
use crate::format::{Format, Look};
use crate::level::{Level, LevelFilter};
use crate::zone::Zone;

/// What tells two sinks on the same file: compared by `start()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SinkId {
    /// A file, by its device and inode.
    File {
        /// The device's number.
        device: u64,
        /// The inode's number.
        inode: u64,
    },
    /// A descriptor that the process was born with: 1 or 2.
    Console(i32),
    /// Any other number by which a sink of your own knows itself.
    Custom(u64),
}

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The number of the file's device.
    pub device: u64,
    /// The number of its inode.
    pub inode: u64,
    /// Bytes in the file.
    pub offset: u64,
    /// Its absolute path.
    pub path: &'a Path,
}

/// Where the writer puts finished lines. All methods are called on the writer's thread, but `open`, which
/// `start()` calls.
///
/// ```
/// use std::io;
///
/// /// Counts lines.
/// struct Counter(usize);
///
/// impl kakashi::Sink for Counter {
///     fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         self.0 += bytes.iter().filter(|&&byte| byte == b'\n').count();
///         Ok(bytes.len())
///     }
/// }
/// ```
pub trait Sink: Send + 'static {
    /// Called once by `start()`, before anything is written.
    ///
    /// # Errors
    /// An error becomes a [`StartError::Sink`](crate::StartError::Sink).
    fn open(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called before each write (and when files are to be opened anew, then with nothing) with the bytes that will be
    /// offered. A sink that goes on in another file does so here, so that [`Sink::place`], which is asked next, says
    /// where they go. Does nothing by default.
    ///
    /// # Errors
    /// An error is told to `on_error` as [`BackendError::Rotation`](crate::BackendError::Rotation); the bytes are
    /// written all the same.
    fn prepare(&mut self, next: &[u8]) -> io::Result<()> {
        let _ = next;
        Ok(())
    }

    /// Takes bytes, and returns how many. A batch is whole lines; when fewer bytes than given were
    /// taken, the next call begins where this one ended.
    ///
    /// # Errors
    /// `Interrupted` is tried again at once; `BrokenPipe`, EBADF and a panic retire the sink; every other
    /// error, and 0 bytes taken, is tried again with growing pauses.
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes what was taken durable.
    ///
    /// # Errors
    /// An error is the result of the [`sync`](crate::sync()) that asked for it.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What this sink writes to, asked before and after `open`. Two sinks of one identity are refused.
    fn identity(&self) -> Option<SinkId> {
        None
    }

    /// Where the next byte will go: asked before each write while there is a black box, so that a batch in the middle
    /// of which the process dies is completed and not doubled. `None` for all but regular files to which only this
    /// process appends: what they have got cannot be told afterwards, and is written again.
    fn place(&self) -> Option<Place<'_>> {
        None
    }

    /// The descriptor to which a crash handler may write lines past this sink, if there is one.
    #[doc(hidden)]
    fn descriptor(&self) -> Option<i32> {
        None
    }

    /// The name by which errors call it: its path, if it has one.
    fn name(&self) -> String {
        std::any::type_name::<Self>().rsplit("::").next().unwrap_or("sink").to_owned()
    }
}

static REOPENS: AtomicU64 = AtomicU64::new(0);

/// Asks all [`FileSink`]s to open their paths anew, before they write next and at the latest within some 10 ms: for a tool
/// that has renamed the log files, such as `logrotate`. Safe in a signal handler. Where that tool goes on to work on the
/// renamed files, [`reopen`](crate::reopen) is the one that waits.
pub fn request_reopen() {
    // Release pairs with the Acquire in `reopens`: what was renamed before is seen to be.
    REOPENS.fetch_add(1, Ordering::Release);
}

/// How often it was asked for.
pub(crate) fn reopens() -> u64 {
    REOPENS.load(Ordering::Acquire)
}

/// Errors that trying again does not mend.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(libc::EBADF)
}

/// A sink, and what it gets: for a recovery, which writes before the writer does.
pub(crate) struct Target<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) level: LevelFilter,
    pub(crate) filter: SinkFilter,
    pub(crate) look: Look,
    pub(crate) name: &'a str,
}

impl Target<'_> {
    pub(crate) fn wants(&self, level: Level, target: &str) -> bool {
        self.level.allows(level) && self.filter.passes(level, || target)
    }
}

/// What one sink gets, and how. Made by `default()` and changed by its methods.
///
/// ```
/// use kakashi::{Format, LevelFilter, SinkOptions};
/// let errors = SinkOptions::default().level(LevelFilter::Error).format(Format::Json);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkOptions {
    /// The records that this sink gets, of those that are logged at all.
    pub level: LevelFilter,
    /// How its lines look.
    pub format: Format,
    /// The zone of their times.
    pub zone: Zone,
    /// Which of these records it gets by their targets, if not all.
    pub(crate) filter: SinkFilter,
}

impl Default for SinkOptions {
    /// Every record, as text, in UTC.
    fn default() -> Self {
        SinkOptions {
            level: LevelFilter::Trace,
            format: Format::Text,
            zone: Zone::UTC,
            filter: SinkFilter::default(),
        }
    }
}

impl SinkOptions {
    /// Sets which records the sink gets.
    #[must_use]
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self
    }

    /// Sets which of the records of its level the sink gets, by their targets: those that are logged through an `audit` logger
    /// with `"off,audit"`, all but those with `"audit=off"`. Directives with fields are an error at the start, and so is a
    /// filter of more than 1024 bytes. The logger's own lines have the target `kakashi`. Default: all.
    ///
    /// What is logged at all is not the sink's to say: see [`Builder::filter`](crate::Builder::filter). The filter is kept for the process's
    /// life, once. The writer looks through it for each record, which costs the calling thread nothing.
    ///
    /// ```
    /// use kakashi::SinkOptions;
    ///
    /// let orders = SinkOptions::default().filter("off,orders=debug".parse()?);
    /// # Ok::<(), kakashi::FilterError>(())
    /// ```
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = SinkFilter::of(filter);
        self
    }

    /// Sets how its lines look.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Sets the zone of their times.
    #[must_use]
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    pub(crate) fn wants<'a>(&self, level: Level, target: impl FnOnce() -> &'a str) -> bool {
        self.level.allows(level) && self.filter.passes(level, target)
    }

    /// Why no sink can have its filter.
    pub(crate) fn check_filter(&self) -> Result<(), &'static str> {
        self.filter.check()
    }

    pub(crate) fn look(&self) -> Look {
        Look { format: self.format, zone: self.zone }
    }
}

/// Writes to any [`io::Write`], and flushes it after each batch.
#[derive(Debug)]
pub struct WriterSink<W> {
    inner: W,
    /// Bytes that `inner` has taken and could not flush yet: the batch's next bytes.
    unflushed: usize,
}

impl<W: io::Write + Send + 'static> WriterSink<W> {
    /// A sink that writes to `inner`.
    pub fn new(inner: W) -> Self {
        WriterSink { inner, unflushed: 0 }
    }
}

impl<W: io::Write + Send + 'static> Sink for WriterSink<W> {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Bytes taken but not flushed are not given to `inner` again, which would double them.
        if self.unflushed == 0 {
            self.unflushed = self.inner.write(bytes)?;
        }
        self.inner.flush()?;
        Ok(std::mem::take(&mut self.unflushed))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn name(&self) -> String {
        std::any::type_name::<W>().to_owned()
    }
}

/// Takes everything and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}
