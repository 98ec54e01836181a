//! What is under a sink goes wrong, by the kernel itself: a disk fills up, a file may grow no further, a terminal
//! hangs up, a pipe is full or has no reader, a log file is renamed, deleted or cut by somebody else.
//!
//! `sinks.rs` has the same from sinks made to fail.

mod common;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ledger::{Ledger, record};
use common::{
    Directory, Gate, HANG, Held, Over, alone, dispatch, lines_of, number, scenario, skipped, until,
};
use kakashi::{
    BackendError, Block, Channel, DropNewest, DropOldest, FileSink, FlushError, MemorySink, Retry,
    ShutdownError, WriterSink,
};

kakashi::channel!(static PATIENT: Channel<64, 64, 8, Block>);
kakashi::channel!(static HASTY: Channel<64, 64, 8, DropNewest>);
kakashi::channel!(static NEWS: Channel<64, 64, 8, DropOldest>);

#[test]
fn child() {
    dispatch(&[
        ("small disk", small_disk),
        ("exit, the disk is full", |disk| {
            let disk = Path::new(disk);
            let guard = kakashi::builder()
                .shutdown_timeout(Duration::from_millis(50))
                .sink(FileSink::create(disk.join("log")))
                .retry(quick())
                .start()
                .unwrap();
            let mut made = 0;
            while kakashi::get_async_stats().sink_errors == 0 {
                record!(HASTY, 1, made);
                made += 1;
            }
            let stats = kakashi::get_async_stats();
            println!("made={made} dropped={}", stats.messages_dropped);
            std::mem::forget(guard);
            std::process::exit(7);
        }),
        ("exit, nobody reads", |_| {
            default_action(libc::SIGPIPE);
            let (gate, entered) = (Gate::closed(), Gate::closed());
            let guard = kakashi::builder()
                .shutdown_timeout(Duration::from_millis(20))
                .sink(Held::new(&gate, &entered, &MemorySink::new()))
                .start()
                .unwrap();
            record!(PATIENT, 1, 0);
            entered.wait();
            std::mem::forget(guard);
            std::process::exit(7);
        }),
    ]);
}

/// What `on_error` was told, as `Debug` shows it.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(error: &BackendError<'_>) {
    told().push(format!("{error:?}"));
}

fn told() -> MutexGuard<'static, Vec<String>> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the program was told of `what` with the error `code`, and of nothing else.
#[track_caller]
fn assert_told(what: &str, code: i32) {
    let code = format!("code: {code},");
    let told = told();
    assert!(!told.is_empty(), "the program was told nothing");
    assert!(told.iter().all(|text| text.contains(&code)), "{told:?}");
    assert!(told.iter().any(|text| text.starts_with(what)), "{told:?}");
}

fn quick() -> Retry {
    Retry::default().pauses(Duration::from_micros(100), Duration::from_millis(1))
}

/// Gives a signal back the action that Rust's runtime has changed, as in a program whose `main` is not Rust's.
fn default_action(signal: i32) {
    // SAFETY: the default action is one.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// For `run_behind`: a file system of `bytes` bytes at `place`, that only the process sees.
fn mount(place: &Path, bytes: usize) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    let place = CString::new(place.as_os_str().as_bytes()).expect("a path without zeros");
    let size = CString::new(format!("size={bytes}")).expect("a text without zeros");
    // SAFETY: questions without arguments.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let maps = [
        (c"/proc/self/setgroups", "deny".to_owned()),
        (c"/proc/self/uid_map", format!("0 {user} 1")),
        (c"/proc/self/gid_map", format!("0 {group} 1")),
    ];
    let yes = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    move || {
        // SAFETY: system calls, with strings that end in a zero.
        unsafe {
            let own_users = libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) == 0;
            if !own_users {
                // The superuser needs none.
                yes(libc::unshare(libc::CLONE_NEWNS))?;
            }
            for (path, text) in maps.iter().filter(|_| own_users) {
                let map = libc::open(path.as_ptr(), libc::O_WRONLY);
                let wrote = libc::write(map, text.as_ptr().cast(), text.len());
                yes((wrote != text.len() as isize).into())?;
                libc::close(map);
            }
            let none = std::ptr::null();
            yes(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
            yes(libc::mount(c"none".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, size.as_ptr().cast()))
        }
    }
}

/// Runs a scenario on a disk of 4 MiB; `None` where that cannot be made.
fn on_small_disk(name: &str) -> Option<common::Ended> {
    let directory = Directory::new();
    match scenario(name).with(directory.file("")).run_behind(mount(&directory.file(""), 4 << 20)) {
        Ok(ended) => Some(ended),
        Err(error) => {
            skipped(name, format_args!("no file system of its own: {error}"));
            None
        }
    }
}

