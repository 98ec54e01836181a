//! What stands in a line of each format: values read back, in both encodings the same; several formats at once; the
//! logger's own lines; patterns; and what a crash handler and a recovery write.
//!
//! JSON is read by `serde_json`, logfmt by the reader below, which knows nothing of how it is written.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod common;

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use common::black_box::{Counts, Files, box_of, log_of};
use common::{Directory, Gate, HANG, Held, SURE, alone, conserved, dispatch, lines_of, scenario, until};
use kakashi::{
    Block, Channel, Deferred, DropNewest, FileSink, Format, Guard, LevelFilter, MemorySink, Place,
    Preformatted, Retry, Sink, SinkOptions, error, info, warn,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

// Names that no random text has.
kakashi::channel!(static AS_TEXT: Channel<128, 4096, 8, Block, Preformatted>);
kakashi::channel!(static AS_BITS: Channel<128, 4096, 8, Block, Deferred>);
// No thread has a lane of its own but the first.
kakashi::channel!(static SHARED: Channel<128, 4096, 1, Block, Preformatted>);
kakashi::channel!(static FULL: Channel<64, 8, 2, DropNewest>);

const ALL: [Format; 6] =
    [Format::Text, Format::Json, Format::JsonOtel, Format::JsonEcs, Format::Logfmt, Format::Console];

fn pattern() -> Format {
    // Not the first one.
    assert!(Format::pattern("{message}, and no more").is_ok());
    Format::pattern("<{level:>6}|{thread:_^8}|{logger:.<9}> {file}:{line} {{{message}}}{fields} {time}")
        .expect("it is a pattern")
}

fn with(format: Format) -> SinkOptions {
    SinkOptions::default().format(format)
}

/// A backend with a sink of each format.
struct Logs {
    sinks: Vec<(Format, MemorySink)>,
    _guard: Guard,
}

impl Logs {
    fn start() -> Logs {
        let sinks: Vec<_> =
            ALL.into_iter().chain([pattern()]).map(|format| (format, MemorySink::new())).collect();
        let add = |builder: kakashi::Builder, (format, sink): &(Format, MemorySink)| {
            builder.sink_with(sink.clone(), with(*format))
        };
        let guard = sinks.iter().fold(kakashi::builder(), add).start().expect("the backend starts");
        Logs { sinks, _guard: guard }
    }

    /// The lines since the last look.
    fn take(&self, format: Format) -> Vec<String> {
        kakashi::flush(HANG).expect("all is written");
        conserved();
        let (_, sink) = self.sinks.iter().find(|(of, _)| *of == format).expect("there is one");
        let text = sink.text();
        sink.clear();
        assert!(text.is_empty() || text.ends_with('\n'), "the log ends within a line");
        text.split_terminator('\n').map(str::to_owned).collect()
    }

    /// What a statement on `AS_TEXT` and `AS_BITS` came to, which is the same but for name and time: the lines of the latter.
    fn both(&self) -> Vec<(Format, String)> {
        let one = |(format, _): &(Format, MemorySink)| {
            let lines = self.take(*format);
            let [pre, def] = &lines[..] else { panic!("{format:?}: two lines were expected: {lines:?}") };
            assert_eq!(timeless(pre).replace("AS_TEXT", "AS_BITS"), timeless(def), "{format:?}");
            (*format, def.clone())
        };
        self.sinks.iter().map(one).collect()
    }
}

/// A line without its time, whatever the format.
fn timeless(line: &str) -> String {
    let mut text = line.to_owned();
    let is_time = |text: &str| {
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
        text.len() >= 30 && marks.iter().all(|&(at, mark)| text.as_bytes()[at] == mark)
    };
    let at = (0..text.len()).find(|&at| text.is_char_boundary(at) && is_time(&text[at..]));
    if let Some(at) = at {
        text.replace_range(at..at + 30, "TIME");
    }
    if let Some(rest) = text.strip_prefix("{\"Timestamp\":\"") {
        return rest.trim_start_matches(|char: char| char.is_ascii_digit()).to_owned();
    }
    match text.strip_prefix("\u{1b}[2m") {
        Some(rest) => rest[12..].to_owned(),
        None => text,
    }
}

#[track_caller]
fn object(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        other => panic!("no JSON object: {other:?}: {line:?}"),
    }
}

/// The message and the fields of a JSON line, what else it has being as it should.
#[track_caller]
fn json_of(format: Format, line: &str) -> (String, Map<String, Value>) {
    assert!(!line.contains(is_hazard), "what drives a terminal: {line:?}");
    let mut object = object(line);
    let mut take = |key: &str| object.remove(key).unwrap_or_else(|| panic!("no {key:?} in {line}"));
    let (level, logger, thread, message) = match format {
        Format::Json => {
            assert_eq!(take("time").as_str().map(str::len), Some(30));
            assert!(take("file").as_str().is_some_and(|file| file.ends_with("formats.rs")));
            assert!(take("line").as_u64().is_some_and(|line| line > 0));
            (take("level"), take("logger"), take("thread"), take("message"))
        }
        Format::JsonEcs => {
            assert_eq!(take("@timestamp").as_str().map(str::len), Some(30));
            assert_eq!(take("ecs.version"), "1.6.0");
            assert!(take("log.origin.file.name").as_str().is_some_and(|file| file.ends_with("formats.rs")));
            assert!(take("log.origin.file.line").as_u64().is_some_and(|line| line > 0));
            assert!(take("process.thread.id").as_u64().is_some_and(|id| id > 0));
            (take("log.level"), take("log.logger"), take("process.thread.name"), take("message"))
        }
        Format::JsonOtel => {
            let ns: i64 = take("Timestamp").as_str().and_then(|ns| ns.parse().ok()).expect("ns as a string");
            assert!(ns > 1_700_000_000_000_000_000);
            assert_eq!(take("SeverityNumber"), 9);
            let scope = take("InstrumentationScope");
            let (level, body) = (take("SeverityText"), take("Body"));
            let Value::Object(mut attributes) = take("Attributes") else { panic!("no attributes: {line}") };
            assert!(object.is_empty(), "{object:?}");
            assert!(attributes.remove("code.file.path").is_some_and(|file| file.as_str().is_some()));
            assert!(attributes.remove("code.line.number").is_some_and(|line| line.as_u64().is_some()));
            assert!(attributes.remove("thread.id").is_some_and(|id| id.as_u64().is_some()));
            let thread = attributes.remove("thread.name").expect("it has one");
            object = attributes;
            (level, scope["Name"].clone(), thread, body)
        }
        other => panic!("{other:?} is no JSON"),
    };
    assert_eq!((level, logger), (json!("INFO"), json!("AS_BITS")));
    assert!(thread.is_string());
    (message.as_str().expect("a message is a string").to_owned(), object)
}

