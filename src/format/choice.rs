//! How lines look: what a sink is given as its format, and how that is noted for who comes after.
#![forbid(unsafe_code)]

use super::pattern::{Pattern, PatternError};
use crate::zone::Zone;

/// A format, and the zone of its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Look {
    pub(crate) format: Format,
    pub(crate) zone: Zone,
}

/// How a sink writes its lines: one line per record, whatever the values hold. Times are UTC, unless the sink has another
/// [zone](crate::SinkOptions::zone): then they end in its offset, `+01:00`, rather than in `Z`.
///
/// ```
/// use kakashi::{FileSink, Format, SinkOptions};
///
/// # let (text, json) = (std::env::temp_dir().join("format.log"), std::env::temp_dir().join("format.json"));
/// let guard = kakashi::builder()
///     .sink(FileSink::create(text)) // as text
///     .sink_with(FileSink::create(json), SinkOptions::default().format(Format::Json))
///     .start()?;
/// kakashi::info!("filled {} @ {}", 7, 101.25, user_id = 123);
/// # guard.shutdown(std::time::Duration::from_secs(5)).unwrap();
/// # Ok::<(), kakashi::StartError>(())
/// ```
///
/// # JSON
/// One object per line, always valid JSON and UTF-8. Integers of up to 64 bits, finite floats and bools stand as such, a
/// float always with a point or an exponent (`100.0`), so that its type does not change from line to line; an `Option`
/// without a value is `null`. All else is a string: texts, `char`, 128-bit integers, `"NaN"`, `"inf"` and `"-inf"`. The
/// message is what `format!` gives. Every `key = value` is there, also one that the template names. A key that is one of
/// the format's own, or a dotted beginning of one, gets `_` behind it, as many as make it the only one (`level_`).
/// The logger's own lines have no file and no line.
///
/// Control and bidirectional characters are written as `\u001b`, and read back. A line that would be longer than some
/// 900,000 bytes has its texts cut, each ending in `…`, and stays valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// `2026-11-23T11:54:34.123456789Z INFO  orders src/fill.rs:42 [matcher-1] filled 7 @ 101.25 user_id=123`
    #[default]
    Text,
    /// `{"time":"2026-11-23T11:54:34.123456789Z","level":"INFO","logger":"orders","file":"src/fill.rs","line":42,`
    /// `"thread":"matcher-1","message":"filled 7 @ 101.25","user_id":123}`
    Json,
    /// JSON by the names of OpenTelemetry's log data model: `{"Timestamp":"1795434874123456789",` (ns since 1970, a
    /// string, as OTLP has it, whatever the zone) `"SeverityText":"INFO","SeverityNumber":9,"Body":"filled 7 @ 101.25",`
    /// `"InstrumentationScope":{"Name":"orders"},"Attributes":{"thread.name":"matcher-1","thread.id":71,`
    /// `"code.file.path":"src/fill.rs","code.line.number":42,"user_id":123}}`
    JsonOtel,
    /// JSON by the names of the Elastic Common Schema: `{"@timestamp":"2026-11-23T11:54:34.123456789Z",`
    /// `"log.level":"INFO","message":"filled 7 @ 101.25","ecs.version":"1.6.0","log.logger":"orders",`
    /// `"log.origin.file.name":"src/fill.rs","log.origin.file.line":42,"process.thread.name":"matcher-1",`
    /// `"process.thread.id":71,"user_id":123}`
    JsonEcs,
    /// `time=2026-11-23T11:54:34.123456789Z level=info logger=orders file=src/fill.rs line=42 thread=matcher-1`
    /// `msg="filled 7 @ 101.25" user_id=123`: every field, under the same rule for its name as in JSON. What is not one
    /// bare word stands in quotes, with JSON's escapes; an `Option` without a value is `null`.
    Logfmt,
    /// For terminals, coloured wherever it goes, the time of day without its offset:
    /// `11:54:34.123 INFO  orders filled 7 @ 101.25 user_id=123`
    Console,
    /// As a pattern says: see [`Format::pattern`].
    Pattern(Pattern),
}

