//! Starting, flushing, shutting down and leaving: what is in the log by then.

mod common;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::{
    Directory, Gate, HANG, Held, SURE, alone, conserved, dispatch, lines_of, message, messages, notices,
    number, scenario, until,
};
use kakashi::{
    ConsoleSink, FileSink, FlushError, LevelFilter, MemorySink, NullSink, ShutdownError, Sink, SinkOptions,
    StartError, State, error, info, warn,
};

#[test]
fn child() {
    dispatch(&[
        ("take over", take_over),
        ("flush while taken over", flush_while_taken_over),
        ("exit, sink hangs", |_| {
            let _guard = start_hanging(Duration::from_millis(50));
            std::process::exit(7);
        }),
        ("guard's drop, sink hangs", |_| drop(start_hanging(Duration::from_millis(50)))),
        ("exit after a shutdown that timed out", |path| {
            let (gate, entered) = (Gate::closed(), Gate::closed());
            let guard = kakashi::builder()
                .sink(Gated { gate: gate.clone(), entered: entered.clone(), file: FileSink::create(path) })
                .start()
                .unwrap();
            info!("stall");
            entered.wait();
            (0..10).for_each(|n| info!("n={n}"));
            assert!(matches!(guard.shutdown(Duration::ZERO), Err(ShutdownError::TimedOut { unwritten: 11 })));
            assert_eq!(kakashi::state(), State::Stopping);
            // The writer goes on as soon as this thread has left.
            // SAFETY: the function is there for the life of the program.
            unsafe { libc::atexit(nothing) };
            std::thread::spawn(move || gate.open());
            std::process::exit(7);
        }),
        ("exit after a shutdown that timed out, sink hangs", |_| {
            let guard = start_hanging(Duration::from_millis(50));
            assert!(matches!(guard.shutdown(Duration::ZERO), Err(ShutdownError::TimedOut { .. })));
            std::process::exit(7);
        }),
        ("exit, stderr is full", |_| {
            // Nobody reads the pipe behind standard error: the sink hangs in `write`.
            let _guard = kakashi::builder().shutdown_timeout(Duration::from_millis(50)).start().unwrap();
            (0..7000).for_each(|n| info!("n={n}"));
            std::process::exit(7);
        }),
        ("exit in a sink", |_| {
            struct Exits;
            impl Sink for Exits {
                fn write_batch(&mut self, _: &[u8]) -> io::Result<usize> {
                    std::process::exit(7)
                }
            }
            let _guard = kakashi::builder().sink(Exits).start().unwrap();
            info!("the last one");
            Gate::closed().wait();
        }),
        ("exit while threads log", |path| {
            let _guard =
                kakashi::builder().shutdown_timeout(HANG).sink(FileSink::create(path)).start().unwrap();
            let started = std::sync::Barrier::new(9);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let started = &started;
                    scope.spawn(move || {
                        started.wait();
                        for n in 0.. {
                            info!(
                                SURE,
                                "thread={thread} n={n}",
                                text = "some more text, so that the lines are not short"
                            );
                        }
                    });
                }
                started.wait();
                until("much is written", || kakashi::stats().messages_written() > 20_000);
                std::process::exit(7);
            });
        }),
        ("panic in a thread", |path| {
            let _guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            let thread = std::thread::spawn(|| {
                (0..1000).for_each(|n| info!("n={n}"));
                panic!("out of luck");
            });
            assert!(thread.join().is_err());
            info!("n=1000");
        }),
        ("calls before start and after shutdown", before_and_after),
        ("exit during a shutdown", |path| {
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            (0..5000).for_each(|n| info!("n={n}"));
            std::thread::spawn(move || guard.shutdown(HANG));
            until("the shutdown has begun", || kakashi::state() != State::Running);
            std::process::exit(7);
        }),
    ]);
}

extern "C" fn nothing() {}

/// A file sink that waits at a gate.
struct Gated {
    gate: Gate,
    entered: Gate,
    file: FileSink,
}

impl Sink for Gated {
    fn open(&mut self) -> io::Result<()> {
        self.file.open()
    }

    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered.open();
        self.gate.wait();
        self.file.write_batch(bytes)
    }
}

/// A backend whose sink hangs for ever, with 100 records behind it.
fn start_hanging(timeout: Duration) -> kakashi::Guard {
    let (gate, entered) = (Gate::closed(), Gate::closed());
    let sink = Held::new(&gate, &entered, &MemorySink::new());
    let guard = kakashi::builder().shutdown_timeout(timeout).sink(sink).start().unwrap();
    info!("stall");
    entered.wait();
    (0..99).for_each(|n| info!("n={n}"));
    guard
}

fn hold(gate: &Gate, entered: &Gate) -> (Held, MemorySink) {
    let memory = MemorySink::new();
    (Held::new(gate, entered, &memory), memory)
}

