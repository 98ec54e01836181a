//! The kernel gives no more: no descriptor, no thread, no memory; at the start, at the first call, and while records
//! are under way.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;

use common::ledger::{Ledger, record};
use common::{Directory, Gate, HANG, SURE, alone, dispatch, lines_of, scenario};
use kakashi::{
    BlackBoxError, Channel, DropOldest, FileSink, FlushError, NullSink, PrepareError, StartError, State,
};

kakashi::channel!(static NEWS: Channel<64, 256, 8, DropOldest>);

#[test]
fn child() {
    dispatch(&[
        ("first call without a descriptor", |_| {
            limit(libc::RLIMIT_NOFILE, 0);
            (0..1000).for_each(|n| record!(SURE, 1, n));
            assert_eq!(kakashi::state(), State::AutoStarted);
            kakashi::flush(HANG).unwrap();
            unlimited(libc::RLIMIT_NOFILE);
        }),
        ("first call without a thread", |path| {
            no_thread_more();
            (0..1000).for_each(|n| record!(SURE, 1, n));
            assert_eq!(kakashi::state(), State::Failed);
            assert_eq!(SURE.prepare_thread(), Err(PrepareError::NotStarted));
            assert!(matches!(kakashi::flush(HANG), Err(FlushError::Sink(_))));
            let stats = common::conserved();
            assert_eq!((stats.calls, stats.dropped.no_lane, stats.worker_count), (1000, 1000, 0), "{stats}");
            unlimited(libc::RLIMIT_NPROC);
            // The program has been told, and may try again.
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            (1000..2000).for_each(|n| record!(SURE, 1, n));
            guard.shutdown(HANG).unwrap();
            let ledger = Ledger::of(&lines_of(path));
            assert_eq!((ledger.from(1), ledger.told), ((1000, 2000), 1000));
            ledger.settle(2000);
        }),
        ("start without a thread", |path| {
            no_thread_more();
            for _ in 0..3 {
                match kakashi::builder().sink(FileSink::append(path)).start() {
                    Err(StartError::Thread(error)) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
                    }
                    other => panic!("no thread can be made, and start says {other:?}"),
                }
                assert_eq!(kakashi::state(), State::Idle);
            }
            unlimited(libc::RLIMIT_NPROC);
            let guard = kakashi::builder().sink(FileSink::append(path)).start().unwrap();
            (0..1000).for_each(|n| record!(SURE, 1, n));
            guard.shutdown(HANG).unwrap();
            let ledger = Ledger::of(&lines_of(path));
            assert_eq!(ledger.settle(1000).messages_dropped, 0);
        }),
        ("take over without a thread", |path| {
            (0..500).for_each(|n| record!(SURE, 1, n));
            no_thread_more();
            let started = kakashi::builder().sink(FileSink::create(path)).start();
            assert!(matches!(started, Err(StartError::Thread(_))), "{started:?}");
            // The default backend goes on.
            assert_eq!(kakashi::state(), State::AutoStarted);
            (500..1000).for_each(|n| record!(SURE, 1, n));
            kakashi::flush(HANG).unwrap();
            unlimited(libc::RLIMIT_NPROC);
            let guard = kakashi::builder().sink(FileSink::create(path)).start().unwrap();
            (1000..2000).for_each(|n| record!(SURE, 1, n));
            guard.shutdown(HANG).unwrap();
            let stats = common::conserved();
            assert_eq!((stats.calls, stats.messages_written), (2000, 2000), "{stats}");
        }),
    ]);
}

fn set(resource: libc::__rlimit_resource_t, soft: impl FnOnce(u64) -> u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is written to, and then read.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut limit), 0);
        limit.rlim_cur = soft(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &limit), 0, "{}", io::Error::last_os_error());
    }
}

/// Lowers the limit, so that it can be raised again.
fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    set(resource, |_| to);
}

fn unlimited(resource: libc::__rlimit_resource_t) {
    set(resource, |most| most);
}

/// From here on no thread can be made, until the limit is raised. The superuser has no such limit, and becomes nobody.
fn no_thread_more() {
    const NOBODY: u32 = 65534;
    // SAFETY: system calls without memory.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setuid(NOBODY), 0, "{}", io::Error::last_os_error());
        }
    }
    limit(libc::RLIMIT_NPROC, 0);
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "the limit is none");
}

