//! Which records are wanted, by level, target and fields: `info,orders=debug,net::tcp=trace,[user_id=7]=trace`.
//!
//! There is one filter for the log, which decides what is made a record, and one for each sink that has one, which decides what
//! of that it gets. A sink's is asked by the writer for each record, by a crash handler, and by a recovery, which reads it in
//! the black box.
//!
//! Decision: a sink's filter goes by targets only. Fields would let the writer take each record apart that it otherwise copies,
//! and a crash handler, too; who wants the records of one user in a file of its own reads them out of JSON.
#![forbid(unsafe_code)]

use core::fmt::{self, Write as _};
use core::ops::Range;
use core::str::FromStr;

use crate::level::{Level, LevelFilter};

/// Which records are wanted, read from a text such as `warn,orders=debug,net::tcp=trace`.
///
/// The text is a list with commas between, as `env_logger` and tracing's `EnvFilter` have it:
///
/// | directive | means |
/// |---|---|
/// | `level` | what no other directive names, from that level on |
/// | `target=level` | that target, and the modules in it |
/// | `target` | likewise, at `trace` |
/// | `[field=value]=level` | records with such a field, from that level on; without a level, all of them |
/// | `target[field=value]=level` | likewise, of that target only |
/// | `[{one=1,two}]=level` | records with all of these fields, of which `two` may have any value |
/// | `[span{field=value}]=level` | likewise for a field of a span of the `tracing` crate, in whose lines it is `span.field` |
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
/// # Fields
///
/// A directive with fields lets records pass that the others keep out; it keeps none out itself. A record's fields are
/// those of its line: its own, those of the thread's [`context!`](crate::context!) or the logger's
/// ([`Logger::with`](crate::Logger::with)), those of its spans. A value is compared with what stands in the line;
/// numbers are the same as numbers (`1` and `1.0`). One with a comma, a space, `"` or a bracket stands in double quotes, with `\`
/// before each `"` and `\` in it.
///
/// While there is such a directive, a call that only it can let pass is evaluated as if it were on, and looks through
/// its fields; a call that is on anyhow reads its clock in a less direct way. See the benchmark report.
///
/// Texts of messages cannot be filtered by. Such a directive is an error.
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
    by_fields: Vec<ByFields>,
}

/// A directive with fields: a record that has all of them passes, from a level on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByFields {
    /// Empty: any.
    target: String,
    /// Names, and texts of values; `None` is any.
    fields: Vec<(String, Option<String>)>,
    level: LevelFilter,
}

impl ByFields {
    /// Whether a record of that level, known by these targets, passes, given whether it has a field of some name and value.
    pub(crate) fn lets_pass(
        &self,
        level: Level,
        targets: &[&str],
        has: impl Fn(&str, Option<&str>) -> bool,
    ) -> bool {
        self.level.allows(level)
            && (self.target.is_empty() || targets.iter().any(|target| is_within(target, &self.target)))
            && self.fields.iter().all(|(name, value)| has(name, value.as_deref()))
    }
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

    /// Whether a sink with this filter gets a record of that level and target. Async-signal-safe.
    pub(crate) fn passes(&self, level: Level, target: &str) -> bool {
        let limit = self.level_of(target).or(self.rest);
        limit.is_none_or(|limit| limit.allows(level))
    }

    /// The directives with fields.
    pub(crate) fn by_fields(&self) -> &[ByFields] {
        &self.by_fields
    }

    /// The most that one of these lets pass.
    pub(crate) fn most_by_fields(&self) -> LevelFilter {
        self.by_fields.iter().map(|directive| directive.level).max().unwrap_or(LevelFilter::Off)
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
        Filter { rest: Some(level), ..Filter::default() }
    }
}

impl fmt::Display for Filter {
    /// Writes a text that is read as an equal filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rest.map_or("", LevelFilter::as_str))?;
        let mut comma = if self.rest.is_some() { "," } else { "" };
        for (target, level) in &self.directives {
            write!(f, "{comma}{target}={}", level.as_str())?;
            comma = ",";
        }
        for ByFields { target, fields, level } in &self.by_fields {
            write!(f, "{comma}{target}[{{")?;
            for (at, (name, value)) in fields.iter().enumerate() {
                f.write_str(if at > 0 { "," } else { "" })?;
                f.write_str(name)?;
                if let Some(value) = value {
                    f.write_str("=\"")?;
                    for char in value.chars() {
                        f.write_str(if matches!(char, '"' | '\\') { "\\" } else { "" })?;
                        f.write_char(char)?;
                    }
                    f.write_str("\"")?;
                }
            }
            write!(f, "}}]={}", level.as_str())?;
            comma = ",";
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
        for part in parts(text) {
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

/// The parts of a text between commas that stand neither in brackets nor in quotes.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    text.split(move |char| {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if depth > 0 => quoted = !quoted,
            _ if quoted => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' => return depth == 0,
            _ => {}
        }
        false
    })
}

