//! A lock-free ring-buffer logger for latency-critical hot paths: zero allocation, nothing lost without being
//! counted and said.
//!
//! ```
//! use std::time::Duration;
//! use kakashi::{MemorySink, info};
//!
//! let sink = MemorySink::new();
//! let guard = kakashi::builder().sink(sink.clone()).start()?;
//! info!("filled {} @ {:.2}", 7, 101.25, user_id = 123);
//! kakashi::flush(Duration::from_secs(1))?;
//! assert!(sink.lines()[0].ends_with("filled 7 @ 101.25 user_id=123"));
//! guard.shutdown(Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * Log statements: [`trace!`], [`debug!`], [`info!`], [`warn!`], [`error!`]; whether a level is on:
//!   [`enabled!`]; all statements of the program: [`callsites`].
//! * The backend: [`builder`], [`flush()`], [`sync()`], [`shutdown_async_backend`]. A program that starts none
//!   gets one on its first call, which writes to standard error.
//! * Where lines go: [`Sink`] and its implementations; how they look: [`Format`]; in which zone's time: [`Zone`].
//! * Rings by type: [`channel!`], [`Channel`], the policies [`Block`], [`BlockFor`], [`DropNewest`],
//!   [`DropOldest`], the encodings [`Preformatted`], [`Deferred`].
//! * Restraint: [`info_once!`], [`info_every!`], [`info_sample!`] and the like for the other levels.
//! * Which records are written: [`set_level`], [`Filter`], [`set_filter`]; which are held back until a thread's next error:
//!   [`Builder::backtrace`], [`set_backtrace`].
//! * Records of other crates' facades: the features `log` (module `log_facade`) and `tracing` (`tracing_layer`).
//! * Presets: [`Builder::development`], [`Builder::production`], [`Builder::testing`]; in tests: [`testing::capture`].
//! * All settings in one value, from a file and the environment: the feature `config` (`Config`).
//! * Fields of a thread, a future, a logger: [`context!`], [`Context`], [`InContext`], [`Logger::with`].
//! * What happened: [`get_async_stats`], [`stats()`], [`prometheus_text`]; at a port, for a Prometheus server: the feature
//!   `endpoint` (`serve_metrics`); through the `metrics` crate: the feature `metrics` (`publish_metrics`).
//!
//! Where to begin: [from another logger](guide::coming_from); [tuning](guide::tuning); [pitfalls](guide::pitfalls).
//!
//! # The way of a record
//!
//! A call checks its statement's switch (one load), formats what needs `core::fmt` into the lane's scratch
//! memory, reads the clock, reserves slots in this thread's ring, stores the values and publishes them by one
//! store. The writer reads the clock, polls all lanes, merges what is not newer by time, renders it into
//! staging, gives the slots back, and writes each sink's batch. A thread's first call (or
//! [`prepare_thread`]) claims its lane; its end gives it back. Threads for whom there is none share one.
//!
//! # Order
//!
//! Within a thread, lines are in program order. Between threads, a call that returned before another one
//! began comes first; with the default [`Clock`] not always so where the second thread has learned of the first
//! one's call by a spinning load within some 100 ns of it, since a processor reads its counter ahead of such a load.
//! [`Clock::Ordered`] forbids that. Overlapping calls are in the order of their ticks, and a record is held back for
//! some microseconds so that another one can come before it. A thread that loses the processor between reading the
//! clock and publishing may come too late for that: its record is written at once, with its own time, and counted as
//! `late`.
//!
//! # Calls within calls
//!
//! A `Display` that logs gives both records; in the nested call, values that need `core::fmt` have 512 bytes. One
//! that panics leaves the ring whole and is counted. A signal handler may log: if it has interrupted a log
//! call of its thread, it uses the shared lane without waiting, or is dropped and counted as `reentrant`. A
//! sink that logs never waits. The first call of a program that has started no backend is no call for a
//! handler.
//!
//! # Dynamic libraries
//!
//! A `cdylib` with this crate in it, or a second version of the crate, is a backend of its own, with lanes,
//! writer and statistics of its own. Two backends on one file are refused.

// Under loom only the rings and lanes are built: what the rest calls stands unused there.
#![cfg_attr(kakashi_loom, allow(dead_code))]

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("kakashi-log supports Linux on x86_64 and aarch64");

