//! A log call within a log call: from a `Display`, a destructor, a panic hook, a sink, a signal handler.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, LevelFilter, MemorySink, Preformatted, Sink,
    error, info,
};

kakashi::channel!(static ORDERS: Channel<128, 8192, 16, Block, Preformatted>);
kakashi::channel!(static FILLS: Channel<64, 4096, 16, Block, Deferred>);
kakashi::channel!(static SMALL: Channel<64, 8, 4, Block, Deferred>);
// Four records of two slots each, and it is full to the last one.
kakashi::channel!(static FOUR: Channel<64, 8, 4, Block, Preformatted>);
kakashi::channel!(static NEWEST: Channel<128, 64, 4, DropNewest, Deferred>);
kakashi::channel!(static OLDEST: Channel<128, 64, 4, DropOldest, Preformatted>);
kakashi::channel!(static SHORT_WAIT: Channel<64, 16, 4, BlockFor<100>, Preformatted>);
// Whoever comes second shares.
kakashi::channel!(static SHARED: Channel<128, 8192, 1, Block, Preformatted>);
kakashi::channel!(static SHARED_OLDEST: Channel<128, 64, 1, DropOldest, Deferred>);

const NESTED_BYTES: usize = 512;

/// A `Display` that logs, and whose values log, to a given depth.
struct Nested {
    depth: u32,
    /// How long the inner texts are.
    bytes: usize,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth > 0 {
            let inner = Nested { depth: self.depth - 1, bytes: self.bytes };
            info!("depth {} {} {}", self.depth, inner, Filler(self.bytes), depth = self.depth);
        }
        write!(f, "<{}>", self.depth)
    }
}

/// So many `x`, by `Display`.
struct Filler(usize);

impl fmt::Display for Filler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.0).try_for_each(|_| f.write_str("x"))
    }
}

#[test]
fn a_display_that_logs_gives_both_records() {
    let log = support::start();
    info!("outer {}", Nested { depth: 1, bytes: 3 });
    assert_eq!(log.messages(), ["depth 1 <0> xxx depth=1", "outer <1>"]);
    // The innermost is logged first.
    info!("outer {} {}", Nested { depth: 3, bytes: 2 }, 7, k = Nested { depth: 1, bytes: 0 });
    assert_eq!(
        log.messages(),
        [
            "depth 1 <0> xx depth=1",
            "depth 2 <1> xx depth=2",
            "depth 3 <2> xx depth=3",
            "depth 1 <0>  depth=1",
            "outer <3> 7 k=<1>",
        ]
    );
    // To another channel, and from a thread whose first call it is.
    info!(ORDERS, "outer {:>10}", format_args!("{}", Nested { depth: 2, bytes: 1 }));
    thread::spawn(|| info!(FILLS, "outer {}", Nested { depth: 2, bytes: 1 })).join().expect("it logs");
    let messages = log.messages();
    assert_eq!(messages.len(), 6);
    assert!(messages.iter().filter(|message| *message == "depth 1 <0> x depth=1").count() == 2);
    assert_eq!(messages.last().map(String::as_str), Some("outer <2>"));
}

#[test]
fn a_nested_long_text_is_cut_at_512_bytes_and_counted() {
    let log = support::start();
    let before = kakashi::get_async_stats().truncated;
    let bytes = 10_000;
    info!("outer {} {}", Nested { depth: 3, bytes }, Filler(bytes));
    let messages = log.messages();
    assert_eq!(messages.len(), 4);
    for (at, message) in messages[..3].iter().enumerate() {
        let begin = format!("depth {} <{at}> ", at + 1);
        let rest = message.strip_prefix(&begin).expect("the beginning is whole");
        // The values share the memory.
        let kept = rest.find('…').expect("it is cut");
        assert_eq!(kept + "<0>".len(), NESTED_BYTES);
        assert_eq!(rest, format!("{}…[+{} bytes] depth={}", "x".repeat(kept), bytes - kept, at + 1));
    }
    assert_eq!(messages[3], format!("outer <3> {}", "x".repeat(bytes)));
    assert_eq!(kakashi::get_async_stats().truncated, before + 3);
    // A text that need not be formatted is whole, nested or not.
    struct Whole(String);
    impl fmt::Display for Whole {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("inner {}", self.0);
            f.write_str("done")
        }
    }
    let whole = "y".repeat(bytes);
    info!("outer {}", Whole(whole.clone()));
    assert_eq!(log.messages(), [format!("inner {whole}"), "outer done".to_owned()]);
    assert_eq!(kakashi::get_async_stats().truncated, before + 3);
}

