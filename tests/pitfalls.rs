//! The six pitfalls that the log users know, one test each, met as a user would meet them.
//!
//! Each test says which mechanism it pins, and how it failed when that was switched off by hand.

mod common;

#[path = "../examples/quickstart.rs"]
mod quickstart;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{
    Directory, Gate, HANG, Held, SURE, alone, conserved, dispatch, is_notice, lines_of, message, messages,
    notices, number, scenario, thread_of, until,
};
use kakashi::{
    Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, FileSink, FlushError, LevelFilter,
    MemorySink, ShutdownError, Sink, SinkOptions, StartError, State, info, warn,
};

/// What the scenarios of `exit_writes_what_is_queued` log at full speed before they end: the first one this...
const MOST: u64 = 1_000_000;
/// ... and the others this.
const MANY: u64 = 100_000;

#[test]
fn child() {
    dispatch(&[
        ("exit", |path| {
            let _guard = log_many(path, MOST);
            std::process::exit(3);
        }),
        ("exit, guard forgotten", |path| {
            std::mem::forget(log_many(path, MANY));
            std::process::exit(3);
        }),
        ("return", |path| {
            let _guard = log_many(path, MANY);
        }),
        ("return, guard forgotten", |path| std::mem::forget(log_many(path, MANY))),
        ("panic", |path| {
            let _guard = log_many(path, MANY);
            panic!("main has no luck");
        }),
        ("panic, guard forgotten", |path| {
            std::mem::forget(log_many(path, MANY));
            panic!("main has no luck");
        }),
        ("exit, nothing started", |_| {
            (0..MANY).for_each(|n| info!(SURE, "{n}"));
            std::process::exit(3);
        }),
        ("example", |path| {
            // SAFETY: no other thread of this process runs Rust code.
            unsafe { std::env::set_var("QUICKSTART_LOG", path) };
            quickstart::main().expect("the example starts");
        }),
    ]);
}

fn log_many(path: &str, count: u64) -> kakashi::Guard {
    let guard = kakashi::builder().sink(FileSink::create(path)).start().expect("it starts");
    (0..count).for_each(|n| info!(SURE, "{n}"));
    guard
}

/// A sink whose `sync` can be looked at.
struct Durable {
    held: Held,
    synced: &'static AtomicU64,
}