#[test]
fn start_errors_say_what_and_where() {
    alone("start_errors_say_what_and_where", || {
        let directory = Directory::new();
        let missing = directory.file("no/such/directory/app.log");
        let error = kakashi::builder().sink(NullSink).sink(FileSink::append(&missing)).start().unwrap_err();
        match &error {
            StartError::Sink { path, source } => {
                assert_eq!((path, source.kind()), (&missing, io::ErrorKind::NotFound));
            }
            other => panic!("{other:?}"),
        }
        let text = error.to_string();
        assert!(text.contains(missing.to_str().unwrap()) && text.contains("No such file"), "{text}");
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(kakashi::state(), State::Idle);

        let error = (0..9).fold(kakashi::builder(), |builder, _| builder.sink(NullSink)).start().unwrap_err();
        assert!(matches!(error, StartError::TooManySinks { given: 9, most: 8 }), "{error:?}");
        let error = kakashi::builder().writer_core(Some(99_999)).start().unwrap_err();
        assert!(matches!(error, StartError::WriterCore { core: 99_999, .. }), "{error:?}");
        assert!(error.to_string().contains("99999"), "{error}");

        // One file by several names, and the second one must not have emptied it.
        let path = directory.file("app.log");
        std::fs::write(&path, "what was there\n").unwrap();
        let [soft, hard] = ["soft", "hard"].map(|name| directory.file(name));
        std::os::unix::fs::symlink(&path, &soft).unwrap();
        std::fs::hard_link(&path, &hard).unwrap();
        let through_dots =
            directory.file("../").join(directory.file("").file_name().unwrap()).join("app.log");
        for second in [&path, &soft, &hard, &through_dots] {
            let error = kakashi::builder()
                .sink(FileSink::append(&path))
                .sink(FileSink::create(second))
                .start()
                .unwrap_err();
            match &error {
                StartError::DuplicateSink { path } => assert_eq!(path, second),
                other => panic!("{other:?}"),
            }
            assert!(error.to_string().contains(second.to_str().unwrap()), "{error}");
        }
        let fresh = directory.file("fresh.log");
        let error = kakashi::builder()
            .sink(FileSink::append(&fresh))
            .sink(FileSink::append(&fresh))
            .start()
            .unwrap_err();
        assert!(matches!(error, StartError::DuplicateSink { .. }), "{error:?}");
        let error =
            kakashi::builder().sink(ConsoleSink::stderr()).sink(ConsoleSink::stderr()).start().unwrap_err();
        assert!(matches!(error, StartError::DuplicateSink { .. }), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there\n");

        // A sink whose `open` fails, by its type's name.
        struct Unlucky;
        impl Sink for Unlucky {
            fn open(&mut self) -> io::Result<()> {
                Err(io::Error::other("no luck"))
            }
            fn write_batch(&mut self, _: &[u8]) -> io::Result<usize> {
                unreachable!("it was not opened")
            }
        }
        let error = kakashi::builder().sink(Unlucky).start().unwrap_err().to_string();
        assert!(error.contains("Unlucky") && error.contains("no luck"), "{error}");

        // After all these errors it starts, and the files are not locked.
        assert_eq!(kakashi::state(), State::Idle);
        let guard = kakashi::builder().sink(FileSink::append(&path)).writer_core(None).start().unwrap();
        for sink in [FileSink::append(directory.file("other.log")), FileSink::append(&path)] {
            let error = kakashi::builder().sink(sink).start().unwrap_err();
            assert!(matches!(error, StartError::AlreadyRunning), "{error:?}");
        }
        info!("started");
        guard.shutdown(HANG).unwrap();
        assert_eq!(conserved().messages_written, 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    });
}

/// A file that another backend writes to is refused. The other backend is that of another process.
#[test]
fn a_file_has_one_backend() {
    alone("a_file_has_one_backend", || {
        let directory = Directory::new();
        let path = directory.file("app.log");
        let lock = std::fs::File::create(&path).unwrap();
        lock.lock().unwrap();
        match kakashi::builder().sink(FileSink::create(&path)).start() {
            Err(StartError::Sink { path: named, source }) => {
                assert_eq!((named, source.kind()), (path.clone(), io::ErrorKind::ResourceBusy));
            }
            other => panic!("{other:?}"),
        }
        drop(lock);
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        guard.shutdown(HANG).unwrap();
        let guard = kakashi::builder().sink(FileSink::create(&path)).start().unwrap();
        info!("again");
        drop(guard);
        assert_eq!(messages(&lines_of(&path)), ["again"]);
        conserved();
    });
}

/// Four threads log into the default backend while `start` takes over from it.
fn take_over(path: &str) {
    const EACH: u64 = 20_000;
    let (begun, go) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (begun, go) = (&begun, &go);
            scope.spawn(move || {
                for n in 0..EACH {
                    info!(SURE, "thread={thread} n={n}");
                    if n == 100 {
                        begun.fetch_add(1, Ordering::Relaxed);
                    }
                    if n == EACH / 2 {
                        until("start is under way", || go.load(Ordering::Relaxed));
                    }
                }
            });
        }
        until("all log", || begun.load(Ordering::Relaxed) == 4);
        assert_eq!(kakashi::state(), State::AutoStarted);
        let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
        go.store(true, Ordering::Relaxed);
        assert_eq!(kakashi::state(), State::Running);
        std::mem::forget(guard);
    });
    kakashi::flush(HANG).unwrap();
    let stats = conserved();
    assert_eq!((stats.calls, stats.messages_written), (4 * EACH, 4 * EACH));
}

