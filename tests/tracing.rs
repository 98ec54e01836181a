//! The `tracing` crate's events: like our own, with their spans, by the same levels and filters, beside other layers.
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
use std::sync::atomic::{AtomicUsize, Ordering};

use kakashi::{LevelFilter, set_filter, set_level, tracing_layer};
use support::{Line, Log, WATCHDOG};
use tracing::{Level, Metadata, Subscriber, field, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, registry};

fn start() -> Log {
    let log = support::start();
    filter("info");
    log
}

fn filter(text: &str) {
    set_filter(text.parse().expect("it is a filter"));
}

fn with_layer(body: impl FnOnce()) {
    tracing::subscriber::with_default(registry().with(tracing_layer()), body);
}

#[test]
fn a_line_is_like_a_native_one() {
    let log = start();
    with_layer(|| {
        tracing::error!("by {}: {:>4}|{:.2}", "tracing", 7, 1.5);
        tracing::warn!(target: "pool::tcp", "by target");
        tracing::info!("literal");
        tracing::info!(alone = 1);
        tracing::info!(message = "as a field", more = 2);
        let ((), ()) = (tracing::warn!(n = 1, "the same"), kakashi::warn!("the same", n = 1));
    });
    let lines = log.lines();
    let heads: Vec<(&str, &str, &str)> =
        lines.iter().map(|line| (line.level.as_str(), line.target.as_str(), line.message.as_str())).collect();
    assert_eq!(
        heads[..5],
        [
            ("ERROR", "tracing", "by tracing:    7|1.50"),
            ("WARN", "pool::tcp", "by target"),
            ("INFO", "tracing", "literal"),
            ("INFO", "tracing", " alone=1"),
            ("INFO", "tracing", "as a field more=2"),
        ]
    );
    assert!(lines[0].location.starts_with("tests/tracing.rs:"));
    let untimed = |line: &Line| Line { time: String::new(), ..line.clone() };
    assert_eq!(untimed(&lines[5]), untimed(&lines[6]));
}

#[test]
fn fields_are_typed() {
    let log = start();
    let error = "x".parse::<u32>().expect_err("it is none");
    with_layer(|| {
        tracing::info!(
            int = -7, big = u64::MAX, wide = i128::MIN, float = 0.1, whole = 100.0, nan = f64::NAN, yes = true,
            text = "a \"b\"", some = Some(3), none = None::<u8>, display = %"a b", debug = ?Some("a"),
            error = &error as &dyn std::error::Error, dotted.name = 1,
            "all kinds"
        );
    });
    assert_eq!(
        log.message(),
        "all kinds int=-7 big=18446744073709551615 wide=-170141183460469231731687303715884105728 float=0.1 \
         whole=100 nan=NaN yes=true text=\"a \\\"b\\\"\" some=3 display=\"a b\" debug=\"Some(\\\"a\\\")\" \
         error=\"invalid digit found in string\" dotted.name=1"
    );
}

#[test]
fn spans_stand_behind_the_events_in_them() {
    let log = start();
    with_layer(|| {
        let request = info_span!("request", id = 7, user = field::Empty, path = "/a b");
        let _entered = request.enter();
        tracing::info!("in one");
        request.record("user", "eve");
        let query = info_span!("query", rows = field::Empty);
        query.in_scope(|| {
            tracing::info!(n = 1, "in two");
            query.record("rows", 10);
            query.record("rows", 11);
            request.record("id", 8);
            tracing::info!("in two, later");
        });
        tracing::info!(parent: None, "in none");
        tracing::info!(parent: &query, "in two, by name");
        tracing::debug_span!("off", hidden = 1).in_scope(|| tracing::info!("in one that is off"));
        let bare = info_span!(parent: None, "bare");
        bare.in_scope(|| tracing::info!("without fields"));
    });
    tracing::info!("nobody listens");
    let one = "request.id=7 request.path=\"/a b\"";
    let later = "request.path=\"/a b\" request.user=eve request.id=8";
    assert_eq!(
        log.messages(),
        [
            format!("in one span=request {one}"),
            format!("in two n=1 span=request:query {one} request.user=eve"),
            format!("in two, later span=request:query query.rows=11 {later}"),
            "in none".to_owned(),
            format!("in two, by name span=request:query query.rows=11 {later}"),
            format!("in one that is off span=request {later}"),
            "without fields span=bare".to_owned(),
        ]
    );
}