impl Sink for Durable {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.write_batch(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.held.inner.lines().len() as u64 {
            3 => Err(io::Error::from_raw_os_error(libc::EIO)),
            lines => {
                self.synced.store(lines, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

/// Pitfall 1. Pins: a flush waits until the writer has passed the positions that the lanes had when it was
/// asked, and the sinks have taken the bytes (`tickets.rs`, `Lanes::set_targets`, `Outlets::all_taken`).
///
/// Seen to fail: with a flush that rings, yields and returns (the pitfall itself).
#[test]
fn flush_is_done_when_all_is_in_the_sink() {
    alone("flush_is_done_when_all_is_in_the_sink", || {
        static SYNCED: AtomicU64 = AtomicU64::new(0);
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let sink = Durable { held: Held::new(&gate, &entered, &memory), synced: &SYNCED };
        let guard = kakashi::builder().sink(sink).start().unwrap();
        info!("first");
        entered.wait();
        std::thread::spawn(|| info!("second, of a thread that has ended")).join().unwrap();
        match kakashi::flush(Duration::from_millis(20)) {
            Err(FlushError::TimedOut { unwritten }) => assert_eq!(unwritten, 2),
            other => panic!("nothing is in the sink, and flush says {other:?}"),
        }
        match kakashi::sync(Duration::from_millis(20)) {
            Err(FlushError::TimedOut { unwritten }) => assert_eq!(unwritten, 2),
            other => panic!("nothing is in the sink, and sync says {other:?}"),
        }
        assert_eq!((memory.text().as_str(), conserved().queue_size), ("", 2));
        gate.open();
        kakashi::sync(HANG).unwrap();
        assert_eq!(messages(&memory.lines()), ["first", "second, of a thread that has ended"]);
        assert_eq!(SYNCED.load(Ordering::Relaxed), 2, "sync returned before the sink's did");

        info!("third");
        match kakashi::sync(HANG) {
            Err(FlushError::Sink(error)) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
            other => panic!("the sink could not sync, and sync says {other:?}"),
        }
        kakashi::flush(HANG).unwrap();

        // Without a stalled sink: whatever the writer is doing, all that was logged is there.
        for n in 0..200_u64 {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..n).for_each(|n| info!("{n}")));
                }
            });
            let lines = memory.lines().len();
            kakashi::flush(HANG).unwrap();
            let stats = conserved();
            assert_eq!(
                (stats.queue_size, stats.messages_written),
                (0, stats.calls),
                "flush left some ({lines})"
            );
            assert_eq!(memory.lines().len() as u64, stats.messages_written);
        }
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

/// Pitfall 2. Pins: the handler that `start` (or a first call) registers with `atexit`, and the guard's drop.
///
/// Seen to fail: without `exit::hook()`, the last 7658 of the first scenario's records were missing.
#[test]
fn exit_writes_what_is_queued() {
    let directory = Directory::new();
    for (ending, code) in [
        ("exit", 3),
        ("exit, guard forgotten", 3),
        ("return", 0),
        ("return, guard forgotten", 0),
        ("panic", 101),
        ("panic, guard forgotten", 101),
    ] {
        let path = directory.file("log");
        let ended = scenario(ending).with(&path).run();
        assert_eq!(ended.status.code(), Some(code), "{ending}: {ended}");
        assert_all_there(ending, &lines_of(&path), if ending == "exit" { MOST } else { MANY });
        assert!(!ended.stderr.contains("not written"), "{ending}: {ended}");
    }
    let ended = scenario("exit, nothing started").run();
    assert_eq!(ended.status.code(), Some(3), "{ended}");
    assert_all_there("exit, nothing started", &ended.stderr.lines().collect::<Vec<_>>(), MANY);

    let path = directory.file("example");
    let ended = scenario("example").with(&path).run();
    assert!(ended.status.success(), "{ended}");
    let lines = lines_of(&path);
    assert_eq!(lines.len(), 100_002);
    assert_eq!(message(&lines[100_001]), "filled 7 @ 101.25 venue=XETR");
}

fn assert_all_there<L: AsRef<str>>(ending: &str, lines: &[L], count: u64) {
    let messages = messages(lines);
    assert_eq!(messages.len() as u64, count, "{ending}: last is {:?}", messages.last());
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message.parse(), Ok(n), "{ending}");
    }
}

/// Pitfall 3. Pins: flush and `MemorySink` as above, and that the writer takes a lane's records in their order
/// (`Lanes::oldest`), those of different threads by their ticks.
///
/// Seen to fail: with `Lanes::set_targets` noting no positions, the ends of all eight threads were missing.
#[test]
fn a_test_can_assert_on_the_log() {
    alone("a_test_can_assert_on_the_log", || {
        let memory = MemorySink::new();
        let guard = kakashi::builder().level(LevelFilter::Debug).sink(memory.clone()).start().unwrap();
        for round in 0..300 {
            memory.clear();
            info!("round {round}");
            kakashi::debug!("so many books", books = round * 2);
            kakashi::trace!("not at this level");
            kakashi::flush(HANG).unwrap();
            assert_eq!(
                messages(&memory.lines()),
                [format!("round {round}"), format!("so many books books={}", round * 2)]
            );
        }
        memory.clear();
        const THREADS: u64 = 8;
        const EACH: u64 = 20_000;
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || (0..EACH).for_each(|n| info!(SURE, "thread={thread} n={n}")));
            }
        });
        kakashi::flush(HANG).unwrap();
        let mut next = [0; THREADS as usize];
        for message in messages(&memory.lines()) {
            let next = &mut next[number(message, "thread=") as usize];
            assert_eq!(number(message, "n="), *next, "{message}");
            *next += 1;
        }
        assert_eq!(next, [EACH; THREADS as usize]);
        assert_eq!(conserved().queue_size, 0);
        guard.shutdown(HANG).unwrap();
    });
}

kakashi::channel!(static NEWEST: Channel<64, 64, 4, DropNewest>);
kakashi::channel!(static OLDEST: Channel<64, 64, 4, DropOldest, Deferred>);
kakashi::channel!(static WAITING: Channel<64, 64, 4, BlockFor<2_000>>);
kakashi::channel!(static BLOCKING: Channel<64, 64, 4, Block>);