#[test]
fn start_takes_over_from_the_default_backend() {
    let directory = Directory::new();
    for round in 0..10 {
        let path = directory.file("log");
        let ended = scenario("take over").with(&path).run();
        assert!(ended.status.success(), "round {round}: {ended}");
        let mut next = HashMap::new();
        let lines = lines_of(&path);
        // In order: first what went to standard error, then what went to the file.
        for message in messages(&ended.stderr.lines().collect::<Vec<_>>()).into_iter().chain(messages(&lines))
        {
            let next = next.entry(number(message, "thread=")).or_insert(0);
            assert_eq!(number(message, "n="), *next, "round {round}: {message}");
            *next += 1;
        }
        assert!(next.len() == 4 && next.values().all(|&count| count == 20_000), "round {round}: {next:?}");
        assert!(!lines.is_empty());
    }
}

/// A thread logs and flushes while the old writer writes its last batch into a pipe that is full.
fn flush_while_taken_over(path: &str) {
    const COUNT: usize = 3000;
    let (reader, writer) = io::pipe().unwrap();
    let unread = |reader: &io::PipeReader| {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes an int; the descriptor is open.
        unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &mut bytes) };
        bytes as usize
    };
    // SAFETY: both descriptors are open; standard error is the pipe from here on.
    let kept = unsafe {
        let kept = libc::dup(2);
        libc::dup2(writer.as_raw_fd(), 2);
        kept
    };
    // SAFETY: the descriptor is open.
    let room = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) } as usize;
    (&writer).write_all(&vec![b'.'; room]).unwrap();
    info!("n={:09}", 0);
    until("the writer is at it", || kakashi::get_async_stats().queue_size == 1 && asleep("kakashi-writer"));
    (1..COUNT).for_each(|n| info!("n={n:09}"));

    let read = |bytes: usize| {
        let mut piece = vec![0; bytes];
        (&reader).read_exact(&mut piece).unwrap();
        piece.iter().position(|&byte| byte == b'\n')
    };
    let line = read(room + 200).unwrap() + 1 - room;
    let starts = Gate::closed();
    std::thread::scope(|scope| {
        struct Tells(FileSink, Gate);
        impl Sink for Tells {
            fn open(&mut self) -> io::Result<()> {
                self.1.open();
                self.0.open()
            }
            fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write_batch(bytes)
            }
        }
        let sink = Tells(FileSink::create(path), starts.clone());
        let starter = std::thread::Builder::new().name("starter".to_owned());
        starter
            .spawn_scoped(scope, || std::mem::forget(kakashi::builder().sink(sink).start().unwrap()))
            .unwrap();
        starts.wait();
        until("start waits for the old writer", || asleep("starter"));
        // All but what the pipe holds and a little of the last batch.
        read(COUNT * line - 200 - room - 10 * line);
        until("the pipe is full again", || unread(&reader) + 16384 > room && asleep("kakashi-writer"));
        let flusher = std::thread::Builder::new().name("flusher".to_owned());
        let flusher = flusher
            .spawn_scoped(scope, || {
                info!("flushed");
                kakashi::flush(HANG).unwrap();
                std::fs::read_to_string(path).unwrap().contains("flushed\n")
            })
            .unwrap();
        until("the flush waits", || asleep("flusher"));
        read(room + 10 * line);
        // SAFETY: both descriptors are open.
        unsafe { libc::dup2(kept, 2) };
        let by_the_new = flusher.join().unwrap();
        let by_the_old = unread(&reader) > 0;
        assert!(by_the_new || by_the_old, "flush returned before the record was written");
    });
    conserved();
}

/// Whether the threads of that name sleep in the kernel; while a writer takes over, there are two.
fn asleep(name: &str) -> bool {
    let mut stats = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains(&format!("({name}) ")))
        .peekable();
    stats.peek().is_some() && stats.all(|stat| stat.contains(&format!("({name}) S")))
}

