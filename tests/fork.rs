//! `fork`: the parent's records are the parent's, the child's are the child's, and each is written once.

mod common;

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{
    Directory, Gate, HANG, Held, SURE, alone, conserved, dispatch, lines_of, messages, number, scenario,
    until,
};
use kakashi::{Channel, DropOldest, FileSink, MemorySink, Sink, State, info};

kakashi::channel!(static NEWS: Channel<64, 256, 8, DropOldest>);

#[test]
fn child() {
    dispatch(&[
        ("return", |path| {
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            (0..1000).for_each(|n| info!("parent n={n}"));
            let child = fork();
            if child == 0 {
                (0..1000).for_each(|n| info!("child n={n}"));
                // As at the end of `main`: the guard is the parent's, and the exit writes what is queued.
                drop(guard);
                assert_eq!(kakashi::state(), State::AutoStarted);
                leave(0);
            }
            assert_eq!(reap(child), Ending::Exit(0));
            (1000..2000).for_each(|n| info!("parent n={n}"));
        }),
        ("nothing started", |_| {
            let child = fork();
            if child == 0 {
                info!("child n=0");
                leave(0);
            }
            assert_eq!(reap(child), Ending::Exit(0));
            info!("parent n=0");
        }),
        ("default backend", |_| {
            (0..1000).for_each(|n| info!("parent n={n}"));
            let child = fork();
            if child == 0 {
                (0..1000).for_each(|n| info!("child n={n}"));
                leave(0);
            }
            assert_eq!(reap(child), Ending::Exit(0));
        }),
        ("sink hangs", |_| {
            let (gate, entered) = (Gate::closed(), Gate::closed());
            let sink = Held::new(&gate, &entered, &MemorySink::new());
            let guard = kakashi::builder().sink(sink).start().unwrap();
            info!("stall");
            entered.wait();
            info!("parent");
            let child = fork();
            if child == 0 {
                // The sink is in use in the parent: the child says it on standard error.
                info!("child n=0");
                assert_eq!(kakashi::get_async_stats().calls, 1);
                leave(0);
            }
            assert_eq!(reap(child), Ending::Exit(0));
            gate.open();
            kakashi::flush(HANG).unwrap();
            assert_eq!(conserved().messages_written, 2);
            guard.shutdown(HANG).unwrap();
        }),
        ("daemon", |path| {
            // The usual way into the background: the parent leaves, the child starts its log anew.
            let guard = kakashi::builder().sink(FileSink::append(path)).start().unwrap();
            info!("parent n=0");
            kakashi::flush(HANG).unwrap();
            let child = fork();
            if child != 0 {
                let ending = reap(child);
                drop(guard);
                assert_eq!(ending, Ending::Exit(0));
                return;
            }
            // Neither the parent's guard nor the child's own sinks hold the file.
            drop(guard);
            let log = format!("{path}.child");
            let guard = kakashi::builder().sink(FileSink::append(&log)).start().expect("a log of its own");
            info!("child n=0");
            guard.shutdown(HANG).unwrap();
            assert_eq!(messages(&lines_of(&log)), ["child n=0"]);
            leave(0);
        }),
    ]);
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Exit(i32),
    Signal(i32),
}

/// Forks. The child is one thread, and must not return into the test harness.
fn fork() -> i32 {
    // SAFETY: glibc makes its own locks usable in the child; the test's are not held by other threads there.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", io::Error::last_os_error());
    if child == 0 {
        // Fires on a hang only: nobody waits for ever, here or in the parent.
        // SAFETY: `alarm` has no preconditions.
        unsafe { libc::alarm(HANG.as_secs() as u32) };
    }
    child
}

/// Ends a forked child the usual way: by `exit`, with its handlers.
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// Runs `body` in a forked child that leaves by `exit`; a panic becomes code 101.
fn in_child(body: impl FnOnce()) -> i32 {
    let child = fork();
    if child == 0 {
        leave(match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
            Ok(()) => 0,
            Err(_) => 101,
        });
    }
    child
}

