//! The `log` crate's records: like our own, in the same stream, by the same levels and filters.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod support;

use std::fmt;
use std::process::{Command, Stdio};

use kakashi::{LevelFilter, get_async_logger, set_filter, set_level};
use log::{Level, Log, Metadata, Record};
use support::{Line, Log as Turn, WATCHDOG};

fn start() -> Turn {
    let log = support::start();
    kakashi::log_facade::init().expect("there is no other logger");
    kakashi::log_facade::init().expect("nor is there after the first time");
    filter("info");
    log
}

fn filter(text: &str) {
    set_filter(text.parse().expect("it is a filter"));
}

/// The only line since the last look.
#[track_caller]
fn line(log: &Turn) -> Line {
    let mut lines = log.lines();
    assert_eq!(lines.len(), 1, "one line was expected: {lines:?}");
    lines.remove(0)
}

struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("od")?;
        f.write_str("d one")
    }
}

#[test]
fn a_line_is_like_a_native_one() {
    let log = start();
    let level = |level: Level| {
        log::log!(level, "by {}: {:>4}|{:.2}", "log", 7, 1.5);
        let line = line(&log);
        assert_eq!((line.target.as_str(), line.message.as_str()), ("log_facade", "by log:    7|1.50"));
        assert!(line.location.starts_with("tests/log_facade.rs:"), "{}", line.location);
        line.level
    };
    assert_eq!(level(Level::Error), "ERROR");
    assert_eq!(level(Level::Warn), "WARN");
    assert_eq!(level(Level::Info), "INFO");
    let ((), ()) = (log::warn!("the same {}", 1), kakashi::warn!("the same {}", 1));
    let lines = log.lines();
    // On one line of the source, but for the time.
    let untimed = |line: &Line| Line { time: String::new(), ..line.clone() };
    assert_eq!(untimed(&lines[0]), untimed(&lines[1]));
    log::info!(target: "pool::tcp", "by target");
    assert_eq!(line(&log).target, "pool::tcp");
    // As a program may build one.
    log::logger().log(&Record::builder().args(format_args!("bare")).level(Level::Info).build());
    let bare = line(&log);
    assert_eq!((bare.target.as_str(), bare.location.as_str(), bare.message.as_str()), ("log", "-", "bare"));
}

#[test]
fn key_values_are_typed_fields() {
    let log = start();
    log::info!(
        int = -7, big = u64::MAX, wide = i128::MIN, float = 0.1, whole = 100.0, nan = f64::NAN, huge = 1e21,
        yes = true, text = "a \"b\"", empty = "", char = 'x', odd:% = Odd, debug:? = Some("a"), none:? = None::<u8>;
        "values of {}", "all kinds"
    );
    assert_eq!(
        line(&log).message,
        "values of all kinds int=-7 big=18446744073709551615 \
         wide=-170141183460469231731687303715884105728 float=0.1 whole=100 nan=NaN huge=1000000000000000000000 \
         yes=true text=\"a \\\"b\\\"\" empty=\"\" char=x odd=\"odd one\" debug=\"Some(\\\"a\\\")\" none=None"
    );
    kakashi::info!(
        "native",
        int = -7,
        float = 0.1,
        whole = 100.0,
        nan = f64::NAN,
        huge = 1e21,
        yes = true,
        text = "a \"b\"",
        empty = "",
        char = 'x',
        odd = Odd
    );
    log::info!(
        int = -7, float = 0.1, whole = 100.0, nan = f64::NAN, huge = 1e21, yes = true, text = "a \"b\"", empty = "",
        char = 'x', odd:% = Odd; "native"
    );
    let messages = log.messages();
    assert_eq!(messages[0], messages[1]);
}

#[test]
fn no_value_can_forge_a_line() {
    let log = start();
    let evil =
        "x\n2026-11-23T11:54:34.123456789Z ERROR bank src/bank.rs:1 [main] \u{1b}[2Jpaid\u{202e}\r\0 =\"\\";
    let pairs = [(evil, evil), ("key=1 other", "plain")];
    let source: &dyn log::kv::Source = &pairs;
    log::logger().log(
        &Record::builder()
            .target(evil)
            .module_path(Some(evil))
            .file(Some(evil))
            .line(Some(7))
            .level(Level::Warn)
            .key_values(&source)
            .args(format_args!("{evil}"))
            .build(),
    );
    let text = log.text();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.chars().all(|char| char == '\n' || !char.is_control() && char != '\u{202e}'), "{text:?}");
    // The target ends at a space, the file at ` [`, the thread at `] `.
    let words: Vec<&str> = text.trim_end().splitn(5, ' ').collect();
    let (file, rest) = words[4].split_once(" [").expect("the file ends");
    let (_, message) = rest.split_once("] ").expect("the thread ends");
    let name = "x\\n2026-11-23T11:54:34.123456789Z\\x20ERROR\\x20bank\\x20src/bank.rs:1\\x20[main]\\x20\\x1b[2Jpaid\\u{202e}\\r\\x00\\x20";
    assert_eq!((words[1], words[2], words[3]), ("WARN", "", format!("{name}=\"\\x5c").as_str()));
    assert!(file.starts_with("x\\n2026") && file.ends_with("\\x5c:7"), "{file}");
    let (escaped, quoted) = (support::escaped(evil), support::quoted(evil));
    assert_eq!(message, format!("{escaped} {name}\\x3d\\x22\\x5c={quoted} key\\x3d1\\x20other=plain"));
}

