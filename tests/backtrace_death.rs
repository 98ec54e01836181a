//! What threads hold back when their process dies, or is looked at from outside.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use common::black_box::{Counts, Files, box_of, complete, log_of};
use common::*;
use kakashi::__box as boxes;
use kakashi::__box::View;
use kakashi::{
    Block, Builder, Channel, Deferred, DropOldest, FileSink, Format, LevelFilter, context, debug, error, info,
};

kakashi::channel!(static RAW: Channel<64, 256, 4, Block, Deferred>);
kakashi::channel!(static EVICTING: Channel<128, 64, 4, DropOldest>);

const SCENARIOS: &[Scenario] = &[
    ("dies", dies),
    ("dies at any moment", dies_at_any_moment),
    ("faults", |path| {
        hold_and(path, || {
            let nowhere = std::hint::black_box(std::ptr::null_mut::<u8>());
            // SAFETY: none: it is a fault on purpose.
            unsafe { nowhere.write_volatile(1) };
        });
    }),
    ("aborts", |path| hold_and(path, || std::process::abort())),
    ("is terminated", |path| {
        hold_and(path, || {
            // SAFETY: to the own process.
            unsafe { libc::raise(libc::SIGTERM) };
        });
    }),
    ("starts again", |path| {
        let guard = to_box(path, 100).start().expect("it starts");
        guard.shutdown(HANG).expect("it is written");
    }),
];

#[test]
fn child() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is one.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    dispatch(SCENARIOS);
}

fn to_box(directory: &str, records: usize) -> Builder {
    kakashi::builder()
        .backtrace(LevelFilter::Debug, records)
        .sink(FileSink::append(log_of(directory)))
        .black_box(box_of(directory))
}

fn kill() {
    // SAFETY: as a crash would.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// Three threads hold records back, of which one is over when the process dies.
fn dies(directory: &str) {
    let guard = to_box(directory, 40).start().expect("it starts");
    let logged = Barrier::new(3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..100).for_each(|n| debug!(RAW, "raw {n} of {}", n * 2, half = n as f64 / 2.0));
            logged.wait();
            std::thread::park();
        });
        scope.spawn(|| {
            // More than there is room for.
            (0..38).for_each(|n| debug!(EVICTING, "long {n} {}", "x".repeat(2000)));
            logged.wait();
            std::thread::park();
        });
        let _user = context!(user = "kim");
        (0..100).for_each(|n| debug!("plain {n}"));
        info!("written");
        logged.wait();
        // Its lane is its own, as the others have theirs by now, and is given back once the writer saw it.
        let over = || {
            info!(RAW, "ends");
            debug!(RAW, "of a thread that is over");
        };
        scope.spawn(over).join().expect("it ends");
        kakashi::flush(HANG).expect("it is written");
        kill();
    });
    drop(guard);
}

/// The messages that `dies` leaves, by thread, and whether they are what they should be.
fn check_dies(lines: &[String]) {
    let of = |word: &str| -> Vec<&str> {
        messages(lines).into_iter().filter(|message| message.starts_with(word)).collect()
    };
    let expected: Vec<_> = (60..100).map(|n| format!("plain {n} user=kim")).collect();
    assert_eq!(of("plain"), expected);
    let expected: Vec<_> =
        (60..100).map(|n| format!("raw {n} of {} half={}", n * 2, f64::from(n) / 2.0)).collect();
    assert_eq!(of("raw"), expected);
    let long = of("long");
    let first = 38 - long.len();
    assert!((28..=33).contains(&long.len()), "as many as 64 KiB hold: {}", long.len());
    for (n, message) in (first..).zip(long) {
        assert_eq!(message, format!("long {n} {}", "x".repeat(2000)));
    }
    assert!(of("of a thread").is_empty());
}

