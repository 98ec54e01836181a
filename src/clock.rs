//! Time: ticks on the calling thread, UTC in the writer.
//!
//! A tick is what `quanta` finds to be the fastest clock: the TSC where it is invariant (x86_64), the
//! virtual counter (aarch64), else the monotonic clock. The writer turns ticks into UTC by an *anchor*,
//! a moment at which it read both clocks, renewed before it is used when it is older than half a millisecond, so
//! that the shown time follows the system's clock, steps included.
//!
//! Decision: the counter is read without a fence unless asked otherwise ([`Clock::Ordered`]). A processor may read
//! its counter before an earlier load has completed, so that a call which begins when it has seen another one's
//! end by a spinning load can have the older tick: of two million hand-overs by a spinning flag, 0.05 to 0.15 % of
//! the lines were in the wrong place, and none with a fence. But the fence is the dearest thing in a call: a bare
//! read takes 13.0 ns, one behind LFENCE 22 to 24, RDTSCP (which waits for earlier loads, too) 24 to 25; a whole call
//! of three numbers fits into the 13 otherwise, since it runs while the counter is read. A shared line that
//! orders the ticks of all threads would be a cache miss a call.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::OnceLock;

use crate::sync::Line;

/// How a log call reads the time.
///
/// | clock | what a call pays | shown time | order across threads |
/// |---|---|---|---|
/// | `Counter` | a read of the processor's counter, some 30 cycles | to the nanosecond | a call that returned before another one began comes first, but for hand-overs by a spinning load that are closer than a cache miss (some 100 ns): of these, some in a thousand are swapped |
/// | `Ordered` | a fence and the counter: some 25 cycles more, and what runs before the call does not overlap with it | to the nanosecond | a call that returned before another one began comes first, always |
/// | `Coarse` | a load | that of the writer's last round: behind by at most its nap, 0.4 ms while there is something to do, 10 ms after a pause, or by as long as a sink holds the writer up | the same, for calls further apart than that; closer ones are in the order of their lanes, and the line that tells of drops stands behind them |
/// | `None` | nothing | when the writer took the record | none, but for calls further apart than a round of the writer's |
///
/// Within a thread and a channel the order is always the program's (what a signal handler logs while it interrupts a call
/// of the thread stands aside with the last two); between a thread's channels, with the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The processor's counter, read whenever the processor likes.
    #[default]
    Counter,
    /// The counter, read when all earlier loads of the thread have completed.
    Ordered,
    /// The time of the writer's last round.
    Coarse,
    /// No time: the writer gives each record the time at which it took it.
    None,
}

/// The tick is quanta's: set to one of the others once there is a backend.
const BY_QUANTA: u8 = 0;
/// The tick is the processor's counter.
const COUNTER: u8 = 1;
/// The same, behind a fence.
const FENCED_COUNTER: u8 = 2;
/// The tick is the word that the writer advances, or leaves at 0.
const WORD: u8 = 3;

/// Where a call takes its record's tick from, unless it has to ask: `BY_QUANTA` while calls are diverted.
static SOURCE: AtomicU8 = AtomicU8::new(BY_QUANTA);
/// Where a record's tick is from.
static TRUE_SOURCE: AtomicU8 = AtomicU8::new(BY_QUANTA);
/// Whether all calls are to go the slow way.
static DIVERTED: AtomicBool = AtomicBool::new(false);
/// Whether the counter is what quanta reads.
static COUNTER_IS_TIME: AtomicBool = AtomicBool::new(false);
static CLOCK: OnceLock<quanta::Clock> = OnceLock::new();

/// [`Clock::Coarse`]: the tick of the writer's last round. On a line of its own, which every call reads.
static COARSE: Line<AtomicU64> = Line(AtomicU64::new(0));
/// Whether the writer advances it.
static ADVANCES: AtomicBool = AtomicBool::new(false);

/// Added to the system's time by [`shift_wall_clock`].
static WALL_SHIFT: AtomicI64 = AtomicI64::new(0);

/// The counter itself.
#[inline(always)]
fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has RDTSC.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: the virtual counter is readable from user space on Linux.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
        return count;
    }
}