/// A value that logs when it is formatted: within the event, and within its span.
struct Nested;

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!("within");
        f.write_str("nested")
    }
}

/// With a default of all threads: within another one, the `tracing` crate itself leaves out what is nested.
fn nested() {
    kakashi::init_tracing().expect("there is no other subscriber");
    let sink = kakashi::MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start().expect("it starts");
    let span = info_span!("span", value = field::Empty);
    span.in_scope(|| {
        tracing::info!(value = ?Nested, "outer");
        span.record("value", field::debug(Nested));
        info_span!("inner", value = ?Nested)
            .in_scope(|| kakashi::info!("native {}", format_args!("{Nested:?}")));
    });
    guard.shutdown(WATCHDOG).expect("all is written");
    let lines = support::lines(&sink.text());
    let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "within span=span",
            "outer value=nested span=span",
            "within span=span",
            "within span=span span.value=nested",
            "within span=span:inner inner.value=nested span.value=nested",
            "native nested",
        ]
    );
}

#[test]
fn no_value_can_forge_a_line() {
    let log = start();
    let evil = "x\n2026-11-23T11:54:34.123456789Z ERROR bank src/bank.rs:1 [main] \u{1b}[2Jpaid\u{202e}";
    with_layer(|| {
        let _span = info_span!("evil \n name", value = evil, debug = ?evil, display = %evil).entered();
        tracing::info!(target: "a\nb c", value = evil, display = %evil, "{evil}");
    });
    let text = log.text();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.chars().all(|char| char == '\n' || !char.is_control() && char != '\u{202e}'), "{text:?}");
    let line = &support::lines(&text)[0];
    assert_eq!((line.level.as_str(), line.target.as_str()), ("INFO", "a\\nb\\x20c"));
    let (escaped, quoted) = (support::escaped(evil), support::quoted(evil));
    let begin = format!("{escaped} value={quoted} display={quoted} span=\"evil \\n name\" ");
    assert!(line.message.starts_with(&begin), "{}", line.message);
    assert!(line.message.contains(&format!(" evil\\x20\\n\\x20name.value={quoted} ")), "{}", line.message);
}

#[test]
fn levels_and_filters_count_for_it() {
    let log = start();
    with_layer(|| {
        let passed = || {
            macro_rules! all {
                ($($target:literal)*) => {$(
                    tracing::error!(target: $target, "a record");
                    tracing::warn!(target: $target, "a record");
                    tracing::info!(target: $target, "a record");
                    tracing::debug!(target: $target, "a record");
                    tracing::trace!(target: $target, "a record");
                )*};
            }
            all!("pool" "pool::tcp" "other");
            let lines = log.lines();
            ["pool", "pool::tcp", "other"]
                .map(|target| lines.iter().filter(|line| line.target == target).count())
        };
        assert_eq!(passed(), [3, 3, 3]);
        set_level(LevelFilter::Error);
        assert_eq!(passed(), [1, 1, 1]);
        filter("warn,pool=trace,pool::tcp=off");
        assert_eq!(passed(), [5, 0, 2]);
        assert!(tracing::enabled!(target: "pool", Level::TRACE));
        assert!(!tracing::enabled!(target: "other", Level::INFO));
        filter("off");
        assert_eq!(passed(), [0, 0, 0]);
        assert!(!tracing::enabled!(Level::ERROR));
        filter("trace");
        assert_eq!(passed(), [5, 5, 5]);
        // An `EnvFilter` around it narrows it further.
        let narrowed = registry().with(tracing_layer().with_filter(EnvFilter::new("pool=debug")));
        tracing::subscriber::with_default(narrowed, || {
            filter("info,pool::tcp=trace");
            assert_eq!(passed(), [3, 4, 0]);
        });
    });
    filter("info");
}

