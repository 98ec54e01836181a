//! First calls: of a callsite, and of a thread.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use kakashi::{Block, Channel, Preformatted, info};

use crate::cases::{DEFERRED, PREFORMATTED};
use crate::method::{at_share, single};

/// Threads that live at a time, each with a lane of its own.
const THREADS: usize = 64;

kakashi::channel!(static FRESH: Channel<128, 8192, THREADS, Block, Preformatted>);

macro_rules! four {
    ($statement:ident, $to:ident) => {
        $statement!($to);
        $statement!($to);
        $statement!($to);
        $statement!($to);
    };
}

/// A function that makes 256 calls, each from a callsite of its own, and notes the ticks of each.
macro_rules! callsites {
    ($name:ident, $channel:ident) => {
        #[inline(never)]
        fn $name(to: &mut Vec<u64>) {
            macro_rules! one {
                ($list:ident) => {
                    let number = $list.len();
                    $list.push(single(|| info!($channel, "the first call of callsite {}", number)));
                };
            }
            macro_rules! of_4 {
                ($list:ident) => {
                    four!(one, $list);
                };
            }
            macro_rules! of_16 {
                ($list:ident) => {
                    four!(of_4, $list);
                };
            }
            macro_rules! of_64 {
                ($list:ident) => {
                    four!(of_16, $list);
                };
            }
            four!(of_64, to);
        }
    };
}

callsites!(preformatted, PREFORMATTED);
callsites!(deferred, DEFERRED);

/// Measures all first calls and prints them; says how many records that made. The backend runs, and the calling
/// thread has logged before.
pub fn measure(rounds: usize, per_ns: f64) -> u64 {
    println!("\nfirst calls, ns each, the two reads included");
    println!("{:<64} {:>8} {:>9} {:>9}", "", "calls", "p50", "worst");
    let mut records = 0;
    let mut print = |name: &str, ticks: &mut Vec<u64>| {
        records += ticks.len() as u64;
        ticks.sort_unstable();
        let ns = |share| at_share(ticks, share) as f64 / per_ns;
        println!("{name:<64} {:>8} {:>9.0} {:>9.0}", ticks.len(), ns(0.5), ns(1.0));
    };
    for (name, calls) in [("preformatted", preformatted as fn(&mut Vec<u64>)), ("deferred", deferred)] {
        let mut ticks = Vec::with_capacity(256);
        calls(&mut ticks);
        print(&format!("first call of a callsite, 1 int, {name}"), &mut ticks);
    }
    let [mut new, mut used, mut prepared, mut second] = [const { Vec::new() }; 4];
    for round in 0..rounds {
        for call in threads(false) {
            if round == 0 { &mut new } else { &mut used }.push(call[0]);
            second.push(call[1]);
        }
        for call in threads(true) {
            prepared.push(call[0]);
            second.push(call[1]);
        }
    }
    print("first call of a thread, not prepared, lane never used before", &mut new);
    if !used.is_empty() {
        print("first call of a thread, not prepared, lane used before", &mut used);
    }
    print("first call of a thread, prepared", &mut prepared);
    print("second call of these threads", &mut second);
    records
}

/// The first two calls of `THREADS` threads, one after the other, all of which live until the last has called.
fn threads(prepare: bool) -> Vec<[u64; 2]> {
    let (give, results) = channel();
    let mut ends = Vec::new();
    let calls = (0..THREADS)
        .map(|number| {
            let (end, ended) = channel::<()>();
            let give = give.clone();
            let thread = std::thread::spawn(move || {
                if prepare {
                    FRESH.prepare_thread().expect("a lane is free");
                }
                let call = || single(|| info!(FRESH, "thread {}", number));
                give.send([call(), call()]).expect("somebody waits for it");
                let _ = ended.recv();
            });
            ends.push((end, thread));
            results.recv().expect("the thread calls")
        })
        .collect();
    for (end, thread) in ends {
        drop(end);
        thread.join().expect("the thread ends well");
    }
    // A lane is free again when the writer has seen that its thread is gone.
    let began = Instant::now();
    while FRESH.stats().snapshot().lanes_in_use != 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "lanes of threads that have ended are not freed");
        std::thread::sleep(Duration::from_millis(1));
    }
    calls
}
