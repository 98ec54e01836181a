//! The end by a signal or a panic: what was logged before is in the file, once, in order, with a line that says
//! what happened; and the process ends as it would have.
//!
//! Each test says how it failed when a mechanism was switched off by hand.

mod common;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use common::{
    Directory, Ended, Gate, Held, SURE, dispatch, is_notice, lines_of, message, messages, notices, number,
    scenario, thread_of,
};
use kakashi::{
    Block, Channel, Deferred, DropOldest, FileSink, Guard, LevelFilter, MemorySink, Sink, SinkOptions, error,
    info, warn,
};

kakashi::channel!(static NEWS: Channel<64, 256, 8, DropOldest>);
kakashi::channel!(static RAW: Channel<64, 1024, 8, Block, Deferred>);

const SIGNALS: [(i32, &str); 7] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGINT, "SIGINT"),
];

const MANY: u64 = 5000;
/// Threads of `full speed`.
const THREADS: usize = 4;

#[test]
fn child() {
    no_core();
    dispatch(&[
        ("SIGSEGV", |path| by_signal(path, libc::SIGSEGV)),
        ("SIGBUS", |path| by_signal(path, libc::SIGBUS)),
        ("SIGILL", |path| by_signal(path, libc::SIGILL)),
        ("SIGFPE", |path| by_signal(path, libc::SIGFPE)),
        ("SIGABRT", |path| by_signal(path, libc::SIGABRT)),
        ("SIGTERM", |path| by_signal(path, libc::SIGTERM)),
        ("SIGINT", |path| by_signal(path, libc::SIGINT)),
        ("fault", |path| {
            let _guard = log_many(path);
            null();
        }),
        ("abort", |path| {
            let _guard = log_many(path);
            std::process::abort();
        }),
        ("earlier handler", |path| {
            on_signal(libc::SIGTERM, leave_with_7 as *const () as usize);
            let _guard = log_many(path);
            raise(libc::SIGTERM);
        }),
        ("earlier handler returns", |path| {
            on_signal(libc::SIGTERM, go_on as *const () as usize);
            let guard = log_many(path);
            // SAFETY: this thread's own.
            unsafe { *libc::__errno_location() = libc::E2BIG };
            raise(libc::SIGTERM);
            assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::E2BIG), "errno is what it was");
            info!(SURE, "n={MANY}");
            raise(libc::SIGTERM);
            guard.shutdown(common::HANG).unwrap();
            std::process::exit(CALLED.load(Ordering::Relaxed) as i32);
        }),
        ("ignored", |path| {
            on_signal(libc::SIGTERM, libc::SIG_IGN);
            let guard = log_many(path);
            raise(libc::SIGTERM);
            guard.shutdown(common::HANG).unwrap();
            std::process::exit(9);
        }),
        ("after shutdown", |path| {
            on_signal(libc::SIGTERM, leave_with_7 as *const () as usize);
            log_many(path).shutdown(common::HANG).unwrap();
            assert_eq!(action(libc::SIGTERM), leave_with_7 as *const () as usize);
            assert_eq!(action(libc::SIGFPE), libc::SIG_DFL);
            std::process::exit(9);
        }),
        ("hung sink", |path| {
            let _guard = hang(path);
            null();
        }),
        ("hung sink comes back", |path| {
            // The handler that was there before opens the gate: the writer comes back, and must not write.
            on_signal(libc::SIGTERM, open_and_go_on as *const () as usize);
            let guard = hang(path);
            raise(libc::SIGTERM);
            info!(SURE, "dropped");
            GATE_PASSED.wait();
            drop(guard);
            std::process::exit(9);
        }),
        ("writer faults", |path| {
            let _guard = two_sinks(path, Faulty);
            (0..MANY).for_each(|n| info!(SURE, "n={n}"));
            loop {
                std::thread::park();
            }
        }),
        ("stack overflow", |path| {
            let guard = log_many(path);
            let deep = std::thread::Builder::new().name("deep".to_owned()).spawn(|| deeper(1)).unwrap();
            let _ = deep.join();
            drop(guard);
        }),
        ("full speed", full_speed),
        ("two at once", |path| {
            let _guard = log_many(path);
            let both = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    null();
                });
                both.wait();
                null();
            });
        }),
        ("forked, no writer", |path| {
            let guard = log_many(path);
            kakashi::flush(common::HANG).unwrap();
            // SAFETY: the child calls nothing that another thread could hold a lock of.
            let child = unsafe { libc::fork() };
            if child == 0 {
                null();
            }
            assert_eq!(ended_by(child), libc::SIGSEGV);
            guard.shutdown(common::HANG).unwrap();
        }),
        ("forked, own writer", |path| {
            let guard = log_many(path);
            kakashi::flush(common::HANG).unwrap();
            // SAFETY: as above; glibc makes its own locks usable in the child.
            let child = unsafe { libc::fork() };
            if child == 0 {
                (MANY..2 * MANY).for_each(|n| info!(SURE, "n={n}"));
                null();
            }
            assert_eq!(ended_by(child), libc::SIGSEGV);
            guard.shutdown(common::HANG).unwrap();
        }),
        ("levels", |path| {
            let (gate, entered) = (Gate::closed(), Gate::closed());
            let guard = kakashi::builder()
                .sink(Held::new(&gate, &entered, &MemorySink::new()))
                .sink_with(FileSink::create(path), SinkOptions::default().level(LevelFilter::Warn))
                .sink(FileSink::create(format!("{path}.all")))
                .sink_with(
                    FileSink::create(format!("{path}.raw")),
                    SinkOptions::default().filter("off,RAW=warn".parse().unwrap()),
                )
                .crash_handler(true)
                .start()
                .unwrap();
            info!("first");
            entered.wait();
            warn!("second");
            info!(NEWS, "third {}", "long ".repeat(30));
            error!(RAW, "fourth {} {:?}", 1.5, "quoted");
            null();
            drop(guard);
        }),
        ("panic hook", |path| {
            let guard = kakashi::builder().sink(FileSink::create(path)).panic_hook(true).start().unwrap();
            let caught = std::panic::catch_unwind(|| {
                info!(SURE, "n=0");
                panic!("caught");
            });
            assert!(caught.is_err());
            // In the file already.
            assert_eq!(messages(&lines_of(path)), ["n=0"]);
            drop(guard);
            std::process::exit(9);
        }),
        ("hook aborts", |path| {
            std::panic::set_hook(Box::new(|_| std::process::abort()));
            let _guard = panicking(path);
            panic!("the hook ends it");
        }),
        ("hook logs", |path| {
            std::panic::set_hook(Box::new(|_| {
                (MANY..2 * MANY).for_each(|n| info!(SURE, "n={n}"));
            }));
            let _guard = panicking(path);
            let _bomb = AbortOnDrop;
            panic!("its drop ends it");
        }),
        ("panic in a panic", |path| {
            let _guard = panicking(path);
            let _bomb = PanicOnDrop;
            panic!("first");
        }),
    ]);
}

static CALLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn leave_with_7(_: i32) {
    // SAFETY: ends the process, async-signal-safe.
    unsafe { libc::_exit(7) };
}

extern "C" fn go_on(_: i32) {
    CALLED.fetch_add(1, Ordering::Relaxed);
    // As any call may, in a handler that does not restore it.
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = 0 };
}

extern "C" fn open_and_go_on(_: i32) {
    // Not for a real handler; this thread holds no lock of the gate's.
    GATE_OPENED.get_or_init(Gate::closed).open();
}

static GATE_OPENED: std::sync::OnceLock<Gate> = std::sync::OnceLock::new();
static GATE_PASSED: std::sync::LazyLock<Gate> = std::sync::LazyLock::new(Gate::closed);

fn on_signal(signal: i32, handler: usize) {
    // SAFETY: all zero but for the function is a valid action.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn action(signal: i32) -> usize {
    // SAFETY: all zero is a valid action, which the call writes to.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    }
}

fn raise(signal: i32) {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// The tests' crashes leave no cores behind.
fn no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is whole.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// A real fault.
fn null() {
    static NULL: AtomicPtr<u64> = AtomicPtr::new(std::ptr::null_mut());
    // SAFETY: none: it is meant to fault. By hand in assembly, so that no check of the compiler's comes before.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {0}, qword ptr [{0}]", inout(reg) NULL.load(Ordering::Relaxed) => _);
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("ldr {0}, [{0}]", inout(reg) NULL.load(Ordering::Relaxed) => _);
    }
}

#[allow(unconditional_recursion)] // that is the point
fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    deeper(room[63] + 1) + room[0]
}

