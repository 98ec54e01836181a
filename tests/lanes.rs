//! Threads and lanes: more threads than lanes, threads that come and go, their names, and what is counted of them.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

mod support;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, MemorySink, PrepareError, Sink, info,
};

kakashi::channel!(static EIGHT: Channel<128, 1024, 8, Block>);
kakashi::channel!(static EIGHT_FOR: Channel<64, 256, 8, BlockFor<60_000_000>, Deferred>);
kakashi::channel!(static EIGHT_OLDEST: Channel<64, 64, 8, DropOldest, Deferred>);
kakashi::channel!(static EIGHT_NEWEST: Channel<64, 64, 8, DropNewest>);
kakashi::channel!(static CHURN: Channel<64, 256, 8, Block, Deferred>);
kakashi::channel!(static CHURN_OLDEST: Channel<64, 1024, 4, DropOldest>);
kakashi::channel!(static NAMES: Channel<128, 64, 4, Block>);
kakashi::channel!(static TWO: Channel<128, 64, 2, Block>);
kakashi::channel!(static FILLED: Channel<64, 64, 4, DropNewest, Deferred>);
kakashi::channel!(static EVICTED: Channel<64, 64, 4, DropOldest, Deferred>);

/// Gives the writer what it needs to free the lanes of threads that have ended.
#[track_caller]
fn until_in_use(stats: kakashi::Stats, lanes: u64) {
    support::wait_until("the lanes are free", || {
        kakashi::flush(support::WATCHDOG).expect("all is written");
        stats.snapshot().lanes_in_use == lanes
    });
}

/// Threads that are all alive at once, each with `records` records; what they wrote, by thread.
fn many_threads(
    log: &support::Log,
    threads: u64,
    records: u64,
    call: impl Fn(u64, u64) + Sync,
    stats: kakashi::Stats,
) -> HashMap<String, Vec<u64>> {
    let barrier = Barrier::new(threads as usize);
    thread::scope(|scope| {
        for id in 0..threads {
            let (barrier, call) = (&barrier, &call);
            let worker = thread::Builder::new().name(format!("worker-{id}")).stack_size(256 << 10);
            let worker = worker.spawn_scoped(scope, move || {
                barrier.wait();
                for n in 0..records {
                    call(id, n);
                    if n == records / 2 {
                        // All have logged, and none has ended.
                        barrier.wait();
                        assert!(stats.snapshot().lanes_in_use <= 8);
                    }
                }
            });
            worker.expect("a thread can be made");
        }
    });
    let mut by_thread: HashMap<String, Vec<u64>> = HashMap::new();
    for line in log.lines() {
        let (id, n) = line.message.split_once(' ').expect("two numbers");
        assert_eq!(line.thread, format!("worker-{id}"), "the thread's name is right");
        by_thread.entry(line.thread).or_default().push(n.parse().expect("a number"));
    }
    by_thread
}

#[test]
fn two_hundred_threads_on_eight_lanes_lose_nothing() {
    let log = support::start();
    for (call, stats) in [
        ((|id, n| info!(EIGHT, "{} {}", id, n)) as fn(u64, u64), EIGHT.stats()),
        (|id, n| info!(EIGHT_FOR, "{} {}", id, format_args!("{n}")), EIGHT_FOR.stats()),
    ] {
        let by_thread = many_threads(&log, 200, 100, call, stats);
        assert_eq!(by_thread.len(), 200);
        for (name, numbers) in by_thread {
            assert!(numbers.iter().copied().eq(0..100), "{name}: {numbers:?}");
        }
        assert_eq!(stats.snapshot().messages_dropped, 0);
        assert_eq!(stats.snapshot().calls, 200 * 100);
        until_in_use(stats, 0);
    }
    // Eight threads had a lane at most, and the others' records are in the shared one.
    let lanes: Vec<_> = EIGHT.lanes().collect();
    assert!(lanes.len() <= 9 && lanes.iter().filter(|lane| lane.shared).count() == 1);
    let shared = lanes.last().expect("the shared lane is last");
    assert!(shared.shared && shared.messages_enqueued > 0);
}