/// Keys and values of a logfmt line: bare words, or JSON strings.
#[track_caller]
fn logfmt_of(line: &str) -> Vec<(String, String)> {
    let (mut rest, mut pairs) = (line, Vec::new());
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').unwrap_or_else(|| panic!("no `=` in {rest:?} of {line:?}"));
        assert!(!key.is_empty() && !key.contains([' ', '"']), "{key:?} in {line:?}");
        let (value, behind) = if behind.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
            let value = values.next().and_then(Result::ok);
            let value = value.unwrap_or_else(|| panic!("no string: {behind:?} of {line:?}"));
            (value, &behind[values.byte_offset()..])
        } else {
            let end = behind.find(' ').unwrap_or(behind.len());
            let word = &behind[..end];
            assert!(!word.is_empty() && !word.contains(['"', '=', '\\']), "{word:?} in {line:?}");
            (word.to_owned(), &behind[end..])
        };
        pairs.push((key.to_owned(), value));
        rest = match behind.strip_prefix(' ') {
            Some(next) if !next.is_empty() => next,
            None if behind.is_empty() => "",
            _ => panic!("{behind:?} behind a value of {line:?}"),
        };
    }
    pairs
}

fn is_hazard(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a field must come to in JSON; and in logfmt.
struct Expected<'a> {
    name: &'a str,
    json: Value,
    logfmt: String,
}

fn expect<'a>(name: &'a str, json: Value, logfmt: impl ToString) -> Expected<'a> {
    Expected { name, json, logfmt: logfmt.to_string() }
}

