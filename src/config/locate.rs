//! Where in a text of TOML a mistake stands.
#![forbid(unsafe_code)]

use core::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// The line, from 1, in which a byte stands.
pub(super) fn line(text: &[u8], at: usize) -> usize {
    text.iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// What the parser says, by key, value and line.
pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> ConfigError {
    let Some(span) = error.span() else { return ConfigError::new("", "", error.message()) };
    let table = DeTable::parse(text).ok();
    let entry = table.as_ref().and_then(|table| in_table("", table.get_ref(), span.start));
    let (key, value) = entry.unwrap_or_default();
    let value = text.get(value).unwrap_or_default();
    ConfigError::new(key, value, error.message()).at_line(line(text.as_bytes(), span.start))
}

/// The same error with the line in which its key stands, or the table that lacks it.
pub(super) fn of_key(text: &str, error: ConfigError) -> ConfigError {
    let table = DeTable::parse(text).ok();
    let at = table.as_ref().and_then(|table| place(table.get_ref(), error.key()));
    match at {
        Some(at) => error.at_line(line(text.as_bytes(), at)),
        None => error,
    }
}

/// The innermost key at which a byte stands, in front of it or in its value, and where its value is, if that is no table.
fn in_table(within: &str, table: &DeTable<'_>, at: usize) -> Option<(String, Range<usize>)> {
    let dot = if within.is_empty() { "" } else { "." };
    let mut found = table.iter().filter_map(|(key, value)| {
        let name = format!("{within}{dot}{}", key.get_ref());
        let is_here = key.span().contains(&at) || value.span().contains(&at);
        in_value(&name, value, at).or_else(|| is_here.then(|| (name, scalar(value))))
    });
    found.next()
}

fn in_value(name: &str, value: &Spanned<DeValue<'_>>, at: usize) -> Option<(String, Range<usize>)> {
    match value.get_ref() {
        DeValue::Table(table) => in_table(name, table, at),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, value)| {
            let name = format!("{name}[{index}]");
            in_value(&name, value, at).or_else(|| value.span().contains(&at).then(|| (name, scalar(value))))
        }),
        _ => None,
    }
}

/// Where a value stands; nowhere when it is a table.
fn scalar(value: &Spanned<DeValue<'_>>) -> Range<usize> {
    if value.get_ref().is_table() { 0..0 } else { value.span() }
}

/// Where a key such as `sinks[0].path` stands, or what is there of it.
fn place(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (mut table, mut at) = (table, None);
    for part in key.split('.') {
        let (name, index) = part.split_once('[').map_or((part, None), |(name, rest)| (name, Some(rest)));
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        at = Some(key.span().start);
        let index = index.and_then(|rest| rest.trim_end_matches(']').parse::<usize>().ok());
        let value = match (value.get_ref(), index) {
            (DeValue::Array(array), Some(index)) => {
                let Some(value) = array.get(index) else { break };
                at = Some(value.span().start);
                value
            }
            _ => value,
        };
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    at
}