#[test]
fn two_hundred_threads_with_policies_that_drop_account_for_all() {
    let log = support::start();
    for (call, stats) in [
        ((|id, n| info!(EIGHT_OLDEST, "{} {}", id, n)) as fn(u64, u64), EIGHT_OLDEST.stats()),
        (|id, n| info!(EIGHT_NEWEST, "{} {}", id, n), EIGHT_NEWEST.stats()),
    ] {
        let by_thread = many_threads(&log, 200, 100, call, stats);
        let written: usize = by_thread.values().map(Vec::len).sum();
        for (name, numbers) in by_thread {
            assert!(numbers.is_sorted_by(|a, b| a < b), "{name}: {numbers:?}");
        }
        let stats = stats.snapshot();
        assert_eq!(stats.calls, 200 * 100, "{stats}");
        assert_eq!(stats.messages_dropped + written as u64, stats.calls, "{stats}");
    }
}

/// In debug builds fewer, since each is slow.
const THREADS: u64 = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// The process's address space, in KiB.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it tells the size");
    size.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn short_lived_threads_neither_leak_nor_lose() {
    const NAME: &str = "short_lived_threads_neither_leak_nor_lose";
    // Alone, so that the address space is this test's.
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let log = support::start();
    let batch = |batch: u64| {
        let workers: Vec<_> = (0..16)
            .map(|at| {
                let id = batch * 16 + at;
                let worker = thread::Builder::new().name(format!("brief-{id}")).stack_size(64 << 10);
                let worker = worker.spawn(move || {
                    info!(CHURN, "{}", id);
                    info!(CHURN_OLDEST, "{} {:>9}", id, id);
                    // The last words, just before the thread's end.
                    info!(CHURN, "{} last", id);
                });
                worker.expect("a thread can be made")
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("it logs"));
    };
    let mut seen = HashSet::new();
    let mut look = |from: u64, to: u64| {
        let mut ids = vec![[false; 3]; ((to - from) * 16) as usize];
        for line in log.lines() {
            let mut words = line.message.split_whitespace();
            let id: u64 = words.next().and_then(|id| id.parse().ok()).expect("a number");
            let which = match words.next() {
                None => 0,
                Some("last") => 2,
                Some(again) => {
                    assert_eq!(again, id.to_string());
                    1
                }
            };
            assert_eq!(line.thread, format!("brief-{id}"));
            let seen = &mut ids[(id - from * 16) as usize][which];
            assert!(!*seen, "twice: {line:?}");
            *seen = true;
        }
        assert!(ids.iter().all(|seen| seen[0] && seen[2]), "lost between {from} and {to}");
        seen.extend(CHURN.lanes().map(|lane| lane.thread_id));
    };
    let rounds = THREADS / 16;
    let warm = 64;
    (0..warm).for_each(batch);
    look(0, warm);
    let before = address_space();
    for from in (warm..rounds).step_by(250) {
        let to = (from + 250).min(rounds);
        (from..to).for_each(batch);
        look(from, to);
    }
    // The allocator's own pools come and go with the threads; a leak of a lane each would be 100 times that.
    let grown = address_space().saturating_sub(before);
    assert!(grown < 300 << 10, "the address space has grown by {grown} KiB");
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.calls, rounds * 16 * 3, "{stats}");
    assert_eq!(stats.dropped.oldest, stats.messages_dropped, "{stats}");
    until_in_use(CHURN.stats(), 0);
    until_in_use(CHURN_OLDEST.stats(), 0);
    // Lanes were handed from thread to thread.
    assert!(seen.len() > 8, "{seen:?}");
    assert!(CHURN.lanes().count() <= 9);
}

#[test]
fn lanes_are_given_back_and_reused() {
    let log = support::start();
    TWO.prepare_thread().expect("a lane is free");
    assert_eq!(TWO.stats().snapshot().lanes_in_use, 1);
    assert_eq!(TWO.stats().snapshot().lanes, 2);
    for n in 0..20 {
        until_in_use(TWO.stats(), 1);
        thread::spawn(move || {
            TWO.prepare_thread().expect("the second lane is free");
            assert_eq!(TWO.stats().snapshot().lanes_in_use, 2);
            // A third thread finds none, and logs all the same.
            let third = thread::spawn(move || {
                assert_eq!(TWO.prepare_thread(), Err(PrepareError::AllLanesTaken));
                info!(TWO, "third {}", n);
                assert_eq!(TWO.prepare_thread(), Err(PrepareError::AllLanesTaken));
            });
            third.join().expect("it logs");
            info!(TWO, "second {}", n);
        })
        .join()
        .expect("it logs");
        info!(TWO, "first {}", n);
    }
    until_in_use(TWO.stats(), 1);
    let messages = log.messages();
    for n in 0..20 {
        let expected = [format!("third {n}"), format!("second {n}"), format!("first {n}")];
        assert_eq!(messages[n * 3..][..3], expected);
    }
    let lanes: Vec<_> = TWO.lanes().collect();
    assert_eq!(lanes.len(), 3);
    assert_eq!(lanes.iter().map(|lane| lane.messages_enqueued).sum::<u64>(), 60);
    let shared = &lanes[2];
    assert!(shared.shared && !shared.in_use && shared.messages_enqueued == 20);
    // A thread that had none gets one when one is free.
    let (go, wait) = mpsc::channel::<()>();
    let (holds, held) = mpsc::channel();
    let holder = thread::spawn(move || {
        TWO.prepare_thread().expect("the second lane is free");
        holds.send(()).expect("the other side waits");
        let _ = wait.recv();
    });
    held.recv().expect("the lane is held");
    thread::spawn(move || {
        info!(TWO, "shared");
        go.send(()).expect("the holder waits");
        holder.join().expect("it ends");
        until_in_use(TWO.stats(), 1);
        info!(TWO, "own");
        assert_eq!(TWO.prepare_thread(), Ok(()));
        assert_eq!(TWO.stats().snapshot().lanes_in_use, 2);
    })
    .join()
    .expect("it logs");
    assert_eq!(log.messages(), ["shared", "own"]);
    assert_eq!(TWO.lanes().last().map(|lane| lane.messages_enqueued), Some(21));
}