#[test]
fn a_flush_during_a_take_over_is_a_flush() {
    let directory = Directory::new();
    // The moment is not met every time.
    for round in 0..20 {
        let ended = scenario("flush while taken over").with(directory.file("log")).run();
        assert!(ended.status.success(), "round {round}: {ended}");
    }
}

fn before_and_after(path: &str) {
    info!("before");
    let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
    info!("between");
    guard.shutdown(HANG).unwrap();
    for n in 0..100 {
        info!("after n={n}");
        warn!(kakashi::get_async_logger("late"), "after {}", format_args!("n={n}"));
    }
    std::thread::spawn(|| info!("after, of another thread")).join().unwrap();
    let stats = conserved();
    assert_eq!(
        (stats.messages_written, stats.queue_size, stats.dropped.after_shutdown),
        (2, 0, 201),
        "{stats}"
    );
    assert_eq!(stats.messages_dropped, 201);
    assert!(kakashi::prepare_thread().is_ok() || kakashi::state() == State::Stopped);

    // More than a ring holds, and again nothing waits.
    (0..20_000).for_each(|n| info!("after n={n}"));
    assert_eq!(conserved().dropped.after_shutdown, 20_201);

    // The next backend skips what was left and goes on counting.
    let guard = kakashi::builder().sink(FileSink::append(path)).start().unwrap();
    assert_eq!(conserved().dropped.after_shutdown, 20_201);
    info!("again");
    std::thread::spawn(|| info!("again, of another thread")).join().unwrap();
    kakashi::flush(HANG).unwrap();
    let stats = conserved();
    assert_eq!(
        (stats.messages_written, stats.queue_size, stats.dropped.after_shutdown),
        (4, 0, 20_201),
        "{stats}"
    );
    let report = guard.shutdown(HANG).unwrap();
    assert_eq!((report.messages_written, report.messages_dropped), (4, 20_201));
}

#[test]
fn calls_before_start_and_after_shutdown() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("calls before start and after shutdown").with(&path).run();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(message(ended.stderr.trim_end()), "before", "{ended}");
    assert_eq!(messages(&lines_of(&path)), ["between", "again", "again, of another thread"]);
}

#[test]
fn shutdown_is_idempotent() {
    alone("shutdown_is_idempotent", || {
        let report = kakashi::shutdown_async_backend(Duration::ZERO).unwrap();
        assert_eq!((report.messages_written, kakashi::state()), (0, State::Idle));
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        (0..1000).for_each(|n| info!("n={n}"));
        // From several threads at once, too: each returns when all is written.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let report = kakashi::shutdown_async_backend(HANG).unwrap();
                    assert_eq!((report.messages_written, memory.lines().len()), (1000, 1000));
                });
            }
        });
        assert_eq!(kakashi::shutdown_async_backend(Duration::ZERO).unwrap().messages_written, 1000);
        assert_eq!(guard.shutdown(Duration::ZERO).unwrap().messages_written, 1000);
        kakashi::flush(Duration::ZERO).unwrap();
        kakashi::sync(Duration::ZERO).unwrap();
        conserved();
    });
}

#[test]
fn a_shutdown_that_times_out_goes_on() {
    alone("a_shutdown_that_times_out_goes_on", || {
        let (gate, entered) = (Gate::closed(), Gate::closed());
        let (sink, memory) = hold(&gate, &entered);
        let guard = kakashi::builder().sink(sink).start().unwrap();
        info!("stall");
        entered.wait();
        (0..9).for_each(|n| info!("n={n}"));
        let error = guard.shutdown(Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, ShutdownError::TimedOut { unwritten: 10 }), "{error:?}");
        assert!(error.to_string().contains("10 records"), "{error}");
        assert_eq!(kakashi::state(), State::Stopping);
        let error = kakashi::builder().sink(NullSink).start().unwrap_err();
        assert!(matches!(error, StartError::StillStopping), "{error:?}");
        assert!(matches!(
            kakashi::flush(Duration::from_millis(10)),
            Err(FlushError::TimedOut { unwritten: 10 })
        ));
        assert!(kakashi::shutdown_async_backend(Duration::ZERO).is_err());
        info!("too late");
        assert_eq!(conserved().calls, 11);
        gate.open();
        let report = kakashi::shutdown_async_backend(HANG).unwrap();
        // The shutdown has not come to its end before: such a call is written or counted.
        let lines = memory.lines().len() as u64;
        assert!(
            matches!((report.messages_written, report.messages_dropped), (10, 1) | (11, 0)),
            "{report:?}"
        );
        assert_eq!((kakashi::state(), lines), (State::Stopped, report.messages_written));
        assert_eq!(conserved().dropped.after_shutdown, report.messages_dropped);
        info!("after it");
        assert_eq!(conserved().dropped.after_shutdown, report.messages_dropped + 1);

        // `start` finds out by itself that the writer is gone.
        gate.close();
        entered.close();
        let (sink, memory) = hold(&gate, &entered);
        let guard = kakashi::builder().sink(sink).start().unwrap();
        info!("stall");
        entered.wait();
        assert!(guard.shutdown(Duration::ZERO).is_err());
        gate.open();
        let next = MemorySink::new();
        let mut second = None;
        until("the old writer is gone", || match kakashi::builder().sink(next.clone()).start() {
            Ok(guard) => {
                second = Some(guard);
                true
            }
            Err(StartError::StillStopping) => false,
            Err(other) => panic!("{other}"),
        });
        assert_eq!(messages(&memory.lines()), ["stall"]);
        info!("next");
        drop(second);
        assert_eq!(messages(&next.lines()), ["next"]);
        conserved();
    });
}

