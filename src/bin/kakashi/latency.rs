//! How long the calling thread is held by a call.
//!
//! Decision: `Instant`, not the TSC between two `lfence`s. On Linux it is that, in the vDSO, and the two cost
//! the same: 20 ns between two reads of either, on an AMD EPYC with a 2.6 GHz TSC.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The clock, as the report calls it.
pub const TIMER: &str = "std::time::Instant";

/// What the clock measures when there is nothing between two reads: the median of many.
pub fn timer_cost() -> Duration {
    let mut costs = [Duration::ZERO; 10_001];
    for cost in &mut costs {
        *cost = Instant::now().elapsed();
    }
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// The calls that were timed, in ns.
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Up to an hour, with three significant digits.
    pub fn new() -> Option<Self> {
        Histogram::new_with_bounds(1, 3_600_000_000_000, 3).ok().map(Latency)
    }

    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, other: &Latency) {
        // The bounds are the same.
        let _ = self.0.add(&other.0);
    }

    pub fn calls(&self) -> u64 {
        self.0.len()
    }

    pub fn percentile(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }

    pub fn max(&self) -> u64 {
        self.0.max()
    }
}