/// Gives the calling thread a name, as programs do that do not make their threads by Rust.
fn rename(name: &std::ffi::CStr) {
    // SAFETY: PR_SET_NAME reads a string that ends in a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

#[test]
fn threads_are_called_by_their_names() {
    let log = support::start();
    // The kernel keeps 15 bytes, and Rust cuts there.
    for (name, shown) in [
        (Some("matcher-1"), "matcher-1"),
        (Some("a name with spaces"), "a name with spa"),
        (Some("fünfzehn-bytes-und-mehr"), "fünfzehn-bytes"),
        (Some("é"), "é"),
        (None, ""),
    ] {
        let builder =
            name.map_or(thread::Builder::new(), |name| thread::Builder::new().name(name.to_owned()));
        let worker = builder.spawn(|| {
            info!(NAMES, "own lane");
            info!("default");
            let mut inherited = [0_u8; 16];
            // SAFETY: PR_GET_NAME writes 16 bytes.
            unsafe { libc::prctl(libc::PR_GET_NAME, inherited.as_mut_ptr()) };
            let end = inherited.iter().position(|&byte| byte == 0).unwrap_or(16);
            String::from_utf8_lossy(&inherited[..end]).into_owned()
        });
        let inherited = worker.expect("a thread can be made").join().expect("it logs");
        // A thread without a name has that of the one that made it.
        let shown = if name.is_none() { inherited.as_str() } else { shown };
        let lines = log.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.thread == shown), "{name:?}: {lines:?}");
    }
    // A name that comes later: asked for by `prepare_thread`.
    thread::spawn(|| {
        rename(c"before");
        NAMES.prepare_thread().expect("a lane is free");
        info!(NAMES, "1");
        rename(c"after");
        info!(NAMES, "2");
        // What is in the ring is written under the name that it was logged under.
        kakashi::flush(support::WATCHDOG).expect("all is written");
        NAMES.prepare_thread().expect("it has a lane");
        info!(NAMES, "3");
    })
    .join()
    .expect("it logs");
    let named: Vec<_> = log.lines().into_iter().map(|line| (line.message, line.thread)).collect();
    let expected = [("1", "before"), ("2", "before"), ("3", "after")];
    assert_eq!(named, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn a_processs_first_thread_is_called_main() {
    let log = support::start();
    // Tests run on other threads; but a forked child has one thread only, which is its first.
    // SAFETY: the child logs, looks, and leaves without touching what other threads had.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let looked = std::panic::catch_unwind(|| {
            info!("in the child");
            log.lines().iter().any(|line| line.thread == "main" && line.message == "in the child")
        });
        // SAFETY: leaves at once.
        unsafe { libc::_exit(if looked.unwrap_or(false) { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the status is written to.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
    assert!(log.lines().is_empty());
}

/// Keeps what it is given, but nothing while it is stalled.
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

#[test]
fn statistics_of_a_stalled_sink() {
    const NAME: &str = "statistics_of_a_stalled_sink";
    if !support::is_child(NAME) {
        support::run_child(NAME);
        return;
    }
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(Stalling(sink.clone())).start().expect("it starts");
    assert_eq!(kakashi::get_async_stats().calls, 0);
    STALLED.store(true, Ordering::Release);
    // One record keeps the writer at its staging; from now on it takes nothing from the rings.
    info!("first");
    support::wait_until("the sink refuses", || REFUSED.load(Ordering::Acquire) > 0);
    let stats = kakashi::get_async_stats();
    assert_eq!((stats.calls, stats.queue_size, stats.messages_written), (1, 1, 0), "{stats}");
    assert_eq!((stats.lanes_in_use, stats.max_queue_size), (1, 8192), "{stats}");

    for n in 0..32 {
        info!(FILLED, "{}", n);
    }
    let stats = FILLED.stats().snapshot();
    assert_eq!((stats.calls, stats.queue_size, stats.max_queue_size), (32, 32, 64), "{stats}");
    assert_eq!((stats.fullest, stats.lanes, stats.lanes_in_use), (0.5, 4, 1), "{stats}");
    assert_eq!(kakashi::stats().fullest(), 0.5);
    for n in 32..100 {
        info!(FILLED, "{}", n);
    }
    let stats = FILLED.stats().snapshot();
    assert_eq!((stats.calls, stats.queue_size, stats.dropped.newest), (100, 64, 36), "{stats}");
    assert_eq!((stats.fullest, stats.high_water), (1.0, 1.0), "{stats}");
    for n in 0..100 {
        info!(EVICTED, "{}", n);
    }
    let stats = EVICTED.stats().snapshot();
    assert_eq!((stats.calls, stats.queue_size, stats.dropped.oldest), (100, 64, 36), "{stats}");
    // A second thread has a lane of its own, and a third of its own.
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..10).for_each(|n| info!(FILLED, "{}", n)));
        }
    });
    let lanes: Vec<_> = FILLED.lanes().collect();
    let of_lane =
        |lane: &kakashi::LaneStats| (lane.messages_enqueued, lane.queue_size, lane.occupied, lane.slots);
    assert_eq!(of_lane(&lanes[0]), (64, 64, 64, 64));
    assert_eq!(lanes[0].dropped.newest, 36);
    assert_eq!(lanes[0].high_water, 64);
    // SAFETY: asks for the thread's id.
    assert_eq!(lanes[0].thread_id, unsafe { libc::gettid() } as u32);
    assert_eq!(lanes[1..].iter().map(|lane| lane.messages_enqueued).sum::<u64>(), 20);
    assert!(lanes.last().is_some_and(|lane| lane.shared && lane.messages_enqueued == 0));
    // Lanes of threads that have ended are in use until they are drained.
    let stats = kakashi::get_async_stats();
    assert_eq!(stats.lanes_in_use, 1 + 3 + 1, "{stats}");
    assert_eq!(stats.max_queue_size, 8192 + 3 * 64 + 64, "{stats}");
    assert_eq!(stats.calls, 1 + 100 + 100 + 20, "{stats}");
    assert_eq!(stats.queue_size, 1 + 64 + 64 + 20, "{stats}");
    assert_eq!(stats.messages_dropped, 36 + 36, "{stats}");
    support::assert_conserved();
    assert!(kakashi::flush(std::time::Duration::from_millis(1)).is_err());

    STALLED.store(false, Ordering::Release);
    kakashi::flush(support::WATCHDOG).expect("all is written");
    support::assert_conserved();
    until_in_use(kakashi::stats(), 3);
    let stats = kakashi::get_async_stats();
    assert_eq!((stats.queue_size, stats.fullest, stats.high_water), (0, 0.0, 1.0), "{stats}");
    assert_eq!(stats.messages_written, 1 + 64 + 64 + 20, "{stats}");
    let lines = support::lines(&sink.text());
    assert_eq!(lines.len() as u64, stats.messages_written);
    let numbers = |target: &str, thread: &str| -> Vec<u64> {
        let mine = lines.iter().filter(|line| line.target == target && line.thread == thread);
        mine.map(|line| line.message.parse().expect("a number")).collect()
    };
    // The first are there where the newest are dropped, and the last where the oldest are.
    let me = &NAME[..15];
    let filled: Vec<u64> = numbers("FILLED", me);
    assert!(filled.starts_with(&(0..64).collect::<Vec<_>>()), "{filled:?}");
    assert_eq!(numbers("EVICTED", me), (36..100).collect::<Vec<_>>());
    // The log itself says what is missing.
    let text = sink.text();
    assert!(text.contains("in channel FILLED: newest=36 "), "{text}");
    assert!(text.contains("in channel EVICTED: oldest=36 "), "{text}");
    guard.shutdown(support::WATCHDOG).expect("it stops");
    support::assert_conserved();
}