/// A `Display` that panics, after some text, at a depth of log calls.
struct Panicking {
    depth: u32,
}

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text before")?;
        if self.depth > 0 {
            info!("inner {}", Panicking { depth: self.depth - 1 });
        }
        panic!("the value's own panic");
    }
}

fn panics(f: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("the panic reaches the caller");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the value's own panic"));
}

#[test]
fn a_display_that_panics_is_counted_and_the_ring_goes_on() {
    let log = support::start();
    let panicked = || kakashi::get_async_stats().dropped.format_panicked;
    let before = panicked();
    // More often than there are scratch areas of any kind.
    for n in 0..20 {
        panics(|| info!("never written {}", Panicking { depth: 0 }));
        panics(|| info!(FILLS, "never written {} {}", n, Panicking { depth: 0 }, k = n));
        info!("next {}", n);
        info!(FILLS, "next {} {}", n, Filler(3000));
        let long = format!("next {n} {}", "x".repeat(3000));
        assert_eq!(log.messages(), [format!("next {n}"), long]);
    }
    assert_eq!(panicked(), before + 40);
    // Each call that it leaves is counted.
    panics(|| info!("never written {}", Panicking { depth: 2 }));
    assert_eq!(panicked(), before + 43);
    // One that is caught within the outer value.
    struct Caught;
    impl fmt::Display for Caught {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            panics(|| info!("never written {}", Panicking { depth: 0 }));
            f.write_str("caught")
        }
    }
    info!("outer {} {}", Caught, Filler(1000));
    assert_eq!(log.message(), format!("outer caught {}", "x".repeat(1000)));
    assert_eq!(panicked(), before + 44);
}

#[test]
fn a_display_that_panics_on_a_thread_without_a_lane() {
    let log = support::start();
    let _ = SHARED.prepare_thread();
    let before = kakashi::get_async_stats().dropped.format_panicked;
    thread::spawn(|| {
        for n in 0..20 {
            panics(|| info!(SHARED, "never written {}", Panicking { depth: 0 }));
            panics(|| info!(SHARED, "never written {}", Panicking { depth: 1 }));
            info!(SHARED, "next {} {}", n, Filler(5000));
            info!(SHARED, "outer {}", Nested { depth: 3, bytes: 10 });
        }
    })
    .join()
    .expect("it logs");
    let messages = log.messages();
    assert_eq!(messages.len(), 20 * 5);
    assert!(messages.contains(&format!("next 19 {}", "x".repeat(5000))));
    // `Panicking` of depth 1 logs one more, to the default channel.
    assert_eq!(kakashi::get_async_stats().dropped.format_panicked, before + 60);
}

#[test]
fn a_display_that_fails_says_so() {
    struct Failing(&'static str);
    impl fmt::Display for Failing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)?;
            Err(fmt::Error)
        }
    }
    let log = support::start();
    info!("a {} b {} c", Failing("begun "), Failing(""));
    info!(FILLS, "m", k = Failing("x"), n = 1);
    info!("next");
    assert_eq!(log.messages(), ["a begun <fmt::Error> b <fmt::Error> c", "m k=x<fmt::Error> n=1", "next"]);
}

