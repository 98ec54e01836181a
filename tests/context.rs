//! Fields that go into every record of a thread, or of a logger.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::task::{Poll, Waker};

use common::black_box::{Files, Hanging, box_of, log_of};
use common::*;
use kakashi::__box as boxes;
use kakashi::{
    Block, Channel, Context, Deferred, DropOldest, FileSink, Format, InContext, MemorySink, SinkOptions,
    context, get_async_logger, info,
};

kakashi::channel!(static RAW: Channel<64, 256, 1, Block, Deferred>);
kakashi::channel!(static NEWEST: Channel<128, 64, 2, DropOldest>);
kakashi::channel!(static TINY: Channel<64, 4, 2, Block>);
kakashi::channel!(static LEAST: Channel<64, 2, 2, Block, Deferred>);

const SCENARIOS: &[Scenario] = &[("killed", killed)];

#[test]
fn child() {
    dispatch(SCENARIOS);
}

fn logged_as(format: Format, log: impl FnOnce()) -> Vec<String> {
    let memory = MemorySink::new();
    let options = SinkOptions::default().format(format);
    let guard = kakashi::builder().sink_with(memory.clone(), options).start().expect("it starts");
    log();
    guard.shutdown(HANG).expect("it is written");
    conserved();
    memory.lines()
}

fn logged(log: impl FnOnce()) -> Vec<String> {
    logged_as(Format::Text, log)
}

#[test]
fn its_fields_are_in_every_record_while_it_holds() {
    alone("its_fields_are_in_every_record_while_it_holds", || {
        let lines = logged(|| {
            info!("before the first call");
            {
                let _context = context!(id = 7, user.name = "a b", px = &101.5, up = true, none = None::<u8>);
                info!("plain");
                info!(RAW, "raw {} {}", 1, 2.5, own = 'x');
                info!(NEWEST, "newest {:?}", Some("formatted"));
                info!(get_async_logger("audit"), "audit", own = "é");
                // No lane is left for this one: it is in the shared one, with a context of its own.
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        info!(RAW, "elsewhere");
                        let _context = context!(id = 8);
                        info!(RAW, "shared {}", "é".repeat(40), own = 1);
                        info!(RAW, "{} {} {} {}", 1, 2, 3, 4);
                    });
                });
            }
            info!(RAW, "after {}", 3);
            info!("after");
        });
        let context = "id=7 user.name=\"a b\" px=101.5 up=true none=None";
        let shared = format!("shared {} own=1 id=8", "é".repeat(40));
        assert_eq!(
            messages(&lines),
            [
                "before the first call",
                &format!("plain {context}"),
                &format!("raw 1 2.5 own=x {context}"),
                &format!("newest Some(\"formatted\") {context}"),
                &format!("audit own=é {context}"),
                "elsewhere",
                &shared,
                "1 2 3 4 id=8",
                "after 3",
                "after",
            ]
        );
    });
}

#[test]
fn the_innermost_counts_and_guards_end_in_any_order() {
    alone("the_innermost_counts_and_guards_end_in_any_order", || {
        let lines = logged(|| {
            let outer = context!(a = 1, b = 1);
            let middle = context!(b = 2, c = 2);
            info!("both");
            drop(outer);
            info!("middle");
            let inner = context!(b = 3);
            drop(middle);
            info!("inner");
            let again = context!(d = 4);
            drop(inner);
            info!("again");
            drop(again);
            info!("none");
            let _nothing = Context::new().enter();
            info!("nothing");
        });
        let expected = ["both a=1 b=2 c=2", "middle b=2 c=2", "inner b=3", "again d=4", "none", "nothing"];
        assert_eq!(messages(&lines), expected);
    });
}

#[test]
fn values_keep_their_types_in_every_format() {
    alone("values_keep_their_types_in_every_format", || {
        let log = || {
            let words = "l\ni\u{1b}ne";
            let _context = context!(n = -7, big = u128::MAX, nan = f64::NAN, words = words, d = %1.5, g = ?"q", no = None::<&str>);
            info!("filled {qty}", qty = 3, n = 1);
        };
        let json: serde_json::Value =
            serde_json::from_str(&logged_as(Format::Json, log)[0]).expect("it is an object");
        let fields = json.get("fields").unwrap_or(&json);
        for (key, value) in [
            ("qty", "3"),
            ("n", "1"),
            ("n_", "-7"),
            ("big", "\"340282366920938463463374607431768211455\""),
            ("nan", "\"NaN\""),
            ("words", "\"l\\ni\\u001bne\""),
            ("d", "\"1.5\""),
            ("g", "\"\\\"q\\\"\""),
            ("no", "null"),
        ] {
            let found = fields.get(key).unwrap_or_else(|| panic!("{key} of {json}"));
            let value = serde_json::from_str::<serde_json::Value>(value).expect("it is JSON");
            assert_eq!(*found, value, "{key} of {json}");
        }
        let logfmt = logged_as(Format::Logfmt, log).remove(0);
        assert!(logfmt.contains(" qty=3 n=1 n_=-7 ") && logfmt.contains(" no="), "{logfmt}");
        let console = logged_as(Format::Console, log).remove(0);
        assert!(console.contains("words") && !console.contains("\u{1b}n"), "{console:?}");
        let text = logged(log).remove(0);
        assert!(text.contains("filled 3 n=1 n=-7 big=340282366920938463463374607431768211455"), "{text}");
    });
}

