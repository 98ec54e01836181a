//! The `log` crate's records, in the same rings (feature `log`).
//!
//! After [`init`], or [`Builder::log_facade`](crate::Builder::log_facade), what libraries log through the `log` crate's
//! macros goes the way of this crate's own records: the same thread's ring, the same order, the same sinks, the same
//! [`flush`](crate::flush()) and shutdown, the same black box.
//!
//! ```
//! use std::time::Duration;
//!
//! let sink = kakashi::MemorySink::new();
//! let guard = kakashi::builder().log_facade(true).sink(sink.clone()).start()?;
//! log::warn!(target: "pool", attempts = 3; "connection lost");
//! guard.shutdown(Duration::from_secs(1))?;
//! assert!(sink.text().contains(" WARN  pool "));
//! assert!(sink.text().ends_with(" connection lost attempts=3\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A line is a native one: the record's target, file and line, its message, its key-values as fields. Integers,
//! floats and booleans are numbers and booleans, texts are texts, everything else is what its `Display` says. The
//! module's path, which is the target unless a statement names one, is not shown.
//!
//! Which records pass, [`set_level`](crate::set_level) and [`set_filter`](crate::set_filter) say, by level and target;
//! `log::max_level` follows them. The level of a [`Logger`](crate::Logger) of the target's name does not count.
//!
//! On a prepared thread an event allocates nothing, takes no lock and makes no system call. It costs more than a native
//! one, since all of it is formatted by `core::fmt` in the call, and target and file are copied. A record through a
//! [`Channel`](crate::Channel) other than the default one needs the native macros.
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use log::kv::{self, VisitSource, VisitValue};
use log::{Log, Metadata, Record};

use crate::__private::COMPILED;
use crate::fields::{Add, Fields};
use crate::foreign::{self, Event};
use crate::level::{Level, LevelFilter};
use crate::logger::{self, Fate};
use crate::record::foreign::FieldKind;
use crate::tickets;

/// How long `log::logger().flush()` waits at most.
const FLUSH: Duration = Duration::from_secs(1);

/// The `log` crate has another logger already, and can have one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherLogger;

impl fmt::Display for OtherLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the `log` crate has another logger already, and can have one only")
    }
}

impl std::error::Error for OtherLogger {}

/// Makes kakashi the logger of the `log` crate, for the life of the process. A second call changes nothing.
///
/// It starts no backend: as with a native call, the first record starts the default one if there is none.
/// `log::logger().flush()` waits for all that was logged before to be written, for a second at most.
///
/// # Errors
/// [`OtherLogger`] when another logger was installed before.
pub fn init() -> Result<(), OtherLogger> {
    static KAKASHI: Kakashi = Kakashi(0);
    let is_ours = || core::ptr::addr_eq(log::logger(), &raw const KAKASHI);
    if log::set_logger(&KAKASHI).is_err() && !is_ours() {
        return Err(OtherLogger);
    }
    logger::follow(|most| log::set_max_level(filter(most.min(COMPILED))));
    Ok(())
}

/// Not of size 0, so that it has an address of its own.
struct Kakashi(#[expect(dead_code)] u8);

fn filter(level: LevelFilter) -> log::LevelFilter {
    match level {
        LevelFilter::Off => log::LevelFilter::Off,
        LevelFilter::Error => log::LevelFilter::Error,
        LevelFilter::Warn => log::LevelFilter::Warn,
        LevelFilter::Info => log::LevelFilter::Info,
        LevelFilter::Debug => log::LevelFilter::Debug,
        LevelFilter::Trace => log::LevelFilter::Trace,
    }
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warn,
        log::Level::Info => Level::Info,
        log::Level::Debug => Level::Debug,
        log::Level::Trace => Level::Trace,
    }
}

impl Log for Kakashi {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = level(metadata.level());
        COMPILED.allows(level) && logger::fate_by_target(level, metadata.target()) != Fate::Dropped
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            foreign::log(level(record.level()), record);
        }
    }

    fn flush(&self) {
        let _ = tickets::flush(FLUSH, false);
    }
}

impl Event for Record<'_> {
    fn target(&self) -> &str {
        Record::target(self)
    }

    fn place(&self) -> (&str, u32) {
        (self.file().unwrap_or(""), self.line().unwrap_or(0))
    }

    fn literal(&self) -> Option<&str> {
        self.args().as_str()
    }

    fn message(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_fmt(*self.args())
    }

    fn fields(&self, out: &mut Fields<'_, '_>) {
        // No visit of ours fails; a source that does has given what it could.
        let _ = self.key_values().visit(&mut Pairs(out));
    }
}

struct Pairs<'p, 'f, 'm>(&'p mut Fields<'f, 'm>);

impl<'kvs> VisitSource<'kvs> for Pairs<'_, '_, '_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(Pair { name: key.as_str(), out: self.0 })
    }
}

struct Pair<'p, 'f, 'm> {
    name: &'p str,
    out: &'p mut Fields<'f, 'm>,
}

impl VisitValue<'_> for Pair<'_, '_, '_> {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.out.add(self.name, FieldKind::Display, format_args!("{value}"));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.out.add(self.name, FieldKind::Nothing, format_args!(""));
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.out.number(self.name, value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.out.number(self.name, value);
        Ok(())
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.out.number(self.name, value);
        Ok(())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.out.number(self.name, value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.out.float(self.name, value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.out.bool(self.name, value);
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.out.text(self.name, value);
        Ok(())
    }
}