fn reap(child: i32) -> Ending {
    let mut status = 0;
    // SAFETY: `status` is written to.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    if libc::WIFEXITED(status) {
        Ending::Exit(libc::WEXITSTATUS(status))
    } else {
        Ending::Signal(libc::WTERMSIG(status))
    }
}

/// Asserts that what stands in the log behind `who` is 0, 1, 2, ... up to `count`, each once and in order.
#[track_caller]
fn assert_once(lines: &[String], who: &str, count: u64) {
    let of: Vec<_> = messages(lines).into_iter().filter(|message| message.starts_with(who)).collect();
    for (n, message) in of.iter().enumerate() {
        assert_eq!(number(message, "n="), n as u64, "{message}");
    }
    assert_eq!(of.len() as u64, count, "{who}");
}

/// Four threads log while `body` runs, and `body` gets the number of the next record of the calling thread.
fn while_threads_log(path: &Path, body: impl FnOnce()) -> [u64; 4] {
    let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
    let (stop, counts) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
    std::thread::scope(|scope| {
        for (thread, count) in counts.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    info!(SURE, "thread{thread} n={}", count.fetch_add(1, Ordering::Relaxed));
                    // Slower than the writer, so that the log stays small.
                    std::thread::yield_now();
                }
            });
        }
        until("all log", || counts.iter().all(|count| count.load(Ordering::Relaxed) > 100));
        body();
        stop.store(true, Ordering::Relaxed);
    });
    guard.shutdown(HANG).unwrap();
    assert_eq!(conserved().messages_dropped, 0);
    counts.map(AtomicU64::into_inner)
}

#[test]
fn each_process_writes_its_own_records_once() {
    alone("each_process_writes_its_own_records_once", || {
        const ROUNDS: u64 = 60;
        const EACH: u64 = 300;
        let directory = Directory::new();
        let path = directory.file("log");
        let counts = while_threads_log(&path, || {
            let mut parent = 0;
            for round in 0..ROUNDS {
                for _ in 0..EACH {
                    info!("parent n={parent}");
                    parent += 1;
                }
                let child = in_child(|| {
                    assert_eq!(kakashi::state(), State::Idle);
                    let stats = kakashi::get_async_stats();
                    assert_eq!((stats.calls, stats.queue_size, stats.messages_written), (0, 0, 0), "{stats}");
                    for n in 0..EACH {
                        info!("child{round}. n={n} {:?}", Some(n));
                    }
                    std::thread::spawn(move || (0..EACH).for_each(|n| info!("grand{round}. n={n}")))
                        .join()
                        .unwrap();
                    match round % 3 {
                        0 => kakashi::flush(HANG).unwrap(),
                        1 => drop(kakashi::shutdown_async_backend(HANG).unwrap()),
                        // The exit writes it.
                        _ => return,
                    }
                    let stats = conserved();
                    assert_eq!((stats.calls, stats.messages_written), (2 * EACH, 2 * EACH), "{stats}");
                });
                assert_eq!(reap(child), Ending::Exit(0), "round {round}");
            }
            kakashi::flush(HANG).unwrap();
        });
        let lines = lines_of(&path);
        assert_once(&lines, "parent", ROUNDS * EACH);
        for round in 0..ROUNDS {
            assert_once(&lines, &format!("child{round}."), EACH);
            assert_once(&lines, &format!("grand{round}."), EACH);
        }
        for (thread, count) in counts.into_iter().enumerate() {
            assert_once(&lines, &format!("thread{thread}"), count);
        }
    });
}

