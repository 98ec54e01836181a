//! How the benchmarks measure: shared by those of this folder and by `compare/`.
//!
//! A *burst* is twenty calls, timed as one by the processor's counter with serialising reads around them; then the
//! writer is left to catch up. A *round* is all cases once, by turns. Figures of different [`State`]s do not mix, and
//! some virtual machines change between them by themselves:
//!
//! * *near* or *far*, by the one-way latency between the two cores, for seconds each. It is looked at before and behind
//!   each case, and what is not the same in both is left out.
//! * *shared*: a virtual processor's physical core has a second thread of execution, which is somebody else's. While that
//!   is busy, what is limited by instructions takes up to twice as long, and the counter does not show it. [`work`]
//!   tells, right before and behind each burst; on one machine it was so for half of the time, in stretches of some
//!   10 ms. (Where the first and the last core of a process are two threads of one physical core, it is the writer that
//!   shares it.)
//!
//! Percentiles are over bursts, of all rounds of one state.

#![allow(dead_code)] // each benchmark uses its part

pub mod options;
pub mod proc;
pub mod table;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use core_affinity::CoreId;

/// Calls of a burst.
pub const BURST: u64 = 20;

/// The counter, read when everything before has completed and nothing after has begun.
#[inline(always)]
pub fn serialised() -> u64 {
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

/// The counter, read whenever the processor likes: the floor of every call that tells the time.
#[inline(always)]
pub fn bare() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let tick: u64;
        // SAFETY: as above.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) tick) };
        tick
    }
}

/// Counter ticks per nanosecond, measured against the system's clock for 50 ms.
pub fn ticks_per_ns() -> f64 {
    let (began, first) = (Instant::now(), serialised());
    while began.elapsed() < Duration::from_millis(50) {}
    (serialised() - first) as f64 / began.elapsed().as_nanos() as f64
}

/// Ticks that a burst of `call` takes; the calls are numbered from `base` on.
#[inline(always)]
pub fn burst(base: u64, call: impl Fn(u64)) -> u64 {
    let began = serialised();
    for i in 0..BURST {
        call(base + i);
    }
    serialised() - began
}

/// Ticks that one call takes, the two serialised reads around it included.
#[inline(always)]
pub fn single(call: impl FnOnce()) -> u64 {
    let began = serialised();
    call();
    serialised() - began
}

/// Ticks that a burst of bare reads of the counter takes.
pub fn floor_burst() -> u64 {
    burst(0, |_| {
        black_box(bare());
    })
}

/// Passes the time without a system call: the writer catches up meanwhile.
pub fn pause(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        core::hint::spin_loop();
    }
}

/// The two cores of a benchmark, the first and the last that the process may use.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub producer: CoreId,
    pub writer: CoreId,
}

impl Cores {
    /// Finds them, and pins the calling thread to the producer's.
    ///
    /// # Errors
    /// When there is only one core: figures would mean nothing.
    pub fn take() -> Result<Self, String> {
        let all = core_affinity::get_core_ids().unwrap_or_default();
        let (Some(&producer), Some(&writer)) = (all.first(), all.last()) else {
            return Err("the cores of this process cannot be found".into());
        };
        if producer.id == writer.id {
            return Err("a producer and a writer need a core each; this process may use one".into());
        }
        core_affinity::set_for_current(producer);
        Ok(Cores { producer, writer })
    }
}

/// Half a round trip of a value between the calling thread's core and another one, in ns: the median of 2000.
pub fn one_way(other: CoreId) -> f64 {
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

/// How near the two cores are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    Near,
    Far,
}

impl Distance {
    /// What lies below: the states seen were 25 to 80 and 180 to 270 ns one way.
    pub const BOUND_NS: f64 = 120.0;

    pub fn of(one_way_ns: f64) -> Self {
        if one_way_ns < Self::BOUND_NS { Distance::Near } else { Distance::Far }
    }

    pub fn name(self) -> &'static str {
        match self {
            Distance::Near => "near",
            Distance::Far => "far",
        }
    }
}

/// States of the machine: by the cores' distance, and by whether the caller's core is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Near, and the core is the caller's alone.
    Near,
    /// Near, and the core is shared.
    Shared,
    /// Far, whether the core is shared or not.
    Far,
}

impl State {
    pub const ALL: [State; 3] = [State::Near, State::Shared, State::Far];

    pub fn of(distance: Distance, alone: bool) -> Self {
        match (distance, alone) {
            (Distance::Near, true) => State::Near,
            (Distance::Near, false) => State::Shared,
            (Distance::Far, _) => State::Far,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Near => "near",
            State::Shared => "near, core shared",
            State::Far => "far",
        }
    }
}

/// What `run` gives, and the longer one of the two times that [`work`] takes right before and behind it.
#[inline(always)]
pub fn between_work<R>(run: impl FnOnce() -> R) -> (u64, R) {
    let before = work();
    let result = run();
    (work().max(before), result)
}

/// Whether the core was the caller's alone when [`work`] took so long; `least` is what one in a hundred of the whole run
/// took at the most. On one machine, alone it took 0.53 ns a turn to within a tenth, and 0.8 to 1.15 shared.
pub fn is_alone(work: f64, least: f64) -> bool {
    work <= least * 1.25
}