#[test]
fn without_a_descriptor_a_start_is_an_error_and_what_runs_goes_on() {
    alone("without_a_descriptor_a_start_is_an_error_and_what_runs_goes_on", || {
        let directory = Directory::new();
        let log = directory.file("log");
        limit(libc::RLIMIT_NOFILE, 0);
        match kakashi::builder().sink(FileSink::create(&log)).start() {
            Err(StartError::Sink { path, source }) => {
                assert_eq!((path, source.raw_os_error()), (log.clone(), Some(libc::EMFILE)));
            }
            other => panic!("no descriptor is free, and start says {other:?}"),
        }
        match kakashi::builder().sink(NullSink).black_box("/dev/shm/kakashi-no-descriptor.box").start() {
            Err(StartError::BlackBox(BlackBoxError::Io { source, .. })) => {
                assert_eq!(source.raw_os_error(), Some(libc::EMFILE));
            }
            other => panic!("no descriptor is free, and start says {other:?}"),
        }
        assert_eq!(kakashi::state(), State::Idle);
        unlimited(libc::RLIMIT_NOFILE);

        let guard = kakashi::builder().sink(FileSink::create(&log)).start().unwrap();
        (0..100).for_each(|n| record!(SURE, 0, n));
        kakashi::sync(HANG).unwrap();
        limit(libc::RLIMIT_NOFILE, 0);
        // First calls of new threads, too.
        std::thread::scope(|scope| {
            for from in 1..5 {
                scope.spawn(move || (0..1000).for_each(|n| record!(SURE, from, n)));
            }
        });
        kakashi::sync(HANG).unwrap();
        guard.shutdown(HANG).unwrap();
        unlimited(libc::RLIMIT_NOFILE);
        let ledger = Ledger::of(&lines_of(&log));
        (1..5).for_each(|from| ledger.has_all(from, 1000));
        assert_eq!(ledger.settle(4100).messages_dropped, 0);
    });
}

#[test]
fn a_first_call_needs_no_descriptor() {
    let ended = scenario("first call without a descriptor").run();
    assert!(ended.status.success(), "{ended}");
    Ledger::of(&ended.stderr.lines().collect::<Vec<_>>()).has_all(1, 1000);
}

#[test]
fn without_a_thread_a_start_is_an_error() {
    let directory = Directory::new();
    let log = directory.file("log");
    std::fs::write(&log, "").unwrap();
    open_to_all(&log);
    let ended = scenario("start without a thread").with(&log).run();
    assert!(ended.status.success(), "{ended}");
    Ledger::of(&lines_of(&log)).has_all(1, 1000);
}

/// The line on standard error about a default backend that could not be started: one, whatever was logged.
#[track_caller]
fn assert_said(stderr: &str) {
    let said: Vec<_> = stderr.lines().filter(|line| line.starts_with("kakashi: ")).collect();
    assert!(said.len() == 1 && said[0].contains("records are dropped"), "{stderr}");
}

#[test]
fn a_first_call_without_a_thread_is_counted_and_said() {
    let directory = Directory::new();
    let log = directory.file("log");
    std::fs::write(&log, "").unwrap();
    open_to_all(&log);
    let ended = scenario("first call without a thread").with(&log).run();
    assert!(ended.status.success(), "{ended}");
    assert_said(&ended.stderr);
}

#[test]
fn a_take_over_without_a_thread_leaves_the_default_backend_at_work() {
    let directory = Directory::new();
    let log = directory.file("log");
    std::fs::write(&log, "").unwrap();
    open_to_all(&log);
    let ended = scenario("take over without a thread").with(&log).run();
    assert!(ended.status.success(), "{ended}");
    let mut ledger = Ledger::of(&ended.stderr.lines().collect::<Vec<_>>());
    ledger.has_all(1, 1000);
    lines_of(&log).iter().for_each(|line| ledger.add(line));
    ledger.has_all(1, 2000);
}

/// Those that give up their rights write there.
fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
}

/// The process's address space.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    // SAFETY: a question about the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * page
}

/// Runs `body` in a forked child, and gives its code; a panic is 101.
fn in_child(body: impl FnOnce() -> i32) -> i32 {
    let mut status = 0;
    // SAFETY: the child runs `body` and leaves; glibc makes its own locks usable there.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(HANG.as_secs() as u32);
            libc::_exit(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101));
        }
        assert!(child > 0, "{}", io::Error::last_os_error());
        while libc::waitpid(child, &mut status, 0) != child {}
    }
    assert!(libc::WIFEXITED(status), "ended by signal {}", libc::WTERMSIG(status));
    libc::WEXITSTATUS(status)
}

