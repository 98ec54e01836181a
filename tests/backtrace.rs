//! Records that a thread holds back until it logs an error.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc;

use common::black_box::{Files, Hanging, box_of, log_of};
use common::*;
use kakashi::__box as boxes;
use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, FileSink, LevelFilter, MemorySink, context,
    debug, error, get_async_logger, info, set_backtrace, set_filter, trace, warn,
};

kakashi::channel!(static RAW: Channel<64, 256, 4, Block, Deferred>);
kakashi::channel!(static TINY: Channel<64, 4, 2, Block>);
kakashi::channel!(static BOUNDED: Channel<64, 4, 2, BlockFor<10_000_000>>);
kakashi::channel!(static NEWEST: Channel<64, 16, 2, DropNewest>);
kakashi::channel!(static OLDEST: Channel<64, 16, 2, DropOldest, Deferred>);
kakashi::channel!(static SHARED: Channel<64, 256, 1, Block>);

const SCENARIOS: &[Scenario] = &[("killed", killed)];

#[test]
fn child() {
    dispatch(SCENARIOS);
}

/// The lines of what is logged while the last `records` records from `debug` on are held back.
fn logged(records: usize, log: impl FnOnce()) -> Vec<String> {
    let memory = MemorySink::new();
    let builder = kakashi::builder().backtrace(LevelFilter::Debug, records);
    let guard = builder.sink(memory.clone()).start().expect("it starts");
    log();
    guard.shutdown(HANG).expect("it is written");
    conserved();
    memory.lines()
}

fn filter(text: &str) {
    set_filter(text.parse().expect("it is a filter"));
}

/// Runs `log` on a thread of its own.
fn elsewhere(log: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(log).join().expect("it does not panic"));
}

#[test]
fn they_are_written_in_front_of_the_threads_error() {
    alone("they_are_written_in_front_of_the_threads_error", || {
        let lines = logged(10, || {
            debug!("never asked for {}", 1);
            elsewhere(|| debug!("of a thread that logs no error"));
            debug!("read {} of {:?}", 7, "a\nfile", path = "/tmp/x", size = ?Some(3));
            trace!("too fine");
            info!("at once");
            debug!(get_async_logger("audit"), "by a logger {:.2}", 1.005);
            error!("first");
            error!("second");
            warn!("no error");
            debug!("behind it");
            error!("third");
            debug!("left over");
        });
        assert_eq!(
            messages(&lines),
            [
                "at once",
                "never asked for 1",
                "read 7 of \"a\\nfile\" path=/tmp/x size=Some(3)",
                "by a logger 1.00",
                "first",
                "second",
                "no error",
                "behind it",
                "third",
            ]
        );
        let line =
            |message: &str| lines.iter().find(|line| line.contains(message)).expect("it is there").as_str();
        assert!(line("by a logger").contains(" DEBUG audit "), "{}", line("by a logger"));
        // They have their own time, in which they were made.
        let time = |message| line(message).split_once(' ').expect("a line has a time").0;
        assert!(time("never") <= time("read 7") && time("read 7") <= time("at once"));
        assert!(time("at once") <= time("by a logger") && time("by a logger") <= time("first"));
        assert!(kakashi::get_async_stats().late >= 2);
    });
}

#[test]
fn the_last_ones_are_kept() {
    alone("the_last_ones_are_kept", || {
        let long = "x".repeat(3000);
        let lines = logged(100, || {
            (0..250).for_each(|n| debug!("n={n}"));
            error!("all hundred");
            (0..7).for_each(|n| debug!("n={n}"));
            set_backtrace(LevelFilter::Debug, 5);
            debug!("n={}", 7);
            error!("five");
            set_backtrace(LevelFilter::Debug, 1_000_000);
            (0..300).for_each(|n| debug!("{n:04} {long}"));
            error!("as many as there is room for");
            (0..3).for_each(|n| debug!("n={n}"));
            error!("three");
        });
        let messages = messages(&lines);
        let mut parts = messages.split(|message| !message.starts_with("n=") && !message.contains(" x"));
        let expected = |range: std::ops::Range<u32>| range.map(|n| format!("n={n}")).collect::<Vec<_>>();
        assert_eq!(parts.next().expect("a hundred"), expected(150..250));
        assert_eq!(parts.next().expect("five"), expected(3..8));
        let filled = parts.next().expect("some");
        assert!((18..=21).contains(&filled.len()), "{}", filled.len());
        let rest = (300 - filled.len()..300).map(|n| format!("{n:04} {long}"));
        assert!(filled.iter().copied().eq(rest), "{filled:?}");
        assert_eq!(parts.next().expect("three"), expected(0..3));
    });
}

