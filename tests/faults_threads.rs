//! Threads by the thousand, and calls at the edges of a process: before the backend, after it, in handlers of `exit`,
//! in the last destructors, in the child of a fork from among many threads that log.

mod common;

use std::cell::Cell;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::ledger::{Ledger, record};
use common::{
    Directory, Gate, HANG, Over, SURE, alone, conserved, dispatch, is_notice, lines_of, scenario, size,
    skipped, until,
};
use kakashi::{Block, Channel, Deferred, DropNewest, DropOldest, FileSink, MemorySink, State};

kakashi::channel!(static PATIENT: Channel<64, 256, 64, Block>);
kakashi::channel!(static NEWS: Channel<64, 256, 64, DropOldest, Deferred>);
kakashi::channel!(static HASTY: Channel<64, 64, 4, DropNewest, Deferred>);

#[test]
fn child() {
    dispatch(&[
        ("handlers of exit", |path| {
            // Handlers run in the reverse order: the younger one's record is written, the older one comes too late.
            at_exit(older);
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            at_exit(younger);
            record!(SURE, 1, 0);
            std::mem::forget(guard);
            std::process::exit(7);
        }),
        ("exit after a shutdown", |path| {
            at_exit(older);
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            record!(SURE, 1, 0);
            record!(SURE, 1, 1);
            guard.shutdown(HANG).unwrap();
            at_exit(older);
            FAREWELL.set(Some(Farewell));
            // The first call of a thread, and of a channel.
            std::thread::spawn(|| record!(NEWS, 5, 0)).join().unwrap();
            assert_eq!(conserved().dropped.after_shutdown, 1);
            std::process::exit(7);
        }),
        ("the main thread's last destructor", |path| {
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            record!(SURE, 1, 0);
            std::thread::spawn(|| {
                FAREWELL.set(Some(Farewell));
                record!(SURE, 3, 0);
            })
            .join()
            .unwrap();
            drop(guard);
        }),
        ("exit amid short threads", |path| {
            let _guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            let born = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    let born = &born;
                    scope.spawn(move || {
                        loop {
                            let from = born.fetch_add(1, Ordering::Relaxed);
                            let one = move || (0..5).for_each(|n| record!(PATIENT, from, n));
                            // The process may have ended before.
                            let _ = std::thread::Builder::new()
                                .stack_size(64 << 10)
                                .spawn(one)
                                .map(|thread| thread.join());
                        }
                    });
                }
                until("many were there", || born.load(Ordering::Relaxed) > 500);
                std::process::exit(7);
            });
        }),
    ]);
}

fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler is a function for the life of the program.
    assert_eq!(unsafe { libc::atexit(handler) }, 0);
}

extern "C" fn younger() {
    record!(SURE, 1, 1);
    assert_eq!(kakashi::state(), State::Running);
}

static OLDER_RUNS: AtomicU64 = AtomicU64::new(0);

extern "C" fn older() {
    let before = kakashi::get_async_stats();
    let n = OLDER_RUNS.fetch_add(1, Ordering::Relaxed);
    record!(SURE, 2, n);
    let stats = kakashi::get_async_stats();
    let late = stats.dropped.after_shutdown - before.dropped.after_shutdown;
    println!(
        "in a handler: state={:?} calls={} written={} late={late}",
        stats.state,
        stats.calls - before.calls,
        stats.messages_written
    );
}

struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        record!(SURE, 4, 0);
        record!(NEWS, 4, 1);
    }
}

thread_local! {
    static FAREWELL: Cell<Option<Farewell>> = const { Cell::new(None) };
}

#[test]
fn a_handler_of_exit_logs() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("handlers of exit").with(&path).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    Ledger::of(&lines_of(&path)).has_all(1, 2);
    assert!(ended.stdout.contains("in a handler: state=Stopped calls=1 written=2 late=1"), "{ended}");
}

