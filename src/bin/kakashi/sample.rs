//! What is counted in a process at a moment, and how fast it grows between two.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Instant;

use kakashi::__box::{LaneInfo, Life, View};
use kakashi::{AsyncStats, DropCauses};

/// One look.
pub struct Sample {
    pub at: Instant,
    pub life: Life,
    pub stats: AsyncStats,
    pub lanes: Vec<LaneInfo>,
    pub sinks: Vec<(String, u64)>,
}

impl Sample {
    pub fn take(view: &View) -> Sample {
        // Whether it lives comes first: what it has logged by then is in the figures.
        let life = view.life();
        Sample {
            at: Instant::now(),
            life,
            stats: view.stats(),
            lanes: view.lane_stats(),
            sinks: view.sinks(),
        }
    }

    /// What the writer is at.
    pub fn writer(&self) -> &'static str {
        match (self.life, self.stats.worker_count, self.stats.active_workers) {
            (Life::Alive, 1.., 1..) => "at work",
            (Life::Alive, 1.., 0) => "asleep",
            _ => "none",
        }
    }
}

/// What happened between two looks, per second.
pub struct Rates {
    pub seconds: f64,
    pub logged: f64,
    pub written: f64,
    pub bytes: f64,
    pub dropped: f64,
    /// Records and bytes of each lane before.
    lanes: HashMap<u64, (u64, u64)>,
}

impl Rates {
    pub fn between(before: &Sample, after: &Sample) -> Rates {
        // Not zero, whatever the clock: a rate is a number.
        let seconds = (after.at - before.at).as_secs_f64().max(1e-6);
        let (from, to) = (&before.stats, &after.stats);
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        Rates {
            seconds,
            logged: rate(from.calls, to.calls),
            written: rate(from.messages_written, to.messages_written),
            bytes: rate(from.bytes_written, to.bytes_written),
            dropped: rate(from.messages_dropped, to.messages_dropped),
            lanes: before
                .lanes
                .iter()
                .map(|lane| (lane.place, (lane.stats.messages_enqueued, lane.bytes)))
                .collect(),
        }
    }

    /// Records a second that went into a lane.
    pub fn of(&self, lane: &LaneInfo) -> f64 {
        let (before, _) = self.lanes.get(&lane.place).copied().unwrap_or_default();
        lane.stats.messages_enqueued.saturating_sub(before) as f64 / self.seconds
    }

    /// Bytes a second of the slots that its records took.
    pub fn bytes_of(&self, lane: &LaneInfo) -> f64 {
        let (_, before) = self.lanes.get(&lane.place).copied().unwrap_or_default();
        lane.bytes.saturating_sub(before) as f64 / self.seconds
    }
}

/// The causes of drops by name.
pub fn causes(dropped: &DropCauses) -> [(&'static str, u64); 9] {
    [
        ("newest", dropped.newest),
        ("oldest", dropped.oldest),
        ("wait_expired", dropped.wait_expired),
        ("format_panicked", dropped.format_panicked),
        ("reentrant", dropped.reentrant),
        ("no_lane", dropped.no_lane),
        ("after_shutdown", dropped.after_shutdown),
        ("exit_timeout", dropped.exit_timeout),
        ("sink", dropped.sink),
    ]
}