/// Lets no later instruction begin before all earlier loads have completed.
#[inline(always)]
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has LFENCE. It waits for earlier instructions (Intel SDM 4.3; on
    // AMD since Linux makes it dispatch-serialising).
    unsafe {
        core::arch::x86_64::_mm_lfence();
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no operands; Linux's own vDSO puts one before it reads the counter.
    unsafe {
        core::arch::asm!("isb", options(nostack));
    }
}

/// Whether ticks are too coarse to tell in which order a thread's records are.
pub(crate) fn is_coarse() -> bool {
    TRUE_SOURCE.load(Ordering::Relaxed) == WORD
}

/// A record's tick; 0 for one without time. `None` when a call is needed for it, or calls are diverted: [`record_tick`].
#[inline(always)]
pub(crate) fn quick_tick() -> Option<u64> {
    // Relaxed: set before the backend's state lets any call come here.
    tick_of(SOURCE.load(Ordering::Relaxed))
}

/// Tells the compiler that the code behind it is seldom run.
#[cold]
#[inline]
fn seldom() {}

#[inline(always)]
fn tick_of(source: u8) -> Option<u64> {
    if source == COUNTER {
        return Some(counter());
    }
    seldom();
    match source {
        FENCED_COUNTER => {
            fence();
            Some(counter())
        }
        // Relaxed: a load all the same, and loads of one word are in order.
        WORD => Some(COARSE.load(Ordering::Relaxed)),
        _ => None,
    }
}

/// A record's tick; 0 for one without time. `init` must have been called.
pub(crate) fn record_tick() -> u64 {
    tick_of(TRUE_SOURCE.load(Ordering::Relaxed)).unwrap_or_else(now)
}

/// Whether calls are diverted.
#[inline]
pub(crate) fn is_diverted() -> bool {
    DIVERTED.load(Ordering::Relaxed)
}

/// Lets every call from now on, on whatever thread, go the slow way, or not any more.
///
/// Decision: the clock is what all calls look at, so that nothing is added to a call that nobody diverts.
pub(crate) fn divert(diverted: bool) {
    DIVERTED.store(diverted, Ordering::SeqCst);
    settle();
}

/// Works out what calls look at. Of two threads that have changed something at a time the later one sees both changes.
fn settle() {
    let read = || (DIVERTED.load(Ordering::SeqCst), TRUE_SOURCE.load(Ordering::SeqCst));
    let mut seen = read();
    loop {
        let (diverted, source) = seen;
        SOURCE.store(if diverted { BY_QUANTA } else { source }, Ordering::SeqCst);
        let now = read();
        if now == seen {
            return;
        }
        seen = now;
    }
}

/// The time now, in ticks, whatever the records' clock is. `init` must have been called.
pub(crate) fn now() -> u64 {
    if COUNTER_IS_TIME.load(Ordering::Relaxed) {
        counter()
    } else {
        CLOCK.get_or_init(quanta::Clock::new).raw()
    }
}

/// The writer begins a round.
pub(crate) fn advance(now: u64) {
    if ADVANCES.load(Ordering::Relaxed) {
        COARSE.store(now, Ordering::Relaxed);
    }
}

/// Finds out what a tick is. Takes up to some milliseconds the first time.
pub(crate) fn init(clock: Clock) {
    let quanta = CLOCK.get_or_init(quanta::Clock::new);
    let (before, raw, after) = (counter(), quanta.raw(), counter());
    let is_time = before <= raw && raw <= after;
    COUNTER_IS_TIME.store(is_time, Ordering::Relaxed);
    ADVANCES.store(clock == Clock::Coarse, Ordering::Relaxed);
    COARSE.store(if clock == Clock::Coarse { now() } else { 0 }, Ordering::Relaxed);
    let source = match clock {
        Clock::Coarse | Clock::None => WORD,
        _ if !is_time => BY_QUANTA,
        Clock::Counter => COUNTER,
        Clock::Ordered => FENCED_COUNTER,
    };
    TRUE_SOURCE.store(source, Ordering::SeqCst);
    settle();
}

/// Moves the wall clock that the writer sees, for tests of stepped clocks. Nanoseconds.
#[doc(hidden)]
pub fn shift_wall_clock(ns: i64) {
    WALL_SHIFT.store(ns, Ordering::Relaxed);
}

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid timespec to write to.
    unsafe { libc::clock_gettime(clock, &mut spec) };
    #[allow(clippy::unnecessary_cast)] // `time_t` is not 64 bits wide everywhere
    (spec.tv_sec as i64).saturating_mul(1_000_000_000).saturating_add(spec.tv_nsec as i64)
}

