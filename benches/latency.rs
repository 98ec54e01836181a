//! What a log call costs on the calling thread.
//!
//! `cargo bench --bench latency` prints percentiles in ns per call, beside a bare read of the counter and the
//! one-way latency between the two cores, both measured in the same round.
//!
//! Method: bursts of 20 calls, timed by the counter with serialising reads around them; then the writer is
//! left to catch up. Producer and writer are pinned to different cores. All cases take turns within a round.
//! The run fails if a record was dropped or the file has not as many lines as there were calls.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kakashi::{
    Block, BlockFor, Channel, Clock, Deferred, DropNewest, DropOldest, FileSink, Preformatted, info,
};

const BURST: u64 = 20;
const BURSTS: usize = 2000;
const ROUNDS: usize = 9;

kakashi::channel!(static PREFORMATTED: Channel<128, 8192, 4, Block, Preformatted>);
kakashi::channel!(static DEFERRED: Channel<128, 8192, 4, Block, Deferred>);
kakashi::channel!(static BOUNDED: Channel<128, 8192, 4, BlockFor<1_000_000>, Deferred>);
kakashi::channel!(static NEWEST: Channel<128, 8192, 4, DropNewest, Deferred>);
kakashi::channel!(static OLDEST: Channel<128, 8192, 4, DropOldest, Deferred>);

const TEXT: &str = "0123456789012345678901234567890123456789012";

#[derive(Debug)]
struct Fill {
    #[allow(dead_code)] // read by Debug
    qty: u64,
    #[allow(dead_code)]
    side: &'static str,
}

type Case = (&'static str, fn(u64));

fn double(i: u64) -> f64 {
    i as f64 * 0.123_456_7
}

fn price(i: u64) -> f64 {
    (i % 100_000) as f64 / 100.0
}

const CASES: &[Case] = &[
    ("preformatted, static text", |_| info!(PREFORMATTED, "static text")),
    ("preformatted, 1 int", |i| info!(PREFORMATTED, "order {}", i)),
    ("preformatted, 2 ints + double", |i| {
        info!(PREFORMATTED, "order {} filled {} @ {}", i, i * 7919, double(i))
    }),
    ("preformatted, 2 ints + price", |i| {
        info!(PREFORMATTED, "order {} filled {} @ {}", i, i * 7919, price(i))
    }),
    ("preformatted, 2 ints + 43-byte str", |i| {
        info!(PREFORMATTED, "order {} filled {} {}", i, i * 7919, black_box(TEXT))
    }),
    ("preformatted, 4 fields", |i| {
        info!(PREFORMATTED, "filled", a = i, b = i * 7919, c = true, d = black_box("buy"))
    }),
    ("preformatted, {:>10.3}", |i| info!(PREFORMATTED, "at {:>10.3}", double(i))),
    ("preformatted, ?Debug", |i| info!(PREFORMATTED, "fill", fill = ?Fill { qty: i, side: "buy" })),
    ("deferred, static text", |_| info!(DEFERRED, "static text")),
    ("deferred, 2 ints + double", |i| info!(DEFERRED, "order {} filled {} @ {}", i, i * 7919, double(i))),
    ("deferred, 2 ints + 43-byte str", |i| {
        info!(DEFERRED, "order {} filled {} {}", i, i * 7919, black_box(TEXT))
    }),
    ("deferred, 2 ints + double, BlockFor", |i| {
        info!(BOUNDED, "order {} filled {} @ {}", i, i * 7919, double(i))
    }),
    ("deferred, 2 ints + double, DropNewest", |i| {
        info!(NEWEST, "order {} filled {} @ {}", i, i * 7919, double(i))
    }),
    ("deferred, 2 ints + double, DropOldest", |i| {
        info!(OLDEST, "order {} filled {} @ {}", i, i * 7919, double(i))
    }),
    ("level off", |i| kakashi::debug!("order {}", i)),
];

/// The counter, read when everything before has completed and nothing after has begun.
fn serialised() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 and RDTSC are there on every x86_64.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        let tick = core::arch::x86_64::_rdtsc();
        core::arch::x86_64::_mm_lfence();
        tick
    }
    #[cfg(target_arch = "aarch64")]
    {
        let tick: u64;
        // SAFETY: the virtual counter is readable from user space.
        unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", "isb", out(reg) tick) };
        tick
    }
}

fn bare() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    return serialised();
}

fn ticks_per_ns() -> f64 {
    let (began, first) = (Instant::now(), serialised());
    while began.elapsed() < Duration::from_millis(50) {}
    (serialised() - first) as f64 / began.elapsed().as_nanos() as f64
}