const BALLAST: usize = 1_300_000;

/// Two threads wait for room, a third drops, while the disk is full; then room is made.
fn small_disk(disk: &str) {
    let disk = Path::new(disk);
    for ballast in ["a", "b"] {
        fs::write(disk.join(ballast), vec![0; BALLAST]).unwrap();
    }
    let log = disk.join("log");
    let start =
        || kakashi::builder().sink(FileSink::append(&log)).retry(quick()).on_error(note).start().unwrap();
    let mut guard = Some(start());
    let patient = [const { AtomicU64::new(0) }; 2];
    let (mut hasty, mut news) = (0, 0);
    for ballast in ["a", "b"] {
        let full = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (from, made) in patient.iter().enumerate() {
                let full = &full;
                scope.spawn(move || {
                    while !full.load(Ordering::Relaxed) {
                        record!(PATIENT, from as u64, made.load(Ordering::Relaxed));
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let before = kakashi::get_async_stats();
            until("the disk is full", || kakashi::get_async_stats().sink_errors > before.sink_errors + 20);
            until("both wait for room", || {
                PATIENT.lanes().filter(|lane| lane.in_use && lane.occupied > lane.slots - 8).count() == 2
            });
            for _ in 0..1000 {
                record!(HASTY, 2, hasty);
                record!(NEWS, 3, news);
                (hasty, news) = (hasty + 1, news + 1);
            }
            let full_at = fs::metadata(&log).unwrap().len();
            let stats = kakashi::get_async_stats();
            for error in [kakashi::flush(Duration::from_millis(5)), kakashi::sync(Duration::from_millis(5))] {
                match error {
                    Err(FlushError::TimedOut { unwritten }) => {
                        assert!(unwritten >= stats.queue_size, "{unwritten} of {stats}")
                    }
                    other => panic!("the disk is full, and flush says {other:?}"),
                }
            }
            // Four rings are full of records of one to four slots.
            assert!(stats.queue_size > 4 * 64 / 4, "{stats}");
            assert!(stats.dropped.newest >= 900 && stats.dropped.oldest >= 900, "{stats}");
            assert_told("Retrying", libc::ENOSPC);
            assert_eq!(fs::metadata(&log).unwrap().len(), full_at);
            full.store(true, Ordering::Relaxed);
            if ballast == "b" {
                let guard = guard.take().expect("it runs");
                match guard.shutdown(Duration::from_millis(5)) {
                    Err(ShutdownError::TimedOut { unwritten }) => {
                        assert!(unwritten >= stats.queue_size, "{unwritten} of {stats}");
                    }
                    other => panic!("the disk is full, and shutdown says {other:?}"),
                }
            }
            fs::remove_file(disk.join(ballast)).unwrap();
        });
        if ballast == "b" {
            kakashi::shutdown_async_backend(HANG).unwrap();
        } else {
            kakashi::flush(HANG).unwrap();
        }
        kakashi::sync(HANG).unwrap();
        let made = patient.each_ref().map(|made| made.load(Ordering::Relaxed));
        let ledger = Ledger::of(&lines_of(&log));
        let stats = ledger.settle(made[0] + made[1] + hasty + news);
        if ballast == "a" {
            (0..2).for_each(|from| ledger.has_all(from, made[from as usize]));
            assert_eq!(stats.messages_dropped, stats.dropped.newest + stats.dropped.oldest, "{stats}");
        }
        // The newest are always in.
        assert_eq!(ledger.from(3).1, news);
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_has_everything_afterwards() {
    if let Some(ended) = on_small_disk("small disk") {
        assert!(ended.status.success(), "{ended}");
    }
}

/// What cannot be written by the end is said, with its number. The last line of the file may be cut: the disk took
/// half of it.
#[test]
fn an_exit_with_a_full_disk_says_what_is_lost() {
    let Some(ended) = on_small_disk("exit, the disk is full") else { return };
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    let said: Vec<_> = ended.stderr.lines().collect();
    assert!(said.len() == 1 && said[0].starts_with("kakashi: "), "{ended}");
    let lost = number(said[0], "kakashi: ");
    assert!(lost > 0 && lost < number(&ended.stdout, "made="), "{ended}");
}

/// A limit on a file's size is an error that passes, and its signal (which ends a process) never comes.
#[test]
fn a_file_that_may_grow_no_further_is_waited_for() {
    alone("a_file_that_may_grow_no_further_is_waited_for", || {
        let limit = |bytes| {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: the limit is one.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        };
        default_action(libc::SIGXFSZ);
        let directory = Directory::new();
        let log = directory.file("log");
        let guard =
            kakashi::builder().sink(FileSink::create(&log)).retry(quick()).on_error(note).start().unwrap();
        limit(50_001);
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..2000 {
                    record!(PATIENT, 1, n);
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
            until("it has failed often", || kakashi::get_async_stats().sink_errors > 20);
            assert_eq!(fs::metadata(&log).unwrap().len(), 50_001);
            assert_told("Retrying", libc::EFBIG);
            limit(libc::RLIM_INFINITY);
        });
        kakashi::flush(HANG).unwrap();
        let ledger = Ledger::of(&lines_of(&log));
        ledger.has_all(1, 2000);
        assert_eq!(ledger.settle(2000).messages_dropped, 0);
        guard.shutdown(HANG).unwrap();
    });
}

/// A terminal of the kernel's, raw: the master's end, and the slave's path.
fn terminal() -> io::Result<(File, String)> {
    // SAFETY: the descriptor is asked for and owned; the buffer's length is given.
    unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY);
        if master < 0 {
            return Err(io::Error::last_os_error());
        }
        let file = File::from_raw_fd(master);
        let mut name = [0_u8; 64];
        if libc::grantpt(master) != 0
            || libc::unlockpt(master) != 0
            || libc::ptsname_r(master, name.as_mut_ptr().cast(), name.len()) != 0
        {
            return Err(io::Error::last_os_error());
        }
        let mut modes: libc::termios = std::mem::zeroed();
        libc::tcgetattr(master, &mut modes);
        libc::cfmakeraw(&mut modes);
        libc::tcsetattr(master, libc::TCSANOW, &modes);
        let end = name.iter().position(|&byte| byte == 0).expect("it ends in a zero");
        Ok((file, String::from_utf8_lossy(&name[..end]).into_owned()))
    }
}

/// EIO from the kernel: each write to a terminal whose other end is gone.
#[test]
fn a_terminal_that_hangs_up_is_suspended_and_the_file_goes_on() {
    const NAME: &str = "a_terminal_that_hangs_up_is_suspended_and_the_file_goes_on";
    alone(NAME, || {
        let (mut master, slave) = match terminal() {
            Ok(terminal) => terminal,
            Err(error) => return skipped(NAME, format_args!("no terminal: {error}")),
        };
        let directory = Directory::new();
        let log = directory.file("log");
        let guard = kakashi::builder()
            .sink(FileSink::append(&slave))
            .sink(FileSink::create(&log))
            .retry(quick().limit(Duration::from_millis(2)))
            .on_error(note)
            .start()
            .unwrap();
        record!(PATIENT, 1, 0);
        kakashi::flush(HANG).unwrap();
        let mut shown = [0; 4096];
        let len = master.read(&mut shown).unwrap();
        Ledger::of(&[str::from_utf8(&shown[..len]).unwrap().trim_end()]).has_all(1, 1);
        drop(master);
        (1..2000).for_each(|n| record!(PATIENT, 1, n));
        kakashi::flush(HANG).unwrap();
        assert_told("Suspended", libc::EIO);
        let ledger = Ledger::of(&lines_of(&log));
        ledger.has_all(1, 2000);
        assert_eq!(ledger.settle(2000).messages_dropped, 0);
        guard.shutdown(HANG).unwrap();
        // That it has missed some for ever is told at the end.
        assert_told("Retired", libc::EIO);
        assert!(told().last().unwrap().contains(&slave), "{:?}", told());
    });
}

/// Short writes and EAGAIN from the kernel: a pipe that does not wait for its reader.
#[test]
fn a_pipe_that_is_full_gets_the_rest_later() {
    alone("a_pipe_that_is_full_gets_the_rest_later", || {
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the descriptor is open.
        unsafe {
            libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
            libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096);
        }
        let guard =
            kakashi::builder().sink(WriterSink::new(writer)).retry(quick()).on_error(note).start().unwrap();
        let mut bytes = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..5000).for_each(|n| record!(PATIENT, 1, n)));
            until("the pipe is full", || kakashi::get_async_stats().sink_errors > 3);
            assert_told("Retrying", libc::EAGAIN);
            scope.spawn(|| {
                kakashi::flush(HANG).unwrap();
                until("all is logged", || kakashi::stats().calls() == 5000);
                // Closes the pipe, which ends the reading.
                guard.shutdown(HANG).unwrap();
            });
            reader.read_to_end(&mut bytes).unwrap();
        });
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n'));
        let ledger = Ledger::of(&text.lines().collect::<Vec<_>>());
        ledger.has_all(1, 5000);
        assert_eq!(ledger.settle(5000).messages_dropped, 0);
    });
}