/// The writer is waited for until it answers: these scenarios are not about a slow machine.
fn log_many(path: &str) -> Guard {
    kakashi::__private::set_crash_patience(common::HANG);
    let guard = kakashi::builder().sink(FileSink::create(path)).crash_handler(true).start().unwrap();
    (0..MANY).for_each(|n| info!(SURE, "n={n}"));
    guard
}

fn panicking(path: &str) -> Guard {
    let guard = kakashi::builder().sink(FileSink::create(path)).panic_hook(true).start().unwrap();
    (0..MANY).for_each(|n| info!(SURE, "n={n}"));
    guard
}

fn two_sinks(path: &str, first: impl Sink) -> Guard {
    let builder = kakashi::builder().sink(first).sink(FileSink::create(path)).crash_handler(true);
    builder.start().unwrap()
}

/// The writer hangs in a sink, with one record in staging and the others in the ring.
fn hang(path: &str) -> Guard {
    let (gate, entered) = (GATE_OPENED.get_or_init(Gate::closed), Gate::closed());
    let guard = two_sinks(path, Hung { held: Held::new(gate, &entered, &MemorySink::new()) });
    info!(SURE, "n=0");
    entered.wait();
    (1..MANY).for_each(|n| info!(SURE, "n={n}"));
    guard
}

/// Says when it has come back.
struct Hung {
    held: Held,
}

impl Sink for Hung {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.held.write_batch(bytes);
        GATE_PASSED.open();
        result
    }
}

/// Dereferences null.
struct Faulty;

impl Sink for Faulty {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        null();
        Ok(bytes.len())
    }
}

struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        std::process::abort();
    }
}

struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        (MANY..2 * MANY).for_each(|n| info!(SURE, "n={n}"));
        panic!("second");
    }
}

fn by_signal(path: &str, signal: i32) {
    // Rust's own handlers for SIGSEGV and SIGBUS let one go that is no fault.
    on_signal(signal, libc::SIG_DFL);
    let _guard = log_many(path);
    raise(signal);
}

/// What each thread of `full speed` has had returned, where the parent can read it.
#[repr(C)]
struct Returned {
    at_crash: [AtomicU64; THREADS],
    returned: [AtomicU64; THREADS],
}

fn shared(path: &str) -> &'static Returned {
    let file =
        std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    file.set_len(size_of::<Returned>() as u64).unwrap();
    // SAFETY: a shared mapping of the file, of its size, which is never unmapped; atomics, valid when zero.
    unsafe {
        use std::os::fd::AsRawFd;
        let memory = libc::mmap(
            std::ptr::null_mut(),
            size_of::<Returned>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        &*memory.cast::<Returned>()
    }
}

fn full_speed(path: &str) {
    kakashi::__private::set_crash_patience(common::HANG);
    let returned = shared(&format!("{path}.returned"));
    let _guard = kakashi::builder().sink(FileSink::create(path)).crash_handler(true).start().unwrap();
    for thread in 0..THREADS {
        std::thread::spawn(move || {
            for n in 1.. {
                info!(SURE, "thread={thread} n={n}");
                returned.returned[thread].store(n, Ordering::Release);
            }
        });
    }
    common::until("each thread has logged", || {
        returned.returned.iter().all(|count| count.load(Ordering::Acquire) > 20_000)
    });
    for (at_crash, count) in returned.at_crash.iter().zip(&returned.returned) {
        at_crash.store(count.load(Ordering::Acquire), Ordering::Release);
    }
    null();
}

fn ended_by(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is written to.
    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
    if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { -libc::WEXITSTATUS(status) }
}

fn run(name: &str) -> (Directory, std::path::PathBuf, Ended) {
    let directory = Directory::new();
    let path = directory.file("log");
    let ended = scenario(name).with(&path).run();
    (directory, path, ended)
}

/// `n=0` to `n=MANY-1`, once each and in order, and nothing else of the program's.
#[track_caller]
fn has_all(path: &Path, ended: &Ended) -> Vec<String> {
    let lines = lines_of(path);
    let numbers: Vec<u64> = messages(&lines).iter().map(|line| number(line, "n=")).collect();
    assert!(numbers.iter().copied().eq(0..MANY), "{} numbers, {ended}", numbers.len());
    lines
}