/// Logs when the thread ends.
struct Farewell(&'static str);

impl Drop for Farewell {
    fn drop(&mut self) {
        info!("farewell {}", self.0);
        info!(ORDERS, "farewell {}", Filler(3), name = self.0);
    }
}

thread_local! {
    static FAREWELL: Cell<Option<Farewell>> = const { Cell::new(None) };
}

#[test]
fn a_thread_local_destructor_logs() {
    let log = support::start();
    for order in ["registered first", "logged first", "never logged"] {
        let ended = thread::Builder::new().name("ending".to_owned()).spawn(move || {
            if order == "logged first" {
                info!("alive");
            }
            FAREWELL.set(Some(Farewell(order)));
            if order == "registered first" {
                info!("alive");
            }
        });
        ended.expect("a thread can be made").join().expect("it ends");
        let lines = log.lines();
        let messages: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
        let last = [format!("farewell {order}"), format!("farewell xxx name={}", support::quoted(order))];
        assert!(messages.ends_with(&[&last[0], &last[1]]), "{messages:?}");
        assert_eq!(messages.len(), if order == "never logged" { 2 } else { 3 });
        assert!(lines.iter().all(|line| line.thread == "ending"));
    }
}

#[test]
fn a_pthread_key_destructor_logs_after_the_lane_was_given_back() {
    unsafe extern "C" fn farewell(_: *mut libc::c_void) {
        info!("last words");
        info!(ORDERS, "last {}", Filler(2000));
    }
    let log = support::start();
    let mut key = 0;
    // SAFETY: the key is written to, and used while `farewell` exists. It is younger than the logger's own, whose
    // destructor therefore runs before.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(farewell)) }, 0);
    thread::spawn(move || {
        info!("alive");
        info!(ORDERS, "alive");
        // SAFETY: the key exists.
        assert_eq!(unsafe { libc::pthread_setspecific(key, std::ptr::dangling()) }, 0);
    })
    .join()
    .expect("it ends");
    let mut messages = log.messages();
    messages.sort();
    assert_eq!(messages, ["alive", "alive", "last words", &format!("last {}", "x".repeat(2000))]);
    // SAFETY: no thread has a value under it.
    unsafe { libc::pthread_key_delete(key) };
}

#[test]
fn a_panic_hook_logs() {
    let log = support::start();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        info!("panicked: {text} {:?}", Filler(2).to_string(), line = panic.location().map(|at| at.line()));
    }));
    let line = line!() + 1;
    let result = catch_unwind(|| panic!("plain"));
    // The hook runs within the call whose value panics.
    let nested = catch_unwind(|| info!("never written {}", Panicking { depth: 0 }));
    std::panic::set_hook(hook);
    assert!(result.is_err() && nested.is_err());
    info!("next");
    let messages = log.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages[0], format!("panicked: plain \"xx\" line={line}"));
    assert!(messages[1].starts_with("panicked: the value's own panic "));
    assert_eq!(messages[2], "next");
}

/// A sink that logs.
struct Chatty {
    sink: MemorySink,
    batches: u64,
}

const CHATTY_BATCHES: u64 = 50;

impl Sink for Chatty {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.batches += 1;
        if self.batches <= CHATTY_BATCHES {
            info!("the sink says {} {:?}", self.batches, Filler(3).to_string());
            assert!(matches!(kakashi::flush(support::WATCHDOG), Err(kakashi::FlushError::WouldDeadlock)));
            // More than the ring has room for, with a policy that would wait for ever.
            for n in 0..100 {
                info!(SMALL, "{}", n);
                info!(OLDEST, "{} {}", n, Filler(n));
            }
        }
        self.sink.write_batch(bytes)
    }
}

#[test]
fn a_sink_that_logs_never_waits() {
    const NAME: &str = "a_sink_that_logs_never_waits";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let sink = MemorySink::new();
    let guard =
        kakashi::builder().sink(Chatty { sink: sink.clone(), batches: 0 }).start().expect("it starts");
    for n in 0..200 {
        info!("{}", n);
        info!(ORDERS, "{:>4}", n);
        kakashi::flush(support::WATCHDOG).expect("all is written");
    }
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls, 400 + CHATTY_BATCHES * 201, "{stats}");
    assert!(stats.dropped.newest >= CHATTY_BATCHES * (100 - 8) && stats.dropped.oldest > 0, "{stats}");
    let lines = support::lines(&sink.text());
    assert_eq!(lines.len() as u64, stats.messages_written);
    let said = |what: &str| lines.iter().filter(|line| line.message.starts_with(what)).count() as u64;
    assert_eq!(said("the sink says"), CHATTY_BATCHES);
    assert!(lines.iter().filter(|line| line.target == "SMALL").all(|line| line.thread == "kakashi-writer"));
    guard.shutdown(support::WATCHDOG).expect("it stops");
    support::assert_conserved();
}

