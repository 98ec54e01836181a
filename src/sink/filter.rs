//! Which records one sink gets, by their targets.
#![forbid(unsafe_code)]

use core::fmt;

use crate::filter::Filter;
use crate::interned::{Interned, Kept};
use crate::journal::NAME_BYTES;
use crate::level::Level;

/// A sink's filter, or none.
#[derive(Clone, Copy, Default)]
pub struct SinkFilter(Option<&'static Kept<Entry>>);

#[derive(PartialEq)]
struct Entry {
    filter: Filter,
    text: String,
}

/// All filters of sinks.
static ALL: Interned<Entry> = Interned::new();

impl SinkFilter {
    /// One that says nothing is none.
    pub(crate) fn of(filter: Filter) -> Self {
        let text = filter.to_string();
        SinkFilter((!text.is_empty()).then(|| ALL.keep(Entry { filter, text })))
    }

    /// The filter that a black box has noted; none if it is damaged.
    pub(crate) fn noted(text: &[u8]) -> Self {
        let filter = core::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        filter.map_or_else(SinkFilter::default, SinkFilter::of)
    }

    /// What a black box notes of it.
    pub(crate) fn text(self) -> &'static str {
        self.0.map_or("", |kept| &kept.text)
    }

    /// Its number within this process.
    pub(crate) fn number(self) -> u32 {
        self.0.map_or(0, Kept::number)
    }

    /// The filter of that number. Async-signal-safe.
    pub(crate) fn of_number(number: u32) -> Self {
        SinkFilter(ALL.numbered(number))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// Whether the sink gets a record, as far as that goes. Async-signal-safe.
    pub(crate) fn passes<'a>(self, level: Level, target: impl FnOnce() -> &'a str) -> bool {
        self.0.is_none_or(|kept| kept.filter.passes(level, target()))
    }

    /// Why no sink can have it.
    pub(super) fn check(self) -> Result<(), &'static str> {
        match self.0 {
            Some(kept) if !kept.filter.by_fields().is_empty() => {
                Err("a sink's filter goes by targets, and has no directives with fields")
            }
            Some(kept) if kept.text.len() > NAME_BYTES => Err("a sink's filter has at most 1024 bytes"),
            _ => Ok(()),
        }
    }
}

impl PartialEq for SinkFilter {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for SinkFilter {}

impl fmt::Debug for SinkFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}