#[test]
fn a_call_after_the_shutdown_is_counted_to_the_very_end() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("exit after a shutdown").with(&path).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    let ledger = Ledger::of(&lines_of(&path));
    ledger.has_all(1, 2);
    assert_eq!(ledger.records, 2);
    assert_eq!(
        ended.stdout.matches("in a handler: state=Stopped calls=1 written=2 late=1").count(),
        2,
        "{ended}"
    );
}

#[test]
fn a_threads_last_destructor_logs() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("the main thread's last destructor").with(&path).run();
    assert!(ended.status.success(), "{ended}");
    let ledger = Ledger::of(&lines_of(&path));
    ledger.has_all(1, 1);
    ledger.has_all(3, 1);
    ledger.has_all(4, 2);
}

#[test]
fn an_exit_amid_threads_that_come_and_go_tears_nothing() {
    let directory = Directory::new();
    let path = directory.file("log");
    for _ in 0..3 {
        let ended = scenario("exit amid short threads").with(&path).run();
        assert_eq!(ended.status.code(), Some(7), "{ended}");
        let lines = lines_of(&path);
        let ledger = Ledger::of(&lines);
        assert!(ledger.records > 2000, "{} records", ledger.records);
        assert!(lines.iter().all(|line| !is_notice(line) || line.contains(" after_shutdown=")), "{ended}");
    }
}

/// More threads than lanes, all alive at once, each with records of its own. Returns how many there were: fewer where the
/// machine gives no more.
fn crowd(name: &str, threads: u64, records: u64, log: impl Fn(u64, u64) + Sync) -> u64 {
    let (logged, all_have_logged) = (AtomicU64::new(0), Gate::closed());
    std::thread::scope(|scope| {
        let mut made = 0;
        while made < threads {
            let (log, logged, all_have_logged) = (&log, &logged, all_have_logged.clone());
            let spawned = std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || {
                (0..records / 2).for_each(|n| log(made, n));
                logged.fetch_add(1, Ordering::Relaxed);
                all_have_logged.wait();
                (records / 2..records).for_each(|n| log(made, n));
            });
            if let Err(error) = spawned {
                skipped(name, format_args!("{made} of {threads} threads only: {error}"));
                break;
            }
            made += 1;
        }
        until("all have logged", || logged.load(Ordering::Relaxed) == made);
        all_have_logged.open();
        made
    })
}

/// `KAKASHI_THREADS=10000` makes it as many.
#[test]
fn thousands_of_live_threads_on_64_lanes_lose_nothing() {
    const NAME: &str = "thousands_of_live_threads_on_64_lanes_lose_nothing";
    alone(NAME, || {
        let wanted = size("KAKASHI_THREADS", 2_000);
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        let threads = crowd(NAME, wanted, 6, |from, n| record!(PATIENT, from, n));
        kakashi::flush(HANG).unwrap();
        let ledger = Ledger::of(&memory.lines());
        (0..threads).for_each(|from| ledger.has_all(from, 6));
        let stats = ledger.settle(threads * 6);
        assert_eq!(stats.messages_dropped, 0, "{stats}");
        let patient = threads;
        let shared = PATIENT.lanes().last().expect("the shared one is last");
        assert!(shared.shared && shared.messages_enqueued >= threads.saturating_sub(64) * 3, "{shared:?}");

        // A policy that drops, for want of its turn, too: all of it is counted and told.
        memory.clear();
        let threads = crowd(NAME, wanted, 6, |from, n| record!(NEWS, from, n));
        guard.shutdown(HANG).unwrap();
        let ledger = Ledger::of(&memory.lines());
        let stats = conserved();
        assert_eq!(stats.calls, (patient + threads) * 6, "{stats}");
        assert_eq!(ledger.records + stats.messages_dropped, threads * 6, "{stats}");
        assert_eq!(ledger.told, stats.messages_dropped, "{stats}");
        eprintln!("{stats}");
    });
}