// ---- signals ----

/// How often a handler ran, and how many calls the handlers have made.
static HANDLED: AtomicU64 = AtomicU64::new(0);
static HANDLER_CALLS: AtomicU64 = AtomicU64::new(0);

/// Installs a handler for SIGUSR1.
fn on_signal(handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handler lives as long as the program, and calls nothing but the logger and atomics.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

/// The check that a message carries of its number, so that a torn one is seen.
fn check(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}

/// Asserts that every message is whole, that each source's numbers come once, and those of calls that no signal
/// made in order; gives how many there are of handlers.
fn assert_whole(lines: &[support::Line]) -> u64 {
    let mut last: std::collections::HashMap<(String, String), u64> = std::collections::HashMap::new();
    let mut signals = std::collections::HashSet::new();
    for line in lines {
        let words: Vec<&str> = line.message.split(' ').collect();
        let [who, n, sum, tail @ ..] = &words[..] else { panic!("torn: {line:?}") };
        let n: u64 = n.parse().unwrap_or_else(|_| panic!("torn: {line:?}"));
        assert_eq!(*sum, check(n).to_string(), "torn: {line:?}");
        assert!(tail.iter().all(|word| word.bytes().all(|byte| byte == b'x')), "torn: {line:?}");
        match *who {
            "signal" => assert!(signals.insert((line.target.clone(), n)), "twice: {line:?}"),
            "call" => {
                let before = last.insert((line.target.clone(), line.thread.clone()), n);
                assert!(before.is_none_or(|before| before < n), "order: {line:?} after {before:?}");
            }
            _ => panic!("torn: {line:?}"),
        }
    }
    signals.len() as u64
}

/// Signals `thread` until its handler has run so often.
fn storm(thread: libc::pthread_t, runs: u64) {
    support::wait_until("the handler has run often enough", || {
        // SAFETY: the thread lives until the storm is over: it waits for it.
        unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        HANDLED.load(Ordering::Relaxed) >= runs
    });
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: has no preconditions.
    unsafe { libc::pthread_self() }
}

/// In debug builds fewer, since each is slow.
const SIGNALS: u64 = if cfg!(debug_assertions) { 30_000 } else { 100_000 };

/// One call of the logging thread and one of its handler, to each of the channels.
macro_rules! log_to {
    ($who:literal, $n:expr, $($channel:expr),*) => {{
        let n: u64 = $n;
        $(match n % 4 {
            0 => info!($channel, "{} {} {}", $who, n, check(n)),
            1 => info!($channel, "{}", format_args!("{} {n} {}", $who, check(n))),
            2 => info!($channel, "{} {} {} {}", $who, n, check(n), Filler(n as usize % 100)),
            _ => info!($channel, "{} {} {} {}", $who, n, check(n), &X[..n as usize % 100]),
        };)*
    }};
}

const X: &str =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Runs a storm over a thread that logs without pause, in a process of its own; `log` makes `calls` calls.
fn storm_over(
    name: &str,
    signals: u64,
    handler: extern "C" fn(libc::c_int),
    calls: u64,
    log: impl Fn(u64) + Send + Sync,
) {
    if !support::is_child(name) {
        support::run_child(name);
        return;
    }
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start().expect("it starts");
    // This thread has the only lane of these.
    SHARED.prepare_thread().expect("there is a lane");
    SHARED_OLDEST.prepare_thread().expect("there is a lane");
    on_signal(handler);
    let over = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (over, rounds, log) = (&over, &rounds, &log);
        let logging = thread::Builder::new().name("stormed".to_owned()).spawn_scoped(scope, move || {
            sender.send(this_thread()).expect("the other side waits");
            while !over.load(Ordering::Acquire) {
                // Not far ahead of the signals, so that the log has a bounded size.
                if rounds.load(Ordering::Relaxed) <= 8 * HANDLED.load(Ordering::Relaxed) {
                    log(rounds.fetch_add(1, Ordering::Relaxed));
                }
            }
        });
        logging.expect("a thread can be made");
        let _end = OnDrop(|| over.store(true, Ordering::Release));
        storm(receiver.recv().expect("it says who it is"), signals);
    });
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    let stats = kakashi::get_async_stats();
    let made = rounds.load(Ordering::Relaxed) * calls + HANDLER_CALLS.load(Ordering::Relaxed);
    assert_eq!(stats.calls, made, "{stats}");
    let lines = support::lines(&sink.text());
    assert_eq!(lines.len() as u64, stats.messages_written, "{stats}");
    let signals = assert_whole(&lines);
    assert!(signals > 0, "{stats}");
    eprintln!(
        "{name}: {signals} records of {} handlers' calls: {stats}",
        HANDLER_CALLS.load(Ordering::Relaxed)
    );
    guard.shutdown(support::WATCHDOG).expect("it stops");
    support::assert_conserved();
}

