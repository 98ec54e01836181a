//! Which records are wanted, by level and target: `info,orders=debug,net::tcp=trace`.
//!
//! Decision: there is one filter, and none for each sink, which has a level instead. A sink's level is one comparison per
//! record, made by the writer for whole rows of records, by a crash handler, and by a recovery from a number in the black
//! box; a target would have to be looked up for each record in all three, and the directives lie in the box.
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use crate::level::LevelFilter;

/// Which records are wanted, read from a text such as `warn,orders=debug,net::tcp=trace`.
///
/// The text is a list with commas between, as `env_logger` and tracing's `EnvFilter` have it:
///
/// | directive | means |
/// |---|---|
/// | `level` | what no other directive names, from that level on |
/// | `target=level` | that target, and the modules in it |
/// | `target` | likewise, at `trace` |
///
/// A level is `off`, `error`, `warn`, `info`, `debug` or `trace`, in any case. A target is the name of a
/// [`Logger`](crate::Logger), the path of a module, or the target of a record of the `log` or `tracing` crate. `net`
/// names `net` and `net::tcp`, and not `network`; of several that name a target the longest counts, and of two directives
/// of one target the later. A statement that logs through a [`Logger`](crate::Logger) goes by the logger's name, if a
/// directive names that, and else by its module, as all other statements do, also those that name a channel.
///
/// Without a bare level, what no directive names keeps the level that was set before
/// ([`Builder::level`](crate::Builder::level), [`set_level`](crate::set_level); `info` at first).
///
/// Fields, spans and texts of messages cannot be filtered by: the switch that a log call looks at is set before there
/// are any. Such a directive is an error.
///
/// ```
/// use kakashi::Filter;
///
/// let filter: Filter = "warn,orders=debug".parse()?;
/// assert_eq!(filter.to_string(), "warn,orders=debug");
/// let error = "warn,orders=loud".parse::<Filter>().unwrap_err();
/// assert!(error.to_string().contains("`loud` is no level"));
/// # Ok::<(), kakashi::FilterError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    rest: Option<LevelFilter>,
    /// No target twice; longer ones first, so that the first that names a target is the one that counts.
    directives: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// The level of what no directive names.
    pub(crate) fn rest(&self) -> Option<LevelFilter> {
        self.rest
    }

    /// The level of a target, if a directive names it.
    pub(crate) fn level_of(&self, target: &str) -> Option<LevelFilter> {
        self.directives.iter().find(|(within, _)| is_within(target, within)).map(|(_, level)| *level)
    }

    /// The most that a directive with a target lets pass.
    pub(crate) fn most(&self) -> LevelFilter {
        self.directives.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::Off)
    }

    fn add(&mut self, target: &str, level: LevelFilter) {
        self.directives.retain(|(known, _)| known != target);
        let at = self.directives.partition_point(|(known, _)| known.len() >= target.len());
        self.directives.insert(at, (target.to_owned(), level));
    }
}

