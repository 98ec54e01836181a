//! Captures: each thread's own records, whatever others log at the same time.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod support;

use std::panic::catch_unwind;
use std::sync::Barrier;

use kakashi::testing::{Capture, capture};
use kakashi::{Builder, LevelFilter, MemorySink, debug, info, trace};

fn messages(capture: &Capture) -> Vec<String> {
    support::lines(&capture.text()).into_iter().map(|line| line.message).collect()
}

#[test]
fn each_of_many_threads_sees_its_own() {
    const THREADS: usize = 8;
    const RECORDS: usize = 2000;
    let together = Barrier::new(THREADS);
    let body = |number: usize| {
        info!("{} before", number);
        let capture = capture();
        together.wait();
        for record in 0..RECORDS {
            trace!("{} {}", number, record);
        }
        let expected: Vec<String> = (0..RECORDS).map(|record| format!("{number} {record}")).collect();
        assert_eq!(messages(&capture), expected);
        together.wait();
    };
    // All of one name: it is not the name that tells them apart.
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let thread = std::thread::Builder::new().name("same".to_owned());
            thread.spawn_scoped(scope, move || body(number)).expect("a thread is made");
        }
    });
}

#[test]
fn threads_that_share_a_lane_are_told_apart() {
    kakashi::channel!(static NARROW: kakashi::Channel<128, 64, 1, kakashi::Block>);
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let together = &together;
            scope.spawn(move || {
                let capture = capture();
                info!(NARROW, "{} one", number);
                together.wait();
                info!(NARROW, "{} two", number);
                assert_eq!(messages(&capture), [format!("{number} one"), format!("{number} two")]);
                together.wait();
            });
        }
    });
}

#[test]
fn a_capture_begins_and_ends() {
    info!("before");
    let outer = capture();
    info!("first");
    {
        let inner = capture();
        info!("second");
        assert_eq!(messages(&inner), ["second"]);
    }
    info!("third\nwith a break", key = 3);
    assert_eq!(messages(&outer), ["first", "second", "third\\nwith a break key=3"]);
    drop(outer);
    info!("between");
    let again = capture();
    assert_eq!(again.text(), "");
    debug!("last");
    again.assert_logged("last");
    let refused = catch_unwind(std::panic::AssertUnwindSafe(|| again.assert_logged("first")));
    let message = refused.expect_err("it was not logged");
    let message = message.downcast_ref::<String>().expect("it says why");
    assert!(message.contains("not logged: \"first\"") && message.contains(" last\n"), "{message}");
}

#[test]
fn other_threads_are_included_for_a_while() {
    let capture = capture();
    info!("own");
    std::thread::scope(|scope| {
        scope.spawn(|| info!("not included")).join().expect("it logs");
        let helper = || {
            info!("before");
            let included = capture.include();
            info!("included");
            drop(included);
            info!("after");
        };
        scope.spawn(helper).join().expect("it logs");
    });
    info!("own again");
    assert_eq!(messages(&capture), ["own", "included", "own again"]);
}

#[test]
fn a_backend_with_other_settings_can_be_captured() {
    const NAME: &str = "a_backend_with_other_settings_can_be_captured";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let memory = MemorySink::new();
    let builder = Builder::testing().level(LevelFilter::Info).sink(memory.clone());
    let _guard = builder.start().expect("the backend starts");
    let capture = capture();
    debug!("off");
    info!("on", px = 1.5);
    assert_eq!(messages(&capture), ["on px=1.5"]);
    // As a text sink has it.
    assert_eq!(capture.text(), memory.text());
}

#[test]
fn another_backend_is_refused() {
    const NAME: &str = "another_backend_is_refused";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let _guard = kakashi::builder().sink(MemorySink::new()).start().expect("the backend starts");
    let message = catch_unwind(|| drop(capture())).expect_err("it cannot be captured");
    let message = message.downcast_ref::<String>().expect("it says why");
    assert!(message.contains("Builder::testing"), "{message}");
}