#[test]
fn a_signal_handler_logs_amid_calls() {
    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, kakashi::get_async_logger("default"), ORDERS);
        HANDLER_CALLS.fetch_add(2, Ordering::Relaxed);
    }
    storm_over("a_signal_handler_logs_amid_calls", SIGNALS, handler, 3, |n| {
        log_to!("call", n, kakashi::get_async_logger("default"), ORDERS, FILLS);
    });
}

#[test]
fn a_signal_handler_logs_amid_full_rings() {
    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, SMALL, NEWEST, OLDEST, SHORT_WAIT);
        HANDLER_CALLS.fetch_add(4, Ordering::Relaxed);
    }
    storm_over("a_signal_handler_logs_amid_full_rings", SIGNALS, handler, 4, |n| {
        log_to!("call", n, SMALL, NEWEST, OLDEST, SHORT_WAIT);
    });
}

#[test]
fn a_signal_handler_logs_on_a_thread_without_a_lane() {
    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, SHARED, SHARED_OLDEST);
        HANDLER_CALLS.fetch_add(2, Ordering::Relaxed);
    }
    // Fewer: the handler's calls wait for room, too, where they interrupt no call.
    storm_over("a_signal_handler_logs_on_a_thread_without_a_lane", SIGNALS / 10, handler, 2, |n| {
        log_to!("call", n, SHARED, SHARED_OLDEST);
    });
}

/// A handler may be what starts a thread's logging, and what ends it.
#[test]
fn a_signal_handler_logs_on_threads_that_begin_and_end() {
    const NAME: &str = "a_signal_handler_logs_on_threads_that_begin_and_end";
    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, ORDERS, OLDEST);
        HANDLER_CALLS.fetch_add(2, Ordering::Relaxed);
    }
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start().expect("it starts");
    on_signal(handler);
    let pid = std::process::id() as libc::pid_t;
    let threads = if cfg!(debug_assertions) { 1_000 } else { 4_000 };
    for n in 0..threads {
        let tid = AtomicU64::new(0);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: asks for the thread's id.
                tid.store(unsafe { libc::gettid() } as u64, Ordering::Release);
                log_to!("call", n, ORDERS, OLDEST);
            });
            scope.spawn(|| {
                support::wait_until("the thread has begun", || tid.load(Ordering::Acquire) != 0);
                // Until the kernel knows the thread no more: also while it gives its lanes back.
                support::wait_until("the thread has ended", || {
                    let tid = tid.load(Ordering::Acquire) as libc::pid_t;
                    // SAFETY: a thread id of this process, or of none.
                    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR1) != 0 }
                });
                ended.store(true, Ordering::Release);
            });
        });
        assert!(ended.load(Ordering::Acquire));
    }
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls, threads * 2 + HANDLER_CALLS.load(Ordering::Relaxed), "{stats}");
    let lines = support::lines(&sink.text());
    assert_eq!(lines.len() as u64, stats.messages_written, "{stats}");
    assert_whole(&lines);
    guard.shutdown(support::WATCHDOG).expect("it stops");
    support::assert_conserved();
}