/// The monotonic clock, in ns.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC) as u64
}

/// The system's time, in ns since 1970.
pub(crate) fn wall_ns() -> i64 {
    clock_ns(libc::CLOCK_REALTIME).saturating_add(WALL_SHIFT.load(Ordering::Relaxed))
}

/// A tick and a clock's reading of the same moment: the tightest of a few tries.
fn sample(read: impl Fn() -> i64, tries: u32) -> (u64, i64) {
    let mut best = (0, 0);
    let mut width = u64::MAX;
    for _ in 0..tries {
        let before = now();
        let ns = read();
        let after = now();
        if after.wrapping_sub(before) < width {
            width = after.wrapping_sub(before);
            best = (before + width / 2, ns);
        }
    }
    best
}

/// The last anchor's `rate`, for a crash handler.
static RATE: AtomicU64 = AtomicU64::new(1 << 32);

/// UTC of a tick, in ns since 1970, by the time `unix_ns` at the moment `now`. Async-signal-safe.
pub(crate) fn unix_ns_near(tick: u64, now: u64, unix_ns: i64) -> i64 {
    let delta = tick.wrapping_sub(now) as i64;
    let ns = ((delta as i128 * RATE.load(Ordering::Relaxed) as i128) >> 32) as i64;
    unix_ns.saturating_add(ns)
}

/// Turns ticks into UTC. The writer has one.
pub(crate) struct Anchor {
    /// A moment, in ticks and in ns since 1970.
    tick: u64,
    unix_ns: i64,
    /// The first moment, in ticks and in ns of the monotonic clock: the long baseline of the rate.
    first: (u64, i64),
    /// Nanoseconds per tick, times 2^32.
    rate: u64,
    ticks_per_us: u64,
    renewed: u64,
    rate_renewed: u64,
    /// The last record's tick, and the time that was shown for it.
    last: (u64, i64),
}

/// How ticks become UTC at some moment: a tick, the ns since 1970 then, and the ns per tick times 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tick: u64,
    pub(crate) unix_ns: i64,
    pub(crate) rate: u64,
}

impl Reading {
    /// UTC of a tick, in ns since 1970.
    #[inline]
    pub(crate) fn unix_ns(&self, tick: u64) -> i64 {
        let delta = tick.wrapping_sub(self.tick) as i64;
        let ns = ((delta as i128 * self.rate as i128) >> 32) as i64;
        self.unix_ns.saturating_add(ns)
    }
}

/// The times to show for records that follow each other, while the anchor stays as it is.
pub(crate) struct Shown {
    /// Nanoseconds per tick, times 2^32, and those of tick 0, modulo 2^128.
    rate: u64,
    origin: u128,
    /// The last record's tick, and the time that was shown for it.
    last: (u64, i64),
}

impl Shown {
    /// The next record's time; `None` when it is older than the last one.
    #[inline(always)]
    pub(crate) fn ns(&mut self, tick: u64) -> Option<i64> {
        if tick < self.last.0 {
            return None;
        }
        let ns = ((u128::from(tick) * u128::from(self.rate)).wrapping_add(self.origin) >> 32) as i64;
        // Below the last one's only by the anchors' jitter, as [`Anchor::row`] has seen.
        self.last = (tick, ns.max(self.last.1));
        Some(self.last.1)
    }

    /// The tick of the last record.
    pub(crate) fn last_tick(&self) -> u64 {
        self.last.0
    }
}

/// Shorter steps back than this are the anchors' jitter and are not shown.
const JITTER_NS: i64 = 1_000_000;

impl Anchor {
    /// Measures the tick's rate for two milliseconds; it gets better from then on.
    pub(crate) fn new() -> Self {
        let monotonic = || clock_ns(libc::CLOCK_MONOTONIC);
        let first = sample(monotonic, 8);
        let mut anchor = Self {
            tick: 0,
            unix_ns: 0,
            first,
            rate: 1 << 32,
            ticks_per_us: 1000,
            renewed: 0,
            rate_renewed: 0,
            last: (0, i64::MIN),
        };
        while monotonic() - first.1 < 2_000_000 {
            core::hint::spin_loop();
        }
        anchor.renew_rate();
        anchor.renew();
        anchor
    }

    pub(crate) fn ticks_per_us(&self) -> u64 {
        self.ticks_per_us
    }

