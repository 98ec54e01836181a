//! A lock-free ring-buffer logger for latency-critical hot paths.
//!
//! (docs)

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("kakashi-log supports Linux on x86_64 and aarch64");

mod lane;
mod ring;
mod sync;

#[cfg(not(kakashi_loom))]
#[macro_use]
mod macros;

#[cfg(not(kakashi_loom))]
mod arg;
#[cfg(not(kakashi_loom))]
mod backend;
#[cfg(not(kakashi_loom))]
mod callsite;
#[cfg(not(kakashi_loom))]
mod channel;
#[cfg(not(kakashi_loom))]
mod clock;
#[cfg(not(kakashi_loom))]
mod cold;
#[cfg(not(kakashi_loom))]
mod error;
#[cfg(not(kakashi_loom))]
mod format;
#[cfg(not(kakashi_loom))]
mod futex;
#[cfg(not(kakashi_loom))]
mod gate;
#[cfg(not(kakashi_loom))]
mod hot;
#[cfg(not(kakashi_loom))]
mod level;
#[cfg(not(kakashi_loom))]
mod logger;
#[cfg(not(kakashi_loom))]
mod number;
#[cfg(not(kakashi_loom))]
mod policy;
#[cfg(not(kakashi_loom))]
mod record;
#[cfg(not(kakashi_loom))]
mod region;
#[cfg(not(kakashi_loom))]
mod sink;
#[cfg(not(kakashi_loom))]
mod stats;
#[cfg(not(kakashi_loom))]
mod thread;
#[cfg(not(kakashi_loom))]
mod writer;

#[cfg(not(kakashi_loom))]
mod api {
    pub use crate::arg::{Deferred, Encoding, Preformatted};
    pub use crate::backend::{Builder, Guard, ShutdownReport, builder, flush, shutdown_async_backend, sync};
    pub use crate::callsite::{Callsite, callsites};
    pub use crate::channel::Channel;
    pub use crate::error::{BackendError, FlushError, PrepareError, ShutdownError, StartError};
    pub use crate::gate::{State, state};
    pub use crate::level::{Level, LevelFilter, ParseLevelError};
    pub use crate::logger::{Logger, MAX_LOGGERS, get_async_logger, set_level};
    pub use crate::policy::{Block, BlockFor, DropNewest, DropOldest, Policy};
    pub use crate::sink::{
        ConsoleSink, FileSink, Format, MemorySink, NullSink, Sink, SinkId, SinkOptions, WriterSink,
    };
    pub use crate::stats::{AsyncStats, DropCauses, LaneStats, Stats, get_async_stats, stats};
    pub use crate::writer::{Idle, Retry};

    /// Claims a lane of the default channel for the calling thread, ahead of its first log call. Starts
    /// the default backend if nothing was started yet.
    ///
    /// # Errors
    /// When the thread cannot have a lane now; it logs through the shared lane then.
    pub fn prepare_thread() -> Result<(), PrepareError> {
        crate::channel::DEFAULT.prepare_thread()
    }
}
#[cfg(not(kakashi_loom))]
pub use api::*;

/// How a first call starts the backend: the one place where the calling thread's side reaches it.
#[cfg(not(kakashi_loom))]
static ENSURE_OPEN: fn() -> bool = backend::ensure_open;

/// What the macros expand to. Not for use by hand: it changes without notice.
#[cfg(not(kakashi_loom))]
#[doc(hidden)]
pub mod __private {
    pub use crate::arg::{FieldDisplay, FieldOption, FieldValue, Formatted, PlainDisplay, PlainValue, Probe};
    pub use crate::callsite::{Callsite, Field, Piece};
    pub use crate::channel::{ChannelEntry, DEFAULT, Handle, Target, channel_level_enabled};
    pub use crate::clock::shift_wall_clock;
    pub use crate::hot::log;
    pub use kakashi_log_macros::emit;

    /// `prepare_thread` of a channel.
    pub fn prepare<T: Target>(target: &T) -> Result<(), crate::PrepareError> {
        // SAFETY: the handle is this thread's, which is in this call.
        crate::cold::prepare(target.channel(), unsafe { &*T::handle() })
    }

    /// The most verbose level that is compiled in.
    const COMPILED: crate::LevelFilter = if cfg!(feature = "max_level_off") {
        crate::LevelFilter::Off
    } else if cfg!(feature = "max_level_error") {
        crate::LevelFilter::Error
    } else if cfg!(feature = "max_level_warn") {
        crate::LevelFilter::Warn
    } else if cfg!(feature = "max_level_info") {
        crate::LevelFilter::Info
    } else if cfg!(feature = "max_level_debug") {
        crate::LevelFilter::Debug
    } else {
        crate::LevelFilter::Trace
    };

    #[inline(always)]
    pub fn level_enabled(level: crate::Level) -> bool {
        COMPILED.allows(level) && crate::logger::level_enabled(level)
    }

    #[inline(always)]
    pub fn target_enabled<T: Target>(target: &T, level: crate::Level) -> bool {
        COMPILED.allows(level) && target.level_enabled(level)
    }
}