/// Whether `target` is `within`, or a module in it.
fn is_within(target: &str, within: &str) -> bool {
    target.strip_prefix(within).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl From<LevelFilter> for Filter {
    fn from(level: LevelFilter) -> Self {
        Filter { rest: Some(level), directives: Vec::new() }
    }
}

impl fmt::Display for Filter {
    /// Writes a text that is read as an equal filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rest.map_or("", LevelFilter::as_str))?;
        for (at, (target, level)) in self.directives.iter().enumerate() {
            let comma = if at > 0 || self.rest.is_some() { "," } else { "" };
            write!(f, "{comma}{target}={}", level.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Reads a list of directives. Spaces around them and empty ones are left out.
    ///
    /// # Errors
    /// [`FilterError`] shows the directive that is none, and names what there is.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut filter = Filter::default();
        let mut start = 0;
        for part in text.split(',') {
            let at = start + (part.len() - part.trim_start().len());
            start += part.len() + 1;
            read(&mut filter, part.trim()).map_err(|(spot, what)| FilterError {
                text: text.to_owned(),
                spot: at + spot.start..at + spot.end,
                what,
                variable: None,
            })?;
        }
        Ok(filter)
    }
}

/// Adds a directive; where in it something is wrong, and what.
fn read(filter: &mut Filter, directive: &str) -> Result<(), (Range<usize>, String)> {
    let all = 0..directive.len();
    if directive.is_empty() {
        return Ok(());
    }
    if let Some(at) = directive.find(['[', '{']) {
        return Err((at..all.end, "fields and spans are not supported, levels and targets are".to_owned()));
    }
    if let Some(at) = directive.find('/') {
        return Err((at..all.end, "texts of messages are not supported, levels and targets are".to_owned()));
    }
    let (target, level) = match directive.split_once('=') {
        None => match directive.parse() {
            Ok(level) => {
                filter.rest = Some(level);
                return Ok(());
            }
            Err(_) => (directive, LevelFilter::Trace),
        },
        Some((target, level)) => {
            let (at, name) = (target.len() + 1, level.trim());
            if name.is_empty() {
                return Err((at..at + 1, "a level is missing behind `=`".to_owned()));
            }
            let spaces = level.len() - level.trim_start().len();
            let spot = at + spaces..at + spaces + name.len();
            let level =
                name.parse().map_err(|_| (spot, format!("`{}` is no level", name.escape_default())))?;
            (target.trim_end(), level)
        }
    };
    if target.is_empty() {
        return Err((0..1, "a target is missing before `=`".to_owned()));
    }
    let odd = |char: char| char.is_whitespace() || char.is_control() || matches!(char, ']' | '}' | '"');
    if let Some((at, char)) = target.char_indices().find(|&(_, char)| odd(char)) {
        return Err((at..at + char.len_utf8(), format!("no target holds `{}`", char.escape_default())));
    }
    if target.starts_with("::") || target.ends_with("::") {
        return Err((0..target.len(), "a module's path neither begins nor ends with `::`".to_owned()));
    }
    filter.add(target, level);
    Ok(())
}

/// A text that is no [`Filter`]: its `Display` shows the spot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterError {
    text: String,
    /// Bytes of the text; it may lie at its end.
    spot: Range<usize>,
    what: String,
    /// The environment's variable that the text is from.
    variable: Option<String>,
}

impl FilterError {
    /// A variable that is no UTF-8.
    pub(crate) fn not_unicode(text: String) -> Self {
        let spot = text.find(char::REPLACEMENT_CHARACTER).unwrap_or(0);
        let what = "it is not UTF-8".to_owned();
        FilterError { spot: spot..spot + char::REPLACEMENT_CHARACTER.len_utf8(), text, what, variable: None }
    }

    pub(crate) fn of_variable(mut self, name: &str) -> Self {
        self.variable = Some(name.to_owned());
        self
    }

    /// What is wrong, in one line.
    #[cfg(feature = "config")]
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Where in the text what is wrong stands: a range of bytes, which may begin at the text's end.
    pub fn spot(&self) -> Range<usize> {
        self.spot.clone()
    }
}

/// A part of the text as it is shown, so that it can do nothing to a terminal.
fn shown(part: &str) -> String {
    let plain = |char: char| char == ' ' || char.is_ascii_graphic() || char.is_alphanumeric();
    part.chars()
        .flat_map(|char| if plain(char) { vec![char] } else { char.escape_default().collect() })
        .collect()
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |range: Range<usize>| shown(self.text.get(range).unwrap_or_default());
        let (before, spot) = (part(0..self.spot.start), part(self.spot.clone()));
        let behind = part(self.spot.end.min(self.text.len())..self.text.len());
        let name = self.variable.as_deref().map(shown).unwrap_or_default();
        let (carets, indent) = (spot.chars().count().max(1), before.chars().count());
        writeln!(f, "{name}{}no filter: {}", if name.is_empty() { "" } else { ": " }, self.what)?;
        writeln!(f, "  {before}{spot}{behind}")?;
        writeln!(f, "  {:indent$}{:^<carets$}", "", "")?;
        f.write_str(
            "a filter is a list, with commas between, of `level`, `target=level` and `target`; \
             levels are off, error, warn, info, debug and trace",
        )
    }
}