    fn renew_rate(&mut self) {
        let (tick, ns) = sample(|| clock_ns(libc::CLOCK_MONOTONIC), 4);
        let (ticks, ns) = (tick.saturating_sub(self.first.0).max(1), (ns - self.first.1).max(1));
        self.rate = (((ns as u128) << 32) / ticks as u128).max(1) as u64;
        self.ticks_per_us = ((1000_u128 << 32) / self.rate as u128).max(1) as u64;
        self.rate_renewed = tick;
    }

    fn renew(&mut self) {
        RATE.store(self.rate, Ordering::Relaxed);
        (self.tick, self.unix_ns) = sample(wall_ns, 2);
        self.renewed = self.tick;
    }

    /// To be called each round. `rendering` says that records are at hand; while there are none, once a second
    /// is enough, and an idle round is the cheaper. Says whether the anchor was renewed.
    pub(crate) fn follow(&mut self, now: u64, rendering: bool) -> bool {
        let age_us = if rendering { 500 } else { 1_000_000 };
        if now.wrapping_sub(self.renewed) > self.ticks_per_us * age_us {
            if now.wrapping_sub(self.rate_renewed) > self.ticks_per_us * 1_000_000 {
                self.renew_rate();
            }
            self.renew();
            return true;
        }
        false
    }

    /// UTC of a tick, in ns since 1970.
    pub(crate) fn unix_ns(&self, tick: u64) -> i64 {
        self.reading().unix_ns(tick)
    }

    /// The anchor as it is now.
    #[inline]
    pub(crate) fn reading(&self) -> Reading {
        Reading { tick: self.tick, unix_ns: self.unix_ns, rate: self.rate }
    }

    /// The time that was shown last, for a line that belongs there.
    pub(crate) fn last_shown_ns(&self) -> i64 {
        if self.last.1 == i64::MIN { wall_ns() } else { self.last.1 }
    }

    /// The time to show for the next record. It does not step back by the anchors' jitter; it does
    /// when the system's clock was set back, and for a record that comes late.
    pub(crate) fn shown_ns(&mut self, tick: u64) -> i64 {
        let ns = self.unix_ns(tick);
        let (last_tick, last_ns) = self.last;
        if tick < last_tick {
            return ns.min(last_ns);
        }
        let shown = if ns < last_ns && last_ns - ns < JITTER_NS { last_ns } else { ns };
        self.last = (tick, shown);
        shown
    }

    /// The times of a row of records, the first of which has the tick `first`: those that [`Anchor::shown_ns`] would give
    /// one by one. `None` when that one is late, or the clock was set back: by [`Anchor::shown_ns`], then.
    #[inline]
    pub(crate) fn row(&self, first: u64) -> Option<Shown> {
        let (last_tick, last_ns) = self.last;
        if first < last_tick || self.unix_ns(first) <= last_ns.saturating_sub(JITTER_NS) {
            return None;
        }
        let origin = (self.unix_ns as i128 as u128) << 32;
        let origin = origin.wrapping_sub(u128::from(self.tick) * u128::from(self.rate));
        Some(Shown { rate: self.rate, origin, last: self.last })
    }

    /// The row has come to its end.
    #[inline]
    pub(crate) fn end_row(&mut self, shown: &Shown) {
        self.last = shown.last;
    }
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn shown_time_follows_the_system_clock() {
        init(Clock::Ordered);
        let mut anchor = Anchor::new();
        for _ in 0..50 {
            let before = wall_ns();
            let tick = now();
            let after = wall_ns();
            anchor.follow(tick, true);
            let shown = anchor.unix_ns(tick);
            assert!(shown > before - 1_000_000 && shown < after + 1_000_000, "{before} {shown} {after}");
        }
    }

    #[test]
    fn jitter_is_not_shown_and_steps_are() {
        init(Clock::Counter);
        let mut anchor = Anchor::new();
        let tick = now();
        let shown = anchor.shown_ns(tick);
        anchor.unix_ns -= 10_000;
        assert_eq!(anchor.shown_ns(tick + 1), shown);
        anchor.unix_ns -= 3_600_000_000_000;
        assert!(anchor.shown_ns(tick + 2) < shown - 3_000_000_000_000);
        let later = anchor.shown_ns(tick + 1_000_000);
        assert!(anchor.shown_ns(tick + 10) < later);
    }
}
