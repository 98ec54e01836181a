//! Signals from outside: the process is stopped and continued at any moment; a storm of signals, whose handlers log,
//! over threads that log.

mod common;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use common::ledger::{Ledger, record};
use common::{Directory, HANG, Over, alone, conserved, lines_of, size, until};
use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, FileSink, MemorySink};

kakashi::channel!(static PATIENT: Channel<64, 64, 8, Block, Deferred>);
kakashi::channel!(static BOUNDED: Channel<64, 64, 8, BlockFor<1_000>>);
kakashi::channel!(static HASTY: Channel<64, 64, 8, DropNewest, Deferred>);
kakashi::channel!(static NEWS: Channel<64, 64, 8, DropOldest>);
kakashi::channel!(static CROWDED: Channel<64, 64, 1, DropOldest, Deferred>);

/// The record `n` of maker `from`, to the channel of that number.
fn to_channel(from: u64, n: u64) {
    match from % 5 {
        0 => record!(PATIENT, from, n),
        1 => record!(BOUNDED, from, n),
        2 => record!(HASTY, from, n),
        3 => record!(NEWS, from, n),
        _ => record!(CROWDED, from, n),
    }
}

/// A process that stops and continues this one, at moments that nobody can foresee, until it is dropped.
struct Tormentor {
    process: libc::pid_t,
    stops: &'static AtomicU64,
}

impl Tormentor {
    fn new() -> Self {
        // SAFETY: a fresh mapping, zeroed, that both processes share, and that is never unmapped. The child makes
        // system calls, and nothing else.
        unsafe {
            let shared = libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(shared, libc::MAP_FAILED);
            let stops = &*shared.cast::<AtomicU64>();
            let victim = libc::getpid();
            let process = libc::fork();
            assert!(process >= 0);
            if process == 0 {
                let mut random = victim as u64;
                let mut pause = |most: u64| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    libc::usleep(((random >> 33) % most) as u32);
                };
                while libc::getppid() == victim {
                    pause(3000);
                    libc::kill(victim, libc::SIGSTOP);
                    pause(2500);
                    libc::kill(victim, libc::SIGCONT);
                    stops.fetch_add(1, Ordering::Relaxed);
                }
                libc::_exit(0);
            }
            Tormentor { process, stops }
        }
    }
}

impl Drop for Tormentor {
    fn drop(&mut self) {
        // SAFETY: the child is ours, and was not waited for. A stop that it has sent has ended: this runs.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            libc::waitpid(self.process, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn a_process_that_is_stopped_and_continued_loses_nothing_uncounted() {
    alone("a_process_that_is_stopped_and_continued_loses_nothing_uncounted", || {
        let wanted = size("KAKASHI_STOPS", 300);
        let directory = Directory::new();
        let log = directory.file("log");
        let tormentor = Tormentor::new();
        let made = [const { AtomicU64::new(0) }; 5];
        let mut round = 0;
        // The stops fall into starts and shutdowns, too.
        while round < 10 || tormentor.stops.load(Ordering::Relaxed) < wanted {
            round += 1;
            let until_stop = round * wanted / 10;
            let guard = kakashi::builder().sink(FileSink::append(&log)).start().unwrap();
            std::thread::scope(|scope| {
                for (from, made) in made.iter().enumerate() {
                    let stops = tormentor.stops;
                    scope.spawn(move || {
                        while stops.load(Ordering::Relaxed) < until_stop {
                            to_channel(from as u64, made.fetch_add(1, Ordering::Relaxed));
                            if made.load(Ordering::Relaxed).is_multiple_of(64) {
                                kakashi::flush(HANG).unwrap();
                            }
                        }
                    });
                }
            });
            guard.shutdown(HANG).unwrap();
        }
        drop(tormentor);
        let made = made.map(AtomicU64::into_inner);
        let ledger = Ledger::of(&lines_of(&log));
        ledger.has_all(0, made[0]);
        let stats = ledger.settle(made.iter().sum());
        assert_eq!((stats.dropped.after_shutdown, ledger.told), (0, stats.messages_dropped), "{stats}");
        eprintln!("{round} rounds: {stats}");
    });
}

thread_local! {
    /// The thread's number, and how often its handler has run.
    static HERE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// Makers of this number and above are handlers.
const HANDLERS: u64 = 1000;

extern "C" fn handler(_: libc::c_int) {
    let (thread, n) = HERE.get();
    HERE.set((thread, n + 1));
    // To the channel that the thread itself uses, and to one that it does not.
    to_channel(HANDLERS + thread, n);
    to_channel(HANDLERS + 100 + thread + 1, n);
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_storm_of_signals_over_threads_that_log_tears_nothing() {
    alone("a_storm_of_signals_over_threads_that_log_tears_nothing", || {
        const THREADS: u64 = 5;
        let wanted = size("KAKASHI_SIGNALS", 20_000);
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
        // The lane of this one is another's, so that all handlers and makers there share one.
        CROWDED.prepare_thread().unwrap();
        // SAFETY: the handler lives as long as the program, and calls nothing but the logger, atomics and cells.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&mut action.sa_mask);
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        let (over, made) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; THREADS as usize]);
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            for (thread, made) in made.iter().enumerate() {
                let (over, tell) = (&over, tell.clone());
                scope.spawn(move || {
                    HERE.set((thread as u64, 0));
                    // SAFETY: has no preconditions.
                    tell.send(unsafe { libc::pthread_self() }).unwrap();
                    while !over.load(Ordering::Relaxed) {
                        // Not far ahead of the signals, so that the log has a bounded size.
                        if made.load(Ordering::Relaxed) <= 8 * HANDLED.load(Ordering::Relaxed) {
                            to_channel(thread as u64, made.fetch_add(1, Ordering::Relaxed));
                        } else {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let threads: Vec<libc::pthread_t> = told.iter().take(THREADS as usize).collect();
            let _over = Over(&over);
            for handled in (0..=wanted).step_by(1000) {
                until("the handlers have run on", || {
                    for &thread in threads.iter().cycle().take(500) {
                        // SAFETY: the thread lives until it is told that this is over.
                        unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                    }
                    HANDLED.load(Ordering::Relaxed) >= handled
                });
            }
        });
        guard.shutdown(HANG).unwrap();
        let made: u64 = made.iter().map(|made| made.load(Ordering::Relaxed)).sum();
        let ledger = Ledger::of(&memory.lines());
        let stats = ledger.settle(made + 2 * HANDLED.load(Ordering::Relaxed));
        assert_eq!(ledger.told, stats.messages_dropped, "{stats}");
        assert!((0..THREADS).all(|thread| ledger.from(HANDLERS + thread).0 > 0), "{ledger:?}");
        conserved();
        eprintln!("{} signals: {stats}", HANDLED.load(Ordering::Relaxed));
    });
}
