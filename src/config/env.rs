//! Variables of the environment, which count rather than a file.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::error::ConfigError;
use super::text::Text;
use super::{BlackBoxConfig, Config};

/// Sets what a variable says.
type Set = fn(&mut Config, &str) -> Result<(), String>;

/// Reads a text into a place.
fn set<T: Text>(place: &mut T, text: &str) -> Result<(), String> {
    *place = T::read(text)?;
    Ok(())
}

/// What stands behind the prefix. `BLACK_BOX` comes before `BLACK_BOX_ON_DISK`.
const VARIABLES: &[(&str, Set)] = &[
    ("LEVEL", |config, text| set(&mut config.level, text)),
    ("FILTER", |config, text| set(&mut config.filter, text)),
    ("BACKTRACE_LEVEL", |config, text| set(&mut config.backtrace.level, text)),
    ("BACKTRACE_RECORDS", |config, text| set(&mut config.backtrace.records, text)),
    ("IDLE", |config, text| set(&mut config.idle, text)),
    ("WRITER_CORE", |config, text| set(&mut config.writer_core, text)),
    ("CLOCK", |config, text| set(&mut config.clock, text)),
    ("SHUTDOWN_TIMEOUT", |config, text| set(&mut config.shutdown_timeout, text)),
    ("CRASH_HANDLER", |config, text| set(&mut config.crash_handler, text)),
    ("PANIC_HOOK", |config, text| set(&mut config.panic_hook, text)),
    ("LOG_FACADE", |config, text| set(&mut config.log_facade, text)),
    ("RETRY_LIMIT", |config, text| set(&mut config.retry.limit, text)),
    ("RETRY_FIRST_PAUSE", |config, text| set(&mut config.retry.first_pause, text)),
    ("RETRY_LONGEST_PAUSE", |config, text| set(&mut config.retry.longest_pause, text)),
    ("BLACK_BOX_ON_DISK", |config, text| match &mut config.black_box {
        Some(black_box) => set(&mut black_box.on_disk, text),
        None => Err("there is no black box, whose path it would go with".to_owned()),
    }),
];

impl Config {
    /// Sets what variables of the environment say; those that are not there change nothing. With the prefix `KAKASHI`:
    ///
    /// | variable | sets | example |
    /// |---|---|---|
    /// | `KAKASHI_LEVEL` | `level` | `debug` |
    /// | `KAKASHI_FILTER` | `filter`, whole | `warn,orders=debug` |
    /// | `KAKASHI_BACKTRACE_LEVEL` | `backtrace.level` | `debug` |
    /// | `KAKASHI_BACKTRACE_RECORDS` | `backtrace.records` | `32` |
    /// | `KAKASHI_IDLE` | `idle` | `spin` |
    /// | `KAKASHI_WRITER_CORE` | `writer_core` | `3` |
    /// | `KAKASHI_CLOCK` | `clock` | `ordered` |
    /// | `KAKASHI_SHUTDOWN_TIMEOUT` | `shutdown_timeout` | `2s` |
    /// | `KAKASHI_CRASH_HANDLER` | `crash_handler` | `true` |
    /// | `KAKASHI_PANIC_HOOK` | `panic_hook` | `true` |
    /// | `KAKASHI_LOG_FACADE` | `log_facade` | `true` |
    /// | `KAKASHI_RETRY_LIMIT` | `retry.limit` | `1m` |
    /// | `KAKASHI_RETRY_FIRST_PAUSE` | `retry.first_pause` | `1ms` |
    /// | `KAKASHI_RETRY_LONGEST_PAUSE` | `retry.longest_pause` | `1s` |
    /// | `KAKASHI_BLACK_BOX` | `black_box.path`; without a value: no black box | `/dev/shm/app.box` |
    /// | `KAKASHI_BLACK_BOX_ON_DISK` | `black_box.on_disk` | `false` |
    ///
    /// Sinks have no variables, and other variables with the prefix are left alone.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable, its value and the reason.
    ///
    /// ```no_run
    /// let config = kakashi::Config::from_file("/etc/app/log.toml")?.with_env("KAKASHI")?;
    /// # Ok::<(), kakashi::ConfigError>(())
    /// ```
    pub fn with_env(self, prefix: &str) -> Result<Config, ConfigError> {
        self.with_variables(prefix, |name| std::env::var_os(name))
    }

