//! What stands as a text in a configuration: how it is read and written.
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

use super::error::shown;
use super::units;
use super::{FormatName, SinkKind, WriterCore};
use crate::clock::Clock;
use crate::filter::Filter;
use crate::level::LevelFilter;
use crate::sink::Period;
use crate::writer::Idle;

pub(super) trait Text: Sized {
    /// What is expected where there is something else than a text.
    const EXPECTED: &'static str;

    /// The value, or why there is none.
    fn read(text: &str) -> Result<Self, String>;

    /// A text that is read as the same value.
    fn text(&self) -> String;

    /// The value of a number, where that is one.
    fn of_number(_number: u64) -> Option<Self> {
        None
    }

    fn number(&self) -> Option<u64> {
        None
    }
}

pub(super) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match value.number() {
        Some(number) => serializer.serialize_u64(number),
        None => serializer.serialize_str(&value.text()),
    }
}

pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number)
            .ok_or_else(|| E::invalid_type(serde::de::Unexpected::Unsigned(number), &T::EXPECTED))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .ok()
            .and_then(T::of_number)
            .ok_or_else(|| E::invalid_type(serde::de::Unexpected::Signed(number), &T::EXPECTED))
    }
}

/// The same for what may have no value.
pub(super) mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Text;

    pub(in super::super) fn serialize<T: Text, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        struct Read<T>(T);
        impl<'de, T: Text> Deserialize<'de> for Read<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::deserialize(deserializer).map(Read)
            }
        }
        Ok(Option::<Read<T>>::deserialize(deserializer)?.map(|Read(value)| value))
    }
}

/// A value that has one of some names.
macro_rules! names {
    ($type:ty, $expected:literal, [$($name:literal = $value:path),* $(,)?]) => {
        impl Text for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($value),)*
                    _ => Err(format!("`{}` is none of {}", shown(text), [$($name),*].join(", "))),
                }
            }

            fn text(&self) -> String {
                match self {
                    $($value => $name.to_owned(),)*
                }
            }
        }
    };
}

names!(Idle, "a way to be idle", ["backoff" = Idle::Backoff, "spin" = Idle::Spin]);
names!(
    Clock,
    "a clock's name",
    ["counter" = Clock::Counter, "ordered" = Clock::Ordered, "coarse" = Clock::Coarse, "none" = Clock::None]
);
names!(
    Period,
    "a period's name",
    [
        "minute" = Period::Minute,
        "hour" = Period::Hour,
        "day" = Period::Day,
        "week" = Period::Week,
        "month" = Period::Month
    ]
);
names!(
    SinkKind,
    "a kind of sink",
    ["file" = SinkKind::File, "stderr" = SinkKind::Stderr, "stdout" = SinkKind::Stdout]
);
names!(
    FormatName,
    "a format's name",
    [
        "text" = FormatName::Text,
        "json" = FormatName::Json,
        "json-otel" = FormatName::JsonOtel,
        "json-ecs" = FormatName::JsonEcs,
        "logfmt" = FormatName::Logfmt,
        "console" = FormatName::Console
    ]
);

impl Text for LevelFilter {
    const EXPECTED: &'static str = "a level's name";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::level::ParseLevelError| error.to_string())
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Text for Filter {
    const EXPECTED: &'static str = "a text of directives, such as \"warn,orders=debug\"";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: crate::filter::FilterError| {
            format!("{} (at byte {} of `{}`)", error.what(), error.spot().start, shown(text))
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for usize {
    const EXPECTED: &'static str = "a number";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{}` is no number from 0 to {}", shown(text), usize::MAX))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Duration {
    const EXPECTED: &'static str = "a duration in a text, such as \"5s\"";

    fn read(text: &str) -> Result<Self, String> {
        units::duration(text)
    }

    fn text(&self) -> String {
        units::duration_text(*self)
    }
}

impl Text for WriterCore {
    const EXPECTED: &'static str = "\"last\", \"any\" or a core's number";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(WriterCore::Last),
            "any" => Ok(WriterCore::Any),
            _ => text.parse().map(WriterCore::Core).map_err(|_| {
                format!("`{}` is neither \"last\" nor \"any\" nor a core's number", shown(text))
            }),
        }
    }

    fn text(&self) -> String {
        match self {
            WriterCore::Last => "last".to_owned(),
            WriterCore::Any => "any".to_owned(),
            WriterCore::Core(core) => core.to_string(),
        }
    }

    fn of_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().map(WriterCore::Core)
    }

    fn number(&self) -> Option<u64> {
        if let WriterCore::Core(core) = self { Some(*core as u64) } else { None }
    }
}

impl Text for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{}` is neither true nor false", shown(text)))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Bytes.
pub(super) struct Size(pub(super) u64);

impl Text for Size {
    const EXPECTED: &'static str = "a size, such as \"1GiB\"";

    fn read(text: &str) -> Result<Self, String> {
        units::size(text).map(Size)
    }

    fn text(&self) -> String {
        units::size_text(self.0)
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(Size(number))
    }
}

/// Sizes that may not be there.
pub(super) mod size {
    use serde::{Deserializer, Serializer};

    use super::{Size, optional};

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        optional::serialize(&value.map(Size), serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        Ok(optional::deserialize(deserializer)?.map(|Size(bytes)| bytes))
    }
}

/// Permission bits.
struct Mode(u32);

impl Text for Mode {
    const EXPECTED: &'static str = "an octal mode in a text, such as \"0640\"";

    fn read(text: &str) -> Result<Self, String> {
        units::mode(text).map(Mode)
    }

    fn text(&self) -> String {
        units::mode_text(self.0)
    }
}

/// Permission bits.
pub(super) mod mode {
    use serde::{Deserializer, Serializer};

    use super::Mode;

    pub(in super::super) fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(&Mode(*value), serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        super::deserialize(deserializer).map(|Mode(mode)| mode)
    }
}