#[test]
fn a_call_that_overlaps_a_shutdown_is_written_or_counted() {
    alone("a_call_that_overlaps_a_shutdown_is_written_or_counted", || {
        const THREADS: usize = 4;
        const ROUNDS: usize = 12;
        let (stop, calls) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; THREADS]);
        let (mut written, mut told, mut next) = (0, 0, [0; THREADS]);
        // Stopped from the beginning: a thread's call before the first start would start the default backend.
        kakashi::builder().sink(NullSink).start().unwrap().shutdown(HANG).unwrap();
        std::thread::scope(|scope| {
            for (thread, calls) in calls.iter().enumerate() {
                let (stop, calls) = (&stop, calls);
                scope.spawn(move || {
                    for n in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        // One of them has no lane before each of its calls, and a value to format.
                        match thread {
                            0 => std::thread::scope(|scope| {
                                scope.spawn(|| info!(SURE, "thread={thread} n={n} {:?}", Some(n)));
                            }),
                            _ => info!(SURE, "thread={thread} n={n}"),
                        }
                        calls.store(n + 1, Ordering::Relaxed);
                    }
                });
            }
            for round in 0..ROUNDS {
                let memory = MemorySink::new();
                let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
                until("some are written", || kakashi::stats().messages_written() > written + 100);
                let report = guard.shutdown(HANG).unwrap();
                assert_eq!(kakashi::state(), State::Stopped);
                let lines = memory.lines();
                for message in messages(&lines) {
                    let (thread, n) = (number(message, "thread=") as usize, number(message, "n="));
                    assert!(
                        n >= next[thread],
                        "round {round}: {message} stands behind n={}",
                        next[thread] - 1
                    );
                    next[thread] = n + 1;
                    written += 1;
                }
                assert_eq!(report.messages_written, written, "round {round}");
                told += notices(&lines).iter().map(|notice| number(notice, "dropped ")).sum::<u64>();
            }
            stop.store(true, Ordering::Relaxed);
        });
        let stats = conserved();
        let made: u64 = calls.iter().map(|calls| calls.load(Ordering::Relaxed)).sum();
        assert_eq!((stats.calls, stats.queue_size, stats.messages_written), (made, 0, written), "{stats}");
        assert_eq!(stats.messages_dropped, stats.dropped.after_shutdown, "{stats}");
        assert!(told <= stats.messages_dropped, "{told} drops are told: {stats}");
    });
}

#[test]
fn the_writer_does_not_wait_for_itself() {
    alone("the_writer_does_not_wait_for_itself", || {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        struct Asks;
        impl Sink for Asks {
            fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let mut seen = SEEN.lock().unwrap();
                seen.push(format!("{:?}", kakashi::flush(HANG)));
                seen.push(format!("{:?}", kakashi::sync(HANG)));
                seen.push(format!("{:?}", kakashi::shutdown_async_backend(HANG)));
                seen.push(format!("{:?}", kakashi::builder().sink(NullSink).start().map(std::mem::forget)));
                Ok(bytes.len())
            }
        }
        let guard = kakashi::builder().sink(Asks).start().unwrap();
        info!("one");
        kakashi::flush(HANG).unwrap();
        assert_eq!(
            *SEEN.lock().unwrap(),
            ["Err(WouldDeadlock)", "Err(WouldDeadlock)", "Err(WouldDeadlock)", "Err(AlreadyRunning)"]
        );
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

#[test]
fn a_flush_without_records_is_ok() {
    alone("a_flush_without_records_is_ok", || {
        kakashi::flush(Duration::ZERO).unwrap();
        kakashi::sync(Duration::ZERO).unwrap();
        assert_eq!(kakashi::state(), State::Idle);
        let guard = kakashi::builder().sink(NullSink).start().unwrap();
        kakashi::flush(HANG).unwrap();
        kakashi::sync(HANG).unwrap();
        drop(guard);
        assert_eq!(conserved().calls, 0);
    });
}

/// Many threads flush at once, each for its own record.
#[test]
fn every_flush_waits_for_its_own_records() {
    alone("every_flush_waits_for_its_own_records", || {
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let memory = &memory;
                scope.spawn(move || {
                    for n in 0..100 {
                        info!("thread={thread} n={n}.");
                        kakashi::flush(HANG).unwrap();
                        let wanted = format!("thread={thread} n={n}.\n");
                        assert!(memory.text().contains(&wanted), "flush returned without {wanted}");
                    }
                });
            }
        });
        assert_eq!(conserved().messages_written, 800);
        guard.shutdown(HANG).unwrap();
    });
}