#[test]
fn a_killed_process_leaves_what_its_threads_held_back() {
    let files = Files::new();
    let ended = scenario("dies").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended}");
    assert_eq!(messages(&lines_of(files.log())), ["written user=kim", "ends"]);
    let view = View::open(&files.black_box).expect("it is a box");

    let mut held = Vec::new();
    let shown = boxes::print_held(&view, Format::Text, &mut held).expect("it can be printed");
    let held: Vec<String> = String::from_utf8(held).expect("it is text").lines().map(str::to_owned).collect();
    check_dies(&held);
    assert_eq!((shown.records, shown.threads, shown.unreadable), (held.len() as u64, 3, 0));
    let times: Vec<_> = held.iter().map(|line| &line[..30]).collect();
    assert!(times.is_sorted(), "in the order of time");

    let mut printed = Vec::new();
    let report = boxes::print(&view, &mut printed).expect("it can be printed");
    let printed: Vec<String> =
        String::from_utf8(printed).expect("it is text").lines().map(str::to_owned).collect();
    assert_eq!(printed[..printed.len() - 1], held);
    assert_eq!((report.held, report.records), (shown.records, shown.records));
    let told = format!("{} of them were held back for an error", report.held);
    assert!(printed[printed.len() - 1].contains(&told), "{printed:?}");

    let ended = scenario("starts again").with(files.path()).run();
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(files.log());
    check_dies(&lines);
    assert_eq!(notices(&lines).iter().filter(|notice| notice.contains(&told)).count(), 1, "{lines:?}");
}

#[test]
fn a_recovery_that_is_cut_short_writes_them_once() {
    let files = Files::new();
    scenario("dies").with(files.path()).run();
    let copy = files.directory.file("copy");
    let log = std::fs::read(files.log()).expect("there is a log");
    let mut cuts = 0;
    for steps in 0.. {
        std::fs::copy(&files.black_box, &copy).expect("it is copied");
        std::fs::write(files.log(), &log).expect("it is put back");
        let is_over = boxes::complete_in_part(&copy, steps).is_ok();
        complete(&copy).expect("it can be recovered");
        check_dies(&lines_of(files.log()));
        cuts += 1;
        if is_over {
            break;
        }
    }
    assert!(cuts > 20, "{cuts}");
}

/// Each of two threads counts what it holds back, and logs an error now and then; killed behind a limit.
fn dies_at_any_moment(directory: &str) {
    let limit = std::fs::read_to_string(Path::new(directory).join("limit")).expect("the test has set one");
    let limit: u64 = limit.parse().expect("a number");
    let guard = to_box(directory, 50).start().expect("it starts");
    let counts = Counts::open(&Path::new(directory).join("counts"));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let count = counts.of(thread);
            scope.spawn(move || {
                for n in 1.. {
                    // Of many lengths, so that they end anywhere.
                    debug!(RAW, "thread={thread} n={n} {}", &"abcdefghij".repeat(20)[..n % 200]);
                    count.store(n as u64, Ordering::Release);
                    if n % 1000 == 0 {
                        error!(RAW, "thread={thread} e={n}");
                    }
                }
            });
        }
        until("they are far enough", || (0..2).all(|at| counts.of(at).load(Ordering::Acquire) > limit));
        kill();
    });
    drop(guard);
}

/// Whichever instruction was a thread's last, what comes out are the last records, whole, and each once.
#[test]
fn at_any_moment_the_last_ones_come_out_whole() {
    for round in 0..size("KAKASHI_KILLS", 12) {
        let files = Files::new();
        let counts = files.directory.file("counts");
        std::fs::write(files.directory.file("limit"), (2000 + round * 137).to_string())
            .expect("it is written");
        let ended = scenario("dies at any moment").with(files.path()).run();
        assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended}");
        let counts = Counts::open(&counts);
        let report = complete(&files.black_box).expect("it can be recovered");
        assert_eq!(report.unreadable, 0, "{report:?}");
        let lines = lines_of(files.log());
        for thread in 0..2 {
            let mine: Vec<&str> = messages(&lines)
                .into_iter()
                .filter(|message| message.starts_with(&format!("thread={thread} n=")))
                .collect();
            let count = counts.of(thread).load(Ordering::Acquire);
            let numbers: Vec<u64> = mine.iter().map(|message| number(message, "n=")).collect();
            // 50 before each error, and up to 50 behind the last one; one may have been under way.
            let last = *numbers.last().expect("some came out");
            let after_error = last - last % 1000;
            assert!(last == count || last == count + 1 || count.is_multiple_of(1000), "{last} of {count}");
            let mut expected: Vec<u64> =
                (1..=after_error / 1000).flat_map(|e| e * 1000 - 49..=e * 1000).collect();
            if !last.is_multiple_of(1000) {
                expected.extend(after_error.max(last.saturating_sub(50)) + 1..=last);
            }
            let missing = expected.iter().filter(|n| !numbers.contains(n)).count();
            assert!(numbers.is_sorted_by(|a, b| a < b), "each once: {numbers:?}");
            // What an error was about to write, or the one that was being replaced.
            assert!(missing <= 1 && numbers.len() <= expected.len(), "{missing} missing up to {last}");
            for (n, message) in numbers.iter().zip(mine) {
                let text = &"abcdefghij".repeat(20)[..*n as usize % 200];
                assert_eq!(message.trim_end(), format!("thread={thread} n={n} {text}").trim_end());
            }
        }
    }
}