/// The writer has all signals blocked: SIGPIPE does not end a process that has left it at its default action.
#[test]
fn a_pipe_without_reader_ends_no_process() {
    alone("a_pipe_without_reader_ends_no_process", || {
        default_action(libc::SIGPIPE);
        let (reader, writer) = io::pipe().unwrap();
        let memory = MemorySink::new();
        let guard = kakashi::builder()
            .sink(WriterSink::new(writer))
            .sink(memory.clone())
            .on_error(note)
            .start()
            .unwrap();
        (0..100).for_each(|n| record!(PATIENT, 1, n));
        kakashi::flush(HANG).unwrap();
        drop(reader);
        (100..1000).for_each(|n| record!(PATIENT, 1, n));
        kakashi::flush(HANG).unwrap();
        assert_told("Retired", libc::EPIPE);
        let ledger = Ledger::of(&memory.lines());
        ledger.has_all(1, 1000);
        assert_eq!(ledger.settle(1000).messages_dropped, 0);
        guard.shutdown(HANG).unwrap();
    });
    // The line about what was not written comes from the thread that exits.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let ended = scenario("exit, nobody reads").stderr(writer).run();
    assert_eq!(ended.status.code(), Some(7), "{ended}");
}

/// Logs `count` more records of each of two makers, from `from` on.
fn log(from: u64, count: u64) {
    std::thread::scope(|scope| {
        for maker in 0..2 {
            scope.spawn(move || (from..from + count).for_each(|n| record!(PATIENT, maker, n)));
        }
    });
    kakashi::sync(HANG).unwrap();
}