#[track_caller]
fn last_is(lines: &[String], what: &str, why: &str) {
    let last = lines.last().expect("there is a line");
    assert!(is_notice(last) && message(last).starts_with(what) && last.contains(why), "{last}");
    assert_eq!(thread_of(last), "kakashi-writer");
}

const ANSWERED: &str = "every record logged before it is written";

/// Seen to fail: with no handler installed (the queue is lost), without the writer's last line, with a chain that
/// leaves by `_exit`.
#[test]
fn each_signal_ends_the_process_with_the_log_whole() {
    for (signal, name) in SIGNALS {
        let (_directory, path, ended) = run(name);
        assert_eq!(ended.status.signal(), Some(signal), "{name}: {ended}");
        let lines = has_all(&path, &ended);
        last_is(&lines, &format!("{name} in thread child ("), ANSWERED);
        assert_eq!(notices(&lines).len(), 1);
    }
}

/// Seen to fail: with a chain that neither restores the default action nor returns.
#[test]
fn faults_and_abort_are_what_they_were() {
    for (name, signal, shown) in [("fault", libc::SIGSEGV, "SIGSEGV"), ("abort", libc::SIGABRT, "SIGABRT")] {
        let (_directory, path, ended) = run(name);
        assert_eq!(ended.status.signal(), Some(signal), "{name}: {ended}");
        last_is(&has_all(&path, &ended), shown, ANSWERED);
    }
}

/// With a chain that takes the default action always it was seen to hang.
#[test]
fn the_earlier_handler_is_called() {
    let (_directory, path, ended) = run("earlier handler");
    assert_eq!(ended.status.code(), Some(7), "{ended}");
    last_is(&has_all(&path, &ended), "SIGTERM", ANSWERED);
}

/// Seen to fail: with a handler that does not let go of `CRASHING` after an earlier handler has returned.
#[test]
fn the_log_goes_on_when_the_earlier_handler_returns() {
    let (_directory, path, ended) = run("earlier handler returns");
    assert_eq!(ended.status.code(), Some(2), "{ended}");
    let lines = lines_of(&path);
    let numbers: Vec<u64> = messages(&lines).iter().map(|line| number(line, "n=")).collect();
    assert!(numbers.into_iter().eq(0..=MANY), "{ended}");
    assert_eq!(notices(&lines).len(), 2);
}

/// Seen to fail: with handlers installed over SIG_IGN.
#[test]
fn an_ignored_signal_stays_ignored() {
    let (_directory, path, ended) = run("ignored");
    assert_eq!(ended.status.code(), Some(9), "{ended}");
    assert!(notices(&has_all(&path, &ended)).is_empty());
}

/// Seen to fail: with a shutdown that does not disarm.
#[test]
fn a_shutdown_restores_the_actions() {
    let (_directory, _path, ended) = run("after shutdown");
    assert_eq!(ended.status.code(), Some(9), "{ended}");
}

/// Seen to fail: without the taking over; with a rescue that leaves out the staging, or the rings.
#[test]
fn a_hung_writer_is_replaced() {
    let (_directory, path, ended) = run("hung sink");
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended}");
    let records = format!("the writer did not answer; {} records written", MANY - 1);
    last_is(&has_all(&path, &ended), "SIGSEGV in thread child", &records);
}

/// Seen to fail: with a writer whose compare-and-swap fails and which goes on.
#[test]
fn a_writer_that_comes_back_writes_nothing_twice() {
    let (_directory, path, ended) = run("hung sink comes back");
    assert_eq!(ended.status.code(), Some(9), "{ended}");
    last_is(&has_all(&path, &ended), "SIGTERM", "the writer did not answer");
}

/// Seen to fail: with all signals blocked in the writer's thread.
#[test]
fn the_writer_itself_may_fault() {
    let (_directory, path, ended) = run("writer faults");
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended}");
    let lines = lines_of(&path);
    // The program may still be logging when the writer faults.
    let numbers: Vec<u64> = messages(&lines).iter().map(|line| number(line, "n=")).collect();
    assert!(
        !numbers.is_empty() && numbers.iter().copied().eq(0..numbers.len() as u64),
        "{numbers:?} {ended}"
    );
    last_is(&lines, "SIGSEGV in thread kakashi-writer", "written by the crash handler");
}