#[test]
fn what_has_no_room_is_left_out_and_told() {
    alone("what_has_no_room_is_left_out_and_told", || {
        let lines = logged(|| {
            {
                let _context = context!(first = 1, long = "x".repeat(1500), last = 2);
                info!("one");
                // More contexts than can hold.
                let many: Vec<_> = (0..40).map(|n| context!(n = n)).collect();
                info!("many");
                drop(many);
                info!("one again");
                // A record has room for less than that.
                info!(TINY, "{}", "y".repeat(200));
                info!(LEAST, "{} {} {} {}", 1, 2, 3, 4);
                assert_eq!(kakashi::get_async_stats().truncated, 2);
            }
            info!("none");
        });
        let texts = messages(&lines);
        let told = " first=1 last=2 context_left_out=1511";
        assert_eq!(texts[0], format!("one{told}"));
        assert_eq!(texts[1], "many first=1 last=2 n=30 context_left_out=1601");
        assert_eq!(texts[2], format!("one again{told}"));
        assert!(texts[3].starts_with('y') && texts[3].contains("bytes]"), "{}", texts[3]);
        assert_eq!(texts[4..], ["1 2 3 4", "none"]);
    });
}

#[test]
fn it_goes_along_to_a_thread_and_a_future() {
    alone("it_goes_along_to_a_thread_and_a_future", || {
        let lines = logged(|| {
            let context = {
                let _context = context!(request = 7);
                Context::current()
            };
            assert_eq!(format!("{context:?}"), "{\"request\": Number([55])}".to_owned());
            let mut polls = 0;
            let future = async {
                info!("started");
                std::future::poll_fn(|_| {
                    polls += 1;
                    if polls == 1 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                info!("went on");
            };
            let mut future = pin!(future.in_context(context.clone()));
            let mut cx = std::task::Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut cx).is_pending());
            info!("between");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let _context = context.enter();
                    info!("elsewhere");
                });
            });
            assert!(future.as_mut().poll(&mut cx).is_ready());
        });
        let expected = ["started request=7", "between", "elsewhere request=7", "went on request=7"];
        assert_eq!(messages(&lines), expected);
    });
}

#[test]
fn a_loggers_fields_are_in_its_records_only() {
    alone("a_loggers_fields_are_in_its_records_only", || {
        let lines = logged(|| {
            let orders = get_async_logger("orders").with("venue", "XETR").with("desk", 3);
            info!(orders, "first");
            let _context = context!(request = 7);
            info!(&orders, "filled {}", 7, qty = ?Some(2));
            info!(orders.logger(), "bare");
            orders.logger().set_level(kakashi::LevelFilter::Warn);
            info!(orders, "off");
            assert!(!kakashi::enabled!(orders, kakashi::Level::Info));
            info!("last");
        });
        assert!(lines[..3].iter().all(|line| line.contains(" INFO  orders ")), "{lines:?}");
        assert_eq!(
            messages(&lines),
            [
                "first venue=XETR desk=3",
                "filled 7 qty=Some(2) request=7 venue=XETR desk=3",
                "bare request=7",
                "last request=7",
            ]
        );
    });
}

/// A `Display` that logs, and that enters a context, while one is being made.
struct Logs;

impl std::fmt::Display for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _context = context!(within = 1);
        info!("nested");
        f.write_str("logs")
    }
}

#[test]
fn a_value_that_logs_is_no_harm() {
    alone("a_value_that_logs_is_no_harm", || {
        let lines = logged(|| {
            let _context = context!(by = %Logs);
            info!("{}", Logs);
        });
        assert_eq!(messages(&lines), ["nested within=1", "nested by=logs within=1", "logs by=logs"]);
    });
}

fn killed(directory: &str) {
    let guard = kakashi::builder()
        .sink(Hanging(FileSink::append(log_of(directory))))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    let _context = context!(request = 7);
    (0..100).for_each(|n| info!(RAW, "n={}", n));
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn it_is_in_what_a_dead_process_had_not_written() {
    let files = Files::new();
    let ended = scenario("killed").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended}");
    let report = boxes::complete(&files.black_box).expect("the box can be recovered");
    assert_eq!(report.records, 100, "{report:?}");
    let lines: Vec<_> = lines_of(files.log()).into_iter().filter(|line| !is_notice(line)).collect();
    let expected: Vec<_> = (0..100).map(|n| format!("n={n} request=7")).collect();
    assert_eq!(messages(&lines), expected);
}