/// The records go on into the file that is held, whatever it is called now; a new start makes a new one.
#[test]
fn a_log_that_is_renamed_or_deleted_goes_on() {
    alone("a_log_that_is_renamed_or_deleted_goes_on", || {
        let directory = Directory::new();
        let [path, moved] = ["log", "log.1"].map(|name| directory.file(name));
        let guard = kakashi::builder().sink(FileSink::append(&path)).on_error(note).start().unwrap();
        log(0, 1000);
        fs::rename(&path, &moved).unwrap();
        log(1000, 1000);
        assert!(!path.exists(), "the sink has opened a file anew");
        let ledger = Ledger::of(&lines_of(&moved));
        (0..2).for_each(|maker| ledger.has_all(maker, 2000));
        ledger.settle(4000);

        let mut held = File::open(&moved).unwrap();
        fs::remove_file(&moved).unwrap();
        log(2000, 1000);
        assert!(!path.exists() && !moved.exists());
        let mut text = String::new();
        held.read_to_string(&mut text).unwrap();
        let ledger = Ledger::of(&text.lines().collect::<Vec<_>>());
        (0..2).for_each(|maker| ledger.has_all(maker, 3000));
        ledger.settle(6000);
        guard.shutdown(HANG).unwrap();

        let guard = kakashi::builder().sink(FileSink::append(&path)).on_error(note).start().unwrap();
        log(0, 10);
        Ledger::of(&lines_of(&path)).has_all(1, 10);
        guard.shutdown(HANG).unwrap();
        assert!(told().is_empty(), "{:?}", told());
    });
}

/// Whoever empties the file takes what it held; from there on it holds whole lines again, and no hole in front of
/// them.
#[test]
fn a_log_that_is_cut_by_others_has_no_hole() {
    alone("a_log_that_is_cut_by_others_has_no_hole", || {
        let directory = Directory::new();
        let path = directory.file("log");
        let guard = kakashi::builder().sink(FileSink::create(&path)).on_error(note).start().unwrap();
        let (over, made) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 4]);
        let mut all = Ledger::default();
        let mut look = || {
            let bytes = fs::read(&path).unwrap();
            assert!(
                !bytes.contains(&0),
                "a hole of {} zeros",
                bytes.iter().filter(|&&byte| byte == 0).count()
            );
            let text = String::from_utf8(bytes).unwrap();
            // The writer may be at it: what stands behind the last line's end is looked at the next time.
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            text[..whole].lines().for_each(|line| all.add(line));
        };
        std::thread::scope(|scope| {
            for (maker, made) in made.iter().enumerate() {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        record!(PATIENT, maker as u64, made.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
            let _over = Over(&over);
            for _ in 0..50 {
                let size = || fs::metadata(&path).unwrap().len();
                until("there is something to cut", || size() > 20_000);
                look();
                File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            }
        });
        kakashi::sync(HANG).unwrap();
        look();
        guard.shutdown(HANG).unwrap();
        let stats = common::conserved();
        let made: u64 = made.iter().map(|made| made.load(Ordering::Relaxed)).sum();
        // It was all written, and nothing of it is an error; who cut the file knows what it held.
        assert_eq!((stats.calls, stats.messages_written), (made, made), "{stats}");
        assert!(all.records > 1000 && all.records <= made, "{} of {made}", all.records);
        assert!(told().is_empty(), "{:?}", told());
    });
}
