//! The statistics through the `metrics` crate.
#![forbid(unsafe_code)]

use crate::figures::{Kind, Value, figures};
use crate::stats::get_async_stats;

/// Gives all statistics to the recorder of the `metrics` crate, by the names of [`prometheus_text`](crate::prometheus_text),
/// and describes them.
///
/// Counters are set to what they have come to (`absolute`), gauges to what they are. One exception:
/// `kakashi_blocked_seconds_total` is a gauge here, since that crate's counters are whole numbers. No unit is given, since
/// some exporters append it to the name, which says it already.
///
/// Nothing is published between two calls, and there is no thread that would: call it as often as your exporter is to see new
/// figures, from a timer of yours or right before it renders or sends them. A log call knows nothing of it. With no recorder
/// installed it does nothing; one that is installed later has all of it from the next call on. It takes no lock and allocates
/// nothing beyond what the recorder does.
///
/// ```no_run
/// use std::time::Duration;
///
/// std::thread::spawn(|| {
///     loop {
///         kakashi::publish_metrics();
///         std::thread::sleep(Duration::from_secs(5));
///     }
/// });
/// ```
pub fn publish_metrics() {
    for figure in figures(&get_async_stats()) {
        let (name, help) = (figure.name, figure.help);
        let is_whole = figure.samples().all(|(_, value)| matches!(value, Value::Whole(_)));
        if figure.kind == Kind::Counter && is_whole {
            metrics::describe_counter!(name, help);
        } else {
            metrics::describe_gauge!(name, help);
        }
        for (label, value) in figure.samples() {
            let labels = label.as_slice();
            match (figure.kind, value) {
                (Kind::Counter, Value::Whole(count)) => metrics::counter!(name, labels).absolute(count),
                (_, Value::Whole(number)) => metrics::gauge!(name, labels).set(number as f64),
                (_, Value::Nanoseconds(ns)) => metrics::gauge!(name, labels).set(ns as f64 / 1e9),
                (_, Value::Ratio(ratio)) => metrics::gauge!(name, labels).set(ratio),
            }
        }
    }
}
