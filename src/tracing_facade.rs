//! The `tracing` crate's events, in the same rings: a layer for `tracing-subscriber` (feature `tracing`).
//!
//! What spans add to an event's line is made into text when the span is made, or given a value, and lies in the span's
//! extensions, so that an event copies it.
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};
use core::ops::Range;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::__private::COMPILED;
use crate::fields::{Add, Fields};
use crate::foreign::{self, Event};
use crate::level::{Level, LevelFilter};
use crate::logger::{self, Fate};
use crate::record::foreign::{ENTRY, FieldKind, LONGEST, entry, lengths};

/// A layer that logs the events of the `tracing` crate: each goes the way of this crate's own records, through the same
/// thread's ring, in the same order, to the same sinks.
///
/// ```
/// use std::time::Duration;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let sink = kakashi::MemorySink::new();
/// let guard = kakashi::builder().sink(sink.clone()).start()?;
/// tracing::subscriber::with_default(tracing_subscriber::registry().with(kakashi::tracing_layer()), || {
///     let _request = tracing::info_span!("request", id = 7).entered();
///     tracing::info!(bytes = 512, "served");
/// });
/// guard.shutdown(Duration::from_secs(1))?;
/// assert!(sink.text().ends_with(" served bytes=512 span=request request.id=7\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Lines
///
/// A line is a native one: level, target, file and line of the event; its message; its fields, numbers and booleans as
/// such. Behind them stand `span`, the names of the spans it is in, the outermost first, and these spans' fields as
/// `name.field=value`, the innermost span's first. What a span is given later, by `record`, is there from then on. That
/// spans are entered, left and closed is not logged.
///
/// # Levels
///
/// Events and spans pass by level and target, as [`set_level`](crate::set_level) and [`set_filter`](crate::set_filter)
/// say, from the next call on; what does not pass costs what the `tracing` crate asks for, a load and a branch. That is a
/// filter of this layer alone: other layers beside it see what they want. An `EnvFilter` beside it, or around it by
/// `with_filter`, narrows it further.
///
/// # Cost
///
/// An event on a prepared thread allocates nothing and makes no system call. The registry takes a read lock of each
/// span that the event is in, which nobody holds but who gives that span a value. A span allocates.
///
/// # The `log` crate
///
/// Its records need no detour: use [`log_facade`](crate::log_facade), and not `tracing-log`, behind which all records
/// would have the target `log`, and their own as the field `log.target`. The `tracing` crate's feature `log-always`
/// would double each event.
pub fn tracing_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // What has passed, or not, is remembered by each statement.
    logger::tell(tracing_core::callsite::rebuild_interest_cache);
    Spans.with_filter(Wanted)
}

/// Makes a registry with a [`tracing_layer`] the default of all threads, for the life of the process.
///
/// It starts no backend: as with a native call, the first event starts the default one if there is none.
///
/// # Errors
/// When there is such a default already.
pub fn init_tracing() -> Result<(), tracing_core::dispatcher::SetGlobalDefaultError> {
    let subscriber = Registry::default().with(tracing_layer());
    tracing_core::dispatcher::set_global_default(Dispatch::new(subscriber))
}

fn level(level: tracing_core::Level) -> Level {
    match level {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::TRACE => Level::Trace,
    }
}

/// The filter: by level and target.
struct Wanted;

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let level = level(*metadata.level());
    COMPILED.allows(level) && logger::fate_by_target(level, metadata.target()) != Fate::Dropped
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<tracing_core::LevelFilter> {
        Some(match logger::most().min(COMPILED) {
            LevelFilter::Off => tracing_core::LevelFilter::OFF,
            LevelFilter::Error => tracing_core::LevelFilter::ERROR,
            LevelFilter::Warn => tracing_core::LevelFilter::WARN,
            LevelFilter::Info => tracing_core::LevelFilter::INFO,
            LevelFilter::Debug => tracing_core::LevelFilter::DEBUG,
            LevelFilter::Trace => tracing_core::LevelFilter::TRACE,
        })
    }
}

/// What a span adds to the lines of events in it.
struct SpanText {
    /// The names of the spans from the outermost one to this one.
    path: String,
    /// Its name, and a point.
    prefix: String,
    /// Its fields, entry by entry.
    entries: String,
}

impl SpanText {
    fn new(span: &str, path: String) -> Self {
        SpanText { path, prefix: format!("{span}."), entries: String::new() }
    }

