//! Statements that are written once, at most every so often, or one in so many.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::*;
use kakashi::{LevelFilter, MemorySink, get_async_logger};

kakashi::channel!(static WAITING: kakashi::Channel<64, 256, 8, kakashi::Block>);

fn logged(log: impl FnOnce()) -> Vec<String> {
    let memory = MemorySink::new();
    let guard = kakashi::builder().sink(memory.clone()).start().expect("it starts");
    log();
    guard.shutdown(HANG).expect("it is written");
    memory.lines()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn once_is_once_whoever_comes_first() {
    alone("once_is_once_whoever_comes_first", || {
        let evaluated = Cell::new(0);
        let lines = logged(|| {
            kakashi::set_level(LevelFilter::Warn);
            let log = |n: u32| {
                kakashi::info_once!("n={}", {
                    evaluated.set(evaluated.get() + 1);
                    n
                })
            };
            log(0);
            kakashi::set_level(LevelFilter::Info);
            (1..5).for_each(log);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..100).for_each(|_| kakashi::warn_once!(WAITING, "in a channel")));
                }
            });
            (0..3).for_each(|_| kakashi::error_once!(get_async_logger("audit"), "by a logger", key = 1,));
        });
        assert_eq!(messages(&lines), ["n=1", "in a channel", "by a logger key=1"]);
        assert_eq!(evaluated.get(), 1);
    });
}

#[test]
fn every_tells_how_many_were_passed_over() {
    alone("every_tells_how_many_were_passed_over", || {
        let lines = logged(|| {
            let log = |every: Duration, n: u32| {
                kakashi::info_every!(every, "n={}", n, key = true,);
            };
            (0..100).for_each(|n| log(HOUR, n));
            log(Duration::ZERO, 100);
            log(Duration::ZERO, 101);
            log(HOUR, 102);
            kakashi::set_level(LevelFilter::Warn);
            log(Duration::ZERO, 103);
            kakashi::set_level(LevelFilter::Info);
            log(Duration::ZERO, 104);
        });
        let expected =
            ["n=0 key=true", "n=100 key=true suppressed=99", "n=101 key=true", "n=104 key=true suppressed=1"];
        assert_eq!(messages(&lines), expected);
    });
}

#[test]
fn a_sample_accounts_for_every_call() {
    alone("a_sample_accounts_for_every_call", || {
        let lines = logged(|| {
            (0..35).for_each(|n| kakashi::warn_sample!(10, "n={}", n));
            (0..3).for_each(|n| kakashi::debug_sample!(1, "off {}", n));
            (0..3).for_each(|n| kakashi::error_sample!(0, WAITING, "all {}", n));
        });
        let of = |n: u32| if n == 0 { "n=0".to_owned() } else { format!("n={n} suppressed=9") };
        let expected: Vec<_> =
            [0, 10, 20, 30].map(of).into_iter().chain((0..3).map(|n| format!("all {n}"))).collect();
        assert_eq!(messages(&lines), expected);
    });
}

/// Of several threads' calls, none is counted twice, or not at all.
#[test]
fn threads_share_a_statement() {
    alone("threads_share_a_statement", || {
        const CALLS: u64 = 20_000;
        let lines = logged(|| {
            let log = |every: Duration| kakashi::info_every!(every, WAITING, "x");
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        (0..CALLS).for_each(|n| log(if n % 64 == 0 { Duration::ZERO } else { HOUR }))
                    });
                }
            });
            log(Duration::ZERO);
        });
        let told = |line: &String| if line.contains("suppressed=") { number(line, "suppressed=") } else { 0 };
        assert_eq!(lines.iter().map(|line| 1 + told(line)).sum::<u64>(), 4 * CALLS + 1);
        assert!(lines.len() as u64 > CALLS / 64 / 2);
    });
}
