//! Sinks as a configuration names them.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::text::{self, Text};
use crate::backend::Builder;
use crate::filter::Filter;
use crate::format::Format;
use crate::level::LevelFilter;
use crate::sink::{ConsoleSink, FileSink, Period, Retention, Rotation, SinkOptions};
use crate::zone::Zone;

/// Where a sink writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SinkKind {
    /// `"file"`: a [`FileSink`].
    #[default]
    File,
    /// `"stderr"`: standard error.
    Stderr,
    /// `"stdout"`: standard output.
    Stdout,
}

/// A [`Format`] that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FormatName {
    /// `"text"`: [`Format::Text`].
    #[default]
    Text,
    /// `"json"`: [`Format::Json`].
    Json,
    /// `"json-otel"`: [`Format::JsonOtel`].
    JsonOtel,
    /// `"json-ecs"`: [`Format::JsonEcs`].
    JsonEcs,
    /// `"logfmt"`: [`Format::Logfmt`].
    Logfmt,
    /// `"console"`: [`Format::Console`].
    Console,
}

/// One sink. All but `kind`, `level`, `filter`, `zone`, `format` and `pattern` are of files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct SinkConfig {
    /// Where it writes to. Default: a file.
    #[serde(with = "text")]
    pub kind: SinkKind,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Which records it gets, of those that are logged at all: [`SinkOptions::level`]. Default: all.
    #[serde(with = "text")]
    pub level: LevelFilter,
    /// Which of these by their targets: [`SinkOptions::filter`]. Default: all.
    #[serde(with = "text")]
    pub filter: Filter,
    /// How its lines look. Default: text.
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// The same by a pattern: [`Format::pattern`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The zone of their times, and by which a file is rotated ([`SinkOptions::zone`], [`Rotation::in_zone`]): `UTC`, or
    /// `local` or a name, in a build with the feature `zones`. Default: `UTC`.
    pub zone: String,
    /// Whether the file is emptied first ([`FileSink::create`]). Default: no, it is appended to.
    pub truncate: bool,
    /// [`FileSink::mode`].
    #[serde(with = "text::mode")]
    pub mode: u32,
    /// [`FileSink::follow_links`].
    pub follow_links: bool,
    /// [`FileSink::make_folder`].
    pub make_folder: bool,
    /// [`FileSink::latest`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<PathBuf>,
    /// [`FileSink::rotate`]. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationConfig>,
    /// [`FileSink::keep`]. Default: all old files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionConfig>,
    /// `FileSink::compress`, in a build with the feature `compress`.
    pub compress: bool,
}

impl Default for SinkConfig {
    fn default() -> Self {
        SinkConfig {
            kind: SinkKind::File,
            path: None,
            level: LevelFilter::Trace,
            filter: Filter::default(),
            format: None,
            pattern: None,
            zone: Zone::UTC.name().to_owned(),
            truncate: false,
            mode: FileSink::MODE,
            follow_links: true,
            make_folder: false,
            latest: None,
            rotation: None,
            retention: None,
            compress: false,
        }
    }
}

/// A [`Rotation`]: by what comes first.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct RotationConfig {
    /// With each new period: [`Rotation::every`].
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// Before the file has more bytes: [`Rotation::bytes`].
    #[serde(with = "text::size", skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A [`Retention`]: what is within all limits is kept.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// [`Retention::files`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
    /// [`Retention::age`].
    #[serde(with = "text::optional", skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
    /// [`Retention::bytes`].
    #[serde(with = "text::size", skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl RotationConfig {
    fn rotation(&self) -> Option<Rotation> {
        match (self.period, self.bytes) {
            (Some(period), Some(bytes)) => Some(Rotation::every(period).or_bytes(bytes)),
            (Some(period), None) => Some(Rotation::every(period)),
            (None, Some(bytes)) => Some(Rotation::bytes(bytes)),
            (None, None) => None,
        }
    }
}

impl RetentionConfig {
    fn retention(&self) -> Retention {
        let mut keep = Retention::default();
        keep = self.files.map_or(keep, |files| keep.files(files));
        keep = self.age.map_or(keep, |age| keep.age(age));
        self.bytes.map_or(keep, |bytes| keep.bytes(bytes))
    }
}