#[test]
fn levels_and_filters_count_for_it() {
    let log = start();
    let passed = |target: &str| {
        for level in Level::iter() {
            assert_eq!(log::log_enabled!(target: target, level), {
                log::log!(target: target, level, "a record");
                log.lines().len() == 1
            });
        }
        Level::iter().filter(|&level| log::log_enabled!(target: target, level)).count()
    };
    assert_eq!((passed("pool"), log::max_level()), (3, log::LevelFilter::Info));
    set_level(LevelFilter::Error);
    assert_eq!((passed("pool"), log::max_level()), (1, log::LevelFilter::Error));
    filter("warn,pool=trace,pool::tcp=off");
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    assert_eq!((passed("pool"), passed("pool::tcp"), passed("pool::udp"), passed("pools")), (5, 0, 5, 2));
    filter("off,pool=info");
    assert_eq!((passed("pool"), passed("other"), log::max_level()), (3, 0, log::LevelFilter::Info));
    // One switch for each level.
    let switch = kakashi::callsites()
        .iter()
        .find(|callsite| callsite.template().is_empty() && callsite.level() == kakashi::Level::Info)
        .expect("it is listed");
    switch.set_enabled(false);
    log::info!(target: "pool", "not this one");
    log::warn!(target: "pool", "this one");
    assert_eq!(log.messages(), ["this one"]);
    filter("off");
    assert_eq!((passed("pool"), log::max_level()), (0, log::LevelFilter::Off));
    filter("info");
}

#[test]
fn long_ones_are_cut_and_counted() {
    let log = start();
    let before = kakashi::get_async_stats().truncated;
    let (long, number) = ("é".repeat(60_000), 12345);
    log::info!("{long}{number}");
    let message = line(&log).message;
    let (text, mark) = message.split_once('…').expect("it has a mark");
    assert!(text.len() > 60_000 && long.starts_with(text), "{}", text.len());
    assert_eq!(mark, format!("[+{} bytes]", long.len() + 5 - text.len()));
    assert!(kakashi::get_async_stats().truncated > before);
    // Fields that do not fit, of which there may be a part.
    for len in (63_000..66_000).step_by(7) {
        log::info!(key = "k".repeat(len).as_str(), number = number, other = "other"; "message");
        let message = line(&log).message;
        assert!(message.starts_with("message key=k"), "{len}");
        let whole = message.ends_with("k number=12345 other=other");
        let told = message.matches("…[+").count();
        assert!(whole != (told == 1) && told <= 1, "{len}: {}", &message[message.len() - 60..]);
    }
}

/// A value whose formatting logs, by both ways.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        log::info!(inner = 1; "within {}", "it");
        kakashi::info!("within {}", "it", inner = 2);
        f.write_str("nested")
    }
}

#[test]
fn calls_within_calls_give_all_records() {
    let log = start();
    log::info!(key:% = Nested; "outer");
    kakashi::info!("outer {}", Nested);
    assert_eq!(
        log.messages(),
        [
            "within it inner=1",
            "within it inner=2",
            "outer key=nested",
            "within it inner=1",
            "within it inner=2",
            "outer nested"
        ]
    );
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            std::panic::resume_unwind(Box::new("in a value"));
        }
    }
    let before = kakashi::get_async_stats().dropped.format_panicked;
    assert!(std::panic::catch_unwind(|| log::info!(key:% = Panics; "not written")).is_err());
    log::info!("goes on");
    assert_eq!(log.messages(), ["goes on"]);
    assert_eq!(kakashi::get_async_stats().dropped.format_panicked, before + 1);
}

/// The `log` crate's macros and ours at once, each thread's records in its order, none missing.
#[test]
fn both_ways_make_one_stream() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 300;
    let log = start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let logger = get_async_logger("native");
                for n in 0..ROUNDS {
                    log::info!(target: "facade", thread = thread, n = n; "by log");
                    kakashi::info!(logger, "by kakashi", thread = thread, n = n);
                    log::warn!("thread={thread} n={n}");
                }
            });
        }
    });
    let lines = log.lines();
    assert_eq!(lines.len(), THREADS * ROUNDS * 3);
    let mut next = [0; THREADS];
    for line in &lines {
        let number = |key: &str| -> usize {
            let at = line.message.find(key).expect("it has the number") + key.len();
            line.message[at..].split(' ').next().expect("a word").parse().expect("a number")
        };
        let (thread, n) = (number("thread="), number("n="));
        let kind = match (line.target.as_str(), line.level.as_str()) {
            ("facade", "INFO") => 0,
            ("native", "INFO") => 1,
            ("log_facade", "WARN") => 2,
            other => panic!("{other:?}"),
        };
        assert_eq!(n * 3 + kind, next[thread], "program order of thread {thread}");
        next[thread] += 1;
    }
}

