//! The statistics as Prometheus reads them: the text exposition format, version 0.0.4.
#![forbid(unsafe_code)]

use core::fmt;

use crate::figures::{Kind, figures};
use crate::stats::get_async_stats;

/// The statistics in Prometheus' text format 0.0.4, for a handler of `/metrics` to answer with. Its content type is
/// `text/plain; version=0.0.4`. Takes no lock. The feature `endpoint` has such a handler (`serve_metrics`).
///
/// | metric | of [`AsyncStats`](crate::AsyncStats) |
/// |---|---|
/// | `kakashi_calls_total` | `calls` |
/// | `kakashi_messages_enqueued_total` | `messages_enqueued` |
/// | `kakashi_messages_written_total` | `messages_written` |
/// | `kakashi_messages_dropped_total{cause="oldest"}` | `dropped`, every cause, also those of 0 |
/// | `kakashi_truncated_total`, `kakashi_late_total`, `kakashi_notices_total` | the same |
/// | `kakashi_blocked_total`, `kakashi_blocked_seconds_total` | `blocked`, and `blocked_ns` in seconds |
/// | `kakashi_bytes_written_total`, `kakashi_sink_errors_total` | the same |
/// | `kakashi_queue_size`, `kakashi_queue_slots` | `queue_size` in records, `max_queue_size` in slots |
/// | `kakashi_queue_fullest_ratio`, `kakashi_queue_high_water_ratio` | `fullest`, `high_water`, 0 to 1 |
/// | `kakashi_lanes`, `kakashi_lanes_in_use` | the same |
/// | `kakashi_workers`, `kakashi_workers_active` | `worker_count`, `active_workers` |
/// | `kakashi_state{state="running"}` | 1 for the state it is in, 0 for the others |
///
/// What ends in `_total` is a counter: it only goes up, also over a shutdown and a new start, and begins anew in a new
/// process or a forked child. The rest are gauges. All figures are from one call of [`get_async_stats`].
///
/// ```
/// kakashi::info!("listening");
/// let text = kakashi::prometheus_text();
/// assert!(text.contains("\nkakashi_calls_total 1\n"));
/// ```
pub fn prometheus_text() -> String {
    let mut text = String::with_capacity(5 << 10);
    // A `String` refuses nothing.
    let _ = write_prometheus(&mut text);
    text
}

/// The same into a writer. Allocates nothing itself.
///
/// # Errors
/// Those of the writer.
///
/// ```
/// let mut text = String::new();
/// kakashi::write_prometheus(&mut text)?;
/// assert!(text.starts_with("# HELP kakashi_calls_total "));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_prometheus(out: &mut impl fmt::Write) -> fmt::Result {
    for figure in figures(&get_async_stats()) {
        let name = figure.name;
        let kind = if figure.kind == Kind::Counter { "counter" } else { "gauge" };
        writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", figure.help)?;
        for (label, value) in figure.samples() {
            match label {
                Some((label, of)) => writeln!(out, "{name}{{{label}=\"{of}\"}} {value}")?,
                None => writeln!(out, "{name} {value}")?,
            }
        }
    }
    Ok(())
}
