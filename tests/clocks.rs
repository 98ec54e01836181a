//! What each `Clock` promises of order and of the time that is shown.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{HANG, SURE, alone, conserved, messages, number};
use kakashi::{Clock, MemorySink, info};

const CLOCKS: [Clock; 4] = [Clock::Counter, Clock::Ordered, Clock::Coarse, Clock::None];

/// Two threads hand over by a spinning load, the case in which a counter read ahead of the load shows: with
/// `Clock::Ordered` a call that returned before another one began comes first, each time.
#[test]
fn ordered_keeps_the_order_of_hand_overs() {
    alone("ordered_keeps_the_order_of_hand_overs", || {
        const TURNS: u64 = if cfg!(debug_assertions) { 100_000 } else { 500_000 };
        let memory = MemorySink::new();
        let guard = kakashi::builder().sink(memory.clone()).clock(Clock::Ordered).start().unwrap();
        let turn = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for mine in 0..2 {
                let turn = &turn;
                scope.spawn(move || {
                    for n in (mine..TURNS).step_by(2) {
                        let mut spins = 0_u32;
                        while turn.load(Ordering::Acquire) != n {
                            spins += 1;
                            if spins.is_multiple_of(1 << 12) {
                                // The other thread may have no processor.
                                std::thread::yield_now();
                            }
                        }
                        info!(SURE, "n={n}");
                        turn.store(n + 1, Ordering::Release);
                    }
                });
            }
        });
        guard.shutdown(HANG).unwrap();
        let lines = memory.lines();
        let seen: Vec<u64> = messages(&lines).iter().map(|message| number(message, "n=")).collect();
        assert!(seen.iter().copied().eq(0..TURNS), "a line is in the wrong place, or missing");
        assert_eq!(conserved().late, 0);
    });
}

/// Whatever the clock: a thread's lines are in its order, nothing is lost, and the times that are shown lie between
/// those of the lines before and after, which another backend wrote by the counter.
#[test]
fn every_clock_shows_a_time_and_keeps_a_threads_order() {
    alone("every_clock_shows_a_time_and_keeps_a_threads_order", || {
        const CALLS: u64 = 20_000;
        let by_the_counter = || {
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(memory.clone()).start().unwrap();
            info!(SURE, "between");
            guard.shutdown(HANG).unwrap();
            memory.lines()[0][..30].to_owned()
        };
        for clock in CLOCKS {
            let before = by_the_counter();
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(memory.clone()).clock(clock).start().unwrap();
            for n in 0..CALLS {
                info!(SURE, "n={n}");
            }
            guard.shutdown(HANG).unwrap();
            let after = by_the_counter();
            let lines = memory.lines();
            let seen: Vec<u64> = messages(&lines).iter().map(|message| number(message, "n=")).collect();
            assert!(seen.iter().copied().eq(0..CALLS), "{clock:?}");
            let times: Vec<&str> = lines.iter().map(|line| &line[..30]).collect();
            assert!(times.is_sorted(), "{clock:?}: time goes back");
            assert!(*before <= *times[0], "{clock:?}: {before} is before {}", times[0]);
            assert!(times[times.len() - 1] <= &*after, "{clock:?}: {after} is after the last line");
        }
        assert_eq!(conserved().late, 0);
    });
}