/// A signal after each instruction: the processor's trap flag, with a handler that logs.
#[cfg(target_arch = "x86_64")]
mod stepping {
    use super::*;
    use std::arch::asm;

    kakashi::channel!(static STEPPED: Channel<128, 256, 2, Block, Preformatted>);
    kakashi::channel!(static STEPPED_NEWEST: Channel<64, 8, 2, DropNewest, Deferred>);
    kakashi::channel!(static STEPPED_OLDEST: Channel<64, 8, 2, DropOldest, Preformatted>);
    kakashi::channel!(static STEPPED_SHARED: Channel<64, 4096, 1, BlockFor<1000>, Deferred>);

    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, STEPPED, STEPPED_NEWEST, STEPPED_OLDEST, STEPPED_SHARED);
        HANDLER_CALLS.fetch_add(4, Ordering::Relaxed);
    }

    fn trap_each_step() {
        // SAFETY: sets the trap flag; the handler is installed.
        unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    }

    fn trap_no_more() {
        // SAFETY: clears the trap flag.
        unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") };
    }

    fn handle_traps(handler: extern "C" fn(libc::c_int)) {
        // SAFETY: the handler lives as long as the program, and calls nothing but the logger and atomics.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            libc::sigemptyset(&mut action.sa_mask);
            assert_eq!(libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()), 0);
        }
    }

    /// Calls of each form to each kind of channel.
    fn calls(from: u64) {
        for n in from..from + 4 {
            log_to!("call", n, STEPPED, STEPPED_NEWEST, STEPPED_OLDEST, STEPPED_SHARED);
        }
    }

    const CALLS: u64 = 16;

    /// Starts a log in the child process, gives it to `body`, and accounts for all; `made` are the calls that no
    /// handler makes.
    fn in_child(name: &str, handler: extern "C" fn(libc::c_int), made: u64, body: impl FnOnce()) {
        if !support::is_child(name) {
            support::run_child(name);
            return;
        }
        let sink = MemorySink::new();
        let guard = kakashi::builder().sink(sink.clone()).start().expect("it starts");
        STEPPED_SHARED.prepare_thread().expect("this thread has the only lane");
        handle_traps(handler);
        body();
        kakashi::flush(support::WATCHDOG).expect("all is written");
        support::assert_conserved();
        let stats = kakashi::get_async_stats();
        assert_eq!(stats.calls, made + HANDLER_CALLS.load(Ordering::Relaxed), "{stats}");
        let lines = support::lines(&sink.text());
        assert_eq!(lines.len() as u64, stats.messages_written, "{stats}");
        assert!(assert_whole(&lines) > 1000, "{stats}");
        eprintln!("{name}: {} traps: {stats}", HANDLED.load(Ordering::Relaxed));
        guard.shutdown(support::WATCHDOG).expect("it stops");
    }

    #[test]
    fn a_signal_after_each_instruction_of_calls() {
        in_child("stepping::a_signal_after_each_instruction_of_calls", handler, 2 * CALLS, || {
            let stepped = thread::spawn(|| {
                // The first calls, which claim the lanes, and further ones.
                trap_each_step();
                calls(0);
                trap_no_more();
                kakashi::flush(support::WATCHDOG).expect("all is written");
                trap_each_step();
                calls(4);
                trap_no_more();
            });
            stepped.join().expect("it logs");
        });
    }

    /// An error of a handler's, which lets the thread write what it holds back.
    extern "C" fn amid_held_ones(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", 2 * n, STEPPED, STEPPED_OLDEST);
        error!(STEPPED, "signal {} {}", 2 * n + 1, check(2 * n + 1));
    }

    #[test]
    fn a_signal_after_each_instruction_of_calls_held_back() {
        const NAME: &str = "stepping::a_signal_after_each_instruction_of_calls_held_back";
        if !support::is_child(NAME) {
            support::run_child(NAME);
            return;
        }
        let sink = MemorySink::new();
        let builder = kakashi::builder().level(LevelFilter::Error).backtrace(LevelFilter::Info, 1000);
        let guard = builder.sink(sink.clone()).start().expect("it starts");
        handle_traps(amid_held_ones);
        let stepped = thread::spawn(|| {
            trap_each_step();
            for n in 0..8 {
                log_to!("call", n, STEPPED, STEPPED_OLDEST);
            }
            error!(STEPPED, "call {} {}", 8, check(8));
            trap_no_more();
        });
        stepped.join().expect("it logs");
        kakashi::flush(support::WATCHDOG).expect("all is written");
        support::assert_conserved();
        let stats = kakashi::get_async_stats();
        let lines = support::lines(&sink.text());
        assert_eq!(lines.len() as u64, stats.messages_written, "{stats}");
        assert!(assert_whole(&lines) > 1000, "{stats}");
        let calls = lines.iter().filter(|line| line.target == "STEPPED" && line.message.starts_with("call"));
        assert_eq!(calls.count(), 9, "{stats}");
        let errors = lines.iter().filter(|line| line.level == "ERROR").count() as u64;
        // A handler's error amid a call goes to the shared lane, and is dropped where somebody has its lock.
        assert_eq!(errors + stats.dropped.reentrant, HANDLED.load(Ordering::Relaxed) + 1, "{stats}");
        guard.shutdown(support::WATCHDOG).expect("it stops");
    }

    kakashi::channel!(static FIRST_PLAIN: Channel<128, 1024, 2, Block, Preformatted>);
    kakashi::channel!(static FIRST_FORMATTED: Channel<128, 1024, 2, DropNewest, Deferred>);
    kakashi::channel!(static PREPARED: Channel<128, 1024, 2, DropOldest, Deferred>);

    /// Logs to a channel once the lane that is being claimed is taken: an earlier call would claim it itself.
    extern "C" fn amid_claims(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        macro_rules! log_if_claimed {
            ($($channel:ident)*) => {$(
                if $channel.lanes().any(|lane| lane.in_use) {
                    log_to!("signal", n, $channel);
                    HANDLER_CALLS.fetch_add(1, Ordering::Relaxed);
                }
            )*};
        }
        log_if_claimed!(FIRST_PLAIN FIRST_FORMATTED PREPARED);
    }

    #[test]
    fn a_signal_after_each_instruction_of_first_calls() {
        const NAME: &str = "stepping::a_signal_after_each_instruction_of_first_calls";
        in_child(NAME, amid_claims, 3, || {
            let stepped = thread::spawn(|| {
                trap_each_step();
                info!(FIRST_PLAIN, "call {} {}", 1, check(1));
                info!(FIRST_FORMATTED, "call {:>1} {}", 1, check(1));
                let prepared = PREPARED.prepare_thread();
                info!(PREPARED, "call {} {}", 1, check(1));
                trap_no_more();
                prepared.expect("a lane is free");
            });
            stepped.join().expect("it logs");
        });
    }

    // Never full: a call that waits for room would repair what an earlier one has left in disorder.
    kakashi::channel!(static ENDING: Channel<64, 65536, 2, Block, Deferred>);

    /// Records that a handler has put into a lane which was given back.
    static STRAYS: AtomicU64 = AtomicU64::new(0);

    extern "C" fn amid_the_end(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        // The first lane is the ending thread's. Once that is released and drained, it is any other thread's.
        let own = || ENDING.lanes().next().expect("the channel has lanes");
        let before = own();
        info!(ENDING, "signal {} {}", n, check(n));
        HANDLER_CALLS.fetch_add(1, Ordering::Relaxed);
        if !before.in_use {
            STRAYS.fetch_add(own().messages_enqueued - before.messages_enqueued, Ordering::Relaxed);
        }
        // So that it is drained by the next instruction, if it is released.
        while own().queue_size != 0 {
            thread::yield_now();
        }
    }

    static LAST_WORDS: AtomicU64 = AtomicU64::new(0);

    /// Runs after the logger's own, which is older.
    unsafe extern "C" fn younger_destructor(_: *mut libc::c_void) {
        trap_no_more();
        let shared = || ENDING.lanes().last().map_or(0, |lane| lane.messages_enqueued);
        let before = shared();
        for n in 0..10 {
            info!(ENDING, "call {} {}", 1 + n, check(1 + n));
        }
        LAST_WORDS.store(shared() - before, Ordering::Release);
    }

    #[test]
    fn a_signal_after_each_instruction_of_a_threads_end() {
        const NAME: &str = "stepping::a_signal_after_each_instruction_of_a_threads_end";
        in_child(NAME, amid_the_end, 11, || {
            let mut key = 0;
            // SAFETY: the key is written to, and its destructor lives as long as the program.
            assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(younger_destructor)) }, 0);
            let stepped = thread::spawn(move || {
                info!(ENDING, "call {} {}", 0, check(0));
                // SAFETY: the key exists.
                assert_eq!(unsafe { libc::pthread_setspecific(key, std::ptr::dangling()) }, 0);
                trap_each_step();
            });
            stepped.join().expect("it ends");
            // The thread's lane is another's now, or nobody's.
            assert_eq!(LAST_WORDS.load(Ordering::Acquire), 10, "records in a lane that was given back");
            assert_eq!(
                STRAYS.load(Ordering::Relaxed),
                0,
                "a handler's records in a lane that was given back"
            );
        });
    }
}