impl std::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn level(text: &str, target: &str) -> Option<LevelFilter> {
        text.parse::<Filter>().expect("it is one").level_of(target)
    }

    #[test]
    fn the_longest_and_the_later_directive_count() {
        let text = " info , net=warn,net::tcp = TRACE,,orders,net=error,odd-name=off,";
        assert_eq!(level(text, "net"), Some(LevelFilter::Error));
        assert_eq!(level(text, "net::udp::socket"), Some(LevelFilter::Error));
        assert_eq!(level(text, "net::tcp"), Some(LevelFilter::Trace));
        assert_eq!(level(text, "net::tcp::window"), Some(LevelFilter::Trace));
        assert_eq!(level(text, "net::tcpip"), Some(LevelFilter::Error));
        assert_eq!(level(text, "network"), None);
        assert_eq!(level(text, "ne"), None);
        assert_eq!(level(text, "orders"), Some(LevelFilter::Trace));
        assert_eq!(level(text, "odd-name"), Some(LevelFilter::Off));
        let filter: Filter = text.parse().expect("it is one");
        assert_eq!((filter.rest(), filter.most()), (Some(LevelFilter::Info), LevelFilter::Trace));
        assert_eq!("off,warn".parse(), Ok(Filter::from(LevelFilter::Warn)));
        assert_eq!(" , ".parse(), Ok(Filter::default()));
    }

    #[test]
    fn an_error_shows_the_spot_and_what_there_is() {
        let error = |text: &str| text.parse::<Filter>().expect_err("it is none").to_string();
        for (text, what, carets) in [
            ("info,orders=loud", "`loud` is no level", "            ^^^^"),
            ("info, orders =  loud , warn", "`loud` is no level", "                ^^^^"),
            ("a=info=debug", "`info=debug` is no level", "  ^^^^^^^^^^"),
            ("info,orders=", "a level is missing behind `=`", "            ^"),
            ("=debug,info", "a target is missing before `=`", "^"),
            ("info,[user_id=7]=trace", "fields and spans are not supported", "     ^^^^^^^^^^^^^^^^^"),
            ("my[span{id=7,x=8}]=trace", "fields and spans are not supported", "  ^^^^^^^^^^"),
            ("info/timeout", "texts of messages are not supported", "    ^^^^^^^^"),
            ("größe=debug,a b=info", "no target holds ` `", "             ^"),
            ("a\u{1b}b", "no target holds `\\u{1b}`", " ^^^^^^"),
            ("net::=debug", "neither begins nor ends", "^^^^^"),
        ] {
            let error = error(text);
            let lines: Vec<&str> = error.lines().collect();
            assert!(lines[0].starts_with("no filter: ") && lines[0].contains(what), "{error}");
            assert_eq!(lines[2], format!("  {carets}"), "{error}");
            assert!(lines[3].contains("off, error, warn, info, debug and trace"), "{error}");
            assert!(!error.contains('\u{1b}'));
        }
        let named = "x=y".parse::<Filter>().expect_err("it is none").of_variable("APP_LOG").to_string();
        assert!(named.starts_with("APP_LOG: no filter: "), "{named}");
        assert!(FilterError::not_unicode("a\u{fffd}".to_owned()).to_string().contains("UTF-8"));
    }

    /// What a directive list means, by going over all of it.
    fn naive(directives: &[(Vec<&str>, LevelFilter)], target: &[&str]) -> Option<LevelFilter> {
        let mut best: Option<(usize, LevelFilter)> = None;
        for (path, level) in directives {
            if target.len() >= path.len()
                && target[..path.len()] == path[..]
                && best.is_none_or(|(len, _)| path.len() >= len)
            {
                best = Some((path.len(), *level));
            }
        }
        best.map(|(_, level)| level)
    }

    fn path() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(vec!["a", "aa", "b", "a-b", "é"]), 1..4)
    }

    proptest! {
        #[test]
        fn it_means_what_a_naive_reading_means(
            directives in prop::collection::vec((path(), 0_u8..6), 0..8),
            rest in prop::option::of(0_u8..6),
            targets in prop::collection::vec(path(), 1..8),
        ) {
            let directives: Vec<_> =
                directives.into_iter().map(|(path, level)| (path, LevelFilter::from_u8(level))).collect();
            let mut parts: Vec<String> =
                directives.iter().map(|(path, level)| format!("{}={}", path.join("::"), level.as_str())).collect();
            parts.extend(rest.map(|level| LevelFilter::from_u8(level).as_str().to_owned()));
            let filter: Filter = parts.join(",").parse().expect("it is one");
            for target in targets {
                prop_assert_eq!(filter.level_of(&target.join("::")), naive(&directives, &target));
            }
            prop_assert_eq!(filter.rest(), rest.map(LevelFilter::from_u8));
            prop_assert_eq!(filter.to_string().parse(), Ok(filter));
        }

        #[test]
        fn any_text_is_a_filter_or_an_error_that_can_be_shown(text in "[a-z:=,\\[\\]{}/ \\PC\\pC]{0,40}") {
            match text.parse::<Filter>() {
                Ok(filter) => prop_assert_eq!(filter.to_string().parse(), Ok(filter)),
                Err(error) => {
                    prop_assert!(error.spot().start <= text.len());
                    prop_assert_eq!(error.to_string().lines().count(), 4);
                }
            }
        }
    }
}