#[test]
fn what_a_thread_holds_back_is_its_own_and_ends_with_it() {
    alone("what_a_thread_holds_back_is_its_own_and_ends_with_it", || {
        let lines = logged(10, || {
            // One after another on one lane, which is handed over.
            elsewhere(|| debug!(SHARED, "of the first"));
            elsewhere(|| error!(SHARED, "of the second"));
            let is_taken = || SHARED.lanes().next().is_some_and(|lane| lane.in_use);
            until("the lane is free", || !is_taken());
            let (sender, receiver) = mpsc::channel::<()>();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    debug!(SHARED, "has the lane");
                    receiver.recv().expect("the other one is done");
                    error!(SHARED, "goes");
                });
                until("the lane is taken", is_taken);
                elsewhere(|| {
                    debug!(SHARED, "without a lane");
                    error!(SHARED, "without a lane, written");
                });
                sender.send(()).expect("it waits");
            });
        });
        // Of different threads, the order is that of time as far as they are written together.
        let mut messages = messages(&lines);
        messages.sort_unstable();
        assert_eq!(messages, ["goes", "has the lane", "of the second", "without a lane, written"]);
    });
}

#[test]
fn every_channel_of_the_thread_writes_what_it_holds() {
    alone("every_channel_of_the_thread_writes_what_it_holds", || {
        let lines = logged(1000, || {
            let _context = context!(id = 7);
            (0..100).for_each(|n| debug!(RAW, "raw {} {}", n, "text", twice = 2 * n));
            (0..100).for_each(|n| debug!(TINY, "tiny {n}"));
            (0..100).for_each(|n| debug!(BOUNDED, "bounded {n}"));
            debug!("default");
            error!(TINY, "lost");
        });
        let messages = messages(&lines);
        for n in 0..100 {
            let at = |text: String| messages.iter().filter(|message| **message == text).count();
            assert_eq!(at(format!("raw {n} text twice={} id=7", 2 * n)), 1);
            assert_eq!(at(format!("tiny {n} id=7")), 1);
            assert_eq!(at(format!("bounded {n} id=7")), 1);
        }
        assert_eq!(messages.len(), 302);
        let tiny: Vec<_> =
            messages.iter().filter(|text| text.starts_with("tiny") || text.starts_with("lost")).collect();
        assert_eq!(*tiny[100], "lost id=7");
        assert!((0..100).all(|n| tiny[n].starts_with(&format!("tiny {n} "))));
    });
}

#[test]
fn who_never_waits_writes_the_last_ones_that_fit() {
    alone("who_never_waits_writes_the_last_ones_that_fit", || {
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let sink = Held::new(&gate, &entered, &memory);
        let builder = kakashi::builder().backtrace(LevelFilter::Debug, 1000);
        let guard = builder.sink(sink).start().expect("it starts");
        info!(RAW, "the writer hangs with this");
        entered.wait();
        for n in 0..100 {
            debug!(NEWEST, "newest {n}");
            debug!(OLDEST, "oldest {n}");
        }
        error!(NEWEST, "of newest");
        error!(OLDEST, "of oldest");
        gate.open();
        guard.shutdown(HANG).expect("it is written");
        let stats = conserved();
        let lines = memory.lines();
        let messages = messages(&lines);
        for (name, first) in [("newest", 0), ("oldest", 0)] {
            let of: Vec<&&str> = messages.iter().filter(|text| text.contains(name)).collect();
            let kept = of.len() - 1;
            assert!((4..=8).contains(&kept), "{of:?}");
            assert_eq!(*of[kept], format!("of {name}"));
            assert!((first..kept).all(|at| *of[at] == format!("{name} {}", 100 - kept + at)), "{of:?}");
        }
        assert_eq!(stats.dropped.newest, 200 - (messages.len() as u64 - 3), "{stats}");
    });
}

#[test]
fn what_counts_can_be_changed_at_any_time() {
    alone("what_counts_can_be_changed_at_any_time", || {
        let (quiet, loud, off) =
            (get_async_logger("quiet"), get_async_logger("loud"), get_async_logger("off"));
        let lines = logged(0, || {
            debug!("with none");
            error!("a");
            set_backtrace(LevelFilter::Trace, 10);
            trace!("t1");
            error!("b");
            set_backtrace(LevelFilter::Debug, 10);
            trace!("t2");
            debug!("d2");
            error!("c");
            debug!("d3");
            set_backtrace(LevelFilter::Off, 10);
            error!("not watched: stays");
            set_backtrace(LevelFilter::Debug, 10);
            error!("d");
            quiet.set_level(LevelFilter::Error);
            loud.set_level(LevelFilter::Trace);
            off.set_level(LevelFilter::Off);
            info!(quiet, "held");
            trace!(quiet, "too fine");
            trace!(loud, "at once");
            error!(off, "off");
            debug!(off, "off");
            error!("e");
            filter("off,backtrace=warn");
            info!("held, too");
            error!("f");
            filter("off");
            debug!("not held");
            error!("off, too");
            filter("info");
            error!("g");
        });
        let expected = "a t1 b d2 c not_watched:_stays d3 d at_once held e held,_too f g";
        assert_eq!(messages(&lines).join(" "), expected.replace('_', " "));
    });
}