/// The JSON of a float: a number that is none becomes a string.
fn float(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

#[track_caller]
fn assert_lines(lines: &[(Format, String)], message: &str, fields: &[Expected<'_>]) {
    for (format, line) in lines {
        match format {
            Format::Json | Format::JsonOtel | Format::JsonEcs => {
                let (said, found) = json_of(*format, line);
                assert_eq!(said, message, "{format:?}: {line}");
                assert_eq!(found.len(), fields.len(), "{format:?}: {found:?}");
                for Expected { name, json, .. } in fields {
                    let value = found.get(*name).unwrap_or_else(|| panic!("no {name:?} in {line}"));
                    let same = match (value.as_f64(), json.as_f64()) {
                        // Also the sign of a zero; a float is never an integer.
                        (Some(found), Some(wanted)) if json.is_f64() => {
                            value.is_f64() && found.to_bits() == wanted.to_bits()
                        }
                        _ => value == json,
                    };
                    assert!(same, "{format:?}: {name} is {value} and not {json}: {line}");
                }
            }
            Format::Logfmt => {
                assert!(!line.contains(is_hazard), "what drives a terminal: {line:?}");
                let pairs = logfmt_of(line);
                let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
                let own = ["time", "level", "logger", "file", "line", "thread", "msg"];
                let names: Vec<_> = own.into_iter().chain(fields.iter().map(|field| field.name)).collect();
                assert_eq!(keys, names, "{line}");
                assert_eq!(
                    (&*pairs[1].1, &*pairs[2].1, &*pairs[6].1),
                    ("info", "AS_BITS", message),
                    "{line}"
                );
                for (Expected { name, logfmt, .. }, (_, value)) in fields.iter().zip(&pairs[own.len()..]) {
                    assert_eq!(value, logfmt, "{name}: {line}");
                }
            }
            _ => assert!(!line.contains(|c| is_hazard(c) && c != '\u{1b}'), "{format:?}: {line:?}"),
        }
    }
}

/// One statement on both channels, and what it came to.
macro_rules! on_both {
    ($logs:expr, $($arg:tt)*) => {{
        info!(AS_TEXT, $($arg)*);
        info!(AS_BITS, $($arg)*);
        $logs.both()
    }};
}

const NASTY: &str =
    "\0\u{1}\t\n\r\u{1b}[31m \"quoted\" back\\slash {braces} = \u{7f}\u{85}\u{202e}\u{2028}é日本𝄞\u{FEFF}/";

#[test]
fn every_kind_of_value_reads_back() {
    alone("every_kind_of_value_reads_back", || {
        let logs = Logs::start();
        let lines = on_both!(logs, "listening");
        assert_lines(&lines, "listening", &[]);
        for (small, large) in [(i8::MIN, i64::MIN), (-1, -1), (0, 0), (i8::MAX, i64::MAX)] {
            let lines = on_both!(
                logs,
                "{} {large}",
                small,
                a = small,
                large = large,
                c = small as i16,
                d = large as i32
            );
            let number = |name, value: i64| expect(name, json!(value), value);
            let fields = [
                number("a", small.into()),
                number("large", large),
                number("c", small.into()),
                number("d", (large as i32).into()),
            ];
            assert_lines(&lines, &format!("{small} {large}"), &fields);
        }
        for (small, large) in [(0, 0), (9, 99_999_999), (u8::MAX, u64::MAX), (1, 1 << 53 | 1)] {
            let lines =
                on_both!(logs, "{small}", small = small, b = large, c = large as usize, d = large as u16);
            let number = |name, value: u64| expect(name, json!(value), value);
            let fields = [
                number("small", small.into()),
                number("b", large),
                number("c", large),
                number("d", (large as u16).into()),
            ];
            assert_lines(&lines, &small.to_string(), &fields);
        }
        for (a, b) in [(0, 0), (u128::MAX, i128::MIN), (1 << 64, -1), (12, i128::MAX)] {
            let lines = on_both!(logs, "{} {}", a, b, a = a, b = b);
            let fields = [expect("a", json!(a.to_string()), a), expect("b", json!(b.to_string()), b)];
            assert_lines(&lines, &format!("{a} {b}"), &fields);
        }
        let floats = [
            0.0,
            -0.0,
            1.0,
            100.0,
            101.25,
            -1.5e-7,
            1e15,
            1e16,
            1e21,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.1 + 0.2,
            123_456_789_012.5,
        ];
        for value in floats {
            let single = value as f32;
            let lines = on_both!(logs, "{value} {}", single, value = value, single = single);
            let text: f64 = single.to_string().parse().expect("a float");
            let fields = [expect("value", float(value), value), expect("single", float(text), single)];
            assert_lines(&lines, &format!("{value} {single}"), &fields);
        }
        for (yes, char) in
            [(true, 'x'), (false, '"'), (true, '\\'), (true, '\n'), (false, '\u{202e}'), (true, ' ')]
        {
            let (some, none) = (Some(7_i16), None::<f64>);
            let lines = on_both!(logs, "{yes}{char}", yes = yes, char = char, some = some, none = none);
            let fields = [
                expect("yes", json!(yes), yes),
                expect("char", json!(char.to_string()), char),
                expect("some", json!(7), 7),
                expect("none", Value::Null, "null"),
            ];
            assert_lines(&lines, &format!("{yes}{char}"), &fields);
        }
        for text in ["", "x", "bare/word", "two words", "a=b", "\"", "\\", "\n", NASTY, &NASTY.repeat(40)] {
            let lines =
                on_both!(logs, "<{text}> {:?} {:>9}", text, text, text = text, debug = ?text, shown = %text);
            let string = |name, value: &str| expect(name, json!(value), value);
            let fields = [string("text", text), string("debug", &format!("{text:?}")), string("shown", text)];
            assert_lines(&lines, &format!("<{text}> {text:?} {text:>9}"), &fields);
            // Each text once: such ones have a place in a plan, unless there is something odd about them.
            let lines = on_both!(logs, "<{}>", text, text = String::from(text));
            assert_lines(&lines, &format!("<{text}>"), &fields[..1]);
        }
    });
}

/// A thread without a lane of its own shares one, whose records are laid out in another way.
#[test]
fn threads_that_share_a_lane_are_named() {
    alone("threads_that_share_a_lane_are_named", || {
        let logs = Logs::start();
        SHARED.prepare_thread().expect("the first one has a lane");
        let other = std::thread::Builder::new().name("a \"b\" ]".to_owned());
        other.spawn(|| info!(SHARED, "n={}", 1, k = "v w")).expect("it runs").join().expect("it logs");
        assert!(SHARED.lanes().any(|lane| lane.shared && lane.messages_enqueued == 1));
        let line = object(&logs.take(Format::Json)[0]);
        assert_eq!(
            (&line["thread"], &line["message"], &line["k"]),
            (&json!("a \"b\" ]"), &json!("n=1"), &json!("v w"))
        );
        let line = logfmt_of(&logs.take(Format::Logfmt)[0]);
        assert_eq!(line[5], ("thread".to_owned(), "a \"b\" ]".to_owned()));
        // As it stands in text.
        assert!(logs.take(pattern())[0].contains("|a \"b\" \\x5d|"));
    });
}

/// Names come from the program, and may be anything; a thread's need not even be text.
#[test]
fn names_of_any_kind_stay_within_their_strings() {
    alone("names_of_any_kind_stay_within_their_strings", || {
        let logs = Logs::start();
        let log = || {
            // SAFETY: a text that ends with 0.
            unsafe { libc::prctl(libc::PR_SET_NAME, c"q\"\xff\x01 =\xe2\x80\xae\\".as_ptr()) };
            info!(kakashi::get_async_logger("a \"b\"=\\\n é"), "m", k = 1);
        };
        std::thread::spawn(log).join().expect("it logs");
        let (logger, thread) = ("a \"b\"=\\\n é", "q\"\u{FFFD}\u{1} =\u{202e}\\");
        let line = object(&logs.take(Format::Json)[0]);
        assert_eq!((&line["logger"], &line["thread"]), (&json!(logger), &json!(thread)));
        let line = object(&logs.take(Format::JsonEcs)[0]);
        assert_eq!((&line["log.logger"], &line["process.thread.name"]), (&json!(logger), &json!(thread)));
        let line = object(&logs.take(Format::JsonOtel)[0]);
        assert_eq!(line["InstrumentationScope"]["Name"], logger);
        assert_eq!(line["Attributes"]["thread.name"], thread);
        let line = logfmt_of(&logs.take(Format::Logfmt)[0]);
        assert_eq!((&*line[2].1, &*line[5].1), (logger, thread));
        for format in [Format::Console, pattern()] {
            let lines = logs.take(format);
            assert_eq!(lines.len(), 1);
            assert!(!lines[0].contains(|c| is_hazard(c) && c != '\u{1b}'), "{lines:?}");
        }
    });
}

#[test]
fn keys_are_each_once() {
    alone("keys_are_each_once", || {
        let logs = Logs::start();
        info!(
            AS_BITS,
            "m",
            level = 1,
            message = 2,
            level_ = 3,
            time = 4,
            thread.name = 5,
            log = 6,
            msg = 7,
            process.thread = 8
        );
        let (message, fields) = json_of(Format::Json, &logs.take(Format::Json)[0]);
        let plain = json!({
            "level__": 1, "message_": 2, "level_": 3, "time_": 4, "thread.name": 5, "log": 6, "msg": 7,
            "process.thread": 8,
        });
        assert_eq!((message, Value::Object(fields)), ("m".to_owned(), plain));
        let (_, fields) = json_of(Format::JsonEcs, &logs.take(Format::JsonEcs)[0]);
        let ecs = json!({
            "level": 1, "message_": 2, "level_": 3, "time": 4, "thread.name": 5, "log_": 6, "msg": 7,
            "process.thread_": 8,
        });
        assert_eq!(Value::Object(fields), ecs);
        let (_, fields) = json_of(Format::JsonOtel, &logs.take(Format::JsonOtel)[0]);
        let otel = json!({
            "level": 1, "message": 2, "level_": 3, "time": 4, "thread.name_": 5, "log": 6, "msg": 7,
            "process.thread": 8,
        });
        assert_eq!(Value::Object(fields), otel);
        let pairs = logfmt_of(&logs.take(Format::Logfmt)[0]);
        let keys: Vec<_> = pairs[7..].iter().map(|(key, _)| key.as_str()).collect();
        let logfmt =
            ["level__", "message", "level_", "time_", "thread.name", "log", "msg_", "process.thread"];
        assert_eq!(keys, logfmt);
    });
}

/// Texts that were cut by the call say so within their string; a line that is longer than its room has its own cut.
#[test]
fn long_lines_stay_valid() {
    alone("long_lines_stay_valid", || {
        let logs = Logs::start();
        let long = "x".repeat(80_000);
        for (format, line) in on_both!(logs, "long", text = long) {
            let text = match format {
                Format::Logfmt => logfmt_of(&line)[7].1.clone(),
                Format::Json | Format::JsonEcs | Format::JsonOtel => {
                    json_of(format, &line).1["text"].as_str().expect("it is a string").to_owned()
                }
                _ => continue,
            };
            let (kept, cut) = text.split_once("…[+").expect("it is marked");
            let cut: usize =
                cut.strip_suffix(" bytes]").and_then(|cut| cut.parse().ok()).expect("it is counted");
            assert!(kept.bytes().all(|byte| byte == b'x') && kept.len() + cut == long.len());
        }
        // Six bytes for one, in the message and in a field, and a template that says it again and again.
        for text in ["\u{1}".repeat(60_000), "é\u{1}\"".repeat(15_000), "\u{202e}".repeat(20_000)] {
            let text = text.as_str();
            for (format, line) in on_both!(
                logs,
                "{text}{text}{text}{text}{text}{text}{text}{text}{text}",
                text = text,
                short = "s",
                n = 7
            ) {
                match format {
                    Format::Logfmt => {
                        let pairs = logfmt_of(&line);
                        assert!(pairs[6].1.len() > 30_000 && pairs[6].1.ends_with('…'));
                        assert_eq!(pairs[9].1, "7");
                    }
                    Format::Json | Format::JsonEcs | Format::JsonOtel => {
                        let (message, fields) = json_of(format, &line);
                        let kept = message.strip_suffix('…').expect("it is marked");
                        assert!(kept.len() > 30_000 && text.repeat(9).starts_with(kept));
                        let kept = fields["text"].as_str().and_then(|text| text.strip_suffix('…'));
                        assert!(kept.is_some_and(|kept| kept.len() > 400 && text.starts_with(kept)));
                        assert_eq!((&fields["short"], &fields["n"]), (&json!("s"), &json!(7)));
                    }
                    _ => {}
                }
            }
        }
    });
}

fn config() -> ProptestConfig {
    let cases = if cfg!(debug_assertions) { 300 } else { 3000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        8 => proptest::char::range(' ', '~'),
        2 => proptest::char::range('\0', '\u{ff}'),
        1 => any::<char>(),
        1 => proptest::char::range('\u{2000}', '\u{206f}'),
        1 => prop::sample::select(vec!['"', '\\', '=', ' ', '\n', '\u{FFFD}', '\u{FEFF}', '{', '}']),
    ];
    prop::collection::vec(char, 0..40).prop_map(|chars| chars.into_iter().collect())
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (any::<i32>(), 0_i32..9).prop_map(|(n, k)| n as f64 / 10_f64.powi(k)),
        any::<i64>().prop_map(|n| n as f64),
    ]
}

#[test]
fn random_values_read_back() {
    alone("random_values_read_back", || {
        let logs = Logs::start();
        let values =
            (any::<i64>(), any::<u64>(), double(), any::<u128>(), any::<bool>(), any::<Option<i32>>());
        let texts = (text(), text(), any::<char>());
        proptest!(config(), |((a, b, c, d, e, f) in values, (s, t, g) in texts, shift in 0_u32..64)| {
            let (a, b) = (a >> shift, b >> shift);
            let (s, t) = (s.as_str(), t.as_str());
            let lines = on_both!(
                logs, "{a}{s}|{c} {t:?}{}", g, a = a, b = b, c = c, d = d, e = e, f = f, s = s, t = %t, g = g
            );
            let fields = [
                expect("a", json!(a), a),
                expect("b", json!(b), b),
                expect("c", float(c), c),
                expect("d", json!(d.to_string()), d),
                expect("e", json!(e), e),
                expect("f", json!(f), f.map_or("null".to_owned(), |f| f.to_string())),
                expect("s", json!(s), s),
                expect("t", json!(t), t),
                expect("g", json!(g.to_string()), g),
            ];
            assert_lines(&lines, &format!("{a}{s}|{c} {t:?}{g}"), &fields);
        });
    });
}

#[test]
fn console_and_patterns_are_as_they_say() {
    alone("console_and_patterns_are_as_they_say", || {
        let logs = Logs::start();
        let line = line!() + 1;
        warn!(AS_BITS, "filled {} @ {px}", 7, px = 101.25, user = "a b\u{1b}");
        let console = &logs.take(Format::Console)[0];
        let (time, rest) = console.strip_prefix("\u{1b}[2m").expect("it is dimmed").split_at(12);
        let digits = time.bytes().enumerate().all(|(at, byte)| match at {
            2 | 5 => byte == b':',
            8 => byte == b'.',
            _ => byte.is_ascii_digit(),
        });
        assert!(digits, "{console:?}");
        assert_eq!(
            rest,
            "\u{1b}[0m \u{1b}[33mWARN\u{1b}[0m  \u{1b}[2mAS_BITS\u{1b}[0m filled 7 @ 101.25 \u{1b}[2muser=\u{1b}[0m\"a b\\x1b\""
        );
        let line = format!(
            "<  WARN|{:_^8}|AS_BITS..> tests/formats.rs:{line} {{filled 7 @ 101.25}} user=\"a b\\x1b\" TIME",
            thread_name()
        );
        assert_eq!(timeless(&logs.take(pattern())[0]), line);
    });
}

/// The kernel's name of this thread.
fn thread_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").expect("the kernel says it").trim_end().to_owned()
}