impl SinkConfig {
    /// The keys that are set and have no meaning but for a file.
    fn of_files(&self) -> Option<&'static str> {
        let plain = SinkConfig::default();
        [
            ("path", self.path.is_some()),
            ("truncate", self.truncate),
            ("mode", self.mode != plain.mode),
            ("follow_links", !self.follow_links),
            ("make_folder", self.make_folder),
            ("latest", self.latest.is_some()),
            ("rotation", self.rotation.is_some()),
            ("retention", self.retention.is_some()),
            ("compress", self.compress),
        ]
        .into_iter()
        .find_map(|(name, is_set)| is_set.then_some(name))
    }

    /// How its lines look, or why they cannot.
    fn format(&self) -> Result<Format, String> {
        if let Some(pattern) = &self.pattern {
            return Format::pattern(pattern).map_err(|error| {
                let told = error.to_string();
                format!("{} (at byte {})", told.lines().next().unwrap_or_default(), error.at())
            });
        }
        Ok(match self.format.unwrap_or_default() {
            FormatName::Text => Format::Text,
            FormatName::Json => Format::Json,
            FormatName::JsonOtel => Format::JsonOtel,
            FormatName::JsonEcs => Format::JsonEcs,
            FormatName::Logfmt => Format::Logfmt,
            FormatName::Console => Format::Console,
        })
    }

    /// The zone, or why there is none.
    fn zone(&self) -> Result<Zone, String> {
        match self.zone.as_str() {
            "UTC" => Ok(Zone::UTC),
            #[cfg(feature = "zones")]
            "local" => Zone::local().map_err(|error| error.to_string()),
            #[cfg(feature = "zones")]
            name => Zone::named(name).map_err(|error| error.to_string()),
            #[cfg(not(feature = "zones"))]
            _ => Err("the program was built without the feature `zones`".to_owned()),
        }
    }

    /// What is wrong with it, whatever the build. `within` is its key.
    pub(super) fn check(&self, within: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, value: String, reason: &str| {
            Err(ConfigError::new(format!("{within}.{key}"), value, reason))
        };
        if self.kind != SinkKind::File
            && let Some(key) = self.of_files()
        {
            let kind = self.kind.text();
            return wrong(
                key,
                String::new(),
                &format!("it is of files, and this sink is of the kind \"{kind}\""),
            );
        }
        if self.kind == SinkKind::File {
            match &self.path {
                None => return wrong("path", String::new(), "a file needs a path, and this sink has none"),
                Some(path) if path.as_os_str().is_empty() => {
                    return wrong("path", "\"\"".to_owned(), "a file needs a path, and this one is empty");
                }
                Some(_) => {}
            }
        }
        if let Err(reason) = self.options().check_filter() {
            return wrong("filter", format!("{:?}", self.filter.to_string()), reason);
        }
        if let (Some(format), Some(_)) = (self.format, &self.pattern) {
            let value = format!("\"{}\"", format.text());
            return wrong("format", value, "the sink has a `pattern`, too: leave one of them out");
        }
        if let Err(reason) = self.format() {
            return wrong("pattern", format!("{:?}", self.pattern.as_deref().unwrap_or_default()), &reason);
        }
        if cfg!(feature = "zones")
            && let Err(reason) = self.zone()
        {
            return wrong("zone", format!("{:?}", self.zone), &reason);
        }
        match &self.rotation {
            Some(RotationConfig { period: None, bytes: None }) => {
                wrong("rotation", String::new(), "it needs a `period`, or `bytes`, or both")
            }
            Some(RotationConfig { bytes: Some(0), .. }) => {
                wrong("rotation.bytes", "0".to_owned(), "no line has room in a file of 0 bytes")
            }
            _ if self.mode > 0o7777 => {
                wrong("mode", format!("{:#o}", self.mode), "a mode has octal digits up to 7777")
            }
            _ => Ok(()),
        }
    }

    /// Which records it gets.
    fn options(&self) -> SinkOptions {
        SinkOptions::default().level(self.level).filter(self.filter.clone())
    }

    /// Adds it to a builder. It has been checked.
    pub(super) fn add_to(&self, builder: Builder, within: &str) -> Result<Builder, ConfigError> {
        let format = self.format().map_err(|why| ConfigError::new(format!("{within}.pattern"), "", why))?;
        let zone = self
            .zone()
            .map_err(|why| ConfigError::new(format!("{within}.zone"), format!("{:?}", self.zone), why))?;
        let options = self.options().format(format).zone(zone);
        let path = match self.kind {
            SinkKind::Stderr => return Ok(builder.sink_with(ConsoleSink::stderr(), options)),
            SinkKind::Stdout => return Ok(builder.sink_with(ConsoleSink::stdout(), options)),
            SinkKind::File => self.path.as_deref().unwrap_or("".as_ref()),
        };
        let mut sink = if self.truncate { FileSink::create(path) } else { FileSink::append(path) };
        sink = sink.mode(self.mode).follow_links(self.follow_links).make_folder(self.make_folder);
        if let Some(link) = &self.latest {
            sink = sink.latest(link);
        }
        if let Some(rotation) = self.rotation.as_ref().and_then(RotationConfig::rotation) {
            sink = sink.rotate(rotation.in_zone(zone));
        }
        if let Some(retention) = &self.retention {
            sink = sink.keep(retention.retention());
        }
        #[cfg(feature = "compress")]
        let sink = sink.compress(self.compress);
        if cfg!(not(feature = "compress")) && self.compress {
            let key = format!("{within}.compress");
            return Err(ConfigError::new(
                key,
                "true",
                "the program was built without the feature `compress`",
            ));
        }
        Ok(builder.sink_with(sink, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_and_retention_are_as_by_hand() {
        let rotation = |period, bytes| RotationConfig { period, bytes }.rotation();
        assert_eq!(rotation(Some(Period::Day), None), Some(Rotation::every(Period::Day)));
        assert_eq!(rotation(None, Some(7)), Some(Rotation::bytes(7)));
        assert_eq!(rotation(Some(Period::Hour), Some(7)), Some(Rotation::every(Period::Hour).or_bytes(7)));
        assert_eq!(rotation(None, None), None);
        let retention = |files, age, bytes| RetentionConfig { files, age, bytes }.retention();
        let (keep, age) = (Retention::default(), Duration::from_secs(9));
        assert_eq!(retention(None, None, None), keep);
        assert_eq!(retention(Some(3), None, None), keep.files(3));
        assert_eq!(retention(None, Some(age), None), keep.age(age));
        assert_eq!(retention(None, None, Some(5)), keep.bytes(5));
    }
}