/// Seen to fail: without SA_ONSTACK (the file has no last line).
#[test]
fn a_stack_overflow_has_its_line() {
    let (_directory, path, ended) = run("stack overflow");
    // Rust's own handler, which is called next, says what it was, and aborts.
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{ended}");
    assert!(ended.stderr.contains("overflowed its stack"), "{ended}");
    last_is(&has_all(&path, &ended), "SIGSEGV in thread deep", ANSWERED);
}

/// Calls that returned before the crash are there; later ones at most once, with no gap before them.
///
/// Seen to fail: with an answer that does not wait for the lanes' positions.
#[test]
fn full_speed_loses_and_doubles_nothing() {
    let (_directory, path, ended) = run("full speed");
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended}");
    let returned = shared(&format!("{}.returned", path.display()));
    let text = std::fs::read_to_string(&path).unwrap();
    // The writer goes on until the process is gone, which may be in the middle of a batch.
    let whole = &text[..text.rfind('\n').unwrap() + 1];
    let mut next = [1; THREADS];
    for line in whole.lines().filter(|line| !is_notice(line)) {
        let (thread, n) = (number(line, "thread=") as usize, number(line, " n="));
        assert_eq!(n, next[thread], "thread {thread}");
        next[thread] += 1;
    }
    for (next, at_crash) in next.iter().zip(&returned.at_crash) {
        assert!(*next > at_crash.load(Ordering::Acquire), "{next} of {at_crash:?}");
    }
    assert_eq!(whole.lines().filter(|line| line.contains(ANSWERED)).count(), 1);
}

/// Seen to fail: without `CRASHING` (two last lines).
#[test]
fn two_at_once_are_one_crash() {
    let (_directory, path, ended) = run("two at once");
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended}");
    let lines = has_all(&path, &ended);
    last_is(&lines, "SIGSEGV", ANSWERED);
    assert_eq!(notices(&lines).len(), 1);
}

/// Seen to fail: with a child that keeps the parent's word (it waits for a writer it has not).
#[test]
fn a_forked_child_has_its_own_end() {
    let (_directory, path, ended) = run("forked, no writer");
    assert!(ended.status.success(), "{ended}");
    last_is(&has_all(&path, &ended), "SIGSEGV", "no writer ran; 0 records");

    let (_directory, path, ended) = run("forked, own writer");
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(&path);
    let numbers: Vec<u64> = messages(&lines).iter().map(|line| number(line, "n=")).collect();
    assert!(numbers.into_iter().eq(0..2 * MANY), "{ended}");
    last_is(&lines, "SIGSEGV", ANSWERED);
}

/// Seen to fail: with a rescue that does not ask `wants`.
#[test]
fn the_handler_keeps_levels_and_order() {
    let (_directory, path, ended) = run("levels");
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended}");
    let third = format!("third {}", "long ".repeat(30));
    let (few, all) = (lines_of(&path), lines_of(format!("{}.all", path.display())));
    assert_eq!(messages(&few), ["second", "fourth 1.5 \"quoted\""]);
    assert_eq!(messages(&all), ["first", "second", &third, "fourth 1.5 \"quoted\""]);
    assert_eq!(messages(&lines_of(format!("{}.raw", path.display()))), ["fourth 1.5 \"quoted\""]);
    last_is(&few, "SIGSEGV", "3 records written");
    last_is(&all, "SIGSEGV", "3 records written");
}

/// The writer may be quick enough without the hook, too: what needs it is a panic that aborts, below.
#[test]
fn a_panic_flushes() {
    let (_directory, _path, ended) = run("panic hook");
    assert_eq!(ended.status.code(), Some(9), "{ended}");
    assert!(ended.stderr.contains("caught"), "the earlier hook was not called: {ended}");
}

/// Seen to fail: with a flush only after, and only before, the earlier hook.
#[test]
fn a_panic_that_aborts_has_its_records_out() {
    let (_directory, path, ended) = run("hook aborts");
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{ended}");
    has_all(&path, &ended);
    for name in ["hook logs", "panic in a panic"] {
        let (_directory, path, ended) = run(name);
        assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{name}: {ended}");
        let lines = lines_of(&path);
        let numbers: Vec<u64> = messages(&lines).iter().map(|line| number(line, "n=")).collect();
        assert!(numbers.into_iter().eq(0..2 * MANY), "{name}: {ended}");
    }
}