/// Where in a directive something is wrong, and what.
type Wrong = (Range<usize>, String);

/// Adds a directive.
fn read(filter: &mut Filter, directive: &str) -> Result<(), Wrong> {
    let all = 0..directive.len();
    if directive.is_empty() {
        return Ok(());
    }
    if let Some(at) = directive.find('[') {
        return read_by_fields(filter, directive, at);
    }
    if let Some(at) = directive.find('{') {
        return Err((at..at + 1, "fields stand in brackets, as in `[{field}]`".to_owned()));
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
        Some((target, level)) => (target.trim_end(), read_level(level, target.len() + 1)?),
    };
    if target.is_empty() {
        return Err((0..1, "a target is missing before `=`".to_owned()));
    }
    check_target(target)?;
    filter.add(target, level);
    Ok(())
}

/// The level behind a `=`, which ends at `at`.
fn read_level(text: &str, at: usize) -> Result<LevelFilter, Wrong> {
    let name = text.trim();
    if name.is_empty() {
        return Err((at..at + 1, "a level is missing behind `=`".to_owned()));
    }
    let at = at + (text.len() - text.trim_start().len());
    name.parse().map_err(|_| (at..at + name.len(), format!("`{}` is no level", name.escape_default())))
}

fn check_target(target: &str) -> Result<(), Wrong> {
    let odd = |char: char| char.is_whitespace() || char.is_control() || matches!(char, ']' | '{' | '}' | '"');
    if let Some((at, char)) = target.char_indices().find(|&(_, char)| odd(char)) {
        return Err((at..at + char.len_utf8(), format!("no target holds `{}`", char.escape_default())));
    }
    if target.starts_with("::") || target.ends_with("::") {
        return Err((0..target.len(), "a module's path neither begins nor ends with `::`".to_owned()));
    }
    Ok(())
}

/// Adds a directive with fields, whose bracket is at `open`.
fn read_by_fields(filter: &mut Filter, directive: &str, open: usize) -> Result<(), Wrong> {
    let target = directive[..open].trim_end();
    check_target(target)?;
    let mut rest = Rest { text: directive, at: open + 1 };
    rest.pass_spaces();
    let start = rest.at;
    let mut fields = Vec::new();
    let name = rest.take_name();
    let name = name.trim_end();
    if rest.next_is('{') {
        check_name(name, start, !name.is_empty())?;
        let span = if name.is_empty() { String::new() } else { format!("{name}.") };
        loop {
            let (name, value) = rest.take_field()?;
            fields.push((format!("{span}{name}"), value));
            if rest.next_is('}') {
                break;
            }
            rest.expect(',', "`,` or `}` is expected behind a field")?;
        }
    } else {
        rest.at = start;
        let field = rest.take_field()?;
        if field.1.is_none() {
            let what = "with a field of any value it is `[{field}]`, with a span's `[span{field}]`";
            return Err((start..rest.at, what.to_owned()));
        }
        fields.push(field);
    }
    rest.expect(']', "`]` is expected behind the fields")?;
    let level = match rest.left() {
        "" => LevelFilter::Trace,
        left if left.starts_with('=') => read_level(&left[1..], rest.at + 1)?,
        left => {
            return Err((rest.at..rest.at + left.len(), "`=` and a level is expected behind `]`".to_owned()));
        }
    };
    filter.by_fields.retain(|known| known.target != target || known.fields != fields);
    filter.by_fields.push(ByFields { target: target.to_owned(), fields, level });
    Ok(())
}

fn check_name(name: &str, at: usize, is_there: bool) -> Result<(), Wrong> {
    if is_there && name.is_empty() {
        return Err((at..at + 1, "a field's name is missing".to_owned()));
    }
    let odd = |char: char| char.is_whitespace() || char.is_control() || char == '"';
    match name.char_indices().find(|&(_, char)| odd(char)) {
        Some((offset, char)) => {
            let at = at + offset;
            Err((at..at + char.len_utf8(), format!("no field's name holds `{}`", char.escape_default())))
        }
        None => Ok(()),
    }
}