/// Starts without a box, holds records back on this thread and on another one, and comes to an end.
fn hold_and(directory: &str, end: impl FnOnce()) {
    let builder = kakashi::builder().backtrace(LevelFilter::Debug, 10).crash_handler(true);
    let guard = builder.sink(FileSink::append(log_of(directory))).start().expect("it starts");
    std::thread::scope(|scope| scope.spawn(|| debug!("of another thread")).join().expect("it ends"));
    (0..20).for_each(|n| debug!("n={n}"));
    debug!(RAW, "of another channel");
    end();
    drop(guard);
}

#[test]
fn a_crash_of_the_threads_own_writes_them() {
    let mut expected: Vec<_> = (10..20).map(|n| format!("n={n}")).collect();
    expected.push("of another channel".to_owned());
    for (name, signal) in [("faults", libc::SIGSEGV), ("aborts", libc::SIGABRT)] {
        let files = Files::new();
        let ended = scenario(name).with(files.path()).run();
        assert_eq!(ended.status.signal(), Some(signal), "{ended}");
        let lines: Vec<_> = lines_of(files.log()).into_iter().filter(|line| !is_notice(line)).collect();
        assert_eq!(messages(&lines), expected);
    }
    let files = Files::new();
    let ended = scenario("is terminated").with(files.path()).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended}");
    let lines = lines_of(files.log());
    assert!(lines.iter().all(|line| is_notice(line)), "it is not the thread's own doing: {lines:?}");
}

/// Looks at a thread that holds back as fast as it can, and loses nothing of what it shows.
#[test]
fn a_look_at_a_running_thread_shows_whole_records() {
    alone("a_look_at_a_running_thread_shows_whole_records", || {
        let files = Files::new();
        let builder = kakashi::builder().backtrace(LevelFilter::Debug, 1000).black_box(&files.black_box);
        let guard = builder.sink(FileSink::append(files.log())).start().expect("it starts");
        let (over, looks) = (AtomicBool::new(false), size("KAKASHI_LOOKS", 300));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    debug!(RAW, "n={n} {}", &"0123456789".repeat(30)[..(n % 300) as usize]);
                }
            });
            let view = View::open(&files.black_box).expect("it is a box");
            let (mut shown, mut last) = (0, 0);
            for _ in 0..looks {
                let mut text = Vec::new();
                let held = boxes::print_held(&view, Format::Text, &mut text).expect("it can be printed");
                let text = String::from_utf8(text).expect("it is text");
                let mut before = None;
                for line in text.lines() {
                    let message = message(line);
                    let n = number(message, "n=");
                    let rest = &"0123456789".repeat(30)[..(n % 300) as usize];
                    assert_eq!(message.trim_end(), format!("n={n} {rest}").trim_end());
                    assert!(before.is_none_or(|before| n == before + 1), "{before:?} and then {n}");
                    before = Some(n);
                }
                shown += held.records;
                assert!(before.is_none_or(|n| n >= last), "it goes on");
                last = before.unwrap_or(last);
            }
            over.store(true, Ordering::Relaxed);
            assert!(shown > 0, "some looks are fast enough");
        });
        guard.shutdown(HANG).expect("it is written");
    });
}