/// Pitfall 4. Pins: the counters of each cause, and the writer's line where the gap is (`notice.rs`,
/// `Lanes::take_drops`).
///
/// Seen to fail: without the call of `tell_dropped` (no line), and without the count in `LaneHead::dropped`.
#[test]
fn an_overflow_is_counted_and_told() {
    alone("an_overflow_is_counted_and_told", || {
        const EACH: u64 = 1000;
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let guard = kakashi::builder().sink(Held::new(&gate, &entered, &memory)).start().unwrap();
        info!("stall");
        entered.wait();
        let back = Gate::closed();
        let threads = ["newest", "oldest", "waiting"].map(|name| {
            let (back, full) = (back.clone(), Gate::closed());
            let thread = {
                let full = full.clone();
                std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                    for n in 0..=EACH {
                        if n == EACH {
                            full.open();
                            back.wait();
                        }
                        match name {
                            "newest" => info!(NEWEST, "n={n}"),
                            "oldest" => info!(OLDEST, "n={n}"),
                            _ => info!(WAITING, "n={n}"),
                        }
                    }
                    kakashi::flush(HANG).unwrap();
                })
            };
            full.wait();
            thread.unwrap()
        });
        let stats = conserved();
        assert_eq!(stats.calls, 1 + 3 * EACH);
        gate.open();
        kakashi::flush(HANG).unwrap();
        back.open();
        threads.into_iter().for_each(|thread| thread.join().unwrap());

        let stats = conserved();
        let lines = memory.lines();
        assert_eq!(stats.notices, 3, "{:#?}", notices(&lines));
        assert_eq!(stats.queue_size, 0);
        let written = stats.messages_written + stats.messages_dropped;
        assert_eq!((written, messages(&lines).len() as u64), (2 + 3 * EACH + 2, stats.messages_written));
        assert!(
            stats.dropped.newest > 0 && stats.dropped.oldest > 0 && stats.dropped.wait_expired > 0,
            "{stats}"
        );
        for (name, channel, cause, dropped) in [
            ("newest", "NEWEST", "newest", stats.dropped.newest),
            ("oldest", "OLDEST", "oldest", stats.dropped.oldest),
            ("waiting", "WAITING", "wait_expired", stats.dropped.wait_expired),
        ] {
            let told = format!("dropped {dropped} records of thread {name} (");
            let at = lines.iter().position(|line| is_notice(line) && message(line).starts_with(&told));
            let at = at.unwrap_or_else(|| panic!("no {told:?} in {:#?}", notices(&lines)));
            let notice = message(&lines[at]);
            assert!(notice.contains(&format!(") in channel {channel}: {cause}={dropped} from ")), "{notice}");
            let ns = |line: &String| number(message(line), "n=");
            let of = |lines: &[String]| -> Vec<u64> {
                lines.iter().filter(|line| !is_notice(line) && thread_of(line) == name).map(ns).collect()
            };
            let (before, after) = (of(&lines[..at]), of(&lines[at..]));
            let kept = EACH - dropped;
            if name == "oldest" {
                assert!(before.is_empty(), "{before:?}");
                assert_eq!(after, (dropped..=EACH).collect::<Vec<_>>());
            } else {
                assert_eq!(before, (0..kept).collect::<Vec<_>>());
                assert_eq!(after, [EACH]);
            }
            // From when to when: within the time that the log spans, in which all of it happened.
            let (from, to) = notice.split_once(" from ").unwrap().1.split_once(" to ").unwrap();
            let span = (&lines[0][..from.len()], &lines.last().unwrap()[..to.len()]);
            assert!(
                from.ends_with('Z') && span.0 <= from && from <= to && to <= span.1,
                "{notice} in {span:?}"
            );
        }
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}

/// Pitfall 5. Pins: one control, one writer thread, one set of sinks for all channels and loggers; guards that
/// know their backend by its generation.
///
/// Seen to fail: with a `start` that does not refuse (a ring with two consumers), and without the comparison of
/// generations (the old guard stopped the second backend).
#[test]
fn there_is_one_backend_and_one_shutdown() {
    alone("there_is_one_backend_and_one_shutdown", || {
        const EACH: u64 = 2000;
        let sinks = [MemorySink::new(), MemorySink::new(), MemorySink::new()];
        let [all, also, warnings] = sinks.clone();
        let guard = kakashi::builder()
            .sink(all)
            .sink(also)
            .sink_with(warnings, SinkOptions::default().level(LevelFilter::Warn))
            .start()
            .unwrap();
        let refused = kakashi::builder().sink(MemorySink::new()).start();
        assert!(matches!(refused, Err(StartError::AlreadyRunning)), "{refused:?}");
        let (orders, fills) = (kakashi::get_async_logger("orders"), kakashi::get_async_logger("fills"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..EACH {
                        info!("{n}");
                        info!(orders, "{n}");
                        warn!(fills, "{n}");
                        info!(BLOCKING, "{n}");
                    }
                });
            }
        });
        assert_eq!(common::threads_named("kakashi-writer"), 1);
        assert_eq!(kakashi::get_async_stats().worker_count, 1);
        let report = kakashi::shutdown_async_backend(HANG).unwrap();
        assert_eq!(common::threads_named("kakashi-writer"), 0);
        let stats = conserved();
        assert_eq!((stats.state, stats.worker_count), (State::Stopped, 0));
        assert_eq!((report.messages_written, report.messages_dropped), (16 * EACH, 0));
        let lengths = sinks.each_ref().map(|sink| sink.lines().len() as u64);
        assert_eq!(lengths, [16 * EACH, 16 * EACH, 4 * EACH]);
        assert_eq!(sinks[0].text(), sinks[1].text());
        for target in [" orders ", " fills ", " BLOCKING ", " pitfalls "] {
            let of = sinks[0].lines().iter().filter(|line| line.contains(target)).count() as u64;
            assert_eq!(of, 4 * EACH, "{target}");
        }

        // The guard of a backend that is gone does not stop the next one; the next one's does.
        let again = MemorySink::new();
        let second = kakashi::builder().sink(again.clone()).start().unwrap();
        drop(guard);
        assert_eq!(kakashi::state(), State::Running);
        info!("second backend");
        drop(second);
        assert_eq!(kakashi::state(), State::Stopped);
        assert_eq!(messages(&again.lines()), ["second backend"]);
        conserved();
    });
}