#[cfg(any(not(kakashi_loom), test))]
mod desk;
#[cfg(any(not(kakashi_loom), test))]
mod futex;
mod lane;
#[cfg(all(test, kakashi_loom))]
mod models;
mod number;
#[cfg(any(not(kakashi_loom), test))]
mod ownership;
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
mod blackbox;
#[cfg(not(kakashi_loom))]
mod calendar;
#[cfg(not(kakashi_loom))]
mod callsite;
#[cfg(not(kakashi_loom))]
mod channel;
#[cfg(not(kakashi_loom))]
mod clock;
#[cfg(not(kakashi_loom))]
mod cold;
#[cfg(all(feature = "config", not(kakashi_loom)))]
pub mod config;
#[cfg(not(kakashi_loom))]
mod context;
#[cfg(not(kakashi_loom))]
mod cores;
#[cfg(not(kakashi_loom))]
mod crash;
#[cfg(all(feature = "endpoint", not(kakashi_loom)))]
mod endpoint;
#[cfg(not(kakashi_loom))]
mod error;
#[cfg(not(kakashi_loom))]
mod fields;
#[cfg(not(kakashi_loom))]
mod figures;
#[cfg(not(kakashi_loom))]
mod filter;
#[cfg(all(any(feature = "log", feature = "tracing"), not(kakashi_loom)))]
mod foreign;
#[cfg(not(kakashi_loom))]
mod format;
#[cfg(not(kakashi_loom))]
mod gate;
#[cfg(not(kakashi_loom))]
pub mod guide;
#[cfg(not(kakashi_loom))]
mod held;
#[cfg(not(kakashi_loom))]
mod hot;
#[cfg(not(kakashi_loom))]
mod interned;
mod journal;
#[cfg(not(kakashi_loom))]
mod level;
#[cfg(all(feature = "log", not(kakashi_loom)))]
pub mod log_facade;
#[cfg(not(kakashi_loom))]
mod logger;
#[cfg(all(feature = "metrics", not(kakashi_loom)))]
mod metrics_facade;
#[cfg(not(kakashi_loom))]
mod policy;
#[cfg(not(kakashi_loom))]
mod prometheus;
#[cfg(not(kakashi_loom))]
mod record;
#[cfg(not(kakashi_loom))]
mod region;
#[cfg(not(kakashi_loom))]
mod restraint;
#[cfg(not(kakashi_loom))]
mod sink;
#[cfg(not(kakashi_loom))]
mod spec;
#[cfg(not(kakashi_loom))]
mod stats;
#[cfg(not(kakashi_loom))]
mod target;
#[cfg(not(kakashi_loom))]
pub mod testing;
#[cfg(not(kakashi_loom))]
mod thread;
#[cfg(not(kakashi_loom))]
mod tickets;
#[cfg(all(feature = "tracing", not(kakashi_loom)))]
mod tracing_facade;
#[cfg(not(kakashi_loom))]
mod watch;
#[cfg(not(kakashi_loom))]
mod writer;
#[cfg(not(kakashi_loom))]
mod zone;

#[cfg(not(kakashi_loom))]
mod api {
    pub use crate::arg::{Deferred, Encoding, Preformatted};
    pub use crate::backend::{
        Builder, Guard, ShutdownReport, builder, flush, reopen, shutdown_async_backend, sync,
    };
    pub use crate::callsite::{Callsite, callsites};
    pub use crate::channel::Channel;
    pub use crate::clock::Clock;
    #[cfg(feature = "config")]
    pub use crate::config::{Config, ConfigError};
    pub use crate::context::{BoundLogger, Context, ContextFuture, ContextGuard, ContextValue, InContext};
    #[cfg(feature = "endpoint")]
    pub use crate::endpoint::{EndpointError, MetricsEndpoint, serve_metrics};
    pub use crate::error::{
        BackendError, BlackBoxError, FlushError, PrepareError, ShutdownError, StartError,
    };
    pub use crate::filter::{Filter, FilterError};
    pub use crate::format::{Format, Pattern, PatternError};
    pub use crate::gate::{State, state};
    pub use crate::level::{Level, LevelFilter, ParseLevelError};
    pub use crate::logger::{Logger, MAX_LOGGERS, get_async_logger, set_backtrace, set_filter, set_level};
    #[cfg(feature = "metrics")]
    pub use crate::metrics_facade::publish_metrics;
    pub use crate::policy::{Block, BlockFor, DropNewest, DropOldest, Policy};
    pub use crate::prometheus::{prometheus_text, write_prometheus};
    pub use crate::sink::{
        ConsoleSink, FileSink, MemorySink, NullSink, Period, Place, Retention, Retry, Rotation, Sink, SinkId,
        SinkOptions, WriterSink, request_reopen,
    };
    pub use crate::stats::{AsyncStats, DropCauses, LaneStats, Stats, get_async_stats, stats};
    #[cfg(feature = "tracing")]
    pub use crate::tracing_facade::{init_tracing, tracing_layer};
    pub use crate::writer::Idle;
    pub use crate::zone::Zone;
    #[cfg(feature = "zones")]
    pub use crate::zone::ZoneError;

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

#[cfg(all(feature = "fuzzing", not(kakashi_loom)))]
#[doc(hidden)]
#[path = "fuzz/mod.rs"]
pub mod __fuzz;

/// Reading black boxes: what the command-line tool calls. Not for use by hand: it changes without notice.
#[cfg(not(kakashi_loom))]
#[doc(hidden)]
pub mod __box {
    pub use crate::blackbox::{
        Event, Follow, HeldBack, LaneInfo, Life, Report, View, complete, complete_in_part, find, print,
        print_as, print_held,
    };
}

/// What the macros expand to. Not for use by hand: it changes without notice.
#[cfg(not(kakashi_loom))]
#[doc(hidden)]
pub mod __private {
    pub use crate::arg::{
        FieldDisplay, FieldOption, FieldValue, Formatted, PlainDisplay, PlainValue, Probe, SizeAny,
        SizeKnown, SpecAny, SpecKnown,
    };
    pub use crate::callsite::{Callsite, Field, Piece};
    pub use crate::channel::{ChannelEntry, DEFAULT, Handle};
    pub use crate::clock::shift_wall_clock;
    pub use crate::cold::write_held;
    pub use crate::context::{DebugOf, DisplayOf};
    pub use crate::crash::set_crash_patience;
    pub use crate::hot::log;
    pub use crate::restraint::{Every, Once, Sample};
    pub use crate::spec::Spec;
    pub use crate::target::{Target, channel_level_enabled, channel_wants};
    pub use kakashi_log_macros::emit;

    /// `prepare_thread` of a channel.
    pub fn prepare<T: Target>(target: &T) -> Result<(), crate::PrepareError> {
        // SAFETY: the handle is this thread's, which is in this call.
        crate::cold::prepare(target.channel(), unsafe { &*T::handle() })
    }

    /// The most verbose level that is compiled in.
    pub(crate) const COMPILED: crate::LevelFilter = if cfg!(feature = "max_level_off") {
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

#[cfg(all(doctest, not(kakashi_loom)))]
#[doc = include_str!("../README.md")]
mod readme {}