fn burst(call: impl Fn(u64), base: u64) -> u64 {
    let began = serialised();
    for i in 0..BURST {
        call(base + i);
    }
    serialised() - began
}

/// Half a round trip of a value between two cores, in ns; the median of a thousand.
fn one_way(other: core_affinity::CoreId) -> f64 {
    static BALL: AtomicU64 = AtomicU64::new(0);
    const SERVES: u64 = 2000;
    BALL.store(0, Ordering::SeqCst);
    let mut trips: Vec<u128> = std::thread::scope(|scope| {
        scope.spawn(move || {
            core_affinity::set_for_current(other);
            for i in 0..SERVES {
                while BALL.load(Ordering::Acquire) != 2 * i + 1 {}
                BALL.store(2 * i + 2, Ordering::Release);
            }
        });
        (0..SERVES)
            .map(|i| {
                let began = Instant::now();
                BALL.store(2 * i + 1, Ordering::Release);
                while BALL.load(Ordering::Acquire) != 2 * i + 2 {}
                began.elapsed().as_nanos()
            })
            .collect()
    });
    trips.sort_unstable();
    trips[trips.len() / 2] as f64 / 2.0
}

fn main() {
    // `cargo test` runs benches without `--bench`: one short round then.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let (Some(&first), Some(&last)) = (cores.first(), cores.last()) else {
        eprintln!("no cores to pin to");
        return;
    };
    core_affinity::set_for_current(first);
    let path = std::path::Path::new("/dev/shm").join(format!("kakashi-latency-{}.log", std::process::id()));
    let clock = if std::env::args().any(|arg| arg == "--ordered") { Clock::Ordered } else { Clock::Counter };
    let guard = kakashi::builder()
        .sink(FileSink::create(&path))
        .writer_core(Some(last.id))
        .clock(clock)
        .start()
        .expect("the backend starts");
    for prepared in [
        PREFORMATTED.prepare_thread(),
        DEFERRED.prepare_thread(),
        BOUNDED.prepare_thread(),
        NEWEST.prepare_thread(),
        OLDEST.prepare_thread(),
    ] {
        prepared.expect("a lane is free");
    }
    let per_ns = ticks_per_ns();
    let mut samples = vec![Vec::with_capacity(rounds * BURSTS); CASES.len()];
    let mut floor = Vec::with_capacity(rounds * BURSTS);
    let mut one_ways = Vec::new();
    for _ in 0..rounds {
        one_ways.push(one_way(last));
        for (case, samples) in CASES.iter().zip(&mut samples) {
            for at in 0..BURSTS as u64 {
                samples.push(burst(case.1, at * BURST));
                // A pause, in which the writer catches up; flushing would wake it each time.
                let paused = Instant::now();
                while paused.elapsed() < Duration::from_micros(300) {}
            }
            kakashi::flush(Duration::from_secs(60)).expect("the writer catches up");
        }
        floor.extend((0..BURSTS as u64).map(|at| burst(|_| _ = black_box(bare()), at)));
    }
    let report = guard.shutdown(Duration::from_secs(60)).expect("everything is written");
    let lines = std::fs::read(&path).expect("the log is there").iter().filter(|&&byte| byte == b'\n').count();
    std::fs::remove_file(&path).expect("the log can be removed");

    let ns = |ticks: u64| ticks as f64 / BURST as f64 / per_ns;
    floor.sort_unstable();
    let floor_p50 = ns(floor[floor.len() / 2]);
    println!("clock {clock:?}; one-way core to core {one_ways:.0?} ns; ns per call in bursts of {BURST}");
    println!(
        "{:<40} {:>7} {:>7} {:>7} {:>8} {:>9} {:>7}",
        "", "p50", "p90", "p99", "p99.9", "worst", "/ bare"
    );
    let print = |name: &str, sorted: &[u64]| {
        let at = |share: f64| ns(sorted[((sorted.len() - 1) as f64 * share) as usize]);
        println!(
            "{name:<40} {:>7.1} {:>7.1} {:>7.1} {:>8.1} {:>9.1} {:>6.2}x",
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            at(0.5) / floor_p50
        );
    };
    print("bare counter", &floor);
    for (case, samples) in CASES.iter().zip(&mut samples) {
        samples.sort_unstable();
        print(case.0, samples);
    }
    let calls = (CASES.len() - 1) * rounds * BURSTS * BURST as usize;
    assert_eq!(report.messages_dropped, 0, "a run that dropped says nothing about latency");
    assert_eq!(lines, calls, "every call is a line");
}
