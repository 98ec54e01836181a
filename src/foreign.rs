//! A facade's record on its way into a ring: a log call like any other, but that target, place and keys are values, too.
#![forbid(unsafe_code)]

use core::fmt;

use crate::arg::{Arena, Args, Text, Value as _};
use crate::callsite;
use crate::channel::DEFAULT;
use crate::clock;
use crate::fields::Fields;
use crate::hot;
use crate::level::Level;
use crate::logger::{self, Fate};
use crate::record::Kind;
use crate::target::Fated;

/// What a facade is given to log.
pub(crate) trait Event {
    fn target(&self) -> &str;
    /// The file, empty if it is not known, and the line.
    fn place(&self) -> (&str, u32);
    /// The message, where it needs no formatting.
    fn literal(&self) -> Option<&str> {
        None
    }
    fn message(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    fn fields(&self, out: &mut Fields<'_, '_>);
}

/// Logs an event through the default channel. Its target has been found to be wanted.
pub(crate) fn log(level: Level, event: &impl Event) {
    let callsite = callsite::foreign(level);
    if callsite.switch() == 0 {
        return;
    }
    if !clock::is_diverted() {
        return hot::log(&DEFAULT, callsite, Values(event));
    }
    match logger::fate_by_target(level, event.target()) {
        Fate::Dropped => {}
        Fate::Written => hot::log(&DEFAULT, callsite, Values(event)),
        fate => hot::log(&Fated(fate), callsite, Values(event)),
    }
}

struct Values<'e, E>(&'e E);

impl<E: Event> Args for Values<'_, E> {
    const FORMATS: bool = true;
    type Ready<'a>
        = (Text<'a>, (Text<'a>, (u32, (Text<'a>, (Text<'a>, ())))))
    where
        Self: 'a;

    fn ready<'a>(&'a self, arena: &'a Arena<'_>) -> Self::Ready<'a> {
        let Values(event) = self;
        let message = match event.literal() {
            Some(text) => text.value(),
            None => arena.text(Kind::Display, |out| event.message(out)),
        };
        let fields = arena.text(Kind::Str, |out| {
            event.fields(&mut Fields::new(out));
            Ok(())
        });
        let (file, line) = event.place();
        (event.target().value(), (file.value(), (line, (message, (fields, ())))))
    }
}