#[test]
fn each_sink_has_its_level() {
    alone("each_sink_has_its_level", || {
        let (all, few, none) = (MemorySink::new(), MemorySink::new(), MemorySink::new());
        let with = |level| SinkOptions::default().level(level);
        let guard = kakashi::builder()
            .level(LevelFilter::Debug)
            .sink(all.clone())
            .sink_with(few.clone(), with(LevelFilter::Warn))
            .sink_with(none.clone(), with(LevelFilter::Off))
            .start()
            .unwrap();
        for n in 0..100 {
            kakashi::trace!("t{n}");
            kakashi::debug!("d{n}");
            info!("i{n}");
            warn!("w{n}");
            error!("e{n}");
        }
        kakashi::flush(HANG).unwrap();
        assert_eq!((all.lines().len(), few.lines().len(), none.lines().len()), (400, 200, 0));
        assert!(few.lines().iter().all(|line| message(line).starts_with(['w', 'e'])));
        // What no sink wants is not lost: it is written where it is wanted.
        assert_eq!(conserved().messages_written, 400);
        kakashi::set_level(LevelFilter::Off);
        error!("nobody hears this");
        assert_eq!(conserved().calls, 400);
        guard.shutdown(HANG).unwrap();
    });
}

/// The line on standard error that says how many records were not written, and nothing else.
fn said_unwritten(ended: &common::Ended) -> u64 {
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ended}");
    assert!(lines[0].starts_with("kakashi: ") && lines[0].contains("written"), "{ended}");
    let at = lines[0].find(|c: char| c.is_ascii_digit()).expect("a number");
    number(&lines[0][at..], "")
}

#[test]
fn exit_does_not_wait_for_a_sink_that_hangs() {
    let ended = scenario("exit, sink hangs").run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    assert_eq!(said_unwritten(&ended), 100);
    let ended = scenario("guard's drop, sink hangs").run();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(ended.stderr.starts_with("kakashi: ") && ended.stderr.contains("100 records"), "{ended}");
}

#[test]
fn exit_after_a_shutdown_that_timed_out_writes_the_rest() {
    let directory = Directory::new();
    let path = directory.file("log");
    for _ in 0..10 {
        let ended = scenario("exit after a shutdown that timed out").with(&path).run();
        assert_eq!(ended.status.code(), Some(7), "{ended}");
        assert_eq!(lines_of(&path).len(), 11, "{ended}");
    }
    let ended = scenario("exit during a shutdown").with(&path).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    assert_eq!(lines_of(&path).len(), 5000, "{ended}");
}

#[test]
fn exit_after_a_shutdown_that_timed_out_says_what_is_lost() {
    let ended = scenario("exit after a shutdown that timed out, sink hangs").run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    assert_eq!(said_unwritten(&ended), 100);
}

#[test]
fn exit_does_not_wait_for_a_full_standard_error() {
    let (reader, writer) = io::pipe().unwrap();
    let ended = scenario("exit, stderr is full").stderr(Stdio::from(writer)).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    drop(reader);
}

#[test]
fn exit_in_a_sink_ends_the_process() {
    let ended = scenario("exit in a sink").run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    assert_eq!(said_unwritten(&ended), 1);
}

#[test]
fn exit_while_threads_log_tears_nothing() {
    let directory = Directory::new();
    for _ in 0..5 {
        let path: PathBuf = directory.file("log");
        let ended = scenario("exit while threads log").with(&path).run();
        assert_eq!(ended.status.code(), Some(7), "{ended}");
        let (lines, mut next, mut gaps) = (lines_of(&path), [0; 8], 0);
        for message in messages(&lines) {
            assert!(
                message.ends_with("text=\"some more text, so that the lines are not short\""),
                "{message}"
            );
            let (thread, n) = (number(message, "thread=") as usize, number(message, "n="));
            // A call that overlaps the closing may be dropped where the next one finds room again; the log says so.
            assert!(n >= next[thread], "{message} stands behind n={}", next[thread] - 1);
            gaps += n - next[thread];
            next[thread] = n + 1;
        }
        let told: u64 = notices(&lines).iter().map(|notice| number(notice, "dropped ")).sum();
        assert!(gaps <= told, "{gaps} are missing between others, {told} are told: {:#?}", notices(&lines));
        assert!(next.iter().sum::<u64>() > 20_000, "{next:?}");
    }
}

