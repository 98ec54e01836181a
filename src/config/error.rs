//! What is wrong with a configuration.
#![forbid(unsafe_code)]

use core::fmt;
use std::path::{Path, PathBuf};

/// The most characters of a value that are shown.
const SHOWN: usize = 80;

/// Why there is no configuration: which key, which value, why, and where. Its `Display` is one line.
///
/// ```
/// let error = kakashi::Config::from_toml("[retry]\nlimit = \"5 years\"").unwrap_err();
/// assert_eq!(error.to_string().split(": ").next(), Some("line 2"));
/// assert_eq!((error.key(), error.value(), error.line()), ("retry.limit", "\"5 years\"", Some(2)));
/// assert!(error.reason().contains("`years` is no unit"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    key: String,
    value: String,
    reason: String,
    path: Option<PathBuf>,
    line: Option<usize>,
}

impl ConfigError {
    pub(super) fn new(key: impl Into<String>, value: impl Into<String>, reason: impl Into<String>) -> Self {
        let (key, value, reason) = (key.into(), value.into(), reason.into());
        ConfigError { key, value, reason, path: None, line: None }
    }

    pub(super) fn in_file(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    pub(super) fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// The key, such as `sinks[0].level`, or the variable of the environment. Empty when the text is no TOML, or the file
    /// cannot be read.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value as it was given. Empty when there is none, or it is a table.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong, and what there is.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The line of the file or text, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

/// A text that can do nothing to a terminal.
pub(super) fn shown(text: &str) -> String {
    let plain = |char: char| char == ' ' || char.is_ascii_graphic() || char.is_alphanumeric();
    text.chars()
        .flat_map(|char| if plain(char) { vec![char] } else { char.escape_default().collect() })
        .collect()
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{}:{line}: ", shown(&path.to_string_lossy()))?,
            (Some(path), None) => write!(f, "{}: ", shown(&path.to_string_lossy()))?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if !self.key.is_empty() {
            write!(f, "`{}`", shown(&self.key))?;
            if !self.value.is_empty() {
                let start: String = self.value.chars().take(SHOWN).collect();
                let cut = if start.len() < self.value.len() { "…" } else { "" };
                write!(f, " = {}{cut}", shown(&start))?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&shown(&self.reason))
    }
}

impl std::error::Error for ConfigError {}