/// `KAKASHI_BIRTHS=100000` makes it as many.
#[test]
fn short_lived_threads_lose_nothing_and_leave_nothing() {
    alone("short_lived_threads_lose_nothing_and_leave_nothing", || {
        let threads = size("KAKASHI_BIRTHS", 5_000);
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let from = next.fetch_add(1, Ordering::Relaxed);
                        if from >= threads {
                            return;
                        }
                        let one = move || {
                            record!(PATIENT, from, 0);
                            record!(SURE, from, 1);
                            record!(HASTY, from + threads, 0);
                        };
                        // The test beside this one may have all threads that there can be.
                        let mut thread = None;
                        until("a thread can be made", || {
                            thread = std::thread::Builder::new().stack_size(64 << 10).spawn(one).ok();
                            thread.is_some()
                        });
                        thread.expect("it is made").join().expect("it logs");
                    }
                });
            }
        });
        kakashi::flush(HANG).unwrap();
        let ledger = Ledger::of(&lines_of(&path));
        (0..threads).for_each(|from| ledger.has_all(from, 2));
        let stats = ledger.settle(threads * 3);
        assert_eq!(stats.messages_dropped, stats.dropped.newest + stats.dropped.no_lane, "{stats}");
        until("the lanes are free", || {
            kakashi::flush(HANG).unwrap();
            kakashi::get_async_stats().lanes_in_use == 0
        });
        guard.shutdown(HANG).unwrap();
    });
}

/// One of the threads that log forks, without and with a program after it, while the others go on.
#[test]
fn forks_from_one_of_many_threads_that_log_lose_nothing() {
    alone("forks_from_one_of_many_threads_that_log_lose_nothing", || {
        const CHILDREN: u64 = 1000;
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        let (over, made) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 8]);
        let forks = size("KAKASHI_FORKS", 60);
        std::thread::scope(|scope| {
            for (from, made) in made.iter().enumerate() {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        record!(SURE, from as u64, made.fetch_add(1, Ordering::Relaxed));
                        std::thread::yield_now();
                    }
                });
            }
            scope.spawn(|| {
                let _over = Over(&over);
                for n in 0..forks {
                    record!(SURE, 8, n);
                    if n % 3 == 2 {
                        let mut command = Command::new("/bin/true");
                        // SAFETY: that the function is there makes the library fork; it does nothing.
                        unsafe { command.pre_exec(|| Ok(())) };
                        assert!(command.status().unwrap().success());
                        continue;
                    }
                    // SAFETY: the child logs, and leaves by `exit`, or at once.
                    let child = unsafe { libc::fork() };
                    assert!(child >= 0, "{}", io::Error::last_os_error());
                    if child == 0 {
                        // SAFETY: fires on a hang only.
                        unsafe { libc::alarm(HANG.as_secs() as u32) };
                        (0..20).for_each(|k| record!(SURE, CHILDREN + n, k));
                        if n % 3 == 0 {
                            let settled = kakashi::flush(HANG).is_ok() && conserved().messages_written == 20;
                            // SAFETY: leaves at once, without handlers: all is written.
                            unsafe { libc::_exit(i32::from(!settled)) };
                        }
                        std::process::exit(0);
                    }
                    let mut status = 0;
                    // SAFETY: the child is ours, and the status is written to.
                    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
                    assert_eq!(status, 0, "child {n}");
                }
            });
        });
        guard.shutdown(HANG).unwrap();
        let ledger = Ledger::of(&lines_of(&path));
        for (from, made) in made.iter().enumerate() {
            ledger.has_all(from as u64, made.load(Ordering::Relaxed));
        }
        ledger.has_all(8, forks);
        let childrens: u64 = (0..forks).filter(|n| n % 3 != 2).map(|n| ledger.from(CHILDREN + n).0).sum();
        (0..forks).filter(|n| n % 3 != 2).for_each(|n| ledger.has_all(CHILDREN + n, 20));
        let stats = conserved();
        assert_eq!(stats.messages_written, ledger.records - childrens, "{stats}");
        assert_eq!((stats.messages_dropped, ledger.notices), (0, 0), "{stats}");
    });
}