/// Counts what it sees.
struct Counts(&'static AtomicUsize);

impl<S: Subscriber> Layer<S> for Counts {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enabled(&self, _: &Metadata<'_>, _: Context<'_, S>) -> bool {
        true
    }
}

#[test]
fn a_layer_beside_it_sees_what_it_wants() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let log = start();
    filter("error");
    tracing::subscriber::with_default(registry().with(Counts(&SEEN)).with(tracing_layer()), || {
        let _span = tracing::debug_span!("for the other one").entered();
        tracing::debug!("for the other one");
        tracing::error!("for both");
    });
    assert_eq!((SEEN.load(Ordering::Relaxed), log.messages()), (2, vec!["for both".to_owned()]));
    filter("info");
}

#[test]
fn long_ones_are_cut_and_counted() {
    let log = start();
    let before = kakashi::get_async_stats().truncated;
    with_layer(|| {
        let _span = info_span!("span", text = "s".repeat(40_000)).entered();
        let _inner = info_span!("inner", text = "i".repeat(20_000)).entered();
        tracing::info!(n = 1, "message");
    });
    let message = log.message();
    assert!(message.starts_with("message n=1 span=span:inner inner.text=iii"), "{}", &message[..80]);
    // All of the outer span's fields, or none.
    assert!(message.contains("i span.text=sss") || message.ends_with("bytes]"), "{}", &message[20_000..]);
    with_layer(|| {
        let _span = info_span!("span", text = "s".repeat(300_000)).entered();
        tracing::info!(n = 2, "message");
    });
    let message = log.message();
    assert!(message.starts_with("message n=2 span=span") && message.ends_with(" bytes]"), "{message}");
    assert!(kakashi::get_async_stats().truncated > before);
}

/// A process of its own.
#[test]
fn child() {
    match std::env::var("KAKASHI_TRACING_CHILD").as_deref() {
        Ok("nested") => nested(),
        Ok(_) => threads(),
        Err(_) => return,
    }
    println!("done");
}

fn threads() {
    kakashi::init_tracing().expect("there is no other subscriber");
    assert!(kakashi::init_tracing().is_err());
    let sink = kakashi::MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start().expect("it starts");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let _span = info_span!("worker", thread = thread).entered();
                for n in 0..500 {
                    tracing::info!(n = n, "by tracing");
                }
            });
        }
    });
    guard.shutdown(WATCHDOG).expect("all is written");
    let lines = sink.lines();
    assert_eq!(lines.len(), 2000);
    for thread in 0..4 {
        let of_thread = format!("worker.thread={thread}");
        for (n, line) in lines.iter().filter(|line| line.ends_with(&of_thread)).enumerate() {
            assert!(line.contains(&format!("by tracing n={n} span=worker ")), "{line}");
        }
    }
}

#[test]
fn the_default_of_all_threads() {
    for case in ["threads", "nested"] {
        let output = Command::new(std::env::current_exe().expect("the test knows its binary"))
            .args(["--exact", "child", "--nocapture"])
            .env("KAKASHI_TRACING_CHILD", case)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(support::wait_for)
            .expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("done"), "{case}: {out}{err}");
    }
}

#[test]
fn fields_of_spans_and_the_threads_error_count_for_it() {
    let log = start();
    filter("warn,[request{id=7}]=debug,[n=1]=trace");
    with_layer(|| {
        for id in [7, 8] {
            let _span = info_span!("request", id).entered();
            tracing::debug!("in it");
            tracing::trace!("too fine");
            tracing::trace!(n = 1, "by its own");
        }
        tracing::debug!("outside");
    });
    assert_eq!(
        log.messages(),
        [
            "in it span=request request.id=7",
            "by its own n=1 span=request request.id=7",
            "by its own n=1 span=request request.id=8"
        ]
    );
    filter("warn,quiet=off");
    kakashi::set_backtrace(LevelFilter::Debug, 2);
    with_layer(|| {
        let _span = info_span!("request", id = 9).entered();
        for n in 0..4 {
            tracing::debug!("held {n}");
            tracing::debug!(target: "quiet", "off");
            tracing::trace!("too fine");
        }
        tracing::error!("by tracing");
    });
    kakashi::set_backtrace(LevelFilter::Off, 0);
    let expected = [
        "held 2 span=request request.id=9",
        "held 3 span=request request.id=9",
        "by tracing span=request request.id=9",
    ];
    assert_eq!(log.messages(), expected);
    filter("info");
}
