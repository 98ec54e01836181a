//! Nobody waits for anybody: with the writer parked in a sink that hangs, and with a thread that is stopped at any
//! instruction of a call, the others' calls return.
//!
//! What decides is that they come to an end at all; the clock is looked at by the watchdog only.

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use common::ledger::{Ledger, record};
use common::{Gate, HANG, Held, Over, SURE, alone, conserved, size, until};
use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, MemorySink};

kakashi::channel!(static PATIENT: Channel<64, 256, 8, Block>);
kakashi::channel!(static BOUNDED: Channel<64, 64, 8, BlockFor<300>>);
kakashi::channel!(static BOUNDED_D: Channel<64, 64, 8, BlockFor<300>, Deferred>);
kakashi::channel!(static NEWEST: Channel<64, 64, 8, DropNewest>);
kakashi::channel!(static NEWEST_D: Channel<128, 16, 8, DropNewest, Deferred>);
kakashi::channel!(static OLDEST: Channel<64, 64, 8, DropOldest>);
kakashi::channel!(static OLDEST_D: Channel<128, 16, 8, DropOldest, Deferred>);
// More threads than lanes.
kakashi::channel!(static CROWDED: Channel<64, 64, 1, DropNewest>);
kakashi::channel!(static CROWDED_D: Channel<64, 64, 1, DropOldest, Deferred>);

/// `KAKASHI_CALLS=10000000` makes it as many.
#[test]
fn calls_return_while_the_writer_is_parked() {
    alone("calls_return_while_the_writer_is_parked", || {
        const THREADS: u64 = 4;
        let each = size("KAKASHI_CALLS", 1_000_000) / THREADS / 8;
        let (gate, entered, memory) = (Gate::closed(), Gate::closed(), MemorySink::new());
        let guard = kakashi::builder().sink(Held::new(&gate, &entered, &memory)).start().unwrap();
        record!(SURE, 0, 0);
        entered.wait();
        // The first calls, too, and the ends of threads.
        let everywhere = |maker: u64, calls: u64| {
            for n in 0..calls {
                record!(NEWEST, maker, n);
                record!(NEWEST_D, maker + 1, n);
                record!(OLDEST, maker + 2, n);
                record!(OLDEST_D, maker + 3, n);
                record!(CROWDED, maker + 4, n);
                record!(CROWDED_D, maker + 5, n);
                record!(BOUNDED, maker + 6, n);
                record!(BOUNDED_D, maker + 7, n);
            }
        };
        let all = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (all, everywhere) = (&all, &everywhere);
                scope.spawn(move || {
                    everywhere(10 + thread * 10, each);
                    all.wait();
                });
            }
        });
        let calls = 1 + THREADS * each * 8;
        let stats = conserved();
        assert_eq!((stats.calls, stats.messages_written), (calls, 0), "{stats}");
        let waits = BOUNDED.stats().snapshot().blocked + BOUNDED_D.stats().snapshot().blocked;
        assert_eq!(waits, 2 * THREADS, "a thread waits once, and then drops at once until the writer moves");
        gate.open();
        guard.shutdown(HANG).unwrap();
        let lines = memory.lines();
        let ledger = Ledger::of(&lines);
        let stats = ledger.settle(calls);
        let (newest, oldest) = (stats.dropped.newest, stats.dropped.oldest);
        assert!(
            newest > calls / 4 && oldest > calls / 4 && stats.dropped.wait_expired > calls / 8,
            "{stats}"
        );
        for maker in (0..THREADS).map(|thread| 10 + thread * 10) {
            // The first are there where the newest are dropped, the last where the oldest are.
            assert!(ledger.from(maker).1 < 65 && ledger.from(maker + 2).1 == each, "{ledger:?}");
        }
    });
}

static PARKED: AtomicBool = AtomicBool::new(false);
static GO: AtomicU64 = AtomicU64::new(0);
static PARKS: AtomicU64 = AtomicU64::new(0);

/// Holds its thread where it was, until it is let go.
extern "C" fn park(_: libc::c_int) {
    let this = PARKS.fetch_add(1, Ordering::SeqCst);
    PARKED.store(true, Ordering::SeqCst);
    while GO.load(Ordering::SeqCst) <= this {
        // SAFETY: has no preconditions.
        unsafe { libc::sched_yield() };
    }
}