#[test]
fn a_pattern_without_a_message_has_every_field() {
    alone("a_pattern_without_a_message_has_every_field", || {
        let sink = MemorySink::new();
        let format = Format::pattern("{level:^7}{fields}").expect("it is a pattern");
        let _guard = kakashi::builder().sink_with(sink.clone(), with(format)).start().expect("it starts");
        info!("{a}", a = 1, b = "x y");
        kakashi::flush(HANG).expect("all is written");
        assert_eq!(sink.text(), " INFO   a=1 b=\"x y\"\n");
    });
}

/// Lines whose constant parts are kept are those of their own pattern, statement and thread, also when a lane has got another
/// thread.
#[test]
fn each_line_is_of_its_own_pattern_and_thread() {
    alone("each_line_is_of_its_own_pattern_and_thread", || {
        let patterns =
            ["{time}>{message}", "at {time} [{thread}] {message}{fields}", "{time} {fields} {level}"];
        let sinks = patterns.map(|text| (Format::pattern(text).expect("it is a pattern"), MemorySink::new()));
        let add = |builder: kakashi::Builder, (format, sink): &(Format, MemorySink)| {
            builder.sink_with(sink.clone(), with(*format))
        };
        let _guard = sinks.iter().fold(kakashi::builder(), add).start().expect("it starts");
        for thread in ["one", "two", "three"] {
            let log = || (1..4).for_each(|n| info!(FULL, "{n} of {m}", n = n, m = 3, rest = "a b"));
            let thread = std::thread::Builder::new().name(thread.to_owned()).spawn(log).expect("it starts");
            thread.join().expect("it logs");
            kakashi::flush(HANG).expect("all is written");
        }
        let timeless = |text: String| text.lines().map(timeless).collect::<Vec<_>>();
        let lines = |line: fn(&str, u32) -> String| {
            ["one", "two", "three"]
                .iter()
                .flat_map(|thread| (1..4).map(|n| line(thread, n)))
                .collect::<Vec<_>>()
        };
        let [short, long, fields] = sinks.map(|(_, sink)| timeless(sink.text()));
        assert_eq!(short, lines(|_, n| format!("TIME>{n} of 3")));
        assert_eq!(long, lines(|thread, n| format!("at TIME [{thread}] {n} of 3 rest=\"a b\"")));
        assert_eq!(fields, lines(|_, n| format!("TIME  n={n} m=3 rest=\"a b\" INFO")));
    });
}

