//! How grave a record is, and which records pass.
#![forbid(unsafe_code)]

use core::fmt;
use core::str::FromStr;

/// The gravity of a record, most grave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something is wrong, and the program goes on.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What a developer wants to know.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// The level's name in capitals, as it stands in a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which levels pass: those at least as grave as the named one, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum LevelFilter {
    /// Nothing passes.
    Off = 0,
    /// Errors pass.
    Error = 1,
    /// Errors and warnings pass.
    Warn = 2,
    /// All but debug and trace records pass.
    Info = 3,
    /// All but trace records pass.
    Debug = 4,
    /// Everything passes.
    Trace = 5,
}

impl LevelFilter {
    /// Whether a record of `level` passes.
    #[inline(always)]
    pub const fn allows(self, level: Level) -> bool {
        level as u8 <= self as u8
    }

    /// The name by which [`FromStr`] reads it.
    pub(crate) const fn as_str(self) -> &'static str {
        NAMES[self as usize]
    }

    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        }
    }
}

const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        LevelFilter::from_u8(level as u8)
    }
}

/// A name that is no level.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseLevelError {
    name: String,
}

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no level: off, error, warn, info, debug and trace are", self.name.escape_default())
    }
}

impl std::error::Error for ParseLevelError {}

impl FromStr for LevelFilter {
    type Err = ParseLevelError;

    /// Reads a level's name in any case, or `off`.
    ///
    /// # Errors
    /// [`ParseLevelError`] names what is no level, and the names that are.
    fn from_str(name: &str) -> Result<Self, ParseLevelError> {
        NAMES
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known))
            .map(|at| LevelFilter::from_u8(at as u8))
            .ok_or_else(|| ParseLevelError { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_pass_what_is_grave_enough() {
        assert!(LevelFilter::Info.allows(Level::Error));
        assert!(LevelFilter::Info.allows(Level::Info));
        assert!(!LevelFilter::Info.allows(Level::Debug));
        assert!(!LevelFilter::Off.allows(Level::Error));
        assert_eq!("WaRn".parse(), Ok(LevelFilter::Warn));
        assert!("loud".parse::<LevelFilter>().unwrap_err().to_string().contains("`loud`"));
    }
}