/// Takes nothing while it is stalled, and counts what it refuses.
struct Stalling(MemorySink);

static STALLED: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicU64 = AtomicU64::new(0);

impl Sink for Stalling {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if STALLED.load(Ordering::Acquire) {
            REFUSED.fetch_add(1, Ordering::Release);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.write_batch(bytes)
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_signal_handler_interrupts_a_wait() {
    const NAME: &str = "a_signal_handler_interrupts_a_wait";
    extern "C" fn handler(_: libc::c_int) {
        let n = HANDLED.fetch_add(1, Ordering::Relaxed);
        log_to!("signal", n, FOUR, ORDERS);
        HANDLER_CALLS.fetch_add(2, Ordering::Relaxed);
    }
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(Stalling(sink.clone())).start().expect("it starts");
    on_signal(handler);
    STALLED.store(true, Ordering::Release);
    let (began, returned) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (began, returned, over) = (&began, &returned, &over);
        scope.spawn(move || {
            sender.send(this_thread()).expect("the other side waits");
            while !over.load(Ordering::Acquire) {
                let n = began.fetch_add(1, Ordering::SeqCst);
                info!(FOUR, "call {} {}", n, check(n));
                returned.store(n + 1, Ordering::SeqCst);
            }
        });
        let thread = receiver.recv().expect("it says who it is");
        // A failure ends the wait and the thread, too.
        let end = OnDrop(|| {
            STALLED.store(false, Ordering::Release);
            over.store(true, Ordering::Release);
        });
        // Once the sink has refused a batch, the writer takes no other: then the ring stays full.
        support::wait_until("a call waits", || {
            let refused = REFUSED.load(Ordering::Acquire) > 0;
            let full = refused && FOUR.lanes().any(|lane| !lane.shared && lane.occupied == lane.slots);
            full && began.load(Ordering::SeqCst) == returned.load(Ordering::SeqCst) + 1
        });
        let waiting_for = began.load(Ordering::SeqCst);
        storm(thread, 1000);
        assert_eq!(returned.load(Ordering::SeqCst) + 1, waiting_for, "the wait went on");
        STALLED.store(false, Ordering::Release);
        support::wait_until("the call returns", || returned.load(Ordering::SeqCst) > waiting_for);
        drop(end);
    });
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls, began.load(Ordering::SeqCst) + HANDLER_CALLS.load(Ordering::Relaxed), "{stats}");
    // The first handlers' calls found room in the shared lane, and did not wait when there was none.
    assert!(stats.dropped.reentrant > 0, "{stats}");
    let lines = support::lines(&sink.text());
    assert_eq!(lines.len() as u64, stats.messages_written, "{stats}");
    assert!(assert_whole(&lines) > 0);
    guard.shutdown(support::WATCHDOG).expect("it stops");
}