const STARTED: i32 = 20;
const NO_REGION: i32 = 21;
const NO_THREAD: i32 = 22;

/// However much memory there is left: a start says that it is not enough, or works; it never takes the process with it.
#[test]
fn without_memory_a_start_is_an_error() {
    alone("without_memory_a_start_is_an_error", || {
        let mut endings = BTreeMap::new();
        // From nothing up to where it works, and a little further.
        for megabyte in 0..2000 {
            let ending = in_child(|| {
                limit(libc::RLIMIT_AS, address_space() + (megabyte << 20));
                let code = match kakashi::builder().sink(NullSink).start() {
                    Ok(guard) => {
                        (0..100).for_each(|n| record!(SURE, 1, n));
                        guard.shutdown(HANG).unwrap();
                        assert_eq!(common::conserved().messages_written, 100);
                        return STARTED;
                    }
                    Err(StartError::Memory(error)) if error.raw_os_error() == Some(libc::ENOMEM) => NO_REGION,
                    Err(StartError::Thread(_)) => NO_THREAD,
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(kakashi::state(), State::Idle);
                unlimited(libc::RLIMIT_AS);
                let guard = kakashi::builder().sink(NullSink).start().unwrap();
                record!(SURE, 1, 0);
                guard.shutdown(HANG).unwrap();
                assert_eq!(common::conserved().messages_written, 1);
                code
            });
            *endings.entry(ending).or_insert(0) += 1;
            if endings.get(&STARTED) == Some(&8) {
                break;
            }
        }
        assert!(endings.keys().eq(&[STARTED, NO_REGION, NO_THREAD]), "{endings:?}");
    });
}

/// The same of a first call: without memory for rings or writer its record is dropped, and counted.
#[test]
fn without_memory_a_first_call_is_counted_and_said() {
    alone("without_memory_a_first_call_is_counted_and_said", || {
        let directory = Directory::new();
        let mut stderr =
            File::options().append(true).read(true).create_new(true).open(directory.file("stderr")).unwrap();
        let (mut failed, mut started) = (0, 0);
        for megabyte in (0..2000).step_by(2) {
            let ending = in_child(|| {
                // SAFETY: both descriptors are open.
                unsafe { libc::dup2(stderr.as_raw_fd(), libc::STDERR_FILENO) };
                limit(libc::RLIMIT_AS, address_space() + (megabyte << 20));
                for n in 0..100 {
                    record!(SURE, 1, n);
                    record!(NEWS, 2, n);
                }
                match kakashi::state() {
                    State::Failed => {
                        let stats = common::conserved();
                        assert_eq!((stats.calls, stats.dropped.no_lane), (200, 200), "{stats}");
                        NO_THREAD
                    }
                    _ => {
                        kakashi::shutdown_async_backend(HANG).unwrap();
                        assert_eq!(common::conserved().messages_written, 200);
                        STARTED
                    }
                }
            });
            match ending {
                STARTED => started += 1,
                NO_THREAD => failed += 1,
                other => panic!("with {megabyte} MiB: {other}"),
            }
            if started == 4 {
                break;
            }
        }
        let mut text = String::new();
        stderr.rewind().and_then(|()| stderr.read_to_string(&mut text)).unwrap();
        let said = text.lines().filter(|line| line.starts_with("kakashi: records are dropped: ")).count();
        assert!(failed > 0 && said == failed, "{said} of {failed} have said it");
    });
}

/// Threads that cannot be made are the program's affair: those that can, log.
#[test]
fn threads_at_the_limit_of_memory_log() {
    alone("threads_at_the_limit_of_memory_log", || {
        let memory = kakashi::MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        limit(libc::RLIMIT_AS, address_space() + (24 << 20));
        let (mut threads, gate) = (Vec::new(), Gate::closed());
        let refused = loop {
            let (from, gate) = (threads.len() as u64, gate.clone());
            let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
                (0..200).for_each(|n| record!(SURE, from, n));
                gate.wait();
            });
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => break error,
            }
        };
        gate.open();
        assert!(!threads.is_empty(), "{refused}");
        let made = threads.len() as u64;
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        unlimited(libc::RLIMIT_AS);
        kakashi::flush(HANG).unwrap();
        let ledger = Ledger::of(&memory.lines());
        (0..made).for_each(|from| ledger.has_all(from, 200));
        assert_eq!(ledger.settle(made * 200).messages_dropped, 0);
        guard.shutdown(HANG).unwrap();
    });
}