/// What is the case in a process of its own.
#[test]
fn child() {
    let Ok(case) = std::env::var("KAKASHI_LOG_FACADE_CASE") else { return };
    match case.as_str() {
        // Another logger is there first.
        "other" => {
            struct Other;
            impl Log for Other {
                fn enabled(&self, _: &Metadata<'_>) -> bool {
                    true
                }
                fn log(&self, _: &Record<'_>) {}
                fn flush(&self) {}
            }
            static OTHER: Other = Other;
            log::set_logger(&OTHER).expect("it is the first");
            log::set_max_level(log::LevelFilter::Debug);
            let error = kakashi::log_facade::init().expect_err("there is another one");
            assert!(error.to_string().contains("another logger"));
            let error = kakashi::builder().log_facade(true).start().expect_err("there is another one");
            assert!(error.to_string().contains("another logger"), "{error}");
            assert_eq!(kakashi::state(), kakashi::State::Idle);
            set_level(LevelFilter::Error);
            assert_eq!(log::max_level(), log::LevelFilter::Debug, "it is not ours to set");
        }
        // One shutdown, from the builder on; later records are counted.
        "shutdown" => {
            let sink = kakashi::MemorySink::new();
            let builder = kakashi::builder().filter("debug,quiet=off".parse().expect("it is one"));
            let guard = builder.log_facade(true).sink(sink.clone()).start().expect("it starts");
            assert_eq!(log::max_level(), log::LevelFilter::Debug);
            for n in 0..5000 {
                log::debug!("{n}");
                log::error!(target: "quiet", "{n}");
            }
            guard.shutdown(WATCHDOG).expect("all is written");
            let lines = sink.lines();
            assert_eq!(lines.len(), 5000);
            assert!(lines.iter().enumerate().all(|(n, line)| line.ends_with(&format!("] {n}"))));
            log::error!("after it");
            log::logger().flush();
            assert_eq!(sink.lines().len(), 5000);
            assert_eq!(kakashi::get_async_stats().dropped.after_shutdown, 1);
        }
        // The default backend, started by the first record; the exit writes it.
        "default" => {
            kakashi::log_facade::init().expect("there is no other logger");
            log::info!("to standard error");
        }
        // What a flush waits for, and that it ends.
        "flush" => {
            let sink = kakashi::MemorySink::new();
            let _guard = kakashi::builder().log_facade(true).sink(sink.clone()).start().expect("it starts");
            for n in 1..=500 {
                log::info!("{n}");
                log::logger().flush();
                assert_eq!(sink.lines().len(), n);
            }
        }
        // As the one above, with a sink that takes nothing: it ends all the same.
        "hang" => {
            struct Hangs;
            impl kakashi::Sink for Hangs {
                fn write_batch(&mut self, _: &[u8]) -> std::io::Result<usize> {
                    Err(std::io::ErrorKind::WouldBlock.into())
                }
            }
            let builder = kakashi::builder().shutdown_timeout(std::time::Duration::ZERO);
            let _guard = builder.log_facade(true).sink(Hangs).start().expect("it starts");
            log::info!("is not taken");
            log::logger().flush();
        }
        other => panic!("{other}"),
    }
    println!("done");
}

#[test]
fn a_process_of_its_own_behaves() {
    for case in ["other", "shutdown", "default", "flush", "hang"] {
        let output = Command::new(std::env::current_exe().expect("the test knows its binary"))
            .args(["--exact", "child", "--nocapture"])
            .env("KAKASHI_LOG_FACADE_CASE", case)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(support::wait_for)
            .expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("done"), "{case}: {out}{err}");
        assert_eq!(
            err.contains(" INFO  log_facade tests/log_facade.rs:"),
            case == "default",
            "{case}: {err}"
        );
    }
}

#[test]
fn fields_and_the_threads_error_count_for_it() {
    let log = start();
    filter("warn,[id=7]=debug,net[{id}]=trace");
    let _context = kakashi::context!(user = "u");
    for id in [7, 8] {
        log::debug!(id; "at debug");
        log::trace!(id; "at trace");
        log::trace!(target: "net::tcp", id; "of net");
    }
    assert_eq!(log.messages(), ["at debug id=7 user=u", "of net id=7 user=u", "of net id=8 user=u"]);
    filter("warn,[user=u]=info");
    log::info!("by its context");
    log::debug!("too fine");
    assert_eq!(log.messages(), ["by its context user=u"]);
    filter("warn,quiet=off");
    kakashi::set_backtrace(LevelFilter::Debug, 2);
    for n in 0..4 {
        log::debug!("held {n}");
        log::debug!(target: "quiet", "off");
        log::trace!("too fine");
    }
    assert!(log::log_enabled!(Level::Debug));
    log::error!("by log");
    kakashi::set_backtrace(LevelFilter::Off, 0);
    assert!(!log::log_enabled!(Level::Debug));
    assert_eq!(log.messages(), ["held 2 user=u", "held 3 user=u", "by log user=u"]);
    filter("info");
}