#[test]
fn there_is_room_for_the_error() {
    alone("there_is_room_for_the_error", || {
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let builder = kakashi::builder().backtrace(LevelFilter::Debug, 1000);
        let guard = builder.sink(Held::new(&gate, &entered, &memory)).start().expect("it starts");
        info!(RAW, "the writer hangs with this");
        entered.wait();
        // Six of sixteen slots are left, of which the error takes one.
        (0..10).for_each(|n| info!(NEWEST, "at once {n}"));
        (0..20).for_each(|n| debug!(NEWEST, "held {n}"));
        error!(NEWEST, "the error");
        gate.open();
        guard.shutdown(HANG).expect("it is written");
        let dropped = conserved().dropped.newest;
        let lines = memory.lines();
        let messages = messages(&lines);
        assert_eq!(messages.len() as u64, 1 + 10 + 20 + 1 - dropped);
        assert!(messages.len() > 1 + 10 + 1, "{messages:?}");
        assert_eq!(messages[messages.len() - 2..], ["held 19", "the error"]);
    });
}

struct Failing(u32);

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        error!("{} is bad", self.0);
        write!(f, "<{}>", self.0)
    }
}

#[test]
fn an_error_within_a_call_that_is_held_back_writes_the_former_ones() {
    alone("an_error_within_a_call_that_is_held_back_writes_the_former_ones", || {
        let lines = logged(10, || {
            debug!("first {}", 1);
            debug!("second {}", Failing(2));
            info!("third");
            error!("fourth");
        });
        assert_eq!(messages(&lines), ["first 1", "2 is bad", "third", "second <2>", "fourth"]);
    });
}

#[test]
fn before_the_start_and_behind_the_end() {
    alone("before_the_start_and_behind_the_end", || {
        set_backtrace(LevelFilter::Trace, 3);
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().expect("it starts");
        trace!("held");
        error!("written");
        debug!(TINY, "held to the end");
        guard.shutdown(HANG).expect("it is written");
        (0..20).for_each(|n| debug!(TINY, "{n}"));
        error!(TINY, "behind the end");
        conserved();
        let lines = memory.lines();
        assert_eq!(messages(&lines), ["held", "written"]);
    });
}

#[test]
fn a_panic_writes_them_where_there_is_a_hook() {
    alone("a_panic_writes_them_where_there_is_a_hook", || {
        let memory = MemorySink::new();
        let builder = kakashi::builder().backtrace(LevelFilter::Debug, 100).panic_hook(true);
        let guard = builder.sink(memory.clone()).start().expect("it starts");
        debug!("of another thread");
        elsewhere(|| {
            (0..50).for_each(|n| debug!("n={n}"));
            let panicked = std::panic::catch_unwind(|| panic!("on purpose"));
            panicked.expect_err("it panics");
            // What is written is forgotten.
            error!("and then an error");
        });
        guard.shutdown(HANG).expect("it is written");
        conserved();
        let expected: Vec<_> =
            (0..50).map(|n| format!("n={n}")).chain(["and then an error".to_owned()]).collect();
        assert_eq!(messages(&memory.lines()), expected);
    });
}

fn killed(directory: &str) {
    let guard = kakashi::builder()
        .backtrace(LevelFilter::Debug, 100)
        .sink(Hanging(FileSink::append(log_of(directory))))
        .black_box(box_of(directory))
        .start()
        .expect("it starts");
    (0..50).for_each(|n| debug!("n={n}"));
    error!("lost");
    (50..60).for_each(|n| debug!("n={n}"));
    std::mem::forget(guard);
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

#[test]
fn what_was_written_for_an_error_outlives_the_process() {
    let files = Files::new();
    let ended = scenario("killed").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended}");
    let report = boxes::complete(&files.black_box).expect("the box can be recovered");
    assert_eq!((report.records, report.held), (61, 10), "{report:?}");
    let lines: Vec<_> = lines_of(files.log()).into_iter().filter(|line| !is_notice(line)).collect();
    let numbers = |range: std::ops::Range<u32>| range.map(|n| format!("n={n}"));
    let expected: Vec<_> = numbers(0..50).chain(["lost".to_owned()]).chain(numbers(50..60)).collect();
    assert_eq!(messages(&lines), expected);
}
