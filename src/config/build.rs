//! From a configuration to a builder.
#![forbid(unsafe_code)]

use super::error::ConfigError;
use super::text::Text;
use super::{Config, WriterCore};
use crate::backend::{Builder, builder};
use crate::journal::MAX_SINKS;
use crate::sink::Retry;

impl Config {
    /// A builder with all of these settings. Its methods change it, and sinks add up. Nothing is opened before
    /// [`Builder::start`], which has errors of its own.
    ///
    /// # Errors
    /// [`ConfigError`] names key, value and reason: what [`from_toml`](Config::from_toml) would have refused, and what
    /// this build has not the feature for (`log`, `compress`, `zones`).
    pub fn builder(&self) -> Result<Builder, ConfigError> {
        self.check()?;
        let retry = Retry::default().limit(self.retry.limit);
        let mut built = builder()
            .level(self.level)
            .filter(self.filter.clone())
            .backtrace(self.backtrace.level, self.backtrace.records)
            .idle(self.idle)
            .clock(self.clock)
            .shutdown_timeout(self.shutdown_timeout)
            .retry(retry.pauses(self.retry.first_pause, self.retry.longest_pause))
            .crash_handler(self.crash_handler)
            .panic_hook(self.panic_hook);
        built = match self.writer_core {
            WriterCore::Last => built,
            WriterCore::Any => built.writer_core(None),
            WriterCore::Core(core) => built.writer_core(Some(core)),
        };
        built = match &self.black_box {
            None => built,
            Some(black_box) if black_box.on_disk => built.black_box_on_disk(&black_box.path),
            Some(black_box) => built.black_box(&black_box.path),
        };
        #[cfg(feature = "log")]
        let mut built = built.log_facade(self.log_facade);
        if cfg!(not(feature = "log")) && self.log_facade {
            let why = "the program was built without the feature `log`";
            return Err(ConfigError::new("log_facade", "true", why));
        }
        for (at, sink) in self.sinks.iter().enumerate() {
            built = sink.add_to(built, &format!("sinks[{at}]"))?;
        }
        Ok(built)
    }

    /// What is wrong with it, whatever the build.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Retry { first_pause, longest_pause, .. } = self.retry;
        if longest_pause < first_pause {
            let value = format!("\"{}\"", longest_pause.text());
            let why = format!("it is shorter than `first_pause`, {}", first_pause.text());
            return Err(ConfigError::new("retry.longest_pause", value, why));
        }
        if let Some(black_box) = &self.black_box
            && black_box.path.as_os_str().is_empty()
        {
            return Err(ConfigError::new("black_box.path", "\"\"", "a black box needs a path"));
        }
        if self.sinks.len() > MAX_SINKS {
            let why = format!("{} sinks are named, and at most {MAX_SINKS} can be", self.sinks.len());
            return Err(ConfigError::new("sinks", "", why));
        }
        self.sinks.iter().enumerate().try_for_each(|(at, sink)| sink.check(&format!("sinks[{at}]")))
    }
}
