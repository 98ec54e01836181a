//! Records of the `log` and the `tracing` crate allocate nothing on a prepared thread, whatever is in them.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

#[path = "common/allocations.rs"]
mod allocations;
mod support;

use std::fmt;

use allocations::counted;
use kakashi::NullSink;
use support::WATCHDOG;

struct Point(f64, f64);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:.3}, {:>9.1})", self.0, self.1)
    }
}

fn by_log(long: &str) {
    let point = Point(1.0, 2.5);
    for n in 0..200_u64 {
        log::info!("literal");
        log::info!("{n} of {:?} at {point}", Some("many"));
        log::warn!(target: "a::target", n = n, float = 0.1, yes = true, text = "text", point:% = point; "values");
        log::debug!("not wanted {n}");
        log::error!(long = long; "{long}");
    }
    log::logger().flush();
}

fn by_tracing(long: &str) {
    let point = Point(1.0, 2.5);
    for n in 0..200_u64 {
        tracing::info!("literal");
        tracing::info!("{n} of {:?} at {point}", Some("many"));
        tracing::warn!(target: "a::target", n, float = 0.1, yes = true, text = "text", %point, "values");
        tracing::debug!("not wanted {n}");
        tracing::error!(long, "{long}");
    }
}

#[test]
fn events_allocate_nothing() {
    kakashi::init_tracing().expect("there is no other subscriber");
    let guard = kakashi::builder().log_facade(true).sink(NullSink).start().expect("it starts");
    let long = "x".repeat(40_000);
    assert!(counted(|| drop(std::hint::black_box(Box::new(1)))) == 2, "it does count");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            kakashi::prepare_thread().expect("there is a lane");
            // From the first one on.
            assert_eq!(counted(|| by_log(&long)), 0, "by the `log` crate");
        });
        scope.spawn(|| {
            // Not prepared either: what a first call does is no allocation.
            assert_eq!(counted(|| by_log(&long)), 0, "by the `log` crate");
        });
        scope.spawn(|| {
            kakashi::prepare_thread().expect("there is a lane");
            assert_eq!(counted(|| by_tracing(&long)), 0, "without a span");
            let outer = tracing::info_span!("outer", id = 7, text = "text", later = tracing::field::Empty);
            let outer = outer.entered();
            let inner = tracing::info_span!("inner", text = long.as_str()).entered();
            outer.record("later", 3);
            assert_eq!(counted(|| by_tracing("short")), 0, "in two spans");
            drop(inner);
            assert_eq!(counted(|| by_tracing(&long)), 0, "in one span");
        });
    });
    kakashi::flush(WATCHDOG).expect("all is written");
    let stats = kakashi::get_async_stats();
    assert_eq!((stats.messages_dropped, stats.messages_written), (0, 5 * 200 * 4));
    assert!(stats.truncated > 0);
    drop(guard);
}
