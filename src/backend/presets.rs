//! Presets: builders with the settings of a common case.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::Path;

use super::builder::{Builder, builder};
use crate::format::Format;
use crate::level::LevelFilter;
use crate::sink::{ConsoleSink, FileSink, Period, Retention, Rotation, SinkOptions};

impl Builder {
    /// For a developer's terminal. What it does not set is as [`builder`](crate::builder()) has it; methods called on it
    /// change it, and sinks add up.
    ///
    /// | setting | value |
    /// |---|---|
    /// | [`level`](Builder::level) | debug |
    /// | [`sink_with`](Builder::sink_with) | standard error, every record: [`Format::Console`] when that is a terminal now, else [`Format::Text`] |
    /// | [`panic_hook`](Builder::panic_hook) | on |
    ///
    /// ```
    /// let guard = kakashi::Builder::development().start()?;
    /// kakashi::debug!("3 orders open");
    /// # Ok::<(), kakashi::StartError>(())
    /// ```
    pub fn development() -> Builder {
        let format = if std::io::stderr().is_terminal() { Format::Console } else { Format::Text };
        builder()
            .level(LevelFilter::Debug)
            .sink_with(ConsoleSink::stderr(), SinkOptions::default().format(format))
            .panic_hook(true)
    }

    /// For a service, with its log in the file at `path`. What it does not set is as [`builder`](crate::builder()) has it;
    /// methods called on it change it, and sinks add up.
    ///
    /// | setting | value |
    /// |---|---|
    /// | [`level`](Builder::level) | info |
    /// | [`sink`](Builder::sink) | [`FileSink::append`] at `path`, every record, as text |
    /// | its [`make_folder`](FileSink::make_folder) | yes |
    /// | its [`rotate`](FileSink::rotate) | at midnight (UTC), and before the file exceeds 1 GiB |
    /// | its [`keep`](FileSink::keep) | 30 old files |
    /// | [`sink_with`](Builder::sink_with) | standard error, errors, as text |
    /// | [`crash_handler`](Builder::crash_handler) | on |
    /// | [`panic_hook`](Builder::panic_hook) | on |
    ///
    /// ```
    /// # let dir = std::env::temp_dir().join(format!("kakashi-preset-{}", std::process::id()));
    /// # let path = dir.join("app.log");
    /// let guard = kakashi::Builder::production(&path).start()?;
    /// kakashi::info!("listening");
    /// # guard.shutdown(std::time::Duration::from_secs(5))?;
    /// # assert!(std::fs::read_to_string(&path)?.ends_with("listening\n"));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn production(path: impl AsRef<Path>) -> Builder {
        let file = FileSink::append(path)
            .make_folder(true)
            .rotate(Rotation::every(Period::Day).or_bytes(1 << 30))
            .keep(Retention::default().files(30));
        builder()
            .level(LevelFilter::Info)
            .sink(file)
            .sink_with(ConsoleSink::stderr(), SinkOptions::default().level(LevelFilter::Error))
            .crash_handler(true)
            .panic_hook(true)
    }
}