/// What is left to be read of a directive.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn left(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn pass_spaces(&mut self) {
        let left = self.left();
        self.at += left.len() - left.trim_start().len();
    }

    /// Passes over `char`, if it comes next.
    fn next_is(&mut self, char: char) -> bool {
        self.pass_spaces();
        let is_next = self.left().starts_with(char);
        self.at += if is_next { char.len_utf8() } else { 0 };
        is_next
    }

    fn expect(&mut self, char: char, what: &str) -> Result<(), Wrong> {
        let found = self.next_is(char);
        let len = self.left().chars().next().map_or(1, char::len_utf8);
        if found { Ok(()) } else { Err((self.at..self.at + len, what.to_owned())) }
    }

    /// What stands before the next bracket, brace, comma or `=`.
    fn take_name(&mut self) -> &'a str {
        let left = self.left();
        let len = left.find(['[', ']', '{', '}', ',', '=']).unwrap_or(left.len());
        self.at += len;
        &left[..len]
    }

    /// A field's name, and its value if there is one.
    fn take_field(&mut self) -> Result<(String, Option<String>), Wrong> {
        self.pass_spaces();
        let start = self.at;
        let name = self.take_name().trim_end();
        check_name(name, start, true)?;
        if !self.next_is('=') {
            return Ok((name.to_owned(), None));
        }
        self.pass_spaces();
        if self.left().starts_with('"') {
            return Ok((name.to_owned(), Some(self.take_quoted()?)));
        }
        let start = self.at;
        let value = self.take_name().trim_end();
        if let Some(at) = value.find(|char: char| char.is_whitespace() || char.is_control() || char == '"') {
            return Err((start + at..start + value.len(), "such a value needs double quotes".to_owned()));
        }
        if value.is_empty() {
            return Err((
                start..start + 1,
                "a value is missing behind `=`; an empty one is `\"\"`".to_owned(),
            ));
        }
        Ok((name.to_owned(), Some(value.to_owned())))
    }

    /// The text in quotes that comes next.
    fn take_quoted(&mut self) -> Result<String, Wrong> {
        let (start, mut value, mut escaped) = (self.at, String::new(), false);
        for (at, char) in self.left().char_indices().skip(1) {
            match char {
                '"' if !escaped => {
                    self.at = start + at + 1;
                    return Ok(value);
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    value.push(char);
                    escaped = false;
                }
            }
        }
        Err((start..self.text.len(), "the double quotes are not closed".to_owned()))
    }
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
            "a filter is a list, with commas between, of `level`, `target=level`, `target` and `[field=value]=level`; \
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
            ("info,[user_id=7]=loud", "`loud` is no level", "                 ^^^^"),
            ("info,[user_id]=trace", "of any value it is `[{field}]`", "      ^^^^^^^"),
            ("info,[user_id=]=trace", "a value is missing behind `=`", "              ^"),
            ("[=7]", "a field's name is missing", " ^"),
            ("[{id=7,}]", "a field's name is missing", "       ^"),
            ("[a=1,b=2]", "`]` is expected behind the fields", "    ^"),
            ("[{a=1 b}]", "such a value needs double quotes", "     ^^"),
            ("[{a=\"1\" b}]", "`,` or `}` is expected", "        ^"),
            ("a[b=\"c]=info,d", "the double quotes are not closed", "    ^^^^^^^^^^"),
            ("[b=c\"d]", "such a value needs double quotes", "    ^^"),
            ("[b=c", "`]` is expected", "    ^"),
            ("[a b=1]", "no field's name holds ` `", "  ^"),
            ("[a=1]info", "`=` and a level is expected", "     ^^^^"),
            ("a b[c=1]", "no target holds ` `", " ^"),
            ("info/timeout", "texts of messages are not supported", "    ^^^^^^^^"),
            ("größe=debug,a b=info", "no target holds ` `", "             ^"),
            ("a\u{1b}b", "no target holds `\\u{1b}`", " ^^^^^^"),
            ("warn,{id=7,user}=debug", "fields stand in brackets", "     ^"),
            ("0,{#", "fields stand in brackets", "  ^"),
            ("a{[b]", "no target holds `{`", " ^"),
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
