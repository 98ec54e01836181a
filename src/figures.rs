//! The statistics as figures with names: the one list from which Prometheus' text and the `metrics` crate are served.
#![forbid(unsafe_code)]

use core::fmt;

use crate::gate::State;
use crate::lane::Cause;
use crate::stats::{AsyncStats, DropCauses};

/// A figure of the statistics, or one for each cause or state.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    values: Values,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only goes up.
    Counter,
    Gauge,
}

/// Its `Display` is what Prometheus reads.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Whole(u64),
    /// Shown in seconds.
    Nanoseconds(u64),
    Ratio(f64),
}

enum Values {
    One(Value),
    ByCause(DropCauses),
    ByState(State),
}

/// A label's name and value.
pub(crate) type Label = (&'static str, &'static str);

const STATES: [State; 6] =
    [State::Idle, State::AutoStarted, State::Running, State::Stopping, State::Stopped, State::Failed];

/// All of them, in the order in which they are shown.
pub(crate) fn figures(stats: &AsyncStats) -> [Figure; 20] {
    use Kind::{Counter, Gauge};
    use Value::{Nanoseconds, Ratio, Whole};
    // Taken apart, so that a new figure has to have its place here.
    let AsyncStats {
        state,
        queue_size,
        max_queue_size,
        fullest,
        high_water,
        worker_count,
        active_workers,
        calls,
        messages_enqueued,
        messages_written,
        messages_dropped: _, // the sum over the causes
        dropped,
        truncated,
        late,
        blocked,
        blocked_ns,
        notices,
        bytes_written,
        sink_errors,
        lanes,
        lanes_in_use,
    } = *stats;
    let by = |name, kind, values, help| Figure { name, help, kind, values };
    let one = |name, kind, value, help| by(name, kind, Values::One(value), help);
    #[rustfmt::skip] // one a line, to be read as a table
    let all = [
        one("kakashi_calls_total", Counter, Whole(calls), "Log calls whose level was on."),
        one("kakashi_messages_enqueued_total", Counter, Whole(messages_enqueued), "Calls whose record went into a ring."),
        one("kakashi_messages_written_total", Counter, Whole(messages_written), "Records that every live sink that wants them has taken."),
        by("kakashi_messages_dropped_total", Counter, Values::ByCause(dropped), "Records dropped, by cause."),
        one("kakashi_truncated_total", Counter, Whole(truncated), "Records of which a value was cut."),
        one("kakashi_late_total", Counter, Whole(late), "Records written behind a younger one."),
        one("kakashi_blocked_total", Counter, Whole(blocked), "Calls that had to wait for room."),
        one("kakashi_blocked_seconds_total", Counter, Nanoseconds(blocked_ns), "How long calls waited for room, all together."),
        one("kakashi_notices_total", Counter, Whole(notices), "Lines of the logger's own."),
        one("kakashi_bytes_written_total", Counter, Whole(bytes_written), "Bytes that sinks have taken, summed over the sinks."),
        one("kakashi_sink_errors_total", Counter, Whole(sink_errors), "Errors of sinks, retried ones included."),
        one("kakashi_queue_size", Gauge, Whole(queue_size), "Records in the rings and in staging."),
        one("kakashi_queue_slots", Gauge, Whole(max_queue_size), "Slots of the lanes in use."),
        one("kakashi_queue_fullest_ratio", Gauge, Ratio(fullest), "How full the fullest ring is, 0 to 1."),
        one("kakashi_queue_high_water_ratio", Gauge, Ratio(high_water), "How full any ring has ever been, 0 to 1."),
        one("kakashi_lanes", Gauge, Whole(lanes), "Lanes that threads can have."),
        one("kakashi_lanes_in_use", Gauge, Whole(lanes_in_use), "Lanes that are taken or not yet drained."),
        one("kakashi_workers", Gauge, Whole(worker_count), "Writer threads."),
        one("kakashi_workers_active", Gauge, Whole(active_workers), "Writer threads that are not asleep."),
        by("kakashi_state", Gauge, Values::ByState(state), "1 for the state that the backend is in."),
    ];
    all
}

impl Figure {
    /// Its values, each with its label if it has one.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Option<Label>, Value)> {
        let count = match self.values {
            Values::One(_) => 1,
            Values::ByCause(_) => Cause::ALL.len(),
            Values::ByState(_) => STATES.len(),
        };
        (0..count).map(|at| match self.values {
            Values::One(value) => (None, value),
            Values::ByCause(dropped) => {
                let cause = Cause::ALL[at];
                (Some(("cause", cause.as_str())), Value::Whole(dropped.get(cause)))
            }
            Values::ByState(state) => {
                (Some(("state", state_name(STATES[at]))), Value::Whole((STATES[at] == state).into()))
            }
        })
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::AutoStarted => "auto_started",
        State::Running => "running",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Failed => "failed",
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Whole(number) => write!(f, "{number}"),
            Value::Nanoseconds(ns) => write!(f, "{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
            Value::Ratio(ratio) => write!(f, "{ratio}"),
        }
    }
}
