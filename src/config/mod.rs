//! All settings of a backend in one value, to be read from a file and the environment (feature `config`).
//!
//! Decision: every setting is checked where it stands, so that an error has its line; a text is turned into what it means
//! when it is read, so that a [`Config`] cannot hold a level that is none. Durations and sizes are read here and by no
//! crate: it is a table of units each, and of the crates some take a number without a unit, or a month for a duration.
#![forbid(unsafe_code)]

mod build;
mod env;
mod error;
mod locate;
mod sinks;
mod text;
mod units;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use sinks::{FormatName, RetentionConfig, RotationConfig, SinkConfig, SinkKind};

use crate::clock::Clock;
use crate::filter::Filter;
use crate::level::LevelFilter;
use crate::sink::Retry;
use crate::writer::Idle;

/// More than any configuration has; so much of a file is read.
const MOST_BYTES: u64 = 1 << 20;

/// The settings of a backend, as a file has them. `default()` is what [`builder`](crate::builder()) has; [`Config::builder`] makes a
/// [`Builder`](crate::Builder) of it, whose methods set what a file cannot hold, such as sinks of your own.
///
/// It is read from TOML ([`from_toml`](Config::from_toml), [`from_file`](Config::from_file)), and by serde from any format, such
/// as JSON (`serde_json::from_str::<Config>`); [`with_env`](Config::with_env) has variables of the environment count
/// rather. Every key has a default and may be left out; a key that there is not is an error.
/// [`default_toml`](Config::default_toml) has all keys, each with its default and what it does; `kakashi config --show`
/// prints that, and `kakashi config --check FILE` says whether a file is valid.
///
/// A duration is a text with units, `"5s"`, `"1m 30s"`, `"250ms"` (ns, us, ms, s, m, h, d); a size is one, too, `"1GiB"`, `"500kB"`,
/// or a number of bytes; a file's mode is an octal text, `"0640"`.
///
/// ```
/// use kakashi::{Config, LevelFilter};
///
/// # let folder = std::env::temp_dir().join(format!("kakashi-config-{}", std::process::id()));
/// let mut config = Config::from_toml(
///     r#"
///     level = "debug"
///     filter = "net=warn"
///     crash_handler = true
///
///     [[sinks]]
///     path = "/var/log/app/app.json"
///     format = "json"
///     make_folder = true
///     rotation = { period = "day", bytes = "1GiB" }
///     retention = { files = 30 }
///
///     [[sinks]]
///     kind = "stderr"
///     level = "error"
///     "#,
/// )?;
/// assert_eq!(config.level, LevelFilter::Debug);
/// # config.sinks[0].path = Some(folder.join("app.json"));
/// let guard = config.builder()?.start()?;
/// kakashi::info!("listening");
/// # guard.shutdown(std::time::Duration::from_secs(5))?;
/// # assert!(std::fs::read_to_string(folder.join("app.json"))?.contains("listening"));
/// # std::fs::remove_dir_all(&folder)?;
///
/// let error = Config::from_toml("clock = \"sundial\"").unwrap_err();
/// assert_eq!((error.key(), error.value(), error.line()), ("clock", "\"sundial\"", Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// [`Builder::level`](crate::Builder::level).
    #[serde(with = "text")]
    pub level: LevelFilter,
    /// [`Builder::filter`](crate::Builder::filter); an empty one takes back an earlier backend's.
    #[serde(with = "text")]
    pub filter: Filter,
    /// [`Builder::backtrace`](crate::Builder::backtrace); one that is off takes back an earlier backend's.
    pub backtrace: BacktraceConfig,
    /// [`Builder::idle`](crate::Builder::idle).
    #[serde(with = "text")]
    pub idle: Idle,
    /// [`Builder::writer_core`](crate::Builder::writer_core).
    #[serde(with = "text")]
    pub writer_core: WriterCore,
    /// [`Builder::clock`](crate::Builder::clock).
    #[serde(with = "text")]
    pub clock: Clock,
    /// [`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout).
    #[serde(with = "text")]
    pub shutdown_timeout: Duration,
    /// [`Builder::crash_handler`](crate::Builder::crash_handler).
    pub crash_handler: bool,
    /// [`Builder::panic_hook`](crate::Builder::panic_hook).
    pub panic_hook: bool,
    /// `Builder::log_facade`, in a build with the feature `log`.
    pub log_facade: bool,
    /// [`Builder::retry`](crate::Builder::retry).
    #[serde(with = "RetryKeys")]
    pub retry: Retry,
    /// [`Builder::black_box`](crate::Builder::black_box). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub black_box: Option<BlackBoxConfig>,
    /// The sinks. Default: none, by which text goes to standard error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            level: LevelFilter::Info,
            filter: Filter::default(),
            backtrace: BacktraceConfig::default(),
            idle: Idle::default(),
            writer_core: WriterCore::default(),
            clock: Clock::default(),
            shutdown_timeout: crate::backend::SHUTDOWN_TIMEOUT,
            crash_handler: false,
            panic_hook: false,
            log_facade: false,
            retry: Retry::default(),
            black_box: None,
            sinks: Vec::new(),
        }
    }
}

/// [`Builder::backtrace`](crate::Builder::backtrace).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct BacktraceConfig {
    /// From which level on records are held back. Default: off.
    #[serde(with = "text")]
    pub level: LevelFilter,
    /// How many of each thread. Default: 32.
    pub records: usize,
}

impl Default for BacktraceConfig {
    fn default() -> Self {
        BacktraceConfig { level: LevelFilter::Off, records: 32 }
    }
}

/// Where the writer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WriterCore {
    /// `"last"`: on the last core of those that the process could use when it began, if there are more than one.
    #[default]
    Last,
    /// `"any"`: where the scheduler puts it.
    Any,
    /// A number: on this core.
    Core(usize),
}

/// [`Builder::black_box`](crate::Builder::black_box).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct BlackBoxConfig {
    /// The file.
    pub path: PathBuf,
    /// Whether it may lie on a disk: [`Builder::black_box_on_disk`](crate::Builder::black_box_on_disk). Default: no.
    #[serde(default)]
    pub on_disk: bool,
}

/// The keys of a [`Retry`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Retry", default = "Retry::default", deny_unknown_fields)]
struct RetryKeys {
    #[serde(with = "text")]
    limit: Duration,
    #[serde(with = "text")]
    first_pause: Duration,
    #[serde(with = "text")]
    longest_pause: Duration,
}

impl Config {
    /// Reads TOML. Whether this build has the features that are asked for is seen by [`builder`](Config::builder).
    ///
    /// # Errors
    /// [`ConfigError`] names key, value, reason and line of the first mistake.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|error| locate::of_toml(text, &error))?;
        config.check().map_err(|error| locate::of_key(text, error))?;
        Ok(config)
    }

    /// Reads a file of TOML, of at most 1 MiB.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file, too: when it cannot be read, and as [`from_toml`](Config::from_toml).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let refused = |reason: String| ConfigError::new("", "", reason).in_file(path);
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|error| refused(format!("it cannot be read: {error}")))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(refused("it is longer than 1 MiB, and no configuration".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = locate::line(error.as_bytes(), error.utf8_error().valid_up_to());
            refused("it is not UTF-8".to_owned()).at_line(line)
        })?;
        Config::from_toml(&text).map_err(|error| error.in_file(path))
    }

    /// TOML with every key, its default, and what it does. What has no value by default stands behind a `#`.
    pub fn default_toml() -> &'static str {
        include_str!("default.toml")
    }
}