    /// Takes what `other` has, in place of what has its names.
    fn update(&mut self, other: &SpanText) {
        for (name, entry) in other.iter() {
            let known = self.iter().find(|(known, _)| *known == name).map(|(_, range)| range);
            if let Some(range) = known {
                self.entries.replace_range(range, "");
            }
            self.entries.push_str(&other.entries[entry]);
        }
    }

    /// Each entry's name, and where it lies.
    fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let mut start = 0;
        core::iter::from_fn(move || {
            let (name, value) = lengths(self.entries.as_bytes().get(start..)?)?;
            let (name_at, from) = (start + ENTRY, start);
            start = name_at + name + value;
            Some((self.entries.get(name_at..name_at + name)?, from..start))
        })
    }
}

impl Add for SpanText {
    fn add(&mut self, name: &str, kind: FieldKind, value: fmt::Arguments<'_>) {
        let mut text = String::new();
        if text.write_fmt(value).is_err() {
            text.push_str("<fmt::Error>");
        }
        let value = &text[..text.floor_char_boundary(LONGEST)];
        let head = entry(kind, self.prefix.len() + name.len(), value.len());
        self.entries.extend(head.map(char::from));
        self.entries.extend([&self.prefix, name, value]);
    }
}

/// Hands the fields of an event or a span on, but for an event's message.
struct Values<'v, A> {
    to: &'v mut A,
    of_event: bool,
}

impl<A: Add> Values<'_, A> {
    fn takes(&self, field: &Field) -> bool {
        !(self.of_event && field.name() == MESSAGE)
    }
}

const MESSAGE: &str = "message";

macro_rules! handed_on {
    ($($name:ident($type:ty) => $add:ident;)*) => {$(
        fn $name(&mut self, field: &Field, value: $type) {
            if self.takes(field) {
                self.to.$add(field.name(), value);
            }
        }
    )*};
}

impl<A: Add> Visit for Values<'_, A> {
    handed_on! {
        record_f64(f64) => float;
        record_i64(i64) => number;
        record_u64(u64) => number;
        record_i128(i128) => number;
        record_u128(u128) => number;
        record_bool(bool) => bool;
        record_str(&str) => text;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.takes(field) {
            self.to.add(field.name(), FieldKind::Debug, format_args!("{value:?}"));
        }
    }
}

/// Writes an event's message.
struct Message<'v> {
    to: &'v mut dyn fmt::Write,
    result: fmt::Result,
}

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.result = self.to.write_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.result = write!(self.to, "{value:?}");
        }
    }
}

/// The layer.
struct Spans;

impl<S> Layer<S> for Spans
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let path = span
            .parent()
            .and_then(|parent| {
                Some(format!("{}:{}", parent.extensions().get::<SpanText>()?.path, span.name()))
            })
            .unwrap_or_else(|| span.name().to_owned());
        let mut text = SpanText::new(span.name(), path);
        attributes.record(&mut Values { to: &mut text, of_event: false });
        span.extensions_mut().replace(text);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Without the span's lock: a value's `Debug` may log, within this span.
        let mut given = SpanText::new(span.name(), String::new());
        values.record(&mut Values { to: &mut given, of_event: false });
        if let Some(text) = span.extensions_mut().get_mut::<SpanText>() {
            text.update(&given);
        }
    }

    fn on_event(&self, event: &tracing_core::Event<'_>, context: Context<'_, S>) {
        foreign::log(level(*event.metadata().level()), &InSpans { event, context });
    }
}

struct InSpans<'e, S> {
    event: &'e tracing_core::Event<'e>,
    context: Context<'e, S>,
}

impl<S> Event for InSpans<'_, S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn target(&self) -> &str {
        self.event.metadata().target()
    }

    fn place(&self) -> (&str, u32) {
        let metadata = self.event.metadata();
        (metadata.file().unwrap_or(""), metadata.line().unwrap_or(0))
    }

    fn message(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let mut message = Message { to: out, result: Ok(()) };
        self.event.record(&mut message);
        message.result
    }

    fn fields(&self, out: &mut Fields<'_, '_>) {
        self.event.record(&mut Values { to: out, of_event: true });
        let spans = self.context.event_scope(self.event).into_iter().flatten();
        for (at, span) in spans.enumerate() {
            if let Some(text) = span.extensions().get::<SpanText>() {
                if at == 0 {
                    out.text("span", &text.path);
                }
                out.entries(&text.entries);
            }
        }
    }
}