#[test]
fn a_sink_for_errors_has_its_own_pattern() {
    alone("a_sink_for_errors_has_its_own_pattern", || {
        let pattern = |text| with(Format::pattern(text).expect("it is a pattern"));
        let (errors, all) = (MemorySink::new(), MemorySink::new());
        let _guard = kakashi::builder()
            .sink_with(errors.clone(), pattern("{time} bad: {message}").level(LevelFilter::Error))
            .sink_with(all.clone(), pattern("{time}>{message}"))
            .start()
            .expect("it starts");
        for n in 0..100 {
            error!("{}", n);
            (0..9).for_each(|at| info!("{} {}", n, at));
        }
        kakashi::flush(HANG).expect("all is written");
        let timeless = |sink: &MemorySink| sink.text().lines().map(timeless).collect::<Vec<_>>();
        assert_eq!(timeless(&errors), (0..100).map(|n| format!("TIME bad: {n}")).collect::<Vec<_>>());
        let of_each =
            |n| [format!("TIME>{n}")].into_iter().chain((0..9).map(move |at| format!("TIME>{n} {at}")));
        assert_eq!(timeless(&all), (0..100).flat_map(of_each).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_no_pattern_is_refused_with_the_place() {
    for (text, at, said) in [
        (
            "{time} {lvl} {message}",
            8,
            "unknown name `lvl`: the names are time, level, logger, file, line, thread, thread_id, message, fields",
        ),
        ("{}", 1, "unknown name ``"),
        ("{Time}", 1, "unknown name `Time`"),
        ("{ time}", 1, "unknown name ` time`"),
        ("é {time", 3, "a `{` without its `}`"),
        ("{time {level}", 0, "a `{` without its `}`"),
        ("a } b", 2, "a `}` without its `{`"),
        ("{{time}", 6, "a `}` without its `{`"),
        ("{level:<}", 7, "`<` is no width"),
        ("{level:256}", 7, "`256` is no width"),
        ("{level:5x}", 7, "`5x` is no width"),
        ("{level:}", 7, "`` is no width"),
        ("{level:+5}", 7, "`+5` is no width"),
        ("{level:\u{1b}<5}", 7, "is no width"),
        ("{message}\n", 9, "a line break"),
        (&"x".repeat(1025), 1024, "more than 1024 bytes"),
    ] {
        let error = Format::pattern(text).expect_err(text);
        assert_eq!(error.at(), at, "{text:?}: {error}");
        assert!(error.to_string().starts_with(said) || error.to_string().contains(said), "{text:?}: {error}");
    }
    let error = Format::pattern("\té {time} {lvl}").expect_err("it has an unknown name").to_string();
    let (mark, shown) = (error.lines().last().unwrap_or_default(), error.lines().nth(1).unwrap_or_default());
    let at = mark.chars().position(|char| char == '^').expect("there is a mark");
    assert_eq!(shown.chars().skip(at).take(3).collect::<String>(), "lvl", "{error}");
    // Equal texts are one pattern.
    let all = "{{}}{time}{level:5}{logger:*>9}{file}{line:^4}{thread}{thread_id}{message}{fields}";
    assert_eq!(Format::pattern(all), Format::pattern(all));
    assert_ne!(Format::pattern(all), Format::pattern("{time}"));
}

/// What is dropped is told in each format, to whom it concerns.
#[test]
fn drops_are_told_in_each_format() {
    alone("drops_are_told_in_each_format", || {
        let (gate, entered) = (Gate::closed(), Gate::closed());
        let inner = MemorySink::new();
        let sinks: Vec<_> =
            ALL.into_iter().chain([pattern()]).map(|format| (format, MemorySink::new())).collect();
        let errors = MemorySink::new();
        // The most sinks that there can be.
        let mut builder = kakashi::builder()
            .sink_with(Held::new(&gate, &entered, &inner), with(Format::Json))
            .sink_with(errors.clone(), with(Format::Json).level(LevelFilter::Error));
        for (format, sink) in &sinks[1..] {
            builder = builder.sink_with(sink.clone(), with(*format));
        }
        let _guard = builder.start().expect("the backend starts");
        info!(FULL, "first");
        entered.wait();
        let thread = std::thread::Builder::new().name("a \"b\"".to_owned());
        thread
            .spawn(|| (0..50).for_each(|n| info!(FULL, "n={n}")))
            .expect("it runs")
            .join()
            .expect("it logs");
        error!("the last \"one\"");
        gate.open();
        kakashi::flush(HANG).expect("all is written");
        let stats = conserved();
        assert!(stats.dropped.newest > 0 && stats.notices > 0, "{stats}");
        let told = format!("dropped {} records of thread a \"b\" (", stats.dropped.newest);
        // The same lines in both JSON sinks of that level.
        assert_eq!(inner.text(), sinks[1].1.text());
        assert_eq!(errors.lines().len(), 1);
        assert_eq!(object(&errors.lines()[0])["message"], "the last \"one\"");
        for (format, sink) in &sinks[1..] {
            let lines = sink.lines();
            let message = |line: &String| match format {
                Format::JsonOtel => object(line)["Body"].as_str().map(str::to_owned),
                Format::Json | Format::JsonEcs => object(line)["message"].as_str().map(str::to_owned),
                Format::Logfmt => Some(logfmt_of(line).iter().find(|(key, _)| key == "msg")?.1.clone()),
                _ => Some(line.clone()),
            };
            let messages: Vec<_> = lines.iter().filter_map(message).collect();
            assert_eq!(messages.len(), lines.len(), "{format:?}");
            assert_eq!(
                messages.iter().filter(|line| line.contains(&told)).count(),
                1,
                "{format:?}: {messages:?}"
            );
            assert_eq!(messages.iter().filter(|line| line.contains("the last \"one\"")).count(), 1);
        }
        let notice =
            sinks[1].1.lines().into_iter().find(|line| line.contains("dropped")).expect("it is told");
        let notice = object(&notice);
        let keys: Vec<_> = notice.keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 5, "{keys:?}");
        assert_eq!(
            (&notice["logger"], &notice["thread"], &notice["level"]),
            (&json!("kakashi"), &json!("kakashi-writer"), &json!("WARN"))
        );
    });
}

/// Fails while told to.
struct Moody(&'static AtomicI32, MemorySink);

impl Sink for Moody {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.load(Ordering::SeqCst) {
            0 => self.1.write_batch(bytes),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[test]
fn a_sink_is_told_what_it_missed_in_its_format() {
    alone("a_sink_is_told_what_it_missed_in_its_format", || {
        static ERROR: AtomicI32 = AtomicI32::new(0);
        let (failing, other) = (MemorySink::new(), MemorySink::new());
        let mut retry = Retry::default();
        (retry.limit, retry.longest_pause) = (Duration::ZERO, retry.first_pause);
        let _guard = kakashi::builder()
            .sink_with(Moody(&ERROR, failing.clone()), with(Format::Json))
            .sink(other.clone())
            .retry(retry)
            .start()
            .expect("the backend starts");
        info!("n=0");
        kakashi::flush(HANG).expect("all is written");
        ERROR.store(libc::ENOSPC, Ordering::SeqCst);
        info!("n=1");
        until("it is suspended", || {
            kakashi::get_async_stats().sink_errors > 0 && kakashi::flush(HANG).is_ok()
        });
        (2..9).for_each(|n| info!("n={n}"));
        kakashi::flush(HANG).expect("the other one takes them");
        ERROR.store(0, Ordering::SeqCst);
        until("it is told", || failing.text().contains("missed"));
        info!("n=9");
        kakashi::flush(HANG).expect("all is written");
        let messages: Vec<_> = failing.lines().iter().map(|line| object(line)["message"].clone()).collect();
        assert!(messages.contains(&json!("this sink missed 7 records while it failed")), "{messages:?}");
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert_eq!(other.lines().len(), 10);
    });
}

const SCENARIOS: &[common::Scenario] = &[
    ("crash", crash),
    ("crash in vain", crash_in_vain),
    ("killed", killed),
    ("next", next),
    ("only json", only_json),
    ("numbers", numbers_for_ever),
    ("next json", next_of_json),
];

#[test]
fn child() {
    dispatch(SCENARIOS);
}

const MANY: u64 = 3000;

fn log_many() {
    (1..=MANY).for_each(|n| info!(SURE, "n={n} \"quoted\"", n = n, text = NASTY));
}

fn fault() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is whole.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    std::process::abort();
}

fn files(builder: kakashi::Builder, path: &str) -> kakashi::Builder {
    builder
        .sink_with(FileSink::append(format!("{path}.json")), with(Format::Json))
        .sink_with(FileSink::append(format!("{path}.otel")), with(Format::JsonOtel))
        .sink_with(FileSink::append(format!("{path}.pattern")), with(pattern()))
        .sink(FileSink::append(path))
}

/// The writer answers the crash handler.
fn crash(path: &str) {
    kakashi::__private::set_crash_patience(HANG);
    let _guard = files(kakashi::builder(), path).crash_handler(true).start().expect("it starts");
    log_many();
    fault();
}

/// The writer hangs, and the handler writes.
fn crash_in_vain(path: &str) {
    let (gate, entered) = (Gate::closed(), Gate::closed());
    let held = Held::new(&gate, &entered, &MemorySink::new());
    let _guard = files(kakashi::builder().sink(held), path).crash_handler(true).start().expect("it starts");
    info!(SURE, "n={}", 0, n = 0, text = NASTY);
    entered.wait();
    log_many();
    fault();
}

/// The numbers of the lines, which are in order, each once, and the text of the last line, the logger's own.
#[track_caller]
fn numbers(path: &str, key: fn(&str) -> Option<u64>) -> (Vec<u64>, String) {
    let lines = lines_of(path);
    let (last, records) = lines.split_last().expect("there are lines");
    (
        records.iter().map(|line| key(line).unwrap_or_else(|| panic!("no number: {line}"))).collect(),
        last.clone(),
    )
}

#[track_caller]
fn assert_files(path: &str, first: u64, told: &str) {
    let all: Vec<u64> = (first..=MANY).collect();
    let json = |line: &str| object(line)["n"].as_u64();
    let (found, last) = numbers(&format!("{path}.json"), json);
    assert_eq!(found, all);
    let last = object(&last);
    assert!(last["message"].as_str().is_some_and(|text| text.contains(told)), "{last:?}");
    assert_eq!(last["logger"], "kakashi");
    let otel = |line: &str| object(line)["Attributes"]["n"].as_u64();
    let (found, last) = numbers(&format!("{path}.otel"), otel);
    assert_eq!(found, all);
    assert!(object(&last)["Body"].as_str().is_some_and(|text| text.contains(told)), "{last:?}");
    let by_pattern = |line: &str| {
        assert!(line.starts_with("<  INFO|") && line.ends_with('Z'), "{line}");
        line.split_once("{n=")?.1.split([' ', '}']).next()?.parse().ok()
    };
    let (found, last) = numbers(&format!("{path}.pattern"), by_pattern);
    assert_eq!(found, all);
    assert!(last.contains(told) && last.contains("|kakashi-writer|kakashi..> -:- {"), "{last}");
    let (found, last) = numbers(path, |line| Some(common::number(common::message(line), "n=")));
    assert_eq!(found, all);
    assert!(common::is_notice(&last) && last.contains(told), "{last}");
}

#[test]
fn a_crash_is_told_in_each_format() {
    for (name, first, told) in [
        ("crash", 1, "every record logged before it is written"),
        ("crash in vain", 0, "written by the crash handler"),
    ] {
        let directory = Directory::new();
        let path = directory.file("log");
        let ended = scenario(name).with(&path).run();
        assert!(!ended.status.success(), "{ended}");
        assert_files(&path.to_string_lossy(), first, told);
    }
}

/// Takes a part of the first batch and hangs.
struct Hanging(FileSink, bool, Gate);

impl Sink for Hanging {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.1, true) {
            self.2.open();
            loop {
                std::thread::park();
            }
        }
        self.0.write_batch(&bytes[..bytes.len() / 2 + 7])
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// Dies in the middle of a batch, with more in the rings.
fn killed(directory: &str) {
    let hangs = Gate::closed();
    let (path, log) = (log_of(directory), log_of(directory).to_string_lossy().into_owned());
    let guard = kakashi::builder()
        .sink_with(FileSink::append(format!("{log}.json")), with(Format::Json))
        .sink_with(FileSink::append(format!("{log}.otel")), with(Format::JsonOtel))
        .sink_with(FileSink::append(format!("{log}.pattern")), with(pattern()))
        .sink(Hanging(FileSink::append(path), false, hangs.clone()))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    log_many();
    hangs.wait();
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// The next start with the same sinks.
fn next(directory: &str) {
    let log = log_of(directory);
    let builder = files(kakashi::builder(), &log.to_string_lossy()).black_box(box_of(directory));
    builder.start().expect("it starts").shutdown(HANG).expect("all is written");
}

#[test]
fn a_recovery_writes_to_each_sink_in_its_format() {
    for complete in [false, true] {
        let files = Files::new();
        scenario("killed").with(files.path()).run();
        let log = files.log().to_string_lossy().into_owned();
        let report = if complete {
            let report = kakashi::__box::complete(&files.black_box).expect("it can be recovered");
            assert!(report.remarks.is_empty() && report.records > 0, "{report:?}");
            report
        } else {
            let ended = scenario("next").with(files.path()).run();
            assert!(ended.status.success(), "{ended}");
            kakashi::__box::Report::default()
        };
        assert!(report.unreadable == 0);
        assert_files(&log, 1, "recovered ");
    }
}

/// A box of one JSON sink is printed as JSON, and as what else is asked for.
fn only_json(directory: &str) {
    let hangs = Gate::closed();
    let sink = Hanging(FileSink::append(log_of(directory)), false, hangs.clone());
    let guard = kakashi::builder()
        .sink_with(sink, with(Format::Json))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    log_many();
    hangs.wait();
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn a_box_of_one_sink_is_printed_in_its_format() {
    let files = Files::new();
    scenario("only json").with(files.path()).run();
    let view = kakashi::__box::View::open(&files.black_box).expect("it is a box");
    let print = |format| {
        let mut printed = Vec::new();
        let report = kakashi::__box::print_as(&view, format, &mut printed).expect("it can be printed");
        (report, String::from_utf8(printed).expect("it is UTF-8"))
    };
    let (report, text) = print(None);
    let lines: Vec<_> = text.lines().map(object).collect();
    assert_eq!((report.records as usize, report.threads.len()), (lines.len() - 1, 1), "{report:?}");
    let last = lines[lines.len() - 2]["n"].as_u64();
    assert_eq!(last, Some(MANY));
    let (told, text) = print(Some(Format::Text));
    assert_eq!(told.records, report.records);
    // What was rendered already stands in the messages of lines of the logger's own.
    let (own, records): (Vec<_>, Vec<_>) = text.lines().partition(|line| common::is_notice(line));
    assert!(records.last().is_some_and(|line| line.contains(&format!("n={MANY} \"quoted\""))), "{records:?}");
    assert!(own.len() > 1 && own[..own.len() - 1].iter().all(|line| common::message(line).starts_with('{')));
    assert_eq!(own.len() + records.len(), lines.len());
}

const THREADS: u64 = 2;

/// Takes parts of batches.
struct Choppy(FileSink, usize);

impl Sink for Choppy {
    fn open(&mut self) -> io::Result<()> {
        self.0.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 = self.1 * 7919 % 100_003;
        self.0.write_batch(&bytes[..1 + self.1 % bytes.len()])
    }

    fn place(&self) -> Option<Place<'_>> {
        self.0.place()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// Logs numbers as JSON until it is killed, and notes each whose call has returned.
fn numbers_for_ever(directory: &str) {
    let counts = Counts::open(&std::path::Path::new(directory).join("counts"));
    let sink = Choppy(FileSink::append(log_of(directory)), 1 + std::process::id() as usize % 1000);
    let builder = kakashi::builder().sink_with(sink, with(Format::Json)).black_box(box_of(directory));
    let _guard = builder.start().expect("it starts");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let counts = &counts;
            scope.spawn(move || {
                for n in 1.. {
                    info!(SURE, "{} \"of\" {}", n, thread, n = n, thread_ = thread, text = NASTY);
                    counts.of(thread as usize).store(n, Ordering::Release);
                }
            });
        }
    });
}

/// The next start of that.
fn next_of_json(directory: &str) {
    let sink = FileSink::append(log_of(directory));
    let builder = kakashi::builder().sink_with(sink, with(Format::Json)).black_box(box_of(directory));
    builder.start().expect("it starts").shutdown(HANG).expect("all is written");
}

#[test]
fn a_json_log_is_whole_after_kills_and_starts() {
    for round in 0..6 {
        let files = Files::new();
        let counts = Counts::open(&files.directory.file("counts"));
        let mut child =
            std::process::Command::new(std::env::current_exe().expect("the test knows its binary"))
                .args(["--exact", "child", "--nocapture", "--test-threads=1", "-q"])
                .env("KAKASHI_TEST_SCENARIO", "numbers")
                .env("KAKASHI_TEST_ARGUMENT", files.path())
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("the test binary can be run");
        let returned = || -> u64 { (0..2).map(|thread| counts.of(thread).load(Ordering::Acquire)).sum() };
        until("the child logs", || returned() > 500 + round * 3001);
        child.kill().and_then(|()| child.wait()).expect("it can be killed");
        let ended = scenario("next json").with(files.path()).run();
        assert!(ended.status.success(), "{ended}");
        let lines: Vec<_> = lines_of(files.log()).iter().map(|line| object(line)).collect();
        let mut last = [0; THREADS as usize];
        let mut own = Vec::new();
        for line in &lines {
            let Some(n) = line.get("n").and_then(Value::as_u64) else {
                own.push(line["message"].clone());
                continue;
            };
            let thread = line["thread_"].as_u64().expect("it is a number");
            assert_eq!(n, last[thread as usize] + 1, "each once, in order: {line:?}");
            last[thread as usize] = n;
            assert_eq!(line["message"], format!("{n} \"of\" {thread}"));
            assert_eq!(line["text"], NASTY);
        }
        for (thread, last) in last.into_iter().enumerate() {
            let returned = counts.of(thread).load(Ordering::Relaxed);
            assert!(last == returned || last == returned + 1, "{returned} calls had returned: {last}");
        }
        assert_eq!(own.len(), 1, "{own:?}");
        let is_told = |text: &str| text.starts_with("recovered ") || text.contains("has died");
        assert!(own[0].as_str().is_some_and(is_told), "{own:?}");
    }
}