impl Format {
    /// Lines by a pattern of your own: text with names in braces.
    ///
    /// | name | |
    /// |---|---|
    /// | `{time}` | `2026-11-23T11:54:34.123456789Z` |
    /// | `{level}` | `INFO` |
    /// | `{logger}` | the logger, the channel or the module |
    /// | `{file}`, `{line}` | where the statement is; `-` in the logger's own lines |
    /// | `{thread}`, `{thread_id}` | the thread's name, and the kernel's number of it |
    /// | `{message}` | the message |
    /// | `{fields}` | ` key=value` of each field, a space before each; those that the template names are left out, unless the pattern has no `{message}` |
    ///
    /// A name may have a width: `{level:<5}`, `{line:>4}`, `{logger:^12}`, at most 255 characters, and a character to
    /// fill it with: `{level:.<5}`. `{{` and `}}` are braces. Values are escaped as in [`Format::Text`].
    ///
    /// The writer is quick with a pattern whose `{time}` comes first, behind sixteen bytes at most, is there once, and has
    /// as little a width as `{message}` and `{fields}`: a line takes what one of [`Format::Text`] takes, and four times as
    /// much otherwise.
    ///
    /// A pattern is kept until the process ends, once for each text.
    ///
    /// # Errors
    /// An unknown name, a brace without its other, a width that is none, a line break, more than 1024 bytes: the error
    /// says what, and points at it.
    ///
    /// ```
    /// use kakashi::{ConsoleSink, Format, SinkOptions};
    /// let format = Format::pattern("{time} {level:<5} {logger} {file}:{line} [{thread}] {message}{fields}")?;
    /// let guard = kakashi::builder().sink_with(ConsoleSink::stderr(), SinkOptions::default().format(format)).start();
    /// # drop(guard);
    ///
    /// let error = Format::pattern("{time} {lvl} {message}").unwrap_err();
    /// assert_eq!(error.at(), 8);
    /// assert!(error.to_string().contains("`lvl`"));
    /// # Ok::<(), kakashi::PatternError>(())
    /// ```
    pub fn pattern(pattern: &str) -> Result<Format, PatternError> {
        Pattern::new(pattern).map(Format::Pattern)
    }

    /// Whether a message stands in quotes, and a field's value as a number only if it is one.
    pub(super) fn is_quoted(self) -> bool {
        !matches!(self, Format::Text | Format::Console | Format::Pattern(_))
    }

    /// Its number in a black box's journal, beside which the pattern's text stands.
    pub(crate) fn code(self) -> u32 {
        match self {
            Format::Text => 0,
            Format::Json => 1,
            Format::JsonOtel => 2,
            Format::JsonEcs => 3,
            Format::Logfmt => 4,
            Format::Console => 5,
            Format::Pattern(_) => 6,
        }
    }

    /// The text of its pattern.
    pub(crate) fn pattern_text(&self) -> &str {
        match self {
            Format::Pattern(pattern) => pattern.text(),
            _ => "",
        }
    }

    /// The format of that number and pattern; text when there is none.
    pub(crate) fn noted(code: u32, pattern: &str) -> Format {
        match code {
            1 => Format::Json,
            2 => Format::JsonOtel,
            3 => Format::JsonEcs,
            4 => Format::Logfmt,
            5 => Format::Console,
            6 => Format::pattern(pattern).unwrap_or_default(),
            _ => Format::Text,
        }
    }

    /// All of it as a number, within this process.
    pub(crate) fn word(self) -> u32 {
        let number = if let Format::Pattern(pattern) = self { pattern.number() } else { 0 };
        self.code() | number << 8
    }

    /// The format of such a number. Async-signal-safe.
    pub(crate) fn of_word(word: u32) -> Format {
        match word & 0xFF {
            6 => Pattern::of_number(word >> 8).map_or(Format::Text, Format::Pattern),
            code => Format::noted(code, ""),
        }
    }
}