#[test]
fn a_thread_that_panics_loses_nothing() {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario("panic in a thread").with(&path).run();
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(&path);
    assert_eq!(lines.len(), 1001);
    assert!(lines.iter().enumerate().all(|(at, line)| message(line) == format!("n={at}")));
}

/// How a token goes from thread to thread.
trait Token: Send + Sync {
    /// Waits until it is `turn`, and then makes it `turn + 1`; `log` is called in between.
    fn pass(&self, turn: u64, log: &dyn Fn());
}

impl Token for AtomicU64 {
    fn pass(&self, turn: u64, log: &dyn Fn()) {
        let mut tries = 0_u32;
        while self.load(Ordering::Acquire) != turn {
            tries += 1;
            if tries.is_multiple_of(1000) {
                std::thread::yield_now();
            }
        }
        log();
        self.store(turn + 1, Ordering::Release);
    }
}

/// Looks once where it mostly has come already: the processor foresees that it has.
#[derive(Default)]
struct Foreseen(AtomicU64);

impl Token for Foreseen {
    fn pass(&self, turn: u64, log: &dyn Fn()) {
        for _ in 0..turn * 7919 % 300 {
            std::hint::black_box(turn);
        }
        self.0.pass(turn, log);
    }
}

impl Token for (Mutex<u64>, Condvar) {
    fn pass(&self, turn: u64, log: &dyn Fn()) {
        let mut at = self.1.wait_while(self.0.lock().unwrap(), |at| *at != turn).unwrap();
        log();
        *at += 1;
        self.1.notify_all();
    }
}

fn hand_over(token: Arc<dyn Token>, turns: u64, pinned: bool) {
    let memory = MemorySink::new();
    let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let (token, core) = (&token, cores.get(thread as usize % cores.len().max(1)));
            scope.spawn(move || {
                if pinned && let Some(core) = core {
                    core_affinity::set_for_current(*core);
                }
                for turn in (thread..turns).step_by(2) {
                    token.pass(turn, &|| info!(SURE, "turn={turn}"));
                }
            });
        }
    });
    kakashi::flush(HANG).unwrap();
    let lines = memory.lines();
    let turns_written: Vec<_> = messages(&lines).iter().map(|message| number(message, "turn=")).collect();
    let inversions: Vec<_> = turns_written.windows(2).filter(|pair| pair[0] >= pair[1]).take(10).collect();
    assert!(
        inversions.is_empty(),
        "a call that returned before another began stands behind it: {inversions:?}"
    );
    assert_eq!(turns_written.len() as u64, turns);
    conserved();
    guard.shutdown(HANG).unwrap();
}

#[test]
fn what_happened_before_stands_before() {
    alone("what_happened_before_stands_before", || {
        for pinned in [false, true] {
            hand_over(Arc::new(AtomicU64::new(0)), 100_000, pinned);
            hand_over(Arc::new(Foreseen::default()), 100_000, pinned);
            hand_over(Arc::new((Mutex::new(0), Condvar::new())), 20_000, pinned);
        }
        // Through a channel: the receiver logs after what the sender has logged before it sent.
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        let (sender, receiver) = std::sync::mpsc::sync_channel(16);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for n in 0..100_000_u64 {
                    info!(SURE, "sent n={n}");
                    sender.send(n).unwrap();
                }
            });
            scope.spawn(move || receiver.iter().for_each(|n| info!(SURE, "got n={n}")));
        });
        kakashi::flush(HANG).unwrap();
        let (mut sent, mut got) = (0, 0);
        for message in messages(&memory.lines()) {
            let count = if message.starts_with("sent") { &mut sent } else { &mut got };
            assert_eq!(number(message, "n="), *count);
            *count += 1;
            assert!(got <= sent, "n={} stands before it was sent", got - 1);
        }
        assert_eq!((sent, got), (100_000, 100_000));
        conserved();
        guard.shutdown(HANG).unwrap();
    });
}

kakashi::channel!(static ONE_LANE: kakashi::Channel<64, 16, 1, kakashi::DropNewest>);

