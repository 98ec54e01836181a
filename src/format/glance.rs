//! What a finished line says of itself: for a recovery, which finds lines where their records are gone.
#![forbid(unsafe_code)]

use super::{Format, timestamp};

/// As far as the format tells; a thread's name as it stands there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance<'a> {
    pub(crate) ns: Option<i64>,
    pub(crate) thread: &'a str,
    /// It is one of the logger's own.
    pub(crate) own: bool,
}

pub(crate) fn glance(format: Format, line: &str) -> Glance<'_> {
    let time_at = |at: usize| line.get(at..).and_then(timestamp::parse);
    // A quote within a string has a backslash before it, so that no value looks like a key.
    let string = |key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let (ns, thread, own) = match format {
        Format::Text => {
            let thread = line.split_once(" [").and_then(|(_, rest)| rest.split_once("] "));
            let thread = thread.map(|(name, _)| name);
            (time_at(0), thread, thread == Some("kakashi-writer") && line.contains(" kakashi - ["))
        }
        Format::Json => named(time_at(9), string(",\"logger\":\""), string(",\"thread\":\"")),
        Format::JsonEcs => {
            named(time_at(15), string(",\"log.logger\":\""), string("\"process.thread.name\":\""))
        }
        Format::JsonOtel => {
            let ns = string("{\"Timestamp\":\"").and_then(|ns| ns.parse().ok());
            named(ns, string("\"InstrumentationScope\":{\"Name\":\""), string("\"thread.name\":\""))
        }
        Format::Logfmt => {
            let word = |key: &str| {
                let (_, rest) = line.split_once(key)?;
                rest.split([' ', '\n']).next()
            };
            named(time_at(5), word(" logger="), word(" thread="))
        }
        Format::Console | Format::Pattern(_) => (None, None, false),
    };
    Glance { ns, thread: thread.unwrap_or_default(), own }
}

fn named<'a>(
    ns: Option<i64>,
    logger: Option<&str>,
    thread: Option<&'a str>,
) -> (Option<i64>, Option<&'a str>, bool) {
    (ns, thread, logger == Some("kakashi") && thread == Some("kakashi-writer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{LineCache, LineHead, Out, notice};
    use crate::lane::ThreadId;
    use crate::level::Level;
    use crate::zone::Zone;

    #[test]
    fn a_line_says_its_time_its_thread_and_whose_it_is() {
        let ns = 1_795_434_874_123_456_789;
        let named = |thread: &[u8]| {
            let mut name = [0; 16];
            name[..thread.len()].copy_from_slice(thread);
            ThreadId { tid: 1, name }
        };
        let lines = [("kakashi", "kakashi-writer", None), ("orders", "matcher-1", Some(("f.rs", 7)))];
        for format in
            [Format::Text, Format::Json, Format::JsonOtel, Format::JsonEcs, Format::Logfmt, Format::Console]
        {
            for (target, thread, location) in lines {
                let head =
                    LineHead { ns, level: Level::Info, target, location, thread: named(thread.as_bytes()) };
                let mut room = [0; 1024];
                let mut out = Out::new(&mut room);
                notice(&mut LineCache::new(Zone::UTC), &mut out, format, &head, &|words| {
                    words.push_str(r#"m","logger":"kakashi","thread":"kakashi-writer" logger=kakashi thread=kakashi-writer"#);
                });
                let line = core::str::from_utf8(out.bytes()).unwrap_or_default();
                let expected = match format {
                    Format::Console => Glance::default(),
                    _ => Glance { ns: Some(ns), thread, own: target == "kakashi" },
                };
                assert_eq!(glance(format, line), expected, "{line}");
            }
        }
        assert_eq!(glance(Format::Json, "torn\":7}"), Glance::default());
    }
}