/// As a thread is that has lost the processor: wherever it stands, the others log, and flush.
#[test]
fn a_thread_that_stands_still_within_a_call_holds_up_nobody() {
    alone("a_thread_that_stands_still_within_a_call_holds_up_nobody", || {
        let rounds = size("KAKASHI_PARKS", 200);
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        // SAFETY: the handler lives as long as the program, and calls nothing but atomics and `sched_yield`.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = park as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&mut action.sa_mask);
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        let over = AtomicBool::new(false);
        let (victims, mine) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let (over, victims) = (&over, &victims);
            scope.spawn(move || {
                // SAFETY: has no preconditions.
                tell.send(unsafe { libc::pthread_self() }).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let n = victims.fetch_add(1, Ordering::Relaxed);
                    record!(PATIENT, 0, n);
                    record!(OLDEST, 1, n);
                    record!(NEWEST, 2, n);
                    record!(OLDEST_D, 3, n);
                    record!(BOUNDED_D, 4, n);
                }
            });
            let victim = told.recv().unwrap();
            for round in 0..rounds {
                PARKED.store(false, Ordering::SeqCst);
                // SAFETY: the thread lives until it is told that this is over.
                unsafe { libc::pthread_kill(victim, libc::SIGUSR1) };
                until("it stands still", || PARKED.load(Ordering::SeqCst));
                std::thread::scope(|scope| {
                    for thread in 0..2 {
                        scope.spawn(move || {
                            for n in round * 50..(round + 1) * 50 {
                                record!(PATIENT, 10 + thread, n);
                                record!(OLDEST, 20 + thread, n);
                                record!(BOUNDED_D, 30 + thread, n);
                            }
                        });
                    }
                });
                kakashi::flush(HANG).unwrap();
                mine.fetch_add(2 * 50 * 3, Ordering::Relaxed);
                GO.store(round + 1, Ordering::SeqCst);
            }
            over.store(true, Ordering::Relaxed);
        });
        guard.shutdown(HANG).unwrap();
        let ledger = Ledger::of(&memory.lines());
        let victims = victims.into_inner();
        ledger.has_all(0, victims);
        (0..2).for_each(|thread| ledger.has_all(10 + thread, rounds * 50));
        let stats = ledger.settle(victims * 5 + mine.into_inner());
        assert_eq!(ledger.told, stats.messages_dropped, "{stats}");
        assert_eq!(stats.dropped.no_lane, 0, "{stats}");
        eprintln!("{rounds} times: {stats}");
    });
}

/// A thread that has its tick and stands still before it has published: its record comes when younger ones are written.
///
/// The processor's trap flag stops the thread behind each instruction of a call, so that one of the stops is there.
#[cfg(target_arch = "x86_64")]
mod stepping {
    use super::*;
    use std::arch::asm;

    /// How often the thread has stopped, and how often it was let go.
    static STOPS: AtomicU64 = AtomicU64::new(0);
    static GONE_ON: AtomicU64 = AtomicU64::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);

    extern "C" fn stop(_: libc::c_int) {
        let this = STOPS.fetch_add(1, Ordering::SeqCst) + 1;
        while GONE_ON.load(Ordering::SeqCst) < this {
            // SAFETY: has no preconditions.
            unsafe { libc::sched_yield() };
        }
    }

    fn stepped(call: impl FnOnce()) {
        // SAFETY: sets and clears the trap flag; the handler is installed.
        unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
        call();
        // SAFETY: as above.
        unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") };
    }

    #[test]
    fn a_record_that_comes_after_younger_ones_is_written_and_counted_as_late() {
        const NAME: &str = "stepping::a_record_that_comes_after_younger_ones_is_written_and_counted_as_late";
        alone(NAME, || {
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
            // SAFETY: the handler lives as long as the program, and calls nothing but atomics and `sched_yield`.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = stop as *const () as usize;
                libc::sigemptyset(&mut action.sa_mask);
                assert_eq!(libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()), 0);
            }
            let younger = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let _over = Over(&OVER);
                    PATIENT.prepare_thread().unwrap();
                    stepped(|| record!(PATIENT, 1, 0));
                });
                let (mut younger, mut gone_on) = (0, 0);
                while !OVER.load(Ordering::Relaxed) {
                    if STOPS.load(Ordering::SeqCst) == gone_on {
                        std::thread::yield_now();
                        continue;
                    }
                    record!(SURE, 2, younger);
                    younger += 1;
                    kakashi::flush(HANG).unwrap();
                    gone_on += 1;
                    GONE_ON.store(gone_on, Ordering::SeqCst);
                }
                younger
            });
            kakashi::flush(HANG).unwrap();
            let stats = conserved();
            assert_eq!(stats.late, 1, "{stats}");
            guard.shutdown(HANG).unwrap();
            let ledger = Ledger::of(&memory.lines());
            ledger.has_all(1, 1);
            ledger.has_all(2, younger);
            assert_eq!(ledger.settle(younger + 1).messages_dropped, 0);
            eprintln!("{younger} stops: {stats}");
        });
    }
}
