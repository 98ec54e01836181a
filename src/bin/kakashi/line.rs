//! The form of a log line. Fields are read from the right: the text may hold anything.
#![forbid(unsafe_code)]

/// Bytes of a time, and how they look.
pub const TIME: usize = 30;
const TIME_FORM: &[u8; TIME] = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";

#[derive(Debug, PartialEq, Eq)]
pub enum Line<'l> {
    Record(Record<'l>),
    /// A line of the logger's own.
    Notice(&'l [u8]),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Record<'l> {
    pub time: &'l [u8; TIME],
    pub thread: u64,
    pub text: &'l [u8],
    pub file: u64,
    pub line: u64,
    pub pass: u64,
}

/// What records of a replay have in common.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    /// The channel's name.
    pub target: &'a str,
    /// The source file of the log statement.
    pub location: &'a str,
}

impl Form<'_> {
    /// Reads a line, without its end. The error says what was expected where.
    pub fn parse<'l>(&self, line: &'l [u8]) -> Result<Line<'l>, &'static str> {
        let (time, rest) = line.split_first_chunk::<TIME>().ok_or("a time")?;
        if !time.iter().zip(TIME_FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == form,
        }) {
            return Err("a time");
        }
        if let Some(message) = notice(rest) {
            return Ok(Line::Notice(message));
        }
        let rest = rest.strip_prefix(b" INFO  ").ok_or("the level INFO")?;
        let rest = rest.strip_prefix(self.target.as_bytes()).ok_or("the channel's name")?;
        let rest = rest.strip_prefix(b" ").and_then(|rest| rest.strip_prefix(self.location.as_bytes()));
        let (_, rest) =
            rest.and_then(|rest| number(rest.strip_prefix(b":")?)).ok_or("the place of the statement")?;
        let (thread, rest) =
            rest.strip_prefix(b" [replay-").and_then(number).ok_or("the name of a replaying thread")?;
        let rest = rest.strip_prefix(b"] ").ok_or("the name of a replaying thread")?;
        let (rest, pass) = field(rest, b" pass=").ok_or("the field `pass` at the end")?;
        let (rest, line) = field(rest, b" line=").ok_or("the field `line` before `pass`")?;
        let (text, file) = field(rest, b" file=").ok_or("the field `file` before `line`")?;
        Ok(Line::Record(Record { time, thread, text, file, line, pass }))
    }
}

fn notice(rest: &[u8]) -> Option<&[u8]> {
    // The level is padded to five characters.
    let (level, rest) = rest.split_at_checked(7)?;
    let rest = rest.strip_prefix(b"kakashi - [kakashi-writer] ")?;
    (level.starts_with(b" ") && level.ends_with(b" ")).then_some(rest)
}

/// The number that `bytes` begins with, and what follows.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(digits);
    Some((value(digits)?, rest))
}

/// The last field of `bytes`, if it is `name`, and what stands before it.
fn field<'l>(bytes: &'l [u8], name: &[u8]) -> Option<(&'l [u8], u64)> {
    let digits = bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = bytes.split_at(bytes.len() - digits);
    Some((before.strip_suffix(name)?, value(digits)?))
}

/// A decimal number as the logger writes it: no sign, no zeros in front.
fn value(digits: &[u8]) -> Option<u64> {
    let canonical = digits.len() == 1 || digits.first().is_some_and(|&first| first != b'0');
    str::from_utf8(digits).ok().filter(|_| canonical)?.parse().ok()
}

/// The drops that a notice tells of: how many in all, and then each `cause=count`.
pub fn drops(notice: &[u8]) -> Option<(u64, impl Iterator<Item = (&str, u64)>)> {
    let text = str::from_utf8(notice).ok()?;
    let (count, rest) = text.strip_prefix("dropped ")?.split_once(' ')?;
    let causes = rest.rsplit_once(": ").map_or("", |(_, causes)| causes);
    Some((count.parse().ok()?, pairs(causes)))
}

/// The words `name=number` of a text, up to the first other word.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.split_whitespace().map_while(|word| {
        let (name, count) = word.split_once('=')?;
        Some((name, count.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form<'_> = Form { target: "REPLAY", location: "src/a b.rs" };

    #[test]
    fn fields_are_read_from_the_right() {
        let line = b"2026-11-23T11:54:34.123456789Z INFO  REPLAY src/a b.rs:42 [replay-3] x line=3] file=9  file=1 line=17 pass=0";
        let Ok(Line::Record(record)) = FORM.parse(line) else { panic!("{:?}", FORM.parse(line)) };
        assert_eq!(record.time, b"2026-11-23T11:54:34.123456789Z");
        assert_eq!(record.text, b"x line=3] file=9 ");
        assert_eq!((record.thread, record.file, record.line, record.pass), (3, 1, 17, 0));
    }

    #[test]
    fn what_is_not_a_line_of_the_replay_is_refused() {
        let good =
            "2026-11-23T11:54:34.123456789Z INFO  REPLAY src/a b.rs:42 [replay-3] x file=1 line=17 pass=0";
        assert!(FORM.parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("2026-", "2026 "),
            ("INFO ", "WARN "),
            ("REPLAY", "REPLAYS"),
            ("src", "srd"),
            (":42", ":"),
            ("replay-3", "replay-"),
            ("pass=0", "pass=00"),
            ("pass=0", "pass="),
            (" line=17", "line=17"),
            ("file=1", "file=+1"),
            ("file=1", "file=99999999999999999999"),
        ] {
            assert!(FORM.parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        for end in 0..good.len() {
            assert!(FORM.parse(&good.as_bytes()[..end]).is_err(), "{}", &good[..end]);
        }
    }

    #[test]
    fn notices_tell_of_drops_by_cause() {
        let line = b"2026-11-23T11:54:34.123456789Z WARN  kakashi - [kakashi-writer] dropped 7 records of thread a: b (12) in channel X: newest=5 wait_expired=2 from 2026-11-23T11:54:34.1Z to 2026-11-23T11:54:34.2Z";
        let Ok(Line::Notice(message)) = FORM.parse(line) else { panic!() };
        let (count, causes) = drops(message).unwrap();
        assert_eq!((count, causes.collect::<Vec<_>>()), (7, vec![("newest", 5), ("wait_expired", 2)]));
        assert!(drops(b"a damaged record").is_none());
    }
}