#[test]
fn a_child_that_leaves_at_once_writes_nothing() {
    alone("a_child_that_leaves_at_once_writes_nothing", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let counts = while_threads_log(&path, || {
            for n in 0..100 {
                info!("parent n={n}");
                let child = fork();
                if child == 0 {
                    match n % 3 {
                        // SAFETY: `_exit` ends the process without its handlers.
                        0 => unsafe { libc::_exit(5) },
                        1 => leave(5),
                        _ => {
                            let error = Command::new("/bin/sh").args(["-c", "exit 5"]).exec();
                            panic!("{error}");
                        }
                    }
                }
                assert_eq!(reap(child), Ending::Exit(5));
            }
            // The other way to another program, with a function between `fork` and `exec`.
            let mut command = Command::new("/bin/true");
            // SAFETY: the function does nothing; that it is there makes the library fork.
            unsafe { command.pre_exec(|| Ok(())) };
            assert!(command.status().unwrap().success());
        });
        let lines = lines_of(&path);
        assert_once(&lines, "parent", 100);
        for (thread, count) in counts.into_iter().enumerate() {
            assert_once(&lines, &format!("thread{thread}"), count);
        }
        assert_eq!(messages(&lines).len() as u64, 100 + counts.iter().sum::<u64>());
    });
}

/// Forks while it is formatted; the child logs on and leaves by itself.
struct Forks<'a>(&'a AtomicU64);

impl fmt::Display for Forks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("inner n={}", self.0.load(Ordering::Relaxed));
        let child = fork();
        self.0.store(child as u64, Ordering::Relaxed);
        if child == 0 {
            info!("child inner n=0 {:?}", Some("nested"));
        }
        f.write_str(if child == 0 { "in the child" } else { "in the parent" })
    }
}

#[test]
fn a_display_may_fork() {
    alone("a_display_may_fork", || {
        let directory = Directory::new();
        let path = directory.file("log");
        while_threads_log(&path, || {
            for round in 0..20 {
                let child = AtomicU64::new(round);
                info!("round {round}. {}", Forks(&child));
                info!(NEWS, "news {round}. {}", 7);
                let child = child.into_inner() as i32;
                if child == 0 {
                    let stats = kakashi::get_async_stats();
                    leave(if stats.calls == 3 { 0 } else { 1 });
                }
                assert_eq!(reap(child), Ending::Exit(0), "round {round}");
            }
        });
        let lines = lines_of(&path);
        assert_once(&lines, "inner", 20);
        let count = |text: String| messages(&lines).into_iter().filter(|message| *message == text).count();
        for round in 0..20 {
            assert_eq!(count(format!("round {round}. in the parent")), 1);
            assert_eq!(count(format!("round {round}. in the child")), 1);
            assert_eq!(count(format!("news {round}. 7")), 2);
        }
        assert_eq!(count("child inner n=0 Some(\"nested\")".to_owned()), 20);
    });
}

#[test]
fn several_threads_fork_at_once() {
    alone("several_threads_fork_at_once", || {
        let directory = Directory::new();
        let path = directory.file("log");
        while_threads_log(&path, || {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    scope.spawn(move || {
                        for round in 0..25 {
                            info!("forker{thread} n={round}");
                            let child = in_child(|| info!("child {thread}.{round}"));
                            assert_eq!(reap(child), Ending::Exit(0), "{thread}.{round}");
                        }
                    });
                }
            });
        });
        let lines = lines_of(&path);
        for thread in 0..4 {
            assert_once(&lines, &format!("forker{thread}"), 25);
            for round in 0..25 {
                let text = format!("child {thread}.{round}");
                assert_eq!(
                    messages(&lines).into_iter().filter(|message| *message == text).count(),
                    1,
                    "{text}"
                );
            }
        }
    });
}

#[test]
fn a_child_of_a_child_logs() {
    alone("a_child_of_a_child_logs", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        (0..500).for_each(|n| info!("parent n={n}"));
        let child = in_child(|| {
            (0..500).for_each(|n| info!("child n={n}"));
            let grandchild = in_child(|| (0..500).for_each(|n| info!("grandchild n={n}")));
            assert_eq!(reap(grandchild), Ending::Exit(0));
        });
        assert_eq!(reap(child), Ending::Exit(0));
        // The parent's sink, and its lock, are still the parent's.
        info!("parent n=500");
        guard.shutdown(HANG).unwrap();
        let lines = lines_of(&path);
        for (who, count) in [("parent", 501), ("child", 500), ("grandchild", 500)] {
            assert_once(&lines, who, count);
        }
        conserved();
    });
}

