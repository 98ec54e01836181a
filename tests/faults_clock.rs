//! The system's clock is set back and forth, by milliseconds and by hours, while threads log: the lines stay in their
//! order, and the time they show is the system's again within a millisecond.
//!
//! The steps are injected where the writer reads the system's clock: a test may not set that of the machine.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use common::ledger::{Ledger, record};
use common::{HANG, Over, SURE, alone, message, number, size};
use kakashi::{Channel, Clock, DropOldest, MemorySink};

kakashi::channel!(static NEWS: Channel<64, 64, 8, DropOldest>);

const MILLISECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * 1000 * MILLISECOND;

/// How far the clock is set, in ns.
static SET_BY: AtomicI64 = AtomicI64::new(0);

fn set_clock_by(ns: i64) {
    SET_BY.store(ns, Ordering::Relaxed);
    kakashi::__private::shift_wall_clock(ns);
}

/// The time that the clock shows.
fn clock() -> i64 {
    let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    real.as_nanos() as i64 + SET_BY.load(Ordering::Relaxed)
}

/// The time at the beginning of a line, in ns since 1970.
fn time_of(line: &str) -> i64 {
    let field = |from: usize, to: usize| -> i64 { line[from..to].parse().expect("digits") };
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    // Days since 1970, by the years that begin in March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + field(11, 13)) * 60 + field(14, 16)) * 60 + field(17, 19);
    seconds * 1_000_000_000 + field(20, 29)
}

#[test]
fn times_are_read_back_as_they_are() {
    assert_eq!(time_of("1970-01-01T00:00:00.000000001Z"), 1);
    assert_eq!(time_of("2000-02-29T23:59:59.999999999Z"), 951_868_799_999_999_999);
    assert_eq!(time_of("2026-03-01T00:00:00.000000000Z"), 1_772_323_200_000_000_000);
}

/// Makers: threads that log without pause, the records that threads make in turns, and those whose time is known.
const TURNS: u64 = 10;
const TIMED: u64 = 11;

#[test]
fn lines_stay_in_order_and_follow_a_clock_that_is_set() {
    alone("lines_stay_in_order_and_follow_a_clock_that_is_set", || {
        for seed in [1, 2] {
            set_clock_by(0);
            let memory = MemorySink::new();
            let guard = kakashi::builder().sink(memory.clone()).clock(Clock::Ordered).start().unwrap();
            let before = kakashi::get_async_stats();
            let (over, made) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 3]);
            let turn = Mutex::new(0);
            let mut timed = Vec::new();
            std::thread::scope(|scope| {
                for (maker, made) in made.iter().enumerate() {
                    let (over, turn) = (&over, &turn);
                    scope.spawn(move || {
                        while !over.load(Ordering::Relaxed) {
                            let n = made.fetch_add(1, Ordering::Relaxed);
                            match maker {
                                2 => record!(NEWS, 2, n),
                                _ => record!(SURE, maker as u64, n),
                            }
                            let mut turn = turn.lock().unwrap();
                            record!(SURE, TURNS, *turn);
                            *turn += 1;
                            drop(turn);
                            std::thread::yield_now();
                        }
                    });
                }
                let _over = Over(&over);
                let mut random: u64 = seed;
                for n in 0..size("KAKASHI_STEPS", 150) {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let by = match n % 4 {
                        0 => ((random >> 33) % 12) as i64 * HOUR - 6 * HOUR,
                        1 => SET_BY.load(Ordering::Relaxed) - 2 * HOUR,
                        2 => {
                            SET_BY.load(Ordering::Relaxed) + ((random >> 33) % 20) as i64 * MILLISECOND
                                - 10 * MILLISECOND
                        }
                        _ => 0,
                    };
                    set_clock_by(by);
                    // What is promised takes up to that long: the writer looks at the clock each half of it.
                    let stepped = Instant::now();
                    while stepped.elapsed() < Duration::from_millis(1) {
                        std::hint::spin_loop();
                    }
                    let called = clock();
                    record!(SURE, TIMED, n);
                    timed.push((called, clock()));
                    // A record shows the time by the clock as it is when the writer comes to it: before the next step.
                    kakashi::flush(HANG).unwrap();
                }
            });
            guard.shutdown(HANG).unwrap();

            let lines = memory.lines();
            let ledger = Ledger::of(&lines);
            (0..2).for_each(|maker| ledger.has_all(maker, made[maker as usize].load(Ordering::Relaxed)));
            ledger.has_all(TURNS, turn.into_inner().unwrap());
            ledger.has_all(TIMED, timed.len() as u64);
            let stats = common::conserved();
            assert_eq!(stats.messages_written - before.messages_written, ledger.records, "{stats}");
            assert_eq!(stats.messages_dropped - before.messages_dropped, ledger.told, "{stats}");
            let mut backwards = 0;
            for pair in lines.windows(2) {
                backwards += u64::from(time_of(&pair[1]) < time_of(&pair[0]) - HOUR / 2);
            }
            assert!(backwards > 10, "the steps are shown: {backwards}");
            for line in lines.iter().filter(|line| line.contains(&format!("] from={TIMED} "))) {
                let n = number(message(line), " n=");
                let (called, returned) = timed[n as usize];
                let shown = time_of(line);
                assert!(
                    shown > called - MILLISECOND && shown < returned + MILLISECOND,
                    "record {n} was made between {called} and {returned}: {line}"
                );
            }
        }
    });
}
