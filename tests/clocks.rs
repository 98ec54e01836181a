//! What each `Clock` promises of order and of the time that is shown.

mod common;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use common::{HANG, SURE, alone, conserved, messages, number};
use kakashi::{Block, Channel, Clock, MemorySink, Sink, info};

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

kakashi::channel!(static ONE_LANE: Channel<256, 2048, 1, Block>);

/// Takes a batch for each permit, and says when it is asked to.
struct Stepped {
    asked: mpsc::Sender<()>,
    permits: mpsc::Receiver<()>,
    inner: MemorySink,
}

impl Sink for Stepped {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.send(());
        // Without permits to come, it takes everything.
        let _ = self.permits.recv();
        self.inner.write_batch(bytes)
    }
}

/// A thread that gets a lane of its own while records of its are left in the shared one: they come first, also where no
/// tick says so.
#[test]
fn a_lane_of_its_own_does_not_overtake_the_shared_one() {
    alone("a_lane_of_its_own_does_not_overtake_the_shared_one", || {
        const CALLS: u64 = 400;
        for clock in CLOCKS {
            let memory = MemorySink::new();
            let (asked, entered) = mpsc::channel();
            let (permit, permits) = mpsc::channel();
            let sink = Stepped { asked, permits, inner: memory.clone() };
            let guard = kakashi::builder().sink(sink).clock(clock).start().unwrap();
            let (end, ended) = mpsc::channel::<()>();
            let owner = std::thread::spawn(move || {
                info!(ONE_LANE, "owner");
                let _ = ended.recv();
            });
            entered.recv_timeout(HANG).expect("the writer is in the sink");
            let logs = std::thread::spawn(move || {
                // The only lane is the other thread's. More than the writer takes in one round.
                let text = "x".repeat(1000);
                (0..CALLS).for_each(|n| info!(ONE_LANE, "n={n} {text}"));
                drop(end);
                owner.join().unwrap();
                permit.send(()).unwrap();
                entered.recv_timeout(HANG).expect("the writer is in the sink");
                // The lane is free, and most of the above is still to be read.
                info!(ONE_LANE, "n={CALLS}");
            });
            logs.join().unwrap();
            guard.shutdown(HANG).unwrap();
            let lines = memory.lines();
            let seen = messages(&lines).into_iter().filter(|message| message.starts_with("n="));
            assert!(seen.map(|message| number(message, "n=")).eq(0..=CALLS), "{clock:?}");
            let shared = ONE_LANE.lanes().last().expect("the shared lane is the last one");
            assert!(shared.messages_enqueued >= CALLS, "{clock:?}: {shared:?}");
        }
        conserved();
    });
}