/// Ticks of a microsecond's worth of additions that do not wait for each other: they need most of what a core has.
#[inline(never)]
fn work() -> u64 {
    const TURNS: u64 = 2000;
    let began = serialised();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: registers only.
    unsafe {
        core::arch::asm!(
            "2:",
            "add {a}, 1", "add {b}, 1", "add {c}, 1", "add {d}, 1", "add {e}, 1",
            "dec {turns}",
            "jnz 2b",
            a = inout(reg) 0_u64 => _, b = inout(reg) 0_u64 => _, c = inout(reg) 0_u64 => _,
            d = inout(reg) 0_u64 => _, e = inout(reg) 0_u64 => _, turns = inout(reg) TURNS => _,
            options(nomem, nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: registers only.
    unsafe {
        core::arch::asm!(
            "2:",
            "add {a}, {a}, #1", "add {b}, {b}, #1", "add {c}, {c}, #1", "add {d}, {d}, #1", "add {e}, {e}, #1",
            "subs {turns}, {turns}, #1",
            "b.ne 2b",
            a = inout(reg) 0_u64 => _, b = inout(reg) 0_u64 => _, c = inout(reg) 0_u64 => _,
            d = inout(reg) 0_u64 => _, e = inout(reg) 0_u64 => _, turns = inout(reg) TURNS => _,
            options(nomem, nostack),
        );
    }
    serialised() - began
}

/// The one-way latencies of a benchmark. A state may last for less than a round, so that each case is looked at by itself.
#[derive(Default)]
pub struct OneWays {
    rounds: Vec<(f64, f64)>,
    cases: u64,
    changed: u64,
}

impl OneWays {
    pub fn begin_round(&mut self) {
        self.rounds.push((f64::MAX, 0.0));
    }

    /// Runs `case`, and says in which state: none when it was another one before than it was behind.
    pub fn during<R>(&mut self, other: CoreId, case: impl FnOnce() -> R) -> (Option<Distance>, R) {
        let before = self.ask(other);
        let result = case();
        let state = (before == self.ask(other)).then_some(before);
        self.cases += 1;
        self.changed += u64::from(state.is_none());
        (state, result)
    }

    /// The state now.
    fn ask(&mut self, other: CoreId) -> Distance {
        let ns = one_way(other);
        if let Some((least, most)) = self.rounds.last_mut() {
            (*least, *most) = (least.min(ns), most.max(ns));
        }
        Distance::of(ns)
    }
}

impl std::fmt::Display for OneWays {
    /// The least and the most of each round, and how many cases are neither near nor far.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "one way from core to core, round by round, ns:")?;
        self.rounds.iter().try_for_each(|(least, most)| write!(f, " {least:.0}-{most:.0}"))?;
        write!(f, "; {} of {} times it changed meanwhile, which is left out", self.changed, self.cases)
    }
}

/// The shares that every latency table shows, and their names.
pub const SHARES: [(f64, &str); 7] = [
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (1.0, "worst"),
];

/// The sample at `share` of a sorted list; 0 of none.
pub fn at_share<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

/// A 95 % interval of a percentile by resampling rounds, which differ more than bursts within one do: the
/// cluster bootstrap (Efron and Tibshirani 1993, chapter 8), 500 times, from a fixed seed.
pub fn bootstrap(rounds: &[Vec<f64>], share: f64) -> (f64, f64) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |bound: usize| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % bound as u64) as usize
    };
    if rounds.is_empty() {
        return (0.0, 0.0);
    }
    let mut figures: Vec<f64> = (0..500)
        .map(|_| {
            let mut pooled: Vec<f64> =
                (0..rounds.len()).flat_map(|_| rounds[below(rounds.len())].iter().copied()).collect();
            if pooled.is_empty() {
                return 0.0;
            }
            let at = ((pooled.len() - 1) as f64 * share).round() as usize;
            *pooled.select_nth_unstable_by(at, f64::total_cmp).1
        })
        .collect();
    figures.sort_unstable_by(f64::total_cmp);
    (at_share(&figures, 0.025), at_share(&figures, 0.975))
}

/// Lines of a file.
pub fn count_lines(path: &std::path::Path) -> std::io::Result<u64> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(lines),
            len => lines += piece[..len].iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}

/// A folder in memory for the benchmarks' files, so that no disk is measured.
pub fn tmpfs() -> std::path::PathBuf {
    std::path::PathBuf::from("/dev/shm")
}

/// Processor, cores, kernel and compiler, in a line: no figure means anything without.
pub fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = std::process::Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    // Those of the machine: the calling thread may be pinned to one of them.
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores, Linux {}, {rustc}", kernel.trim())
}

/// The messages that every logger is measured with, by their number: the same values everywhere.
pub mod values {
    /// 43 bytes.
    pub const TEXT: &str = "0123456789012345678901234567890123456789012";

    /// A double with many decimals.
    #[inline(always)]
    pub fn double(i: u64) -> f64 {
        i as f64 * 0.123_456_7
    }

    /// A price: two to four decimals, and the double next to it, as one gets by reading it.
    #[inline(always)]
    pub fn price(i: u64) -> f64 {
        (i % 1_000_000 * 37 + 1) as f64 / [100.0, 1_000.0, 10_000.0][i as usize % 3]
    }

    /// What `?` shows.
    #[derive(Debug)]
    pub struct Fill {
        #[allow(dead_code)] // read by Debug
        pub qty: u64,
        #[allow(dead_code)]
        pub side: &'static str,
    }
}