    fn with_variables(
        mut self,
        prefix: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, ConfigError> {
        // A path need not be UTF-8.
        if let Some(path) = variable(&format!("{prefix}_BLACK_BOX")) {
            let on_disk = self.black_box.is_some_and(|black_box| black_box.on_disk);
            let is_one = !path.as_bytes().is_empty();
            self.black_box = is_one.then(|| BlackBoxConfig { path: path.into(), on_disk });
        }
        for (name, set) in VARIABLES {
            let name = format!("{prefix}_{name}");
            let Some(value) = variable(&name) else { continue };
            let Some(text) = value.to_str() else {
                return Err(ConfigError::new(name, value.to_string_lossy(), "it is not UTF-8"));
            };
            set(&mut self, text).map_err(|reason| ConfigError::new(name, format!("{text:?}"), reason))?;
        }
        self.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::time::Duration;

    use super::*;
    use crate::config::WriterCore;
    use crate::level::LevelFilter;

    fn with(config: Config, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        config.with_variables("APP", |asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn each_key_has_a_variable_that_sets_it() {
        let all = [
            ("APP_LEVEL", "trace"),
            ("APP_FILTER", "orders=debug"),
            ("APP_BACKTRACE_LEVEL", "debug"),
            ("APP_BACKTRACE_RECORDS", "7"),
            ("APP_IDLE", "spin"),
            ("APP_WRITER_CORE", "3"),
            ("APP_CLOCK", "none"),
            ("APP_SHUTDOWN_TIMEOUT", "1m"),
            ("APP_CRASH_HANDLER", "true"),
            ("APP_PANIC_HOOK", "true"),
            ("APP_LOG_FACADE", "true"),
            ("APP_RETRY_LIMIT", "2s"),
            ("APP_RETRY_FIRST_PAUSE", "3ms"),
            ("APP_RETRY_LONGEST_PAUSE", "4s"),
            ("APP_BLACK_BOX", "/dev/shm/app.box"),
            ("APP_BLACK_BOX_ON_DISK", "true"),
        ];
        assert_eq!(all.len(), VARIABLES.len() + 1, "each is tried");
        let set = with(Config::default(), &all).expect("all are valid");
        let file = Config::from_toml(
            "level = 'trace'\nfilter = 'orders=debug'\nidle = 'spin'\nwriter_core = 3\nclock = 'none'\n\
             shutdown_timeout = '1m'\ncrash_handler = true\npanic_hook = true\nlog_facade = true\n\
             backtrace = { level = 'debug', records = 7 }\n\
             retry = { limit = '2s', first_pause = '3ms', longest_pause = '4s' }\n\
             black_box = { path = '/dev/shm/app.box', on_disk = true }",
        );
        assert_eq!(Ok(set), file);
        // Each key that is no list has one, and the documentation names it.
        let table: toml::Table = toml::from_str(Config::default_toml()).expect("it is TOML");
        let mut keys: Vec<String> = vec!["black_box".to_owned(), "black_box_on_disk".to_owned()];
        for (key, value) in &table {
            match value {
                toml::Value::Table(inner) => keys.extend(inner.keys().map(|inner| format!("{key}_{inner}"))),
                _ => keys.push(key.clone()),
            }
        }
        for key in keys {
            let key = key.to_uppercase();
            assert!(all.iter().any(|(name, _)| *name == format!("APP_{key}")), "{key} has no variable");
            assert!(include_str!("env.rs").contains(&format!("/// | `KAKASHI_{key}` |")), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_changes_nothing() {
        let file =
            Config::from_toml("level = 'warn'\nwriter_core = 'any'\nblack_box.path = '/dev/shm/a.box'");
        let file = file.expect("it is valid");
        assert_eq!(with(file.clone(), &[("APP_LOG", "?"), ("LEVEL", "?")]), Ok(file.clone()));
        let changed = with(file.clone(), &[("APP_SHUTDOWN_TIMEOUT", "1s"), ("APP_BLACK_BOX", "")]);
        let changed = changed.expect("it is valid");
        assert_eq!((changed.level, changed.writer_core), (LevelFilter::Warn, WriterCore::Any));
        assert_eq!((changed.shutdown_timeout, changed.black_box), (Duration::from_secs(1), None));
        assert_eq!(with(file, &[("APP_FILTER", "")]).map(|config| config.filter), Ok("".parse().unwrap()));
    }

    #[test]
    fn errors_name_the_variable() {
        for (name, value, reason) in [
            ("APP_LEVEL", "loud", "`loud` is no level"),
            ("APP_LEVEL", "", "is no level"),
            ("APP_FILTER", "info,a=loud", "`loud` is no level (at byte 7 of `info,a=loud`)"),
            ("APP_BACKTRACE_RECORDS", "many", "is no number"),
            ("APP_CRASH_HANDLER", "1", "neither true nor false"),
            ("APP_SHUTDOWN_TIMEOUT", "5", "lacks a unit"),
            ("APP_WRITER_CORE", "-1", "nor a core's number"),
            ("APP_BLACK_BOX_ON_DISK", "true", "there is no black box"),
        ] {
            let error = with(Config::default(), &[(name, value)]).expect_err(value);
            assert_eq!((error.key(), error.value()), (name, format!("{value:?}").as_str()));
            assert!(error.reason().contains(reason), "{error}");
            assert_eq!(error.line(), None);
        }
        let garbage = |asked: &str| (asked == "APP_LEVEL").then(|| OsString::from_vec(vec![0xFF]));
        let error = Config::default().with_variables("APP", garbage).expect_err("it is not UTF-8");
        assert_eq!((error.key(), error.reason()), ("APP_LEVEL", "it is not UTF-8"));
    }
}