/// Panics in `write_batch` once its gate is open.
struct Panics(Held);

impl Sink for Panics {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_batch(bytes)?;
        panic!("out of luck")
    }
}

/// Pitfall 6. Pins: the bound of a wait, the memory of an expired one (`Handle::expired_at`), and the three ends
/// of a wait without bound (`cold::wait`).
///
/// Seen to fail: without the memory of the expired wait (4936 waits in place of one), without the bound (it came
/// back when the sink's own time was over), and with a `cold::wait` that does not look whether the backend stops.
#[test]
fn a_full_ring_does_not_block_for_ever() {
    alone("a_full_ring_does_not_block_for_ever", || {
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let start = |sink: Held| kakashi::builder().sink(sink).start().unwrap();
        let guard = start(Held::new(&gate, &entered, &memory));
        for round in 0..3 {
            gate.close();
            entered.close();
            info!("stall");
            entered.wait();
            let before = WAITING.stats().snapshot();
            // It comes back at all: the writer hangs in the sink all the time.
            (0..5000).for_each(|n| info!(WAITING, "round={round} n={n}"));
            let after = WAITING.stats().snapshot();
            assert_eq!(after.calls - before.calls, 5000);
            assert_eq!(
                after.blocked - before.blocked,
                1,
                "one wait, then none while the writer stands still: {after}"
            );
            let dropped = after.dropped.wait_expired - before.dropped.wait_expired;
            assert!(dropped > 4000 && after.messages_dropped - before.messages_dropped == dropped, "{after}");
            conserved();
            gate.open();
            kakashi::flush(HANG).unwrap();
            // The writer has moved: there is room, and a full ring would be waited for again.
            info!(WAITING, "after round {round}");
            kakashi::flush(HANG).unwrap();
            assert_eq!(WAITING.stats().snapshot().dropped, after.dropped);
            assert!(messages(&memory.lines()).contains(&format!("after round {round}").as_str()));
        }

        // `Block`: a slot becomes free.
        let fill = || {
            gate.close();
            entered.close();
            info!("stall");
            entered.wait();
            let thread = std::thread::spawn(|| (0..200).for_each(|n| info!(BLOCKING, "n={n}")));
            until("the ring is full", || {
                BLOCKING.lanes().any(|lane| lane.in_use && lane.occupied == lane.slots)
            });
            assert!(!thread.is_finished(), "200 records are in 64 slots");
            thread
        };
        let thread = fill();
        gate.open();
        thread.join().unwrap();
        kakashi::flush(HANG).unwrap();
        let blocking = BLOCKING.stats().snapshot();
        assert_eq!((blocking.messages_enqueued, blocking.messages_dropped), (200, 0));

        // The backend stops.
        let thread = fill();
        match guard.shutdown(Duration::from_millis(20)) {
            Err(ShutdownError::TimedOut { unwritten }) => assert!(unwritten >= 60, "{unwritten}"),
            other => panic!("the sink hangs, and shutdown says {other:?}"),
        }
        thread.join().unwrap();
        assert_eq!(kakashi::get_async_stats().sink_errors, 0, "the call came back only when the sink did");
        let blocking = BLOCKING.stats().snapshot();
        assert_eq!(blocking.calls, 400);
        assert!(
            blocking.dropped.after_shutdown > 0
                && blocking.messages_dropped == blocking.dropped.after_shutdown
        );
        gate.open();
        kakashi::shutdown_async_backend(HANG).unwrap();
        conserved();

        // No sink is alive.
        let guard = kakashi::builder().sink(Panics(Held::new(&gate, &entered, &memory))).start().unwrap();
        let thread = fill();
        gate.open();
        thread.join().unwrap();
        assert!(matches!(kakashi::flush(HANG), Err(FlushError::Sink(_))));
        let stats = conserved();
        assert!(stats.dropped.sink >= 200, "{stats}");
        guard.shutdown(HANG).unwrap();
        conserved();
    });
}