/// A thread drops while no backend runs, and ends; the lane is the next thread's at once. The line that tells of the
/// drops names the thread that had them.
#[test]
fn drops_are_told_of_the_thread_that_had_them() {
    alone("drops_are_told_of_the_thread_that_had_them", || {
        // The next thread is not always the faster one.
        for round in 0..50 {
            let guard = kakashi::builder().sink(NullSink).start().unwrap();
            let named = |name: &str| std::thread::Builder::new().name(format!("{name}-{round}"));
            let (stopped, when_stopped) = std::sync::mpsc::channel::<()>();
            let (ready, when_ready) = std::sync::mpsc::channel::<()>();
            let first = named("first").spawn(move || {
                ONE_LANE.prepare_thread().expect("there is a lane");
                ready.send(()).unwrap();
                let _ = when_stopped.recv();
                (0..100).for_each(|n| info!(ONE_LANE, "n={n}"));
            });
            when_ready.recv().unwrap();
            guard.shutdown(HANG).unwrap();
            drop(stopped);
            first.unwrap().join().unwrap();

            let started = Arc::new(AtomicBool::new(false));
            let next = named("next").spawn({
                let started = Arc::clone(&started);
                move || {
                    while !started.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    info!(ONE_LANE, "next");
                }
            });
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
            started.store(true, Ordering::Release);
            next.unwrap().join().unwrap();
            guard.shutdown(HANG).unwrap();
            let lines = memory.lines();
            let told = notices(&lines);
            let whose = format!("dropped 84 records of thread first-{round} (");
            assert!(told.len() == 1 && told[0].starts_with(&whose), "{told:?}");
            assert_eq!(messages(&lines), ["next"]);
        }
        conserved();
    });
}

/// A line of `/proc/self/task/THREAD/status`, what stands behind its name.
fn status(thread: &str, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

fn writers_thread() -> String {
    let mut threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap());
    let writer = threads.find(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name == "kakashi-writer\n")
    });
    writer.expect("there is a writer").file_name().into_string().unwrap()
}

#[test]
fn the_writer_takes_no_signal_and_keeps_to_its_cores() {
    alone("the_writer_takes_no_signal_and_keeps_to_its_cores", || {
        let main = std::process::id().to_string();
        let all = status(&main, "Cpus_allowed_list");
        let cores = core_affinity::get_core_ids().unwrap();
        let last = cores.iter().map(|core| core.id).max().unwrap().to_string();
        let check = |builder: kakashi::Builder, expected: &str| {
            // Not those of the thread that starts it, which a pinned thread would be.
            let guard = std::thread::spawn({
                let first = cores[0];
                move || {
                    core_affinity::set_for_current(first);
                    // SAFETY: gettid has no arguments.
                    let this = unsafe { libc::syscall(libc::SYS_gettid) }.to_string();
                    let before = status(&this, "SigBlk");
                    let guard = builder.sink(NullSink).start().unwrap();
                    assert_eq!(status(&this, "SigBlk"), before, "a start leaves no signal blocked");
                    guard
                }
            });
            let guard = guard.join().unwrap();
            info!(SURE, "it runs");
            kakashi::flush(HANG).unwrap();
            let writer = writers_thread();
            assert_eq!(status(&writer, "Cpus_allowed_list"), expected);
            let blocked = u64::from_str_radix(&status(&writer, "SigBlk"), 16).unwrap();
            for signal in (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
                assert_eq!(blocked >> (signal - 1) & 1, 1, "signal {signal} of {blocked:b}");
            }
            guard.shutdown(HANG).unwrap();
        };
        check(kakashi::builder(), if cores.len() > 1 { &last } else { &all });
        check(kakashi::builder().writer_core(Some(cores[0].id)), &cores[0].id.to_string());
        check(kakashi::builder().writer_core(None), &all);
    });
}

kakashi::channel!(static FOUR_SLOTS: kakashi::Channel<64, 4, 1, kakashi::DropOldest>);

/// A thread overwrites without pause, so that all it has in its ring is younger than what a round takes, while the sink
/// hangs and the backend stops. What was evicted before the stop is told all the same, if need be by the next backend.
#[test]
fn evictions_before_a_stop_are_told_at_the_next_start_at_least() {
    alone("evictions_before_a_stop_are_told_at_the_next_start_at_least", || {
        for round in 0..50 {
            let (gate, entered) = (Gate::closed(), Gate::closed());
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(Held::new(&gate, &entered, &memory)).start().unwrap();
            let evicted = || FOUR_SLOTS.stats().dropped().oldest;
            let (done, before) = (AtomicBool::new(false), evicted());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        info!(FOUR_SLOTS, "x");
                    }
                });
                entered.wait();
                let hung_at = evicted();
                until("more is evicted", || evicted() > hung_at + 1_000);
                let due = evicted() - before;
                gate.open();
                guard.shutdown(HANG).unwrap();
                done.store(true, Ordering::Relaxed);
                let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
                guard.shutdown(HANG).unwrap();
                let lines = memory.lines();
                let told: u64 = notices(&lines)
                    .iter()
                    .filter(|line| line.contains("oldest="))
                    .map(|line| number(line, "oldest="))
                    .sum();
                assert!(told >= due, "round {round}: {due} were evicted before, and {told} are told of");
                // None of them twice.
                assert!(told <= evicted() - before, "round {round}: {told} are told of");
            });
        }
        conserved();
    });
}