#[test]
fn after_a_shutdown_a_child_logs_no_more_than_its_parent() {
    alone("after_a_shutdown_a_child_logs_no_more_than_its_parent", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        info!("parent n=0");
        guard.shutdown(HANG).unwrap();
        info!("parent n=1");
        let child = in_child(|| {
            info!("child n=0");
            let stats = conserved();
            assert_eq!(
                (kakashi::state(), stats.calls, stats.dropped.after_shutdown),
                (State::Stopped, 1, 1),
                "{stats}"
            );
            let guard = kakashi::builder().sink(FileSink::append(&path)).start().unwrap();
            info!("child n=0");
            guard.shutdown(HANG).unwrap();
            conserved();
        });
        assert_eq!(reap(child), Ending::Exit(0));
        let lines = lines_of(&path);
        assert_once(&lines, "parent", 1);
        assert_once(&lines, "child", 1);
        conserved();
    });
}

/// A child may start a backend of its own on the file that its parent has left.
#[test]
fn a_child_may_start_anew_on_the_same_file() {
    alone("a_child_may_start_anew_on_the_same_file", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::append(&path)).start().unwrap();
        info!("parent n=0");
        let (mut reader, writer) = io::pipe().unwrap();
        let child = in_child(|| {
            // SAFETY: the child's copy of the descriptor is not used any more.
            unsafe { libc::close(writer.as_raw_fd()) };
            // Until the parent has shut down.
            io::copy(&mut reader, &mut io::sink()).unwrap();
            let guard = kakashi::builder().sink(FileSink::append(&path)).start().unwrap();
            info!("child n=0");
            guard.shutdown(HANG).unwrap();
        });
        guard.shutdown(HANG).unwrap();
        drop(writer);
        assert_eq!(reap(child), Ending::Exit(0));
        let lines = lines_of(&path);
        assert_once(&lines, "parent", 1);
        assert_once(&lines, "child", 1);
        conserved();
    });
}

#[test]
fn a_child_ends_as_any_process_does() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("return").with(&path).run();
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(&path);
    assert_once(&lines, "parent", 2000);
    assert_once(&lines, "child", 1000);

    let ended = scenario("daemon").with(directory.file("daemon")).run();
    assert!(ended.status.success(), "{ended}");

    for (name, parent, child) in [("nothing started", 1, 1), ("default backend", 1000, 1000)] {
        let ended = scenario(name).run();
        assert!(ended.status.success(), "{name}: {ended}");
        let lines: Vec<_> = ended.stderr.lines().map(str::to_owned).collect();
        assert_once(&lines, "parent", parent);
        assert_once(&lines, "child", child);
    }
}

#[test]
fn fork_does_not_wait_for_a_sink_that_hangs() {
    let ended = scenario("sink hangs").run();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(messages(&ended.stderr.lines().collect::<Vec<_>>()), ["child n=0"], "{ended}");
}

/// Starts another program from a sink, as a sink that compresses would.
struct Starts(MemorySink, &'static AtomicU64);

impl Sink for Starts {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut command = Command::new("/bin/true");
        // SAFETY: the function does nothing; that it is there makes the library fork.
        unsafe { command.pre_exec(|| Ok(())) };
        assert!(command.status()?.success());
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.write_batch(bytes)
    }
}

#[test]
fn a_sink_may_start_a_program() {
    alone("a_sink_may_start_a_program", || {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let memory = MemorySink::new();
        let guard = kakashi::builder()
            .sink(Starts(memory.clone(), &STARTED))
            .shutdown_timeout(Duration::from_secs(20))
            .start()
            .unwrap();
        for n in 0..20 {
            info!("n={n}");
            kakashi::flush(HANG).unwrap();
        }
        assert_eq!((memory.lines().len(), STARTED.load(Ordering::Relaxed)), (20, 20));
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}
